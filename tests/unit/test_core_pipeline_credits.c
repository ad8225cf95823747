/* SPDX-License-Identifier: BSD-2-Clause */
/* How a source of ours and its destination agree on credits, and how the first READYs come. */
#include "support/drive.h"

#define PIPELINE RDMIG_CAPABILITY_PIPELINE

static const struct rdmig_conn_config config = {.capability_flags = PIPELINE};

static struct bench *source_connecting(void)
{
    struct bench *bench = source_at(SOURCE_IS_CONNECTING, &config);

    assert_int_equal(bench->recv_count, RDMIG_RECV_SLOT_COUNT);
    return bench;
}

/* Clause: W11, C1 */
static void test_core_pipeline_credits__offers_its_credits_and_the_size_of_its_ram(void **state)
{
    const struct rdmig_conn_config large = {.capability_flags = PIPELINE | 1,
                                            .ram_bytes = UINT64_C(0x1234500000000)};
    struct bench *bench = source_at(SOURCE_IS_IDLE, &large);

    (void)state;
    FEED(bench, STARTED);
    EXPECT(bench,
           "> STARTED\n"
           "< CONNECT length=24 | version 1 flags 0x10001 credits 4 bytes 0x1234500000000\n");
    bench_close(bench);
}

/* Clause: W11, C16 */
static void test_core_pipeline_credits__takes_as_many_credits_as_were_agreed_on(void **state)
{
    (void)state;
    for (uint32_t credits = 1; credits <= 4; credits++) {
        struct bench *bench = source_connecting();

        bench_establish_pipelined(bench, PIPELINE, credits, 0);
        assert_int_equal(rdmig_conn_capability_flags(bench->conn), PIPELINE);
        for (uint32_t i = 0; i < credits; i++)
            bench_receive_ready(bench);
        assert_null(rdmig_conn_failure(bench->conn));
        bench_receive_ready(bench);
        bench_expect_failure(bench, RDMIG_REASON_CREDIT_EXCESS);
        bench_close(bench);
    }
}

/* Clause: W11, W2 */
static void
test_core_pipeline_credits__a_destination_that_clears_the_flag__has_one_credit(void **state)
{
    struct bench *bench = source_connecting();

    (void)state;
    bench_establish_pipelined(bench, 0, 0, 0);
    assert_int_equal(rdmig_conn_capability_flags(bench->conn), 0);
    bench_receive_ready(bench);
    assert_null(rdmig_conn_failure(bench->conn));
    bench_receive_ready(bench);
    bench_expect_failure(bench, RDMIG_REASON_CREDIT_EXCESS);
    bench_close(bench);
}

/* Clause: W11 */
static void test_core_pipeline_credits__credits_outside_the_limits__fail(void **state)
{
    static const uint32_t credits[] = {0, 5, UINT32_MAX};

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        struct bench *bench = source_connecting();

        bench_establish_pipelined(bench, PIPELINE, credits[i], 0);
        bench_expect_failure(bench, RDMIG_REASON_PRIVATE_DATA);
        assert_int_equal(rdmig_conn_failure(bench->conn)->expected, 4);
        assert_int_equal(rdmig_conn_failure(bench->conn)->actual, credits[i]);
        bench_close(bench);
    }
}

/* Clause: W11 */
static void test_core_pipeline_credits__fewer_bytes__fail(void **state)
{
    static const uint8_t bytes[24] = {0, 0, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4};

    (void)state;
    for (uint32_t length = 8; length <= 24; length++) {
        struct bench *bench = source_connecting();

        FEED(bench, ESTABLISHED, .bytes = bytes, .length = length);
        if (length == 24) {
            assert_null(rdmig_conn_failure(bench->conn));
        } else {
            bench_expect_failure(bench, RDMIG_REASON_PRIVATE_DATA_SHORT);
            assert_int_equal(rdmig_conn_failure(bench->conn)->expected, 24);
            assert_int_equal(rdmig_conn_failure(bench->conn)->actual, length);
        }
        bench_close(bench);
    }
}

