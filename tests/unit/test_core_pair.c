/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A source and a destination joined by made-up hardware (support/fabric.h), hundreds of times, each
 * seed another order of all that can happen: a guest that dirties its memory while it is sent; RAM
 * and stream must be equal at the end. With faults: both sides must come to CLOSED, and the source
 * must never believe in a delivery that did not happen.
 */
#include "support/fabric.h"

#include <stdlib.h>
#include <string.h>

enum { ROUNDS = 4, STREAM_TOTAL = 3000, MOVES_MAX = 400000 };

enum stage {
    OPENING,
    EXCHANGING,
    BETWEEN,
    PUSHING,
    CLOSING_ROUND,
    TAIL,
    FLUSHING,
    DELIVERING,
    DONE
};

/* The two applications. */
struct world {
    struct fabric fabric;
    bool is_dirty[FABRIC_BLOCKS][FABRIC_PAGES_MAX];
    enum stage stage;
    uint32_t round;
    uint32_t cursor_block;
    uint64_t cursor_page;
    uint32_t stream_written;
    uint32_t stream_consumed;
    uint32_t flushes_awaited;
    uint32_t rounds_awaited;
    uint32_t released;
    uint32_t stamp;
};

static uint8_t stream_byte(uint32_t position)
{
    return (uint8_t)(position * 7 + position / 251);
}

/* ---- the guest */

static void dirty_some(struct world *world, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        const uint32_t block = fabric_below(&world->fabric, FABRIC_BLOCKS);
        const uint32_t page =
            fabric_below(&world->fabric, (uint32_t)fabric_page_count(&world->fabric, block));
        const bool is_zero = fabric_below(&world->fabric, 4) == 0;

        world->fabric.source_ram[block][page] = is_zero ? 0 : ++world->stamp;
        world->is_dirty[block][page] = true;
    }
}

static void fill_guest(struct world *world)
{
    for (uint32_t block = 0; block < FABRIC_BLOCKS; block++) {
        for (uint64_t page = 0; page < fabric_page_count(&world->fabric, block); page++) {
            world->fabric.source_ram[block][page] = page / 50 % 3 == 0 ? 0 : ++world->stamp;
            world->fabric.destination_ram[block][page] = 0xdeadbeef; /* old rubbish */
            world->is_dirty[block][page] = true;
        }
    }
}

/* ---- the source's application */

static bool write_stream(struct world *world, uint32_t limit)
{
    uint8_t bytes[256];
    const uint64_t room = rdmig_conn_stream_room_bytes(world->fabric.source.conn);
    uint32_t length = 1 + fabric_below(&world->fabric, sizeof(bytes));

    if (world->stream_written + length > limit)
        length = limit - world->stream_written;
    if (length > room)
        length = (uint32_t)room;
    if (length == 0)
        return false;
    for (uint32_t i = 0; i < length; i++)
        bytes[i] = stream_byte(world->stream_written + i);
    assert_int_equal(FABRIC_FEED(&world->fabric, &world->fabric.source, STREAM_WRITTEN,
                                 .bytes = bytes, .length = length),
                     RDMIG_OK);
    world->stream_written += length;
    return true;
}

/* The next run of dirty pages that are all zero, or all not; a random part of it. */
static uint64_t next_run(struct world *world, bool *is_zero)
{
    const uint64_t pages = fabric_page_count(&world->fabric, world->cursor_block);
    const bool *is_dirty = world->is_dirty[world->cursor_block];
    const uint32_t *ram = world->fabric.source_ram[world->cursor_block];
    uint64_t count = 0;

    while (world->cursor_page < pages && !is_dirty[world->cursor_page])
        world->cursor_page++;
    *is_zero = world->cursor_page < pages && ram[world->cursor_page] == 0;
    while (world->cursor_page + count < pages && is_dirty[world->cursor_page + count] &&
           (ram[world->cursor_page + count] == 0) == *is_zero)
        count++;
    if (count > 3 && fabric_below(&world->fabric, 3) == 0)
        count = 1 + fabric_below(&world->fabric, (uint32_t)count);
    return count;
}

