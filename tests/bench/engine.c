/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The engine without scan, copy and device: bitmap, walker and the protocol core of both ends over
 * a transport that does nothing (null_transport.h). Each figure is of source and destination
 * together, the driver that joins them included.
 */
#include "bench.h"
#include "null_transport.h"

#include "ram/walker.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define GUEST_BYTES      (4 * BENCH_GIB)
#define GUEST_PAGE_COUNT (GUEST_BYTES / BENCH_PAGE_BYTES)
#define MINUTE_NS        UINT64_C(60000000000)
#define CPU_NS_ENOUGH    20e6 /* a round goes on until a case has taken this much */
#define REPEAT_COUNT_MAX 2000
#define WALKS_MAX        10000000

struct engine_case {
    const char *label;
    uint32_t run_chunk_count;
    uint32_t register_batch_count;
    uint32_t page_step; /* one page in so many is dirty; 0: every one */
    bool is_later;      /* after a first round over everything: nothing is left to register */
    bool is_zero;
    bool is_pin_all;
    bool is_late;
    bool is_own; /* both ends are ours: several commands under way; else as into a stock QEMU */
};

static const struct engine_case cases[] = {
    {.label = "full, both ends ours", .run_chunk_count = 64, .is_own = true},
    {.label = "full, both ends ours, late completions",
     .run_chunk_count = 64,
     .is_late = true,
     .is_own = true},
    {.label = "1 page in 8, first round, both ends ours",
     .run_chunk_count = 64,
     .page_step = 8,
     .is_own = true},
    {.label = "full, runs of 64 chunks", .run_chunk_count = 64},
    {.label = "full, runs of 64 chunks, late completions", .run_chunk_count = 64, .is_late = true},
    {.label = "full, runs of 1 chunk", .run_chunk_count = 1},
    {.label = "full, runs of 1 chunk, 64 a message",
     .run_chunk_count = 1,
     .register_batch_count = 64},
    {.label = "full, pin-all", .run_chunk_count = 64, .is_pin_all = true},
    {.label = "all zero", .run_chunk_count = 64, .is_zero = true},
    {.label = "1 page in 8, first round", .run_chunk_count = 64, .page_step = 8},
    {.label = "1 page in 8, later round", .run_chunk_count = 64, .page_step = 8, .is_later = true},
    {.label = "1 page in 8, later round, late completions",
     .run_chunk_count = 64,
     .page_step = 8,
     .is_later = true,
     .is_late = true},
};
#define CASE_COUNT (sizeof(cases) / sizeof(cases[0]))

struct engine {
    struct null_transport transport;
    struct ram_walker walker;
    struct ram_bitmap dirty;
    bool is_zero;
};

/* ---- what the walker asks for */

static struct ram_bitmap *dirty(void *context, uint32_t block_index)
{
    (void)block_index;
    return &((struct engine *)context)->dirty;
}

static uint64_t block_bytes(void *context, uint32_t block_index)
{
    (void)context;
    (void)block_index;
    return GUEST_BYTES;
}

/* Where the scan would be. */
static uint64_t know_run(void *context, uint32_t block_index, uint64_t first_page,
                         uint64_t page_count, bool *is_zero)
{
    (void)block_index;
    (void)first_page;
    *is_zero = ((struct engine *)context)->is_zero;
    return page_count;
}

static bool has_room(void *context)
{
    return rdmig_conn_range_room_count(((struct engine *)context)->transport.source.conn) > 0;
}

static bool push(void *context, const struct ram_range *range)
{
    struct engine *engine = context;

    return null_step(&engine->transport, &engine->transport.source,
                     (struct rdmig_event){.kind = RDMIG_EVENT_RANGE_PUSHED,
                                          .block_index = range->block_index,
                                          .offset_bytes = range->offset_bytes,
                                          .length = range->length_bytes,
                                          .register_end_bytes = range->register_end_bytes,
                                          .is_zero = range->is_zero}) == RDMIG_OK;
}

static uint64_t now_ns(void *context)
{
    return ((struct engine *)context)->transport.now_ns;
}

static const struct ram_walk_calls calls = {
    .dirty = dirty,
    .length_bytes = block_bytes,
    .scan_run = know_run,
    .has_room = has_room,
    .push = push,
    .now_ns = now_ns,
};

/* ---- a migration */

static void open_engine(struct engine *engine, const struct engine_case *which)
{
    static const struct rdmig_block block = {UINT64_C(0x7f0000000000), GUEST_BYTES, 0};
    const struct rdmig_conn_config config = {
        .struct_bytes = sizeof(config),
        .capability_flags = (which->is_pin_all ? RDMIG_CAPABILITY_PIN_ALL : 0) |
                            (which->is_own ? RDMIG_CAPABILITY_PIPELINE : 0),
        .run_chunk_count = which->run_chunk_count,
        .register_batch_count = which->register_batch_count,
        .connect_timeout_ns = MINUTE_NS,
        .reply_timeout_ns = MINUTE_NS,
        .probe_interval_ns = MINUTE_NS,
        .close_timeout_ns = MINUTE_NS,
    };

    null_open(&engine->transport, &config, &block, 1, which->is_late);
    engine->is_zero = which->is_zero;
    ram_walker_init(&engine->walker, &calls, engine, 1, which->run_chunk_count, 0);
    engine->walker.is_pin_all = which->is_pin_all;
    if (which->is_own)
        ram_walker_lookahead(&engine->walker);
}

