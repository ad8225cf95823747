/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * rdmig core: QEMU's RDMA migration protocol, version 1, as a state machine without I/O.
 *
 * One input, one output. A driver feeds events (what has happened, with the time at which it did)
 * through rdmig_conn_step() and takes actions (what to do now, in this order) from
 * rdmig_conn_next_action() until it returns false. The core owns no thread, clock, descriptor or
 * heap; it never reads guest memory. The same events give the same actions, byte for byte.
 * docs/driver-guide.md shows a driver loop; docs/protocol.md holds the clauses named here.
 *
 * Who owns which byte
 *
 *   what               whose
 *   ----               -----
 *   connection memory  the caller's; lent to the core from init until deinit
 *   control memory     the caller's; lent to the core from init until deinit. It must be registered
 *                      with the hardware, for local writes, before the first POST_RECV
 *   table memory       the caller's; lent to the core from BLOCKS_PROVIDED until deinit
 *   list of blocks     the caller's; copied during BLOCKS_PROVIDED
 *   event.bytes        the caller's; read during the step only
 *   action.bytes       the core's, or a receive slot's; valid until the next step. DELIVER_STREAM's
 *                      stay valid until STREAM_CONSUMED has covered the whole message
 *   receive slot       the hardware's from POST_RECV until RECEIVED or COMPLETED, then the core's
 *   send slot          the core's until POST_SEND, then the hardware's until its COMPLETED
 *   guest RAM          the caller's, always. Hardware may read (source) or write (destination) any
 *                      byte of a registered region, until DEREGISTER or CLOSED
 *
 * Threads: a connection may be used by one thread at a time, no matter which; different connections
 * are independent. Functions without a connection may be called by any thread at any time.
 *
 * Versions: rdmig_conn_config carries its size. Events, actions, blocks, failures and counters do
 * not: should they change, the functions that take them get another symbol version, and a driver is
 * compiled anew. Pointers to connections, and those marked out, must not be NULL.
 */
#ifndef RDMIG_CORE_H
#define RDMIG_CORE_H

#include <rdmig/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Constants are literals: a generator of bindings reads nothing else. */
#define RDMIG_CHUNK_BYTES            1048576ull /* clause R1 */
#define RDMIG_MESSAGE_BYTES_MAX      524288u    /* header included; clause W4 */
#define RDMIG_HEADER_BYTES           16u        /* clause W3 */
#define RDMIG_STREAM_BYTES_MAX       (RDMIG_MESSAGE_BYTES_MAX - RDMIG_HEADER_BYTES)
#define RDMIG_REPEAT_MAX             4096u /* clause W5 */
#define RDMIG_PRIVATE_DATA_BYTES     8u    /* clause W1 */
#define RDMIG_PRIVATE_DATA_BYTES_MAX 24u   /* with PIPELINE: clause W11 */
#define RDMIG_CREDIT_COUNT_MAX       4u    /* commands outstanding with PIPELINE: clause C16 */
/* A source may have an answer and a READY coming for each command, and an ERROR. */
#define RDMIG_RECV_SLOT_COUNT          (2u * RDMIG_CREDIT_COUNT_MAX + 1u)
#define RDMIG_SEND_QUEUE_MIN           16u
#define RDMIG_SEND_QUEUE_MAX           4096u
#define RDMIG_RANGE_QUEUE_COUNT        64u
#define RDMIG_REGISTER_BATCH_MAX       64u /* runs that our source puts into one REGISTER_REQUEST */
#define RDMIG_NO_DEADLINE              0xffffffffffffffffull
#define RDMIG_CONTROL_MEMORY_ALIGNMENT 64u

/* Capability flags of the private data (clause W2). */
#define RDMIG_CAPABILITY_PIN_ALL 0x1u
/* Between our own ends: clauses W11, C16 to C18, R12. */
#define RDMIG_CAPABILITY_PIPELINE 0x10000u

enum rdmig_role { RDMIG_ROLE_SOURCE, RDMIG_ROLE_DESTINATION };

