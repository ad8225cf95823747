/* SPDX-License-Identifier: BSD-2-Clause */
/* RAM blocks: the exchange at both ends, and the limits of a block list. */
#include "support/drive.h"

#include <stdlib.h>

/* Clause: B1 */
static void test_core_blocks__source__asks_once(void **state)
{
    struct bench *bench = source_at(SOURCE_IS_CREDITED, NULL);

    (void)state;
    FEED(bench, EXCHANGE_REQUESTED);
    assert_int_equal(FEED(bench, EXCHANGE_REQUESTED), -RDMIG_E_STATE);
    source_receive_blocks(bench);
    assert_int_equal(FEED(bench, EXCHANGE_REQUESTED), -RDMIG_E_STATE);
    EXPECT(bench,
           "> EXCHANGE_REQUESTED\n"
           "< POST_SEND s1 RAM_BLOCKS_REQUEST x1\n"
           "> EXCHANGE_REQUESTED ! STATE\n"
           "> RECEIVED r1 RAM_BLOCKS_RESULT x1 [host=0x700000000 offset=0x40000000 length=0x301000 "
           "rkey=0xb0] [host=0x600000000 offset=0x0 length=0x200000 rkey=0xb1]\n"
           "< NOTIFY_BLOCKS_EXCHANGED\n"
           "> EXCHANGE_REQUESTED ! STATE\n");
    bench_close(bench);
}

/* Clause: B1, E1 */
static void test_core_blocks__source__nothing_about_ram_before_the_exchange(void **state)
{
    struct bench *bench = source_at(SOURCE_AWAITS_BLOCKS, NULL);
    struct bench *listless = source_at(SOURCE_IS_ESTABLISHED, NULL);

    (void)state;
    assert_int_equal(source_push(bench, 0, 0, 4096), -RDMIG_E_STATE);
    assert_int_equal(FEED(bench, ROUND_CLOSED), -RDMIG_E_STATE);
    assert_int_equal(rdmig_conn_range_room_count(bench->conn), 0);
    assert_int_equal(FEED(listless, EXCHANGE_REQUESTED), -RDMIG_E_STATE); /* no list to compare */
    bench_close(bench);
    bench_close(listless);
}

/* Clause: B2 */
static void test_core_blocks__source__another_number_of_blocks__is_a_failure(void **state)
{
    (void)state;
    for (uint32_t count = 1; count < 4; count++) {
        struct bench *bench = source_at(SOURCE_AWAITS_BLOCKS, NULL);

        message_begin(bench->message, RDMIG_MESSAGE_RAM_BLOCKS_RESULT, count);
        for (uint32_t i = 0; i < count; i++)
            message_block(bench->message, DESTINATION_HOST0, 0,
                          i == 0 ? BLOCK0_BYTES : BLOCK1_BYTES, 0);
        bench_receive(bench, bench->message);
        if (count == 2) {
            assert_null(rdmig_conn_failure(bench->conn));
        } else {
            bench_expect_failure(bench, RDMIG_REASON_BLOCK_COUNT);
            assert_int_equal(rdmig_conn_failure(bench->conn)->expected, 2);
            assert_int_equal(rdmig_conn_failure(bench->conn)->actual, count);
        }
        bench_close(bench);
    }
}

/* Clause: B2, E3 */
static void
test_core_blocks__source__another_length__names_the_block_and_tells_the_peer(void **state)
{
    struct bench *bench = source_at(SOURCE_AWAITS_BLOCKS, NULL);

    (void)state;
    message_begin(bench->message, RDMIG_MESSAGE_RAM_BLOCKS_RESULT, 1);
    message_block(bench->message, DESTINATION_HOST0, 0, BLOCK0_BYTES, 0);
    message_block(bench->message, DESTINATION_HOST1, 0, BLOCK1_BYTES + 4096, 0);
    bench_receive(bench, bench->message);
    bench_expect_failure(bench, RDMIG_REASON_BLOCK_LENGTH);
    assert_int_equal(rdmig_conn_failure(bench->conn)->block_index, 1);
    assert_int_equal(rdmig_conn_failure(bench->conn)->expected, BLOCK1_BYTES);
    assert_int_equal(rdmig_conn_failure(bench->conn)->actual, BLOCK1_BYTES + 4096);
    bench_receive_ready(bench);
    EXPECT(bench, "> RECEIVED r1 RAM_BLOCKS_RESULT x1 [host=0x700000000 offset=0x0 length=0x301000 "
                  "rkey=0x0] [host=0x600000000 offset=0x0 length=0x201000 rkey=0x0]\n"
                  "> RECEIVED r2 READY x1\n"
                  "< POST_SEND s1 ERROR x1\n");
    bench_close(bench);
}

