/* SPDX-License-Identifier: BSD-2-Clause */
/* Memory regions: who may touch which byte, what is pinned, and what becomes of it in the end. */
#include "link_fixture.h"
#include "memlock_fixture.h"

static struct link_stats numbers(void)
{
    struct link_stats out;

    link_stats(the_link, &out);
    return out;
}

/* Field S9: a source opens none of its memory to the peer, whatever it is asked to do. */
static void test_link__source_registers_ram__peer_has_no_access_at_all(void **state)
{
    (void)state;
    make_source();
    provide_blocks();
    give(action_register(1, 0, 1, 1048576, 1048576)); /* is_remote_writable is set */
    turn();
    assert_int_equal(mock.region_count, 2);
    assert_ptr_equal(mock.regions[1].addr, ram + 1048576);
    assert_int_equal(mock.regions[1].length, 1048576);
    assert_int_equal(mock.regions[1].access, 0);
    assert_int_equal(answer_to(1)->status, RDMIG_STATUS_OK);
    assert_int_equal(answer_to(1)->rkey, mock.regions[1].rkey);
}

static void test_link__destination_registers_ram__peer_may_write_that_only(void **state)
{
    struct rdmig_action local = action_register(2, 1, 3, 0, 1048576);

    (void)state;
    make_destination();
    provide_blocks();
    give(action_register(1, 0, 2, 2097152, 524288));
    local.is_remote_writable = false;
    give(local);
    turn();
    assert_ptr_equal(mock.regions[1].addr, ram + 2097152);
    assert_int_equal(mock.regions[1].length, 524288);
    assert_int_equal(mock.regions[1].access, IBV_ACCESS_LOCAL_WRITE | IBV_ACCESS_REMOTE_WRITE);
    assert_int_equal(mock.regions[2].access, IBV_ACCESS_LOCAL_WRITE);
    assert_int_equal(mock.regions[0].access, IBV_ACCESS_LOCAL_WRITE); /* control memory */
}

static void test_link__registered_and_deregistered__pinned_bytes_follow(void **state)
{
    (void)state;
    make_destination();
    provide_blocks();
    assert_int_equal(numbers().pinned_bytes, SCRIPT_CONTROL_BYTES);
    assert_int_equal(numbers().region_count, 1);
    assert_string_equal(numbers().device_name, "mock0");
    give(action_register(1, 0, 0, 0, 1048576));
    give(action_register(2, 1, 3, 0, 1048576));
    turn();
    assert_int_equal(numbers().pinned_bytes, SCRIPT_CONTROL_BYTES + 2097152);
    assert_int_equal(numbers().region_count, 3);
    give((struct rdmig_action){.kind = RDMIG_ACTION_DEREGISTER, .tag = 3, .region = 0});
    turn();
    assert_int_equal(answer_to(3)->status, RDMIG_STATUS_OK);
    assert_false(mock.regions[1].is_live);
    assert_true(mock.regions[2].is_live);
    assert_int_equal(numbers().pinned_bytes, SCRIPT_CONTROL_BYTES + 1048576);
    assert_int_equal(numbers().pinned_bytes_max, SCRIPT_CONTROL_BYTES + 2097152);
    /* The number is free again. */
    give(action_register(4, 0, 0, 0, 2097152));
    turn();
    assert_int_equal(answer_to(4)->status, RDMIG_STATUS_OK);
    assert_int_equal(numbers().pinned_bytes_max, SCRIPT_CONTROL_BYTES + 3145728);
}

static void test_link__registrations_left_at_the_end__are_undone_by_destroy(void **state)
{
    (void)state;
    make_destination();
    provide_blocks();
    for (uint32_t i = 0; i < 3; i++)
        give(action_register(1 + i, 0, i, (uint64_t)i * 1048576, i < 2 ? 1048576 : 524288));
    turn();
    assert_int_equal(mock_live_count(MOCK_REGION), 4);
    drop_link();
    assert_true(mock_is_before("rdma_destroy_qp", "ibv_dereg_mr"));
    assert_true(mock_is_before("ibv_dereg_mr", "ibv_destroy_cq"));
    assert_true(mock_is_before("ibv_destroy_cq", "ibv_destroy_comp_channel"));
    assert_true(mock_is_before("ibv_destroy_comp_channel", "ibv_dealloc_pd"));
    assert_true(mock_is_before("ibv_dealloc_pd", "rdma_destroy_id"));
    assert_true(mock_is_before("rdma_destroy_id", "rdma_destroy_event_channel"));
}

