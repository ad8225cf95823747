/* SPDX-License-Identifier: BSD-2-Clause */
/* Bytes of files, all that were asked for; and what files and directories have in common. */
#ifndef RDMIG_TOOL_FILEIO_H
#define RDMIG_TOOL_FILEIO_H

#include "../cli/error.h"

#include <errno.h>
#include <stddef.h>
#include <sys/types.h>

/*
 * A system call, begun again when a signal has ended it before anything was done. Local file
 * systems go on by themselves (SA_RESTART); one that is served over a network or by a program may
 * say EINTR all the same, and a cancel must not read as a file that cannot be written.
 */
#define AGAIN(call)                                                                                \
    ({                                                                                             \
        __typeof__(call) again_result;                                                             \
        do                                                                                         \
            again_result = (call);                                                                 \
        while (again_result < 0 && errno == EINTR);                                                \
        again_result;                                                                              \
    })

/* Returns how many bytes there were, fewer only at the file's end; -1 with errno set. */
ssize_t pread_fully(int fd, void *bytes, size_t length_bytes, uint64_t offset_bytes);
/* write(2) until everything is written; false with errno set. */
bool write_fully(int fd, const void *bytes, size_t length_bytes);
bool pwrite_fully(int fd, const void *bytes, size_t length_bytes, uint64_t offset_bytes);

/* "cannot WHAT PATH: what errno says", reason FILE. Returns false. */
bool file_fail(struct tool_error *error, const char *what, const char *path);

/* Unless it is -1; errno stays. */
void close_fd(int fd);

/* Ends the name of what is not complete yet; the last six are made unique. */
#define PART_SUFFIX ".partial-XXXXXX"
/* fsync of a directory: makes names in it last. */
bool sync_directory(int fd);
/* 0666 or 0777 without the process's umask. */
mode_t mode_after_umask(mode_t mode);

#endif
