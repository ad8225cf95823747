/* SPDX-License-Identifier: BSD-2-Clause */
/* Registrations between our own ends: several runs in a message, ahead of what is pushed, their two
 * halves in any order. */
#include "support/peer.h"

#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#define PIPELINE RDMIG_CAPABILITY_PIPELINE

static const uint64_t one_block[1] = {200 * MIB};
static const struct rdmig_conn_config of_one = {.capability_flags = PIPELINE, .run_chunk_count = 1};
static const struct rdmig_conn_config of_two = {.capability_flags = PIPELINE, .run_chunk_count = 2};

/* Answers o1, o2 and so on. */
static void complete_operation(struct bench *bench, uint32_t number)
{
    char name[16];

    snprintf(name, sizeof(name), "o%u", (unsigned int)number);
    COMPLETE(bench, name, OK);
}

/* Clause: C18, R3, R4 */
static void test_core_pipeline_runs__what_is_expected__is_asked_for_in_one_message(void **state)
{
    struct bench *bench = peer_source(&of_two, 0, one_block, 1);

    (void)state;
    source_push_until(bench, 0, 4096, 4096, 6 * MIB + 4096);
    EXPECT(bench,
           "> RANGE_PUSHED block=0 offset=4096 length=4096 register_end=6295552\n"
           "< POST_SEND s1 REGISTER_REQUEST x4 [key=0x0 block=0 chunks=1] [key=0x200000 block=0 "
           "chunks=1] [key=0x400000 block=0 chunks=1] [key=0x600000 block=0 chunks=0]\n"
           "< REGISTER o1 block=0 offset=0 length=2097152 region=0\n"
           "< REGISTER o2 block=0 offset=2097152 length=2097152 region=2\n"
           "< REGISTER o3 block=0 offset=4194304 length=2097152 region=4\n"
           "< REGISTER o4 block=0 offset=6291456 length=1048576 region=6\n");
    peer_serve(bench);
    bench_begin(bench);
    source_push_until(bench, 0, 5 * MIB, 4096, 6 * MIB + 4096);
    EXPECT(bench, "> RANGE_PUSHED block=0 offset=5242880 length=4096 register_end=6295552\n"
                  "< POST_WRITE w1 block=0 offset=5242880 length=4096 region=4 remote=0x900500000 "
                  "rkey=0xa2 signalled\n");
    bench_close(bench);
}

/* A stock destination has registered what is expected by the time it has been scanned. Clause: R3
 */
static void test_core_pipeline_runs__without_the_flag__one_run_after_another_is(void **state)
{
    const struct rdmig_conn_config single = {
        .run_chunk_count = 2, .write_bytes_max = 4096, .flight_bytes_max = 65536};
    struct bench *bench = peer_source(&single, 0, one_block, 1);

    (void)state;
    bench->automatic = AUTO_OPERATION; /* most of the range stays in the queue */
    bench->is_quiet = true;
    source_push_until(bench, 0, 0, MIB, 6 * MIB + 4096);
    for (uint32_t first_chunk = 0; first_chunk <= 6; first_chunk += 2) {
        assert_int_equal(bench_u32_of_sent(bench, 4), RDMIG_MESSAGE_REGISTER_REQUEST);
        assert_int_equal(bench_u32_of_sent(bench, 8), 1);
        assert_int_equal(bench_u32_of_sent(bench, 16 + 4), first_chunk * MIB);
        assert_int_equal(bench->action_counts[RDMIG_ACTION_REGISTER], first_chunk / 2 + 1);
        peer_serve_one(bench);
    }
    assert_int_equal(bench->action_counts[RDMIG_ACTION_POST_SEND], 4);
    bench_close(bench);
}

/* It may go on with the next range. Clause: R3 */
static void test_core_pipeline_runs__less_than_half_a_run_ahead__waits(void **state)
{
    const struct rdmig_conn_config config = {.capability_flags = PIPELINE, .run_chunk_count = 8};
    static const uint64_t reach_chunks[] = {8, 11, 12, 16};
    static const uint32_t run_counts[] = {1, 1, 2, 2};

    (void)state;
    for (size_t i = 0; i < sizeof(run_counts) / sizeof(run_counts[0]); i++) {
        struct bench *bench = peer_source(&config, 0, one_block, 1);

        bench->is_quiet = true;
        source_push_until(bench, 0, 0, 4096, reach_chunks[i] * MIB);
        assert_int_equal(bench_u32_of_sent(bench, 8), run_counts[i]);
        peer_serve(bench);
        source_push_until(bench, 0, 8 * MIB, 4096, 16 * MIB);
        bench_expect_counts(bench, run_counts[i] == 1 ? 1 : 2, i == 3 ? 1 : 2);
        if (run_counts[i] == 1) /* whole, when it is needed */
            assert_int_equal(bench_u32_of_sent(bench, 16 + 20), 7);
        bench_close(bench);
    }
}

