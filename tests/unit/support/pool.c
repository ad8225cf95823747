/* SPDX-License-Identifier: BSD-2-Clause */
#include "support/pool.h"

/* cmocka wants these four before it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <rdmig/core.h>

#include "support/ownership.h"

#include <stdlib.h>

enum { POOL_COUNT_MAX = 16 };

struct pooled {
    void *memory;
    size_t bytes;
};

static struct pooled pool[POOL_COUNT_MAX];
static size_t pooled_count;

void *pool_take(size_t bytes)
{
    void *memory = NULL;

    for (size_t i = 0; i < pooled_count; i++) {
        if (pool[i].bytes != bytes)
            continue;
        memory = pool[i].memory;
        pool[i] = pool[--pooled_count];
        ownership_give(memory, bytes);
        return memory;
    }
    assert_int_equal(posix_memalign(&memory, RDMIG_CONTROL_MEMORY_ALIGNMENT, bytes), 0);
    return memory;
}

void pool_give(void *memory, size_t bytes)
{
    if (!memory)
        return;
    if (pooled_count == POOL_COUNT_MAX) {
        ownership_give(memory, bytes);
        free(memory);
        return;
    }
    ownership_take(memory, bytes);
    pool[pooled_count++] = (struct pooled){memory, bytes};
}