static bool push(struct world *world)
{
    struct rdmig_event event = {.kind = RDMIG_EVENT_RANGE_PUSHED};
    uint64_t count;

    if (rdmig_conn_range_room_count(world->fabric.source.conn) == 0)
        return false;
    count = next_run(world, &event.is_zero);
    if (count == 0) {
        world->cursor_block++;
        world->cursor_page = 0;
        if (world->cursor_block == FABRIC_BLOCKS)
            world->stage = CLOSING_ROUND;
        return true;
    }
    memset(&world->is_dirty[world->cursor_block][world->cursor_page], 0, count);
    event.block_index = world->cursor_block;
    event.offset_bytes = world->cursor_page * FABRIC_PAGE_BYTES;
    event.length = count * FABRIC_PAGE_BYTES;
    if (fabric_below(&world->fabric, 2) == 0)
        event.register_end_bytes = world->fabric.source_blocks[world->cursor_block].length_bytes;
    assert_int_equal(fabric_feed(&world->fabric, &world->fabric.source, event), RDMIG_OK);
    world->cursor_page += count;
    return true;
}

static void release_some(struct world *world)
{
    const uint32_t block = fabric_below(&world->fabric, FABRIC_BLOCKS);

    if (FABRIC_FEED(&world->fabric, &world->fabric.source, UNREGISTER_REQUESTED,
                    .block_index = block,
                    .chunk_index = fabric_below(&world->fabric, 6)) == RDMIG_OK)
        world->released++;
}

static bool feed_source(struct world *world, enum rdmig_event_kind kind, enum stage next)
{
    const struct rdmig_event event = {.kind = kind};

    if (fabric_feed(&world->fabric, &world->fabric.source, event) != RDMIG_OK)
        return false;
    world->stage = next;
    return true;
}

static bool begin_round(struct world *world)
{
    world->cursor_block = 0;
    world->cursor_page = 0;
    world->round++;
    world->rounds_awaited++;
    if (world->round < ROUNDS && fabric_below(&world->fabric, 2) == 0)
        release_some(world);
    world->stage = PUSHING;
    return true;
}

static bool flush(struct world *world, enum rdmig_flush goal, enum stage next)
{
    if (FABRIC_FEED(&world->fabric, &world->fabric.source, FLUSH_REQUESTED, .flush = goal) !=
        RDMIG_OK)
        return false;
    world->flushes_awaited++;
    world->stage = next;
    return true;
}

static bool act_as_source(struct world *world)
{
    struct fabric_side *source = &world->fabric.source;

    switch (world->stage) {
    case OPENING:
        if (source->seen[RDMIG_ACTION_NOTIFY_ESTABLISHED] == 0)
            return false;
        return write_stream(world, 500) ||
               feed_source(world, RDMIG_EVENT_EXCHANGE_REQUESTED, EXCHANGING);
    case EXCHANGING:
        world->stage = source->seen[RDMIG_ACTION_NOTIFY_BLOCKS_EXCHANGED] ? BETWEEN : EXCHANGING;
        return world->stage == BETWEEN;
    case BETWEEN:
        if (source->seen[RDMIG_ACTION_NOTIFY_ROUND_ENDED] < world->rounds_awaited)
            return false;
        if (write_stream(world, 500 + world->round * 500))
            return true;
        if (rdmig_conn_stream_room_bytes(source->conn) == 0)
            return false;
        if (world->round == ROUNDS) {
            world->stage = TAIL;
            return true;
        }
        return begin_round(world);
    case PUSHING:
        if (world->round < ROUNDS)
            dirty_some(world, fabric_below(&world->fabric, 3));
        return push(world);
    case CLOSING_ROUND:
        return feed_source(world, RDMIG_EVENT_ROUND_CLOSED, BETWEEN);
    case TAIL:
        return world->stream_written < STREAM_TOTAL ? write_stream(world, STREAM_TOTAL)
                                                    : flush(world, RDMIG_FLUSH_CONSUMED, FLUSHING);
    case FLUSHING:
        if (source->seen[RDMIG_ACTION_NOTIFY_FLUSHED] < world->flushes_awaited)
            return false;
        assert_int_equal(world->stream_consumed, STREAM_TOTAL); /* consumed is consumed */
        return write_stream(world, STREAM_TOTAL + 1) &&
               flush(world, RDMIG_FLUSH_DELIVERED, DELIVERING);
    case DELIVERING:
        return source->seen[RDMIG_ACTION_NOTIFY_FLUSHED] == world->flushes_awaited &&
               feed_source(world, RDMIG_EVENT_FINISH_REQUESTED, DONE);
    default:
        return false;
    }
}

