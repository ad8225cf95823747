/* SPDX-License-Identifier: BSD-2-Clause */
/* The source between two calls: what each stage still has to do, and what the core's actions mean
 * for it. */
#include "source.h"

#include "memory_kinds.h"

#include "qemu/native.h"

#include <stdlib.h>

/* ---- the outbox */

/* The native stream's beginning, waiting in the outbox from the start. False: no memory. */
bool source_build_prefix(struct rdmig_source *source)
{
    const struct memory *memory = &source->memory;
    struct native_block *blocks = calloc(memory->block_count, sizeof(*blocks));
    uint64_t prefix_bytes;

    if (!blocks)
        return false;
    for (uint32_t i = 0; i < memory->block_count; i++) {
        blocks[i].name = memory->blocks[i].name;
        blocks[i].length_bytes = memory->blocks[i].length_bytes;
    }
    prefix_bytes = native_prefix_bytes(blocks, memory->block_count);
    source->outbox_capacity = prefix_bytes > OUTBOX_BYTES ? prefix_bytes : OUTBOX_BYTES;
    source->outbox = malloc(source->outbox_capacity);
    if (source->outbox && source->options.stream_format == RDMIG_STREAM_NATIVE)
        source->outbox_end = native_write_prefix(source->outbox, source->outbox_capacity, blocks,
                                                 memory->block_count);
    free(blocks);
    return source->outbox != NULL;
}

static bool is_outbox_empty(const struct rdmig_source *source)
{
    return source->outbox_start == source->outbox_end;
}

/* Gives the core what it takes; true when that was something. */
static bool pump_outbox(struct rdmig_source *source)
{
    const uint64_t room_bytes = rdmig_conn_stream_room_bytes(link_conn(source->link));
    const uint64_t left_bytes = source->outbox_end - source->outbox_start;
    struct rdmig_event event = {.kind = RDMIG_EVENT_STREAM_WRITTEN,
                                .bytes = source->outbox + source->outbox_start,
                                .length = left_bytes < room_bytes ? left_bytes : room_bytes};

    if (event.length == 0 || link_step(source->link, &event) != RDMIG_OK)
        return false;
    source->outbox_start += event.length;
    source->stream_given_bytes += event.length;
    if (is_outbox_empty(source)) {
        source->outbox_start = 0;
        source->outbox_end = 0;
    }
    return true;
}

static bool ask(struct rdmig_source *source, enum rdmig_event_kind kind)
{
    struct rdmig_event event = {.kind = kind};

    return link_step(source->link, &event) == RDMIG_OK;
}

/* ---- the ends of stages */

/* A round ends behind all of the stream that was written before it. */
static void note_stream(struct rdmig_source *source)
{
    struct rdmig_conn_counters counters;

    rdmig_conn_counters(link_conn(source->link), &counters);
    source->end_stream_bytes = counters.bytes_stream;
}

static void round_ended(struct rdmig_source *source)
{
    if (source->stage == SOURCE_STAGE_ENDING_SETUP) {
        source->outbox_end = native_write_setup_end(source->outbox, source->outbox_capacity);
    } else {
        source_rate_round_ended(source);
        note_stream(source);
        source->is_log_current = false;
        ram_walker_end_round(&source->walker);
    }
    source_enter(source, SOURCE_STAGE_IDLE);
}

/* A connection that has failed meanwhile refuses, and closes by itself. */
static void handed_over(struct rdmig_source *source)
{
    source->stats.ended_ns = link_now_ns();
    source_enter(source, source->options.stream_format == RDMIG_STREAM_QEMU
                             ? SOURCE_STAGE_AWAITING_PEER_CLOSE
                             : SOURCE_STAGE_COMPLETED);
    (void)ask(source, RDMIG_EVENT_FINISH_REQUESTED);
}

