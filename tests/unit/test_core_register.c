/* SPDX-License-Identifier: BSD-2-Clause */
/* Dynamic registration at the source: runs, batches, and answers right and wrong. */
#include "support/drive.h"
#include "support/peer.h"

#include <string.h>

/* Clause: R2, R3, R9, R10, B3 */
static void
test_core_register__one_page__asks_for_its_chunk_and_registers_ours_meanwhile(void **state)
{
    struct bench *bench = source_at(SOURCE_IS_EXCHANGED, NULL);

    (void)state;
    bench->automatic = AUTO_SEND;
    source_push(bench, 0, MIB + 8192, 4096);
    EXPECT(bench, "> RANGE_PUSHED block=0 offset=1056768 length=4096\n"
                  "< POST_SEND s1 REGISTER_REQUEST x1 [key=0x40100000 block=0 chunks=0]\n"
                  "< REGISTER o1 block=0 offset=1048576 length=1048576 region=1\n");
    source_receive_result(bench, 0, 0xaa);
    EXPECT(bench, "> RECEIVED r0 REGISTER_RESULT x1 [rkey=0xaa host=0x700000000]\n");
    COMPLETE(bench, "o1", OK);
    EXPECT(bench, "> COMPLETED o1 OK\n"
                  "< POST_WRITE w1 block=0 offset=1056768 length=4096 region=1 remote=0x700102000 "
                  "rkey=0xaa signalled\n");
    assert_int_equal(bench_counters(bench).registrations, 1);
    bench_close(bench);
}

/* Clause: R10 */
static void test_core_register__our_half_first__waits_for_the_other(void **state)
{
    struct bench *bench = source_at(SOURCE_IS_EXCHANGED, NULL);

    (void)state;
    bench->automatic = AUTO_SEND;
    source_push(bench, 1, 0, 4096);
    COMPLETE(bench, "o1", OK);
    EXPECT(bench, "> RANGE_PUSHED block=1 offset=0 length=4096\n"
                  "< POST_SEND s1 REGISTER_REQUEST x1 [key=0x0 block=1 chunks=0]\n"
                  "< REGISTER o1 block=1 offset=0 length=1048576 region=4\n"
                  "> COMPLETED o1 OK\n");
    source_receive_result(bench, 1, 0xaa);
    EXPECT(bench, "> RECEIVED r0 REGISTER_RESULT x1 [rkey=0xaa host=0x600000000]\n"
                  "< POST_WRITE w1 block=1 offset=0 length=4096 region=4 remote=0x600000000 "
                  "rkey=0xaa signalled\n");
    bench_close(bench);
}

/* Clause: C14 */
static void test_core_register__before_the_next_command__little_is_in_flight(void **state)
{
    struct bench *bench =
        source_at(SOURCE_IS_EXCHANGED, &(struct rdmig_conn_config){.write_bytes_max = 4096,
                                                                   .flight_bytes_max = 32 * 4096,
                                                                   .run_chunk_count = 1});

    (void)state;
    bench->automatic = AUTO_SEND | AUTO_OPERATION;
    source_push(bench, 1, MIB - 3 * 4096, 4 * 4096);
    source_receive_result(bench, 1, 0xa0);
    EXPECT(bench, "> RANGE_PUSHED block=1 offset=1036288 length=16384\n"
                  "< POST_SEND s1 REGISTER_REQUEST x1 [key=0x0 block=1 chunks=0]\n"
                  "< REGISTER o1 block=1 offset=0 length=1048576 region=4\n"
                  "> RECEIVED r0 REGISTER_RESULT x1 [rkey=0xa0 host=0x600000000]\n"
                  "< POST_WRITE w1 block=1 offset=1036288 length=4096 region=4 remote=0x6000fd000 "
                  "rkey=0xa0 signalled\n");
    bench_receive_ready(bench);
    EXPECT(bench, "> RECEIVED r1 READY x1\n"
                  "< POST_SEND s2 REGISTER_REQUEST x1 [key=0x100000 block=1 chunks=0]\n"
                  "< POST_WRITE w2 block=1 offset=1040384 length=4096 region=4 remote=0x6000fe000 "
                  "rkey=0xa0\n"
                  "< POST_WRITE w3 block=1 offset=1044480 length=4096 region=4 remote=0x6000ff000 "
                  "rkey=0xa0 signalled\n"
                  "< REGISTER o2 block=1 offset=1048576 length=1048576 region=5\n");
    bench_close(bench);
}

