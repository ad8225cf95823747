/* SPDX-License-Identifier: BSD-2-Clause */
/* Why the command failed, for a person and for a script: the first cause, kept. */
#ifndef RDMIG_TOOL_ERROR_H
#define RDMIG_TOOL_ERROR_H

#include <rdmig/rdmig.h>

/* Causes of the command's own, beside the library's (rdmig_reason_name). */
#define TOOL_REASON_USAGE       "USAGE"       /* the command line is wrong */
#define TOOL_REASON_FILE        "FILE"        /* a file or directory cannot be used */
#define TOOL_REASON_SOURCE_KIND "SOURCE_KIND" /* a QEMU where an rdmig was expected, or so */
/* A byte stream came, and no file is named. */
#define TOOL_REASON_STREAM_UNWANTED "STREAM_UNWANTED"
/* As the library names them. */
#define TOOL_REASON_SIGNALLED "CANCELLED"
#define TOOL_REASON_MEMORY    "MEMORY"

struct tool_error {
    char reason[40]; /* "": no error */
    char detail[1024];
    char remedy[512];
};

bool tool_error_is_set(const struct tool_error *error);
void tool_error_clear(struct tool_error *error);

/*
 * All of these do nothing when there is an error already: the first cause counts. They return
 * false, for a caller that does so, too.
 */
__attribute__((format(printf, 4, 5))) bool tool_error_set(struct tool_error *error,
                                                          const char *reason, const char *remedy,
                                                          const char *format, ...);
/* What the system has refused: errno's words are put behind it, and the remedy is theirs. */
__attribute__((format(printf, 3, 4))) bool
tool_error_system(struct tool_error *error, const char *reason, const char *format, ...);
/* No memory of our own. */
__attribute__((format(printf, 2, 3))) bool tool_error_memory(struct tool_error *error,
                                                             const char *format, ...);
/* Adds to what the user can do. */
void tool_error_add_remedy(struct tool_error *error, const char *remedy);
/* Takes the library's error over, whatever stood there before. */
void tool_error_take(struct tool_error *error, const struct rdmig_error *from);

/* "rdmig: cause; remedy" on standard error, one line whatever bytes file names hold. */
void tool_error_print(const struct tool_error *error);

#endif
