/* SPDX-License-Identifier: BSD-2-Clause */
/* The source: what comes from the destination, and what the application asks for. */
#include "internal.h"

void source_init(struct rdmig_conn *conn)
{
    struct source *source = &conn->u.source;

    /* How many it will be is known when the connection is; READY may be here before (clause C7). */
    source->initial_ready_pending = (conn->config.capability_flags & RDMIG_CAPABILITY_PIPELINE) != 0
                                        ? RDMIG_CREDIT_COUNT_MAX
                                        : 1;
    source->stream_slot = NO_SLOT;
    source->batch_count = conn->config.register_batch_count;
}

static uint64_t smaller_limit(uint64_t a, uint64_t b)
{
    return a == 0 || (b != 0 && b < a) ? b : a;
}

void source_established(struct rdmig_conn *conn)
{
    struct source *source = &conn->u.source;

    if (source->credit_count > conn->credit_max) {
        conn_fail_message(conn, RDMIG_REASON_CREDIT_EXCESS, RDMIG_MESSAGE_READY,
                          conn->credit_max - 1, source->credit_count - 1);
        return;
    }
    source->initial_ready_pending = conn->credit_max - source->credit_count;
    source->pinned_limit_bytes =
        smaller_limit(conn->config.pinned_bytes_max, conn->peer_pinned_limit_bytes);
    if (conn_is_pipelined(conn))
        source->batch_count = RDMIG_REGISTER_BATCH_MAX;
    if (source->initial_ready_pending > 0)
        conn_arm(conn, TIMER_REPLY, conn->config.reply_timeout_ns);
}

/* ---- messages: one cell for each pair of state and type (clause C6) */

typedef void handler(struct rdmig_conn *conn, const uint8_t *data,
                     const struct wire_header *header);

/* Stream bytes are exclusive (clause C17): none is consumed but those of the oldest command. */
static bool is_stream_consumed(const struct rdmig_conn *conn)
{
    return !commands_is_oldest(conn, RDMIG_MESSAGE_QEMU_FILE);
}

static void take_flush(struct rdmig_conn *conn)
{
    struct source *source = &conn->u.source;

    if (source->flush != STEP_WANTED || source->stream_bytes > 0 ||
        conn->stream_sends_outstanding > 0)
        return;
    /* What came back undone may not have been delivered: the application must never hear that it
     * was, now or at a later READY, but at the one that this command gets. */
    if ((source->flush_goal == RDMIG_FLUSH_CONSUMED || conn->is_stream_lost) &&
        !is_stream_consumed(conn))
        return;
    source->flush = STEP_NONE;
    conn_notify(conn, RDMIG_ACTION_NOTIFY_FLUSHED);
}

/* READYs for no command come first, without any work. */
static void await_next(struct rdmig_conn *conn)
{
    if (conn->u.source.initial_ready_pending > 0)
        conn_arm(conn, TIMER_REPLY, conn->config.reply_timeout_ns);
    else
        commands_await(conn);
}

static void take_ready(struct rdmig_conn *conn, const uint8_t *data,
                       const struct wire_header *header)
{
    struct source *source = &conn->u.source;

    (void)data;
    (void)header;
    if (CORE_NEVER(conn, source->credit_count >= RDMIG_CREDIT_COUNT_MAX))
        return;
    if (source->credit_count == 0)
        source->was_credit_starved = true;
    source->credit_count++;
    if (source->initial_ready_pending > 0) {
        source->initial_ready_pending--;
    } else {
        const struct command command = *commands_oldest(conn);

        commands_pop(conn);
        if (command.type == RDMIG_MESSAGE_COMPRESS)
            ranges_zeroed(conn, command.serial);
    }
    if (source_state(conn) == SOURCE_CREDITED)
        conn_disarm(conn, TIMER_REPLY);
    else if (conn->phase == RDMIG_PHASE_RUNNING) /* before, how many there will be is not known */
        await_next(conn);
    take_flush(conn);
}

