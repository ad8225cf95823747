/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Draws a world: a swarm, so that each has some things and lacks others altogether. The first value
 * of every table is the dull one: with nothing but zeros a plain, calm, small world comes out.
 */
#include "options.h"

#include <rdmig/core.h>

#define PAGE_BYTES  UINT64_C(4096)
#define CHUNK_BYTES (UINT64_C(1) << 20)
#define US          UINT64_C(1000)
#define MS          UINT64_C(1000000)

enum { PAGES_PER_CHUNK = 256, BIG_GUEST_BYTES = 12 << 20, BIG_GUEST_WRITE_BYTES = 65536 };

/* More blocks than the core has registrations under way; a piece of zeros over more chunks than it
 * looks at one by one. */
enum { MANY_BLOCKS_MIN = 65, MANY_BLOCKS_MORE = OPTION_BLOCKS_MAX - MANY_BLOCKS_MIN };
enum { LONG_ZERO_PAGES = 260 * PAGES_PER_CHUNK, LONG_ZERO_PAGES_MORE = 40 * PAGES_PER_CHUNK };

/* What a calm peer may take besides, for each byte of the guest, within one round: ours may pin all
 * of it, or write it in small pieces one at a time, and some of it several times; a stock source
 * may write it page by page. */
enum { PATIENCE_NS = 320, PROBES_MAX = 10000 };

#define COUNT_OF(table) ((uint32_t)(sizeof(table) / sizeof((table)[0])))

static uint64_t pick(struct choice *choice, const uint64_t *table, uint32_t count)
{
    return table[choice_below(choice, count)];
}
#define PICK(choice, ...)                                                                          \
    pick(choice, (const uint64_t[]){__VA_ARGS__}, COUNT_OF(((const uint64_t[]){__VA_ARGS__})))
#define PICK32(choice, ...) ((uint32_t)PICK(choice, __VA_ARGS__))

struct pair {
    enum party_kind source;
    enum party_kind destination;
};

/* Ours to ours nine times in twenty; one end at least is ours always. */
static const struct pair pairs[20] = {
    {PARTY_OURS, PARTY_OURS},    {PARTY_OURS, PARTY_OURS},    {PARTY_OURS, PARTY_OURS},
    {PARTY_OURS, PARTY_OURS},    {PARTY_OURS, PARTY_OURS},    {PARTY_OURS, PARTY_OURS},
    {PARTY_OURS, PARTY_OURS},    {PARTY_OURS, PARTY_OURS},    {PARTY_OURS, PARTY_OURS},
    {PARTY_OURS, PARTY_STOCK},   {PARTY_OURS, PARTY_STOCK},   {PARTY_OURS, PARTY_STOCK},
    {PARTY_STOCK, PARTY_OURS},   {PARTY_STOCK, PARTY_OURS},   {PARTY_STOCK, PARTY_OURS},
    {PARTY_HOSTILE, PARTY_OURS}, {PARTY_HOSTILE, PARTY_OURS}, {PARTY_HOSTILE, PARTY_OURS},
    {PARTY_OURS, PARTY_HOSTILE}, {PARTY_OURS, PARTY_HOSTILE},
};

/* The ends of blocks are where errors live: at a chunk's end, one page over, one short. */
static uint64_t draw_page_count(struct choice *choice)
{
    const uint32_t shape = choice_below(choice, 8);
    uint32_t chunks;

    switch (shape) {
    case 0:
        return 1 + choice_below(choice, 4);
    case 1:
    case 2:
    case 3:
        chunks = 1 + choice_below(choice, 3);
        return chunks * PAGES_PER_CHUNK + shape - 2;
    case 4:
        return 1 + choice_below(choice, 64);
    case 5:
        if (choice_below(choice, 8) == 7)
            return 1280 + choice_below(choice, 16640);
        return 1 + choice_below(choice, 3 * PAGES_PER_CHUNK);
    default:
        return 1 + choice_below(choice, 3 * PAGES_PER_CHUNK);
    }
}

