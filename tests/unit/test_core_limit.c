/* SPDX-License-Identifier: BSD-2-Clause */
/* The limit on pinned memory: what the source asks for, and what the destination refuses. */
#include "support/peer.h"

#define PIPELINE RDMIG_CAPABILITY_PIPELINE

/* ---- the destination */

/* Clause: R14, W2 */
static void test_core_limit__destination__pin_all__only_for_ram_that_fits(void **state)
{
    static const struct {
        uint64_t limit_bytes;
        uint64_t ram_bytes;
        uint32_t flags; /* of the source's offer */
        uint32_t granted;
    } cases[] = {
        {5 * MIB, 5 * MIB, PIPELINE | 1, PIPELINE | 1},
        {5 * MIB, 5 * MIB + 1, PIPELINE | 1, PIPELINE},
        {5 * MIB, UINT64_MAX, PIPELINE | 1, PIPELINE},
        {5 * MIB, 0, PIPELINE | 1, PIPELINE}, /* not known */
        {0, 0, PIPELINE | 1, PIPELINE | 1},
        {0, UINT64_MAX, PIPELINE | 1, PIPELINE | 1},
        {5 * MIB, 6 * MIB, 1, 1}, /* of stock the kernel will have to say no */
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct rdmig_conn_config limited = {.capability_flags = PIPELINE | 1,
                                                  .pinned_bytes_max = cases[i].limit_bytes};
        struct bench *bench = destination_at(DESTINATION_IS_CONNECTING, &limited);

        bench_request_pipelined(bench, cases[i].flags, 4, cases[i].ram_bytes);
        assert_int_equal(rdmig_conn_capability_flags(bench->conn), cases[i].granted);
        assert_int_equal(bytes_u32((const uint8_t *)bench->last[RDMIG_ACTION_ACCEPT].bytes + 4),
                         cases[i].granted);
        bench_close(bench);
    }
}

/* Clause: R14 */
static void test_core_limit__destination__beyond_the_limit__fails(void **state)
{
    const struct rdmig_conn_config limited = {.capability_flags = PIPELINE,
                                              .pinned_bytes_max = 3 * MIB};
    struct bench *bench = destination_at(DESTINATION_IS_LISTED, &limited);

    (void)state;
    bench->is_quiet = true;
    destination_receive_register(bench, 0, 0, 1);
    destination_receive_register(bench, 0, 0, 1); /* it is there: counts once (clause R6) */
    destination_receive_register(bench, 0, 0, 0);
    destination_receive_register(bench, 1, 0, 0); /* just fits */
    assert_null(rdmig_conn_failure(bench->conn));
    destination_receive_unregister(bench, 0, 0);
    destination_receive_register(bench, 0, 2, 1); /* a chunk and its last page */
    assert_null(rdmig_conn_failure(bench->conn));
    bench_begin(bench);
    destination_receive_register(bench, 1, 1, 0);
    bench_expect_failure(bench, RDMIG_REASON_PINNED_LIMIT);
    EXPECT(bench, "> RECEIVED r2 REGISTER_REQUEST x1 [key=0x100000 block=1 chunks=0]\n"
                  "< POST_SEND s1 ERROR x1\n");
    assert_int_equal(rdmig_conn_failure(bench->conn)->expected, 3 * MIB);
    assert_int_equal(rdmig_conn_failure(bench->conn)->actual, 3 * MIB + 4096);
    assert_int_equal(rdmig_conn_failure(bench->conn)->block_index, 1);
    assert_int_equal(rdmig_conn_failure(bench->conn)->message_type, RDMIG_MESSAGE_REGISTER_REQUEST);
    bench_close(bench);
}

