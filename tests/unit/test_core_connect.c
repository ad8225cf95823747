/* SPDX-License-Identifier: BSD-2-Clause */
/* Connecting: private data, versions, capabilities, and what may come before ESTABLISHED. */
#include "support/drive.h"

#include <string.h>

/* Clause: C1, W1 */
static void test_core_connect__source__posts_three_recvs_before_it_connects(void **state)
{
    struct bench *bench = source_at(SOURCE_IS_IDLE, &(struct rdmig_conn_config){0});

    (void)state;
    bench->shows_recv = true;
    FEED(bench, STARTED);
    EXPECT(bench, "> STARTED\n"
                  "< POST_RECV r0 length=524288\n"
                  "< POST_RECV r1 length=524288\n"
                  "< POST_RECV r2 length=524288\n"
                  "< CONNECT length=8 | version 1 flags 0x0\n");
    assert_int_equal(bench_establish(bench, 1, 0), RDMIG_OK);
    EXPECT(bench, "> ESTABLISHED length=8 | version 1 flags 0x0\n"
                  "< NOTIFY_ESTABLISHED flags=0x0\n");
    bench_receive_ready(bench);
    EXPECT(bench, "> RECEIVED r0 READY x1\n"
                  "< POST_RECV r0 length=524288\n");
    bench_close(bench);
}

/* Clause: C1, C2, W2 */
static void test_core_connect__destination__posts_recvs_accepts_and_offers_ready(void **state)
{
    struct bench *bench = destination_at(DESTINATION_IS_IDLE, NULL);

    (void)state;
    bench->shows_recv = true;
    FEED(bench, STARTED);
    EXPECT(bench, "> STARTED\n"
                  "< POST_RECV r0 length=524288\n"
                  "< POST_RECV r1 length=524288\n"
                  "< POST_RECV r2 length=524288\n");
    bench_connect_request(bench, 1, 0);
    EXPECT(bench, "> CONNECT_REQUESTED length=8 | version 1 flags 0x0\n"
                  "< ACCEPT length=8 | version 1 flags 0x0\n");
    FEED(bench, ESTABLISHED);
    EXPECT(bench, "> ESTABLISHED length=0\n"
                  "< NOTIFY_ESTABLISHED flags=0x0\n"
                  "< POST_SEND s1 READY x1\n");
    /* One READY, and no other without a command. */
    bench_pass(bench, SECOND);
    EXPECT(bench, "> TIME_PASSED\n");
    bench_close(bench);
}

/* Clause: W2 */
static void test_core_connect__pin_all__needs_both_sides(void **state)
{
    static const struct {
        uint32_t offered;
        uint32_t granted;
        uint32_t agreed;
    } cases[] = {{0, 0, 0},          {0, 1, 0},          {1, 0, 0},         {1, 1, 1},
                 {1, UINT32_MAX, 1}, {0, UINT32_MAX, 0}, {1, 0xfffffffe, 0}};

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct rdmig_conn_config config = {.capability_flags = cases[i].offered};
        struct bench *source = source_at(SOURCE_IS_CONNECTING, &config);
        struct bench *destination = destination_at(DESTINATION_IS_CONNECTING, &config);

        /* The peer's flags, at the source as an answer, at the destination as a request. */
        bench_establish(source, 1, cases[i].granted);
        assert_int_equal(rdmig_conn_capability_flags(source->conn), cases[i].agreed);
        assert_int_equal(source->last[RDMIG_ACTION_NOTIFY_ESTABLISHED].capability_flags,
                         cases[i].agreed);
        assert_int_equal(rdmig_conn_offered_flags(destination->conn), 0);
        bench_connect_request(destination, 1, cases[i].granted);
        assert_int_equal(rdmig_conn_capability_flags(destination->conn), cases[i].agreed);
        assert_int_equal(rdmig_conn_offered_flags(destination->conn), cases[i].granted);
        assert_int_equal(rdmig_conn_offered_flags(source->conn), cases[i].offered);
        FEED(destination, ESTABLISHED);
        assert_int_equal(destination->last[RDMIG_ACTION_NOTIFY_ESTABLISHED].capability_flags,
                         cases[i].agreed);
        bench_close(source);
        bench_close(destination);
    }
}

