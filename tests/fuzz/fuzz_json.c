/* init's JSON reader and what it takes from a configuration file. */
#include "json.h"
#include "spec.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Every node lies inside the text, and its end behind its beginning. */
static void check(const struct hk_json *json, size_t size)
{
    for (uint32_t i = 0; i < json->count; i++) {
        const struct hk_json_node *n = &json->node[i];
        if (n->start > size || n->len > size - n->start || n->next <= i ||
            n->next > json->count)
            abort();
        free(hk_json_text(json, i));
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct hk_json json;
    struct hk_spec spec;

    if (hk_json_parse((const char *)data, size, &json) == 0) {
        check(&json, size);
        hk_json_fini(&json);
    }
    if (hk_spec_parse((const char *)data, size, &spec) == 0)
        hk_spec_fini(&spec);
    return 0;
}
