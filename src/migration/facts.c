/* SPDX-License-Identifier: BSD-2-Clause */
/* What the system says of memory that may be pinned. */
#include "common.h"

#include <inttypes.h>
#include <stdio.h>
#include <unistd.h>

/* Bytes of this process that count against RLIMIT_MEMLOCK already. */
static uint64_t ask_pinned_bytes(void)
{
    FILE *file = fopen("/proc/self/status", "re");
    uint64_t pinned_kib = 0;
    char line[256];

    while (file && fgets(line, sizeof(line), file) &&
           sscanf(line, "VmPin: %" SCNu64, &pinned_kib) != 1)
        ;
    if (file)
        (void)fclose(file);
    return pinned_kib << 10;
}

void budget_ask_system(struct budget_facts *facts)
{
    *facts = (struct budget_facts){.page_bytes = (uint64_t)sysconf(_SC_PAGESIZE),
                                   .memlock_bytes = rdmig_memlock_limit_bytes(),
                                   .pinned_bytes = ask_pinned_bytes(),
                                   .cgroup_bytes = cgroup_limit_bytes("")};
}
