/* SPDX-License-Identifier: BSD-2-Clause */
/* The destination: sends READY, takes one command, carries it out (requests.c), answers, and sends
 * READY again. Commands that come meanwhile, against outstanding credits, wait in their slots
 * (clause C16). */
#include "machines.h"

void destination_init(struct rdmig_conn *conn)
{
    conn->u.destination.state = DESTINATION_SENDING_READY;
    conn->u.destination.ready_to_send = 1;
    conn->u.destination.initial_ready_pending = 1;
    conn->u.destination.slot = NO_SLOT;
    conn->u.destination.answer_slot = NO_SLOT;
}

/* How many credits it will be is known now. */
void destination_requested(struct rdmig_conn *conn)
{
    conn->u.destination.ready_to_send = conn->credit_max;
    conn->u.destination.initial_ready_pending = conn->credit_max;
}

static void owe_ready(struct rdmig_conn *conn)
{
    enter_destination(conn, DESTINATION_SENDING_READY);
    conn->u.destination.ready_to_send++;
}

/* ---- messages: one cell for each pair of state and type (clause C6) */

typedef void handler(struct rdmig_conn *conn, const uint8_t *data,
                     const struct wire_header *header);

static void begin(struct rdmig_conn *conn, enum destination_state state, uint32_t entry_count)
{
    struct destination *destination = &conn->u.destination;

    if (CORE_NEVER(conn, destination->slot != NO_SLOT))
        return;
    enter_destination(conn, state);
    destination->entry_index = 0;
    destination->entry_count = entry_count;
    destination->entry = STEP_NONE;
    destination->answer_slot = NO_SLOT;
}

static void take_error(struct rdmig_conn *conn)
{
    conn_fail_message(conn, RDMIG_REASON_PEER_ERROR, 0, 0, 0);
}

static void take_stream(struct rdmig_conn *conn, const uint8_t *data,
                        const struct wire_header *header)
{
    struct destination *destination = &conn->u.destination;

    (void)data;
    begin(conn, DESTINATION_STREAMING, 0);
    destination->stream_left_bytes = header->length_bytes;
    destination->delivery = STEP_WANTED;
    conn->counters.bytes_stream += header->length_bytes;
    if (header->length_bytes == 0) /* nothing to consume */
        owe_ready(conn);
}

static void take_blocks_request(struct rdmig_conn *conn, const uint8_t *data,
                                const struct wire_header *header)
{
    struct destination *destination = &conn->u.destination;

    (void)data;
    if (destination->are_blocks_listed) {
        conn_fail_message(conn, RDMIG_REASON_BLOCKS_REPEATED, header->type, 1, 2);
        return;
    }
    begin(conn, DESTINATION_LISTING, 0);
}

/* Commands with entries are checked whole before the first request is handled (clause B5). */
static void take_entries(struct rdmig_conn *conn, const uint8_t *data,
                         const struct wire_header *header)
{
    static const enum destination_state states[RDMIG_MESSAGE_TYPE_COUNT] = {
        [RDMIG_MESSAGE_COMPRESS] = DESTINATION_FILLING,
        [RDMIG_MESSAGE_REGISTER_REQUEST] = DESTINATION_REGISTERING,
        [RDMIG_MESSAGE_UNREGISTER_REQUEST] = DESTINATION_UNREGISTERING,
    };
    struct rdmig_failure details;
    const enum rdmig_reason reason = request_check(conn, header, data, &details);

    if (reason != RDMIG_REASON_NONE)
        conn_fail(conn, reason, &details);
    else
        begin(conn, states[header->type], header->length_bytes / wire_entry_bytes(header->type));
}

static void take_round_end(struct rdmig_conn *conn, const uint8_t *data,
                           const struct wire_header *header)
{
    (void)data;
    if (!conn->u.destination.are_blocks_listed) {
        conn_fail_message(conn, RDMIG_REASON_BLOCKS_MISSING, header->type, 0, 0);
        return;
    }
    conn->counters.rounds++;
    begin(conn, DESTINATION_ENDING_ROUND, 1);
}

