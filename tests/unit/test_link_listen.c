/* SPDX-License-Identifier: BSD-2-Clause */
/* A destination: listening on every kind of address, taking one request, refusing the others. */
#include "link_fixture.h"

#include <netinet/in.h>

static const struct mock_option *find_option(int name)
{
    for (unsigned i = 0; i < mock.option_count; i++)
        if (mock.options[i].level == RDMA_OPTION_ID && mock.options[i].name == name)
            return &mock.options[i];
    return NULL;
}

static void test_link__listen_on_ipv4__bound_and_port_known(void **state)
{
    const struct sockaddr_in *bound = (const struct sockaddr_in *)&mock.bound[0];

    (void)state;
    make_listener();
    assert_int_equal(bound->sin_family, AF_INET);
    assert_int_equal(ntohl(bound->sin_addr.s_addr), 0x0a090001);
    assert_int_equal(ntohs(bound->sin_port), 4444);
    assert_null(find_option(RDMA_OPTION_ID_AFONLY));
    assert_int_equal(link_port(the_link), 4444);
    assert_int_equal(turn(), 0);
    assert_int_equal(script.event_count, 0);
}

static void test_link__listen_on_port_0__the_kernels_choice_is_told(void **state)
{
    struct link_config config = config_for(RDMIG_ROLE_DESTINATION, "10.9.0.1");

    (void)state;
    config.service = "0";
    assert_int_equal(link_create(&the_link, &config, NULL), 0);
    assert_int_equal(link_port(the_link), 4711);
}

static void test_link__listen_on_an_ipv6_host__takes_ipv6_only(void **state)
{
    (void)state;
    assert_int_equal(create_link(RDMIG_ROLE_DESTINATION, "fd09::1", NULL), 0);
    assert_int_equal(mock.bound[0].ss_family, AF_INET6);
    assert_non_null(find_option(RDMA_OPTION_ID_AFONLY));
    assert_int_equal(find_option(RDMA_OPTION_ID_AFONLY)->value, 1);
    assert_true(mock_is_before("rdma_set_option", "rdma_bind_addr(6)"));
}

static void test_link__listen_on_every_address__one_ipv6_listener_takes_both_kinds(void **state)
{
    const char *const hosts[] = {"", NULL};

    for (unsigned i = 0; i < 2; i++) {
        set_up(state);
        assert_int_equal(create_link(RDMIG_ROLE_DESTINATION, hosts[i], NULL), 0);
        assert_int_equal(mock.bound_count, 1);
        assert_int_equal(mock.bound[0].ss_family, AF_INET6);
        assert_int_equal(find_option(RDMA_OPTION_ID_AFONLY)->value, 0);
        drop_link();
    }
}

static void test_link__listen_on_every_address_without_ipv6__falls_back_to_ipv4(void **state)
{
    (void)state;
    mock_fail("rdma_bind_addr(6)", EAFNOSUPPORT);
    assert_int_equal(create_link(RDMIG_ROLE_DESTINATION, "", NULL), 0);
    assert_int_equal(mock.bound_count, 2);
    assert_int_equal(mock.bound[1].ss_family, AF_INET);
    assert_int_equal(mock_live_count(MOCK_ID), 1);
}

static void test_link__listen_where_somebody_listens__is_told(void **state)
{
    struct rdmig_error error;

    (void)state;
    mock_fail("rdma_listen", EADDRINUSE);
    assert_int_equal(create_link(RDMIG_ROLE_DESTINATION, "10.9.0.1", &error), -RDMIG_E_SYSTEM);
    assert_int_equal(error.reason, RDMIG_REASON_ADDRESS);
    assert_int_equal(error.os_code, EADDRINUSE);
    assert_string_equal(error.detail,
                        "cannot listen: 10.9.0.1:4444: another program is listening there");
    assert_string_equal(error.remedy, "end the other program or choose another port");
    assert_null(the_link);
}