/* Clause: B3 */
static void test_core_blocks__source__places_beyond_64_bits__are_a_failure(void **state)
{
    static const struct {
        uint64_t host_addr;
        uint64_t offset_bytes;
        bool is_wrong;
    } cases[] = {
        {UINT64_MAX - BLOCK1_BYTES, UINT64_MAX - BLOCK1_BYTES, false},
        {UINT64_MAX - BLOCK1_BYTES + 1, 0, true},
        {0, UINT64_MAX - BLOCK1_BYTES + 1, true},
        {UINT64_MAX, UINT64_MAX, true},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct bench *bench = source_at(SOURCE_AWAITS_BLOCKS, NULL);

        message_begin(bench->message, RDMIG_MESSAGE_RAM_BLOCKS_RESULT, 1);
        message_block(bench->message, DESTINATION_HOST0, 0, BLOCK0_BYTES, 0);
        message_block(bench->message, cases[i].host_addr, cases[i].offset_bytes, BLOCK1_BYTES, 0);
        bench_receive(bench, bench->message);
        if (cases[i].is_wrong) {
            bench_expect_failure(bench, RDMIG_REASON_RANGE);
            assert_int_equal(rdmig_conn_failure(bench->conn)->block_index, 1);
            assert_int_equal(rdmig_conn_failure(bench->conn)->expected, BLOCK1_BYTES);
            assert_int_equal(rdmig_conn_failure(bench->conn)->actual, cases[i].offset_bytes);
        } else {
            assert_null(rdmig_conn_failure(bench->conn));
        }
        bench_close(bench);
    }
}

/* Clause: B2, B3, W7 */
static void test_core_blocks__destination__lists_in_order_with_places(void **state)
{
    struct bench *bench = destination_at(DESTINATION_IS_AWAITING, NULL);

    (void)state;
    bench_receive_plain(bench, RDMIG_MESSAGE_RAM_BLOCKS_REQUEST);
    EXPECT(bench, "> RECEIVED r0 RAM_BLOCKS_REQUEST x1\n"
                  "< REQUEST_BLOCKS\n");
    bench_pass(bench, SECOND); /* asked for once, however long it takes */
    destination_provide(bench);
    EXPECT(bench,
           "> TIME_PASSED\n"
           "> BLOCKS_PROVIDED count=2\n"
           "< POST_SEND s1 RAM_BLOCKS_RESULT x1 [host=0x700000000 offset=0x40000000 "
           "length=0x301000 rkey=0x0] [host=0x600000000 offset=0x0 length=0x200000 rkey=0x0]\n"
           "< POST_SEND s2 READY x1\n");
    bench_close(bench);
}

/* Clause: B2 */
static void test_core_blocks__destination__blocks_known_before__are_not_asked_for(void **state)
{
    struct bench *bench = destination_at(DESTINATION_IS_IDLE, NULL);

    (void)state;
    destination_provide(bench);
    FEED(bench, STARTED);
    bench_connect_request(bench, 1, 0);
    FEED(bench, ESTABLISHED);
    bench_begin(bench);
    bench_receive_plain(bench, RDMIG_MESSAGE_RAM_BLOCKS_REQUEST);
    EXPECT(bench,
           "> RECEIVED r0 RAM_BLOCKS_REQUEST x1\n"
           "< POST_SEND s1 RAM_BLOCKS_RESULT x1 [host=0x700000000 offset=0x40000000 "
           "length=0x301000 rkey=0x0] [host=0x600000000 offset=0x0 length=0x200000 rkey=0x0]\n"
           "< POST_SEND s2 READY x1\n");
    bench_close(bench);
}

