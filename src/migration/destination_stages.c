/* SPDX-License-Identifier: BSD-2-Clause */
/* The destination between two calls: the core's requests, filling, and the ends. */
#include "destination.h"

#include "access.h"
#include "memory_kinds.h"

#include <errno.h>

#define FILL_BYTES_PER_CALL (UINT64_C(64) << 20)
/* A page that was never allocated costs this part of one that is read. */
#define HOLE_COST_PART 64u

static void complete_tag(struct rdmig_destination *destination, uint64_t tag)
{
    struct rdmig_event event = {.kind = RDMIG_EVENT_COMPLETED, .tag = tag};

    (void)link_step(destination->link, &event);
}

static void fail_tag(struct rdmig_destination *destination, uint64_t tag, int os_code)
{
    struct rdmig_event event = {.kind = RDMIG_EVENT_COMPLETED,
                                .tag = tag,
                                .status = RDMIG_STATUS_ERROR,
                                .os_code = os_code};

    (void)link_step(destination->link, &event);
}

/* Nobody waits for it any more, and the link cannot close before its tag is back. */
static void give_up_tag(struct rdmig_destination *destination, uint64_t *tag)
{
    struct rdmig_event event = {
        .kind = RDMIG_EVENT_COMPLETED, .tag = *tag, .status = RDMIG_STATUS_FLUSHED};

    *tag = 0;
    if (event.tag != 0)
        (void)link_step(destination->link, &event);
}

/* The round that waits for _resume() is given up, and so is what is not filled yet: that may be
 * as long as the guest. */
static void leave(struct rdmig_destination *destination)
{
    destination_enter(destination, DESTINATION_STAGE_CLOSING);
    destination->stats.ended_ns = link_now_ns();
    give_up_tag(destination, &destination->round_tag);
    give_up_tag(destination, &destination->fill.tag);
}

void destination_fail(struct rdmig_destination *destination)
{
    struct rdmig_event event = {.kind = RDMIG_EVENT_CANCEL_REQUESTED};

    if (destination->stage >= DESTINATION_STAGE_COMPLETED)
        return;
    (void)link_step(destination->link, &event);
    leave(destination);
}

/* A step that the table has not got is a fault of ours: the guest is not taken. But after confirm()
 * it may be on its way, and nobody would own it (clause E12). */
static void check_steps(struct rdmig_destination *destination)
{
    if (!destination->is_astray || destination->stage >= DESTINATION_STAGE_CONFIRMING)
        return;
    error_set(&destination->error, RDMIG_REASON_INTERNAL, 0, "report it",
              "a step of the destination's that cannot be, in stage %d", (int)destination->stage);
    destination_fail(destination);
}

static void check_failure(struct rdmig_destination *destination)
{
    const struct rdmig_conn *conn = link_conn(destination->link);
    /* Having confirmed, this end owns the guest if the end mark arrives, and it may arrive until
     * the connection is closed (clause E12). */
    const bool has_failed =
        link_is_closed(destination->link) ||
        (rdmig_conn_failure(conn) && destination->stage != DESTINATION_STAGE_CONFIRMING);

    if (!has_failed || destination->stage >= DESTINATION_STAGE_COMPLETED)
        return;
    explain_failure(destination->link, &destination->memory, &destination->error);
    leave(destination);
}

/* ---- filling (clause C9) */

/* One step of filling; returns what it cost, as bytes that are read; 0: it cannot be done, errno.
 * Zeros do not touch memory that was never allocated: it stays a hole. */
