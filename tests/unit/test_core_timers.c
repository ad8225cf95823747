/* SPDX-License-Identifier: BSD-2-Clause */
/* Every wait has an end: READY, answers, completions, silence, idleness. */
#include "support/drive.h"

#include <stdlib.h>

static const struct rdmig_conn_config one_second = {.reply_timeout_ns = SECOND};

/* What pinning, filling or deregistering a chunk may take on top. */
#define CHUNK_WORK_NS (MIB / 256 * 1000)

static uint64_t left_ns(const struct bench *bench)
{
    return rdmig_conn_deadline_ns(bench->conn) - bench->now_ns;
}

/* Clause: E5 */
static void test_core_timers__source__no_first_ready(void **state)
{
    struct bench *bench = source_at(SOURCE_IS_ESTABLISHED, &one_second);

    (void)state;
    assert_int_equal(left_ns(bench), SECOND);
    bench_pass(bench, SECOND - 1);
    assert_null(rdmig_conn_failure(bench->conn));
    bench_pass(bench, 1);
    EXPECT(bench, "> TIME_PASSED\n"
                  "> TIME_PASSED\n");
    bench_expect_failure(bench, RDMIG_REASON_PEER_SILENT);
    bench_close(bench);
}

/* Clause: E5, E3 */
static void test_core_timers__source__no_answer__says_error_if_the_credit_still_comes(void **state)
{
    static const enum source_stage stages[] = {SOURCE_AWAITS_BLOCKS, SOURCE_AWAITS_RESULT,
                                               SOURCE_AWAITS_UNREGISTERED};

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct bench *bench = source_at(stages[i], &one_second);
        const uint64_t work_ns = stages[i] == SOURCE_AWAITS_BLOCKS ? 0 : CHUNK_WORK_NS;

        bench_pass(bench, SECOND + work_ns - 1);
        assert_null(rdmig_conn_failure(bench->conn));
        bench_pass(bench, 1);
        bench_expect_failure(bench, RDMIG_REASON_PEER_SILENT);
        assert_int_equal(bench->action_counts[RDMIG_ACTION_POST_SEND], 0);
        bench_receive_ready(bench);
        assert_int_equal(bench->action_counts[RDMIG_ACTION_POST_SEND], 1);
        assert_int_equal(bench_u32_of_sent(bench, 4), RDMIG_MESSAGE_ERROR);
        bench_close(bench);
    }
}

/* Blocks of this much, in ram_addr space one after the other. */
static struct bench *source_of(uint64_t guest_bytes, const struct rdmig_conn_config *config)
{
    const struct rdmig_block block = {.host_addr = SOURCE_HOST0, .length_bytes = guest_bytes};
    const size_t table_bytes = rdmig_blocks_footprint_bytes(&block, 1);
    struct bench *bench = source_at(SOURCE_IS_ESTABLISHED, config);

    bench->tables = malloc(table_bytes);
    assert_non_null(bench->tables);
    assert_int_equal(FEED(bench, BLOCKS_PROVIDED, .blocks = &block, .block_count = 1,
                          .memory = bench->tables, .length = table_bytes),
                     RDMIG_OK);
    bench_receive_ready(bench);
    return bench;
}

/* A destination that pins all of a large guest before it answers is not silent (faults.md, G1):
 * 209 ms a GiB are 107 s for 512 GiB. Clause: E14, R7 */
static void test_core_timers__pin_all__has_the_time_that_pinning_takes(void **state)
{
    static const uint64_t guests_gib[] = {1, 512, 4096};

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        const struct rdmig_conn_config config = {.reply_timeout_ns = 60 * SECOND,
                                                 .capability_flags = RDMIG_CAPABILITY_PIN_ALL};
        struct bench *bench = source_of(guests_gib[i] * 1024 * MIB, &config);

        bench->automatic = AUTO_SEND;
        FEED(bench, EXCHANGE_REQUESTED);
        assert_int_equal(bench->action_counts[RDMIG_ACTION_REGISTER], 1);
        bench_pass(bench, guests_gib[i] * 209 * MILLISECOND);
        assert_null(rdmig_conn_failure(bench->conn));
        assert_int_equal(left_ns(bench), 60 * SECOND + guests_gib[i] * 1024 * CHUNK_WORK_NS -
                                             guests_gib[i] * 209 * MILLISECOND);
        bench_pass(bench, left_ns(bench));
        bench_expect_failure(bench, RDMIG_REASON_PEER_SILENT);
        bench_close(bench);
    }
}

