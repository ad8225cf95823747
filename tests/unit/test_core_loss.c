/* SPDX-License-Identifier: BSD-2-Clause */
/* The connection is lost: DISCONNECTED, and work that comes back undone, in every stage of both
 * roles. */
#include "support/drive.h"

#define CAUSE_TIMEOUT_NS (500 * MILLISECOND)

/* Clause: E7 */
static void test_core_loss__source__disconnected_before_it_finished__is_a_failure(void **state)
{
    static const enum rdmig_phase phases[SOURCE_STAGE_COUNT] = {
        [SOURCE_IS_IDLE] = RDMIG_PHASE_IDLE,
        [SOURCE_IS_CONNECTING] = RDMIG_PHASE_CONNECTING,
    };

    (void)state;
    for (int i = 0; i < SOURCE_IS_FINISHING; i++) {
        struct bench *bench = source_at((enum source_stage)i, NULL);

        FEED(bench, DISCONNECTED);
        bench_expect_failure(bench, RDMIG_REASON_PEER_DISCONNECTED);
        assert_int_equal(rdmig_conn_failure(bench->conn)->phase,
                         i <= SOURCE_IS_CONNECTING ? phases[i] : RDMIG_PHASE_RUNNING);
        assert_int_equal(bench->action_counts[RDMIG_ACTION_POST_SEND],
                         0); /* there is nobody to tell */
        assert_int_equal(bench->action_counts[RDMIG_ACTION_DISCONNECT],
                         i == SOURCE_IS_IDLE ? 0 : 1);
        bench_close(bench);
    }
}

/* Clause: E7 */
static void test_core_loss__source__disconnected_after_it_finished__is_none(void **state)
{
    struct bench *finishing = source_at(SOURCE_IS_FINISHING, NULL);
    struct bench *closed = source_at(SOURCE_IS_CLOSED, NULL);

    (void)state;
    FEED(finishing, DISCONNECTED);
    assert_null(rdmig_conn_failure(finishing->conn));
    FEED(closed, DISCONNECTED);
    assert_null(rdmig_conn_failure(closed->conn));
    EXPECT(closed, "> DISCONNECTED\n");
    bench_close(finishing);
    bench_close(closed);
}

/* Clause: E7 */
static void test_core_loss__destination__between_commands__lets_the_application_judge(void **state)
{
    struct bench *bench = destination_at(DESTINATION_IS_AWAITING, NULL);

    (void)state;
    FEED(bench, DISCONNECTED);
    EXPECT(bench, "> DISCONNECTED\n"
                  "< NOTIFY_PEER_ENDED\n");
    bench_pass(bench, 100 * SECOND); /* told once; no limit runs */
    assert_true(rdmig_conn_deadline_ns(bench->conn) == RDMIG_NO_DEADLINE);
    EXPECT(bench, "> TIME_PASSED\n");
    FEED(bench, FINISH_REQUESTED);
    EXPECT(bench, "> FINISH_REQUESTED\n"
                  "< DISCONNECT\n");
    assert_null(rdmig_conn_failure(bench->conn));
    bench_close(bench);
}

/* Clause: E7 */
static void test_core_loss__destination__what_has_arrived_is_consumed_first(void **state)
{
    struct bench *bench = destination_at(DESTINATION_IS_STREAMING, NULL);

    (void)state;
    FEED(bench, STREAM_CONSUMED, .length = 2);
    FEED(bench, DISCONNECTED);
    EXPECT(bench, "> STREAM_CONSUMED length=2\n"
                  "> DISCONNECTED\n");
    FEED(bench, STREAM_CONSUMED, .length = 3);
    EXPECT(bench, "> STREAM_CONSUMED length=3\n"
                  "< NOTIFY_PEER_ENDED\n");
    bench_close(bench);
}

/* Clause: E7 */
static void test_core_loss__destination__message_and_disconnect_at_once__is_delivered(void **state)
{
    struct bench *bench = destination_at(DESTINATION_IS_AWAITING, NULL);

    (void)state;
    bench->shows_recv = true;
    destination_receive_stream(bench, "end");
    FEED(bench, DISCONNECTED);
    FEED(bench, STREAM_CONSUMED, .length = 3);
    EXPECT(bench, "> RECEIVED r0 QEMU_FILE x0 3 bytes 'end'\n"
                  "< DELIVER_STREAM length=3\n"
                  "> DISCONNECTED\n"
                  "> STREAM_CONSUMED length=3\n"
                  "< NOTIFY_PEER_ENDED\n");
    bench_close(bench);
}

