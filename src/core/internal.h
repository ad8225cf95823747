/* SPDX-License-Identifier: BSD-2-Clause */
/* The connection from inside. Layers: conn.c dispatches; failure.c has the limits and the first
 * cause; source*.c and destination*.c are the roles; closing.c takes a connection down; flight.c
 * keeps what the hardware owns (slots, send queue, operations); blocks.c the RAM tables. */
#ifndef RDMIG_CORE_INTERNAL_H
#define RDMIG_CORE_INTERNAL_H

#include "never.h"
#include "wire.h"

#include <string.h>

#define NO_SLOT  UINT32_MAX
#define NO_BLOCK UINT32_MAX

/* Send queue places that writes leave free for a command, an ERROR and a probe. */
#define SEND_QUEUE_RESERVE 4u
#define FLIGHT_HASH_COUNT  256u
/* Registrations that may be in progress at one time: one batch of runs. */
#define OPERATION_COUNT RDMIG_REGISTER_BATCH_MAX
/* Most bytes in one RDMA Write: sums of positions stay in 64 bits, counts of the flight hash
 * in 16. */
#define WRITE_BYTES_MAX (UINT64_C(1) << 30)
/* How slow a destination may pin, fill or load, on top of the reply limit (clause E14): 4.2 s a GiB.
 * Pinning takes 38 ms a GiB that was touched and 209 ms of one that never was, filling as long;
 * twenty times that is a sick host. */
#define REPLY_BYTES_PER_US 256u
/* Chunk tables keep a run's length in 16 bits. */
#define RUN_CHUNK_COUNT_MAX 32768u

enum slot_state {
    SLOT_FREE,
    SLOT_FILLING, /* send: being written by us */
    SLOT_HARDWARE,
    SLOT_READING /* receive: its message is being handled */
};

/* RECVs of a connection with one credit, as stock has them: clause C1. */
#define RECV_SLOT_COUNT_STOCK 3u
/* Send slots by size: two large ones for stream bytes and answers; small ones for READY and for
 * commands about RAM, one for each that may be outstanding; one for ERROR. */
enum {
    SEND_SLOT_LARGE_COUNT = 2,
    SEND_SLOT_SMALL_COUNT = RDMIG_CREDIT_COUNT_MAX,
    SEND_SLOT_ERROR = SEND_SLOT_LARGE_COUNT + SEND_SLOT_SMALL_COUNT,
    SEND_SLOT_COUNT
};
/* A header and as many entries as one of our commands has. */
#define SMALL_MESSAGE_BYTES 2048u
#define ENTRY_COUNT_MAX     RDMIG_REGISTER_BATCH_MAX
_Static_assert(RDMIG_HEADER_BYTES + ENTRY_COUNT_MAX * WIRE_REGISTER_ENTRY_BYTES <=
                       SMALL_MESSAGE_BYTES &&
                   RDMIG_HEADER_BYTES + ENTRY_COUNT_MAX * WIRE_COMPRESS_ENTRY_BYTES <=
                       SMALL_MESSAGE_BYTES,
               "a command about RAM fits a small slot");

struct slot {
    enum slot_state state;
    uint32_t generation;
};

/* A RAM block, both ends of it. */
struct block {
    uint64_t host_addr;
    uint64_t length_bytes;
    uint64_t ram_offset_bytes; /* in the destination's ram_addr space, at both ends */
    uint64_t remote_addr;      /* source: from RAM_BLOCKS_RESULT */
    uint32_t first_chunk;      /* number of its first chunk over all blocks */
    uint32_t chunk_count;
    uint32_t rkey; /* pin-all */
};

/* What is known of one chunk, packed: there are a million a TiB, and a guest may have many. */
enum { CHUNK_STATE_BYTES = 7 };
/* Most chunks in one region: 23 bits, less the values that say something else. */
#define REGION_CHUNK_COUNT_MAX 0x7ffffcu
#define REGION_UNREGISTERING   0x7ffffdu /* source: its region is being unregistered */
#define REGION_PENDING         0x7ffffeu /* source: in a run that is being registered */
#define REGION_MEMBER          0x7fffffu /* source: a further chunk of a region */