/* Without pin-all nothing is pinned for the answer, whatever the size of the guest. Clause: E14 */
static void test_core_timers__a_list_of_blocks__is_no_work(void **state)
{
    struct bench *bench = source_of(UINT64_C(1) << 40, &one_second);

    (void)state;
    FEED(bench, EXCHANGE_REQUESTED);
    assert_int_equal(left_ns(bench), SECOND);
    bench_pass(bench, SECOND);
    bench_expect_failure(bench, RDMIG_REASON_PEER_SILENT);
    bench_close(bench);
}

/* One COMPRESS over a TiB: the destination looks at all of it. Clause: E14, C9 */
static void test_core_timers__compress__has_the_time_that_filling_takes(void **state)
{
    const uint64_t guest_bytes = UINT64_C(1) << 40;
    struct bench *bench = source_of(guest_bytes, &one_second);

    (void)state;
    FEED(bench, EXCHANGE_REQUESTED);
    message_begin(bench->message, RDMIG_MESSAGE_RAM_BLOCKS_RESULT, 1);
    message_block(bench->message, DESTINATION_HOST0, 0, guest_bytes, 0);
    bench_receive(bench, bench->message);
    bench_receive_ready(bench);
    source_push_zero(bench, 0, 0, guest_bytes);
    source_push_zero(bench, 0, 0, 4096);
    assert_int_equal(left_ns(bench), SECOND + guest_bytes / 256 * 1000);
    bench_receive_ready(bench); /* and what is next has none of it */
    assert_int_equal(left_ns(bench), SECOND + 4096 / 256 * 1000);
    bench_close(bench);
}

/* The confirm: what the destination loads is the stream that has gone. Clause: E14, S8 */
static void test_core_timers__stream__has_the_time_that_loading_takes(void **state)
{
    struct bench *bench = source_at(SOURCE_IS_CREDITED, &one_second);
    static uint8_t bytes[RDMIG_STREAM_BYTES_MAX];

    (void)state;
    FEED(bench, STREAM_WRITTEN, .bytes = bytes, .length = sizeof(bytes));
    assert_int_equal(left_ns(bench), SECOND + sizeof(bytes) / 256 * 1000);
    bench_receive_ready(bench);
    source_write_stream(bench, "end");
    FEED(bench, FLUSH_REQUESTED, .flush = RDMIG_FLUSH_CONSUMED);
    assert_int_equal(left_ns(bench), SECOND + (sizeof(bytes) + 3) / 256 * 1000);
    bench_close(bench);
}

/* Sums that no clock reaches are no limit, and none stays none. Clause: E14 */
static void test_core_timers__work_beyond_the_clock__never_expires(void **state)
{
    static const uint64_t timeouts_ns[] = {0, UINT64_MAX - SECOND, UINT64_MAX};

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        const struct rdmig_conn_config config = {.reply_timeout_ns = timeouts_ns[i],
                                                 .capability_flags = RDMIG_CAPABILITY_PIN_ALL};
        struct bench *bench = source_of(UINT64_C(1) << 42, &config);

        bench->automatic = AUTO_SEND;
        FEED(bench, EXCHANGE_REQUESTED);
        assert_true(rdmig_conn_deadline_ns(bench->conn) == RDMIG_NO_DEADLINE);
        bench_close(bench);
    }
}

/* Clause: E5 */
static void test_core_timers__source__the_answer_does_not_stop_the_wait_for_ready(void **state)
{
    struct bench *bench = source_at(SOURCE_AWAITS_BLOCKS, &one_second);

    (void)state;
    bench_pass(bench, SECOND / 2);
    source_receive_blocks(bench);
    assert_int_equal(left_ns(bench), SECOND / 2);
    bench_pass(bench, SECOND / 2);
    bench_expect_failure(bench, RDMIG_REASON_PEER_SILENT);
    bench_close(bench);
}

/* Clause: E5 */
static void test_core_timers__source__with_a_credit_nothing_is_awaited(void **state)
{
    struct bench *bench = source_at(SOURCE_IS_EXCHANGED, &one_second);

    (void)state;
    assert_true(rdmig_conn_deadline_ns(bench->conn) == RDMIG_NO_DEADLINE);
    bench_pass(bench, 1000 * SECOND);
    assert_null(rdmig_conn_failure(bench->conn));
    bench_close(bench);
}