/* Clause: R10 */
static void test_core_register__writes_of_earlier_runs_go_on_meanwhile(void **state)
{
    struct bench *bench =
        source_at(SOURCE_IS_EXCHANGED,
                  &(struct rdmig_conn_config){.run_chunk_count = 1, .flight_bytes_max = 64 * MIB});

    (void)state;
    bench->automatic = AUTO_SEND | AUTO_OPERATION;
    source_push(bench, 1, 0, 2 * MIB);
    source_receive_result(bench, 1, 0xa0);
    bench_receive_ready(bench);
    /* The second chunk's request goes out beside the first one's write. */
    EXPECT(bench, "> RANGE_PUSHED block=1 offset=0 length=2097152\n"
                  "< POST_SEND s1 REGISTER_REQUEST x1 [key=0x0 block=1 chunks=0]\n"
                  "< REGISTER o1 block=1 offset=0 length=1048576 region=4\n"
                  "> RECEIVED r0 REGISTER_RESULT x1 [rkey=0xa0 host=0x600000000]\n"
                  "< POST_WRITE w1 block=1 offset=0 length=1048576 region=4 remote=0x600000000 "
                  "rkey=0xa0 signalled\n"
                  "> RECEIVED r1 READY x1\n"
                  "< POST_SEND s2 REGISTER_REQUEST x1 [key=0x100000 block=1 chunks=0]\n"
                  "< REGISTER o2 block=1 offset=1048576 length=1048576 region=5\n");
    source_receive_result(bench, 1, 0xa1);
    EXPECT(bench, "> RECEIVED r2 REGISTER_RESULT x1 [rkey=0xa1 host=0x600000000]\n"
                  "< POST_WRITE w2 block=1 offset=1048576 length=1048576 region=5 "
                  "remote=0x600100000 rkey=0xa1 signalled\n");
    bench_close(bench);
}

/* Clause: R1, R3 */
static void test_core_register__run__is_cut_at_the_block_end_and_at_the_run_length(void **state)
{
    struct bench *bench =
        source_at(SOURCE_IS_EXCHANGED, &(struct rdmig_conn_config){.run_chunk_count = 3});

    (void)state;
    source_push(bench, 0, 0, BLOCK0_BYTES);
    source_receive_result(bench, 0, 0xa0);
    bench_receive_ready(bench);
    source_receive_result(bench, 0, 0xa3);
    EXPECT(bench, "> RANGE_PUSHED block=0 offset=0 length=3149824\n"
                  "< POST_SEND s1 REGISTER_REQUEST x1 [key=0x40000000 block=0 chunks=2]\n"
                  "< REGISTER o1 block=0 offset=0 length=3145728 region=0\n"
                  "> RECEIVED r0 REGISTER_RESULT x1 [rkey=0xa0 host=0x700000000]\n"
                  "< POST_WRITE w1 block=0 offset=0 length=3145728 region=0 remote=0x700000000 "
                  "rkey=0xa0 signalled\n"
                  "> RECEIVED r1 READY x1\n"
                  "< POST_SEND s2 REGISTER_REQUEST x1 [key=0x40300000 block=0 chunks=0]\n"
                  "< REGISTER o2 block=0 offset=3145728 length=4096 region=3\n"
                  "> RECEIVED r2 REGISTER_RESULT x1 [rkey=0xa3 host=0x700000000]\n"
                  "< POST_WRITE w2 block=0 offset=3145728 length=4096 region=3 remote=0x700300000 "
                  "rkey=0xa3 signalled\n");
    bench_close(bench);
}

