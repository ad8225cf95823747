/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Benchmarks on the host, without any device. Every part runs once a round, so that parts which are
 * compared see the same disturbances; what a part measures goes into a series, of which the median
 * over the rounds is shown. A figure never fails the program; work that went wrong does.
 */
#ifndef RDMIG_TESTS_BENCH_H
#define RDMIG_TESTS_BENCH_H

#include <stdbool.h>
#include <stdint.h>

#define BENCH_PAGE_BYTES 4096u
#define BENCH_GIB        (UINT64_C(1) << 30)
#define BENCH_GIB_PAGES  (UINT64_C(1) << 18)

enum { BENCH_SERIES_MAX = 256, BENCH_ROUNDS_MAX = 64 };

/* One figure of one case: "zero scan", "4 KiB pages", "speed", "GB/s". The texts are literals. */
struct bench_series {
    const char *group;
    const char *label;
    const char *figure;
    const char *unit;
    double values[BENCH_ROUNDS_MAX];
    uint32_t value_count;
};

struct bench {
    struct bench_series series[BENCH_SERIES_MAX];
    uint32_t series_count;
    uint32_t round_count;
    uint64_t check; /* what loops computed, so that no compiler leaves them out */
};

/* What a piece of work cost this thread. */
struct bench_cost {
    double cpu_ns;
    double instructions; /* of user space; 0 where nothing counts them */
};

/* Ends the program with a line on stderr. */
_Noreturn void bench_fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* NULL: instructions are counted; otherwise why not. */
const char *bench_open_counter(void);
void bench_begin(struct bench_cost *cost);
void bench_end(struct bench_cost *cost); /* from begin to here */

void bench_sample(struct bench *bench, const char *group, const char *label, const char *figure,
                  const char *unit, double value);
void bench_print_table(const struct bench *bench);
void bench_write_json(const struct bench *bench, const char *path);

/* Memory of one page size, all its pages there. fill: what each byte holds. */
void *bench_map(uint64_t length_bytes, bool is_huge, int fill);
uint64_t bench_huge_bytes(const void *memory); /* how much of it the kernel did put in huge pages */

/* The parts, each called once a round. */
void bench_zero_scan(struct bench *bench);
void bench_holes(struct bench *bench);
void bench_bitmap(struct bench *bench);
void bench_codec(struct bench *bench);
void bench_engine(struct bench *bench);

/* Where the processor's counter is not to be had, valgrind counts the engine's instructions, case
 * by case: this program runs itself under it. False: valgrind is not there, or cannot. */
#define BENCH_ONCE "--once"
bool bench_engine_count(struct bench *bench);
void bench_engine_once(uint32_t case_index);

/* Ways to read memory; the OR of all words. */
struct bench_reader {
    const char *label;
    uint64_t (*read)(const void *memory, uint64_t length_bytes); /* NULL: not on this processor */
};
extern struct bench_reader bench_readers[];
extern const uint32_t bench_reader_count;
void bench_choose_readers(void);

#endif
