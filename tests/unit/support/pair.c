/* SPDX-License-Identifier: BSD-2-Clause */
#include "support/pair.h"

#include <stdlib.h>
#include <string.h>

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

/* From the cursor to the end of all blocks. */
static uint64_t next_run_of_all(struct world *world, bool *is_zero)
{
    uint64_t count = next_run(world, is_zero);

    while (count == 0 && world->cursor_block + 1 < FABRIC_BLOCKS) {
        world->cursor_block++;
        world->cursor_page = 0;
        count = next_run(world, is_zero);
    }
    return count;
}

/* Somewhere, as long as there is any. */
static uint64_t any_run(struct world *world, bool *is_zero)
{
    uint64_t count;

    world->cursor_block = fabric_below(&world->fabric, FABRIC_BLOCKS);
    world->cursor_page = fabric_below(
        &world->fabric, (uint32_t)fabric_page_count(&world->fabric, world->cursor_block));
    count = next_run_of_all(world, is_zero);
    if (count > 0)
        return count;
    world->cursor_block = 0;
    world->cursor_page = 0;
    return next_run_of_all(world, is_zero);
}

static bool push(struct world *world)
{
    struct rdmig_event event = {.kind = RDMIG_EVENT_RANGE_PUSHED};
    uint64_t count;

    if (rdmig_conn_range_room_count(world->fabric.source.conn) == 0)
        return false;
    count = world->is_shuffled ? any_run(world, &event.is_zero)
                               : next_run_of_all(world, &event.is_zero);
    if (count == 0) {
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
    world->pushed_count++;
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
    world->pushed_count = 0;
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

static bool act_between(struct world *world)
{
    const struct fabric_side *source = &world->fabric.source;

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
}

static bool act_pushing(struct world *world)
{
    if (world->round < ROUNDS && world->is_shuffled && world->pushed_count < DIRTYING_PUSHES)
        dirty_some(world, fabric_below(&world->fabric, 12));
    else if (world->round < ROUNDS && !world->is_shuffled)
        dirty_some(world, fabric_below(&world->fabric, 3));
    if (world->is_shuffled && fabric_below(&world->fabric, 16) == 0)
        release_some(world);
    return push(world);
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
        return act_between(world);
    case PUSHING:
        return act_pushing(world);
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

void pair_begin(struct world *world, uint64_t seed, const struct rdmig_conn_config *source,
                const struct rdmig_conn_config *destination)
{
    struct fabric *fabric = &world->fabric;

    memset(world, 0, sizeof(*world));
    fabric_open(fabric, seed, source, destination);
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

bool pair_move(struct world *world)
{
    const uint32_t choice = fabric_below(&world->fabric, 4);

    if (choice == 0 && act_as_source(world))
        return true;
    if (choice == 1 && act_as_destination(world))
        return true;
    return fabric_move(&world->fabric) || act_as_source(world) || act_as_destination(world);
}

bool pair_is_closed(const struct world *world)
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

void pair_run_whole(struct world *world, uint64_t seed)
{
    for (int i = 0; i < MOVES_MAX && !pair_is_closed(world); i++) {
        if (!pair_move(world))
            fail_msg("seed %llu: nothing can go on, stage %d", (unsigned long long)seed,
                     (int)world->stage);
    }
    assert_true(pair_is_closed(world));
    assert_null(rdmig_conn_failure(world->fabric.source.conn));
    assert_null(rdmig_conn_failure(world->fabric.destination.conn));
    world->agreed_flags = rdmig_conn_capability_flags(world->fabric.source.conn);
    assert_int_equal(rdmig_conn_capability_flags(world->fabric.destination.conn),
                     world->agreed_flags);
    check_equal(world, seed);
    assert_int_equal(world->stream_consumed, STREAM_TOTAL + 1);
    rdmig_conn_counters(world->fabric.source.conn, &world->counters);
    assert_int_equal(world->counters.rounds, ROUNDS);
    assert_int_equal(world->counters.bytes_stream, STREAM_TOTAL + 1);
    assert_int_equal(rdmig_conn_bytes_pending(world->fabric.source.conn), 0);
    assert_int_equal(world->fabric.source.seen[RDMIG_ACTION_NOTIFY_UNREGISTERED], world->released);
    fabric_close(&world->fabric);
}
