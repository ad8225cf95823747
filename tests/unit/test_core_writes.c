/* SPDX-License-Identifier: BSD-2-Clause */
/* RDMA Writes at the source: signalling, overlap, a full queue, the end of a round. */
#include "support/drive.h"

/* A source with all of block 1 registered, credit in hand; nothing is answered by itself but SENDs
 * and operations. */
static struct bench *source_with_region(struct rdmig_conn_config config)
{
    struct bench *bench = source_at(SOURCE_IS_EXCHANGED, &config);

    bench->is_quiet = true;
    source_push_until(bench, 1, 0, 4096, 2 * MIB);
    source_receive_result(bench, 1, 0xab);
    bench_receive_ready(bench);
    assert_int_equal(rdmig_conn_bytes_pending(bench->conn), 0);
    bench->automatic = AUTO_SEND | AUTO_OPERATION;
    bench_begin(bench);
    return bench;
}

/* Clause: C12 */
static void test_core_writes__batch__only_the_last_is_signalled(void **state)
{
    struct bench *bench = source_with_region((struct rdmig_conn_config){.write_bytes_max = 4096});

    (void)state;
    source_push(bench, 1, 8192, 4 * 4096);
    EXPECT(
        bench,
        "> RANGE_PUSHED block=1 offset=8192 length=16384\n"
        "< POST_WRITE w1 block=1 offset=8192 length=4096 region=4 remote=0x600002000 rkey=0xab\n"
        "< POST_WRITE w2 block=1 offset=12288 length=4096 region=4 remote=0x600003000 rkey=0xab\n"
        "< POST_WRITE w3 block=1 offset=16384 length=4096 region=4 remote=0x600004000 rkey=0xab\n"
        "< POST_WRITE w4 block=1 offset=20480 length=4096 region=4 remote=0x600005000 rkey=0xab "
        "signalled\n");
    assert_int_equal(rdmig_conn_bytes_pending(bench->conn), 4 * 4096);
    /* One completion stands for all four. */
    COMPLETE(bench, "w4", OK);
    EXPECT(bench, "> COMPLETED w4 OK\n");
    assert_int_equal(rdmig_conn_bytes_pending(bench->conn), 0);
    assert_int_equal(bench_counters(bench).bytes_written, 5 * 4096);
    assert_int_equal(bench_counters(bench).writes, 5);
    bench_close(bench);
}

/* Clause: C12 */
static void test_core_writes__long_batch__is_signalled_at_the_interval(void **state)
{
    struct bench *bench = source_with_region(
        (struct rdmig_conn_config){.write_bytes_max = 4096, .signal_interval = 3});

    (void)state;
    source_push(bench, 1, 0, 7 * 4096);
    EXPECT(
        bench,
        "> RANGE_PUSHED block=1 offset=0 length=28672\n"
        "< POST_WRITE w1 block=1 offset=0 length=4096 region=4 remote=0x600000000 rkey=0xab\n"
        "< POST_WRITE w2 block=1 offset=4096 length=4096 region=4 remote=0x600001000 rkey=0xab\n"
        "< POST_WRITE w3 block=1 offset=8192 length=4096 region=4 remote=0x600002000 rkey=0xab "
        "signalled\n"
        "< POST_WRITE w4 block=1 offset=12288 length=4096 region=4 remote=0x600003000 rkey=0xab\n"
        "< POST_WRITE w5 block=1 offset=16384 length=4096 region=4 remote=0x600004000 rkey=0xab\n"
        "< POST_WRITE w6 block=1 offset=20480 length=4096 region=4 remote=0x600005000 rkey=0xab "
        "signalled\n"
        "< POST_WRITE w7 block=1 offset=24576 length=4096 region=4 remote=0x600006000 rkey=0xab "
        "signalled\n");
    COMPLETE(bench, "w3", OK);
    assert_int_equal(rdmig_conn_bytes_pending(bench->conn), 4 * 4096);
    COMPLETE(bench, "w6", OK);
    COMPLETE(bench, "w7", OK);
    assert_int_equal(rdmig_conn_bytes_pending(bench->conn), 0);
    bench_close(bench);
}

