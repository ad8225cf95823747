/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Rounds of the stock source: it takes the dirty log, walks page by page, merges neighbours up to
 * the chunk's end, and writes each such piece: one write in flight a chunk, each signalled,
 * registration first there and then here.
 */
#include "stock_source.h"

#include <inttypes.h>
#include <stdlib.h>

enum { TAIL_WORDS = 3 }; /* what follows a round's end in the stream, before the next hook */

void stock_round_init(struct stock_source *source)
{
    const struct guest_options *options = &source->party.world->options->guest;

    stock_dirty_init(&source->dirty, options);
    source->chunk_bytes = stock_chunk_bytes(source->party.world);
    for (uint32_t i = 0; i < options->block_count; i++) {
        source->remote[i].first_chunk = source->chunk_count;
        source->chunk_count +=
            (options->block_bytes[i] + source->chunk_bytes - 1) / source->chunk_bytes;
    }
    source->chunks = calloc(source->chunk_count + 1, sizeof(*source->chunks));
    if (!source->chunks)
        abort();
}

void stock_round_free(struct stock_source *source)
{
    stock_dirty_free(&source->dirty);
    free(source->chunks);
}

bool stock_round_pin(struct stock_source *source)
{
    const struct guest_options *options = &source->party.world->options->guest;

    for (uint32_t i = 0; i < options->block_count; i++) {
        source->remote[i].local_key =
            port_register(source->party.port, i, 0, options->block_bytes[i], false);
        if (source->remote[i].local_key == 0)
            return false;
    }
    return true;
}

/* ---- the piece */

static uint64_t offset_of(const struct stock_piece *piece)
{
    return piece->first_page * SIM_PAGE_BYTES;
}

static uint64_t length_of(const struct stock_piece *piece)
{
    return piece->page_count * SIM_PAGE_BYTES;
}

static uint64_t chunk_index(const struct stock_source *source)
{
    return source->remote[source->piece.block].first_chunk +
           offset_of(&source->piece) / source->chunk_bytes;
}

static struct stock_chunk *chunk_of(struct stock_source *source)
{
    return &source->chunks[chunk_index(source)];
}

bool stock_round_is_pending(const struct stock_source *source, uint32_t block, uint64_t page)
{
    const struct stock_piece *piece = &source->piece;

    return (piece->page_count > 0 && piece->block == block && page >= piece->first_page &&
            page - piece->first_page < piece->page_count) ||
           stock_dirty_is_set(&source->dirty, block, page);
}

/* ---- stages */

bool stock_run_round_take(struct stock_source *source)
{
    struct world *world = source->party.world;
    const uint64_t word_count = stock_dirty_take(&source->dirty, world->guest, world->now_ns);
    const bool is_first = source->party.numbers.rounds == 0;

    stock_dirty_rewind(&source->dirty);
    source->round_start_ns = port_time_ns(source->party.port);
    source->round_bytes = source->party.numbers.bytes_written + source->party.numbers.bytes_zero;
    if (is_first)
        source->party.numbers.first_round_start_ns = source->round_start_ns;
    stock_source_stream(source, is_first ? 0 : TAIL_WORDS, STREAM_HOOK);
    stock_source_spend(source, word_count * world->costs.bitmap_word_ps / 1000,
                       STOCK_STAGE_ROUND_OPEN);
    return true;
}

bool stock_run_walk(struct stock_source *source)
{
    const struct costs *costs = &source->party.world->costs;
    uint64_t word_count;
    uint64_t time_ns;

    if (!stock_dirty_next(&source->dirty, source->chunk_bytes / SIM_PAGE_BYTES, &source->piece,
                          &word_count)) {
        source->stage = STOCK_STAGE_DRAIN;
        return true;
    }
    time_ns =
        word_count * costs->bitmap_word_ps / 1000 + source->piece.page_count * costs->stock_page_ns;
    stock_source_spend(source, time_ns, STOCK_STAGE_PIECE);
    return true;
}

