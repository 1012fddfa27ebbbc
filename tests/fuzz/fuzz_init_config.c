/* The host's records as init reads them. */
#include "config.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct hk_config config;
    const char *why = NULL;

    if (hk_config_parse(data, size, &config, &why) == 0)
        hk_config_fini(&config);
    else if (why == NULL || config.exec != NULL || config.args.v != NULL)
        abort();
    return 0;
}