/* The destination has left, or its time to do so is over. */
static void parted(struct rdmig_source *source)
{
    const struct rdmig_failure *failure = rdmig_conn_failure(link_conn(source->link));

    if (!failure || failure->reason != RDMIG_REASON_PEER_ERROR) {
        source_enter(source, SOURCE_STAGE_COMPLETED);
        return;
    }
    error_set(&source->error, RDMIG_REASON_HANDOVER_UNKNOWN, 0,
              "look at the destination's log, and make sure that it does not run the guest before "
              "it is run here again",
              "the destination reported an error after all of the guest had arrived there");
    source_enter(source, SOURCE_STAGE_CLOSED);
}

static void flushed(struct rdmig_source *source)
{
    source->is_flush_asked = false;
    if (source->stage == SOURCE_STAGE_HANDING_OVER) {
        handed_over(source);
    } else if (source->stage == SOURCE_STAGE_FLUSHING) {
        source_enter(source, SOURCE_STAGE_IDLE);
    } else if (source->stage == SOURCE_STAGE_PREPARING &&
               !rdmig_conn_failure(link_conn(source->link))) {
        /* The destination has confirmed. From here on it may own the guest (clause S8). */
        source_enter(source, SOURCE_STAGE_HANDING_OVER);
        source->outbox_end = native_write_end(source->outbox, source->outbox_capacity);
    }
}

static void exchanged(struct rdmig_source *source)
{
    const uint32_t flags = rdmig_conn_capability_flags(link_conn(source->link));

    source->stats.exchanged_ns = link_now_ns();
    source->walker.is_pin_all = (flags & RDMIG_CAPABILITY_PIN_ALL) != 0;
    if ((flags & RDMIG_CAPABILITY_PIPELINE) != 0)
        ram_walker_lookahead(&source->walker);
    if (source->options.stream_format == RDMIG_STREAM_QEMU)
        source_enter(source, SOURCE_STAGE_IDLE); /* the caller ends the setup's round */
    else
        source_enter(source, ask(source, RDMIG_EVENT_ROUND_CLOSED) ? SOURCE_STAGE_ENDING_SETUP
                                                                   : source->stage);
}

static void established(struct rdmig_source *source)
{
    source->connected_ns = link_now_ns();
    source_enter(source, source->options.stream_format == RDMIG_STREAM_QEMU ? SOURCE_STAGE_IDLE
                                                                            : SOURCE_STAGE_OPENING);
}

/* ---- failing */

void source_fail(struct rdmig_source *source, int os_code)
{
    struct rdmig_event event = {.kind = RDMIG_EVENT_CANCEL_REQUESTED, .os_code = os_code};

    if (source->stage >= SOURCE_STAGE_AWAITING_PEER_CLOSE)
        return;
    source_enter(source, SOURCE_STAGE_CLOSING);
    source->stats.ended_ns = link_now_ns();
    (void)link_step(source->link, &event);
}

/*
 * The destination may have the guest. Native: the stream's last byte has been posted (clause S8).
 * A QEMU runs the guest from the end mark on, and what its source sends behind that (a description,
 * of any length) does not hold it up. Where the mark is the caller of finish_with() says; for
 * finish() it is behind the last round, so any byte since then may be it.
 */
bool source_has_end_left(const struct rdmig_source *source)
{
    struct rdmig_conn_counters counters;

    if (source->stage != SOURCE_STAGE_HANDING_OVER)
        return false;
    rdmig_conn_counters(link_conn(source->link), &counters);
    if (source->options.stream_format == RDMIG_STREAM_QEMU)
        return counters.bytes_stream > source->end_stream_bytes;
    return is_outbox_empty(source) && counters.bytes_stream == source->stream_given_bytes;
}

static void explain_unknown(struct rdmig_source *source, const char *what)
{
    error_set(&source->error, RDMIG_REASON_HANDOVER_UNKNOWN, 0,
              "make sure that the destination does not run the guest before it is run here again",
              "%s while the guest was being handed over: it may run at the destination", what);
}