static void test_link__listen_on_an_address_without_rdma__is_told(void **state)
{
    struct rdmig_error error;

    (void)state;
    mock_fail("rdma_bind_addr(4)", ENODEV);
    assert_int_equal(create_link(RDMIG_ROLE_DESTINATION, "192.0.2.1", &error), -RDMIG_E_SYSTEM);
    assert_string_equal(
        error.detail,
        "cannot listen: 192.0.2.1:4444: no RDMA device of this host has that address");
    assert_int_equal(error.reason, RDMIG_REASON_ADDRESS);
}

static void test_link__request__core_is_started_with_the_private_data(void **state)
{
    (void)state;
    make_listener();
    mock_request(PRIVATE_DATA, 8);
    assert_true(is_readable());
    assert_int_equal(turn(), 0);
    assert_int_equal(script.event_count, 2);
    assert_int_equal(script.events[0].event.kind, RDMIG_EVENT_STARTED);
    assert_int_equal(script.events[1].event.kind, RDMIG_EVENT_CONNECT_REQUESTED);
    assert_int_equal(script.events[1].event.length, 8);
    assert_memory_equal(script.events[1].bytes, PRIVATE_DATA, 8);
    assert_int_equal(script.config.send_queue_depth, 256);
    assert_int_equal(script.config.connect_timeout_ns, UINT64_C(20000000000));
    assert_non_null(find_option(RDMA_OPTION_ID_ACK_TIMEOUT));
    assert_int_equal(mock.regions[0].access, IBV_ACCESS_LOCAL_WRITE);
}

static void test_link__request_with_a_length_but_no_data__core_gets_length_zero(void **state)
{
    (void)state;
    make_listener();
    mock_request(NULL, 56);
    turn();
    assert_int_equal(event_of(RDMIG_EVENT_CONNECT_REQUESTED, 0)->event.length, 0);
}

static void test_link__accept__grants_two_reads_and_comes_after_the_receives(void **state)
{
    const struct mock_connect *accept = &mock.connects[0];

    (void)state;
    make_listener();
    mock_request(PRIVATE_DATA, 8);
    give(action_recv(1, 0));
    give(action_recv(2, 4096));
    give(action_private(RDMIG_ACTION_ACCEPT, "\0\0\0\1\0\0\0\1"));
    turn();
    assert_string_equal(accept->call, "rdma_accept");
    assert_memory_equal(accept->private_data, "\0\0\0\1\0\0\0\1", 8);
    assert_int_equal(accept->param.private_data_len, 8);
    assert_int_equal(accept->param.responder_resources, 2);
    assert_int_equal(accept->param.initiator_depth, 0);
    assert_int_equal(accept->param.rnr_retry_count, 0);
    assert_int_equal(mock.work_count, 2);
    assert_true(mock_is_before("ibv_post_recv", "rdma_accept"));
}

static void test_link__accept_on_a_small_device__grants_what_it_has(void **state)
{
    (void)state;
    mock.limits.max_qp_rd_atom = 1;
    make_listener();
    mock_request(PRIVATE_DATA, 8);
    give(action_private(RDMIG_ACTION_ACCEPT, PRIVATE_DATA));
    turn();
    assert_int_equal(mock.connects[0].param.responder_resources, 1);
}

static void test_link__established__core_gets_no_bytes(void **state)
{
    (void)state;
    make_destination();
    assert_null(event_of(RDMIG_EVENT_ESTABLISHED, 0)->event.bytes);
    assert_int_equal(event_of(RDMIG_EVENT_ESTABLISHED, 0)->event.length, 0);
}

static void test_link__core_rejects__peer_gets_the_private_data(void **state)
{
    (void)state;
    make_listener();
    mock_request("\0\0\0\2\0\0\0\0", 8);
    give(action_private(RDMIG_ACTION_REJECT, PRIVATE_DATA));
    give_kind(RDMIG_ACTION_DISCONNECT);
    give_kind(RDMIG_ACTION_NOTIFY_CLOSED);
    assert_int_equal(turn(), 1);
    assert_string_equal(mock.connects[0].call, "rdma_reject");
    assert_memory_equal(mock.connects[0].private_data, PRIVATE_DATA, 8);
    assert_int_equal(mock.connects[0].param.private_data_len, 8);
    assert_int_equal(mock_count("rdma_disconnect"), 0); /* there is nothing to disconnect */
    assert_int_equal(mock_count("ibv_modify_qp"), 1);
    assert_true(link_is_closed(the_link));
}

