/* SPDX-License-Identifier: BSD-2-Clause */
/* DIR/manifest.json of a captured guest. */
#ifndef RDMIG_TOOL_MANIFEST_H
#define RDMIG_TOOL_MANIFEST_H

#include <rdmig/rdmig.h>

#include <stdio.h>

#define MANIFEST_FORMAT 1u

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

#endif
