/* SPDX-License-Identifier: BSD-2-Clause */
/* The byte stream and the credits, at the source; delivery at the destination. */
#include "support/drive.h"

#include <stdlib.h>
#include <string.h>

/* Clause: S1, C3 */
static void test_core_stream__source__sends_on_flush_against_a_credit(void **state)
{
    struct bench *bench = source_at(SOURCE_IS_ESTABLISHED, NULL);

    (void)state;
    source_write_stream(bench, "QEVM");
    source_write_stream(bench, "0003");
    FEED(bench, FLUSH_REQUESTED, .flush = RDMIG_FLUSH_DELIVERED);
    EXPECT(bench, "> STREAM_WRITTEN length=4\n"
                  "> STREAM_WRITTEN length=4\n"
                  "> FLUSH_REQUESTED DELIVERED\n");
    bench_receive_ready(bench);
    EXPECT(bench, "> RECEIVED r0 READY x1\n"
                  "< POST_SEND s1 QEMU_FILE x0 8 bytes 'QEVM0003'\n"
                  "< NOTIFY_FLUSHED\n");
    assert_int_equal(bench_counters(bench).bytes_stream, 8);
    bench_close(bench);
}

/* Clause: C3, C4 */
static void test_core_stream__source__never_sends_two_commands_for_one_ready(void **state)
{
    struct bench *bench = source_at(SOURCE_IS_CREDITED, NULL);

    (void)state;
    source_write_stream(bench, "one");
    FEED(bench, FLUSH_REQUESTED, .flush = RDMIG_FLUSH_DELIVERED);
    source_write_stream(bench, "two");
    FEED(bench, FLUSH_REQUESTED, .flush = RDMIG_FLUSH_DELIVERED);
    EXPECT(bench, "> STREAM_WRITTEN length=3\n"
                  "> FLUSH_REQUESTED DELIVERED\n"
                  "< POST_SEND s1 QEMU_FILE x0 3 bytes 'one'\n"
                  "< NOTIFY_FLUSHED\n"
                  "> STREAM_WRITTEN length=3\n"
                  "> FLUSH_REQUESTED DELIVERED\n");
    bench_receive_ready(bench);
    EXPECT(bench, "> RECEIVED r1 READY x1\n"
                  "< POST_SEND s2 QEMU_FILE x0 3 bytes 'two'\n"
                  "< NOTIFY_FLUSHED\n");
    bench_close(bench);
}

/* Clause: C11 */
static void test_core_stream__source__ready_before_the_completion_of_its_send(void **state)
{
    struct bench *bench = source_at(SOURCE_IS_CREDITED, NULL);

    (void)state;
    bench->automatic = 0;
    source_write_stream(bench, "one");
    FEED(bench, FLUSH_REQUESTED, .flush = RDMIG_FLUSH_CONSUMED);
    bench_receive_ready(bench);
    /* Consumed by now, but the slot is the hardware's still. */
    EXPECT(bench, "> STREAM_WRITTEN length=3\n"
                  "> FLUSH_REQUESTED CONSUMED\n"
                  "< POST_SEND s1 QEMU_FILE x0 3 bytes 'one'\n"
                  "> RECEIVED r1 READY x1\n");
    COMPLETE(bench, "s1", OK);
    EXPECT(bench, "> COMPLETED s1 OK\n"
                  "< NOTIFY_FLUSHED\n");
    bench_close(bench);
}

