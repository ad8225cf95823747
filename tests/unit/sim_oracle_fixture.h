/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * For the tests of the simulator's oracles, after cmocka.h. A world in which nothing happens by
 * itself: the fabric is a few stubs, and what crosses it is told to the oracles by hand. Two
 * blocks: the first of 4 chunks, the last of them two pages long.
 */
#ifndef SIM_ORACLE_FIXTURE_H
#define SIM_ORACLE_FIXTURE_H

#include "guest.h"
#include "oracle.h"
#include "party.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK       (UINT64_C(1) << 20)
#define PAGE        SIM_PAGE_BYTES
#define BLOCK0      (3 * CHUNK + 2 * PAGE)
#define BLOCK1      (2 * CHUNK)
#define SOURCE      RDMIG_ROLE_SOURCE
#define DESTINATION RDMIG_ROLE_DESTINATION

enum {
    ERROR = 1,
    READY,
    QEMU_FILE,
    BLOCKS_REQUEST,
    BLOCKS_RESULT,
    COMPRESS,
    REGISTER_REQUEST,
    REGISTER_RESULT,
    REGISTER_FINISHED,
    UNREGISTER_REQUEST,
    UNREGISTER_FINISHED
};
enum { MESSAGE_MAX = 4096, HISTORIES_MAX = 100, KEY = 0x50000001 };

/* ---- the stubs */

struct port {
    const struct fabric *fabric;
    enum rdmig_role role;
    bool is_down;
    bool is_dead;
    /* One write in flight; no bytes: none. */
    uint32_t block;
    uint64_t offset_bytes;
    uint64_t length_bytes;
    uint64_t pinned_bytes;
};

struct fabric {
    struct port ports[2];
    uint32_t faults_taken;
};

struct port *fabric_port(struct fabric *fabric, enum rdmig_role role)
{
    return &fabric->ports[role];
}

uint64_t fabric_block_addr(const struct fabric *fabric, uint32_t block)
{
    (void)fabric;
    return UINT64_C(0x7f0000000000) + block * UINT64_C(0x10000000);
}

uint64_t fabric_block_ram_offset(const struct fabric *fabric, uint32_t block)
{
    (void)fabric;
    return block == 0 ? 8 * CHUNK : 0;
}

uint64_t port_block_addr(const struct port *port, uint32_t block)
{
    return fabric_block_addr(port->fabric, block);
}

uint64_t port_block_ram_offset(const struct port *port, uint32_t block)
{
    return fabric_block_ram_offset(port->fabric, block);
}

uint32_t port_faults_taken(const struct port *port)
{
    return port->fabric->faults_taken;
}

void fabric_observe(struct fabric *fabric, const struct fabric_observer *observer, void *subject)
{
    (void)fabric;
    (void)observer;
    (void)subject;
}

bool port_is_down(const struct port *port)
{
    return port->is_down || port->is_dead;
}

bool port_is_dead(const struct port *port)
{
    return port->is_dead;
}

uint64_t port_pinned_bytes(const struct port *port)
{
    return port->pinned_bytes;
}

bool port_has_write_in_flight(const struct port *port, uint32_t block, uint64_t offset_bytes,
                              uint64_t length_bytes)
{
    return port->length_bytes > 0 && port->block == block &&
           port->offset_bytes < offset_bytes + length_bytes &&
           offset_bytes < port->offset_bytes + port->length_bytes;
}

/* ---- the world */

struct bench {
    struct options options;
    struct choice choice;
    struct world world;
    struct fabric fabric;
    struct ram ram[2];
    struct guest guest;
    struct party party[2];
    uint64_t pending_page; /* of block 0; UINT64_MAX: none */
    uint8_t message[MESSAGE_MAX];
    uint32_t length_bytes;
};

static struct bench *bench_of_party; /* for the one callback without a context */

static inline bool is_pending(const struct party *party, uint32_t block, uint64_t page)
{
    (void)party;
    return block == 0 && page == bench_of_party->pending_page;
}

static const struct party_class bench_class = {.name = "bench", .is_pending = is_pending};