/* Clause: C12 C14 */
static void test_core_writes__bytes_in_flight__have_a_limit_and_leave_room_in_time(void **state)
{
    struct bench *bench = source_with_region(
        (struct rdmig_conn_config){.write_bytes_max = 4096, .flight_bytes_max = 4 * 8192});

    (void)state;
    source_push(bench, 1, 0, 10 * 4096);
    EXPECT(
        bench,
        "> RANGE_PUSHED block=1 offset=0 length=40960\n"
        "< POST_WRITE w1 block=1 offset=0 length=4096 region=4 remote=0x600000000 rkey=0xab\n"
        "< POST_WRITE w2 block=1 offset=4096 length=4096 region=4 remote=0x600001000 rkey=0xab "
        "signalled\n"
        "< POST_WRITE w3 block=1 offset=8192 length=4096 region=4 remote=0x600002000 rkey=0xab\n"
        "< POST_WRITE w4 block=1 offset=12288 length=4096 region=4 remote=0x600003000 rkey=0xab "
        "signalled\n"
        "< POST_WRITE w5 block=1 offset=16384 length=4096 region=4 remote=0x600004000 rkey=0xab\n"
        "< POST_WRITE w6 block=1 offset=20480 length=4096 region=4 remote=0x600005000 rkey=0xab "
        "signalled\n"
        "< POST_WRITE w7 block=1 offset=24576 length=4096 region=4 remote=0x600006000 rkey=0xab\n"
        "< POST_WRITE w8 block=1 offset=28672 length=4096 region=4 remote=0x600007000 rkey=0xab "
        "signalled\n");
    COMPLETE(bench, "w2", OK);
    EXPECT(
        bench,
        "> COMPLETED w2 OK\n"
        "< POST_WRITE w9 block=1 offset=32768 length=4096 region=4 remote=0x600008000 rkey=0xab\n"
        "< POST_WRITE w10 block=1 offset=36864 length=4096 region=4 remote=0x600009000 rkey=0xab "
        "signalled\n");
    COMPLETE(bench, "w10", OK);
    assert_int_equal(rdmig_conn_bytes_pending(bench->conn), 0);
    bench_close(bench);
}

/* Clause: C14 */
static void test_core_writes__one_write_larger_than_the_limit__goes_alone(void **state)
{
    struct bench *bench = source_with_region(
        (struct rdmig_conn_config){.write_bytes_max = 8192, .flight_bytes_max = 4096});

    (void)state;
    source_push(bench, 1, 0, 2 * 8192);
    EXPECT(bench, "> RANGE_PUSHED block=1 offset=0 length=16384\n"
                  "< POST_WRITE w1 block=1 offset=0 length=8192 region=4 remote=0x600000000 "
                  "rkey=0xab signalled\n");
    COMPLETE(bench, "w1", OK);
    EXPECT(bench, "> COMPLETED w1 OK\n"
                  "< POST_WRITE w2 block=1 offset=8192 length=8192 region=4 remote=0x600002000 "
                  "rkey=0xab signalled\n");
    COMPLETE(bench, "w2", OK);
    bench_close(bench);
}

/* Clause: C12 */
static void test_core_writes__interval_of_one__signals_every_write(void **state)
{
    struct bench *bench = source_with_region(
        (struct rdmig_conn_config){.write_bytes_max = 4096, .signal_interval = 1});

    (void)state;
    source_push(bench, 1, 0, 3 * 4096);
    EXPECT(bench, "> RANGE_PUSHED block=1 offset=0 length=12288\n"
                  "< POST_WRITE w1 block=1 offset=0 length=4096 region=4 remote=0x600000000 "
                  "rkey=0xab signalled\n"
                  "< POST_WRITE w2 block=1 offset=4096 length=4096 region=4 remote=0x600001000 "
                  "rkey=0xab signalled\n"
                  "< POST_WRITE w3 block=1 offset=8192 length=4096 region=4 remote=0x600002000 "
                  "rkey=0xab signalled\n");
    bench_close(bench);
}

