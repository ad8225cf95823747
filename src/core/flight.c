/* SPDX-License-Identifier: BSD-2-Clause */
/* What the hardware and the driver have in hand: message slots, the send queue, operations, and the
 * tags for them. */
#include "internal.h"

/* A tag names the kind of what is outstanding, its place and the generation, which tells an old
 * use of the place from a new one. */
enum { TAG_RECV = 1, TAG_WORK = 2, TAG_OPERATION = 3 };
#define TAG_KIND_SHIFT 56
#define TAG_VALUE_MASK ((UINT64_C(1) << TAG_KIND_SHIFT) - 1)
#define TAG_INDEX_BITS 16

static uint64_t make_tag(uint64_t kind, uint64_t value)
{
    return kind << TAG_KIND_SHIFT | (value & TAG_VALUE_MASK);
}

static uint64_t make_indexed_tag(uint64_t kind, uint32_t index, uint32_t generation)
{
    return make_tag(kind, (uint64_t)generation << TAG_INDEX_BITS | index);
}

uint64_t slot_offset_bytes(bool is_send, uint32_t slot)
{
    const uint32_t large_count =
        slot < SEND_SLOT_LARGE_COUNT || !is_send ? slot : SEND_SLOT_LARGE_COUNT;

    return (uint64_t)((is_send ? RDMIG_RECV_SLOT_COUNT : 0) + large_count) *
               RDMIG_MESSAGE_BYTES_MAX +
           (uint64_t)(slot - large_count) * SMALL_MESSAGE_BYTES;
}

uint8_t *flight_send_bytes(struct rdmig_conn *conn, uint32_t slot)
{
    if (CORE_NEVER(conn, slot >= SEND_SLOT_COUNT))
        slot = 0;
    return conn->control + slot_offset_bytes(true, slot);
}

static inline uint32_t send_slot_bytes(uint32_t slot)
{
    if (slot < SEND_SLOT_LARGE_COUNT)
        return RDMIG_MESSAGE_BYTES_MAX;
    return slot == SEND_SLOT_ERROR ? RDMIG_HEADER_BYTES : SMALL_MESSAGE_BYTES;
}

static uint32_t free_send_slot(const struct rdmig_conn *conn, uint32_t first, uint32_t count)
{
    for (uint32_t i = first; i < first + count; i++) {
        if (conn->send_slots[i].state == SLOT_FREE)
            return i;
    }
    return NO_SLOT;
}

uint32_t flight_free_large(const struct rdmig_conn *conn)
{
    return free_send_slot(conn, 0, SEND_SLOT_LARGE_COUNT);
}

/* One for each command that may be outstanding. */
uint32_t flight_free_small(const struct rdmig_conn *conn)
{
    return free_send_slot(conn, SEND_SLOT_LARGE_COUNT, conn->credit_max);
}

/* ---- receive slots */

/* What may come before one of ours is free again (clause C16): at the source an answer and a READY
 * for each command, at the destination the commands; and an ERROR. */
static uint32_t recv_slot_count(const struct rdmig_conn *conn)
{
    if ((conn->config.capability_flags & RDMIG_CAPABILITY_PIPELINE) == 0)
        return RECV_SLOT_COUNT_STOCK;
    return conn->config.role == RDMIG_ROLE_SOURCE ? RDMIG_RECV_SLOT_COUNT
                                                  : RDMIG_CREDIT_COUNT_MAX + 1;
}

bool flight_next_recv(struct rdmig_conn *conn, struct rdmig_action *action)
{
    const uint32_t count = recv_slot_count(conn);

    for (uint32_t i = 0; i < count; i++) {
        struct slot *slot = &conn->recv_slots[i];

        if (slot->state != SLOT_FREE)
            continue;
        slot->state = SLOT_HARDWARE;
        slot->generation++;
        action->kind = RDMIG_ACTION_POST_RECV;
        action->tag = make_indexed_tag(TAG_RECV, i, slot->generation);
        action->memory_offset_bytes = slot_offset_bytes(false, i);
        action->length = RDMIG_MESSAGE_BYTES_MAX;
        return true;
    }
    return false;
}