static void take_error(struct rdmig_conn *conn, const uint8_t *data,
                       const struct wire_header *header)
{
    (void)data;
    (void)header;
    conn_fail_message(conn, RDMIG_REASON_PEER_ERROR, conn->u.source.command_type, 0, 0);
}

static void refuse_credit(struct rdmig_conn *conn, const uint8_t *data,
                          const struct wire_header *header)
{
    (void)data;
    conn_fail_message(conn, RDMIG_REASON_CREDIT_EXCESS, header->type, 0, 1);
}

static bool is_pin_all(const struct rdmig_conn *conn)
{
    return (conn->capability_flags & RDMIG_CAPABILITY_PIN_ALL) != 0;
}

/* The destination's list has come, and with pin-all our own regions are registered, too. */
void source_exchange_done(struct rdmig_conn *conn)
{
    struct source *source = &conn->u.source;

    if (source->exchange != STEP_ASKED || source_state(conn) == SOURCE_AWAITING_BLOCKS)
        return;
    if (is_pin_all(conn) && source->pin_done_count < conn->block_count)
        return;
    source->is_pinned = is_pin_all(conn);
    source->exchange = STEP_DONE;
    conn_notify(conn, RDMIG_ACTION_NOTIFY_BLOCKS_EXCHANGED);
}

/* Clauses B2, B3, B5. */
static void take_blocks(struct rdmig_conn *conn, const uint8_t *data,
                        const struct wire_header *header)
{
    const uint64_t count = header->length_bytes / WIRE_BLOCK_ENTRY_BYTES;

    commands_oldest(conn)->is_answered = true;
    if (count != conn->block_count) {
        conn_fail_message(conn, RDMIG_REASON_BLOCK_COUNT, header->type, conn->block_count, count);
        return;
    }
    for (uint32_t i = 0; i < conn->block_count; i++) {
        struct block *block = &conn->blocks[i];
        struct rdmig_failure details = {.message_type = RDMIG_MESSAGE_RAM_BLOCKS_RESULT,
                                        .block_index = i};
        struct wire_block entry;

        wire_read_block(data + (uint64_t)i * WIRE_BLOCK_ENTRY_BYTES, &entry);
        details.expected = block->length_bytes;
        details.actual = entry.length_bytes;
        if (entry.length_bytes != block->length_bytes) {
            conn_fail(conn, RDMIG_REASON_BLOCK_LENGTH, &details);
            return;
        }
        details.actual = entry.offset_bytes;
        if (entry.offset_bytes > UINT64_MAX - block->length_bytes ||
            entry.host_addr > UINT64_MAX - block->length_bytes) {
            conn_fail(conn, RDMIG_REASON_RANGE, &details);
            return;
        }
        block->ram_offset_bytes = entry.offset_bytes;
        block->remote_addr = entry.host_addr;
        block->rkey = entry.rkey;
    }
    source_exchange_done(conn);
}

static void take_result(struct rdmig_conn *conn, const uint8_t *data,
                        const struct wire_header *header)
{
    registration_answered(conn, data, header);
    commands_oldest(conn)->is_answered = true;
}

static void take_unregistered(struct rdmig_conn *conn, const uint8_t *data,
                              const struct wire_header *header)
{
    (void)data;
    (void)header;
    commands_oldest(conn)->is_answered = true;
    unregistration_answered(conn, commands_oldest(conn)->entry_count);
}