/* Clause: R3 */
static void test_core_register__run__reaches_as_far_as_the_caller_allows(void **state)
{
    struct bench *bench = source_at(SOURCE_IS_EXCHANGED, NULL);

    (void)state;
    source_push_until(bench, 0, MIB + 4096, 4096, 3 * MIB);
    source_receive_result(bench, 0, 0xa1);
    bench_receive_ready(bench);
    /* The next range is in the same run; the chunk after it is not. */
    source_push(bench, 0, 2 * MIB, 4096);
    source_push(bench, 0, 3 * MIB, 4096);
    EXPECT(bench, "> RANGE_PUSHED block=0 offset=1052672 length=4096 register_end=3145728\n"
                  "< POST_SEND s1 REGISTER_REQUEST x1 [key=0x40100000 block=0 chunks=1]\n"
                  "< REGISTER o1 block=0 offset=1048576 length=2097152 region=1\n"
                  "> RECEIVED r0 REGISTER_RESULT x1 [rkey=0xa1 host=0x700000000]\n"
                  "< POST_WRITE w1 block=0 offset=1052672 length=4096 region=1 remote=0x700101000 "
                  "rkey=0xa1 signalled\n"
                  "> RECEIVED r1 READY x1\n"
                  "> RANGE_PUSHED block=0 offset=2097152 length=4096\n"
                  "< POST_WRITE w2 block=0 offset=2097152 length=4096 region=1 remote=0x700200000 "
                  "rkey=0xa1 signalled\n"
                  "> RANGE_PUSHED block=0 offset=3145728 length=4096\n"
                  "< POST_SEND s2 REGISTER_REQUEST x1 [key=0x40300000 block=0 chunks=0]\n"
                  "< REGISTER o2 block=0 offset=3145728 length=4096 region=3\n");
    bench_close(bench);
}

/* Clause: R3 */
static void test_core_register__run__ends_before_a_registered_chunk(void **state)
{
    struct bench *bench =
        source_at(SOURCE_IS_EXCHANGED, &(struct rdmig_conn_config){.flight_bytes_max = 64 * MIB});

    (void)state;
    source_push(bench, 0, MIB, 4096);
    source_receive_result(bench, 0, 0xa1);
    bench_receive_ready(bench);
    bench_begin(bench);
    source_push(bench, 0, 0, 3 * MIB);
    source_receive_result(bench, 0, 0xa0);
    bench_receive_ready(bench);
    source_receive_result(bench, 0, 0xa2);
    EXPECT(bench,
           "> RANGE_PUSHED block=0 offset=0 length=3145728\n"
           "< POST_SEND s1 REGISTER_REQUEST x1 [key=0x40000000 block=0 chunks=0]\n"
           "< REGISTER o1 block=0 offset=0 length=1048576 region=0\n"
           "> RECEIVED r2 REGISTER_RESULT x1 [rkey=0xa0 host=0x700000000]\n"
           "< POST_WRITE w1 block=0 offset=0 length=1048576 region=0 remote=0x700000000 rkey=0xa0\n"
           "< POST_WRITE w2 block=0 offset=1048576 length=1048576 region=1 remote=0x700100000 "
           "rkey=0xa1 signalled\n"
           "> RECEIVED r0 READY x1\n"
           "< POST_SEND s2 REGISTER_REQUEST x1 [key=0x40200000 block=0 chunks=0]\n"
           "< REGISTER o2 block=0 offset=2097152 length=1048576 region=2\n"
           "> RECEIVED r1 REGISTER_RESULT x1 [rkey=0xa2 host=0x700000000]\n"
           "< POST_WRITE w3 block=0 offset=2097152 length=1048576 region=2 remote=0x700200000 "
           "rkey=0xa2 signalled\n");
    bench_close(bench);
}

