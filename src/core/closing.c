/* SPDX-License-Identifier: BSD-2-Clause */
/* Taking a connection down, in order or after a failure (clauses E3, E4, E6): ERROR, DISCONNECT,
 * all tags back, CLOSED. */
#include "machines.h"

void closing_begin(struct rdmig_conn *conn, enum closing stage)
{
    const bool is_peer_close_awaited =
        stage == CLOSING_PEER_AWAITED && conn->config.role == RDMIG_ROLE_SOURCE;

    /* Without a queue pair there is nobody to tell and nothing to disconnect. */
    enter_closing(conn, conn->is_started ? stage : CLOSING_DRAINING);
    conn_arm(conn, TIMER_CLOSE,
             is_peer_close_awaited
                 ? conn_work_limit_ns(conn->config.leave_timeout_ns, conn->ram_bytes)
                 : conn->config.close_timeout_ns);
}

/* How the first cause lets the connection be closed (clauses E3, E7). */
static void begin_failed(struct rdmig_conn *conn)
{
    const enum rdmig_reason reason = conn->failure.reason;
    const bool is_peer_closing =
        reason == RDMIG_REASON_PEER_DISCONNECTED || reason == RDMIG_REASON_PEER_ERROR;
    const bool is_sayable = conn->failure.phase == RDMIG_PHASE_RUNNING && !is_peer_closing &&
                            reason != RDMIG_REASON_CONNECTION_LOST &&
                            reason != RDMIG_REASON_SEND_FAILED &&
                            reason != RDMIG_REASON_WRITE_FAILED &&
                            reason != RDMIG_REASON_RECV_FAILED && !conn_is_peer_gone(conn);

    if (is_sayable)
        closing_begin(conn, CLOSING_ERROR_DUE);
    else if (reason == RDMIG_REASON_VERSION_UNSUPPORTED ||
             reason == RDMIG_REASON_PRIVATE_DATA_SHORT || reason == RDMIG_REASON_PRIVATE_DATA)
        closing_begin(conn, conn->config.role == RDMIG_ROLE_SOURCE ? CLOSING_DISCONNECT_DUE
                                                                   : CLOSING_REJECT_DUE);
    else
        closing_begin(conn, is_peer_closing && source_awaits_delivery(conn)
                                ? CLOSING_DELIVERY_AWAITED
                                : CLOSING_DISCONNECT_DUE);
}

static void enter(struct rdmig_conn *conn, enum closing stage)
{
    enter_closing(conn, stage);
    conn_arm(conn, TIMER_CLOSE, conn->config.close_timeout_ns);
}

static bool may_send_error(const struct rdmig_conn *conn)
{
    return flight_room_count(conn) > 0 &&
           (conn->config.role == RDMIG_ROLE_DESTINATION || source_has_credit(conn));
}

static bool close_now(struct rdmig_conn *conn, struct rdmig_action *action)
{
    if (!flight_is_empty(conn))
        return false;
    enter_closing(conn, CLOSING_DONE);
    enter_phase(conn, RDMIG_PHASE_CLOSED);
    conn_disarm(conn, TIMER_CLOSE);
    action->kind = RDMIG_ACTION_NOTIFY_CLOSED;
    return true;
}

static bool send_error(struct rdmig_conn *conn, struct rdmig_action *action)
{
    const struct wire_header header = {.type = RDMIG_MESSAGE_ERROR, .repeat = 1};

    if (!may_send_error(conn))
        return false;
    enter(conn, CLOSING_ERROR_SENT);
    flight_send(conn, SEND_SLOT_ERROR, &header, action);
    return true;
}

bool closing_next_action(struct rdmig_conn *conn, struct rdmig_action *action)
{
    closing_advance(conn);
    switch (conn->closing) {
    case CLOSING_REJECT_DUE:
        enter(conn, CLOSING_DISCONNECT_DUE);
        action->kind = RDMIG_ACTION_REJECT;
        action->bytes = conn->private_data;
        action->length = conn->private_bytes;
        return true;
    case CLOSING_ERROR_DUE:
        return send_error(conn, action);
    case CLOSING_DISCONNECT_DUE:
        enter(conn, CLOSING_DRAINING);
        action->kind = RDMIG_ACTION_DISCONNECT;
        return true;
    case CLOSING_ABANDON_DUE:
        enter_closing(conn, CLOSING_ABANDONED);
        action->kind = RDMIG_ACTION_ABANDON;
        return true;
    case CLOSING_DRAINING:
    case CLOSING_ABANDONED:
        return close_now(conn, action);
    default:
        return false;
    }
}

/* The ERROR, or the last of the stream, may be all that the driver has in hand to wait for. */
void closing_advance(struct rdmig_conn *conn)
{
    if (conn->phase == RDMIG_PHASE_FAILING && conn->closing == CLOSING_NOT)
        begin_failed(conn);
    if (conn->closing == CLOSING_ERROR_SENT && conn->send_slots[SEND_SLOT_ERROR].state == SLOT_FREE)
        enter(conn, CLOSING_DISCONNECT_DUE);
    if (conn->closing == CLOSING_DELIVERY_AWAITED && !source_awaits_delivery(conn))
        enter(conn, CLOSING_DISCONNECT_DUE);
}

void closing_timeout(struct rdmig_conn *conn)
{
    if (conn->closing == CLOSING_DRAINING)
        enter_closing(conn, CLOSING_ABANDON_DUE);
    else if (conn->closing != CLOSING_ABANDONED)
        enter(conn, CLOSING_DISCONNECT_DUE);
}

void closing_disconnected(struct rdmig_conn *conn)
{
    if (conn->closing == CLOSING_ERROR_DUE || conn->closing == CLOSING_ERROR_SENT ||
        conn->closing == CLOSING_PEER_AWAITED)
        enter(conn, CLOSING_DISCONNECT_DUE);
}

/* While ERROR waits for a credit, a READY is still of use; an ERROR from there makes ours needless.
 * The slot stays ours. */
void closing_received(struct rdmig_conn *conn, const struct wire_header *header)
{
    if (conn->closing == CLOSING_PEER_AWAITED && header->type == RDMIG_MESSAGE_ERROR)
        conn_fail_message(conn, RDMIG_REASON_PEER_ERROR, header->type, 0, 0);
    if (conn->closing != CLOSING_ERROR_DUE)
        return;
    if (header->type == RDMIG_MESSAGE_ERROR)
        enter(conn, CLOSING_DISCONNECT_DUE);
    else if (header->type == RDMIG_MESSAGE_READY && conn->config.role == RDMIG_ROLE_SOURCE)
        source_take_credit(conn);
}