static uint64_t dirty_page_count(const struct engine_case *which)
{
    return which->page_step == 0 ? GUEST_PAGE_COUNT : GUEST_PAGE_COUNT / which->page_step;
}

static void make_dirty(struct engine *engine, const struct engine_case *which)
{
    if (which->page_step == 0)
        ram_bitmap_set_range(&engine->dirty, 0, GUEST_PAGE_COUNT);
    for (uint64_t page = 0; which->page_step != 0 && page < GUEST_PAGE_COUNT;
         page += which->page_step)
        ram_bitmap_set_range(&engine->dirty, page, 1);
}

/* Sends what is dirty, from the first look at the bitmap to the end of the round. */
static void send_round(struct engine *engine)
{
    struct null_transport *transport = &engine->transport;
    const uint32_t rounds_before = transport->source.seen[RDMIG_ACTION_NOTIFY_ROUND_ENDED];
    enum ram_walk walk = RAM_WALK_BLOCKED;

    ram_walker_start_round(&engine->walker);
    for (uint32_t i = 0; walk != RAM_WALK_DONE; i++) {
        uint64_t resume_ns;

        if (i == WALKS_MAX)
            bench_fail("the walker does not come to the end of a round");
        walk = ram_walker_walk(&engine->walker, false, &resume_ns);
        null_settle(transport);
    }
    if (null_step(transport, &transport->source,
                  (struct rdmig_event){.kind = RDMIG_EVENT_ROUND_CLOSED}) != RDMIG_OK)
        bench_fail("the core refused the end of a round");
    null_settle(transport);
    if (transport->source.seen[RDMIG_ACTION_NOTIFY_ROUND_ENDED] != rounds_before + 1)
        bench_fail("a round did not end");
    ram_walker_end_round(&engine->walker);
}

/* The one function that counts: valgrind is told its name, so that it must stay one. */
#define MEASURED "bench_measured_round"
__attribute__((noinline)) void bench_measured_round(struct engine *engine);
void bench_measured_round(struct engine *engine)
{
    send_round(engine);
}

/* Everything that was dirty must have gone, as data or as zeros; otherwise the figures mean
 * nothing. */
static void check_sent(const struct engine *engine, const struct rdmig_conn_counters *counters,
                       uint64_t expected_bytes)
{
    if (counters->bytes_written + counters->bytes_zero != expected_bytes ||
        engine->transport.destination.filled_bytes != counters->bytes_zero ||
        !ram_bitmap_is_empty(&engine->dirty))
        bench_fail("%llu bytes were written and %llu filled, of %llu",
                   (unsigned long long)counters->bytes_written,
                   (unsigned long long)engine->transport.destination.filled_bytes,
                   (unsigned long long)expected_bytes);
}

/* Adds what the measured round cost; counters: of that round alone. */
static void migrate(struct engine *engine, const struct engine_case *which,
                    struct bench_cost *total, struct rdmig_conn_counters *counters)
{
    struct rdmig_conn_counters before = {0};
    struct bench_cost cost;
    uint64_t expected_bytes = dirty_page_count(which) * BENCH_PAGE_BYTES;

    open_engine(engine, which);
    if (which->is_later) {
        ram_bitmap_set_range(&engine->dirty, 0, GUEST_PAGE_COUNT);
        send_round(engine);
        rdmig_conn_counters(engine->transport.source.conn, &before);
        expected_bytes += GUEST_BYTES;
    }
    make_dirty(engine, which);
    bench_begin(&cost);
    bench_measured_round(engine);
    bench_end(&cost);
    total->cpu_ns += cost.cpu_ns;
    total->instructions += cost.instructions;
    rdmig_conn_counters(engine->transport.source.conn, counters);
    check_sent(engine, counters, expected_bytes);
    counters->registrations -= before.registrations;
    counters->round_trips -= before.round_trips;
    counters->writes -= before.writes;
    null_close(&engine->transport);
}

/* ---- figures */

static void show_each(struct bench *bench, const char *label, const char *time, const char *count,
                      const struct bench_cost *cost, double divisor)
{
    if (cost->cpu_ns > 0)
        bench_sample(bench, "engine", label, time, "ns", cost->cpu_ns / divisor);
    if (cost->instructions > 0)
        bench_sample(bench, "engine", label, count, "", cost->instructions / divisor);
}