/* Clause: R3 */
static void test_core_register__range_over_registered_chunks__asks_for_nothing(void **state)
{
    struct bench *bench = source_at(SOURCE_IS_EXCHANGED, NULL);

    (void)state;
    source_push(bench, 1, 0, 2 * MIB);
    source_receive_result(bench, 1, 0xa0);
    bench_receive_ready(bench);
    bench_begin(bench);
    source_push(bench, 1, 4096, MIB);
    EXPECT(bench, "> RANGE_PUSHED block=1 offset=4096 length=1048576\n"
                  "< POST_WRITE w1 block=1 offset=4096 length=1048576 region=4 remote=0x600001000 "
                  "rkey=0xa0 signalled\n");
    assert_int_equal(bench_counters(bench).registrations, 1);
    bench_close(bench);
}

/* The largest so far is doubled, whatever came between. Clause: R3 */
static void test_core_register__first_run__is_small_and_the_next_may_be_twice_as_large(void **state)
{
    static const uint64_t one_block[1] = {200 * MIB};
    static const struct {
        uint32_t first_run_chunk_count;
        uint32_t run_chunk_count;
        uint32_t extra_chunk_counts[8];
    } cases[] = {
        {4, 64, {3, 7, 15, 31, 63, 63, 11}}, /* 4, 8, 16, 32, 64, 64 and the 12 left */
        {3, 10, {2, 5, 9, 9, 9, 9, 9, 9}},
        {5, 2, {1, 1, 1, 1, 1, 1, 1, 1}},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct rdmig_conn_config config = {.run_chunk_count = cases[i].run_chunk_count,
                                                 .first_run_chunk_count =
                                                     cases[i].first_run_chunk_count};
        struct bench *bench = peer_source(&config, 0, one_block, 1);

        bench->is_quiet = true;
        source_push(bench, 0, 0, 200 * MIB);
        for (size_t k = 0; k < 8 && cases[i].extra_chunk_counts[k] > 0; k++) {
            assert_int_equal(bench_u32_of_sent(bench, 16 + 20), cases[i].extra_chunk_counts[k]);
            peer_serve_one(bench);
        }
        bench_close(bench);
    }
}

/* Clause: R4 */
static void test_core_register__batch__is_filled_from_several_ranges_up_to_a_zero_one(void **state)
{
    struct bench *bench =
        source_at(SOURCE_IS_CREDITED, &(struct rdmig_conn_config){.run_chunk_count = 1,
                                                                  .register_batch_count = 64,
                                                                  .flight_bytes_max = 128 * MIB});

    (void)state;
    FEED(bench, EXCHANGE_REQUESTED);
    source_receive_blocks(bench);
    bench_begin(bench);
    /* Without a credit nothing is asked for; the ranges pile up. */
    source_push(bench, 0, 0, 2 * MIB);
    source_push(bench, 1, MIB, 4096);
    source_push_zero(bench, 1, 0, 4096);
    source_push(bench, 0, 2 * MIB, 4096);
    bench_receive_ready(bench);
    EXPECT(bench, "> RANGE_PUSHED block=0 offset=0 length=2097152\n"
                  "> RANGE_PUSHED block=1 offset=1048576 length=4096\n"
                  "> RANGE_PUSHED block=1 offset=0 length=4096 zero\n"
                  "> RANGE_PUSHED block=0 offset=2097152 length=4096\n"
                  "> RECEIVED r2 READY x1\n"
                  "< POST_SEND s1 REGISTER_REQUEST x3 [key=0x40000000 block=0 chunks=0] "
                  "[key=0x40100000 block=0 chunks=0] [key=0x100000 block=1 chunks=0]\n"
                  "< REGISTER o1 block=0 offset=0 length=1048576 region=0\n"
                  "< REGISTER o2 block=0 offset=1048576 length=1048576 region=1\n"
                  "< REGISTER o3 block=1 offset=1048576 length=1048576 region=5\n");
    message_begin(bench->message, RDMIG_MESSAGE_REGISTER_RESULT, 3);
    message_result(bench->message, 0xa0, DESTINATION_HOST0);
    message_result(bench->message, 0xa1, DESTINATION_HOST0);
    message_result(bench->message, 0xa2, DESTINATION_HOST1);
    bench_receive(bench, bench->message);
    EXPECT(bench,
           "> RECEIVED r0 REGISTER_RESULT x3 [rkey=0xa0 host=0x700000000] [rkey=0xa1 "
           "host=0x700000000] [rkey=0xa2 host=0x600000000]\n"
           "< POST_WRITE w1 block=0 offset=0 length=1048576 region=0 remote=0x700000000 rkey=0xa0\n"
           "< POST_WRITE w2 block=0 offset=1048576 length=1048576 region=1 remote=0x700100000 "
           "rkey=0xa1\n"
           "< POST_WRITE w3 block=1 offset=1048576 length=4096 region=5 remote=0x600100000 "
           "rkey=0xa2 signalled\n");
    bench_receive_ready(bench);
    EXPECT(bench, "> RECEIVED r1 READY x1\n"
                  "< POST_SEND s2 COMPRESS x1 [value=0 block=1 offset=0x0 length=0x1000]\n");
    bench_receive_ready(bench);
    EXPECT(bench, "> RECEIVED r2 READY x1\n"
                  "< POST_SEND s3 REGISTER_REQUEST x1 [key=0x40200000 block=0 chunks=0]\n"
                  "< REGISTER o4 block=0 offset=2097152 length=1048576 region=2\n");
    bench_close(bench);
}