/* Clause: E5 */
static void test_core_timers__source__a_write_does_not_complete(void **state)
{
    struct bench *bench = source_at(SOURCE_IS_WRITING, &one_second);

    (void)state;
    assert_int_equal(left_ns(bench), SECOND);
    bench_pass(bench, SECOND);
    /* A credit is in hand: the peer is told. */
    EXPECT(bench, "> TIME_PASSED\n"
                  "< POST_SEND s1 ERROR x1\n");
    bench_expect_failure(bench, RDMIG_REASON_PEER_SILENT);
    bench_close(bench);
}

/* Clause: E5 */
static void
test_core_timers__source__each_completion_starts_the_wait_for_the_next_anew(void **state)
{
    struct bench *bench = source_at(SOURCE_IS_WRITING, &one_second);

    (void)state;
    source_push(bench, 0, 8192, 4096);
    bench_pass(bench, SECOND / 2);
    COMPLETE(bench, "w1", OK);
    assert_int_equal(left_ns(bench), SECOND);
    bench_pass(bench, SECOND / 2);
    COMPLETE(bench, "w2", OK);
    assert_true(rdmig_conn_deadline_ns(bench->conn) == RDMIG_NO_DEADLINE);
    bench_close(bench);
}

/* Clause: E5 */
static void test_core_timers__destination__ready_is_not_taken(void **state)
{
    struct bench *bench = destination_at(DESTINATION_IS_CONNECTING, &one_second);

    (void)state;
    bench->automatic = 0;
    bench_connect_request(bench, 1, 0);
    FEED(bench, ESTABLISHED);
    bench_begin(bench);
    assert_int_equal(left_ns(bench), SECOND);
    bench_pass(bench, SECOND);
    EXPECT(bench, "> TIME_PASSED\n"
                  "< POST_SEND s2 ERROR x1\n");
    bench_expect_failure(bench, RDMIG_REASON_PEER_SILENT);
    bench_close(bench);
}

/* Clause: E5 */
static void test_core_timers__destination__waits_for_ever_for_a_command_unless_told(void **state)
{
    struct bench *bench = destination_at(DESTINATION_IS_AWAITING, &one_second);

    (void)state;
    assert_true(rdmig_conn_deadline_ns(bench->conn) == RDMIG_NO_DEADLINE);
    bench_close(bench);
}

/* Clause: E5 */
static void test_core_timers__destination__idle_limit(void **state)
{
    struct bench *bench = destination_at(
        DESTINATION_IS_AWAITING, &(struct rdmig_conn_config){.idle_timeout_ns = 10 * SECOND});

    (void)state;
    bench_pass(bench, 9 * SECOND);
    destination_receive_stream(bench, "x");
    /* While the application is at it, the silence is ours. */
    assert_true(rdmig_conn_deadline_ns(bench->conn) == RDMIG_NO_DEADLINE);
    bench_pass(bench, 100 * SECOND);
    FEED(bench, STREAM_CONSUMED, .length = 1);
    assert_int_equal(left_ns(bench), 10 * SECOND);
    bench_begin(bench);
    bench_pass(bench, 10 * SECOND);
    EXPECT(bench, "> TIME_PASSED\n"
                  "< POST_SEND s1 ERROR x1\n");
    bench_expect_failure(bench, RDMIG_REASON_PEER_SILENT);
    bench_close(bench);
}

/* Clause: C13, E5 */
static void test_core_timers__silence__is_probed_and_the_answer_keeps_the_peace(void **state)
{
    struct bench *bench = destination_at(
        DESTINATION_IS_AWAITING,
        &(struct rdmig_conn_config){.probe_interval_ns = SECOND, .reply_timeout_ns = 3 * SECOND});

    (void)state;
    bench->automatic = AUTO_SEND;
    assert_int_equal(left_ns(bench), SECOND);
    bench_pass(bench, SECOND);
    EXPECT(bench, "> TIME_PASSED\n"
                  "< POST_PROBE p1\n");
    assert_int_equal(left_ns(bench), 3 * SECOND);
    COMPLETE(bench, "p1", OK);
    assert_int_equal(left_ns(bench), SECOND);
    bench_pass(bench, SECOND);
    EXPECT(bench, "> COMPLETED p1 OK\n"
                  "> TIME_PASSED\n"
                  "< POST_PROBE p2\n");
    bench_pass(bench, 3 * SECOND);
    EXPECT(bench, "> TIME_PASSED\n"
                  "< POST_SEND s1 ERROR x1\n");
    bench_expect_failure(bench, RDMIG_REASON_PEER_SILENT);
    bench_close(bench);
}