/* What a command does when its turn comes; NULL: no command (clause C6). */
static handler *const handlers[RDMIG_MESSAGE_TYPE_COUNT] = {
    [RDMIG_MESSAGE_QEMU_FILE] = take_stream,
    [RDMIG_MESSAGE_RAM_BLOCKS_REQUEST] = take_blocks_request,
    [RDMIG_MESSAGE_COMPRESS] = take_entries,
    [RDMIG_MESSAGE_REGISTER_REQUEST] = take_entries,
    [RDMIG_MESSAGE_REGISTER_FINISHED] = take_round_end,
    [RDMIG_MESSAGE_UNREGISTER_REQUEST] = take_entries,
};

static bool is_slot_needed(const struct destination *destination)
{
    return destination->state == DESTINATION_STREAMING ||
           destination->state == DESTINATION_REGISTERING ||
           destination->state == DESTINATION_UNREGISTERING ||
           destination->state == DESTINATION_FILLING;
}

static void take_command(struct rdmig_conn *conn, uint32_t slot, const struct wire_header *header)
{
    if (CORE_NEVER(conn, header->type >= RDMIG_MESSAGE_TYPE_COUNT || !handlers[header->type]))
        return;
    handlers[header->type](conn, conn_message(conn, slot) + RDMIG_HEADER_BYTES, header);
    if (conn->phase == RDMIG_PHASE_RUNNING && is_slot_needed(&conn->u.destination))
        conn->u.destination.slot = slot;
    else
        flight_free_recv(conn, slot);
}

/* The oldest of those that wait. Its header was read when it came, and found to be one. */
static void take_queued(struct rdmig_conn *conn)
{
    struct destination *destination = &conn->u.destination;
    const uint32_t slot = destination->queued_slots[destination->queued_head];
    struct wire_header header;
    uint64_t expected;
    uint64_t actual;

    if (CORE_NEVER(conn, destination->queued_count == 0))
        return;
    destination->queued_head = (destination->queued_head + 1) % RDMIG_CREDIT_COUNT_MAX;
    destination->queued_count--;
    (void)wire_read_header(conn_message(conn, slot), conn->recv_bytes[slot], &header, &expected,
                           &actual);
    take_command(conn, slot, &header);
}

static void queue_command(struct rdmig_conn *conn, uint32_t slot)
{
    struct destination *destination = &conn->u.destination;
    const uint32_t position =
        (destination->queued_head + destination->queued_count) % RDMIG_CREDIT_COUNT_MAX;

    if (CORE_NEVER(conn, destination->queued_count >= RDMIG_CREDIT_COUNT_MAX))
        return;
    destination->queued_slots[position] = slot;
    destination->queued_count++;
}

/* May it join the commands that have come and whose READY has not gone? Clause C17. */
static bool may_come(const struct rdmig_conn *conn, uint32_t type)
{
    const struct destination *destination = &conn->u.destination;
    const bool is_only_one =
        destination->credits_outstanding + destination->initial_ready_pending == conn->credit_max;

    return is_only_one ||
           (!message_is_exclusive(type) && !message_is_exclusive(destination->last_type));
}

/* Clauses C5, C6. */
void destination_received(struct rdmig_conn *conn, uint32_t slot, const struct wire_header *header)
{
    struct destination *destination = &conn->u.destination;

    if (header->type == RDMIG_MESSAGE_ERROR) {
        conn_disarm(conn, TIMER_IDLE);
        take_error(conn);
        flight_free_recv(conn, slot);
        return;
    }
    if (!handlers[header->type] || destination->credits_outstanding == 0 ||
        !may_come(conn, header->type)) {
        conn_fail_message(conn, RDMIG_REASON_MESSAGE_UNEXPECTED, header->type, 0, header->type);
        return;
    }
    conn_disarm(conn, TIMER_IDLE);
    destination->credits_outstanding--;
    destination->last_type = header->type;
    if (destination->state == DESTINATION_AWAITING && destination->queued_count == 0)
        take_command(conn, slot, header);
    else
        queue_command(conn, slot);
}

/* ---- the application's events */

void destination_free_slot(struct rdmig_conn *conn)
{
    struct destination *destination = &conn->u.destination;

    if (destination->slot != NO_SLOT)
        flight_free_recv(conn, destination->slot);
    destination->slot = NO_SLOT;
}

