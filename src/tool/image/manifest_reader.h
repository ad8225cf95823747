/* SPDX-License-Identifier: BSD-2-Clause */
/* What a manifest.json says, each number and name in it checked by itself and against the others.
 */
#ifndef RDMIG_TOOL_MANIFEST_READER_H
#define RDMIG_TOOL_MANIFEST_READER_H

#include "../cli/error.h"
#include "../cli/parse.h"
#include "manifest.h"

struct manifest_block {
    char name[TOOL_BLOCK_NAME_BYTES_MAX + 1]; /* exact */
    char file[TOOL_FILE_NAME_BYTES_MAX + 5];  /* "ram/..." as rdmig names it: never elsewhere */
    uint64_t length_bytes;
    uint64_t offset_bytes;
};

struct manifest_read {
    struct manifest_block *blocks; /* in the order of the stream */
    uint32_t block_count;
    struct manifest_round *rounds; /* in order, apart by at least a hook */
    size_t round_count;
    uint64_t stream_bytes;
    uint64_t end_mark_position_bytes;
};

/* False with *error set; path is for that. manifest_read_free() is due in any case. */
bool manifest_parse(struct manifest_read *manifest, const char *text, size_t text_bytes,
                    const char *path, struct tool_error *error);
void manifest_read_free(struct manifest_read *manifest);

#endif
