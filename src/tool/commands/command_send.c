/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * rdmig send: the memory in one round, then the byte stream, then the hand-over. One round is all
 * there can be: a file has no dirty log, so its contents must not change meanwhile.
 */
#include "../files/again.h"
#include "../files/readonly.h"
#include "commands.h"
#include "session.h"
#include "signals.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define STREAM_BUFFER_BYTES ((size_t)256 << 10)

enum send_step {
    SEND_ROUND,  /* the memory is still to be sent */
    SEND_STREAM, /* so is the rest of the byte stream */
    SEND_FINISH,
    SEND_HANDED_OVER
};

struct send {
    struct session session;
    struct rdmig_source *source;
    enum send_step step;
    int stream_fd; /* -1: no byte stream */
    uint8_t *buffer;
    size_t buffer_start;
    size_t buffer_end;
};

/* O_NONBLOCK: a FIFO without a writer must not keep a cancel from being noticed. */
static bool open_stream(struct send *send)
{
    const char *path = send->session.args->stream_path;

    if (path == NULL)
        return true;
    send->buffer = malloc(STREAM_BUFFER_BYTES);
    if (send->buffer == NULL) {
        tool_error_set(session_error(&send->session), rdmig_reason_name(RDMIG_REASON_MEMORY),
                       "free memory", "no memory to read %s with", path);
        return false;
    }
    if (strcmp(path, "-") == 0) {
        send->stream_fd = STDIN_FILENO;
        return true;
    }
    send->stream_fd = again_open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (send->stream_fd < 0) {
        tool_error_set(session_error(&send->session), TOOL_REASON_FILE, tool_error_remedy_of(errno),
                       "cannot open the byte stream %s: %s", path, strerror(errno));
        return false;
    }
    return true;
}

static bool prepare(struct send *send)
{
    struct session *session = &send->session;
    const struct tool_args *args = session->args;
    struct rdmig_options options;
    struct rdmig_error error;
    int result;

    if (!open_stream(send) ||
        !ramfile_set_open(&session->rams, args->rams, args->ram_count,
                          readonly_is_pinned() ? RAMFILE_SEND_READ_ONLY : RAMFILE_SEND,
                          session_error(session)))
        return false;
    session->report.block_count = session->rams.count;
    session_copy_begin(session, "reading", true);
    if (!ramfile_set_load(&session->rams, session_copy_proceed, session, session_error(session)) ||
        session_must_stop(session))
        return false;
    signals_watch(&session->rams);
    session_fill_options(session, &options);
    memset(&error, 0, sizeof(error));
    result = rdmig_source_create(&send->source, args->address.host, args->address.port,
                                 session->rams.blocks, session->rams.count, &options, &error);
    if (result < 0) {
        session_create_failed(session, result, &error);
        return false;
    }
    return true;
}

/* Gets bytes when the buffer is empty. False: none at the moment, the end, or an error. */
static bool refill(struct send *send)
{
    struct pollfd readable = {.fd = send->stream_fd, .events = POLLIN};
    ssize_t got;

    if (poll(&readable, 1, 0) <= 0)
        return false;
    got = read(send->stream_fd, send->buffer, STREAM_BUFFER_BYTES);
    if (got < 0) {
        if (errno != EINTR && errno != EAGAIN)
            tool_error_set(session_error(&send->session), TOOL_REASON_FILE,
                           tool_error_remedy_of(errno), "cannot read the byte stream %s: %s",
                           send->session.args->stream_path, strerror(errno));
        return false;
    }
    if (got == 0) {
        send->step = SEND_FINISH;
        return false;
    }
    send->buffer_start = 0;
    send->buffer_end = (size_t)got;
    return true;
}

/* Returns the descriptor that has to be waited for besides the source's; -1: none. */
static int send_stream(struct send *send)
{
    int64_t taken;

    while (rdmig_source_state(send->source) == RDMIG_SOURCE_IDLE) {
        if (send->buffer_start == send->buffer_end && !refill(send))
            return send->step == SEND_STREAM ? send->stream_fd : -1;
        taken = rdmig_source_stream_write(send->source, send->buffer + send->buffer_start,
                                          send->buffer_end - send->buffer_start);
        if (taken < 0)
            session_refused(&send->session, "rdmig_source_stream_write", taken);
        if (taken <= 0)
            return -1;
        send->buffer_start += (size_t)taken;
    }
    return -1;
}

/* State IDLE: the next thing to do. Returns what else to wait for; *is_idle: nothing but wait. */
static int advance(struct send *send, bool *must_wait)
{
    int other_fd = -1;
    int result = 0;

    *must_wait = false;
    switch (send->step) {
    case SEND_ROUND:
        result = rdmig_source_start_round(send->source);
        send->step = SEND_STREAM;
        break;
    case SEND_STREAM:
        if (send->stream_fd < 0) {
            send->step = SEND_FINISH;
            break;
        }
        other_fd = send_stream(send);
        *must_wait = send->step == SEND_STREAM;
        break;
    case SEND_FINISH:
        result = rdmig_source_finish(send->source);
        send->step = SEND_HANDED_OVER;
        break;
    case SEND_HANDED_OVER:
        *must_wait = true;
        break;
    }
    if (result < 0)
        session_refused(&send->session, "a step of the migration", result);
    return other_fd;
}

/* Bounded by the library: each of its states has a deadline, but for waiting for our own input. */
static void drive(struct send *send)
{
    struct session *session = &send->session;
    bool is_stopped_told = false;

    for (;;) {
        enum rdmig_source_state state;
        bool must_wait = true;
        int other_fd = -1;

        rdmig_source_process(send->source);
        rdmig_source_progress(send->source, &session->report.progress,
                              sizeof(session->report.progress));
        state = rdmig_source_state(send->source);
        session_show_source(session, state);
        if (session_source_has_ended(state))
            return;
        if (session_must_stop(session)) {
            /* Refused once the hand-over is on its way: the outcome comes by itself. */
            (void)rdmig_source_cancel(send->source);
        } else if (state == RDMIG_SOURCE_IDLE) {
            /* What comes behind the round would be the guest's downtime. */
            if (send->step == SEND_STREAM && !is_stopped_told) {
                (void)rdmig_source_guest_stopped(send->source);
                is_stopped_told = true;
            }
            other_fd = advance(send, &must_wait);
        }
        if (must_wait)
            session_wait(session, rdmig_source_fd(send->source), other_fd);
    }
}

int send_command(const struct tool_args *args)
{
    struct send send = {.stream_fd = -1};

    if (session_begin(&send.session, args) && prepare(&send)) {
        drive(&send);
        session_settle_source(&send.session, send.source);
    }
    rdmig_source_destroy(send.source);
    if (send.stream_fd > STDERR_FILENO)
        close(send.stream_fd);
    free(send.buffer);
    return session_end(&send.session);
}
