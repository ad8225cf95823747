/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A state of the simulator itself that cannot be, or no memory for it: one line, and the end. What
 * a world's parties do wrong is an oracle's affair (world_break), never this.
 */
#ifndef SIM_FAIL_H
#define SIM_FAIL_H

#include <stdio.h>
#include <stdlib.h>

static inline _Noreturn void sim_fail(const char *where, const char *what)
{
    fprintf(stderr, "rdmig-sim: %s: %s\n", where, what);
    abort();
}

/* What malloc, calloc or realloc gave, which must not be nothing. */
static inline void *sim_allocated(void *memory)
{
    if (memory == NULL) {
        sim_fail("memory", "none left; simulate a smaller guest, or on a larger machine");
    }
    return memory;
}

#endif
