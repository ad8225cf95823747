/* SPDX-License-Identifier: BSD-2-Clause */
/* Several outstanding commands between our own ends, at the destination. */
#include "support/drive.h"

#define PIPELINE RDMIG_CAPABILITY_PIPELINE

static const struct rdmig_conn_config config = {.capability_flags = PIPELINE};

static struct bench *destination_listening(const struct rdmig_conn_config *with)
{
    return destination_at(DESTINATION_IS_CONNECTING, with);
}

/* ---- the credits that are agreed on */

/* Clause: W11, C16, C1 */
static void test_core_pipeline_destination__grants_what_was_offered_and_it_has(void **state)
{
    static const uint32_t offered[] = {1, 3, 4, 5, UINT32_MAX};

    (void)state;
    for (size_t i = 0; i < 5; i++) {
        const struct rdmig_conn_config limited = {.capability_flags = PIPELINE,
                                                  .pinned_bytes_max = 5 * MIB};
        struct bench *bench = destination_listening(&limited);
        const uint32_t granted = offered[i] < 4 ? offered[i] : 4;
        const uint8_t *bytes;

        assert_int_equal(bench->recv_count, 5);
        bench_request_pipelined(bench, PIPELINE | 1, offered[i], 0);
        assert_int_equal(bench->last[RDMIG_ACTION_ACCEPT].length, 24);
        bytes = bench->last[RDMIG_ACTION_ACCEPT].bytes;
        assert_int_equal(bytes_u32(bytes), 1);
        assert_int_equal(bytes_u32(bytes + 4), PIPELINE);
        assert_int_equal(bytes_u32(bytes + 8), granted);
        assert_int_equal(bytes_u32(bytes + 12), 0);
        assert_int_equal(bytes_u64(bytes + 16), 5 * MIB);
        FEED(bench, ESTABLISHED);
        assert_int_equal(bench->action_counts[RDMIG_ACTION_POST_SEND], granted);
        bench_close(bench);
    }
}

/* Clause: W11, W2 */
static void test_core_pipeline_destination__a_source_without_the_flag__has_one_credit(void **state)
{
    struct bench *bench = destination_listening(&config);

    (void)state;
    bench_connect_request(bench, 1, 1);
    FEED(bench, ESTABLISHED);
    EXPECT(bench, "> CONNECT_REQUESTED length=8 | version 1 flags 0x1\n"
                  "< ACCEPT length=8 | version 1 flags 0x0\n"
                  "> ESTABLISHED length=0\n"
                  "< NOTIFY_ESTABLISHED flags=0x0\n"
                  "< POST_SEND s1 READY x1\n");
    bench_close(bench);
}

/* Clause: W11, W2 */
static void test_core_pipeline_destination__not_granted__is_cleared(void **state)
{
    struct bench *bench = destination_listening(NULL);

    (void)state;
    bench_request_pipelined(bench, PIPELINE, 4, 0);
    FEED(bench, ESTABLISHED);
    EXPECT(bench, "> CONNECT_REQUESTED length=24 | version 1 flags 0x10000 credits 4 bytes 0x0\n"
                  "< ACCEPT length=8 | version 1 flags 0x0\n"
                  "> ESTABLISHED length=0\n"
                  "< NOTIFY_ESTABLISHED flags=0x0\n"
                  "< POST_SEND s1 READY x1\n");
    bench_close(bench);
}

/* Clause: W11 */
static void test_core_pipeline_destination__no_credit_offered__is_rejected(void **state)
{
    struct bench *bench = destination_listening(&config);

    (void)state;
    bench_request_pipelined(bench, PIPELINE, 0, 0);
    bench_expect_failure(bench, RDMIG_REASON_PRIVATE_DATA);
    EXPECT(bench, "> CONNECT_REQUESTED length=24 | version 1 flags 0x10000 credits 0 bytes 0x0\n"
                  "< REJECT length=8 | version 1 flags 0x0\n"
                  "< DISCONNECT\n");
    bench_close(bench);
}

