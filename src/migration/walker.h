/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Turns dirty pages into ranges for the core: walks the dirty bitmap a run at a time, tells zero
 * memory from data, joins what is neighbouring, and pushes as much as the core's queue and the
 * bandwidth cap allow. Reads guest memory; clears a page's dirty bit before it looks at the page,
 * so that a later write of the guest is never lost.
 */
#ifndef RDMIG_MIGRATION_WALKER_H
#define RDMIG_MIGRATION_WALKER_H

#include "common.h"

enum segment { SEGMENT_NONE, SEGMENT_DATA, SEGMENT_ZERO };

struct walker {
    struct memory *memory;
    struct link *link;
    uint32_t run_chunk_count;
    bool is_first_round;
    /* The job: pages [page, end_page) of block, then, for a whole round, the blocks after it. */
    bool is_active;
    bool is_whole_round;
    uint32_t block_index;
    uint64_t page;
    uint64_t end_page;
    /* Found but not pushed: data [data_start, data_end), then zeros [data_end, zero_end). */
    uint64_t data_start_bytes;
    uint64_t data_end_bytes;
    uint64_t zero_end_bytes;
    uint32_t segment_block;
    bool is_pin_all;
    /* Bandwidth cap: a bucket of bytes, filled with time. */
    uint64_t bandwidth_bytes_per_s; /* 0: none */
    int64_t allowance_bytes;
    uint64_t filled_ns;
};

enum walk {
    WALK_BLOCKED, /* the core's queue is full: its completions bring room */
    WALK_PAUSED,  /* the bandwidth cap, or enough work for one call: come back at *resume_ns (0: at
                     once) */
    WALK_DONE     /* everything of the job is pushed */
};

void walker_init(struct walker *walker, struct memory *memory, struct link *link,
                 const struct rdmig_options *options);
void walker_start_round(struct walker *walker);
/* Adds a range to the job of the moment; false: the walker is busy with another, walk first. */
bool walker_add(struct walker *walker, uint32_t block_index, uint64_t offset_bytes,
                uint64_t length_bytes);
enum walk walker_walk(struct walker *walker, bool is_ending, uint64_t *resume_ns);
/* Counts bytes that went another way (the stream) against the cap. */
void walker_charge(struct walker *walker, uint64_t length_bytes);

#endif