/* Clause: E7, E8 */
static void
test_core_loss__destination__our_ready_and_recvs_come_back_undone__no_failure(void **state)
{
    struct bench *bench = destination_at(DESTINATION_IS_CONNECTING,
                                         &(struct rdmig_conn_config){.reply_timeout_ns = SECOND});

    (void)state;
    bench->automatic = 0;
    bench_connect_request(bench, 1, 0);
    FEED(bench, ESTABLISHED); /* READY s1 is out */
    destination_receive_stream(bench, "all");
    bench_begin(bench);
    FEED(bench, DISCONNECTED);
    COMPLETE(bench, "s1", ERROR, .os_code = 12);
    COMPLETE(bench, "r1", FLUSHED);
    COMPLETE(bench, "r2", ERROR, .os_code = 9);
    bench_pass(bench, 10 * SECOND);
    assert_null(rdmig_conn_failure(bench->conn));
    FEED(bench, STREAM_CONSUMED, .length = 3);
    EXPECT(bench, "> DISCONNECTED\n"
                  "> COMPLETED s1 ERROR os_code=12\n"
                  "> COMPLETED r1 FLUSHED\n"
                  "> COMPLETED r2 ERROR os_code=9\n"
                  "> TIME_PASSED\n"
                  "> STREAM_CONSUMED length=3\n"
                  "< NOTIFY_PEER_ENDED\n");
    FEED(bench, FINISH_REQUESTED);
    EXPECT(bench, "> FINISH_REQUESTED\n"
                  "< DISCONNECT\n"
                  "< NOTIFY_CLOSED\n");
    assert_null(rdmig_conn_failure(bench->conn));
    bench_close(bench);
}

/* Clause: E8, E7 */
static void test_core_loss__destination__flushed_before_disconnected__is_no_failure(void **state)
{
    struct bench *bench = destination_at(DESTINATION_IS_STREAMING, NULL);

    (void)state;
    COMPLETE(bench, "r2", FLUSHED);
    FEED(bench, STREAM_CONSUMED, .length = 5);
    EXPECT(bench, "> COMPLETED r2 FLUSHED\n"
                  "> STREAM_CONSUMED length=5\n");
    FEED(bench, DISCONNECTED);
    EXPECT(bench, "> DISCONNECTED\n"
                  "< NOTIFY_PEER_ENDED\n");
    bench_pass(bench, 10 * SECOND);
    assert_null(rdmig_conn_failure(bench->conn));
    bench_close(bench);
}

/* Clause: E7, E3 */
static void test_core_loss__destination__judged_wanting__closes_without_a_word(void **state)
{
    struct bench *bench = destination_at(DESTINATION_IS_AWAITING, NULL);

    (void)state;
    FEED(bench, DISCONNECTED);
    FEED(bench, CANCEL_REQUESTED, .os_code = 5);
    EXPECT(bench, "> DISCONNECTED\n"
                  "< NOTIFY_PEER_ENDED\n"
                  "> CANCEL_REQUESTED OK os_code=5\n"
                  "< DISCONNECT\n");
    bench_close(bench);
}

/* Clause: E7 */
static void test_core_loss__destination__in_each_stage(void **state)
{
    /* What needs an answer fails; what needs none is carried out first. */
    static const bool is_failure[DESTINATION_STAGE_COUNT] = {
        [DESTINATION_IS_IDLE] = true,          [DESTINATION_IS_CONNECTING] = true,
        [DESTINATION_IS_LISTING] = true,       [DESTINATION_IS_REGISTERING] = true,
        [DESTINATION_IS_UNREGISTERING] = true,
    };

    (void)state;
    for (int i = 0; i < DESTINATION_IS_FINISHING; i++) {
        struct bench *bench = destination_at((enum destination_stage)i, NULL);

        FEED(bench, DISCONNECTED);
        if (is_failure[i])
            bench_expect_failure(bench, RDMIG_REASON_PEER_DISCONNECTED);
        else
            assert_null(rdmig_conn_failure(bench->conn));
        if (i == DESTINATION_IS_FILLING || i == DESTINATION_IS_ENDING_ROUND)
            COMPLETE(bench, "o1", OK);
        if (i == DESTINATION_IS_STREAMING)
            FEED(bench, STREAM_CONSUMED, .length = 5);
        assert_int_equal(bench->action_counts[RDMIG_ACTION_NOTIFY_PEER_ENDED],
                         is_failure[i] ? 0 : 1);
        assert_int_equal(bench->action_counts[RDMIG_ACTION_POST_SEND], 0);
        bench_close(bench);
    }
}

