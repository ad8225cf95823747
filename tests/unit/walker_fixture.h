/* SPDX-License-Identifier: BSD-2-Clause */
/* A guest for the walker: memory is a row of tokens, one a page; 0 is a page of zeros. What is
 * pushed is checked and copied to a destination of the same form. */
#ifndef RDMIG_TESTS_WALKER_FIXTURE_H
#define RDMIG_TESTS_WALKER_FIXTURE_H

#include "ram/walker.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>

#define PAGE      RAM_WALK_PAGE_BYTES
#define CHUNK     RAM_WALK_CHUNK_BYTES
#define MIB       (UINT64_C(1) << 20)
#define SECOND_NS UINT64_C(1000000000)
#define NEVER     UINT32_MAX

enum { BLOCKS_MAX = 3, PUSHED_MAX = 8192, CALLS_MAX = 100000 };

struct block {
    uint64_t page_count;
    uint32_t *tokens;
    uint32_t *copies;
    uint8_t *pushed_counts;
    uint8_t *is_expected;
    uint8_t *is_hole; /* never allocated, and known not to be */
    struct ram_bitmap dirty;
};

struct guest {
    struct ram_walker walker;
    struct block blocks[BLOCKS_MAX];
    uint32_t block_count;
    uint32_t seed;
    bool is_running; /* writes to pages while they are being looked at */
    uint32_t last_token;
    uint32_t room_count;
    uint32_t refused_at; /* this push is refused */
    uint64_t now_ns;
    uint64_t ns_per_page; /* scanning takes so long */
    uint64_t news_ns;     /* when something comes for the caller; 0: never */
    struct ram_range pushed[PUSHED_MAX];
    uint32_t pushed_count;
    uint32_t paused_count;
    uint32_t scanned_count; /* pages */
    uint32_t hole_look_count;
};

static inline uint32_t next_random(uint32_t *seed)
{
    *seed = *seed * 1664525U + 1013904223U;
    return *seed >> 8;
}

static inline void guest_writes(struct guest *guest, uint32_t block_index, uint64_t page)
{
    struct block *block = &guest->blocks[block_index];

    block->tokens[page] = next_random(&guest->seed) % 3 == 0 ? 0 : ++guest->last_token;
    block->is_hole[page] = 0;
    ram_bitmap_set_range(&block->dirty, page, 1);
}

/* ---- the table of calls */

static inline struct ram_bitmap *fake_dirty(void *context, uint32_t block_index)
{
    struct guest *guest = context;

    assert_in_range(block_index, 0, guest->block_count - 1);
    return &guest->blocks[block_index].dirty;
}

static inline uint64_t fake_length_bytes(void *context, uint32_t block_index)
{
    struct guest *guest = context;

    return guest->blocks[block_index].page_count * PAGE;
}

static inline uint64_t fake_scan_run(void *context, uint32_t block_index, uint64_t first_page,
                                     uint64_t page_count, bool *is_zero)
{
    struct guest *guest = context;
    const struct block *block = &guest->blocks[block_index];
    uint64_t run_count = 1;

    assert_in_range(page_count, 1, block->page_count);
    assert_in_range(first_page, 0, block->page_count - page_count);
    *is_zero = block->tokens[first_page] == 0;
    while (run_count < page_count && (block->tokens[first_page + run_count] == 0) == *is_zero)
        run_count++;
    guest->scanned_count += (uint32_t)run_count;
    guest->now_ns += run_count * guest->ns_per_page;
    if (guest->is_running)
        guest_writes(guest, block_index, first_page + next_random(&guest->seed) % page_count);
    return run_count;
}

