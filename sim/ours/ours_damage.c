/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Is anybody looking? rdmig_conn_check() is asked after every step, and in a core that is right it
 * never has anything to say. So that its silence means something, a copy of the connection is
 * damaged now and then, each time in one way that breaks one invariant: that one must be named.
 * This is the only place of the simulator that knows what a connection looks like from inside.
 */
#include "ours.h"

#include "core/internal.h"

#include <string.h>

/* Breaks the invariant of the copy; false: it cannot be broken in this state. */
typedef bool damager(struct rdmig_conn *conn);

/* ---- both roles */

static bool overfill_queue(struct rdmig_conn *conn)
{
    conn->work_head = conn->work_tail + conn->config.send_queue_depth + 1;
    return true;
}

static bool miscount_sends(struct rdmig_conn *conn)
{
    struct slot *slot = &conn->send_slots[SEND_SLOT_LARGE_COUNT];

    slot->state = slot->state == SLOT_HARDWARE ? SLOT_FREE : SLOT_HARDWARE;
    return true;
}

static bool fail_for_nothing(struct rdmig_conn *conn)
{
    conn->phase = RDMIG_PHASE_FAILING;
    conn->failure.reason = RDMIG_REASON_NONE;
    return true;
}

static bool close_too_early(struct rdmig_conn *conn)
{
    conn->phase = RDMIG_PHASE_CLOSED;
    conn->recv_slots[0].state = SLOT_HARDWARE;
    return true;
}

/* ---- source */

static bool overfill_ranges(struct rdmig_conn *conn)
{
    conn->u.source.range_count = RDMIG_RANGE_QUEUE_COUNT + 1;
    return true;
}

static bool miscount_pending(struct rdmig_conn *conn)
{
    conn->u.source.bytes_pending++;
    return true;
}

static bool miscount_data(struct rdmig_conn *conn)
{
    conn->u.source.data_bytes_pending++;
    return true;
}

static bool miscount_flight(struct rdmig_conn *conn)
{
    conn->u.source.flight_bytes++;
    return true;
}

static bool overfill_stream(struct rdmig_conn *conn)
{
    conn->u.source.stream_bytes = conn->config.stream_message_bytes + 1;
    return true;
}

static bool hold_slot_for_nothing(struct rdmig_conn *conn)
{
    struct source *source = &conn->u.source;

    source->stream_slot = source->stream_slot == NO_SLOT ? 0 : NO_SLOT;
    return true;
}

static bool overfill_runs(struct rdmig_conn *conn)
{
    conn->u.source.run_count = RDMIG_REGISTER_BATCH_MAX + 1;
    return true;
}

static bool overfill_asked(struct rdmig_conn *conn)
{
    conn->u.source.run_asked_count = conn->u.source.run_count + 1;
    return true;
}

static bool overfill_answered(struct rdmig_conn *conn)
{
    conn->u.source.run_answered_count = conn->u.source.run_asked_count + 1;
    return true;
}

static bool miscount_credits(struct rdmig_conn *conn)
{
    conn->u.source.credit_count++;
    return conn->phase == RDMIG_PHASE_RUNNING;
}

static bool pin_too_much(struct rdmig_conn *conn)
{
    conn->u.source.pinned_bytes = conn->u.source.pinned_limit_bytes + 1;
    /* A hostile destination's limit may be the largest number there is. */
    return conn->u.source.pinned_limit_bytes != 0 &&
           conn->u.source.pinned_limit_bytes != UINT64_MAX;
}

static bool miscount_pinned(struct rdmig_conn *conn)
{
    struct source *source = &conn->u.source;

    if (source->pinned_limit_bytes == 0 || source->pinned_bytes == 0)
        return false;
    source->pinned_bytes--;
    return true;
}

static bool send_beside_alone(struct rdmig_conn *conn)
{
    struct source *source = &conn->u.source;

    source->commands[source->command_head].type = RDMIG_MESSAGE_QEMU_FILE;
    return source->command_count > 1;
}

static bool answer_the_second(struct rdmig_conn *conn)
{
    struct source *source = &conn->u.source;
    struct command *second = &source->commands[(source->command_head + 1) % RDMIG_CREDIT_COUNT_MAX];

    second->type = RDMIG_MESSAGE_REGISTER_REQUEST;
    second->is_answered = true;
    return source->command_count > 1;
}

static bool overfill_releases(struct rdmig_conn *conn)
{
    conn->u.source.unregistration_count = UNREGISTRATION_COUNT_MAX + 1;
    return true;
}

