/* SPDX-License-Identifier: BSD-2-Clause */
#include "drive.h"

#include <inttypes.h>
#include <poll.h>

#define TICK_MS 200

/* ---- what is shown meanwhile */

/* Once, when it is known: the migration goes on, but not in the way that was asked for. */
static void tell_of_refusal(struct session *session)
{
    char note[256];

    if (session->is_refusal_told ||
        session->report.progress.pin_all_refusal == RDMIG_PIN_ALL_NOT_REFUSED)
        return;
    session->is_refusal_told = true;
    if (report_describe_refusal(&session->report.progress, note)) {
        progress_clear(&session->line);
        fprintf(stderr, "rdmig: note: %s\n", note);
    }
}

static void show_source(struct session *session)
{
    static const char *const names[] = {
        [RDMIG_SOURCE_CONNECTING] = "connecting", [RDMIG_SOURCE_IDLE] = "sending the stream",
        [RDMIG_SOURCE_SENDING] = "sending",       [RDMIG_SOURCE_FINISHING] = "handing over",
        [RDMIG_SOURCE_CANCELLING] = "cancelling", [RDMIG_SOURCE_COMPLETED] = "completed",
        [RDMIG_SOURCE_FAILED] = "failed",         [RDMIG_SOURCE_CANCELLED] = "cancelled",
    };
    const struct rdmig_progress *progress = &session->report.progress;
    const uint64_t done_bytes = progress->bytes_total < progress->bytes_dirty
                                    ? 0
                                    : progress->bytes_total - progress->bytes_dirty;

    tell_of_refusal(session);
    progress_show(
        &session->line, "%s: %s of %s, %s/s, %.0f s", names[rdmig_source_state(session->source)],
        bytes_text(done_bytes).text, bytes_text(progress->bytes_total).text,
        bytes_text(progress->throughput_bytes_per_s).text, (double)progress->total_ns / 1e9);
}

static void show_destination(struct session *session, const struct rdmig_progress *progress)
{
    static const char *const names[] = {
        [RDMIG_DESTINATION_LISTENING] = "waiting for a source",
        [RDMIG_DESTINATION_CONNECTED] = "connected",
        [RDMIG_DESTINATION_BLOCKS_NEEDED] = "making memory",
        [RDMIG_DESTINATION_RECEIVING] = "receiving",
        [RDMIG_DESTINATION_ROUND_ENDED] = "receiving",
        [RDMIG_DESTINATION_PREPARED] = "received",
        [RDMIG_DESTINATION_CONFIRMING] = "confirming",
        [RDMIG_DESTINATION_CANCELLING] = "cancelling",
        [RDMIG_DESTINATION_COMPLETED] = "completed",
        [RDMIG_DESTINATION_FAILED] = "failed",
        [RDMIG_DESTINATION_CANCELLED] = "cancelled",
    };
    const enum rdmig_destination_state state = rdmig_destination_state(session->destination);

    tell_of_refusal(session);
    if (state == RDMIG_DESTINATION_LISTENING)
        progress_show(&session->line, "%s", names[state]);
    else
        progress_show(&session->line,
                      "%s: %s of memory, %s zero, round %" PRIu64 ", %s of stream, %.0f s",
                      names[state], bytes_text(progress->bytes_total).text,
                      bytes_text(progress->bytes_zero).text, progress->rounds,
                      bytes_text(progress->bytes_stream).text, (double)progress->total_ns / 1e9);
}

static void show_relay(struct session *session)
{
    const struct rdmig_progress *progress = &session->report.progress;

    progress_show(&session->line, "relaying %s: round %" PRIu64 ", %s to send, %s/s, %.0f s",
                  bytes_text(progress->bytes_total).text, progress->rounds,
                  bytes_text(progress->bytes_dirty).text,
                  bytes_text(progress->throughput_bytes_per_s).text,
                  (double)session->incoming.total_ns / 1e9);
}

/* ---- the loop */

static void process(struct session *session)
{
    struct rdmig_progress *own = &session->report.progress;
    struct rdmig_progress *incoming = session->report.incoming == NULL ? own : &session->incoming;

    if (session->destination != NULL) {
        rdmig_destination_process(session->destination);
        rdmig_destination_progress(session->destination, incoming, sizeof(*incoming));
    }
    if (session->source != NULL) {
        rdmig_source_process(session->source);
        rdmig_source_progress(session->source, own, sizeof(*own));
    }
    if (session->source == NULL)
        show_destination(session, incoming);
    else if (session->destination == NULL)
        show_source(session);
    else
        show_relay(session);
}

