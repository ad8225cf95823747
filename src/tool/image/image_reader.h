/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A captured guest, for reading. Everything in its directory is checked before anybody connects: a
 * destination that has begun to load cannot be used again. Nothing in it leads elsewhere: only
 * regular files are opened, by no link, and for reading alone. A hard link is no other file but the
 * file itself (backups are made of them), unless it is of another owner: that is somebody else's
 * file, of which a name was put here.
 */
#ifndef RDMIG_TOOL_IMAGE_READER_H
#define RDMIG_TOOL_IMAGE_READER_H

#include "../files/ramfile.h"
#include "manifest.h"

struct image_reader {
    const char *path; /* the caller's */
    int directory_fd;
    int stream_fd;
    uid_t owner; /* of the directory */
    struct manifest_read manifest;
    struct tool_ram *rams; /* the blocks' files; paths are owned */
};

void image_reader_init(struct image_reader *reader);

/*
 * All of these: false with *error set. Opens manifest and stream; the stream names the blocks of
 * the manifest, has a hook where each round begins, and its end mark where the manifest says.
 */
bool image_reader_open(struct image_reader *reader, const char *path, struct tool_error *error);
/*
 * Opens the blocks' files, each as long as its block, as memory; ramfile_set_load() reads them.
 * is_mapped: files of shared memory are mapped, for reading; otherwise all of them are copied.
 */
bool image_reader_open_blocks(struct image_reader *reader, struct ramfile_set *set, bool is_mapped,
                              struct tool_error *error);
/* Exactly length_bytes of the stream from there on. */
bool image_reader_read_stream(const struct image_reader *reader, uint64_t position_bytes,
                              void *bytes, size_t length_bytes, struct tool_error *error);

/* The set of blocks has to be closed before. */
void image_reader_close(struct image_reader *reader);

#endif