static uint64_t fill_step(struct rdmig_destination *destination, uint64_t length_bytes_max)
{
    struct fill *fill = &destination->fill;
    uint64_t length_bytes =
        fill->left_bytes < length_bytes_max ? fill->left_bytes : length_bytes_max;
    const uint64_t read_before_bytes = holes_read_bytes(destination->holes);
    bool is_hole = false;

    if (fill->value == 0 && (uintptr_t)fill->bytes % RDMIG_PAGE_BYTES == 0 &&
        fill->left_bytes >= RDMIG_PAGE_BYTES) {
        const uint64_t run_bytes =
            RDMIG_PAGE_BYTES * holes_query(destination->holes, fill->bytes,
                                           fill->left_bytes / RDMIG_PAGE_BYTES, &is_hole);

        if (is_hole || run_bytes < length_bytes)
            length_bytes = run_bytes;
    }
    if (!is_hole && !holes_make_writable(destination->holes, fill->bytes, length_bytes))
        return 0;
    if (!is_hole)
        access_fill(fill->bytes, length_bytes, fill->value);
    fill->bytes += length_bytes;
    fill->left_bytes -= length_bytes;
    return (is_hole ? length_bytes / HOLE_COST_PART + 1 : length_bytes) +
           (holes_read_bytes(destination->holes) - read_before_bytes);
}

/* Memory that must be filled is missing, and cannot be made. */
static bool fill_failed(struct rdmig_destination *destination, int os_code)
{
    struct fill *fill = &destination->fill;
    const struct memory_block *block = &destination->memory.blocks[fill->block_index];
    const uint64_t tag = fill->tag;

    while (fill->left_bytes > RDMIG_PAGE_BYTES &&
           holes_make_writable(destination->holes, fill->bytes, RDMIG_PAGE_BYTES)) {
        fill->bytes += RDMIG_PAGE_BYTES; /* the first that is not there is the one to name */
        fill->left_bytes -= RDMIG_PAGE_BYTES;
    }
    memory_kinds_explain(&destination->memory, fill->block_index,
                         (uint64_t)(fill->bytes - block->host_addr), RDMIG_PAGE_BYTES, "filled",
                         os_code, &destination->error);
    fill->tag = 0;
    fail_tag(destination, tag, os_code);
    return true;
}

/* Fills a piece; true: one range is finished. */
static bool fill_some(struct rdmig_destination *destination)
{
    struct fill *fill = &destination->fill;
    const uint64_t tag = fill->tag;
    uint64_t worked_bytes = 0;

    if (tag == 0)
        return false;
    holes_invalidate(destination->holes); /* the source may have written since */
    while (fill->left_bytes > 0 && worked_bytes < FILL_BYTES_PER_CALL) {
        const uint64_t cost_bytes = fill_step(destination, FILL_BYTES_PER_CALL - worked_bytes);

        if (cost_bytes == 0)
            return fill_failed(destination, errno);
        worked_bytes += cost_bytes;
    }
    if (fill->left_bytes > 0)
        return false;
    fill->tag = 0;
    complete_tag(destination, tag);
    return true;
}

static void start_fill(struct rdmig_destination *destination, const struct rdmig_action *action)
{
    destination->fill = (struct fill){
        .tag = action->tag,
        .block_index = action->block_index,
        .bytes = destination->memory.blocks[action->block_index].host_addr + action->offset_bytes,
        .left_bytes = action->length,
        .value = action->fill_value,
    };
}

/* ---- the core's actions */

static void round_ended(struct rdmig_destination *destination, uint64_t tag)
{
    destination->stats.stopped_ns = link_now_ns();
    if (destination->stats.exchanged_ns == 0)
        destination->stats.exchanged_ns = destination->stats.stopped_ns;
    destination->round_position_bytes = destination->wire_bytes;
    /* What a source sends after this end has confirmed is no round of the guest's. */
    if (!destination->options.report_rounds || destination->stage != DESTINATION_STAGE_RECEIVING) {
        complete_tag(destination, tag);
        return;
    }
    destination->round_tag = tag;
    destination_enter(destination, DESTINATION_STAGE_ROUND_ENDED);
}

/* The source asks for the blocks before its stream has named them. */
static void refuse_blocks(struct rdmig_destination *destination)
{
    if (destination->stage == DESTINATION_STAGE_BLOCKS_NEEDED ||
        destination->memory.block_count > 0)
        return; /* on their way */
    error_set(&destination->error, RDMIG_REASON_STREAM_BROKEN, 0,
              "use a source that sends its RAM section's setup first, as QEMU and rdmig do",
              "the source asked for RAM blocks before its stream had named any");
    destination_fail(destination);
}

