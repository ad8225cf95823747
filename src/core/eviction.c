/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Unregistering regions: the destination first, then we (clause R8); for the application, and to
 * keep a limit on pinned memory (clause R13). A clock chooses the region to evict: the clock hand
 * goes round over all chunks; a region that was written to since it passed is spared once.
 */
#include "machines.h"

#define RUNS_IN_LIMIT 8u

static struct unregistration *unregistration_at(struct source *source, uint32_t position)
{
    return &source->unregistrations[(source->unregistration_head + position) %
                                    UNREGISTRATION_COUNT_MAX];
}

static struct span region_span(const struct rdmig_conn *conn, uint32_t block_index,
                               uint32_t first_chunk, uint32_t chunk_count)
{
    struct span span = {block_index, first_chunk * RDMIG_CHUNK_BYTES, 0};

    span.end_bytes =
        span.start_bytes + blocks_run_bytes(conn, block_index, first_chunk, chunk_count);
    return span;
}

static void set_region(struct rdmig_conn *conn, const struct unregistration *unregistration,
                       uint32_t count)
{
    for (uint32_t k = 0; k < unregistration->chunk_count; k++)
        blocks_set_chunk(conn, unregistration->block_index, unregistration->first_chunk + k, 0,
                         count);
}

static void begin(struct rdmig_conn *conn, uint32_t block_index, uint32_t first_chunk,
                  uint32_t chunk_count, bool is_application)
{
    struct source *source = &conn->u.source;
    struct unregistration *unregistration = unregistration_at(source, source->unregistration_count);

    if (CORE_NEVER(conn, source->unregistration_count >= UNREGISTRATION_COUNT_MAX))
        return;
    source->unregistration_count++;
    *unregistration = (struct unregistration){block_index, first_chunk, chunk_count,
                                              UNREGISTRATION_WANTED, is_application};
    set_region(conn, unregistration, REGION_UNREGISTERING);
    source->planned = (struct planned){0};
}

static bool is_application_waiting(struct source *source)
{
    for (uint32_t i = 0; i < source->unregistration_count; i++) {
        if (unregistration_at(source, i)->is_application)
            return true;
    }
    return false;
}

/* The application unregisters a region: it must be idle on our side. */
int unregistration_begin(struct rdmig_conn *conn, const struct rdmig_event *event)
{
    struct source *source = &conn->u.source;
    struct span span;
    uint32_t chunk_count;

    if (source->exchange != STEP_DONE || source->is_pinned)
        return -RDMIG_E_STATE;
    if (event->block_index >= conn->block_count ||
        event->chunk_index >= blocks_at(conn, event->block_index)->chunk_count)
        return -RDMIG_E_INVALID;
    chunk_count = blocks_chunk(conn, event->block_index, event->chunk_index).count;
    if (chunk_count == 0 || chunk_count > REGION_CHUNK_COUNT_MAX)
        return -RDMIG_E_INVALID;
    span = region_span(conn, event->block_index, event->chunk_index, chunk_count);
    if (source->unregistration_count == UNREGISTRATION_COUNT_MAX ||
        is_application_waiting(source) || source->run_count != 0 || flight_overlaps(conn, &span) ||
        ranges_overlap(conn, source->range_count, &span))
        return -RDMIG_E_AGAIN;
    begin(conn, event->block_index, event->chunk_index, chunk_count, true);
    return RDMIG_OK;
}

/* ---- the two halves */

bool unregistration_is_wanted(const struct rdmig_conn *conn)
{
    const struct source *source = &conn->u.source;
    const uint32_t last =
        (source->unregistration_head + source->unregistration_count - 1) % UNREGISTRATION_COUNT_MAX;

    /* They are asked for in order: the last one tells. */
    return source->unregistration_count > 0 &&
           source->unregistrations[last].state == UNREGISTRATION_WANTED;
}

void unregistration_ask(struct rdmig_conn *conn, uint32_t slot, struct rdmig_action *action)
{
    struct source *source = &conn->u.source;
    const uint32_t count_max = conn_is_pipelined(conn) ? ENTRY_COUNT_MAX : 1;
    uint8_t *data = flight_send_bytes(conn, slot) + RDMIG_HEADER_BYTES;
    struct wire_header header = {.type = RDMIG_MESSAGE_UNREGISTER_REQUEST};
    uint64_t work_bytes = 0;

    for (uint32_t i = 0; i < source->unregistration_count && header.repeat < count_max; i++) {
        struct unregistration *unregistration = unregistration_at(source, i);
        const struct wire_register entry = {unregistration->first_chunk,
                                            unregistration->block_index, 0};

        if (unregistration->state != UNREGISTRATION_WANTED)
            continue;
        enter_unregistration(conn, unregistration, UNREGISTRATION_ASKED);
        wire_write_register(data + header.length_bytes, &entry);
        header.length_bytes += WIRE_REGISTER_ENTRY_BYTES;
        header.repeat++;
        work_bytes += unregistration->chunk_count * RDMIG_CHUNK_BYTES;
    }
    commands_send(conn, slot, &header, work_bytes, action);
}