void flight_free_recv(struct rdmig_conn *conn, uint32_t slot)
{
    if (CORE_NEVER(conn,
                   slot >= RDMIG_RECV_SLOT_COUNT || conn->recv_slots[slot].state != SLOT_READING))
        return;
    conn->recv_slots[slot].state = SLOT_FREE;
}

static struct slot *find_recv(struct rdmig_conn *conn, uint64_t tag, uint32_t *index)
{
    for (uint32_t i = 0; i < RDMIG_RECV_SLOT_COUNT; i++) {
        struct slot *slot = &conn->recv_slots[i];

        if (slot->state == SLOT_HARDWARE &&
            tag == make_indexed_tag(TAG_RECV, i, slot->generation)) {
            *index = i;
            return slot;
        }
    }
    return NULL;
}

int flight_received(struct rdmig_conn *conn, uint64_t tag, uint64_t length_bytes, uint32_t *slot)
{
    struct slot *found = find_recv(conn, tag, slot);

    if (!found || length_bytes > RDMIG_MESSAGE_BYTES_MAX)
        return -RDMIG_E_INVALID;
    found->state = SLOT_READING;
    conn->recv_bytes[*slot] = (uint32_t)length_bytes;
    return RDMIG_OK;
}

/* ---- send queue */

static struct work *work_at(const struct rdmig_conn *conn, uint64_t number)
{
    return &conn->works[number % conn->config.send_queue_depth];
}

uint32_t flight_room_count(const struct rdmig_conn *conn)
{
    const uint64_t out_count = conn->work_head - conn->work_tail;

    if (CORE_NEVER(conn, out_count > conn->config.send_queue_depth))
        return 0;
    return conn->config.send_queue_depth - (uint32_t)out_count;
}

bool flight_can_post(const struct rdmig_conn *conn)
{
    return flight_room_count(conn) > 0 && !conn_awaits_error_cause(conn);
}

/* Returns its tag; 0: what cannot be. */
static uint64_t post_work(struct rdmig_conn *conn, const struct work *work)
{
    const uint64_t number = conn->work_head;

    if (CORE_NEVER(conn, flight_room_count(conn) == 0))
        return 0;
    if (conn->work_head == conn->work_tail)
        conn_arm(conn, TIMER_SEND, conn->config.reply_timeout_ns);
    *work_at(conn, number) = *work;
    conn->work_head++;
    return make_tag(TAG_WORK, number);
}

void flight_send(struct rdmig_conn *conn, uint32_t slot, const struct wire_header *header,
                 struct rdmig_action *action)
{
    const struct work work = {.kind = WORK_SEND, .slot = slot, .message_type = header->type};

    if (CORE_NEVER(conn, slot >= SEND_SLOT_COUNT || conn->send_slots[slot].state == SLOT_HARDWARE ||
                             header->length_bytes > send_slot_bytes(slot) - RDMIG_HEADER_BYTES))
        return;
    wire_write_header(flight_send_bytes(conn, slot), header);
    conn->send_slots[slot].state = SLOT_HARDWARE;
    conn->counters.control_messages++;
    conn->counters.control_bytes += (uint64_t)RDMIG_HEADER_BYTES + header->length_bytes;
    action->kind = RDMIG_ACTION_POST_SEND;
    action->memory_offset_bytes = slot_offset_bytes(true, slot);
    action->length = (uint64_t)RDMIG_HEADER_BYTES + header->length_bytes;
    action->is_signalled = true;
    action->tag = post_work(conn, &work);
}

