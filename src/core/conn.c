/* SPDX-License-Identifier: BSD-2-Clause */
/* The connection: making it, connecting, handing events to the role and actions to the driver. */
#include "machines.h"

#define CLOSE_TIMEOUT_NS UINT64_C(2000000000)
/* What 0.1 had: never changes. More than the largest is no size that was meant. */
#define CONFIG_BYTES_FIRST (offsetof(struct rdmig_conn_config, leave_timeout_ns) + sizeof(uint64_t))
#define CONFIG_BYTES_MAX   4096u

static uint32_t or_default(uint32_t value, uint32_t fallback)
{
    return value ? value : fallback;
}

/* A driver of an older version gives a shorter struct: the rest is 0. A newer one's end must be 0,
 * since we cannot do what we do not know. */
static bool take_config(const struct rdmig_conn_config *given, struct rdmig_conn_config *out)
{
    const size_t bytes = given->struct_bytes;
    const uint8_t *const raw = (const uint8_t *)given;

    if (bytes < CONFIG_BYTES_FIRST || bytes > CONFIG_BYTES_MAX)
        return false;
    for (size_t i = sizeof(*given); i < bytes; i++) {
        if (raw[i] != 0)
            return false;
    }
    memset(out, 0, sizeof(*out));
    memcpy(out, given, bytes < sizeof(*out) ? bytes : sizeof(*out));
    out->struct_bytes = sizeof(*out);
    return true;
}

/* The configuration with its defaults; false: outside its limits. */
static bool complete_config(const struct rdmig_conn_config *given, struct rdmig_conn_config *out)
{
    if (!given || !take_config(given, out))
        return false;
    out->run_chunk_count = or_default(given->run_chunk_count, 64);
    out->first_run_chunk_count = or_default(given->first_run_chunk_count, 4);
    out->register_batch_count = or_default(given->register_batch_count, 1);
    out->send_queue_depth = or_default(given->send_queue_depth, 256);
    out->signal_interval = or_default(given->signal_interval, 64);
    out->stream_message_bytes = or_default(given->stream_message_bytes, RDMIG_STREAM_BYTES_MAX);
    out->write_bytes_max = given->write_bytes_max ? given->write_bytes_max : 4 * RDMIG_CHUNK_BYTES;
    out->flight_bytes_max =
        given->flight_bytes_max ? given->flight_bytes_max : 32 * RDMIG_CHUNK_BYTES;
    if (out->close_timeout_ns == 0)
        out->close_timeout_ns =
            CLOSE_TIMEOUT_NS; /* closing must end: there is no "no limit" for it */
    return (given->role == RDMIG_ROLE_SOURCE || given->role == RDMIG_ROLE_DESTINATION) &&
           (given->capability_flags & ~(RDMIG_CAPABILITY_PIN_ALL | RDMIG_CAPABILITY_PIPELINE)) ==
               0 &&
           out->run_chunk_count <= RUN_CHUNK_COUNT_MAX &&
           out->register_batch_count <= RDMIG_REGISTER_BATCH_MAX &&
           out->send_queue_depth >= RDMIG_SEND_QUEUE_MIN &&
           out->send_queue_depth <= RDMIG_SEND_QUEUE_MAX &&
           out->stream_message_bytes <= RDMIG_STREAM_BYTES_MAX &&
           out->write_bytes_max <= WRITE_BYTES_MAX;
}

size_t rdmig_conn_footprint_bytes(const struct rdmig_conn_config *config)
{
    struct rdmig_conn_config complete;

    if (!complete_config(config, &complete))
        return 0;
    return sizeof(struct rdmig_conn) + complete.send_queue_depth * sizeof(struct work);
}

size_t rdmig_conn_control_bytes(void)
{
    /* The ERROR slot comes last and holds a header alone. */
    return (size_t)slot_offset_bytes(true, SEND_SLOT_ERROR) + RDMIG_CONTROL_MEMORY_ALIGNMENT;
}