static inline uint64_t fake_hole_run(void *context, uint32_t block_index, uint64_t first_page,
                                     uint64_t page_count)
{
    struct guest *guest = context;
    const struct block *block = &guest->blocks[block_index];
    uint64_t count = 0;

    assert_in_range(page_count, 1, block->page_count);
    assert_in_range(first_page, 0, block->page_count - page_count);
    while (count < page_count && block->is_hole[first_page + count])
        count++;
    guest->hole_look_count++;
    if (guest->is_running && count > 0)
        guest_writes(guest, block_index, first_page + next_random(&guest->seed) % count);
    return count;
}

static inline bool fake_has_room(void *context)
{
    struct guest *guest = context;

    return guest->room_count > 0;
}

static inline void set_run_chunk_count(struct guest *guest, uint32_t chunk_count)
{
    guest->walker.run_chunk_count = chunk_count;
    guest->walker.look_chunk_count = chunk_count;
    guest->walker.look_chunk_count_max = chunk_count;
}

static inline void assert_range_is_right(const struct guest *guest, const struct ram_range *range)
{
    const struct block *block = &guest->blocks[range->block_index];
    const uint64_t end_bytes = range->offset_bytes + range->length_bytes;
    const uint64_t run_end_bytes =
        range->offset_bytes / CHUNK * CHUNK + guest->walker.look_chunk_count_max * CHUNK;

    assert_int_equal(range->offset_bytes % PAGE, 0);
    assert_int_equal(range->length_bytes % PAGE, 0);
    assert_in_range(end_bytes, range->offset_bytes + 1, block->page_count * PAGE);
    assert_in_range(range->register_end_bytes, end_bytes, block->page_count * PAGE);
    assert_true(range->register_end_bytes == end_bytes ||
                (!range->is_zero && range->register_end_bytes <= run_end_bytes));
    assert_true(guest->room_count > 0);
}

static inline bool fake_push(void *context, const struct ram_range *range)
{
    struct guest *guest = context;
    struct block *block = &guest->blocks[range->block_index];
    const uint64_t first_page = range->offset_bytes / PAGE;

    assert_range_is_right(guest, range);
    if (guest->refused_at == guest->pushed_count) {
        guest->refused_at = NEVER;
        return false;
    }
    for (uint64_t page = first_page; page < first_page + range->length_bytes / PAGE; page++) {
        assert_true(guest->is_running || !range->is_zero || block->tokens[page] == 0);
        block->copies[page] = range->is_zero ? 0 : block->tokens[page];
        block->pushed_counts[page]++;
    }
    guest->room_count--;
    guest->pushed[guest->pushed_count % PUSHED_MAX] = *range;
    guest->pushed_count++;
    return true;
}

static inline uint64_t fake_now_ns(void *context)
{
    struct guest *guest = context;

    return guest->now_ns;
}

static inline bool fake_should_yield(void *context)
{
    struct guest *guest = context;

    return guest->news_ns != 0 && guest->now_ns >= guest->news_ns;
}

static const struct ram_walk_calls calls = {
    .dirty = fake_dirty,
    .length_bytes = fake_length_bytes,
    .scan_run = fake_scan_run,
    .hole_run = fake_hole_run,
    .has_room = fake_has_room,
    .push = fake_push,
    .now_ns = fake_now_ns,
    .should_yield = fake_should_yield,
};

/* ---- making a guest, walking over it */

static inline void *allocate(size_t count, size_t item_bytes)
{
    void *memory = calloc(count, item_bytes);

    assert_non_null(memory);
    return memory;
}