/* Clause: C11, C3 */
static void test_core_stream__source__two_sends_out__waits_for_a_slot(void **state)
{
    struct bench *bench =
        source_at(SOURCE_IS_CREDITED, &(struct rdmig_conn_config){.stream_message_bytes = 2});

    (void)state;
    bench->automatic = 0;
    source_write_stream(bench, "ab");
    bench_receive_ready(bench);
    source_write_stream(bench, "cd");
    bench_receive_ready(bench);
    EXPECT(bench, "> STREAM_WRITTEN length=2\n"
                  "< POST_SEND s1 QEMU_FILE x0 2 bytes 'ab'\n"
                  "> RECEIVED r1 READY x1\n"
                  "> STREAM_WRITTEN length=2\n"
                  "< POST_SEND s2 QEMU_FILE x0 2 bytes 'cd'\n"
                  "> RECEIVED r2 READY x1\n");
    assert_int_equal(rdmig_conn_stream_room_bytes(bench->conn), 0);
    assert_int_equal(source_write_stream(bench, "e"), -RDMIG_E_AGAIN);
    FEED(bench, EXCHANGE_REQUESTED);
    EXPECT(bench, "> STREAM_WRITTEN length=1 ! AGAIN\n"
                  "> EXCHANGE_REQUESTED\n"
                  "< POST_SEND s3 RAM_BLOCKS_REQUEST x1\n");
    COMPLETE(bench, "s1", OK);
    EXPECT(bench, "> COMPLETED s1 OK\n");
    assert_int_equal(rdmig_conn_stream_room_bytes(bench->conn), 2);
    bench_close(bench);
}

/* Clause: S1 */
static void test_core_stream__source__a_full_message_goes_without_a_flush(void **state)
{
    struct bench *bench =
        source_at(SOURCE_IS_CREDITED, &(struct rdmig_conn_config){.stream_message_bytes = 4});

    (void)state;
    assert_int_equal(rdmig_conn_stream_room_bytes(bench->conn), 4);
    source_write_stream(bench, "abc");
    assert_int_equal(rdmig_conn_stream_room_bytes(bench->conn), 1);
    assert_int_equal(source_write_stream(bench, "de"), -RDMIG_E_AGAIN);
    source_write_stream(bench, "d");
    EXPECT(bench, "> STREAM_WRITTEN length=3\n"
                  "> STREAM_WRITTEN length=2 ! AGAIN\n"
                  "> STREAM_WRITTEN length=1\n"
                  "< POST_SEND s1 QEMU_FILE x0 4 bytes 'abcd'\n");
    /* The other slot takes the next message while this one has no credit. */
    source_write_stream(bench, "efgh");
    assert_int_equal(rdmig_conn_stream_room_bytes(bench->conn), 0);
    assert_int_equal(source_write_stream(bench, "i"), -RDMIG_E_AGAIN);
    bench_receive_ready(bench);
    EXPECT(bench, "> STREAM_WRITTEN length=4\n"
                  "> STREAM_WRITTEN length=1 ! AGAIN\n"
                  "> RECEIVED r1 READY x1\n"
                  "< POST_SEND s2 QEMU_FILE x0 4 bytes 'efgh'\n");
    bench_close(bench);
}

/* Clause: S1, W4 */
static void test_core_stream__source__the_largest_message_fills_its_slot(void **state)
{
    struct bench *bench = source_at(SOURCE_IS_CREDITED, NULL);
    char *bytes = malloc(RDMIG_STREAM_BYTES_MAX);

    (void)state;
    assert_non_null(bytes);
    for (size_t i = 0; i < RDMIG_STREAM_BYTES_MAX; i++)
        bytes[i] = (char)(i % 251);
    assert_int_equal(rdmig_conn_stream_room_bytes(bench->conn), 524272);
    FEED(bench, STREAM_WRITTEN, .bytes = bytes, .length = RDMIG_STREAM_BYTES_MAX);
    assert_int_equal(bench->sent->length_bytes, 524288);
    assert_memory_equal(bench->sent->bytes + 16, bytes, RDMIG_STREAM_BYTES_MAX);
    free(bytes);
    bench_close(bench);
}

/* Clause: S2 */
static void
test_core_stream__source__bytes_go_before_the_exchange_asked_for_after_them(void **state)
{
    struct bench *bench = source_at(SOURCE_IS_CREDITED, NULL);

    (void)state;
    source_write_stream(bench, "head");
    FEED(bench, EXCHANGE_REQUESTED);
    assert_int_equal(rdmig_conn_stream_room_bytes(bench->conn), 0);
    assert_int_equal(source_write_stream(bench, "late"), -RDMIG_E_STATE);
    bench_receive_ready(bench);
    EXPECT(bench, "> STREAM_WRITTEN length=4\n"
                  "> EXCHANGE_REQUESTED\n"
                  "< POST_SEND s1 QEMU_FILE x0 4 bytes 'head'\n"
                  "> STREAM_WRITTEN length=4 ! STATE\n"
                  "> RECEIVED r1 READY x1\n"
                  "< POST_SEND s2 RAM_BLOCKS_REQUEST x1\n");
    bench_close(bench);
}

