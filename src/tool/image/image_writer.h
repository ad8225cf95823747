/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The directory of a captured guest: ram/NAME, stream, manifest.json. It is made under another name
 * beside its place and renamed when it is complete and on disk; otherwise it is removed.
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

/* What is in the directory. */
#define IMAGE_RAM_NAME      "ram"
#define IMAGE_STREAM_NAME   "stream"
#define IMAGE_MANIFEST_NAME "manifest.json"

void image_writer_init(struct image_writer *image);

/* All of these: false with *error set. */
bool image_writer_create(struct image_writer *image, const char *path, struct tool_error *error);
bool image_writer_write_stream(struct image_writer *image, const void *bytes, size_t length_bytes,
                               struct tool_error *error);
/* Whether the stream is complete; *end_mark_position_bytes is where its end mark stands. */
bool image_writer_check_stream(const struct image_writer *image, uint64_t *end_mark_position_bytes,
                               struct tool_error *error);
/*
 * The same for any file that holds a stream; path is for the error, remedy for a stream that is
 * not complete.
 */
bool image_find_stream_end(int stream_fd, uint64_t stream_bytes, const char *path,
                           const char *remedy, uint64_t *end_mark_position_bytes,
                           struct tool_error *error);
/* Makes the file of one block; its memory is given back piece by piece. */
bool image_writer_store_block(const struct image_writer *image, const struct ramfile *block,
                              uint32_t index, sparse_proceed *proceed, void *context,
                              struct tool_error *error);
bool image_writer_write_manifest(const struct image_writer *image, const struct manifest *manifest,
                                 struct tool_error *error);
/* Everything is in it: to disk, then to its place. */
bool image_writer_commit(struct image_writer *image, struct tool_error *error);

/* Removes what was not committed. */
void image_writer_close(struct image_writer *image);

#endif
