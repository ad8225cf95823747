/* SPDX-License-Identifier: BSD-2-Clause */
/* A source's way to a connection: every step asynchronous, every address tried, every failure told
 * in the end. */
#include "link_fixture.h"

#include <netinet/in.h>

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

static const struct sockaddr_in *resolved4(void)
{
    return (const struct sockaddr_in *)&mock.resolved;
}

static void test_link__numeric_ipv4_host__is_resolved_without_dns(void **state)
{
    (void)state;
    assert_int_equal(create_link(RDMIG_ROLE_SOURCE, "10.9.0.1", NULL), 0);
    assert_int_equal(mock_count("getaddrinfo(numeric)"), 1);
    assert_int_equal(mock_count("getaddrinfo(name)"), 0);
    assert_int_equal(mock.resolved.ss_family, AF_INET);
    assert_int_equal(ntohs(resolved4()->sin_port), 4444);
    assert_int_equal(ntohl(resolved4()->sin_addr.s_addr), 0x0a090001);
    assert_true(mock.resolve_ms > 0 && mock.resolve_ms <= 5000);
    assert_int_equal(script.event_count, 0);
    assert_false(link_is_connected(the_link));
    assert_false(link_is_closed(the_link));
}

static void test_link__numeric_ipv6_host__is_resolved(void **state)
{
    const struct sockaddr_in6 *address = (const struct sockaddr_in6 *)&mock.resolved;

    (void)state;
    assert_int_equal(create_link(RDMIG_ROLE_SOURCE, "fd09::1", NULL), 0);
    assert_int_equal(mock.resolved.ss_family, AF_INET6);
    assert_int_equal(address->sin6_addr.s6_addr[0], 0xfd);
    assert_int_equal(address->sin6_addr.s6_addr[15], 1);
    assert_int_equal(ntohs(address->sin6_port), 4444);
}

static void test_link__unknown_host__create_fails_with_address(void **state)
{
    struct rdmig_error error;

    (void)state;
    assert_int_equal(create_link(RDMIG_ROLE_SOURCE, "nowhere", &error), -RDMIG_E_SYSTEM);
    assert_null(the_link);
    assert_int_equal(error.reason, RDMIG_REASON_ADDRESS);
    assert_contains(error.detail, "nowhere:4444");
    assert_true(strlen(error.remedy) > 0);
}

/* Whatever a configuration file held for a host: the error stays one line. */
static void test_link__host_that_is_no_text__is_text_in_the_error(void **state)
{
    struct rdmig_error error;

    (void)state;
    assert_int_equal(create_link(RDMIG_ROLE_SOURCE, "no\n\x1b[2Jwhere", &error), -RDMIG_E_SYSTEM);
    assert_contains(error.detail, "no\\n\\x1b[2Jwhere:4444");
    assert_null(strchr(error.detail, '\n'));
    assert_null(strchr(error.detail, '\x1b'));
}

static void test_link__empty_host__create_fails_with_address(void **state)
{
    struct rdmig_error error;

    (void)state;
    assert_int_equal(create_link(RDMIG_ROLE_SOURCE, "", &error), -RDMIG_E_SYSTEM);
    assert_int_equal(error.reason, RDMIG_REASON_ADDRESS);
    assert_int_equal(create_link(RDMIG_ROLE_SOURCE, NULL, &error), -RDMIG_E_SYSTEM);
    assert_int_equal(error.reason, RDMIG_REASON_ADDRESS);
}

static void test_link__host_too_long__create_is_refused(void **state)
{
    char host[400];
    struct rdmig_error error;

    (void)state;
    memset(host, 'a', sizeof(host));
    host[sizeof(host) - 1] = '\0';
    assert_int_equal(create_link(RDMIG_ROLE_SOURCE, host, &error), -RDMIG_E_INVALID);
    assert_null(the_link);
    assert_int_equal(error.reason, RDMIG_REASON_CALLER);
    assert_contains(error.detail, "too long");
}

static void test_link__bad_configuration__create_is_refused(void **state)
{
    struct rdmig_error error;

    (void)state;
    script.is_footprint_zero = true;
    assert_int_equal(create_link(RDMIG_ROLE_SOURCE, "10.9.0.1", &error), -RDMIG_E_INVALID);
    assert_int_equal(error.reason, RDMIG_REASON_CALLER);
    assert_contains(error.detail, "limits");
    assert_contains(error.remedy, "options");
}

