/* SPDX-License-Identifier: BSD-2-Clause */
/* What the sub-commands that migrate have in common: memory, first cause, outcome, waiting,
 * reporting. */
#ifndef RDMIG_TOOL_SESSION_H
#define RDMIG_TOOL_SESSION_H

#include "../cli/report.h"
#include "../files/ramfile.h"

struct session {
    const struct tool_args *args;
    struct report report; /* the error in it is the first cause */
    struct progress_line line;
    struct ramfile_set rams;
    const char *copy_text;      /* "reading", "writing": of the copy that is running */
    uint64_t copy_before_bytes; /* done by copies before it */
    bool is_refusal_told;
    bool is_copy_cancellable; /* false: the guest is ours, a cancel would throw it away */
};

/* Signals, terminal, number of open files. False: the first cause is set. */
bool session_begin(struct session *session, const struct tool_args *args);
/* Closes the memory and prints the report. Returns the exit status. */
int session_end(struct session *session);

static inline struct tool_error *session_error(struct session *session)
{
    return &session->report.error;
}

/* Fills in what all sub-commands give to the library in the same way. */
void session_fill_options(const struct session *session, struct rdmig_options *options);

/* The library could not make a handle. */
void session_create_failed(struct session *session, int result, const struct rdmig_error *from);

/* The library refused a call that should have been possible, but for a migration that has failed.
 */
void session_refused(struct session *session, const char *call, int64_t result);
/* The same for the memory that a destination was given; from is what the library said. */
void session_blocks_refused(struct session *session, int result, const struct rdmig_error *from);

/*
 * True when this side has to give up: a signal came, a block's file failed underneath, or an error
 * is set already.
 */
bool session_must_stop(struct session *session);

/* Waits for one of the descriptors (other_fd may be -1), a signal, or a short while. */
void session_wait(const struct session *session, int handle_fd, int other_fd);

/* sparse_proceed for copies: shows how far they are, stops them on a cancel. */
bool session_copy_proceed(void *context, uint64_t done_bytes);
/* Makes ready for a copy. */
void session_copy_begin(struct session *session, const char *text, bool is_cancellable);

/* What send and restore show. */
void session_show_source(struct session *session, enum rdmig_source_state state);
bool session_source_has_ended(enum rdmig_source_state state);

/* What recv and capture show: a line on standard error that says the port is open, and how it goes.
 */
void session_print_listening(struct session *session, const struct rdmig_destination *destination);
void session_show_destination(struct session *session, enum rdmig_destination_state state);
bool session_has_ended(enum rdmig_destination_state state);

/* The library's handle has come to its end; from is its error. */
enum session_end_state { SESSION_COMPLETED, SESSION_FAILED, SESSION_CANCELLED };
void session_settle(struct session *session, enum session_end_state state,
                    const struct rdmig_error *from);
void session_settle_source(struct session *session, const struct rdmig_source *source);
void session_settle_destination(struct session *session,
                                const struct rdmig_destination *destination);

/* Lets a source that has handed over hear that it has; bounded. NULL is fine. */
void session_wait_closed(struct rdmig_destination *destination);

#endif
