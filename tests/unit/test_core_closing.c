/* SPDX-License-Identifier: BSD-2-Clause */
/* Taking a connection down: in order, after a failure, with a peer or hardware that does not play
 * along. */
#include "support/drive.h"

static void flush_recvs(struct bench *bench)
{
    while (bench->recv_count > 0)
        FEED(bench, COMPLETED, .tag = bench->recv_tags[0], .status = RDMIG_STATUS_FLUSHED);
}

/* Clause: E6 */
static void test_core_closing__source_finished__disconnects_and_does_not_wait(void **state)
{
    struct bench *bench = source_at(SOURCE_IS_EXCHANGED, NULL);

    (void)state;
    FEED(bench, FINISH_REQUESTED);
    EXPECT(bench, "> FINISH_REQUESTED\n"
                  "< DISCONNECT\n");
    flush_recvs(bench);
    EXPECT(bench, "> COMPLETED r0 FLUSHED\n"
                  "> COMPLETED r1 FLUSHED\n"
                  "> COMPLETED r2 FLUSHED\n"
                  "< NOTIFY_CLOSED\n");
    assert_null(rdmig_conn_failure(bench->conn));
    bench_close(bench);
}

static const struct rdmig_conn_config leaving_awaited = {.leave_timeout_ns = SECOND};

/* A QEMU that hears DISCONNECTED before it has read the end may crash. Clause: E13 */
static void test_core_closing__source_finished__lets_a_qemu_go_first(void **state)
{
    struct bench *bench = source_at(SOURCE_IS_EXCHANGED, &leaving_awaited);

    (void)state;
    FEED(bench, FINISH_REQUESTED);
    bench_pass(bench, SECOND - 1);
    bench_receive_plain(bench, RDMIG_MESSAGE_READY); /* it may have wanted more */
    EXPECT(bench, "> FINISH_REQUESTED\n"
                  "> TIME_PASSED\n"
                  "> RECEIVED r0 READY x1\n");
    FEED(bench, DISCONNECTED);
    flush_recvs(bench);
    EXPECT(bench, "> DISCONNECTED\n"
                  "< DISCONNECT\n"
                  "> COMPLETED r1 FLUSHED\n"
                  "> COMPLETED r2 FLUSHED\n"
                  "< NOTIFY_CLOSED\n");
    assert_null(rdmig_conn_failure(bench->conn));
    bench_close(bench);
}

/* Clause: E13 */
static void test_core_closing__source_finished__does_not_wait_for_a_qemu_for_ever(void **state)
{
    struct bench *bench = source_at(SOURCE_IS_EXCHANGED, &leaving_awaited);

    (void)state;
    FEED(bench, FINISH_REQUESTED);
    bench_pass(bench, SECOND + BLOCKS_WORK_NS);
    EXPECT(bench, "> FINISH_REQUESTED\n"
                  "> TIME_PASSED\n"
                  "< DISCONNECT\n");
    assert_null(rdmig_conn_failure(bench->conn));
    bench_close(bench);
}

/* Clause: E13 */
static void test_core_closing__source_finished__a_qemu_may_still_say_error(void **state)
{
    struct bench *bench = source_at(SOURCE_IS_EXCHANGED, &leaving_awaited);

    (void)state;
    FEED(bench, FINISH_REQUESTED);
    bench_receive_plain(bench, RDMIG_MESSAGE_ERROR);
    EXPECT(bench, "> FINISH_REQUESTED\n"
                  "> RECEIVED r0 ERROR x1\n"
                  "< DISCONNECT\n");
    bench_expect_failure(bench, RDMIG_REASON_PEER_ERROR);
    assert_int_equal(rdmig_conn_failure(bench->conn)->phase, RDMIG_PHASE_FINISHING);
    bench_close(bench);
}

/* They wait for the source: clause E6. Clause: E13 */
static void test_core_closing__source_finished__waits_for_none_of_our_own(void **state)
{
    struct bench *bench =
        source_at(SOURCE_IS_EXCHANGED,
                  &(struct rdmig_conn_config){.capability_flags = RDMIG_CAPABILITY_PIPELINE,
                                              .leave_timeout_ns = SECOND});

    (void)state;
    FEED(bench, FINISH_REQUESTED);
    EXPECT(bench, "> FINISH_REQUESTED\n"
                  "< DISCONNECT\n");
    bench_close(bench);
}