/* Clause: W2 */
static void test_core_connect__source__offers_what_it_is_configured_for(void **state)
{
    struct bench *bench =
        source_at(SOURCE_IS_IDLE, &(struct rdmig_conn_config){.capability_flags = 1});

    (void)state;
    FEED(bench, STARTED);
    EXPECT(bench, "> STARTED\n"
                  "< CONNECT length=8 | version 1 flags 0x1\n");
    bench_establish(bench, 1, 0);
    EXPECT(bench, "> ESTABLISHED length=8 | version 1 flags 0x0\n"
                  "< NOTIFY_ESTABLISHED flags=0x0\n");
    bench_close(bench);
}

/* Clause: W2 */
static void test_core_connect__destination__clears_flags_nobody_knows(void **state)
{
    struct bench *bench = destination_at(DESTINATION_IS_CONNECTING,
                                         &(struct rdmig_conn_config){.capability_flags = 1});

    (void)state;
    bench_connect_request(bench, 1, 0xfffffffe);
    EXPECT(bench, "> CONNECT_REQUESTED length=8 | version 1 flags 0xfffffffe\n"
                  "< ACCEPT length=8 | version 1 flags 0x0\n");
    bench_close(bench);
}

/* Clause: W1 */
static void test_core_connect__private_data__padding_is_ignored_and_less_is_a_failure(void **state)
{
    static const uint8_t padded[196] = {0, 0, 0, 1, 0, 0, 0, 1, 0xff};

    (void)state;
    for (size_t length = 0; length < 10; length++) {
        const struct rdmig_conn_config config = {.capability_flags = 1};
        struct bench *source = source_at(SOURCE_IS_CONNECTING, &config);
        struct bench *destination = destination_at(DESTINATION_IS_CONNECTING, &config);
        const size_t given = length == 9 ? sizeof(padded) : length;

        FEED(source, ESTABLISHED, .bytes = padded, .length = given);
        FEED(destination, CONNECT_REQUESTED, .bytes = padded, .length = given);
        if (length < 8) {
            bench_expect_failure(source, RDMIG_REASON_PRIVATE_DATA_SHORT);
            bench_expect_failure(destination, RDMIG_REASON_PRIVATE_DATA_SHORT);
            assert_int_equal(rdmig_conn_failure(source->conn)->expected, 8);
            assert_int_equal(rdmig_conn_failure(source->conn)->actual, length);
            assert_int_equal(rdmig_conn_failure(source->conn)->phase, RDMIG_PHASE_CONNECTING);
            assert_int_equal(destination->action_counts[RDMIG_ACTION_REJECT], 1);
        } else {
            assert_null(rdmig_conn_failure(source->conn));
            assert_null(rdmig_conn_failure(destination->conn));
            assert_int_equal(rdmig_conn_capability_flags(source->conn), 1);
        }
        bench_close(source);
        bench_close(destination);
    }
}

/* Clause: W1 */
static void test_core_connect__no_private_data__is_a_failure(void **state)
{
    struct bench *bench = source_at(SOURCE_IS_CONNECTING, NULL);

    (void)state;
    FEED(bench, ESTABLISHED, .bytes = NULL, .length = 100);
    bench_expect_failure(bench, RDMIG_REASON_PRIVATE_DATA_SHORT);
    assert_int_equal(rdmig_conn_failure(bench->conn)->actual, 0);
    bench_close(bench);
}