/* Clause: E7, E11 */
static void test_core_loss__destination__the_last_operation_fails(void **state)
{
    struct bench *bench = destination_at(DESTINATION_IS_ENDING_ROUND, NULL);

    (void)state;
    FEED(bench, DISCONNECTED);
    COMPLETE(bench, "o1", ERROR, .os_code = 5);
    EXPECT(bench, "> DISCONNECTED\n"
                  "> COMPLETED o1 ERROR os_code=5\n"
                  "< DISCONNECT\n");
    bench_expect_failure(bench, RDMIG_REASON_ROUND_FAILED);
    bench_close(bench);
}

/* Clause: E8 */
static void test_core_loss__flushed_work__waits_for_the_cause(void **state)
{
    struct bench *bench = source_at(SOURCE_IS_WRITING, NULL);

    (void)state;
    source_push(bench, 0, 8192, 4096);
    bench_begin(bench);
    COMPLETE(bench, "r2", FLUSHED);
    assert_int_equal(rdmig_conn_deadline_ns(bench->conn), bench->now_ns + CAUSE_TIMEOUT_NS);
    bench_pass(bench, CAUSE_TIMEOUT_NS - 1);
    COMPLETE(bench, "w1", ERROR, .os_code = 10);
    EXPECT(bench, "> COMPLETED r2 FLUSHED\n"
                  "> TIME_PASSED\n"
                  "> COMPLETED w1 ERROR os_code=10\n"
                  "< DISCONNECT\n");
    bench_expect_failure(bench, RDMIG_REASON_WRITE_FAILED);
    bench_close(bench);
}

/* Clause: E8 */
static void test_core_loss__flushed_work__nobody_says_why(void **state)
{
    struct bench *bench = source_at(SOURCE_IS_WRITING, NULL);

    (void)state;
    COMPLETE(bench, "w1", FLUSHED);
    bench_pass(bench, CAUSE_TIMEOUT_NS / 2);
    COMPLETE(bench, "r2", FLUSHED); /* does not begin the wait anew */
    bench_pass(bench, CAUSE_TIMEOUT_NS / 2);
    EXPECT(bench, "> COMPLETED w1 FLUSHED\n"
                  "> TIME_PASSED\n"
                  "> COMPLETED r2 FLUSHED\n"
                  "> TIME_PASSED\n"
                  "< DISCONNECT\n");
    bench_expect_failure(bench, RDMIG_REASON_CONNECTION_LOST);
    bench_close(bench);
}

/* Clause: E8, C10 */
static void test_core_loss__flushed_write__ends_no_round(void **state)
{
    struct bench *bench = source_at(SOURCE_IS_WRITING, NULL);

    (void)state;
    FEED(bench, ROUND_CLOSED);
    COMPLETE(bench, "w1", FLUSHED);
    assert_int_equal(FEED(bench, FINISH_REQUESTED), -RDMIG_E_STATE);
    EXPECT(bench, "> ROUND_CLOSED\n"
                  "> COMPLETED w1 FLUSHED\n"
                  "> FINISH_REQUESTED ! STATE\n");
    assert_int_equal(bench_counters(bench).bytes_written, 0);
    bench_close(bench);
}

/* Clause: E8, S2 */
static void test_core_loss__flushed_send__is_not_told_as_delivered(void **state)
{
    struct bench *flushed = source_at(SOURCE_IS_CREDITED, NULL);
    struct bench *failed = source_at(SOURCE_IS_CREDITED, NULL);

    (void)state;
    flushed->automatic = 0;
    source_write_stream(flushed, "end");
    FEED(flushed, FLUSH_REQUESTED, .flush = RDMIG_FLUSH_DELIVERED);
    COMPLETE(flushed, "s1", FLUSHED);
    EXPECT(flushed, "> STREAM_WRITTEN length=3\n"
                    "> FLUSH_REQUESTED DELIVERED\n"
                    "< POST_SEND s1 QEMU_FILE x0 3 bytes 'end'\n"
                    "> COMPLETED s1 FLUSHED\n");
    assert_int_equal(FEED(flushed, FINISH_REQUESTED), -RDMIG_E_STATE);
    failed->automatic = 0;
    source_write_stream(failed, "end");
    FEED(failed, FLUSH_REQUESTED, .flush = RDMIG_FLUSH_DELIVERED);
    COMPLETE(failed, "s1", ERROR, .os_code = 12);
    EXPECT(failed, "> STREAM_WRITTEN length=3\n"
                   "> FLUSH_REQUESTED DELIVERED\n"
                   "< POST_SEND s1 QEMU_FILE x0 3 bytes 'end'\n"
                   "> COMPLETED s1 ERROR os_code=12\n"
                   "< DISCONNECT\n");
    bench_close(flushed);
    bench_close(failed);
}