/* Blocks of zeros, clean, and a walker in its first round with room for everything. */
static inline struct guest *guest_create(uint32_t block_count, const uint64_t *page_counts,
                                         uint64_t bandwidth_bytes_per_s)
{
    struct guest *guest = allocate(1, sizeof(*guest));

    guest->block_count = block_count;
    guest->room_count = UINT32_MAX;
    guest->refused_at = NEVER;
    guest->now_ns = 5 * SECOND_NS;
    for (uint32_t i = 0; i < block_count; i++) {
        struct block *block = &guest->blocks[i];

        block->page_count = page_counts[i];
        block->tokens = allocate(page_counts[i], sizeof(*block->tokens));
        block->copies = allocate(page_counts[i], sizeof(*block->copies));
        block->pushed_counts = allocate(page_counts[i], 1);
        block->is_expected = allocate(page_counts[i], 1);
        block->is_hole = allocate(page_counts[i], 1);
        ram_bitmap_init(&block->dirty,
                        allocate(ram_bitmap_word_count(page_counts[i]), sizeof(uint64_t)),
                        page_counts[i]);
        for (uint64_t page = 0; page < page_counts[i]; page++)
            block->copies[page] = UINT32_MAX; /* no token: shows what never came */
    }
    ram_walker_init(&guest->walker, &calls, guest, block_count, 4, bandwidth_bytes_per_s);
    return guest;
}

static inline struct guest *guest_create_one(uint64_t page_count, uint64_t bandwidth_bytes_per_s)
{
    return guest_create(1, &page_count, bandwidth_bytes_per_s);
}

static inline void guest_destroy(struct guest *guest)
{
    for (uint32_t i = 0; i < guest->block_count; i++) {
        free(guest->blocks[i].tokens);
        free(guest->blocks[i].copies);
        free(guest->blocks[i].pushed_counts);
        free(guest->blocks[i].is_expected);
        free(guest->blocks[i].is_hole);
        free(guest->blocks[i].dirty.words);
    }
    free(guest);
}

/* Dirty pages: 'D' data, 'Z' zeros, 'H' zeros that were never allocated. 'C': clean, with data that
 * must not be sent. */
static inline void lay(struct guest *guest, uint32_t block_index, uint64_t first_page,
                       uint64_t page_count, char kind)
{
    struct block *block = &guest->blocks[block_index];

    for (uint64_t page = first_page; page < first_page + page_count; page++) {
        block->tokens[page] = kind == 'Z' || kind == 'H' ? 0 : ++guest->last_token;
        block->is_hole[page] = kind == 'H';
    }
    if (kind == 'C')
        ram_bitmap_clear_range(&block->dirty, first_page, page_count);
    else
        ram_bitmap_set_range(&block->dirty, first_page, page_count);
}

/* Walks until all is done: makes room, lets time pass. */
static inline void walk_to_the_end(struct guest *guest, bool is_ending, uint32_t room_count)
{
    uint64_t resume_ns = 0;

    for (int i = 0; i < CALLS_MAX; i++) {
        const enum ram_walk walk = ram_walker_walk(&guest->walker, is_ending, &resume_ns);

        if (walk == RAM_WALK_DONE)
            return;
        if (walk == RAM_WALK_BLOCKED) {
            assert_int_equal(guest->room_count, 0);
            guest->room_count = room_count;
        } else if (resume_ns != 0) {
            guest->paused_count++;
            assert_true(resume_ns > guest->now_ns);
            guest->now_ns = resume_ns;
        }
    }
    fail_msg("the walker does not come to an end");
}

static inline void walk_round(struct guest *guest)
{
    ram_walker_start_round(&guest->walker);
    walk_to_the_end(guest, false, 1); /* a whole round ends by itself */
}

static inline void assert_pushed(const struct guest *guest, uint32_t index, uint32_t block_index,
                                 uint64_t first_page, uint64_t page_count, bool is_zero)
{
    const struct ram_range *range = &guest->pushed[index];

    assert_true(index < guest->pushed_count);
    assert_int_equal(range->block_index, block_index);
    assert_int_equal(range->offset_bytes / PAGE, first_page);
    assert_int_equal(range->length_bytes / PAGE, page_count);
    assert_int_equal(range->is_zero, is_zero);
}

static inline void assert_all_clean(const struct guest *guest)
{
    for (uint32_t i = 0; i < guest->block_count; i++)
        assert_true(ram_bitmap_is_empty(&guest->blocks[i].dirty));
}

#endif
