/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Memory that is used again from one test case to the next. A bench needs six MiB, and some
 * programs open thousands of them: under ASan each fresh one costs a thousand page faults, and a
 * program that takes a third of a second without ASan ran into the runner's limit with it. What
 * lies in the pool is poisoned, so that a use after pool_give() is still found.
 */
#ifndef RDMIG_TESTS_SUPPORT_POOL_H
#define RDMIG_TESTS_SUPPORT_POOL_H

#include <stddef.h>

/* Memory aligned to RDMIG_CONTROL_MEMORY_ALIGNMENT; what it holds is left over from its last use.
 * Fails the test when there is none. */
void *pool_take(size_t bytes);
/* Gives memory of pool_take() back, with the length that was asked for. NULL is fine. */
void pool_give(void *memory, size_t bytes);

#endif
