/* SPDX-License-Identifier: BSD-2-Clause */
#include "session.h"

#include "../../text/text.h"
#include "../files/ram_limit.h"
#include "signals.h"

#include <signal.h>
#include <string.h>
#include <sys/resource.h>

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
    session->input_fd = -1;
    session->report.outcome = TOOL_FAILED;
    session->report.is_on_demand_wanted = args->is_on_demand_wanted;
    session->report.is_relaxed_wanted = args->is_relaxed_wanted;
    progress_begin(&session->line, args->is_json);
    raise_open_file_limit();
    return signals_install(session_error(session)) &&
           tracefile_open(&session->trace, args->trace_path, session_error(session));
}

void session_destroy_handles(struct session *session)
{
    rdmig_source_destroy(session->source);
    if (session->destination != NULL)
        (void)rdmig_destination_wait_closed(session->destination, CLOSE_MS);
    rdmig_destination_destroy(session->destination);
    session->source = NULL;
    session->destination = NULL;
}

int session_end(struct session *session)
{
    int trace_code;

    session_destroy_handles(session);
    trace_code = tracefile_close(&session->trace);
    progress_clear(&session->line);
    if (trace_code != 0)
        fprintf(stderr, "rdmig: note: the trace is not complete: %s\n", strerror(trace_code));
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

/* ---- handles */

static void print_listening(struct session *session)
{
    char host[4 * TOOL_HOST_BYTES_MAX + 1];
    bool is_bracketed = strchr(session->args->address.host, ':') != NULL;

    /* Always, and at once: who starts a source waits for this line. */
    progress_clear(&session->line);
    text_line(host, sizeof(host), session->args->address.host);
    fprintf(stderr, "listening on %s%s%s:%u\n", is_bracketed ? "[" : "",
            host[0] == '\0' ? "*" : host, is_bracketed ? "]" : "",
            rdmig_destination_port(session->destination));
}

bool session_listen(struct session *session, const struct rdmig_ram_block *blocks, uint32_t count,
                    bool are_rounds_reported)
{
    const struct tool_address *address = &session->args->address;
    struct rdmig_error error = {.reason = RDMIG_REASON_NONE};
    struct rdmig_options options;
    int result;

    session_fill_options(session, &options);
    options.report_rounds = are_rounds_reported;
    result = rdmig_destination_create(&session->destination, address->host, address->port, blocks,
                                      count, &options, &error);
    if (result < 0) {
        session_create_failed(session, result, &error);
    } else {
        tracefile_follow_destination(&session->trace, session->destination);
        print_listening(session);
    }
    return result >= 0;
}

bool session_connect(struct session *session, const struct tool_address *to,
                     const struct rdmig_ram_block *blocks, uint32_t count,
                     const struct rdmig_options *options)
{
    struct rdmig_error error = {.reason = RDMIG_REASON_NONE};
    const int result =
        rdmig_source_create(&session->source, to->host, to->port, blocks, count, options, &error);

    if (result < 0)
        session_create_failed(session, result, &error);
    else
        tracefile_follow_source(&session->trace, session->source);
    return result >= 0;
}

bool session_load_memory(struct session *session)
{
    session->report.block_count = session->rams.count;
    session_copy_begin(session, "reading", true);
    if (!ramfile_set_load(&session->rams, session_copy_proceed, session, session_error(session)) ||
        session_must_stop(session))
        return false;
    signals_watch(&session->rams);
    return true;
}

bool session_allocate_memory(struct session *session)
{
    uint32_t count = 0;
    const struct rdmig_ram_block *announced =
        rdmig_destination_announced(session->destination, &count);
    /* A relay has a second copy, to compare with. */
    const struct ram_limit limit = {
        .given_bytes = session->args->ram_limit_bytes,
        .copy_count = session->args->command == TOOL_COMMAND_RELAY ? 2 : 1,
        .meminfo_path = RAM_LIMIT_MEMINFO_PATH,
    };

    if (!ram_limit_check(&limit, announced, count, session_error(session)))
        return false;
    session->report.block_count = count;
    if (!ramfile_set_allocate(&session->rams, announced, count, session_error(session)))
        return false;
    signals_watch(&session->rams);
    return true;
}

void session_provide_blocks(struct session *session)
{
    struct rdmig_error error = {.reason = RDMIG_REASON_NONE};
    const int result = rdmig_destination_provide_blocks(session->destination, session->rams.blocks,
                                                        session->rams.count, &error);

    if (result < 0)
        session_blocks_refused(session, result, &error);
}

/* ---- what went wrong */

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

bool session_check(struct session *session, const char *call, int64_t result)
{
    if (result >= 0)
        return true;
    /* But for a migration that has failed meanwhile: its state and error tell of it. */
    return result != -RDMIG_E_FAILED &&
           tool_error_set(session_error(session), rdmig_reason_name(RDMIG_REASON_INTERNAL),
                          REPORT_IT, "%s was refused: %s", call, rdmig_result_text((int)result));
}

void session_blocks_refused(struct session *session, int result, const struct rdmig_error *from)
{
    if (result == -RDMIG_E_FAILED)
        return; /* likewise */
    if (from->reason != RDMIG_REASON_CALLER)
        tool_error_take(session_error(session), from);
    else
        tool_error_set(session_error(session), rdmig_reason_name(RDMIG_REASON_INTERNAL), REPORT_IT,
                       "rdmig_destination_provide_blocks was refused: %s", from->detail);
}

static const char *const cancel_remedies[] = {
    [TOOL_COMMAND_SEND] = "the source keeps its memory; start again when ready",
    [TOOL_COMMAND_RECV] = "the source keeps its guest; start again when ready",
    [TOOL_COMMAND_CAPTURE] = "the source keeps its guest; start again when ready",
    [TOOL_COMMAND_RESTORE] = "the directory is as it was; start a new QEMU, then this again",
    [TOOL_COMMAND_RELAY] = "start again when ready",
};

bool session_must_stop(struct session *session)
{
    struct tool_error *error = session_error(session);
    const int number = signals_caught();
    const int64_t index = signals_faulted_block();

    if (tool_error_is_set(error))
        return true;
    if (index >= 0) {
        const struct ramfile *file = &session->rams.files[index];

        if (ramfile_set_check_lengths(&session->rams, error))
            tool_error_set(error, TOOL_REASON_FILE,
                           "make room in its file system, or in the pool of huge pages",
                           "a page of %s of block %s could not be had (SIGBUS)",
                           file->path == NULL ? "the memory" : file->path,
                           text_name(file->name).text);
    } else if (number != 0) {
        session->report.outcome = TOOL_CANCELLED;
        tool_error_set(error, TOOL_REASON_SIGNALLED, cancel_remedies[session->args->command],
                       "cancelled by SIG%s", sigabbrev_np(number));
    }
    return index >= 0 || number != 0;
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

    progress_show(&session->line, "%s: %s", session->copy_text,
                  bytes_text(session->copy_before_bytes + done_bytes).text);
    return !session->is_copy_cancellable || !session_must_stop(session);
}

void session_settle(struct session *session, enum tool_outcome outcome,
                    const struct rdmig_error *from)
{
    struct tool_error *error = session_error(session);
    bool is_cancel = session->report.outcome == TOOL_CANCELLED;

    switch (outcome) {
    case TOOL_COMPLETED:
        /* A cancel that came too late to be one. */
        tool_error_clear(error);
        session->report.outcome = TOOL_COMPLETED;
        return;
    case TOOL_FAILED:
        /* What failed of itself counts more than a cancel, and who owns the guest above all. */
        if (!tool_error_is_set(error) || is_cancel ||
            from->reason == RDMIG_REASON_HANDOVER_UNKNOWN) {
            tool_error_clear(error);
            if (ramfile_set_check_lengths(&session->rams, error) ||
                from->reason == RDMIG_REASON_HANDOVER_UNKNOWN)
                tool_error_take(error, from);
        }
        session->report.outcome = TOOL_FAILED;
        return;
    case TOOL_CANCELLED:
        if (!tool_error_is_set(error)) {
            tool_error_take(error, from);
            session->report.outcome = TOOL_CANCELLED;
        }
        return;
    }
}
