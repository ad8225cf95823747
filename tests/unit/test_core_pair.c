/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A source and a destination joined by made-up hardware (support/pair.h), hundreds of times, each
 * seed another order of all that can happen: a guest that dirties its memory while it is sent; RAM
 * and stream must be equal at the end. With faults: both sides must come to CLOSED, and the source
 * must never believe in a delivery that did not happen.
 */
#include "support/pair.h"

#include <stdlib.h>
#include <string.h>

static const struct rdmig_conn_config dynamic_single = {.run_chunk_count = 2};
static const struct rdmig_conn_config dynamic_batch = {
    .run_chunk_count = 1, .register_batch_count = 64, .signal_interval = 5, .send_queue_depth = 16};
static const struct rdmig_conn_config pinned = {
    .capability_flags = 1, .write_bytes_max = 64 * 4096, .stream_message_bytes = 100};

static const struct rdmig_conn_config pipelined = {.capability_flags = RDMIG_CAPABILITY_PIPELINE,
                                                   .run_chunk_count = 2};
static const struct rdmig_conn_config limited = {.capability_flags = RDMIG_CAPABILITY_PIPELINE,
                                                 .pinned_bytes_max = 2 * MIB};

static void run_seeds(const struct rdmig_conn_config *config, uint64_t count)
{
    struct world *world = malloc(sizeof(*world));
    uint32_t released = 0;

    assert_non_null(world);
    for (uint64_t seed = 1; seed <= count; seed++) {
        pair_begin(world, seed, config, config);
        pair_run_whole(world, seed);
        assert_int_equal(world->agreed_flags, config->capability_flags);
        released += world->released;
    }
    if ((config->capability_flags & 1) == 0)
        assert_true(released > count / 20); /* or regions were hardly ever evicted */
    free(world);
}

/* Clause: C8, C9, C10, C11, C15, S9 */
static void test_core_pair__dynamic_one_run_at_a_time__arrives_equal(void **state)
{
    (void)state;
    run_seeds(&dynamic_single, 300);
}

/* Clause: C8, C9, C10, C11, C15, R4, S9 */
static void test_core_pair__dynamic_batches_of_64__arrives_equal(void **state)
{
    (void)state;
    run_seeds(&dynamic_batch, 300);
}

/* Clause: C8, C9, C10, C11, C15, R7, S9 */
static void test_core_pair__pin_all__arrives_equal(void **state)
{
    (void)state;
    run_seeds(&pinned, 300);
}

/* ---- faults */

static void break_something(struct world *world)
{
    struct fabric *fabric = &world->fabric;
    struct fabric_side *side =
        fabric_below(fabric, 2) == 0 ? &fabric->source : &fabric->destination;

    switch (fabric_below(fabric, 3)) {
    case 0:
        FABRIC_FEED(fabric, side, CANCEL_REQUESTED);
        break;
    case 1:
        fabric_cut(fabric);
        break;
    default:
        if (side->operations.count > 0) {
            struct rdmig_event event = {.kind = RDMIG_EVENT_COMPLETED,
                                        .tag = side->operations.actions[0].tag,
                                        .status = RDMIG_STATUS_ERROR,
                                        .os_code = 12};

            side->operations.count--;
            memmove(&side->operations.actions[0], &side->operations.actions[1],
                    side->operations.count * sizeof(side->operations.actions[0]));
            fabric_feed(fabric, side, event);
        }
        break;
    }
}

/* A destination waits for its source as long as its application likes: here no longer. Nothing else
 * waits for ever. */
static void give_up_waiting(struct world *world, uint64_t seed)
{
    if (rdmig_conn_phase(world->fabric.destination.conn) != RDMIG_PHASE_CONNECTING)
        fail_msg("seed %llu: stuck, stage %d", (unsigned long long)seed, (int)world->stage);
    FABRIC_FEED(&world->fabric, &world->fabric.destination, CANCEL_REQUESTED);
}

static bool run_broken(struct world *world, uint64_t seed, const struct rdmig_conn_config *config)
{
    uint32_t fault_at;
    uint32_t waits = 0;
    uint32_t moves = 0;
    bool has_failed;

    pair_begin(world, seed, config, config);
    fault_at = fabric_below(&world->fabric, 700);
    for (; moves < MOVES_MAX && !pair_is_closed(world); moves++) {
        if (moves == fault_at)
            break_something(world);
        if (world->stage ==
            DONE) /* the source believes that it has been delivered: so it must be */
            assert_true(world->stream_consumed + world->fabric.destination.delivered_bytes ==
                            STREAM_TOTAL + 1 ||
                        world->fabric.destination.recv_cqes.count > 0 ||
                        world->fabric.destination.is_undrained ||
                        rdmig_conn_failure(world->fabric.destination.conn));
        if (pair_move(world))
            continue;
        if (!fabric_wait(&world->fabric))
            give_up_waiting(world, seed);
        assert_true(++waits < 100);
    }
    assert_true(pair_is_closed(world));
    has_failed = rdmig_conn_failure(world->fabric.source.conn) &&
                 rdmig_conn_failure(world->fabric.destination.conn);
    fabric_close(&world->fabric);
    return has_failed;
}

/* Clause: E3, E6, E7, E8, E9, E10, C17 */
static void test_core_pair__with_a_fault__both_sides_close_and_nobody_is_deceived(void **state)
{
    static const struct rdmig_conn_config *const configs[] = {&dynamic_single, &dynamic_batch,
                                                              &pinned, &pipelined, &limited};
    struct world *world = malloc(sizeof(*world));
    uint32_t failed_count = 0;

    (void)state;
    assert_non_null(world);
    for (uint64_t seed = 1; seed <= 1000; seed++) {
        struct rdmig_conn_config config = *configs[seed % 5];

        config.reply_timeout_ns = 5 * SECOND;
        config.connect_timeout_ns = 5 * SECOND;
        config.probe_interval_ns = SECOND;
        config.close_timeout_ns = SECOND;
        failed_count += run_broken(world, seed, &config) ? 1 : 0;
    }
    assert_in_range(failed_count, 160,
                    840); /* both kinds are tried: that end in time, and that do not */
    free(world);
}
int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_core_pair__dynamic_one_run_at_a_time__arrives_equal),
        cmocka_unit_test(test_core_pair__dynamic_batches_of_64__arrives_equal),
        cmocka_unit_test(test_core_pair__pin_all__arrives_equal),
        cmocka_unit_test(test_core_pair__with_a_fault__both_sides_close_and_nobody_is_deceived),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
