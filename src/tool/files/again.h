/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * System calls on files, begun again when a signal has ended them before anything was done. Local
 * file systems go on by themselves (SA_RESTART); one that is served over a network or by a program
 * may say EINTR all the same, and a cancel must not read as a file that cannot be written.
 */
#ifndef RDMIG_TOOL_AGAIN_H
#define RDMIG_TOOL_AGAIN_H

#include <stdint.h>
#include <sys/types.h>

/* As those without again_: -1 with errno set, but never EINTR. */
int again_open(const char *path, int flags);
int again_openat(int directory_fd, const char *path, int flags, mode_t mode);
int again_ftruncate(int fd, uint64_t length_bytes);
int again_fallocate(int fd, int mode, uint64_t offset_bytes, uint64_t length_bytes);
int again_fsync(int fd);

#endif