/* The source had less RAM when it asked for PIN_ALL, or said so. Clause: R14 */
static void test_core_limit__destination__pin_all_of_more_than_was_said__fails(void **state)
{
    const struct rdmig_conn_config limited = {.capability_flags = PIPELINE | 1,
                                              .pinned_bytes_max = BLOCK0_BYTES + BLOCK1_BYTES - 1};
    struct bench *bench = destination_at(DESTINATION_IS_CONNECTING, &limited);

    (void)state;
    bench->is_quiet = true;
    bench_request_pipelined(bench, PIPELINE | 1, 4, 4096);
    assert_int_equal(rdmig_conn_capability_flags(bench->conn), PIPELINE | 1);
    FEED(bench, ESTABLISHED);
    destination_provide(bench);
    bench->automatic = AUTO_SEND;
    bench_receive_plain(bench, RDMIG_MESSAGE_RAM_BLOCKS_REQUEST);
    bench_begin(bench);
    COMPLETE(bench, "o1", OK, .rkey = 0xb0);
    bench_expect_failure(bench, RDMIG_REASON_PINNED_LIMIT);
    EXPECT(bench, "> COMPLETED o1 OK rkey=0xb0\n"
                  "< POST_SEND s1 ERROR x1\n");
    assert_int_equal(rdmig_conn_failure(bench->conn)->expected, BLOCK0_BYTES + BLOCK1_BYTES - 1);
    assert_int_equal(rdmig_conn_failure(bench->conn)->actual, BLOCK0_BYTES + BLOCK1_BYTES);
    assert_int_equal(rdmig_conn_failure(bench->conn)->block_index, 1);
    assert_int_equal(rdmig_conn_failure(bench->conn)->message_type,
                     RDMIG_MESSAGE_RAM_BLOCKS_REQUEST);
    bench_close(bench);
}

/* Clause: R14 */
static void test_core_limit__destination__a_stock_source__is_not_held_to_it(void **state)
{
    const struct rdmig_conn_config limited = {.pinned_bytes_max = MIB};
    struct bench *bench = destination_at(DESTINATION_IS_LISTED, &limited);

    (void)state;
    destination_receive_register(bench, 0, 0, 1);
    assert_null(rdmig_conn_failure(bench->conn));
    bench_close(bench);
}

/* Clause: R14, R13 */
static void test_core_limit__source__pin_all_beyond_it__fails(void **state)
{
    static const uint64_t limits[] = {BLOCK0_BYTES + BLOCK1_BYTES, BLOCK0_BYTES + BLOCK1_BYTES - 1};

    (void)state;
    for (size_t i = 0; i < 2; i++) {
        const struct rdmig_conn_config limited = {.capability_flags = PIPELINE | 1,
                                                  .pinned_bytes_max = limits[i]};
        struct bench *bench = source_at(SOURCE_IS_CREDITED, &limited);

        FEED(bench, EXCHANGE_REQUESTED);
        if (i == 0) {
            source_receive_blocks(bench);
            source_push(bench, 1, 0, 4096);
            bench_expect_counts(bench, 1, 1);
            assert_null(rdmig_conn_failure(bench->conn));
        } else {
            bench_expect_failure(bench, RDMIG_REASON_PINNED_LIMIT);
        }
        bench_close(bench);
    }
}

/* ---- the source: how much it asks for */

static const uint64_t one_block[1] = {200 * MIB};

/* Clause: R13 */
static void test_core_limit__source__a_run__is_an_eighth_of_it(void **state)
{
    static const struct {
        uint64_t limit_bytes;
        uint32_t run_chunk_count;
        uint32_t extra_chunk_count; /* of the first run */
        uint32_t run_count;
    } cases[] = {
        {MIB, 64, 0, 1},         {2 * MIB - 1, 64, 0, 1}, {7 * MIB, 64, 0, 7},
        {16 * MIB, 64, 1, 8},    {23 * MIB, 64, 1, 11},   {24 * MIB, 64, 2, 8},
        {24 * MIB, 2, 1, 12},    {512 * MIB, 64, 63, 4},  {0, 64, 63, 4},
        {UINT64_MAX, 64, 63, 4},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct rdmig_conn_config config = {.capability_flags = PIPELINE,
                                                 .run_chunk_count = cases[i].run_chunk_count,
                                                 .pinned_bytes_max = cases[i].limit_bytes};
        struct bench *bench = peer_source(&config, 0, one_block, 1);

        bench->is_quiet = true;
        source_push(bench, 0, 0, 200 * MIB);
        assert_int_equal(bench_u32_of_sent(bench, 8), cases[i].run_count);
        assert_int_equal(bench_u32_of_sent(bench, 16 + 20), cases[i].extra_chunk_count);
        peer_serve(bench); /* all of it goes, whatever the limit */
        assert_int_equal(rdmig_conn_bytes_pending(bench->conn), 0);
        bench_close(bench);
    }
}