static bool keep_range(struct rdmig_conn *conn)
{
    struct source *source = &conn->u.source;

    if (source->range_count != 0)
        return false;
    source->round = ROUND_NONE;
    source->ranges[source->range_head % RDMIG_RANGE_QUEUE_COUNT].state = STEP_DONE;
    source->range_count = 1;
    return true;
}

/* ---- destination */

static bool lose_slot(struct rdmig_conn *conn)
{
    struct destination *destination = &conn->u.destination;

    destination->slot = destination->slot == NO_SLOT ? 0 : NO_SLOT;
    return conn->phase == RDMIG_PHASE_RUNNING;
}

static bool give_slot_away(struct rdmig_conn *conn)
{
    struct destination *destination = &conn->u.destination;

    if (destination->slot == NO_SLOT)
        return false;
    conn->recv_slots[destination->slot].state = SLOT_FREE;
    return true;
}

static bool give_too_much(struct rdmig_conn *conn)
{
    conn->u.destination.credits_outstanding++;
    return conn->phase == RDMIG_PHASE_RUNNING;
}

static bool obey_twice(struct rdmig_conn *conn)
{
    conn->u.destination.entry_index = conn->u.destination.entry_count + 1;
    return true;
}

/* ---- all of them */

struct damage {
    damager *damage;
    const char *name; /* as the core calls what does not hold */
};

enum { DAMAGES_COMMON = 4, DAMAGES_SOURCE = 16, DAMAGES_DESTINATION = 4 };

static const struct damage common[DAMAGES_COMMON] = {
    {overfill_queue, "no more work than the send queue holds"},
    {miscount_sends, "send slots in hardware are the outstanding SENDs"},
    {fail_for_nothing, "what fails has a reason"},
    {close_too_early, "nothing is outstanding when closed"},
};

static const struct damage of_source[DAMAGES_SOURCE] = {
    {overfill_ranges, "no more ranges than the queue holds"},
    {miscount_pending, "pending bytes are those queued and those in flight"},
    {miscount_data, "pending data is what is queued and no zeros, and what is in flight"},
    {miscount_flight, "bytes in flight are those of the outstanding writes"},
    {overfill_stream, "stream bytes fit their message"},
    {hold_slot_for_nothing, "a stream slot is held exactly while it has bytes"},
    {overfill_runs, "no more runs than a batch holds, no more asked for, no more answered"},
    {overfill_asked, "no more runs than a batch holds, no more asked for, no more answered"},
    {overfill_answered, "no more runs than a batch holds, no more asked for, no more answered"},
    {miscount_credits, "credits are here, to come, or spent on outstanding commands"},
    {pin_too_much, "no more is pinned than the limit allows"},
    {miscount_pinned, "pinned bytes are those of the regions"},
    {send_beside_alone, "an exclusive command is the only one"},
    {answer_the_second, "answers are for the oldest command"},
    {overfill_releases, "no more regions are unregistered than the list holds"},
    {keep_range, "ranges belong to a round"},
};

static const struct damage of_destination[DAMAGES_DESTINATION] = {
    {lose_slot, "a receive slot is held exactly while its message is handled"},
    {give_slot_away, "the slot of the command is ours"},
    {give_too_much,
     "credits are outstanding, to be given, or spent on commands that are handled or wait"},
    {obey_twice, "each request is handled once"},
};

static const struct damage *pick_damage(struct ours *ours)
{
    const bool is_source = ours->party.role == RDMIG_ROLE_SOURCE;
    const uint32_t own_count = is_source ? DAMAGES_SOURCE : DAMAGES_DESTINATION;
    const uint32_t which = choice_below(ours->party.world->choice, DAMAGES_COMMON + own_count);

    if (which < DAMAGES_COMMON)
        return &common[which];
    return is_source ? &of_source[which - DAMAGES_COMMON] : &of_destination[which - DAMAGES_COMMON];
}

void ours_check_invariants_notice(struct ours *ours)
{
    const struct damage *damage = pick_damage(ours);
    struct rdmig_conn copy = *ours->conn; /* what it points to stays the connection's own */
    const char *wrong;

    if (!damage->damage(&copy))
        return;
    wrong = rdmig_conn_check(&copy);
    if (!wrong || strcmp(wrong, damage->name) != 0)
        world_break(ours->party.world, "invariant unnoticed", "%s: %s, says the core, where \"%s\"",
                    role_name(ours->party.role), wrong ? wrong : "all is well", damage->name);
}
