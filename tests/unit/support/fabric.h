/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Two connections joined by made-up hardware: send queues that work in order, RECVs that must be
 * there, RDMA Writes into a made-up RAM of one number a page, two completion queues a side,
 * operations that end in any order. What happens next is drawn from a seed.
 */
#ifndef RDMIG_TESTS_SUPPORT_FABRIC_H
#define RDMIG_TESTS_SUPPORT_FABRIC_H

#include "support/drive.h"

enum {
    FABRIC_BLOCKS = 3,
    FABRIC_QUEUE_MAX = 512,
    FABRIC_REGIONS_MAX = 16384,
    FABRIC_PAGE_BYTES = 4096,
    FABRIC_PAGES_MAX = 1500
};

struct fabric_queue {
    struct rdmig_action actions[FABRIC_QUEUE_MAX];
    uint32_t count;
};

struct fabric_cqes {
    struct rdmig_event events[FABRIC_QUEUE_MAX];
    uint32_t count;
};

struct fabric_region {
    bool is_alive;
    uint32_t block_index;
    uint64_t offset_bytes;
    uint64_t length_bytes;
};

struct fabric_side {
    struct rdmig_conn *conn;
    void *memory;
    size_t memory_bytes;
    void *tables;
    uint8_t *control;
    struct fabric_queue sends;      /* posted, not carried out */
    struct fabric_queue recvs;      /* posted, not filled */
    struct fabric_queue operations; /* in progress */
    struct fabric_cqes send_cqes;   /* what the two completion queues hold */
    struct fabric_cqes recv_cqes;
    bool is_connected;
    bool is_down;           /* its queue pair works no more */
    bool is_disconnect_due; /* it has not been told yet that the other is gone */
    uint32_t silent_writes; /* carried out, not signalled, no later completion yet */
    uint32_t seen[RDMIG_ACTION_KIND_COUNT];
    uint64_t pinned_bytes; /* of regions, from REGISTER until DEREGISTER is done */
    uint64_t pinned_bytes_max;
    uint64_t pinned_limit_bytes; /* 0: none; else the oracle of clause R13 */
    uint64_t delivered_bytes;    /* destination: of the message that is being consumed */
    const uint8_t *delivered;
    bool is_undrained; /* stepped, its actions not taken yet: drivers step for all that they have
                          polled first */
};

struct fabric {
    uint64_t random;
    uint64_t now_ns;
    struct fabric_side source;
    struct fabric_side destination;
    struct rdmig_block source_blocks[FABRIC_BLOCKS];
    struct rdmig_block destination_blocks[FABRIC_BLOCKS];
    uint32_t source_ram[FABRIC_BLOCKS][FABRIC_PAGES_MAX];
    uint32_t destination_ram[FABRIC_BLOCKS][FABRIC_PAGES_MAX];
    struct fabric_region remote[FABRIC_REGIONS_MAX]; /* by rkey */
    uint32_t remote_count;
    struct fabric_region local[FABRIC_REGIONS_MAX]; /* by region number */
    bool is_broken;                                 /* messages no longer cross */
    uint8_t connect_data[RDMIG_PRIVATE_DATA_BYTES_MAX];
    uint32_t connect_bytes;
    /* For the oracles of clauses C3, C16, C17. */
    uint32_t initial_ready_pending; /* READYs that are for no command */
    uint32_t ready_count;           /* that have been fed to the source */
    uint32_t command_count;         /* that it has sent */
    uint32_t command_type;          /* the last one */
    uint32_t command_count_max;     /* outstanding at a time */
};

uint64_t fabric_random(struct fabric *fabric);
uint32_t fabric_below(struct fabric *fabric, uint32_t limit);

void fabric_open(struct fabric *fabric, uint64_t seed, const struct rdmig_conn_config *source,
                 const struct rdmig_conn_config *destination);
void fabric_close(struct fabric *fabric);

/* An event for one side, and all actions that follow from it. */
int fabric_feed(struct fabric *fabric, struct fabric_side *side, struct rdmig_event event);
#define FABRIC_FEED(fabric, side, name, ...)                                                       \
    fabric_feed((fabric), (side), (struct rdmig_event){.kind = RDMIG_EVENT_##name, __VA_ARGS__})

/* One thing that hardware or driver can do next, drawn by the seed; false: there is none. */
bool fabric_move(struct fabric *fabric);
/* The link is cut: neither side hears the other any more, both are told sooner or later. */
void fabric_cut(struct fabric *fabric);
/* Both clocks go to the earliest deadline; false: there is none. */
bool fabric_wait(struct fabric *fabric);

uint64_t fabric_page_count(const struct fabric *fabric, uint32_t block_index);

/* ---- fabric_oracles.c: what must hold whenever an action is given, or carried out */
void oracle_no_write_there(const struct fabric *fabric, const struct rdmig_action *action);
void oracle_write(const struct fabric *fabric, const struct rdmig_action *action);
void oracle_send(struct fabric *fabric, const struct fabric_side *side,
                 const struct rdmig_action *action);
void oracle_pinned(struct fabric_side *side, const struct rdmig_action *action);
/* A message is about to be fed to the source. */
void oracle_received(struct fabric *fabric, const uint8_t *message);

#endif
