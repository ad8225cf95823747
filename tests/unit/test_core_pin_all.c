/* SPDX-License-Identifier: BSD-2-Clause */
/* PIN_ALL: every block one region, at both ends, before the first write. */
#include "support/drive.h"

#include <stdlib.h>

static const struct rdmig_conn_config pin_all = {.capability_flags = RDMIG_CAPABILITY_PIN_ALL};

/* Clause: R7, R9 */
static void test_core_pin_all__source__registers_its_blocks_while_the_destination_does(void **state)
{
    struct bench *bench = source_at(SOURCE_IS_CREDITED, &pin_all);

    (void)state;
    bench->automatic = AUTO_SEND;
    FEED(bench, EXCHANGE_REQUESTED);
    EXPECT(bench, "> EXCHANGE_REQUESTED\n"
                  "< POST_SEND s1 RAM_BLOCKS_REQUEST x1\n"
                  "< REGISTER o1 block=0 offset=0 length=3149824 region=0\n"
                  "< REGISTER o2 block=1 offset=0 length=2097152 region=4\n");
    COMPLETE(bench, "o2", OK);
    source_receive_blocks(bench);
    EXPECT(bench,
           "> COMPLETED o2 OK\n"
           "> RECEIVED r1 RAM_BLOCKS_RESULT x1 [host=0x700000000 offset=0x40000000 length=0x301000 "
           "rkey=0xb0] [host=0x600000000 offset=0x0 length=0x200000 rkey=0xb1]\n");
    /* Ranges can be pushed when the last of our regions is there. */
    assert_int_equal(rdmig_conn_range_room_count(bench->conn), 0);
    COMPLETE(bench, "o1", OK);
    EXPECT(bench, "> COMPLETED o1 OK\n"
                  "< NOTIFY_BLOCKS_EXCHANGED\n");
    source_push(bench, 0, 3 * MIB, 4096);
    source_push(bench, 1, 4096, 4096);
    EXPECT(bench, "> RANGE_PUSHED block=0 offset=3145728 length=4096\n"
                  "< POST_WRITE w1 block=0 offset=3145728 length=4096 region=0 remote=0x700300000 "
                  "rkey=0xb0 signalled\n"
                  "> RANGE_PUSHED block=1 offset=4096 length=4096\n"
                  "< POST_WRITE w2 block=1 offset=4096 length=4096 region=4 remote=0x600001000 "
                  "rkey=0xb1 signalled\n");
    assert_int_equal(bench->action_counts[RDMIG_ACTION_POST_SEND], 1);
    bench_close(bench);
}

/* Clause: R7 */
static void test_core_pin_all__source__our_regions_first__waits_for_the_list(void **state)
{
    struct bench *bench = source_at(SOURCE_IS_CREDITED, &pin_all);

    (void)state;
    FEED(bench, EXCHANGE_REQUESTED);
    EXPECT(bench, "> EXCHANGE_REQUESTED\n"
                  "< POST_SEND s1 RAM_BLOCKS_REQUEST x1\n"
                  "< REGISTER o1 block=0 offset=0 length=3149824 region=0\n"
                  "< REGISTER o2 block=1 offset=0 length=2097152 region=4\n");
    source_receive_blocks(bench);
    EXPECT(bench,
           "> RECEIVED r1 RAM_BLOCKS_RESULT x1 [host=0x700000000 offset=0x40000000 length=0x301000 "
           "rkey=0xb0] [host=0x600000000 offset=0x0 length=0x200000 rkey=0xb1]\n"
           "< NOTIFY_BLOCKS_EXCHANGED\n");
    bench_close(bench);
}

/* Clause: R7 */
static void test_core_pin_all__source__writes_span_a_whole_block(void **state)
{
    const struct rdmig_conn_config config = {.capability_flags = RDMIG_CAPABILITY_PIN_ALL,
                                             .write_bytes_max = UINT64_C(1) << 30};
    struct bench *bench = source_at(SOURCE_IS_EXCHANGED, &config);

    (void)state;
    source_push(bench, 0, 0, BLOCK0_BYTES);
    EXPECT(bench, "> RANGE_PUSHED block=0 offset=0 length=3149824\n"
                  "< POST_WRITE w1 block=0 offset=0 length=3149824 region=0 remote=0x700000000 "
                  "rkey=0xb0 signalled\n");
    bench_close(bench);
}