static void test_link__no_rdma_on_this_host__create_fails_with_device(void **state)
{
    struct rdmig_error error;

    (void)state;
    mock_fail("rdma_create_event_channel", ENODEV);
    assert_int_equal(create_link(RDMIG_ROLE_SOURCE, "10.9.0.1", &error), -RDMIG_E_SYSTEM);
    assert_int_equal(error.reason, RDMIG_REASON_DEVICE);
    assert_int_equal(error.os_code, ENODEV);
    assert_contains(error.remedy, "modprobe rdma_ucm");
}

static void test_link__route_resolved__everything_is_made_with_the_right_numbers(void **state)
{
    const struct mock_region *control = &mock.regions[0];

    (void)state;
    make_connecting_source();
    assert_int_equal(mock.pair_attributes.qp_type, IBV_QPT_RC);
    assert_int_equal(mock.pair_attributes.sq_sig_all, 0);
    assert_int_equal(mock.pair_attributes.cap.max_send_wr, 257); /* and one for the drain marker */
    assert_int_equal(mock.pair_attributes.cap.max_recv_wr, RDMIG_RECV_SLOT_COUNT);
    assert_int_equal(mock.pair_attributes.cap.max_send_sge, 1);
    assert_int_equal(mock.pair_attributes.cap.max_recv_sge, 1);
    assert_ptr_not_equal(mock.pair_attributes.send_cq, mock.pair_attributes.recv_cq);
    assert_int_equal(mock.cq_depths[0], 257);
    assert_int_equal(mock.cq_depths[1], RDMIG_RECV_SLOT_COUNT);
    assert_int_equal(script.config.send_queue_depth, 256);
    assert_true(script.config.connect_timeout_ns > UINT64_C(19000000000));
    assert_true(script.config.connect_timeout_ns <= UINT64_C(20000000000));
    /* Control memory: the hardware may write into it for us, the peer may not touch it. */
    assert_int_equal(mock.region_count, 1);
    assert_ptr_equal(control->addr, script.control);
    assert_int_equal(control->length, SCRIPT_CONTROL_BYTES);
    assert_int_equal(control->access, IBV_ACCESS_LOCAL_WRITE);
    /* Both queues are armed before anything can complete. */
    assert_int_equal(mock_count("ibv_req_notify_cq"), 2);
    assert_int_equal(mock.option_count, 1);
    assert_int_equal(mock.options[0].level, RDMA_OPTION_ID);
    assert_int_equal(mock.options[0].name, RDMA_OPTION_ID_ACK_TIMEOUT);
    assert_in_range(mock.options[0].value, 14, 19); /* 0.07 s to 2.1 s */
    assert_true(mock_is_before("rdma_create_qp", "ibv_reg_mr"));
    assert_int_equal(script.event_count, 1);
}

static void test_link__connect__carries_the_private_data_and_bounded_retries(void **state)
{
    const struct mock_connect *connect = &mock.connects[0];

    (void)state;
    make_connecting_source();
    give(action_recv(1, 0));
    give(action_private(RDMIG_ACTION_CONNECT, PRIVATE_DATA));
    assert_int_equal(turn(), 0);
    assert_int_equal(mock.connect_count, 1);
    assert_string_equal(connect->call, "rdma_connect");
    assert_memory_equal(connect->private_data, PRIVATE_DATA, 8);
    assert_int_equal(connect->param.private_data_len, 8);
    assert_int_equal(connect->param.initiator_depth, 2);
    assert_int_equal(connect->param.responder_resources, 0);
    assert_int_equal(connect->param.retry_count, 5);
    assert_int_equal(connect->param.rnr_retry_count, 0);
    /* H12: the receive is there before the peer can know of the connection. */
    assert_true(mock_is_before("ibv_post_recv", "rdma_connect"));
    assert_int_equal(mock.work_count, 1);
    assert_true(mock.works[0].is_receive);
}

static void test_link__established__private_data_reaches_the_core(void **state)
{
    const struct script_event *event;

    (void)state;
    make_connecting_source();
    give(action_private(RDMIG_ACTION_CONNECT, PRIVATE_DATA));
    turn();
    establish();
    event = event_of(RDMIG_EVENT_ESTABLISHED, 0);
    assert_int_equal(event->event.length, 8);
    assert_memory_equal(event->bytes, PRIVATE_DATA, 8);
    assert_int_equal(last_action.kind, RDMIG_ACTION_NOTIFY_ESTABLISHED);
}