/* What a real guest may have, and most worlds do without. */
static void draw_rare_guest(struct guest_options *guest, struct choice *choice)
{
    const uint32_t rarity = choice_below(choice, 256);

    if (rarity >= 252) {
        guest->block_count = MANY_BLOCKS_MIN + choice_below(choice, MANY_BLOCKS_MORE + 1);
        for (uint32_t i = 0; i < guest->block_count; i++)
            guest->block_bytes[i] = (1 + choice_below(choice, 4)) * PAGE_BYTES;
        /* One for which all the others may have to make room. */
        if (choice_below(choice, 2) == 1)
            guest->block_bytes[guest->block_count - 1] = CHUNK_BYTES;
    } else if (rarity >= 250) {
        guest->block_bytes[0] =
            (LONG_ZERO_PAGES + choice_below(choice, LONG_ZERO_PAGES_MORE)) * PAGE_BYTES;
        guest->zero_percent = 100;
        guest->zero_run_pages = 300;
        guest->workload = guest->workload % 2 == 0 ? WORKLOAD_IDLE : WORKLOAD_HOT_SET;
    }
}

static void draw_guest(struct guest_options *guest, struct choice *choice)
{
    guest->block_count = 1 + choice_below(choice, 4);
    for (uint32_t i = 0; i < guest->block_count; i++)
        guest->block_bytes[i] = draw_page_count(choice) * PAGE_BYTES;
    guest->workload = (enum workload)choice_below(choice, WORKLOAD_COUNT);
    guest->writes_per_s = PICK(choice, 0, 20000, 200000, 1000000, 5000000);
    guest->hot_page_count = 1 + choice_below(choice, 64);
    guest->stride = 1 + choice_below(choice, 32);
    guest->zero_percent = PICK32(choice, 0, 50, 95, 100);
    guest->zero_run_pages = PICK32(choice, 16, 1, 3, 300);
    guest->rezero_permille = PICK32(choice, 0, 0, 100, 900);
    draw_rare_guest(guest, choice);
}

static void draw_engine(struct engine_options *engine, uint64_t guest_bytes, struct choice *choice)
{
    if (choice_below(choice, 4) != 0)
        engine->run_chunk_count = 1 + choice_below(choice, 8);
    engine->register_batch_count = PICK32(choice, 0, 2, 3, 8, 64);
    engine->send_queue_depth = PICK32(choice, 0, 16, 17, 64);
    engine->signal_interval = PICK32(choice, 0, 1, 2, 7, 64);
    engine->stream_message_bytes = PICK32(choice, 0, 4096, 1000, 64, 8);
    engine->write_bytes_max = PICK(choice, 0, 4096, 65536, 5000, 300001, 1 << 20);
    /* A large guest in small pieces takes long and shows nothing new. */
    if (guest_bytes > BIG_GUEST_BYTES && engine->write_bytes_max < BIG_GUEST_WRITE_BYTES)
        engine->write_bytes_max = 0;
}

/*
 * Time limits: none (or one that no clock will reach), generous (nothing calm comes near them) or
 * tight, so that they also run out in the middle of work. Where a peer may fall silent, all of them
 * are limited.
 */
static void draw_limits(struct engine_options *engine, uint64_t patience_ns, bool is_needed,
                        struct choice *choice)
{
    const uint64_t generous_ns = PICK(choice, 40 * MS, 100 * MS) + patience_ns;
    const uint32_t manner = choice_below(choice, 16);
    uint64_t limit_ns = generous_ns;

    if (manner < 4 && !is_needed)
        return; /* the core's own limit for closing */
    engine->close_timeout_ns = generous_ns;
    if (manner < 7 && !is_needed)
        return;
    if (manner == 7 && !is_needed)
        limit_ns = UINT64_MAX;
    if (manner == 15)
        limit_ns = PICK(choice, 5 * MS, MS, 200 * US, 40 * US, 5 * US);
    engine->connect_timeout_ns = limit_ns;
    engine->reply_timeout_ns = limit_ns;
    engine->idle_timeout_ns = limit_ns;
    engine->close_timeout_ns = limit_ns == UINT64_MAX ? generous_ns : limit_ns;
    engine->probe_interval_ns = PICK(choice, 0, 10 * MS, MS, 50 * US);
    /* One that is silent for so many of them shows nothing new. */
    if (engine->probe_interval_ns != 0 && limit_ns / engine->probe_interval_ns > PROBES_MAX)
        engine->probe_interval_ns = 10 * MS;
}