/* Clause: C13 */
static void test_core_timers__probe_that_fails__is_the_end(void **state)
{
    struct bench *bench =
        source_at(SOURCE_IS_EXCHANGED, &(struct rdmig_conn_config){.probe_interval_ns = SECOND});

    (void)state;
    bench->automatic = AUTO_SEND;
    bench_pass(bench, SECOND);
    COMPLETE(bench, "p1", ERROR, .os_code = 12);
    EXPECT(bench, "> TIME_PASSED\n"
                  "< POST_PROBE p1\n"
                  "> COMPLETED p1 ERROR os_code=12\n"
                  "< DISCONNECT\n");
    bench_expect_failure(bench, RDMIG_REASON_SEND_FAILED);
    bench_close(bench);
}

/* Clause: C13 */
static void test_core_timers__a_message__puts_the_probe_off(void **state)
{
    struct bench *bench =
        source_at(SOURCE_AWAITS_RESULT, &(struct rdmig_conn_config){.probe_interval_ns = SECOND});

    (void)state;
    bench_pass(bench, SECOND - 1);
    source_receive_result(bench, 0, 0xa0);
    bench_pass(bench, SECOND - 1);
    assert_int_equal(bench->action_counts[RDMIG_ACTION_POST_PROBE], 0);
    bench_pass(bench, 1);
    assert_int_equal(bench->action_counts[RDMIG_ACTION_POST_PROBE], 1);
    bench_close(bench);
}

/* Clause: C13 */
static void
test_core_timers__work_in_flight__needs_no_probe_and_its_end_starts_the_interval(void **state)
{
    struct bench *bench =
        source_at(SOURCE_IS_WRITING, &(struct rdmig_conn_config){.probe_interval_ns = SECOND});

    (void)state;
    bench_pass(bench, SECOND);
    assert_int_equal(bench->action_counts[RDMIG_ACTION_POST_PROBE], 0);
    COMPLETE(bench, "w1", OK);
    assert_int_equal(left_ns(bench), SECOND);
    bench_pass(bench, SECOND);
    EXPECT(bench, "> TIME_PASSED\n"
                  "> COMPLETED w1 OK\n"
                  "> TIME_PASSED\n"
                  "< POST_PROBE p1\n");
    bench_close(bench);
}

/* Clause: E5 */
static void test_core_timers__limits_switched_off__never_expire(void **state)
{
    struct bench *source = source_at(SOURCE_IS_WRITING, NULL);
    struct bench *destination = destination_at(DESTINATION_IS_AWAITING, NULL);

    (void)state;
    assert_true(rdmig_conn_deadline_ns(source->conn) == RDMIG_NO_DEADLINE);
    assert_true(rdmig_conn_deadline_ns(destination->conn) == RDMIG_NO_DEADLINE);
    bench_close(source);
    bench_close(destination);
}

/* Clause: E5 */
static void test_core_timers__limits_beyond_the_clock__never_expire(void **state)
{
    struct bench *bench =
        source_at(SOURCE_IS_ESTABLISHED,
                  &(struct rdmig_conn_config){.reply_timeout_ns = UINT64_MAX - SECOND / 2});

    (void)state;
    assert_true(rdmig_conn_deadline_ns(bench->conn) == RDMIG_NO_DEADLINE);
    bench->now_ns = UINT64_MAX; /* the end of time is no deadline either */
    FEED(bench, TIME_PASSED);
    assert_null(rdmig_conn_failure(bench->conn));
    bench_receive_ready(bench); /* so that closing needs no more time */
    bench_close(bench);
}

/* Clause: E5 */
static void test_core_timers__a_clock_that_goes_back__is_taken_to_stand_still(void **state)
{
    struct bench *bench = source_at(SOURCE_IS_ESTABLISHED, &one_second);
    const uint64_t deadline_ns = rdmig_conn_deadline_ns(bench->conn);

    (void)state;
    bench->now_ns = 5;
    FEED(bench, TIME_PASSED);
    assert_int_equal(rdmig_conn_deadline_ns(bench->conn), deadline_ns);
    assert_null(rdmig_conn_failure(bench->conn));
    bench->now_ns = deadline_ns;
    bench_close(bench);
}

/* Clause: E5 */
static void test_core_timers__an_event_at_the_deadline__is_in_time(void **state)
{
    struct bench *bench = source_at(SOURCE_IS_ESTABLISHED, &one_second);

    (void)state;
    bench->now_ns += SECOND;
    bench_receive_ready(bench);
    assert_null(rdmig_conn_failure(bench->conn));
    bench_close(bench);
}