/* The destination has unregistered the oldest that were asked for; ours follow. */
void unregistration_answered(struct rdmig_conn *conn, uint32_t entry_count)
{
    struct source *source = &conn->u.source;

    for (uint32_t i = 0; i < source->unregistration_count && entry_count > 0; i++) {
        struct unregistration *unregistration = unregistration_at(source, i);

        if (unregistration->state != UNREGISTRATION_ASKED)
            continue;
        enter_unregistration(conn, unregistration, UNREGISTRATION_DUE);
        entry_count--;
    }
}

bool unregistration_next_local(struct rdmig_conn *conn, struct rdmig_action *action)
{
    struct source *source = &conn->u.source;

    for (uint32_t i = 0; i < source->unregistration_count; i++) {
        struct unregistration *unregistration = unregistration_at(source, i);
        const uint32_t subject = (source->unregistration_head + i) % UNREGISTRATION_COUNT_MAX;

        if (unregistration->state != UNREGISTRATION_DUE ||
            !flight_start(conn, OPERATION_DEREGISTER, subject, &action->tag))
            continue;
        blocks_region_action(conn, RDMIG_ACTION_DEREGISTER, unregistration->block_index,
                             unregistration->first_chunk, unregistration->chunk_count, action);
        enter_unregistration(conn, unregistration, UNREGISTRATION_STARTED);
        return true;
    }
    return false;
}

void unregistration_local_done(struct rdmig_conn *conn, uint32_t subject)
{
    struct source *source = &conn->u.source;
    struct unregistration *unregistration =
        &source->unregistrations[subject % UNREGISTRATION_COUNT_MAX];
    const uint64_t length_bytes =
        blocks_run_bytes(conn, unregistration->block_index, unregistration->first_chunk,
                         unregistration->chunk_count);

    if (CORE_NEVER(conn,
                   subject >= UNREGISTRATION_COUNT_MAX || source->pinned_bytes < length_bytes))
        return;
    enter_unregistration(conn, unregistration, UNREGISTRATION_DONE);
    source->pinned_bytes -= length_bytes;
    source->is_eviction_blocked = false;
    set_region(conn, unregistration, 0);
    if (unregistration->is_application) {
        conn->unregistered_region =
            blocks_at(conn, unregistration->block_index)->first_chunk + unregistration->first_chunk;
        conn_notify(conn, RDMIG_ACTION_NOTIFY_UNREGISTERED);
    }
    while (source->unregistration_count > 0 &&
           unregistration_at(source, 0)->state == UNREGISTRATION_DONE) {
        source->unregistration_head = (source->unregistration_head + 1) % UNREGISTRATION_COUNT_MAX;
        source->unregistration_count--;
    }
}

/* ---- the limit */

/* Most chunks in one run: several runs fit the limit, so that one is registered while others
 * are written. */
uint32_t eviction_run_limit(const struct rdmig_conn *conn)
{
    const uint64_t limit_bytes = conn->u.source.pinned_limit_bytes;
    const uint64_t chunk_count = limit_bytes / RUNS_IN_LIMIT / RDMIG_CHUNK_BYTES;

    if (limit_bytes == 0 || chunk_count >= conn->config.run_chunk_count)
        return conn->config.run_chunk_count;
    return chunk_count == 0 ? 1 : (uint32_t)chunk_count;
}

/* A region is registered: the clock hand must reach it. */
void eviction_region_registered(struct rdmig_conn *conn, const struct run *run)
{
    struct source *source = &conn->u.source;
    const uint64_t first =
        (uint64_t)blocks_at(conn, run->block_index)->first_chunk + run->first_chunk;

    source->is_eviction_blocked = false;
    if (source->clock_low_chunk == source->clock_high_chunk) {
        source->clock_low_chunk = first;
        source->clock_high_chunk = first;
    }
    if (first < source->clock_low_chunk)
        source->clock_low_chunk = first;
    if (first + run->chunk_count > source->clock_high_chunk)
        source->clock_high_chunk = first + run->chunk_count;
}

