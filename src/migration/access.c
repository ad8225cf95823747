/* SPDX-License-Identifier: BSD-2-Clause */
#include "access.h"

#include "ram/zero.h"

#include <rdmig/rdmig.h>
#include <string.h>

uint64_t access_scan_run(const void *address, uint64_t page_count, bool *is_zero)
{
    return ram_scan_run(address, RDMIG_PAGE_BYTES, page_count, is_zero);
}

void access_fill(void *address, uint64_t length_bytes, uint8_t value)
{
    uint8_t *bytes = address;

    while (length_bytes > 0) {
        const uint64_t step_bytes =
            length_bytes < RDMIG_PAGE_BYTES ? length_bytes : RDMIG_PAGE_BYTES;

        if (value != 0 || !ram_is_zero(bytes, step_bytes))
            memset(bytes, value, step_bytes);
        bytes += step_bytes;
        length_bytes -= step_bytes;
    }
}
