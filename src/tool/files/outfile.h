/* SPDX-License-Identifier: BSD-2-Clause */
/* A file that is complete or does not appear: written beside its place, renamed at the end. */
#ifndef RDMIG_TOOL_OUTFILE_H
#define RDMIG_TOOL_OUTFILE_H

#include "fileio.h"

struct outfile {
    int fd;          /* -1: not open */
    char *path;      /* where it is to appear, symbolic links followed */
    char *part_path; /* where it is written; NULL: nothing is there */
};

void outfile_init(struct outfile *file);
/* All: false with *error set. A file that exists at path is replaced, if it is a regular one. */
bool outfile_open(struct outfile *file, const char *path, struct tool_error *error);
bool outfile_write(struct outfile *file, const void *bytes, size_t length_bytes,
                   struct tool_error *error);
/* Brings what was written to disk, so that commit has little left that can fail. */
bool outfile_seal(struct outfile *file, struct tool_error *error);
bool outfile_commit(struct outfile *file, struct tool_error *error);
/* Removes what was not committed. */
void outfile_close(struct outfile *file);

#endif