/* Clause: B1 */
static void test_core_blocks__destination__a_second_request__is_a_failure(void **state)
{
    struct bench *bench = destination_at(DESTINATION_IS_LISTED, NULL);

    (void)state;
    bench_receive_plain(bench, RDMIG_MESSAGE_RAM_BLOCKS_REQUEST);
    EXPECT(bench, "> RECEIVED r1 RAM_BLOCKS_REQUEST x1\n"
                  "< POST_SEND s1 ERROR x1\n");
    bench_expect_failure(bench, RDMIG_REASON_BLOCKS_REPEATED);
    bench_close(bench);
}

/* Clause: B1 */
static void test_core_blocks__destination__commands_about_ram_before_it__are_failures(void **state)
{
    static const uint32_t types[] = {RDMIG_MESSAGE_COMPRESS, RDMIG_MESSAGE_REGISTER_REQUEST,
                                     RDMIG_MESSAGE_REGISTER_FINISHED,
                                     RDMIG_MESSAGE_UNREGISTER_REQUEST};

    (void)state;
    for (size_t i = 0; i < 4; i++) {
        struct bench *bench = destination_at(DESTINATION_IS_AWAITING, NULL);

        destination_provide(bench); /* known, but not listed to the peer */
        message_begin(bench->message, types[i], 1);
        if (types[i] != RDMIG_MESSAGE_REGISTER_FINISHED)
            message_data(bench->message, "123456789012345678901234", 24);
        bench_receive(bench, bench->message);
        bench_expect_failure(bench, RDMIG_REASON_BLOCKS_MISSING);
        assert_int_equal(rdmig_conn_failure(bench->conn)->message_type, types[i]);
        bench_close(bench);
    }
}