static struct bench *ask_for_three(void)
{
    struct bench *bench =
        source_at(SOURCE_IS_EXCHANGED,
                  &(struct rdmig_conn_config){.run_chunk_count = 1, .register_batch_count = 64});

    source_push(bench, 0, 0, 3 * MIB);
    return bench;
}

/* Clause: R5 */
static void test_core_register__short_answer__uses_the_first_and_asks_one_at_a_time(void **state)
{
    struct bench *bench = ask_for_three();

    (void)state;
    message_begin(bench->message, RDMIG_MESSAGE_REGISTER_RESULT, 3);
    message_result(bench->message, 0xa0, DESTINATION_HOST0);
    bench_receive(bench, bench->message);
    bench_receive_ready(bench);
    source_receive_result(bench, 0, 0xa1);
    bench_receive_ready(bench);
    source_receive_result(bench, 0, 0xa2);
    EXPECT(bench, "> RANGE_PUSHED block=0 offset=0 length=3145728\n"
                  "< POST_SEND s1 REGISTER_REQUEST x3 [key=0x40000000 block=0 chunks=0] "
                  "[key=0x40100000 block=0 chunks=0] [key=0x40200000 block=0 chunks=0]\n"
                  "< REGISTER o1 block=0 offset=0 length=1048576 region=0\n"
                  "< REGISTER o2 block=0 offset=1048576 length=1048576 region=1\n"
                  "< REGISTER o3 block=0 offset=2097152 length=1048576 region=2\n"
                  "> RECEIVED r0 REGISTER_RESULT x3 [rkey=0xa0 host=0x700000000]\n"
                  "< POST_WRITE w1 block=0 offset=0 length=1048576 region=0 remote=0x700000000 "
                  "rkey=0xa0 signalled\n"
                  "> RECEIVED r1 READY x1\n"
                  "< POST_SEND s2 REGISTER_REQUEST x1 [key=0x40100000 block=0 chunks=0]\n"
                  "> RECEIVED r2 REGISTER_RESULT x1 [rkey=0xa1 host=0x700000000]\n"
                  "< POST_WRITE w2 block=0 offset=1048576 length=1048576 region=1 "
                  "remote=0x700100000 rkey=0xa1 signalled\n"
                  "> RECEIVED r0 READY x1\n"
                  "< POST_SEND s3 REGISTER_REQUEST x1 [key=0x40200000 block=0 chunks=0]\n"
                  "> RECEIVED r1 REGISTER_RESULT x1 [rkey=0xa2 host=0x700000000]\n"
                  "< POST_WRITE w3 block=0 offset=2097152 length=1048576 region=2 "
                  "remote=0x700200000 rkey=0xa2 signalled\n");
    /* And from now on. */
    bench_receive_ready(bench);
    bench_begin(bench);
    source_push(bench, 1, 0, 2 * MIB);
    EXPECT(bench, "> RANGE_PUSHED block=1 offset=0 length=2097152\n"
                  "< POST_SEND s1 REGISTER_REQUEST x1 [key=0x0 block=1 chunks=0]\n"
                  "< REGISTER o1 block=1 offset=0 length=1048576 region=4\n");
    bench_close(bench);
}