static handler *const handlers[SOURCE_STATE_COUNT][RDMIG_MESSAGE_TYPE_COUNT] = {
    [SOURCE_AWAITING_READY] =
        {[RDMIG_MESSAGE_READY] = take_ready, [RDMIG_MESSAGE_ERROR] = take_error},
    [SOURCE_CREDITED] = {[RDMIG_MESSAGE_READY] = refuse_credit, [RDMIG_MESSAGE_ERROR] = take_error},
    [SOURCE_AWAITING_BLOCKS] =
        {[RDMIG_MESSAGE_RAM_BLOCKS_RESULT] = take_blocks, [RDMIG_MESSAGE_ERROR] = take_error},
    [SOURCE_AWAITING_RESULT] =
        {[RDMIG_MESSAGE_REGISTER_RESULT] = take_result, [RDMIG_MESSAGE_ERROR] = take_error},
    [SOURCE_AWAITING_UNREGISTERED] = {[RDMIG_MESSAGE_UNREGISTER_FINISHED] = take_unregistered,
                                      [RDMIG_MESSAGE_ERROR] = take_error},
};

void source_received(struct rdmig_conn *conn, uint32_t slot, const struct wire_header *header)
{
    handler *handle;

    if (CORE_NEVER(conn, header->type >= RDMIG_MESSAGE_TYPE_COUNT))
        return;
    handle = handlers[source_state(conn)][header->type];
    if (handle)
        handle(conn, conn_message(conn, slot) + RDMIG_HEADER_BYTES, header);
    else
        conn_fail_message(conn, RDMIG_REASON_MESSAGE_UNEXPECTED, header->type,
                          conn->u.source.command_type, header->type);
    flight_free_recv(conn, slot);
}

void source_completed(struct rdmig_conn *conn)
{
    take_flush(conn);
}

void source_operation_done(struct rdmig_conn *conn, const struct operation *operation)
{
    if (operation->kind == OPERATION_DEREGISTER) {
        unregistration_local_done(conn, operation->subject);
    } else if (conn->u.source.exchange == STEP_ASKED) {
        if (CORE_NEVER(conn, conn->u.source.pin_done_count >= conn->u.source.pin_started_count))
            return;
        conn->u.source.pin_done_count++;
        source_exchange_done(conn);
    } else {
        registration_local_done(conn, operation->subject);
    }
}

/* ---- the application's events */

static bool is_stream_open(const struct source *source)
{
    /* Bytes taken now would overtake these (clause S2). */
    return source->round == ROUND_NONE && source->exchange != STEP_WANTED &&
           source->flush == STEP_NONE;
}

uint64_t rdmig_conn_stream_room_bytes(const struct rdmig_conn *conn)
{
    const struct source *source = &conn->u.source;

    if (conn->config.role != RDMIG_ROLE_SOURCE || conn->phase != RDMIG_PHASE_RUNNING ||
        !is_stream_open(source))
        return 0;
    if (source->stream_slot != NO_SLOT)
        return conn->config.stream_message_bytes - source->stream_bytes;
    return flight_free_large(conn) == NO_SLOT ? 0 : conn->config.stream_message_bytes;
}

static int write_stream(struct rdmig_conn *conn, const struct rdmig_event *event)
{
    struct source *source = &conn->u.source;

    if (!is_stream_open(source))
        return -RDMIG_E_STATE;
    if (!event->bytes || event->length == 0)
        return -RDMIG_E_INVALID;
    if (event->length > rdmig_conn_stream_room_bytes(conn))
        return -RDMIG_E_AGAIN;
    if (source->stream_slot == NO_SLOT) {
        source->stream_slot = flight_free_large(conn);
        if (CORE_NEVER(conn, source->stream_slot == NO_SLOT))
            return -RDMIG_E_AGAIN;
        conn->send_slots[source->stream_slot].state = SLOT_FILLING;
    }
    memcpy(flight_send_bytes(conn, source->stream_slot) + RDMIG_HEADER_BYTES + source->stream_bytes,
           event->bytes, (size_t)event->length);
    source->stream_bytes += (uint32_t)event->length;
    return RDMIG_OK;
}