/* Clause: W11 */
static void test_core_pipeline_destination__fewer_bytes__are_rejected(void **state)
{
    static const uint8_t bytes[24] = {0, 0, 0, 1, 0, 1, 0, 0, 0, 0, 0, 4};

    (void)state;
    for (uint32_t length = 8; length < 24; length++) {
        struct bench *bench = destination_listening(&config);

        FEED(bench, CONNECT_REQUESTED, .bytes = bytes, .length = length);
        bench_expect_failure(bench, RDMIG_REASON_PRIVATE_DATA_SHORT);
        assert_int_equal(bench->action_counts[RDMIG_ACTION_REJECT], 1);
        bench_close(bench);
    }
}

/* ---- commands that come while one is handled */

/* Clause: C16, C8 */
static void test_core_pipeline_destination__commands__are_handled_one_after_the_other(void **state)
{
    struct bench *bench = destination_at(DESTINATION_IS_LISTED, &config);

    (void)state;
    bench->automatic = AUTO_SEND;
    destination_receive_register(bench, 0, 0, 1);
    destination_receive_compress(bench, 1, 0, 4096);
    destination_receive_register(bench, 1, 0, 0);
    destination_receive_unregister(bench, 0, 0);
    EXPECT(bench, "> RECEIVED r1 REGISTER_REQUEST x1 [key=0x40000000 block=0 chunks=1]\n"
                  "< REGISTER o1 block=0 offset=0 length=2097152 region=0 remote-write\n"
                  "> RECEIVED r2 COMPRESS x1 [value=0 block=1 offset=0x0 length=0x1000]\n"
                  "> RECEIVED r3 REGISTER_REQUEST x1 [key=0x0 block=1 chunks=0]\n"
                  "> RECEIVED r4 UNREGISTER_REQUEST x1 [key=0x0 block=0 chunks=0]\n");
    COMPLETE(bench, "o1", OK, .rkey = 0x51);
    EXPECT(bench, "> COMPLETED o1 OK rkey=0x51\n"
                  "< POST_SEND s1 REGISTER_RESULT x1 [rkey=0x51 host=0x700000000]\n"
                  "< POST_SEND s2 READY x1\n"
                  "< FILL_RANGE o2 block=1 offset=0 length=4096 value=0\n");
    COMPLETE(bench, "o2", OK);
    EXPECT(bench, "> COMPLETED o2 OK\n"
                  "< POST_SEND s3 READY x1\n"
                  "< REGISTER o3 block=1 offset=0 length=1048576 region=4 remote-write\n");
    COMPLETE(bench, "o3", OK, .rkey = 0x52);
    EXPECT(bench, "> COMPLETED o3 OK rkey=0x52\n"
                  "< POST_SEND s4 REGISTER_RESULT x1 [rkey=0x52 host=0x600000000]\n"
                  "< POST_SEND s5 READY x1\n"
                  "< DEREGISTER o4 region=0\n");
    COMPLETE(bench, "o4", OK);
    EXPECT(bench, "> COMPLETED o4 OK\n"
                  "< POST_SEND s6 UNREGISTER_FINISHED x1\n"
                  "< POST_SEND s7 READY x1\n");
    bench_close(bench);
}

/* Clause: C9, C11 */
static void test_core_pipeline_destination__zeros__do_not_wait_for_answers_to_leave(void **state)
{
    struct bench *bench = destination_at(DESTINATION_IS_LISTED, &config);

    (void)state;
    bench->automatic = AUTO_OPERATION;
    destination_receive_register(bench, 0, 0, 0);
    destination_receive_register(bench, 0, 1, 0);
    bench_begin(bench);
    bench->automatic = 0;
    /* Both answers are the hardware's: a third waits, and zeros, which have none, do not. */
    destination_receive_compress(bench, 1, 0, 4096);
    EXPECT(bench, "> RECEIVED r3 COMPRESS x1 [value=0 block=1 offset=0x0 length=0x1000]\n"
                  "< FILL_RANGE o1 block=1 offset=0 length=4096 value=0\n");
    COMPLETE(bench, "o1", OK);
    destination_receive_register(bench, 0, 2, 0);
    EXPECT(bench, "> COMPLETED o1 OK\n"
                  "< POST_SEND s5 READY x1\n"
                  "> RECEIVED r4 REGISTER_REQUEST x1 [key=0x40200000 block=0 chunks=0]\n");
    bench_close(bench);
}