/* Clause: R5 */
static void
test_core_register__short_answer_with_our_halves_late__writes_when_both_are_there(void **state)
{
    struct bench *bench =
        source_at(SOURCE_IS_EXCHANGED,
                  &(struct rdmig_conn_config){.run_chunk_count = 1, .register_batch_count = 64});

    (void)state;
    bench->automatic = AUTO_SEND | AUTO_WRITE;
    source_push(bench, 1, 0, 2 * MIB);
    message_begin(bench->message, RDMIG_MESSAGE_REGISTER_RESULT, 2);
    message_result(bench->message, 0xa0, DESTINATION_HOST1);
    bench_receive(bench, bench->message);
    EXPECT(bench, "> RANGE_PUSHED block=1 offset=0 length=2097152\n"
                  "< POST_SEND s1 REGISTER_REQUEST x2 [key=0x0 block=1 chunks=0] [key=0x100000 "
                  "block=1 chunks=0]\n"
                  "< REGISTER o1 block=1 offset=0 length=1048576 region=4\n"
                  "< REGISTER o2 block=1 offset=1048576 length=1048576 region=5\n"
                  "> RECEIVED r0 REGISTER_RESULT x2 [rkey=0xa0 host=0x600000000]\n");
    COMPLETE(bench, "o2", OK);
    COMPLETE(bench, "o1", OK);
    EXPECT(bench, "> COMPLETED o2 OK\n"
                  "> COMPLETED o1 OK\n"
                  "< POST_WRITE w1 block=1 offset=0 length=1048576 region=4 remote=0x600000000 "
                  "rkey=0xa0 signalled\n");
    bench_receive_ready(bench);
    source_receive_result(bench, 1, 0xa1);
    EXPECT(bench, "> RECEIVED r1 READY x1\n"
                  "< POST_SEND s2 REGISTER_REQUEST x1 [key=0x100000 block=1 chunks=0]\n"
                  "> RECEIVED r2 REGISTER_RESULT x1 [rkey=0xa1 host=0x600000000]\n"
                  "< POST_WRITE w2 block=1 offset=1048576 length=1048576 region=5 "
                  "remote=0x600100000 rkey=0xa1 signalled\n");
    bench_close(bench);
}

/* Clause: R5, R11 */
static void test_core_register__wrong_answers__are_failures(void **state)
{
    static const struct {
        uint32_t repeat;
        uint32_t entry_count;
        uint64_t host_addr;
        enum rdmig_reason reason;
        uint64_t expected;
        uint64_t actual;
    } cases[] = {
        {3, 2, DESTINATION_HOST0, RDMIG_REASON_MESSAGE_REPEAT, 3, 2},
        {3, 4, DESTINATION_HOST0, RDMIG_REASON_MESSAGE_REPEAT, 3, 4},
        {1, 1, DESTINATION_HOST0, RDMIG_REASON_MESSAGE_REPEAT, 3, 1},
        {2, 3, DESTINATION_HOST0, RDMIG_REASON_MESSAGE_REPEAT, 3, 2},
        {0, 3, DESTINATION_HOST0, RDMIG_REASON_MESSAGE_REPEAT, 3, 0},
        {0, 1, DESTINATION_HOST0, RDMIG_REASON_MESSAGE_REPEAT, 3, 1},
        {3, 3, DESTINATION_HOST0 + 4096, RDMIG_REASON_HOST_ADDR, DESTINATION_HOST0,
         DESTINATION_HOST0 + 4096},
        {3, 1, DESTINATION_HOST1, RDMIG_REASON_HOST_ADDR, DESTINATION_HOST0, DESTINATION_HOST1},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct bench *bench = ask_for_three();

        message_begin(bench->message, RDMIG_MESSAGE_REGISTER_RESULT, cases[i].repeat);
        for (uint32_t k = 0; k < cases[i].entry_count; k++)
            message_result(bench->message, 0xa0 + k, cases[i].host_addr);
        bench_receive(bench, bench->message);
        bench_expect_failure(bench, cases[i].reason);
        assert_int_equal(rdmig_conn_failure(bench->conn)->expected, cases[i].expected);
        assert_int_equal(rdmig_conn_failure(bench->conn)->actual, cases[i].actual);
        assert_int_equal(rdmig_conn_failure(bench->conn)->message_type,
                         RDMIG_MESSAGE_REGISTER_RESULT);
        assert_int_equal(bench->action_counts[RDMIG_ACTION_POST_WRITE], 0);
        bench_close(bench);
    }
}

