/* SPDX-License-Identifier: BSD-2-Clause */
/* Commands with entries at the destination: handled whole, in order, answered in full; wrong ones
 * refused whole. */
#include "support/drive.h"

/* Clause: R2, R4, C8 */
static void test_core_requests__register__answers_each_in_order_then_offers_ready(void **state)
{
    struct bench *bench = destination_at(DESTINATION_IS_LISTED, NULL);

    (void)state;
    bench->automatic = AUTO_SEND;
    message_begin(bench->message, RDMIG_MESSAGE_REGISTER_REQUEST, 2);
    message_chunk(bench->message, DESTINATION_PLACE0 + 3 * MIB, 0, 0);
    message_chunk(bench->message, DESTINATION_PLACE1 + 4096, 1, 1); /* anywhere in the chunk */
    bench_receive(bench, bench->message);
    EXPECT(bench, "> RECEIVED r1 REGISTER_REQUEST x2 [key=0x40300000 block=0 chunks=0] [key=0x1000 "
                  "block=1 chunks=1]\n"
                  "< REGISTER o1 block=0 offset=3145728 length=4096 region=3 remote-write\n");
    COMPLETE(bench, "o1", OK, .rkey = 0x11);
    EXPECT(bench, "> COMPLETED o1 OK rkey=0x11\n"
                  "< REGISTER o2 block=1 offset=0 length=2097152 region=4 remote-write\n");
    COMPLETE(bench, "o2", OK, .rkey = 0x22);
    EXPECT(bench, "> COMPLETED o2 OK rkey=0x22\n"
                  "< POST_SEND s1 REGISTER_RESULT x2 [rkey=0x11 host=0x700000000] [rkey=0x22 "
                  "host=0x600000000]\n"
                  "< POST_SEND s2 READY x1\n");
    bench_close(bench);
}

/* Clause: R4, W5 */
static void test_core_requests__register__4096_requests_are_answered_in_full(void **state)
{
    const struct rdmig_block big = {DESTINATION_HOST0, 4096 * MIB, 0};
    struct bench *bench = destination_at(DESTINATION_IS_AWAITING, NULL);
    const uint8_t *answer;

    (void)state;
    bench->is_quiet = true;
    bench_provide(bench, &big, 1);
    bench_receive_plain(bench, RDMIG_MESSAGE_RAM_BLOCKS_REQUEST);
    bench->automatic = AUTO_OPERATION;
    message_begin(bench->message, RDMIG_MESSAGE_REGISTER_REQUEST, 4096);
    for (uint64_t i = 0; i < 4096; i++)
        message_chunk(bench->message, i * MIB, 0, 0);
    bench_hold_sent(bench, RDMIG_MESSAGE_REGISTER_RESULT);
    bench_receive(bench, bench->message);
    answer = bench->sent->bytes;
    assert_int_equal(bench->sent->length_bytes, 16 + 4096 * 16);
    assert_int_equal(bytes_u32(answer), 4096 * 16);
    assert_int_equal(bytes_u32(answer + 8), 4096);
    for (uint32_t i = 0; i < 4096; i++) {
        assert_int_equal(bytes_u32(answer + 16 + i * 16), 0x1000 + i);
        assert_int_equal(bytes_u64(answer + 16 + i * 16 + 8), DESTINATION_HOST0);
    }
    bench_close(bench);
}

/* Clause: R6 */
static void test_core_requests__register_again__gets_the_key_there_is(void **state)
{
    struct bench *bench = destination_at(DESTINATION_IS_LISTED, NULL);

    (void)state;
    destination_receive_register(bench, 0, 0, 2);
    bench_begin(bench);
    destination_receive_register(bench, 0, 0, 2); /* the same */
    destination_receive_register(bench, 0, 0, 0); /* shorter */
    destination_receive_register(bench, 0, 1, 0); /* inside it: a region of its own */
    EXPECT(bench, "> RECEIVED r2 REGISTER_REQUEST x1 [key=0x40000000 block=0 chunks=2]\n"
                  "< POST_SEND s1 REGISTER_RESULT x1 [rkey=0x1000 host=0x700000000]\n"
                  "< POST_SEND s2 READY x1\n"
                  "> RECEIVED r0 REGISTER_REQUEST x1 [key=0x40000000 block=0 chunks=0]\n"
                  "< POST_SEND s3 REGISTER_RESULT x1 [rkey=0x1000 host=0x700000000]\n"
                  "< POST_SEND s4 READY x1\n"
                  "> RECEIVED r1 REGISTER_REQUEST x1 [key=0x40100000 block=0 chunks=0]\n"
                  "< REGISTER o1 block=0 offset=1048576 length=1048576 region=1 remote-write\n"
                  "< POST_SEND s5 REGISTER_RESULT x1 [rkey=0x1001 host=0x700000000]\n"
                  "< POST_SEND s6 READY x1\n");
    bench_close(bench);
}

