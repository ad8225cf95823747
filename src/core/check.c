/* SPDX-License-Identifier: BSD-2-Clause */
/* Everything the core knows to be true of itself, for tests, the simulator and fuzzing. */
#include "internal.h"

static uint32_t count_slots(const struct slot *slots, uint32_t count, enum slot_state state)
{
    uint32_t found = 0;

    for (uint32_t i = 0; i < count; i++)
        found += slots[i].state == state ? 1 : 0;
    return found;
}

static uint32_t count_sends_outstanding(const struct rdmig_conn *conn)
{
    uint32_t found = 0;

    for (uint64_t i = conn->work_tail; i < conn->work_head; i++)
        found += conn->works[i % conn->config.send_queue_depth].kind == WORK_SEND ? 1 : 0;
    return found;
}

static uint64_t count_bytes_in_flight(const struct rdmig_conn *conn)
{
    uint64_t bytes = 0;

    for (uint64_t i = conn->work_tail; i < conn->work_head; i++) {
        const struct work *work = &conn->works[i % conn->config.send_queue_depth];

        bytes += work->kind == WORK_WRITE ? work->span.end_bytes - work->span.start_bytes : 0;
    }
    return bytes;
}

/* Bytes of the regions that the source has asked for, from the table of chunks. */
static uint64_t count_pinned_bytes(const struct rdmig_conn *conn)
{
    uint64_t bytes = 0;

    for (uint32_t i = 0; i < conn->block_count; i++) {
        for (uint32_t k = 0; k < blocks_at(conn, i)->chunk_count; k++)
            bytes += blocks_chunk(conn, i, k).count != 0 ? blocks_run_bytes(conn, i, k, 1) : 0;
    }
    return bytes;
}

static const char *check_commands(const struct source *source)
{
    for (uint32_t i = 0; i < source->command_count; i++) {
        const struct command *command =
            &source->commands[(source->command_head + i) % RDMIG_CREDIT_COUNT_MAX];

        if (source->command_count > 1 && message_is_exclusive(command->type))
            return "an exclusive command is the only one";
        if (i > 0 && command->is_answered)
            return "answers are for the oldest command";
    }
    return NULL;
}

static const char *check_pending(const struct rdmig_conn *conn)
{
    const struct source *source = &conn->u.source;
    const uint64_t flight_bytes = count_bytes_in_flight(conn);
    uint64_t queued_bytes = 0;
    uint64_t queued_data_bytes = 0;

    for (uint32_t i = 0; i < source->range_count; i++) {
        const struct range *range =
            &source->ranges[(source->range_head + i) % RDMIG_RANGE_QUEUE_COUNT];
        const uint64_t left_bytes =
            range->state == STEP_DONE ? 0 : range->span.end_bytes - range->span.start_bytes;

        queued_bytes += left_bytes;
        queued_data_bytes += range->is_zero ? 0 : left_bytes;
    }
    if (source->bytes_pending != queued_bytes + flight_bytes)
        return "pending bytes are those queued and those in flight";
    if (source->data_bytes_pending != queued_data_bytes + flight_bytes)
        return "pending data is what is queued and no zeros, and what is in flight";
    if (source->flight_bytes != flight_bytes)
        return "bytes in flight are those of the outstanding writes";
    return NULL;
}

static const char *check_source(const struct rdmig_conn *conn)
{
    const struct source *source = &conn->u.source;
    const char *broken;

    if (source->range_count > RDMIG_RANGE_QUEUE_COUNT)
        return "no more ranges than the queue holds";
    broken = check_pending(conn);
    if (broken)
        return broken;
    if (source->stream_bytes > conn->config.stream_message_bytes)
        return "stream bytes fit their message";
    if ((source->stream_slot != NO_SLOT) != (source->stream_bytes > 0))
        return "a stream slot is held exactly while it has bytes";
    if (source->run_count > RDMIG_REGISTER_BATCH_MAX ||
        source->run_asked_count > source->run_count ||
        source->run_answered_count > source->run_asked_count)
        return "no more runs than a batch holds, no more asked for, no more answered";
    if (conn->phase == RDMIG_PHASE_RUNNING &&
        source->credit_count + source->command_count + source->initial_ready_pending !=
            conn->credit_max)
        return "credits are here, to come, or spent on outstanding commands";
    if (source->pinned_limit_bytes != 0 && source->pinned_bytes > source->pinned_limit_bytes)
        return "no more is pinned than the limit allows";
    if (source->pinned_limit_bytes != 0 && source->pinned_bytes != count_pinned_bytes(conn))
        return "pinned bytes are those of the regions";
    if (source->unregistration_count > UNREGISTRATION_COUNT_MAX)
        return "no more regions are unregistered than the list holds";
    if (source->round == ROUND_NONE && source->range_count != 0)
        return "ranges belong to a round";
    return check_commands(source);
}

static const char *check_destination(const struct rdmig_conn *conn)
{
    const struct destination *destination = &conn->u.destination;
    const bool has_request = destination->state == DESTINATION_STREAMING ||
                             destination->state == DESTINATION_REGISTERING ||
                             destination->state == DESTINATION_UNREGISTERING ||
                             destination->state == DESTINATION_FILLING;
    const bool is_idle = destination->state == DESTINATION_SENDING_READY ||
                         destination->state == DESTINATION_AWAITING;

    if (conn->phase == RDMIG_PHASE_RUNNING && has_request != (destination->slot != NO_SLOT))
        return "a receive slot is held exactly while its message is handled";
    if (destination->slot != NO_SLOT && conn->recv_slots[destination->slot].state != SLOT_READING)
        return "the slot of the command is ours";
    if (conn->phase == RDMIG_PHASE_RUNNING &&
        destination->credits_outstanding + destination->queued_count + destination->ready_to_send +
                (is_idle ? 0 : 1) !=
            conn->credit_max)
        return "credits are outstanding, to be given, or spent on commands that are handled or "
               "wait";
    if (destination->entry_index > destination->entry_count)
        return "each request is handled once";
    return NULL;
}

const char *rdmig_conn_check(const struct rdmig_conn *conn)
{
    if (conn->work_head - conn->work_tail > conn->config.send_queue_depth)
        return "no more work than the send queue holds";
    if (count_slots(conn->send_slots, SEND_SLOT_COUNT, SLOT_HARDWARE) !=
        count_sends_outstanding(conn))
        return "send slots in hardware are the outstanding SENDs";
    if ((conn->phase == RDMIG_PHASE_FAILING) && conn->failure.reason == RDMIG_REASON_NONE)
        return "what fails has a reason";
    if (conn->phase == RDMIG_PHASE_CLOSED && !flight_is_empty(conn))
        return "nothing is outstanding when closed";
    return conn->config.role == RDMIG_ROLE_SOURCE ? check_source(conn) : check_destination(conn);
}