/*
 * READYs for no command go on coming with PIPELINE, and completions of the two queues in any order:
 * none of these READYs says that the message has arrived (faults.md, O4). Clause: C11, C16, E8, S2
 */
static void test_core_loss__flushed_send_and_a_ready__is_not_told_as_delivered(void **state)
{
    static const struct rdmig_conn_config pipelined = {.capability_flags =
                                                           RDMIG_CAPABILITY_PIPELINE};
    struct bench *bench = source_at(SOURCE_IS_ESTABLISHED, &pipelined);

    (void)state;
    bench->automatic = 0;
    bench_receive_ready(bench);
    source_write_stream(bench, "end");
    FEED(bench, FLUSH_REQUESTED, .flush = RDMIG_FLUSH_DELIVERED);
    COMPLETE(bench, "s1", FLUSHED);
    for (uint32_t i = 1; i < RDMIG_CREDIT_COUNT_MAX; i++)
        bench_receive_ready(bench);
    assert_int_equal(bench->action_counts[RDMIG_ACTION_NOTIFY_FLUSHED], 0);
    /* But the READY that this message gets does: it has arrived, only its acknowledgement has not.
     */
    bench_receive_ready(bench);
    assert_int_equal(bench->action_counts[RDMIG_ACTION_NOTIFY_FLUSHED], 1);
    bench_close(bench);
}

/* Clause: E8, S2 */
static void test_core_loss__flushed_work_after_a_send__does_not_stand_for_it(void **state)
{
    struct bench *bench = source_at(SOURCE_IS_CREDITED, NULL);

    (void)state;
    bench->automatic = 0;
    source_write_stream(bench, "end");
    FEED(bench, FLUSH_REQUESTED, .flush = RDMIG_FLUSH_DELIVERED);
    bench_receive_ready(bench);
    FEED(bench, EXCHANGE_REQUESTED);
    COMPLETE(bench, "s2", FLUSHED);
    EXPECT(bench, "> STREAM_WRITTEN length=3\n"
                  "> FLUSH_REQUESTED DELIVERED\n"
                  "< POST_SEND s1 QEMU_FILE x0 3 bytes 'end'\n"
                  "> RECEIVED r1 READY x1\n"
                  "> EXCHANGE_REQUESTED\n"
                  "< POST_SEND s2 RAM_BLOCKS_REQUEST x1\n"
                  "> COMPLETED s2 FLUSHED\n");
    bench_close(bench);
}

/* Clause: E8 */
static void test_core_loss__full_stream_message_flushed__cannot_finish(void **state)
{
    struct bench *bench =
        source_at(SOURCE_IS_CREDITED, &(struct rdmig_conn_config){.stream_message_bytes = 3});

    (void)state;
    bench->automatic = 0;
    source_write_stream(bench, "end"); /* goes by itself, nobody asked for a flush */
    COMPLETE(bench, "s1", FLUSHED);
    assert_int_equal(FEED(bench, FINISH_REQUESTED), -RDMIG_E_STATE);
    bench_pass(bench, CAUSE_TIMEOUT_NS);
    bench_expect_failure(bench, RDMIG_REASON_CONNECTION_LOST);
    assert_int_equal(FEED(bench, FINISH_REQUESTED), -RDMIG_E_FAILED);
    bench_close(bench);
}

/* Clause: E8 */
static void test_core_loss__flushed_while_connecting__the_event_says_why(void **state)
{
    struct bench *told = source_at(SOURCE_IS_CONNECTING, NULL);
    struct bench *untold = source_at(SOURCE_IS_CONNECTING, NULL);

    (void)state;
    COMPLETE(told, "r0", FLUSHED);
    FEED(told, UNREACHABLE, .status = RDMIG_STATUS_REJECTED);
    bench_expect_failure(told, RDMIG_REASON_PEER_REJECTED);
    COMPLETE(untold, "r0", FLUSHED);
    bench_pass(untold, CAUSE_TIMEOUT_NS);
    bench_expect_failure(untold, RDMIG_REASON_CONNECTION_LOST);
    bench_close(told);
    bench_close(untold);
}