/* Clause: S2 */
static void
test_core_stream__source__bytes_go_before_the_commands_of_a_round_asked_for_after_them(void **state)
{
    struct bench *bench = source_at(SOURCE_IS_EXCHANGED, NULL);

    (void)state;
    source_write_stream(bench, "hook");
    source_push_zero(bench, 0, 0, 4096);
    assert_int_equal(rdmig_conn_stream_room_bytes(bench->conn), 0);
    assert_int_equal(source_write_stream(bench, "late"), -RDMIG_E_STATE);
    assert_int_equal(FEED(bench, FLUSH_REQUESTED), -RDMIG_E_STATE);
    bench_receive_ready(bench);
    EXPECT(bench, "> STREAM_WRITTEN length=4\n"
                  "> RANGE_PUSHED block=0 offset=0 length=4096 zero\n"
                  "< POST_SEND s1 QEMU_FILE x0 4 bytes 'hook'\n"
                  "> STREAM_WRITTEN length=4 ! STATE\n"
                  "> FLUSH_REQUESTED DELIVERED ! STATE\n"
                  "> RECEIVED r0 READY x1\n"
                  "< POST_SEND s2 COMPRESS x1 [value=0 block=0 offset=0x40000000 length=0x1000]\n");
    bench_close(bench);
}

/* Clause: S2 */
static void
test_core_stream__source__bytes_go_before_an_unregistration_asked_for_after_them(void **state)
{
    struct bench *bench = source_at(SOURCE_IS_WRITING, NULL);

    (void)state;
    bench->automatic = AUTO_ALL;
    COMPLETE(bench, "w1", OK);
    FEED(bench, ROUND_CLOSED);
    bench_receive_ready(bench);
    bench_begin(bench);
    source_write_stream(bench, "first");
    FEED(bench, UNREGISTER_REQUESTED, .block_index = 0, .chunk_index = 0);
    bench_receive_ready(bench);
    EXPECT(bench, "> STREAM_WRITTEN length=5\n"
                  "> UNREGISTER_REQUESTED block=0 chunk=0\n"
                  "< POST_SEND s1 QEMU_FILE x0 5 bytes 'first'\n"
                  "> RECEIVED r0 READY x1\n"
                  "< POST_SEND s2 UNREGISTER_REQUEST x1 [key=0x0 block=0 chunks=0]\n");
    bench_close(bench);
}

/* Clause: S2, C10 */
static void test_core_stream__source__bytes_after_a_round_follow_its_end(void **state)
{
    struct bench *bench = source_at(SOURCE_IS_WRITING, NULL);

    (void)state;
    FEED(bench, ROUND_CLOSED);
    assert_int_equal(source_write_stream(bench, "late"), -RDMIG_E_STATE);
    COMPLETE(bench, "w1", OK);
    source_write_stream(bench, "next");
    FEED(bench, FLUSH_REQUESTED, .flush = RDMIG_FLUSH_CONSUMED);
    bench_receive_ready(bench);
    bench_receive_ready(bench);
    EXPECT(bench, "> ROUND_CLOSED\n"
                  "> STREAM_WRITTEN length=4 ! STATE\n"
                  "> COMPLETED w1 OK\n"
                  "< POST_SEND s1 REGISTER_FINISHED x1\n"
                  "< NOTIFY_ROUND_ENDED\n"
                  "> STREAM_WRITTEN length=4\n"
                  "> FLUSH_REQUESTED CONSUMED\n"
                  "> RECEIVED r2 READY x1\n"
                  "< POST_SEND s2 QEMU_FILE x0 4 bytes 'next'\n"
                  "> RECEIVED r0 READY x1\n"
                  "< NOTIFY_FLUSHED\n");
    bench_close(bench);
}

