/* SPDX-License-Identifier: BSD-2-Clause */
/* A name with several addresses: each is tried (field H16); and a device's limits. */
#include "link_fixture.h"

static const char *const two_hosts[] = {"10.9.0.1", "fd09::1"};

static void make_several(const char *const *hosts, unsigned count)
{
    mock_set_addresses(hosts, count);
    assert_int_equal(create_link(RDMIG_ROLE_SOURCE, "several", NULL), 0);
}

static void resolve_both(void)
{
    mock_event(RDMA_CM_EVENT_ADDR_RESOLVED, 0, NULL, 0);
    turn();
    mock_event(RDMA_CM_EVENT_ROUTE_RESOLVED, 0, NULL, 0);
    turn();
}

static void assert_closed_with(enum rdmig_reason reason, const char *detail, const char *remedy)
{
    struct rdmig_error error;

    assert_true(link_is_closed(the_link));
    assert_int_equal(last_action.kind, RDMIG_ACTION_NOTIFY_CLOSED);
    error = explain();
    assert_int_equal(error.reason, reason);
    assert_string_equal(error.detail, detail);
    if (remedy != NULL)
        assert_string_equal(error.remedy, remedy);
    assert_int_equal(mock_live_count(MOCK_PAIR), 0);
    assert_int_equal(mock_live_count(MOCK_REGION), 0);
    assert_int_equal(turn(), 0); /* once is enough */
    assert_false(is_readable());
}

/* ---- several addresses (field H16) */

static void test_link__first_address_cannot_be_resolved__second_connects(void **state)
{
    (void)state;
    make_several(two_hosts, 2);
    assert_int_equal(mock.resolved.ss_family, AF_INET);
    mock_event(RDMA_CM_EVENT_ADDR_ERROR, -EHOSTUNREACH, NULL, 0);
    assert_int_equal(turn(), 0);
    assert_int_equal(mock.resolved.ss_family, AF_INET6);
    resolve_both();
    give(action_private(RDMIG_ACTION_CONNECT, PRIVATE_DATA));
    turn();
    establish();
    assert_int_equal(script.events[0].event.kind, RDMIG_EVENT_STARTED);
    assert_int_equal(event_count(RDMIG_EVENT_UNREACHABLE), 0);
    assert_int_equal(mock_live_count(MOCK_ID), 1);
}

static void test_link__first_address_rejects__second_gets_a_new_pair_and_a_new_core(void **state)
{
    unsigned first_conn;

    (void)state;
    make_several(two_hosts, 2);
    resolve_both();
    first_conn = event_of(RDMIG_EVENT_STARTED, 0)->conn_number;
    give(action_recv(1, 0));
    give(action_private(RDMIG_ACTION_CONNECT, PRIVATE_DATA));
    turn();
    mock_event(RDMA_CM_EVENT_REJECTED, 8, NULL, 0);
    assert_int_equal(turn(), 0); /* NOTIFY_CLOSED of the first attempt is not for the owner */
    assert_int_equal(answer_to(1)->status, RDMIG_STATUS_FLUSHED);
    assert_int_equal(mock_live_count(MOCK_PAIR), 0);
    assert_int_equal(mock_live_count(MOCK_REGION), 0);
    assert_int_equal(mock_live_count(MOCK_ID), 1);
    resolve_both();
    assert_int_equal(mock_count("rdma_create_qp"), 2);
    assert_true(event_of(RDMIG_EVENT_STARTED, 1)->conn_number > first_conn);
    give(action_private(RDMIG_ACTION_CONNECT, PRIVATE_DATA));
    turn();
    establish();
    assert_int_equal(explain().reason, RDMIG_REASON_NONE);
}

static void test_link__every_address_fails__all_are_named(void **state)
{
    static const char *const hosts[] = {"10.9.0.1", "10.9.0.2", "fd09::3"};
    struct rdmig_error error;

    (void)state;
    make_several(hosts, 3);
    mock_event(RDMA_CM_EVENT_ADDR_ERROR, -ENODEV, NULL, 0);
    turn();
    mock_event(RDMA_CM_EVENT_ADDR_RESOLVED, 0, NULL, 0);
    turn();
    mock_event(RDMA_CM_EVENT_ROUTE_ERROR, -EINVAL, NULL, 0);
    turn();
    resolve_both();
    mock_event(RDMA_CM_EVENT_REJECTED, 8, NULL, 0);
    assert_int_equal(turn(), 1);
    assert_true(link_is_closed(the_link));
    error = explain();
    assert_int_equal(error.reason, RDMIG_REASON_PEER_UNREACHABLE);
    assert_string_equal(
        error.detail,
        "cannot connect to several: 10.9.0.1:4444: no RDMA device leads there (No such device); "
        "10.9.0.2:4444: no route leads there (Invalid argument); "
        "[fd09::3]:4444: nobody is listening there (rejected)");
}

