/* SPDX-License-Identifier: BSD-2-Clause */
/* --trace: what the library's handles tell of themselves, in a file, a line each as it happens. */
#ifndef RDMIG_TOOL_TRACEFILE_H
#define RDMIG_TOOL_TRACEFILE_H

#include "error.h"

#include <stdio.h>

struct tracefile {
    FILE *file;  /* NULL: none is wanted */
    int os_code; /* of the first line that could not be written; 0: all are there */
};

/* path NULL: no trace. False: *error is set. The file is emptied. */
bool tracefile_open(struct tracefile *trace, const char *path, struct tool_error *error);
/* Switch a handle's trace on. The file stays open until the handle is gone. */
void tracefile_follow_source(struct tracefile *trace, struct rdmig_source *source);
void tracefile_follow_destination(struct tracefile *trace, struct rdmig_destination *destination);
/* Returns the errno of the first line that is missing; 0: none is. */
int tracefile_close(struct tracefile *trace);

#endif
