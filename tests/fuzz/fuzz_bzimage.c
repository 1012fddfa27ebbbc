/* bzImages: the setup header, the payload and the ELF file inside. */
#include "image_check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    run_image(data, size, HK_IMAGE_BZIMAGE);
    return 0;
}
