/* SPDX-License-Identifier: BSD-2-Clause */
/* Several outstanding commands between our own ends, at the source. */
#include "support/drive.h"

#define PIPELINE RDMIG_CAPABILITY_PIPELINE

static const struct rdmig_conn_config config = {.capability_flags = PIPELINE};

/* REGISTER_RESULT with so many entries for the block, keys from rkey on. */
static void receive_results(struct bench *bench, uint64_t host_addr, uint32_t rkey, uint32_t count)
{
    message_begin(bench->message, RDMIG_MESSAGE_REGISTER_RESULT, count);
    for (uint32_t i = 0; i < count; i++)
        message_result(bench->message, rkey + i, host_addr);
    bench_receive(bench, bench->message);
}

/* Clause: C16, C17, R10 */
static void test_core_pipeline__source__registrations_and_zeros__go_beside_each_other(void **state)
{
    struct bench *bench = source_at(SOURCE_IS_EXCHANGED, &config);

    (void)state;
    bench->automatic = AUTO_SEND;
    source_push(bench, 0, 0, 4096);
    source_push(bench, 1, 0, 4096);
    source_push_zero(bench, 1, MIB, 4096);
    EXPECT(bench, "> RANGE_PUSHED block=0 offset=0 length=4096\n"
                  "< POST_SEND s1 REGISTER_REQUEST x1 [key=0x40000000 block=0 chunks=0]\n"
                  "< REGISTER o1 block=0 offset=0 length=1048576 region=0\n"
                  "> RANGE_PUSHED block=1 offset=0 length=4096\n"
                  "< POST_SEND s2 REGISTER_REQUEST x1 [key=0x0 block=1 chunks=0]\n"
                  "< REGISTER o2 block=1 offset=0 length=1048576 region=4\n"
                  "> RANGE_PUSHED block=1 offset=1048576 length=4096 zero\n"
                  "< POST_SEND s3 COMPRESS x1 [value=0 block=1 offset=0x100000 length=0x1000]\n");
    receive_results(bench, DESTINATION_HOST0, 0xa0, 1);
    COMPLETE(bench, "o2", OK);
    bench_receive_ready(bench);
    EXPECT(bench, "> RECEIVED r6 REGISTER_RESULT x1 [rkey=0xa0 host=0x700000000]\n"
                  "> COMPLETED o2 OK\n"
                  "> RECEIVED r7 READY x1\n");
    COMPLETE(bench, "o1", OK);
    receive_results(bench, DESTINATION_HOST1, 0xa1, 1);
    EXPECT(bench, "> COMPLETED o1 OK\n"
                  "< POST_WRITE w1 block=0 offset=0 length=4096 region=0 remote=0x700000000 "
                  "rkey=0xa0 signalled\n"
                  "> RECEIVED r8 REGISTER_RESULT x1 [rkey=0xa1 host=0x600000000]\n"
                  "< POST_WRITE w2 block=1 offset=0 length=4096 region=4 remote=0x600000000 "
                  "rkey=0xa1 signalled\n");
    assert_int_equal(bench_counters(bench).bytes_zero, 0);
    bench_receive_ready(bench);
    bench_receive_ready(bench);
    assert_int_equal(bench_counters(bench).bytes_zero, 4096);
    bench_close(bench);
}

/* Clause: C16 */
static void test_core_pipeline__source__no_credit_left__the_next_one_waits(void **state)
{
    struct bench *bench = source_at(SOURCE_IS_EXCHANGED, &config);

    (void)state;
    for (uint64_t i = 0; i < 5; i++)
        source_push_zero(bench, 0, i * 8192, 4096);
    bench_expect_counts(bench, 0, 4);
    bench_begin(bench);
    bench_receive_ready(bench);
    EXPECT(bench, "> RECEIVED r6 READY x1\n"
                  "< POST_SEND s1 COMPRESS x1 [value=0 block=0 offset=0x40008000 length=0x1000]\n");
    bench_close(bench);
}

