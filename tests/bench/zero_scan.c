/* SPDX-License-Identifier: BSD-2-Clause */
/* The zero scan as the walker calls it, beside the read bandwidth of the same memory. */
#include "bench.h"

#include "ram/zero.h"

#include <stddef.h>

/* What the walker looks at in one go (src/ram/walker.c). */
#define PIECE_PAGE_COUNT 256u

struct memory {
    const char *label;
    bool is_huge;
    int fill;
    uint8_t *bytes;
};

static struct memory memories[] = {
    {"zero, 4 KiB pages", false, 0, NULL},
    {"zero, 2 MiB pages", true, 0, NULL},
    {"data, 4 KiB pages", false, 0x5a, NULL},
};

static double gb_per_s(const struct bench_cost *cost)
{
    return (double)BENCH_GIB / cost->cpu_ns;
}

/* The speed of the fastest reader of this round. */
static double read_fastest(struct bench *bench, const struct memory *memory)
{
    double fastest = 0;

    for (uint32_t i = 0; i < bench_reader_count; i++) {
        struct bench_cost cost;

        if (bench_readers[i].read == NULL)
            continue;
        bench_begin(&cost);
        bench->check |= bench_readers[i].read(memory->bytes, BENCH_GIB);
        bench_end(&cost);
        bench_sample(bench, "read bandwidth", memory->label, bench_readers[i].label, "GB/s",
                     gb_per_s(&cost));
        if (gb_per_s(&cost) > fastest)
            fastest = gb_per_s(&cost);
    }
    return fastest;
}

static void scan(const struct memory *memory, struct bench_cost *cost)
{
    const bool is_expected_zero = memory->fill == 0;
    uint64_t page = 0;

    bench_begin(cost);
    while (page < BENCH_GIB_PAGES) {
        bool is_zero;
        const uint64_t count = ram_scan_run(memory->bytes + page * BENCH_PAGE_BYTES,
                                            BENCH_PAGE_BYTES, PIECE_PAGE_COUNT, &is_zero);

        if (count != PIECE_PAGE_COUNT || is_zero != is_expected_zero)
            bench_fail("the zero scan is wrong about page %llu", (unsigned long long)page);
        page += count;
    }
    bench_end(cost);
}

void bench_zero_scan(struct bench *bench)
{
    for (size_t i = 0; i < sizeof(memories) / sizeof(memories[0]); i++) {
        struct memory *memory = &memories[i];
        struct bench_cost cost;
        double fastest;

        if (memory->bytes == NULL)
            memory->bytes = bench_map(BENCH_GIB, memory->is_huge, memory->fill);
        if (memory->fill != 0) {
            scan(memory, &cost);
        } else {
            fastest = read_fastest(bench, memory);
            scan(memory, &cost);
            bench_sample(bench, "zero scan", memory->label, "speed", "GB/s", gb_per_s(&cost));
            bench_sample(bench, "zero scan", memory->label, "of the fastest reader (bound: 90)",
                         "%", 100 * gb_per_s(&cost) / fastest);
        }
        bench_sample(bench, "zero scan", memory->label, "time a page", "ns",
                     cost.cpu_ns / (double)BENCH_GIB_PAGES);
        if (memory->is_huge && bench->round_count == 0)
            bench_sample(bench, "zero scan", memory->label, "memory in huge pages", "%",
                         100 * (double)bench_huge_bytes(memory->bytes) / (double)BENCH_GIB);
    }
}