/* ---- the destination's application */

static bool act_as_destination(struct world *world)
{
    struct fabric_side *side = &world->fabric.destination;

    if (side->seen[RDMIG_ACTION_REQUEST_BLOCKS] == 1 && !side->tables) {
        const size_t bytes =
            rdmig_blocks_footprint_bytes(world->fabric.destination_blocks, FABRIC_BLOCKS);

        side->tables = malloc(bytes);
        assert_non_null(side->tables);
        return FABRIC_FEED(&world->fabric, side, BLOCKS_PROVIDED,
                           .blocks = world->fabric.destination_blocks, .block_count = FABRIC_BLOCKS,
                           .memory = side->tables, .length = bytes) == RDMIG_OK;
    }
    if (side->delivered_bytes > 0) {
        const uint32_t length = 1 + fabric_below(&world->fabric, (uint32_t)side->delivered_bytes);

        for (uint32_t i = 0; i < length; i++)
            assert_int_equal(side->delivered[i], stream_byte(world->stream_consumed + i));
        side->delivered += length;
        side->delivered_bytes -= length;
        world->stream_consumed += length;
        return FABRIC_FEED(&world->fabric, side, STREAM_CONSUMED, .length = length) == RDMIG_OK;
    }
    if (side->seen[RDMIG_ACTION_NOTIFY_PEER_ENDED] == 1) {
        side->seen[RDMIG_ACTION_NOTIFY_PEER_ENDED]++;
        return FABRIC_FEED(&world->fabric, side, FINISH_REQUESTED) == RDMIG_OK;
    }
    return false;
}

/* ---- the runs */

static void begin(struct world *world, uint64_t seed, const struct rdmig_conn_config *config)
{
    struct fabric *fabric = &world->fabric;

    memset(world, 0, sizeof(*world));
    fabric_open(fabric, seed, config);
    fill_guest(world);
    fabric->source.tables =
        malloc(rdmig_blocks_footprint_bytes(fabric->source_blocks, FABRIC_BLOCKS));
    assert_non_null(fabric->source.tables);
    assert_int_equal(
        FABRIC_FEED(fabric, &fabric->source, BLOCKS_PROVIDED, .blocks = fabric->source_blocks,
                    .block_count = FABRIC_BLOCKS, .memory = fabric->source.tables,
                    .length = rdmig_blocks_footprint_bytes(fabric->source_blocks, FABRIC_BLOCKS)),
        RDMIG_OK);
    FABRIC_FEED(fabric, &fabric->destination, STARTED);
    FABRIC_FEED(fabric, &fabric->source, STARTED);
}

static bool move(struct world *world)
{
    const uint32_t choice = fabric_below(&world->fabric, 4);

    if (choice == 0 && act_as_source(world))
        return true;
    if (choice == 1 && act_as_destination(world))
        return true;
    return fabric_move(&world->fabric) || act_as_source(world) || act_as_destination(world);
}