static void test_link__registration_outside_its_block_or_twice__is_refused(void **state)
{
    (void)state;
    make_destination();
    give(action_register(1, 0, 0, 0, 4096)); /* no blocks yet */
    turn();
    provide_blocks();
    give(action_register(2, 0, 0, 1048576, 2097152)); /* beyond the end */
    give(action_register(3, 0, 0, UINT64_MAX, 2));    /* runs over */
    give(action_register(4, 0, 0, 0, 0));             /* nothing */
    give(action_register(5, 2, 0, 0, 4096));          /* no such block */
    give(action_register(6, 0, 4, 0, 4096));          /* no such region */
    give(action_register(7, 0, 0, 0, 4096));
    give(action_register(8, 0, 0, 0, 4096)); /* there is one already */
    turn();
    for (uint64_t tag = 1; tag <= 8; tag++) {
        assert_int_equal(answer_to(tag)->status, tag == 7 ? RDMIG_STATUS_OK : RDMIG_STATUS_ERROR);
        if (tag != 7)
            assert_int_equal(answer_to(tag)->os_code, EINVAL);
    }
    assert_int_equal(mock.region_count, 2);
}

static void test_link__deregistration_of_nothing__is_refused(void **state)
{
    (void)state;
    make_destination();
    give((struct rdmig_action){.kind = RDMIG_ACTION_DEREGISTER, .tag = 1, .region = 0});
    turn();
    provide_blocks();
    give((struct rdmig_action){.kind = RDMIG_ACTION_DEREGISTER, .tag = 2, .region = 0});
    give((struct rdmig_action){.kind = RDMIG_ACTION_DEREGISTER, .tag = 3, .region = 4000000000});
    turn();
    for (uint64_t tag = 1; tag <= 3; tag++)
        assert_int_equal(answer_to(tag)->status, RDMIG_STATUS_ERROR);
}

static void test_link__deregistration_fails__region_is_kept_for_destroy(void **state)
{
    (void)state;
    make_destination();
    provide_blocks();
    give(action_register(1, 0, 0, 0, 4096));
    turn();
    mock_fail("ibv_dereg_mr", EBUSY);
    give((struct rdmig_action){.kind = RDMIG_ACTION_DEREGISTER, .tag = 2, .region = 0});
    turn();
    assert_int_equal(answer_to(2)->os_code, EBUSY);
    mock_fail(NULL, 0);
    drop_link();
}

static void test_link__registration_after_the_pair_is_gone__comes_back_flushed(void **state)
{
    (void)state;
    make_destination();
    provide_blocks();
    give_kind(RDMIG_ACTION_ABANDON);
    give(action_register(1, 0, 0, 0, 4096));
    turn();
    assert_int_equal(answer_to(1)->status, RDMIG_STATUS_FLUSHED);
}

/* ---- how long it takes */

#define MS UINT64_C(1000000)

/* Four regions of 2 ms each: 6 ms have passed after the third. */
static void make_slow_destination(void)
{
    make_destination();
    provide_blocks();
    mock.clock_ns = link_now_ns() + 1000 * MS;
    mock.region_ns = 2 * MS;
}

static void test_link__registering_takes_long__completions_are_seen_in_between(void **state)
{
    struct rdmig_action action;

    (void)state;
    make_slow_destination();
    give(action_recv(50, 0));
    turn();
    for (uint32_t i = 0; i < 4; i++)
        give(action_register(1 + i, i == 3, i, i == 3 ? 0 : (uint64_t)i * 1048576,
                             i == 2 ? 524288 : 1048576));
    give_kind(RDMIG_ACTION_NOTIFY_FLUSHED);
    assert_false(is_readable());
    assert_false(link_next_action(the_link, &action)); /* not the end: a rest */
    assert_true(is_answered(3));
    assert_false(is_answered(4));
    assert_int_equal(mock.region_count, 4); /* control memory is one */
    /* Whatever the owner does meanwhile, nothing more is begun, and it is called again at once. */
    assert_false(link_next_action(the_link, &action));
    assert_int_equal(mock.region_count, 4);
    assert_true(is_readable());
    mock_complete_receive(50, IBV_WC_SUCCESS, 16);
    link_process(the_link);
    assert_int_equal(answer_to(50)->kind, RDMIG_EVENT_RECEIVED);
    assert_false(is_answered(4));
    assert_true(link_next_action(the_link, &action));
    assert_int_equal(action.kind, RDMIG_ACTION_NOTIFY_FLUSHED);
    assert_true(is_answered(4));
    assert_false(link_next_action(the_link, &action));
    assert_false(is_readable());
    assert_int_equal(answer_to(3)->now_ns, mock.clock_ns - mock.region_ns);
}