static void test_link__second_request__is_rejected_and_the_first_goes_on(void **state)
{
    struct rdma_cm_id *first;

    (void)state;
    make_listener();
    first = mock_request(PRIVATE_DATA, 8);
    turn();
    mock_request(PRIVATE_DATA, 8);
    turn();
    assert_int_equal(mock.connect_count, 1);
    assert_string_equal(mock.connects[0].call, "rdma_reject");
    assert_int_equal(mock.connects[0].param.private_data_len, 0);
    assert_int_equal(mock_live_count(MOCK_ID), 2); /* listener and first */
    give(action_private(RDMIG_ACTION_ACCEPT, PRIVATE_DATA));
    turn();
    mock_event_for(first, RDMA_CM_EVENT_ESTABLISHED, 0, NULL, 0);
    turn();
    assert_int_equal(event_count(RDMIG_EVENT_ESTABLISHED), 1);
    mock_request(PRIVATE_DATA, 8);
    turn();
    assert_int_equal(mock.connect_count, 3);
    assert_int_equal(event_count(RDMIG_EVENT_CONNECT_REQUESTED), 1);
    /* And also when the first is leaving. */
    mock_event_for(first, RDMA_CM_EVENT_DISCONNECTED, 0, NULL, 0);
    mock_request(PRIVATE_DATA, 8);
    turn();
    assert_int_equal(mock.connect_count, 4);
    assert_int_equal(event_count(RDMIG_EVENT_DISCONNECTED), 1);
}

static void test_link__request_after_a_cancel__is_rejected(void **state)
{
    struct rdmig_event event = {.kind = RDMIG_EVENT_CANCEL_REQUESTED};

    (void)state;
    make_listener();
    assert_int_equal(link_step(the_link, &event), 0);
    mock_request(PRIVATE_DATA, 8);
    turn();
    assert_int_equal(event_count(RDMIG_EVENT_STARTED), 0);
    assert_string_equal(mock.connects[0].call, "rdma_reject");
    give_kind(RDMIG_ACTION_NOTIFY_CLOSED);
    turn();
    assert_true(link_is_closed(the_link));
    mock_request(PRIVATE_DATA, 8);
    turn();
    assert_int_equal(mock.connect_count, 2);
    assert_int_equal(explain().reason, RDMIG_REASON_CANCELLED);
}

static void test_link__two_requests_at_once__the_first_is_taken(void **state)
{
    (void)state;
    make_listener();
    mock_request("\0\0\0\1\0\0\0\1", 8);
    mock_request(PRIVATE_DATA, 8);
    turn();
    assert_int_equal(event_count(RDMIG_EVENT_CONNECT_REQUESTED), 1);
    assert_memory_equal(event_of(RDMIG_EVENT_CONNECT_REQUESTED, 0)->bytes, "\0\0\0\1\0\0\0\1", 8);
    assert_int_equal(mock.connect_count, 1);
}

static void test_link__source_goes_away_before_established__core_is_told(void **state)
{
    static const enum rdma_cm_event_type types[] = {
        RDMA_CM_EVENT_CONNECT_ERROR, RDMA_CM_EVENT_UNREACHABLE, RDMA_CM_EVENT_REJECTED,
        RDMA_CM_EVENT_DISCONNECTED, RDMA_CM_EVENT_DEVICE_REMOVAL};

    for (unsigned i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        set_up(state);
        make_listener();
        mock_request(PRIVATE_DATA, 8);
        give(action_recv(1, 0));
        give(action_private(RDMIG_ACTION_ACCEPT, PRIVATE_DATA));
        turn();
        mock_event(types[i], -ETIMEDOUT, NULL, 0);
        assert_int_equal(turn(), 1);
        assert_int_equal(answer_to(1)->status, RDMIG_STATUS_FLUSHED);
        assert_int_equal(event_of(RDMIG_EVENT_UNREACHABLE, 0)->event.os_code, ETIMEDOUT);
        assert_true(link_is_closed(the_link));
        assert_contains(explain().detail, "went away before it was made");
        drop_link();
    }
}

