/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How much RAM a peer may name. Its list is a few bytes, the memory for it is ours: the sum is
 * looked at before anything of it is allocated.
 */
#ifndef RDMIG_TOOL_RAM_LIMIT_H
#define RDMIG_TOOL_RAM_LIMIT_H

#include "../cli/error.h"

#define RAM_LIMIT_MEMINFO_PATH "/proc/meminfo"

struct ram_limit {
    uint64_t given_bytes;     /* of --ram-max: UINT64_MAX: none, 0: not given */
    uint32_t copy_count;      /* how often each block will be kept here, at least 1 */
    const char *meminfo_path; /* where to look if it is not given */
};

/*
 * Whether all of these blocks together may be taken: their lengths within the option or, without
 * it, all copies of them within MemAvailable. False with *error set: they may not, or nobody knows.
 */
bool ram_limit_check(const struct ram_limit *limit, const struct rdmig_ram_block *blocks,
                     uint32_t count, struct tool_error *error);

#endif