static void test_link__deregistering_takes_long__completions_are_seen_in_between(void **state)
{
    (void)state;
    make_slow_destination();
    mock.region_ns = 0;
    for (uint32_t i = 0; i < 3; i++)
        give(action_register(1 + i, 0, i, (uint64_t)i * 1048576, i < 2 ? 1048576 : 524288));
    turn();
    mock.region_ns = 5 * MS;
    for (uint32_t i = 0; i < 3; i++)
        give((struct rdmig_action){.kind = RDMIG_ACTION_DEREGISTER, .tag = 11 + i, .region = i});
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(turn(), 0);
        assert_true(is_answered(11 + i));
        assert_false(is_answered(12 + i));
        assert_true(is_readable());
    }
    turn();
    assert_false(is_readable());
}

/* What was gathered goes out before the rest, and what a registration refuses is answered. */
static void test_link__rest_with_work_gathered__it_is_posted(void **state)
{
    (void)state;
    make_writing_source();
    mock.clock_ns = link_now_ns() + 1000 * MS;
    mock.region_ns = 5 * MS;
    give(action_write(100, 0, true));
    mock_fail("ibv_reg_mr", ENOMEM);
    give(action_register(1, 1, 3, 0, 1048576));
    give(action_write(101, 4096, true));
    assert_int_equal(turn(), 0);
    assert_int_equal(answer_to(1)->os_code, ENOMEM);
    assert_int_equal(mock.works[mock.work_count - 1].wr_id, 100);
    assert_true(is_readable());
    turn();
    assert_int_equal(mock.works[mock.work_count - 1].wr_id, 101);
}

static void fail_register(int code)
{
    make_destination();
    provide_blocks();
    mock_fail("ibv_reg_mr", code);
    give(action_register(1, 0, 0, 0, 2097152));
    turn();
    assert_int_equal(answer_to(1)->status, RDMIG_STATUS_ERROR);
    assert_int_equal(answer_to(1)->os_code, code);
    script_fail(RDMIG_REASON_REGISTER_FAILED, code);
}

static void test_link__ram_above_rlimit_memlock__numbers_and_remedy_are_told(void **state)
{
    struct rdmig_error error;

    (void)state;
    drop_memlock(65536);
    fail_register(ENOMEM);
    error = explain();
    assert_int_equal(error.reason, RDMIG_REASON_MEMLOCK);
    assert_string_equal(error.detail,
                        "2097152 bytes of guest RAM cannot be pinned: 65536 are pinned already and "
                        "RLIMIT_MEMLOCK is 65536");
    assert_contains(error.remedy, "ulimit -l");
    assert_contains(error.remedy, "LimitMEMLOCK");
    assert_contains(error.remedy, "CAP_IPC_LOCK");
    restore_memlock();
}

static void make_source_without_control_memory(void)
{
    mock_fail("ibv_reg_mr", ENOMEM);
    assert_int_equal(create_link(RDMIG_ROLE_SOURCE, "10.9.0.1", NULL), 0);
    mock_event(RDMA_CM_EVENT_ADDR_RESOLVED, 0, NULL, 0);
    turn();
    mock_event(RDMA_CM_EVENT_ROUTE_RESOLVED, 0, NULL, 0);
    turn();
    assert_true(link_is_closed(the_link));
}

static void test_link__control_memory_above_rlimit_memlock__is_told_at_once(void **state)
{
    (void)state;
    drop_memlock(SCRIPT_CONTROL_BYTES - 1);
    make_source_without_control_memory();
    restore_memlock();
    assert_int_equal(explain().reason, RDMIG_REASON_MEMLOCK);
    assert_string_equal(
        explain().detail,
        "cannot connect to 10.9.0.1:4444: 65536 bytes of memory for control messages "
        "cannot be pinned: RLIMIT_MEMLOCK is 65535 bytes, "
        "and the guest RAM registered at a time comes on top");
    assert_contains(explain().remedy, "ulimit -l");
}

