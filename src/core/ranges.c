/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The source's queue of ranges, in the order in which the application pushed them. Writes are
 * posted from the front; registrations and COMPRESS look ahead of them. What overlaps keeps its
 * order (clauses C9, C15).
 */
#include "internal.h"

struct range *ranges_at(struct rdmig_conn *conn, uint32_t position)
{
    return &conn->u.source.ranges[(conn->u.source.range_head + position) % RDMIG_RANGE_QUEUE_COUNT];
}

uint32_t rdmig_conn_range_room_count(const struct rdmig_conn *conn)
{
    const struct source *source = &conn->u.source;

    if (conn->config.role != RDMIG_ROLE_SOURCE || conn->phase != RDMIG_PHASE_RUNNING ||
        source->exchange != STEP_DONE || source->round == ROUND_CLOSING ||
        source->flush != STEP_NONE)
        return 0;
    return RDMIG_RANGE_QUEUE_COUNT - source->range_count;
}

int ranges_push(struct rdmig_conn *conn, const struct rdmig_event *event)
{
    struct source *source = &conn->u.source;
    const struct block *block;
    struct range *range;

    if (source->exchange != STEP_DONE || source->round == ROUND_CLOSING ||
        source->flush != STEP_NONE)
        return -RDMIG_E_STATE;
    if (event->block_index >= conn->block_count || event->length == 0)
        return -RDMIG_E_INVALID;
    block = blocks_at(conn, event->block_index);
    if (event->offset_bytes >= block->length_bytes ||
        event->length > block->length_bytes - event->offset_bytes ||
        event->register_end_bytes > block->length_bytes)
        return -RDMIG_E_INVALID;
    if (source->range_count == RDMIG_RANGE_QUEUE_COUNT)
        return -RDMIG_E_AGAIN;
    range = ranges_at(conn, source->range_count++);
    range->span.block_index = event->block_index;
    range->span.start_bytes = event->offset_bytes;
    range->span.end_bytes = event->offset_bytes + event->length;
    range->register_end_bytes = event->register_end_bytes > range->span.end_bytes
                                    ? event->register_end_bytes
                                    : range->span.end_bytes;
    range->planned_chunk = 0;
    range->serial = 0;
    range->is_zero = event->is_zero;
    range->state = event->is_zero ? STEP_WANTED : STEP_NONE;
    source->round = ROUND_OPEN;
    source->bytes_pending += event->length;
    if (!event->is_zero && source->data_bytes_pending == 0)
        source->data_since_ns = conn->now_ns;
    if (!event->is_zero)
        source->data_bytes_pending += event->length;
    return RDMIG_OK;
}

/* The first that still has something to write; NULL: none. */
const struct range *ranges_front(struct rdmig_conn *conn)
{
    for (uint32_t i = 0; i < conn->u.source.range_count; i++) {
        const struct range *range = ranges_at(conn, i);

        if (!range->is_zero && range->state != STEP_DONE)
            return range;
    }
    return NULL;
}

/* Takes finished ranges off the front. */
static void pop(struct rdmig_conn *conn)
{
    struct source *source = &conn->u.source;

    source->is_eviction_blocked = false;
    while (source->range_count > 0 && ranges_at(conn, 0)->state == STEP_DONE) {
        source->range_head = (source->range_head + 1) % RDMIG_RANGE_QUEUE_COUNT;
        source->range_count--;
    }
}

/* Does an unfinished range of the kind, before position, touch the span? */
static bool overlaps_before(struct rdmig_conn *conn, uint32_t position, bool is_zero,
                            const struct span *span)
{
    for (uint32_t i = 0; i < position; i++) {
        const struct range *range = ranges_at(conn, i);

        if (range->is_zero == is_zero && range->state != STEP_DONE &&
            span_overlaps(&range->span, span))
            return true;
    }
    return false;
}

bool ranges_may_zero(struct rdmig_conn *conn, uint32_t position)
{
    const struct span *span = &ranges_at(conn, position)->span;

    return !flight_overlaps(conn, span) && !overlaps_before(conn, position, false, span);
}

/* Does data that is queued before the position lie in the span? */
bool ranges_overlap(struct rdmig_conn *conn, uint32_t position, const struct span *span)
{
    return overlaps_before(conn, position, false, span);
}

/* The span's region goes: what is queued and needs it must be planned again. */
void ranges_unplan(struct rdmig_conn *conn, const struct span *span)
{
    const uint64_t first_chunk = span->start_bytes / RDMIG_CHUNK_BYTES;

    for (uint32_t i = 0; i < conn->u.source.range_count; i++) {
        struct range *range = ranges_at(conn, i);

        if (span_overlaps(&range->span, span) && range->planned_chunk > first_chunk)
            range->planned_chunk = first_chunk;
    }
}

/* READY has come for the COMPRESS of this number. */
void ranges_zeroed(struct rdmig_conn *conn, uint32_t serial)
{
    struct source *source = &conn->u.source;

    for (uint32_t i = 0; i < source->range_count; i++) {
        struct range *range = ranges_at(conn, i);

        if (range->state == STEP_ASKED && range->serial == serial) {
            const uint64_t length_bytes = range->span.end_bytes - range->span.start_bytes;

            if (CORE_NEVER(conn, source->bytes_pending < length_bytes))
                return;
            range->state = STEP_DONE;
            source->bytes_pending -= length_bytes;
            conn->counters.bytes_zero += length_bytes;
        }
    }
    pop(conn);
}

