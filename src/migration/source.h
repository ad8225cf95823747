/* SPDX-License-Identifier: BSD-2-Clause */
/* The source handle from inside: source.c is what a VMM calls, source_stages.c what happens between
 * the calls, walk.c what the walker asks. */
#ifndef RDMIG_MIGRATION_SOURCE_H
#define RDMIG_MIGRATION_SOURCE_H

#include "common.h"
#include "core/steps.h"
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

#define SOURCE_STAGE_STEPS(STEP)                                                                   \
    STEP(SOURCE_STAGE_CONNECTING, SOURCE_STAGE_OPENING, "native: ESTABLISHED")                     \
    STEP(SOURCE_STAGE_CONNECTING, SOURCE_STAGE_IDLE, "QEMU: ESTABLISHED")                          \
    STEP(SOURCE_STAGE_IDLE, SOURCE_STAGE_OPENING, "QEMU: rdmig_source_exchange_blocks()")          \
    STEP(SOURCE_STAGE_OPENING, SOURCE_STAGE_EXCHANGING, "the stream so far is with the core")      \
    STEP(SOURCE_STAGE_EXCHANGING, SOURCE_STAGE_ENDING_SETUP, "native: BLOCKS_EXCHANGED")           \
    STEP(SOURCE_STAGE_EXCHANGING, SOURCE_STAGE_IDLE, "QEMU: BLOCKS_EXCHANGED")                     \
    STEP(SOURCE_STAGE_ENDING_SETUP, SOURCE_STAGE_IDLE, "ROUND_ENDED")                              \
    STEP(SOURCE_STAGE_IDLE, SOURCE_STAGE_ROUND, "rdmig_source_start_round()")                      \
    STEP(SOURCE_STAGE_IDLE, SOURCE_STAGE_PUSHING, "rdmig_source_begin_round()")                    \
    STEP(SOURCE_STAGE_PUSHING, SOURCE_STAGE_PUSHED, "rdmig_source_end_round()")                    \
    STEP(SOURCE_STAGE_ROUND, SOURCE_STAGE_ENDING_ROUND, "everything is pushed")                    \
    STEP(SOURCE_STAGE_PUSHED, SOURCE_STAGE_ENDING_ROUND, "everything is pushed")                   \
    STEP(SOURCE_STAGE_ENDING_ROUND, SOURCE_STAGE_IDLE, "ROUND_ENDED")                              \
    STEP(SOURCE_STAGE_IDLE, SOURCE_STAGE_FLUSHING, "QEMU: rdmig_source_stream_flush()")            \
    STEP(SOURCE_STAGE_FLUSHING, SOURCE_STAGE_IDLE, "FLUSHED")                                      \
    STEP(SOURCE_STAGE_IDLE, SOURCE_STAGE_PREPARING, "native: rdmig_source_finish()")               \
    STEP(SOURCE_STAGE_IDLE, SOURCE_STAGE_HANDING_OVER,                                             \
         "QEMU: rdmig_source_finish(), _finish_with()")                                            \
    STEP(SOURCE_STAGE_PREPARING, SOURCE_STAGE_HANDING_OVER, "FLUSHED: it has confirmed")           \
    STEP(SOURCE_STAGE_HANDING_OVER, SOURCE_STAGE_COMPLETED, "native: FLUSHED")                     \
    STEP(SOURCE_STAGE_HANDING_OVER, SOURCE_STAGE_AWAITING_PEER_CLOSE, "QEMU: FLUSHED")             \
    STEP(SOURCE_STAGE_AWAITING_PEER_CLOSE, SOURCE_STAGE_COMPLETED, "closed")                       \
    STEP(SOURCE_STAGE_AWAITING_PEER_CLOSE, SOURCE_STAGE_CLOSED, "ERROR came, closed")              \
    STEP(SOURCE_STAGE_CONNECTING, SOURCE_STAGE_CLOSING, "fails, rdmig_source_cancel()")            \
    STEP(SOURCE_STAGE_OPENING, SOURCE_STAGE_CLOSING, "fails, rdmig_source_cancel()")               \
    STEP(SOURCE_STAGE_EXCHANGING, SOURCE_STAGE_CLOSING, "fails, rdmig_source_cancel()")            \
    STEP(SOURCE_STAGE_ENDING_SETUP, SOURCE_STAGE_CLOSING, "fails, rdmig_source_cancel()")          \
    STEP(SOURCE_STAGE_IDLE, SOURCE_STAGE_CLOSING, "fails, rdmig_source_cancel()")                  \
    STEP(SOURCE_STAGE_ROUND, SOURCE_STAGE_CLOSING, "fails, rdmig_source_cancel()")                 \
    STEP(SOURCE_STAGE_PUSHING, SOURCE_STAGE_CLOSING, "fails, rdmig_source_cancel()")               \
    STEP(SOURCE_STAGE_PUSHED, SOURCE_STAGE_CLOSING, "fails, rdmig_source_cancel()")                \
    STEP(SOURCE_STAGE_ENDING_ROUND, SOURCE_STAGE_CLOSING, "fails, rdmig_source_cancel()")          \
    STEP(SOURCE_STAGE_FLUSHING, SOURCE_STAGE_CLOSING, "fails, rdmig_source_cancel()")              \
    STEP(SOURCE_STAGE_PREPARING, SOURCE_STAGE_CLOSING, "fails, rdmig_source_cancel()")             \
    STEP(SOURCE_STAGE_HANDING_OVER, SOURCE_STAGE_CLOSING, "fails, rdmig_source_cancel()")          \
    STEP(SOURCE_STAGE_CLOSING, SOURCE_STAGE_CLOSED, "closed")

MACHINE_DEFINE(source_stage, SOURCE_STAGE_STEPS)

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
    bool is_astray; /* a step that SOURCE_STAGE_STEPS has not got was refused */
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
    /* Of these, what cannot hold the end of a QEMU's stream: as much as had been posted when the
     * last round ended, or all that was written before rdmig_source_finish_with(). */
    uint64_t end_stream_bytes;
    uint64_t connected_ns; /* 0: not yet */
    struct source_rate rate;
    bool is_log_current; /* a dirty log was handed in since the last round ended */
};

/* source_advance() fails what was astray. */
static inline void source_enter(struct rdmig_source *source, enum source_stage stage)
{
    if (is_source_stage_step(source->stage, stage))
        source->stage = stage;
    else
        source->is_astray = true;
}

/* Carries on as far as it can, and sets the waker for the rest. */
void source_advance(struct rdmig_source *source);
/* A line when the state is another than the trace has it; source_state.c. */
void source_trace_state(struct rdmig_source *source);
void source_fail(struct rdmig_source *source, int os_code);
/* The destination may have the guest. */
bool source_has_end_left(const struct rdmig_source *source);
bool source_build_prefix(struct rdmig_source *source);
/* ---- source_rate.c */
void source_rate_round_begins(struct rdmig_source *source);
void source_rate_round_ended(struct rdmig_source *source);
/* At which data goes when it goes, the bandwidth cap included; 0: not known. */
uint64_t source_rate_data_bytes_per_s(const struct rdmig_source *source);

/* A walker over the handle's memory, once memory, link and options exist. */
void source_init_walker(struct rdmig_source *source);

#endif