/*
 * Where hosts are slow it is a limit itself that has to grow with what is asked for (clause E14).
 * Not that on silence: it counts on a faster link than one page at a time makes of it.
 */
static void withdraw_patience(struct engine_options *engine, uint64_t patience_ns)
{
    if (engine->reply_timeout_ns > patience_ns && engine->reply_timeout_ns != UINT64_MAX)
        engine->reply_timeout_ns -= patience_ns;
}

/* Most ends of ours, and the hostile ones they meet, know of PIPELINE; in some worlds one only, or
 * none. */
static void draw_pipeline(struct options *options, struct choice *choice)
{
    const uint32_t which = choice_below(choice, 8);

    for (uint32_t i = 0; i < 2; i++)
        options->is_pipelined[i] = options->kind[i] != PARTY_STOCK && which != 5 + i && which != 7;
}

/* From a chunk, or a byte less than what no region fits into, to more than most guests have. */
static void draw_pinned_limits(struct options *options, struct choice *choice)
{
    const uint32_t which = choice_below(choice, 12);

    options->is_ram_told = choice_below(choice, 4) != 3;
    for (uint32_t i = 0; i < 2; i++) {
        if (options->kind[i] == PARTY_STOCK || which < 8 || which == 10 + i)
            continue;
        options->pinned_bytes_max[i] =
            PICK(choice, CHUNK_BYTES, 2 * CHUNK_BYTES, 3 * CHUNK_BYTES + PAGE_BYTES,
                 8 * CHUNK_BYTES - 1, 24 * CHUNK_BYTES, CHUNK_BYTES, 5 * CHUNK_BYTES);
        if (choice_below(choice, 24) == 23)
            options->pinned_bytes_max[i] = CHUNK_BYTES - 1;
    }
}

/* Where it can happen at all: connecting is done by the source, at once; only a destination fills.
 */
static void place_fault(struct fault *fault)
{
    switch (fault->kind) {
    case FAULT_REJECTED:
    case FAULT_UNREACHABLE:
    case FAULT_CONNECT_LOST:
        fault->role = RDMIG_ROLE_SOURCE;
        fault->moment = 0;
        break;
    case FAULT_FILL_FAILS:
    case FAULT_ROUND_REFUSED:
        fault->role = RDMIG_ROLE_DESTINATION;
        break;
    default:
        break;
    }
}

static void draw_faults(struct options *options, struct choice *choice)
{
    const uint32_t how_many = choice_below(choice, 10);
    const uint32_t moment_bound = PICK32(choice, 400, 40, 1500, 6000);
    uint32_t kinds[2];

    if (how_many < 6)
        return;
    options->fault_count = how_many < 9 ? 1 : 2 + choice_below(choice, 2);
    /* Two kinds a world at the most: the same thing twice finds what many things at once hide. */
    kinds[0] = 1 + choice_below(choice, FAULT_KIND_COUNT - 1);
    kinds[1] = kinds[0];
    if (options->fault_count > 1)
        kinds[1] = 1 + choice_below(choice, FAULT_KIND_COUNT - 1);
    for (uint32_t i = 0; i < options->fault_count; i++) {
        struct fault *fault = &options->faults[i];

        fault->kind = (enum fault_kind)kinds[i == 0 ? 0 : 1];
        fault->role = choice_below(choice, 2);
        fault->moment = choice_below(choice, moment_bound);
        if (choice_below(choice, 3) == 2)
            fault->moment = FAULT_MOMENT_HANDOVER + choice_below(choice, 12);
        fault->argument = choice_below(choice, 16);
        place_fault(fault);
    }
}

