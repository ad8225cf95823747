/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The memory read bandwidth of one core: what the fastest of several loops that only read reaches.
 * Which one that is differs from processor to processor; comparing with a slow one would flatter.
 */
#include "bench.h"

#include <stddef.h>

enum { LANES = 8, PREFETCH_BYTES = 2048 };

typedef uint64_t vector16 __attribute__((vector_size(16)));
typedef uint64_t vector32 __attribute__((vector_size(32)));
typedef uint64_t vector64 __attribute__((vector_size(64)));

/* Four sums, so that no load waits for the one before. */
#define READ_LOOP(vector, ahead_bytes)                                                             \
    const vector *words = memory;                                                                  \
    const uint64_t count = length_bytes / sizeof(vector);                                          \
    vector sums[4] = {{0}};                                                                        \
    vector sum;                                                                                    \
    uint64_t result = 0;                                                                           \
                                                                                                   \
    for (uint64_t i = 0; i + LANES <= count; i += LANES) {                                         \
        for (uint64_t k = 0; (ahead_bytes) != 0 && k < LANES * sizeof(vector); k += 64)            \
            __builtin_prefetch((const void *)((uintptr_t)(words + i) + k + (ahead_bytes)));        \
        sums[0] |= words[i] | words[i + 4];                                                        \
        sums[1] |= words[i + 1] | words[i + 5];                                                    \
        sums[2] |= words[i + 2] | words[i + 6];                                                    \
        sums[3] |= words[i + 3] | words[i + 7];                                                    \
    }                                                                                              \
    sum = sums[0] | sums[1] | sums[2] | sums[3];                                                   \
    for (size_t k = 0; k < sizeof(vector) / sizeof(uint64_t); k++)                                 \
        result |= sum[k];                                                                          \
    return result

static uint64_t read_16(const void *memory, uint64_t length_bytes)
{
    READ_LOOP(vector16, 0);
}

static uint64_t read_16_ahead(const void *memory, uint64_t length_bytes)
{
    READ_LOOP(vector16, PREFETCH_BYTES);
}

#if defined(__x86_64__)
__attribute__((target("avx2"))) static uint64_t read_32(const void *memory, uint64_t length_bytes)
{
    READ_LOOP(vector32, 0);
}

__attribute__((target("avx512f"))) static uint64_t read_64(const void *memory,
                                                           uint64_t length_bytes)
{
    READ_LOOP(vector64, 0);
}

__attribute__((target("avx512f"))) static uint64_t read_64_ahead(const void *memory,
                                                                 uint64_t length_bytes)
{
    READ_LOOP(vector64, PREFETCH_BYTES);
}
#endif

struct bench_reader bench_readers[] = {
    {"16-byte loads", read_16}, {"16-byte loads, prefetch", read_16_ahead}, {"32-byte loads", NULL},
    {"64-byte loads", NULL},    {"64-byte loads, prefetch", NULL},
};
const uint32_t bench_reader_count = sizeof(bench_readers) / sizeof(bench_readers[0]);

void bench_choose_readers(void)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("avx2"))
        bench_readers[2].read = read_32;
    if (__builtin_cpu_supports("avx512f")) {
        bench_readers[3].read = read_64;
        bench_readers[4].read = read_64_ahead;
    }
#endif
}
