/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Dirty bitmaps in the form KVM gives them: page i is bit i % 64 of word i / 64. The words belong
 * to the caller. Everything works a word at a time, and the number of set bits is kept, so that
 * "how much is left" costs nothing on a guest of terabytes.
 *
 * A range that reaches beyond the last page is cut there: no call can touch words beyond it.
 * One thread at a time; a bitmap that KVM writes is read through ram_bitmap_merge.
 */
#ifndef RDMIG_RAM_BITMAP_H
#define RDMIG_RAM_BITMAP_H

#include <stdbool.h>
#include <stdint.h>

struct ram_bitmap {
    /* ram_bitmap_word_count(page_count) of them; bits beyond the last page are 0. */
    uint64_t *words;
    uint64_t page_count;
    uint64_t set_count;
};

/* Words needed for that many pages. */
uint64_t ram_bitmap_word_count(uint64_t page_count);

/* Starts with every page clear. */
void ram_bitmap_init(struct ram_bitmap *bitmap, uint64_t *words, uint64_t page_count);

/* Both return how many pages changed. */
uint64_t ram_bitmap_set_range(struct ram_bitmap *bitmap, uint64_t first_page, uint64_t page_count);
uint64_t ram_bitmap_clear_range(struct ram_bitmap *bitmap, uint64_t first_page,
                                uint64_t page_count);

bool ram_bitmap_test(const struct ram_bitmap *bitmap, uint64_t page);

/*
 * ORs in page_count bits of another bitmap, whose bit 0 is this one's first_page. first_page need
 * not be a multiple of 64, it is only faster so: a refusal would lose dirty pages, and a lost
 * dirty page is a corrupted guest. Returns how many pages were not set before.
 */
uint64_t ram_bitmap_merge(struct ram_bitmap *bitmap, uint64_t first_page, const uint64_t *words,
                          uint64_t page_count);

uint64_t ram_bitmap_count(const struct ram_bitmap *bitmap);
bool ram_bitmap_is_empty(const struct ram_bitmap *bitmap);

/* The first set or clear page at or after start_page; the bitmap's page_count when there is none.
 */
uint64_t ram_bitmap_next_set(const struct ram_bitmap *bitmap, uint64_t start_page);
uint64_t ram_bitmap_next_clear(const struct ram_bitmap *bitmap, uint64_t start_page);

/*
 * The next run of set pages at or after start_page. A run longer than page_count_max is given in
 * pieces of that many pages. False, with nothing written, when no set page is left (or
 * page_count_max is 0).
 */
bool ram_bitmap_next_run(const struct ram_bitmap *bitmap, uint64_t start_page,
                         uint64_t page_count_max, uint64_t *first_page, uint64_t *page_count);

#endif