/* Message types as they stand on the wire (clause W6). */
enum rdmig_message_type {
    RDMIG_MESSAGE_NONE = 0,
    RDMIG_MESSAGE_ERROR = 1,
    RDMIG_MESSAGE_READY = 2,
    RDMIG_MESSAGE_QEMU_FILE = 3,
    RDMIG_MESSAGE_RAM_BLOCKS_REQUEST = 4,
    RDMIG_MESSAGE_RAM_BLOCKS_RESULT = 5,
    RDMIG_MESSAGE_COMPRESS = 6,
    RDMIG_MESSAGE_REGISTER_REQUEST = 7,
    RDMIG_MESSAGE_REGISTER_RESULT = 8,
    RDMIG_MESSAGE_REGISTER_FINISHED = 9,
    RDMIG_MESSAGE_UNREGISTER_REQUEST = 10,
    RDMIG_MESSAGE_UNREGISTER_FINISHED = 11,
    RDMIG_MESSAGE_TYPE_COUNT = 12
};

enum rdmig_phase {
    RDMIG_PHASE_IDLE, /* made, not started */
    /* Source: CONNECT given. Destination: waiting for a request, or accepted. */
    RDMIG_PHASE_CONNECTING,
    RDMIG_PHASE_RUNNING, /* established */
    /* The application is done; the connection is being taken down in order. */
    RDMIG_PHASE_FINISHING,
    RDMIG_PHASE_FAILING, /* a first cause is known; ERROR, DISCONNECT, outstanding tags */
    RDMIG_PHASE_CLOSED,  /* no tag is outstanding; the connection can be deinitialised */
    RDMIG_PHASE_COUNT
};

/* The first cause. What does not apply is 0. */
struct rdmig_failure {
    enum rdmig_reason reason;
    enum rdmig_phase phase;               /* in which it happened */
    enum rdmig_message_type message_type; /* the message at fault, or NONE */
    uint32_t block_index;                 /* the block at fault, or UINT32_MAX */
    uint64_t expected;                    /* a number that the reason compares, and */
    uint64_t actual;                      /* what came */
    /* From the event that failed: errno or the adapter's completion status. */
    int32_t os_code;
};

/*
 * What a connection is to do. Members left at 0 mean what stands in brackets. All times are in
 * nanoseconds; 0 switches a limit off. Read during init only.
 */
struct rdmig_conn_config {
    /* sizeof(struct rdmig_conn_config), as the driver was compiled: from the first release's on any
     * is taken. What a shorter one lacks is 0; what this version does not know must be 0. */
    size_t struct_bytes;
    enum rdmig_role role;
    uint32_t capability_flags; /* source: offered. destination: granted when asked for. */
    uint32_t run_chunk_count;  /* chunks in one registration at most, up to 32768 [64] */
    /* Source: chunks in the first registration at most [4]; the largest so far may be doubled each
     * time. Nothing can be written before the first is made, and each is made while what was
     * registered before it is written. */
    uint32_t first_run_chunk_count;
    /* Runs in one REGISTER_REQUEST at most [1], up to RDMIG_REGISTER_BATCH_MAX; with PIPELINE
     * always that. */
    uint32_t register_batch_count;
    uint32_t send_queue_depth;     /* work requests that may be outstanding [256] */
    uint32_t signal_interval;      /* writes between two signalled ones at most [64] */
    uint32_t stream_message_bytes; /* of the stream in a QEMU_FILE [RDMIG_STREAM_BYTES_MAX] */
    uint64_t write_bytes_max;      /* bytes in one RDMA Write, up to 1 GiB [4 MiB] */
    /* Bytes of RDMA Writes posted and not completed, unless it is a single one: what a command has
     * to wait behind [32 MiB]. */
    uint64_t flight_bytes_max;
    /* Bytes of guest RAM registered at a time at most [no limit]. Clauses R13, R14. */
    uint64_t pinned_bytes_max;
    /* Source: sum of its blocks' lengths, for a destination that has to decide on PIN_ALL [not
     * known]. */
    uint64_t ram_bytes;
    uint64_t connect_timeout_ns;
    /* For READY, an answer, a completion; on top comes the time for what the peer has to pin, fill
     * or load for it (clause E14). */
    uint64_t reply_timeout_ns;
    /* Silence after which the peer's hardware is asked whether it lives (clause C13). */
    uint64_t probe_interval_ns;
    /* Destination: silence after which the source is given up; from the exchange of the blocks on
     * it, too, has the time for all RAM on top. */
    uint64_t idle_timeout_ns;
    uint64_t close_timeout_ns; /* for each step of the closing, which must end [2 s] */
    /* Source, FINISH_REQUESTED: how long the destination may take to disconnect first, 0: it is not
     * waited for; nor is one that has agreed on PIPELINE. The time for all RAM comes on top. Clause
     * E13. */
    uint64_t leave_timeout_ns;
};