/* From here on a look at the table's whole pages, all but those of the first chunks, is a fault. */
static void allow_tables(struct bench *bench, size_t tables_bytes, int protection)
{
    const uintptr_t page_bytes = (uintptr_t)sysconf(_SC_PAGESIZE);
    const uintptr_t first = ((uintptr_t)bench->tables + 2 * page_bytes - 1) / page_bytes;
    const uintptr_t end = ((uintptr_t)bench->tables + tables_bytes) / page_bytes;

    assert_true(end > first + 40);
    assert_int_equal(mprotect((void *)(first * page_bytes), (end - first) * page_bytes, protection),
                     0);
}

/* Where pages are few and far between, each range's registrations reach over the same chunks.
 * Clause: R3 */
static void test_core_pipeline_runs__what_was_planned__is_not_looked_at_again(void **state)
{
    static const uint64_t lengths[1] = {32768 * MIB};
    const struct rdmig_block block = {.length_bytes = lengths[0]};
    const size_t tables_bytes = rdmig_blocks_footprint_bytes(&block, 1);

    (void)state;
    for (uint32_t flags = 0; flags <= PIPELINE; flags += PIPELINE) {
        const struct rdmig_conn_config config = {.capability_flags = flags,
                                                 .run_chunk_count = 32768};
        struct bench *bench = peer_source(&config, 0, lengths, 1);

        bench->is_quiet = true;
        source_push_until(bench, 0, 0, 4096, lengths[0]);
        peer_serve(bench);
        bench_expect_counts(bench, 1, 1);
        allow_tables(bench, tables_bytes, PROT_NONE);
        source_push_until(bench, 0, 32768, 4096, lengths[0]);
        bench_expect_counts(bench, 2, 1);
        allow_tables(bench, tables_bytes, PROT_READ | PROT_WRITE);
        bench_close(bench);
    }
}

/* Clause: R12, R3 */
static void test_core_pipeline_runs__messages__name_twice_as_many_each_time(void **state)
{
    static const uint32_t run_counts[] = {2, 4, 5}; /* of 16 each; at last all that is left */
    const struct rdmig_conn_config config = {
        .capability_flags = PIPELINE, .run_chunk_count = 16, .first_run_chunk_count = 2};
    struct bench *bench = peer_source(&config, 0, one_block, 1);

    (void)state;
    bench->is_quiet = true;
    source_push(bench, 0, 0, 200 * MIB);
    /* A message each for runs of 2, 4, 8 and 16: two of them would be more than twice the last. */
    bench_expect_counts(bench, 0, 4);
    assert_int_equal(bench_u32_of_sent(bench, 8), 1);
    assert_int_equal(bench_u32_of_sent(bench, 16 + 4), (2 + 4 + 8) * MIB);
    assert_int_equal(bench_u32_of_sent(bench, 16 + 20), 15);
    for (size_t i = 0; i < sizeof(run_counts) / sizeof(run_counts[0]); i++) {
        peer_serve_one(bench);
        assert_int_equal(bench_u32_of_sent(bench, 8), run_counts[i]);
    }
    bench_close(bench);
}

static struct bench *push_a_page_of_six_runs(void)
{
    const struct rdmig_conn_config config = {
        .capability_flags = PIPELINE, .run_chunk_count = 32, .first_run_chunk_count = 32};
    struct bench *bench = peer_source(&config, 0, one_block, 1);

    bench->is_quiet = true;
    source_push_until(bench, 0, 0, 4096, 192 * MIB);
    return bench;
}

/* What is far from what is written, or beside nothing that is, is made when the answer has come:
 * the link waits for the scan, not for us. Clause: R10 */