int rdmig_conn_init(struct rdmig_conn **out, const struct rdmig_conn_config *config, void *memory,
                    size_t memory_bytes, void *control_memory, size_t control_bytes,
                    uint64_t now_ns)
{
    const size_t need_bytes = rdmig_conn_footprint_bytes(config);
    struct rdmig_conn *conn = memory;

    *out = NULL;
    if (need_bytes == 0 || !memory || !control_memory || memory_bytes < need_bytes ||
        control_bytes < rdmig_conn_control_bytes() || (uintptr_t)memory % sizeof(uint64_t) != 0 ||
        (uintptr_t)control_memory % RDMIG_CONTROL_MEMORY_ALIGNMENT != 0)
        return -RDMIG_E_INVALID;
    memset(memory, 0, need_bytes);
    (void)complete_config(config, &conn->config);
    conn->works = (struct work *)(void *)(conn + 1);
    conn->control = control_memory;
    conn->now_ns = now_ns;
    conn->credit_max = 1;
    for (uint32_t i = 0; i < TIMER_COUNT; i++)
        conn->timers_ns[i] = RDMIG_NO_DEADLINE;
    if (config->role == RDMIG_ROLE_SOURCE)
        source_init(conn);
    else
        destination_init(conn);
    *out = conn;
    return RDMIG_OK;
}

int rdmig_conn_deinit(struct rdmig_conn *conn)
{
    if (conn->phase != RDMIG_PHASE_IDLE && conn->phase != RDMIG_PHASE_CLOSED)
        return -RDMIG_E_STATE;
    memset(conn, 0, sizeof(*conn));
    return RDMIG_OK;
}

/* ---- connecting */

static int start(struct rdmig_conn *conn)
{
    const struct wire_private_data offer = {RDMIG_PROTOCOL_VERSION, conn->config.capability_flags,
                                            RDMIG_CREDIT_COUNT_MAX, conn->config.ram_bytes};

    if (conn->phase != RDMIG_PHASE_IDLE)
        return -RDMIG_E_STATE;
    enter_phase(conn, RDMIG_PHASE_CONNECTING);
    conn->is_started = true;
    if (conn->config.role == RDMIG_ROLE_SOURCE) {
        conn->private_bytes = wire_write_private_data(conn->private_data, &offer);
        conn->is_answer_due = true;
        conn->is_requested = true;
        conn_arm(conn, TIMER_CONNECT, conn->config.connect_timeout_ns);
    }
    return RDMIG_OK;
}

/* Clauses W1, W2, W11. False: the connection has failed. */
static bool take_private_data(struct rdmig_conn *conn, const struct rdmig_event *event,
                              struct wire_private_data *data)
{
    if (!event->bytes || event->length < RDMIG_PRIVATE_DATA_BYTES) {
        conn_fail_message(conn, RDMIG_REASON_PRIVATE_DATA_SHORT, 0, RDMIG_PRIVATE_DATA_BYTES,
                          event->bytes ? event->length : 0);
        return false;
    }
    wire_read_private_data(event->bytes, event->length, data);
    if (data->version == 0 || data->version > RDMIG_PROTOCOL_VERSION) {
        conn_fail_message(conn, RDMIG_REASON_VERSION_UNSUPPORTED, 0, RDMIG_PROTOCOL_VERSION,
                          data->version);
        return false;
    }
    conn->capability_flags = data->flags & conn->config.capability_flags;
    conn->offered_flags = data->flags;
    conn->credit_max = 1;
    if (!conn_is_pipelined(conn))
        return true;
    if (event->length < RDMIG_PRIVATE_DATA_BYTES_MAX) {
        conn_fail_message(conn, RDMIG_REASON_PRIVATE_DATA_SHORT, 0, RDMIG_PRIVATE_DATA_BYTES_MAX,
                          event->length);
        return false;
    }
    /* Offered: as many as it likes, we give no more than we have room for. Granted: no more than
     * were offered. */
    conn->credit_max =
        data->credit_count < RDMIG_CREDIT_COUNT_MAX || conn->config.role == RDMIG_ROLE_SOURCE
            ? data->credit_count
            : RDMIG_CREDIT_COUNT_MAX;
    if (conn->credit_max == 0 || conn->credit_max > RDMIG_CREDIT_COUNT_MAX) {
        conn_fail_message(conn, RDMIG_REASON_PRIVATE_DATA, 0, RDMIG_CREDIT_COUNT_MAX,
                          data->credit_count);
        return false;
    }
    return true;
}

