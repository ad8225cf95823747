/* SPDX-License-Identifier: BSD-2-Clause */
/* What a source lets go of to keep its limit on pinned memory, and when. */
#include "support/peer.h"

#define PIPELINE RDMIG_CAPABILITY_PIPELINE

static const uint64_t one_block[1] = {200 * MIB};

/* Pushes a page of each chunk, from first on, one after the other, all of them served. */
static void use_chunks(struct bench *bench, uint64_t first, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        assert_int_equal(source_push(bench, 0, (first + i) * MIB, 4096), RDMIG_OK);
        peer_serve(bench);
    }
}

static const struct rdmig_conn_config of_three = {.capability_flags = PIPELINE,
                                                  .pinned_bytes_max = 3 * MIB};

/* Clause: R13, R8 */
static void test_core_eviction__what_was_not_used_for_longest__goes_first(void **state)
{
    struct bench *bench = peer_source(&of_three, 0, one_block, 1);

    (void)state;
    bench->is_quiet = true;
    use_chunks(bench, 0, 4); /* all were used: the first goes */
    use_chunks(bench, 1, 1); /* used since the hand came by */
    bench_begin(bench);
    source_push(bench, 0, 4 * MIB, 4096);
    peer_serve(bench);
    EXPECT(bench, "> RANGE_PUSHED block=0 offset=4194304 length=4096\n"
                  "< POST_SEND s1 UNREGISTER_REQUEST x1 [key=0x2 block=0 chunks=0]\n"
                  "> COMPLETED s1 OK\n"
                  "> RECEIVED r7 UNREGISTER_FINISHED x1\n"
                  "< DEREGISTER o1 region=2\n"
                  "< POST_SEND s2 REGISTER_REQUEST x1 [key=0x400000 block=0 chunks=0]\n"
                  "< REGISTER o2 block=0 offset=4194304 length=1048576 region=4\n"
                  "> RECEIVED r8 READY x1\n"
                  "> COMPLETED s2 OK\n"
                  "> RECEIVED r0 REGISTER_RESULT x1 [rkey=0xa0 host=0x900000000]\n"
                  "< POST_WRITE w1 block=0 offset=4194304 length=4096 region=4 remote=0x900400000 "
                  "rkey=0xa0 signalled\n"
                  "> RECEIVED r1 READY x1\n");
    bench_close(bench);
}

/* Clause: R13 */
static void test_core_eviction__what_is_queued_before__stays(void **state)
{
    const struct rdmig_conn_config of_two = {.capability_flags = PIPELINE,
                                             .pinned_bytes_max = 2 * MIB};
    struct bench *bench = peer_source(&of_two, 0, one_block, 1);

    (void)state;
    bench->is_quiet = true;
    use_chunks(bench, 0, 2);
    bench_begin(bench);
    source_push_zero(bench, 0, 0, 4096);
    source_push(bench, 0, 0, 4096); /* waits for the zeros */
    source_push(bench, 0, 2 * MIB, 4096);
    EXPECT(bench, "> RANGE_PUSHED block=0 offset=0 length=4096 zero\n"
                  "< POST_SEND s1 COMPRESS x1 [value=0 block=0 offset=0x0 length=0x1000]\n"
                  "> RANGE_PUSHED block=0 offset=0 length=4096\n"
                  "> RANGE_PUSHED block=0 offset=2097152 length=4096\n"
                  "< POST_SEND s2 UNREGISTER_REQUEST x1 [key=0x1 block=0 chunks=0]\n");
    bench_close(bench);
}

/* Clause: R13 */
static void test_core_eviction__what_is_needed_later__goes_when_nothing_else_can(void **state)
{
    const struct rdmig_conn_config of_one = {.capability_flags = PIPELINE, .pinned_bytes_max = MIB};
    struct bench *bench = peer_source(&of_one, 0, one_block, 1);

    (void)state;
    bench->is_quiet = true;
    use_chunks(bench, 0, 1);
    for (uint64_t i = 0; i < 4; i++) /* all credits are spent */
        source_push_zero(bench, 0, (100 + i) * MIB, 4096);
    source_push(bench, 0, MIB, 4096);
    source_push(bench, 0, 4096, 4096);
    bench_begin(bench);
    peer_serve_one(bench);
    EXPECT(bench, "> COMPLETED s1 OK\n"
                  "> RECEIVED r8 READY x1\n"
                  "< POST_SEND s5 UNREGISTER_REQUEST x1 [key=0x0 block=0 chunks=0]\n");
    bench->is_quiet = true;
    peer_serve(bench);
    assert_int_equal(rdmig_conn_bytes_pending(bench->conn), 0);
    bench_close(bench);
}