static void test_link__established_with_a_length_but_no_data__core_gets_length_zero(void **state)
{
    (void)state;
    make_connecting_source();
    mock_event(RDMA_CM_EVENT_ESTABLISHED, 0, NULL, 56);
    turn();
    assert_int_equal(event_of(RDMIG_EVENT_ESTABLISHED, 0)->event.length, 0);
}

static void test_link__completions_before_established__wait_for_it(void **state)
{
    (void)state;
    make_connecting_source();
    give(action_recv(1, 0));
    turn();
    mock_complete_receive(1, IBV_WC_SUCCESS, 16);
    turn();
    assert_false(is_answered(1));
    mock_event(RDMA_CM_EVENT_ESTABLISHED, 0, PRIVATE_DATA, 8);
    turn();
    assert_int_equal(answer_to(1)->kind, RDMIG_EVENT_RECEIVED);
    assert_int_equal(script.events[script.event_count - 1].event.kind, RDMIG_EVENT_RECEIVED);
}

/* ---- one address that fails */

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

static void test_link__address_error__closed_and_told(void **state)
{
    (void)state;
    assert_int_equal(create_link(RDMIG_ROLE_SOURCE, "10.9.0.1", NULL), 0);
    mock_event(RDMA_CM_EVENT_ADDR_ERROR, -ENODEV, NULL, 0);
    assert_true(is_readable());
    assert_int_equal(turn(), 1);
    assert_closed_with(
        RDMIG_REASON_PEER_UNREACHABLE,
        "cannot connect to 10.9.0.1:4444: no RDMA device leads there (No such device)",
        "use an address that an RDMA device leads to (rdmig devices)");
}

static void test_link__resolving_cannot_start__closed_and_told_without_an_event(void **state)
{
    (void)state;
    mock_fail("rdma_resolve_addr", ENETUNREACH);
    assert_int_equal(create_link(RDMIG_ROLE_SOURCE, "10.9.0.1", NULL), 0);
    assert_true(is_readable());
    assert_false(link_is_closed(the_link)); /* the owner has yet to hear of it */
    assert_int_equal(turn(), 1);
    assert_closed_with(
        RDMIG_REASON_PEER_UNREACHABLE,
        "cannot connect to 10.9.0.1:4444: it cannot be reached (Network is unreachable)", NULL);
}

static void test_link__route_error__closed_and_told(void **state)
{
    (void)state;
    assert_int_equal(create_link(RDMIG_ROLE_SOURCE, "fd09::1", NULL), 0);
    mock_event(RDMA_CM_EVENT_ADDR_RESOLVED, 0, NULL, 0);
    turn();
    mock_event(RDMA_CM_EVENT_ROUTE_ERROR, -ETIMEDOUT, NULL, 0);
    turn();
    assert_closed_with(
        RDMIG_REASON_PEER_UNREACHABLE,
        "cannot connect to [fd09::1]:4444: no route leads there (Connection timed out)", NULL);
}

static void test_link__nobody_listens__is_told_so(void **state)
{
    uint8_t padding[148] = {0};

    (void)state;
    make_connecting_source();
    give(action_recv(1, 0));
    give(action_private(RDMIG_ACTION_CONNECT, PRIVATE_DATA));
    turn();
    /* InfiniBand's reject message always carries its data field, whoever sent it. */
    mock_event(RDMA_CM_EVENT_REJECTED, 8, padding, sizeof(padding));
    turn();
    assert_int_equal(answer_to(1)->status, RDMIG_STATUS_FLUSHED);
    assert_int_equal(event_of(RDMIG_EVENT_UNREACHABLE, 0)->event.status, RDMIG_STATUS_ERROR);
    assert_closed_with(RDMIG_REASON_PEER_UNREACHABLE,
                       "cannot connect to 10.9.0.1:4444: nobody is listening there (rejected)",
                       "start the destination first, check host and port");
}

static void test_link__nobody_listens_on_iwarp__is_told_so(void **state)
{
    (void)state;
    make_connecting_source();
    mock_event(RDMA_CM_EVENT_REJECTED, -ECONNREFUSED, NULL, 0);
    turn();
    assert_closed_with(RDMIG_REASON_PEER_UNREACHABLE,
                       "cannot connect to 10.9.0.1:4444: nobody is listening there (rejected)",
                       "start the destination first, check host and port");
}