static void test_link__every_address_fails_before_the_core_starts__all_are_named(void **state)
{
    struct rdmig_error error;

    (void)state;
    make_several(two_hosts, 2);
    mock_event(RDMA_CM_EVENT_ADDR_ERROR, -ENODEV, NULL, 0);
    turn();
    mock_event(RDMA_CM_EVENT_ADDR_ERROR, -EHOSTUNREACH, NULL, 0);
    assert_int_equal(turn(), 1);
    error = explain();
    assert_contains(error.detail, "10.9.0.1:4444: no RDMA device");
    assert_contains(error.detail,
                    "[fd09::1]:4444: its address cannot be resolved (No route to host)");
    assert_int_equal(script.event_count, 0);
}

static void test_link__the_peer_refuses__no_other_address_is_tried(void **state)
{
    (void)state;
    make_several(two_hosts, 2);
    resolve_both();
    give(action_private(RDMIG_ACTION_CONNECT, PRIVATE_DATA));
    turn();
    mock_event(RDMA_CM_EVENT_REJECTED, 28, PRIVATE_DATA, 8);
    assert_int_equal(turn(), 1);
    assert_true(link_is_closed(the_link));
    assert_int_equal(mock_count("rdma_resolve_addr"), 1);
    assert_int_equal(event_of(RDMIG_EVENT_UNREACHABLE, 0)->event.status, RDMIG_STATUS_REJECTED);
    assert_int_equal(explain().reason, RDMIG_REASON_PEER_REJECTED);
    assert_string_equal(
        explain().detail,
        "cannot connect to 10.9.0.1:4444: the program there refused the connection");
}

static void test_link__first_address_swallows_everything__time_is_left_for_the_second(void **state)
{
    (void)state;
    make_several(two_hosts, 2);
    resolve_both();
    /* 20 s for both: at most 10 s for the first. */
    assert_true(script.config.connect_timeout_ns <= UINT64_C(10000000000));
    give(action_private(RDMIG_ACTION_CONNECT, PRIVATE_DATA));
    turn();
    script_fail(RDMIG_REASON_CONNECT_TIMEOUT, 0);
    give_kind(RDMIG_ACTION_DISCONNECT);
    give_kind(RDMIG_ACTION_NOTIFY_CLOSED);
    assert_int_equal(turn(), 0);
    assert_int_equal(mock_count("rdma_resolve_addr"), 2);
    assert_int_equal(mock.resolved.ss_family, AF_INET6);
    resolve_both();
    assert_true(script.config.connect_timeout_ns > UINT64_C(15000000000));
    mock_event(RDMA_CM_EVENT_REJECTED, 8, NULL, 0);
    turn();
    assert_contains(
        explain().detail,
        "10.9.0.1:4444: no answer to the connection request in time; [fd09::1]:4444: nobody");
}

static void test_link__no_time_limit__an_address_with_others_behind_it_still_has_one(void **state)
{
    struct link_config config = config_for(RDMIG_ROLE_SOURCE, "several");

    (void)state;
    mock_set_addresses(two_hosts, 2);
    config.conn.connect_timeout_ns = 0;
    assert_int_equal(link_create(&the_link, &config, NULL), 0);
    resolve_both();
    assert_true(script.config.connect_timeout_ns > 0);
    mock_event(RDMA_CM_EVENT_UNREACHABLE, -ETIMEDOUT, NULL, 0);
    turn();
    resolve_both();
    assert_int_equal(script.config.connect_timeout_ns, 0);
}

static void test_link__blocks_given_before_connecting__outlive_an_attempt(void **state)
{
    (void)state;
    make_several(two_hosts, 2);
    provide_blocks();
    resolve_both();
    mock_event(RDMA_CM_EVENT_REJECTED, 8, NULL, 0);
    turn();
    resolve_both();
    assert_int_equal(event_of(RDMIG_EVENT_BLOCKS_PROVIDED, 0)->event.block_count, 2);
    assert_int_equal(script.events[script.event_count - 2].event.kind, RDMIG_EVENT_BLOCKS_PROVIDED);
    assert_int_equal(script.events[script.event_count - 2].conn_number, script.init_count);
}

