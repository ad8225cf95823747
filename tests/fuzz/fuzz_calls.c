/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Any public calls in any order with any arguments, on both handles over a pair of links in memory:
 * one byte names what is done, the bytes behind it are its arguments. A broken oracle is a crash
 * (tests/fuzz/calls/calls.h).
 */
#include "calls/calls.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length_bytes);

enum { TURN_NS = 10000, OP_COUNT_MAX = 400, OP_SLOT_COUNT = 64 };

/* ---- what is no call of the library */

static void turn(void)
{
    source_process();
    destination_serve();
    oracle_before("time");
    clock_advance(TURN_NS);
    oracle_after(CALLER_BOTH, 0);
}

static void do_turns(struct draw *draw)
{
    const uint32_t count = 1 + draw_below(draw, 24);

    for (uint32_t i = 0; i < count; i++)
        turn();
}

/* Both run until either has another state. */
static void do_run(struct draw *draw)
{
    const enum rdmig_source_state source = world.view.source.state;
    const enum rdmig_destination_state destination = world.view.destination.state;
    const bool is_either = draw_below(draw, 2) == 0;

    for (uint32_t i = 0; i < 80 && world.view.source.state == source &&
                         (!is_either || world.view.destination.state == destination);
         i++)
        turn();
}

static void do_advance(struct draw *draw)
{
    const uint32_t bits = draw_below(draw, 64);
    const uint64_t passed_ns = UINT64_C(1) << (bits < 58 ? bits % 40 : bits - 2);

    oracle_before("time");
    clock_advance(passed_ns);
    oracle_after(CALLER_BOTH, 0);
}

static void do_write(struct draw *draw)
{
    const uint32_t block = draw_below(draw, CALLS_BLOCK_COUNT);
    const uint64_t page = draw_below(draw, (uint32_t)guest_page_count(block));
    const uint8_t value = draw_byte(draw);

    guest_write(block, page, 1 + draw_below(draw, 40), value < 100 ? 0 : value);
}

static void do_manners(struct draw *draw)
{
    const uint8_t manners = draw_byte(draw);

    world.is_reading = (manners & 1) == 0;
    world.is_providing = (manners & 2) == 0;
    world.is_resuming = (manners & 4) == 0;
    world.is_confirming = (manners & 8) == 0;
    world.does_peer_run = (manners & 16) == 0;
}

static bool is_there(enum rdmig_role role)
{
    return role == RDMIG_ROLE_SOURCE ? world.source != NULL : world.destination != NULL;
}

static void do_kill(struct draw *draw)
{
    const uint8_t how = draw_byte(draw);
    const enum rdmig_role role = how & 1 ? RDMIG_ROLE_SOURCE : RDMIG_ROLE_DESTINATION;

    if (!is_there(role))
        return;
    world.causes |= CAUSE_KILL;
    if (role == RDMIG_ROLE_SOURCE)
        world.source_model.is_dead = true;
    else
        world.destination_model.is_dead = true;
    if (how & 2)
        pair_kill_after_messages(role, 1 + (how >> 3));
    else
        pair_kill(role, (how & 4) != 0);
}

static void do_fault(struct draw *draw)
{
    const uint8_t how = draw_byte(draw);
    const enum rdmig_role role = how & 1 ? RDMIG_ROLE_SOURCE : RDMIG_ROLE_DESTINATION;

    switch (how >> 1 & 7) {
    case 0:
        pair_fail_create();
        break;
    case 1:
        pair_slow_create(UINT64_C(1) << (how >> 4 << 1));
        break;
    case 2:
        pair_set_memlock((uint64_t)draw_byte(draw) << 16);
        world.causes |= CAUSE_LIMIT;
        break;
    case 3:
        pair_set_memlock(UINT64_MAX);
        break;
    case 4:
        if (is_there(role))
            pair_signal(role);
        break;
    default:
        if (is_there(role)) {
            pair_fail_register(role, 1 + (how >> 4));
            world.causes |= CAUSE_REGISTER;
        }
    }
}

/* Slots that are still free let both ends run: a new call takes the first of them, so that the corpus
 * keeps its meaning. */
