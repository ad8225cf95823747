/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * How long a peer may take grows with what it was asked to do, or may be at by itself (clause E14),
 * on top of the limit that a small request has: 60 s, as with an option left alone. Guests are of a
 * size at which a limit that stays the same strikes.
 */
#include "support/drive.h"

#include <stdlib.h>

#define GIB         (1024 * MIB)
#define TIB         (1024 * GIB)
#define MINUTE      (60 * SECOND)
#define PIPELINE    RDMIG_CAPABILITY_PIPELINE
#define PIN_ALL     RDMIG_CAPABILITY_PIN_ALL
#define GUEST_RKEY  0xb7u
#define LONGEST_RUN 32768u /* chunks: 32 GiB */
#define RUN_BYTES   (LONGEST_RUN * MIB)

static uint64_t left_ns(const struct bench *bench)
{
    return rdmig_conn_deadline_ns(bench->conn) - bench->now_ns;
}

static uint64_t limit_ns(uint64_t bytes)
{
    return MINUTE + bytes / 256 * 1000;
}

/* Given up when this has passed, and no earlier. */
static void expect_silence_after(struct bench *bench, uint64_t duration_ns)
{
    assert_int_equal(left_ns(bench), duration_ns);
    bench_pass(bench, duration_ns - 1);
    assert_null(rdmig_conn_failure(bench->conn));
    bench_pass(bench, 1);
    bench_expect_failure(bench, RDMIG_REASON_PEER_SILENT);
    bench_close(bench);
}

static void provide_one(struct bench *bench, uint64_t host_addr, uint64_t bytes)
{
    const struct rdmig_block block = {host_addr, bytes, 0};

    bench_provide(bench, &block, 1);
}

/* A guest of one block, its blocks asked for; 60 s an answer unless the config says otherwise. */
static struct bench *source_awaiting_blocks(uint64_t bytes, const struct rdmig_conn_config *config)
{
    struct rdmig_conn_config complete = *config;
    struct bench *bench;
    const uint32_t ready_count = (config->capability_flags & PIPELINE) != 0 ? 4 : 1;

    if (complete.reply_timeout_ns == 0)
        complete.reply_timeout_ns = MINUTE;
    bench = source_at(SOURCE_IS_ESTABLISHED, &complete);
    provide_one(bench, SOURCE_HOST0, bytes);
    for (uint32_t i = 0; i < ready_count; i++)
        bench_receive_ready(bench);
    FEED(bench, EXCHANGE_REQUESTED);
    return bench;
}

static struct bench *source_exchanged(uint64_t bytes, const struct rdmig_conn_config *config)
{
    struct bench *bench = source_awaiting_blocks(bytes, config);

    message_begin(bench->message, RDMIG_MESSAGE_RAM_BLOCKS_RESULT, 1);
    message_block(bench->message, DESTINATION_HOST0, 0, bytes, GUEST_RKEY);
    bench_receive(bench, bench->message);
    bench_receive_ready(bench);
    assert_int_equal(bench->action_counts[RDMIG_ACTION_NOTIFY_BLOCKS_EXCHANGED], 1);
    assert_true(rdmig_conn_deadline_ns(bench->conn) == RDMIG_NO_DEADLINE);
    return bench;
}

static void receive_result(struct bench *bench, uint32_t rkey)
{
    message_begin(bench->message, RDMIG_MESSAGE_REGISTER_RESULT, 1);
    message_result(bench->message, rkey, DESTINATION_HOST0);
    bench_receive(bench, bench->message);
}

/* ---- the source */

/* Clause: E14, C9 */
static void test_core_work_limits__zeros__by_their_length(void **state)
{
    const struct rdmig_conn_config config = {0};
    struct bench *bench = source_exchanged(4 * TIB, &config);

    (void)state;
    source_push_zero(bench, 0, 0, TIB);
    expect_silence_after(bench, limit_ns(TIB));
    bench = source_exchanged(4 * TIB, &config);
    source_push_zero(bench, 0, TIB, 4096);
    expect_silence_after(bench, limit_ns(4096)); /* little was asked for, however large the guest */
}