static bool is_closed(const struct world *world)
{
    return rdmig_conn_phase(world->fabric.source.conn) == RDMIG_PHASE_CLOSED &&
           rdmig_conn_phase(world->fabric.destination.conn) == RDMIG_PHASE_CLOSED;
}

static void check_equal(const struct world *world, uint64_t seed)
{
    for (uint32_t block = 0; block < FABRIC_BLOCKS; block++) {
        for (uint64_t page = 0; page < fabric_page_count(&world->fabric, block); page++) {
            if (world->fabric.source_ram[block][page] != world->fabric.destination_ram[block][page])
                fail_msg("seed %llu: block %u page %llu differs", (unsigned long long)seed,
                         (unsigned int)block, (unsigned long long)page);
        }
    }
}

static void run_whole(struct world *world, uint64_t seed, const struct rdmig_conn_config *config)
{
    struct rdmig_conn_counters counters;

    begin(world, seed, config);
    for (int i = 0; i < MOVES_MAX && !is_closed(world); i++) {
        if (!move(world))
            fail_msg("seed %llu: nothing can go on, stage %d", (unsigned long long)seed,
                     (int)world->stage);
    }
    assert_true(is_closed(world));
    assert_null(rdmig_conn_failure(world->fabric.source.conn));
    assert_null(rdmig_conn_failure(world->fabric.destination.conn));
    assert_int_equal(rdmig_conn_capability_flags(world->fabric.source.conn),
                     config->capability_flags);
    assert_int_equal(rdmig_conn_capability_flags(world->fabric.destination.conn),
                     config->capability_flags);
    check_equal(world, seed);
    assert_int_equal(world->stream_consumed, STREAM_TOTAL + 1);
    rdmig_conn_counters(world->fabric.source.conn, &counters);
    assert_int_equal(counters.rounds, ROUNDS);
    assert_int_equal(counters.bytes_stream, STREAM_TOTAL + 1);
    assert_int_equal(rdmig_conn_bytes_pending(world->fabric.source.conn), 0);
    assert_int_equal(world->fabric.source.seen[RDMIG_ACTION_NOTIFY_UNREGISTERED], world->released);
    fabric_close(&world->fabric);
}

static const struct rdmig_conn_config dynamic_single = {.run_chunk_count = 2};
static const struct rdmig_conn_config dynamic_batch = {
    .run_chunk_count = 1, .register_batch_count = 64, .signal_interval = 5, .send_queue_depth = 16};
static const struct rdmig_conn_config pinned = {
    .capability_flags = 1, .write_bytes_max = 64 * 4096, .stream_message_bytes = 100};

static void run_seeds(const struct rdmig_conn_config *config, uint64_t count)
{
    struct world *world = malloc(sizeof(*world));
    uint32_t released = 0;

    assert_non_null(world);
    for (uint64_t seed = 1; seed <= count; seed++) {
        run_whole(world, seed, config);
        released += world->released;
    }
    if ((config->capability_flags & 1) == 0)
        assert_true(released > count / 20); /* or regions were hardly ever let go */
    free(world);
}

/* Clause: C8, C9, C10, C11, C15, S9 */
static void test_core_pair__dynamic_one_run_at_a_time__arrives_equal(void **state)
{
    (void)state;
    run_seeds(&dynamic_single, 300);
}

/* Clause: C8, C9, C10, C11, C15, R4, S9 */
static void test_core_pair__dynamic_batches_of_64__arrives_equal(void **state)
{
    (void)state;
    run_seeds(&dynamic_batch, 300);
}

/* Clause: C8, C9, C10, C11, C15, R7, S9 */
static void test_core_pair__pin_all__arrives_equal(void **state)
{
    (void)state;
    run_seeds(&pinned, 300);
}

/* ---- faults */