/* Clause: W2 */
static void test_core_connect__version__must_be_one(void **state)
{
    static const uint32_t versions[] = {0, 2, 3, 0x01000000, UINT32_MAX};

    (void)state;
    for (size_t i = 0; i < sizeof(versions) / sizeof(versions[0]); i++) {
        struct bench *source = source_at(SOURCE_IS_CONNECTING, NULL);
        struct bench *destination = destination_at(DESTINATION_IS_CONNECTING, NULL);

        bench_establish(source, versions[i], 1);
        bench_expect_failure(source, RDMIG_REASON_VERSION_UNSUPPORTED);
        assert_int_equal(rdmig_conn_failure(source->conn)->expected, 1);
        assert_int_equal(rdmig_conn_failure(source->conn)->actual, versions[i]);
        assert_int_equal(source->action_counts[RDMIG_ACTION_DISCONNECT], 1);
        assert_int_equal(source->action_counts[RDMIG_ACTION_POST_SEND], 0);
        bench_connect_request(destination, versions[i], 1);
        bench_expect_failure(destination, RDMIG_REASON_VERSION_UNSUPPORTED);
        assert_int_equal(rdmig_conn_capability_flags(destination->conn), 0);
        bench_close(source);
        bench_close(destination);
    }
}

/* Clause: W2 */
static void test_core_connect__version_above_ours__is_rejected_with_ours(void **state)
{
    struct bench *bench = destination_at(DESTINATION_IS_CONNECTING,
                                         &(struct rdmig_conn_config){.capability_flags = 1});

    (void)state;
    bench_connect_request(bench, 2, 1);
    EXPECT(bench, "> CONNECT_REQUESTED length=8 | version 2 flags 0x1\n"
                  "< REJECT length=8 | version 1 flags 0x0\n"
                  "< DISCONNECT\n");
    for (int i = 0; i < 3; i++)
        FEED(bench, COMPLETED, .tag = bench->recv_tags[0], .status = RDMIG_STATUS_FLUSHED);
    EXPECT(bench, "> COMPLETED r0 FLUSHED\n"
                  "> COMPLETED r1 FLUSHED\n"
                  "> COMPLETED r2 FLUSHED\n"
                  "< NOTIFY_CLOSED\n");
    bench_close(bench);
}

/* Clause: C7 */
static void test_core_connect__ready_before_established__counts(void **state)
{
    struct bench *bench =
        source_at(SOURCE_IS_CONNECTING, &(struct rdmig_conn_config){.reply_timeout_ns = SECOND});

    (void)state;
    bench_receive_ready(bench);
    EXPECT(bench, "> RECEIVED r0 READY x1\n");
    source_provide(bench);
    bench_establish(bench, 1, 0);
    FEED(bench, EXCHANGE_REQUESTED);
    EXPECT(bench, "> BLOCKS_PROVIDED count=2\n"
                  "> ESTABLISHED length=8 | version 1 flags 0x0\n"
                  "< NOTIFY_ESTABLISHED flags=0x0\n"
                  "> EXCHANGE_REQUESTED\n"
                  "< POST_SEND s1 RAM_BLOCKS_REQUEST x1\n");
    assert_int_equal(rdmig_conn_deadline_ns(bench->conn), bench->now_ns + SECOND);
    bench_close(bench);
}

/* Clause: C7, E5 */
static void test_core_connect__ready_before_established__is_not_waited_for_again(void **state)
{
    struct bench *bench =
        source_at(SOURCE_IS_CONNECTING, &(struct rdmig_conn_config){.reply_timeout_ns = SECOND});

    (void)state;
    bench_receive_ready(bench);
    bench_establish(bench, 1, 0);
    assert_true(rdmig_conn_deadline_ns(bench->conn) == RDMIG_NO_DEADLINE);
    bench_close(bench);
}

/* Clause: C7, E4 */
static void test_core_connect__error_before_established__counts(void **state)
{
    struct bench *bench = source_at(SOURCE_IS_CONNECTING, NULL);

    (void)state;
    bench_receive_plain(bench, RDMIG_MESSAGE_ERROR);
    EXPECT(bench, "> RECEIVED r0 ERROR x1\n"
                  "< DISCONNECT\n");
    bench_expect_failure(bench, RDMIG_REASON_PEER_ERROR);
    assert_int_equal(rdmig_conn_failure(bench->conn)->phase, RDMIG_PHASE_CONNECTING);
    bench_establish(bench, 1, 0); /* it crossed our giving up: no harm */
    EXPECT(bench, "> ESTABLISHED length=8 | version 1 flags 0x0\n");
    bench_close(bench);
}