/* Clause: S2 */
static void test_core_stream__source__flush_of_nothing__answers_at_once(void **state)
{
    struct bench *bench = source_at(SOURCE_IS_ESTABLISHED, NULL);

    (void)state;
    FEED(bench, FLUSH_REQUESTED, .flush = RDMIG_FLUSH_CONSUMED);
    FEED(bench, FLUSH_REQUESTED, .flush = RDMIG_FLUSH_DELIVERED);
    EXPECT(bench, "> FLUSH_REQUESTED CONSUMED\n"
                  "< NOTIFY_FLUSHED\n"
                  "> FLUSH_REQUESTED DELIVERED\n"
                  "< NOTIFY_FLUSHED\n");
    bench_close(bench);
}

/* Clause: S2 */
static void test_core_stream__source__flush_consumed_after_the_send__waits_for_ready(void **state)
{
    struct bench *bench =
        source_at(SOURCE_IS_CREDITED, &(struct rdmig_conn_config){.stream_message_bytes = 2});

    (void)state;
    source_write_stream(bench, "ab");
    FEED(bench, FLUSH_REQUESTED, .flush = RDMIG_FLUSH_CONSUMED);
    assert_int_equal(FEED(bench, FLUSH_REQUESTED), -RDMIG_E_STATE);
    assert_int_equal(source_write_stream(bench, "c"), -RDMIG_E_STATE);
    EXPECT(bench, "> STREAM_WRITTEN length=2\n"
                  "< POST_SEND s1 QEMU_FILE x0 2 bytes 'ab'\n"
                  "> FLUSH_REQUESTED CONSUMED\n"
                  "> FLUSH_REQUESTED DELIVERED ! STATE\n"
                  "> STREAM_WRITTEN length=1 ! STATE\n");
    bench_receive_ready(bench);
    EXPECT(bench, "> RECEIVED r1 READY x1\n"
                  "< NOTIFY_FLUSHED\n");
    bench_close(bench);
}

/* Clause: S2, B1 */
static void test_core_stream__source__flush_while_the_exchange_is_out__follows_it(void **state)
{
    struct bench *bench = source_at(SOURCE_AWAITS_BLOCKS, NULL);

    (void)state;
    source_write_stream(bench, "tail");
    FEED(bench, FLUSH_REQUESTED, .flush = RDMIG_FLUSH_DELIVERED);
    source_receive_blocks(bench);
    bench_receive_ready(bench);
    EXPECT(bench,
           "> STREAM_WRITTEN length=4\n"
           "> FLUSH_REQUESTED DELIVERED\n"
           "> RECEIVED r1 RAM_BLOCKS_RESULT x1 [host=0x700000000 offset=0x40000000 length=0x301000 "
           "rkey=0xb0] [host=0x600000000 offset=0x0 length=0x200000 rkey=0xb1]\n"
           "< NOTIFY_BLOCKS_EXCHANGED\n"
           "> RECEIVED r2 READY x1\n"
           "< POST_SEND s1 QEMU_FILE x0 4 bytes 'tail'\n"
           "< NOTIFY_FLUSHED\n");
    /* A range pushed now would be asked for before the flush is answered. */
    bench_close(bench);
}

/* Clause: S2 */
static void test_core_stream__source__no_ranges_while_a_flush_is_out(void **state)
{
    struct bench *bench = source_at(SOURCE_IS_EXCHANGED, NULL);

    (void)state;
    assert_int_equal(rdmig_conn_range_room_count(bench->conn), 64);
    source_write_stream(bench, "x");
    FEED(bench, FLUSH_REQUESTED, .flush = RDMIG_FLUSH_CONSUMED);
    assert_int_equal(rdmig_conn_range_room_count(bench->conn), 0);
    assert_int_equal(source_push(bench, 0, 0, 4096), -RDMIG_E_STATE);
    bench_receive_ready(bench);
    assert_int_equal(rdmig_conn_range_room_count(bench->conn), 64);
    bench_close(bench);
}