static inline void bench_open(struct bench *bench, enum party_kind source,
                              enum party_kind destination, bool is_pin_all)
{
    memset(bench, 0, sizeof(*bench));
    bench->options.kind[SOURCE] = source;
    bench->options.kind[DESTINATION] = destination;
    bench->options.is_pin_all[SOURCE] = is_pin_all;
    bench->options.is_pin_all[DESTINATION] = is_pin_all;
    bench->options.guest.block_count = 2;
    bench->options.guest.block_bytes[0] = BLOCK0;
    bench->options.guest.block_bytes[1] = BLOCK1;
    bench->options.jitter_steps = 1;
    bench->options.engine[SOURCE].register_batch_count = 2;
    bench->options.engine[SOURCE].write_bytes_max = CHUNK;
    bench->options.engine[SOURCE].signal_interval = 4;
    bench->options.engine[SOURCE].run_chunk_count = 3;
    bench->pending_page = UINT64_MAX;
    choice_init_seed(&bench->choice, 1);
    world_init(&bench->world, &bench->options, &bench->choice);
    for (uint32_t i = 0; i < 2; i++) {
        ram_init(&bench->ram[i], 2, bench->options.guest.block_bytes);
        bench->fabric.ports[i].role = (enum rdmig_role)i;
        bench->fabric.ports[i].fabric = &bench->fabric;
        bench->party[i].class = &bench_class;
        bench->world.ram[i] = &bench->ram[i];
        bench->world.party[i] = &bench->party[i];
    }
    guest_init(&bench->guest, &bench->options.guest, &bench->ram[SOURCE], 1, 0);
    bench->world.fabric = &bench->fabric;
    bench->world.guest = &bench->guest;
    bench->world.oracle = oracle_make(&bench->world);
    oracle_watch(bench->world.oracle, &bench->fabric);
    bench_of_party = bench;
}

static inline void bench_close(struct bench *bench)
{
    oracle_free(bench->world.oracle);
    guest_free(&bench->guest);
    ram_free(&bench->ram[SOURCE]);
    ram_free(&bench->ram[DESTINATION]);
    world_free(&bench->world);
    choice_free(&bench->choice);
}

/* ---- messages */

static inline void put32(struct bench *bench, uint32_t value)
{
    for (int shift = 24; shift >= 0; shift -= 8)
        bench->message[bench->length_bytes++] = (uint8_t)(value >> shift);
}

static inline void put64(struct bench *bench, uint64_t value)
{
    put32(bench, (uint32_t)(value >> 32));
    put32(bench, (uint32_t)value);
}

static inline void begin_message(struct bench *bench, uint32_t type, uint32_t repeat,
                                 uint32_t body_bytes)
{
    bench->length_bytes = 0;
    put32(bench, body_bytes);
    put32(bench, type);
    put32(bench, repeat);
    put32(bench, 0);
}

static inline void post(struct bench *bench, enum rdmig_role from)
{
    oracle_send_posted(bench->world.oracle, from, bench->message, bench->length_bytes);
}

static inline void arrive(struct bench *bench, enum rdmig_role from)
{
    oracle_send_arrived(bench->world.oracle, from, bench->message, bench->length_bytes);
}

static inline void send_message(struct bench *bench, enum rdmig_role from)
{
    post(bench, from);
    arrive(bench, from);
}

static inline void send_plain(struct bench *bench, enum rdmig_role from, uint32_t type)
{
    begin_message(bench, type, 1, 0);
    send_message(bench, from);
}

static inline void send_ready(struct bench *bench)
{
    send_plain(bench, DESTINATION, READY);
}

static inline void put_block_answer(struct bench *bench)
{
    begin_message(bench, BLOCKS_RESULT, 1, 64);
    for (uint32_t i = 0; i < 2; i++) {
        put64(bench, fabric_block_addr(&bench->fabric, i));
        put64(bench, fabric_block_ram_offset(&bench->fabric, i));
        put64(bench, bench->options.guest.block_bytes[i]);
        put32(bench, KEY + i);
        put32(bench, 0);
    }
}

/* Private data; bytes of them as far as they are asked for. */
struct private_data {
    uint32_t length_bytes;
    uint32_t version;
    uint32_t flags;
    uint32_t credit_count;
    uint32_t padding;
    uint64_t bytes;
};

static inline void give_private_data(struct bench *bench, enum rdmig_role from,
                                     const struct private_data *data)
{
    bench->length_bytes = 0;
    put32(bench, data->version);
    put32(bench, data->flags);
    put32(bench, data->credit_count);
    put32(bench, data->padding);
    put64(bench, data->bytes);
    oracle_private_data(bench->world.oracle, from, bench->message, data->length_bytes);
}