/* Clause: C12 */
static void test_core_writes__a_later_send__stands_for_the_writes_before_it(void **state)
{
    struct bench *bench = source_with_region((struct rdmig_conn_config){0});

    (void)state;
    bench->automatic = AUTO_OPERATION;
    source_push(bench, 1, 0, 4096);
    source_push_zero(bench, 0, 0, 4096);
    EXPECT(bench, "> RANGE_PUSHED block=1 offset=0 length=4096\n"
                  "< POST_WRITE w1 block=1 offset=0 length=4096 region=4 remote=0x600000000 "
                  "rkey=0xab signalled\n"
                  "> RANGE_PUSHED block=0 offset=0 length=4096 zero\n"
                  "< POST_SEND s1 COMPRESS x1 [value=0 block=0 offset=0x40000000 length=0x1000]\n");
    COMPLETE(bench, "s1", OK);
    assert_int_equal(rdmig_conn_bytes_pending(bench->conn), 4096); /* the zeros await their READY */
    assert_int_equal(COMPLETE(bench, "w1", OK), -RDMIG_E_INVALID);
    bench_close(bench);
}

/* Clause: C12, E2 */
static void test_core_writes__an_unsignalled_one_fails__names_its_place(void **state)
{
    struct bench *bench = source_with_region((struct rdmig_conn_config){.write_bytes_max = 4096});

    (void)state;
    source_push(bench, 1, MIB, 3 * 4096);
    EXPECT(
        bench,
        "> RANGE_PUSHED block=1 offset=1048576 length=12288\n"
        "< POST_WRITE w1 block=1 offset=1048576 length=4096 region=4 remote=0x600100000 rkey=0xab\n"
        "< POST_WRITE w2 block=1 offset=1052672 length=4096 region=4 remote=0x600101000 rkey=0xab\n"
        "< POST_WRITE w3 block=1 offset=1056768 length=4096 region=4 remote=0x600102000 rkey=0xab "
        "signalled\n");
    COMPLETE(bench, "w2", ERROR, .os_code = 10);
    EXPECT(bench, "> COMPLETED w2 ERROR os_code=10\n"
                  "< DISCONNECT\n");
    bench_expect_failure(bench, RDMIG_REASON_WRITE_FAILED);
    assert_int_equal(rdmig_conn_failure(bench->conn)->block_index, 1);
    assert_int_equal(rdmig_conn_failure(bench->conn)->expected, MIB + 4096);
    assert_int_equal(rdmig_conn_failure(bench->conn)->actual, MIB + 8192);
    assert_int_equal(rdmig_conn_failure(bench->conn)->os_code, 10);
    assert_int_equal(bench_counters(bench).bytes_written, 2 * 4096); /* the one before it arrived */
    COMPLETE(bench, "w3", FLUSHED);
    bench_close(bench);
}

/* Clause: C14 */
static void test_core_writes__full_queue__delays_and_leaves_room_for_a_command(void **state)
{
    struct bench *bench = source_with_region(
        (struct rdmig_conn_config){.write_bytes_max = 4096, .send_queue_depth = 16});

    (void)state;
    bench->automatic = AUTO_OPERATION;
    source_push(bench, 1, 0, 40 * 4096);
    bench_expect_counts(bench, 12, 0);
    /* The last one that fits is signalled: nothing can follow it right away. */
    assert_true(bench->last[RDMIG_ACTION_POST_WRITE].is_signalled);
    source_push_zero(bench, 0, 0, 4096);
    bench_expect_counts(bench, 12, 1);
    COMPLETE(bench, "w12", OK);
    bench_expect_counts(bench, 12 + 11, 1); /* the SEND is out still */
    COMPLETE(bench, "w23", OK);
    bench_expect_counts(bench, 35, 1);
    COMPLETE(bench, "w35", OK);
    bench_expect_counts(bench, 40, 1);
    COMPLETE(bench, "w40", OK);
    assert_int_equal(bench_counters(bench).bytes_written, 41 * 4096);
    bench_close(bench);
}

