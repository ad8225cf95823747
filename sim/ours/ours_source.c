/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A source of ours: what src/migration and a VMM do around the core. Stages as there: the stream's
 * beginning, the blocks, the setup's empty round, rounds until little is left, the device state,
 * PREPARE, the end (clauses S5, S7, S8). A stock destination has no PREPARE, and wants a hook
 * before each round; another gets the hook all the same.
 */
#include "ours_source.h"

#include "fail.h"
#include "guest.h"
#include "oracle.h"

#include <stdlib.h>

enum { WORDS_AFTER_ROUND = 3 };

static struct source *source_of(struct ours *ours)
{
    return (struct source *)ours;
}

static bool is_peer_stock(const struct source *source)
{
    return source->ours.party.world->options->kind[RDMIG_ROLE_DESTINATION] == PARTY_STOCK;
}

/* ---- the outbox */

static void write_words(struct source *source, enum stream_word word, uint64_t count)
{
    struct outbox *outbox = &source->outbox;

    if (count == 0)
        return;
    if (outbox->item_count == OUTBOX_ITEMS)
        sim_fail("source", "more waits for the stream than there is room for");
    outbox->items[outbox->item_count].word = word;
    outbox->items[outbox->item_count].count = count;
    outbox->item_count++;
}

static bool is_outbox_empty(const struct source *source)
{
    return source->outbox.start == source->outbox.end && source->outbox.item_count == 0;
}

static void fill_outbox(struct outbox *outbox)
{
    if (outbox->start < outbox->end)
        return;
    outbox->start = 0;
    outbox->end = 0;
    while (outbox->item_count > 0 && outbox->end + STREAM_WORD_BYTES <= OUTBOX_BYTES) {
        outbox->end +=
            stream_write(&outbox->writer, outbox->items[0].word, outbox->bytes + outbox->end);
        if (--outbox->items[0].count > 0)
            continue;
        outbox->item_count--;
        for (uint32_t i = 0; i < outbox->item_count; i++)
            outbox->items[i] = outbox->items[i + 1];
    }
}

/* Gives the core what it takes, now and then in odd pieces; true when that was something. */
static bool pump_outbox(struct source *source)
{
    struct ours *ours = &source->ours;
    struct outbox *outbox = &source->outbox;
    const uint64_t room_bytes = rdmig_conn_stream_room_bytes(ours->conn);
    struct rdmig_event event = {.kind = RDMIG_EVENT_STREAM_WRITTEN};

    if (room_bytes == 0)
        return false;
    fill_outbox(outbox);
    event.bytes = outbox->bytes + outbox->start;
    event.length = outbox->end - outbox->start;
    if (event.length > room_bytes)
        event.length = room_bytes;
    if (event.length == 0)
        return false;
    if (ours_chance(ours, 4))
        event.length = 1 + choice_below(ours->party.world->choice, (uint32_t)event.length);
    port_spend(ours->party.port,
               costs_time_ns(event.length, ours->party.world->costs.copy_bytes_per_s));
    ours_tell(ours, &event);
    outbox->start += (uint32_t)event.length;
    return true;
}

/* ---- the ends of stages */

static bool close_round(struct source *source)
{
    source->ours.is_round_closing = ours_ask(&source->ours, RDMIG_EVENT_ROUND_CLOSED);
    return source->ours.is_round_closing;
}

static void exchanged(struct source *source)
{
    struct ours *ours = &source->ours;

    ours->is_exchanged = true;
    ours->party.numbers.exchanged_ns = ours_now_ns(ours);
    source->walker.is_pin_all =
        (rdmig_conn_capability_flags(ours->conn) & RDMIG_CAPABILITY_PIN_ALL) != 0;
    if ((rdmig_conn_capability_flags(ours->conn) & RDMIG_CAPABILITY_PIPELINE) != 0)
        ram_walker_look_far(&source->walker);
    if (close_round(source))
        source->stage = STAGE_ENDING_SETUP;
}