/* Clause: E2 */
static void test_core_loss__a_recv_or_send_fails__with_its_reason_and_without_a_word(void **state)
{
    struct bench *recv = source_at(SOURCE_IS_EXCHANGED, NULL);
    struct bench *send = destination_at(DESTINATION_IS_CONNECTING, NULL);

    (void)state;
    COMPLETE(recv, "r0", ERROR, .os_code = 4);
    bench_expect_failure(recv, RDMIG_REASON_RECV_FAILED);
    assert_int_equal(rdmig_conn_failure(recv->conn)->os_code, 4);
    EXPECT(recv, "> COMPLETED r0 ERROR os_code=4\n"
                 "< DISCONNECT\n");
    send->automatic = 0;
    bench_connect_request(send, 1, 0);
    FEED(send, ESTABLISHED);
    bench_begin(send);
    COMPLETE(send, "s1", ERROR, .os_code = 13);
    bench_expect_failure(send, RDMIG_REASON_SEND_FAILED);
    assert_int_equal(rdmig_conn_failure(send->conn)->message_type, RDMIG_MESSAGE_READY);
    EXPECT(send, "> COMPLETED s1 ERROR os_code=13\n"
                 "< DISCONNECT\n");
    bench_close(recv);
    bench_close(send);
}

/* The peer chose it, so it is the peer that is told of: with ERROR, in both roles. Clause: W12, E2,
 * E3 */
static void test_core_loss__a_recv_used_up_by_no_plain_send__is_the_peers_fault(void **state)
{
    struct bench *source = source_at(SOURCE_IS_CREDITED, NULL);
    struct bench *destination = destination_at(DESTINATION_IS_LISTED, NULL);
    struct bench *connecting = source_at(SOURCE_IS_CONNECTING, NULL);

    (void)state;
    FEED(source, COMPLETED, .tag = source->recv_tags[0], .status = RDMIG_STATUS_FOREIGN,
         .os_code = 129);
    bench_expect_failure(source, RDMIG_REASON_MESSAGE_FOREIGN);
    assert_int_equal(rdmig_conn_failure(source->conn)->os_code, 129);
    EXPECT(source, "> COMPLETED r1 FOREIGN os_code=129\n"
                   "< POST_SEND s1 ERROR x1\n");
    FEED(destination, COMPLETED, .tag = destination->recv_tags[0], .status = RDMIG_STATUS_FOREIGN,
         .os_code = 129);
    bench_expect_failure(destination, RDMIG_REASON_MESSAGE_FOREIGN);
    EXPECT(destination, "> COMPLETED r1 FOREIGN os_code=129\n"
                        "< POST_SEND s1 ERROR x1\n");
    FEED(connecting, COMPLETED, .tag = connecting->recv_tags[0], .status = RDMIG_STATUS_FOREIGN);
    bench_expect_failure(connecting, RDMIG_REASON_MESSAGE_FOREIGN);
    bench_close(source);
    bench_close(destination);
    bench_close(connecting);
}

/* Clause: E7, C13 */
static void test_core_loss__destination__no_probe_of_a_peer_that_is_gone(void **state)
{
    struct bench *bench = destination_at(
        DESTINATION_IS_AWAITING,
        &(struct rdmig_conn_config){.probe_interval_ns = SECOND, .idle_timeout_ns = SECOND});

    (void)state;
    FEED(bench, DISCONNECTED);
    bench_pass(bench, 10 * SECOND);
    assert_int_equal(bench->action_counts[RDMIG_ACTION_POST_PROBE], 0);
    assert_null(rdmig_conn_failure(bench->conn));
    bench_close(bench);
}