/* Clause: C16 */
static void test_core_pipeline_destination__what_waits__keeps_its_place(void **state)
{
    struct bench *bench = destination_at(DESTINATION_IS_LISTED, &config);

    (void)state;
    bench->automatic = AUTO_SEND | AUTO_OPERATION;
    destination_receive_register(bench, 0, 0, 0);
    bench->automatic = AUTO_SEND;
    message_begin(bench->message, RDMIG_MESSAGE_REGISTER_REQUEST, 1); /* it is there */
    message_chunk(bench->message, DESTINATION_PLACE0, 0, 0);
    bench_begin(bench);
    drive_step_received(bench);
    message_begin(bench->message, RDMIG_MESSAGE_COMPRESS, 1);
    message_compress(bench->message, 0, 1, DESTINATION_PLACE1, 4096);
    drive_step_received(bench);
    destination_receive_compress(bench, 1, 4096, 4096);
    EXPECT(bench, "> RECEIVED r4 COMPRESS x1 [value=0 block=1 offset=0x1000 length=0x1000]\n"
                  "< POST_SEND s1 REGISTER_RESULT x1 [rkey=0x1000 host=0x700000000]\n"
                  "< POST_SEND s2 READY x1\n"
                  "< FILL_RANGE o1 block=1 offset=0 length=4096 value=0\n");
    COMPLETE(bench, "o1", OK);
    EXPECT(bench, "> COMPLETED o1 OK\n"
                  "< POST_SEND s3 READY x1\n"
                  "< FILL_RANGE o2 block=1 offset=4096 length=4096 value=0\n");
    bench_close(bench);
}

/* Clause: C5, C16 */
static void test_core_pipeline_destination__one_more_than_the_credits__fails(void **state)
{
    struct bench *bench = destination_at(DESTINATION_IS_LISTED, &config);

    (void)state;
    bench->automatic = AUTO_SEND;
    for (uint64_t i = 0; i < 4; i++)
        destination_receive_compress(bench, 1, i * 4096, 4096);
    assert_null(rdmig_conn_failure(bench->conn));
    bench_begin(bench);
    destination_receive_compress(bench, 1, 0, 4096);
    bench_expect_failure(bench, RDMIG_REASON_MESSAGE_UNEXPECTED);
    EXPECT(bench, "> RECEIVED r0 COMPRESS x1 [value=0 block=1 offset=0x0 length=0x1000]\n"
                  "< POST_SEND s1 ERROR x1\n");
    bench_close(bench);
}

/* Clause: C16, B5 */
static void test_core_pipeline_destination__a_wrong_one__fails_when_its_turn_comes(void **state)
{
    struct bench *bench = destination_at(DESTINATION_IS_LISTED, &config);

    (void)state;
    bench->automatic = AUTO_SEND;
    destination_receive_compress(bench, 1, 0, 4096);
    destination_receive_compress(bench, 1, BLOCK1_BYTES, 4096); /* past the end */
    destination_receive_compress(bench, 1, 8192, 4096);
    assert_null(rdmig_conn_failure(bench->conn));
    COMPLETE(bench, "o1", OK);
    bench_expect_failure(bench, RDMIG_REASON_RANGE);
    EXPECT(bench, "> RECEIVED r1 COMPRESS x1 [value=0 block=1 offset=0x0 length=0x1000]\n"
                  "< FILL_RANGE o1 block=1 offset=0 length=4096 value=0\n"
                  "> RECEIVED r2 COMPRESS x1 [value=0 block=1 offset=0x200000 length=0x1000]\n"
                  "> RECEIVED r3 COMPRESS x1 [value=0 block=1 offset=0x2000 length=0x1000]\n"
                  "> COMPLETED o1 OK\n"
                  "< POST_SEND s1 READY x1\n"
                  "< POST_SEND s2 ERROR x1\n");
    bench_close(bench);
}

