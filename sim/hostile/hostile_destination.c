/* SPDX-License-Identifier: BSD-2-Clause */
/* A hostile destination: answers each command, more or less, and gives the next credit. What it is
 * asked to fill it does not. */
#include "fail.h"
#include "hostile.h"

#include <stdlib.h>

enum { ENTRY_BYTES = 24, RESULT_BYTES = 16, BLOCK_BYTES = 32, BLOCKS_MANY = 16383 };

struct hostile_destination {
    struct hostile hostile;
    bool is_asked;                  /* for the connection: it takes one */
    uint32_t initial_ready_pending; /* READYs to be given that are for no command */
    uint8_t private_data[64];
    uint32_t private_data_bytes;
};

static struct hostile_destination *destination_of(struct hostile *hostile)
{
    return (struct hostile_destination *)(void *)hostile;
}

static void give_credit(struct hostile *hostile)
{
    uint32_t count = 1;

    if (hostile_does(hostile, HOSTILE_CREDIT))
        count = hostile_pick(hostile, 4);
    while (count-- > 0 && hostile_is_up(hostile))
        hostile_send_empty(hostile, TYPE_READY, 1);
}

/* Before an answer, where no READY belongs; or a message that is not due. */
static void preface(struct hostile *hostile)
{
    if (hostile_does(hostile, HOSTILE_CREDIT))
        hostile_send_empty(hostile, TYPE_READY, 1);
    if (hostile_is_up(hostile) && hostile_does(hostile, HOSTILE_ORDER))
        hostile_send_any(hostile);
}

/* ---- RAM_BLOCKS_RESULT */

/* The key of a block as a whole; 0 without pin-all. */
static uint32_t pin_block(struct hostile *hostile, uint32_t block)
{
    struct hostile_region whole = {block, 0, hostile_chunk_count(hostile, block), 0, true};

    if (!hostile->is_pin_all)
        return 0;
    whole.rkey =
        port_register(hostile->party.port, block, 0, hostile->blocks[block].length_bytes, true);
    hostile_add_region(hostile, &whole);
    return whole.rkey;
}

static void put_block(struct hostile *hostile, struct hostile_message *message, uint32_t index)
{
    struct hostile_block *block = &hostile->blocks[index % hostile->block_count];
    struct hostile_block told = *block;

    if (hostile_does(hostile, HOSTILE_ENTRIES)) {
        switch (hostile_pick(hostile, 5)) {
        case 0:
            told.offset_bytes = hostile_bend(hostile, 0 - block->length_bytes);
            break;
        case 1:
            told.addr = hostile_bend(hostile, 0 - block->length_bytes);
            break;
        case 2:
            told.length_bytes = hostile_bend(hostile, block->length_bytes);
            break;
        case 3:
            told.offset_bytes = hostile_bend(hostile, block->offset_bytes);
            break;
        default:
            told.rkey = hostile_bend32(hostile, block->rkey);
            break;
        }
    }
    hostile_put64(message, told.addr);
    hostile_put64(message, told.offset_bytes);
    hostile_put64(message, told.length_bytes);
    hostile_put32(message, told.rkey);
    hostile_put_padding(hostile, message);
    block->offset_bytes = told.offset_bytes;
}

static void answer_blocks(struct hostile *hostile)
{
    struct hostile_message message;
    uint32_t count = hostile->block_count;
    uint32_t pick;

    for (uint32_t i = 0; i < hostile->block_count; i++) {
        hostile->blocks[i].rkey = pin_block(hostile, i);
        if (hostile->is_odd[ODD_OFFSETS]) /* no two blocks need be near each other */
            hostile->blocks[i].offset_bytes += UINT64_C(1) << (40 + i % 20);
    }
    if (hostile_does(hostile, HOSTILE_ANSWERS)) {
        pick = hostile_pick(hostile, 8);
        count = pick < 3 ? count + pick : pick < 6 ? count - 1 : pick == 6 ? 0 : BLOCKS_MANY;
    }
    if (!hostile_begin(hostile, &message, TYPE_BLOCKS_RESULT))
        return;
    message.repeat = hostile->is_odd[ODD_PADDING] ? count % 4096 : 1;
    for (uint32_t i = 0; i < count; i++)
        put_block(hostile, &message, i);
    hostile_send(hostile, &message);
}

/* ---- REGISTER_RESULT, UNREGISTER_FINISHED */

