/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The stock destination: reads the stream, and after a hook obeys commands about RAM until
 * REGISTER_FINISHED. It says READY when it wants the next message, and not before.
 */
#include "stock_destination.h"

#include "oracle.h"

#include <inttypes.h>
#include <stdlib.h>

static void run(struct stock_destination *destination);

/* ---- the end */

/* What had arrived is read first, and may be the end of the stream. */
static void lose(struct stock_destination *destination)
{
    stock_channel_lose(&destination->channel, stock_destination_patience, destination);
    run(destination);
}

static void take_guest(struct stock_destination *destination)
{
    struct party *party = &destination->party;
    struct world *world = party->world;

    oracle_owner_took(world->oracle, RDMIG_ROLE_DESTINATION);
    guest_resume(world->guest, world->ram[RDMIG_ROLE_DESTINATION], world->now_ns);
    party->numbers.resumed_ns = world->now_ns;
    party->numbers.completed_ns = world->now_ns;
    party->outcome = OUTCOME_COMPLETED;
    world_log(world, "stock destination has the guest");
    stock_destination_close(destination);
}

/* ---- the stream */

static void read_stream(struct stock_destination *destination)
{
    const struct stock_message *message = &destination->stream;
    uint32_t taken_bytes;
    const enum stream_word word =
        stream_read(&destination->reader, message->data + destination->stream_taken_bytes,
                    message->length_bytes - destination->stream_taken_bytes, &taken_bytes);

    destination->stream_taken_bytes += taken_bytes;
    if (destination->stream_taken_bytes == message->length_bytes) {
        destination->has_stream = false;
        stock_channel_give_back(&destination->channel, message->buffer);
    }
    switch (word) {
    case STREAM_HOOK:
        destination->mode = STOCK_MODE_COMMANDS;
        break;
    case STREAM_END:
        take_guest(destination);
        break;
    case STREAM_BROKEN:
        stock_destination_fail(destination, "the stream is broken");
        break;
    default:
        break;
    }
}

static void take_message(struct stock_destination *destination, const struct stock_message *message)
{
    const struct costs *costs = &destination->party.world->costs;

    destination->is_ready_given = false;
    if (message->type == STOCK_ERROR) {
        destination->is_ready_given = true; /* nothing is said to who has given up */
        stock_destination_fail(destination, "the source sent ERROR");
    } else if (destination->mode == STOCK_MODE_STREAM && message->type == STOCK_QEMU_FILE &&
               !destination->has_stream) {
        destination->has_stream = true;
        destination->stream = *message;
        destination->stream_taken_bytes = 0;
        stock_destination_spend(destination,
                                costs_time_ns(message->length_bytes, costs->copy_bytes_per_s));
        return;
    } else if (destination->mode == STOCK_MODE_COMMANDS) {
        stock_destination_obey(destination, message);
    } else {
        stock_destination_fail(destination, "a command without a hook");
    }
    stock_channel_give_back(&destination->channel, message->buffer);
}

/* ---- going on */

static bool send(struct stock_destination *destination, uint32_t type, uint32_t repeat,
                 uint32_t data_bytes)
{
    port_spend(destination->party.port, destination->party.world->costs.post_ns);
    if (stock_channel_keep(&destination->channel, 1) &&
        stock_channel_send(&destination->channel, type, repeat, data_bytes))
        return true;
    stock_destination_fail(destination, "a message cannot be posted");
    return false;
}

/* The next message is wanted: an answer is owed first, then READY is said, once. */
static bool ask_for_more(struct stock_destination *destination)
{
    if (destination->channel.is_lost) {
        /* Receives come back in their order: when none is out, nothing comes any more. */
        if (destination->channel.posted_count == 0)
            stock_destination_fail(destination, "the connection is lost");
        return false;
    }
    if (destination->answer_type != 0) {
        const uint32_t type = destination->answer_type;

        destination->answer_type = 0;
        return send(destination, type, destination->answer_repeat, destination->answer_bytes);
    }
    if (!destination->is_ready_given && send(destination, STOCK_READY, 1, 0))
        destination->is_ready_given = true;
    return false;
}

static bool run_once(struct stock_destination *destination)
{
    struct stock_message message;

    if (destination->fill.page_count > 0) {
        stock_destination_end_fill(destination);
        return true;
    }
    if (destination->channel.is_sending && !destination->channel.is_lost)
        return false;
    if (destination->has_stream && destination->mode == STOCK_MODE_STREAM) {
        read_stream(destination);
        return true;
    }
    if (destination->answer_type == 0 && stock_channel_take(&destination->channel, &message)) {
        take_message(destination, &message);
        return true;
    }
    return ask_for_more(destination);
}

/* As far as it goes without waiting. */
static void run(struct stock_destination *destination)
{
    while (destination->stage == STOCK_END_SERVING && !destination->is_planned &&
           run_once(destination)) {
    }
}

/* ---- what comes in */

static void destination_completed(struct party *party, const struct completion *completion)
{
    struct stock_destination *destination = (struct stock_destination *)party;
    const bool is_ok = completion->status == COMPLETION_OK;

    if (destination->stage == STOCK_END_CLOSED)
        return;
    port_spend(party->port, party->world->costs.poll_ns);
    switch ((enum stock_work)(completion->id >> STOCK_WORK_SHIFT)) {
    case STOCK_WORK_ERROR:
        stock_destination_close(destination);
        return;
    case STOCK_WORK_SEND:
        destination->channel.is_sending = false;
        break;
    case STOCK_WORK_RECV:
        if (destination->stage == STOCK_END_LEAVING)
            return;
        if (!stock_channel_received(&destination->channel, completion)) {
            destination->is_ready_given = false;
            stock_destination_fail(destination, "a message that is none");
        }
        break;
    case STOCK_WORK_WRITE:
        break;
    }
    if (!is_ok)
        lose(destination);
    else
        run(destination);
}