static void test_link__rejected_for_another_reason__number_is_told(void **state)
{
    (void)state;
    make_connecting_source();
    mock_event(RDMA_CM_EVENT_REJECTED, 10, NULL, 0);
    turn();
    assert_closed_with(
        RDMIG_REASON_PEER_UNREACHABLE,
        "cannot connect to 10.9.0.1:4444: the host there rejected the connection (reason 10)",
        NULL);
}

static void test_link__unreachable__is_told(void **state)
{
    (void)state;
    make_connecting_source();
    mock_event(RDMA_CM_EVENT_UNREACHABLE, -ETIMEDOUT, NULL, 0);
    turn();
    assert_int_equal(event_of(RDMIG_EVENT_UNREACHABLE, 0)->event.os_code, ETIMEDOUT);
    assert_closed_with(RDMIG_REASON_PEER_UNREACHABLE,
                       "cannot connect to 10.9.0.1:4444: it does not answer (Connection timed out)",
                       NULL);
}

static void test_link__connect_error__is_told(void **state)
{
    (void)state;
    make_connecting_source();
    mock_event(RDMA_CM_EVENT_CONNECT_ERROR, -EINVAL, NULL, 0);
    turn();
    assert_closed_with(RDMIG_REASON_PEER_UNREACHABLE,
                       "cannot connect to 10.9.0.1:4444: connecting failed (Invalid argument)",
                       NULL);
}

static void test_link__connect_call_fails__is_told(void **state)
{
    (void)state;
    make_connecting_source();
    mock_fail("rdma_connect", EINVAL);
    give(action_private(RDMIG_ACTION_CONNECT, PRIVATE_DATA));
    turn();
    assert_closed_with(RDMIG_REASON_PEER_UNREACHABLE,
                       "cannot connect to 10.9.0.1:4444: connecting failed (Invalid argument)",
                       NULL);
}

static void test_link__device_removed_while_connecting__is_told(void **state)
{
    (void)state;
    make_connecting_source();
    mock_event(RDMA_CM_EVENT_DEVICE_REMOVAL, 0, NULL, 0);
    turn();
    assert_closed_with(RDMIG_REASON_PEER_UNREACHABLE,
                       "cannot connect to 10.9.0.1:4444: connecting failed (no cause given)", NULL);
}

static void test_link__resolving_takes_too_long__connect_timeout(void **state)
{
    struct link_config config = config_for(RDMIG_ROLE_SOURCE, "10.9.0.1");

    (void)state;
    config.conn.connect_timeout_ns = 30000000;
    assert_int_equal(link_create(&the_link, &config, NULL), 0);
    assert_int_equal(turn(), 0);
    assert_true(becomes_readable()); /* the timer is set although the core has no deadline */
    assert_int_equal(turn(), 1);
    assert_closed_with(RDMIG_REASON_CONNECT_TIMEOUT,
                       "cannot connect to 10.9.0.1:4444: its address could not be resolved in time",
                       NULL);
}

static void test_link__cancelled_while_resolving__closed(void **state)
{
    struct rdmig_event event = {.kind = RDMIG_EVENT_CANCEL_REQUESTED, .os_code = 3};

    (void)state;
    assert_int_equal(create_link(RDMIG_ROLE_SOURCE, "10.9.0.1", NULL), 0);
    assert_int_equal(link_step(the_link, &event), 0);
    assert_true(is_readable());
    turn();
    assert_closed_with(RDMIG_REASON_CANCELLED, "cancelled while connecting", NULL);
    assert_int_equal(explain().os_code, 3);
    assert_int_equal(link_step(the_link, &event), -RDMIG_E_FAILED);
}

static void test_link__cancelled_while_connecting__no_other_address_is_tried(void **state)
{
    struct rdmig_event event = {.kind = RDMIG_EVENT_CANCEL_REQUESTED};

    (void)state;
    make_several(two_hosts, 2);
    resolve_both();
    assert_int_equal(link_step(the_link, &event), 0);
    give_kind(RDMIG_ACTION_DISCONNECT);
    give_kind(RDMIG_ACTION_NOTIFY_CLOSED);
    turn();
    assert_true(link_is_closed(the_link));
    assert_int_equal(mock_count("rdma_resolve_addr"), 1);
    assert_int_equal(explain().reason, RDMIG_REASON_CANCELLED);
}

