/* SPDX-License-Identifier: BSD-2-Clause */
/* The byte stream in the directory of a captured guest. All functions: false with *error set. */
#ifndef RDMIG_TOOL_IMAGE_STREAM_H
#define RDMIG_TOOL_IMAGE_STREAM_H

#include "image_reader.h"

#define IMAGE_CAPTURE_AGAIN "capture the guest again: this is not what rdmig capture has written"

/* "cannot WHAT DIRECTORY/NAME: what errno says". */
bool image_fail(const struct image_reader *reader, const char *what, const char *name,
                struct tool_error *error);

/* Exactly length_bytes of one of the directory's files; name is for the error. */
bool image_read(const struct image_reader *reader, int fd, const char *name,
                uint64_t position_bytes, void *bytes, size_t length_bytes,
                struct tool_error *error);

/* The stream is as the manifest has it; that is read already, and the stream open. */
bool image_stream_check(const struct image_reader *reader, uint64_t length_bytes,
                        struct tool_error *error);

/*
 * Where the end mark of a stream stands, whose file this is; path is for the error, remedy for a
 * stream that is not complete.
 */
bool image_stream_find_end(int stream_fd, uint64_t stream_bytes, const char *path,
                           const char *remedy, uint64_t *end_mark_position_bytes,
                           struct tool_error *error);

#endif