/* Clauses W2, W11, R14. */
static void answer_request(struct rdmig_conn *conn, const struct wire_private_data *request)
{
    const uint64_t limit_bytes = conn->config.pinned_bytes_max;
    struct wire_private_data answer = {RDMIG_PROTOCOL_VERSION, 0, 0, limit_bytes};

    if (conn_is_pipelined(conn) && limit_bytes != 0 &&
        (request->bytes == 0 || request->bytes > limit_bytes))
        conn->capability_flags &= ~RDMIG_CAPABILITY_PIN_ALL;
    answer.flags = conn->capability_flags;
    answer.credit_count = conn->credit_max;
    conn->private_bytes = wire_write_private_data(conn->private_data, &answer);
}

static int connect_requested(struct rdmig_conn *conn, const struct rdmig_event *event)
{
    const struct wire_private_data refusal = {RDMIG_PROTOCOL_VERSION, 0, 0, 0};
    struct wire_private_data request;

    if (conn->config.role != RDMIG_ROLE_DESTINATION || conn->phase != RDMIG_PHASE_CONNECTING ||
        conn->is_requested)
        return -RDMIG_E_STATE;
    conn->is_requested = true;
    conn->private_bytes = wire_write_private_data(conn->private_data, &refusal);
    conn_arm(conn, TIMER_CONNECT, conn->config.connect_timeout_ns);
    if (!take_private_data(conn, event, &request))
        return RDMIG_OK;
    answer_request(conn, &request);
    destination_requested(conn);
    conn->is_answer_due = true;
    return RDMIG_OK;
}

static int established(struct rdmig_conn *conn, const struct rdmig_event *event)
{
    const bool is_source = conn->config.role == RDMIG_ROLE_SOURCE;
    struct wire_private_data answer = {0};

    if (conn->phase == RDMIG_PHASE_FAILING)
        return RDMIG_OK; /* it crossed our giving up */
    if (conn->phase != RDMIG_PHASE_CONNECTING || conn->is_answer_due || !conn->is_requested)
        return -RDMIG_E_STATE;
    if (is_source && !take_private_data(conn, event, &answer))
        return RDMIG_OK;
    if (is_source && conn_is_pipelined(conn))
        conn->peer_pinned_limit_bytes = answer.bytes;
    enter_phase(conn, RDMIG_PHASE_RUNNING);
    conn_disarm(conn, TIMER_CONNECT);
    conn_note_activity(conn);
    conn_notify(conn, RDMIG_ACTION_NOTIFY_ESTABLISHED);
    if (is_source)
        source_established(conn);
    return RDMIG_OK;
}

static int unreachable(struct rdmig_conn *conn, const struct rdmig_event *event)
{
    const struct rdmig_failure details = {.block_index = NO_BLOCK, .os_code = event->os_code};

    conn_fail(conn,
              event->status == RDMIG_STATUS_REJECTED ? RDMIG_REASON_PEER_REJECTED
                                                     : RDMIG_REASON_PEER_UNREACHABLE,
              &details);
    return RDMIG_OK;
}

static int disconnected(struct rdmig_conn *conn)
{
    const struct rdmig_failure details = {.block_index = NO_BLOCK};

    if (conn->phase == RDMIG_PHASE_FINISHING || conn->phase == RDMIG_PHASE_FAILING)
        closing_disconnected(conn);
    else if (conn->config.role == RDMIG_ROLE_DESTINATION && conn->phase == RDMIG_PHASE_RUNNING)
        destination_disconnected(conn);
    else
        conn_fail(conn, RDMIG_REASON_PEER_DISCONNECTED, &details);
    return RDMIG_OK;
}

/* ---- timers */