/* Clause: C18, C9 */
static void test_core_pipeline__source__zeros_that_wait__go_in_one_message(void **state)
{
    struct bench *bench = source_at(SOURCE_IS_EXCHANGED, &config);

    (void)state;
    bench->is_quiet = true;
    for (uint64_t i = 0; i < 7; i++)
        source_push_zero(bench, 0, i * 8192, 4096);
    source_push(bench, 0, 5 * 8192, 4096);      /* overlaps the sixth: waits for it */
    source_push_zero(bench, 0, 5 * 8192, 8192); /* waits for that write */
    source_push_zero(bench, 1, 4096, 4096);
    bench_begin(bench);
    bench->automatic = AUTO_SEND | AUTO_OPERATION;
    bench_receive_ready(bench);
    bench_receive_ready(bench);
    EXPECT(bench,
           "> RECEIVED r6 READY x1\n"
           "< POST_SEND s1 REGISTER_REQUEST x1 [key=0x40000000 block=0 chunks=0]\n"
           "< REGISTER o1 block=0 offset=0 length=1048576 region=0\n"
           "> RECEIVED r7 READY x1\n"
           "< POST_SEND s2 COMPRESS x4 [value=0 block=0 offset=0x40008000 length=0x1000] [value=0 "
           "block=0 offset=0x4000a000 length=0x1000] [value=0 block=0 offset=0x4000c000 "
           "length=0x1000] [value=0 block=1 offset=0x1000 length=0x1000]\n");
    bench_receive_ready(bench);
    bench_receive_ready(bench);
    receive_results(bench, DESTINATION_HOST0, 0xa0, 1);
    EXPECT(bench, "> RECEIVED r8 READY x1\n"
                  "> RECEIVED r0 READY x1\n"
                  "> RECEIVED r1 REGISTER_RESULT x1 [rkey=0xa0 host=0x700000000]\n");
    bench_receive_ready(bench);
    bench_receive_ready(bench);
    EXPECT(bench, "> RECEIVED r2 READY x1\n"
                  "> RECEIVED r3 READY x1\n"
                  "< POST_WRITE w1 block=0 offset=40960 length=4096 region=0 remote=0x70000a000 "
                  "rkey=0xa0 signalled\n");
    COMPLETE(bench, "w1", OK);
    EXPECT(bench, "> COMPLETED w1 OK\n"
                  "< POST_SEND s3 COMPRESS x1 [value=0 block=0 offset=0x4000a000 length=0x2000]\n");
    bench_close(bench);
}

/* Clause: R12, R5 */
static void test_core_pipeline__source__a_short_answer__fails(void **state)
{
    const struct rdmig_conn_config single = {.capability_flags = PIPELINE, .run_chunk_count = 1};
    struct bench *bench = source_at(SOURCE_IS_EXCHANGED, &single);

    (void)state;
    source_push(bench, 0, 0, BLOCK0_BYTES);
    message_begin(bench->message, RDMIG_MESSAGE_REGISTER_RESULT, 4); /* as stock does */
    message_result(bench->message, 0xa0, DESTINATION_HOST0);
    bench_receive(bench, bench->message);
    bench_expect_failure(bench, RDMIG_REASON_MESSAGE_REPEAT);
    bench_close(bench);
}

/* Clause: R12, R4 */
static void test_core_pipeline__source__each_request_of_a_batch__has_its_result(void **state)
{
    const struct rdmig_conn_config single = {.capability_flags = PIPELINE, .run_chunk_count = 1};

    (void)state;
    for (uint32_t count = 1; count <= 5; count++) {
        struct bench *bench = source_at(SOURCE_IS_EXCHANGED, &single);

        bench->is_quiet = true;
        source_push(bench, 0, 0, BLOCK0_BYTES); /* four chunks */
        assert_int_equal(bench_u32_of_sent(bench, 8), 4);
        receive_results(bench, DESTINATION_HOST0, 0xa0, count);
        if (count == 4)
            assert_null(rdmig_conn_failure(bench->conn));
        else
            bench_expect_failure(bench, RDMIG_REASON_MESSAGE_REPEAT);
        bench_close(bench);
    }
}

