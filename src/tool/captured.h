/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The directory of a captured guest, for reading: image.h is how it is made. Everything in it is
 * checked before anybody connects: a destination that has begun to load cannot be used again.
 * Nothing in it leads elsewhere: only regular files are opened, by no link, and for reading alone.
 */
#ifndef RDMIG_TOOL_CAPTURED_H
#define RDMIG_TOOL_CAPTURED_H

#include "manifest_read.h"
#include "ramfile.h"

struct captured {
    const char *path; /* the caller's */
    int directory_fd;
    int stream_fd;
    struct manifest_read manifest;
    struct tool_ram *rams; /* the blocks' files; paths are owned */
};

void captured_init(struct captured *captured);

/*
 * All of these: false with *error set. Opens manifest and stream; the stream names the blocks of
 * the manifest, has a hook where each round begins, and its end mark where the manifest says.
 */
bool captured_open(struct captured *captured, const char *path, struct tool_error *error);
/*
 * Opens the blocks' files, each as long as its block, as memory; ramfile_set_load() reads them.
 * is_mapped: files of shared memory are mapped, for reading; otherwise all of them are copied.
 */
bool captured_open_blocks(struct captured *captured, struct ramfile_set *set, bool is_mapped,
                          struct tool_error *error);
/* Exactly so many bytes of the stream from there on. */
bool captured_read_stream(const struct captured *captured, uint64_t position_bytes, void *bytes,
                          size_t length_bytes, struct tool_error *error);

/* The set of blocks has to be closed before. */
void captured_close(struct captured *captured);

#endif