/* Clause: C16, E4 */
static void test_core_pipeline_destination__error__overtakes_what_waits(void **state)
{
    struct bench *bench = destination_at(DESTINATION_IS_LISTED, &config);

    (void)state;
    bench->automatic = AUTO_SEND;
    for (uint64_t i = 0; i < 4; i++)
        destination_receive_compress(bench, 1, i * 4096, 4096);
    bench_begin(bench);
    bench_receive_plain(bench, RDMIG_MESSAGE_ERROR);
    bench_expect_failure(bench, RDMIG_REASON_PEER_ERROR);
    EXPECT(bench, "> RECEIVED r0 ERROR x1\n"
                  "< DISCONNECT\n");
    COMPLETE(bench, "o1", OK); /* what was begun; nothing of the rest is */
    EXPECT(bench, "> COMPLETED o1 OK\n"
                  "< NOTIFY_CLOSED\n");
    bench_close(bench);
}

/* Clause: E11, C16 */
static void test_core_pipeline_destination__one_that_fails__ends_the_others(void **state)
{
    struct bench *bench = destination_at(DESTINATION_IS_LISTED, &config);

    (void)state;
    bench->automatic = AUTO_SEND;
    destination_receive_register(bench, 0, 0, 0);
    destination_receive_register(bench, 1, 0, 0);
    bench_begin(bench);
    COMPLETE(bench, "o1", ERROR, .os_code = 12);
    bench_expect_failure(bench, RDMIG_REASON_REGISTER_FAILED);
    EXPECT(bench, "> COMPLETED o1 ERROR os_code=12\n"
                  "< POST_SEND s1 ERROR x1\n");
    bench_close(bench);
}

/* Clause: C16 */
static void test_core_pipeline_destination__the_rest__goes_in_any_order_of_completions(void **state)
{
    struct bench *bench = destination_at(DESTINATION_IS_LISTED, &config);

    (void)state;
    bench->automatic = 0;
    /* The answers' and READYs' SENDs stay with the hardware: two large slots, four small ones. */
    for (uint64_t i = 0; i < 4; i++)
        destination_receive_register(bench, 0, i, 0);
    for (uint32_t i = 1; i <= 2; i++) {
        char name[8] = {'o', (char)('0' + i), 0};

        COMPLETE(bench, name, OK, .rkey = i);
    }
    EXPECT(bench, "> RECEIVED r1 REGISTER_REQUEST x1 [key=0x40000000 block=0 chunks=0]\n"
                  "< REGISTER o1 block=0 offset=0 length=1048576 region=0 remote-write\n"
                  "> RECEIVED r2 REGISTER_REQUEST x1 [key=0x40100000 block=0 chunks=0]\n"
                  "> RECEIVED r3 REGISTER_REQUEST x1 [key=0x40200000 block=0 chunks=0]\n"
                  "> RECEIVED r4 REGISTER_REQUEST x1 [key=0x40300000 block=0 chunks=0]\n"
                  "> COMPLETED o1 OK rkey=0x1\n"
                  "< POST_SEND s1 REGISTER_RESULT x1 [rkey=0x1 host=0x700000000]\n"
                  "< POST_SEND s2 READY x1\n"
                  "< REGISTER o2 block=0 offset=1048576 length=1048576 region=1 remote-write\n"
                  "> COMPLETED o2 OK rkey=0x2\n"
                  "< POST_SEND s3 REGISTER_RESULT x1 [rkey=0x2 host=0x700000000]\n"
                  "< POST_SEND s4 READY x1\n");
    COMPLETE(bench, "s1", OK); /* the first answer has gone: there is a slot for the third */
    COMPLETE(bench, "o3", OK, .rkey = 3);
    EXPECT(bench, "> COMPLETED s1 OK\n"
                  "< REGISTER o3 block=0 offset=2097152 length=1048576 region=2 remote-write\n"
                  "> COMPLETED o3 OK rkey=0x3\n"
                  "< POST_SEND s5 REGISTER_RESULT x1 [rkey=0x3 host=0x700000000]\n"
                  "< POST_SEND s6 READY x1\n");
    bench_close(bench);
}

