/* SPDX-License-Identifier: BSD-2-Clause */
/* Letting go of regions, as the source's application asks for it. */
#include "support/drive.h"

#define DROP(bench, block, chunk)                                                                  \
    FEED(bench, UNREGISTER_REQUESTED, .block_index = (block), .chunk_index = (chunk))

/* One run over the first two chunks of block 0, used, nothing in flight, credit in hand. */
static struct bench *source_with_run(void)
{
    struct bench *bench = source_at(SOURCE_IS_EXCHANGED, NULL);

    bench->is_quiet = true;
    source_push(bench, 0, 0, 2 * MIB);
    source_receive_result(bench, 0, 0xa0);
    bench_receive_ready(bench);
    bench_begin(bench);
    return bench;
}

/* Clause: R8 */
static void test_core_unregister__source__destination_first_then_ours(void **state)
{
    struct bench *bench = source_with_run();

    (void)state;
    bench->automatic = AUTO_SEND;
    assert_int_equal(DROP(bench, 0, 0), RDMIG_OK);
    EXPECT(bench, "> UNREGISTER_REQUESTED block=0 chunk=0\n"
                  "< POST_SEND s1 UNREGISTER_REQUEST x1 [key=0x0 block=0 chunks=0]\n");
    bench_receive_plain(bench, RDMIG_MESSAGE_UNREGISTER_FINISHED);
    EXPECT(bench, "> RECEIVED r2 UNREGISTER_FINISHED x1\n"
                  "< DEREGISTER o1 region=0\n");
    COMPLETE(bench, "o1", OK);
    EXPECT(bench, "> COMPLETED o1 OK\n"
                  "< NOTIFY_UNREGISTERED region=0\n");
    bench_close(bench);
}

/* Clause: R8 */
static void test_core_unregister__source__a_range_in_it_registers_it_anew(void **state)
{
    struct bench *bench = source_with_run();

    (void)state;
    DROP(bench, 0, 0);
    assert_int_equal(source_push(bench, 0, MIB, 4096), RDMIG_OK);
    bench_receive_plain(bench, RDMIG_MESSAGE_UNREGISTER_FINISHED);
    bench_receive_ready(bench);
    EXPECT(bench, "> UNREGISTER_REQUESTED block=0 chunk=0\n"
                  "< POST_SEND s1 UNREGISTER_REQUEST x1 [key=0x0 block=0 chunks=0]\n"
                  "> RANGE_PUSHED block=0 offset=1048576 length=4096\n"
                  "> RECEIVED r2 UNREGISTER_FINISHED x1\n"
                  "< DEREGISTER o1 region=0\n"
                  "< NOTIFY_UNREGISTERED region=0\n"
                  "> RECEIVED r0 READY x1\n"
                  "< POST_SEND s2 REGISTER_REQUEST x1 [key=0x40100000 block=0 chunks=0]\n"
                  "< REGISTER o2 block=0 offset=1048576 length=1048576 region=1\n");
    source_receive_result(bench, 0, 0xa9);
    EXPECT(bench, "> RECEIVED r1 REGISTER_RESULT x1 [rkey=0xa9 host=0x700000000]\n"
                  "< POST_WRITE w1 block=0 offset=1048576 length=4096 region=1 remote=0x700100000 "
                  "rkey=0xa9 signalled\n");
    bench_close(bench);
}

/* Clause: R8, E1 */
static void test_core_unregister__source__what_is_no_region_start__is_refused(void **state)
{
    struct bench *bench = source_with_run();

    (void)state;
    assert_int_equal(DROP(bench, 0, 1), -RDMIG_E_INVALID); /* inside the run */
    assert_int_equal(DROP(bench, 0, 2), -RDMIG_E_INVALID); /* not registered */
    assert_int_equal(DROP(bench, 0, 4), -RDMIG_E_INVALID); /* not in the block */
    assert_int_equal(DROP(bench, 2, 0), -RDMIG_E_INVALID);
    assert_int_equal(DROP(bench, UINT32_MAX, UINT32_MAX), -RDMIG_E_INVALID);
    assert_int_equal(DROP(bench, 0, 0), RDMIG_OK);
    assert_int_equal(DROP(bench, 0, 0), -RDMIG_E_INVALID); /* unregistered already */
    bench_close(bench);
}