/* Counts a write in or out of the hash of chunks in flight. */
static void hash_span(struct rdmig_conn *conn, const struct span *span, uint16_t step)
{
    const uint64_t first = blocks_at(conn, span->block_index)->first_chunk;
    const uint64_t last = (span->end_bytes - 1) / RDMIG_CHUNK_BYTES;

    for (uint64_t chunk = span->start_bytes / RDMIG_CHUNK_BYTES; chunk <= last; chunk++) {
        uint16_t *count = &conn->flight_hash[(first + chunk) % FLIGHT_HASH_COUNT];

        if (CORE_NEVER(conn, *count == (step == 1 ? UINT16_MAX : 0)))
            return;
        *count = (uint16_t)(*count + step);
    }
}

/* Does the span lie behind the last write posted? */
static bool is_behind_last(const struct rdmig_conn *conn, const struct span *span)
{
    const struct span *last = &conn->last_write;

    return span->block_index > last->block_index ||
           (span->block_index == last->block_index && span->start_bytes >= last->end_bytes);
}

void flight_write(struct rdmig_conn *conn, const struct span *span, struct rdmig_action *action)
{
    const struct work work = {.kind = WORK_WRITE, .span = *span};

    if (CORE_NEVER(conn, span->start_bytes >= span->end_bytes ||
                             span->end_bytes > blocks_at(conn, span->block_index)->length_bytes))
        return;
    if (!is_behind_last(conn, span))
        conn->ascending_from = conn->work_head;
    conn->last_write = *span;
    hash_span(conn, span, 1);
    conn->u.source.flight_bytes += span->end_bytes - span->start_bytes;
    conn->counters.writes++;
    action->tag = post_work(conn, &work);
}

void flight_probe(struct rdmig_conn *conn, struct rdmig_action *action)
{
    const struct work work = {.kind = WORK_PROBE};

    action->kind = RDMIG_ACTION_POST_PROBE;
    action->is_signalled = true;
    action->tag = post_work(conn, &work);
}

bool span_overlaps(const struct span *a, const struct span *b)
{
    return a->block_index == b->block_index && a->start_bytes < b->end_bytes &&
           b->start_bytes < a->end_bytes;
}

bool flight_overlaps(const struct rdmig_conn *conn, const struct span *span)
{
    const uint64_t first = blocks_at(conn, span->block_index)->first_chunk;
    const uint64_t last = (span->end_bytes - 1) / RDMIG_CHUNK_BYTES;
    bool may_touch = false;

    /* A round goes through memory in order: what lies behind all that is in flight touches none. */
    if (conn->work_tail >= conn->ascending_from && is_behind_last(conn, span))
        return false;
    /* Nearly always nothing is in flight there: the hash says so without a look at the queue. */
    for (uint64_t chunk = span->start_bytes / RDMIG_CHUNK_BYTES, looks = 0;
         chunk <= last && looks < FLIGHT_HASH_COUNT && !may_touch; chunk++, looks++)
        may_touch = conn->flight_hash[(first + chunk) % FLIGHT_HASH_COUNT] != 0;
    for (uint64_t i = conn->work_tail; may_touch && i < conn->work_head; i++) {
        const struct work *work = work_at(conn, i);

        if (work->kind == WORK_WRITE && span_overlaps(&work->span, span))
            return true;
    }
    return false;
}

bool flight_has_writes(const struct rdmig_conn *conn)
{
    for (uint64_t i = conn->work_tail; i < conn->work_head; i++) {
        if (work_at(conn, i)->kind == WORK_WRITE)
            return true;
    }
    return false;
}

/* What is queued holds what is in flight. */
static inline bool is_pending(const struct source *source, uint64_t length_bytes)
{
    return source->flight_bytes >= length_bytes && source->bytes_pending >= length_bytes &&
           source->data_bytes_pending >= length_bytes;
}

