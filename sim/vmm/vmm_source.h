/* SPDX-License-Identifier: BSD-2-Clause */
/* The source's VMM from inside: vmm_source.c goes from state to state, vmm_rounds.c has the guest's
 * dirty log and the rounds, vmm_calls.c what it calls that must be refused. */
#ifndef SIM_VMM_SOURCE_H
#define SIM_VMM_SOURCE_H

#include "ram.h"
#include "vmm.h"

enum vmm_stage {
    VMM_OPENING,   /* a QEMU stream: its beginning is written */
    VMM_EXCHANGED, /* ... the blocks are exchanged: the setup's round */
    VMM_BETWEEN,   /* before a round, or behind the last */
    VMM_HOOKING,   /* a QEMU stream: the hook before a round is written */
    VMM_ROUND,
    VMM_STATE, /* the device state is written */
    VMM_FINISHING
};

enum { VMM_OUTBOX_BYTES = 16384, VMM_OUTBOX_ITEMS = 4 };

/* Bytes for the stream that the library has not taken yet; words still to be made. */
struct vmm_outbox {
    struct stream_writer writer;
    struct {
        enum stream_word word;
        uint64_t count;
    } items[VMM_OUTBOX_ITEMS];
    uint32_t item_count;
    uint32_t start;
    uint32_t end;
    uint8_t bytes[VMM_OUTBOX_BYTES];
};

/* By page of a block; only in worlds that are not too large. */
struct vmm_pages {
    struct ram_bitmap bitmap;
    uint64_t *words;
};

struct vmm_source {
    struct vmm vmm; /* first */
    struct rdmig_source *handle;
    enum vmm_stage stage;
    struct vmm_outbox outbox;
    uint32_t turn_count;
    uint32_t last_turn; /* in which it gives up; 0: it does not */
    bool is_pushing;    /* it walks the pages itself */
    bool is_guest_stopped;
    bool has_given_guest; /* finish() has been called */
    bool is_cancelled;
    bool is_flushed; /* a QEMU stream: before its end */
    bool is_round_last;
    bool has_marked;             /* since the round began: a log, or a range */
    uint32_t time_limit_ms;      /* 0: none */
    uint32_t downtime_target_ms; /* as in the options */
    uint32_t round_count;        /* whole rounds, without the setup's */
    uint64_t round_start_bytes;  /* moved before the round */
    uint64_t last_round_start_ns;
    uint64_t last_dirty_bytes;
    uint64_t *log_words;                   /* room for the largest block's */
    struct vmm_pages late[RAM_BLOCKS_MAX]; /* marked since the round began */
    struct vmm_pages owed[RAM_BLOCKS_MAX]; /* it pushes: not pushed yet */
    struct vmm_pages free[RAM_BLOCKS_MAX]; /* the guest does not need them */
    uint32_t push_block;                   /* where the walk is */
    uint64_t push_page;
};

/* ---- vmm_rounds.c */

void vmm_rounds_make(struct vmm_source *source);
void vmm_rounds_free(struct vmm_source *source);
/* The log is handed in; the guest is stopped when little is left, and a round begins. */
void vmm_rounds_begin(struct vmm_source *source);
/* State SENDING: pushes, and marks what has become dirty. True: something has moved. */
bool vmm_rounds_go_on(struct vmm_source *source);
void vmm_rounds_ended(struct vmm_source *source);
bool vmm_rounds_is_pending(const struct party *party, uint32_t block, uint64_t page);
bool vmm_rounds_is_free(const struct party *party, uint32_t block, uint64_t page);
uint64_t vmm_rounds_dirty_bytes(const struct vmm_source *source);

/* ---- vmm_calls.c: now and then a call that must be refused */

void vmm_source_call_wrongly(struct vmm_source *source);

#endif