static void round_ended(struct source *source)
{
    struct ours *ours = &source->ours;

    ours->is_round_open = false;
    ours->is_round_closing = false;
    if (rdmig_conn_bytes_pending(ours->conn) != 0)
        world_break(ours->party.world, "pending", "bytes are pending after the end of a round");
    if (source->stage == STAGE_ENDING_ROUND)
        rounds_ended(source);
    source->stage = STAGE_IDLE;
    write_words(source, STREAM_DATA, WORDS_AFTER_ROUND);
}

static void complete(struct source *source)
{
    source->stage = STAGE_COMPLETED;
    source->ours.party.outcome = OUTCOME_COMPLETED;
}

static void handed_over(struct source *source)
{
    struct ours *ours = &source->ours;

    ours->party.numbers.completed_ns = ours_now_ns(ours);
    if (ours->config.leave_timeout_ns > 0)
        source->stage = STAGE_PARTING;
    else
        complete(source);
    (void)ours_ask(ours, RDMIG_EVENT_FINISH_REQUESTED);
}

/* A destination that says ERROR now may have the guest, or not. */
static void parted(struct source *source)
{
    const struct rdmig_failure *failure = rdmig_conn_failure(source->ours.conn);

    complete(source);
    if (failure && failure->reason == RDMIG_REASON_PEER_ERROR)
        source->ours.party.outcome = OUTCOME_UNKNOWN;
}

/* From here on the destination may own the guest (clause S8). */
static void hand_over(struct source *source)
{
    source->stage = STAGE_HANDING_OVER;
    oracle_owner_gave_up(source->ours.party.world->oracle, RDMIG_ROLE_SOURCE);
    write_words(source, STREAM_END, 1);
}

static void flushed(struct source *source)
{
    source->ours.is_flush_asked = false;
    if (source->stage == STAGE_HANDING_OVER)
        handed_over(source);
    else if (source->stage == STAGE_PREPARING && !rdmig_conn_failure(source->ours.conn))
        hand_over(source);
}

static void unregistered(struct source *source, uint32_t region)
{
    if (!source->ours.is_letting_go || source->ours.let_go_region != region ||
        ours_regions_find(&source->ours.regions, region))
        world_break(source->ours.party.world, "region",
                    "the source's core let go of what it was not asked to, or still has");
    source->ours.is_letting_go = false;
}

static void notified(struct ours *ours, const struct rdmig_action *action)
{
    struct source *source = source_of(ours);

    switch (action->kind) {
    case RDMIG_ACTION_NOTIFY_ESTABLISHED:
        ours->party.numbers.connected_ns = ours_now_ns(ours);
        source->stage = STAGE_OPENING;
        write_words(source, STREAM_DATA,
                    ours->party.world->options->prefix_bytes / STREAM_WORD_BYTES);
        write_words(source, STREAM_HOOK, 1);
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
    case RDMIG_ACTION_NOTIFY_UNREGISTERED:
        unregistered(source, action->region);
        break;
    case RDMIG_ACTION_NOTIFY_CLOSED:
        break;
    default:
        world_break(ours->party.world, "role", "the source's core asks for %s",
                    rdmig_action_name(action->kind));
        break;
    }
}

/* ---- failing */

/* The guest has not been handed over: it runs on here. */
static void leave(struct source *source, enum outcome outcome)
{
    struct ours *ours = &source->ours;
    struct world *world = ours->party.world;

    source->stage = STAGE_LEAVING;
    ours->party.outcome = outcome;
    if (outcome == OUTCOME_FAILED && source->is_guest_stopped)
        guest_resume(world->guest, world->ram[RDMIG_ROLE_SOURCE], ours_now_ns(ours));
}

static void failed(struct ours *ours)
{
    struct source *source = source_of(ours);

    /* While the guest is handed over, word that it has arrived may come until the end. */
    if (source->stage == STAGE_HANDING_OVER && ours->is_closed)
        leave(source, OUTCOME_UNKNOWN);
    else if (source->stage == STAGE_PARTING && ours->is_closed)
        parted(source);
    else if (source->stage < STAGE_HANDING_OVER)
        leave(source, OUTCOME_FAILED);
}

