/* SPDX-License-Identifier: BSD-2-Clause */
/* Dirty bitmaps of a 64 GiB guest: merging what KVM gives, and walking it a run at a time. */
#include "bench.h"

#include "ram/bitmap.h"

#include <stdio.h>
#include <stdlib.h>

#define GUEST_PAGE_COUNT   (64 * BENCH_GIB_PAGES)
#define GUEST_BITMAP_BYTES (64 * 32768.0) /* 32 KiB a GiB */
#define PIECE_PAGE_COUNT   256u           /* what the walker takes in one go (src/ram/walker.c) */

/* How one word of 64 pages looks, from its index and a random number. */
struct pattern {
    const char *label;
    uint64_t (*word)(uint64_t index, uint64_t random);
};

static uint64_t word_last_only(uint64_t index, uint64_t random)
{
    (void)random;
    return index == GUEST_PAGE_COUNT / 64 - 1 ? UINT64_C(1) << 63 : 0;
}

static uint64_t word_one_in_512(uint64_t index, uint64_t random)
{
    return index % 8 == 0 ? UINT64_C(1) << (random % 64) : 0;
}

static uint64_t word_one_in_8(uint64_t index, uint64_t random)
{
    (void)index;
    (void)random;
    return UINT64_C(0x0101010101010101);
}

static uint64_t word_random(uint64_t index, uint64_t random)
{
    (void)index;
    return random;
}

static uint64_t word_full(uint64_t index, uint64_t random)
{
    (void)index;
    (void)random;
    return UINT64_MAX;
}

static const struct pattern patterns[] = {
    {"one page at the end", word_last_only},
    {"1 page in 512", word_one_in_512},
    {"1 page in 8", word_one_in_8},
    {"half, at random", word_random},
    {"every page", word_full},
};

static uint64_t *make_words(void)
{
    uint64_t *words = calloc(ram_bitmap_word_count(GUEST_PAGE_COUNT), sizeof(*words));

    if (words == NULL)
        bench_fail("out of memory for a bitmap; free some");
    return words;
}

static void draw(const struct pattern *pattern, uint64_t *words)
{
    uint64_t random = UINT64_C(0x9e3779b97f4a7c15);

    for (uint64_t i = 0; i < ram_bitmap_word_count(GUEST_PAGE_COUNT); i++) {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        words[i] = pattern->word(i, random);
    }
}

static void show(struct bench *bench, const char *group, const struct pattern *pattern,
                 const struct bench_cost *cost, uint64_t run_count)
{
    bench_sample(bench, group, pattern->label, "time a page of the guest", "ns",
                 cost->cpu_ns / (double)GUEST_PAGE_COUNT);
    bench_sample(bench, group, pattern->label, "bitmap", "GB/s", GUEST_BITMAP_BYTES / cost->cpu_ns);
    if (run_count != 0)
        bench_sample(bench, group, pattern->label, "time a run", "ns",
                     cost->cpu_ns / (double)run_count);
}

static uint64_t walk(struct bench *bench, const struct ram_bitmap *bitmap)
{
    uint64_t first = 0;
    uint64_t count = 0;
    uint64_t run_count = 0;
    uint64_t page_count = 0;

    while (ram_bitmap_next_run(bitmap, first + count, PIECE_PAGE_COUNT, &first, &count)) {
        page_count += count;
        run_count++;
    }
    if (page_count != ram_bitmap_count(bitmap))
        bench_fail("a walk over the bitmap found %llu pages of %llu",
                   (unsigned long long)page_count, (unsigned long long)ram_bitmap_count(bitmap));
    bench->check += page_count;
    return run_count;
}

void bench_bitmap(struct bench *bench)
{
    static uint64_t *source, *words;

    if (source == NULL) {
        source = make_words();
        words = make_words();
    }
    for (size_t i = 0; i < sizeof(patterns) / sizeof(patterns[0]); i++) {
        struct ram_bitmap bitmap;
        struct bench_cost cost;
        uint64_t run_count;

        draw(&patterns[i], source);
        ram_bitmap_init(&bitmap, words, GUEST_PAGE_COUNT);
        bench_begin(&cost);
        bench->check += ram_bitmap_merge(&bitmap, 0, source, GUEST_PAGE_COUNT);
        bench_end(&cost);
        show(bench, "bitmap merge", &patterns[i], &cost, 0);

        bench_begin(&cost);
        run_count = walk(bench, &bitmap);
        bench_end(&cost);
        show(bench, "bitmap walk", &patterns[i], &cost, run_count);
    }
}