/* A RAM block as the core knows it. Order = the order of the names in the stream (clause B2). */
struct rdmig_block {
    uint64_t host_addr;    /* its address in this process; goes on the wire from a destination */
    uint64_t length_bytes; /* > 0 */
    /* Destination: its place in the destination's ram_addr space (clause B3). */
    uint64_t ram_offset_bytes;
};

/* What has happened. Which members of struct rdmig_event go with it stands behind the colon. */
enum rdmig_event_kind {
    /* Nothing but the time: harmless at any moment. Only it lets a limit expire: feed what has
     * arrived first. */
    RDMIG_EVENT_TIME_PASSED,
    /* From the driver. */
    RDMIG_EVENT_STARTED,           /* a queue pair exists; a source connects now */
    RDMIG_EVENT_CONNECT_REQUESTED, /* destination: bytes, length: the private data as it came */
    RDMIG_EVENT_ESTABLISHED,       /* source: bytes, length: the private data as it came */
    /* Connecting failed: os_code; status REJECTED when the peer refused. */
    RDMIG_EVENT_UNREACHABLE,
    /* The peer, or the device, is gone. Feed pending completions first. */
    RDMIG_EVENT_DISCONNECTED,
    RDMIG_EVENT_RECEIVED,  /* tag, length: bytes that arrived in the slot */
    RDMIG_EVENT_COMPLETED, /* tag, status, os_code; rkey for a REGISTER that succeeded */
    /* From the application, both roles. */
    RDMIG_EVENT_BLOCKS_PROVIDED, /* blocks, block_count, memory, length: table memory */
    /* Done: take the connection down in order. It cannot fail any more, but that a source may hear
     * an ERROR while the destination is still to disconnect (clause E13). */
    RDMIG_EVENT_FINISH_REQUESTED,
    RDMIG_EVENT_CANCEL_REQUESTED, /* give up; os_code is kept in the failure */
    /* From the application, source. */
    RDMIG_EVENT_EXCHANGE_REQUESTED, /* send RAM_BLOCKS_REQUEST, once */
    RDMIG_EVENT_STREAM_WRITTEN,     /* bytes, length <= rdmig_conn_stream_room_bytes() */
    RDMIG_EVENT_FLUSH_REQUESTED,    /* flush: how far; answered by NOTIFY_FLUSHED */
    RDMIG_EVENT_RANGE_PUSHED, /* block_index, offset_bytes, length, register_end_bytes, is_zero */
    RDMIG_EVENT_ROUND_CLOSED, /* no more ranges: REGISTER_FINISHED when every write is done */
    RDMIG_EVENT_UNREGISTER_REQUESTED, /* block_index, chunk_index: the region that starts there */
    /* From the application, destination. */
    RDMIG_EVENT_STREAM_CONSUMED, /* length: bytes of the delivered message that are done with */
    RDMIG_EVENT_KIND_COUNT
};

enum rdmig_status {
    RDMIG_STATUS_OK,
    RDMIG_STATUS_ERROR,
    RDMIG_STATUS_FLUSHED, /* given back undone, since the connection is going or gone */
    RDMIG_STATUS_REJECTED,
    /* A RECV: the peer used it up with what is no plain SEND; os_code: what the hardware says it
     * was. Clause W12. */
    RDMIG_STATUS_FOREIGN
};

enum rdmig_flush {
    RDMIG_FLUSH_DELIVERED, /* until the bytes are in the destination's memory */
    RDMIG_FLUSH_CONSUMED   /* until the destination has sent READY after consuming them */
};

