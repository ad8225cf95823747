/* SPDX-License-Identifier: BSD-2-Clause */
/* The source: one command a credit, in the order the application gave things; RDMA Writes beside
 * them. */
#include "internal.h"

void source_init(struct rdmig_conn *conn)
{
    conn->u.source.state = SOURCE_AWAITING_READY;
    conn->u.source.stream_slot = NO_SLOT;
    conn->u.source.batch_count = conn->config.register_batch_count;
}

void source_established(struct rdmig_conn *conn)
{
    if (conn->u.source.state == SOURCE_AWAITING_READY) /* it may have come already: clause C7 */
        conn_arm(conn, TIMER_REPLY, conn->config.reply_timeout_ns);
}

bool source_has_credit(const struct rdmig_conn *conn)
{
    return conn->u.source.state == SOURCE_CREDITED;
}

/* ---- messages: one cell for each pair of state and type (clause C6) */

typedef void handler(struct rdmig_conn *conn, const uint8_t *data,
                     const struct wire_header *header);

static void take_flush(struct rdmig_conn *conn)
{
    struct source *source = &conn->u.source;
    const bool is_consumed =
        source->command_type != RDMIG_MESSAGE_QEMU_FILE || source_has_credit(conn);

    if (source->flush != STEP_WANTED || source->stream_bytes > 0 || source->stream_sends_out > 0)
        return;
    if (source->flush_goal == RDMIG_FLUSH_CONSUMED && !is_consumed)
        return;
    source->flush = STEP_NONE;
    conn_notify(conn, RDMIG_ACTION_NOTIFY_FLUSHED);
}