/* Clause: E1 */
static void test_core_stream__source__wrong_arguments__are_refused(void **state)
{
    struct bench *bench = source_at(SOURCE_IS_CREDITED, NULL);

    (void)state;
    assert_int_equal(FEED(bench, STREAM_WRITTEN, .bytes = NULL, .length = 1), -RDMIG_E_INVALID);
    assert_int_equal(FEED(bench, STREAM_WRITTEN, .bytes = "", .length = 0), -RDMIG_E_INVALID);
    assert_int_equal(FEED(bench, STREAM_WRITTEN, .bytes = "x", .length = UINT64_MAX),
                     -RDMIG_E_AGAIN);
    assert_int_equal(FEED(bench, FLUSH_REQUESTED, .flush = (enum rdmig_flush)2), -RDMIG_E_INVALID);
    bench_close(bench);
}

/* Clause: S9, C2, C8 */
static void test_core_stream__destination__offers_ready_when_the_last_byte_is_consumed(void **state)
{
    struct bench *bench = destination_at(DESTINATION_IS_AWAITING, NULL);

    (void)state;
    bench->shows_recv = true;
    destination_receive_stream(bench, "hello");
    assert_memory_equal(bench->last[RDMIG_ACTION_DELIVER_STREAM].bytes, "hello", 5);
    FEED(bench, STREAM_CONSUMED, .length = 2);
    /* The bytes are still there: the slot is not posted again before all is consumed. */
    assert_memory_equal(bench->last[RDMIG_ACTION_DELIVER_STREAM].bytes, "hello", 5);
    EXPECT(bench, "> RECEIVED r0 QEMU_FILE x0 5 bytes 'hello'\n"
                  "< DELIVER_STREAM length=5\n"
                  "> STREAM_CONSUMED length=2\n");
    FEED(bench, STREAM_CONSUMED, .length = 3);
    EXPECT(bench, "> STREAM_CONSUMED length=3\n"
                  "< POST_RECV r0 length=524288\n"
                  "< POST_SEND s1 READY x1\n");
    assert_int_equal(bench_counters(bench).bytes_stream, 5);
    bench_close(bench);
}

/* Clause: S9, E1 */
static void test_core_stream__destination__consuming_too_much__is_refused(void **state)
{
    struct bench *bench = destination_at(DESTINATION_IS_STREAMING, NULL);

    (void)state;
    assert_int_equal(FEED(bench, STREAM_CONSUMED, .length = 0), -RDMIG_E_INVALID);
    assert_int_equal(FEED(bench, STREAM_CONSUMED, .length = 6), -RDMIG_E_INVALID);
    assert_int_equal(FEED(bench, STREAM_CONSUMED, .length = 5), RDMIG_OK);
    assert_int_equal(FEED(bench, STREAM_CONSUMED, .length = 1), -RDMIG_E_STATE);
    bench_close(bench);
}

/* Clause: S1 */
static void test_core_stream__destination__the_largest_message_arrives_whole(void **state)
{
    struct bench *bench = destination_at(DESTINATION_IS_AWAITING, NULL);
    const uint8_t *bytes;

    (void)state;
    message_begin(bench->message, RDMIG_MESSAGE_QEMU_FILE, 0);
    memset(bench->message->bytes + 16, 0x5a, RDMIG_STREAM_BYTES_MAX);
    bytes_put_u32(bench->message->bytes, RDMIG_STREAM_BYTES_MAX);
    bench->message->length_bytes = RDMIG_MESSAGE_BYTES_MAX;
    bench_receive(bench, bench->message);
    assert_int_equal(bench->last[RDMIG_ACTION_DELIVER_STREAM].length, 524272);
    bytes = bench->last[RDMIG_ACTION_DELIVER_STREAM].bytes;
    assert_int_equal(bytes[0], 0x5a);
    assert_int_equal(bytes[524271], 0x5a);
    bench_close(bench);
}