/* The region that a chunk is in: its number, key and end; false: none yet. */
static bool find_region(struct rdmig_conn *conn, uint32_t block_index, uint32_t chunk_index,
                        struct rdmig_action *action, uint64_t *end_bytes)
{
    const struct block *block = blocks_at(conn, block_index);
    struct chunk chunk;

    if (conn->u.source.is_pinned) {
        action->region = block->first_chunk;
        action->rkey = block->rkey;
        *end_bytes = block->length_bytes;
        return true;
    }
    chunk = blocks_chunk(conn, block_index, chunk_index);
    if (chunk.count == 0 || chunk.count == REGION_PENDING || chunk.count == REGION_UNREGISTERING)
        return false;
    if (chunk.count == REGION_MEMBER) {
        if (CORE_NEVER(conn, chunk.value == 0 || chunk.value > chunk_index))
            return false;
        chunk_index -= chunk.value;
        chunk = blocks_chunk(conn, block_index, chunk_index);
        if (CORE_NEVER(conn, chunk.count == 0 || chunk.count > REGION_CHUNK_COUNT_MAX))
            return false;
    }
    action->region = block->first_chunk + chunk_index;
    action->rkey = chunk.value;
    *end_bytes = ((uint64_t)chunk_index + chunk.count) * RDMIG_CHUNK_BYTES;
    return true;
}

/*
 * A command is posted behind the writes that are, and travels behind them: with a whole run of them
 * in the queue the next registration would begin when they are done, not while they are in flight.
 */
static bool fits_flight(const struct rdmig_conn *conn, uint64_t length_bytes)
{
    const struct source *source = &conn->u.source;
    /* With one credit, READY follows an answer closely: enough for the link until then, and the
     * command goes first. */
    const bool is_command_near = !conn_is_pipelined(conn) &&
                                 source_state(conn) == SOURCE_AWAITING_READY &&
                                 source->command_type == RDMIG_MESSAGE_REGISTER_REQUEST;
    const uint64_t limit_bytes = conn->config.flight_bytes_max / (is_command_near ? 32 : 1);

    return source->flight_bytes == 0 || source->flight_bytes + length_bytes <= limit_bytes;
}

/* What would be written next, if anything can be: its position in the queue, its span, its region.
 */
static bool plan_write(struct rdmig_conn *conn, uint32_t *position, struct span *span,
                       struct rdmig_action *action)
{
    struct source *source = &conn->u.source;
    uint64_t end_bytes;

    if (flight_room_count(conn) <= SEND_QUEUE_RESERVE || commands_is_round_ending(conn))
        return false;
    for (*position = 0; *position < source->range_count; ++*position) {
        const struct range *range = ranges_at(conn, *position);

        if (range->is_zero || range->state == STEP_DONE)
            continue;
        *span = range->span;
        if (!find_region(conn, span->block_index, (uint32_t)(span->start_bytes / RDMIG_CHUNK_BYTES),
                         action, &end_bytes))
            return false;
        if (end_bytes > span->start_bytes + conn->config.write_bytes_max)
            end_bytes = span->start_bytes + conn->config.write_bytes_max;
        if (end_bytes < span->end_bytes)
            span->end_bytes = end_bytes;
        if (!fits_flight(conn, span->end_bytes - span->start_bytes))
            return false;
        return !overlaps_before(conn, *position, true, span) && !flight_overlaps(conn, span);
    }
    return false;
}

/* For the clock of eviction.c. */
static void mark_used(struct rdmig_conn *conn, const struct rdmig_action *plan)
{
    uint32_t block_index;
    uint32_t chunk_index;

    if (conn->u.source.pinned_limit_bytes == 0 || conn->u.source.is_pinned)
        return;
    blocks_find_chunk(conn, plan->region, &block_index, &chunk_index);
    blocks_set_used(conn, block_index, chunk_index, true);
}

bool ranges_next_write(struct rdmig_conn *conn, struct rdmig_action *action)
{
    struct source *source = &conn->u.source;
    struct rdmig_action plan = {0};
    struct range *range;
    struct span span;
    uint32_t position;

    if (!plan_write(conn, &position, &span, &plan))
        return false;
    range = ranges_at(conn, position);
    range->span.start_bytes = span.end_bytes;
    if (range->span.start_bytes == range->span.end_bytes)
        range->state = STEP_DONE;
    pop(conn);
    action->kind = RDMIG_ACTION_POST_WRITE;
    action->region = plan.region;
    action->rkey = plan.rkey;
    action->block_index = span.block_index;
    action->offset_bytes = span.start_bytes;
    action->length = span.end_bytes - span.start_bytes;
    action->remote_addr = blocks_at(conn, span.block_index)->remote_addr + span.start_bytes;
    mark_used(conn, &plan);
    flight_write(conn, &span, action);
    /* Signalled when no other can follow right away, or enough have gone without (clause C12): a
     * quarter of what may be in flight, so that there is room again before the link falls idle. */
    source->unsignalled_count++;
    source->unsignalled_bytes += action->length;
    action->is_signalled = source->unsignalled_count >= conn->config.signal_interval ||
                           source->unsignalled_bytes >= conn->config.flight_bytes_max / 4 ||
                           !plan_write(conn, &position, &span, &plan);
    if (action->is_signalled) {
        source->unsignalled_count = 0;
        source->unsignalled_bytes = 0;
    }
    return true;
}
