/* DHCP answers as init reads them. */
#include "dhcp.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct hk_dhcp_ask ask = {.kind = HK_DHCP_DISCOVER};
    struct hk_dhcp_lease lease;

    if (size >= 34) { /* the question that the packet answers */
        ask.id = (uint32_t)data[4] << 24 | (uint32_t)data[5] << 16 |
                 (uint32_t)data[6] << 8 | data[7];
        memcpy(ask.mac, data + 28, sizeof(ask.mac));
    }
    if (hk_dhcp_parse(data, size, &ask, &lease) == 0)
        return 0;
    if (lease.dns_count > HK_DHCP_DNS_MAX || lease.mtu > 65520)
        abort();
    return 0;
}
