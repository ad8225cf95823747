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

static const char *const mode_names[] = {"dynamic", "pin-all"};

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

struct bytes_text bytes_text(uint64_t size_bytes)
{
    static const char *const units[] = {"KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
    double scaled = (double)size_bytes / 1024;
    struct bytes_text text;
    size_t unit = 0;

    for (; scaled >= 1024 && unit + 1 < sizeof(units) / sizeof(units[0]); unit++)
        scaled /= 1024;
    if (size_bytes < 1024)
        snprintf(text.text, sizeof(text.text), "%" PRIu64 " bytes", size_bytes);
    else
        snprintf(text.text, sizeof(text.text), "%.1f %s", scaled, units[unit]);
    return text;
}

bool report_describe_refusal(const struct rdmig_progress *progress, char text[256])
{
    switch (progress->pin_all_refusal) {
    case RDMIG_PIN_ALL_REFUSED_BY_LIMIT:
        snprintf(
            text, 256,
            "not all memory can be pinned at a time: the limit on pinned memory is %s (%" PRIu64
            " bytes); going on with dynamic registration; for pin-all raise the limit: "
            "ulimit -l, --pinned-max",
            bytes_text(progress->pinned_limit_bytes).text, progress->pinned_limit_bytes);
        return true;
    case RDMIG_PIN_ALL_REFUSED_BY_PEER:
        snprintf(text, 256,
                 "the destination does not pin all memory: going on with dynamic registration");
        return true;
    default:
        return false;
    }
}

/* ---- JSON */

#define IN(member) offsetof(struct rdmig_progress, member)

static const struct json_field fields[] = {
    {"mode", JSON_FIELD_BOOL_WORD, IN(pin_all), mode_names},
    {"pin_all_refusal", JSON_FIELD_ENUM_WORD, IN(pin_all_refusal), refusal_names},
    {"bytes_total", JSON_FIELD_U64, IN(bytes_total), NULL},
    {"bytes_written", JSON_FIELD_U64, IN(bytes_written), NULL},
    {"bytes_zero", JSON_FIELD_U64, IN(bytes_zero), NULL},
    {"rounds", JSON_FIELD_U64, IN(rounds), NULL},
    {"control_messages", JSON_FIELD_U64, IN(control_messages), NULL},
    {"control_bytes", JSON_FIELD_U64, IN(control_bytes), NULL},
    {"round_trips", JSON_FIELD_U64, IN(round_trips), NULL},
    {"registrations", JSON_FIELD_U64, IN(registrations), NULL},
    {"pinned_peak_bytes", JSON_FIELD_U64, IN(pinned_peak_bytes), NULL},
    {"pinned_limit_bytes", JSON_FIELD_LIMIT, IN(pinned_limit_bytes), NULL},
    {"relaxed_ordering", JSON_FIELD_BOOL, IN(relaxed_ordering), NULL},
    {"on_demand_paging", JSON_FIELD_BOOL, IN(on_demand_paging), NULL},
    {"setup_ms", JSON_FIELD_NS, IN(setup_ns), NULL},
    {"total_ms", JSON_FIELD_NS, IN(total_ns), NULL},
    {"downtime_ms", JSON_FIELD_NS, IN(downtime_ns), NULL},
    {"throughput_bytes_per_s", JSON_FIELD_U64, IN(throughput_bytes_per_s), NULL},
    {"data_bytes_per_s", JSON_FIELD_U64, IN(data_bytes_per_s), NULL},
};

/* relay: the side of the source, of which most is the source's own choice. */
static const struct json_field incoming_fields[] = {
    {"mode", JSON_FIELD_BOOL_WORD, IN(pin_all), mode_names},
    {"bytes_zero", JSON_FIELD_U64, IN(bytes_zero), NULL},
    {"rounds", JSON_FIELD_U64, IN(rounds), NULL},
    {"control_messages", JSON_FIELD_U64, IN(control_messages), NULL},
    {"registrations", JSON_FIELD_U64, IN(registrations), NULL},
    {"pinned_peak_bytes", JSON_FIELD_U64, IN(pinned_peak_bytes), NULL},
    {"setup_ms", JSON_FIELD_NS, IN(setup_ns), NULL},
    {"total_ms", JSON_FIELD_NS, IN(total_ns), NULL},
};

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

void report_write_json(const struct report *report, FILE *out)
{
    struct json json;

    json_begin(&json, out);
    json_open_object(&json, NULL);
    json_string(&json, "status", outcome_names[report->outcome]);
    report_write_error(&json, &report->error);
    json_fields(&json, fields, sizeof(fields) / sizeof(fields[0]), &report->progress);
    if (report->incoming != NULL) {
        json_string(&json, "side", report->side);
        json_open_object(&json, "incoming");
        json_fields(&json, incoming_fields, sizeof(incoming_fields) / sizeof(incoming_fields[0]),
                    report->incoming);
        json_close_object(&json);
    }
    json_close_object(&json);
}

/* ---- text */

/* Nothing for what was not asked for. */
static void write_optional_access(const char *what, bool is_wanted, bool is_granted, FILE *out)
{
    if (is_wanted)
        fprintf(out, "  %s: %s\n", what,
                is_granted ? "yes" : "no, the device or the kernel does not have it");
}

void report_write_text(const struct report *report, FILE *out)
{
    const struct rdmig_progress *progress = &report->progress;
    const struct rdmig_progress *incoming = report->incoming;
    /* 0: the migration has not come so far that there would be one. */
    const bool has_limit =
        progress->pinned_limit_bytes != 0 && progress->pinned_limit_bytes != UINT64_MAX;

    fprintf(out, "completed: %u block%s, %s in %.3f s, downtime %.1f ms\n", report->block_count,
            report->block_count == 1 ? "" : "s", bytes_text(progress->bytes_total).text,
            (double)progress->total_ns / 1e9, (double)progress->downtime_ns / 1e6);
    if (progress->throughput_bytes_per_s > 0)
        fprintf(out, "  memory      %s written, %s zero, %s/s\n",
                bytes_text(progress->bytes_written).text, bytes_text(progress->bytes_zero).text,
                bytes_text(progress->throughput_bytes_per_s).text);
    else
        fprintf(out, "  memory      %s zero\n", bytes_text(progress->bytes_zero).text);
    fprintf(out, "  stream      %s\n", bytes_text(progress->bytes_stream).text);
    fprintf(out, "  rounds      %" PRIu64 "\n", progress->rounds);
    fprintf(out, "  mode        %s, %" PRIu64 " registrations, at most %s pinned%s%s\n",
            mode_names[progress->pin_all], progress->registrations,
            bytes_text(progress->pinned_peak_bytes).text, has_limit ? " of " : "",
            has_limit ? bytes_text(progress->pinned_limit_bytes).text : "");
    write_optional_access("relaxed ordering", report->is_relaxed_wanted, progress->relaxed_ordering,
                          out);
    write_optional_access("on-demand paging", report->is_on_demand_wanted,
                          progress->on_demand_paging, out);
    fprintf(out, "  control     %" PRIu64 " messages, %s, %" PRIu64 " round trips, setup %.1f ms\n",
            progress->control_messages, bytes_text(progress->control_bytes).text,
            progress->round_trips, (double)progress->setup_ns / 1e6);
    if (incoming != NULL)
        fprintf(out,
                "  incoming    %" PRIu64 " rounds, %s, %" PRIu64
                " registrations, at most %s pinned\n",
                incoming->rounds, mode_names[incoming->pin_all], incoming->registrations,
                bytes_text(incoming->pinned_peak_bytes).text);
}

static bool is_printed(void)
{
    return fflush(stdout) == 0 && !ferror(stdout);
}

int report_end(int status)
{
    if (is_printed())
        return status;
    fprintf(stderr, "rdmig: cannot write to standard output: %s; check where it goes\n",
            strerror(errno));
    return TOOL_EXIT_FAILED;
}

int report_print(const struct report *report, bool is_json)
{
    int status = report->outcome == TOOL_COMPLETED ? TOOL_EXIT_COMPLETED : TOOL_EXIT_FAILED;
    struct tool_error error = {{0}, {0}, {0}};

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
    if (!is_printed()) {
        tool_error_system(
            &error, TOOL_REASON_FILE,
            "the migration has %s, but the report cannot be written to standard output",
            outcome_names[report->outcome]);
        tool_error_print(&error);
        return status == TOOL_EXIT_COMPLETED ? TOOL_EXIT_FAILED : status;
    }
    return status;
}