static void timer_expired(struct rdmig_conn *conn, enum timer timer)
{
    static const enum rdmig_reason reasons[TIMER_COUNT] = {
        [TIMER_CONNECT] = RDMIG_REASON_CONNECT_TIMEOUT, [TIMER_REPLY] = RDMIG_REASON_PEER_SILENT,
        [TIMER_SEND] = RDMIG_REASON_PEER_SILENT,        [TIMER_IDLE] = RDMIG_REASON_PEER_SILENT,
        [TIMER_CAUSE] = RDMIG_REASON_CONNECTION_LOST,
    };
    const struct rdmig_failure details = {.block_index = NO_BLOCK};

    conn_disarm(conn, timer);
    if (timer == TIMER_CLOSE)
        closing_timeout(conn);
    else if (timer == TIMER_PROBE)
        conn->is_probe_due = conn->work_head == conn->work_tail; /* other work would tell as well */
    else
        conn_fail(conn, reasons[timer], &details);
}

static void check_timers(struct rdmig_conn *conn)
{
    for (uint32_t i = 0; i < TIMER_COUNT; i++) {
        if (conn->timers_ns[i] != RDMIG_NO_DEADLINE && conn->timers_ns[i] <= conn->now_ns)
            timer_expired(conn, (enum timer)i);
    }
}

/* ---- events */

/* Nothing of a message is looked at before its header has been checked (clause W4). */
static void take_message(struct rdmig_conn *conn, uint32_t slot)
{
    const bool is_up = conn->phase == RDMIG_PHASE_RUNNING || conn->phase == RDMIG_PHASE_CONNECTING;
    struct wire_header header;
    uint64_t expected;
    uint64_t actual;
    const enum rdmig_reason reason = wire_read_header(
        conn_message(conn, slot), conn->recv_bytes[slot], &header, &expected, &actual);

    if (reason != RDMIG_REASON_NONE)
        conn_fail_message(conn, reason, header.type, expected, actual);
    else if (!is_up && !destination_received_late(conn, slot, &header))
        closing_received(conn, &header);
    else if (!is_up)
        return;
    else if (conn->config.role == RDMIG_ROLE_SOURCE)
        source_received(conn, slot, &header);
    else
        destination_received(conn, slot, &header);
}

static int received(struct rdmig_conn *conn, const struct rdmig_event *event)
{
    uint32_t slot;
    const int result = flight_received(conn, event->tag, event->length, &slot);

    if (result != RDMIG_OK)
        return result;
    conn->counters.control_messages++;
    conn->counters.control_bytes += event->length;
    conn_note_activity(conn);
    take_message(conn, slot);
    return RDMIG_OK;
}

static int completed(struct rdmig_conn *conn, const struct rdmig_event *event)
{
    struct operation done = {.kind = OPERATION_NONE};
    const int result = flight_completed(conn, event, &done);

    if (conn->config.role == RDMIG_ROLE_SOURCE) {
        if (done.kind != OPERATION_NONE)
            source_operation_done(conn, &done);
        if (result == RDMIG_OK && event->status == RDMIG_STATUS_OK)
            source_completed(conn);
    } else if (done.kind != OPERATION_NONE) {
        destination_operation_done(conn, &done, event->rkey);
    }
    return result;
}

static int finish(struct rdmig_conn *conn)
{
    const bool is_source = conn->config.role == RDMIG_ROLE_SOURCE;

    if (conn->phase != RDMIG_PHASE_RUNNING || (is_source && !source_can_finish(conn)))
        return conn->failure.reason ? -RDMIG_E_FAILED : -RDMIG_E_STATE;
    enter_phase(conn, RDMIG_PHASE_FINISHING);
    conn->notifications = 0;
    for (uint32_t i = 0; i < TIMER_COUNT; i++)
        conn_disarm(conn, (enum timer)i);
    if (conn_is_peer_gone(conn) || (is_source && !source_awaits_peer_close(conn)))
        closing_begin(conn, CLOSING_DISCONNECT_DUE);
    else
        closing_begin(conn, CLOSING_PEER_AWAITED);
    return RDMIG_OK;
}

static int cancel(struct rdmig_conn *conn, const struct rdmig_event *event)
{
    const struct rdmig_failure details = {.block_index = NO_BLOCK, .os_code = event->os_code};

    if (conn->phase == RDMIG_PHASE_FINISHING || conn->phase == RDMIG_PHASE_CLOSED)
        return -RDMIG_E_STATE;
    conn_fail(conn, RDMIG_REASON_CANCELLED, &details);
    return RDMIG_OK;
}

