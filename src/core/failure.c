/* SPDX-License-Identifier: BSD-2-Clause */
/* How a connection comes to fail: time limits, work that came back without a reason, the first
 * cause and what is said about it. */
#include "machines.h"

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
    if (!can_fail(conn, reason))
        return;
    conn->failure = *details;
    conn->failure.reason = reason;
    conn->failure.phase = conn->phase;
    enter_phase(conn, RDMIG_PHASE_FAILING);
    /* What has been delivered stays so: a source must not take back a guest that it has handed
     * over. */
    conn->notifications &= 1u << RDMIG_ACTION_NOTIFY_FLUSHED;
    for (uint32_t i = 0; i < TIMER_COUNT; i++)
        conn_disarm(conn, (enum timer)i);
    enter_closing(conn, CLOSING_NOT); /* closing.c begins it */
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
