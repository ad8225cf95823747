/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A destination of ours: what src/migration and a VMM do around the core. The stream is looked at
 * when it is delivered, as the library's parser does, and read a second time when it is consumed,
 * in portions and later, as a VMM does: its bytes must still be there then. A stock source sends no
 * PREPARE: its end mark alone hands the guest over.
 */
#include "ours.h"

#include "guest.h"
#include "oracle.h"
#include "stream.h"

#include <inttypes.h>

/* How long a VMM whose guest runs here waits for a stock source to leave. */
#define LINGER_NS UINT64_C(2000000000)

enum destination_stage {
    TAKING_LISTENING,
    TAKING_CONNECTED, /* the stream's beginning has not come yet */
    TAKING_RECEIVING,
    TAKING_PREPARED,   /* PREPARE has come: the VMM looks whether it can run the guest */
    TAKING_CONFIRMING, /* it can */
    TAKING_COMPLETED,
    TAKING_LEAVING
};

struct destination {
    struct ours ours; /* first */
    enum destination_stage stage;
    struct stream_reader parser; /* at delivery */
    struct stream_reader reader; /* at consumption */
    const uint8_t *message;
    uint64_t message_bytes; /* delivered, and not all consumed yet */
    uint64_t read_bytes;    /* of them */
    bool is_prepare_held;   /* PREPARE is in the message: it is consumed once it is confirmed */
    bool is_reading_planned;
    bool has_ended; /* the end mark has come */
};

static struct destination *destination_of(struct ours *ours)
{
    return (struct destination *)ours;
}

static bool is_peer_stock(const struct destination *destination)
{
    return destination->ours.party.world->options->kind[RDMIG_ROLE_SOURCE] == PARTY_STOCK;
}

/* ---- the ends */

static void leave(struct destination *destination)
{
    destination->stage = TAKING_LEAVING;
    destination->ours.party.outcome = OUTCOME_FAILED;
}

static void give_up(struct destination *destination)
{
    struct rdmig_event event = {.kind = RDMIG_EVENT_CANCEL_REQUESTED, .os_code = OURS_CANCEL_CODE};

    if (destination->stage >= TAKING_COMPLETED)
        return;
    leave(destination);
    (void)ours_step(&destination->ours, &event);
}

static void failed(struct ours *ours)
{
    struct destination *destination = destination_of(ours);

    /* Having confirmed, it owns the guest if the end mark arrives, until the very end. */
    if (destination->stage == TAKING_CONFIRMING && !ours->is_closed)
        return;
    if (destination->stage < TAKING_COMPLETED)
        leave(destination);
}

static void linger_over(struct world *world, void *subject, uint64_t argument)
{
    struct ours *ours = subject;

    (void)world;
    (void)argument;
    if (ours->is_closed || rdmig_conn_phase(ours->conn) != RDMIG_PHASE_RUNNING)
        return;
    (void)ours_ask(ours, RDMIG_EVENT_FINISH_REQUESTED);
    ours_go_on(ours);
}

/* The guest is ours. */
static void take_guest(struct destination *destination)
{
    struct ours *ours = &destination->ours;
    struct world *world = ours->party.world;
    const uint64_t now_ns = ours_now_ns(ours);

    destination->stage = TAKING_COMPLETED;
    ours->party.outcome = OUTCOME_COMPLETED;
    ours->party.numbers.resumed_ns = now_ns;
    ours->party.numbers.completed_ns = now_ns;
    oracle_owner_took(world->oracle, RDMIG_ROLE_DESTINATION);
    guest_resume(world->guest, world->ram[RDMIG_ROLE_DESTINATION], now_ns);
    /* A stock source still wants its READY, and leaves by itself. */
    if (is_peer_stock(destination))
        port_at(ours->party.port, now_ns + LINGER_NS, linger_over, ours, 0);
    else
        (void)ours_ask(ours, RDMIG_EVENT_FINISH_REQUESTED);
}

static void peer_ended(struct destination *destination)
{
    if (destination->has_ended)
        (void)ours_ask(&destination->ours, RDMIG_EVENT_FINISH_REQUESTED);
    else
        give_up(destination);
}

static void peer_ended_due(struct world *world, void *subject, uint64_t argument)
{
    struct ours *ours = subject;

    (void)world;
    (void)argument;
    if (rdmig_conn_phase(ours->conn) != RDMIG_PHASE_RUNNING)
        return;
    peer_ended(destination_of(ours));
    ours_go_on(ours);
}