static void test_core_pipeline_runs__our_halves__of_far_runs_wait_for_the_answer(void **state)
{
    struct bench *bench = push_a_page_of_six_runs();

    (void)state;
    bench_expect_counts(bench, 0, 3); /* 32 chunks, 64, and the 96 that are left */
    assert_int_equal(bench->action_counts[RDMIG_ACTION_REGISTER], 3); /* at 0, 32 and 64 */
    peer_serve_one(bench);
    bench_expect_counts(bench, 1, 3);
    assert_int_equal(bench->action_counts[RDMIG_ACTION_REGISTER], 3);
    peer_serve(bench);
    assert_int_equal(bench->action_counts[RDMIG_ACTION_REGISTER], 6);
    bench_close(bench);
}

/* Or for the end of the round, which waits for them. Clause: R10, C10 */
static void test_core_pipeline_runs__our_halves__of_far_runs_are_made_at_the_end(void **state)
{
    struct bench *bench = push_a_page_of_six_runs();

    (void)state;
    peer_serve_one(bench);
    FEED(bench, ROUND_CLOSED);
    assert_int_equal(bench->action_counts[RDMIG_ACTION_REGISTER], 6);
    bench_close(bench);
}

/* Clause: R4, R10 */
static void test_core_pipeline_runs__a_full_ring__goes_on_when_runs_are_done(void **state)
{
    struct bench *bench = peer_source(&of_one, 0, one_block, 1);

    (void)state;
    bench->automatic = AUTO_WRITE;
    bench->is_quiet = true;
    source_push_until(bench, 0, 0, 4 * MIB, 200 * MIB);
    assert_int_equal(bench_u32_of_sent(bench, 8), RDMIG_REGISTER_BATCH_MAX);
    peer_serve(bench);
    bench_expect_counts(bench, 0, 1); /* our halves are in progress: no run is done */
    assert_int_equal(bench->action_counts[RDMIG_ACTION_REGISTER], 64);
    complete_operation(bench, 2); /* not the first: its place is not free yet */
    bench_expect_counts(bench, 0, 1);
    complete_operation(bench, 1);
    bench_expect_counts(bench, 2, 2); /* their writes, and both places are used again */
    assert_int_equal(bench_u32_of_sent(bench, 8), 2);
    complete_operation(bench, 3);
    bench_expect_counts(bench, 3, 3); /* next to the outstanding one */
    bench_close(bench);
}

/* Clause: R10 */
static void test_core_pipeline_runs__our_halves__end_in_any_order(void **state)
{
    struct bench *bench = peer_source(&of_one, 0, one_block, 1);

    (void)state;
    bench->automatic = AUTO_SEND;
    source_push(bench, 0, 0, 3 * MIB);
    bench_begin(bench);
    complete_operation(bench, 3);
    message_begin(bench->message, RDMIG_MESSAGE_REGISTER_RESULT, 3);
    for (uint32_t i = 1; i <= 3; i++)
        message_result(bench->message, i, PEER_HOST);
    bench_receive(bench, bench->message);
    complete_operation(bench, 1);
    EXPECT(bench, "> COMPLETED o3 OK\n"
                  "> RECEIVED r6 REGISTER_RESULT x3 [rkey=0x1 host=0x900000000] [rkey=0x2 "
                  "host=0x900000000] [rkey=0x3 host=0x900000000]\n"
                  "> COMPLETED o1 OK\n"
                  "< POST_WRITE w1 block=0 offset=0 length=1048576 region=0 remote=0x900000000 "
                  "rkey=0x1 signalled\n");
    complete_operation(bench, 2);
    EXPECT(bench, "> COMPLETED o2 OK\n"
                  "< POST_WRITE w2 block=0 offset=1048576 length=1048576 region=1 "
                  "remote=0x900100000 rkey=0x2\n"
                  "< POST_WRITE w3 block=0 offset=2097152 length=1048576 region=2 "
                  "remote=0x900200000 rkey=0x3 signalled\n");
    bench_close(bench);
}

/* Clause: R10, E11 */
static void test_core_pipeline_runs__one_of_ours_that_fails__ends_it(void **state)
{
    struct bench *bench = peer_source(&of_one, 0, one_block, 1);

    (void)state;
    bench->automatic = AUTO_SEND;
    source_push(bench, 0, 0, 3 * MIB);
    bench_begin(bench);
    COMPLETE(bench, "o2", ERROR, .os_code = 12);
    bench_expect_failure(bench, RDMIG_REASON_REGISTER_FAILED);
    EXPECT(bench, "> COMPLETED o2 ERROR os_code=12\n"
                  "< POST_SEND s1 ERROR x1\n");
    bench_close(bench);
}