/* A source may say ERROR while it is waited for: the guest is the destination's all the same.
 * Clause: E6 */
static void test_core_closing__destination_finished__cannot_fail_any_more(void **state)
{
    struct bench *bench = destination_at(DESTINATION_IS_AWAITING, NULL);

    (void)state;
    FEED(bench, FINISH_REQUESTED);
    bench_receive_plain(bench, RDMIG_MESSAGE_ERROR);
    EXPECT(bench, "> FINISH_REQUESTED\n"
                  "> RECEIVED r0 ERROR x1\n");
    assert_null(rdmig_conn_failure(bench->conn));
    bench_close(bench);
}

/* Clause: E6 */
static void test_core_closing__destination_finished__lets_the_source_go_first(void **state)
{
    struct bench *bench = destination_at(DESTINATION_IS_AWAITING, NULL);

    (void)state;
    FEED(bench, FINISH_REQUESTED);
    EXPECT(bench, "> FINISH_REQUESTED\n");
    FEED(bench, DISCONNECTED);
    EXPECT(bench, "> DISCONNECTED\n"
                  "< DISCONNECT\n");
    flush_recvs(bench);
    EXPECT(bench, "> COMPLETED r0 FLUSHED\n"
                  "> COMPLETED r1 FLUSHED\n"
                  "> COMPLETED r2 FLUSHED\n"
                  "< NOTIFY_CLOSED\n");
    assert_null(rdmig_conn_failure(bench->conn));
    bench_close(bench);
}

/* Clause: E6 */
static void test_core_closing__destination_finished__does_not_wait_for_ever(void **state)
{
    struct bench *bench = destination_at(DESTINATION_IS_AWAITING,
                                         &(struct rdmig_conn_config){.close_timeout_ns = SECOND});

    (void)state;
    FEED(bench, FINISH_REQUESTED);
    bench_pass(bench, SECOND - 1);
    bench_pass(bench, 1);
    EXPECT(bench, "> FINISH_REQUESTED\n"
                  "> TIME_PASSED\n"
                  "> TIME_PASSED\n"
                  "< DISCONNECT\n");
    assert_null(rdmig_conn_failure(bench->conn));
    bench_close(bench);
}

/* Clause: E3 */
static void test_core_closing__source_with_a_credit__says_error_then_leaves(void **state)
{
    struct bench *bench = source_at(SOURCE_IS_EXCHANGED, NULL);

    (void)state;
    FEED(bench, CANCEL_REQUESTED, .os_code = 7);
    EXPECT(bench, "> CANCEL_REQUESTED OK os_code=7\n"
                  "< POST_SEND s1 ERROR x1\n");
    COMPLETE(bench, "s1", OK);
    EXPECT(bench, "> COMPLETED s1 OK\n"
                  "< DISCONNECT\n");
    flush_recvs(bench);
    EXPECT(bench, "> COMPLETED r0 FLUSHED\n"
                  "> COMPLETED r1 FLUSHED\n"
                  "> COMPLETED r2 FLUSHED\n"
                  "< NOTIFY_CLOSED\n");
    bench_expect_failure(bench, RDMIG_REASON_CANCELLED);
    assert_int_equal(rdmig_conn_failure(bench->conn)->os_code, 7);
    assert_int_equal(rdmig_conn_failure(bench->conn)->phase, RDMIG_PHASE_RUNNING);
    bench_close(bench);
}

/* Clause: E3 */
static void test_core_closing__source_without_a_credit__waits_for_one_a_while(void **state)
{
    struct bench *bench =
        source_at(SOURCE_AWAITS_RESULT, &(struct rdmig_conn_config){.close_timeout_ns = SECOND});

    (void)state;
    FEED(bench, CANCEL_REQUESTED);
    bench_pass(bench, SECOND / 2);
    source_receive_result(bench, 0, 0xa0);
    EXPECT(bench, "> CANCEL_REQUESTED OK\n"
                  "> TIME_PASSED\n"
                  "> RECEIVED r0 REGISTER_RESULT x1 [rkey=0xa0 host=0x700000000]\n");
    bench_pass(bench, SECOND / 2);
    EXPECT(bench, "> TIME_PASSED\n"
                  "< DISCONNECT\n");
    bench_close(bench);
}