/* Clause: E8, E5 */
static void test_core_loss__destination__told_twice__once_to_the_application(void **state)
{
    struct bench *bench = destination_at(DESTINATION_IS_AWAITING, NULL);

    (void)state;
    FEED(bench, DISCONNECTED);
    FEED(bench, DISCONNECTED);
    EXPECT(bench, "> DISCONNECTED\n"
                  "< NOTIFY_PEER_ENDED\n"
                  "> DISCONNECTED\n");
    bench_close(bench);
}
/* Clause: E8, E7 */
static void test_core_loss__destination__arrived_with_the_flushed__is_delivered(void **state)
{
    struct bench *bench = destination_at(DESTINATION_IS_AWAITING, NULL);
    struct rdmig_event flushed = {.kind = RDMIG_EVENT_COMPLETED, .status = RDMIG_STATUS_FLUSHED};

    (void)state;
    /* Both queues are read before the actions are taken: the last message may hand the guest over.
     */
    flushed.tag = bench->recv_tags[1];
    flushed.now_ns = bench->now_ns;
    assert_int_equal(rdmig_conn_step(bench->conn, &flushed), RDMIG_OK);
    bench_forget(bench, flushed.tag);
    destination_receive_stream(bench, "end");
    FEED(bench, STREAM_CONSUMED, .length = 3);
    EXPECT(bench, "> RECEIVED r0 QEMU_FILE x0 3 bytes 'end'\n"
                  "< DELIVER_STREAM length=3\n"
                  "> STREAM_CONSUMED length=3\n");
    bench_close(bench);
}

/* Clause: E7, E8, C13 */
static void test_core_loss__destination__a_probe_that_could_not_go__is_dropped(void **state)
{
    struct bench *bench = destination_at(
        DESTINATION_IS_AWAITING, &(struct rdmig_conn_config){.probe_interval_ns = MILLISECOND});

    (void)state;
    COMPLETE(bench, "r1", FLUSHED);
    bench_pass(bench, MILLISECOND);
    FEED(bench, DISCONNECTED);
    EXPECT(bench, "> COMPLETED r1 FLUSHED\n"
                  "> TIME_PASSED\n"
                  "> DISCONNECTED\n"
                  "< NOTIFY_PEER_ENDED\n");
    bench_close(bench);
}

/* Clause: E8, C13 */
static void test_core_loss__suspicion__nothing_at_all_is_posted(void **state)
{
    struct bench *source = source_at(SOURCE_IS_EXCHANGED,
                                     &(struct rdmig_conn_config){.probe_interval_ns = MILLISECOND});
    struct bench *destination = destination_at(DESTINATION_IS_STREAMING, NULL);

    (void)state;
    source->shows_recv = true;
    COMPLETE(source, "r0", FLUSHED);
    bench_pass(source, MILLISECOND);
    source_push(source, 0, 0, 4096);
    source_push_zero(source, 1, 0, 4096);
    EXPECT(source, "> COMPLETED r0 FLUSHED\n"
                   "> TIME_PASSED\n"
                   "> RANGE_PUSHED block=0 offset=0 length=4096\n"
                   "> RANGE_PUSHED block=1 offset=0 length=4096 zero\n");
    destination->shows_recv = true;
    COMPLETE(destination, "r2", FLUSHED);
    FEED(destination, STREAM_CONSUMED, .length = 5);
    EXPECT(destination, "> COMPLETED r2 FLUSHED\n"
                        "> STREAM_CONSUMED length=5\n");
    bench_close(source);
    bench_close(destination);
}

/* Clause: E8, S2 */
static void test_core_loss__delivered_and_lost_at_once__is_told_as_delivered(void **state)
{
    struct bench *bench = source_at(SOURCE_IS_CREDITED, NULL);
    struct rdmig_event delivered = {.kind = RDMIG_EVENT_COMPLETED};

    (void)state;
    bench->automatic = 0;
    source_write_stream(bench, "end");
    FEED(bench, FLUSH_REQUESTED, .flush = RDMIG_FLUSH_DELIVERED);
    bench_begin(bench);
    /* A driver that polls both before it takes the actions: the guest is the destination's all the
     * same. */
    delivered.tag = bench_tag(bench, "s1");
    delivered.now_ns = bench->now_ns;
    assert_int_equal(rdmig_conn_step(bench->conn, &delivered), RDMIG_OK);
    bench_forget(bench, delivered.tag);
    FEED(bench, DISCONNECTED);
    EXPECT(bench, "> DISCONNECTED\n"
                  "< NOTIFY_FLUSHED\n"
                  "< DISCONNECT\n");
    bench_expect_failure(bench, RDMIG_REASON_PEER_DISCONNECTED);
    bench_close(bench);
}

/* Clause: E7, S2 */
static void test_core_loss__left_before_its_acknowledgement_came__is_waited_for(void **state)
{
    struct bench *bench = source_at(SOURCE_IS_CREDITED, NULL);

    (void)state;
    bench->automatic = 0;
    source_write_stream(bench, "end");
    FEED(bench, FLUSH_REQUESTED, .flush = RDMIG_FLUSH_DELIVERED);
    bench_begin(bench);
    FEED(bench, DISCONNECTED);
    bench_expect_failure(bench, RDMIG_REASON_PEER_DISCONNECTED);
    EXPECT(bench, "> DISCONNECTED\n");
    COMPLETE(bench, "s1", OK);
    EXPECT(bench, "> COMPLETED s1 OK\n"
                  "< NOTIFY_FLUSHED\n"
                  "< DISCONNECT\n");
    bench_close(bench);
}