/* Clause: R13, R8 */
static void test_core_eviction__what_is_written_to__stays_until_it_is_done(void **state)
{
    const struct rdmig_conn_config of_one = {.capability_flags = PIPELINE, .pinned_bytes_max = MIB};
    struct bench *bench = peer_source(&of_one, 0, one_block, 1);

    (void)state;
    bench->is_quiet = true;
    bench->automatic = AUTO_OPERATION;
    use_chunks(bench, 0, 1);
    bench_begin(bench);
    source_push(bench, 0, MIB, 4096);
    EXPECT(bench, "> RANGE_PUSHED block=0 offset=1048576 length=4096\n");
    COMPLETE(bench, "w1", OK);
    EXPECT(bench, "> COMPLETED w1 OK\n"
                  "< POST_SEND s1 UNREGISTER_REQUEST x1 [key=0x0 block=0 chunks=0]\n");
    bench_close(bench);
}

/* Clause: R13, C18 */
static void test_core_eviction__several_that_go__are_named_in_one_message(void **state)
{
    const struct rdmig_conn_config of_sixteen = {.capability_flags = PIPELINE,
                                                 .pinned_bytes_max = 16 * MIB};
    struct bench *bench = peer_source(&of_sixteen, 0, one_block, 1);

    (void)state;
    bench->is_quiet = true;
    use_chunks(bench, 0, 16);
    bench_begin(bench);
    bench->automatic = AUTO_WRITE;
    source_push(bench, 0, 50 * MIB, 2 * MIB);
    peer_serve(bench);
    EXPECT(bench, "> RANGE_PUSHED block=0 offset=52428800 length=2097152\n"
                  "< POST_SEND s1 UNREGISTER_REQUEST x2 [key=0x0 block=0 chunks=0] [key=0x1 "
                  "block=0 chunks=0]\n"
                  "> COMPLETED s1 OK\n"
                  "> RECEIVED r2 UNREGISTER_FINISHED x1\n"
                  "< DEREGISTER o1 region=0\n"
                  "< DEREGISTER o2 region=1\n"
                  "> RECEIVED r3 READY x1\n");
    COMPLETE(bench, "o2", OK);
    EXPECT(bench, "> COMPLETED o2 OK\n");
    COMPLETE(bench, "o1", OK);
    EXPECT(bench, "> COMPLETED o1 OK\n"
                  "< POST_SEND s2 REGISTER_REQUEST x1 [key=0x3200000 block=0 chunks=1]\n"
                  "< REGISTER o3 block=0 offset=52428800 length=2097152 region=50\n");
    bench_close(bench);
}

/* Clause: R13, R8 */
static void test_core_eviction__of_a_stock_destination__one_region_is_asked_at_a_time(void **state)
{
    const struct rdmig_conn_config of_sixteen = {.pinned_bytes_max = 16 * MIB};
    struct bench *bench = peer_source(&of_sixteen, 0, one_block, 1);

    (void)state;
    bench->is_quiet = true;
    use_chunks(bench, 0, 16);
    bench_begin(bench);
    source_push(bench, 0, 50 * MIB, 2 * MIB);
    peer_serve(bench);
    EXPECT(bench, "> RANGE_PUSHED block=0 offset=52428800 length=2097152\n"
                  "< POST_SEND s1 UNREGISTER_REQUEST x1 [key=0x0 block=0 chunks=0]\n"
                  "> COMPLETED s1 OK\n"
                  "> RECEIVED r2 UNREGISTER_FINISHED x1\n"
                  "< DEREGISTER o1 region=0\n"
                  "> RECEIVED r0 READY x1\n"
                  "< POST_SEND s2 UNREGISTER_REQUEST x1 [key=0x1 block=0 chunks=0]\n"
                  "> COMPLETED s2 OK\n"
                  "> RECEIVED r1 UNREGISTER_FINISHED x1\n"
                  "< DEREGISTER o2 region=1\n"
                  "> RECEIVED r2 READY x1\n"
                  "< POST_SEND s3 REGISTER_REQUEST x1 [key=0x3200000 block=0 chunks=1]\n"
                  "< REGISTER o3 block=0 offset=52428800 length=2097152 region=50\n"
                  "> COMPLETED s3 OK\n"
                  "> RECEIVED r0 REGISTER_RESULT x1 [rkey=0xa0 host=0x900000000]\n"
                  "< POST_WRITE w1 block=0 offset=52428800 length=2097152 region=50 "
                  "remote=0x903200000 rkey=0xa0 signalled\n"
                  "> RECEIVED r1 READY x1\n");
    bench_close(bench);
}