static void cancel(struct party *party)
{
    struct source *source = (struct source *)party;
    struct rdmig_event event = {.kind = RDMIG_EVENT_CANCEL_REQUESTED, .os_code = OURS_CANCEL_CODE};

    if (source->stage >= STAGE_HANDING_OVER) {
        world_log(party->world, "source cannot be cancelled any more");
        return;
    }
    leave(source, OUTCOME_FAILED);
    ours_tell(&source->ours, &event);
    ours_go_on(&source->ours);
}

/* ---- stages */

static bool ask_flush(struct source *source)
{
    struct ours *ours = &source->ours;
    struct rdmig_event event = {.kind = RDMIG_EVENT_FLUSH_REQUESTED,
                                .flush = source->stage == STAGE_PREPARING ? RDMIG_FLUSH_CONSUMED
                                                                          : RDMIG_FLUSH_DELIVERED};

    if (ours->is_flush_asked || !is_outbox_empty(source))
        return false;
    ours->is_flush_asked = ours_step(ours, &event) == RDMIG_OK;
    return ours->is_flush_asked;
}

static bool ask_exchange(struct source *source)
{
    struct ours *ours = &source->ours;

    ours_provide_blocks(ours);
    if (!is_outbox_empty(source) || !ours_ask(ours, RDMIG_EVENT_EXCHANGE_REQUESTED))
        return false;
    ours->is_exchange_asked = true;
    source->stage = STAGE_EXCHANGING;
    return true;
}

/* What comes after a round: another, or the end. */
static bool go_on_from_idle(struct source *source)
{
    if (source->is_guest_stopped) {
        write_words(source, STREAM_DATA,
                    source->ours.party.world->options->state_bytes / STREAM_WORD_BYTES);
        if (!is_peer_stock(source))
            write_words(source, STREAM_PREPARE, 1);
        source->stage = is_peer_stock(source) ? STAGE_STATE : STAGE_PREPARING;
    } else {
        write_words(source, STREAM_HOOK, 1);
        source->stage = STAGE_HOOKING;
    }
    return true;
}

static bool work(struct ours *ours)
{
    struct source *source = source_of(ours);

    if (source->stage == STAGE_CONNECTING || source->stage >= STAGE_PARTING)
        return false;
    if (pump_outbox(source)) {
        /* Nothing comes between: how they fare must be heard of. */
        if (source->stage == STAGE_HANDING_OVER && is_outbox_empty(source))
            (void)ask_flush(source);
        return true;
    }
    switch (source->stage) {
    case STAGE_OPENING:
        return ask_exchange(source);
    case STAGE_IDLE:
        return go_on_from_idle(source);
    case STAGE_HOOKING:
        if (is_outbox_empty(source))
            source->stage = STAGE_LETTING_GO;
        return source->stage == STAGE_LETTING_GO;
    case STAGE_LETTING_GO:
        if (source->ours.is_letting_go)
            return false;
        if (rounds_let_go(source))
            rounds_begin(source);
        return true;
    case STAGE_ROUND:
        return rounds_walk(source);
    case STAGE_STATE:
        if (is_outbox_empty(source))
            hand_over(source);
        return source->stage == STAGE_HANDING_OVER;
    case STAGE_PREPARING:
    case STAGE_HANDING_OVER:
        return ask_flush(source);
    default:
        return false;
    }
}

/* ---- the class */

static void start(struct party *party)
{
    struct ours *ours = (struct ours *)party;

    if (ours_chance(ours, 4))
        ours_provide_blocks(ours); /* they may come before there is a connection */
    ours_start(ours);
    ours_go_on(ours);
}

static void destroy(struct party *party)
{
    rounds_free((struct source *)party);
    ours_free((struct ours *)party);
}

static const struct ours_application application = {
    .notified = notified, .work = work, .failed = failed};

static const struct party_class class = {
    .name = "ours",
    .start = start,
    .completed = ours_completed,
    .managed = ours_managed,
    .cancel = cancel,
    .is_closed = ours_is_closed,
    .is_pending = rounds_is_pending,
    .count = ours_count,
    .free = destroy,
};

struct party *ours_source_make(struct world *world, struct port *port)
{
    struct ours *ours = ours_make(sizeof(struct source), world, port, &class, &application);

    rounds_make(source_of(ours));
    return &ours->party;
}