/* Clause: C15 */
static void test_core_writes__same_page_again__waits_for_the_first(void **state)
{
    struct bench *bench = source_with_region((struct rdmig_conn_config){0});

    (void)state;
    source_push(bench, 1, 4096, 4096);
    source_push(bench, 1, 4096, 4096);
    source_push(bench, 1, 0, 4096); /* keeps its place behind */
    EXPECT(bench, "> RANGE_PUSHED block=1 offset=4096 length=4096\n"
                  "< POST_WRITE w1 block=1 offset=4096 length=4096 region=4 remote=0x600001000 "
                  "rkey=0xab signalled\n"
                  "> RANGE_PUSHED block=1 offset=4096 length=4096\n"
                  "> RANGE_PUSHED block=1 offset=0 length=4096\n");
    COMPLETE(bench, "w1", OK);
    EXPECT(bench,
           "> COMPLETED w1 OK\n"
           "< POST_WRITE w2 block=1 offset=4096 length=4096 region=4 remote=0x600001000 rkey=0xab\n"
           "< POST_WRITE w3 block=1 offset=0 length=4096 region=4 remote=0x600000000 rkey=0xab "
           "signalled\n");
    bench_close(bench);
}

/* Clause: C15 */
static void test_core_writes__overlap_by_one_page__waits(void **state)
{
    struct bench *bench = source_with_region((struct rdmig_conn_config){0});

    (void)state;
    source_push(bench, 1, MIB - 4096, 8192); /* over a chunk's end, in one region */
    source_push(bench, 1, MIB, 8192);
    EXPECT(bench, "> RANGE_PUSHED block=1 offset=1044480 length=8192\n"
                  "< POST_WRITE w1 block=1 offset=1044480 length=8192 region=4 remote=0x6000ff000 "
                  "rkey=0xab signalled\n"
                  "> RANGE_PUSHED block=1 offset=1048576 length=8192\n");
    COMPLETE(bench, "w1", OK);
    EXPECT(bench, "> COMPLETED w1 OK\n"
                  "< POST_WRITE w2 block=1 offset=1048576 length=8192 region=4 remote=0x600100000 "
                  "rkey=0xab signalled\n");
    bench_close(bench);
}

/* Clause: C15 */
static void test_core_writes__other_pages_of_the_chunk__go_at_once(void **state)
{
    struct bench *bench = source_with_region((struct rdmig_conn_config){0});

    (void)state;
    source_push(bench, 1, 0, 4096);
    source_push(bench, 1, 8192, 4096);
    source_push(bench, 1, 4096, 4096);
    EXPECT(bench, "> RANGE_PUSHED block=1 offset=0 length=4096\n"
                  "< POST_WRITE w1 block=1 offset=0 length=4096 region=4 remote=0x600000000 "
                  "rkey=0xab signalled\n"
                  "> RANGE_PUSHED block=1 offset=8192 length=4096\n"
                  "< POST_WRITE w2 block=1 offset=8192 length=4096 region=4 remote=0x600002000 "
                  "rkey=0xab signalled\n"
                  "> RANGE_PUSHED block=1 offset=4096 length=4096\n"
                  "< POST_WRITE w3 block=1 offset=4096 length=4096 region=4 remote=0x600001000 "
                  "rkey=0xab signalled\n");
    bench_close(bench);
}