/* Clause: E1, E5 */
static void test_core_timers__a_refused_event__still_tells_the_time(void **state)
{
    struct bench *bench = source_at(SOURCE_IS_ESTABLISHED, &one_second);
    struct rdmig_event event = {.kind = RDMIG_EVENT_STARTED, .now_ns = bench->now_ns + SECOND};

    (void)state;
    assert_int_equal(rdmig_conn_step(bench->conn, &event), -RDMIG_E_STATE);
    assert_null(rdmig_conn_failure(bench->conn));
    FEED(bench, TIME_PASSED); /* earlier: a clock does not go back */
    bench_expect_failure(bench, RDMIG_REASON_PEER_SILENT);
    bench->now_ns = event.now_ns;
    bench_close(bench);
}

/*
 * A destination that has been held up feeds what came meanwhile one by one: the first of it must
 * not end the wait for the second, which may be the guest itself. Found by the simulator. Clause:
 * E5 E7
 */
static void test_core_timers__late_events__are_all_taken_before_a_limit_counts(void **state)
{
    const struct rdmig_conn_config config = {.idle_timeout_ns = SECOND, .reply_timeout_ns = SECOND};
    struct bench *bench = destination_at(DESTINATION_IS_AWAITING, &config);
    struct rdmig_event late = {.kind = RDMIG_EVENT_STARTED};

    (void)state;
    bench_begin(bench);
    bench->now_ns += 5 * SECOND;
    late.now_ns = bench->now_ns;
    assert_int_equal(rdmig_conn_step(bench->conn, &late), -RDMIG_E_STATE);
    assert_null(rdmig_conn_failure(bench->conn));
    message_begin(bench->message, RDMIG_MESSAGE_QEMU_FILE, 0);
    message_data(bench->message, "end", 3);
    bench_receive(bench, bench->message);
    FEED(bench, TIME_PASSED);
    EXPECT(bench, "> RECEIVED r0 QEMU_FILE x0 3 bytes 'end'\n"
                  "< DELIVER_STREAM length=3\n"
                  "> TIME_PASSED\n");
    assert_null(rdmig_conn_failure(bench->conn));
    bench_close(bench);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_core_timers__source__no_first_ready),
        cmocka_unit_test(test_core_timers__source__no_answer__says_error_if_the_credit_still_comes),
        cmocka_unit_test(test_core_timers__pin_all__has_the_time_that_pinning_takes),
        cmocka_unit_test(test_core_timers__a_list_of_blocks__is_no_work),
        cmocka_unit_test(test_core_timers__compress__has_the_time_that_filling_takes),
        cmocka_unit_test(test_core_timers__stream__has_the_time_that_loading_takes),
        cmocka_unit_test(test_core_timers__work_beyond_the_clock__never_expires),
        cmocka_unit_test(test_core_timers__source__the_answer_does_not_stop_the_wait_for_ready),
        cmocka_unit_test(test_core_timers__source__with_a_credit_nothing_is_awaited),
        cmocka_unit_test(test_core_timers__source__a_write_does_not_complete),
        cmocka_unit_test(
            test_core_timers__source__each_completion_starts_the_wait_for_the_next_anew),
        cmocka_unit_test(test_core_timers__destination__ready_is_not_taken),
        cmocka_unit_test(test_core_timers__destination__waits_for_ever_for_a_command_unless_told),
        cmocka_unit_test(test_core_timers__destination__idle_limit),
        cmocka_unit_test(test_core_timers__silence__is_probed_and_the_answer_keeps_the_peace),
        cmocka_unit_test(test_core_timers__probe_that_fails__is_the_end),
        cmocka_unit_test(test_core_timers__a_message__puts_the_probe_off),
        cmocka_unit_test(
            test_core_timers__work_in_flight__needs_no_probe_and_its_end_starts_the_interval),
        cmocka_unit_test(test_core_timers__limits_switched_off__never_expire),
        cmocka_unit_test(test_core_timers__limits_beyond_the_clock__never_expire),
        cmocka_unit_test(test_core_timers__a_clock_that_goes_back__is_taken_to_stand_still),
        cmocka_unit_test(test_core_timers__an_event_at_the_deadline__is_in_time),
        cmocka_unit_test(test_core_timers__a_refused_event__still_tells_the_time),
        cmocka_unit_test(test_core_timers__late_events__are_all_taken_before_a_limit_counts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