/* Clause: W2, R7 */
static void
test_core_pin_all__source__refused_by_the_peer__registers_dynamically_and_says_so(void **state)
{
    struct bench *bench = source_at(SOURCE_IS_CONNECTING, &pin_all);

    (void)state;
    bench_establish(bench, 1, 0);
    EXPECT(bench, "> ESTABLISHED length=8 | version 1 flags 0x0\n"
                  "< NOTIFY_ESTABLISHED flags=0x0\n");
    source_provide(bench);
    bench_receive_ready(bench);
    FEED(bench, EXCHANGE_REQUESTED);
    source_receive_blocks(bench);
    bench_receive_ready(bench);
    bench_begin(bench);
    source_push(bench, 0, 0, 4096);
    EXPECT(bench, "> RANGE_PUSHED block=0 offset=0 length=4096\n"
                  "< POST_SEND s1 REGISTER_REQUEST x1 [key=0x40000000 block=0 chunks=0]\n"
                  "< REGISTER o1 block=0 offset=0 length=1048576 region=0\n");
    bench_close(bench);
}

/* Clause: R7, E11 */
static void test_core_pin_all__source__a_block_cannot_be_pinned__fails(void **state)
{
    struct bench *bench = source_at(SOURCE_IS_CREDITED, &pin_all);

    (void)state;
    bench->automatic = AUTO_SEND;
    FEED(bench, EXCHANGE_REQUESTED);
    COMPLETE(bench, "o2", ERROR, .os_code = 12);
    bench_expect_failure(bench, RDMIG_REASON_REGISTER_FAILED);
    bench_begin(bench);
    source_receive_blocks(bench);
    bench_receive_ready(bench);
    EXPECT(bench,
           "> RECEIVED r1 RAM_BLOCKS_RESULT x1 [host=0x700000000 offset=0x40000000 length=0x301000 "
           "rkey=0xb0] [host=0x600000000 offset=0x0 length=0x200000 rkey=0xb1]\n"
           "> RECEIVED r2 READY x1\n"
           "< POST_SEND s1 ERROR x1\n");
    bench_close(bench);
}

enum { MANY = 200 };

static void make_many(struct rdmig_block *blocks, uint64_t host_addr)
{
    for (uint32_t i = 0; i < MANY; i++)
        blocks[i] = (struct rdmig_block){host_addr + i * MIB, 4096, i * UINT64_C(0x100000)};
}

/* Clause: R7 */
static void test_core_pin_all__source__more_blocks_than_operations__pins_them_all(void **state)
{
    struct bench *bench = source_at(SOURCE_IS_ESTABLISHED, &pin_all);
    struct rdmig_block blocks[MANY];
    uint32_t answered = 0;

    (void)state;
    make_many(blocks, SOURCE_HOST0);
    bench_provide(bench, blocks, MANY);
    bench_receive_ready(bench);
    bench->automatic = AUTO_SEND;
    bench->is_quiet = true;
    FEED(bench, EXCHANGE_REQUESTED);
    /* A batch is out; each that comes back lets the next one go. */
    assert_int_equal(bench->action_counts[RDMIG_ACTION_REGISTER], 64);
    message_begin(bench->message, RDMIG_MESSAGE_RAM_BLOCKS_RESULT, 1);
    for (uint32_t i = 0; i < MANY; i++)
        message_block(bench->message, DESTINATION_HOST0 + i * MIB, i * MIB, 4096, 0x500 + i);
    bench_receive(bench, bench->message);
    bench_receive_ready(bench);
    for (size_t i = 0; i < bench->tag_count; i++) {
        const struct rdmig_action action = bench->tags[i].action;

        if (action.kind != RDMIG_ACTION_REGISTER)
            continue;
        assert_int_equal(bench->action_counts[RDMIG_ACTION_NOTIFY_BLOCKS_EXCHANGED], 0);
        assert_int_equal(action.block_index, answered);
        FEED(bench, COMPLETED, .tag = action.tag);
        answered++;
    }
    assert_int_equal(answered, MANY);
    assert_int_equal(bench->action_counts[RDMIG_ACTION_NOTIFY_BLOCKS_EXCHANGED], 1);
    source_push(bench, MANY - 1, 0, 4096);
    assert_int_equal(bench->last[RDMIG_ACTION_POST_WRITE].rkey, 0x500 + MANY - 1);
    assert_int_equal(bench->last[RDMIG_ACTION_POST_WRITE].region, MANY - 1);
    bench_close(bench);
}

