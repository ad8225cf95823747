/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Finding memory that holds nothing but zeros, so that it need not be sent.
 *
 * The guest may write while this reads. The answer is right only for memory that did not change
 * meanwhile; a page that changed is dirty again and comes back in a later round, so a caller must
 * clear the page's dirty bit BEFORE asking, never after.
 */
#ifndef RDMIG_RAM_ZERO_H
#define RDMIG_RAM_ZERO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Any length (nothing at all is zero), any alignment. Reads no byte outside the range. */
bool ram_is_zero(const void *bytes, size_t length_bytes);

/*
 * How many pages from base on, at most page_count, are all zero or all not zero, as the first one
 * is; *is_zero says which. Returns 0, with *is_zero false, only for page_count or page_bytes 0.
 */
uint64_t ram_scan_run(const uint8_t *base, size_t page_bytes, uint64_t page_count, bool *is_zero);

#endif