/* Clause: W5, R5 */
static void test_core_register__one_result_with_repeat_0__counts(void **state)
{
    struct bench *bench = source_at(SOURCE_AWAITS_RESULT, NULL);

    (void)state;
    message_begin(bench->message, RDMIG_MESSAGE_REGISTER_RESULT, 0);
    message_result(bench->message, 0xa0, DESTINATION_HOST0);
    bench_receive(bench, bench->message);
    EXPECT(bench, "> RECEIVED r0 REGISTER_RESULT x0 [rkey=0xa0 host=0x700000000]\n"
                  "< POST_WRITE w1 block=0 offset=0 length=4096 region=0 remote=0x700000000 "
                  "rkey=0xa0 signalled\n");
    bench_close(bench);
}

/* Clause: R4 */
static void test_core_register__batch__never_exceeds_its_limit(void **state)
{
    const struct rdmig_block source_block = {SOURCE_HOST0, 200 * MIB, 0};
    struct bench *bench =
        source_at(SOURCE_IS_ESTABLISHED,
                  &(struct rdmig_conn_config){.run_chunk_count = 1, .register_batch_count = 64});
    uint32_t rkey = 0;

    (void)state;
    bench_provide(bench, &source_block, 1);
    bench_receive_ready(bench);
    FEED(bench, EXCHANGE_REQUESTED);
    message_begin(bench->message, RDMIG_MESSAGE_RAM_BLOCKS_RESULT, 1);
    message_block(bench->message, DESTINATION_HOST0, 0, 200 * MIB, 0);
    bench_receive(bench, bench->message);
    bench_receive_ready(bench);
    bench_begin(bench);
    bench->is_quiet = true;
    source_push(bench, 0, 0, 200 * MIB);
    for (uint32_t asked = 64; asked > 0; asked = rkey >= 192 ? 200 - rkey : 64) {
        assert_int_equal(bench_u32_of_sent(bench, 8), asked);
        message_begin(bench->message, RDMIG_MESSAGE_REGISTER_RESULT, asked);
        for (uint32_t i = 0; i < asked; i++)
            message_result(bench->message, rkey++, DESTINATION_HOST0);
        bench_receive(bench, bench->message);
        bench_receive_ready(bench);
    }
    assert_int_equal(bench->action_counts[RDMIG_ACTION_REGISTER], 200);
    assert_int_equal(bench->action_counts[RDMIG_ACTION_POST_SEND], 4);
    assert_int_equal(bench->action_counts[RDMIG_ACTION_POST_WRITE], 200);
    assert_int_equal(bench_counters(bench).bytes_written, 200 * MIB);
    assert_int_equal(bench_counters(bench).registrations, 200);
    assert_int_equal(rdmig_conn_bytes_pending(bench->conn), 0);
    bench_close(bench);
}

