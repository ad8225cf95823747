/* SPDX-License-Identifier: BSD-2-Clause */
#include "stock.h"

#include <stdlib.h>

enum { BITS = 64 };

static uint64_t word_count_of(uint64_t page_count)
{
    return (page_count + BITS - 1) / BITS;
}

void stock_dirty_init(struct stock_dirty *dirty, const struct guest_options *options)
{
    uint64_t longest = 1;

    *dirty = (struct stock_dirty){.block_count = options->block_count};
    for (uint32_t i = 0; i < options->block_count; i++) {
        const uint64_t page_count = options->block_bytes[i] / SIM_PAGE_BYTES;
        const uint64_t word_count = word_count_of(page_count) ? word_count_of(page_count) : 1;

        dirty->page_count[i] = page_count;
        dirty->words[i] = calloc(word_count, sizeof(uint64_t));
        if (!dirty->words[i])
            abort();
        dirty->memory_bytes += word_count * sizeof(uint64_t);
        longest = word_count > longest ? word_count : longest;
    }
    dirty->scratch = calloc(longest, sizeof(uint64_t));
    if (!dirty->scratch)
        abort();
}

void stock_dirty_free(struct stock_dirty *dirty)
{
    for (uint32_t i = 0; i < dirty->block_count; i++)
        free(dirty->words[i]);
    free(dirty->scratch);
}

/* Adds the log to what was left over. */
static void merge(struct stock_dirty *dirty, uint32_t block)
{
    uint64_t *words = dirty->words[block];

    for (uint64_t i = 0; i < word_count_of(dirty->page_count[block]); i++) {
        const uint64_t added = dirty->scratch[i] & ~words[i];

        dirty->set_count += (uint64_t)__builtin_popcountll(added);
        words[i] |= added;
    }
}

uint64_t stock_dirty_take(struct stock_dirty *dirty, struct guest *guest, uint64_t now_ns)
{
    const bool is_empty = dirty->set_count == 0; /* then the log can be taken as it is */
    uint64_t word_count = 0;

    for (uint32_t i = 0; i < dirty->block_count; i++) {
        word_count += word_count_of(dirty->page_count[i]);
        if (is_empty) {
            dirty->set_count += guest_take_log(guest, i, now_ns, dirty->words[i]);
        } else {
            guest_take_log(guest, i, now_ns, dirty->scratch);
            merge(dirty, i);
        }
    }
    return word_count;
}

void stock_dirty_rewind(struct stock_dirty *dirty)
{
    dirty->block = 0;
    dirty->page = 0;
}

bool stock_dirty_is_set(const struct stock_dirty *dirty, uint32_t block, uint64_t page)
{
    return block < dirty->block_count && page < dirty->page_count[block] &&
           (dirty->words[block][page / BITS] >> (page % BITS) & 1) != 0;
}

/* The first page at or after page that is set; page_count when none is. */
static uint64_t find_set(const uint64_t *words, uint64_t page, uint64_t page_count)
{
    uint64_t index = page / BITS;
    uint64_t word;

    if (page >= page_count)
        return page_count;
    word = words[index] & UINT64_MAX << page % BITS;
    while (word == 0) {
        if (++index >= word_count_of(page_count))
            return page_count;
        word = words[index];
    }
    page = index * BITS + (uint64_t)__builtin_ctzll(word);
    return page < page_count ? page : page_count;
}

/* Clears pages from page on for as long as they are set; returns the first that is not cleared. */
static uint64_t clear_run(uint64_t *words, uint64_t page, uint64_t end_page)
{
    while (page < end_page) {
        const uint64_t shift = page % BITS;
        const uint64_t unset = ~(words[page / BITS] >> shift);
        uint64_t count = unset ? (uint64_t)__builtin_ctzll(unset) : BITS;
        const bool is_broken_off = count < BITS - shift;

        if (count > end_page - page)
            count = end_page - page;
        if (count > 0)
            words[page / BITS] &= ~(UINT64_MAX >> (BITS - count) << shift);
        page += count;
        if (is_broken_off)
            break;
    }
    return page;
}

bool stock_dirty_next(struct stock_dirty *dirty, uint64_t pages_per_chunk,
                      struct stock_piece *piece, uint64_t *word_count)
{
    *word_count = 0;
    while (dirty->block < dirty->block_count) {
        const uint64_t page_count = dirty->page_count[dirty->block];
        const uint64_t first = find_set(dirty->words[dirty->block], dirty->page, page_count);
        const uint64_t chunk_end = (first / pages_per_chunk + 1) * pages_per_chunk;

        *word_count += first / BITS - dirty->page / BITS;
        if (first < page_count) {
            dirty->page = clear_run(dirty->words[dirty->block], first,
                                    chunk_end < page_count ? chunk_end : page_count);
            *piece = (struct stock_piece){first, dirty->page - first, dirty->block};
            dirty->set_count -= piece->page_count;
            return true;
        }
        dirty->block++;
        dirty->page = 0;
    }
    return false;
}