/* Clause: C7, C16 */
static void test_core_pipeline_credits__ready_before_established__counts(void **state)
{
    (void)state;
    for (uint32_t early = 0; early <= 5; early++) {
        struct bench *bench = source_connecting();

        for (uint32_t i = 0; i < early; i++)
            bench_receive_ready(bench);
        if (early == 5) { /* more than it has offered to take */
            bench_expect_failure(bench, RDMIG_REASON_CREDIT_EXCESS);
            bench_close(bench);
            continue;
        }
        bench_establish_pipelined(bench, PIPELINE, 3, 0);
        if (early == 4) {
            bench_expect_failure(bench, RDMIG_REASON_CREDIT_EXCESS);
            assert_int_equal(rdmig_conn_failure(bench->conn)->expected, 2);
            assert_int_equal(rdmig_conn_failure(bench->conn)->actual, 3);
            bench_close(bench);
            continue;
        }
        for (uint32_t i = early; i < 3; i++)
            bench_receive_ready(bench);
        assert_null(rdmig_conn_failure(bench->conn));
        bench_receive_ready(bench);
        bench_expect_failure(bench, RDMIG_REASON_CREDIT_EXCESS);
        bench_close(bench);
    }
}

/* Clause: C7, E5 */
static void
test_core_pipeline_credits__ready_before_established__leaves_no_limit_behind(void **state)
{
    const struct rdmig_conn_config timed = {
        .capability_flags = PIPELINE, .reply_timeout_ns = SECOND, .connect_timeout_ns = 5 * SECOND};
    struct bench *bench = source_at(SOURCE_IS_CONNECTING, &timed);

    (void)state;
    bench_receive_ready(bench);
    bench_pass(bench, 2 * SECOND); /* nothing but the connection is awaited yet */
    assert_null(rdmig_conn_failure(bench->conn));
    bench_establish_pipelined(bench, 0, 0, 0);
    assert_true(rdmig_conn_deadline_ns(bench->conn) == RDMIG_NO_DEADLINE);
    bench_pass(bench, 100 * SECOND);
    assert_null(rdmig_conn_failure(bench->conn));
    bench_close(bench);
}

/* Clause: C16, E5 */
static void test_core_pipeline_credits__credits_that_do_not_come__are_silence(void **state)
{
    const struct rdmig_conn_config timed = {.capability_flags = PIPELINE,
                                            .reply_timeout_ns = SECOND};
    struct bench *bench = source_at(SOURCE_IS_CONNECTING, &timed);

    (void)state;
    bench_receive_ready(bench);
    bench_establish_pipelined(bench, PIPELINE, 3, 0);
    bench_pass(bench, SECOND - 1);
    bench_receive_ready(bench);
    bench_pass(bench, SECOND - 1);
    assert_null(rdmig_conn_failure(bench->conn));
    bench_pass(bench, 1);
    bench_expect_failure(bench, RDMIG_REASON_PEER_SILENT);
    bench_close(bench);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_core_pipeline_credits__offers_its_credits_and_the_size_of_its_ram),
        cmocka_unit_test(test_core_pipeline_credits__takes_as_many_credits_as_were_agreed_on),
        cmocka_unit_test(
            test_core_pipeline_credits__a_destination_that_clears_the_flag__has_one_credit),
        cmocka_unit_test(test_core_pipeline_credits__credits_outside_the_limits__fail),
        cmocka_unit_test(test_core_pipeline_credits__fewer_bytes__fail),
        cmocka_unit_test(test_core_pipeline_credits__ready_before_established__counts),
        cmocka_unit_test(
            test_core_pipeline_credits__ready_before_established__leaves_no_limit_behind),
        cmocka_unit_test(test_core_pipeline_credits__credits_that_do_not_come__are_silence),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