/* The same, unpacked. */
struct chunk {
    /* First of a region: its rkey. Source, further chunks of a region: how many are before it. */
    uint32_t value;
    /* First of a region: chunks in it. 0: no region (destination: none starts here). Or one of the
     * above. */
    uint32_t count;
    bool is_used; /* first of a region, source: written to since the clock hand passed */
};

/* A contiguous piece of a block. */
struct span {
    uint32_t block_index;
    uint64_t start_bytes;
    uint64_t end_bytes;
};

enum work_kind { WORK_SEND, WORK_WRITE, WORK_PROBE };

/* A posted send-queue entry; its tag is its place in the order of posting. */
struct work {
    enum work_kind kind;
    uint32_t slot;         /* SEND */
    uint32_t message_type; /* SEND */
    struct span span;      /* WRITE */
};

enum operation_kind {
    OPERATION_NONE,
    OPERATION_REGISTER,
    OPERATION_DEREGISTER,
    OPERATION_FILL,
    OPERATION_END_ROUND
};

/* Something the driver does for us that is no work request. */
struct operation {
    enum operation_kind kind;
    uint32_t generation;
    uint32_t subject; /* run, block or entry it is for: the role's business */
};

enum timer {
    TIMER_CONNECT,
    TIMER_REPLY,
    TIMER_SEND,
    TIMER_PROBE,
    TIMER_IDLE,
    TIMER_CAUSE,
    TIMER_CLOSE,
    TIMER_COUNT
};

enum closing {
    CLOSING_NOT,
    CLOSING_REJECT_DUE,
    CLOSING_ERROR_DUE, /* source: perhaps still without a credit for it */
    CLOSING_ERROR_SENT,
    /* Finished: the other side disconnects first, the source or (clause E13) the destination. */
    CLOSING_PEER_AWAITED,
    /* Source, the peer has left: what it has acknowledged by then may be on its way to us. */
    CLOSING_DELIVERY_AWAITED,
    CLOSING_DISCONNECT_DUE,
    CLOSING_DRAINING,
    CLOSING_ABANDON_DUE,
    CLOSING_ABANDONED,
    CLOSING_DONE
};

/* ---- source */

/* What the source's control channel waits for: what the oldest outstanding command still lacks. */
enum source_state {
    SOURCE_AWAITING_READY,
    SOURCE_CREDITED, /* nothing: no command is outstanding, and all credits are here */
    SOURCE_AWAITING_BLOCKS,
    SOURCE_AWAITING_RESULT,
    SOURCE_AWAITING_UNREGISTERED,
    SOURCE_STATE_COUNT
};

enum step_state { STEP_NONE, STEP_WANTED, STEP_ASKED, STEP_DONE };

/* An outstanding command. */
struct command {
    uint32_t type;
    uint32_t entry_count;
    uint32_t serial;     /* number of the command, counted from the first */
    uint64_t work_bytes; /* that the destination pins, fills or loads for it (clause E14) */
    bool is_answered;    /* READY is next, as for one that has no answer */
};

struct range {
    struct span span; /* start_bytes moves on as writes are posted */
    uint64_t register_end_bytes;
    uint64_t planned_chunk; /* chunks before it are registered, or in a run that is */
    bool is_zero;
    /* Write: NONE until all is posted, then DONE. Zero: WANTED, ASKED, DONE. */
    enum step_state state;
    uint32_t serial; /* zero, ASKED: of its command */
};

/* Runs stand in a ring in the order in which they are asked for. */
struct run {
    uint32_t block_index;
    uint32_t first_chunk; /* in its block */
    uint32_t chunk_count;
    uint32_t rkey;
    enum step_state local;
    enum step_state remote;
};

/* Unregistering a region, at both ends (clause R8). */
enum unregistration_state {
    UNREGISTRATION_WANTED,
    UNREGISTRATION_ASKED,
    UNREGISTRATION_DUE, /* done at the destination; ours goes next */
    UNREGISTRATION_STARTED,
    UNREGISTRATION_DONE
};

