/* SPDX-License-Identifier: BSD-2-Clause */
/* The source of ours from inside: ours_source.c goes through the stages, ours_rounds.c has the
 * guest's dirty pages, and the rounds over them. */
#ifndef SIM_OURS_SOURCE_H
#define SIM_OURS_SOURCE_H

#include "ours.h"
#include "stream.h"

#include "ram/walker.h"

enum source_stage {
    STAGE_CONNECTING,
    STAGE_OPENING,      /* the stream's beginning goes out */
    STAGE_EXCHANGING,   /* RAM_BLOCKS_REQUEST is out */
    STAGE_ENDING_SETUP, /* the setup's REGISTER_FINISHED */
    STAGE_IDLE,
    STAGE_HOOKING,    /* the hook before a round goes out */
    STAGE_LETTING_GO, /* of regions */
    STAGE_ROUND,
    STAGE_ENDING_ROUND, /* everything pushed; REGISTER_FINISHED when it is written */
    STAGE_STATE,        /* the device state goes out */
    STAGE_PREPARING,    /* PREPARE is out: the destination's VMM is to confirm */
    STAGE_HANDING_OVER, /* the last bytes are out */
    STAGE_PARTING,      /* they have arrived; a destination that is not ours leaves first */
    STAGE_COMPLETED,
    STAGE_LEAVING /* failed or cancelled */
};

enum { OUTBOX_BYTES = 16384, OUTBOX_ITEMS = 4 };

/* Bytes for the stream that the core has not taken yet; words still to be written. */
struct outbox {
    struct stream_writer writer;
    struct {
        enum stream_word word;
        uint64_t count;
    } items[OUTBOX_ITEMS];
    uint32_t item_count;
    uint32_t start;
    uint32_t end;
    uint8_t bytes[OUTBOX_BYTES];
};

struct source {
    struct ours ours; /* first */
    enum source_stage stage;
    bool is_guest_stopped;
    uint32_t let_go_count; /* since the last round began */
    uint32_t again_count;  /* times that the round has been walked again */
    struct outbox outbox;
    struct ram_walker walker;
    struct ram_bitmap dirty[RAM_BLOCKS_MAX];
    uint64_t *words[RAM_BLOCKS_MAX];
    uint64_t *log_words;   /* room for the largest block's */
    uint32_t on_top_count; /* ranges pushed into it that nobody needs */
    struct ram_range last_zeros;
    uint64_t round_start_bytes; /* moved before the round */
    uint64_t bytes_per_s;       /* of data; 0: not measured yet */
    uint64_t sampled_bytes;     /* written, and the time for them, when it was measured last */
    uint64_t sampled_ns;
    bool has_pushed;      /* since the walker was called */
    uint32_t round_count; /* whole rounds, without the setup's */
};

/* ---- ours_rounds.c */

void rounds_make(struct source *source);
void rounds_free(struct source *source);
/* Asks for regions to be let go of, one after the other; true: it is done, a round may begin. */
bool rounds_let_go(struct source *source);
/* Takes the dirty log, and stops the guest when the rest is little enough. */
void rounds_begin(struct source *source);
/* Walks on; true: something has moved. */
bool rounds_walk(struct source *source);
void rounds_ended(struct source *source);
bool rounds_is_pending(const struct party *party, uint32_t block, uint64_t page);

#endif
