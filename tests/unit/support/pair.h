/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Two applications on the two ends of a fabric: a guest that dirties its memory while it is sent,
 * rounds, and a stream. RAM and stream must be equal at the end.
 */
#ifndef RDMIG_TESTS_SUPPORT_PAIR_H
#define RDMIG_TESTS_SUPPORT_PAIR_H

#include "support/fabric.h"

enum { ROUNDS = 4, STREAM_TOTAL = 3000, MOVES_MAX = 400000 };
/* A guest whose ranges come from anywhere dirties no more after so many of them in a round: else it
 * would never end. */
enum { DIRTYING_PUSHES = 150 };

enum stage {
    OPENING,
    EXCHANGING,
    BETWEEN,
    PUSHING,
    CLOSING_ROUND,
    TAIL,
    FLUSHING,
    DELIVERING,
    DONE
};

/* The two applications. */
struct world {
    struct fabric fabric;
    bool is_dirty[FABRIC_BLOCKS][FABRIC_PAGES_MAX];
    enum stage stage;
    uint32_t round;
    uint32_t cursor_block;
    uint64_t cursor_page;
    uint32_t stream_written;
    uint32_t stream_consumed;
    uint32_t flushes_awaited;
    uint32_t rounds_awaited;
    uint32_t released;
    uint32_t stamp;
    uint32_t pushed_count;               /* ranges, in this round */
    uint32_t agreed_flags;               /* at the end */
    struct rdmig_conn_counters counters; /* of the source, at the end */
    bool is_shuffled; /* ranges come from anywhere, not in the order of addresses */
};

void pair_begin(struct world *world, uint64_t seed, const struct rdmig_conn_config *source,
                const struct rdmig_conn_config *destination);
/* Something happens; false: nothing can. */
bool pair_move(struct world *world);
bool pair_is_closed(const struct world *world);
/* From pair_begin() until both are closed and all is checked. */
void pair_run_whole(struct world *world, uint64_t seed);

#endif