/* Clause: R13 */
static void test_core_eviction__more_than_the_list_holds__go_in_turns(void **state)
{
    const struct rdmig_conn_config of_many = {.capability_flags = PIPELINE,
                                              .pinned_bytes_max = 136 * MIB};
    struct bench *bench = peer_source(&of_many, 0, one_block, 1);

    (void)state;
    bench->is_quiet = true;
    use_chunks(bench, 0, 136);
    bench_begin(bench);
    bench->is_quiet = true;
    source_push(bench, 0, 150 * MIB, 17 * MIB);
    assert_int_equal(bench_u32_of_sent(bench, 8), 16);
    peer_serve_one(bench);
    assert_int_equal(bench_u32_of_sent(bench, 4), RDMIG_MESSAGE_UNREGISTER_REQUEST);
    assert_int_equal(bench_u32_of_sent(bench, 8), 1);
    peer_serve(bench);
    assert_int_equal(rdmig_conn_bytes_pending(bench->conn), 0);
    bench_close(bench);
}

/* Clause: R13 */
static void test_core_eviction__the_hand__finds_regions_wherever_they_are(void **state)
{
    static const uint64_t lengths[3] = {4096, 40 * MIB, 3 * MIB};
    static const uint64_t places[][2] = {{1, 20}, {1, 3}, {2, 2}, {0, 0}, {1, 39}, {1, 0}, {2, 0}};
    const struct rdmig_conn_config of_one = {.capability_flags = PIPELINE, .pinned_bytes_max = MIB};
    struct bench *bench = peer_source(&of_one, 0, lengths, 3);

    (void)state;
    bench->is_quiet = true;
    for (uint32_t i = 0; i < 70; i++) {
        const uint64_t *place = places[i % 7];

        assert_int_equal(source_push(bench, (uint32_t)place[0], place[1] * MIB, 4096), RDMIG_OK);
        peer_serve(bench);
        assert_int_equal(rdmig_conn_bytes_pending(bench->conn), 0);
    }
    bench_close(bench);
}

/* ---- the application lets go, too */

#define DROP(bench, chunk)                                                                         \
    FEED(bench, UNREGISTER_REQUESTED, .block_index = 0, .chunk_index = (chunk))

/* Clause: R13, R8, E1 */
static void test_core_eviction__the_application_may_unregister_meanwhile(void **state)
{
    struct bench *bench = peer_source(&of_three, 0, one_block, 1);

    (void)state;
    bench->is_quiet = true;
    use_chunks(bench, 0, 3);
    bench_begin(bench);
    source_push(bench, 0, 3 * MIB, 4096);
    assert_int_equal(DROP(bench, 0), -RDMIG_E_INVALID); /* it is leaving already */
    assert_int_equal(DROP(bench, 1), RDMIG_OK);
    assert_int_equal(DROP(bench, 2), -RDMIG_E_AGAIN); /* one at a time */
    peer_serve(bench);
    EXPECT(bench, "> RANGE_PUSHED block=0 offset=3145728 length=4096\n"
                  "< POST_SEND s1 UNREGISTER_REQUEST x1 [key=0x0 block=0 chunks=0]\n"
                  "> UNREGISTER_REQUESTED block=0 chunk=0 ! INVALID\n"
                  "> UNREGISTER_REQUESTED block=0 chunk=1\n"
                  "< POST_SEND s2 UNREGISTER_REQUEST x1 [key=0x1 block=0 chunks=0]\n"
                  "> UNREGISTER_REQUESTED block=0 chunk=2 ! AGAIN\n"
                  "> COMPLETED s1 OK\n"
                  "> RECEIVED r3 UNREGISTER_FINISHED x1\n"
                  "< DEREGISTER o1 region=0\n"
                  "< POST_SEND s3 REGISTER_REQUEST x1 [key=0x300000 block=0 chunks=0]\n"
                  "< REGISTER o2 block=0 offset=3145728 length=1048576 region=3\n"
                  "> RECEIVED r4 READY x1\n"
                  "> COMPLETED s2 OK\n"
                  "> RECEIVED r5 UNREGISTER_FINISHED x1\n"
                  "< DEREGISTER o3 region=1\n"
                  "< NOTIFY_UNREGISTERED region=1\n"
                  "> RECEIVED r6 READY x1\n"
                  "> COMPLETED s3 OK\n"
                  "> RECEIVED r7 REGISTER_RESULT x1 [rkey=0xa0 host=0x900000000]\n"
                  "< POST_WRITE w1 block=0 offset=3145728 length=4096 region=3 remote=0x900300000 "
                  "rkey=0xa0 signalled\n"
                  "> RECEIVED r8 READY x1\n");
    bench_close(bench);
}