/* Looks at the piece until it finds data. */
static bool look_for_data(struct stock_source *source, uint64_t *time_ns)
{
    const struct world *world = source->party.world;
    const struct stock_piece *piece = &source->piece;
    bool is_zero;
    uint64_t count;

    guest_advance(world->guest, world->now_ns);
    count = ram_run(world->ram[RDMIG_ROLE_SOURCE], piece->block, piece->first_page,
                    piece->page_count, &is_zero);
    *time_ns =
        is_zero ? costs_time_ns(count * SIM_PAGE_BYTES, world->costs.scan_zero_bytes_per_s) : 0;
    if (is_zero && count == piece->page_count)
        return false;
    *time_ns += world->costs.scan_data_page_ps / 1000;
    return true;
}

/* It waits for a write of its own in a loop that looks at the completion queue: that costs a
 * wake-up, not the way round its main loop that a message costs. */
static void wait_for_write(struct stock_source *source, bool is_waiting)
{
    const struct costs *costs = &source->party.world->costs;

    port_set_wait(source->party.port, is_waiting ? costs->wakeup_ns : costs->stock_wait_ns,
                  costs->wakeup_cpu_ns);
}

bool stock_run_piece(struct stock_source *source)
{
    const struct stock_chunk *chunk = chunk_of(source);
    uint64_t time_ns;
    bool has_data;

    wait_for_write(source, chunk->is_in_flight);
    if (chunk->is_in_flight)
        return false;
    if (source->is_pin_all || chunk->local_key != 0) {
        source->stage = STOCK_STAGE_WRITE;
        return true;
    }
    has_data = look_for_data(source, &time_ns);
    stock_source_spend(source, time_ns, has_data ? STOCK_STAGE_REGISTER_ASK : STOCK_STAGE_COMPRESS);
    return true;
}

bool stock_run_register_ask(struct stock_source *source)
{
    const struct stock_piece *piece = &source->piece;
    const struct stock_register_entry entry = {
        .key = source->remote[piece->block].ram_offset + offset_of(piece),
        .block = piece->block,
    };

    stock_write_register(source->channel.send_memory + STOCK_HEADER_BYTES, &entry);
    stock_source_command(source, STOCK_REGISTER_REQUEST, STOCK_REGISTER_ENTRY_BYTES,
                         STOCK_REGISTER_RESULT, STOCK_STAGE_REGISTER_TAKE);
    return true;
}

bool stock_run_register_take(struct stock_source *source)
{
    const struct guest_options *options = &source->party.world->options->guest;
    const uint32_t block = source->piece.block;
    const uint64_t start_bytes =
        offset_of(&source->piece) / source->chunk_bytes * source->chunk_bytes;
    const uint64_t rest_bytes = options->block_bytes[block] - start_bytes;
    struct stock_chunk *chunk = chunk_of(source);
    struct stock_result_entry result;

    if (source->answer.length_bytes < STOCK_RESULT_ENTRY_BYTES) {
        stock_source_fail(source, "REGISTER_RESULT without a result");
        return false;
    }
    stock_read_result(source->answer.data, &result);
    stock_channel_give_back(&source->channel, source->answer.buffer);
    chunk->rkey = result.rkey;
    source->remote[block].addr = result.addr;
    chunk->local_key =
        port_register(source->party.port, block, start_bytes,
                      rest_bytes < source->chunk_bytes ? rest_bytes : source->chunk_bytes, false);
    if (chunk->local_key == 0) {
        stock_source_fail(source, "a chunk cannot be registered");
        return false;
    }
    source->stage = STOCK_STAGE_WRITE;
    return true;
}

bool stock_run_write(struct stock_source *source)
{
    struct port *port = source->party.port;
    const struct stock_piece *piece = &source->piece;
    const struct stock_remote *remote = &source->remote[piece->block];
    struct stock_chunk *chunk = chunk_of(source);
    const struct write_request request = {
        .id = (uint64_t)STOCK_WORK_WRITE << STOCK_WORK_SHIFT |
              piece->page_count << STOCK_PAGES_SHIFT | chunk_index(source),
        .local_key = source->is_pin_all ? remote->local_key : chunk->local_key,
        .block = piece->block,
        .offset_bytes = offset_of(piece),
        .length_bytes = length_of(piece),
        .remote_addr = remote->addr + offset_of(piece),
        .rkey = source->is_pin_all ? remote->rkey : chunk->rkey,
        .is_signalled = true,
    };

    port_spend(port, source->party.world->costs.post_ns);
    if (!port_post_write(port, &request)) {
        if (source->writes_in_flight == 0)
            stock_source_fail(source, "an RDMA Write cannot be posted");
        wait_for_write(source, true);
        return false; /* the queue is full: a completion makes room */
    }
    wait_for_write(source, false);
    chunk->is_in_flight = true;
    source->writes_in_flight++;
    source->stage = STOCK_STAGE_PIECE_END;
    return true;
}

