/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The source's side of dynamic registration (docs/protocol.md section R): which runs to ask for,
 * the two halves of each (the destination's region and ours, made at the same time), stock's short
 * answer, and letting go.
 */
#include "internal.h"

/* Is the chunk part of a run that is being registered? */
static bool is_in_runs(const struct source *source, uint32_t block_index, uint64_t chunk_index)
{
    for (uint32_t i = 0; i < source->run_count; i++) {
        const struct run *run = &source->runs[i];

        if (run->block_index == block_index && chunk_index >= run->first_chunk &&
            chunk_index - run->first_chunk < run->chunk_count)
            return true;
    }
    return false;
}

static bool is_free(struct rdmig_conn *conn, uint32_t block_index, uint64_t chunk_index)
{
    return blocks_chunk(conn, block_index, (uint32_t)chunk_index).count == 0 &&
           !is_in_runs(&conn->u.source, block_index, chunk_index);
}

/* Adds the runs that a range still needs; stops when the batch is full, and goes on from there the
 * next time. */
static void plan_range(struct rdmig_conn *conn, struct range *range)
{
    struct source *source = &conn->u.source;
    const uint32_t block_index = range->span.block_index;
    const uint64_t last_needed = (range->span.end_bytes - 1) / RDMIG_CHUNK_BYTES;
    const uint64_t last_allowed = (range->register_end_bytes - 1) / RDMIG_CHUNK_BYTES;
    uint64_t chunk = range->span.start_bytes / RDMIG_CHUNK_BYTES;

    if (chunk < range->planned_chunk)
        chunk = range->planned_chunk;
    while (chunk <= last_needed && source->run_count < source->batch_count) {
        struct run *run = &source->runs[source->run_count];
        uint32_t count = 0;

        while (count < conn->config.run_chunk_count && chunk + count <= last_allowed &&
               is_free(conn, block_index, chunk + count))
            count++;
        if (count > 0) {
            *run = (struct run){
                .block_index = block_index, .first_chunk = (uint32_t)chunk, .chunk_count = count};
            run->local = STEP_WANTED;
            run->remote = STEP_WANTED;
            source->run_count++;
        }
        chunk += count > 0 ? count : 1;
    }
    range->planned_chunk = chunk;
}

/*
 * What comes next in the queue that needs a command. True: runs to register (in source->runs).
 * False: *zero_position is a range to COMPRESS, or NO_SLOT: nothing, or something that must wait.
 */
bool registration_plan(struct rdmig_conn *conn, uint32_t *zero_position)
{
    struct source *source = &conn->u.source;

    *zero_position = NO_SLOT;
    if (source->release != RELEASE_NONE)
        return false;
    for (uint32_t i = 0; i < source->run_count; i++) {
        if (source->runs[i].remote == STEP_WANTED)
            return true;
    }
    for (uint32_t i = 0; i < source->range_count; i++) {
        struct range *range = ranges_at(conn, i);

        if (range->is_zero && range->state == STEP_WANTED) {
            if (ranges_may_zero(conn, i))
                *zero_position = i;
            break; /* a batch of runs does not reach over a zero range: it goes first, or waits */
        }
        if (!range->is_zero && range->state != STEP_DONE && !source->is_pinned &&
            source->run_count < source->batch_count)
            plan_range(conn, range);
    }
    for (uint32_t i = 0; i < source->run_count; i++) {
        if (source->runs[i].remote == STEP_WANTED)
            return true;
    }
    return false;
}

bool registration_ask(struct rdmig_conn *conn, uint32_t slot, struct rdmig_action *action)
{
    struct source *source = &conn->u.source;
    uint8_t *data = flight_send_bytes(conn, slot) + RDMIG_HEADER_BYTES;
    struct wire_header header = {.type = RDMIG_MESSAGE_REGISTER_REQUEST};

    source->asked_count = 0;
    for (uint32_t i = 0; i < source->run_count && source->asked_count < source->batch_count; i++) {
        struct run *run = &source->runs[i];
        const struct wire_register entry = {
            .key = blocks_at(conn, run->block_index)->ram_offset_bytes +
                   run->first_chunk * RDMIG_CHUNK_BYTES,
            .block_index = run->block_index,
            .extra_chunk_count = run->chunk_count - 1,
        };

        if (run->remote != STEP_WANTED)
            continue;
        run->remote = STEP_ASKED;
        wire_write_register(data + (uint64_t)source->asked_count * WIRE_REGISTER_ENTRY_BYTES,
                            &entry);
        source->asked[source->asked_count++] = i;
    }
    header.repeat = source->asked_count;
    header.length_bytes = source->asked_count * WIRE_REGISTER_ENTRY_BYTES;
    source_send_command(conn, slot, header, SOURCE_AWAITING_RESULT, action);
    return true;
}

bool registration_next_local(struct rdmig_conn *conn, struct rdmig_action *action)
{
    struct source *source = &conn->u.source;

    for (uint32_t i = 0; i < source->run_count; i++) {
        struct run *run = &source->runs[i];

        if (run->local != STEP_WANTED || run->remote == STEP_WANTED ||
            !flight_start(conn, OPERATION_REGISTER, i, &action->tag))
            continue;
        run->local = STEP_ASKED;
        blocks_region_action(conn, RDMIG_ACTION_REGISTER, run->block_index, run->first_chunk,
                             run->chunk_count, action);
        return true;
    }
    return false;
}

/* Both halves done: the chunks can be written. The list is emptied when all its runs are. */
static void settle(struct rdmig_conn *conn)
{
    struct source *source = &conn->u.source;
    bool is_all_done = true;

    for (uint32_t i = 0; i < source->run_count; i++) {
        struct run *run = &source->runs[i];

        if (run->local != STEP_DONE || run->remote != STEP_DONE) {
            is_all_done = false;
            continue;
        }
        blocks_set_chunk(conn, run->block_index, run->first_chunk, run->rkey, run->chunk_count);
        for (uint32_t k = 1; k < run->chunk_count; k++)
            blocks_set_chunk(conn, run->block_index, run->first_chunk + k, k, REGION_MEMBER);
    }
    if (is_all_done)
        source->run_count = 0;
}

void registration_local_done(struct rdmig_conn *conn, uint32_t subject)
{
    conn->u.source.runs[subject].local = STEP_DONE;
    settle(conn);
}

/* Clauses R4, R5, R11. */
void registration_answered(struct rdmig_conn *conn, const uint8_t *data,
                           const struct wire_header *header)
{
    struct source *source = &conn->u.source;
    uint32_t count = header->length_bytes / WIRE_RESULT_ENTRY_BYTES;
    const bool is_short = count == 1 && source->asked_count > 1;

    if ((count != source->asked_count && !is_short) ||
        (header->repeat != source->asked_count &&
         !(header->repeat == 0 && source->asked_count == 1))) {
        conn_fail_message(conn, RDMIG_REASON_MESSAGE_REPEAT, header->type, source->asked_count,
                          count != source->asked_count ? count : header->repeat);
        return;
    }
    for (uint32_t i = 0; i < source->asked_count; i++) {
        struct run *run = &source->runs[source->asked[i]];
        struct rdmig_failure details = {.message_type = RDMIG_MESSAGE_REGISTER_RESULT,
                                        .block_index = run->block_index};
        struct wire_result result;

        if (i >= count) {
            run->remote = STEP_WANTED; /* not answered: ask again, alone */
            continue;
        }
        wire_read_result(data + (uint64_t)i * WIRE_RESULT_ENTRY_BYTES, &result);
        details.expected = blocks_at(conn, run->block_index)->remote_addr;
        details.actual = result.host_addr;
        if (details.expected != details.actual) {
            conn_fail(conn, RDMIG_REASON_HOST_ADDR, &details);
            return;
        }
        run->rkey = result.rkey;
        run->remote = STEP_DONE;
    }
    if (is_short)
        source->batch_count = 1;
    settle(conn);
}

/* The application lets go of a region: it must be idle on our side (clause R8). */
int registration_drop(struct rdmig_conn *conn, const struct rdmig_event *event)
{
    struct source *source = &conn->u.source;
    struct span span = {.block_index = event->block_index};
    uint32_t chunk_count;

    if (source->exchange != STEP_DONE || source->is_pinned)
        return -RDMIG_E_STATE;
    if (event->block_index >= conn->block_count ||
        event->chunk_index >= blocks_at(conn, event->block_index)->chunk_count)
        return -RDMIG_E_INVALID;
    chunk_count = blocks_chunk(conn, event->block_index, event->chunk_index).count;
    if (chunk_count == 0 || chunk_count == REGION_MEMBER)
        return -RDMIG_E_INVALID;
    span.start_bytes = event->chunk_index * RDMIG_CHUNK_BYTES;
    span.end_bytes = span.start_bytes + chunk_count * RDMIG_CHUNK_BYTES;
    if (source->release != RELEASE_NONE || source->run_count != 0 || flight_overlaps(conn, &span) ||
        ranges_overlap(conn, &span))
        return -RDMIG_E_AGAIN;
    source->release = RELEASE_WANTED;
    source->release_block = event->block_index;
    source->release_chunk = event->chunk_index;
    for (uint32_t k = 0; k < chunk_count; k++)
        blocks_set_chunk(conn, event->block_index, event->chunk_index + k, 0, 0);
    return RDMIG_OK;
}