/* Clause: R8 */
static void test_core_unregister__source__writes_in_flight__again(void **state)
{
    struct bench *bench = source_with_run();

    (void)state;
    bench->automatic = AUTO_SEND | AUTO_OPERATION;
    source_push(bench, 0, MIB, 4096);
    assert_int_equal(DROP(bench, 0, 0), -RDMIG_E_AGAIN);
    COMPLETE(bench, "w1", OK);
    assert_int_equal(DROP(bench, 0, 0), RDMIG_OK);
    EXPECT(bench, "> RANGE_PUSHED block=0 offset=1048576 length=4096\n"
                  "< POST_WRITE w1 block=0 offset=1048576 length=4096 region=0 remote=0x700100000 "
                  "rkey=0xa0 signalled\n"
                  "> UNREGISTER_REQUESTED block=0 chunk=0 ! AGAIN\n"
                  "> COMPLETED w1 OK\n"
                  "> UNREGISTER_REQUESTED block=0 chunk=0\n"
                  "< POST_SEND s1 UNREGISTER_REQUEST x1 [key=0x0 block=0 chunks=0]\n");
    bench_close(bench);
}

/* Clause: R8 */
static void test_core_unregister__source__writes_queued__again(void **state)
{
    struct bench *bench = source_with_run();

    (void)state;
    source_push_zero(bench, 0, 0, 4096);
    source_push(bench, 0, 0, 4096); /* waits for the zeros */
    assert_int_equal(DROP(bench, 0, 0), -RDMIG_E_AGAIN);
    bench_receive_ready(bench);
    assert_int_equal(DROP(bench, 0, 0), RDMIG_OK);
    bench_close(bench);
}

/* Clause: R8 */
static void test_core_unregister__source__runs_in_progress__again(void **state)
{
    struct bench *bench = source_with_run();

    (void)state;
    source_push(bench, 0, 2 * MIB, 4096);
    assert_int_equal(DROP(bench, 0, 0), -RDMIG_E_AGAIN);
    source_receive_result(bench, 0, 0xa2);
    assert_int_equal(DROP(bench, 0, 0), RDMIG_OK);
    bench_close(bench);
}

/* Clause: R8 */
static void test_core_unregister__source__the_next_one__waits_until_ours_is_gone(void **state)
{
    struct bench *bench = source_with_run();

    (void)state;
    source_push(bench, 0, 2 * MIB, 4096);
    source_receive_result(bench, 0, 0xa2);
    bench_receive_ready(bench);
    bench_begin(bench);
    bench->automatic = AUTO_SEND;
    assert_int_equal(DROP(bench, 0, 0), RDMIG_OK);
    assert_int_equal(DROP(bench, 0, 2), -RDMIG_E_AGAIN);
    bench_receive_plain(bench, RDMIG_MESSAGE_UNREGISTER_FINISHED);
    bench_receive_ready(bench);
    /* Were the second let in now, two NOTIFY_UNREGISTERED could not be told apart. */
    assert_int_equal(DROP(bench, 0, 2), -RDMIG_E_AGAIN);
    COMPLETE(bench, "o1", OK);
    assert_int_equal(bench->last[RDMIG_ACTION_NOTIFY_UNREGISTERED].region, 0);
    assert_int_equal(DROP(bench, 0, 2), RDMIG_OK);
    bench_receive_plain(bench, RDMIG_MESSAGE_UNREGISTER_FINISHED);
    COMPLETE(bench, "o2", OK);
    assert_int_equal(bench->last[RDMIG_ACTION_NOTIFY_UNREGISTERED].region, 2);
    assert_int_equal(bench->action_counts[RDMIG_ACTION_NOTIFY_UNREGISTERED], 2);
    bench_close(bench);
}

