/* Kernel files of every kind, by their first bytes: ELF above all. */
#include "image_check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    run_image(data, size, HK_IMAGE_AUTO);
    return 0;
}
