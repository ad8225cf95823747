/* SPDX-License-Identifier: BSD-2-Clause */
/* Runs of zeros: COMPRESS at the source, and its order against RDMA Writes. */
#include "support/drive.h"

/* Both blocks' first chunk registered, credit in hand; writes are answered by the test. */
static struct bench *source_with_regions(void)
{
    struct bench *bench = source_at(SOURCE_IS_EXCHANGED, NULL);

    bench->is_quiet = true;
    source_push(bench, 0, 0, 4096);
    source_receive_result(bench, 0, 0xa0);
    bench_receive_ready(bench);
    source_push(bench, 1, 0, 4096);
    source_receive_result(bench, 1, 0xb0);
    bench_receive_ready(bench);
    bench->automatic = AUTO_SEND | AUTO_OPERATION;
    bench_begin(bench);
    return bench;
}

/* Clause: C9, W10 */
static void test_core_zero__a_long_run__is_one_message(void **state)
{
    struct bench *bench = source_at(SOURCE_IS_EXCHANGED, NULL);

    (void)state;
    source_push_zero(bench, 0, 0, BLOCK0_BYTES);
    EXPECT(bench,
           "> RANGE_PUSHED block=0 offset=0 length=3149824 zero\n"
           "< POST_SEND s1 COMPRESS x1 [value=0 block=0 offset=0x40000000 length=0x301000]\n");
    assert_int_equal(rdmig_conn_bytes_pending(bench->conn), BLOCK0_BYTES);
    bench_receive_ready(bench);
    assert_int_equal(rdmig_conn_bytes_pending(bench->conn), 0);
    assert_int_equal(bench_counters(bench).bytes_zero, BLOCK0_BYTES);
    bench_close(bench);
}

/* Clause: C9 */
static void test_core_zero__a_write_in_flight_there__is_waited_for(void **state)
{
    struct bench *bench = source_with_regions();

    (void)state;
    source_push(bench, 0, 4096, 4096);
    source_push_zero(bench, 0, 0, MIB);
    EXPECT(bench, "> RANGE_PUSHED block=0 offset=4096 length=4096\n"
                  "< POST_WRITE w1 block=0 offset=4096 length=4096 region=0 remote=0x700001000 "
                  "rkey=0xa0 signalled\n"
                  "> RANGE_PUSHED block=0 offset=0 length=1048576 zero\n");
    COMPLETE(bench, "w1", OK);
    EXPECT(bench,
           "> COMPLETED w1 OK\n"
           "< POST_SEND s1 COMPRESS x1 [value=0 block=0 offset=0x40000000 length=0x100000]\n");
    bench_close(bench);
}

/* Clause: C9 */
static void test_core_zero__a_write_in_flight_elsewhere__is_not_waited_for(void **state)
{
    struct bench *bench = source_with_regions();

    (void)state;
    source_push(bench, 0, 4096, 4096);
    source_push_zero(bench, 0, 8192, 4096); /* same chunk, other page */
    EXPECT(bench, "> RANGE_PUSHED block=0 offset=4096 length=4096\n"
                  "< POST_WRITE w1 block=0 offset=4096 length=4096 region=0 remote=0x700001000 "
                  "rkey=0xa0 signalled\n"
                  "> RANGE_PUSHED block=0 offset=8192 length=4096 zero\n"
                  "< POST_SEND s1 COMPRESS x1 [value=0 block=0 offset=0x40002000 length=0x1000]\n");
    bench_close(bench);
}