/*
 * May the region at the clock hand go? Not while it is written to, nor while a range needs it that
 * was queued before the one at position, or the part of that one that is planned. What is queued
 * behind it should not need it, either, unless nothing else is left (is_urgent): its turn comes
 * later, and without this one none would.
 */
static bool is_evictable(struct rdmig_conn *conn, const struct span *span, uint32_t position,
                         const struct span *planned, bool is_urgent)
{
    const uint32_t protected_count = is_urgent ? position : conn->u.source.range_count;

    return !flight_overlaps(conn, span) && !ranges_overlap(conn, protected_count, span) &&
           !span_overlaps(planned, span);
}

/* Moves the clock hand on by one chunk, or one region. True: that one goes. */
static bool clock_advance(struct rdmig_conn *conn, uint32_t position, const struct span *planned,
                          bool is_urgent)
{
    struct source *source = &conn->u.source;
    uint32_t block_index;
    uint32_t chunk_index;
    struct chunk chunk;
    struct span span;

    if (source->clock_chunk < source->clock_low_chunk ||
        source->clock_chunk >= source->clock_high_chunk)
        source->clock_chunk = source->clock_low_chunk;
    blocks_find_chunk(conn, source->clock_chunk, &block_index, &chunk_index);
    chunk = blocks_chunk(conn, block_index, chunk_index);
    if (chunk.count == 0 || chunk.count > REGION_CHUNK_COUNT_MAX) {
        if (chunk.count == 0 && source->clock_chunk == source->clock_low_chunk)
            source->clock_low_chunk++;
        source->clock_chunk++;
        return false;
    }
    source->clock_chunk += chunk.count;
    if (chunk.is_used) {
        blocks_set_used(conn, block_index, chunk_index, false);
        return false;
    }
    span = region_span(conn, block_index, chunk_index, chunk.count);
    if (!is_evictable(conn, &span, position, planned, is_urgent))
        return false;
    begin(conn, block_index, chunk_index, chunk.count, false);
    ranges_unplan(conn, &span);
    return true;
}

static uint64_t unregistering_bytes(struct rdmig_conn *conn)
{
    uint64_t bytes = 0;

    for (uint32_t i = 0; i < conn->u.source.unregistration_count; i++) {
        const struct unregistration *unregistration = unregistration_at(&conn->u.source, i);

        if (unregistration->state != UNREGISTRATION_DONE)
            bytes += blocks_run_bytes(conn, unregistration->block_index,
                                      unregistration->first_chunk, unregistration->chunk_count);
    }
    return bytes;
}

/* Goes round at most twice: the first time may only find that all were used. */
static bool evict_one(struct rdmig_conn *conn, uint32_t position, const struct span *planned,
                      bool is_urgent)
{
    const struct source *source = &conn->u.source;
    uint64_t left_count = 2 * (source->clock_high_chunk - source->clock_low_chunk);

    for (; left_count > 0 && source->clock_low_chunk < source->clock_high_chunk; left_count--) {
        if (clock_advance(conn, position, planned, is_urgent))
            return true;
    }
    return false;
}

/* Is the range the first that must be written, with nothing on its way? Then nobody
 * else makes room. */
static bool is_first(struct rdmig_conn *conn, uint32_t position)
{
    return ranges_front(conn) == ranges_at(conn, position) &&
           conn->u.source.unregistration_count == 0 && conn->u.source.run_count == 0 &&
           !flight_has_writes(conn);
}

/* True: length_bytes more fit the limit, for the range at position, of which the span is planned.
 * False: they will, when what has been begun is done; or the connection has failed. */
bool eviction_make_room(struct rdmig_conn *conn, uint64_t length_bytes, uint32_t position,
                        const struct span *planned)
{
    struct source *source = &conn->u.source;
    const uint64_t limit_bytes = source->pinned_limit_bytes;
    const struct rdmig_failure details = {
        .block_index = planned->block_index, .expected = limit_bytes, .actual = length_bytes};

    if (limit_bytes == 0 || source->pinned_bytes + length_bytes <= limit_bytes)
        return true;
    if (length_bytes > limit_bytes) {
        conn_fail(conn, RDMIG_REASON_PINNED_LIMIT, &details);
        return false;
    }
    while (!source->is_eviction_blocked &&
           source->unregistration_count < UNREGISTRATION_COUNT_MAX &&
           source->pinned_bytes - unregistering_bytes(conn) + length_bytes > limit_bytes) {
        if (!evict_one(conn, position, planned, false) &&
            !(is_first(conn, position) && evict_one(conn, position, planned, true)))
            source->is_eviction_blocked = true; /* until something has been done with */
    }
    return false;
}
