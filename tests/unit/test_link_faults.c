/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Every call that can fail does, one after the other, once and for good: nothing leaks, nothing is
 * freed twice, the owner always hears an end with a cause and a remedy, or the connection works.
 */
#include "link_fixture.h"

#define FAULT_COUNT_MAX 200

/* Answers every tag that is out by abandoning, then ends the scripted core. */
static void end_core(void)
{
    give_kind(RDMIG_ACTION_DISCONNECT);
    give_kind(RDMIG_ACTION_ABANDON);
    give_kind(RDMIG_ACTION_NOTIFY_CLOSED);
    turn();
    assert_true(link_is_closed(the_link));
}

static void exercise(enum rdmig_role role)
{
    give(action_recv(1, 0));
    give(action_private(role == RDMIG_ROLE_SOURCE ? RDMIG_ACTION_CONNECT : RDMIG_ACTION_ACCEPT,
                        PRIVATE_DATA));
    turn();
    if (link_is_closed(the_link))
        return;
    mock_event(RDMA_CM_EVENT_ESTABLISHED, 0, PRIVATE_DATA, 8);
    give_kind(RDMIG_ACTION_NOTIFY_ESTABLISHED);
    turn();
    provide_blocks();
    give(action_register(10, 0, 0, 0, 2621440));
    give(action_write(11, 0, false));
    give(action_write(12, 4096, true));
    give(action_send(13, 0, 16));
    turn();
    assert_true(is_answered(10));
    give((struct rdmig_action){.kind = RDMIG_ACTION_DEREGISTER, .tag = 14, .region = 0});
    turn();
    assert_true(is_answered(14));
    end_core();
    /* Every tag was answered, exactly once; 11 may have gone with 12. */
    assert_true(is_answered(1));
    answer_to(1);
    answer_to(11);
    answer_to(12);
    answer_to(13);
}

static void run_source(void)
{
    struct rdmig_error error = {0};
    int result = create_link(RDMIG_ROLE_SOURCE, "10.9.0.1", &error);

    if (result != 0) {
        assert_null(the_link);
        assert_true(strlen(error.detail) > 0 && strlen(error.remedy) > 0);
        return;
    }
    if (mock.id != NULL) {
        mock_event(RDMA_CM_EVENT_ADDR_RESOLVED, 0, NULL, 0);
        turn();
    }
    if (mock.id != NULL) {
        mock_event(RDMA_CM_EVENT_ROUTE_RESOLVED, 0, NULL, 0);
        turn();
    }
    turn();
    if (!link_is_closed(the_link))
        exercise(RDMIG_ROLE_SOURCE);
    if (!link_is_connected(the_link)) {
        assert_true(explain().reason != RDMIG_REASON_NONE);
        assert_contains(explain().detail, "cannot connect to 10.9.0.1:4444: ");
    }
}

static void run_destination(void)
{
    struct rdmig_error error = {0};
    int result = create_link(RDMIG_ROLE_DESTINATION, "10.9.0.1", &error);

    if (result != 0) {
        assert_null(the_link);
        assert_true(strlen(error.detail) > 0 && strlen(error.remedy) > 0);
        return;
    }
    mock_request(PRIVATE_DATA, 8);
    turn();
    if (!link_is_closed(the_link))
        exercise(RDMIG_ROLE_DESTINATION);
    else
        assert_contains(explain().detail, "a source has connected, but ");
}

/* n = 0 counts the calls. */
static unsigned run_once(void (*run)(void), unsigned n, bool is_persistent)
{
    unsigned call_count;

    mock_reset();
    script_reset();
    mock_fail_nth(n, is_persistent);
    run();
    call_count = mock.call_count;
    mock_fail_nth(0, false);
    link_destroy(the_link);
    mock_assert_clean();
    the_link = NULL;
    assert_int_equal(script.live_count, 0);
    return call_count;
}

static void run_all(void (*run)(void), bool is_persistent)
{
    unsigned call_count = run_once(run, 0, false);

    assert_true(call_count > 15 && call_count < FAULT_COUNT_MAX);
    for (unsigned n = 1; n <= call_count; n++)
        run_once(run, n, is_persistent);
}