static call_function *const ops[OP_SLOT_COUNT] = {
    do_turns,
    do_run,
    call_source_start_round,
    do_run,
    call_source_mark_dirty,
    do_write,
    call_source_mark_range,
    call_source_stream_write,
    call_source_finish,
    do_run,
    call_source_process,
    call_destination_process,
    call_source_begin_round,
    call_source_push,
    call_source_push,
    call_source_end_round,
    call_source_mark_free,
    call_source_guest_stopped,
    call_source_exchange_blocks,
    call_source_stream_flush,
    call_source_opening,
    call_source_wait,
    call_source_cancel,
    call_source_progress,
    call_destination_read,
    call_destination_resume,
    call_destination_confirm,
    call_destination_provide,
    call_destination_wait,
    call_destination_cancel,
    call_destination_progress,
    do_advance,
    do_manners,
    do_kill,
    do_fault,
    call_source_destroy,
    call_destination_destroy,
    call_source_create,
    call_destination_create,
    call_source_wait_closed,
    call_destination_wait_closed,
    call_source_set_trace,
    call_destination_set_trace,
    call_source_finish_with,
};

/* ---- a run */

/* Mostly two ends that meet; now and then the input makes them itself. */
static void open_ends(struct draw *draw)
{
    const uint8_t how = draw_byte(draw);
    struct rdmig_options source;
    struct rdmig_options destination;

    do_manners(draw);
    if ((how & 3) == 3)
        return;
    world.is_qemu = (how & 4) != 0;
    world.is_like_qemu = (how & 8) != 0;
    if (world.is_like_qemu)
        pair_hide_pipeline();
    draw_options(draw, world.is_qemu, &source);
    draw_options(draw, false, &destination);
    destination_create_sane(how & 16 ? &destination : NULL, (how & 32) == 0);
    source_create_sane(how & 64 || world.is_qemu ? &source : NULL);
}

static bool is_over(void)
{
    const enum rdmig_source_state source = world.view.source.state;
    const enum rdmig_destination_state destination = world.view.destination.state;

    return (!world.source ||
            (source >= RDMIG_SOURCE_COMPLETED && source != RDMIG_SOURCE_CANCELLING)) &&
           (!world.destination || destination >= RDMIG_DESTINATION_COMPLETED);
}

static bool is_closing(void)
{
    return world.view.source.state == RDMIG_SOURCE_CANCELLING ||
           world.view.destination.state == RDMIG_DESTINATION_CANCELLING;
}

/* A link of the fake tells one thing a call, and many may be waiting. */
static void finish_closing(void)
{
    for (uint32_t i = 0; i < 4000 && is_closing(); i++) {
        source_process();
        destination_process();
        if (i % 500 == 499) {
            oracle_before("time");
            clock_advance(UINT64_C(1000000000));
            oracle_after(CALLER_BOTH, 0);
        }
    }
}

/* Time enough for every limit, and a VMM that does what it should. */
static void settle(void)
{
    world.is_reading = world.is_providing = world.is_resuming = world.is_confirming = true;
    for (uint32_t i = 0; i < 60 && !is_over(); i++)
        turn();
    for (uint32_t i = 0; i < 24 && !is_over(); i++) {
        turn();
        turn();
        oracle_before("time");
        clock_advance(UINT64_C(1000000000) << (i / 4));
        oracle_after(CALLER_BOTH, 0);
    }
    if (!is_over())
        turn();
    finish_closing();
    oracle_settled();
}

static void reset(void)
{
    uint8_t *written = world.written ? world.written : malloc(CALLS_STREAM_MAX);

    memset(&world, 0, sizeof(world));
    world.written = written;
    pair_reset();
    clock_reset();
    guest_reset();
}

static void do_op(struct draw *draw)
{
    call_function *const op = ops[draw_below(draw, OP_SLOT_COUNT)];

    (op ? op : do_run)(draw);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t length_bytes)
{
    struct draw draw = {bytes, length_bytes};
    uint32_t open_count;

    reset();
    require(world.written != NULL, "no memory");
    open_count = clock_open_count();
    open_ends(&draw);
    for (uint32_t i = 0; i < OP_COUNT_MAX && draw.left_bytes > 0; i++)
        do_op(&draw);
    if ((length_bytes & 3) != 0)
        settle();
    if (length_bytes & 4)
        source_destroy();
    destination_destroy();
    source_destroy();
    require(pair_counts()->live_link_count == 0, "a link is still there");
    require(clock_open_count() == open_count, "a descriptor is still open");
    return 0;
}