/* Clause: R11, R12 */
static void test_core_pipeline_runs__a_wrong_address__fails_whichever_it_is_in(void **state)
{
    (void)state;
    for (uint32_t wrong = 0; wrong < 3; wrong++) {
        struct bench *bench = peer_source(&of_one, 0, one_block, 1);

        source_push(bench, 0, 0, 3 * MIB);
        message_begin(bench->message, RDMIG_MESSAGE_REGISTER_RESULT, 3);
        for (uint32_t i = 0; i < 3; i++)
            message_result(bench->message, i, PEER_HOST + (i == wrong ? 4096 : 0));
        bench_receive(bench, bench->message);
        bench_expect_failure(bench, RDMIG_REASON_HOST_ADDR);
        bench_close(bench);
    }
}

/* Clause: C10, C17, R10 */
static void test_core_pipeline_runs__a_round__ends_when_every_run_is_settled(void **state)
{
    struct bench *bench = peer_source(&of_two, 0, one_block, 1);

    (void)state;
    bench->automatic = AUTO_WRITE;
    bench->is_quiet = true;
    source_push_until(bench, 0, 0, 4096, 4 * MIB); /* two runs, the second never used */
    FEED(bench, ROUND_CLOSED);
    complete_operation(bench, 1);
    peer_serve_one(bench);
    bench_expect_counts(bench, 1, 1);
    bench_begin(bench);
    complete_operation(bench, 1); /* the other one */
    EXPECT(bench, "> COMPLETED o1 OK\n"
                  "< POST_SEND s1 REGISTER_FINISHED x1\n"
                  "< NOTIFY_ROUND_ENDED\n");
    bench_close(bench);
}

/* Clause: R10, R8 */
static void test_core_pipeline_runs__more_operations_than_the_table_holds__wait(void **state)
{
    struct bench *bench = peer_source(&of_one, 0, one_block, 1);

    (void)state;
    bench->is_quiet = true;
    source_push(bench, 0, 0, 4096);
    peer_serve(bench);
    bench->automatic = AUTO_WRITE;
    assert_int_equal(FEED(bench, UNREGISTER_REQUESTED, .block_index = 0, .chunk_index = 0),
                     RDMIG_OK);
    peer_serve(bench);
    bench_begin(bench); /* o1: ours is being unregistered */
    bench->is_quiet = true;
    source_push(bench, 0, MIB, 64 * MIB);
    peer_serve(bench);
    assert_int_equal(bench->action_counts[RDMIG_ACTION_REGISTER], 63);
    complete_operation(bench, 2);
    assert_int_equal(bench->action_counts[RDMIG_ACTION_REGISTER], 64);
    bench_close(bench);
}

/* Clause: R10, R8 */
static void test_core_pipeline_runs__nor_has_what_leaves_a_place_then(void **state)
{
    struct bench *bench = peer_source(&of_one, 0, one_block, 1);

    (void)state;
    bench->is_quiet = true;
    source_push(bench, 0, 0, 4096);
    peer_serve(bench);
    bench->automatic = AUTO_WRITE;
    FEED(bench, UNREGISTER_REQUESTED, .block_index = 0, .chunk_index = 0);
    source_push(bench, 0, MIB, 64 * MIB);
    bench_begin(bench);
    bench->is_quiet = true;
    peer_serve(bench);
    assert_int_equal(bench->action_counts[RDMIG_ACTION_DEREGISTER], 0);
    complete_operation(bench, 64);
    assert_int_equal(bench->action_counts[RDMIG_ACTION_DEREGISTER], 1);
    complete_operation(bench, 65);
    assert_int_equal(bench->action_counts[RDMIG_ACTION_NOTIFY_UNREGISTERED], 1);
    bench_close(bench);
}