/* Clause: R8, C10 */
static void test_core_unregister__source__a_round_ends_after_it(void **state)
{
    struct bench *bench = source_with_run();

    (void)state;
    bench->automatic = AUTO_SEND;
    DROP(bench, 0, 0);
    FEED(bench, ROUND_CLOSED);
    bench_receive_plain(bench, RDMIG_MESSAGE_UNREGISTER_FINISHED);
    bench_receive_ready(bench);
    EXPECT(bench, "> UNREGISTER_REQUESTED block=0 chunk=0\n"
                  "< POST_SEND s1 UNREGISTER_REQUEST x1 [key=0x0 block=0 chunks=0]\n"
                  "> ROUND_CLOSED\n"
                  "> RECEIVED r2 UNREGISTER_FINISHED x1\n"
                  "< DEREGISTER o1 region=0\n"
                  "> RECEIVED r0 READY x1\n");
    COMPLETE(bench, "o1", OK);
    EXPECT(bench, "> COMPLETED o1 OK\n"
                  "< NOTIFY_UNREGISTERED region=0\n"
                  "< POST_SEND s2 REGISTER_FINISHED x1\n"
                  "< NOTIFY_ROUND_ENDED\n");
    bench_close(bench);
}

/* Clause: R8 */
static void test_core_unregister__source__before_the_exchange_or_pinned__is_refused(void **state)
{
    struct bench *early = source_at(SOURCE_IS_CREDITED, NULL);
    struct bench *pinned =
        source_at(SOURCE_IS_EXCHANGED, &(struct rdmig_conn_config){.capability_flags = 1});

    (void)state;
    assert_int_equal(DROP(early, 0, 0), -RDMIG_E_STATE);
    assert_int_equal(DROP(pinned, 0, 0), -RDMIG_E_STATE);
    bench_close(early);
    bench_close(pinned);
}

/* Clause: R8, E11 */
static void test_core_unregister__source__our_half_fails(void **state)
{
    struct bench *bench = source_with_run();

    (void)state;
    bench->automatic = AUTO_SEND;
    DROP(bench, 0, 0);
    bench_receive_plain(bench, RDMIG_MESSAGE_UNREGISTER_FINISHED);
    bench_receive_ready(bench);
    COMPLETE(bench, "o1", ERROR, .os_code = 16);
    EXPECT(bench, "> UNREGISTER_REQUESTED block=0 chunk=0\n"
                  "< POST_SEND s1 UNREGISTER_REQUEST x1 [key=0x0 block=0 chunks=0]\n"
                  "> RECEIVED r2 UNREGISTER_FINISHED x1\n"
                  "< DEREGISTER o1 region=0\n"
                  "> RECEIVED r0 READY x1\n"
                  "> COMPLETED o1 ERROR os_code=16\n"
                  "< POST_SEND s2 ERROR x1\n");
    bench_expect_failure(bench, RDMIG_REASON_REGISTER_FAILED);
    bench_close(bench);
}

/* Clause: R8, C8 */
static void test_core_unregister__destination__lets_go_of_all_then_answers(void **state)
{
    struct bench *bench = destination_at(DESTINATION_IS_LISTED, NULL);

    (void)state;
    destination_receive_register(bench, 0, 0, 1);
    destination_receive_register(bench, 1, 1, 0);
    bench_begin(bench);
    bench->automatic = AUTO_SEND;
    message_begin(bench->message, RDMIG_MESSAGE_UNREGISTER_REQUEST, 2);
    message_chunk(bench->message, 1, 1, 0);
    message_chunk(bench->message, 0, 0, 0);
    bench_receive(bench, bench->message);
    EXPECT(bench, "> RECEIVED r0 UNREGISTER_REQUEST x2 [key=0x1 block=1 chunks=0] [key=0x0 block=0 "
                  "chunks=0]\n"
                  "< DEREGISTER o1 region=5\n");
    COMPLETE(bench, "o1", OK);
    EXPECT(bench, "> COMPLETED o1 OK\n"
                  "< DEREGISTER o2 region=0\n");
    COMPLETE(bench, "o2", OK);
    EXPECT(bench, "> COMPLETED o2 OK\n"
                  "< POST_SEND s1 UNREGISTER_FINISHED x1\n"
                  "< POST_SEND s2 READY x1\n");
    bench_close(bench);
}

