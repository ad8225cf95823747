/* SPDX-License-Identifier: BSD-2-Clause */
/* Tags: each is answered once; what is not out, or not that way, is refused and changes nothing. */
#include "support/drive.h"

static int answer(struct bench *bench, uint64_t tag, enum rdmig_status status)
{
    return FEED(bench, COMPLETED, .tag = tag, .status = status);
}

/* Clause: E9, E1 */
static void test_core_tags__unknown_ones__are_refused_in_every_stage(void **state)
{
    static const uint64_t tags[] = {0,
                                    1,
                                    UINT64_MAX,
                                    UINT64_C(1) << 56,
                                    UINT64_C(2) << 56 | 0xffffff,
                                    UINT64_C(3) << 56,
                                    UINT64_C(3) << 56 | 0xffff,
                                    UINT64_C(3) << 56 | 64,
                                    UINT64_C(4) << 56};

    (void)state;
    for (int i = 0; i < SOURCE_STAGE_COUNT; i++) {
        struct bench *bench = source_at((enum source_stage)i, NULL);

        for (size_t k = 0; k < sizeof(tags) / sizeof(tags[0]); k++) {
            assert_int_equal(answer(bench, tags[k], RDMIG_STATUS_OK), -RDMIG_E_INVALID);
            assert_int_equal(answer(bench, tags[k], RDMIG_STATUS_FLUSHED), -RDMIG_E_INVALID);
            assert_int_equal(FEED(bench, RECEIVED, .tag = tags[k], .length = 16), -RDMIG_E_INVALID);
        }
        bench_close(bench);
    }
}

/* Clause: E9 */
static void test_core_tags__answered_twice__are_refused(void **state)
{
    struct bench *bench = source_at(SOURCE_IS_WRITING, NULL);
    struct bench *destination = destination_at(DESTINATION_IS_FILLING, NULL);
    const uint64_t operation = bench_tag(destination, "o1");

    (void)state;
    COMPLETE(bench, "w1", OK);
    assert_int_equal(COMPLETE(bench, "w1", OK), -RDMIG_E_INVALID);
    assert_int_equal(COMPLETE(bench, "w1", FLUSHED), -RDMIG_E_INVALID);
    assert_int_equal(COMPLETE(bench, "w1", ERROR), -RDMIG_E_INVALID);
    assert_null(rdmig_conn_failure(bench->conn));
    assert_int_equal(answer(destination, operation, RDMIG_STATUS_OK), RDMIG_OK);
    assert_int_equal(answer(destination, operation, RDMIG_STATUS_OK), -RDMIG_E_INVALID);
    bench_close(bench);
    bench_close(destination);
}

/* Clause: E9 */
static void test_core_tags__stale_ones_of_a_slot_used_again__are_refused(void **state)
{
    struct bench *bench = destination_at(DESTINATION_IS_LISTED, NULL);
    uint64_t recv_tag;
    uint64_t operation_tag;

    (void)state;
    recv_tag = bench->recv_tags[0];
    destination_receive_register(bench, 0, 0, 0);
    operation_tag = bench_tag(bench, "o1");
    /* Its slot has been posted again under another tag; so has the place of the operation. */
    assert_int_equal(FEED(bench, RECEIVED, .tag = recv_tag, .length = 16), -RDMIG_E_INVALID);
    bench->automatic = AUTO_SEND;
    destination_receive_register(bench, 0, 1, 0);
    assert_int_equal(answer(bench, bench_tag(bench, "o2") + 64, RDMIG_STATUS_OK), -RDMIG_E_INVALID);
    assert_int_equal(answer(bench, operation_tag, RDMIG_STATUS_OK), -RDMIG_E_INVALID);
    COMPLETE(bench, "o2", OK, .rkey = 5);
    assert_null(rdmig_conn_failure(bench->conn));
    bench_close(bench);
}

/* Clause: E9 */
static void test_core_tags__of_another_kind__are_refused(void **state)
{
    struct bench *bench = source_at(SOURCE_IS_WRITING, NULL);

    (void)state;
    /* A RECV does not complete OK without bytes; a write or a SEND receives nothing. */
    assert_int_equal(COMPLETE(bench, "r0", OK), -RDMIG_E_INVALID);
    assert_int_equal(FEED(bench, RECEIVED, .tag = bench_tag(bench, "w1"), .length = 16),
                     -RDMIG_E_INVALID);
    bench_close(bench);
}

/* Clause: W4, E1 */
static void test_core_tags__more_bytes_than_a_slot_holds__are_refused(void **state)
{
    struct bench *bench = source_at(SOURCE_IS_EXCHANGED, NULL);

    (void)state;
    assert_int_equal(
        FEED(bench, RECEIVED, .tag = bench->recv_tags[0], .length = RDMIG_MESSAGE_BYTES_MAX + 1),
        -RDMIG_E_INVALID);
    assert_int_equal(FEED(bench, RECEIVED, .tag = bench->recv_tags[0], .length = UINT64_MAX),
                     -RDMIG_E_INVALID);
    bench_close(bench);
}

/* Clause: C12, E9 */
static void test_core_tags__work_before_the_completed__counts_as_answered(void **state)
{
    struct bench *bench =
        source_at(SOURCE_IS_WRITING, &(struct rdmig_conn_config){.write_bytes_max = 4096});

    (void)state;
    source_push(bench, 0, 8192, 8192);
    COMPLETE(bench, "w3", OK);
    assert_int_equal(COMPLETE(bench, "w1", OK), -RDMIG_E_INVALID);
    assert_int_equal(COMPLETE(bench, "w2", OK), -RDMIG_E_INVALID);
    assert_int_equal(rdmig_conn_bytes_pending(bench->conn), 0);
    bench_close(bench);
}

/* Clause: E9 */
static void test_core_tags__after_closed__nothing_is_out(void **state)
{
    struct bench *bench = source_at(SOURCE_IS_CLOSED, NULL);

    (void)state;
    for (size_t i = 0; i < bench->tag_count; i++)
        assert_int_equal(answer(bench, bench->tags[i].action.tag, RDMIG_STATUS_FLUSHED),
                         -RDMIG_E_INVALID);
    bench_close(bench);
}

/* Clause: E9 */
static void test_core_tags__thousands_of_messages__never_repeat_one(void **state)
{
    struct bench *bench = destination_at(DESTINATION_IS_AWAITING, NULL);

    (void)state;
    bench->is_quiet = true;
    for (int i = 0; i < 2000; i++) { /* the bench refuses a tag that it has seen */
        destination_receive_stream(bench, "x");
        FEED(bench, STREAM_CONSUMED, .length = 1);
    }
    assert_int_equal(bench_counters(bench).bytes_stream, 2000);
    assert_int_equal(bench_counters(bench).control_messages, 4001);
    assert_int_equal(bench_counters(bench).control_bytes, 2000 * 17 + 2001 * 16);
    bench_close(bench);
}
int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_core_tags__unknown_ones__are_refused_in_every_stage),
        cmocka_unit_test(test_core_tags__answered_twice__are_refused),
        cmocka_unit_test(test_core_tags__stale_ones_of_a_slot_used_again__are_refused),
        cmocka_unit_test(test_core_tags__of_another_kind__are_refused),
        cmocka_unit_test(test_core_tags__more_bytes_than_a_slot_holds__are_refused),
        cmocka_unit_test(test_core_tags__work_before_the_completed__counts_as_answered),
        cmocka_unit_test(test_core_tags__after_closed__nothing_is_out),
        cmocka_unit_test(test_core_tags__thousands_of_messages__never_repeat_one),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
