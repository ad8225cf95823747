/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * rdmig recv: one migration from an rdmig source into existing files. What can fail for lack of
 * space is done before the destination confirms, while the source still has its guest.
 */
#include "../files/outfile.h"
#include "commands.h"
#include "session.h"
#include "signals.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define STREAM_BUFFER_BYTES ((size_t)256 << 10)

struct recv {
    struct session session;
    struct rdmig_destination *destination;
    struct outfile stream;
    uint8_t *buffer;
};

static bool prepare(struct recv *recv)
{
    struct session *session = &recv->session;
    const struct tool_args *args = session->args;
    struct rdmig_options options;
    struct rdmig_error error;
    int result;

    recv->buffer = malloc(STREAM_BUFFER_BYTES);
    if (recv->buffer == NULL) {
        tool_error_set(session_error(session), rdmig_reason_name(RDMIG_REASON_MEMORY),
                       "free memory", "no memory to receive the byte stream with");
        return false;
    }
    if (!ramfile_set_open(&session->rams, args->rams, args->ram_count, RAMFILE_RECV,
                          session_error(session)) ||
        (args->stream_path != NULL &&
         !outfile_open(&recv->stream, args->stream_path, session_error(session))) ||
        session_must_stop(session))
        return false;
    session->report.block_count = session->rams.count;
    signals_watch(&session->rams);
    session_fill_options(session, &options);
    memset(&error, 0, sizeof(error));
    result = rdmig_destination_create(&recv->destination, args->address.host, args->address.port,
                                      session->rams.blocks, session->rams.count, &options, &error);
    if (result < 0) {
        session_create_failed(session, result, &error);
        return false;
    }
    session_print_listening(session, recv->destination);
    return true;
}

/* Takes what has come of the byte stream. */
static void read_stream(struct recv *recv)
{
    struct session *session = &recv->session;

    for (;;) {
        int64_t got =
            rdmig_destination_stream_read(recv->destination, recv->buffer, STREAM_BUFFER_BYTES);

        if (got == 0)
            return;
        if (got < 0) {
            session_refused(session, "rdmig_destination_stream_read", got);
            return;
        }
        if (recv->stream.fd < 0) {
            tool_error_set(session_error(session), TOOL_REASON_STREAM_UNWANTED,
                           "name a file for it with --stream",
                           "the source sends a byte stream, and there is no place for it");
            return;
        }
        if (!outfile_write(&recv->stream, recv->buffer, (size_t)got, session_error(session)))
            return;
    }
}

static bool can_be_read(enum rdmig_destination_state state)
{
    return state == RDMIG_DESTINATION_RECEIVING || state == RDMIG_DESTINATION_PREPARED;
}

/* State PREPARED and the stream read to its end. */
static void confirm(struct recv *recv)
{
    struct session *session = &recv->session;
    int result;

    if ((recv->stream.fd >= 0 && !outfile_seal(&recv->stream, session_error(session))) ||
        !ramfile_set_reserve(&session->rams, session_error(session)) ||
        !ramfile_set_check_lengths(&session->rams, session_error(session)) ||
        session_must_stop(session))
        return;
    result = rdmig_destination_confirm(recv->destination);
    if (result < 0)
        session_refused(session, "rdmig_destination_confirm", result);
}

static void check_kind(struct recv *recv)
{
    if (rdmig_destination_is_qemu_stream(recv->destination))
        tool_error_set(session_error(&recv->session), TOOL_REASON_SOURCE_KIND,
                       "receive it with rdmig capture", "the source is a QEMU, not an rdmig");
}

/* Bounded by the library's deadlines once a source has come; until then it waits for one. */
static void drive(struct recv *recv)
{
    struct session *session = &recv->session;

    for (;;) {
        enum rdmig_destination_state state;

        rdmig_destination_process(recv->destination);
        rdmig_destination_progress(recv->destination, &session->report.progress,
                                   sizeof(session->report.progress));
        state = rdmig_destination_state(recv->destination);
        session_show_destination(session, state);
        if (session_has_ended(state))
            return;
        check_kind(recv);
        if (!session_must_stop(session) && can_be_read(state)) {
            read_stream(recv);
            /* Reading may bring on what was held back. */
            state = rdmig_destination_state(recv->destination);
        }
        if (session_must_stop(session)) {
            /* Refused once confirmed: the outcome comes by itself. */
            (void)rdmig_destination_cancel(recv->destination);
        } else if (state == RDMIG_DESTINATION_PREPARED) {
            confirm(recv);
            continue;
        }
        session_wait(session, rdmig_destination_fd(recv->destination), -1);
    }
}

/* The guest is this end's now: a cancel would destroy it, so there is none any more. */
static void store(struct recv *recv)
{
    struct session *session = &recv->session;
    struct tool_error *error = session_error(session);

    session_copy_begin(session, "writing", false);
    if (!ramfile_set_store(&session->rams, session_copy_proceed, session, error) ||
        (recv->stream.fd >= 0 && !outfile_commit(&recv->stream, error))) {
        session->report.outcome = TOOL_FAILED;
        tool_error_add_remedy(error,
                              "the source has handed over already and will not go on by itself");
    }
}

int recv_command(const struct tool_args *args)
{
    struct recv recv;

    memset(&recv, 0, sizeof(recv));
    outfile_init(&recv.stream);
    if (session_begin(&recv.session, args) && prepare(&recv)) {
        drive(&recv);
        session_settle_destination(&recv.session, recv.destination);
    }
    if (recv.session.report.outcome == TOOL_COMPLETED)
        store(&recv);
    session_wait_closed(recv.destination);
    rdmig_destination_destroy(recv.destination);
    outfile_close(&recv.stream);
    free(recv.buffer);
    return session_end(&recv.session);
}
