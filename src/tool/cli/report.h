/* SPDX-License-Identifier: BSD-2-Clause */
/* What a person or a script gets to see: a live line, and the report at the end. */
#ifndef RDMIG_TOOL_REPORT_H
#define RDMIG_TOOL_REPORT_H

#include "args.h"
#include "json.h"

enum tool_outcome { TOOL_FAILED, TOOL_CANCELLED, TOOL_COMPLETED };

enum tool_exit { TOOL_EXIT_COMPLETED = 0, TOOL_EXIT_FAILED = 1, TOOL_EXIT_USAGE = 2 };

struct report {
    enum tool_outcome outcome;
    struct tool_error error; /* set unless completed */
    struct rdmig_progress progress;
    uint32_t block_count;
    bool is_relaxed_wanted;
    bool is_on_demand_wanted;
    /* relay: progress is the destination's side, and these are the source's. NULL: there is none */
    const struct rdmig_progress *incoming;
    const char *side; /* relay: where the error is; NULL: none, or not of one side */
};

/* One line on a terminal that is written over. On no terminal, or with --json, nothing at all. */
struct progress_line {
    int fd; /* -1: off */
    bool is_shown;
    uint64_t shown_ns;
};

void progress_begin(struct progress_line *line, bool is_json);
/* Shows the text unless a line was shown a moment ago. */
__attribute__((format(printf, 2, 3))) void progress_show(struct progress_line *line,
                                                         const char *format, ...);
void progress_clear(struct progress_line *line);

/* "1.5 GiB", "300 bytes"; for use in an expression: bytes_text(size_bytes).text. */
struct bytes_text {
    char text[32];
};
struct bytes_text bytes_text(uint64_t size_bytes);

/* Why there is no pin-all, in a sentence. False: nothing that the user has not asked for himself.
 */
bool report_describe_refusal(const struct rdmig_progress *progress, char text[256]);

/* The JSON object alone, as it stands on standard output, without a line feed. */
void report_write_json(const struct report *report, FILE *out);
/* The report for a person; only for a completed migration. */
void report_write_text(const struct report *report, FILE *out);
/* {"error": ...} of an object that is open; null when there is none. */
void report_write_error(struct json *json, const struct tool_error *error);

/* For what is no report: the status, or FAILED, with a word, when standard output does not take what
 * was printed. */
int report_end(int status);
/*
 * Prints to standard output, and the error to standard error. Returns the exit status: that of the
 * outcome, or FAILED when standard output does not take it.
 */
int report_print(const struct report *report, bool is_json);

#endif