static int role_event(struct rdmig_conn *conn, const struct rdmig_event *event)
{
    if (conn->failure.reason)
        return -RDMIG_E_FAILED;
    if (conn->phase != RDMIG_PHASE_RUNNING)
        return -RDMIG_E_STATE;
    return conn->config.role == RDMIG_ROLE_SOURCE ? source_event(conn, event)
                                                  : destination_event(conn, event);
}

static int provide(struct rdmig_conn *conn, const struct rdmig_event *event)
{
    if (conn->failure.reason)
        return -RDMIG_E_FAILED;
    return conn->phase > RDMIG_PHASE_RUNNING ? -RDMIG_E_STATE : blocks_provide(conn, event);
}

static int dispatch(struct rdmig_conn *conn, const struct rdmig_event *event)
{
    switch (event->kind) {
    case RDMIG_EVENT_TIME_PASSED:
        return RDMIG_OK;
    case RDMIG_EVENT_STARTED:
        return start(conn);
    case RDMIG_EVENT_CONNECT_REQUESTED:
        return connect_requested(conn, event);
    case RDMIG_EVENT_ESTABLISHED:
        return established(conn, event);
    case RDMIG_EVENT_UNREACHABLE:
        return unreachable(conn, event);
    case RDMIG_EVENT_DISCONNECTED:
        return disconnected(conn);
    case RDMIG_EVENT_RECEIVED:
        return received(conn, event);
    case RDMIG_EVENT_COMPLETED:
        return completed(conn, event);
    case RDMIG_EVENT_BLOCKS_PROVIDED:
        return provide(conn, event);
    case RDMIG_EVENT_FINISH_REQUESTED:
        return finish(conn);
    case RDMIG_EVENT_CANCEL_REQUESTED:
        return cancel(conn, event);
    default:
        return role_event(conn, event);
    }
}

/* What CORE_NEVER() found while the connection was up: nothing that it says is trusted any more. */
static inline void take_fault(struct rdmig_conn *conn)
{
    conn_fail_message(conn, RDMIG_REASON_INTERNAL, 0, 0, 0);
}

int rdmig_conn_step(struct rdmig_conn *conn, const struct rdmig_event *event)
{
    int result;

    if ((uint32_t)event->kind >= RDMIG_EVENT_KIND_COUNT)
        return -RDMIG_E_INVALID;
    if (event->now_ns > conn->now_ns)
        conn->now_ns = event->now_ns;
    result = dispatch(conn, event);
    if (result == RDMIG_OK && event->kind != RDMIG_EVENT_TIME_PASSED)
        conn->step_number++; /* what was refused has changed nothing */
    /* Not after any event: what a late caller feeds next may be just what was awaited. */
    if (event->kind == RDMIG_EVENT_TIME_PASSED)
        check_timers(conn);
    if (CORE_HAS_FAULT(conn))
        take_fault(conn);
    closing_advance(conn);
    return result;
}

/* ---- actions */

/* Notifications go in the order of their kinds: at most one of a kind is pending at any time. */
static bool next_notification(struct rdmig_conn *conn, struct rdmig_action *action)
{
    for (uint32_t kind = RDMIG_ACTION_NOTIFY_ESTABLISHED; kind < RDMIG_ACTION_NOTIFY_CLOSED;
         kind++) {
        if ((conn->notifications & 1u << kind) == 0)
            continue;
        conn->notifications &= ~(1u << kind);
        action->kind = (enum rdmig_action_kind)kind;
        action->capability_flags = conn->capability_flags;
        action->region = conn->unregistered_region;
        return true;
    }
    return false;
}

static bool next_connecting(struct rdmig_conn *conn, struct rdmig_action *action)
{
    if (!conn->is_answer_due)
        return false;
    conn->is_answer_due = false;
    action->kind =
        conn->config.role == RDMIG_ROLE_SOURCE ? RDMIG_ACTION_CONNECT : RDMIG_ACTION_ACCEPT;
    action->bytes = conn->private_data;
    action->length = conn->private_bytes;
    return true;
}