/* One input. Members that do not go with the kind are not looked at. */
struct rdmig_event {
    enum rdmig_event_kind kind;
    uint64_t now_ns; /* any clock that does not go backwards */
    uint64_t tag;
    const void *bytes;
    uint64_t length; /* in bytes */
    uint64_t offset_bytes;
    /* RANGE_PUSHED: registrations made for this range may reach as far as this offset, since the
     * caller expects to push up to there in this round; 0 or less than the range's end: the range's
     * own end. */
    uint64_t register_end_bytes;
    uint32_t block_index;
    uint32_t chunk_index;
    uint32_t rkey;
    int32_t os_code;
    enum rdmig_status status;
    enum rdmig_flush flush;
    bool is_zero; /* the range is all zero: COMPRESS instead of an RDMA Write (clause C9) */
    void *memory;
    const struct rdmig_block *blocks;
    uint32_t block_count;
};

/*
 * What to do now. Which members of struct rdmig_action go with it stands behind the colon. Actions
 * marked (tag) are answered by exactly one COMPLETED (or, for POST_RECV, RECEIVED) with that tag,
 * also when they could not be carried out (clause E9). One exception keeps the hardware quiet: a
 * POST_WRITE that is not signalled needs no answer when it succeeds; the OK of any later POST_SEND
 * or POST_WRITE stands for it (queue pairs complete in order).
 */
enum rdmig_action_kind {
    RDMIG_ACTION_POST_RECV, /* (tag) memory_offset_bytes, length: into control memory */
    RDMIG_ACTION_CONNECT,   /* bytes, length: private data */
    RDMIG_ACTION_ACCEPT,    /* bytes, length: private data */
    RDMIG_ACTION_REJECT,    /* bytes, length: private data */
    /* (tag) memory_offset_bytes, length: from control memory; always signalled. */
    RDMIG_ACTION_POST_SEND,
    /* (tag) block_index, offset_bytes, length, region, remote_addr, rkey, is_signalled. */
    RDMIG_ACTION_POST_WRITE,
    /* (tag) an RDMA Write of no bytes: completes if the peer's hardware lives. */
    RDMIG_ACTION_POST_PROBE,
    RDMIG_ACTION_REGISTER, /* (tag) region, block_index, offset_bytes, length, is_remote_writable */
    RDMIG_ACTION_DEREGISTER, /* (tag) region */
    RDMIG_ACTION_DISCONNECT, /* leave, do not wait; all posted work comes back as COMPLETED */
    /* It did not: destroy the queue pair and complete every outstanding tag with FLUSHED. */
    RDMIG_ACTION_ABANDON,
    /* For the application. */
    RDMIG_ACTION_NOTIFY_ESTABLISHED,      /* capability_flags: what was agreed on */
    RDMIG_ACTION_NOTIFY_BLOCKS_EXCHANGED, /* source: ranges can be pushed */
    RDMIG_ACTION_NOTIFY_FLUSHED, /* source; also while failing: then the bytes had arrived before */
    /* Source: every write is done and REGISTER_FINISHED is on its way. */
    RDMIG_ACTION_NOTIFY_ROUND_ENDED,
    RDMIG_ACTION_NOTIFY_UNREGISTERED, /* source: region */
    RDMIG_ACTION_REQUEST_BLOCKS,      /* destination: answer with BLOCKS_PROVIDED */
    /* Destination: bytes, length; answer with STREAM_CONSUMED, in any portions. Also while failing
     * (clause E12): without answer then, the bytes stay until deinit. */
    RDMIG_ACTION_DELIVER_STREAM,
    RDMIG_ACTION_FILL_RANGE, /* destination: (tag) block_index, offset_bytes, length, fill_value */
    /* Destination: (tag) REGISTER_FINISHED has come; READY goes out after the answer. */
    RDMIG_ACTION_END_ROUND,
    /* Destination: the peer left, all it sent is consumed: FINISH_REQUESTED or CANCEL_REQUESTED. */
    RDMIG_ACTION_NOTIFY_PEER_ENDED,
    RDMIG_ACTION_NOTIFY_CLOSED, /* last action of all */
    RDMIG_ACTION_KIND_COUNT
};

