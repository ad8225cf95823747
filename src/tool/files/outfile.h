/* SPDX-License-Identifier: BSD-2-Clause */
/* A file that is complete or does not appear: written beside its place, renamed at the end. */
#ifndef RDMIG_TOOL_OUTFILE_H
#define RDMIG_TOOL_OUTFILE_H

#include "../cli/error.h"

/* Ends the name of what is not complete yet; the last six are made unique. */
#define PART_SUFFIX ".partial-XXXXXX"

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

/* fsync of a directory: makes names in it last. */
bool sync_directory(int fd);
/* 0666 or 0777 without the process's umask. */
unsigned int mode_after_umask(unsigned int mode);

#endif
