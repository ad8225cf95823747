/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * rdmig send: the memory in one round, then the byte stream, then the hand-over. One round is all
 * there can be: a file has no dirty log, so its contents must not change meanwhile.
 */
#include "../files/fileio.h"
#include "../files/readonly.h"
#include "commands.h"
#include "drive.h"

#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

enum send_step {
    SEND_ROUND,   /* the memory must still be sent */
    SEND_STOPPED, /* it is: what comes behind it would be the guest's downtime */
    SEND_STREAM,  /* the rest of the byte stream must still be sent */
    SEND_FINISH,
    SEND_HANDED_OVER
};

struct send {
    struct session session;
    enum send_step step;
    int stream_fd; /* -1: no byte stream */
    struct drive_feed feed;
};

/* O_NONBLOCK: a FIFO without a writer must not keep a cancel from being noticed. */
static bool open_stream(struct send *send)
{
    const char *path = send->session.args->stream_path;

    if (path == NULL)
        return true;
    if (strcmp(path, "-") == 0)
        send->stream_fd = STDIN_FILENO;
    else
        send->stream_fd = AGAIN(open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK));
    return send->stream_fd >= 0 ||
           file_fail(session_error(&send->session), "open the byte stream", path);
}

static bool prepare(struct send *send)
{
    struct session *session = &send->session;
    const struct tool_args *args = session->args;
    struct rdmig_options options;

    if (!open_stream(send) ||
        !ramfile_set_open(&session->rams, args->rams, args->ram_count,
                          readonly_is_pinned() ? RAMFILE_SEND_READ_ONLY : RAMFILE_SEND,
                          session_error(session)) ||
        !session_load_memory(session))
        return false;
    session_fill_options(session, &options);
    return session_connect(session, &args->address, session->rams.blocks, session->rams.count,
                           &options);
}

/* None at the moment: the loop has to wait for them, too. The end: the next step. */
static size_t refill(void *context, uint8_t *bytes, size_t capacity_bytes)
{
    struct send *send = context;
    struct pollfd readable = {.fd = send->stream_fd, .events = POLLIN};
    ssize_t got;

    if (poll(&readable, 1, 0) <= 0) {
        send->session.input_fd = send->stream_fd;
        return 0;
    }
    got = read(send->stream_fd, bytes, capacity_bytes);
    if (got > 0)
        return (size_t)got;
    if (got == 0)
        send->step = SEND_FINISH;
    else if (errno != EINTR && errno != EAGAIN)
        file_fail(session_error(&send->session), "read the byte stream",
                  send->session.args->stream_path);
    else
        send->session.input_fd = send->stream_fd;
    return 0;
}

static bool advance(void *context)
{
    struct send *send = context;
    struct session *session = &send->session;
    int result = 0;

    session->input_fd = -1;
    if (rdmig_source_state(session->source) != RDMIG_SOURCE_IDLE)
        return false;
    switch (send->step) {
    case SEND_ROUND:
        result = rdmig_source_start_round(session->source);
        send->step = SEND_STOPPED;
        break;
    case SEND_STOPPED:
        (void)rdmig_source_guest_stopped(session->source);
        send->step = send->stream_fd < 0 ? SEND_FINISH : SEND_STREAM;
        break;
    case SEND_STREAM:
        drive_send(session, &send->feed, refill, send);
        return send->step != SEND_STREAM;
    case SEND_FINISH:
        result = rdmig_source_finish(session->source);
        send->step = SEND_HANDED_OVER;
        break;
    case SEND_HANDED_OVER:
        return false;
    }
    (void)session_check(session, "a step of the migration", result);
    return true;
}

int send_command(const struct tool_args *args)
{
    static const struct drive_calls calls = {.advance = advance};
    static struct send send = {.stream_fd = -1};

    if (session_begin(&send.session, args) && prepare(&send)) {
        drive(&send.session, &calls, &send);
        drive_settle(&send.session);
    }
    session_destroy_handles(&send.session);
    if (send.stream_fd > STDERR_FILENO)
        close(send.stream_fd);
    return session_end(&send.session);
}