/* One output. Members that do not go with the kind are 0. */
struct rdmig_action {
    enum rdmig_action_kind kind;
    uint64_t tag;
    const void *bytes;
    uint64_t length;
    uint64_t memory_offset_bytes;
    uint64_t offset_bytes;
    uint64_t remote_addr;
    uint32_t block_index;
    /* Names a memory region: the number of its first chunk, counted over all blocks. */
    uint32_t region;
    uint32_t rkey;
    uint32_t capability_flags;
    uint8_t fill_value;
    bool is_signalled;
    bool is_remote_writable;
};

/* Counters since init; for progress and reports. What one role does not count is 0. */
struct rdmig_conn_counters {
    uint64_t bytes_written;    /* source: by RDMA Writes that have completed */
    uint64_t bytes_zero;       /* by COMPRESS */
    uint64_t bytes_stream;     /* in QEMU_FILE messages */
    uint64_t control_messages; /* sent and received */
    uint64_t control_bytes;    /* in them, headers and stream included */
    /* Source: commands that were sent with no other outstanding, or had to wait for a credit: all
     * of them without PIPELINE. */
    uint64_t round_trips;
    uint64_t registrations; /* memory regions made for RAM */
    uint64_t writes;        /* RDMA Writes posted */
    uint64_t rounds;        /* REGISTER_FINISHED sent or received */
    /* Source: nanoseconds in which data was queued or in flight, by the times of the events: what
     * bytes_written took, without the looking for data and without a cap's pauses. */
    uint64_t data_ns;
};

/* A connection; only the core knows its inside. */
struct rdmig_conn;

/*
 * Bytes of connection memory that this configuration needs, the same on every call; it does not
 * depend on the size of the guest. The memory must be aligned for uint64_t. 0: a member is outside
 * its limits, or config is NULL; correct the configuration. Any thread.
 */
size_t rdmig_conn_footprint_bytes(const struct rdmig_conn_config *config);

/* Bytes of control memory: message slots that the hardware reads and writes, some 6 MiB, for every
 * configuration. Aligned to RDMIG_CONTROL_MEMORY_ALIGNMENT. Any thread. */
size_t rdmig_conn_control_bytes(void);

/*
 * Bytes of table memory for these blocks: 7 a chunk and some 48 a block (7 MiB a TiB), aligned for
 * uint64_t. The list is read during the call. 0: it is not usable (no block, more than
 * RDMIG_BLOCK_COUNT_MAX, a length of 0, chunk numbers beyond 32 bits, address or offset running
 * over 64 bits). Any thread.
 */
size_t rdmig_blocks_footprint_bytes(const struct rdmig_block *blocks, uint32_t block_count);

/*
 * Makes a connection in memory_bytes of memory, with control_bytes of control_memory; config is
 * copied. now_ns: any clock that does not go backwards, the same for all events. Returns 0: *out is
 * the connection, in phase IDLE, and both memories are its own until deinit. -INVALID: the
 * configuration is outside its limits, or a memory is too small or misaligned; *out is NULL, and
 * the memories are the caller's. Any thread.
 */
int rdmig_conn_init(struct rdmig_conn **out, const struct rdmig_conn_config *config, void *memory,
                    size_t memory_bytes, void *control_memory, size_t control_bytes,
                    uint64_t now_ns);

/*
 * The only input; event, and what it points to, is read during the call (but for table memory).
 * Take the actions afterwards. What is refused has changed nothing but the time (clause E1). A
 * peer's or the hardware's misbehaviour is no refusal: the step is taken and the connection fails
 * (clause E2).
 *
 *   0         taken
 *   -AGAIN    no room (STREAM_WRITTEN, RANGE_PUSHED), or the region is in use
 *             (UNREGISTER_REQUESTED): drain the actions, feed completions, try again
 *   -STATE    not in this phase or role: correct the driver
 *   -INVALID  an argument outside its limits, or a tag that is not outstanding: likewise. Only a
 *             second FLUSHED for a silent POST_WRITE may be refused in good order
 *   -FAILED   an application event on a failed connection: see rdmig_conn_failure(); NOTIFY_CLOSED
 *             comes by itself
 */