struct unregistration {
    uint32_t block_index;
    uint32_t first_chunk; /* in its block */
    uint32_t chunk_count;
    enum unregistration_state state;
    bool is_application; /* it asked for it, and wants to hear */
};
enum { UNREGISTRATION_COUNT_MAX = 16 };

enum round_state { ROUND_NONE, ROUND_OPEN, ROUND_CLOSING };

/* Of one block: chunks that have a region, or a run that was planned. */
struct planned {
    uint32_t block_index;
    uint64_t first_chunk;
    uint64_t end_chunk;
};

struct source {
    uint32_t credit_count;          /* READYs that no command has been sent against */
    uint32_t initial_ready_pending; /* READYs still to come that are for no command (clause C16) */
    uint32_t command_type;          /* the last one sent */
    uint32_t command_serial;
    struct command commands[RDMIG_CREDIT_COUNT_MAX]; /* ring: outstanding, the oldest first */
    uint32_t command_head;
    uint32_t command_count;
    uint64_t idle_step; /* the step in which no command was found to send; another may bring one */
    bool was_credit_starved; /* the last credit had been spent: the next command waited for one */
    enum step_state exchange;
    enum round_state round;
    bool is_pinned; /* local whole-block regions are registered */
    uint32_t pin_started_count;
    uint32_t pin_done_count;
    uint32_t stream_slot; /* being filled, or NO_SLOT */
    uint32_t stream_bytes;
    enum step_state flush;
    enum rdmig_flush flush_goal;
    uint32_t batch_count;                      /* runs a REGISTER_REQUEST may name (clause R5) */
    struct run runs[RDMIG_REGISTER_BATCH_MAX]; /* ring */
    uint32_t run_head;
    uint32_t run_count;
    uint32_t run_asked_count;             /* of them, from the head: named in a command */
    uint32_t run_answered_count;          /* of them: answered */
    struct planned planned;               /* what was, last; nothing when a region has to go */
    uint32_t largest_run_chunk_count;     /* so far */
    uint64_t largest_message_chunk_count; /* of a REGISTER_REQUEST's runs together, so far */
    struct range ranges[RDMIG_RANGE_QUEUE_COUNT];
    uint32_t range_head;
    uint32_t range_count;
    struct unregistration unregistrations[UNREGISTRATION_COUNT_MAX]; /* ring */
    uint32_t unregistration_head;
    uint32_t unregistration_count;
    uint64_t pinned_limit_bytes; /* 0: none (clause R13) */
    uint64_t pinned_bytes;       /* of regions at either end, from planning until deregistered */
    /* The clock hand, and the chunks, counted over all blocks, between which all regions lie. */
    uint64_t clock_chunk;
    uint64_t clock_low_chunk;
    uint64_t clock_high_chunk;
    bool is_eviction_blocked; /* nothing can be evicted until something completes */
    uint32_t unsignalled_count;
    uint64_t unsignalled_bytes;
    uint64_t flight_bytes; /* posted and not completed */
    uint64_t bytes_pending;
    uint64_t data_bytes_pending; /* of these, without the zeros */
    uint64_t data_since_ns;      /* since when it is not 0 */
};

/* ---- destination */

enum destination_state {
    DESTINATION_SENDING_READY, /* READY must be sent */
    DESTINATION_AWAITING,      /* a command */
    DESTINATION_STREAMING,
    DESTINATION_LISTING, /* RAM_BLOCKS_REQUEST: needs the blocks, registers them for pin-all */
    DESTINATION_REGISTERING,
    DESTINATION_UNREGISTERING,
    DESTINATION_FILLING,
    DESTINATION_ENDING_ROUND,
    DESTINATION_ANSWERING,
    DESTINATION_STATE_COUNT
};

struct destination {
    enum destination_state state;
    uint32_t ready_to_send;         /* READYs to be sent before a command is taken */
    uint32_t credits_outstanding;   /* given, without a command */
    uint32_t initial_ready_pending; /* READYs still to be sent that are for no command */
    uint32_t last_type;             /* of the command that came last */
    uint32_t queued_slots[RDMIG_CREDIT_COUNT_MAX]; /* ring: commands that have come meanwhile */
    uint32_t queued_head;
    uint32_t queued_count;
    uint64_t pinned_bytes;
    uint32_t answer_slot; /* send slot in which the answer is being made, or NO_SLOT */
    uint32_t slot;        /* receive slot of the command that is being handled */
    uint32_t entry_index; /* request that is being handled, block that is being pinned */
    uint32_t entry_count;
    enum step_state entry; /* of the operation for it */
    uint64_t stream_left_bytes;
    enum step_state delivery;
    enum step_state blocks_request;
    bool are_blocks_listed;
    struct wire_header answer;
    bool is_peer_gone;
    enum step_state peer_ended;
};

