/* SPDX-License-Identifier: BSD-2-Clause */
/* The adapter's clock. */
#include "link_internal.h"

#include <time.h>

uint64_t link_now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * LINK_NS_PER_S + (uint64_t)now.tv_nsec;
}