int rdmig_conn_step(struct rdmig_conn *conn, const struct rdmig_event *event);

/* The only output. True: *action must be carried out now, before any later one. False: nothing to
 * do until the next step. */
bool rdmig_conn_next_action(struct rdmig_conn *conn, struct rdmig_action *action);

/* When to step with TIME_PASSED at the latest, by the clock of the events; RDMIG_NO_DEADLINE:
 * never. Changes with every step and action. */
uint64_t rdmig_conn_deadline_ns(const struct rdmig_conn *conn);

/* Where the connection stands; CLOSED from NOTIFY_CLOSED on. */
enum rdmig_phase rdmig_conn_phase(const struct rdmig_conn *conn);

/* The first cause, from the moment the connection fails; NULL: it has not. The connection's, until
 * deinit. Clause E2. */
const struct rdmig_failure *rdmig_conn_failure(const struct rdmig_conn *conn);

/* RDMIG_CAPABILITY_*: what both have agreed on; 0 before ESTABLISHED (source) or CONNECT_REQUESTED
 * (destination). Clause W2. */
uint32_t rdmig_conn_capability_flags(const struct rdmig_conn *conn);
/* RDMIG_CAPABILITY_*: what the source offered: a source's own configuration; at a destination 0
 * before CONNECT_REQUESTED. Clause W2. */
uint32_t rdmig_conn_offered_flags(const struct rdmig_conn *conn);

/* Source: stream bytes that STREAM_WRITTEN takes now; 0: none at the moment (a later step may make
 * room), and at a destination. Clause S1. */
uint64_t rdmig_conn_stream_room_bytes(const struct rdmig_conn *conn);

/* Source: ranges that RANGE_PUSHED takes now, up to RDMIG_RANGE_QUEUE_COUNT; 0 likewise. */
uint32_t rdmig_conn_range_room_count(const struct rdmig_conn *conn);

/* Source: bytes pushed but not yet completed as writes or consumed as COMPRESS; at a destination
 * 0. */
uint64_t rdmig_conn_bytes_pending(const struct rdmig_conn *conn);

/* Fills *out with the counters so far, in any phase. */
void rdmig_conn_counters(const struct rdmig_conn *conn, struct rdmig_conn_counters *out);

/* For tests: checks every invariant the core knows of itself; NULL: all hold, otherwise the name of
 * the one that does not: a fault of the core or of its driver. The string is the core's. */
const char *rdmig_conn_check(const struct rdmig_conn *conn);

/* Ends the connection's use of its memories, which are the caller's again. Returns 0; -STATE but in
 * IDLE and CLOSED, since hardware may own slots: destroy the queue pair first, or go on. */
int rdmig_conn_deinit(struct rdmig_conn *conn);

/* "RUNNING": for people, logs and reports; never NULL, "unknown" outside the enum. Any thread. */
const char *rdmig_phase_name(enum rdmig_phase phase);
/* "READY"; likewise, for what stands in a message's header. */
const char *rdmig_message_name(uint32_t message_type);
/* "STARTED"; likewise. */
const char *rdmig_event_name(enum rdmig_event_kind kind);
/* "POST_RECV"; likewise. */
const char *rdmig_action_name(enum rdmig_action_kind kind);

/*
 * One line of text, no pointers: the event's name and what goes with its kind, always terminated
 * when capacity_bytes > 0 (text may be NULL otherwise); returns the full line's length, like
 * snprintf. No line is longer than 255 bytes. Equal lines mean equal events, payload bytes
 * excepted. Any thread.
 */
size_t rdmig_event_format(const struct rdmig_event *event, char *text, size_t capacity_bytes);
/* The same for an action. */
size_t rdmig_action_format(const struct rdmig_action *action, char *text, size_t capacity_bytes);
/* The same for a message as it goes over the wire, of length_bytes bytes: its type, how many
 * entries it says it has (repeat), its length, and, of one that no connection takes, the reason.
 * The bytes are read during the call; no more than the header is looked at. Clause W3. */
size_t rdmig_message_format(const void *bytes, uint64_t length_bytes, char *text,
                            size_t capacity_bytes);

#ifdef __cplusplus
}
#endif
#endif