/* Clause: R6 */
static void test_core_requests__register_again_longer__is_a_failure(void **state)
{
    struct bench *bench = destination_at(DESTINATION_IS_LISTED, NULL);

    (void)state;
    destination_receive_register(bench, 0, 0, 1);
    bench_begin(bench);
    destination_receive_register(bench, 0, 0, 2);
    EXPECT(bench, "> RECEIVED r2 REGISTER_REQUEST x1 [key=0x40000000 block=0 chunks=2]\n"
                  "< POST_SEND s1 ERROR x1\n");
    bench_expect_failure(bench, RDMIG_REASON_REGION_CHANGED);
    assert_int_equal(rdmig_conn_failure(bench->conn)->expected, 2);
    assert_int_equal(rdmig_conn_failure(bench->conn)->actual, 3);
    assert_int_equal(rdmig_conn_failure(bench->conn)->message_type, RDMIG_MESSAGE_REGISTER_REQUEST);
    assert_int_equal(rdmig_conn_failure(bench->conn)->block_index, 0);
    bench_close(bench);
}

/* Clause: B5, R3 */
static void test_core_requests__register__what_reaches_outside__is_refused_whole(void **state)
{
    static const struct {
        uint64_t key;
        uint32_t block_index;
        uint64_t chunks;
        enum rdmig_reason reason;
        uint64_t actual; /* what the failure names */
    } cases[] = {
        {DESTINATION_PLACE0 - 1, 0, 0, RDMIG_REASON_RANGE, DESTINATION_PLACE0 - 1},
        {0, 0, 0, RDMIG_REASON_RANGE, 0},
        {DESTINATION_PLACE0 + BLOCK0_BYTES, 0, 0, RDMIG_REASON_RANGE,
         DESTINATION_PLACE0 + BLOCK0_BYTES},
        {DESTINATION_PLACE0 + BLOCK0_BYTES - 1, 0, 0, RDMIG_REASON_NONE, 0},
        {DESTINATION_PLACE0, 0, 3, RDMIG_REASON_NONE, 0},
        {DESTINATION_PLACE0, 0, 4, RDMIG_REASON_RANGE, 4},
        {DESTINATION_PLACE0, 0, UINT64_MAX, RDMIG_REASON_RANGE, UINT64_MAX},
        {DESTINATION_PLACE0, 0, UINT64_C(1) << 32, RDMIG_REASON_RANGE, UINT64_C(1) << 32},
        {DESTINATION_PLACE0 + 3 * MIB, 0, 1, RDMIG_REASON_RANGE, 1},
        {UINT64_MAX, 1, 0, RDMIG_REASON_RANGE, UINT64_MAX},
        {0, 2, 0, RDMIG_REASON_BLOCK_INDEX, 2},
        {0, UINT32_MAX, 0, RDMIG_REASON_BLOCK_INDEX, UINT32_MAX},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct bench *bench = destination_at(DESTINATION_IS_LISTED, NULL);

        message_begin(bench->message, RDMIG_MESSAGE_REGISTER_REQUEST, 2);
        message_chunk(bench->message, DESTINATION_PLACE1, 1, 0); /* a good one before it */
        message_chunk(bench->message, cases[i].key, cases[i].block_index, cases[i].chunks);
        bench_receive(bench, bench->message);
        if (cases[i].reason == RDMIG_REASON_NONE) {
            assert_null(rdmig_conn_failure(bench->conn));
        } else {
            bench_expect_failure(bench, cases[i].reason);
            assert_int_equal(rdmig_conn_failure(bench->conn)->actual, cases[i].actual);
            assert_int_equal(rdmig_conn_failure(bench->conn)->block_index, cases[i].block_index);
            assert_int_equal(bench->action_counts[RDMIG_ACTION_REGISTER], 0);
        }
        bench_close(bench);
    }
}