/* Makes the region that an entry asks for, or finds it; 0: there can be none. */
static uint32_t register_run(struct hostile *hostile, const uint8_t *entry, uint32_t *block_index)
{
    const uint64_t key = hostile_get64(entry);
    const uint32_t index = hostile_get32(entry + 8);
    const uint64_t chunks = hostile_get64(entry + 16);
    const struct hostile_block *block = &hostile->blocks[index % hostile->block_count];
    const uint64_t position_bytes = key - block->offset_bytes;
    struct hostile_region run = {index, position_bytes / HOSTILE_CHUNK_BYTES, 0, 0, true};
    const struct hostile_region *known;
    uint64_t length_bytes;

    *block_index = index % hostile->block_count;
    if (index >= hostile->block_count || position_bytes >= block->length_bytes ||
        chunks >= hostile_chunk_count(hostile, index))
        return 0;
    known = hostile_find_region(hostile, index, run.first_chunk);
    if (known)
        return known->rkey;
    run.chunk_count = chunks + 1;
    length_bytes = block->length_bytes - run.first_chunk * HOSTILE_CHUNK_BYTES;
    if (length_bytes > run.chunk_count * HOSTILE_CHUNK_BYTES)
        length_bytes = run.chunk_count * HOSTILE_CHUNK_BYTES;
    run.rkey = port_register(hostile->party.port, index, run.first_chunk * HOSTILE_CHUNK_BYTES,
                             length_bytes, true);
    if (run.rkey != 0)
        hostile_add_region(hostile, &run);
    return run.rkey;
}

static void put_result(struct hostile *hostile, struct hostile_message *message, uint32_t rkey,
                       uint32_t block)
{
    uint64_t addr = hostile->blocks[block].addr;

    if (hostile_does(hostile, HOSTILE_ENTRIES)) {
        if (hostile_pick(hostile, 2) == 1)
            addr = hostile_bend(hostile, addr);
        else
            rkey = hostile_bend32(hostile, rkey);
    }
    hostile_put32(message, rkey);
    hostile_put_padding(hostile, message);
    hostile_put64(message, addr);
}

/* How many results it gives, and how many it says it does. */
static void bend_results(struct hostile *hostile, uint32_t asked_count, uint32_t *count,
                         uint32_t *repeat)
{
    *count = asked_count;
    *repeat = asked_count;
    if (asked_count > 1 && hostile->is_odd[ODD_SHORT_RESULTS])
        *count = 1;
    if (!hostile_does(hostile, HOSTILE_ANSWERS))
        return;
    switch (hostile_pick(hostile, 7)) {
    case 0:
        *count = asked_count + 1;
        break;
    case 1:
        *count = asked_count - (asked_count > 0 ? 1 : 0);
        break;
    case 2:
        *count = 0;
        break;
    case 3:
        *count = 1; /* stock's; with one asked for, repeat is wrong by that */
        *repeat = asked_count + 1;
        break;
    case 4:
        *repeat = hostile_bend32(hostile, asked_count);
        break;
    case 5:
        *count = 64;
        *repeat = 64;
        break;
    default: /* without a number: of one that is as good as with it */
        *count = asked_count > 0 ? 1 : 0;
        *repeat = 0;
        break;
    }
}

static void answer_register(struct hostile *hostile, const uint8_t *body, uint32_t length_bytes)
{
    const uint32_t asked_count = length_bytes / ENTRY_BYTES;
    struct hostile_message message;
    uint32_t count;
    uint32_t repeat;
    uint32_t block = 0;

    if (!hostile_begin(hostile, &message, TYPE_REGISTER_RESULT))
        return;
    bend_results(hostile, asked_count, &count, &repeat);
    message.repeat = repeat;
    for (uint32_t i = 0; i < count; i++) {
        uint32_t rkey = 0;

        if (i < asked_count)
            rkey = register_run(hostile, body + (uint64_t)i * ENTRY_BYTES, &block);
        put_result(hostile, &message, rkey, block);
    }
    hostile_send(hostile, &message);
}

static void answer_unregister(struct hostile *hostile, const uint8_t *body, uint32_t length_bytes)
{
    uint32_t repeat = 1;

    for (uint32_t i = 0; ENTRY_BYTES * (i + 1) <= length_bytes; i++) {
        const uint8_t *entry = body + (uint64_t)i * ENTRY_BYTES;
        struct hostile_region *region =
            hostile_find_region(hostile, hostile_get32(entry + 8), hostile_get64(entry));

        if (region) {
            (void)port_deregister(hostile->party.port, region->rkey);
            region->is_alive = false;
        }
    }
    if (hostile_does(hostile, HOSTILE_ANSWERS))
        repeat = hostile_bend32(hostile, repeat);
    hostile_send_empty(hostile, TYPE_UNREGISTERED, repeat);
}

/* ---- what comes */