/* Clause: E3 */
static void test_core_closing__source_without_a_credit__says_error_when_it_comes(void **state)
{
    struct bench *bench = source_at(SOURCE_AWAITS_RESULT, NULL);

    (void)state;
    FEED(bench, CANCEL_REQUESTED);
    source_receive_result(bench, 0, 0xa0);
    bench_receive_ready(bench);
    EXPECT(bench, "> CANCEL_REQUESTED OK\n"
                  "> RECEIVED r0 REGISTER_RESULT x1 [rkey=0xa0 host=0x700000000]\n"
                  "> RECEIVED r1 READY x1\n"
                  "< POST_SEND s1 ERROR x1\n");
    bench_close(bench);
}

/* Clause: E3, E4 */
static void test_core_closing__error_from_the_peer_meanwhile__makes_ours_needless(void **state)
{
    struct bench *bench = source_at(SOURCE_AWAITS_RESULT, NULL);

    (void)state;
    FEED(bench, CANCEL_REQUESTED);
    bench_receive_plain(bench, RDMIG_MESSAGE_ERROR);
    EXPECT(bench, "> CANCEL_REQUESTED OK\n"
                  "> RECEIVED r0 ERROR x1\n"
                  "< DISCONNECT\n");
    bench_expect_failure(bench, RDMIG_REASON_CANCELLED);
    bench_close(bench);
}

/* Clause: E3 */
static void test_core_closing__nonsense_from_the_peer_meanwhile__is_ignored(void **state)
{
    struct bench *bench = source_at(SOURCE_AWAITS_RESULT, NULL);
    const uint8_t nonsense[5] = {1, 2, 3, 4, 5};

    (void)state;
    FEED(bench, CANCEL_REQUESTED);
    bench_receive_bytes(bench, nonsense, sizeof(nonsense));
    bench_receive_ready(bench);
    EXPECT(bench, "> CANCEL_REQUESTED OK\n"
                  "> RECEIVED r0 5 bytes\n"
                  "> RECEIVED r1 READY x1\n"
                  "< POST_SEND s1 ERROR x1\n");
    bench_close(bench);
}

/* Clause: E3 */
static void test_core_closing__destination__needs_no_credit_for_error(void **state)
{
    struct bench *bench = destination_at(DESTINATION_IS_STREAMING, NULL);

    (void)state;
    FEED(bench, CANCEL_REQUESTED);
    EXPECT(bench, "> CANCEL_REQUESTED OK\n"
                  "< POST_SEND s1 ERROR x1\n");
    COMPLETE(bench, "s1", OK);
    EXPECT(bench, "> COMPLETED s1 OK\n"
                  "< DISCONNECT\n");
    bench_close(bench);
}

/* Clause: E3, E6 */
static void test_core_closing__error_does_not_get_out__leaves_all_the_same(void **state)
{
    struct bench *lost = destination_at(DESTINATION_IS_AWAITING, NULL);
    struct bench *stuck = destination_at(DESTINATION_IS_AWAITING,
                                         &(struct rdmig_conn_config){.close_timeout_ns = SECOND});

    (void)state;
    FEED(lost, CANCEL_REQUESTED);
    COMPLETE(lost, "s1", ERROR, .os_code = 12);
    EXPECT(lost, "> CANCEL_REQUESTED OK\n"
                 "< POST_SEND s1 ERROR x1\n"
                 "> COMPLETED s1 ERROR os_code=12\n"
                 "< DISCONNECT\n");
    bench_expect_failure(lost, RDMIG_REASON_CANCELLED); /* the first cause is kept */
    FEED(stuck, CANCEL_REQUESTED);
    bench_pass(stuck, SECOND);
    EXPECT(stuck, "> CANCEL_REQUESTED OK\n"
                  "< POST_SEND s1 ERROR x1\n"
                  "> TIME_PASSED\n"
                  "< DISCONNECT\n");
    bench_close(lost);
    bench_close(stuck);
}

/* Clause: E3 */
static void test_core_closing__the_peer_leaves_first__so_do_we(void **state)
{
    struct bench *due = source_at(SOURCE_AWAITS_RESULT, NULL);
    struct bench *sent = source_at(SOURCE_IS_EXCHANGED, NULL);

    (void)state;
    FEED(due, CANCEL_REQUESTED);
    FEED(due, DISCONNECTED);
    EXPECT(due, "> CANCEL_REQUESTED OK\n"
                "> DISCONNECTED\n"
                "< DISCONNECT\n");
    FEED(sent, CANCEL_REQUESTED);
    FEED(sent, DISCONNECTED);
    FEED(sent, DISCONNECTED); /* told twice: nothing more to do */
    EXPECT(sent, "> CANCEL_REQUESTED OK\n"
                 "< POST_SEND s1 ERROR x1\n"
                 "> DISCONNECTED\n"
                 "< DISCONNECT\n"
                 "> DISCONNECTED\n");
    bench_close(due);
    bench_close(sent);
}