/* Clause: C3 */
static void test_core_connect__second_ready_before_established__is_a_failure(void **state)
{
    struct bench *bench = source_at(SOURCE_IS_CONNECTING, NULL);

    (void)state;
    bench_receive_ready(bench);
    bench_receive_ready(bench);
    EXPECT(bench, "> RECEIVED r0 READY x1\n"
                  "> RECEIVED r1 READY x1\n"
                  "< DISCONNECT\n");
    bench_expect_failure(bench, RDMIG_REASON_CREDIT_EXCESS);
    bench_close(bench);
}

/* Clause: C5 */
static void test_core_connect__command_before_established__is_a_failure(void **state)
{
    struct bench *bench = destination_at(DESTINATION_IS_CONNECTING, NULL);

    (void)state;
    bench_connect_request(bench, 1, 0);
    bench_receive_plain(bench, RDMIG_MESSAGE_RAM_BLOCKS_REQUEST);
    EXPECT(bench, "> CONNECT_REQUESTED length=8 | version 1 flags 0x0\n"
                  "< ACCEPT length=8 | version 1 flags 0x0\n"
                  "> RECEIVED r0 RAM_BLOCKS_REQUEST x1\n"
                  "< DISCONNECT\n");
    bench_expect_failure(bench, RDMIG_REASON_MESSAGE_UNEXPECTED);
    bench_close(bench);
}

/* Clause: E5 */
static void test_core_connect__nobody_answers__fails_at_the_time_limit(void **state)
{
    struct bench *bench =
        source_at(SOURCE_IS_IDLE, &(struct rdmig_conn_config){.connect_timeout_ns = SECOND});

    (void)state;
    assert_true(rdmig_conn_deadline_ns(bench->conn) == RDMIG_NO_DEADLINE);
    FEED(bench, STARTED);
    assert_int_equal(rdmig_conn_deadline_ns(bench->conn), bench->now_ns + SECOND);
    EXPECT(bench, "> STARTED\n"
                  "< CONNECT length=8 | version 1 flags 0x0\n");
    bench_pass(bench, SECOND - 1);
    EXPECT(bench, "> TIME_PASSED\n");
    bench_pass(bench, 1);
    EXPECT(bench, "> TIME_PASSED\n"
                  "< DISCONNECT\n");
    bench_expect_failure(bench, RDMIG_REASON_CONNECT_TIMEOUT);
    bench_close(bench);
}

/* Clause: E5 */
static void test_core_connect__accepted_and_not_established__fails_at_the_time_limit(void **state)
{
    struct bench *bench = destination_at(DESTINATION_IS_CONNECTING,
                                         &(struct rdmig_conn_config){.connect_timeout_ns = SECOND});

    (void)state;
    bench_pass(bench, 100 * SECOND); /* waiting for a source may take for ever */
    assert_true(rdmig_conn_deadline_ns(bench->conn) == RDMIG_NO_DEADLINE);
    bench_connect_request(bench, 1, 0);
    EXPECT(bench, "> TIME_PASSED\n"
                  "> CONNECT_REQUESTED length=8 | version 1 flags 0x0\n"
                  "< ACCEPT length=8 | version 1 flags 0x0\n");
    bench_pass(bench, SECOND);
    EXPECT(bench, "> TIME_PASSED\n"
                  "< DISCONNECT\n");
    bench_expect_failure(bench, RDMIG_REASON_CONNECT_TIMEOUT);
    bench_close(bench);
}

