/* SPDX-License-Identifier: BSD-2-Clause */
/* A source and a destination handle in one process, with small guests, and a bounded loop that runs
 * both. */
#ifndef TEST_TWO_ENDS_H
#define TEST_TWO_ENDS_H

#include "fakes/link_pair.h"

#define END_BLOCK_COUNT 3u
#define END_STREAM_MAX  (UINT64_C(8) << 20)

struct two_ends {
    struct rdmig_source *source;
    struct rdmig_destination *destination;
    uint8_t *source_ram[END_BLOCK_COUNT];
    uint8_t *destination_ram[END_BLOCK_COUNT];
    struct rdmig_ram_block source_blocks[END_BLOCK_COUNT];
    struct rdmig_ram_block destination_blocks[END_BLOCK_COUNT];
    uint8_t *stream; /* what the destination has read */
    uint64_t stream_bytes;
    bool is_reading;    /* the destination's VMM reads what comes */
    bool is_confirming; /* and confirms when asked to */
    bool is_destination_run;
};

/* Memory: block 0 of random bytes, block 1 (no multiple of 1 MiB) half zero, block 2 zero; the
 * destination's full of 0xee. */
void ends_init(struct two_ends *ends);
/* Makes both handles; the destination has its blocks in another order. */
void ends_create(struct two_ends *ends, const struct rdmig_options *source_options,
                 const struct rdmig_options *destination_options);
void ends_free(struct two_ends *ends);
/* Runs both until the source (or the destination) has another state than this one. Fails the test
 * when nothing comes of it. */
void ends_run_source(struct two_ends *ends, enum rdmig_source_state state);
void ends_run_destination(struct two_ends *ends, enum rdmig_destination_state state);
/* Runs both, at most turn_count turns, 10 us each. */
void ends_turn(struct two_ends *ends, uint32_t turn_count);
/* Writes all of it into the stream, in portions of at most portion_bytes. */
void ends_write_stream(struct two_ends *ends, const void *bytes, uint64_t length_bytes,
                       uint64_t portion_bytes);
void ends_assert_ram_equal(const struct two_ends *ends);

#endif
