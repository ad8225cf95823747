/* SPDX-License-Identifier: BSD-2-Clause */
/* DIR/manifest.json of a captured guest. */
#ifndef RDMIG_TOOL_MANIFEST_H
#define RDMIG_TOOL_MANIFEST_H

#include "../cli/error.h"
#include "../cli/parse.h"

#include <stdio.h>

#define MANIFEST_FORMAT 1u
/* Far beyond any migration; a source that never ends a round in earnest is not to eat our memory. */
#define MANIFEST_ROUND_COUNT_MAX (UINT32_C(1) << 20)

/* What is in the directory. */
#define IMAGE_RAM_NAME      "ram"
#define IMAGE_STREAM_NAME   "stream"
#define IMAGE_MANIFEST_NAME "manifest.json"

/* Places in the stream: the end of the hook, and where REGISTER_FINISHED came. */
struct manifest_round {
    uint64_t hook_position_bytes;
    uint64_t finished_position_bytes;
};

struct manifest {
    /* In the order of the stream; host_addr is not looked at. */
    const struct rdmig_ram_block *blocks;
    uint32_t block_count;
    const struct manifest_round *rounds;
    size_t round_count;
    uint64_t stream_bytes;
    uint64_t end_mark_position_bytes;
    bool is_pin_all;
};

/* Output errors stay in the stream. */
void manifest_write(const struct manifest *manifest, FILE *out);

/* ---- reading: each number and name is checked by itself and against the others */

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

/* Of a list that grows one by one: room for one more. NULL: there is no memory, and the list stays. */
void *manifest_grow(void *list, size_t count, size_t entry_bytes);

/* False with *error set; path is for that. manifest_read_free() is due in any case. */
bool manifest_parse(struct manifest_read *manifest, const char *text, size_t text_bytes,
                    const char *path, struct tool_error *error);
void manifest_read_free(struct manifest_read *manifest);

#endif