enum { PIN_ALL = 0x1, PIPELINE = 0x10000 };

/* What an end of ours says when it may have several commands under way. */
static inline struct private_data data_of(struct bench *bench, enum rdmig_role from)
{
    const uint64_t ram_bytes = bench->options.is_ram_told ? BLOCK0 + BLOCK1 : 0;

    bench->options.is_pipelined[from] = true;
    return (struct private_data){
        .length_bytes = 24,
        .version = 1,
        .flags = PIPELINE,
        .credit_count = 4,
        .bytes = from == SOURCE ? ram_bytes : bench->options.pinned_bytes_max[from],
    };
}

/* Connected: so many commands may be under way. */
static inline void agree(struct bench *bench, uint32_t credit_count)
{
    struct private_data offered = data_of(bench, SOURCE);
    struct private_data granted = data_of(bench, DESTINATION);

    offered.credit_count = credit_count;
    granted.credit_count = credit_count;
    give_private_data(bench, SOURCE, &offered);
    give_private_data(bench, DESTINATION, &granted);
    for (uint32_t i = 1; i < credit_count; i++)
        send_ready(bench);
}

/* Connected and exchanged; the source has a READY, or all that were agreed on. */
static inline void exchange(struct bench *bench)
{
    send_ready(bench);
    send_plain(bench, SOURCE, BLOCKS_REQUEST);
    put_block_answer(bench);
    send_message(bench, DESTINATION);
    send_ready(bench);
}

static inline void put_run(struct bench *bench, uint32_t block, uint64_t chunk,
                           uint64_t chunk_count)
{
    put64(bench, fabric_block_ram_offset(&bench->fabric, block) + chunk * CHUNK);
    put32(bench, block);
    put32(bench, 0);
    put64(bench, chunk_count - 1);
}

static inline void put_result(struct bench *bench, uint32_t block, uint32_t rkey)
{
    put32(bench, rkey);
    put32(bench, 0);
    put64(bench, fabric_block_addr(&bench->fabric, block));
}

static inline void ask_for_run(struct bench *bench, uint32_t block, uint64_t chunk,
                               uint64_t chunk_count)
{
    begin_message(bench, REGISTER_REQUEST, 1, 24);
    put_run(bench, block, chunk, chunk_count);
    send_message(bench, SOURCE);
}

static inline void answer_run(struct bench *bench, uint32_t block, uint32_t rkey)
{
    begin_message(bench, REGISTER_RESULT, 1, 16);
    put_result(bench, block, rkey);
    send_message(bench, DESTINATION);
}

static inline void register_run(struct bench *bench, uint32_t block, uint64_t chunk,
                                uint64_t chunk_count, uint32_t rkey)
{
    const uint64_t left_bytes = bench->options.guest.block_bytes[block] - chunk * CHUNK;
    const uint64_t run_bytes = chunk_count * CHUNK < left_bytes ? chunk_count * CHUNK : left_bytes;

    ask_for_run(bench, block, chunk, chunk_count);
    oracle_registered(bench->world.oracle, SOURCE, block, chunk * CHUNK, run_bytes, false);
    oracle_registered(bench->world.oracle, DESTINATION, block, chunk * CHUNK, run_bytes, true);
    answer_run(bench, block, rkey);
    send_ready(bench);
}

static inline void put_unregister(struct bench *bench, uint32_t block, uint64_t chunk)
{
    begin_message(bench, UNREGISTER_REQUEST, 1, 24);
    put64(bench, chunk);
    put32(bench, block);
    put32(bench, 0);
    put64(bench, 0);
}

static inline void put_compress(struct bench *bench, uint32_t value, uint32_t block,
                                uint64_t offset_bytes, uint64_t length_bytes)
{
    begin_message(bench, COMPRESS, 1, 24);
    put32(bench, value);
    put32(bench, block);
    put64(bench, fabric_block_ram_offset(&bench->fabric, block) + offset_bytes);
    put64(bench, length_bytes);
}

/* ---- work */

static inline struct write_request write_of(struct bench *bench, uint32_t block,
                                            uint64_t offset_bytes, uint64_t length_bytes,
                                            uint32_t rkey)
{
    return (struct write_request){
        .id = 7,
        .local_key = 1,
        .block = block,
        .offset_bytes = offset_bytes,
        .length_bytes = length_bytes,
        .remote_addr = fabric_block_addr(&bench->fabric, block) + offset_bytes,
        .rkey = rkey,
        .is_signalled = true,
    };
}

