/* SPDX-License-Identifier: BSD-2-Clause */
#include "session.h"

#include "../../text/text.h"
#include "signals.h"

#include <inttypes.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>

#define TICK_MS   200
#define CLOSE_MS  2000
#define REPORT_IT "report it as a fault of rdmig"

/* A block may take two descriptors, and there may be thousands. */
static void raise_open_file_limit(void)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
        limit.rlim_cur = limit.rlim_max;
        /* Should it fail, the open() that needs it says EMFILE. */
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

bool session_begin(struct session *session, const struct tool_args *args)
{
    memset(session, 0, sizeof(*session));
    session->args = args;
    session->report.outcome = TOOL_FAILED;
    session->report.is_on_demand_wanted = args->is_on_demand_wanted;
    session->report.is_relaxed_wanted = args->is_relaxed_wanted;
    progress_begin(&session->line, args->is_json);
    raise_open_file_limit();
    return signals_install(session_error(session));
}

int session_end(struct session *session)
{
    progress_clear(&session->line);
    signals_watch(NULL);
    ramfile_set_close(&session->rams);
    return report_print(&session->report, session->args->is_json);
}

void session_fill_options(const struct session *session, struct rdmig_options *options)
{
    const struct tool_args *args = session->args;

    memset(options, 0, sizeof(*options));
    options->struct_bytes = sizeof(*options);
    options->stream_format = RDMIG_STREAM_NATIVE;
    options->pin_all = args->is_pin_all;
    options->refuse_pin_all = args->is_pin_all_refused;
    options->relaxed_ordering = args->is_relaxed_wanted;
    options->on_demand_paging = args->is_on_demand_wanted;
    options->run_chunk_count = args->run_chunk_count;
    options->downtime_target_ms = args->downtime_target_ms;
    options->bandwidth_bytes_per_s = args->bandwidth_bytes_per_s;
    options->time_limit_ms = args->time_limit_ms;
    options->pinned_limit_bytes = args->pinned_limit_bytes;
}

/* Once, when it is known: the migration goes on, but not in the way that was asked for. */
static void tell_of_refusal(struct session *session)
{
    const enum rdmig_pin_all_refusal refusal = session->report.progress.pin_all_refusal;
    char note[256];

    if (session->is_refusal_told || refusal == RDMIG_PIN_ALL_NOT_REFUSED)
        return;
    session->is_refusal_told = true;
    if (report_describe_refusal(&session->report.progress, note)) {
        progress_clear(&session->line);
        fprintf(stderr, "rdmig: note: %s\n", note);
    }
}

void session_create_failed(struct session *session, int result, const struct rdmig_error *from)
{
    struct tool_error *error = session_error(session);
    char remedy[64];

    if (from->reason == RDMIG_REASON_CALLER) {
        /* What the library was given came from the command line. */
        snprintf(remedy, sizeof(remedy), "see rdmig %s --help",
                 args_command_name(session->args->command));
        tool_error_clear(error);
        tool_error_set(error, TOOL_REASON_USAGE, remedy, "%s", from->detail);
    } else if (from->reason != RDMIG_REASON_NONE) {
        tool_error_take(error, from);
    } else {
        tool_error_set(error, rdmig_reason_name(RDMIG_REASON_INTERNAL), REPORT_IT,
                       "the migration cannot be set up: %s", rdmig_result_text(result));
    }
}

void session_refused(struct session *session, const char *call, int64_t result)
{
    if (result == -RDMIG_E_FAILED) {
        return; /* the migration has failed meanwhile: its state and error tell of it */
    }
    tool_error_set(session_error(session), rdmig_reason_name(RDMIG_REASON_INTERNAL), REPORT_IT,
                   "%s was refused: %s", call, rdmig_result_text((int)result));
}

void session_blocks_refused(struct session *session, int result, const struct rdmig_error *from)
{
    if (result == -RDMIG_E_FAILED) {
        return; /* likewise */
    }
    if (from->reason != RDMIG_REASON_CALLER) {
        tool_error_take(session_error(session), from);
        return;
    }
    tool_error_set(session_error(session), rdmig_reason_name(RDMIG_REASON_INTERNAL), REPORT_IT,
                   "rdmig_destination_provide_blocks was refused: %s", from->detail);
}