struct rdmig_conn {
    struct rdmig_conn_config config;
    enum rdmig_phase phase;
    enum closing closing;
    uint64_t now_ns;
    uint64_t step_number;
    uint64_t timers_ns[TIMER_COUNT];
    struct rdmig_failure failure;
    uint32_t capability_flags;
    uint32_t offered_flags;
    uint32_t notifications; /* bit = action kind that is not handed out yet */
    uint32_t unregistered_region;
    bool is_probe_due;
    bool is_started;    /* the queue pair exists */
    bool is_requested;  /* one side has asked the other for a connection */
    bool is_answer_due; /* CONNECT or ACCEPT must be handed out */
    uint8_t private_data[RDMIG_PRIVATE_DATA_BYTES_MAX];
    uint32_t private_bytes;
    uint32_t credit_max;              /* agreed on; 1 without PIPELINE (clause C16) */
    uint64_t peer_pinned_limit_bytes; /* source: the destination's; 0: none (clause W11) */
    uint8_t *control;
    struct slot recv_slots[RDMIG_RECV_SLOT_COUNT];
    uint32_t recv_bytes[RDMIG_RECV_SLOT_COUNT];
    struct slot send_slots[SEND_SLOT_COUNT];
    struct work *works;                /* ring of config.send_queue_depth */
    uint32_t stream_sends_outstanding; /* QEMU_FILE messages the hardware has */
    bool is_stream_lost;               /* one came back undone */
    uint64_t work_tail;                /* oldest that is outstanding */
    uint64_t work_head;                /* next to be posted */
    uint64_t ascending_from; /* all writes posted since this one: each lies behind the one before */
    struct span last_write;
    uint16_t flight_hash[FLIGHT_HASH_COUNT]; /* writes in flight by hashed chunk: 0 proves that none
                                                touches it */
    struct operation operations[OPERATION_COUNT];
    struct block *blocks;
    uint8_t *chunks; /* CHUNK_STATE_BYTES each */
    uint32_t block_count;
    uint64_t ram_bytes; /* sum of the blocks' lengths; 0 before they are known */
    struct rdmig_conn_counters counters;
    const char *fault; /* where CORE_NEVER() first found what cannot be; NULL: nowhere */
    union {
        struct source source;
        struct destination destination;
    } u;
};

/* For CORE_NEVER(), which functions that only look use as well: the memory is the application's,
 * and never constant. */
static inline bool core_note_fault(const struct rdmig_conn *conn, const char *place)
{
    struct rdmig_conn *noted = (struct rdmig_conn *)(uintptr_t)conn;

    if (!noted->fault)
        noted->fault = place;
    return true;
}

/* ---- conn.c */
void conn_notify(struct rdmig_conn *conn, enum rdmig_action_kind kind);
const uint8_t *conn_message(const struct rdmig_conn *conn, uint32_t recv_slot);

/* ---- failure.c: time limits, waiting for a cause, the first cause */
void conn_fail(struct rdmig_conn *conn, enum rdmig_reason reason,
               const struct rdmig_failure *details);
void conn_fail_message(struct rdmig_conn *conn, enum rdmig_reason reason, uint32_t type,
                       uint64_t expected, uint64_t actual);
void conn_arm(struct rdmig_conn *conn, enum timer timer, uint64_t timeout_ns);
uint64_t conn_work_limit_ns(uint64_t timeout_ns, uint64_t work_bytes);
void conn_disarm(struct rdmig_conn *conn, enum timer timer);
void conn_note_activity(struct rdmig_conn *conn);
void conn_await_error_cause(struct rdmig_conn *conn);
bool conn_awaits_error_cause(const struct rdmig_conn *conn);
bool conn_is_peer_gone(const struct rdmig_conn *conn);
bool conn_is_pipelined(const struct rdmig_conn *conn);

