/* SPDX-License-Identifier: BSD-2-Clause */
/* Relaxed ordering and on-demand paging: asked for when told to, only of guest RAM, and done
 * without where device or kernel will not have it. */
#include "link_fixture.h"

#define ORDERED_WRITABLE ((unsigned)IBV_ACCESS_LOCAL_WRITE | (unsigned)IBV_ACCESS_REMOTE_WRITE)
#define RELAXED          ((unsigned)IBV_ACCESS_RELAXED_ORDERING)
#define ON_DEMAND        ((unsigned)IBV_ACCESS_ON_DEMAND)

static struct link_stats numbers(void)
{
    struct link_stats out;

    link_stats(the_link, &out);
    return out;
}

static void let_device_page(void)
{
    mock.odp_caps.general_caps = IBV_ODP_SUPPORT;
    mock.odp_caps.per_transport_caps.rc_odp_caps = IBV_ODP_SUPPORT_WRITE;
}

static void refuse(unsigned access, int code)
{
    mock.access_refused = access;
    mock.access_errno = code;
}

/* A region of 1 MiB of block 0; returns how it was registered. */
static unsigned register_chunk(uint64_t tag, uint32_t chunk)
{
    give(action_register(tag, 0, chunk, (uint64_t)chunk * 1048576, 524288));
    turn();
    assert_int_equal(answer_to(tag)->status, RDMIG_STATUS_OK);
    return mock.regions[mock.region_count - 1].access;
}

static void test_link__nothing_wanted__nothing_asked_for(void **state)
{
    (void)state;
    let_device_page();
    make_destination();
    provide_blocks();
    assert_int_equal(register_chunk(1, 0), ORDERED_WRITABLE);
    assert_false(numbers().is_relaxed || numbers().is_on_demand);
    assert_int_equal(mock.connects[0].param.rnr_retry_count, 0);
    assert_int_equal(mock_count("ibv_modify_qp_rnr"), 0);
}

static void test_link__relaxed_ordering__of_guest_ram_at_both_ends(void **state)
{
    for (unsigned i = 0; i < 2; i++) {
        set_up(state);
        is_relaxed_wanted = true;
        if (i == 0)
            make_source();
        else
            make_destination();
        provide_blocks();
        assert_int_equal(register_chunk(1, 0), RELAXED | (i == 0 ? 0 : ORDERED_WRITABLE));
        assert_int_equal(mock.regions[0].access, IBV_ACCESS_LOCAL_WRITE); /* control memory */
        assert_true(numbers().is_relaxed);
        assert_int_equal(numbers().pinned_bytes, SCRIPT_CONTROL_BYTES + 524288);
        drop_link();
    }
}

/* As Soft-RoCE of Linux 6.3 does; older ones say EINVAL for what they do not know. */
static void test_link__relaxed_ordering_refused__asked_for_once(void **state)
{
    static const int codes[] = {EOPNOTSUPP, EINVAL};

    for (unsigned i = 0; i < 2; i++) {
        set_up(state);
        is_relaxed_wanted = true;
        refuse(RELAXED, codes[i]);
        make_destination();
        provide_blocks();
        assert_int_equal(register_chunk(1, 0), ORDERED_WRITABLE);
        assert_int_equal(mock_count("ibv_reg_mr"), 3); /* control memory, with, without */
        assert_false(numbers().is_relaxed);
        assert_int_equal(register_chunk(2, 1), ORDERED_WRITABLE);
        assert_int_equal(mock_count("ibv_reg_mr"), 4);
        drop_link();
    }
}

/* It is not the optional access that fails: the next one is asked for the same again. */
static void
test_link__memory_refused_for_itself__optional_access_stays_and_cause_is_kept(void **state)
{
    (void)state;
    is_relaxed_wanted = true;
    make_destination();
    provide_blocks();
    mock_fail("ibv_reg_mr", ENOMEM);
    give(action_register(1, 0, 0, 0, 4096));
    turn();
    assert_int_equal(answer_to(1)->os_code, ENOMEM);
    assert_int_equal(mock_count("ibv_reg_mr"), 2);
    mock_fail("ibv_reg_mr", EOPNOTSUPP);
    give(action_register(2, 0, 1, 0, 4096));
    turn();
    assert_int_equal(answer_to(2)->os_code, EOPNOTSUPP);
    mock_fail(NULL, 0);
    assert_int_equal(register_chunk(3, 2), ORDERED_WRITABLE | RELAXED);
}

/* Nothing is pinned but the control memory, and nothing of it is taken off again. */
static void test_link__on_demand_paging__pins_nothing(void **state)
{
    for (unsigned i = 0; i < 2; i++) {
        set_up(state);
        is_on_demand_wanted = true;
        let_device_page();
        if (i == 0)
            make_source();
        else
            make_destination();
        provide_blocks();
        assert_int_equal(register_chunk(1, 0), ON_DEMAND | (i == 0 ? 0 : ORDERED_WRITABLE));
        assert_int_equal(register_chunk(2, 1), ON_DEMAND | (i == 0 ? 0 : ORDERED_WRITABLE));
        assert_int_equal(mock.regions[0].access, IBV_ACCESS_LOCAL_WRITE); /* control memory */
        assert_true(numbers().is_on_demand);
        assert_int_equal(numbers().pinned_bytes, SCRIPT_CONTROL_BYTES);
        assert_int_equal(numbers().region_count, 3);
        give((struct rdmig_action){.kind = RDMIG_ACTION_DEREGISTER, .tag = 3, .region = 0});
        turn();
        assert_int_equal(answer_to(3)->status, RDMIG_STATUS_OK);
        assert_int_equal(numbers().pinned_bytes, SCRIPT_CONTROL_BYTES);
        assert_int_equal(numbers().pinned_bytes_max, SCRIPT_CONTROL_BYTES);
        assert_int_equal(numbers().region_count, 2);
        drop_link();
    }
}