/* Clause: E7, E3 */
static void test_core_loss__left_and_no_acknowledgement_comes__ends_all_the_same(void **state)
{
    struct bench *undone = source_at(SOURCE_IS_CREDITED, NULL);
    struct bench *silent = source_at(SOURCE_IS_CREDITED, NULL);

    (void)state;
    undone->automatic = 0;
    source_write_stream(undone, "end");
    FEED(undone, FLUSH_REQUESTED, .flush = RDMIG_FLUSH_DELIVERED);
    FEED(undone, DISCONNECTED);
    bench_begin(undone);
    COMPLETE(undone, "s1", ERROR, .os_code = 12);
    EXPECT(undone, "> COMPLETED s1 ERROR os_code=12\n"
                   "< DISCONNECT\n");
    bench_expect_failure(undone, RDMIG_REASON_PEER_DISCONNECTED);
    silent->automatic = 0;
    source_write_stream(silent, "end");
    FEED(silent, FLUSH_REQUESTED, .flush = RDMIG_FLUSH_DELIVERED);
    FEED(silent, DISCONNECTED);
    bench_begin(silent);
    silent->now_ns = rdmig_conn_deadline_ns(silent->conn);
    FEED(silent, TIME_PASSED);
    EXPECT(silent, "> TIME_PASSED\n"
                   "< DISCONNECT\n");
    bench_close(undone);
    bench_close(silent);
}

/* Clause: E12, E4 */
static void
test_core_loss__peer_gives_up_before_its_acknowledgement_came__is_waited_for(void **state)
{
    struct bench *bench = source_at(SOURCE_IS_CREDITED, NULL);

    (void)state;
    bench->automatic = 0;
    source_write_stream(bench, "end");
    FEED(bench, FLUSH_REQUESTED, .flush = RDMIG_FLUSH_DELIVERED);
    bench_begin(bench);
    message_begin(bench->message, RDMIG_MESSAGE_ERROR, 1);
    bench_receive(bench, bench->message);
    bench_expect_failure(bench, RDMIG_REASON_PEER_ERROR);
    COMPLETE(bench, "s1", OK);
    EXPECT(bench, "> RECEIVED r1 ERROR x1\n"
                  "> COMPLETED s1 OK\n"
                  "< NOTIFY_FLUSHED\n"
                  "< DISCONNECT\n");
    bench_close(bench);
}

/* Clause: E12 */
static void test_core_loss__destination__arrived_while_it_fails__is_delivered(void **state)
{
    const struct rdmig_conn_config config = {.idle_timeout_ns = UINT64_C(1000000000)};
    struct bench *bench = destination_at(DESTINATION_IS_AWAITING, &config);

    (void)state;
    bench->automatic = 0;
    bench_begin(bench);
    bench->now_ns = rdmig_conn_deadline_ns(bench->conn);
    FEED(bench, TIME_PASSED);
    bench_expect_failure(bench, RDMIG_REASON_PEER_SILENT);
    message_begin(bench->message, RDMIG_MESSAGE_QEMU_FILE, 0);
    message_data(bench->message, "end", 3);
    bench_receive(bench, bench->message);
    EXPECT(bench, "> TIME_PASSED\n"
                  "< POST_SEND s1 ERROR x1\n"
                  "> RECEIVED r0 QEMU_FILE x0 3 bytes 'end'\n"
                  "< DELIVER_STREAM length=3\n");
    /* Only what there was credit for, and only once. */
    message_begin(bench->message, RDMIG_MESSAGE_QEMU_FILE, 0);
    message_data(bench->message, "more", 4);
    bench_receive(bench, bench->message);
    COMPLETE(bench, "s1", OK);
    EXPECT(bench, "> RECEIVED r1 QEMU_FILE x0 4 bytes 'more'\n"
                  "> COMPLETED s1 OK\n"
                  "< DISCONNECT\n");
    bench_close(bench);
}