/* Clause: R8 */
static void test_core_unregister__destination__what_is_no_region__is_a_failure(void **state)
{
    static const struct {
        uint64_t key;
        uint32_t block_index;
        enum rdmig_reason reason;
    } cases[] = {
        {1, 0, RDMIG_REASON_REGION_UNKNOWN}, /* inside the run */
        {2, 0, RDMIG_REASON_REGION_UNKNOWN}, /* not registered */
        {4, 0, RDMIG_REASON_RANGE},          /* not in the block */
        {UINT64_MAX, 0, RDMIG_REASON_RANGE}, {UINT64_C(1) << 32, 0, RDMIG_REASON_RANGE},
        {0, 2, RDMIG_REASON_BLOCK_INDEX},    {0, UINT32_MAX, RDMIG_REASON_BLOCK_INDEX},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct bench *bench = destination_at(DESTINATION_IS_LISTED, NULL);

        destination_receive_register(bench, 0, 0, 1);
        message_begin(bench->message, RDMIG_MESSAGE_UNREGISTER_REQUEST, 1);
        message_chunk(bench->message, cases[i].key, cases[i].block_index, 0);
        bench_receive(bench, bench->message);
        bench_expect_failure(bench, cases[i].reason);
        assert_int_equal(rdmig_conn_failure(bench->conn)->message_type,
                         RDMIG_MESSAGE_UNREGISTER_REQUEST);
        assert_int_equal(rdmig_conn_failure(bench->conn)->block_index, cases[i].block_index);
        assert_int_equal(bench->action_counts[RDMIG_ACTION_DEREGISTER], 0);
        bench_close(bench);
    }
}

/* Clause: R8 */
static void
test_core_unregister__destination__the_same_twice_in_one_message__is_a_failure(void **state)
{
    struct bench *bench = destination_at(DESTINATION_IS_LISTED, NULL);

    (void)state;
    destination_receive_register(bench, 0, 0, 1);
    bench_begin(bench);
    message_begin(bench->message, RDMIG_MESSAGE_UNREGISTER_REQUEST, 2);
    message_chunk(bench->message, 0, 0, 0);
    message_chunk(bench->message, 0, 0, 0);
    bench_receive(bench, bench->message);
    EXPECT(bench, "> RECEIVED r2 UNREGISTER_REQUEST x2 [key=0x0 block=0 chunks=0] [key=0x0 block=0 "
                  "chunks=0]\n"
                  "< DEREGISTER o1 region=0\n"
                  "< POST_SEND s1 ERROR x1\n");
    bench_expect_failure(bench, RDMIG_REASON_REGION_UNKNOWN);
    bench_close(bench);
}

/* Clause: R8, R6 */
static void
test_core_unregister__destination__the_region_can_be_made_anew_with_another_length(void **state)
{
    struct bench *bench = destination_at(DESTINATION_IS_LISTED, NULL);

    (void)state;
    destination_receive_register(bench, 0, 0, 1);
    destination_receive_unregister(bench, 0, 0);
    bench_begin(bench);
    destination_receive_register(bench, 0, 0, 3);
    EXPECT(bench, "> RECEIVED r0 REGISTER_REQUEST x1 [key=0x40000000 block=0 chunks=3]\n"
                  "< REGISTER o1 block=0 offset=0 length=3149824 region=0 remote-write\n"
                  "< POST_SEND s1 REGISTER_RESULT x1 [rkey=0x1000 host=0x700000000]\n"
                  "< POST_SEND s2 READY x1\n");
    bench_close(bench);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_core_unregister__source__destination_first_then_ours),
        cmocka_unit_test(test_core_unregister__source__a_range_in_it_registers_it_anew),
        cmocka_unit_test(test_core_unregister__source__what_is_no_region_start__is_refused),
        cmocka_unit_test(test_core_unregister__source__writes_in_flight__again),
        cmocka_unit_test(test_core_unregister__source__writes_queued__again),
        cmocka_unit_test(test_core_unregister__source__runs_in_progress__again),
        cmocka_unit_test(test_core_unregister__source__the_next_one__waits_until_ours_is_gone),
        cmocka_unit_test(test_core_unregister__source__a_round_ends_after_it),
        cmocka_unit_test(test_core_unregister__source__before_the_exchange_or_pinned__is_refused),
        cmocka_unit_test(test_core_unregister__source__our_half_fails),
        cmocka_unit_test(test_core_unregister__destination__lets_go_of_all_then_answers),
        cmocka_unit_test(test_core_unregister__destination__what_is_no_region__is_a_failure),
        cmocka_unit_test(
            test_core_unregister__destination__the_same_twice_in_one_message__is_a_failure),
        cmocka_unit_test(
            test_core_unregister__destination__the_region_can_be_made_anew_with_another_length),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