static void received(struct hostile *hostile, const uint8_t *bytes, uint32_t length_bytes)
{
    const uint8_t *body = bytes + HOSTILE_HEADER_BYTES;
    struct hostile_header header;

    (void)hostile_read_header(bytes, length_bytes, &header);
    preface(hostile);
    if (!hostile_is_up(hostile))
        return;
    switch (header.type) {
    case TYPE_BLOCKS_REQUEST:
        answer_blocks(hostile);
        break;
    case TYPE_REGISTER:
        answer_register(hostile, body, header.length_bytes);
        break;
    case TYPE_UNREGISTER:
        answer_unregister(hostile, body, header.length_bytes);
        break;
    case TYPE_QEMU_FILE:
        /* With all of the guest in its hands it may think better of it. */
        if (hostile->party.world->handover_step != 0 && hostile_pick(hostile, 4) == 3)
            hostile_send_empty(hostile, TYPE_ERROR, 1);
        break;
    case TYPE_ERROR:
        hostile_leave(hostile);
        return;
    default:
        break;
    }
    give_credit(hostile);
}

/* The first READYs, as many as were agreed on; all others follow commands. */
static void act(struct hostile *hostile)
{
    struct hostile_destination *destination = destination_of(hostile);

    for (; destination->initial_ready_pending > 0 && hostile_is_up(hostile);
         destination->initial_ready_pending--)
        give_credit(hostile);
}

/* ---- the connection */

static void accept_connection(struct world *world, void *subject, uint64_t argument)
{
    struct hostile_destination *destination = subject;
    struct hostile *hostile = &destination->hostile;

    (void)world;
    (void)argument;
    if (hostile->life != LIFE_CONNECTING)
        return;
    if (hostile_does(hostile, HOSTILE_SILENCE)) {
        hostile_fall_silent(hostile);
        return;
    }
    if (hostile_does(hostile, HOSTILE_LEAVING)) {
        port_reject(hostile->party.port, destination->private_data,
                    destination->private_data_bytes);
        hostile_leave(hostile);
        return;
    }
    port_accept(hostile->party.port, destination->private_data, destination->private_data_bytes);
    if (hostile->is_odd[ODD_EARLY_READY] || hostile_does(hostile, HOSTILE_CREDIT)) {
        hostile->life = LIFE_UP;
        act(hostile);
    }
}

static void connect_requested(struct hostile_destination *destination, const struct cm_event *event)
{
    struct hostile *hostile = &destination->hostile;
    const struct options *options = hostile->party.world->options;
    const struct hostile_private offered = hostile_read_private(event);
    struct hostile_private granted = {
        .credit_count = offered.credit_count,
        .bytes = options->pinned_bytes_max[hostile->party.role],
    };
    bool is_pin_all = options->is_pin_all[hostile->party.role];
    uint64_t delay_ns;

    if (destination->is_asked)
        return;
    destination->is_asked = true;
    if (hostile->is_odd[ODD_PIN_ALL])
        is_pin_all = !is_pin_all;
    /* The fewer there are, the sooner there are too many. */
    if ((hostile->is_odd[ODD_FEW_CREDITS] || hostile->rates[HOSTILE_CREDIT].numerator > 0) &&
        offered.credit_count <= HOSTILE_CREDITS_MAX)
        granted.credit_count = 1 + hostile_pick(hostile, offered.credit_count);
    granted.flags =
        offered.flags & ((is_pin_all ? HOSTILE_FLAG_PIN_ALL : 0) |
                         (options->is_pipelined[hostile->party.role] ? HOSTILE_FLAG_PIPELINE : 0));
    hostile->is_pin_all = (granted.flags & HOSTILE_FLAG_PIN_ALL) != 0;
    destination->initial_ready_pending =
        (granted.flags & HOSTILE_FLAG_PIPELINE) != 0 ? granted.credit_count : 1;
    destination->private_data_bytes =
        hostile_private_data(hostile, &granted, destination->private_data);
    delay_ns = hostile_delay_ns(hostile);
    port_at(hostile->party.port, port_time_ns(hostile->party.port) + delay_ns, accept_connection,
            destination, 0);
}

static void managed(struct hostile *hostile, const struct cm_event *event)
{
    if (event->kind == CM_CONNECT_REQUESTED) {
        connect_requested(destination_of(hostile), event);
    } else if (event->kind == CM_ESTABLISHED) {
        hostile->life = LIFE_UP;
        hostile_plan_step(hostile);
    }
}

static void start(struct party *party)
{
    hostile_open((struct hostile *)(void *)party);
    port_listen(party->port);
}

struct party *hostile_destination_make(struct world *world, struct port *port)
{
    static const struct hostile_role role = {managed, received, act};
    static const struct party_class class = {
        .name = "hostile destination",
        .start = start,
        .completed = hostile_completed,
        .managed = hostile_managed,
        .cancel = hostile_cancel,
        .is_closed = hostile_is_closed,
        .is_pending = hostile_is_pending,
        .count = hostile_count,
        .free = hostile_free,
    };
    struct hostile_destination *destination = sim_allocated(calloc(1, sizeof(*destination)));

    hostile_init(&destination->hostile, world, port, &class, &role);
    port_attach(port, &destination->hostile.party);
    return &destination->hostile.party;
}