/* Clause: R13 */
static void test_core_limit__source__with_one__nothing_is_asked_for_ahead(void **state)
{
    const struct rdmig_conn_config config = {.capability_flags = PIPELINE,
                                             .pinned_bytes_max = 64 * MIB};
    struct bench *bench = peer_source(&config, 0, one_block, 1);

    (void)state;
    source_push_until(bench, 0, 0, 4096, 200 * MIB);
    EXPECT(bench, "> RANGE_PUSHED block=0 offset=0 length=4096 register_end=209715200\n"
                  "< POST_SEND s1 REGISTER_REQUEST x1 [key=0x0 block=0 chunks=7]\n"
                  "< REGISTER o1 block=0 offset=0 length=8388608 region=0\n");
    bench_close(bench);
}

/* Clause: R13, W11 */
static void test_core_limit__source__the_lesser_of_the_two__holds(void **state)
{
    static const uint64_t cases[][3] = {
        {0, 3 * MIB, 3}, {3 * MIB, 0, 3}, {3 * MIB, 5 * MIB, 3}, {5 * MIB, 3 * MIB, 3}, {0, 0, 4}};

    (void)state;
    for (size_t i = 0; i < 5; i++) {
        const struct rdmig_conn_config config = {.capability_flags = PIPELINE,
                                                 .pinned_bytes_max = cases[i][0]};
        struct bench *bench = peer_source(&config, cases[i][1], one_block, 1);

        source_push(bench, 0, 0, 200 * MIB);
        assert_int_equal(bench_u32_of_sent(bench, 8), cases[i][2]);
        bench_close(bench);
    }
}

/* Clause: R13 */
static void test_core_limit__source__less_than_a_chunk__fails(void **state)
{
    static const uint64_t lengths[2] = {4096, 2 * MIB};
    const struct rdmig_conn_config config = {.capability_flags = PIPELINE,
                                             .pinned_bytes_max = MIB - 1};
    struct bench *bench = peer_source(&config, 0, lengths, 2);

    (void)state;
    source_push(bench, 0, 0, 4096); /* this block's only chunk is shorter */
    peer_serve(bench);
    assert_null(rdmig_conn_failure(bench->conn));
    bench_begin(bench);
    source_push(bench, 1, 0, 4096);
    bench_expect_failure(bench, RDMIG_REASON_PINNED_LIMIT);
    EXPECT(bench, "> RANGE_PUSHED block=1 offset=0 length=4096\n"
                  "< POST_SEND s1 ERROR x1\n");
    assert_int_equal(rdmig_conn_failure(bench->conn)->expected, MIB - 1);
    assert_int_equal(rdmig_conn_failure(bench->conn)->actual, MIB);
    assert_int_equal(rdmig_conn_failure(bench->conn)->block_index, 1);
    bench_close(bench);
}

/* Clause: R13, E3 */
static void test_core_limit__source__less_than_a_chunk__nothing_goes_beside_the_error(void **state)
{
    const struct rdmig_conn_config config = {.capability_flags = PIPELINE,
                                             .pinned_bytes_max = MIB - 1};
    struct bench *bench = peer_source(&config, 0, one_block, 1);

    (void)state;
    for (uint64_t i = 0; i < 5; i++) /* one more than there are credits */
        source_push_zero(bench, 0, i * 8192, 4096);
    source_push(bench, 0, MIB, 4096);
    assert_null(rdmig_conn_failure(bench->conn));
    bench_begin(bench);
    peer_serve_one(bench);
    bench_expect_failure(bench, RDMIG_REASON_PINNED_LIMIT);
    EXPECT(bench, "> COMPLETED s1 OK\n"
                  "> RECEIVED r6 READY x1\n"
                  "< POST_SEND s5 ERROR x1\n");
    bench_close(bench);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_core_limit__destination__pin_all__only_for_ram_that_fits),
        cmocka_unit_test(test_core_limit__destination__beyond_the_limit__fails),
        cmocka_unit_test(test_core_limit__destination__pin_all_of_more_than_was_said__fails),
        cmocka_unit_test(test_core_limit__destination__a_stock_source__is_not_held_to_it),
        cmocka_unit_test(test_core_limit__source__pin_all_beyond_it__fails),
        cmocka_unit_test(test_core_limit__source__a_run__is_an_eighth_of_it),
        cmocka_unit_test(test_core_limit__source__with_one__nothing_is_asked_for_ahead),
        cmocka_unit_test(test_core_limit__source__the_lesser_of_the_two__holds),
        cmocka_unit_test(test_core_limit__source__less_than_a_chunk__fails),
        cmocka_unit_test(test_core_limit__source__less_than_a_chunk__nothing_goes_beside_the_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