/* Clause: C9 */
static void test_core_zero__a_write_queued_before_it__is_waited_for(void **state)
{
    struct bench *bench = source_with_regions();

    (void)state;
    source_push(bench, 0, 0, 4096);
    source_push(bench, 0, 0, 8192); /* waits for the first: same page */
    source_push_zero(bench, 0, 4096, 4096);
    EXPECT(bench, "> RANGE_PUSHED block=0 offset=0 length=4096\n"
                  "< POST_WRITE w1 block=0 offset=0 length=4096 region=0 remote=0x700000000 "
                  "rkey=0xa0 signalled\n"
                  "> RANGE_PUSHED block=0 offset=0 length=8192\n"
                  "> RANGE_PUSHED block=0 offset=4096 length=4096 zero\n");
    COMPLETE(bench, "w1", OK);
    EXPECT(bench, "> COMPLETED w1 OK\n"
                  "< POST_WRITE w2 block=0 offset=0 length=8192 region=0 remote=0x700000000 "
                  "rkey=0xa0 signalled\n");
    COMPLETE(bench, "w2", OK);
    EXPECT(bench, "> COMPLETED w2 OK\n"
                  "< POST_SEND s1 COMPRESS x1 [value=0 block=0 offset=0x40001000 length=0x1000]\n");
    bench_close(bench);
}

/* Clause: C9 */
static void test_core_zero__a_write_pushed_after_it__waits_for_ready(void **state)
{
    struct bench *bench = source_with_regions();

    (void)state;
    source_push_zero(bench, 0, 0, MIB);
    source_push(bench, 0, 4096, 4096);
    EXPECT(bench, "> RANGE_PUSHED block=0 offset=0 length=1048576 zero\n"
                  "< POST_SEND s1 COMPRESS x1 [value=0 block=0 offset=0x40000000 length=0x100000]\n"
                  "> RANGE_PUSHED block=0 offset=4096 length=4096\n");
    bench_receive_ready(bench);
    EXPECT(bench, "> RECEIVED r1 READY x1\n"
                  "< POST_WRITE w1 block=0 offset=4096 length=4096 region=0 remote=0x700001000 "
                  "rkey=0xa0 signalled\n");
    bench_close(bench);
}

/* Clause: C9 */
static void test_core_zero__a_write_pushed_after_one_that_waits__waits_too(void **state)
{
    struct bench *bench = source_with_regions();

    (void)state;
    source_push(bench, 1, 0, 4096);      /* w1 */
    source_push_zero(bench, 1, 0, 8192); /* waits for w1 */
    source_push(bench, 1, 4096, 4096);   /* waits for the zeros */
    EXPECT(bench, "> RANGE_PUSHED block=1 offset=0 length=4096\n"
                  "< POST_WRITE w1 block=1 offset=0 length=4096 region=4 remote=0x600000000 "
                  "rkey=0xb0 signalled\n"
                  "> RANGE_PUSHED block=1 offset=0 length=8192 zero\n"
                  "> RANGE_PUSHED block=1 offset=4096 length=4096\n");
    COMPLETE(bench, "w1", OK);
    EXPECT(bench, "> COMPLETED w1 OK\n"
                  "< POST_SEND s1 COMPRESS x1 [value=0 block=1 offset=0x0 length=0x2000]\n");
    bench_receive_ready(bench);
    EXPECT(bench, "> RECEIVED r1 READY x1\n"
                  "< POST_WRITE w2 block=1 offset=4096 length=4096 region=4 remote=0x600001000 "
                  "rkey=0xb0 signalled\n");
    bench_close(bench);
}

/* Clause: C9 */
static void test_core_zero__writes_elsewhere__overtake_it(void **state)
{
    struct bench *bench = source_with_regions();

    (void)state;
    source_push_zero(bench, 0, 0, 4096);
    source_push_zero(bench, 0, MIB, 4096); /* no credit for this one yet */
    source_push(bench, 0, 8192, 4096);
    EXPECT(bench, "> RANGE_PUSHED block=0 offset=0 length=4096 zero\n"
                  "< POST_SEND s1 COMPRESS x1 [value=0 block=0 offset=0x40000000 length=0x1000]\n"
                  "> RANGE_PUSHED block=0 offset=1048576 length=4096 zero\n"
                  "> RANGE_PUSHED block=0 offset=8192 length=4096\n"
                  "< POST_WRITE w1 block=0 offset=8192 length=4096 region=0 remote=0x700002000 "
                  "rkey=0xa0 signalled\n");
    bench_receive_ready(bench);
    EXPECT(bench, "> RECEIVED r1 READY x1\n"
                  "< POST_SEND s2 COMPRESS x1 [value=0 block=0 offset=0x40100000 length=0x1000]\n");
    bench_close(bench);
}