/* What a handle that has ended has come to. */
static enum tool_outcome source_outcome(const struct session *session)
{
    const enum rdmig_source_state state = rdmig_source_state(session->source);

    return state == RDMIG_SOURCE_COMPLETED   ? TOOL_COMPLETED
           : state == RDMIG_SOURCE_CANCELLED ? TOOL_CANCELLED
                                             : TOOL_FAILED;
}

static enum tool_outcome destination_outcome(const struct session *session)
{
    const enum rdmig_destination_state state = rdmig_destination_state(session->destination);

    return state == RDMIG_DESTINATION_COMPLETED   ? TOOL_COMPLETED
           : state == RDMIG_DESTINATION_CANCELLED ? TOOL_CANCELLED
                                                  : TOOL_FAILED;
}

static bool have_ended(const struct session *session)
{
    return (session->destination == NULL || destination_outcome(session) != TOOL_FAILED ||
            rdmig_destination_state(session->destination) == RDMIG_DESTINATION_FAILED) &&
           (session->source == NULL || source_outcome(session) != TOOL_FAILED ||
            rdmig_source_state(session->source) == RDMIG_SOURCE_FAILED);
}

/* Refused, or without effect, where it is too late: the outcome comes by itself. */
static void leave(struct session *session)
{
    session->input_fd = -1;
    if (session->destination != NULL)
        (void)rdmig_destination_cancel(session->destination);
    if (session->source != NULL)
        (void)rdmig_source_cancel(session->source);
}

/* For a descriptor, a signal, or a short while. Whatever ends it, everything is looked at anew. */
static void wait(const struct session *session)
{
    struct pollfd polls[] = {
        {.fd = session->destination == NULL ? -1 : rdmig_destination_fd(session->destination),
         .events = POLLIN},
        {.fd = session->source == NULL ? -1 : rdmig_source_fd(session->source), .events = POLLIN},
        {.fd = session->input_fd, .events = POLLIN},
    };

    (void)poll(polls, sizeof(polls) / sizeof(polls[0]), TICK_MS);
}

void drive(struct session *session, const struct drive_calls *calls, void *context)
{
    const struct tool_error *error = session_error(session);
    bool is_leaving = false;

    for (;;) {
        bool has_moved = false;

        process(session);
        if (have_ended(session))
            return;
        is_leaving = is_leaving || (calls->must_leave == NULL ? session_must_stop(session)
                                                              : calls->must_leave(context));
        if (is_leaving) {
            leave(session);
        } else {
            const bool had_error = tool_error_is_set(error);

            /* A new error is acted on at once. */
            has_moved = calls->advance(context) || (!had_error && tool_error_is_set(error));
        }
        if (!has_moved)
            wait(session);
    }
}

void drive_settle(struct session *session)
{
    if (session->source != NULL)
        session_settle(session, source_outcome(session), rdmig_source_error(session->source));
    else
        session_settle(session, destination_outcome(session),
                       rdmig_destination_error(session->destination));
}

/* ---- the byte stream */

void drive_receive(struct session *session, drive_sink *sink, void *context)
{
    static uint8_t buffer[STREAM_BUFFER_BYTES];
    int64_t got;

    do
        got = rdmig_destination_stream_read(session->destination, buffer, sizeof(buffer));
    while (session_check(session, "rdmig_destination_stream_read", got) && got > 0 &&
           sink(context, buffer, (size_t)got, session_error(session)));
}

void drive_send(struct session *session, struct drive_feed *feed, drive_refill *refill,
                void *context)
{
    int64_t taken = 1;

    while (taken > 0 && rdmig_source_state(session->source) == RDMIG_SOURCE_IDLE) {
        if (feed->start == feed->end) {
            feed->start = 0;
            feed->end = refill(context, feed->bytes, sizeof(feed->bytes));
            if (feed->end == 0)
                return;
        }
        taken = rdmig_source_stream_write(session->source, feed->bytes + feed->start,
                                          feed->end - feed->start);
        if (session_check(session, "rdmig_source_stream_write", taken))
            feed->start += (size_t)taken;
    }
}