/* Clause: E4 */
static void test_core_closing__error_from_the_peer__is_not_answered(void **state)
{
    struct bench *source = source_at(SOURCE_IS_EXCHANGED, NULL);
    struct bench *destination = destination_at(DESTINATION_IS_AWAITING, NULL);

    (void)state;
    bench_receive_plain(source, RDMIG_MESSAGE_ERROR);
    EXPECT(source, "> RECEIVED r0 ERROR x1\n"
                   "< DISCONNECT\n");
    bench_expect_failure(source, RDMIG_REASON_PEER_ERROR);
    bench_receive_plain(destination, RDMIG_MESSAGE_ERROR);
    EXPECT(destination, "> RECEIVED r0 ERROR x1\n"
                        "< DISCONNECT\n");
    bench_expect_failure(destination, RDMIG_REASON_PEER_ERROR);
    bench_close(source);
    bench_close(destination);
}

/* Clause: E6, E9 */
static void test_core_closing__work_that_does_not_come_back__is_abandoned(void **state)
{
    struct bench *bench =
        source_at(SOURCE_IS_WRITING, &(struct rdmig_conn_config){.close_timeout_ns = SECOND});

    (void)state;
    bench_receive_plain(bench, RDMIG_MESSAGE_ERROR);
    bench_pass(bench, SECOND - 1);
    EXPECT(bench, "> RECEIVED r2 ERROR x1\n"
                  "< DISCONNECT\n"
                  "> TIME_PASSED\n");
    bench_pass(bench, 1);
    EXPECT(bench, "> TIME_PASSED\n"
                  "< ABANDON\n");
    assert_true(rdmig_conn_deadline_ns(bench->conn) == RDMIG_NO_DEADLINE);
    bench_pass(bench, 100 * SECOND);
    assert_int_equal(rdmig_conn_phase(bench->conn), RDMIG_PHASE_FAILING);
    /* The driver answers what is out, the last one closes. */
    COMPLETE(bench, "w1", FLUSHED);
    flush_recvs(bench);
    EXPECT(bench, "> TIME_PASSED\n"
                  "> COMPLETED w1 FLUSHED\n"
                  "> COMPLETED r0 FLUSHED\n"
                  "> COMPLETED r1 FLUSHED\n"
                  "< NOTIFY_CLOSED\n");
    bench_close(bench);
}

/* Clause: E3, E9 */
static void test_core_closing__an_operation_in_progress__is_waited_for(void **state)
{
    struct bench *bench = destination_at(DESTINATION_IS_FILLING, NULL);

    (void)state;
    bench_receive_plain(bench, RDMIG_MESSAGE_ERROR);
    flush_recvs(bench);
    EXPECT(bench, "> RECEIVED r2 ERROR x1\n"
                  "< DISCONNECT\n"
                  "> COMPLETED r0 FLUSHED\n");
    COMPLETE(bench, "o1", OK);
    EXPECT(bench, "> COMPLETED o1 OK\n"
                  "< NOTIFY_CLOSED\n");
    bench_close(bench);
}

/* Clause: E10 */
static void test_core_closing__cancel__ends_in_closed_from_every_stage(void **state)
{
    (void)state;
    for (int i = 0; i < SOURCE_STAGE_COUNT; i++) {
        struct bench *bench = source_at((enum source_stage)i, NULL);
        const bool is_over = i == SOURCE_IS_FINISHING || i == SOURCE_IS_CLOSED;

        assert_int_equal(FEED(bench, CANCEL_REQUESTED, .os_code = 3), is_over ? -RDMIG_E_STATE : 0);
        if (!is_over)
            bench_expect_failure(bench, RDMIG_REASON_CANCELLED);
        bench_close(bench);
    }
    for (int i = 0; i < DESTINATION_STAGE_COUNT; i++) {
        struct bench *bench = destination_at((enum destination_stage)i, NULL);
        const bool is_over = i == DESTINATION_IS_FINISHING || i == DESTINATION_IS_CLOSED;

        assert_int_equal(FEED(bench, CANCEL_REQUESTED, .os_code = 3), is_over ? -RDMIG_E_STATE : 0);
        if (!is_over)
            bench_expect_failure(bench, RDMIG_REASON_CANCELLED);
        bench_close(bench);
    }
}