/* Clause: C17, S2 */
static void test_core_pipeline__source__stream_bytes__wait_until_all_is_done(void **state)
{
    struct bench *bench = source_at(SOURCE_IS_EXCHANGED, &config);

    (void)state;
    bench->is_quiet = true;
    source_push(bench, 0, 0, 4096);
    source_push_zero(bench, 0, 4096, 4096);
    receive_results(bench, DESTINATION_HOST0, 0xa0, 1);
    bench_receive_ready(bench);
    bench_begin(bench);
    FEED(bench, ROUND_CLOSED);
    EXPECT(bench, "> ROUND_CLOSED\n");
    bench_receive_ready(bench); /* for the zeros */
    EXPECT(bench, "> RECEIVED r8 READY x1\n"
                  "< POST_SEND s1 REGISTER_FINISHED x1\n"
                  "< NOTIFY_ROUND_ENDED\n");
    source_write_stream(bench, "tail");
    FEED(bench, FLUSH_REQUESTED, .flush = RDMIG_FLUSH_CONSUMED);
    EXPECT(bench, "> STREAM_WRITTEN length=4\n"
                  "> FLUSH_REQUESTED CONSUMED\n");
    bench_receive_ready(bench); /* for the round's end */
    EXPECT(bench, "> RECEIVED r0 READY x1\n"
                  "< POST_SEND s2 QEMU_FILE x0 4 bytes 'tail'\n");
    bench_receive_ready(bench);
    EXPECT(bench, "> RECEIVED r1 READY x1\n"
                  "< NOTIFY_FLUSHED\n");
    bench_close(bench);
}

/* Clause: C17, C16 */
static void test_core_pipeline__source__nothing_goes_beside_stream_bytes(void **state)
{
    struct bench *bench = source_at(SOURCE_IS_EXCHANGED, &config);

    (void)state;
    bench->automatic = AUTO_WRITE | AUTO_OPERATION;
    source_write_stream(bench, "head");
    source_push(bench, 0, 0, 4096);
    EXPECT(bench, "> STREAM_WRITTEN length=4\n"
                  "> RANGE_PUSHED block=0 offset=0 length=4096\n"
                  "< POST_SEND s1 QEMU_FILE x0 4 bytes 'head'\n");
    COMPLETE(bench, "s1", OK);
    bench_receive_ready(bench);
    EXPECT(bench, "> COMPLETED s1 OK\n"
                  "> RECEIVED r6 READY x1\n"
                  "< POST_SEND s2 REGISTER_REQUEST x1 [key=0x40000000 block=0 chunks=0]\n"
                  "< REGISTER o1 block=0 offset=0 length=1048576 region=0\n");
    bench_close(bench);
}

/* Clause: C17 */
static void test_core_pipeline__source__a_flush__needs_only_the_stream(void **state)
{
    struct bench *bench = source_at(SOURCE_IS_EXCHANGED, &config);

    (void)state;
    FEED(bench, ROUND_CLOSED); /* REGISTER_FINISHED is outstanding */
    bench->automatic = 0;
    bench_begin(bench);
    FEED(bench, FLUSH_REQUESTED, .flush = RDMIG_FLUSH_CONSUMED);
    EXPECT(bench, "> FLUSH_REQUESTED CONSUMED\n"
                  "< NOTIFY_FLUSHED\n"); /* there is nothing to be consumed */
    source_write_stream(bench, "x");
    FEED(bench, FLUSH_REQUESTED, .flush = RDMIG_FLUSH_DELIVERED);
    bench_receive_ready(bench);
    EXPECT(bench, "> STREAM_WRITTEN length=1\n"
                  "> FLUSH_REQUESTED DELIVERED\n"
                  "> RECEIVED r6 READY x1\n"
                  "< POST_SEND s1 QEMU_FILE x0 1 bytes 'x'\n");
    bench_receive_ready(bench); /* overtakes the completion (clause C11) */
    EXPECT(bench, "> RECEIVED r7 READY x1\n");
    COMPLETE(bench, "s1", OK);
    EXPECT(bench, "> COMPLETED s1 OK\n"
                  "< NOTIFY_FLUSHED\n");
    bench_close(bench);
}

/* ---- what comes from a destination that does otherwise */

/* Clause: C16, C6 */
static void test_core_pipeline__source__an_answer_is_for_the_oldest(void **state)
{
    struct bench *bench = source_at(SOURCE_IS_EXCHANGED, &config);

    (void)state;
    source_push_zero(bench, 0, 0, 4096);
    source_push(bench, 1, 0, 4096);
    receive_results(bench, DESTINATION_HOST1, 0xa0, 1); /* before READY for the zeros */
    bench_expect_failure(bench, RDMIG_REASON_MESSAGE_UNEXPECTED);
    bench_close(bench);
}