/* cost: of one migration; what is 0 in it was not measured. */
static void show(struct bench *bench, const struct engine_case *which,
                 const struct bench_cost *cost, const struct rdmig_conn_counters *counters)
{
    const double guest_gib = (double)GUEST_BYTES / (double)BENCH_GIB;

    if (cost->cpu_ns > 0)
        bench_sample(bench, "engine", which->label, "CPU a GiB of guest (bound: 50)", "ms",
                     cost->cpu_ns / 1e6 / guest_gib);
    if (cost->instructions > 0)
        bench_sample(bench, "engine", which->label, "instructions a GiB of guest", "",
                     cost->instructions / guest_gib);
    show_each(bench, which->label, "time a page sent", "instructions a page sent", cost,
              (double)dirty_page_count(which));
    if (counters->registrations > 0 && !which->is_pin_all)
        show_each(bench, which->label, "time a run", "instructions a run", cost,
                  (double)counters->registrations);
    if (counters->writes > 0)
        show_each(bench, which->label, "time a write", "instructions a write", cost,
                  (double)counters->writes);
}

static void show_counts(struct bench *bench, const struct engine_case *which,
                        const struct rdmig_conn_counters *counters)
{
    const double guest_gib = (double)GUEST_BYTES / (double)BENCH_GIB;

    bench_sample(bench, "engine", which->label, "registrations a GiB of guest", "",
                 (double)counters->registrations / guest_gib);
    bench_sample(bench, "engine", which->label, "writes a GiB of guest", "",
                 (double)counters->writes / guest_gib);
    bench_sample(bench, "engine", which->label, "round trips a GiB of guest", "",
                 (double)counters->round_trips / guest_gib);
}

static struct engine *the_engine(void)
{
    static struct engine engine;
    static uint64_t *words;

    if (words == NULL) {
        words = calloc(ram_bitmap_word_count(GUEST_PAGE_COUNT), sizeof(*words));
        if (words == NULL)
            bench_fail("out of memory for a bitmap; free some");
        ram_bitmap_init(&engine.dirty, words, GUEST_PAGE_COUNT);
    }
    return &engine;
}

void bench_engine(struct bench *bench)
{
    for (size_t i = 0; i < CASE_COUNT; i++) {
        struct bench_cost total = {0};
        struct rdmig_conn_counters counters = {0};
        uint32_t count = 0;

        while (total.cpu_ns < CPU_NS_ENOUGH && count < REPEAT_COUNT_MAX) {
            migrate(the_engine(), &cases[i], &total, &counters);
            count++;
        }
        total.cpu_ns /= count;
        total.instructions /= count;
        show(bench, &cases[i], &total, &counters);
        show_counts(bench, &cases[i], &counters);
    }
}

/* ---- instructions, counted by valgrind */

void bench_engine_once(uint32_t case_index)
{
    struct bench_cost total = {0};
    struct rdmig_conn_counters counters;

    if (case_index >= CASE_COUNT)
        bench_fail("there is no case %u", case_index);
    migrate(the_engine(), &cases[case_index], &total, &counters);
    /* For the process that counts; valgrind's own lines begin with ==. */
    printf("%llu %llu\n", (unsigned long long)counters.registrations,
           (unsigned long long)counters.writes);
}

/* False: it could not be counted. */
static bool count_case(uint32_t case_index, double *instruction_count,
                       struct rdmig_conn_counters *counters)
{
    unsigned long long numbers[3] = {0};
    char program[512];
    char command[1024];
    char line[256];
    uint32_t found = 0;
    const ssize_t length = readlink("/proc/self/exe", program, sizeof(program) - 1);
    FILE *output;

    if (length <= 0)
        return false;
    program[length] = '\0';
    (void)snprintf(command, sizeof(command),
                   "valgrind --tool=callgrind --callgrind-out-file=/dev/null "
                   "--toggle-collect=" MEASURED " '%s' " BENCH_ONCE " %u 2>&1",
                   program, case_index);
    output = popen(command, "r");
    if (output == NULL)
        return false;
    while (fgets(line, sizeof(line), output) != NULL) {
        const char *collected = strstr(line, "Collected :");

        if (collected != NULL && sscanf(collected, "Collected : %llu", &numbers[0]) == 1)
            found |= 1;
        if (sscanf(line, "%llu %llu", &numbers[1], &numbers[2]) == 2)
            found |= 2;
    }
    *instruction_count = (double)numbers[0];
    *counters = (struct rdmig_conn_counters){.registrations = numbers[1], .writes = numbers[2]};
    return pclose(output) == 0 && found == 3;
}

bool bench_engine_count(struct bench *bench)
{
    for (uint32_t i = 0; i < CASE_COUNT; i++) {
        struct bench_cost cost = {0};
        struct rdmig_conn_counters counters;

        if (!count_case(i, &cost.instructions, &counters))
            return false;
        show(bench, &cases[i], &cost, &counters);
    }
    return true;
}
