/* SPDX-License-Identifier: BSD-2-Clause */
#include "bitmap.h"

#include <stddef.h>

enum { WORD_BITS = 64 };

/* A run of pages inside one word, as a place and a mask. */
struct word_part {
    uint64_t word_index;
    uint64_t mask;
    uint64_t page_count;
};

static uint64_t bits_count(uint64_t word)
{
    return (uint64_t)__builtin_popcountll(word);
}

static uint64_t lowest_bit(uint64_t word)
{
    return (uint64_t)__builtin_ctzll(word);
}

/* The low `bit_count` bits; bit_count 0 to 64, where a plain shift by 64 would be undefined. */
static uint64_t low_mask(uint64_t bit_count)
{
    return bit_count >= WORD_BITS ? UINT64_MAX : (UINT64_C(1) << bit_count) - 1;
}

static uint64_t min_u64(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* How many pages of a range lie inside the bitmap. */
static uint64_t cut_range(const struct ram_bitmap *bitmap, uint64_t first_page, uint64_t page_count)
{
    if (first_page >= bitmap->page_count) {
        return 0;
    }
    return min_u64(page_count, bitmap->page_count - first_page);
}

/* The part of [first_page, first_page + page_count) that lies in the word of first_page. */
static struct word_part first_part(uint64_t first_page, uint64_t page_count)
{
    uint64_t bit = first_page % WORD_BITS;
    uint64_t part_count = min_u64(page_count, WORD_BITS - bit);

    return (struct word_part){first_page / WORD_BITS, low_mask(part_count) << bit, part_count};
}

uint64_t ram_bitmap_word_count(uint64_t page_count)
{
    return page_count / WORD_BITS + (page_count % WORD_BITS != 0);
}

void ram_bitmap_init(struct ram_bitmap *bitmap, uint64_t *words, uint64_t page_count)
{
    uint64_t word_count = ram_bitmap_word_count(page_count);

    bitmap->words = words;
    bitmap->page_count = page_count;
    bitmap->set_count = 0;
    for (uint64_t i = 0; i < word_count; i++) {
        words[i] = 0;
    }
}

uint64_t ram_bitmap_set_range(struct ram_bitmap *bitmap, uint64_t first_page, uint64_t page_count)
{
    uint64_t left_count = cut_range(bitmap, first_page, page_count);
    uint64_t changed_count = 0;

    while (left_count != 0) {
        struct word_part part = first_part(first_page, left_count);
        uint64_t *word = &bitmap->words[part.word_index];

        changed_count += bits_count(part.mask & ~*word);
        *word |= part.mask;
        first_page += part.page_count;
        left_count -= part.page_count;
    }
    bitmap->set_count += changed_count;
    return changed_count;
}

uint64_t ram_bitmap_clear_range(struct ram_bitmap *bitmap, uint64_t first_page, uint64_t page_count)
{
    uint64_t left_count = cut_range(bitmap, first_page, page_count);
    uint64_t changed_count = 0;

    while (left_count != 0) {
        struct word_part part = first_part(first_page, left_count);
        uint64_t *word = &bitmap->words[part.word_index];

        changed_count += bits_count(part.mask & *word);
        *word &= ~part.mask;
        first_page += part.page_count;
        left_count -= part.page_count;
    }
    bitmap->set_count -= changed_count;
    return changed_count;
}

bool ram_bitmap_test(const struct ram_bitmap *bitmap, uint64_t page)
{
    return page < bitmap->page_count &&
           (bitmap->words[page / WORD_BITS] >> (page % WORD_BITS) & 1) != 0;
}

static uint64_t or_word(uint64_t *word, uint64_t bits)
{
    uint64_t new_bits = bits & ~*word;

    *word |= bits;
    return bits_count(new_bits);
}

uint64_t ram_bitmap_merge(struct ram_bitmap *bitmap, uint64_t first_page, const uint64_t *words,
                          uint64_t page_count)
{
    uint64_t cut_count = cut_range(bitmap, first_page, page_count);
    uint64_t source_count = ram_bitmap_word_count(cut_count);
    uint64_t shift = first_page % WORD_BITS;
    uint64_t changed_count = 0;

    for (uint64_t i = 0; i < source_count; i++) {
        uint64_t bits = words[i] & low_mask(cut_count - i * WORD_BITS);
        uint64_t *target = &bitmap->words[first_page / WORD_BITS + i];

        if (bits == 0) {
            continue;
        }
        changed_count += or_word(target, bits << shift);
        /* The bits that spill over are pages inside the bitmap, so the next word exists. */
        if (shift != 0 && bits >> (WORD_BITS - shift) != 0) {
            changed_count += or_word(target + 1, bits >> (WORD_BITS - shift));
        }
    }
    bitmap->set_count += changed_count;
    return changed_count;
}

uint64_t ram_bitmap_count(const struct ram_bitmap *bitmap)
{
    return bitmap->set_count;
}

bool ram_bitmap_is_empty(const struct ram_bitmap *bitmap)
{
    return bitmap->set_count == 0;
}

/* First page at or after start_page whose bit, XORed with `flip`, is set. */
static uint64_t find_bit(const struct ram_bitmap *bitmap, uint64_t start_page, uint64_t flip)
{
    uint64_t word_count = ram_bitmap_word_count(bitmap->page_count);
    uint64_t word_index = start_page / WORD_BITS;
    uint64_t word;

    if (start_page >= bitmap->page_count) {
        return bitmap->page_count;
    }
    word = (bitmap->words[word_index] ^ flip) & ~low_mask(start_page % WORD_BITS);
    while (word == 0) {
        word_index++;
        if (word_index == word_count) {
            return bitmap->page_count;
        }
        word = bitmap->words[word_index] ^ flip;
    }
    /* Flipped, the unused bits of the last word look like a hit: that is the end as well. */
    return min_u64(word_index * WORD_BITS + lowest_bit(word), bitmap->page_count);
}

uint64_t ram_bitmap_next_set(const struct ram_bitmap *bitmap, uint64_t start_page)
{
    if (bitmap->set_count == 0) {
        return bitmap->page_count;
    }
    return find_bit(bitmap, start_page, 0);
}

uint64_t ram_bitmap_next_clear(const struct ram_bitmap *bitmap, uint64_t start_page)
{
    return find_bit(bitmap, start_page, UINT64_MAX);
}

/* End of the run that starts at first_page, looking no further than limit_page. */
static uint64_t find_run_end(const struct ram_bitmap *bitmap, uint64_t first_page,
                             uint64_t limit_page)
{
    struct ram_bitmap window = *bitmap;

    /* A short piece of a run of terabytes must not cost a walk over all of it. */
    window.page_count = limit_page;
    return ram_bitmap_next_clear(&window, first_page);
}

bool ram_bitmap_next_run(const struct ram_bitmap *bitmap, uint64_t start_page,
                         uint64_t page_count_max, uint64_t *first_page, uint64_t *page_count)
{
    uint64_t first = ram_bitmap_next_set(bitmap, start_page);

    if (first >= bitmap->page_count || page_count_max == 0) {
        return false;
    }
    *first_page = first;
    *page_count =
        find_run_end(bitmap, first, first + cut_range(bitmap, first, page_count_max)) - first;
    return true;
}