/* Clause: C16, C11 */
static void test_core_pipeline_destination__ready__waits_for_a_slot(void **state)
{
    struct bench *bench = destination_at(DESTINATION_IS_LISTED, &config);

    (void)state;
    bench->automatic = AUTO_OPERATION;
    for (uint64_t i = 0; i < 6; i++)
        destination_receive_compress(bench, 1, i * 4096, 4096);
    bench_expect_counts(bench, 0, 4); /* the fifth and sixth are handled, and wait to say so */
    assert_null(rdmig_conn_failure(bench->conn));
    bench_begin(bench);
    COMPLETE(bench, "s1", OK);
    EXPECT(bench, "> COMPLETED s1 OK\n"
                  "< POST_SEND s5 READY x1\n"
                  "< FILL_RANGE o1 block=1 offset=20480 length=4096 value=0\n");
    COMPLETE(bench, "s2", OK);
    EXPECT(bench, "> COMPLETED s2 OK\n"
                  "< POST_SEND s6 READY x1\n");
    bench_close(bench);
}

/* Clause: C18 */
static void test_core_pipeline_destination__several_entries__are_all_handled(void **state)
{
    struct bench *bench = destination_at(DESTINATION_IS_LISTED, &config);

    (void)state;
    message_begin(bench->message, RDMIG_MESSAGE_COMPRESS, 2);
    message_compress(bench->message, 0, 0, DESTINATION_PLACE0, 4096);
    message_compress(bench->message, 0, 1, DESTINATION_PLACE1 + 4096, 8192);
    bench_receive(bench, bench->message);
    message_begin(bench->message, RDMIG_MESSAGE_REGISTER_REQUEST, 2);
    message_chunk(bench->message, DESTINATION_PLACE0, 0, 0);
    message_chunk(bench->message, DESTINATION_PLACE0 + MIB, 0, 1);
    bench_receive(bench, bench->message);
    message_begin(bench->message, RDMIG_MESSAGE_UNREGISTER_REQUEST, 2);
    message_chunk(bench->message, 1, 0, 0);
    message_chunk(bench->message, 0, 0, 0);
    bench_receive(bench, bench->message);
    EXPECT(bench, "> RECEIVED r1 COMPRESS x2 [value=0 block=0 offset=0x40000000 length=0x1000] "
                  "[value=0 block=1 offset=0x1000 length=0x2000]\n"
                  "< FILL_RANGE o1 block=0 offset=0 length=4096 value=0\n"
                  "< FILL_RANGE o2 block=1 offset=4096 length=8192 value=0\n"
                  "< POST_SEND s1 READY x1\n"
                  "> RECEIVED r2 REGISTER_REQUEST x2 [key=0x40000000 block=0 chunks=0] "
                  "[key=0x40100000 block=0 chunks=1]\n"
                  "< REGISTER o3 block=0 offset=0 length=1048576 region=0 remote-write\n"
                  "< REGISTER o4 block=0 offset=1048576 length=2097152 region=1 remote-write\n"
                  "< POST_SEND s2 REGISTER_RESULT x2 [rkey=0x1000 host=0x700000000] [rkey=0x1001 "
                  "host=0x700000000]\n"
                  "< POST_SEND s3 READY x1\n"
                  "> RECEIVED r3 UNREGISTER_REQUEST x2 [key=0x1 block=0 chunks=0] [key=0x0 block=0 "
                  "chunks=0]\n"
                  "< DEREGISTER o5 region=1\n"
                  "< DEREGISTER o6 region=0\n"
                  "< POST_SEND s4 UNREGISTER_FINISHED x1\n"
                  "< POST_SEND s5 READY x1\n");
    assert_int_equal(bench_counters(bench).bytes_zero, 12288);
    bench_close(bench);
}