static void test_link__device_cannot_page_rdma_writes__memory_is_pinned(void **state)
{
    for (unsigned i = 0; i < 3; i++) {
        set_up(state);
        is_on_demand_wanted = true;
        mock.odp_caps.general_caps = i == 1 ? IBV_ODP_SUPPORT : 0;
        mock.odp_caps.per_transport_caps.rc_odp_caps =
            i == 1 ? IBV_ODP_SUPPORT_SEND | IBV_ODP_SUPPORT_READ : IBV_ODP_SUPPORT_WRITE;
        mock.odp_caps.per_transport_caps.ud_odp_caps = IBV_ODP_SUPPORT_WRITE;
        make_destination();
        provide_blocks();
        assert_int_equal(register_chunk(1, 0), ORDERED_WRITABLE);
        assert_int_equal(mock_count("ibv_reg_mr"), 2); /* control memory is one: not even tried */
        assert_false(numbers().is_on_demand);
        assert_int_equal(numbers().pinned_bytes, SCRIPT_CONTROL_BYTES + 524288);
        assert_int_equal(mock.connects[0].param.rnr_retry_count, 0);
        drop_link();
    }
}

/* The device says it can, and the second block is of a kind that it cannot page after all. */
static void test_link__on_demand_paging_refused_later__what_is_pinned_is_counted(void **state)
{
    (void)state;
    is_on_demand_wanted = true;
    let_device_page();
    make_destination();
    provide_blocks();
    assert_int_equal(register_chunk(1, 0), ON_DEMAND | ORDERED_WRITABLE);
    refuse(ON_DEMAND, EINVAL);
    assert_int_equal(register_chunk(2, 1), ORDERED_WRITABLE);
    assert_false(numbers().is_on_demand);
    assert_int_equal(numbers().pinned_bytes, SCRIPT_CONTROL_BYTES + 524288);
    give((struct rdmig_action){.kind = RDMIG_ACTION_DEREGISTER, .tag = 3, .region = 0});
    turn();
    assert_int_equal(numbers().pinned_bytes, SCRIPT_CONTROL_BYTES + 524288);
    give((struct rdmig_action){.kind = RDMIG_ACTION_DEREGISTER, .tag = 4, .region = 1});
    turn();
    assert_int_equal(numbers().pinned_bytes, SCRIPT_CONTROL_BYTES);
}

/* Each of the two may be the one that is refused, or both; the other is kept. */
static void test_link__both_wanted__the_one_refused_goes(void **state)
{
    static const struct {
        unsigned refused;
        unsigned granted;
        unsigned try_count;
    } rows[] = {
        {0, RELAXED | ON_DEMAND, 1},
        {ON_DEMAND, RELAXED, 2},
        {RELAXED, ON_DEMAND, 3},
        {RELAXED | ON_DEMAND, 0, 4},
    };

    for (unsigned i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        set_up(state);
        is_relaxed_wanted = true;
        is_on_demand_wanted = true;
        let_device_page();
        refuse(rows[i].refused, EOPNOTSUPP);
        make_destination();
        provide_blocks();
        assert_int_equal(register_chunk(1, 0), ORDERED_WRITABLE | rows[i].granted);
        assert_int_equal(mock_count("ibv_reg_mr"), 1 + rows[i].try_count);
        assert_int_equal(numbers().is_relaxed, (rows[i].granted & RELAXED) != 0);
        assert_int_equal(numbers().is_on_demand, (rows[i].granted & ON_DEMAND) != 0);
        drop_link();
    }
}

/* A page that is not there answers "receiver not ready": with no retries, as the protocol's peers
 * have it, the first one would end the migration. */
static void test_link__destination_pages_on_demand__source_may_try_again_soon(void **state)
{
    (void)state;
    is_on_demand_wanted = true;
    let_device_page();
    make_destination();
    assert_string_equal(mock.connects[0].call, "rdma_accept");
    assert_int_equal(mock.connects[0].param.rnr_retry_count, 7); /* for ever */
    assert_int_equal(mock.pair_rnr_timer, 12);                   /* 0.64 ms */
    drop_link();
    set_up(state);
    is_on_demand_wanted = true;
    let_device_page();
    mock_fail("ibv_modify_qp_rnr", EINVAL);
    make_destination(); /* slower, but it works */
    drop_link();
    set_up(state);
    is_on_demand_wanted = true;
    let_device_page();
    make_source(); /* what comes to a source goes to memory that is pinned */
    assert_int_equal(mock.connects[0].param.rnr_retry_count, 0);
    assert_int_equal(mock_count("ibv_modify_qp_rnr"), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_link__nothing_wanted__nothing_asked_for),
        TEST(test_link__relaxed_ordering__of_guest_ram_at_both_ends),
        TEST(test_link__relaxed_ordering_refused__asked_for_once),
        TEST(test_link__memory_refused_for_itself__optional_access_stays_and_cause_is_kept),
        TEST(test_link__on_demand_paging__pins_nothing),
        TEST(test_link__device_cannot_page_rdma_writes__memory_is_pinned),
        TEST(test_link__on_demand_paging_refused_later__what_is_pinned_is_counted),
        TEST(test_link__both_wanted__the_one_refused_goes),
        TEST(test_link__destination_pages_on_demand__source_may_try_again_soon),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
