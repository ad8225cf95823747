/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The source's side of dynamic registration (docs/protocol.md section R): which runs to ask for,
 * the two halves of each (the destination's region and ours, made at the same time), and stock's
 * short answer. Runs are asked for, and answered, in the order in which they are planned.
 */
#include "internal.h"

/* Most chunks in one message, between our own ends, but for a longer run: the answer comes
 * when all are registered, and meanwhile there should be something to write. */
#define MESSAGE_CHUNK_COUNT 256u
/* The same when all credits had been spent: outstanding ones keep the destination busy, and fewer
 * messages do. */
#define MESSAGE_CHUNK_COUNT_HELD 768u
/* Chunks ahead of what is written that our side may be made of, if that is not two runs: 5 ms. */
#define NEAR_CHUNK_COUNT_MIN 64u

static uint32_t run_index(const struct source *source, uint32_t position)
{
    return (source->run_head + position) % RDMIG_REGISTER_BATCH_MAX;
}

static struct run *run_at(struct source *source, uint32_t position)
{
    return &source->runs[run_index(source, position)];
}

/* ---- planning */

/* Runs that may be planned at a time. With one credit: what the next request will name. */
static uint32_t run_room_count(const struct rdmig_conn *conn)
{
    const struct source *source = &conn->u.source;

    return source->run_count < source->batch_count ? source->batch_count - source->run_count : 0;
}

static uint32_t count_free(const struct rdmig_conn *conn, uint32_t block_index, uint64_t chunk,
                           uint64_t last_chunk, uint32_t count_max)
{
    uint32_t count = 0;

    while (count < count_max && chunk + count <= last_chunk &&
           blocks_chunk(conn, block_index, (uint32_t)chunk + count).count == 0)
        count++;
    return count;
}

/* What may come next where as much has come at a time already. */
static uint64_t grown(const struct rdmig_conn *conn, uint64_t largest_chunk_count)
{
    const uint64_t first_chunk_count = conn->config.first_run_chunk_count;

    return 2 * largest_chunk_count > first_chunk_count ? 2 * largest_chunk_count
                                                       : first_chunk_count;
}

static uint32_t run_limit(const struct rdmig_conn *conn)
{
    const uint32_t limit = eviction_run_limit(conn);
    const uint64_t growing = grown(conn, conn->u.source.largest_run_chunk_count);

    return growing < limit ? (uint32_t)growing : limit;
}

static void add_run(struct rdmig_conn *conn, uint32_t block_index, uint32_t first_chunk,
                    uint32_t chunk_count)
{
    struct source *source = &conn->u.source;

    if (CORE_NEVER(conn, chunk_count == 0 || source->run_count >= RDMIG_REGISTER_BATCH_MAX))
        return;
    if (chunk_count > source->largest_run_chunk_count)
        source->largest_run_chunk_count = chunk_count;
    *run_at(source, source->run_count++) = (struct run){.block_index = block_index,
                                                        .first_chunk = first_chunk,
                                                        .chunk_count = chunk_count,
                                                        .local = STEP_WANTED,
                                                        .remote = STEP_WANTED};
    source->pinned_bytes += blocks_run_bytes(conn, block_index, first_chunk, chunk_count);
    for (uint32_t i = 0; i < chunk_count; i++)
        blocks_set_chunk(conn, block_index, first_chunk + i, 0, REGION_PENDING);
}

/* Chunks from this one on that were planned for ranges before are not looked at again: where pages
 * are few and far between, each would see the same hundreds of chunks ahead. */
static uint64_t pass_planned(const struct source *source, uint32_t block_index, uint64_t chunk)
{
    const struct planned *planned = &source->planned;
    const bool is_inside = planned->block_index == block_index && chunk >= planned->first_chunk &&
                           chunk < planned->end_chunk;

    return is_inside ? planned->end_chunk : chunk;
}

static void note_planned(struct source *source, uint32_t block_index, uint64_t first_chunk,
                         uint64_t end_chunk)
{
    struct planned *planned = &source->planned;

    if (planned->block_index != block_index || first_chunk < planned->first_chunk ||
        first_chunk > planned->end_chunk)
        *planned = (struct planned){block_index, first_chunk, end_chunk};
    else if (end_chunk > planned->end_chunk)
        planned->end_chunk = end_chunk;
}

/*
 * Adds the runs that a range still needs; stops when there is no room, and goes on from there the
 * next time. Without a limit also those that what is expected behind it will need, so that the
 * destination need not wait for our scan. False: nothing behind it may be planned before it goes
 * on.
 */
static bool plan_range(struct rdmig_conn *conn, uint32_t position)
{
    struct range *range = ranges_at(conn, position);
    const uint32_t block_index = range->span.block_index;
    const uint64_t last_allowed = (range->register_end_bytes - 1) / RDMIG_CHUNK_BYTES;
    const uint64_t last_needed = (range->span.end_bytes - 1) / RDMIG_CHUNK_BYTES;
    const bool is_far = conn->u.source.pinned_limit_bytes == 0;
    const uint64_t last_chunk = is_far ? last_allowed : last_needed;
    uint64_t first_chunk = range->span.start_bytes / RDMIG_CHUNK_BYTES;
    uint64_t chunk;
    bool may_go_on = true;

    if (first_chunk < range->planned_chunk)
        first_chunk = range->planned_chunk;
    chunk = pass_planned(&conn->u.source, block_index, first_chunk);
    while (may_go_on && chunk <= last_chunk && run_room_count(conn) > 0) {
        const struct span planned = {block_index, range->span.start_bytes,
                                     chunk * RDMIG_CHUNK_BYTES};
        const uint32_t limit = run_limit(conn);
        const uint32_t count = count_free(conn, block_index, chunk, last_allowed, limit);

        /* What is expected may go on: little of it would cost a message now and another then. */
        if (chunk > last_needed && chunk + count > last_allowed && 2 * count < limit)
            break;
        if (count > 0) {
            may_go_on = eviction_make_room(
                conn, blocks_run_bytes(conn, block_index, (uint32_t)chunk, count), position,
                &planned);
            if (may_go_on)
                add_run(conn, block_index, (uint32_t)chunk, count);
        } else { /* a region's number is free once it is deregistered here, too */
            may_go_on =
                blocks_chunk(conn, block_index, (uint32_t)chunk).count != REGION_UNREGISTERING;
        }
        if (may_go_on)
            chunk += count > 0 ? count : 1;
    }
    range->planned_chunk = chunk;
    note_planned(&conn->u.source, block_index, first_chunk, chunk);
    return may_go_on;
}

static bool has_wanted(const struct source *source)
{
    return source->run_count > source->run_asked_count;
}

/*
 * What comes next in the queue that needs a command. True: runs to register. *zero_position is a
 * range to COMPRESS, or NO_SLOT: none, or one that must wait.
 */
bool registration_plan(struct rdmig_conn *conn, uint32_t *zero_position)
{
    struct source *source = &conn->u.source;
    const bool is_pipelined = conn_is_pipelined(conn);
    bool may_plan = !source->is_pinned;

    *zero_position = NO_SLOT;
    if (!is_pipelined && has_wanted(source))
        return true;
    for (uint32_t i = 0; i < source->range_count; i++) {
        const struct range *range = ranges_at(conn, i);

        if (!range->is_zero && range->state != STEP_DONE && may_plan && run_room_count(conn) > 0)
            may_plan = plan_range(conn, i);
        if (!range->is_zero || range->state != STEP_WANTED)
            continue;
        if (*zero_position == NO_SLOT && ranges_may_zero(conn, i))
            *zero_position = i;
        if (!is_pipelined)
            break; /* a batch of runs does not reach over a zero range: it goes first, or waits */
    }
    /* Not if planning has just failed: no chunk fits the limit. */
    return conn->phase == RDMIG_PHASE_RUNNING && has_wanted(source);
}

/* ---- asking */

static uint64_t message_chunk_count_max(const struct rdmig_conn *conn)
{
    const struct source *source = &conn->u.source;
    const uint64_t growing = grown(conn, source->largest_message_chunk_count);
    const uint64_t limit =
        source->was_credit_starved ? MESSAGE_CHUNK_COUNT_HELD : MESSAGE_CHUNK_COUNT;

    if (!conn_is_pipelined(conn))
        return UINT64_MAX;
    return growing < limit ? growing : limit;
}

void registration_ask(struct rdmig_conn *conn, uint32_t slot, struct rdmig_action *action)
{
    struct source *source = &conn->u.source;
    uint8_t *data = flight_send_bytes(conn, slot) + RDMIG_HEADER_BYTES;
    struct wire_header header = {.type = RDMIG_MESSAGE_REGISTER_REQUEST};
    const uint64_t chunk_count_max = message_chunk_count_max(conn);
    uint64_t chunk_count = 0;

    while (has_wanted(source) && header.repeat < source->batch_count) {
        struct run *run = run_at(source, source->run_asked_count);
        const struct wire_register entry = {
            .key = blocks_at(conn, run->block_index)->ram_offset_bytes +
                   run->first_chunk * RDMIG_CHUNK_BYTES,
            .block_index = run->block_index,
            .extra_chunk_count = run->chunk_count - 1,
        };

        if (header.repeat > 0 && chunk_count + run->chunk_count > chunk_count_max)
            break;
        chunk_count += run->chunk_count;
        source->run_asked_count++;
        run->remote = STEP_ASKED;
        wire_write_register(data + header.length_bytes, &entry);
        header.length_bytes += WIRE_REGISTER_ENTRY_BYTES;
        header.repeat++;
    }
    if (chunk_count > source->largest_message_chunk_count)
        source->largest_message_chunk_count = chunk_count;
    commands_send(conn, slot, &header, chunk_count * RDMIG_CHUNK_BYTES, action);
}

/*
 * Our side of a run is registered when writing comes near it: as many as a message names would
 * take longer, in a row, than what is in flight, and the link would fall idle meanwhile. While
 * nothing waits to be written it is the scan that the link waits for.
 */
static bool is_near(struct rdmig_conn *conn, uint32_t position, const struct range *front)
{
    const struct run *run = run_at(&conn->u.source, position);
    uint64_t near_count = UINT64_C(2) * conn->config.run_chunk_count;

    if (!conn_is_pipelined(conn))
        return true;
    if (!front)
        return run->remote == STEP_DONE || conn->u.source.round == ROUND_CLOSING;
    if (run->block_index != front->span.block_index)
        return position <= 1;
    if (near_count < NEAR_CHUNK_COUNT_MIN)
        near_count = NEAR_CHUNK_COUNT_MIN;
    return run->first_chunk <= front->span.start_bytes / RDMIG_CHUNK_BYTES + near_count;
}

bool registration_next_local(struct rdmig_conn *conn, struct rdmig_action *action)
{
    struct source *source = &conn->u.source;
    const struct range *front = ranges_front(conn);

    for (uint32_t i = 0; i < source->run_asked_count; i++) {
        struct run *run = run_at(source, i);

        if (run->local != STEP_WANTED || !is_near(conn, i, front) ||
            !flight_start(conn, OPERATION_REGISTER, run_index(source, i), &action->tag))
            continue;
        run->local = STEP_ASKED;
        blocks_region_action(conn, RDMIG_ACTION_REGISTER, run->block_index, run->first_chunk,
                             run->chunk_count, action);
        return true;
    }
    return false;
}

/* Both halves done: the chunks can be written, whatever becomes of the runs before it. */
static void settle_run(struct rdmig_conn *conn, struct run *run)
{
    if (run->local != STEP_DONE || run->remote != STEP_DONE)
        return;
    blocks_set_chunk(conn, run->block_index, run->first_chunk, run->rkey, run->chunk_count);
    for (uint32_t k = 1; k < run->chunk_count; k++)
        blocks_set_chunk(conn, run->block_index, run->first_chunk + k, k, REGION_MEMBER);
    eviction_region_registered(conn, run);
    run->chunk_count = 0;
}

/* Takes settled runs off the front. */
static void settle(struct rdmig_conn *conn, struct run *run)
{
    struct source *source = &conn->u.source;

    settle_run(conn, run);
    while (source->run_answered_count > 0 && run_at(source, 0)->chunk_count == 0) {
        source->run_head = run_index(source, 1);
        source->run_count--;
        source->run_asked_count--;
        source->run_answered_count--;
    }
}

void registration_local_done(struct rdmig_conn *conn, uint32_t subject)
{
    struct run *run = &conn->u.source.runs[subject % RDMIG_REGISTER_BATCH_MAX];

    if (CORE_NEVER(conn, subject >= RDMIG_REGISTER_BATCH_MAX || run->local != STEP_ASKED))
        return;
    run->local = STEP_DONE;
    settle(conn, run);
}

/* ---- answers */

/* False: the connection has failed. Clause R11. */
static bool take_result(struct rdmig_conn *conn, const uint8_t *bytes)
{
    struct source *source = &conn->u.source;
    struct run *run = run_at(source, source->run_answered_count);
    struct rdmig_failure details = {.message_type = RDMIG_MESSAGE_REGISTER_RESULT,
                                    .block_index = run->block_index};
    struct wire_result result;

    if (CORE_NEVER(conn, source->run_answered_count >= source->run_asked_count))
        return false;
    wire_read_result(bytes, &result);
    details.expected = blocks_at(conn, run->block_index)->remote_addr;
    details.actual = result.host_addr;
    if (details.expected != details.actual) {
        conn_fail(conn, RDMIG_REASON_HOST_ADDR, &details);
        return false;
    }
    run->rkey = result.rkey;
    run->remote = STEP_DONE;
    source->run_answered_count++;
    settle(conn, run);
    return true;
}

/* Clauses R4, R5, R12. */
void registration_answered(struct rdmig_conn *conn, const uint8_t *data,
                           const struct wire_header *header)
{
    struct source *source = &conn->u.source;
    const uint32_t asked_count = commands_oldest(conn)->entry_count;
    const uint32_t count = header->length_bytes / WIRE_RESULT_ENTRY_BYTES;
    const bool is_short = count == 1 && asked_count > 1 && !conn_is_pipelined(conn);

    if ((count != asked_count && !is_short) ||
        (header->repeat != asked_count && !(header->repeat == 0 && asked_count == 1))) {
        conn_fail_message(conn, RDMIG_REASON_MESSAGE_REPEAT, header->type, asked_count,
                          count != asked_count ? count : header->repeat);
        return;
    }
    for (uint32_t i = 0; i < count; i++) {
        if (!take_result(conn, data + (uint64_t)i * WIRE_RESULT_ENTRY_BYTES))
            return;
    }
    if (!is_short)
        return;
    /* Those without an answer are asked for again, one by one. Ours may be registered already. */
    source->batch_count = 1;
    for (uint32_t i = source->run_answered_count; i < source->run_asked_count; i++)
        run_at(source, i)->remote = STEP_WANTED;
    source->run_asked_count = source->run_answered_count;
}