static int consume(struct rdmig_conn *conn, const struct rdmig_event *event)
{
    struct destination *destination = &conn->u.destination;

    if (destination->state != DESTINATION_STREAMING || destination->delivery != STEP_ASKED)
        return -RDMIG_E_STATE;
    if (event->length == 0 || event->length > destination->stream_left_bytes)
        return -RDMIG_E_INVALID;
    destination->stream_left_bytes -= event->length;
    if (destination->stream_left_bytes == 0) {
        destination_free_slot(conn);
        owe_ready(conn);
    }
    return RDMIG_OK;
}

int destination_event(struct rdmig_conn *conn, const struct rdmig_event *event)
{
    return event->kind == RDMIG_EVENT_STREAM_CONSUMED ? consume(conn, event) : -RDMIG_E_STATE;
}

/* What has arrived is still consumed; a command that needs an answer has nobody left to want it
 * (clause E7). */
void destination_disconnected(struct rdmig_conn *conn)
{
    struct destination *destination = &conn->u.destination;
    const struct rdmig_failure details = {.block_index = NO_BLOCK};
    /* Who leaves in order has waited for all its commands but the last (clause C17). */
    const bool is_between =
        destination->queued_count == 0 &&
        (destination->state == DESTINATION_SENDING_READY ||
         destination->state == DESTINATION_AWAITING ||
         destination->state == DESTINATION_STREAMING || destination->state == DESTINATION_FILLING ||
         destination->state == DESTINATION_ENDING_ROUND);

    if (!is_between) {
        conn_fail(conn, RDMIG_REASON_PEER_DISCONNECTED, &details);
        return;
    }
    destination->is_peer_gone = true;
    conn->is_probe_due = false;
    for (uint32_t i = 0; i < TIMER_COUNT; i++)
        conn_disarm(conn, (enum timer)i);
}

/* ---- actions */

static bool send_ready(struct rdmig_conn *conn, struct rdmig_action *action)
{
    struct destination *destination = &conn->u.destination;
    const struct wire_header header = {.type = RDMIG_MESSAGE_READY, .repeat = 1};
    const uint32_t slot = flight_free_small(conn);

    if (slot == NO_SLOT || !flight_can_post(conn))
        return false;
    if (CORE_NEVER(conn, destination->ready_to_send == 0 ||
                             destination->credits_outstanding >= RDMIG_CREDIT_COUNT_MAX))
        return false;
    destination->credits_outstanding++;
    destination->ready_to_send--;
    if (destination->initial_ready_pending > 0)
        destination->initial_ready_pending--;
    if (destination->ready_to_send == 0)
        enter_destination(conn, DESTINATION_AWAITING);
    /* The source may have all memory to pin or to look through, and to write, without a word. */
    if (destination->queued_count == 0)
        conn_arm(conn, TIMER_IDLE,
                 conn_work_limit_ns(conn->config.idle_timeout_ns,
                                    destination->are_blocks_listed ? conn->ram_bytes : 0));
    flight_send(conn, slot, &header, action);
    return true;
}

static bool deliver(struct rdmig_conn *conn, struct rdmig_action *action)
{
    struct destination *destination = &conn->u.destination;

    if (destination->delivery != STEP_WANTED)
        return false;
    destination->delivery = STEP_ASKED;
    action->kind = RDMIG_ACTION_DELIVER_STREAM;
    action->bytes = conn_message(conn, destination->slot) + RDMIG_HEADER_BYTES;
    action->length = destination->stream_left_bytes;
    return true;
}

/*
 * A stream message for which credit was given, and which arrives while the connection fails: its
 * sender hears from the hardware that it has arrived, and may have given the guest up with it. So
 * it counts as long as it can arrive at all (clause E12). Its bytes stay as they are: the slot is
 * not posted again.
 */
bool destination_received_late(struct rdmig_conn *conn, uint32_t slot,
                               const struct wire_header *header)
{
    if (conn->config.role != RDMIG_ROLE_DESTINATION || conn->phase != RDMIG_PHASE_FAILING ||
        conn->u.destination.state != DESTINATION_AWAITING ||
        header->type != RDMIG_MESSAGE_QEMU_FILE || header->length_bytes == 0)
        return false;
    take_stream(conn, conn_message(conn, slot), header);
    conn->u.destination.slot = slot;
    return true;
}

