/* SPDX-License-Identifier: BSD-2-Clause */
/* Guest memory as the processor reads and writes it. Whether it may be touched at all is what
 * holes.h is asked before. */
#ifndef RDMIG_MIGRATION_ACCESS_H
#define RDMIG_MIGRATION_ACCESS_H

#include <stdbool.h>
#include <stdint.h>

/* How many pages from address on, 1 to page_count, are all zero, or all not, as the first one is;
 * *is_zero says which. */
uint64_t access_scan_run(const void *address, uint64_t page_count, bool *is_zero);

/* Memory that is zero already is only read: what was never touched, and could not be told to be, is
 * not allocated by it where it is private. */
void access_fill(void *address, uint64_t length_bytes, uint8_t value);

#endif