/* ---- device limits */

static void test_link__device_with_small_queues__depth_follows(void **state)
{
    (void)state;
    mock.limits.max_qp_wr = 64;
    make_connecting_source();
    assert_int_equal(script.config.send_queue_depth, 63);
    assert_int_equal(mock.pair_attributes.cap.max_send_wr, 64);
    assert_int_equal(mock.cq_depths[0], 64);
}

static void test_link__device_with_small_completion_queues__depth_follows(void **state)
{
    (void)state;
    mock.limits.max_cqe = 40;
    make_connecting_source();
    assert_int_equal(script.config.send_queue_depth, 39);
    assert_int_equal(mock.cq_depths[0], 40);
}

static void test_link__depth_asked_for__is_taken_up_to_the_limits(void **state)
{
    struct link_config config = config_for(RDMIG_ROLE_SOURCE, "10.9.0.1");

    (void)state;
    config.conn.send_queue_depth = 2000;
    assert_int_equal(link_create(&the_link, &config, NULL), 0);
    resolve_both();
    assert_int_equal(script.config.send_queue_depth, 1023);
}

static void test_link__device_cannot_reach_its_own_limit__asks_for_less(void **state)
{
    (void)state;
    mock.pair_depth_max = 70;
    make_connecting_source();
    assert_int_equal(mock_count("rdma_create_qp"), 3); /* 257, 129, 65 */
    assert_int_equal(script.config.send_queue_depth, 64);
}

static void test_link__device_far_too_small__reason_device(void **state)
{
    (void)state;
    mock.limits.max_qp_wr = 16;
    assert_int_equal(create_link(RDMIG_ROLE_SOURCE, "10.9.0.1", NULL), 0);
    resolve_both();
    assert_closed_with(RDMIG_REASON_DEVICE,
                       "cannot connect to 10.9.0.1:4444: RDMA device mock0 has queues of at most "
                       "16 entries; 17 are "
                       "needed",
                       NULL);
}

static void test_link__reads_at_once__follow_the_device(void **state)
{
    (void)state;
    mock.limits.max_qp_init_rd_atom = 1;
    make_connecting_source();
    give(action_private(RDMIG_ACTION_CONNECT, PRIVATE_DATA));
    turn();
    assert_int_equal(mock.connects[0].param.initiator_depth, 1);
}

static void test_link__device_with_short_messages__writes_are_cut_to_them(void **state)
{
    (void)state;
    mock.ports[0].max_msg_sz = 1048576;
    make_connecting_source();
    assert_int_equal(script.config.write_bytes_max, 1048576);
}

static void test_link__device_with_long_messages__writes_are_as_long_as_asked_for(void **state)
{
    struct link_config config = config_for(RDMIG_ROLE_SOURCE, "10.9.0.1");

    (void)state;
    make_connecting_source();
    assert_int_equal(script.config.write_bytes_max, 4194304);
    drop_link();
    set_up(state);
    config.conn.write_bytes_max = 65536;
    assert_int_equal(link_create(&the_link, &config, NULL), 0);
    resolve_both();
    assert_int_equal(script.config.write_bytes_max, 65536);
}

static void test_link__device_with_too_short_messages__reason_device(void **state)
{
    (void)state;
    mock.ports[0].max_msg_sz = 524287;
    assert_int_equal(create_link(RDMIG_ROLE_SOURCE, "10.9.0.1", NULL), 0);
    resolve_both();
    assert_closed_with(RDMIG_REASON_DEVICE,
                       "cannot connect to 10.9.0.1:4444: messages of RDMA device mock0 are at most "
                       "524287 bytes long; "
                       "524288 are needed",
                       NULL);
}

static void test_link__device_without_reads__none_are_asked_for(void **state)
{
    (void)state;
    mock.limits.max_qp_init_rd_atom = 0;
    make_connecting_source();
    give(action_private(RDMIG_ACTION_CONNECT, PRIVATE_DATA));
    turn();
    assert_int_equal(mock.connects[0].param.initiator_depth, 0);
}

static void test_link__device_with_nonsense_limits__reason_device(void **state)
{
    (void)state;
    mock.limits.max_qp_wr = -1;
    assert_int_equal(create_link(RDMIG_ROLE_SOURCE, "10.9.0.1", NULL), 0);
    resolve_both();
    assert_int_equal(explain().reason, RDMIG_REASON_DEVICE);
}