static void test_link__stepping_a_source_too_early__is_refused(void **state)
{
    struct rdmig_event event = {.kind = RDMIG_EVENT_EXCHANGE_REQUESTED};

    (void)state;
    assert_int_equal(create_link(RDMIG_ROLE_SOURCE, "10.9.0.1", NULL), 0);
    assert_int_equal(link_step(the_link, &event), -RDMIG_E_STATE);
    assert_int_equal(script.event_count, 0);
}

static void test_link__stale_events__are_acknowledged_and_ignored(void **state)
{
    static struct rdma_cm_id somebody_else;
    unsigned before;

    (void)state;
    make_source();
    before = script.event_count;
    mock_event_for(&somebody_else, RDMA_CM_EVENT_DISCONNECTED, 0, NULL, 0);
    mock_event(RDMA_CM_EVENT_ADDR_CHANGE, 0, NULL, 0);
    mock_event(RDMA_CM_EVENT_TIMEWAIT_EXIT, 0, NULL, 0);
    mock_event(RDMA_CM_EVENT_ESTABLISHED, 0, PRIVATE_DATA, 8);
    mock_event((enum rdma_cm_event_type)77, 0, NULL, 0);
    turn();
    assert_int_equal(script.event_count, before);
    assert_int_equal(mock_live_count(MOCK_CM_EVENT), 0);
    assert_false(is_readable());
}

static void test_link__destroyed_at_every_stage__leaves_nothing(void **state)
{
    (void)state;
    for (unsigned stage = 0; stage < 6; stage++) {
        set_up(state);
        assert_int_equal(create_link(RDMIG_ROLE_SOURCE, "10.9.0.1", NULL), 0);
        if (stage >= 1)
            mock_event(RDMA_CM_EVENT_ADDR_RESOLVED, 0, NULL, 0);
        if (stage >= 2)
            turn();
        if (stage >= 3)
            mock_event(RDMA_CM_EVENT_ROUTE_RESOLVED, 0, NULL, 0);
        if (stage >= 4) {
            give(action_recv(1, 0));
            turn();
        }
        if (stage >= 5)
            mock_complete_receive(1, IBV_WC_SUCCESS, 16);
        drop_link();
    }
    link_destroy(NULL);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_link__numeric_ipv4_host__is_resolved_without_dns),
        TEST(test_link__numeric_ipv6_host__is_resolved),
        TEST(test_link__unknown_host__create_fails_with_address),
        TEST(test_link__host_that_is_no_text__is_text_in_the_error),
        TEST(test_link__empty_host__create_fails_with_address),
        TEST(test_link__host_too_long__create_is_refused),
        TEST(test_link__bad_configuration__create_is_refused),
        TEST(test_link__no_rdma_on_this_host__create_fails_with_device),
        TEST(test_link__route_resolved__everything_is_made_with_the_right_numbers),
        TEST(test_link__connect__carries_the_private_data_and_bounded_retries),
        TEST(test_link__established__private_data_reaches_the_core),
        TEST(test_link__established_with_a_length_but_no_data__core_gets_length_zero),
        TEST(test_link__completions_before_established__wait_for_it),
        TEST(test_link__address_error__closed_and_told),
        TEST(test_link__resolving_cannot_start__closed_and_told_without_an_event),
        TEST(test_link__route_error__closed_and_told),
        TEST(test_link__nobody_listens__is_told_so),
        TEST(test_link__nobody_listens_on_iwarp__is_told_so),
        TEST(test_link__rejected_for_another_reason__number_is_told),
        TEST(test_link__unreachable__is_told),
        TEST(test_link__connect_error__is_told),
        TEST(test_link__connect_call_fails__is_told),
        TEST(test_link__device_removed_while_connecting__is_told),
        TEST(test_link__resolving_takes_too_long__connect_timeout),
        TEST(test_link__cancelled_while_resolving__closed),
        TEST(test_link__cancelled_while_connecting__no_other_address_is_tried),
        TEST(test_link__stepping_a_source_too_early__is_refused),
        TEST(test_link__stale_events__are_acknowledged_and_ignored),
        TEST(test_link__destroyed_at_every_stage__leaves_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