static void take_request(struct stock_destination *destination, const struct cm_event *event)
{
    const struct party *party = &destination->party;
    uint8_t bytes[STOCK_PRIVATE_BYTES];
    uint32_t version;
    uint32_t flags;

    if (!stock_read_private(event, &version, &flags) || version != STOCK_VERSION) {
        stock_write_private(bytes, STOCK_VERSION, 0);
        port_reject(party->port, bytes, sizeof(bytes));
        stock_destination_fail(destination, "another version there");
        return;
    }
    destination->is_pin_all =
        party->world->options->is_pin_all[RDMIG_ROLE_DESTINATION] && (flags & STOCK_PIN_ALL) != 0;
    destination->stage = STOCK_END_ACCEPTED;
    stock_write_private(bytes, STOCK_VERSION, destination->is_pin_all ? STOCK_PIN_ALL : 0);
    port_accept(party->port, bytes, sizeof(bytes));
}

static void destination_managed(struct party *party, const struct cm_event *event)
{
    struct stock_destination *destination = (struct stock_destination *)party;

    if (destination->stage >= STOCK_END_LEAVING) {
        if (event->kind == CM_DISCONNECTED)
            stock_destination_close(destination);
        return;
    }
    if (event->kind == CM_CONNECT_REQUESTED && destination->stage == STOCK_END_LISTENING) {
        take_request(destination, event);
    } else if (event->kind == CM_ESTABLISHED && destination->stage == STOCK_END_ACCEPTED) {
        party->numbers.connected_ns = port_time_ns(party->port);
        destination->stage = STOCK_END_SERVING;
        run(destination);
    } else if (event->kind == CM_DISCONNECTED && destination->stage == STOCK_END_SERVING) {
        /* Also when all of the stream has arrived, and only waits to be read (clause E13). */
        stock_destination_fail(destination, "the source left before the end was read");
    } else {
        stock_destination_fail(destination, "no connection");
    }
}

/* ---- the party */

static void destination_start(struct party *party)
{
    struct stock_destination *destination = (struct stock_destination *)party;
    const struct costs *costs = &party->world->costs;

    port_set_depths(party->port, STOCK_SEND_DEPTH, STOCK_RECV_DEPTH, STOCK_COMPLETION_DEPTH);
    port_set_wait(party->port, costs->stock_wait_ns, costs->wakeup_cpu_ns);
    destination->stage = STOCK_END_LISTENING;
    port_listen(party->port);
}

static void destination_cancel(struct party *party)
{
    struct stock_destination *destination = (struct stock_destination *)party;

    if (destination->stage == STOCK_END_LEAVING)
        stock_destination_close(destination);
    stock_destination_fail(destination, "cancelled");
}

static bool destination_is_closed(const struct party *party)
{
    return ((const struct stock_destination *)party)->stage == STOCK_END_CLOSED;
}

static bool destination_is_pending(const struct party *party, uint32_t block, uint64_t page)
{
    (void)party;
    (void)block;
    (void)page;
    return false;
}

static void destination_count(struct party *party)
{
    const struct stock_destination *destination = (const struct stock_destination *)party;
    const uint32_t block_count = party->world->options->guest.block_count;

    party->numbers.engine_bytes =
        sizeof(*destination) + (uint64_t)STOCK_RECV_COUNT * STOCK_RECV_BYTES;
    for (uint32_t i = 0; i < block_count; i++)
        party->numbers.engine_bytes +=
            destination->blocks[i].chunk_count * sizeof(*destination->blocks[i].rkeys);
}

static void destination_free(struct party *party)
{
    struct stock_destination *destination = (struct stock_destination *)party;

    for (uint32_t i = 0; i < OPTION_BLOCKS_MAX; i++)
        free(destination->blocks[i].rkeys);
    stock_channel_free(&destination->channel);
    free(destination);
}

struct party *stock_destination_make(struct world *world, struct port *port)
{
    static const struct party_class class = {
        .name = "stock destination",
        .start = destination_start,
        .completed = destination_completed,
        .managed = destination_managed,
        .cancel = destination_cancel,
        .is_closed = destination_is_closed,
        .is_pending = destination_is_pending,
        .count = destination_count,
        .free = destination_free,
    };
    struct stock_destination *destination = calloc(1, sizeof(*destination));

    if (!destination)
        abort();
    destination->party = (struct party){
        .class = &class, .world = world, .port = port, .role = RDMIG_ROLE_DESTINATION};
    {
        uint8_t header[STREAM_HEADER_BYTES_MAX];

        destination->reader.skip_bytes = stream_header(&world->options->guest, false, header);
    }

    destination->run = run;
    stock_channel_init(&destination->channel, &destination->party);
    destination->chunk_bytes = stock_chunk_bytes(world);
    for (uint32_t i = 0; i < world->options->guest.block_count; i++) {
        struct stock_destination_block *block = &destination->blocks[i];

        block->chunk_count = (world->options->guest.block_bytes[i] + destination->chunk_bytes - 1) /
                             destination->chunk_bytes;
        block->rkeys = calloc(block->chunk_count + 1, sizeof(*block->rkeys));
        if (!block->rkeys)
            abort();
    }
    return &destination->party;
}
