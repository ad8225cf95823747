/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Turns dirty pages into ranges to send: walks the dirty bitmaps a run at a time, tells zero memory
 * from data, joins what is neighbouring, and pushes as much as there is room for and as the
 * bandwidth cap allows. It clears a page's dirty bit before it looks at the page, so that a later
 * write of the guest is never lost.
 *
 * What it walks over and whom it gives ranges to it knows through a table of calls only, so that
 * the library walks real memory with it and the simulator memory of terabytes that does not exist.
 */
#ifndef RDMIG_RAM_WALKER_H
#define RDMIG_RAM_WALKER_H

#include "bitmap.h"

#define RAM_WALK_PAGE_BYTES  UINT64_C(4096)
#define RAM_WALK_CHUNK_BYTES (UINT64_C(1) << 20)

struct ram_range {
    uint32_t block_index;
    uint64_t offset_bytes;
    uint64_t length_bytes;
    uint64_t register_end_bytes; /* how far a registration for it may reach; at least its end */
    bool is_zero;
};

/* What a walker asks of its surroundings; all with the context given to ram_walker_init. */
struct ram_walk_calls {
    struct ram_bitmap *(*dirty)(void *context, uint32_t block_index);
    uint64_t (*length_bytes)(void *context, uint32_t block_index); /* a multiple of the page */
    /* Like ram_scan_run: how many pages from first_page on, 1 to page_count, are all zero or all
     * not, as the first one is. Asked for pages that have just been marked clean, and, to look
     * ahead, for dirty ones. */
    uint64_t (*scan_run)(void *context, uint32_t block_index, uint64_t first_page,
                         uint64_t page_count, bool *is_zero);
    /* How many pages from first_page on, 0 to page_count, are known to be zero without being read:
     * the host has never allocated them. NULL: that is not known of any. Asked for pages that have
     * just been marked clean. */
    uint64_t (*hole_run)(void *context, uint32_t block_index, uint64_t first_page,
                         uint64_t page_count);
    bool (*has_room)(void *context); /* for one range more */
    /* Only after has_room said true. False: refused all the same; the walker marks the pages dirty
     * again, for a later round. */
    bool (*push)(void *context, const struct ram_range *range);
    uint64_t (*now_ns)(void *context);
    /* Has something come that the caller should see to before much more is looked at? NULL: no. */
    bool (*should_yield)(void *context);
};

enum ram_walk {
    RAM_WALK_DONE,    /* nothing is left of the job but, without is_ending, what more may join */
    RAM_WALK_BLOCKED, /* no room: again when some has been made */
    RAM_WALK_PAUSED   /* again at *resume_ns: the bandwidth cap (0: at once, there was enough work
                         for one call) */
};

struct ram_walker {
    const struct ram_walk_calls *calls;
    void *context;
    uint32_t block_count;
    uint32_t run_chunk_count; /* most chunks in one registration */
    bool is_first_round;      /* nothing is registered yet: look ahead for registrations */
    bool has_pushed;
    bool is_pin_all; /* set by the caller: nothing is registered */
    /* How far it looks: up to look_chunk_count_max (ram_walker_lookahead); look_chunk_count grows
     * to it while memory is full, and is small again where it is not. */
    uint32_t look_chunk_count;
    uint32_t look_chunk_count_max;
    uint32_t look_block; /* what was looked at last: in this block, and all of it up to here is */
    uint64_t look_end_bytes; /* to be sent */
    bool is_look_stopped;    /* there: by what is not to be sent, or the block's end */
    /* The job: pages [page, end_page) of block, then, for a whole round, the blocks after it. */
    bool is_active;
    bool is_whole_round;
    uint32_t block_index;
    uint64_t page;
    uint64_t end_page;
    uint64_t piece_page_count; /* looked at in one go: grows in a hole */
    uint64_t push_bytes;       /* data pushed in one go: grows with a round */
    /* Found but not pushed: data [data_start, data_end), then zeros [data_end, zero_end). */
    uint32_t segment_block;
    uint64_t data_start_bytes;
    uint64_t data_end_bytes;
    uint64_t zero_end_bytes;
    /* Bandwidth cap: a bucket of bytes, filled with time; zeros take none out. */
    uint64_t bandwidth_bytes_per_s; /* 0: no cap */
    double allowance_bytes;         /* parts of bytes, too: it is filled often */
    uint64_t filled_ns;
};

/* calls and context must outlive the walker; the clock is asked here already. */
void ram_walker_init(struct ram_walker *walker, const struct ram_walk_calls *calls, void *context,
                     uint32_t block_count, uint32_t run_chunk_count,
                     uint64_t bandwidth_bytes_per_s);
/* From now on looks as far ahead as two ends of ours can make use of: by 1 to 2 GiB. */
void ram_walker_lookahead(struct ram_walker *walker);
/* A job over every block's dirty pages; the one before must be done. */
void ram_walker_start_round(struct ram_walker *walker);
/* The round has ended, at the other end, too. One in which nothing was pushed leaves the first
 * round to come. */
void ram_walker_end_round(struct ram_walker *walker);
/* Marks a range dirty and adds it to the job of the moment; false: the walker is busy with another
 * that it does not follow, walk first. */
bool ram_walker_add(struct ram_walker *walker, uint32_t block_index, uint64_t offset_bytes,
                    uint64_t length_bytes);
/* Goes on with the job. is_ending: nothing will be added to it any more (a whole round ends by
 * itself). *resume_ns is written with RAM_WALK_PAUSED only. */
enum ram_walk ram_walker_walk(struct ram_walker *walker, bool is_ending, uint64_t *resume_ns);
/* Counts bytes that went another way (the stream) against the cap. */
void ram_walker_charge(struct ram_walker *walker, uint64_t length_bytes);

#endif