/* Clause: C16, C3 */
static void test_core_pipeline__source__a_ready_that_is_for_no_command__fails(void **state)
{
    struct bench *bench = source_at(SOURCE_IS_EXCHANGED, &config);

    (void)state;
    source_push_zero(bench, 0, 0, 4096);
    source_push_zero(bench, 0, 8192, 4096);
    bench_receive_ready(bench);
    bench_receive_ready(bench);
    assert_null(rdmig_conn_failure(bench->conn));
    bench_receive_ready(bench);
    bench_expect_failure(bench, RDMIG_REASON_CREDIT_EXCESS);
    bench_close(bench);
}

/* Clause: C16, E4 */
static void test_core_pipeline__source__error__takes_effect_at_once(void **state)
{
    struct bench *bench = source_at(SOURCE_IS_EXCHANGED, &config);

    (void)state;
    source_push(bench, 0, 0, 4096);
    source_push_zero(bench, 0, 8192, 4096);
    bench_begin(bench);
    bench_receive_plain(bench, RDMIG_MESSAGE_ERROR);
    bench_expect_failure(bench, RDMIG_REASON_PEER_ERROR);
    EXPECT(bench, "> RECEIVED r6 ERROR x1\n< DISCONNECT\n");
    bench_close(bench);
}

/* Clause: C16, E3 */
static void test_core_pipeline__source__gives_up_with_commands_outstanding__says_so(void **state)
{
    struct bench *bench = source_at(SOURCE_IS_EXCHANGED, &config);

    (void)state;
    source_push(bench, 0, 0, 4096);
    for (uint64_t i = 1; i < 4; i++)
        source_push_zero(bench, 0, i * 8192, 4096);
    bench->automatic = 0;
    bench_begin(bench);
    FEED(bench, CANCEL_REQUESTED); /* all credits are spent */
    receive_results(bench, DESTINATION_HOST0, 0xa0, 1);
    bench_receive_ready(bench);
    bench_receive_ready(bench);
    EXPECT(bench, "> CANCEL_REQUESTED OK\n"
                  "> RECEIVED r6 REGISTER_RESULT x1 [rkey=0xa0 host=0x700000000]\n"
                  "> RECEIVED r7 READY x1\n"
                  "< POST_SEND s1 ERROR x1\n"
                  "> RECEIVED r8 READY x1\n");
    bench_close(bench);
}

/* ---- limits of time, slots, and what is counted */

/* Clause: E5 */
static void test_core_pipeline__source__each_ready__gives_the_next_its_time(void **state)
{
    const struct rdmig_conn_config timed = {.capability_flags = PIPELINE,
                                            .reply_timeout_ns = SECOND};
    const uint64_t limit_ns = SECOND + 4096 / 256 * 1000; /* clause E14: it has a page to fill */
    struct bench *bench = source_at(SOURCE_IS_EXCHANGED, &timed);

    (void)state;
    for (uint64_t i = 0; i < 3; i++)
        source_push_zero(bench, 0, i * 8192, 4096);
    for (uint64_t i = 0; i < 2; i++) {
        bench_pass(bench, limit_ns - 1);
        assert_null(rdmig_conn_failure(bench->conn));
        bench_receive_ready(bench);
    }
    bench_pass(bench, limit_ns - 1);
    assert_null(rdmig_conn_failure(bench->conn));
    bench_pass(bench, 1);
    bench_expect_failure(bench, RDMIG_REASON_PEER_SILENT);
    bench_close(bench);
}

/* Clause: E5 */
static void test_core_pipeline__source__nothing_outstanding__has_no_limit(void **state)
{
    const struct rdmig_conn_config timed = {.capability_flags = PIPELINE,
                                            .reply_timeout_ns = SECOND};
    struct bench *bench = source_at(SOURCE_IS_EXCHANGED, &timed);

    (void)state;
    source_push_zero(bench, 0, 0, 4096);
    source_push_zero(bench, 0, 8192, 4096);
    bench_receive_ready(bench);
    bench_receive_ready(bench);
    assert_true(rdmig_conn_deadline_ns(bench->conn) == RDMIG_NO_DEADLINE);
    bench_close(bench);
}

