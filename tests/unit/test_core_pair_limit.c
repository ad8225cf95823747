/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A source and a destination of ours, several outstanding commands between them, and a limit on
 * pinned memory at either end: whatever the order in which things happen, and wherever the ranges
 * come from, all arrives, and neither end ever has more registered than the limit (the fabric's
 * oracles see to that).
 */
#include "support/pair.h"

#include <stdlib.h>

#define PIPELINE  RDMIG_CAPABILITY_PIPELINE
#define RAM_BYTES (8 * MIB + 12288)

struct variant {
    struct rdmig_conn_config source;
    struct rdmig_conn_config destination;
    bool is_shuffled;
};

static uint64_t least(uint64_t a, uint64_t b)
{
    return a == 0 || (b != 0 && b < a) ? b : a;
}

/* Returns how many commands were outstanding at a time, at most. */
static uint32_t run_variant(const struct variant *variant, uint64_t first_seed, uint64_t count)
{
    struct world *world = malloc(sizeof(*world));
    const bool is_told = (variant->source.capability_flags & PIPELINE) != 0;
    uint32_t outstanding_count = 0;

    assert_non_null(world);
    for (uint64_t seed = first_seed; seed < first_seed + count; seed++) {
        uint64_t limit_bytes = variant->source.pinned_bytes_max;

        if (is_told)
            limit_bytes = least(limit_bytes, variant->destination.pinned_bytes_max);
        pair_begin(world, seed, &variant->source, &variant->destination);
        world->is_shuffled = variant->is_shuffled;
        world->fabric.source.pinned_limit_bytes = limit_bytes;
        world->fabric.destination.pinned_limit_bytes = limit_bytes;
        pair_run_whole(world, seed);
        if (limit_bytes != 0 && limit_bytes < RAM_BYTES)
            assert_in_range(world->fabric.source.pinned_bytes_max, 4096, limit_bytes);
        if (world->fabric.command_count_max > outstanding_count)
            outstanding_count = world->fabric.command_count_max;
    }
    free(world);
    return outstanding_count;
}

/* Clause: W11, C8, C9, C10, C15, C16, C17, C18, R12 */
static void test_core_pair_limit__pipelined__arrives_equal(void **state)
{
    static const struct variant variants[] = {
        {.source = {.capability_flags = PIPELINE, .run_chunk_count = 1},
         .destination = {.capability_flags = PIPELINE}},
        {.source = {.capability_flags = PIPELINE, .signal_interval = 5, .send_queue_depth = 16},
         .destination = {.capability_flags = PIPELINE, .send_queue_depth = 16},
         .is_shuffled = true},
        {.source = {.capability_flags = PIPELINE | 1, .stream_message_bytes = 100},
         .destination = {.capability_flags = PIPELINE | 1}},
    };

    (void)state;
    for (size_t i = 0; i < 3; i++)
        assert_in_range(run_variant(&variants[i], 1 + 1000 * i, 60), 2, 4);
}

/* Clause: R13, R14, R8, C16, C17, C18 */
static void test_core_pair_limit__a_limit__all_arrives_within_it(void **state)
{
    static const uint64_t limits[] = {MIB, MIB + 4096, 2 * MIB, 3 * MIB, 5 * MIB, 64 * MIB};

    (void)state;
    for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
        struct variant variant = {
            .source = {.capability_flags = PIPELINE, .pinned_bytes_max = limits[i]},
            .destination = {.capability_flags = PIPELINE}};

        run_variant(&variant, 1, 15);
        variant.is_shuffled = true;
        run_variant(&variant, 100, 40);
        /* The same said by the destination, or by both, one with less. */
        variant.source.pinned_bytes_max = 0;
        variant.destination.pinned_bytes_max = limits[i];
        run_variant(&variant, 200, 10);
        variant.source.pinned_bytes_max = 4 * MIB;
        run_variant(&variant, 300, 10);
    }
}

/* Clause: R13, R8 */
static void
test_core_pair_limit__a_limit_of_the_source_alone__holds_for_a_stock_destination(void **state)
{
    static const uint64_t limits[] = {MIB, MIB + 8192, 3 * MIB};

    (void)state;
    for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
        struct variant variant = {.source = {.capability_flags = PIPELINE,
                                             .pinned_bytes_max = limits[i],
                                             .flight_bytes_max = 65536,
                                             .send_queue_depth = 16}};

        run_variant(&variant, 1, 15);
        variant.is_shuffled = true;
        variant.source.register_batch_count = 7;
        assert_int_equal(run_variant(&variant, 100, 30), 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_core_pair_limit__pipelined__arrives_equal),
        cmocka_unit_test(test_core_pair_limit__a_limit__all_arrives_within_it),
        cmocka_unit_test(
            test_core_pair_limit__a_limit_of_the_source_alone__holds_for_a_stock_destination),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
