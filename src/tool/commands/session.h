/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the sub-commands that migrate have in common: the library's handles, memory, the first
 * cause, outcome, reporting. drive.h has the loop that drives the handles.
 */
#ifndef RDMIG_TOOL_SESSION_H
#define RDMIG_TOOL_SESSION_H

#include "../cli/report.h"
#include "../cli/tracefile.h"
#include "../files/ramfile.h"

struct session {
    const struct tool_args *args;
    struct rdmig_destination *destination; /* NULL: none, or not yet; relay has both */
    struct rdmig_source *source;
    int input_fd;                   /* waited for beside the handles; -1: none */
    struct report report;           /* the error in it is the first cause */
    struct rdmig_progress incoming; /* relay: of the destination, if report.incoming is this */
    struct progress_line line;
    struct tracefile trace;
    struct ramfile_set rams;
    const char *copy_text;      /* "reading", "writing": of the copy that is running */
    uint64_t copy_before_bytes; /* done by copies before it */
    bool is_refusal_told;
    bool is_copy_cancellable; /* false: the guest is ours, a cancel would throw it away */
};

/* Signals, terminal, number of open files, the trace. False: the first cause is set. */
bool session_begin(struct session *session, const struct tool_args *args);
/* Destroys the handles, closes the memory and prints the report. Returns the exit status. */
int session_end(struct session *session);
/* The handles alone: it unpins the memory. A source that has handed over hears that it has: waits
 * for that, two seconds at most. */
void session_destroy_handles(struct session *session);

static inline struct tool_error *session_error(struct session *session)
{
    return &session->report.error;
}

/* Fills in what all sub-commands give to the library in the same way. */
void session_fill_options(const struct session *session, struct rdmig_options *options);

/* Makes the destination, and says that its port is open. No blocks: they are provided later. */
bool session_listen(struct session *session, const struct rdmig_ram_block *blocks, uint32_t count,
                    bool are_rounds_reported);
/* Makes the source. */
bool session_connect(struct session *session, const struct tool_address *to,
                     const struct rdmig_ram_block *blocks, uint32_t count,
                     const struct rdmig_options *options);
/* The memory is mapped, and watched from now on. Files that cannot be pinned are read in. False: the
 * first cause is set. */
bool session_load_memory(struct session *session);
/* The destination knows what the source has: memory for that, unless it is more than this command
 * may take. It is provided by session_provide_blocks(). False: the first cause is set. */
bool session_allocate_memory(struct session *session);
void session_provide_blocks(struct session *session);

/* The library could not make a handle. */
void session_create_failed(struct session *session, int result, const struct rdmig_error *from);
/* Takes a call's result. False: the library has refused it; but for a migration that has failed,
 * whose state and error tell of it, that is the first cause. */
bool session_check(struct session *session, const char *call, int64_t result);
#define SESSION_CALL(session, function, ...)                                                       \
    session_check(session, #function, function(__VA_ARGS__))
/* The same for the memory that a destination was given; from is what the library said. */
void session_blocks_refused(struct session *session, int result, const struct rdmig_error *from);

/*
 * True when this side has to give up: a signal came, a block's file failed underneath, or an error
 * is set already.
 */
bool session_must_stop(struct session *session);

/* sparse_proceed for copies: shows how far they are, stops them on a cancel. */
bool session_copy_proceed(void *context, uint64_t done_bytes);
/* Makes ready for a copy. */
void session_copy_begin(struct session *session, const char *text, bool is_cancellable);

/* A handle has come to its end; from is its error. */
void session_settle(struct session *session, enum tool_outcome outcome,
                    const struct rdmig_error *from);

#endif