static void test_link__accept_call_fails__core_is_told(void **state)
{
    (void)state;
    mock_fail("rdma_accept", EINVAL);
    make_listener();
    mock_request(PRIVATE_DATA, 8);
    give(action_private(RDMIG_ACTION_ACCEPT, PRIVATE_DATA));
    assert_int_equal(turn(), 1);
    assert_int_equal(event_of(RDMIG_EVENT_UNREACHABLE, 0)->event.os_code, EINVAL);
    assert_true(link_is_closed(the_link));
}

static void test_link__no_queue_pair_for_a_request__rejected_and_told(void **state)
{
    (void)state;
    mock_fail("rdma_create_qp", EPERM);
    make_listener();
    mock_request(PRIVATE_DATA, 8);
    assert_int_equal(turn(), 1);
    assert_int_equal(last_action.kind, RDMIG_ACTION_NOTIFY_CLOSED);
    assert_string_equal(mock.connects[0].call, "rdma_reject");
    assert_int_equal(explain().reason, RDMIG_REASON_DEVICE);
    assert_string_equal(explain().detail, "a source has connected, but a queue pair on RDMA device "
                                          "mock0 cannot be made (Operation not "
                                          "permitted)");
}

static void test_link__device_removed_while_listening__closed(void **state)
{
    (void)state;
    make_listener();
    mock_event_for(mock.listen_id, RDMA_CM_EVENT_DEVICE_REMOVAL, 0, NULL, 0);
    assert_int_equal(turn(), 1);
    assert_true(link_is_closed(the_link));
    assert_int_equal(explain().reason, RDMIG_REASON_DEVICE);
}

static void test_link__blocks_given_while_listening__reach_the_connection(void **state)
{
    (void)state;
    make_listener();
    provide_blocks();
    mock_request(PRIVATE_DATA, 8);
    turn();
    assert_int_equal(event_count(RDMIG_EVENT_BLOCKS_PROVIDED), 2);
    assert_int_equal(event_of(RDMIG_EVENT_BLOCKS_PROVIDED, 1)->conn_number, 2);
    assert_int_equal(event_of(RDMIG_EVENT_BLOCKS_PROVIDED, 1)->event.length, 128);
}

static void test_link__destroyed_with_untaken_events__leaves_nothing(void **state)
{
    (void)state;
    make_listener();
    mock_request(PRIVATE_DATA, 8);
    drop_link();
    set_up(state);
    make_destination();
    mock_event(RDMA_CM_EVENT_DISCONNECTED, 0, NULL, 0);
    drop_link();
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_link__listen_on_ipv4__bound_and_port_known),
        TEST(test_link__listen_on_port_0__the_kernels_choice_is_told),
        TEST(test_link__listen_on_an_ipv6_host__takes_ipv6_only),
        TEST(test_link__listen_on_every_address__one_ipv6_listener_takes_both_kinds),
        TEST(test_link__listen_on_every_address_without_ipv6__falls_back_to_ipv4),
        TEST(test_link__listen_where_somebody_listens__is_told),
        TEST(test_link__listen_on_an_address_without_rdma__is_told),
        TEST(test_link__request__core_is_started_with_the_private_data),
        TEST(test_link__request_with_a_length_but_no_data__core_gets_length_zero),
        TEST(test_link__accept__grants_two_reads_and_comes_after_the_receives),
        TEST(test_link__accept_on_a_small_device__grants_what_it_has),
        TEST(test_link__established__core_gets_no_bytes),
        TEST(test_link__core_rejects__peer_gets_the_private_data),
        TEST(test_link__second_request__is_rejected_and_the_first_goes_on),
        TEST(test_link__request_after_a_cancel__is_rejected),
        TEST(test_link__two_requests_at_once__the_first_is_taken),
        TEST(test_link__source_goes_away_before_established__core_is_told),
        TEST(test_link__accept_call_fails__core_is_told),
        TEST(test_link__no_queue_pair_for_a_request__rejected_and_told),
        TEST(test_link__device_removed_while_listening__closed),
        TEST(test_link__blocks_given_while_listening__reach_the_connection),
        TEST(test_link__destroyed_with_untaken_events__leaves_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