static void take_ready(struct rdmig_conn *conn, const uint8_t *data,
                       const struct wire_header *header)
{
    struct source *source = &conn->u.source;

    (void)data;
    (void)header;
    source->state = SOURCE_CREDITED;
    conn_disarm(conn, TIMER_REPLY);
    if (source->command_type == RDMIG_MESSAGE_COMPRESS)
        ranges_zeroed(conn);
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

static void exchange_done(struct rdmig_conn *conn)
{
    struct source *source = &conn->u.source;

    if (source->exchange != STEP_ASKED || source->state == SOURCE_AWAITING_BLOCKS)
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

    conn->u.source.state = SOURCE_AWAITING_READY;
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
    exchange_done(conn);
}

static void take_result(struct rdmig_conn *conn, const uint8_t *data,
                        const struct wire_header *header)
{
    conn->u.source.state = SOURCE_AWAITING_READY;
    registration_answered(conn, data, header);
}

static void take_unregistered(struct rdmig_conn *conn, const uint8_t *data,
                              const struct wire_header *header)
{
    (void)data;
    (void)header;
    conn->u.source.state = SOURCE_AWAITING_READY;
    conn->u.source.release = RELEASE_DUE;
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
    handler *const handle = handlers[conn->u.source.state][header->type];

    if (handle)
        handle(conn, conn_message(conn, slot) + RDMIG_HEADER_BYTES, header);
    else
        conn_fail_message(conn, RDMIG_REASON_MESSAGE_UNEXPECTED, header->type,
                          conn->u.source.command_type, header->type);
    flight_free_recv(conn, slot);
}

/* In a failing connection any READY is leave to say ERROR, whatever was awaited before. */
void source_take_credit(struct rdmig_conn *conn)
{
    conn->u.source.state = SOURCE_CREDITED;
}

/* What came back undone was not delivered: the application must never hear that it was. */
void source_sent(struct rdmig_conn *conn, const struct work *work, bool is_done)
{
    if (work->message_type != RDMIG_MESSAGE_QEMU_FILE)
        return;
    conn->u.source.stream_sends_out--;
    if (is_done)
        take_flush(conn);
}

/* ---- the application's events */

static bool is_stream_open(const struct source *source)
{
    /* Bytes taken now would overtake these (clause S2). */
    return source->round == ROUND_NONE && source->exchange != STEP_WANTED &&
           source->flush == STEP_NONE;
}

static uint32_t free_large_slot(const struct rdmig_conn *conn)
{
    for (uint32_t i = 0; i < SEND_SLOT_LARGE_COUNT; i++) {
        if (conn->send_slots[i].state == SLOT_FREE)
            return i;
    }
    return NO_SLOT;
}

uint64_t rdmig_conn_stream_room_bytes(const struct rdmig_conn *conn)
{
    const struct source *source = &conn->u.source;

    if (conn->config.role != RDMIG_ROLE_SOURCE || conn->phase != RDMIG_PHASE_RUNNING ||
        !is_stream_open(source))
        return 0;
    if (source->stream_slot != NO_SLOT)
        return conn->config.stream_message_bytes - source->stream_bytes;
    return free_large_slot(conn) == NO_SLOT ? 0 : conn->config.stream_message_bytes;
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
        source->stream_slot = free_large_slot(conn);
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

static int exchange(struct rdmig_conn *conn)
{
    struct source *source = &conn->u.source;

    if (source->exchange != STEP_NONE || conn->block_count == 0 || source->round != ROUND_NONE)
        return -RDMIG_E_STATE;
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
        return registration_drop(conn, event);
    default:
        return -RDMIG_E_STATE;
    }
}

bool source_can_finish(const struct rdmig_conn *conn)
{
    const struct source *source = &conn->u.source;

    return source->round == ROUND_NONE && source->stream_bytes == 0 && source->flush == STEP_NONE &&
           source->stream_sends_out == 0 && !flight_has_writes(conn) && !conn_is_suspected(conn);
}

/*
 * Is somebody waiting to hear that the stream has arrived, and it may have? To disconnect would
 * take the acknowledgement away, and with it the knowledge of who owns the guest (clause E7).
 */
bool source_awaits_delivery(const struct rdmig_conn *conn)
{
    const struct source *source = &conn->u.source;

    return conn->config.role == RDMIG_ROLE_SOURCE && source->flush == STEP_WANTED &&
           source->flush_goal == RDMIG_FLUSH_DELIVERED && source->stream_sends_out > 0;
}

uint64_t rdmig_conn_bytes_pending(const struct rdmig_conn *conn)
{
    return conn->config.role == RDMIG_ROLE_SOURCE ? conn->u.source.bytes_pending : 0;
}

/* ---- commands */

/* Sends a command with the credit there is. state: what is waited for now. */
void source_send_command(struct rdmig_conn *conn, uint32_t slot, struct wire_header header,
                         enum source_state state, struct rdmig_action *action)
{
    struct source *source = &conn->u.source;

    source->state = state;
    source->command_type = header.type;
    conn->counters.round_trips++;
    conn_arm(conn, TIMER_REPLY, conn->config.reply_timeout_ns);
    flight_send(conn, slot, &header, action);
}

static void send_stream(struct rdmig_conn *conn, struct rdmig_action *action)
{
    struct source *source = &conn->u.source;
    const uint32_t slot = source->stream_slot;
    const struct wire_header header = {.length_bytes = source->stream_bytes,
                                       .type = RDMIG_MESSAGE_QEMU_FILE};

    conn->counters.bytes_stream += source->stream_bytes;
    source->stream_slot = NO_SLOT;
    source->stream_bytes = 0;
    source->stream_sends_out++;
    source_send_command(conn, slot, header, SOURCE_AWAITING_READY, action);
}

static void send_compress(struct rdmig_conn *conn, uint32_t slot, uint32_t position,
                          struct rdmig_action *action)
{
    const struct wire_header header = {WIRE_COMPRESS_ENTRY_BYTES, RDMIG_MESSAGE_COMPRESS, 1};
    struct range *range = ranges_at(conn, position);
    const struct wire_compress entry = {
        .block_index = range->span.block_index,
        .offset_bytes =
            blocks_at(conn, range->span.block_index)->ram_offset_bytes + range->span.start_bytes,
        .length_bytes = range->span.end_bytes - range->span.start_bytes,
    };

    range->state = STEP_ASKED;
    wire_write_compress(flight_send_bytes(conn, slot) + RDMIG_HEADER_BYTES, &entry);
    source_send_command(conn, slot, header, SOURCE_AWAITING_READY, action);
}

static void send_unregister(struct rdmig_conn *conn, uint32_t slot, struct rdmig_action *action)
{
    const struct wire_header header = {WIRE_REGISTER_ENTRY_BYTES, RDMIG_MESSAGE_UNREGISTER_REQUEST,
                                       1};
    const struct wire_register entry = {conn->u.source.release_chunk, conn->u.source.release_block,
                                        0};

    conn->u.source.release = RELEASE_ASKED;
    wire_write_register(flight_send_bytes(conn, slot) + RDMIG_HEADER_BYTES, &entry);
    source_send_command(conn, slot, header, SOURCE_AWAITING_UNREGISTERED, action);
}

static bool is_round_done(const struct rdmig_conn *conn)
{
    const struct source *source = &conn->u.source;

    /* Every write done (clause C10), every run settled. */
    return source->round == ROUND_CLOSING && source->range_count == 0 && source->run_count == 0 &&
           source->release == RELEASE_NONE && !flight_has_writes(conn);
}

static void send_round_end(struct rdmig_conn *conn, uint32_t slot, struct rdmig_action *action)
{
    const struct wire_header header = {.type = RDMIG_MESSAGE_REGISTER_FINISHED, .repeat = 1};

    conn->u.source.round = ROUND_NONE;
    conn->counters.rounds++;
    conn_notify(conn, RDMIG_ACTION_NOTIFY_ROUND_ENDED);
    source_send_command(conn, slot, header, SOURCE_AWAITING_READY, action);
}

/* Commands that are due, the most urgent first. What they overtake, they may overtake. */
static bool next_ram_command(struct rdmig_conn *conn, uint32_t slot, struct rdmig_action *action)
{
    struct source *source = &conn->u.source;
    const struct wire_header blocks_request = {.type = RDMIG_MESSAGE_RAM_BLOCKS_REQUEST,
                                               .repeat = 1};
    uint32_t zero_position;

    if (source->exchange == STEP_WANTED) {
        source->exchange = STEP_ASKED;
        source_send_command(conn, slot, blocks_request, SOURCE_AWAITING_BLOCKS, action);
        return true;
    }
    if (source->release == RELEASE_WANTED) {
        send_unregister(conn, slot, action);
        return true;
    }
    if (registration_plan(conn, &zero_position))
        return registration_ask(conn, slot, action);
    if (zero_position != NO_SLOT) {
        send_compress(conn, slot, zero_position, action);
        return true;
    }
    if (is_round_done(conn)) {
        send_round_end(conn, slot, action);
        return true;
    }
    return false;
}

static bool next_command(struct rdmig_conn *conn, struct rdmig_action *action)
{
    struct source *source = &conn->u.source;
    /* Before any command that was asked for after it: clause S2. */
    const bool is_stream_due = source->stream_bytes > 0 &&
                               (source->stream_bytes == conn->config.stream_message_bytes ||
                                source->flush == STEP_WANTED || source->exchange == STEP_WANTED ||
                                source->release == RELEASE_WANTED || source->round != ROUND_NONE);
    uint32_t slot;

    if (!source_has_credit(conn) || !flight_can_post(conn))
        return false;
    if (is_stream_due) {
        send_stream(conn, action);
        return true;
    }
    slot = free_large_slot(conn);
    return slot != NO_SLOT && next_ram_command(conn, slot, action);
}

/* Pin-all: our own regions, one a block, while the destination makes its (clause R7). */
static bool next_pin(struct rdmig_conn *conn, struct rdmig_action *action)
{
    struct source *source = &conn->u.source;
    const uint32_t block_index = source->pin_started_count;

    if (!is_pin_all(conn) || source->exchange != STEP_ASKED || block_index == conn->block_count ||
        !flight_start(conn, OPERATION_REGISTER, block_index, &action->tag))
        return false;
    source->pin_started_count++;
    blocks_region_action(conn, RDMIG_ACTION_REGISTER, block_index, 0,
                         blocks_at(conn, block_index)->chunk_count, action);
    return true;
}

/* The destination has let go of the region; now ours (clause R8). */
static bool next_unregister(struct rdmig_conn *conn, struct rdmig_action *action)
{
    struct source *source = &conn->u.source;

    if (source->release != RELEASE_DUE ||
        !flight_start(conn, OPERATION_DEREGISTER, source->release_block, &action->tag))
        return false;
    blocks_region_action(conn, RDMIG_ACTION_DEREGISTER, source->release_block,
                         source->release_chunk, 1, action);
    conn->unregistered_region = action->region;
    source->release = RELEASE_STARTED;
    return true;
}

void source_operation_done(struct rdmig_conn *conn, const struct operation *operation)
{
    if (operation->kind == OPERATION_DEREGISTER) {
        conn->u.source.release = RELEASE_NONE;
        conn_notify(conn, RDMIG_ACTION_NOTIFY_UNREGISTERED);
    } else if (conn->u.source.exchange == STEP_ASKED) {
        conn->u.source.pin_done_count++;
        exchange_done(conn);
    } else {
        registration_local_done(conn, operation->subject);
    }
}

bool source_next_action(struct rdmig_conn *conn, struct rdmig_action *action)
{
    if (conn_is_suspected(conn))
        return false;
    /* Commands first, a round trip hangs on each; then writes, so that the link has work while we
     * register. */
    return next_command(conn, action) || ranges_next_write(conn, action) ||
           next_pin(conn, action) || registration_next_local(conn, action) ||
           next_unregister(conn, action);
}
