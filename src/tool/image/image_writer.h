/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A captured guest is made under another name beside its place, and renamed when it is complete and
 * on disk; otherwise it is removed.
 */
#ifndef RDMIG_TOOL_IMAGE_WRITER_H
#define RDMIG_TOOL_IMAGE_WRITER_H

#include "../files/ramfile.h"
#include "manifest.h"

struct image_writer {
    char *path;      /* where it is to appear */
    char *part_path; /* where it is made; NULL: nothing is there */
    int directory_fd;
    int ram_fd; /* the directory ram */
    int stream_fd;
    uint64_t stream_bytes; /* written so far */
};

void image_writer_init(struct image_writer *writer);

/* All of these: false with *error set. */
bool image_writer_create(struct image_writer *writer, const char *path, struct tool_error *error);
bool image_writer_write_stream(struct image_writer *writer, const void *bytes, size_t length_bytes,
                               struct tool_error *error);
/* Whether the stream is complete; *end_mark_position_bytes is where its end mark stands. */
bool image_writer_check_stream(const struct image_writer *writer, uint64_t *end_mark_position_bytes,
                               struct tool_error *error);
/* Makes the file of one block; its memory is given back piece by piece. */
bool image_writer_store_block(const struct image_writer *writer, const struct ramfile *block,
                              uint32_t index, sparse_proceed *proceed, void *context,
                              struct tool_error *error);
bool image_writer_write_manifest(const struct image_writer *writer, const struct manifest *manifest,
                                 struct tool_error *error);
/* Everything is in it: to disk, then to its place. */
bool image_writer_commit(struct image_writer *writer, struct tool_error *error);

/* Removes what was not committed. */
void image_writer_close(struct image_writer *writer);

#endif