/* Clause: C10 */
static void test_core_writes__round_end__waits_for_every_completion(void **state)
{
    struct bench *bench = source_with_region((struct rdmig_conn_config){.write_bytes_max = 4096});

    (void)state;
    source_push(bench, 1, 0, 8192);
    FEED(bench, ROUND_CLOSED);
    assert_int_equal(rdmig_conn_range_room_count(bench->conn), 0);
    assert_int_equal(source_push(bench, 1, 0, 4096), -RDMIG_E_STATE);
    assert_int_equal(FEED(bench, ROUND_CLOSED), -RDMIG_E_STATE);
    assert_int_equal(FEED(bench, FINISH_REQUESTED), -RDMIG_E_STATE);
    EXPECT(bench,
           "> RANGE_PUSHED block=1 offset=0 length=8192\n"
           "< POST_WRITE w1 block=1 offset=0 length=4096 region=4 remote=0x600000000 rkey=0xab\n"
           "< POST_WRITE w2 block=1 offset=4096 length=4096 region=4 remote=0x600001000 rkey=0xab "
           "signalled\n"
           "> ROUND_CLOSED\n"
           "> RANGE_PUSHED block=1 offset=0 length=4096 ! STATE\n"
           "> ROUND_CLOSED ! STATE\n"
           "> FINISH_REQUESTED ! STATE\n");
    COMPLETE(bench, "w2", OK);
    EXPECT(bench, "> COMPLETED w2 OK\n"
                  "< POST_SEND s1 REGISTER_FINISHED x1\n"
                  "< NOTIFY_ROUND_ENDED\n");
    assert_int_equal(bench_counters(bench).rounds, 1);
    bench_close(bench);
}

/* Clause: C10, C3 */
static void test_core_writes__round_end__waits_for_a_credit_and_for_zeros(void **state)
{
    struct bench *bench = source_with_region((struct rdmig_conn_config){0});

    (void)state;
    source_push_zero(bench, 0, 0, MIB);
    FEED(bench, ROUND_CLOSED);
    EXPECT(bench, "> RANGE_PUSHED block=0 offset=0 length=1048576 zero\n"
                  "< POST_SEND s1 COMPRESS x1 [value=0 block=0 offset=0x40000000 length=0x100000]\n"
                  "> ROUND_CLOSED\n");
    bench_receive_ready(bench);
    EXPECT(bench, "> RECEIVED r2 READY x1\n"
                  "< POST_SEND s2 REGISTER_FINISHED x1\n"
                  "< NOTIFY_ROUND_ENDED\n");
    bench_close(bench);
}

/* Clause: C10 */
static void test_core_writes__round_without_ranges__is_ended_too(void **state)
{
    struct bench *bench = source_at(SOURCE_IS_EXCHANGED, NULL);

    (void)state;
    FEED(bench, ROUND_CLOSED);
    EXPECT(bench, "> ROUND_CLOSED\n"
                  "< POST_SEND s1 REGISTER_FINISHED x1\n"
                  "< NOTIFY_ROUND_ENDED\n");
    bench_close(bench);
}

/* Clause: C10 */
static void test_core_writes__the_next_round__is_not_written_before_ready(void **state)
{
    struct bench *bench = source_with_region((struct rdmig_conn_config){0});

    (void)state;
    FEED(bench, ROUND_CLOSED);
    source_push(bench, 1, 0, 4096);
    EXPECT(bench, "> ROUND_CLOSED\n"
                  "< POST_SEND s1 REGISTER_FINISHED x1\n"
                  "< NOTIFY_ROUND_ENDED\n"
                  "> RANGE_PUSHED block=1 offset=0 length=4096\n");
    bench_receive_ready(bench);
    EXPECT(bench, "> RECEIVED r2 READY x1\n"
                  "< POST_WRITE w1 block=1 offset=0 length=4096 region=4 remote=0x600000000 "
                  "rkey=0xab signalled\n");
    bench_close(bench);
}