static bool next_running(struct rdmig_conn *conn, struct rdmig_action *action)
{
    if (next_notification(conn, action))
        return true;
    if (conn->config.role == RDMIG_ROLE_SOURCE ? source_next_action(conn, action)
                                               : destination_next_action(conn, action))
        return true;
    if (conn->phase != RDMIG_PHASE_RUNNING || !conn->is_probe_due || !flight_can_post(conn))
        return false;
    conn->is_probe_due = false;
    flight_probe(conn, action);
    return true;
}

static bool can_receive(const struct rdmig_conn *conn)
{
    return !conn_awaits_error_cause(conn) && !conn_is_peer_gone(conn);
}

static bool next_action(struct rdmig_conn *conn, struct rdmig_action *action)
{
    memset(action, 0, sizeof(*action));
    switch (conn->phase) {
    case RDMIG_PHASE_CONNECTING:
        /* RECVs first: the peer may send as soon as it knows of the connection (clause C1). */
        return (can_receive(conn) && flight_next_recv(conn, action)) ||
               next_connecting(conn, action);
    case RDMIG_PHASE_RUNNING:
        if ((can_receive(conn) && flight_next_recv(conn, action)) || next_running(conn, action))
            return true;
        /* A request may just have failed the connection: the driver must hear of it now, it
         * waits for events. */
        return conn->phase == RDMIG_PHASE_FAILING && closing_next_action(conn, action);
    case RDMIG_PHASE_FINISHING:
    case RDMIG_PHASE_FAILING:
        return next_notification(conn, action) || destination_next_late(conn, action) ||
               closing_next_action(conn, action);
    default:
        return false;
    }
}

/* The action that a fault was found in is not carried out, and its tag is not left out. True: it
 * has become one that moves no bytes and comes back like it. */
static inline bool is_defused(struct rdmig_conn *conn, struct rdmig_action *action)
{
    const struct rdmig_event undone = {
        .kind = RDMIG_EVENT_COMPLETED, .status = RDMIG_STATUS_FLUSHED, .tag = action->tag};
    struct operation none;

    switch (action->kind) {
    case RDMIG_ACTION_POST_SEND:
        conn->is_stream_lost = true; /* that the probe comes back tells of no delivery */
        /* fall through */
    case RDMIG_ACTION_POST_WRITE:
        *action = (struct rdmig_action){
            .kind = RDMIG_ACTION_POST_PROBE, .tag = undone.tag, .is_signalled = true};
        return undone.tag != 0;
    case RDMIG_ACTION_POST_RECV:
    case RDMIG_ACTION_POST_PROBE:
        return undone.tag != 0;
    default:
        (void)flight_completed(conn, &undone, &none); /* of an operation; others have no tag */
        return false;
    }
}

bool rdmig_conn_next_action(struct rdmig_conn *conn, struct rdmig_action *action)
{
    const bool was_up = conn->phase < RDMIG_PHASE_FINISHING;
    const bool is_there = next_action(conn, action);

    if (!CORE_HAS_FAULT(conn) || !was_up)
        return is_there;
    take_fault(conn);
    return (is_there && is_defused(conn, action)) || next_action(conn, action);
}

/* ---- looking at it */

enum rdmig_phase rdmig_conn_phase(const struct rdmig_conn *conn)
{
    return conn->phase;
}

const struct rdmig_failure *rdmig_conn_failure(const struct rdmig_conn *conn)
{
    return conn->failure.reason ? &conn->failure : NULL;
}

uint32_t rdmig_conn_capability_flags(const struct rdmig_conn *conn)
{
    return conn->capability_flags;
}

uint32_t rdmig_conn_offered_flags(const struct rdmig_conn *conn)
{
    return conn->config.role == RDMIG_ROLE_SOURCE ? conn->config.capability_flags
                                                  : conn->offered_flags;
}

void rdmig_conn_counters(const struct rdmig_conn *conn, struct rdmig_conn_counters *out)
{
    *out = conn->counters;
    if (conn->config.role == RDMIG_ROLE_SOURCE && conn->u.source.data_bytes_pending > 0)
        out->data_ns += conn->now_ns - conn->u.source.data_since_ns;
}