/* The core has failed by itself: take over its cause. */
static void check_failure(struct rdmig_source *source)
{
    const struct rdmig_conn *conn = link_conn(source->link);
    /* Before the connection is up a failed attempt only turns the link to the next address. While
     * the guest is handed over, word that it has arrived may come until the end (clause E7). */
    const bool has_failed =
        link_is_closed(source->link) || (link_is_connected(source->link) &&
                                         rdmig_conn_failure(conn) && !source_has_end_left(source));

    if (!has_failed || source->stage >= SOURCE_STAGE_AWAITING_PEER_CLOSE)
        return;
    if (source_has_end_left(source))
        explain_unknown(source, "the connection was lost");
    else
        explain_failure(source->link, &source->memory, &source->error);
    source_enter(source, SOURCE_STAGE_CLOSING);
    source->stats.ended_ns = link_now_ns();
}

static uint64_t time_limit_ns(const struct rdmig_source *source)
{
    const uint64_t limit_ns = options_limit_ns(source->options.time_limit_ms);

    if (limit_ns == 0 || source->connected_ns == 0 || source->stage >= SOURCE_STAGE_HANDING_OVER)
        return RDMIG_NO_DEADLINE;
    return source->connected_ns + limit_ns;
}

/* A step that the table has not got is a fault of ours: the guest stays here, if it is here. */
static void check_steps(struct rdmig_source *source)
{
    if (!source->is_astray || source->stage >= SOURCE_STAGE_AWAITING_PEER_CLOSE)
        return;
    if (source_has_end_left(source))
        explain_unknown(source, "a step of the source's that cannot be");
    error_set(&source->error, RDMIG_REASON_INTERNAL, 0, "report it",
              "a step of the source's that cannot be, in stage %d", (int)source->stage);
    source_fail(source, 0);
}

static void check_time_limit(struct rdmig_source *source)
{
    if (link_now_ns() < time_limit_ns(source))
        return;
    error_set(&source->error, RDMIG_REASON_TIME_LIMIT, 0,
              "allow more time, more bandwidth or more downtime",
              "the migration was not complete after %u ms", source->options.time_limit_ms);
    source_fail(source, 0);
}

/* ---- stages */

static bool is_flush_due(const struct rdmig_source *source)
{
    return (source->stage == SOURCE_STAGE_FLUSHING || source->stage == SOURCE_STAGE_PREPARING ||
            source->stage == SOURCE_STAGE_HANDING_OVER) &&
           !source->is_flush_asked && is_outbox_empty(source);
}

static bool ask_flush(struct rdmig_source *source)
{
    struct rdmig_event event = {.kind = RDMIG_EVENT_FLUSH_REQUESTED,
                                .flush = source->stage == SOURCE_STAGE_HANDING_OVER
                                             ? RDMIG_FLUSH_DELIVERED
                                             : RDMIG_FLUSH_CONSUMED};

    source->is_flush_asked = link_step(source->link, &event) == RDMIG_OK;
    return source->is_flush_asked;
}

/* The blocks go to the core as soon as there is one; the request once the stream's beginning is on
 * its way. */
static bool open_exchange(struct rdmig_source *source)
{
    struct rdmig_block *blocks;
    int result;

    if (!source->are_blocks_provided) {
        blocks = memory_core_blocks(&source->memory);
        result = blocks ? link_provide_blocks(source->link, blocks, source->memory.block_count)
                        : -RDMIG_E_MEMORY;
        free(blocks);
        if (result == -RDMIG_E_FAILED)
            /* The link has failed meanwhile, and knows why. */
            explain_failure(source->link, &source->memory, &source->error);
        if (result != RDMIG_OK) {
            error_set(&source->error, RDMIG_REASON_MEMORY, 0, "free memory",
                      "no memory for the tables of RAM chunks");
            source_fail(source, 0);
            return true;
        }
        source->are_blocks_provided = true;
    }
    if (!is_outbox_empty(source) || !ask(source, RDMIG_EVENT_EXCHANGE_REQUESTED))
        return false;
    source_enter(source, SOURCE_STAGE_EXCHANGING);
    return true;
}