/* Clause: S1, C2 */
static void
test_core_stream__destination__a_message_without_bytes__is_consumed_at_once(void **state)
{
    struct bench *bench = destination_at(DESTINATION_IS_AWAITING, NULL);

    (void)state;
    destination_receive_stream(bench, "");
    EXPECT(bench, "> RECEIVED r0 QEMU_FILE x0 0 bytes ''\n"
                  "< POST_SEND s1 READY x1\n");
    bench_close(bench);
}

/* Clause: C2, C11 */
static void test_core_stream__destination__command_before_the_completion_of_ready(void **state)
{
    struct bench *bench = destination_at(DESTINATION_IS_CONNECTING, NULL);

    (void)state;
    bench->automatic = 0;
    bench_connect_request(bench, 1, 0);
    FEED(bench, ESTABLISHED);
    bench_begin(bench);
    destination_receive_stream(bench, "one");
    FEED(bench, STREAM_CONSUMED, .length = 3);
    /* READY's slot is the hardware's: the next READY waits, it is not lost. */
    EXPECT(bench, "> RECEIVED r0 QEMU_FILE x0 3 bytes 'one'\n"
                  "< DELIVER_STREAM length=3\n"
                  "> STREAM_CONSUMED length=3\n");
    COMPLETE(bench, "s1", OK);
    EXPECT(bench, "> COMPLETED s1 OK\n"
                  "< POST_SEND s2 READY x1\n");
    bench_close(bench);
}

/* Clause: C5 */
static void test_core_stream__destination__a_command_without_credit__is_a_failure(void **state)
{
    struct bench *bench = destination_at(DESTINATION_IS_STREAMING, NULL);

    (void)state;
    destination_receive_stream(bench, "impatient");
    EXPECT(bench, "> RECEIVED r2 QEMU_FILE x0 9 bytes 'impatient'\n"
                  "< POST_SEND s1 ERROR x1\n");
    bench_expect_failure(bench, RDMIG_REASON_MESSAGE_UNEXPECTED);
    assert_int_equal(rdmig_conn_failure(bench->conn)->message_type, RDMIG_MESSAGE_QEMU_FILE);
    bench_close(bench);
}
int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_core_stream__source__sends_on_flush_against_a_credit),
        cmocka_unit_test(test_core_stream__source__never_sends_two_commands_for_one_ready),
        cmocka_unit_test(test_core_stream__source__ready_before_the_completion_of_its_send),
        cmocka_unit_test(test_core_stream__source__two_sends_out__waits_for_a_slot),
        cmocka_unit_test(test_core_stream__source__a_full_message_goes_without_a_flush),
        cmocka_unit_test(test_core_stream__source__the_largest_message_fills_its_slot),
        cmocka_unit_test(
            test_core_stream__source__bytes_go_before_the_exchange_asked_for_after_them),
        cmocka_unit_test(
            test_core_stream__source__bytes_go_before_the_commands_of_a_round_asked_for_after_them),
        cmocka_unit_test(
            test_core_stream__source__bytes_go_before_an_unregistration_asked_for_after_them),
        cmocka_unit_test(test_core_stream__source__bytes_after_a_round_follow_its_end),
        cmocka_unit_test(test_core_stream__source__flush_of_nothing__answers_at_once),
        cmocka_unit_test(test_core_stream__source__flush_consumed_after_the_send__waits_for_ready),
        cmocka_unit_test(test_core_stream__source__flush_while_the_exchange_is_out__follows_it),
        cmocka_unit_test(test_core_stream__source__no_ranges_while_a_flush_is_out),
        cmocka_unit_test(test_core_stream__source__wrong_arguments__are_refused),
        cmocka_unit_test(
            test_core_stream__destination__offers_ready_when_the_last_byte_is_consumed),
        cmocka_unit_test(test_core_stream__destination__consuming_too_much__is_refused),
        cmocka_unit_test(test_core_stream__destination__the_largest_message_arrives_whole),
        cmocka_unit_test(
            test_core_stream__destination__a_message_without_bytes__is_consumed_at_once),
        cmocka_unit_test(test_core_stream__destination__command_before_the_completion_of_ready),
        cmocka_unit_test(test_core_stream__destination__a_command_without_credit__is_a_failure),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
