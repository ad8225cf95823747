/* SPDX-License-Identifier: BSD-2-Clause */
/* How long a wait goes on. */
#include "common.h"

#include <errno.h>

bool waker_wait_until_over(const struct waker *waker, uint64_t start_ns, uint32_t timeout_ms)
{
    int result;

    do
        result = waker_wait(waker, wait_left_ms(start_ns, timeout_ms));
    while (result == -RDMIG_E_SYSTEM && errno == EINTR);
    return result == RDMIG_OK;
}

uint32_t wait_left_ms(uint64_t start_ns, uint32_t timeout_ms)
{
    const uint64_t gone_ms = (link_now_ns() - start_ns) / 1000000;

    if (timeout_ms == UINT32_MAX)
        return UINT32_MAX;
    return gone_ms >= timeout_ms ? 0 : (uint32_t)(timeout_ms - gone_ms);
}