/* Clause: R7, R9, C8, W7 */
static void test_core_pin_all__destination__registers_every_block_before_it_lists_them(void **state)
{
    struct bench *bench = destination_at(DESTINATION_IS_AWAITING, &pin_all);

    (void)state;
    bench->automatic = AUTO_SEND;
    bench_receive_plain(bench, RDMIG_MESSAGE_RAM_BLOCKS_REQUEST);
    EXPECT(bench, "> RECEIVED r0 RAM_BLOCKS_REQUEST x1\n"
                  "< REQUEST_BLOCKS\n");
    destination_provide(bench);
    EXPECT(bench, "> BLOCKS_PROVIDED count=2\n"
                  "< REGISTER o1 block=0 offset=0 length=3149824 region=0 remote-write\n");
    COMPLETE(bench, "o1", OK, .rkey = 0xb0);
    EXPECT(bench, "> COMPLETED o1 OK rkey=0xb0\n"
                  "< REGISTER o2 block=1 offset=0 length=2097152 region=4 remote-write\n");
    COMPLETE(bench, "o2", OK, .rkey = 0xb1);
    EXPECT(bench,
           "> COMPLETED o2 OK rkey=0xb1\n"
           "< POST_SEND s1 RAM_BLOCKS_RESULT x1 [host=0x700000000 offset=0x40000000 "
           "length=0x301000 rkey=0xb0] [host=0x600000000 offset=0x0 length=0x200000 rkey=0xb1]\n"
           "< POST_SEND s2 READY x1\n");
    assert_int_equal(bench_counters(bench).registrations, 2);
    bench_close(bench);
}

/* Clause: R7 */
static void test_core_pin_all__destination__many_blocks(void **state)
{
    struct bench *bench = destination_at(DESTINATION_IS_CONNECTING, &pin_all);
    struct rdmig_block blocks[MANY];

    (void)state;
    make_many(blocks, DESTINATION_HOST0);
    bench_provide(bench, blocks, MANY);
    bench_connect_request(bench, 1, 1);
    FEED(bench, ESTABLISHED);
    bench->is_quiet = true;
    bench_begin(bench);
    bench->is_quiet = true;
    bench_receive_plain(bench, RDMIG_MESSAGE_RAM_BLOCKS_REQUEST);
    assert_int_equal(bench->action_counts[RDMIG_ACTION_REGISTER], MANY);
    assert_int_equal(bench->action_counts[RDMIG_ACTION_POST_SEND], 2); /* the list and READY */
    assert_int_equal(bench_counters(bench).registrations, MANY);
    bench_close(bench);
}

/* Clause: R7, E11, E3 */
static void test_core_pin_all__destination__a_block_cannot_be_pinned__tells_the_peer(void **state)
{
    struct bench *bench = destination_at(DESTINATION_IS_AWAITING, &pin_all);

    (void)state;
    destination_provide(bench);
    bench_begin(bench);
    bench->automatic = AUTO_SEND;
    bench_receive_plain(bench, RDMIG_MESSAGE_RAM_BLOCKS_REQUEST);
    COMPLETE(bench, "o1", ERROR, .os_code = 12);
    EXPECT(bench, "> RECEIVED r0 RAM_BLOCKS_REQUEST x1\n"
                  "< REGISTER o1 block=0 offset=0 length=3149824 region=0 remote-write\n"
                  "> COMPLETED o1 ERROR os_code=12\n"
                  "< POST_SEND s1 ERROR x1\n");
    bench_expect_failure(bench, RDMIG_REASON_REGISTER_FAILED);
    assert_int_equal(rdmig_conn_failure(bench->conn)->os_code, 12);
    bench_close(bench);
}
int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(
            test_core_pin_all__source__registers_its_blocks_while_the_destination_does),
        cmocka_unit_test(test_core_pin_all__source__our_regions_first__waits_for_the_list),
        cmocka_unit_test(test_core_pin_all__source__writes_span_a_whole_block),
        cmocka_unit_test(
            test_core_pin_all__source__refused_by_the_peer__registers_dynamically_and_says_so),
        cmocka_unit_test(test_core_pin_all__source__a_block_cannot_be_pinned__fails),
        cmocka_unit_test(test_core_pin_all__source__more_blocks_than_operations__pins_them_all),
        cmocka_unit_test(
            test_core_pin_all__destination__registers_every_block_before_it_lists_them),
        cmocka_unit_test(test_core_pin_all__destination__many_blocks),
        cmocka_unit_test(test_core_pin_all__destination__a_block_cannot_be_pinned__tells_the_peer),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