static void peer_ended(struct rdmig_destination *destination)
{
    if (destination->stage == DESTINATION_STAGE_RECEIVING &&
        qemu_stream_format(destination->stream) == QEMU_STREAM_FORMAT_QEMU &&
        destination->stats.exchanged_ns != 0) {
        link_revoke_remote_write(destination->link); /* clause R9 */
        destination_enter(destination, DESTINATION_STAGE_PREPARED);
        return;
    }
    error_set(&destination->error,
              destination->announced_count > 0 ? RDMIG_REASON_STREAM_TRUNCATED
                                               : RDMIG_REASON_PEER_DISCONNECTED,
              0, "see the source's own message; its guest runs on there",
              "the source left before it had handed the guest over");
    destination_fail(destination);
}

static void take_action(struct rdmig_destination *destination, const struct rdmig_action *action)
{
    switch (action->kind) {
    case RDMIG_ACTION_NOTIFY_ESTABLISHED:
        destination->stats.start_ns = link_now_ns();
        destination_enter(destination, DESTINATION_STAGE_CONNECTED);
        break;
    case RDMIG_ACTION_REQUEST_BLOCKS:
        refuse_blocks(destination);
        break;
    case RDMIG_ACTION_DELIVER_STREAM:
        if (destination->stage < DESTINATION_STAGE_COMPLETED &&
            !inbox_deliver(destination, action->bytes, action->length))
            destination_fail(destination);
        break;
    case RDMIG_ACTION_FILL_RANGE:
        start_fill(destination, action);
        break;
    case RDMIG_ACTION_END_ROUND:
        round_ended(destination, action->tag);
        break;
    case RDMIG_ACTION_NOTIFY_PEER_ENDED:
        peer_ended(destination);
        break;
    default: /* NOTIFY_CLOSED shows in the link */
        break;
    }
}

/* ---- going on */

static bool work(struct rdmig_destination *destination)
{
    if (destination->stage == DESTINATION_STAGE_RECEIVING && destination->is_prepare_held) {
        destination_enter(destination, DESTINATION_STAGE_PREPARED);
        return true;
    }
    return destination->stage < DESTINATION_STAGE_COMPLETED && inbox_finish_message(destination);
}

static uint64_t time_limit_ns(const struct rdmig_destination *destination)
{
    const uint64_t limit_ns = options_limit_ns(destination->options.time_limit_ms);

    if (limit_ns == 0 || destination->stats.start_ns == 0 ||
        destination->stage >= DESTINATION_STAGE_CONFIRMING)
        return RDMIG_NO_DEADLINE;
    return destination->stats.start_ns + limit_ns;
}

static void check_time_limit(struct rdmig_destination *destination)
{
    if (link_now_ns() < time_limit_ns(destination))
        return;
    error_set(&destination->error, RDMIG_REASON_TIME_LIMIT, 0,
              "allow more time, more bandwidth or more downtime",
              "the migration was not complete after %u ms", destination->options.time_limit_ms);
    destination_fail(destination);
}

void destination_advance(struct rdmig_destination *destination)
{
    struct rdmig_action action;
    bool has_filled;
    bool has_moved;

    do {
        has_moved = link_next_action(destination->link, &action);
        if (has_moved)
            take_action(destination, &action);
        else
            has_moved = work(destination);
        check_failure(destination);
        destination_trace_state(destination);
    } while (has_moved);
    check_steps(destination);
    check_time_limit(destination);
    has_filled = fill_some(destination);
    while (destination->stage == DESTINATION_STAGE_CLOSING &&
           link_next_action(destination->link, &action))
        take_action(destination, &action);
    if (destination->stage == DESTINATION_STAGE_CLOSING && link_is_closed(destination->link))
        destination_enter(destination, DESTINATION_STAGE_CLOSED);
    destination_trace_state(destination);
    waker_set(&destination->waker,
              has_filled || destination->fill.tag != 0 ? 0 : time_limit_ns(destination));
}
