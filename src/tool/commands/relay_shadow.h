/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A second copy of the memory that rdmig relay receives: what is sent is read from it. RDMA Writes
 * come without a word, so what has come is found by comparing; and since the copy changes only
 * here, a write that arrives meanwhile cannot tear what is being sent: the page differs once more.
 */
#ifndef RDMIG_TOOL_RELAY_SHADOW_H
#define RDMIG_TOOL_RELAY_SHADOW_H

#include "../files/ramfile.h"

struct shadow {
    const struct ramfile_set *received;
    struct rdmig_ram_block *blocks; /* the copies, by the names of the received ones */
    bool **are_touched;             /* of each, 256 KiB by 256 KiB: something was copied there */
    uint32_t count;
    bool is_comparing;
    uint32_t block_index; /* compared up to here */
    uint64_t offset_bytes;
    uint64_t compared_bytes; /* so far, holes not counted */
};

/* Whole pages, which have just been copied. False stops the comparison for good. */
typedef bool shadow_changed(void *context, uint32_t block_index, uint64_t offset_bytes,
                            uint64_t length_bytes);

/* Memory like that, reading as zeros; the set has to stay in place. False with *error set;
 * shadow_free() is due in any case. */
bool shadow_allocate(struct shadow *shadow, const struct ramfile_set *received,
                     struct tool_error *error);
void shadow_free(struct shadow *shadow);

/* A comparison from the beginning, in pieces. */
void shadow_begin(struct shadow *shadow);
/* Some of it, a few megabytes; shadow->is_comparing turns false when it is through. */
void shadow_compare(struct shadow *shadow, shadow_changed *changed, void *context);

#endif