/* Takes the oldest entry out; is_done tells whether it is known to have succeeded. */
static void retire_oldest(struct rdmig_conn *conn, bool is_done)
{
    const struct work work = *work_at(conn, conn->work_tail);

    if (CORE_NEVER(conn, conn->work_tail == conn->work_head))
        return;
    conn->work_tail++;
    if (work.kind == WORK_WRITE) {
        const uint64_t length_bytes = work.span.end_bytes - work.span.start_bytes;

        if (CORE_NEVER(conn, !is_pending(&conn->u.source, length_bytes)))
            return;
        hash_span(conn, &work.span, UINT16_MAX); /* minus one */
        conn->u.source.flight_bytes -= length_bytes;
        conn->u.source.is_eviction_blocked = false;
        conn->u.source.bytes_pending -= length_bytes;
        conn->u.source.data_bytes_pending -= length_bytes;
        if (conn->u.source.data_bytes_pending == 0)
            conn->counters.data_ns += conn->now_ns - conn->u.source.data_since_ns;
        if (is_done)
            conn->counters.bytes_written += length_bytes;
    } else if (work.kind == WORK_SEND) {
        if (CORE_NEVER(conn, conn->send_slots[work.slot].state != SLOT_HARDWARE))
            return;
        conn->send_slots[work.slot].state = SLOT_FREE;
        if (work.message_type == RDMIG_MESSAGE_QEMU_FILE) {
            if (CORE_NEVER(conn, conn->stream_sends_outstanding == 0))
                return;
            conn->stream_sends_outstanding--;
            conn->is_stream_lost = conn->is_stream_lost || !is_done;
        }
    }
}

static void work_failed(struct rdmig_conn *conn, const struct work *work,
                        const struct rdmig_event *event)
{
    struct rdmig_failure details = {.block_index = NO_BLOCK, .os_code = event->os_code};

    if (conn_is_peer_gone(conn))
        return; /* the peer has left: no fault, what has arrived still counts (clause E7) */
    if (event->status == RDMIG_STATUS_FLUSHED) {
        /* Somebody else's fault, and that completion may be in the other queue (clause E8). */
        conn_await_error_cause(conn);
        return;
    }
    details.message_type = (enum rdmig_message_type)work->message_type;
    if (work->kind == WORK_WRITE) {
        details.block_index = work->span.block_index;
        details.expected = work->span.start_bytes;
        details.actual = work->span.end_bytes;
    }
    conn_fail(conn, work->kind == WORK_WRITE ? RDMIG_REASON_WRITE_FAILED : RDMIG_REASON_SEND_FAILED,
              &details);
}

/* A completion stands for everything posted before it (clause C12); a SEND's own one is its only
 * proof. */
static int work_completed(struct rdmig_conn *conn, uint64_t number, const struct rdmig_event *event)
{
    const struct work work = *work_at(conn, number);

    if (number < conn->work_tail || number >= conn->work_head)
        return -RDMIG_E_INVALID;
    while (conn->work_tail <= number) {
        const bool is_silent =
            conn->work_tail < number && work_at(conn, conn->work_tail)->kind == WORK_WRITE;

        retire_oldest(conn, event->status == RDMIG_STATUS_OK || is_silent);
    }
    if (conn->work_tail == conn->work_head)
        conn_disarm(conn, TIMER_SEND);
    else
        conn_arm(conn, TIMER_SEND, conn->config.reply_timeout_ns);
    if (event->status == RDMIG_STATUS_OK)
        conn_note_activity(conn);
    else
        work_failed(conn, &work, event);
    return RDMIG_OK;
}

/* ---- operations */

bool flight_start(struct rdmig_conn *conn, enum operation_kind kind, uint32_t subject,
                  uint64_t *tag)
{
    if (CORE_NEVER(conn, kind == OPERATION_NONE))
        return false;
    for (uint32_t i = 0; i < OPERATION_COUNT; i++) {
        struct operation *operation = &conn->operations[i];

        if (operation->kind != OPERATION_NONE)
            continue;
        operation->kind = kind;
        operation->subject = subject;
        operation->generation++;
        *tag = make_indexed_tag(TAG_OPERATION, i, operation->generation);
        return true;
    }
    return false;
}