/* Clause: E10 */
static void test_core_closing__cancel_before_a_queue_pair__closes_at_once(void **state)
{
    struct bench *bench = source_at(SOURCE_IS_IDLE, NULL);

    (void)state;
    FEED(bench, CANCEL_REQUESTED);
    EXPECT(bench, "> CANCEL_REQUESTED OK\n"
                  "< NOTIFY_CLOSED\n");
    assert_int_equal(FEED(bench, STARTED), -RDMIG_E_STATE); /* it comes too late */
    bench_close(bench);
}

/* Clause: E10 */
static void test_core_closing__cancel_while_connecting__says_nothing_to_nobody(void **state)
{
    struct bench *source = source_at(SOURCE_IS_CONNECTING, NULL);
    struct bench *destination = destination_at(DESTINATION_IS_CONNECTING, NULL);

    (void)state;
    FEED(source, CANCEL_REQUESTED);
    EXPECT(source, "> CANCEL_REQUESTED OK\n"
                   "< DISCONNECT\n");
    FEED(destination, CANCEL_REQUESTED);
    assert_int_equal(bench_connect_request(destination, 1, 0), -RDMIG_E_STATE);
    EXPECT(destination, "> CANCEL_REQUESTED OK\n"
                        "< DISCONNECT\n"
                        "> CONNECT_REQUESTED length=8 | version 1 flags 0x0 ! STATE\n");
    bench_close(source);
    bench_close(destination);
}

/* Clause: E2 */
static void test_core_closing__a_second_cause__does_not_replace_the_first(void **state)
{
    struct bench *bench = source_at(SOURCE_IS_WRITING, NULL);

    (void)state;
    COMPLETE(bench, "w1", ERROR, .os_code = 10);
    FEED(bench, DISCONNECTED);
    FEED(bench, CANCEL_REQUESTED);
    FEED(bench, UNREACHABLE, .status = RDMIG_STATUS_ERROR);
    bench_expect_failure(bench, RDMIG_REASON_WRITE_FAILED);
    EXPECT(bench, "> COMPLETED w1 ERROR os_code=10\n"
                  "< DISCONNECT\n"
                  "> DISCONNECTED\n"
                  "> CANCEL_REQUESTED OK\n"
                  "> UNREACHABLE ERROR\n");
    bench_close(bench);
}

/* Clause: E1 */
static void test_core_closing__deinit__only_idle_or_closed(void **state)
{
    (void)state;
    for (int i = 0; i < SOURCE_STAGE_COUNT; i++) {
        struct bench *bench = source_at((enum source_stage)i, NULL);

        if (i != SOURCE_IS_IDLE && i != SOURCE_IS_CLOSED)
            assert_int_equal(rdmig_conn_deinit(bench->conn), -RDMIG_E_STATE);
        bench_close(bench);
    }
}

