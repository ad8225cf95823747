/* SPDX-License-Identifier: BSD-2-Clause */
/* What the memory of a RAM block is: whether it can be read and written, and what the kernel says
 * of memory that it refuses to read, fill or register. */
#ifndef RDMIG_MIGRATION_MEMORY_KINDS_H
#define RDMIG_MIGRATION_MEMORY_KINDS_H

#include "common.h"

/*
 * Every byte of every block is mapped with the rights that are needed: reading, and writing, too,
 * at a destination. 0; -INVALID with *error, which names the block and the part. Without
 * /proc/self/maps nothing is found out.
 */
int memory_kinds_check(const struct memory *memory, bool is_written, struct rdmig_error *error);

/*
 * Why memory at offset_bytes of a block could not be read, filled or registered (what: one of these
 * words): huge pages, a userfaultfd handler, the number of mappings, the end of a file. Fills
 * *error, anew if it holds a cause already.
 */
void memory_kinds_explain(const struct memory *memory, uint32_t block_index, uint64_t offset_bytes,
                          uint64_t length_bytes, const char *what, int os_code,
                          struct rdmig_error *error);

/* link_explain(), and of a region that could not be made what its memory is. */
void explain_failure(const struct link *link, const struct memory *memory,
                     struct rdmig_error *error);

#endif