static int flush(struct rdmig_conn *conn, const struct rdmig_event *event)
{
    struct source *source = &conn->u.source;

    if (!is_stream_open(source))
        return -RDMIG_E_STATE;
    if (event->flush != RDMIG_FLUSH_DELIVERED && event->flush != RDMIG_FLUSH_CONSUMED)
        return -RDMIG_E_INVALID;
    source->flush = STEP_WANTED;
    source->flush_goal = event->flush;
    take_flush(conn);
    return RDMIG_OK;
}

/* Clause R14. */
static bool fits_limit(const struct rdmig_conn *conn, struct rdmig_failure *details)
{
    details->block_index = NO_BLOCK;
    details->expected = conn->u.source.pinned_limit_bytes;
    for (uint32_t i = 0; i < conn->block_count; i++)
        details->actual += conn->blocks[i].length_bytes;
    return !is_pin_all(conn) || details->expected == 0 || details->actual <= details->expected;
}

static int exchange(struct rdmig_conn *conn)
{
    struct source *source = &conn->u.source;
    struct rdmig_failure details = {0};

    if (source->exchange != STEP_NONE || conn->block_count == 0 || source->round != ROUND_NONE)
        return -RDMIG_E_STATE;
    if (!fits_limit(conn, &details)) {
        conn_fail(conn, RDMIG_REASON_PINNED_LIMIT, &details);
        return RDMIG_OK;
    }
    source->exchange = STEP_WANTED;
    return RDMIG_OK;
}

static int close_round(struct rdmig_conn *conn)
{
    struct source *source = &conn->u.source;

    if (source->round == ROUND_CLOSING || source->exchange != STEP_DONE)
        return -RDMIG_E_STATE;
    source->round = ROUND_CLOSING;
    return RDMIG_OK;
}

int source_event(struct rdmig_conn *conn, const struct rdmig_event *event)
{
    switch (event->kind) {
    case RDMIG_EVENT_EXCHANGE_REQUESTED:
        return exchange(conn);
    case RDMIG_EVENT_STREAM_WRITTEN:
        return write_stream(conn, event);
    case RDMIG_EVENT_FLUSH_REQUESTED:
        return flush(conn, event);
    case RDMIG_EVENT_RANGE_PUSHED:
        return ranges_push(conn, event);
    case RDMIG_EVENT_ROUND_CLOSED:
        return close_round(conn);
    case RDMIG_EVENT_UNREGISTER_REQUESTED:
        return unregistration_begin(conn, event);
    default:
        return -RDMIG_E_STATE;
    }
}

bool source_can_finish(const struct rdmig_conn *conn)
{
    const struct source *source = &conn->u.source;

    return source->round == ROUND_NONE && source->stream_bytes == 0 && source->flush == STEP_NONE &&
           conn->stream_sends_outstanding == 0 && !flight_has_writes(conn) &&
           !conn_awaits_error_cause(conn);
}

/*
 * Is somebody waiting to hear that the stream has arrived, and it may have? To disconnect would
 * take the acknowledgement away, and with it the knowledge of who owns the guest (clause E7).
 */
bool source_awaits_delivery(const struct rdmig_conn *conn)
{
    const struct source *source = &conn->u.source;

    return conn->config.role == RDMIG_ROLE_SOURCE && source->flush == STEP_WANTED &&
           source->flush_goal == RDMIG_FLUSH_DELIVERED && conn->stream_sends_outstanding > 0;
}

/*
 * A QEMU that hears DISCONNECTED before it has read the stream's last bytes takes the connection
 * for broken: it gives up, or crashes. It leaves by itself when it is done. A destination with
 * PIPELINE is one of ours, which waits for the source to leave (clause E13).
 */
bool source_awaits_peer_close(const struct rdmig_conn *conn)
{
    return conn->config.leave_timeout_ns > 0 && !conn_is_pipelined(conn);
}

uint64_t rdmig_conn_bytes_pending(const struct rdmig_conn *conn)
{
    return conn->config.role == RDMIG_ROLE_SOURCE ? conn->u.source.bytes_pending : 0;
}