static void test_link__control_memory_within_rlimit_memlock__the_limit_is_not_blamed(void **state)
{
    (void)state;
    drop_memlock(SCRIPT_CONTROL_BYTES);
    make_source_without_control_memory();
    restore_memlock();
    assert_int_equal(explain().reason, RDMIG_REASON_DEVICE);
    assert_contains(explain().detail, "a memory region for control messages on RDMA device mock0 "
                                      "cannot be made (Cannot allocate memory)");
}

static void test_link__out_of_memory_without_a_limit__is_no_memlock(void **state)
{
    struct rdmig_error error;

    (void)state;
    fail_register(ENOMEM);
    error = explain();
    if (rdmig_memlock_limit_bytes() == UINT64_MAX) {
        assert_int_equal(error.reason, RDMIG_REASON_REGISTER_FAILED);
        assert_string_equal(
            error.detail,
            "guest RAM cannot be registered with RDMA device mock0: Cannot allocate memory");
    } else {
        assert_int_equal(error.reason, RDMIG_REASON_MEMLOCK);
    }
    assert_contains(error.remedy, "CAP_IPC_LOCK");
}

static void test_link__mapping_of_an_ordinary_file__is_told(void **state)
{
    static const int codes[] = {EOPNOTSUPP, EFAULT};

    for (unsigned i = 0; i < 2; i++) {
        set_up(state);
        fail_register(codes[i]);
        assert_int_equal(explain().reason, RDMIG_REASON_REGISTER_FAILED);
        assert_contains(explain().remedy, "not a mapping of an ordinary file");
        drop_link();
    }
}

static void test_link__blocks__are_copied_and_taken_once(void **state)
{
    struct rdmig_block block = {
        .host_addr = (uintptr_t)ram, .length_bytes = 4096, .ram_offset_bytes = 7};
    struct rdmig_block empty = {0};

    (void)state;
    make_source();
    assert_int_equal(link_provide_blocks(the_link, &empty, 1), -RDMIG_E_INVALID);
    assert_int_equal(link_provide_blocks(the_link, &block, 1), 0);
    assert_ptr_not_equal(event_of(RDMIG_EVENT_BLOCKS_PROVIDED, 0)->event.blocks, &block);
    assert_int_equal(event_of(RDMIG_EVENT_BLOCKS_PROVIDED, 0)->event.length, 128);
    assert_non_null(event_of(RDMIG_EVENT_BLOCKS_PROVIDED, 0)->event.memory);
    block.length_bytes = 1;
    assert_int_equal(link_provide_blocks(the_link, &block, 1), -RDMIG_E_STATE);
    give(action_register(1, 0, 0, 0, 4096));
    turn();
    assert_int_equal(answer_to(1)->status, RDMIG_STATUS_OK);
}

static void test_link__blocks_refused_by_the_core__can_be_given_again(void **state)
{
    struct rdmig_block block = {.host_addr = (uintptr_t)ram, .length_bytes = 4096};

    (void)state;
    make_source();
    script.refuse_kind = RDMIG_EVENT_BLOCKS_PROVIDED;
    assert_int_equal(link_provide_blocks(the_link, &block, 1), -RDMIG_E_INVALID);
    script.refuse_kind = -1;
    assert_int_equal(link_provide_blocks(the_link, &block, 1), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_link__source_registers_ram__peer_has_no_access_at_all),
        TEST(test_link__destination_registers_ram__peer_may_write_that_only),
        TEST(test_link__registered_and_deregistered__pinned_bytes_follow),
        TEST(test_link__registrations_left_at_the_end__are_undone_by_destroy),
        TEST(test_link__registration_outside_its_block_or_twice__is_refused),
        TEST(test_link__deregistration_of_nothing__is_refused),
        TEST(test_link__deregistration_fails__region_is_kept_for_destroy),
        TEST(test_link__registration_after_the_pair_is_gone__comes_back_flushed),
        TEST(test_link__registering_takes_long__completions_are_seen_in_between),
        TEST(test_link__deregistering_takes_long__completions_are_seen_in_between),
        TEST(test_link__rest_with_work_gathered__it_is_posted),
        TEST(test_link__ram_above_rlimit_memlock__numbers_and_remedy_are_told),
        TEST(test_link__control_memory_above_rlimit_memlock__is_told_at_once),
        TEST(test_link__control_memory_within_rlimit_memlock__the_limit_is_not_blamed),
        TEST(test_link__out_of_memory_without_a_limit__is_no_memlock),
        TEST(test_link__mapping_of_an_ordinary_file__is_told),
        TEST(test_link__blocks__are_copied_and_taken_once),
        TEST(test_link__blocks_refused_by_the_core__can_be_given_again),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
