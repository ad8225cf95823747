/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * rdmig recv: one migration from an rdmig source into existing files. What can fail for lack of
 * space is done before the destination confirms, while the source still has its guest.
 */
#include "../files/outfile.h"
#include "commands.h"
#include "drive.h"
#include "signals.h"

struct recv {
    struct session session;
    struct outfile stream;
};

static bool prepare(struct recv *recv)
{
    struct session *session = &recv->session;
    const struct tool_args *args = session->args;

    if (!ramfile_set_open(&session->rams, args->rams, args->ram_count, RAMFILE_RECV,
                          session_error(session)) ||
        (args->stream_path != NULL &&
         !outfile_open(&recv->stream, args->stream_path, session_error(session))) ||
        session_must_stop(session))
        return false;
    session->report.block_count = session->rams.count;
    signals_watch(&session->rams);
    return session_listen(session, session->rams.blocks, session->rams.count, false);
}

static bool take_stream(void *context, const void *bytes, size_t length_bytes,
                        struct tool_error *error)
{
    struct recv *recv = context;

    if (recv->stream.fd < 0)
        return tool_error_set(error, TOOL_REASON_STREAM_UNWANTED,
                              "name a file for it with --stream",
                              "the source sends a byte stream, and there is no place for it");
    return outfile_write(&recv->stream, bytes, length_bytes, error);
}

/* State PREPARED and the stream read to its end. */
static void confirm(struct recv *recv)
{
    struct session *session = &recv->session;

    if ((recv->stream.fd >= 0 && !outfile_seal(&recv->stream, session_error(session))) ||
        !ramfile_set_reserve(&session->rams, session_error(session)) ||
        !ramfile_set_check_lengths(&session->rams, session_error(session)) ||
        session_must_stop(session))
        return;
    (void)SESSION_CALL(session, rdmig_destination_confirm, session->destination);
}

static bool advance(void *context)
{
    struct recv *recv = context;
    struct session *session = &recv->session;
    enum rdmig_destination_state state = rdmig_destination_state(session->destination);

    if (rdmig_destination_is_qemu_stream(session->destination))
        return tool_error_set(session_error(session), TOOL_REASON_SOURCE_KIND,
                              "receive it with rdmig capture",
                              "the source is a QEMU, not an rdmig");
    if (state == RDMIG_DESTINATION_RECEIVING || state == RDMIG_DESTINATION_PREPARED)
        drive_receive(session, take_stream, recv);
    /* Reading may bring on what was held back. */
    state = rdmig_destination_state(session->destination);
    if (state != RDMIG_DESTINATION_PREPARED || session_must_stop(session))
        return false;
    confirm(recv);
    return true;
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
    static const struct drive_calls calls = {.advance = advance};
    struct recv recv;

    outfile_init(&recv.stream);
    if (session_begin(&recv.session, args) && prepare(&recv)) {
        drive(&recv.session, &calls, &recv);
        drive_settle(&recv.session);
    }
    if (recv.session.report.outcome == TOOL_COMPLETED)
        store(&recv);
    session_destroy_handles(&recv.session);
    outfile_close(&recv.stream);
    return session_end(&recv.session);
}