/* Clause: E12 */
static void test_core_loss__destination__a_command_while_it_fails__is_not_handled(void **state)
{
    const struct rdmig_conn_config config = {.idle_timeout_ns = UINT64_C(1000000000)};
    struct bench *bench = destination_at(DESTINATION_IS_LISTED, &config);

    (void)state;
    bench->automatic = 0;
    bench_begin(bench);
    bench->now_ns = rdmig_conn_deadline_ns(bench->conn);
    FEED(bench, TIME_PASSED);
    message_begin(bench->message, RDMIG_MESSAGE_REGISTER_FINISHED, 1);
    bench_receive(bench, bench->message);
    EXPECT(bench, "> TIME_PASSED\n"
                  "< POST_SEND s1 ERROR x1\n"
                  "> RECEIVED r1 REGISTER_FINISHED x1\n");
    bench_close(bench);
}

/* Clause: E7 */
static void test_core_loss__left_while_consumption_is_awaited__is_left_at_once(void **state)
{
    struct bench *bench = source_at(SOURCE_IS_CREDITED, NULL);

    (void)state;
    bench->automatic = 0;
    source_write_stream(bench, "prepare");
    FEED(bench, FLUSH_REQUESTED, .flush = RDMIG_FLUSH_CONSUMED);
    bench_begin(bench);
    FEED(bench, DISCONNECTED);
    EXPECT(bench, "> DISCONNECTED\n"
                  "< DISCONNECT\n");
    bench_close(bench);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_core_loss__left_before_its_acknowledgement_came__is_waited_for),
        cmocka_unit_test(test_core_loss__left_and_no_acknowledgement_comes__ends_all_the_same),
        cmocka_unit_test(test_core_loss__left_while_consumption_is_awaited__is_left_at_once),
        cmocka_unit_test(
            test_core_loss__peer_gives_up_before_its_acknowledgement_came__is_waited_for),
        cmocka_unit_test(test_core_loss__destination__arrived_while_it_fails__is_delivered),
        cmocka_unit_test(test_core_loss__destination__a_command_while_it_fails__is_not_handled),
        cmocka_unit_test(test_core_loss__source__disconnected_before_it_finished__is_a_failure),
        cmocka_unit_test(test_core_loss__source__disconnected_after_it_finished__is_none),
        cmocka_unit_test(test_core_loss__destination__between_commands__lets_the_application_judge),
        cmocka_unit_test(test_core_loss__destination__what_has_arrived_is_consumed_first),
        cmocka_unit_test(test_core_loss__destination__message_and_disconnect_at_once__is_delivered),
        cmocka_unit_test(
            test_core_loss__destination__our_ready_and_recvs_come_back_undone__no_failure),
        cmocka_unit_test(test_core_loss__destination__flushed_before_disconnected__is_no_failure),
        cmocka_unit_test(test_core_loss__destination__judged_wanting__closes_without_a_word),
        cmocka_unit_test(test_core_loss__destination__in_each_stage),
        cmocka_unit_test(test_core_loss__destination__the_last_operation_fails),
        cmocka_unit_test(test_core_loss__flushed_work__waits_for_the_cause),
        cmocka_unit_test(test_core_loss__flushed_work__nobody_says_why),
        cmocka_unit_test(test_core_loss__flushed_write__ends_no_round),
        cmocka_unit_test(test_core_loss__flushed_send__is_not_told_as_delivered),
        cmocka_unit_test(test_core_loss__flushed_send_and_a_ready__is_not_told_as_delivered),
        cmocka_unit_test(test_core_loss__flushed_work_after_a_send__does_not_stand_for_it),
        cmocka_unit_test(test_core_loss__full_stream_message_flushed__cannot_finish),
        cmocka_unit_test(test_core_loss__flushed_while_connecting__the_event_says_why),
        cmocka_unit_test(test_core_loss__a_recv_or_send_fails__with_its_reason_and_without_a_word),
        cmocka_unit_test(test_core_loss__a_recv_used_up_by_no_plain_send__is_the_peers_fault),
        cmocka_unit_test(test_core_loss__destination__no_probe_of_a_peer_that_is_gone),
        cmocka_unit_test(test_core_loss__destination__told_twice__once_to_the_application),
        cmocka_unit_test(test_core_loss__destination__arrived_with_the_flushed__is_delivered),
        cmocka_unit_test(test_core_loss__destination__a_probe_that_could_not_go__is_dropped),
        cmocka_unit_test(test_core_loss__suspicion__nothing_at_all_is_posted),
        cmocka_unit_test(test_core_loss__delivered_and_lost_at_once__is_told_as_delivered),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