/* Clause: C16, S9 */
static void
test_core_pipeline_destination__stream_bytes_without_any__need_no_consuming(void **state)
{
    struct bench *bench = destination_at(DESTINATION_IS_LISTED, &config);

    (void)state;
    bench->automatic = AUTO_SEND;
    destination_receive_stream(bench, "");
    destination_receive_stream(bench, "");
    EXPECT(bench, "> RECEIVED r1 QEMU_FILE x0 0 bytes ''\n"
                  "< POST_SEND s1 READY x1\n"
                  "> RECEIVED r2 QEMU_FILE x0 0 bytes ''\n"
                  "< POST_SEND s2 READY x1\n");
    bench_close(bench);
}

/* Nothing comes beside the stream, or the stream beside anything, before READY has gone for what
 * came first. Clause: C17 */
static void test_core_pipeline_destination__what_must_be_alone__is(void **state)
{
    static const struct {
        bool is_stream_first;
        bool is_ready_gone;
    } cases[] = {{true, false}, {true, true}, {false, false}, {false, true}};

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct bench *bench = destination_at(DESTINATION_IS_LISTED, &config);

        bench->is_quiet = true;
        bench->automatic = AUTO_SEND | (cases[i].is_ready_gone ? AUTO_OPERATION : 0u);
        if (cases[i].is_stream_first) {
            destination_receive_stream(bench, "abc");
            if (cases[i].is_ready_gone)
                FEED(bench, STREAM_CONSUMED, .length = 3);
            destination_receive_compress(bench, 1, 0, 4096);
        } else {
            destination_receive_compress(bench, 1, 0, 4096);
            destination_receive_stream(bench, "abc");
        }
        if (cases[i].is_ready_gone)
            assert_null(rdmig_conn_failure(bench->conn));
        else
            bench_expect_failure(bench, RDMIG_REASON_MESSAGE_UNEXPECTED);
        bench_close(bench);
    }
}

/* ---- silence, and the end */

/* Clause: E5 */
static void test_core_pipeline_destination__silence__counts_only_while_nothing_waits(void **state)
{
    const struct rdmig_conn_config timed = {.capability_flags = PIPELINE,
                                            .idle_timeout_ns = SECOND};
    struct bench *bench = destination_at(DESTINATION_IS_LISTED, &timed);

    (void)state;
    bench->automatic = AUTO_SEND;
    destination_receive_compress(bench, 1, 0, 4096);
    destination_receive_compress(bench, 1, 4096, 4096);
    bench_pass(bench, 10 * SECOND);
    COMPLETE(bench, "o1", OK);
    bench_pass(bench, 10 * SECOND); /* READY for the first is sent, the second is handled */
    assert_null(rdmig_conn_failure(bench->conn));
    COMPLETE(bench, "o2", OK);
    bench_pass(bench, SECOND + BLOCKS_WORK_NS - 1);
    assert_null(rdmig_conn_failure(bench->conn));
    bench_pass(bench, 1);
    bench_expect_failure(bench, RDMIG_REASON_PEER_SILENT);
    bench_close(bench);
}

/* Clause: E7, C17 */
static void
test_core_pipeline_destination__a_source_that_leaves_with_commands_queued__fails(void **state)
{
    struct bench *bench = destination_at(DESTINATION_IS_LISTED, &config);

    (void)state;
    bench->automatic = AUTO_SEND;
    destination_receive_compress(bench, 1, 0, 4096);
    destination_receive_compress(bench, 1, 4096, 4096);
    bench_begin(bench);
    FEED(bench, DISCONNECTED);
    bench_expect_failure(bench, RDMIG_REASON_PEER_DISCONNECTED);
    EXPECT(bench, "> DISCONNECTED\n"
                  "< DISCONNECT\n");
    bench_close(bench);
}

/* Clause: E7, C17 */
static void test_core_pipeline_destination__the_last_of_the_stream__is_consumed_first(void **state)
{
    struct bench *bench = destination_at(DESTINATION_IS_LISTED, &config);

    (void)state;
    destination_receive_stream(bench, "end");
    FEED(bench, DISCONNECTED);
    FEED(bench, STREAM_CONSUMED, .length = 3);
    FEED(bench, FINISH_REQUESTED);
    EXPECT(bench, "> RECEIVED r1 QEMU_FILE x0 3 bytes 'end'\n"
                  "< DELIVER_STREAM length=3\n"
                  "> DISCONNECTED\n"
                  "> STREAM_CONSUMED length=3\n"
                  "< NOTIFY_PEER_ENDED\n"
                  "> FINISH_REQUESTED\n"
                  "< DISCONNECT\n");
    bench_close(bench);
}