/* Clause: R13, R8, E1 */
static void test_core_eviction__with_a_full_list__the_application_waits(void **state)
{
    const struct rdmig_conn_config of_many = {.capability_flags = PIPELINE,
                                              .pinned_bytes_max = 136 * MIB};
    struct bench *bench = peer_source(&of_many, 0, one_block, 1);

    (void)state;
    bench->is_quiet = true;
    use_chunks(bench, 0, 136);
    source_push(bench, 0, 150 * MIB, 17 * MIB);
    assert_int_equal(DROP(bench, 100), -RDMIG_E_AGAIN);
    bench_close(bench);
}

/* Clause: R8, E11 */
static void test_core_eviction__a_region_that_cannot_go__ends_it(void **state)
{
    struct bench *bench = peer_source(&of_three, 0, one_block, 1);

    (void)state;
    bench->is_quiet = true;
    use_chunks(bench, 0, 3);
    bench->automatic = AUTO_WRITE;
    bench_begin(bench);
    source_push(bench, 0, 3 * MIB, 4096);
    peer_serve(bench);
    COMPLETE(bench, "o1", ERROR, .os_code = 22);
    bench_expect_failure(bench, RDMIG_REASON_REGISTER_FAILED);
    bench_close(bench);
}

/* Clause: C10, C17, R8 */
static void test_core_eviction__a_round__ends_when_what_goes_is_gone(void **state)
{
    struct bench *bench = peer_source(&of_three, 0, one_block, 1);

    (void)state;
    bench->is_quiet = true;
    use_chunks(bench, 0, 1);
    bench->automatic = AUTO_WRITE;
    bench_begin(bench);
    assert_int_equal(DROP(bench, 0), RDMIG_OK);
    FEED(bench, ROUND_CLOSED);
    peer_serve(bench);
    EXPECT(bench, "> UNREGISTER_REQUESTED block=0 chunk=0\n"
                  "< POST_SEND s1 UNREGISTER_REQUEST x1 [key=0x0 block=0 chunks=0]\n"
                  "> ROUND_CLOSED\n"
                  "> COMPLETED s1 OK\n"
                  "> RECEIVED r8 UNREGISTER_FINISHED x1\n"
                  "< DEREGISTER o1 region=0\n"
                  "> RECEIVED r0 READY x1\n");
    COMPLETE(bench, "o1", OK);
    EXPECT(bench, "> COMPLETED o1 OK\n"
                  "< NOTIFY_UNREGISTERED region=0\n"
                  "< POST_SEND s2 REGISTER_FINISHED x1\n"
                  "< NOTIFY_ROUND_ENDED\n");
    bench_close(bench);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_core_eviction__what_was_not_used_for_longest__goes_first),
        cmocka_unit_test(test_core_eviction__what_is_queued_before__stays),
        cmocka_unit_test(test_core_eviction__what_is_needed_later__goes_when_nothing_else_can),
        cmocka_unit_test(test_core_eviction__what_is_written_to__stays_until_it_is_done),
        cmocka_unit_test(test_core_eviction__several_that_go__are_named_in_one_message),
        cmocka_unit_test(test_core_eviction__of_a_stock_destination__one_region_is_asked_at_a_time),
        cmocka_unit_test(test_core_eviction__more_than_the_list_holds__go_in_turns),
        cmocka_unit_test(test_core_eviction__the_hand__finds_regions_wherever_they_are),
        cmocka_unit_test(test_core_eviction__the_application_may_unregister_meanwhile),
        cmocka_unit_test(test_core_eviction__with_a_full_list__the_application_waits),
        cmocka_unit_test(test_core_eviction__a_region_that_cannot_go__ends_it),
        cmocka_unit_test(test_core_eviction__a_round__ends_when_what_goes_is_gone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
