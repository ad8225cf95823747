/* SPDX-License-Identifier: BSD-2-Clause */
/* How a connection comes to fail: time limits, work that came back without a reason, the first
 * cause and what is said about it. */
#include "internal.h"

/* How long flushed work may wait for the completion that says why (clause E8). */
#define CAUSE_TIMEOUT_NS UINT64_C(500000000)

/* ---- timers */

void conn_arm(struct rdmig_conn *conn, enum timer timer, uint64_t timeout_ns)
{
    /* Of a peer that is gone nothing is awaited any more but the end. */
    const bool is_endless = timeout_ns == 0 || timeout_ns >= RDMIG_NO_DEADLINE - conn->now_ns ||
                            (timer != TIMER_CLOSE && conn_is_peer_gone(conn));

    conn->timers_ns[timer] = is_endless ? RDMIG_NO_DEADLINE : conn->now_ns + timeout_ns;
}

void conn_disarm(struct rdmig_conn *conn, enum timer timer)
{
    conn->timers_ns[timer] = RDMIG_NO_DEADLINE;
}

uint64_t rdmig_conn_deadline_ns(const struct rdmig_conn *conn)
{
    uint64_t earliest_ns = RDMIG_NO_DEADLINE;

    for (uint32_t i = 0; i < TIMER_COUNT; i++) {
        if (conn->timers_ns[i] < earliest_ns)
            earliest_ns = conn->timers_ns[i];
    }
    return earliest_ns;
}

void conn_heard(struct rdmig_conn *conn)
{
    if (conn->phase == RDMIG_PHASE_RUNNING)
        conn_arm(conn, TIMER_PROBE, conn->config.probe_interval_ns);
}

void conn_suspect(struct rdmig_conn *conn)
{
    const bool is_up = conn->phase == RDMIG_PHASE_RUNNING || conn->phase == RDMIG_PHASE_CONNECTING;

    if (is_up && conn->timers_ns[TIMER_CAUSE] == RDMIG_NO_DEADLINE)
        conn_arm(conn, TIMER_CAUSE, CAUSE_TIMEOUT_NS);
}

/* Work came back undone and nobody has said why yet: nothing is posted and nothing concluded
 * meanwhile (clause E8). */
bool conn_is_suspected(const struct rdmig_conn *conn)
{
    return conn->timers_ns[TIMER_CAUSE] != RDMIG_NO_DEADLINE;
}

/* The source has left, the destination still has something of it to consume (clause E7). */
bool conn_is_peer_gone(const struct rdmig_conn *conn)
{
    return conn->config.role == RDMIG_ROLE_DESTINATION && conn->u.destination.is_peer_gone;
}

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

void conn_check_timers(struct rdmig_conn *conn)
{
    for (uint32_t i = 0; i < TIMER_COUNT; i++) {
        if (conn->timers_ns[i] != RDMIG_NO_DEADLINE && conn->timers_ns[i] <= conn->now_ns)
            timer_expired(conn, (enum timer)i);
    }
}

/* ---- failure */

/* The first cause is kept, and what is finished cannot fail any more: but a destination that is
 * waited for may say that it does not take the guest (clause E13, closing_received()). */
static bool can_fail(const struct rdmig_conn *conn, enum rdmig_reason reason)
{
    if (conn->phase == RDMIG_PHASE_FINISHING)
        return conn->config.role == RDMIG_ROLE_SOURCE && reason == RDMIG_REASON_PEER_ERROR;
    return conn->phase != RDMIG_PHASE_FAILING && conn->phase != RDMIG_PHASE_CLOSED;
}

void conn_fail(struct rdmig_conn *conn, enum rdmig_reason reason,
               const struct rdmig_failure *details)
{
    const bool is_peer_leaving =
        reason == RDMIG_REASON_PEER_DISCONNECTED || reason == RDMIG_REASON_PEER_ERROR;
    const bool is_sayable = conn->phase == RDMIG_PHASE_RUNNING && !is_peer_leaving &&
                            reason != RDMIG_REASON_CONNECTION_LOST &&
                            reason != RDMIG_REASON_SEND_FAILED &&
                            reason != RDMIG_REASON_WRITE_FAILED &&
                            reason != RDMIG_REASON_RECV_FAILED && !conn_is_peer_gone(conn);

    if (!can_fail(conn, reason))
        return;
    conn->failure = *details;
    conn->failure.reason = reason;
    conn->failure.phase = conn->phase;
    conn->phase = RDMIG_PHASE_FAILING;
    /* What has been delivered stays so: a source must not take back a guest that it has handed
     * over. */
    conn->notices &= 1u << RDMIG_ACTION_NOTIFY_FLUSHED;
    for (uint32_t i = 0; i < TIMER_COUNT; i++)
        conn_disarm(conn, (enum timer)i);
    if (is_sayable)
        closing_begin(conn, CLOSING_ERROR_DUE);
    else if (reason == RDMIG_REASON_VERSION_UNSUPPORTED ||
             reason == RDMIG_REASON_PRIVATE_DATA_SHORT || reason == RDMIG_REASON_PRIVATE_DATA)
        closing_begin(conn, conn->config.role == RDMIG_ROLE_SOURCE ? CLOSING_DISCONNECT_DUE
                                                                   : CLOSING_REJECT_DUE);
    else
        closing_begin(conn, is_peer_leaving && source_awaits_delivery(conn)
                                ? CLOSING_DELIVERY_AWAITED
                                : CLOSING_DISCONNECT_DUE);
}

void conn_fail_message(struct rdmig_conn *conn, enum rdmig_reason reason, uint32_t type,
                       uint64_t expected, uint64_t actual)
{
    const struct rdmig_failure details = {
        .message_type =
            type < RDMIG_MESSAGE_TYPE_COUNT ? (enum rdmig_message_type)type : RDMIG_MESSAGE_NONE,
        .block_index = NO_BLOCK,
        .expected = expected,
        .actual = actual,
    };

    conn_fail(conn, reason, &details);
}