/* A VMM may take its time to say what is to follow. */
static void take_peer_ended(struct destination *destination)
{
    struct ours *ours = &destination->ours;
    uint64_t jitter_ns;

    jitter_ns = world_jitter_ns(ours->party.world);
    if (jitter_ns > 0)
        port_at(ours->party.port, ours_now_ns(ours) + jitter_ns, peer_ended_due, ours, 0);
    else
        peer_ended(destination);
}

/* ---- the stream, when it is delivered */

static void prepared(struct world *world, void *subject, uint64_t argument)
{
    struct destination *destination = subject;

    (void)world;
    (void)argument;
    if (destination->stage != TAKING_PREPARED)
        return;
    destination->is_prepare_held = false;
    destination->stage = TAKING_CONFIRMING;
    ours_go_on(&destination->ours);
}

static void take_prepare(struct destination *destination)
{
    struct ours *ours = &destination->ours;

    if (destination->stage != TAKING_RECEIVING) {
        give_up(destination);
        return;
    }
    destination->stage = TAKING_PREPARED;
    destination->is_prepare_held = true;
    port_at(ours->party.port, ours_now_ns(ours) + world_jitter_ns(ours->party.world), prepared,
            destination, 0);
}

static void take_end(struct destination *destination)
{
    const enum destination_stage wanted =
        is_peer_stock(destination) ? TAKING_RECEIVING : TAKING_CONFIRMING;

    if (destination->stage != wanted) {
        give_up(destination); /* it hands over what nobody has said yes to */
        return;
    }
    destination->has_ended = true;
    take_guest(destination);
}

/* The first hook follows the list of blocks. A VMM may need to be asked for its own. */
static void take_hook(struct destination *destination)
{
    if (destination->stage != TAKING_CONNECTED)
        return;
    destination->stage = TAKING_RECEIVING;
    if (!ours_chance(&destination->ours, 4))
        ours_provide_blocks(&destination->ours);
}

static void take_word(struct destination *destination, enum stream_word word)
{
    struct ours *ours = &destination->ours;

    switch (word) {
    case STREAM_HOOK:
        take_hook(destination);
        break;
    case STREAM_PREPARE:
        take_prepare(destination);
        break;
    case STREAM_END:
        take_end(destination);
        break;
    case STREAM_BROKEN:
        if (ours->party.world->options->kind[RDMIG_ROLE_SOURCE] != PARTY_HOSTILE)
            world_break(ours->party.world, "stream", "word %" PRIu64 " is not the one sent",
                        destination->parser.word_count);
        give_up(destination);
        break;
    default:
        break;
    }
}

static void deliver(struct destination *destination, const struct rdmig_action *action)
{
    const uint8_t *bytes = action->bytes;
    uint64_t at = 0;

    if (destination->message_bytes != 0)
        world_break(destination->ours.party.world, "stream", "delivered before the last was read");
    destination->message = bytes;
    destination->message_bytes = action->length;
    destination->read_bytes = 0;
    destination->ours.unconsumed_bytes = action->length;
    while (at < action->length && destination->stage < TAKING_COMPLETED) {
        uint32_t taken_bytes;
        const enum stream_word word = stream_read(&destination->parser, bytes + at,
                                                  (uint32_t)(action->length - at), &taken_bytes);

        at += taken_bytes;
        take_word(destination, word);
    }
}

/* ---- the stream, when it is consumed */

/* What was delivered must be what is read now. */
static void read_portion(struct destination *destination, uint64_t length_bytes)
{
    struct world *world = destination->ours.party.world;
    const uint8_t *bytes = destination->message + destination->read_bytes;

    for (uint64_t at = 0; at < length_bytes;) {
        uint32_t taken_bytes;
        const enum stream_word word = stream_read(&destination->reader, bytes + at,
                                                  (uint32_t)(length_bytes - at), &taken_bytes);

        at += taken_bytes;
        if (word == STREAM_BROKEN && world->options->kind[RDMIG_ROLE_SOURCE] != PARTY_HOSTILE)
            world_break(world, "stream", "bytes changed between delivery and consumption");
    }
    port_spend(destination->ours.party.port,
               costs_time_ns(length_bytes, world->costs.copy_bytes_per_s));
}