/* Clause: C9 */
static void test_core_zero__zeros_twice__go_in_order(void **state)
{
    struct bench *bench = source_at(SOURCE_IS_EXCHANGED, NULL);

    (void)state;
    source_push_zero(bench, 0, 4096, 4096);
    source_push_zero(bench, 0, 0, 8192);
    bench_receive_ready(bench);
    bench_receive_ready(bench);
    EXPECT(bench, "> RANGE_PUSHED block=0 offset=4096 length=4096 zero\n"
                  "< POST_SEND s1 COMPRESS x1 [value=0 block=0 offset=0x40001000 length=0x1000]\n"
                  "> RANGE_PUSHED block=0 offset=0 length=8192 zero\n"
                  "> RECEIVED r0 READY x1\n"
                  "< POST_SEND s2 COMPRESS x1 [value=0 block=0 offset=0x40000000 length=0x2000]\n"
                  "> RECEIVED r1 READY x1\n");
    assert_int_equal(bench_counters(bench).bytes_zero, 3 * 4096);
    bench_close(bench);
}

/* Clause: C9 */
static void test_core_zero__needs_no_registration(void **state)
{
    struct bench *bench = source_at(SOURCE_IS_EXCHANGED, NULL);

    (void)state;
    source_push_zero(bench, 0, 0, 2 * MIB);
    FEED(bench, ROUND_CLOSED);
    bench_receive_ready(bench);
    EXPECT(bench, "> RANGE_PUSHED block=0 offset=0 length=2097152 zero\n"
                  "< POST_SEND s1 COMPRESS x1 [value=0 block=0 offset=0x40000000 length=0x200000]\n"
                  "> ROUND_CLOSED\n"
                  "> RECEIVED r0 READY x1\n"
                  "< POST_SEND s2 REGISTER_FINISHED x1\n"
                  "< NOTIFY_ROUND_ENDED\n");
    assert_int_equal(bench->action_counts[RDMIG_ACTION_REGISTER], 0);
    bench_close(bench);
}

/* Clause: C9, R7 */
static void test_core_zero__pin_all__uses_it_as_well(void **state)
{
    struct bench *bench =
        source_at(SOURCE_IS_EXCHANGED, &(struct rdmig_conn_config){.capability_flags = 1});

    (void)state;
    source_push_zero(bench, 1, MIB, MIB);
    EXPECT(bench, "> RANGE_PUSHED block=1 offset=1048576 length=1048576 zero\n"
                  "< POST_SEND s1 COMPRESS x1 [value=0 block=1 offset=0x100000 length=0x100000]\n");
    bench_close(bench);
}