static void break_something(struct world *world)
{
    struct fabric *fabric = &world->fabric;
    struct fabric_side *side =
        fabric_below(fabric, 2) == 0 ? &fabric->source : &fabric->destination;

    switch (fabric_below(fabric, 3)) {
    case 0:
        FABRIC_FEED(fabric, side, CANCEL_REQUESTED);
        break;
    case 1:
        fabric_cut(fabric);
        break;
    default:
        if (side->operations.count > 0) {
            struct rdmig_event event = {.kind = RDMIG_EVENT_COMPLETED,
                                        .tag = side->operations.actions[0].tag,
                                        .status = RDMIG_STATUS_ERROR,
                                        .os_code = 12};

            side->operations.count--;
            memmove(&side->operations.actions[0], &side->operations.actions[1],
                    side->operations.count * sizeof(side->operations.actions[0]));
            fabric_feed(fabric, side, event);
        }
        break;
    }
}

/* A destination waits for its source as long as its application likes: here no longer. Nothing else
 * waits for ever. */
static void give_up_waiting(struct world *world, uint64_t seed)
{
    if (rdmig_conn_phase(world->fabric.destination.conn) != RDMIG_PHASE_CONNECTING)
        fail_msg("seed %llu: stuck, stage %d", (unsigned long long)seed, (int)world->stage);
    FABRIC_FEED(&world->fabric, &world->fabric.destination, CANCEL_REQUESTED);
}

static bool run_broken(struct world *world, uint64_t seed, const struct rdmig_conn_config *config)
{
    uint32_t fault_at;
    uint32_t waits = 0;
    uint32_t moves = 0;
    bool has_failed;

    begin(world, seed, config);
    fault_at = fabric_below(&world->fabric, 700);
    for (; moves < MOVES_MAX && !is_closed(world); moves++) {
        if (moves == fault_at)
            break_something(world);
        if (world->stage ==
            DONE) /* the source believes that it has been delivered: so it must be */
            assert_true(world->stream_consumed + world->fabric.destination.delivered_bytes ==
                            STREAM_TOTAL + 1 ||
                        world->fabric.destination.recv_cqes.count > 0 ||
                        world->fabric.destination.is_undrained ||
                        rdmig_conn_failure(world->fabric.destination.conn));
        if (move(world))
            continue;
        if (!fabric_wait(&world->fabric))
            give_up_waiting(world, seed);
        assert_true(++waits < 100);
    }
    assert_true(is_closed(world));
    has_failed = rdmig_conn_failure(world->fabric.source.conn) &&
                 rdmig_conn_failure(world->fabric.destination.conn);
    fabric_close(&world->fabric);
    return has_failed;
}

/* Clause: E3, E6, E7, E8, E9, E10 */
static void test_core_pair__with_a_fault__both_sides_close_and_nobody_is_deceived(void **state)
{
    static const struct rdmig_conn_config *const configs[] = {&dynamic_single, &dynamic_batch,
                                                              &pinned};
    struct world *world = malloc(sizeof(*world));
    uint32_t failed_count = 0;

    (void)state;
    assert_non_null(world);
    for (uint64_t seed = 1; seed <= 600; seed++) {
        struct rdmig_conn_config config = *configs[seed % 3];

        config.reply_timeout_ns = 5 * SECOND;
        config.connect_timeout_ns = 5 * SECOND;
        config.probe_interval_ns = SECOND;
        config.close_timeout_ns = SECOND;
        failed_count += run_broken(world, seed, &config) ? 1 : 0;
    }
    assert_in_range(failed_count, 100,
                    500); /* both kinds are tried: that end in time, and that do not */
    free(world);
}
int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_core_pair__dynamic_one_run_at_a_time__arrives_equal),
        cmocka_unit_test(test_core_pair__dynamic_batches_of_64__arrives_equal),
        cmocka_unit_test(test_core_pair__pin_all__arrives_equal),
        cmocka_unit_test(test_core_pair__with_a_fault__both_sides_close_and_nobody_is_deceived),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