bool destination_next_late(struct rdmig_conn *conn, struct rdmig_action *action)
{
    return conn->config.role == RDMIG_ROLE_DESTINATION && conn->phase == RDMIG_PHASE_FAILING &&
           conn->u.destination.state == DESTINATION_STREAMING && deliver(conn, action);
}

static bool end_round(struct rdmig_conn *conn, struct rdmig_action *action)
{
    struct destination *destination = &conn->u.destination;

    if (destination->entry != STEP_NONE ||
        !flight_start(conn, OPERATION_END_ROUND, 0, &action->tag))
        return false;
    destination->entry = STEP_ASKED;
    action->kind = RDMIG_ACTION_END_ROUND;
    return true;
}

void destination_operation_done(struct rdmig_conn *conn, const struct operation *operation,
                                uint32_t rkey)
{
    if (operation->kind == OPERATION_END_ROUND)
        owe_ready(conn);
    else
        request_operation_done(conn, rkey);
}

static bool answer(struct rdmig_conn *conn, struct rdmig_action *action)
{
    struct destination *destination = &conn->u.destination;

    if (!flight_can_post(conn))
        return false;
    owe_ready(conn);
    flight_send(conn, destination->answer_slot, &destination->answer, action);
    return true;
}

static bool peer_ended(struct rdmig_conn *conn, struct rdmig_action *action)
{
    struct destination *destination = &conn->u.destination;

    if (destination->peer_ended != STEP_NONE)
        return false;
    destination->peer_ended = STEP_DONE;
    action->kind = RDMIG_ACTION_NOTIFY_PEER_ENDED;
    return true;
}

/* The last entry is done: the answer, or READY. */
static void finish_command(struct rdmig_conn *conn)
{
    struct destination *destination = &conn->u.destination;
    struct wire_header *header = &destination->answer;

    destination_free_slot(conn);
    switch (destination->state) {
    case DESTINATION_LISTING:
        destination->are_blocks_listed = true;
        *header = (struct wire_header){destination->entry_count * WIRE_BLOCK_ENTRY_BYTES,
                                       RDMIG_MESSAGE_RAM_BLOCKS_RESULT, 1};
        break;
    case DESTINATION_REGISTERING:
        *header = (struct wire_header){destination->entry_count * WIRE_RESULT_ENTRY_BYTES,
                                       RDMIG_MESSAGE_REGISTER_RESULT, destination->entry_count};
        break;
    case DESTINATION_UNREGISTERING:
        *header = (struct wire_header){0, RDMIG_MESSAGE_UNREGISTER_FINISHED, 1};
        break;
    default:
        owe_ready(conn); /* FILLING has no answer but READY */
        return;
    }
    enter_destination(conn, DESTINATION_ANSWERING);
}

/* The next command, when there is one. */
static bool next_queued(struct rdmig_conn *conn, struct rdmig_action *action)
{
    if (conn->u.destination.queued_count == 0)
        return false;
    take_queued(conn);
    return conn->phase == RDMIG_PHASE_RUNNING && destination_next_action(conn, action);
}

bool destination_next_action(struct rdmig_conn *conn, struct rdmig_action *action)
{
    struct destination *destination = &conn->u.destination;
    bool is_done = false;

    switch (destination->state) {
    case DESTINATION_STREAMING:
        return deliver(conn, action);
    case DESTINATION_ENDING_ROUND:
        return end_round(conn, action);
    case DESTINATION_SENDING_READY:
        return destination->is_peer_gone ? peer_ended(conn, action) : send_ready(conn, action);
    case DESTINATION_AWAITING:
        return destination->is_peer_gone ? peer_ended(conn, action) : next_queued(conn, action);
    case DESTINATION_ANSWERING:
        return answer(conn, action);
    default:
        if (request_next_action(conn, action, &is_done))
            return true;
        if (!is_done)
            return false;
        finish_command(conn);
        return destination_next_action(conn, action);
    }
}