/* Memory that the walk must look at cannot be read, or only by making it, which does not work. */
static void fail_unreadable(struct rdmig_source *source)
{
    const struct memory *memory = &source->memory;

    for (uint32_t i = 0; i < memory->block_count; i++) {
        const struct memory_block *block = &memory->blocks[i];

        if (source->unreadable < block->host_addr ||
            source->unreadable >= block->host_addr + block->length_bytes)
            continue;
        memory_kinds_explain(memory, i, (uint64_t)(source->unreadable - block->host_addr),
                             RDMIG_PAGE_BYTES, "read", source->unreadable_code, &source->error);
    }
    source_fail(source, source->unreadable_code);
}

static bool walk(struct rdmig_source *source, uint64_t *resume_ns)
{
    const bool is_ending = source->stage != SOURCE_STAGE_PUSHING;
    const bool had_room = rdmig_conn_range_room_count(link_conn(source->link)) > 0;
    enum ram_walk result;

    if (!is_outbox_empty(source))
        return false;
    holes_invalidate(source->holes); /* dirty pages may have been reported since */
    result = ram_walker_walk(&source->walker, is_ending, resume_ns);
    if (source->unreadable) {
        fail_unreadable(source);
        return true;
    }
    if (result == RAM_WALK_BLOCKED)
        return had_room; /* the queue has just been filled: nothing moves before it is looked at */
    if (result != RAM_WALK_DONE)
        return false;
    if (!is_ending || !ask(source, RDMIG_EVENT_ROUND_CLOSED))
        return false;
    source_enter(source, SOURCE_STAGE_ENDING_ROUND);
    return true;
}

/* One stage's work; true: something has moved, look again. */
static bool work(struct rdmig_source *source, uint64_t *resume_ns)
{
    if (source->stage == SOURCE_STAGE_CONNECTING ||
        source->stage >= SOURCE_STAGE_AWAITING_PEER_CLOSE)
        return false;
    if (pump_outbox(source))
        return true;
    if (is_flush_due(source))
        return ask_flush(source);
    switch (source->stage) {
    case SOURCE_STAGE_OPENING:
        return open_exchange(source);
    case SOURCE_STAGE_ROUND:
    case SOURCE_STAGE_PUSHING:
    case SOURCE_STAGE_PUSHED:
        return walk(source, resume_ns);
    default:
        return false;
    }
}

static void take_action(struct rdmig_source *source, const struct rdmig_action *action)
{
    switch (action->kind) {
    case RDMIG_ACTION_NOTIFY_ESTABLISHED:
        established(source);
        break;
    case RDMIG_ACTION_NOTIFY_BLOCKS_EXCHANGED:
        exchanged(source);
        break;
    case RDMIG_ACTION_NOTIFY_ROUND_ENDED:
        round_ended(source);
        break;
    case RDMIG_ACTION_NOTIFY_FLUSHED:
        flushed(source);
        break;
    default: /* NOTIFY_CLOSED shows in the link, UNREGISTERED is not asked for */
        break;
    }
}

void source_advance(struct rdmig_source *source)
{
    struct rdmig_action action;
    uint64_t resume_ns = RDMIG_NO_DEADLINE;
    bool has_moved;

    do {
        has_moved = link_next_action(source->link, &action);
        if (has_moved)
            take_action(source, &action);
        else
            has_moved = work(source, &resume_ns);
        check_failure(source);
        source_trace_state(source);
    } while (has_moved);
    check_steps(source);
    check_time_limit(source);
    while (source->stage == SOURCE_STAGE_CLOSING && link_next_action(source->link, &action))
        take_action(source, &action);
    if (source->stage == SOURCE_STAGE_CLOSING && link_is_closed(source->link))
        source_enter(source, SOURCE_STAGE_CLOSED);
    if (source->stage == SOURCE_STAGE_AWAITING_PEER_CLOSE && link_is_closed(source->link))
        parted(source);
    source_trace_state(source);
    if (resume_ns > time_limit_ns(source))
        resume_ns = time_limit_ns(source);
    waker_set(&source->waker, resume_ns);
}