/* Clause: E2 */
static void test_core_connect__unreachable_and_rejected__are_told_apart(void **state)
{
    struct bench *unreachable = source_at(SOURCE_IS_CONNECTING, NULL);
    struct bench *rejected = source_at(SOURCE_IS_CONNECTING, NULL);

    (void)state;
    FEED(unreachable, UNREACHABLE, .status = RDMIG_STATUS_ERROR, .os_code = 110);
    EXPECT(unreachable, "> UNREACHABLE ERROR os_code=110\n"
                        "< DISCONNECT\n");
    bench_expect_failure(unreachable, RDMIG_REASON_PEER_UNREACHABLE);
    assert_int_equal(rdmig_conn_failure(unreachable->conn)->os_code, 110);
    FEED(rejected, UNREACHABLE, .status = RDMIG_STATUS_REJECTED, .os_code = 28);
    EXPECT(rejected, "> UNREACHABLE REJECTED os_code=28\n"
                     "< DISCONNECT\n");
    bench_expect_failure(rejected, RDMIG_REASON_PEER_REJECTED);
    bench_close(unreachable);
    bench_close(rejected);
}

/* Clause: E2 */
static void test_core_connect__unreachable_before_a_queue_pair__closes_at_once(void **state)
{
    struct bench *bench = source_at(SOURCE_IS_IDLE, NULL);

    (void)state;
    FEED(bench, UNREACHABLE, .status = RDMIG_STATUS_ERROR, .os_code = -2);
    EXPECT(bench, "> UNREACHABLE ERROR os_code=-2\n"
                  "< NOTIFY_CLOSED\n");
    bench_close(bench);
}
/* Clause: W2 */
static void test_core_connect__destination__grants_what_both_know(void **state)
{
    struct bench *bench = destination_at(DESTINATION_IS_CONNECTING,
                                         &(struct rdmig_conn_config){.capability_flags = 1});

    (void)state;
    bench_connect_request(bench, 1, UINT32_MAX);
    EXPECT(bench, "> CONNECT_REQUESTED length=8 | version 1 flags 0xffffffff\n"
                  "< ACCEPT length=8 | version 1 flags 0x1\n");
    bench_close(bench);
}

/* Clause: C13 */
static void test_core_connect__before_established__nothing_is_probed(void **state)
{
    struct bench *bench =
        source_at(SOURCE_IS_CONNECTING, &(struct rdmig_conn_config){.probe_interval_ns = SECOND});

    (void)state;
    bench_receive_ready(bench);
    assert_true(rdmig_conn_deadline_ns(bench->conn) == RDMIG_NO_DEADLINE);
    bench_close(bench);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_core_connect__source__posts_three_recvs_before_it_connects),
        cmocka_unit_test(test_core_connect__destination__posts_recvs_accepts_and_offers_ready),
        cmocka_unit_test(test_core_connect__pin_all__needs_both_sides),
        cmocka_unit_test(test_core_connect__source__offers_what_it_is_configured_for),
        cmocka_unit_test(test_core_connect__destination__clears_flags_nobody_knows),
        cmocka_unit_test(test_core_connect__private_data__padding_is_ignored_and_less_is_a_failure),
        cmocka_unit_test(test_core_connect__no_private_data__is_a_failure),
        cmocka_unit_test(test_core_connect__version__must_be_one),
        cmocka_unit_test(test_core_connect__version_above_ours__is_rejected_with_ours),
        cmocka_unit_test(test_core_connect__ready_before_established__counts),
        cmocka_unit_test(test_core_connect__ready_before_established__is_not_waited_for_again),
        cmocka_unit_test(test_core_connect__error_before_established__counts),
        cmocka_unit_test(test_core_connect__second_ready_before_established__is_a_failure),
        cmocka_unit_test(test_core_connect__command_before_established__is_a_failure),
        cmocka_unit_test(test_core_connect__nobody_answers__fails_at_the_time_limit),
        cmocka_unit_test(test_core_connect__accepted_and_not_established__fails_at_the_time_limit),
        cmocka_unit_test(test_core_connect__unreachable_and_rejected__are_told_apart),
        cmocka_unit_test(test_core_connect__unreachable_before_a_queue_pair__closes_at_once),
        cmocka_unit_test(test_core_connect__destination__grants_what_both_know),
        cmocka_unit_test(test_core_connect__before_established__nothing_is_probed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
