/* SPDX-License-Identifier: BSD-2-Clause */
#include "report.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_S           UINT64_C(1000000000)
#define PROGRESS_PERIOD_NS (NS_PER_S / 5)
#define COLUMN_COUNT       80u
#define CLEAR_LINE         "\r\033[K"

static const char *const outcome_names[] = {
    [TOOL_FAILED] = "failed",
    [TOOL_CANCELLED] = "cancelled",
    [TOOL_COMPLETED] = "completed",
};

static const char *const refusal_names[] = {
    [RDMIG_PIN_ALL_NOT_REFUSED] = NULL,
    [RDMIG_PIN_ALL_REFUSED_BY_LIMIT] = "LIMIT",
    [RDMIG_PIN_ALL_REFUSED_BY_OPTION] = "OPTION",
    [RDMIG_PIN_ALL_REFUSED_BY_PEER] = "PEER",
};

static uint64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

void progress_begin(struct progress_line *line, bool is_json)
{
    memset(line, 0, sizeof(*line));
    line->fd = -1;
    if (!is_json && isatty(STDERR_FILENO))
        line->fd = STDERR_FILENO;
    else if (!is_json && isatty(STDOUT_FILENO))
        line->fd = STDOUT_FILENO;
}

/* A terminal that is in the way of nothing: what it does not take is lost. */
static void write_terminal(const struct progress_line *line, const char *text, size_t text_bytes)
{
    ssize_t ignored = write(line->fd, text, text_bytes);

    (void)ignored;
}

