/* SPDX-License-Identifier: BSD-2-Clause */
/* Deadlines, pending notifications, and what every part asks about the connection. */
#include "internal.h"

/* How long flushed work may wait for the completion that says why (clause E8). */
#define CAUSE_TIMEOUT_NS UINT64_C(500000000)

/* ---- timers */

/* A limit and, on top, the time for work_bytes of guest RAM, or stream (clause E14). One that is
 * switched off stays so; one beyond any clock is none. */
uint64_t conn_work_limit_ns(uint64_t timeout_ns, uint64_t work_bytes)
{
    const uint64_t work_ns = work_bytes / REPLY_BYTES_PER_US * 1000;

    return timeout_ns == 0 || work_ns > UINT64_MAX - timeout_ns ? 0 : timeout_ns + work_ns;
}

void conn_arm(struct rdmig_conn *conn, enum timer timer, uint64_t timeout_ns)
{
    /* Of a peer that has left nothing is awaited any more but the end. */
    const bool is_endless = timeout_ns == 0 || timeout_ns >= RDMIG_NO_DEADLINE - conn->now_ns ||
                            (timer != TIMER_CLOSE && conn_is_peer_gone(conn));

    if (CORE_NEVER(conn, timer >= TIMER_COUNT))
        return;
    conn->timers_ns[timer] = is_endless ? RDMIG_NO_DEADLINE : conn->now_ns + timeout_ns;
}

void conn_disarm(struct rdmig_conn *conn, enum timer timer)
{
    if (CORE_NEVER(conn, timer >= TIMER_COUNT))
        return;
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

void conn_note_activity(struct rdmig_conn *conn)
{
    if (conn->phase == RDMIG_PHASE_RUNNING)
        conn_arm(conn, TIMER_PROBE, conn->config.probe_interval_ns);
}

void conn_await_error_cause(struct rdmig_conn *conn)
{
    const bool is_up = conn->phase == RDMIG_PHASE_RUNNING || conn->phase == RDMIG_PHASE_CONNECTING;

    if (is_up && conn->timers_ns[TIMER_CAUSE] == RDMIG_NO_DEADLINE)
        conn_arm(conn, TIMER_CAUSE, CAUSE_TIMEOUT_NS);
}

/* Work came back undone and nobody has said why yet: nothing is posted and nothing concluded
 * meanwhile (clause E8). */
bool conn_awaits_error_cause(const struct rdmig_conn *conn)
{
    return conn->timers_ns[TIMER_CAUSE] != RDMIG_NO_DEADLINE;
}

/* The source has left, the destination still has something of it to consume (clause E7). */
bool conn_is_peer_gone(const struct rdmig_conn *conn)
{
    return conn->config.role == RDMIG_ROLE_DESTINATION && conn->u.destination.is_peer_gone;
}

void conn_notify(struct rdmig_conn *conn, enum rdmig_action_kind kind)
{
    if (CORE_NEVER(conn,
                   kind < RDMIG_ACTION_NOTIFY_ESTABLISHED || kind >= RDMIG_ACTION_NOTIFY_CLOSED))
        return;
    conn->notifications |= 1u << kind;
}

bool conn_is_pipelined(const struct rdmig_conn *conn)
{
    return (conn->capability_flags & RDMIG_CAPABILITY_PIPELINE) != 0;
}