static void test_link__name_with_more_addresses_than_room__the_first_ones_are_tried(void **state)
{
    static const char *const hosts[] = {
        "10.9.0.1",  "10.9.0.2",  "10.9.0.3",  "10.9.0.4",  "10.9.0.5",  "10.9.0.6",
        "10.9.0.7",  "10.9.0.8",  "10.9.0.9",  "10.9.0.10", "10.9.0.11", "10.9.0.12",
        "10.9.0.13", "10.9.0.14", "10.9.0.15", "10.9.0.16", "10.9.0.17"};

    (void)state;
    make_several(hosts, 17);
    for (unsigned i = 0; i < 16; i++) {
        assert_false(link_is_closed(the_link));
        mock_event(RDMA_CM_EVENT_ADDR_ERROR, -ENODEV, NULL, 0);
        turn();
    }
    assert_true(link_is_closed(the_link));
}

static void test_link__rejected_for_good_on_iwarp__no_other_address_is_tried(void **state)
{
    (void)state;
    make_several(two_hosts, 2);
    resolve_both();
    mock_event(RDMA_CM_EVENT_REJECTED, -ECONNREFUSED, PRIVATE_DATA, 8);
    turn();
    assert_true(link_is_closed(the_link));
    assert_int_equal(explain().reason, RDMIG_REASON_PEER_REJECTED);
}

static void test_link__reset_on_iwarp__next_address(void **state)
{
    (void)state;
    make_several(two_hosts, 2);
    resolve_both();
    mock_event(RDMA_CM_EVENT_REJECTED, -ECONNRESET, NULL, 0);
    turn();
    assert_int_equal(mock_count("rdma_resolve_addr"), 2);
    mock_event(RDMA_CM_EVENT_ADDR_ERROR, 0, NULL, 0);
    turn();
    assert_contains(explain().detail, "rejected (Connection reset by peer)");
    assert_contains(explain().detail, "its address cannot be resolved (no cause given)");
}

static void test_link__route_cannot_be_asked_for__told(void **state)
{
    (void)state;
    mock_fail("rdma_resolve_route", EINVAL);
    assert_int_equal(create_link(RDMIG_ROLE_SOURCE, "10.9.0.1", NULL), 0);
    mock_event(RDMA_CM_EVENT_ADDR_RESOLVED, 0, NULL, 0);
    turn();
    assert_closed_with(RDMIG_REASON_PEER_UNREACHABLE,
                       "cannot connect to 10.9.0.1:4444: no route leads there (Invalid argument)",
                       NULL);
}

static void test_link__option_not_supported__connects_all_the_same(void **state)
{
    (void)state;
    mock_fail("rdma_set_option", ENOSYS);
    make_source();
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_link__first_address_cannot_be_resolved__second_connects),
        TEST(test_link__first_address_rejects__second_gets_a_new_pair_and_a_new_core),
        TEST(test_link__every_address_fails__all_are_named),
        TEST(test_link__every_address_fails_before_the_core_starts__all_are_named),
        TEST(test_link__the_peer_refuses__no_other_address_is_tried),
        TEST(test_link__first_address_swallows_everything__time_is_left_for_the_second),
        TEST(test_link__no_time_limit__an_address_with_others_behind_it_still_has_one),
        TEST(test_link__blocks_given_before_connecting__outlive_an_attempt),
        TEST(test_link__device_with_small_queues__depth_follows),
        TEST(test_link__device_with_small_completion_queues__depth_follows),
        TEST(test_link__depth_asked_for__is_taken_up_to_the_limits),
        TEST(test_link__device_cannot_reach_its_own_limit__asks_for_less),
        TEST(test_link__device_far_too_small__reason_device),
        TEST(test_link__reads_at_once__follow_the_device),
        TEST(test_link__device_with_short_messages__writes_are_cut_to_them),
        TEST(test_link__device_with_long_messages__writes_are_as_long_as_asked_for),
        TEST(test_link__device_with_too_short_messages__reason_device),
        TEST(test_link__device_without_reads__none_are_asked_for),
        TEST(test_link__device_with_nonsense_limits__reason_device),
        TEST(test_link__name_with_more_addresses_than_room__the_first_ones_are_tried),
        TEST(test_link__rejected_for_good_on_iwarp__no_other_address_is_tried),
        TEST(test_link__reset_on_iwarp__next_address),
        TEST(test_link__route_cannot_be_asked_for__told),
        TEST(test_link__option_not_supported__connects_all_the_same),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