/* Clause: E14, R2 */
static void test_core_work_limits__a_registration__by_the_length_of_its_runs(void **state)
{
    const struct rdmig_conn_config config = {.run_chunk_count = LONGEST_RUN};
    struct bench *bench = source_exchanged(64 * GIB, &config);

    (void)state;
    source_push_until(bench, 0, 0, 4096, 64 * GIB);
    assert_int_equal(bench->last[RDMIG_ACTION_REGISTER].length, RUN_BYTES);
    expect_silence_after(bench, limit_ns(RUN_BYTES));
    bench = source_exchanged(64 * GIB, &config);
    source_push(bench, 0, 0, 4096);
    expect_silence_after(bench, limit_ns(MIB));
}

/* Clause: E14, R8 */
static void test_core_work_limits__letting_go__by_the_length_of_the_region(void **state)
{
    const struct rdmig_conn_config config = {.run_chunk_count = LONGEST_RUN};
    struct bench *bench = source_exchanged(64 * GIB, &config);

    (void)state;
    source_push_until(bench, 0, 0, 4096, 64 * GIB);
    receive_result(bench, 0xa0);
    bench_receive_ready(bench);
    FEED(bench, UNREGISTER_REQUESTED, .block_index = 0, .chunk_index = 0);
    assert_int_equal(bench_u32_of_sent(bench, 4), RDMIG_MESSAGE_UNREGISTER_REQUEST);
    expect_silence_after(bench, limit_ns(RUN_BYTES));
}

/* What a destination does with a round is its own affair: a relay compares all memory before READY,
 * or has it pinned at its other side. Clause: E14, C10 */
static void test_core_work_limits__the_end_of_a_round__by_all_memory(void **state)
{
    const struct rdmig_conn_config config = {0};
    struct bench *bench = source_exchanged(512 * GIB, &config);

    (void)state;
    FEED(bench, ROUND_CLOSED);
    assert_int_equal(bench_u32_of_sent(bench, 4), RDMIG_MESSAGE_REGISTER_FINISHED);
    expect_silence_after(bench, limit_ns(512 * GIB));
}

/* Clause: E14, C16 */
static void test_core_work_limits__of_several_outstanding__each_has_its_own(void **state)
{
    const struct rdmig_conn_config config = {.capability_flags = PIPELINE};
    struct bench *bench = source_exchanged(4 * TIB, &config);

    (void)state;
    source_push_zero(bench, 0, 0, 4096);
    source_push_zero(bench, 0, TIB, TIB);
    source_push_zero(bench, 0, 4096, 4096);
    assert_int_equal(left_ns(bench), limit_ns(4096));
    bench_pass(bench, SECOND);
    bench_receive_ready(bench);
    assert_int_equal(left_ns(bench), limit_ns(TIB));
    bench_pass(bench, 2 * MINUTE);
    bench_receive_ready(bench);
    expect_silence_after(bench, limit_ns(4096));
}

/* ... and of several ranges in one message, their sum. Clause: E14, C18 */
static void test_core_work_limits__several_entries__count_together(void **state)
{
    const struct rdmig_conn_config config = {.capability_flags = PIPELINE};
    struct bench *bench = source_exchanged(4 * TIB, &config);

    (void)state;
    for (uint64_t i = 0; i < 7; i++) /* four of one range, and what waits for a credit */
        source_push_zero(bench, 0, i * 512 * GIB, 16 * GIB);
    for (uint64_t i = 0; i < 4; i++)
        bench_receive_ready(bench);
    assert_int_equal(bench_u32_of_sent(bench, 8), 3);
    expect_silence_after(bench, limit_ns(48 * GIB));
}

/* Who has all of the guest, and still maps or verifies it, is not left under its hands. Clause:
 * E13, E14 */