/* Clause: E1 */
static void test_core_closing__source__cannot_finish_in_the_middle(void **state)
{
    struct bench *writing = source_at(SOURCE_IS_WRITING, NULL);
    struct bench *streaming = source_at(SOURCE_IS_ESTABLISHED, NULL);
    struct bench *flushing = source_at(SOURCE_IS_ESTABLISHED, NULL);
    struct bench *sending =
        source_at(SOURCE_IS_CREDITED, &(struct rdmig_conn_config){.stream_message_bytes = 1});

    (void)state;
    assert_int_equal(FEED(writing, FINISH_REQUESTED), -RDMIG_E_STATE);
    source_write_stream(streaming, "x");
    assert_int_equal(FEED(streaming, FINISH_REQUESTED), -RDMIG_E_STATE);
    source_write_stream(flushing, "x");
    FEED(flushing, FLUSH_REQUESTED, .flush = RDMIG_FLUSH_CONSUMED);
    assert_int_equal(FEED(flushing, FINISH_REQUESTED), -RDMIG_E_STATE);
    bench_receive_ready(flushing);
    assert_int_equal(FEED(flushing, FINISH_REQUESTED), -RDMIG_E_STATE); /* consumed it is not */
    sending->automatic = 0;
    source_write_stream(sending, "x");
    assert_int_equal(FEED(sending, FINISH_REQUESTED), -RDMIG_E_STATE);
    COMPLETE(sending, "s1", OK);
    assert_int_equal(FEED(sending, FINISH_REQUESTED), RDMIG_OK);
    bench_close(writing);
    bench_close(streaming);
    bench_close(flushing);
    bench_close(sending);
}
/* Clause: E3, R8 */
static void
test_core_closing__what_ends_after_the_failure__is_told_only_if_it_was_a_delivery(void **state)
{
    struct bench *releasing = source_at(SOURCE_AWAITS_UNREGISTERED, NULL);
    struct bench *delivering = source_at(SOURCE_IS_CREDITED, NULL);

    (void)state;
    releasing->automatic = 0;
    bench_receive_plain(releasing, RDMIG_MESSAGE_UNREGISTER_FINISHED);
    FEED(releasing, CANCEL_REQUESTED);
    COMPLETE(releasing, "o1", OK);
    EXPECT(releasing, "> RECEIVED r2 UNREGISTER_FINISHED x1\n"
                      "< DEREGISTER o1 region=0\n"
                      "> CANCEL_REQUESTED OK\n"
                      "> COMPLETED o1 OK\n");
    delivering->automatic = 0;
    source_write_stream(delivering, "end");
    FEED(delivering, FLUSH_REQUESTED, .flush = RDMIG_FLUSH_DELIVERED);
    FEED(delivering, CANCEL_REQUESTED);
    COMPLETE(delivering, "s1", OK); /* too late to cancel: the destination has it */
    EXPECT(delivering, "> STREAM_WRITTEN length=3\n"
                       "> FLUSH_REQUESTED DELIVERED\n"
                       "< POST_SEND s1 QEMU_FILE x0 3 bytes 'end'\n"
                       "> CANCEL_REQUESTED OK\n"
                       "> COMPLETED s1 OK\n"
                       "< NOTIFY_FLUSHED\n");
    bench_close(releasing);
    bench_close(delivering);
}
int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_core_closing__source_finished__disconnects_and_does_not_wait),
        cmocka_unit_test(test_core_closing__source_finished__lets_a_qemu_go_first),
        cmocka_unit_test(test_core_closing__source_finished__does_not_wait_for_a_qemu_for_ever),
        cmocka_unit_test(test_core_closing__source_finished__a_qemu_may_still_say_error),
        cmocka_unit_test(test_core_closing__source_finished__waits_for_none_of_our_own),
        cmocka_unit_test(test_core_closing__destination_finished__cannot_fail_any_more),
        cmocka_unit_test(test_core_closing__destination_finished__lets_the_source_go_first),
        cmocka_unit_test(test_core_closing__destination_finished__does_not_wait_for_ever),
        cmocka_unit_test(test_core_closing__source_with_a_credit__says_error_then_leaves),
        cmocka_unit_test(test_core_closing__source_without_a_credit__waits_for_one_a_while),
        cmocka_unit_test(test_core_closing__source_without_a_credit__says_error_when_it_comes),
        cmocka_unit_test(test_core_closing__error_from_the_peer_meanwhile__makes_ours_needless),
        cmocka_unit_test(test_core_closing__nonsense_from_the_peer_meanwhile__is_ignored),
        cmocka_unit_test(test_core_closing__destination__needs_no_credit_for_error),
        cmocka_unit_test(test_core_closing__error_does_not_get_out__leaves_all_the_same),
        cmocka_unit_test(test_core_closing__the_peer_leaves_first__so_do_we),
        cmocka_unit_test(test_core_closing__error_from_the_peer__is_not_answered),
        cmocka_unit_test(test_core_closing__work_that_does_not_come_back__is_abandoned),
        cmocka_unit_test(test_core_closing__an_operation_in_progress__is_waited_for),
        cmocka_unit_test(test_core_closing__cancel__ends_in_closed_from_every_stage),
        cmocka_unit_test(test_core_closing__cancel_before_a_queue_pair__closes_at_once),
        cmocka_unit_test(test_core_closing__cancel_while_connecting__says_nothing_to_nobody),
        cmocka_unit_test(test_core_closing__a_second_cause__does_not_replace_the_first),
        cmocka_unit_test(test_core_closing__deinit__only_idle_or_closed),
        cmocka_unit_test(test_core_closing__source__cannot_finish_in_the_middle),
        cmocka_unit_test(
            test_core_closing__what_ends_after_the_failure__is_told_only_if_it_was_a_delivery),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