static const char *cancel_remedy(enum tool_command command)
{
    switch (command) {
    case TOOL_COMMAND_SEND:
        return "the source keeps its memory; start again when ready";
    case TOOL_COMMAND_RESTORE:
        return "the directory is as it was; start a new QEMU, then this again";
    case TOOL_COMMAND_RELAY:
        return "start again when ready";
    default:
        return "the source keeps its guest; start again when ready";
    }
}

bool session_must_stop(struct session *session)
{
    int number = signals_caught();
    int64_t index = signals_faulted_block();

    if (tool_error_is_set(session_error(session)))
        return true;
    if (index >= 0) {
        const struct ramfile *file = &session->rams.files[index];

        if (ramfile_set_check_lengths(&session->rams, session_error(session)))
            tool_error_set(session_error(session), TOOL_REASON_FILE,
                           "make room in its file system, or in the pool of huge pages",
                           "a page of %s of block %s could not be had (SIGBUS)",
                           file->path == NULL ? "the memory" : file->path,
                           text_name(file->name).text);
        return true;
    }
    if (number != 0) {
        session->report.outcome = TOOL_CANCELLED;
        tool_error_set(session_error(session), TOOL_REASON_SIGNALLED,
                       cancel_remedy(session->args->command), "cancelled by SIG%s",
                       sigabbrev_np(number));
        return true;
    }
    return false;
}

void session_wait(const struct session *session, int handle_fd, int other_fd)
{
    struct pollfd polls[] = {
        {.fd = handle_fd, .events = POLLIN},
        {.fd = other_fd, .events = POLLIN},
        /* Once a signal has been seen the pipe would stay readable and make this spin. */
        {.fd = tool_error_is_set(&session->report.error) ? -1 : signals_fd(), .events = POLLIN},
    };

    /* Whatever ends the wait, the caller looks at everything anew. */
    (void)poll(polls, sizeof(polls) / sizeof(polls[0]), TICK_MS);
}

void session_copy_begin(struct session *session, const char *text, bool is_cancellable)
{
    session->copy_text = text;
    session->copy_before_bytes = 0;
    session->is_copy_cancellable = is_cancellable;
}

bool session_copy_proceed(void *context, uint64_t done_bytes)
{
    struct session *session = context;
    char done[32];

    format_bytes(session->copy_before_bytes + done_bytes, done);
    progress_show(&session->line, "%s: %s", session->copy_text, done);
    return !session->is_copy_cancellable || !session_must_stop(session);
}

void session_settle(struct session *session, enum session_end_state state,
                    const struct rdmig_error *from)
{
    struct tool_error *error = session_error(session);
    bool is_cancel = session->report.outcome == TOOL_CANCELLED;

    switch (state) {
    case SESSION_COMPLETED:
        /* A cancel that came too late to be one. */
        tool_error_clear(error);
        session->report.outcome = TOOL_COMPLETED;
        return;
    case SESSION_FAILED:
        /* What failed of itself counts more than a wish, and who owns the guest above all. */
        if (!tool_error_is_set(error) || is_cancel ||
            from->reason == RDMIG_REASON_HANDOVER_UNKNOWN) {
            tool_error_clear(error);
            if (ramfile_set_check_lengths(&session->rams, error) ||
                from->reason == RDMIG_REASON_HANDOVER_UNKNOWN)
                tool_error_take(error, from);
        }
        session->report.outcome = TOOL_FAILED;
        return;
    case SESSION_CANCELLED:
        if (!tool_error_is_set(error)) {
            tool_error_take(error, from);
            session->report.outcome = TOOL_CANCELLED;
        }
        return;
    }
}