static void test_core_work_limits__a_qemu_that_loads__is_not_left_early(void **state)
{
    const struct rdmig_conn_config config = {.leave_timeout_ns = MINUTE};
    struct bench *bench = source_exchanged(512 * GIB, &config);

    (void)state;
    FEED(bench, FINISH_REQUESTED);
    assert_int_equal(left_ns(bench), limit_ns(512 * GIB));
    bench_pass(bench, left_ns(bench) - 1);
    assert_int_equal(bench->action_counts[RDMIG_ACTION_DISCONNECT], 0);
    bench_pass(bench, 1);
    assert_int_equal(bench->action_counts[RDMIG_ACTION_DISCONNECT], 1);
    assert_null(rdmig_conn_failure(bench->conn));
    bench_close(bench);
}

/* A host that is gone is found by its hardware's silence, however long the limit. Clause: C13, E14
 */
static void test_core_work_limits__a_dead_host__is_noticed_by_the_probe(void **state)
{
    const struct rdmig_conn_config config = {.capability_flags = PIN_ALL,
                                             .probe_interval_ns = 5 * SECOND};
    struct bench *bench = source_awaiting_blocks(4 * TIB, &config);

    (void)state;
    bench->automatic = 0;
    for (uint32_t i = 0; i < 30; i++) { /* it lives, and works */
        bench_pass(bench, 5 * SECOND);
        assert_int_equal(bench->action_counts[RDMIG_ACTION_POST_PROBE], i + 1);
        bench_feed(bench, (struct rdmig_event){.kind = RDMIG_EVENT_COMPLETED,
                                               .tag = bench->last[RDMIG_ACTION_POST_PROBE].tag});
    }
    assert_null(rdmig_conn_failure(bench->conn));
    bench_pass(bench, 5 * SECOND);
    bench_feed(bench, (struct rdmig_event){.kind = RDMIG_EVENT_COMPLETED,
                                           .tag = bench->last[RDMIG_ACTION_POST_PROBE].tag,
                                           .status = RDMIG_STATUS_ERROR,
                                           .os_code = 12});
    bench_expect_failure(bench, RDMIG_REASON_SEND_FAILED);
    bench_close(bench);
}

/* ---- the destination */

/* The source pins its side, and with everything registered a round is nothing but RDMA Writes: a
 * destination hears none of it. Clause: E5, E14 */
static void test_core_work_limits__idle__grows_when_the_blocks_are_known(void **state)
{
    static const uint32_t flags[] = {0, PIN_ALL, PIPELINE};

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        const struct rdmig_conn_config config = {.capability_flags = flags[i],
                                                 .idle_timeout_ns = 10 * SECOND};
        struct bench *bench = destination_at(DESTINATION_IS_AWAITING, &config);

        assert_int_equal(left_ns(bench), 10 * SECOND); /* nobody has anything to do yet */
        provide_one(bench, DESTINATION_HOST0, 4 * TIB);
        bench_receive_plain(bench, RDMIG_MESSAGE_RAM_BLOCKS_REQUEST);
        assert_int_equal(left_ns(bench), limit_ns(4 * TIB) - 50 * SECOND);
        bench_pass(bench, left_ns(bench) - 1);
        assert_null(rdmig_conn_failure(bench->conn));
        bench_pass(bench, 1);
        bench_expect_failure(bench, RDMIG_REASON_PEER_SILENT);
        bench_close(bench);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_core_work_limits__zeros__by_their_length),
        cmocka_unit_test(test_core_work_limits__a_registration__by_the_length_of_its_runs),
        cmocka_unit_test(test_core_work_limits__letting_go__by_the_length_of_the_region),
        cmocka_unit_test(test_core_work_limits__the_end_of_a_round__by_all_memory),
        cmocka_unit_test(test_core_work_limits__of_several_outstanding__each_has_its_own),
        cmocka_unit_test(test_core_work_limits__several_entries__count_together),
        cmocka_unit_test(test_core_work_limits__a_qemu_that_loads__is_not_left_early),
        cmocka_unit_test(test_core_work_limits__a_dead_host__is_noticed_by_the_probe),
        cmocka_unit_test(test_core_work_limits__idle__grows_when_the_blocks_are_known),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