/* Clause: E11, E3 */
static void test_core_register__our_half_fails__the_peer_is_told(void **state)
{
    struct bench *bench = source_at(SOURCE_IS_EXCHANGED, NULL);

    (void)state;
    bench->automatic = AUTO_SEND;
    source_push(bench, 0, 0, 4096);
    COMPLETE(bench, "o1", ERROR, .os_code = 12);
    /* ERROR needs a credit: the answer and READY have to come first. */
    source_receive_result(bench, 0, 0xa0);
    bench_receive_ready(bench);
    EXPECT(bench, "> RANGE_PUSHED block=0 offset=0 length=4096\n"
                  "< POST_SEND s1 REGISTER_REQUEST x1 [key=0x40000000 block=0 chunks=0]\n"
                  "< REGISTER o1 block=0 offset=0 length=1048576 region=0\n"
                  "> COMPLETED o1 ERROR os_code=12\n"
                  "> RECEIVED r0 REGISTER_RESULT x1 [rkey=0xa0 host=0x700000000]\n"
                  "> RECEIVED r1 READY x1\n"
                  "< POST_SEND s2 ERROR x1\n");
    bench_expect_failure(bench, RDMIG_REASON_REGISTER_FAILED);
    assert_int_equal(rdmig_conn_failure(bench->conn)->os_code, 12);
    bench_close(bench);
}

/* Clause: R2, B3 */
static void test_core_register__addresses__come_from_the_destinations_list(void **state)
{
    struct bench *bench = source_at(SOURCE_IS_CREDITED, NULL);

    (void)state;
    FEED(bench, EXCHANGE_REQUESTED);
    message_begin(bench->message, RDMIG_MESSAGE_RAM_BLOCKS_RESULT, 1);
    message_block(bench->message, UINT64_MAX - BLOCK0_BYTES, UINT64_MAX - BLOCK0_BYTES,
                  BLOCK0_BYTES, 0);
    message_block(bench->message, 0, 0, BLOCK1_BYTES, 0);
    bench_receive(bench, bench->message);
    bench_receive_ready(bench);
    source_push(bench, 0, 3 * MIB, 4096);
    message_begin(bench->message, RDMIG_MESSAGE_REGISTER_RESULT, 1);
    message_result(bench->message, 0xa0, UINT64_MAX - BLOCK0_BYTES);
    bench_begin(bench);
    bench_receive(bench, bench->message);
    EXPECT(bench, "> RECEIVED r0 REGISTER_RESULT x1 [rkey=0xa0 host=0xffffffffffcfefff]\n"
                  "< POST_WRITE w1 block=0 offset=3145728 length=4096 region=3 "
                  "remote=0xffffffffffffefff rkey=0xa0 signalled\n");
    bench_close(bench);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(
            test_core_register__one_page__asks_for_its_chunk_and_registers_ours_meanwhile),
        cmocka_unit_test(test_core_register__our_half_first__waits_for_the_other),
        cmocka_unit_test(test_core_register__before_the_next_command__little_is_in_flight),
        cmocka_unit_test(test_core_register__writes_of_earlier_runs_go_on_meanwhile),
        cmocka_unit_test(test_core_register__run__is_cut_at_the_block_end_and_at_the_run_length),
        cmocka_unit_test(test_core_register__run__reaches_as_far_as_the_caller_allows),
        cmocka_unit_test(test_core_register__run__ends_before_a_registered_chunk),
        cmocka_unit_test(
            test_core_register__first_run__is_small_and_the_next_may_be_twice_as_large),
        cmocka_unit_test(test_core_register__range_over_registered_chunks__asks_for_nothing),
        cmocka_unit_test(test_core_register__batch__is_filled_from_several_ranges_up_to_a_zero_one),
        cmocka_unit_test(test_core_register__short_answer__uses_the_first_and_asks_one_at_a_time),
        cmocka_unit_test(
            test_core_register__short_answer_with_our_halves_late__writes_when_both_are_there),
        cmocka_unit_test(test_core_register__wrong_answers__are_failures),
        cmocka_unit_test(test_core_register__one_result_with_repeat_0__counts),
        cmocka_unit_test(test_core_register__batch__never_exceeds_its_limit),
        cmocka_unit_test(test_core_register__our_half_fails__the_peer_is_told),
        cmocka_unit_test(test_core_register__addresses__come_from_the_destinations_list),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