void progress_show(struct progress_line *line, const char *format, ...)
{
    char text[256] = CLEAR_LINE;
    const size_t start = sizeof(CLEAR_LINE) - 1;
    struct winsize size;
    uint64_t now = now_ns();
    size_t columns = COLUMN_COUNT;
    size_t length;
    va_list arguments;

    if (line->fd < 0 || (line->is_shown && now - line->shown_ns < PROGRESS_PERIOD_NS))
        return;
    if (ioctl(line->fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 1)
        columns = size.ws_col;
    va_start(arguments, format);
    vsnprintf(text + start, sizeof(text) - start, format, arguments);
    va_end(arguments);
    length = strlen(text + start);
    /* A line that wraps could not be written over. */
    length = length < columns ? length : columns - 1;
    write_terminal(line, text, start + length);
    line->is_shown = true;
    line->shown_ns = now;
}

void progress_clear(struct progress_line *line)
{
    if (line->is_shown) {
        write_terminal(line, CLEAR_LINE, sizeof(CLEAR_LINE) - 1);
        line->is_shown = false;
    }
}

void format_bytes(uint64_t size_bytes, char text[32])
{
    static const char *const units[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    double scaled = (double)size_bytes / 1024;
    size_t unit = 0;

    if (size_bytes < 1024) {
        snprintf(text, 32, "%" PRIu64 " bytes", size_bytes);
        return;
    }
    while (scaled >= 1024 && unit + 1 < sizeof(units) / sizeof(units[0])) {
        scaled /= 1024;
        unit++;
    }
    snprintf(text, 32, "%.1f %s", scaled, units[unit]);
}

bool report_describe_refusal(const struct rdmig_progress *progress, char text[256])
{
    char limit[32];

    switch (progress->pin_all_refusal) {
    case RDMIG_PIN_ALL_REFUSED_BY_LIMIT:
        format_bytes(progress->pinned_limit_bytes, limit);
        snprintf(
            text, 256,
            "not all memory can be pinned at a time: the limit on pinned memory is %s (%" PRIu64
            " bytes); going on with dynamic registration; for pin-all raise the limit: "
            "ulimit -l, --pinned-max",
            limit, progress->pinned_limit_bytes);
        return true;
    case RDMIG_PIN_ALL_REFUSED_BY_PEER:
        snprintf(text, 256,
                 "the destination does not pin all memory: going on with dynamic registration");
        return true;
    default:
        return false;
    }
}

void report_write_error(struct json *json, const struct tool_error *error)
{
    if (!tool_error_is_set(error)) {
        json_null(json, "error");
        return;
    }
    json_open_object(json, "error");
    json_string(json, "reason", error->reason);
    json_string(json, "detail", error->detail);
    json_string(json, "remedy", error->remedy);
    json_close_object(json);
}

/* 0: the migration has not come so far that there would be one. */
static bool has_limit(const struct rdmig_progress *progress)
{
    return progress->pinned_limit_bytes != 0 && progress->pinned_limit_bytes != UINT64_MAX;
}

static void write_relay_json(const struct report *report, struct json *json)
{
    const struct rdmig_progress *incoming = report->incoming;

    json_string(json, "side", report->side);
    json_open_object(json, "incoming");
    json_string(json, "mode", incoming->pin_all ? "pin-all" : "dynamic");
    json_uint(json, "bytes_zero", incoming->bytes_zero);
    json_uint(json, "rounds", incoming->rounds);
    json_uint(json, "control_messages", incoming->control_messages);
    json_uint(json, "registrations", incoming->registrations);
    json_uint(json, "pinned_peak_bytes", incoming->pinned_peak_bytes);
    json_milliseconds(json, "setup_ms", incoming->setup_ns);
    json_milliseconds(json, "total_ms", incoming->total_ns);
    json_close_object(json);
}

void report_write_json(const struct report *report, FILE *out)
{
    const struct rdmig_progress *progress = &report->progress;
    struct json json;

    json_begin(&json, out);
    json_open_object(&json, NULL);
    json_string(&json, "status", outcome_names[report->outcome]);
    report_write_error(&json, &report->error);
    json_string(&json, "mode", progress->pin_all ? "pin-all" : "dynamic");
    json_string(&json, "pin_all_refusal", refusal_names[progress->pin_all_refusal]);
    json_uint(&json, "bytes_total", progress->bytes_total);
    json_uint(&json, "bytes_written", progress->bytes_written);
    json_uint(&json, "bytes_zero", progress->bytes_zero);
    json_uint(&json, "rounds", progress->rounds);
    json_uint(&json, "control_messages", progress->control_messages);
    json_uint(&json, "control_bytes", progress->control_bytes);
    json_uint(&json, "round_trips", progress->round_trips);
    json_uint(&json, "registrations", progress->registrations);
    json_uint(&json, "pinned_peak_bytes", progress->pinned_peak_bytes);
    if (has_limit(progress))
        json_uint(&json, "pinned_limit_bytes", progress->pinned_limit_bytes);
    else
        json_null(&json, "pinned_limit_bytes");
    json_bool(&json, "relaxed_ordering", progress->relaxed_ordering);
    json_bool(&json, "on_demand_paging", progress->on_demand_paging);
    json_milliseconds(&json, "setup_ms", progress->setup_ns);
    json_milliseconds(&json, "total_ms", progress->total_ns);
    json_milliseconds(&json, "downtime_ms", progress->downtime_ns);
    json_uint(&json, "throughput_bytes_per_s", progress->throughput_bytes_per_s);
    json_uint(&json, "data_bytes_per_s", progress->data_bytes_per_s);
    if (report->incoming != NULL)
        write_relay_json(report, &json);
    json_close_object(&json);
}

/* Nothing for what was not asked for. */
static void write_wish(const char *what, bool is_wanted, bool is_granted, FILE *out)
{
    if (is_wanted)
        fprintf(out, "  %s: %s\n", what,
                is_granted ? "yes" : "no, the device or the kernel does not have it");
}

/* The side of the source, of which most is the source's own choice. */
static void write_incoming_text(const struct rdmig_progress *incoming, FILE *out)
{
    char pinned[32];

    format_bytes(incoming->pinned_peak_bytes, pinned);
    fprintf(out,
            "  incoming    %" PRIu64 " rounds, %s, %" PRIu64 " registrations, at most %s pinned\n",
            incoming->rounds, incoming->pin_all ? "pin-all" : "dynamic", incoming->registrations,
            pinned);
}

void report_write_text(const struct report *report, FILE *out)
{
    const struct rdmig_progress *progress = &report->progress;
    char total[32];
    char written[32];
    char zero[32];
    char stream[32];
    char pinned[32];
    char limit[32];
    char rate[32];
    char control[32];

    format_bytes(progress->bytes_total, total);
    format_bytes(progress->bytes_written, written);
    format_bytes(progress->bytes_zero, zero);
    format_bytes(progress->bytes_stream, stream);
    format_bytes(progress->pinned_peak_bytes, pinned);
    format_bytes(progress->control_bytes, control);
    format_bytes(progress->throughput_bytes_per_s, rate);
    fprintf(out, "completed: %u block%s, %s in %.3f s, downtime %.1f ms\n", report->block_count,
            report->block_count == 1 ? "" : "s", total, (double)progress->total_ns / 1e9,
            (double)progress->downtime_ns / 1e6);
    if (progress->throughput_bytes_per_s > 0)
        fprintf(out, "  memory      %s written, %s zero, %s/s\n", written, zero, rate);
    else
        fprintf(out, "  memory      %s zero\n", zero);
    fprintf(out, "  stream      %s\n", stream);
    fprintf(out, "  rounds      %" PRIu64 "\n", progress->rounds);
    format_bytes(progress->pinned_limit_bytes, limit);
    fprintf(out, "  mode        %s, %" PRIu64 " registrations, at most %s pinned%s%s\n",
            progress->pin_all ? "pin-all" : "dynamic", progress->registrations, pinned,
            has_limit(progress) ? " of " : "", has_limit(progress) ? limit : "");
    write_wish("relaxed ordering", report->is_relaxed_wanted, progress->relaxed_ordering, out);
    write_wish("on-demand paging", report->is_on_demand_wanted, progress->on_demand_paging, out);
    fprintf(out, "  control     %" PRIu64 " messages, %s, %" PRIu64 " round trips, setup %.1f ms\n",
            progress->control_messages, control, progress->round_trips,
            (double)progress->setup_ns / 1e6);
    if (report->incoming != NULL)
        write_incoming_text(report->incoming, out);
}

int report_print(const struct report *report, bool is_json)
{
    int status = report->outcome == TOOL_COMPLETED ? TOOL_EXIT_COMPLETED : TOOL_EXIT_FAILED;

    if (tool_error_is_set(&report->error))
        tool_error_print(&report->error);
    if (strcmp(report->error.reason, TOOL_REASON_USAGE) == 0)
        status = TOOL_EXIT_USAGE;
    if (is_json) {
        report_write_json(report, stdout);
        fputc('\n', stdout);
    } else if (report->outcome == TOOL_COMPLETED) {
        report_write_text(report, stdout);
    }
    if (fflush(stdout) != 0 || ferror(stdout)) {
        struct tool_error error = {{0}, {0}, {0}};

        tool_error_set(
            &error, TOOL_REASON_FILE, tool_error_remedy_of(errno),
            "the migration has %s, but the report cannot be written to standard output: %s",
            outcome_names[report->outcome], strerror(errno));
        tool_error_print(&error);
        return status == TOOL_EXIT_COMPLETED ? TOOL_EXIT_FAILED : status;
    }
    return status;
}