/* Clause: C18, R3 */
static void test_core_pipeline_runs__zeros_in_between__do_not_end_a_batch(void **state)
{
    struct bench *bench = peer_source(&of_one, 0, one_block, 1);

    (void)state;
    for (uint64_t i = 0; i < 4; i++) /* all credits are spent */
        source_push_zero(bench, 0, i * 8192, 4096);
    source_push(bench, 0, MIB, 4096);
    source_push_zero(bench, 0, 2 * MIB, 4096);
    source_push(bench, 0, 3 * MIB, 4096);
    bench_begin(bench);
    bench->is_quiet = false;
    peer_serve_one(bench);
    EXPECT(bench, "> COMPLETED s1 OK\n"
                  "> RECEIVED r6 READY x1\n"
                  "< POST_SEND s5 REGISTER_REQUEST x2 [key=0x100000 block=0 chunks=0] "
                  "[key=0x300000 block=0 chunks=0]\n"
                  "< REGISTER o1 block=0 offset=1048576 length=1048576 region=1\n"
                  "< REGISTER o2 block=0 offset=3145728 length=1048576 region=3\n");
    bench_close(bench);
}

/* Clause: R8, E1 */
static void
test_core_pipeline_runs__a_region_that_leaves__is_not_asked_for_anew_before(void **state)
{
    struct bench *bench = peer_source(&of_one, 0, one_block, 1);

    (void)state;
    bench->is_quiet = true;
    source_push(bench, 0, MIB, 4096);
    peer_serve(bench);
    bench->automatic = AUTO_WRITE;
    FEED(bench, UNREGISTER_REQUESTED, .block_index = 0, .chunk_index = 1);
    source_push(bench, 0, 0, 3 * MIB);
    bench_begin(bench);
    EXPECT(bench);
    peer_serve(bench);
    EXPECT(bench, "> COMPLETED s1 OK\n"
                  "> RECEIVED r8 UNREGISTER_FINISHED x1\n"
                  "< DEREGISTER o2 region=1\n"
                  "> RECEIVED r0 READY x1\n"
                  "> COMPLETED s2 OK\n"
                  "> RECEIVED r1 REGISTER_RESULT x1 [rkey=0xa0 host=0x900000000]\n"
                  "> RECEIVED r2 READY x1\n");
    COMPLETE(bench, "o2", OK);
    EXPECT(bench, "> COMPLETED o2 OK\n"
                  "< NOTIFY_UNREGISTERED region=1\n"
                  "< POST_SEND s3 REGISTER_REQUEST x2 [key=0x100000 block=0 chunks=0] "
                  "[key=0x200000 block=0 chunks=0]\n"
                  "< REGISTER o3 block=0 offset=1048576 length=1048576 region=1\n"
                  "< REGISTER o4 block=0 offset=2097152 length=1048576 region=2\n");
    bench_close(bench);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_core_pipeline_runs__what_is_expected__is_asked_for_in_one_message),
        cmocka_unit_test(test_core_pipeline_runs__without_the_flag__one_run_after_another_is),
        cmocka_unit_test(test_core_pipeline_runs__less_than_half_a_run_ahead__waits),
        cmocka_unit_test(test_core_pipeline_runs__what_was_planned__is_not_looked_at_again),
        cmocka_unit_test(test_core_pipeline_runs__messages__name_twice_as_many_each_time),
        cmocka_unit_test(test_core_pipeline_runs__our_halves__of_far_runs_wait_for_the_answer),
        cmocka_unit_test(test_core_pipeline_runs__our_halves__of_far_runs_are_made_at_the_end),
        cmocka_unit_test(test_core_pipeline_runs__a_full_ring__goes_on_when_runs_are_done),
        cmocka_unit_test(test_core_pipeline_runs__our_halves__end_in_any_order),
        cmocka_unit_test(test_core_pipeline_runs__one_of_ours_that_fails__ends_it),
        cmocka_unit_test(test_core_pipeline_runs__a_wrong_address__fails_whichever_it_is_in),
        cmocka_unit_test(test_core_pipeline_runs__a_round__ends_when_every_run_is_settled),
        cmocka_unit_test(test_core_pipeline_runs__more_operations_than_the_table_holds__wait),
        cmocka_unit_test(test_core_pipeline_runs__nor_has_what_leaves_a_place_then),
        cmocka_unit_test(test_core_pipeline_runs__zeros_in_between__do_not_end_a_batch),
        cmocka_unit_test(
            test_core_pipeline_runs__a_region_that_leaves__is_not_asked_for_anew_before),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