bool stock_run_compress(struct stock_source *source)
{
    const struct stock_piece *piece = &source->piece;
    const struct stock_compress_entry entry = {
        .block = piece->block,
        .ram_offset = source->remote[piece->block].ram_offset + offset_of(piece),
        .length_bytes = length_of(piece),
    };

    stock_write_compress(source->channel.send_memory + STOCK_HEADER_BYTES, &entry);
    source->party.numbers.bytes_zero += entry.length_bytes;
    stock_source_command(source, STOCK_COMPRESS, STOCK_COMPRESS_ENTRY_BYTES, 0,
                         STOCK_STAGE_PIECE_END);
    return true;
}

bool stock_run_piece_end(struct stock_source *source)
{
    source->piece.page_count = 0;
    source->stage = STOCK_STAGE_WALK;
    return true;
}

void stock_round_written(struct stock_source *source, uint64_t id)
{
    const uint64_t index = id & UINT32_MAX;
    const uint64_t page_count = (id >> STOCK_PAGES_SHIFT) & ((UINT64_C(1) << 28) - 1);

    source->chunks[index].is_in_flight = false;
    source->writes_in_flight--;
    source->party.numbers.bytes_written += page_count * SIM_PAGE_BYTES;
}

bool stock_run_drain(struct stock_source *source)
{
    struct party_numbers *numbers = &source->party.numbers;

    if (source->writes_in_flight > 0)
        return false;
    numbers->ram_end_ns = port_time_ns(source->party.port);
    if (numbers->first_round_end_ns == 0) {
        numbers->first_round_end_ns = numbers->ram_end_ns;
        numbers->first_round_bytes = numbers->bytes_written + numbers->bytes_zero;
    }
    stock_source_command(source, STOCK_REGISTER_FINISHED, 0, 0, STOCK_STAGE_ROUND_END);
    return true;
}

bool stock_run_round_end(struct stock_source *source)
{
    struct party_numbers *numbers = &source->party.numbers;

    numbers->rounds++;
    world_log(source->party.world,
              "stock source round %" PRIu64 " done: written %" PRIu64 " zero %" PRIu64,
              numbers->rounds, numbers->bytes_written, numbers->bytes_zero);
    source->stage = STOCK_STAGE_JUDGE;
    return true;
}

/* What is left takes no longer than the guest may stand still, at the speed of this round. */
static bool is_near_enough(const struct stock_source *source)
{
    const struct party_numbers *numbers = &source->party.numbers;
    const uint64_t time_us = (numbers->ram_end_ns - source->round_start_ns) / 1000 + 1;
    const uint64_t moved_bytes = numbers->bytes_written + numbers->bytes_zero - source->round_bytes;
    const uint64_t bytes_per_us = moved_bytes / time_us + 1;

    return source->dirty.set_count * SIM_PAGE_BYTES / bytes_per_us <=
           source->party.world->options->downtime_limit_ns / 1000;
}

bool stock_run_judge(struct stock_source *source)
{
    struct world *world = source->party.world;
    struct party_numbers *numbers = &source->party.numbers;

    if (source->is_last_round) {
        stock_source_stream(source, world->options->state_bytes / STREAM_WORD_BYTES, STREAM_END);
        source->stage = STOCK_STAGE_STATE;
        return true;
    }
    port_spend(source->party.port, stock_dirty_take(&source->dirty, world->guest, world->now_ns) *
                                       world->costs.bitmap_word_ps / 1000);
    if (is_near_enough(source) || numbers->rounds >= world->options->round_count_max) {
        guest_stop(world->guest, world->now_ns);
        numbers->stopped_ns = world->now_ns;
        source->is_last_round = true;
        world_log(world, "stock source stops the guest: %" PRIu64 " pages are left",
                  source->dirty.set_count);
    }
    source->stage = STOCK_STAGE_ROUND_TAKE;
    return true;
}