/* Clause: B4 */
static void test_core_blocks__footprint__limits(void **state)
{
    static const struct {
        uint64_t host_addr;
        uint64_t length_bytes;
        uint64_t ram_offset_bytes;
        bool is_usable;
    } cases[] = {
        {0, 1, 0, true},
        {0, 0, 0, false},
        {UINT64_MAX - 4096, 4096, 0, true},
        {UINT64_MAX - 4095, 4096, 0, false},
        {0, 4096, UINT64_MAX - 4096, true},
        {0, 4096, UINT64_MAX - 4095, false},
        {0, UINT64_C(0xffff0000) << 20, 0, true}, /* as many chunks as have numbers */
        {0, (UINT64_C(0xffff0000) << 20) + 1, 0, false},
        {0, UINT64_MAX, 0, false},
        {1, UINT64_MAX, 0, false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct rdmig_block block = {cases[i].host_addr, cases[i].length_bytes,
                                          cases[i].ram_offset_bytes};

        assert_int_equal(rdmig_blocks_footprint_bytes(&block, 1) > 0, cases[i].is_usable);
    }
    assert_int_equal(rdmig_blocks_footprint_bytes(NULL, 1), 0);
    assert_int_equal(rdmig_blocks_footprint_bytes(NULL, 0), 0);
}

/* Clause: B4 */
static void test_core_blocks__footprint__two_blocks_whose_chunks_overflow_together(void **state)
{
    const struct rdmig_block blocks[2] = {{0, UINT64_C(0xfffe0000) << 20, 0},
                                          {0, (UINT64_C(0x10000) << 20) + 1, 0}};

    (void)state;
    assert_true(rdmig_blocks_footprint_bytes(blocks, 1) > 0);
    assert_int_equal(rdmig_blocks_footprint_bytes(blocks, 2), 0);
    assert_int_equal(rdmig_blocks_footprint_bytes(blocks, 0), 0);
}

/* Clause: B4 */
static void test_core_blocks__a_terabyte__needs_seven_megabytes(void **state)
{
    const struct rdmig_block block = {0, UINT64_C(1) << 40, 0};

    (void)state;
    assert_in_range(rdmig_blocks_footprint_bytes(&block, 1), 7 * MIB, 7 * MIB + 64);
}

/* Clause: B4, W4 */
static void test_core_blocks__16383_blocks__fit_an_answer_and_one_more_does_not(void **state)
{
    struct rdmig_block *blocks = calloc(RDMIG_BLOCK_COUNT_MAX + 1, sizeof(*blocks));
    struct bench *bench = destination_at(DESTINATION_IS_AWAITING, NULL);

    (void)state;
    assert_non_null(blocks);
    for (uint32_t i = 0; i <= RDMIG_BLOCK_COUNT_MAX; i++)
        blocks[i] = (struct rdmig_block){i * UINT64_C(4096), 4096, i * UINT64_C(4096)};
    assert_int_equal(rdmig_blocks_footprint_bytes(blocks, RDMIG_BLOCK_COUNT_MAX + 1), 0);
    assert_int_equal(FEED(bench, BLOCKS_PROVIDED, .blocks = blocks, .memory = bench->memory,
                          .length = 1u << 30, .block_count = RDMIG_BLOCK_COUNT_MAX + 1),
                     -RDMIG_E_INVALID);
    bench_provide(bench, blocks, RDMIG_BLOCK_COUNT_MAX);
    bench_begin(bench);
    bench_receive_plain(bench, RDMIG_MESSAGE_RAM_BLOCKS_REQUEST);
    EXPECT(bench, "> RECEIVED r0 RAM_BLOCKS_REQUEST x1\n"
                  "< POST_SEND s1 RAM_BLOCKS_RESULT x1 [host=0x0 offset=0x0 length=0x1000 "
                  "rkey=0x0] [host=0x1000 offset=0x1000 length=0x1000 rkey=0x0] [host=0x2000 "
                  "offset=0x2000 length=0x1000 rkey=0x0] [host=0x3000 offset=0x3000 length=0x1000 "
                  "rkey=0x0] and 16379 more\n"
                  "< POST_SEND s2 READY x1\n");
    free(blocks);
    bench_close(bench);
}

/* Clause: E1 */
static void test_core_blocks__provided_wrongly__is_refused(void **state)
{
    const struct rdmig_block block = {0, 3 * MIB, 0};
    const size_t need = rdmig_blocks_footprint_bytes(&block, 1);
    struct bench *bench = source_at(SOURCE_IS_ESTABLISHED, NULL);
    uint8_t *memory = malloc(need + 8);

    (void)state;
    assert_non_null(memory);
    assert_int_equal(FEED(bench, BLOCKS_PROVIDED, .blocks = &block, .block_count = 1,
                          .memory = memory, .length = need - 1),
                     -RDMIG_E_INVALID);
    assert_int_equal(FEED(bench, BLOCKS_PROVIDED, .blocks = &block, .block_count = 1,
                          .memory = memory + 4, .length = need),
                     -RDMIG_E_INVALID);
    assert_int_equal(FEED(bench, BLOCKS_PROVIDED, .blocks = &block, .block_count = 1,
                          .memory = NULL, .length = need),
                     -RDMIG_E_INVALID);
    assert_int_equal(FEED(bench, BLOCKS_PROVIDED, .blocks = &block, .block_count = 0,
                          .memory = memory, .length = need),
                     -RDMIG_E_INVALID);
    source_provide(bench);
    assert_int_equal(FEED(bench, BLOCKS_PROVIDED, .blocks = &block, .block_count = 1,
                          .memory = memory, .length = need),
                     -RDMIG_E_STATE);
    free(memory);
    bench_close(bench);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_core_blocks__source__asks_once),
        cmocka_unit_test(test_core_blocks__source__nothing_about_ram_before_the_exchange),
        cmocka_unit_test(test_core_blocks__source__another_number_of_blocks__is_a_failure),
        cmocka_unit_test(
            test_core_blocks__source__another_length__names_the_block_and_tells_the_peer),
        cmocka_unit_test(test_core_blocks__source__places_beyond_64_bits__are_a_failure),
        cmocka_unit_test(test_core_blocks__destination__lists_in_order_with_places),
        cmocka_unit_test(test_core_blocks__destination__blocks_known_before__are_not_asked_for),
        cmocka_unit_test(test_core_blocks__destination__a_second_request__is_a_failure),
        cmocka_unit_test(test_core_blocks__destination__commands_about_ram_before_it__are_failures),
        cmocka_unit_test(test_core_blocks__footprint__limits),
        cmocka_unit_test(test_core_blocks__footprint__two_blocks_whose_chunks_overflow_together),
        cmocka_unit_test(test_core_blocks__a_terabyte__needs_seven_megabytes),
        cmocka_unit_test(test_core_blocks__16383_blocks__fit_an_answer_and_one_more_does_not),
        cmocka_unit_test(test_core_blocks__provided_wrongly__is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