static inline void write_range(struct bench *bench, uint32_t block, uint64_t offset_bytes,
                               uint64_t length_bytes, uint32_t rkey)
{
    const struct write_request request = write_of(bench, block, offset_bytes, length_bytes, rkey);

    oracle_write_posted(bench->world.oracle, SOURCE, &request);
}

static inline void write_and_land(struct bench *bench, uint32_t block, uint64_t offset_bytes,
                                  uint64_t length_bytes, uint32_t rkey)
{
    write_range(bench, block, offset_bytes, length_bytes, rkey);
    ram_copy(&bench->ram[DESTINATION], block, offset_bytes / PAGE, &bench->ram[SOURCE], block,
             offset_bytes / PAGE, length_bytes / PAGE);
}

static inline void set_in_flight(struct bench *bench, uint32_t block, uint64_t offset_bytes,
                                 uint64_t length_bytes)
{
    bench->fabric.ports[SOURCE].block = block;
    bench->fabric.ports[SOURCE].offset_bytes = offset_bytes;
    bench->fabric.ports[SOURCE].length_bytes = length_bytes;
}

static inline void fill(struct bench *bench, uint32_t block, uint64_t offset_bytes,
                        uint64_t length_bytes)
{
    oracle_fill_started(bench->world.oracle, block, offset_bytes, length_bytes);
    ram_set(&bench->ram[DESTINATION], block, offset_bytes / PAGE, length_bytes / PAGE,
            RAM_TOKEN_ZERO);
    oracle_fill_ended(bench->world.oracle);
}

/* The source knows of nothing that it has not sent. */
static inline void clear_logs(struct bench *bench)
{
    uint64_t words[2 * RAM_PAGES_PER_CHUNK];

    for (uint32_t i = 0; i < 2; i++)
        guest_take_log(&bench->guest, i, bench->world.now_ns, words);
}

/* ---- histories */

/* The whole of one, and what must come of it: the oracle that breaks, or NULL. */
struct history {
    const char *name;
    const char *oracle;
    void (*play)(struct bench *bench);
    enum party_kind kind[2];
    bool is_pin_all;
};

#define OURS                                                                                       \
    {                                                                                              \
        PARTY_OURS, PARTY_OURS                                                                     \
    }
#define STOCK                                                                                      \
    {                                                                                              \
        PARTY_STOCK, PARTY_STOCK                                                                   \
    }
#define TO_BAD                                                                                     \
    {                                                                                              \
        PARTY_OURS, PARTY_HOSTILE                                                                  \
    }
#define BAD_TO                                                                                     \
    {                                                                                              \
        PARTY_HOSTILE, PARTY_OURS                                                                  \
    }
#define BREAKS(oracle, play)                                                                       \
    {                                                                                              \
        "breaks " #oracle ": " #play, #oracle, play_##play, OURS, false                            \
    }
#define CLEAN(play, kind)                                                                          \
    {                                                                                              \
        "clean: " #play, NULL, play_##play, kind, false                                            \
    }
#define CLEAN_PIN_ALL(play, kind)                                                                  \
    {                                                                                              \
        "clean, pin-all: " #play, NULL, play_##play, kind, true                                    \
    }

static inline void play_history(void **state)
{
    const struct history *history = *state;
    struct bench *bench = malloc(sizeof(*bench));
    char expected[BROKEN_TEXT_BYTES] = "";

    assert_non_null(bench);
    bench_open(bench, history->kind[SOURCE], history->kind[DESTINATION], history->is_pin_all);
    history->play(bench);
    if (history->oracle) {
        snprintf(expected, sizeof(expected), "%s: ", history->oracle);
        bench->world.broken[strlen(expected)] = '\0'; /* what comes after the name is for people */
    }
    assert_string_equal(bench->world.broken, expected);
    bench_close(bench);
    free(bench);
}

static inline int play_histories(const struct history *histories, size_t count)
{
    struct CMUnitTest tests[HISTORIES_MAX] = {0};

    assert_true(count <= HISTORIES_MAX);
    for (size_t i = 0; i < count; i++)
        tests[i] = (struct CMUnitTest){.name = histories[i].name,
                                       .test_func = play_history,
                                       .initial_state = (void *)(uintptr_t)&histories[i]};
    return _cmocka_run_group_tests("histories", tests, count, NULL, NULL);
}

#endif
