/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The core's state machines: every lawful step, and why it is taken. A state changes by its enter_
 * function alone, which refuses any other step. ci/pictures draws docs/pictures from these tables.
 */
#ifndef RDMIG_CORE_MACHINES_H
#define RDMIG_CORE_MACHINES_H

#include "internal.h"
#include "steps.h"

#define PHASE_STEPS(STEP)                                                                          \
    STEP(RDMIG_PHASE_IDLE, RDMIG_PHASE_CONNECTING, "STARTED")                                      \
    STEP(RDMIG_PHASE_IDLE, RDMIG_PHASE_FAILING, "CANCEL_REQUESTED")                                \
    STEP(RDMIG_PHASE_CONNECTING, RDMIG_PHASE_RUNNING, "ESTABLISHED")                               \
    STEP(RDMIG_PHASE_CONNECTING, RDMIG_PHASE_FAILING, "first cause")                               \
    STEP(RDMIG_PHASE_RUNNING, RDMIG_PHASE_FINISHING, "FINISH_REQUESTED")                           \
    STEP(RDMIG_PHASE_RUNNING, RDMIG_PHASE_FAILING, "first cause")                                  \
    STEP(RDMIG_PHASE_FINISHING, RDMIG_PHASE_FAILING, "source: ERROR comes (E13)")                  \
    STEP(RDMIG_PHASE_FINISHING, RDMIG_PHASE_CLOSED, "NOTIFY_CLOSED")                               \
    STEP(RDMIG_PHASE_FAILING, RDMIG_PHASE_CLOSED, "NOTIFY_CLOSED")

#define CLOSING_STEPS(STEP)                                                                        \
    STEP(CLOSING_NOT, CLOSING_REJECT_DUE, "destination: request refused")                          \
    STEP(CLOSING_NOT, CLOSING_ERROR_DUE, "failed, the peer can be told")                           \
    STEP(CLOSING_NOT, CLOSING_PEER_AWAITED, "finished, the peer leaves first")                     \
    STEP(CLOSING_NOT, CLOSING_DELIVERY_AWAITED, "source: the peer has left")                       \
    STEP(CLOSING_NOT, CLOSING_DISCONNECT_DUE, "finished, or nobody to tell")                       \
    STEP(CLOSING_NOT, CLOSING_DRAINING, "never started")                                           \
    STEP(CLOSING_PEER_AWAITED, CLOSING_NOT, "ERROR comes: it has failed")                          \
    STEP(CLOSING_REJECT_DUE, CLOSING_DISCONNECT_DUE, "REJECT")                                     \
    STEP(CLOSING_ERROR_DUE, CLOSING_ERROR_SENT, "POST_SEND of ERROR")                              \
    STEP(CLOSING_ERROR_DUE, CLOSING_DISCONNECT_DUE, "ERROR comes, DISCONNECTED, time limit")       \
    STEP(CLOSING_ERROR_SENT, CLOSING_DISCONNECT_DUE, "it is sent, DISCONNECTED, time limit")       \
    STEP(CLOSING_PEER_AWAITED, CLOSING_DISCONNECT_DUE, "DISCONNECTED, time limit")                 \
    STEP(CLOSING_DELIVERY_AWAITED, CLOSING_DISCONNECT_DUE, "stream acknowledged, time limit")      \
    STEP(CLOSING_DISCONNECT_DUE, CLOSING_DRAINING, "DISCONNECT")                                   \
    STEP(CLOSING_DRAINING, CLOSING_ABANDON_DUE, "time limit")                                      \
    STEP(CLOSING_ABANDON_DUE, CLOSING_ABANDONED, "ABANDON")                                        \
    STEP(CLOSING_DRAINING, CLOSING_DONE, "all tags are back")                                      \
    STEP(CLOSING_ABANDONED, CLOSING_DONE, "all tags are back")

#define DESTINATION_STEPS(STEP)                                                                    \
    STEP(DESTINATION_SENDING_READY, DESTINATION_AWAITING, "all READYs are sent")                   \
    STEP(DESTINATION_AWAITING, DESTINATION_STREAMING, "QEMU_FILE")                                 \
    STEP(DESTINATION_AWAITING, DESTINATION_LISTING, "RAM_BLOCKS_REQUEST")                          \
    STEP(DESTINATION_AWAITING, DESTINATION_REGISTERING, "REGISTER_REQUEST")                        \
    STEP(DESTINATION_AWAITING, DESTINATION_UNREGISTERING, "UNREGISTER_REQUEST")                    \
    STEP(DESTINATION_AWAITING, DESTINATION_FILLING, "COMPRESS")                                    \
    STEP(DESTINATION_AWAITING, DESTINATION_ENDING_ROUND, "REGISTER_FINISHED")                      \
    STEP(DESTINATION_LISTING, DESTINATION_ANSWERING, "all blocks listed")                          \
    STEP(DESTINATION_REGISTERING, DESTINATION_ANSWERING, "all entries done")                       \
    STEP(DESTINATION_UNREGISTERING, DESTINATION_ANSWERING, "all entries done")                     \
    STEP(DESTINATION_STREAMING, DESTINATION_SENDING_READY, "STREAM_CONSUMED")                      \
    STEP(DESTINATION_FILLING, DESTINATION_SENDING_READY, "all entries done")                       \
    STEP(DESTINATION_ENDING_ROUND, DESTINATION_SENDING_READY, "the driver has ended it")           \
    STEP(DESTINATION_ANSWERING, DESTINATION_SENDING_READY, "POST_SEND of the answer")

#define UNREGISTRATION_STEPS(STEP)                                                                 \
    STEP(UNREGISTRATION_WANTED, UNREGISTRATION_ASKED, "UNREGISTER_REQUEST")                        \
    STEP(UNREGISTRATION_ASKED, UNREGISTRATION_DUE, "UNREGISTER_FINISHED")                          \
    STEP(UNREGISTRATION_DUE, UNREGISTRATION_STARTED, "DEREGISTER")                                 \
    STEP(UNREGISTRATION_STARTED, UNREGISTRATION_DONE, "COMPLETED")

MACHINE_DEFINE(phase, PHASE_STEPS)
MACHINE_DEFINE(closing, CLOSING_STEPS)
MACHINE_DEFINE(destination, DESTINATION_STEPS)
MACHINE_DEFINE(unregistration, UNREGISTRATION_STEPS)

static inline void enter_phase(struct rdmig_conn *conn, enum rdmig_phase phase)
{
    if (!CORE_NEVER(conn, !is_phase_step(conn->phase, phase)))
        conn->phase = phase;
}

static inline void enter_closing(struct rdmig_conn *conn, enum closing stage)
{
    if (!CORE_NEVER(conn, !is_closing_step(conn->closing, stage)))
        conn->closing = stage;
}

static inline void enter_destination(struct rdmig_conn *conn, enum destination_state state)
{
    struct destination *destination = &conn->u.destination;

    if (!CORE_NEVER(conn, !is_destination_step(destination->state, state)))
        destination->state = state;
}

static inline void enter_unregistration(struct rdmig_conn *conn,
                                        struct unregistration *unregistration,
                                        enum unregistration_state state)
{
    if (!CORE_NEVER(conn, !is_unregistration_step(unregistration->state, state)))
        unregistration->state = state;
}

#endif