/* Clause: C9 */
static void test_core_zero__a_span_over_many_chunks__still_sees_the_write_in_its_last(void **state)
{
    const struct rdmig_block big = {SOURCE_HOST0, 600 * MIB, 0};
    struct bench *bench =
        source_at(SOURCE_IS_ESTABLISHED, &(struct rdmig_conn_config){.run_chunk_count = 1});

    (void)state;
    bench_provide(bench, &big, 1);
    bench_receive_ready(bench);
    FEED(bench, EXCHANGE_REQUESTED);
    message_begin(bench->message, RDMIG_MESSAGE_RAM_BLOCKS_RESULT, 1);
    message_block(bench->message, DESTINATION_HOST0, 0, 600 * MIB, 0);
    bench_receive(bench, bench->message);
    bench_receive_ready(bench);
    bench->automatic &= ~(unsigned int)AUTO_WRITE;
    source_push(bench, 0, 599 * MIB, MIB);
    source_receive_result(bench, 0, 0xa0);
    bench_receive_ready(bench);
    bench_begin(bench);
    source_push_zero(bench, 0, 0, 599 * MIB); /* up to it: nothing in the way */
    bench_receive_ready(bench);
    source_push_zero(bench, 0, 0, 600 * MIB);
    EXPECT(bench, "> RANGE_PUSHED block=0 offset=0 length=628097024 zero\n"
                  "< POST_SEND s1 COMPRESS x1 [value=0 block=0 offset=0x0 length=0x25700000]\n"
                  "> RECEIVED r2 READY x1\n"
                  "> RANGE_PUSHED block=0 offset=0 length=629145600 zero\n");
    COMPLETE(bench, "w1", OK);
    EXPECT(bench, "> COMPLETED w1 OK\n"
                  "< POST_SEND s2 COMPRESS x1 [value=0 block=0 offset=0x0 length=0x25800000]\n");
    bench_close(bench);
}
/* Clause: C9 */
static void test_core_zero__a_range_before_it_awaits_its_region__zeros_go_first(void **state)
{
    struct bench *bench = source_at(SOURCE_IS_EXCHANGED, NULL);

    (void)state;
    bench->automatic = AUTO_SEND;
    source_push(bench, 0, 0, 4096);
    source_push_zero(bench, 1, 0, 4096);
    source_receive_result(bench, 0, 0xa0);
    bench_receive_ready(bench);
    bench_receive_ready(bench); /* the zeros are done, the write before them is not */
    assert_int_equal(rdmig_conn_bytes_pending(bench->conn), 4096);
    COMPLETE(bench, "o1", OK);
    EXPECT(bench, "> RANGE_PUSHED block=0 offset=0 length=4096\n"
                  "< POST_SEND s1 REGISTER_REQUEST x1 [key=0x40000000 block=0 chunks=0]\n"
                  "< REGISTER o1 block=0 offset=0 length=1048576 region=0\n"
                  "> RANGE_PUSHED block=1 offset=0 length=4096 zero\n"
                  "> RECEIVED r0 REGISTER_RESULT x1 [rkey=0xa0 host=0x700000000]\n"
                  "> RECEIVED r1 READY x1\n"
                  "< POST_SEND s2 COMPRESS x1 [value=0 block=1 offset=0x0 length=0x1000]\n"
                  "> RECEIVED r2 READY x1\n"
                  "> COMPLETED o1 OK\n"
                  "< POST_WRITE w1 block=0 offset=0 length=4096 region=0 remote=0x700000000 "
                  "rkey=0xa0 signalled\n");
    bench_close(bench);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_core_zero__a_long_run__is_one_message),
        cmocka_unit_test(test_core_zero__a_write_in_flight_there__is_waited_for),
        cmocka_unit_test(test_core_zero__a_write_in_flight_elsewhere__is_not_waited_for),
        cmocka_unit_test(test_core_zero__a_write_queued_before_it__is_waited_for),
        cmocka_unit_test(test_core_zero__a_write_pushed_after_it__waits_for_ready),
        cmocka_unit_test(test_core_zero__a_write_pushed_after_one_that_waits__waits_too),
        cmocka_unit_test(test_core_zero__writes_elsewhere__overtake_it),
        cmocka_unit_test(test_core_zero__zeros_twice__go_in_order),
        cmocka_unit_test(test_core_zero__needs_no_registration),
        cmocka_unit_test(test_core_zero__pin_all__uses_it_as_well),
        cmocka_unit_test(test_core_zero__a_span_over_many_chunks__still_sees_the_write_in_its_last),
        cmocka_unit_test(test_core_zero__a_range_before_it_awaits_its_region__zeros_go_first),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