/* ---- flight.c: what the hardware and the driver have in hand */
uint64_t slot_offset_bytes(bool is_send, uint32_t slot);
uint32_t flight_free_large(const struct rdmig_conn *conn);
uint32_t flight_free_small(const struct rdmig_conn *conn);
bool flight_next_recv(struct rdmig_conn *conn, struct rdmig_action *action);
int flight_received(struct rdmig_conn *conn, uint64_t tag, uint64_t length_bytes, uint32_t *slot);
/* *succeeded: an operation that the role is to hear of; untouched without one. */
int flight_completed(struct rdmig_conn *conn, const struct rdmig_event *event,
                     struct operation *succeeded);
void flight_free_recv(struct rdmig_conn *conn, uint32_t slot);
uint8_t *flight_send_bytes(struct rdmig_conn *conn, uint32_t slot);
void flight_send(struct rdmig_conn *conn, uint32_t slot, const struct wire_header *header,
                 struct rdmig_action *action);
void flight_write(struct rdmig_conn *conn, const struct span *span, struct rdmig_action *action);
void flight_probe(struct rdmig_conn *conn, struct rdmig_action *action);
uint32_t flight_room_count(const struct rdmig_conn *conn);
bool flight_can_post(const struct rdmig_conn *conn);
bool flight_overlaps(const struct rdmig_conn *conn, const struct span *span);
bool flight_has_writes(const struct rdmig_conn *conn);
bool flight_start(struct rdmig_conn *conn, enum operation_kind kind, uint32_t subject,
                  uint64_t *tag);
bool flight_is_empty(const struct rdmig_conn *conn);

/* ---- blocks.c */
int blocks_provide(struct rdmig_conn *conn, const struct rdmig_event *event);
const struct block *blocks_at(const struct rdmig_conn *conn, uint32_t block_index);
struct chunk blocks_chunk(const struct rdmig_conn *conn, uint32_t block_index,
                          uint32_t chunk_index);
void blocks_set_chunk(struct rdmig_conn *conn, uint32_t block_index, uint32_t chunk_index,
                      uint32_t value, uint32_t count);
void blocks_set_used(struct rdmig_conn *conn, uint32_t block_index, uint32_t chunk_index,
                     bool is_used);
void blocks_find_chunk(const struct rdmig_conn *conn, uint64_t number, uint32_t *block_index,
                       uint32_t *chunk_index);
uint64_t blocks_run_bytes(const struct rdmig_conn *conn, uint32_t block_index, uint32_t chunk_index,
                          uint32_t chunk_count);
void blocks_region_action(const struct rdmig_conn *conn, enum rdmig_action_kind kind,
                          uint32_t block_index, uint32_t chunk_index, uint32_t chunk_count,
                          struct rdmig_action *action);
bool span_overlaps(const struct span *a, const struct span *b);

/* ---- closing.c */
bool closing_next_action(struct rdmig_conn *conn, struct rdmig_action *action);
void closing_begin(struct rdmig_conn *conn, enum closing stage);
void closing_received(struct rdmig_conn *conn, const struct wire_header *header);
void closing_timeout(struct rdmig_conn *conn);
void closing_disconnected(struct rdmig_conn *conn);
void closing_advance(struct rdmig_conn *conn);

/* ---- source.c: the messages that come, and what the application asks for */
void source_init(struct rdmig_conn *conn);
void source_established(struct rdmig_conn *conn);
int source_event(struct rdmig_conn *conn, const struct rdmig_event *event);
enum source_state source_state(const struct rdmig_conn *conn);
void source_received(struct rdmig_conn *conn, uint32_t slot, const struct wire_header *header);
void source_completed(struct rdmig_conn *conn);
void source_exchange_done(struct rdmig_conn *conn);
bool source_can_finish(const struct rdmig_conn *conn);
bool source_awaits_delivery(const struct rdmig_conn *conn);
bool source_awaits_peer_close(const struct rdmig_conn *conn);
bool source_has_credit(const struct rdmig_conn *conn);
void source_take_credit(struct rdmig_conn *conn);