/* Clause: E12, C17 */
static void test_core_pipeline_destination__a_late_stream__is_delivered(void **state)
{
    struct bench *bench = destination_at(DESTINATION_IS_LISTED, &config);

    (void)state;
    bench->automatic = 0;
    FEED(bench, CANCEL_REQUESTED);
    destination_receive_stream(bench, "late");
    destination_receive_stream(bench, "more"); /* beside another: nobody's (clause C17) */
    EXPECT(bench, "> CANCEL_REQUESTED OK\n"
                  "< POST_SEND s1 ERROR x1\n"
                  "> RECEIVED r1 QEMU_FILE x0 4 bytes 'late'\n"
                  "< DELIVER_STREAM length=4\n"
                  "> RECEIVED r2 QEMU_FILE x0 4 bytes 'more'\n");
    bench_close(bench);
}

/* Clause: E12, C17 */
static void test_core_pipeline_destination__late_commands__are_not_handled(void **state)
{
    struct bench *bench = destination_at(DESTINATION_IS_LISTED, &config);

    (void)state;
    bench->automatic = 0;
    destination_receive_compress(bench, 1, 0, 4096);
    destination_receive_compress(bench, 1, 4096, 4096);
    FEED(bench, CANCEL_REQUESTED);
    bench_begin(bench);
    destination_receive_compress(bench, 1, 8192, 4096);
    destination_receive_stream(bench, "late"); /* behind commands: nobody's */
    EXPECT(bench, "> RECEIVED r3 COMPRESS x1 [value=0 block=1 offset=0x2000 length=0x1000]\n"
                  "> RECEIVED r4 QEMU_FILE x0 4 bytes 'late'\n");
    bench_close(bench);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_core_pipeline_destination__grants_what_was_offered_and_it_has),
        cmocka_unit_test(test_core_pipeline_destination__a_source_without_the_flag__has_one_credit),
        cmocka_unit_test(test_core_pipeline_destination__not_granted__is_cleared),
        cmocka_unit_test(test_core_pipeline_destination__no_credit_offered__is_rejected),
        cmocka_unit_test(test_core_pipeline_destination__fewer_bytes__are_rejected),
        cmocka_unit_test(test_core_pipeline_destination__commands__are_handled_one_after_the_other),
        cmocka_unit_test(test_core_pipeline_destination__zeros__do_not_wait_for_answers_to_leave),
        cmocka_unit_test(test_core_pipeline_destination__what_waits__keeps_its_place),
        cmocka_unit_test(test_core_pipeline_destination__one_more_than_the_credits__fails),
        cmocka_unit_test(test_core_pipeline_destination__a_wrong_one__fails_when_its_turn_comes),
        cmocka_unit_test(test_core_pipeline_destination__error__overtakes_what_waits),
        cmocka_unit_test(test_core_pipeline_destination__one_that_fails__ends_the_others),
        cmocka_unit_test(
            test_core_pipeline_destination__the_rest__goes_in_any_order_of_completions),
        cmocka_unit_test(test_core_pipeline_destination__ready__waits_for_a_slot),
        cmocka_unit_test(test_core_pipeline_destination__several_entries__are_all_handled),
        cmocka_unit_test(
            test_core_pipeline_destination__stream_bytes_without_any__need_no_consuming),
        cmocka_unit_test(test_core_pipeline_destination__what_must_be_alone__is),
        cmocka_unit_test(test_core_pipeline_destination__silence__counts_only_while_nothing_waits),
        cmocka_unit_test(
            test_core_pipeline_destination__a_source_that_leaves_with_commands_queued__fails),
        cmocka_unit_test(test_core_pipeline_destination__the_last_of_the_stream__is_consumed_first),
        cmocka_unit_test(test_core_pipeline_destination__a_late_stream__is_delivered),
        cmocka_unit_test(test_core_pipeline_destination__late_commands__are_not_handled),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
