/* SPDX-License-Identifier: BSD-2-Clause */
/* Brings a source or a destination into each of its states, through events alone. */
#ifndef RDMIG_TESTS_SUPPORT_DRIVE_H
#define RDMIG_TESTS_SUPPORT_DRIVE_H

#include "support/bench.h"

/* The two blocks of most tests: the first ends in a piece of a chunk; the destination has them in
 * another order. */
#define BLOCK0_BYTES       (3 * MIB + 4096)
#define BLOCK1_BYTES       (2 * MIB)
#define BLOCKS_WORK_NS     ((BLOCK0_BYTES + BLOCK1_BYTES) / 256 * 1000) /* clause E14 */
#define SOURCE_HOST0       UINT64_C(0x10000000)
#define SOURCE_HOST1       UINT64_C(0x20000000)
#define DESTINATION_HOST0  UINT64_C(0x700000000)
#define DESTINATION_HOST1  UINT64_C(0x600000000)
#define DESTINATION_PLACE0 UINT64_C(0x40000000)
#define DESTINATION_PLACE1 UINT64_C(0)

enum source_stage {
    SOURCE_IS_IDLE,
    SOURCE_IS_CONNECTING,
    SOURCE_IS_ESTABLISHED,      /* awaiting the first READY */
    SOURCE_IS_CREDITED,         /* blocks provided, not exchanged */
    SOURCE_AWAITS_BLOCKS,       /* RAM_BLOCKS_REQUEST sent */
    SOURCE_IS_EXCHANGED,        /* blocks exchanged, credit in hand */
    SOURCE_AWAITS_RESULT,       /* one page of block 0 pushed, REGISTER_REQUEST sent */
    SOURCE_IS_WRITING,          /* that page's RDMA Write w1 is out, credit in hand, round open */
    SOURCE_AWAITS_UNREGISTERED, /* the region was used, and must be unregistered */
    SOURCE_IS_FINISHING,
    SOURCE_IS_FAILING,
    SOURCE_IS_CLOSED,
    SOURCE_STAGE_COUNT
};

enum destination_stage {
    DESTINATION_IS_IDLE,
    DESTINATION_IS_CONNECTING,
    DESTINATION_IS_AWAITING,  /* first READY sent */
    DESTINATION_IS_LISTED,    /* blocks exchanged, READY sent */
    DESTINATION_IS_OFFERING,  /* the READY before this one has not completed */
    DESTINATION_IS_STREAMING, /* five bytes delivered, not consumed */
    DESTINATION_IS_LISTING,   /* blocks are asked of the application */
    DESTINATION_IS_REGISTERING,
    DESTINATION_IS_UNREGISTERING,
    DESTINATION_IS_FILLING,
    DESTINATION_IS_ENDING_ROUND,
    DESTINATION_IS_FINISHING,
    DESTINATION_IS_FAILING,
    DESTINATION_IS_CLOSED,
    DESTINATION_STAGE_COUNT
};

extern const char *const source_stage_names[SOURCE_STAGE_COUNT];
extern const char *const destination_stage_names[DESTINATION_STAGE_COUNT];

/* A bench in the stage, quiet before it; config may be NULL. What capabilities it has the peer has,
 * too; with PIPELINE there are four credits, all of them here from SOURCE_IS_CREDITED on. */
struct bench *source_at(enum source_stage stage, const struct rdmig_conn_config *config);
struct bench *destination_at(enum destination_stage stage, const struct rdmig_conn_config *config);

/* ---- pieces of it */

void bench_provide(struct bench *bench, const struct rdmig_block *blocks, uint32_t block_count);
void source_provide(struct bench *bench);
void destination_provide(struct bench *bench);
int bench_establish(struct bench *bench, uint32_t version, uint32_t flags);
int bench_connect_request(struct bench *bench, uint32_t version, uint32_t flags);
/* With 24 bytes when PIPELINE is among the flags; the last argument: see clause W11. */
int bench_establish_pipelined(struct bench *bench, uint32_t flags, uint32_t credits,
                              uint64_t limit_bytes);
int bench_request_pipelined(struct bench *bench, uint32_t flags, uint32_t credits,
                            uint64_t ram_bytes);
int bench_receive_ready(struct bench *bench);

int source_push(struct bench *bench, uint32_t block_index, uint64_t offset_bytes, uint64_t length);
int source_push_zero(struct bench *bench, uint32_t block_index, uint64_t offset_bytes,
                     uint64_t length);
int source_push_until(struct bench *bench, uint32_t block_index, uint64_t offset_bytes,
                      uint64_t length, uint64_t register_end_bytes);
int source_write_stream(struct bench *bench, const char *text);
/* The peer's RAM_BLOCKS_RESULT for the two blocks. */
int source_receive_blocks(struct bench *bench);
/* The peer's REGISTER_RESULT for one request in the block. */
int source_receive_result(struct bench *bench, uint32_t block_index, uint32_t rkey);

/* The driver steps for bench->message, but takes no action yet. */
void drive_step_received(struct bench *bench);

/* Commands of the peer's with one entry. */
int destination_receive_stream(struct bench *bench, const char *text);
int destination_receive_register(struct bench *bench, uint32_t block_index, uint64_t chunk_index,
                                 uint64_t chunks);
int destination_receive_unregister(struct bench *bench, uint32_t block_index, uint64_t chunk_index);
int destination_receive_compress(struct bench *bench, uint32_t block_index, uint64_t offset_bytes,
                                 uint64_t length_bytes);

#endif