/* Clause: C10, R10 */
static void test_core_writes__round_end__waits_for_runs_nobody_writes_to(void **state)
{
    struct bench *bench =
        source_at(SOURCE_IS_EXCHANGED, &(struct rdmig_conn_config){.run_chunk_count = 1});

    (void)state;
    bench->automatic = AUTO_SEND | AUTO_WRITE;
    source_push(bench, 1, 0, 4096);
    FEED(bench, ROUND_CLOSED);
    source_receive_result(bench, 1, 0xa0);
    bench_receive_ready(bench);
    EXPECT(bench, "> RANGE_PUSHED block=1 offset=0 length=4096\n"
                  "< POST_SEND s1 REGISTER_REQUEST x1 [key=0x0 block=1 chunks=0]\n"
                  "< REGISTER o1 block=1 offset=0 length=1048576 region=4\n"
                  "> ROUND_CLOSED\n"
                  "> RECEIVED r0 REGISTER_RESULT x1 [rkey=0xa0 host=0x600000000]\n"
                  "> RECEIVED r1 READY x1\n");
    COMPLETE(bench, "o1", OK);
    EXPECT(bench, "> COMPLETED o1 OK\n"
                  "< POST_WRITE w1 block=1 offset=0 length=4096 region=4 remote=0x600000000 "
                  "rkey=0xa0 signalled\n"
                  "< POST_SEND s2 REGISTER_FINISHED x1\n"
                  "< NOTIFY_ROUND_ENDED\n");
    bench_close(bench);
}

/* Clause: E1, B5 */
static void test_core_writes__ranges_outside_their_block__are_refused(void **state)
{
    static const struct rdmig_event wrong[] = {
        {.block_index = 2, .length = 4096},
        {.block_index = UINT32_MAX, .length = 4096},
        {.block_index = 0, .length = 0},
        {.block_index = 0, .offset_bytes = BLOCK0_BYTES, .length = 1},
        {.block_index = 0, .offset_bytes = 1, .length = BLOCK0_BYTES},
        {.block_index = 0, .offset_bytes = UINT64_MAX, .length = 2},
        {.block_index = 0, .offset_bytes = 4096, .length = UINT64_MAX},
        {.block_index = 0, .length = 4096, .register_end_bytes = BLOCK0_BYTES + 1},
        {.block_index = 0, .length = 4096, .register_end_bytes = UINT64_MAX},
    };
    struct bench *bench = source_at(SOURCE_IS_EXCHANGED, NULL);

    (void)state;
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct rdmig_event event = wrong[i];

        event.kind = RDMIG_EVENT_RANGE_PUSHED;
        assert_int_equal(bench_feed(bench, event), -RDMIG_E_INVALID);
    }
    assert_int_equal(source_push(bench, 0, 0, BLOCK0_BYTES), RDMIG_OK);
    bench_close(bench);
}

/* Clause: E1 */
static void test_core_writes__range_queue__takes_64_and_then_says_again(void **state)
{
    struct bench *bench = source_at(SOURCE_IS_EXCHANGED, NULL);

    (void)state;
    bench->is_quiet = true;
    for (uint32_t i = 0; i < 64; i++) {
        assert_int_equal(rdmig_conn_range_room_count(bench->conn), 64 - i);
        assert_int_equal(source_push(bench, 0, i * 4096, 4096), RDMIG_OK);
    }
    assert_int_equal(rdmig_conn_range_room_count(bench->conn), 0);
    assert_int_equal(source_push(bench, 0, 0, 4096), -RDMIG_E_AGAIN);
    assert_int_equal(rdmig_conn_bytes_pending(bench->conn), 64 * 4096);
    source_receive_result(bench, 0, 0xa0);
    assert_int_equal(rdmig_conn_range_room_count(bench->conn), 64);
    assert_int_equal(rdmig_conn_bytes_pending(bench->conn), 0);
    bench_close(bench);
}

