/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A source and a destination of the protocol core in one process, joined by nothing: whatever a
 * core asks for is done at once, a message is copied into the peer's receive slot, and no byte of
 * guest memory is touched. What time is left is the engine's own.
 */
#ifndef RDMIG_TESTS_BENCH_NULL_TRANSPORT_H
#define RDMIG_TESTS_BENCH_NULL_TRANSPORT_H

#include <rdmig/core.h>

/* Completions that may wait: a send queue full of them, and some operations. */
enum { NULL_LATE_MAX = 512, NULL_BLOCKS_MAX = 4 };

struct null_end {
    struct rdmig_conn *conn;
    struct null_end *peer;
    void *memory;
    void *tables;
    uint8_t *control;
    const struct rdmig_block *blocks;
    uint32_t block_count;
    enum rdmig_role role;
    struct rdmig_action recvs[RDMIG_RECV_SLOT_COUNT]; /* posted, oldest first from recv_first */
    uint32_t recv_first;
    uint32_t recv_count;
    uint32_t next_rkey;
    uint64_t filled_bytes;
    uint64_t late_tags[NULL_LATE_MAX]; /* writes whose completion is held back */
    uint32_t late_count;
    bool is_down;
    uint32_t seen[RDMIG_ACTION_KIND_COUNT];
};

struct null_transport {
    struct null_end source;
    struct null_end destination;
    uint64_t now_ns;
    /* Writes complete only when neither side has anything else to do: the send queue stays as full
     * as the core lets it be. Otherwise at once. */
    bool is_late;
    uint64_t wire_bytes; /* of control messages, headers included */
};

/* config: the role is filled in. Comes back connected, the blocks exchanged. */
void null_open(struct null_transport *transport, const struct rdmig_conn_config *config,
               const struct rdmig_block *blocks, uint32_t block_count, bool is_late);
/* Takes the connection down in order. */
void null_close(struct null_transport *transport);

/* A step of one side with all that follows from it on that side and in the peer's queue. */
int null_step(struct null_transport *transport, struct null_end *end, struct rdmig_event event);
/* Until neither side has anything to do. */
void null_settle(struct null_transport *transport);

#endif
