/* SPDX-License-Identifier: BSD-2-Clause */
/* The one loop that drives a session's handles to their end, and the byte stream into and out of
 * them. */
#ifndef RDMIG_TOOL_DRIVE_H
#define RDMIG_TOOL_DRIVE_H

#include "session.h"

#define STREAM_BUFFER_BYTES ((size_t)256 << 10)

struct drive_calls {
    /* Does what there is to do. True: something was done, so look again before waiting. */
    bool (*advance)(void *context);
    /* NULL: session_must_stop(). True: the handles are told to go, and advance() is over. */
    bool (*must_leave)(void *context);
};

/*
 * Returns when all handles have ended. Bounded by the library's deadlines: each of its states has
 * one, but for waiting for a source, and for an input of the user's.
 */
void drive(struct session *session, const struct drive_calls *calls, void *context);

/* The outcome, from the source if there is one, or from the destination. */
void drive_settle(struct session *session);

/* Takes bytes of the stream; false with *error set. */
typedef bool drive_sink(void *context, const void *bytes, size_t length_bytes,
                        struct tool_error *error);
/* What has come of the destination's byte stream goes into the sink. */
void drive_receive(struct session *session, drive_sink *sink, void *context);

/* Bytes on their way into the source's byte stream. */
struct drive_feed {
    size_t start;
    size_t end;
    uint8_t bytes[STREAM_BUFFER_BYTES];
};

/* Puts bytes there and returns how many; 0: there are none now, or the first cause is set. */
typedef size_t drive_refill(void *context, uint8_t *bytes, size_t capacity_bytes);
/* As many as the source takes, and there are. */
void drive_send(struct session *session, struct drive_feed *feed, drive_refill *refill,
                void *context);

#endif