/* Without a limit of its own for silence a destination has the probe, and nothing else: enough as
 * long as nobody falls silent whose hardware lives (clause C13). */
static void draw_probing(struct options *options, struct choice *choice)
{
    struct engine_options *engine = &options->engine[RDMIG_ROLE_DESTINATION];

    if (options->kind[RDMIG_ROLE_SOURCE] != PARTY_OURS || engine->probe_interval_ns == 0)
        return;
    for (uint32_t i = 0; i < options->fault_count; i++) {
        if (options->faults[i].kind == FAULT_FREEZE_FOR_EVER)
            return;
    }
    if (choice_below(choice, 2) == 1)
        engine->idle_timeout_ns = 0;
}

/* A destination that loses patience by itself, while all other limits are wide: perhaps just when
 * the end mark is on its way. */
static void draw_impatience(struct options *options, struct choice *choice)
{
    struct engine_options *engine = &options->engine[RDMIG_ROLE_DESTINATION];

    if (options->kind[RDMIG_ROLE_DESTINATION] == PARTY_OURS && choice_below(choice, 8) == 7)
        engine->idle_timeout_ns = PICK(choice, MS, 300 * US, 100 * US, 30 * US);
}

void options_draw(struct options *options, struct choice *choice)
{
    const struct pair *pair;
    uint64_t guest_bytes = 0;

    options_init(options);
    pair = &pairs[choice_below(choice, COUNT_OF(pairs))];
    options->kind[RDMIG_ROLE_SOURCE] = pair->source;
    options->kind[RDMIG_ROLE_DESTINATION] = pair->destination;
    options->is_pin_all[RDMIG_ROLE_SOURCE] = choice_below(choice, 3) == 2;
    options->is_pin_all[RDMIG_ROLE_DESTINATION] = choice_below(choice, 3) != 0;
    draw_pipeline(options, choice);
    draw_pinned_limits(options, choice);
    draw_guest(&options->guest, choice);
    for (uint32_t i = 0; i < options->guest.block_count; i++)
        guest_bytes += options->guest.block_bytes[i];
    draw_engine(&options->engine[RDMIG_ROLE_SOURCE], guest_bytes, choice);
    draw_engine(&options->engine[RDMIG_ROLE_DESTINATION], guest_bytes, choice);
    options->state_bytes = PICK32(choice, 0, 16, 1000, 4096, 20000);
    options->prefix_bytes = 8 * PICK32(choice, 0, 1, 5, 250);
    options->round_count_max = 1 + choice_below(choice, 6);
    options->downtime_limit_ns = PICK(choice, 50 * US, 0, 5 * US, 500 * US);
    options->costs = PICK32(choice, COSTS_FLAT, COSTS_FLAT, COSTS_FLAT, COSTS_MODERN, COSTS_FLAT,
                            COSTS_SLOW_HOST, COSTS_BENCH_2013, COSTS_BENCH_2026);
    options->link_bits_per_s = PICK(choice, 0, 0, 0, UINT64_C(10000000000), UINT64_C(400000000000));
    options->jitter_steps = 1 + choice_below(choice, 6);
    options->private_data_bytes = PICK32(choice, 8, 56, 196);
    options->unregister_permille = PICK32(choice, 0, 0, 100, 700);
    options->wrong_call_permille = PICK32(choice, 0, 0, 10, 100);
    options->pause_permille = PICK32(choice, 0, 0, 0, 20, 300);
    draw_faults(options, choice);
    for (uint32_t i = 0; i < 2; i++) {
        const bool is_needed = options->fault_count > 0 || options->kind[0] == PARTY_HOSTILE ||
                               options->kind[1] == PARTY_HOSTILE;

        draw_limits(&options->engine[i], guest_bytes * PATIENCE_NS, is_needed, choice);
        if (options->costs == COSTS_SLOW_HOST && i == RDMIG_ROLE_SOURCE)
            withdraw_patience(&options->engine[i], guest_bytes * PATIENCE_NS);
    }
    draw_probing(options, choice);
    draw_impatience(options, choice);
}
