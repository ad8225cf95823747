/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * rdmig relay: a guest from one stock QEMU to another, through us, while it runs. One loop drives
 * a destination, for the source QEMU, and a source, for the destination QEMU. The stream goes
 * through as it comes; each round of the one side is a round of the other, at the same hook; the
 * memory goes by what a comparison of the received memory with what was sent finds (shadow).
 */
#include "../../text/text.h"
#include "commands.h"
#include "relay.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static bool prepare(struct relay *relay)
{
    struct session *session = &relay->session;
    const struct tool_args *args = session->args;
    struct rdmig_options options;
    struct rdmig_error error;
    int result;

    if (!relay_stream_init(&relay->stream)) {
        tool_error_set(session_error(session), rdmig_reason_name(RDMIG_REASON_MEMORY),
                       "free memory", "no memory to pass the byte stream on with");
        return false;
    }
    session_fill_options(session, &options);
    options.report_rounds = true;
    memset(&error, 0, sizeof(error));
    result = rdmig_destination_create(&relay->incoming, args->address.host, args->address.port,
                                      NULL, 0, &options, &error);
    if (result < 0) {
        session_create_failed(session, result, &error);
        return false;
    }
    session_print_listening(session, relay->incoming);
    return true;
}

/*
 * True when it is time to give up: either side has failed, so the other one has to go, too; or this
 * one does. Once the stream's end is on its way it cannot be taken back, whatever is wished.
 */
static bool must_leave(struct relay *relay)
{
    struct session *session = &relay->session;
    bool is_stopped = session_must_stop(session);

    if (relay->step >= RELAY_ENDING)
        return is_stopped && session->report.outcome != TOOL_CANCELLED;
    if (relay->side == RELAY_SIDE_NONE)
        relay->side = relay_failed_side(relay);
    if (!is_stopped && relay->side == RELAY_SIDE_NONE)
        return false;
    relay->has_source_left = rdmig_destination_state(relay->incoming) == RDMIG_DESTINATION_PREPARED;
    return true;
}

/* Refused, or without effect, where it is too late. */
static void leave(struct relay *relay)
{
    (void)rdmig_destination_cancel(relay->incoming);
    if (relay->outgoing != NULL)
        (void)rdmig_source_cancel(relay->outgoing);
}

static bool have_ended(const struct relay *relay)
{
    return session_has_ended(rdmig_destination_state(relay->incoming)) &&
           (relay->outgoing == NULL ||
            session_source_has_ended(rdmig_source_state(relay->outgoing)));
}

static void show(struct relay *relay)
{
    struct session *session = &relay->session;
    const struct rdmig_progress *progress = &session->report.progress;
    char total[32];
    char dirty[32];
    char rate[32];

    if (relay->outgoing == NULL) {
        session_show_destination(session, rdmig_destination_state(relay->incoming));
        return;
    }
    format_bytes(progress->bytes_total, total);
    format_bytes(progress->bytes_dirty, dirty);
    format_bytes(progress->throughput_bytes_per_s, rate);
    progress_show(&session->line, "relaying %s: round %" PRIu64 ", %s to send, %s/s, %.0f s", total,
                  progress->rounds, dirty, rate, (double)relay->incoming_progress.total_ns / 1e9);
}

static void process(struct relay *relay)
{
    rdmig_destination_process(relay->incoming);
    rdmig_destination_progress(relay->incoming, &relay->incoming_progress,
                               sizeof(relay->incoming_progress));
    if (relay->outgoing != NULL) {
        rdmig_source_process(relay->outgoing);
        rdmig_source_progress(relay->outgoing, &relay->session.report.progress,
                              sizeof(relay->session.report.progress));
    }
    show(relay);
}

/*
 * Bounded by the libraries' deadlines once a source has come: whatever this waits for is either
 * side's next step, and either side's failure ends the other.
 */
static void drive(struct relay *relay)
{
    struct session *session = &relay->session;
    bool is_leaving = false;

    for (;;) {
        bool has_moved = false;

        process(relay);
        if (have_ended(relay))
            return;
        is_leaving = is_leaving || must_leave(relay);
        if (is_leaving) {
            leave(relay);
        } else {
            has_moved = relay_advance(relay);
            has_moved = relay_compare(relay) || has_moved;
        }
        if (!has_moved)
            session_wait(session, rdmig_destination_fd(relay->incoming),
                         relay->outgoing == NULL ? -1 : rdmig_source_fd(relay->outgoing));
    }
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
    if (relay->session.report.block_count == 0) {
        return; /* nothing has begun */
    }
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

    session_settle(&relay->session, SESSION_FAILED, rdmig_source_error(relay->outgoing));
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

    if (relay->outgoing != NULL && rdmig_source_state(relay->outgoing) == RDMIG_SOURCE_COMPLETED) {
        session_settle(session, SESSION_COMPLETED, rdmig_source_error(relay->outgoing));
        return;
    }
    if (relay->step >= RELAY_ENDING) {
        settle_handover(relay);
        return;
    }
    if (relay->side == RELAY_SIDE_SOURCE)
        from = rdmig_destination_error(relay->incoming);
    else if (relay->side == RELAY_SIDE_DESTINATION && relay->outgoing != NULL)
        from = rdmig_source_error(relay->outgoing);
    /* A cause that was found here stands; its handle was only told to go. */
    if (from != NULL && from->reason != RDMIG_REASON_CANCELLED)
        session_settle(session, SESSION_FAILED, from);
    report->side = side_names[relay->side];
    name_side(relay, &report->error);
    add_remedies(relay, &report->error);
}

int relay_command(const struct tool_args *args)
{
    struct relay relay;

    memset(&relay, 0, sizeof(relay));
    if (session_begin(&relay.session, args)) {
        relay.session.report.incoming = &relay.incoming_progress;
        if (prepare(&relay)) {
            drive(&relay);
            settle(&relay);
        }
    }
    rdmig_source_destroy(relay.outgoing);
    session_wait_closed(relay.incoming);
    rdmig_destination_destroy(relay.incoming);
    relay_stream_free(&relay.stream);
    shadow_free(&relay.shadow);
    return session_end(&relay.session);
}