/* Clause: C14 */
static void test_core_writes__large_write__is_cut_at_the_configured_size(void **state)
{
    struct bench *bench =
        source_with_region((struct rdmig_conn_config){.write_bytes_max = MIB + 512});

    (void)state;
    source_push(bench, 1, 0, 2 * MIB);
    EXPECT(bench,
           "> RANGE_PUSHED block=1 offset=0 length=2097152\n"
           "< POST_WRITE w1 block=1 offset=0 length=1049088 region=4 remote=0x600000000 rkey=0xab\n"
           "< POST_WRITE w2 block=1 offset=1049088 length=1048064 region=4 remote=0x600100200 "
           "rkey=0xab signalled\n");
    bench_close(bench);
}

/* Clause: C15 */
static void test_core_writes__a_blocked_write__leaves_no_trace_in_other_actions(void **state)
{
    struct bench *bench = source_with_region((struct rdmig_conn_config){0});

    (void)state;
    source_push(bench, 1, 0, 4096);
    source_push(bench, 1, 0, 4096); /* blocked by the first */
    source_push(bench, 0, 0, 4096); /* asks for a region meanwhile */
    assert_int_equal(bench->last[RDMIG_ACTION_REGISTER].rkey, 0);
    assert_int_equal(bench->last[RDMIG_ACTION_REGISTER].remote_addr, 0);
    EXPECT(bench, "> RANGE_PUSHED block=1 offset=0 length=4096\n"
                  "< POST_WRITE w1 block=1 offset=0 length=4096 region=4 remote=0x600000000 "
                  "rkey=0xab signalled\n"
                  "> RANGE_PUSHED block=1 offset=0 length=4096\n"
                  "> RANGE_PUSHED block=0 offset=0 length=4096\n"
                  "< POST_SEND s1 REGISTER_REQUEST x1 [key=0x40000000 block=0 chunks=0]\n"
                  "< REGISTER o1 block=0 offset=0 length=1048576 region=0\n");
    bench_close(bench);
}
int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_core_writes__batch__only_the_last_is_signalled),
        cmocka_unit_test(test_core_writes__long_batch__is_signalled_at_the_interval),
        cmocka_unit_test(test_core_writes__bytes_in_flight__have_a_limit_and_leave_room_in_time),
        cmocka_unit_test(test_core_writes__one_write_larger_than_the_limit__goes_alone),
        cmocka_unit_test(test_core_writes__interval_of_one__signals_every_write),
        cmocka_unit_test(test_core_writes__a_later_send__stands_for_the_writes_before_it),
        cmocka_unit_test(test_core_writes__an_unsignalled_one_fails__names_its_place),
        cmocka_unit_test(test_core_writes__full_queue__delays_and_leaves_room_for_a_command),
        cmocka_unit_test(test_core_writes__same_page_again__waits_for_the_first),
        cmocka_unit_test(test_core_writes__overlap_by_one_page__waits),
        cmocka_unit_test(test_core_writes__other_pages_of_the_chunk__go_at_once),
        cmocka_unit_test(test_core_writes__round_end__waits_for_every_completion),
        cmocka_unit_test(test_core_writes__round_end__waits_for_a_credit_and_for_zeros),
        cmocka_unit_test(test_core_writes__round_without_ranges__is_ended_too),
        cmocka_unit_test(test_core_writes__the_next_round__is_not_written_before_ready),
        cmocka_unit_test(test_core_writes__round_end__waits_for_runs_nobody_writes_to),
        cmocka_unit_test(test_core_writes__ranges_outside_their_block__are_refused),
        cmocka_unit_test(test_core_writes__range_queue__takes_64_and_then_says_again),
        cmocka_unit_test(test_core_writes__large_write__is_cut_at_the_configured_size),
        cmocka_unit_test(test_core_writes__a_blocked_write__leaves_no_trace_in_other_actions),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