/* Clause: C11, C14 */
static void test_core_pipeline__source__slots_that_hardware_has__are_waited_for(void **state)
{
    struct bench *bench = source_at(SOURCE_IS_EXCHANGED, &config);

    (void)state;
    bench->automatic = 0;
    /* Four small slots and the two large ones; each READY overtakes the completion. */
    for (uint64_t i = 0; i < 6; i++) {
        source_push_zero(bench, 0, i * 8192, 4096);
        bench_receive_ready(bench);
    }
    bench_expect_counts(bench, 0, 6);
    source_push_zero(bench, 0, 6 * 8192, 4096);
    bench_expect_counts(bench, 0, 6);
    assert_int_equal(rdmig_conn_range_room_count(bench->conn), RDMIG_RANGE_QUEUE_COUNT - 1);
    COMPLETE(bench, "s1", OK);
    bench_expect_counts(bench, 0, 7);
    bench_close(bench);
}

/* Clause: C16 */
static void test_core_pipeline__source__round_trips__are_waits(void **state)
{
    struct bench *bench = source_at(SOURCE_IS_EXCHANGED, &config);
    const uint64_t before = bench_counters(bench).round_trips;

    (void)state;
    for (uint64_t i = 0; i < 4; i++)
        source_push_zero(bench, 0, i * 8192, 4096);
    assert_int_equal(bench_counters(bench).round_trips, before + 1); /* the others go along */
    source_push_zero(bench, 0, 4 * 8192, 4096);
    bench_receive_ready(bench);
    assert_int_equal(bench_counters(bench).round_trips, before + 2); /* had to wait */
    bench_receive_ready(bench); /* for this credit nobody waited */
    source_push_zero(bench, 0, 5 * 8192, 4096);
    assert_int_equal(bench_counters(bench).round_trips, before + 2);
    bench_close(bench);
}

/* Clause: C16 */
static void test_core_pipeline__source__two_readys_at_a_time__end_one_wait(void **state)
{
    struct bench *bench = source_at(SOURCE_IS_EXCHANGED, &config);
    uint64_t before;

    (void)state;
    for (uint64_t i = 0; i < 5; i++)
        source_push_zero(bench, 0, i * 8192, 4096);
    before = bench_counters(bench).round_trips;
    message_begin(bench->message, RDMIG_MESSAGE_READY, 1);
    drive_step_received(bench);
    drive_step_received(bench);
    FEED(bench, TIME_PASSED);
    assert_int_equal(bench_counters(bench).round_trips, before + 1);
    bench_close(bench);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_core_pipeline__source__registrations_and_zeros__go_beside_each_other),
        cmocka_unit_test(test_core_pipeline__source__no_credit_left__the_next_one_waits),
        cmocka_unit_test(test_core_pipeline__source__zeros_that_wait__go_in_one_message),
        cmocka_unit_test(test_core_pipeline__source__a_short_answer__fails),
        cmocka_unit_test(test_core_pipeline__source__each_request_of_a_batch__has_its_result),
        cmocka_unit_test(test_core_pipeline__source__stream_bytes__wait_until_all_is_done),
        cmocka_unit_test(test_core_pipeline__source__nothing_goes_beside_stream_bytes),
        cmocka_unit_test(test_core_pipeline__source__a_flush__needs_only_the_stream),
        cmocka_unit_test(test_core_pipeline__source__an_answer_is_for_the_oldest),
        cmocka_unit_test(test_core_pipeline__source__a_ready_that_is_for_no_command__fails),
        cmocka_unit_test(test_core_pipeline__source__error__takes_effect_at_once),
        cmocka_unit_test(test_core_pipeline__source__gives_up_with_commands_outstanding__says_so),
        cmocka_unit_test(test_core_pipeline__source__each_ready__gives_the_next_its_time),
        cmocka_unit_test(test_core_pipeline__source__nothing_outstanding__has_no_limit),
        cmocka_unit_test(test_core_pipeline__source__slots_that_hardware_has__are_waited_for),
        cmocka_unit_test(test_core_pipeline__source__round_trips__are_waits),
        cmocka_unit_test(test_core_pipeline__source__two_readys_at_a_time__end_one_wait),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