/* Clause: C8, C9, W10 */
static void test_core_requests__compress__fills_every_range_before_ready(void **state)
{
    struct bench *bench = destination_at(DESTINATION_IS_LISTED, NULL);

    (void)state;
    bench->automatic = AUTO_SEND;
    message_begin(bench->message, RDMIG_MESSAGE_COMPRESS, 2);
    message_compress(bench->message, 0, 0, DESTINATION_PLACE0, BLOCK0_BYTES);
    message_compress(bench->message, 255, 1, DESTINATION_PLACE1 + 4096, 8192);
    bench_receive(bench, bench->message);
    EXPECT(bench, "> RECEIVED r1 COMPRESS x2 [value=0 block=0 offset=0x40000000 length=0x301000] "
                  "[value=255 block=1 offset=0x1000 length=0x2000]\n"
                  "< FILL_RANGE o1 block=0 offset=0 length=3149824 value=0\n");
    COMPLETE(bench, "o1", OK);
    EXPECT(bench, "> COMPLETED o1 OK\n"
                  "< FILL_RANGE o2 block=1 offset=4096 length=8192 value=255\n");
    COMPLETE(bench, "o2", OK);
    EXPECT(bench, "> COMPLETED o2 OK\n"
                  "< POST_SEND s1 READY x1\n");
    assert_int_equal(bench_counters(bench).bytes_zero, BLOCK0_BYTES);
    assert_int_equal(bench_counters(bench).registrations, 0);
    bench_close(bench);
}

/* Clause: W5, C9 */
static void test_core_requests__compress_with_repeat_0__is_one_entry(void **state)
{
    struct bench *bench = destination_at(DESTINATION_IS_LISTED, NULL);

    (void)state;
    message_begin(bench->message, RDMIG_MESSAGE_COMPRESS, 0);
    message_compress(bench->message, 0, 1, DESTINATION_PLACE1, 4096);
    bench_receive(bench, bench->message);
    EXPECT(bench, "> RECEIVED r1 COMPRESS x0 [value=0 block=1 offset=0x0 length=0x1000]\n"
                  "< FILL_RANGE o1 block=1 offset=0 length=4096 value=0\n"
                  "< POST_SEND s1 READY x1\n");
    bench_close(bench);
}

/* Clause: B5, C9 */
static void test_core_requests__compress__what_reaches_outside__is_refused_whole(void **state)
{
    static const struct {
        uint32_t value;
        uint32_t block_index;
        uint64_t offset_bytes;
        uint64_t length_bytes;
        enum rdmig_reason reason;
        uint64_t actual; /* what the failure names */
    } cases[] = {
        {0, 0, DESTINATION_PLACE0 + BLOCK0_BYTES - 1, 1, RDMIG_REASON_NONE, 0},
        {0, 0, DESTINATION_PLACE0 + BLOCK0_BYTES - 1, 2, RDMIG_REASON_RANGE, 2},
        {0, 0, DESTINATION_PLACE0 + BLOCK0_BYTES, 1, RDMIG_REASON_RANGE,
         DESTINATION_PLACE0 + BLOCK0_BYTES},
        {0, 0, DESTINATION_PLACE0 - 1, 1, RDMIG_REASON_RANGE, DESTINATION_PLACE0 - 1},
        {0, 0, DESTINATION_PLACE0, 0, RDMIG_REASON_RANGE, 0},
        {0, 0, DESTINATION_PLACE0 + 4096, UINT64_MAX, RDMIG_REASON_RANGE, UINT64_MAX},
        {0, 1, UINT64_MAX, UINT64_MAX, RDMIG_REASON_RANGE, UINT64_MAX},
        {0, 2, 0, 4096, RDMIG_REASON_BLOCK_INDEX, 2},
        {256, 1, DESTINATION_PLACE1, 4096, RDMIG_REASON_FILL_VALUE, 256},
        {UINT32_MAX, 1, DESTINATION_PLACE1, 4096, RDMIG_REASON_FILL_VALUE, UINT32_MAX},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct bench *bench = destination_at(DESTINATION_IS_LISTED, NULL);

        message_begin(bench->message, RDMIG_MESSAGE_COMPRESS, 2);
        message_compress(bench->message, 0, 1, DESTINATION_PLACE1, 4096);
        message_compress(bench->message, cases[i].value, cases[i].block_index,
                         cases[i].offset_bytes, cases[i].length_bytes);
        bench_receive(bench, bench->message);
        if (cases[i].reason == RDMIG_REASON_NONE) {
            assert_null(rdmig_conn_failure(bench->conn));
        } else {
            bench_expect_failure(bench, cases[i].reason);
            assert_int_equal(rdmig_conn_failure(bench->conn)->actual, cases[i].actual);
            assert_int_equal(rdmig_conn_failure(bench->conn)->block_index, cases[i].block_index);
            assert_int_equal(bench->action_counts[RDMIG_ACTION_FILL_RANGE], 0);
        }
        bench_close(bench);
    }
}