static const enum rdmig_reason operation_failures[] = {
    [OPERATION_NONE] = RDMIG_REASON_INTERNAL,
    [OPERATION_REGISTER] = RDMIG_REASON_REGISTER_FAILED,
    [OPERATION_DEREGISTER] = RDMIG_REASON_REGISTER_FAILED,
    [OPERATION_FILL] = RDMIG_REASON_FILL_FAILED,
    [OPERATION_END_ROUND] = RDMIG_REASON_ROUND_FAILED,
};

static int operation_completed(struct rdmig_conn *conn, uint32_t index,
                               const struct rdmig_event *event, struct operation *succeeded)
{
    struct operation *operation = &conn->operations[index % OPERATION_COUNT];
    const struct operation done = *operation;
    const struct rdmig_failure details = {.block_index = NO_BLOCK, .os_code = event->os_code};

    if (index >= OPERATION_COUNT || done.kind == OPERATION_NONE ||
        event->tag != make_indexed_tag(TAG_OPERATION, index, done.generation))
        return -RDMIG_E_INVALID;
    operation->kind = OPERATION_NONE;
    if (done.kind == OPERATION_REGISTER && event->status == RDMIG_STATUS_OK)
        conn->counters.registrations++;
    if (conn->phase != RDMIG_PHASE_RUNNING)
        return RDMIG_OK;
    if (event->status != RDMIG_STATUS_OK)
        conn_fail(conn, operation_failures[done.kind], &details);
    else
        *succeeded = done;
    return RDMIG_OK;
}

static int recv_completed(struct rdmig_conn *conn, const struct rdmig_event *event)
{
    uint32_t index;
    struct slot *slot = find_recv(conn, event->tag, &index);
    const struct rdmig_failure details = {.block_index = NO_BLOCK, .os_code = event->os_code};

    if (!slot || event->status == RDMIG_STATUS_OK)
        return -RDMIG_E_INVALID;
    /* Not posted again: the queue pair is on its way out. */
    slot->state = SLOT_READING;
    if (event->status == RDMIG_STATUS_FLUSHED)
        conn_await_error_cause(conn);
    else if (event->status == RDMIG_STATUS_FOREIGN)
        conn_fail(conn, RDMIG_REASON_MESSAGE_FOREIGN, &details);
    else if (!conn_is_peer_gone(conn))
        conn_fail(conn, RDMIG_REASON_RECV_FAILED, &details);
    return RDMIG_OK;
}

int flight_completed(struct rdmig_conn *conn, const struct rdmig_event *event,
                     struct operation *succeeded)
{
    const uint64_t value = event->tag & TAG_VALUE_MASK;

    switch (event->tag >> TAG_KIND_SHIFT) {
    case TAG_RECV:
        return recv_completed(conn, event);
    case TAG_WORK:
        return work_completed(conn, value, event);
    case TAG_OPERATION:
        return operation_completed(conn, (uint32_t)(value & ((1u << TAG_INDEX_BITS) - 1)), event,
                                   succeeded);
    default:
        return -RDMIG_E_INVALID;
    }
}

bool flight_is_empty(const struct rdmig_conn *conn)
{
    if (conn->work_head != conn->work_tail)
        return false;
    for (uint32_t i = 0; i < RDMIG_RECV_SLOT_COUNT; i++) {
        if (conn->recv_slots[i].state == SLOT_HARDWARE)
            return false;
    }
    for (uint32_t i = 0; i < OPERATION_COUNT; i++) {
        if (conn->operations[i].kind != OPERATION_NONE)
            return false;
    }
    return true;
}

const uint8_t *conn_message(const struct rdmig_conn *conn, uint32_t recv_slot)
{
    if (CORE_NEVER(conn, recv_slot >= RDMIG_RECV_SLOT_COUNT))
        recv_slot = 0;
    return conn->control + slot_offset_bytes(false, recv_slot);
}
