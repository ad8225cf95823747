/* SPDX-License-Identifier: BSD-2-Clause */
/* The destination handle from inside: destination.c is what a VMM calls, destination_stages.c what
 * happens between the calls, inbox.c the byte stream on its way to the VMM. */
#ifndef RDMIG_MIGRATION_DESTINATION_H
#define RDMIG_MIGRATION_DESTINATION_H

#include "common.h"
#include "core/steps.h"
#include "holes.h"

#include "qemu/stream.h"

enum destination_stage {
    DESTINATION_STAGE_LISTENING,
    DESTINATION_STAGE_CONNECTED,
    DESTINATION_STAGE_BLOCKS_NEEDED,
    DESTINATION_STAGE_RECEIVING,
    DESTINATION_STAGE_ROUND_ENDED,
    DESTINATION_STAGE_PREPARED,
    DESTINATION_STAGE_CONFIRMING,
    DESTINATION_STAGE_COMPLETED,
    DESTINATION_STAGE_CLOSING,
    DESTINATION_STAGE_CLOSED
};

#define DESTINATION_STAGE_STEPS(STEP)                                                              \
    STEP(DESTINATION_STAGE_LISTENING, DESTINATION_STAGE_CONNECTED, "ESTABLISHED")                  \
    STEP(DESTINATION_STAGE_CONNECTED, DESTINATION_STAGE_BLOCKS_NEEDED,                             \
         "list came, blocks not given")                                                            \
    STEP(DESTINATION_STAGE_CONNECTED, DESTINATION_STAGE_RECEIVING, "list came, blocks match")      \
    STEP(DESTINATION_STAGE_BLOCKS_NEEDED, DESTINATION_STAGE_RECEIVING,                             \
         "rdmig_destination_provide_blocks()")                                                     \
    STEP(DESTINATION_STAGE_RECEIVING, DESTINATION_STAGE_ROUND_ENDED,                               \
         "END_ROUND, with report_rounds")                                                          \
    STEP(DESTINATION_STAGE_ROUND_ENDED, DESTINATION_STAGE_RECEIVING, "rdmig_destination_resume()") \
    STEP(DESTINATION_STAGE_RECEIVING, DESTINATION_STAGE_PREPARED,                                  \
         "native: PREPARE. QEMU: it has left")                                                     \
    STEP(DESTINATION_STAGE_PREPARED, DESTINATION_STAGE_CONFIRMING,                                 \
         "native: rdmig_destination_confirm()")                                                    \
    STEP(DESTINATION_STAGE_PREPARED, DESTINATION_STAGE_COMPLETED,                                  \
         "QEMU: rdmig_destination_confirm()")                                                      \
    STEP(DESTINATION_STAGE_CONFIRMING, DESTINATION_STAGE_COMPLETED, "the end of the stream")       \
    STEP(DESTINATION_STAGE_LISTENING, DESTINATION_STAGE_CLOSING,                                   \
         "fails, rdmig_destination_cancel()")                                                      \
    STEP(DESTINATION_STAGE_CONNECTED, DESTINATION_STAGE_CLOSING,                                   \
         "fails, rdmig_destination_cancel()")                                                      \
    STEP(DESTINATION_STAGE_BLOCKS_NEEDED, DESTINATION_STAGE_CLOSING,                               \
         "fails, rdmig_destination_cancel()")                                                      \
    STEP(DESTINATION_STAGE_RECEIVING, DESTINATION_STAGE_CLOSING,                                   \
         "fails, rdmig_destination_cancel()")                                                      \
    STEP(DESTINATION_STAGE_ROUND_ENDED, DESTINATION_STAGE_CLOSING,                                 \
         "fails, rdmig_destination_cancel()")                                                      \
    STEP(DESTINATION_STAGE_PREPARED, DESTINATION_STAGE_CLOSING,                                    \
         "fails, rdmig_destination_cancel()")                                                      \
    STEP(DESTINATION_STAGE_CONFIRMING, DESTINATION_STAGE_CLOSING,                                  \
         "fails, rdmig_destination_cancel()")                                                      \
    STEP(DESTINATION_STAGE_CLOSING, DESTINATION_STAGE_CLOSED, "closed")

MACHINE_DEFINE(destination_stage, DESTINATION_STAGE_STEPS)

/* A range being filled, a piece a call. */
struct fill {
    uint64_t tag; /* 0: none */
    uint32_t block_index;
    uint8_t *bytes;
    uint64_t left_bytes;
    uint8_t value;
};

struct rdmig_destination {
    enum destination_stage stage;
    bool is_astray; /* a step that DESTINATION_STAGE_STEPS has not got was refused */
    struct rdmig_options options;
    struct budget budget;
    struct rdmig_error error;
    struct trace trace;
    enum rdmig_destination_state traced_state; /* the last that the trace has told */
    struct memory given;                       /* blocks as the VMM gave them */
    struct memory memory;                      /* the same in the source's order */
    struct rdmig_ram_block *announced;
    uint32_t announced_count;
    struct link *link;
    struct waker waker;
    struct stats stats;
    struct qemu_stream *stream;
    /* The message that the core holds until its bytes are read: inbox has those for the VMM. */
    uint64_t message_bytes; /* 0: none */
    uint8_t *inbox;
    uint64_t inbox_start;
    uint64_t inbox_end;
    uint64_t inbox_capacity;
    uint64_t read_bytes;  /* by the VMM, since the beginning */
    uint64_t wire_bytes;  /* of the stream, in messages that have come */
    bool is_prepare_held; /* PREPARE is in the message: it is consumed by confirm() */
    uint64_t round_tag;   /* of the END_ROUND that waits for _resume() */
    uint64_t round_position_bytes;
    struct fill fill;
    struct holes *holes;
};

/* destination_advance() fails what was astray. */
static inline void destination_enter(struct rdmig_destination *destination,
                                     enum destination_stage stage)
{
    if (is_destination_stage_step(destination->stage, stage))
        destination->stage = stage;
    else
        destination->is_astray = true;
}

void destination_advance(struct rdmig_destination *destination);
/* A line when the state is another than the trace has it; destination_state.c. */
void destination_trace_state(struct rdmig_destination *destination);
void destination_fail(struct rdmig_destination *destination);

/* ---- inbox.c */
/* False: the migration has failed, the cause is in destination->error. */
bool inbox_deliver(struct rdmig_destination *destination, const uint8_t *bytes,
                   uint64_t length_bytes);
uint64_t inbox_readable_bytes(const struct rdmig_destination *destination);
/* Returns how many bytes were read; 0: there are none. */
uint64_t inbox_read(struct rdmig_destination *destination, void *bytes, uint64_t capacity_bytes);
/* Tells the core when the message is done with; true: told. */
bool inbox_finish_message(struct rdmig_destination *destination);

/* ---- matching.c: the source's list of blocks and ours. Where it fails, the cause is in
 * destination->error, and the caller ends the migration. */
bool matching_announce(struct rdmig_destination *destination);
int matching_provide(struct rdmig_destination *destination);

#endif