static void test_link__source_each_call_fails_once__nothing_leaks(void **state)
{
    (void)state;
    run_all(run_source, false);
}

static void test_link__source_each_call_fails_for_good__nothing_leaks(void **state)
{
    (void)state;
    run_all(run_source, true);
}

static void test_link__destination_each_call_fails_once__nothing_leaks(void **state)
{
    (void)state;
    run_all(run_destination, false);
}

static void test_link__destination_each_call_fails_for_good__nothing_leaks(void **state)
{
    (void)state;
    run_all(run_destination, true);
}

static void assert_out_of_memory(void)
{
    assert_true(link_is_closed(the_link));
    assert_int_equal(last_action.kind, RDMIG_ACTION_NOTIFY_CLOSED);
    assert_int_equal(explain().reason, RDMIG_REASON_MEMORY);
    assert_int_equal(mock_live_count(MOCK_PAIR), 0);
}

static void test_link__no_core_when_the_route_is_there__closed(void **state)
{
    for (unsigned way = 0; way < 2; way++) {
        set_up(state);
        assert_int_equal(create_link(RDMIG_ROLE_SOURCE, "10.9.0.1", NULL), 0);
        mock_event(RDMA_CM_EVENT_ADDR_RESOLVED, 0, NULL, 0);
        turn();
        script.is_footprint_zero = way == 0;
        script.init_result = way == 0 ? 0 : -RDMIG_E_INVALID;
        mock_event(RDMA_CM_EVENT_ROUTE_RESOLVED, 0, NULL, 0);
        turn();
        assert_out_of_memory();
        drop_link();
    }
}

static void test_link__no_core_for_a_request__rejected_and_closed(void **state)
{
    (void)state;
    make_listener();
    script.is_footprint_zero = true;
    mock_request(PRIVATE_DATA, 8);
    turn();
    assert_out_of_memory();
    assert_string_equal(mock.connects[0].call, "rdma_reject");
}

static void test_link__no_core_for_the_second_address__closed(void **state)
{
    static const char *const hosts[] = {"10.9.0.1", "10.9.0.2"};

    (void)state;
    mock_set_addresses(hosts, 2);
    assert_int_equal(create_link(RDMIG_ROLE_SOURCE, "several", NULL), 0);
    script.is_footprint_zero = true;
    mock_event(RDMA_CM_EVENT_ADDR_ERROR, -ENODEV, NULL, 0);
    turn();
    assert_out_of_memory();
    assert_int_equal(mock_count("rdma_resolve_addr"), 1);
}

static void test_link__no_core_at_all__create_fails(void **state)
{
    struct rdmig_error error;

    (void)state;
    script.init_result = -RDMIG_E_INVALID;
    assert_int_equal(create_link(RDMIG_ROLE_SOURCE, "10.9.0.1", &error), -RDMIG_E_MEMORY);
    assert_int_equal(error.reason, RDMIG_REASON_MEMORY);
}

/* Field H14: a thousand starts and cancels leave nothing pinned. */
static void test_link__a_thousand_starts_and_cancels__nothing_stays(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 1000; i++) {
        set_up(state);
        make_source();
        provide_blocks();
        give(action_register(1, 0, 0, 0, 2621440));
        give_kind(RDMIG_ACTION_DISCONNECT);
        turn();
        drop_link();
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_link__source_each_call_fails_once__nothing_leaks),
        TEST(test_link__source_each_call_fails_for_good__nothing_leaks),
        TEST(test_link__destination_each_call_fails_once__nothing_leaks),
        TEST(test_link__destination_each_call_fails_for_good__nothing_leaks),
        TEST(test_link__no_core_when_the_route_is_there__closed),
        TEST(test_link__no_core_for_a_request__rejected_and_closed),
        TEST(test_link__no_core_for_the_second_address__closed),
        TEST(test_link__no_core_at_all__create_fails),
        TEST(test_link__a_thousand_starts_and_cancels__nothing_stays),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
