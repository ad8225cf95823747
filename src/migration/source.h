/* SPDX-License-Identifier: BSD-2-Clause */
/* The source handle from inside: source.c is what a VMM calls, source_stages.c what happens between
 * the calls, walk.c what the walker asks. */
#ifndef RDMIG_MIGRATION_SOURCE_H
#define RDMIG_MIGRATION_SOURCE_H

#include "common.h"
#include "holes.h"
#include "ram/walker.h"

/* Bytes for the stream that the core has not taken yet. */
#define OUTBOX_BYTES (UINT64_C(512) << 10)

/* What the source is doing; the public state follows from it. */
enum source_stage {
    SOURCE_STAGE_CONNECTING,
    SOURCE_STAGE_OPENING, /* native: the stream's beginning goes out. QEMU: the caller writes it */
    SOURCE_STAGE_EXCHANGING,   /* RAM_BLOCKS_REQUEST is sent */
    SOURCE_STAGE_ENDING_SETUP, /* native: the setup's REGISTER_FINISHED */
    SOURCE_STAGE_IDLE,
    SOURCE_STAGE_ROUND,        /* a whole round by the dirty bitmap */
    SOURCE_STAGE_PUSHING,      /* a round the caller pushes */
    SOURCE_STAGE_PUSHED,       /* the caller's round has ended, the rest is being pushed */
    SOURCE_STAGE_ENDING_ROUND, /* everything pushed; REGISTER_FINISHED when it is written */
    SOURCE_STAGE_FLUSHING,     /* the destination must take the stream's bytes and want more */
    SOURCE_STAGE_PREPARING,    /* PREPARE is sent: the destination's VMM must confirm */
    SOURCE_STAGE_HANDING_OVER, /* the last bytes are sent */
    SOURCE_STAGE_AWAITING_PEER_CLOSE, /* QEMU: they have arrived; QEMU disconnects (clause E13) */
    SOURCE_STAGE_COMPLETED,
    SOURCE_STAGE_CLOSING, /* failed or cancelled, the connection is being closed */
    SOURCE_STAGE_CLOSED   /* failed or cancelled, closed */
};

/* What the rounds tell of the speed, source_rate.c. */
struct source_rate {
    uint64_t round_start_ns;
    uint64_t round_covered_bytes; /* by the core's counters when the round began */
    uint64_t covered_bytes_per_s; /* of the last round that moved enough: data and zeros */
    uint64_t data_bytes;          /* by the core's counters when the sample began */
    uint64_t data_ns;
    uint64_t data_bytes_per_s; /* 0: no data was written yet */
    bool has_round_ended;
};

struct rdmig_source {
    enum source_stage stage;
    struct rdmig_options options;
    struct budget budget;
    struct rdmig_error error;
    struct trace trace;
    enum rdmig_source_state traced_state; /* the last that the trace has told */
    struct memory memory;
    struct link *link;
    struct waker waker;
    struct ram_walker walker;
    struct holes *holes;
    const uint8_t *unreadable; /* NULL: nothing that had to be looked at */
    int unreadable_code;       /* errno */
    struct stats stats;
    bool are_blocks_provided;
    bool is_flush_asked;
    uint8_t *outbox;       /* capacity OUTBOX_BYTES, or more for a long block list */
    uint64_t outbox_start; /* bytes already given to the core */
    uint64_t outbox_end;
    uint64_t outbox_capacity;
    uint64_t stream_given_bytes; /* to the core, since the beginning */
    uint64_t round_stream_bytes; /* of these, posted when the last round ended */
    uint64_t connected_ns;       /* 0: not yet */
    struct source_rate rate;
    bool is_log_current; /* a dirty log was handed in since the last round ended */
};

/* Carries on as far as it can, and sets the waker for the rest. */
void source_advance(struct rdmig_source *source);
/* A line when the state is another than the trace has it; source_state.c. */
void source_trace_state(struct rdmig_source *source);
void source_fail(struct rdmig_source *source, int os_code);
bool source_build_prefix(struct rdmig_source *source);
/* ---- source_rate.c */
void source_rate_round_begins(struct rdmig_source *source);
void source_rate_round_ended(struct rdmig_source *source);
/* At which data goes when it goes, the bandwidth cap included; 0: not known. */
uint64_t source_rate_data_bytes_per_s(const struct rdmig_source *source);

/* A walker over the handle's memory, once memory, link and options exist. */
void source_init_walker(struct rdmig_source *source);

#endif
