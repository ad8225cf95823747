/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * rdmig relay: a guest from one stock QEMU to another, through us, while it runs. One loop drives
 * a destination, for the source QEMU, and a source, for the destination QEMU. The stream goes
 * through as it comes; each round of the one side is a round of the other, at the same hook; the
 * memory goes by what a comparison of the received memory with what was sent finds (shadow).
 */
#include "../../text/text.h"
#include "commands.h"
#include "drive.h"
#include "relay.h"

#include <stdlib.h>
#include <string.h>

/*
 * True when it is time to give up: either side has failed, so the other one has to go, too; or this
 * one does. Once the stream's end is on its way it cannot be taken back, whatever is wished.
 */
static bool must_leave(void *context)
{
    struct relay *relay = context;
    struct session *session = &relay->session;
    bool is_stopped = session_must_stop(session);

    if (relay->step >= RELAY_ENDING)
        return is_stopped && session->report.outcome != TOOL_CANCELLED;
    if (relay->side == RELAY_SIDE_NONE)
        relay->side = relay_failed_side(relay);
    if (!is_stopped && relay->side == RELAY_SIDE_NONE)
        return false;
    relay->has_source_left =
        rdmig_destination_state(session->destination) == RDMIG_DESTINATION_PREPARED;
    return true;
}

/* ---- how it ended */

static const char *const side_names[] = {
    [RELAY_SIDE_NONE] = NULL,
    [RELAY_SIDE_SOURCE] = "source",
    [RELAY_SIDE_DESTINATION] = "destination",
};

/* Puts in front of the cause which of the two it is about. */
static void name_side(const struct relay *relay, struct tool_error *error)
{
    const struct tool_args *args = relay->session.args;
    struct tool_error named = *error;

    if (relay->side == RELAY_SIDE_SOURCE)
        text_print(named.detail, sizeof(named.detail), "the source: %s", error->detail);
    else if (relay->side == RELAY_SIDE_DESTINATION)
        text_print(named.detail, sizeof(named.detail), "the destination, %s port %s: %s",
                   args->relay_to.host, args->relay_to.port, error->detail);
    *error = named;
}

/* What the two QEMUs are up to now, as far as it can be known here. */
static void add_remedies(const struct relay *relay, struct tool_error *error)
{
    if (relay->session.report.block_count == 0)
        return; /* nothing has begun */
    if (relay->has_source_left && relay->side != RELAY_SIDE_SOURCE)
        tool_error_add_remedy(error, "the source may have completed: then its guest stands still, "
                                     "and 'cont' there lets it run on");
    else if (relay->side != RELAY_SIDE_SOURCE)
        tool_error_add_remedy(error, "the source is told, and its guest runs on there");
    tool_error_add_remedy(error, "start the destination's QEMU anew before the next attempt; what "
                                 "it says on its standard error may tell more");
}

/* The end mark may have arrived. */
static void settle_handover(struct relay *relay)
{
    struct tool_error *error = session_error(&relay->session);

    session_settle(&relay->session, TOOL_FAILED, rdmig_source_error(relay->session.source));
    snprintf(error->reason, sizeof(error->reason), "%s",
             rdmig_reason_name(RDMIG_REASON_HANDOVER_UNKNOWN));
    snprintf(error->remedy, sizeof(error->remedy), "%s",
             "see whether the destination's QEMU runs the guest ('info status'); only if it does "
             "not, and will not, let it run on at the source with 'cont'");
    relay->side = RELAY_SIDE_DESTINATION;
    relay->session.report.side = side_names[relay->side];
    name_side(relay, error);
}

static void settle(struct relay *relay)
{
    struct session *session = &relay->session;
    struct report *report = &session->report;
    const struct rdmig_error *from = NULL;

    if (session->source != NULL && rdmig_source_state(session->source) == RDMIG_SOURCE_COMPLETED) {
        session_settle(session, TOOL_COMPLETED, rdmig_source_error(session->source));
        return;
    }
    if (relay->step >= RELAY_ENDING) {
        settle_handover(relay);
        return;
    }
    if (relay->side == RELAY_SIDE_SOURCE)
        from = rdmig_destination_error(session->destination);
    else if (relay->side == RELAY_SIDE_DESTINATION && session->source != NULL)
        from = rdmig_source_error(session->source);
    /* A cause that was found here stands; its handle was only told to go. */
    if (from != NULL && from->reason != RDMIG_REASON_CANCELLED)
        session_settle(session, TOOL_FAILED, from);
    report->side = side_names[relay->side];
    name_side(relay, &report->error);
    add_remedies(relay, &report->error);
}

int relay_command(const struct tool_args *args)
{
    static const struct drive_calls calls = {.advance = relay_advance, .must_leave = must_leave};
    struct relay relay;
    struct session *session = &relay.session;

    memset(&relay, 0, sizeof(relay));
    if (session_begin(session, args)) {
        session->report.incoming = &session->incoming;
        if (!relay_stream_init(&relay.stream))
            tool_error_memory(session_error(session), "no memory to pass the byte stream on with");
        else if (session_listen(session, NULL, 0, true)) {
            drive(session, &calls, &relay);
            settle(&relay);
        }
    }
    session_destroy_handles(session);
    relay_stream_free(&relay.stream);
    shadow_free(&relay.shadow);
    return session_end(session);
}