/* ---- commands.c: what the source sends, and what it has the driver do */
bool credits_may_send(const struct rdmig_conn *conn, uint32_t type);
bool commands_is_oldest(const struct rdmig_conn *conn, uint32_t type);
bool commands_is_round_ending(const struct rdmig_conn *conn);
struct command *commands_oldest(struct rdmig_conn *conn);
void commands_pop(struct rdmig_conn *conn);
/* work_bytes: of guest RAM or stream that the destination works on before it sends READY. */
void commands_send(struct rdmig_conn *conn, uint32_t slot, const struct wire_header *header,
                   uint64_t work_bytes, struct rdmig_action *action);
void commands_await(struct rdmig_conn *conn);
void source_operation_done(struct rdmig_conn *conn, const struct operation *operation);
bool source_next_action(struct rdmig_conn *conn, struct rdmig_action *action);

/* ---- ranges.c */
int ranges_push(struct rdmig_conn *conn, const struct rdmig_event *event);
struct range *ranges_at(struct rdmig_conn *conn, uint32_t position);
const struct range *ranges_front(struct rdmig_conn *conn);
bool ranges_next_write(struct rdmig_conn *conn, struct rdmig_action *action);
bool ranges_may_zero(struct rdmig_conn *conn, uint32_t position);
bool ranges_overlap(struct rdmig_conn *conn, uint32_t position, const struct span *span);
void ranges_zeroed(struct rdmig_conn *conn, uint32_t serial);
void ranges_unplan(struct rdmig_conn *conn, const struct span *span);

/* ---- registration.c */
bool registration_plan(struct rdmig_conn *conn, uint32_t *zero_position);
void registration_ask(struct rdmig_conn *conn, uint32_t slot, struct rdmig_action *action);
bool registration_next_local(struct rdmig_conn *conn, struct rdmig_action *action);
void registration_answered(struct rdmig_conn *conn, const uint8_t *data,
                           const struct wire_header *header);
void registration_local_done(struct rdmig_conn *conn, uint32_t subject);

/* ---- eviction.c: unregistering regions, and the limit on pinned memory */
int unregistration_begin(struct rdmig_conn *conn, const struct rdmig_event *event);
bool unregistration_is_wanted(const struct rdmig_conn *conn);
void unregistration_ask(struct rdmig_conn *conn, uint32_t slot, struct rdmig_action *action);
void unregistration_answered(struct rdmig_conn *conn, uint32_t entry_count);
bool unregistration_next_local(struct rdmig_conn *conn, struct rdmig_action *action);
void unregistration_local_done(struct rdmig_conn *conn, uint32_t subject);
uint32_t eviction_run_limit(const struct rdmig_conn *conn);
bool eviction_make_room(struct rdmig_conn *conn, uint64_t length_bytes, uint32_t position,
                        const struct span *planned);
void eviction_region_registered(struct rdmig_conn *conn, const struct run *run);

/* ---- destination.c, requests.c */
void destination_init(struct rdmig_conn *conn);
void destination_requested(struct rdmig_conn *conn);
int destination_event(struct rdmig_conn *conn, const struct rdmig_event *event);
void destination_received(struct rdmig_conn *conn, uint32_t slot, const struct wire_header *header);
void destination_operation_done(struct rdmig_conn *conn, const struct operation *operation,
                                uint32_t rkey);
void destination_disconnected(struct rdmig_conn *conn);
void destination_free_slot(struct rdmig_conn *conn);
bool destination_received_late(struct rdmig_conn *conn, uint32_t slot,
                               const struct wire_header *header);
bool destination_next_late(struct rdmig_conn *conn, struct rdmig_action *action);
bool destination_next_action(struct rdmig_conn *conn, struct rdmig_action *action);

enum rdmig_reason request_check(const struct rdmig_conn *conn, const struct wire_header *header,
                                const uint8_t *data, struct rdmig_failure *details);
bool request_next_action(struct rdmig_conn *conn, struct rdmig_action *action, bool *is_done);
void request_operation_done(struct rdmig_conn *conn, uint32_t rkey);

#endif