/* Clause: C8, C10 */
static void test_core_requests__round_end__ready_goes_after_the_applications_answer(void **state)
{
    struct bench *bench = destination_at(DESTINATION_IS_LISTED, NULL);

    (void)state;
    bench->automatic = AUTO_SEND;
    bench_receive_plain(bench, RDMIG_MESSAGE_REGISTER_FINISHED);
    bench_pass(bench, SECOND);
    EXPECT(bench, "> RECEIVED r1 REGISTER_FINISHED x1\n"
                  "< END_ROUND o1\n"
                  "> TIME_PASSED\n");
    COMPLETE(bench, "o1", OK);
    EXPECT(bench, "> COMPLETED o1 OK\n"
                  "< POST_SEND s1 READY x1\n");
    assert_int_equal(bench_counters(bench).rounds, 1);
    bench_close(bench);
}

/* Clause: C11, C8 */
static void test_core_requests__ready_not_completed__only_the_next_one_waits(void **state)
{
    struct bench *bench = destination_at(DESTINATION_IS_LISTED, NULL);

    (void)state;
    bench->automatic = AUTO_OPERATION;
    destination_receive_register(bench, 0, 0, 0);
    destination_receive_register(bench, 0, 1, 0);
    EXPECT(bench, "> RECEIVED r1 REGISTER_REQUEST x1 [key=0x40000000 block=0 chunks=0]\n"
                  "< REGISTER o1 block=0 offset=0 length=1048576 region=0 remote-write\n"
                  "< POST_SEND s1 REGISTER_RESULT x1 [rkey=0x1000 host=0x700000000]\n"
                  "< POST_SEND s2 READY x1\n"
                  "> RECEIVED r2 REGISTER_REQUEST x1 [key=0x40100000 block=0 chunks=0]\n"
                  "< REGISTER o2 block=0 offset=1048576 length=1048576 region=1 remote-write\n"
                  "< POST_SEND s3 REGISTER_RESULT x1 [rkey=0x1001 host=0x700000000]\n");
    COMPLETE(bench, "s2", OK);
    EXPECT(bench, "> COMPLETED s2 OK\n"
                  "< POST_SEND s4 READY x1\n");
    bench_close(bench);
}

/* Clause: E11, E3 */
static void test_core_requests__each_kind_of_operation_fails__with_its_reason(void **state)
{
    static const struct {
        enum destination_stage stage;
        enum rdmig_reason reason;
    } cases[] = {
        {DESTINATION_IS_REGISTERING, RDMIG_REASON_REGISTER_FAILED},
        {DESTINATION_IS_UNREGISTERING, RDMIG_REASON_REGISTER_FAILED},
        {DESTINATION_IS_FILLING, RDMIG_REASON_FILL_FAILED},
        {DESTINATION_IS_ENDING_ROUND, RDMIG_REASON_ROUND_FAILED},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct bench *bench = destination_at(cases[i].stage, NULL);

        COMPLETE(bench, "o1", ERROR, .os_code = 5);
        bench_expect_failure(bench, cases[i].reason);
        assert_int_equal(rdmig_conn_failure(bench->conn)->os_code, 5);
        assert_int_equal(bench_counters(bench).registrations,
                         cases[i].stage == DESTINATION_IS_UNREGISTERING ? 1 : 0);
        assert_int_equal(bench_u32_of_sent(bench, 4), RDMIG_MESSAGE_ERROR);
        bench_close(bench);
    }
}