void session_show_source(struct session *session, enum rdmig_source_state state)
{
    static const char *const names[] = {
        [RDMIG_SOURCE_CONNECTING] = "connecting", [RDMIG_SOURCE_IDLE] = "sending the stream",
        [RDMIG_SOURCE_SENDING] = "sending",       [RDMIG_SOURCE_FINISHING] = "handing over",
        [RDMIG_SOURCE_CANCELLING] = "cancelling", [RDMIG_SOURCE_COMPLETED] = "completed",
        [RDMIG_SOURCE_FAILED] = "failed",         [RDMIG_SOURCE_CANCELLED] = "cancelled",
    };
    const struct rdmig_progress *progress = &session->report.progress;
    uint64_t done_bytes = progress->bytes_total < progress->bytes_dirty
                              ? 0
                              : progress->bytes_total - progress->bytes_dirty;
    char done[32];
    char total[32];
    char rate[32];

    tell_of_refusal(session);
    format_bytes(done_bytes, done);
    format_bytes(progress->bytes_total, total);
    format_bytes(progress->throughput_bytes_per_s, rate);
    progress_show(&session->line, "%s: %s of %s, %s/s, %.0f s", names[state], done, total, rate,
                  (double)progress->total_ns / 1e9);
}

bool session_source_has_ended(enum rdmig_source_state state)
{
    return state == RDMIG_SOURCE_COMPLETED || state == RDMIG_SOURCE_FAILED ||
           state == RDMIG_SOURCE_CANCELLED;
}

void session_settle_source(struct session *session, const struct rdmig_source *source)
{
    enum rdmig_source_state state = rdmig_source_state(source);
    enum session_end_state end = state == RDMIG_SOURCE_COMPLETED   ? SESSION_COMPLETED
                                 : state == RDMIG_SOURCE_CANCELLED ? SESSION_CANCELLED
                                                                   : SESSION_FAILED;

    session_settle(session, end, rdmig_source_error(source));
}

void session_print_listening(struct session *session, const struct rdmig_destination *destination)
{
    char host[4 * TOOL_HOST_BYTES_MAX + 1];
    bool is_bracketed = strchr(session->args->address.host, ':') != NULL;

    /* Always, and at once: who starts a source waits for this line. */
    progress_clear(&session->line);
    text_line(host, sizeof(host), session->args->address.host);
    fprintf(stderr, "listening on %s%s%s:%u\n", is_bracketed ? "[" : "",
            host[0] == '\0' ? "*" : host, is_bracketed ? "]" : "",
            rdmig_destination_port(destination));
}

void session_show_destination(struct session *session, enum rdmig_destination_state state)
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
    const struct rdmig_progress *progress = &session->report.progress;
    char total[32];
    char zero[32];
    char stream[32];

    tell_of_refusal(session);
    if (state == RDMIG_DESTINATION_LISTENING) {
        progress_show(&session->line, "%s", names[state]);
        return;
    }
    format_bytes(progress->bytes_total, total);
    format_bytes(progress->bytes_zero, zero);
    format_bytes(progress->bytes_stream, stream);
    progress_show(
        &session->line, "%s: %s of memory, %s zero, round %" PRIu64 ", %s of stream, %.0f s",
        names[state], total, zero, progress->rounds, stream, (double)progress->total_ns / 1e9);
}

bool session_has_ended(enum rdmig_destination_state state)
{
    return state == RDMIG_DESTINATION_COMPLETED || state == RDMIG_DESTINATION_FAILED ||
           state == RDMIG_DESTINATION_CANCELLED;
}

void session_settle_destination(struct session *session,
                                const struct rdmig_destination *destination)
{
    const struct rdmig_error *from = rdmig_destination_error(destination);

    switch (rdmig_destination_state(destination)) {
    case RDMIG_DESTINATION_COMPLETED:
        session_settle(session, SESSION_COMPLETED, from);
        break;
    case RDMIG_DESTINATION_CANCELLED:
        session_settle(session, SESSION_CANCELLED, from);
        break;
    default:
        session_settle(session, SESSION_FAILED, from);
    }
}

void session_wait_closed(struct rdmig_destination *destination)
{
    if (destination != NULL)
        (void)rdmig_destination_wait_closed(destination, CLOSE_MS);
}