static void consume(struct destination *destination)
{
    struct ours *ours = &destination->ours;
    struct rdmig_event event = {.kind = RDMIG_EVENT_STREAM_CONSUMED};

    event.length = destination->message_bytes - destination->read_bytes;
    if (ours_chance(ours, 4))
        event.length = 1 + choice_below(ours->party.world->choice, (uint32_t)event.length);
    read_portion(destination, event.length);
    destination->read_bytes += event.length;
    ours->unconsumed_bytes -= event.length;
    if (destination->read_bytes == destination->message_bytes)
        destination->message_bytes = 0;
    ours_tell(ours, &event);
}

static bool may_read(const struct destination *destination)
{
    return destination->message_bytes > 0 && !destination->is_prepare_held &&
           rdmig_conn_phase(destination->ours.conn) == RDMIG_PHASE_RUNNING;
}

static void reading_due(struct world *world, void *subject, uint64_t argument)
{
    struct destination *destination = subject;

    (void)world;
    (void)argument;
    destination->is_reading_planned = false;
    if (may_read(destination))
        consume(destination);
    ours_go_on(&destination->ours);
}

/* A VMM reads when it finds the time. True: it has read. */
static bool work(struct ours *ours)
{
    struct destination *destination = destination_of(ours);
    uint64_t jitter_ns;

    if (destination->is_reading_planned || !may_read(destination))
        return false;
    jitter_ns = world_jitter_ns(ours->party.world);
    if (jitter_ns == 0) {
        consume(destination);
        return true;
    }
    destination->is_reading_planned = true;
    port_at(ours->party.port, ours_now_ns(ours) + jitter_ns, reading_due, destination, 0);
    return false;
}

/* ---- notices and requests */

static void blocks_due(struct world *world, void *subject, uint64_t argument)
{
    struct ours *ours = subject;

    (void)world;
    (void)argument;
    if (rdmig_conn_phase(ours->conn) != RDMIG_PHASE_RUNNING)
        return;
    ours_provide_blocks(ours);
    ours_go_on(ours);
}

static void blocks_requested(struct destination *destination)
{
    struct ours *ours = &destination->ours;
    uint64_t jitter_ns;

    if (destination->stage == TAKING_CONNECTED) {
        give_up(destination); /* its stream has not named any */
        return;
    }
    jitter_ns = world_jitter_ns(ours->party.world);
    if (jitter_ns > 0)
        port_at(ours->party.port, ours_now_ns(ours) + jitter_ns, blocks_due, ours, 0);
    else
        ours_provide_blocks(ours);
}

static void notified(struct ours *ours, const struct rdmig_action *action)
{
    struct destination *destination = destination_of(ours);

    switch (action->kind) {
    case RDMIG_ACTION_NOTIFY_ESTABLISHED:
        ours->party.numbers.connected_ns = ours_now_ns(ours);
        destination->stage = TAKING_CONNECTED;
        break;
    case RDMIG_ACTION_REQUEST_BLOCKS:
        blocks_requested(destination);
        break;
    case RDMIG_ACTION_DELIVER_STREAM:
        deliver(destination, action);
        break;
    case RDMIG_ACTION_NOTIFY_PEER_ENDED:
        take_peer_ended(destination);
        break;
    case RDMIG_ACTION_NOTIFY_CLOSED:
        break;
    default:
        world_break(ours->party.world, "role", "the destination's core asks for %s",
                    rdmig_action_name(action->kind));
        break;
    }
}

/* ---- the class */

static void start(struct party *party)
{
    struct ours *ours = (struct ours *)party;

    if (ours_chance(ours, 4))
        ours_provide_blocks(ours); /* whatever the source will name */
    if (ours_chance(ours, 8))
        ours_start(ours); /* a queue pair may be ready for whoever comes */
    port_listen(party->port);
    ours_go_on(ours);
}

static void cancel(struct party *party)
{
    struct destination *destination = (struct destination *)party;

    if (destination->stage >= TAKING_CONFIRMING) {
        world_log(party->world, "destination cannot be cancelled any more");
        return;
    }
    give_up(destination);
    ours_go_on(&destination->ours);
}

static bool is_pending(const struct party *party, uint32_t block, uint64_t page)
{
    (void)party;
    (void)block;
    (void)page;
    return false;
}

static void destroy(struct party *party)
{
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
    .is_pending = is_pending,
    .count = ours_count,
    .free = destroy,
};

struct party *ours_destination_make(struct world *world, struct port *port)
{
    return &ours_make(sizeof(struct destination), world, port, &class, &application)->party;
}