#define REGION_BYTES_MAX (UINT64_C(8388604) * MIB)

static struct bench *destination_with_16_tib(uint32_t flags)
{
    const struct rdmig_conn_config config = {.capability_flags = flags};
    static const struct rdmig_block block = {DESTINATION_HOST0, UINT64_C(16777216) * MIB, 0};
    struct bench *bench = destination_at(DESTINATION_IS_AWAITING, &config);

    bench->is_quiet = true;
    bench_provide(bench, &block, 1);
    bench_receive_plain(bench, RDMIG_MESSAGE_RAM_BLOCKS_REQUEST);
    bench_begin(bench);
    return bench;
}

/* Clause: R3, B5 */
static void test_core_requests__register__as_many_chunks_as_the_table_can_tell(void **state)
{
    struct bench *bench = destination_with_16_tib(0);

    (void)state;
    message_begin(bench->message, RDMIG_MESSAGE_REGISTER_REQUEST, 1);
    message_chunk(bench->message, 0, 0, 8388603);
    bench_receive(bench, bench->message);
    assert_null(rdmig_conn_failure(bench->conn));
    assert_int_equal(bench->last[RDMIG_ACTION_REGISTER].length, REGION_BYTES_MAX);
    message_begin(bench->message, RDMIG_MESSAGE_REGISTER_REQUEST, 1);
    message_chunk(bench->message, MIB, 0, 8388604);
    bench_receive(bench, bench->message);
    bench_expect_failure(bench, RDMIG_REASON_RANGE);
    assert_int_equal(rdmig_conn_failure(bench->conn)->expected, 8388603);
    bench_close(bench);
}

/* Clause: R3, R7 */
static void test_core_requests__pin_all__takes_a_block_of_any_size(void **state)
{
    struct bench *bench = destination_with_16_tib(RDMIG_CAPABILITY_PIN_ALL);

    (void)state;
    assert_null(rdmig_conn_failure(bench->conn));
    assert_int_equal(bench->last[RDMIG_ACTION_REGISTER].length, UINT64_C(16777216) * MIB);
    message_begin(bench->message, RDMIG_MESSAGE_UNREGISTER_REQUEST, 1);
    message_chunk(bench->message, 0, 0, 0);
    bench_receive(bench, bench->message);
    assert_null(rdmig_conn_failure(bench->conn));
    assert_int_equal(bench->action_counts[RDMIG_ACTION_DEREGISTER], 1);
    bench_close(bench);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_core_requests__register__answers_each_in_order_then_offers_ready),
        cmocka_unit_test(test_core_requests__register__4096_requests_are_answered_in_full),
        cmocka_unit_test(test_core_requests__register_again__gets_the_key_there_is),
        cmocka_unit_test(test_core_requests__register_again_longer__is_a_failure),
        cmocka_unit_test(test_core_requests__register__what_reaches_outside__is_refused_whole),
        cmocka_unit_test(test_core_requests__compress__fills_every_range_before_ready),
        cmocka_unit_test(test_core_requests__compress_with_repeat_0__is_one_entry),
        cmocka_unit_test(test_core_requests__compress__what_reaches_outside__is_refused_whole),
        cmocka_unit_test(test_core_requests__round_end__ready_goes_after_the_applications_answer),
        cmocka_unit_test(test_core_requests__ready_not_completed__only_the_next_one_waits),
        cmocka_unit_test(test_core_requests__each_kind_of_operation_fails__with_its_reason),
        cmocka_unit_test(test_core_requests__register__as_many_chunks_as_the_table_can_tell),
        cmocka_unit_test(test_core_requests__pin_all__takes_a_block_of_any_size),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
