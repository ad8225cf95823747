/* SPDX-License-Identifier: BSD-2-Clause */
/* Failures in words: one line what, one line what to do, for every reason there is. */
#include "link_fixture.h"

static const char *detail_of(struct rdmig_failure failure)
{
    static struct rdmig_error error;

    script.failure = failure;
    error = explain();
    assert_int_equal(error.reason, failure.reason);
    assert_int_equal(error.os_code, failure.os_code);
    return error.detail;
}

static const enum rdmig_reason reasons[] = {
#define REASON_VALUE(name, value, is_retryable) RDMIG_REASON_##name,
    RDMIG_REASON_MAP(REASON_VALUE)
#undef REASON_VALUE
};

static void test_link__every_reason__has_a_detail_and_a_remedy(void **state)
{
    for (unsigned role = 0; role < 2; role++) {
        set_up(state);
        if (role == 0)
            make_source();
        else
            make_destination();
        for (size_t i = 1; i < sizeof(reasons) / sizeof(reasons[0]); i++) {
            const enum rdmig_reason reason = reasons[i];
            struct rdmig_error error;

            script.failure = (struct rdmig_failure){.reason = reason, .block_index = UINT32_MAX};
            error = explain();
            assert_int_equal(error.reason, reason);
            assert_true(strlen(error.detail) > 10);
            assert_true(strlen(error.remedy) > 10);
            assert_true(strlen(error.remedy) < sizeof(error.remedy) - 1); /* not cut off */
            assert_null(strchr(error.detail, '%'));
            assert_null(strchr(error.remedy, '%'));
        }
        drop_link();
    }
}

static void test_link__no_failure__nothing_to_explain(void **state)
{
    (void)state;
    make_source();
    assert_int_equal(explain().reason, RDMIG_REASON_NONE);
    assert_string_equal(explain().detail, "");
}

static void test_link__unknown_reason__does_not_reach_outside_the_table(void **state)
{
    (void)state;
    make_source();
    for (unsigned value = 1; value < 1000; value++) {
        bool is_known = false;

        for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
            is_known = is_known || reasons[i] == (enum rdmig_reason)value;
        script.failure.reason = (enum rdmig_reason)value;
        assert_int_equal(explain().reason,
                         is_known ? (enum rdmig_reason)value : RDMIG_REASON_INTERNAL);
    }
    script.failure.reason = (enum rdmig_reason)UINT32_MAX;
    assert_int_equal(explain().reason, RDMIG_REASON_INTERNAL);
}

static void test_link__numbers_and_names__stand_in_their_places(void **state)
{
    (void)state;
    make_source();
    assert_string_equal(
        detail_of((struct rdmig_failure){
            .reason = RDMIG_REASON_VERSION_UNSUPPORTED, .expected = 1, .actual = 2}),
        "the peer speaks version 2 of the RDMA migration protocol, this end version 1");
    assert_string_equal(
        detail_of((struct rdmig_failure){
            .reason = RDMIG_REASON_PRIVATE_DATA_SHORT, .expected = 8, .actual = 3}),
        "the peer's connection data is 3 bytes long; a QEMU RDMA migration peer sends 8");
    assert_string_equal(
        detail_of((struct rdmig_failure){.reason = RDMIG_REASON_BLOCK_LENGTH,
                                         .block_index = 3,
                                         .expected = 4096,
                                         .actual = UINT64_MAX}),
        "RAM block 3 is 18446744073709551615 bytes long at the destination and 4096 at the source");
    assert_string_equal(
        detail_of((struct rdmig_failure){.reason = RDMIG_REASON_RANGE,
                                         .message_type = RDMIG_MESSAGE_COMPRESS,
                                         .block_index = 1,
                                         .expected = 100,
                                         .actual = 200}),
        "the peer's COMPRESS message reaches outside RAM block 1 (200, where 100 is the limit)");
    assert_string_equal(detail_of((struct rdmig_failure){.reason = RDMIG_REASON_INTERNAL,
                                                         .phase = RDMIG_PHASE_RUNNING}),
                        "a state that cannot be, in phase RUNNING");
    assert_string_equal(
        detail_of((struct rdmig_failure){.reason = RDMIG_REASON_FILL_FAILED, .os_code = EFAULT}),
        "RAM block 0 could not be filled: Bad address");
    assert_string_equal(detail_of((struct rdmig_failure){.reason = RDMIG_REASON_CONNECTION_LOST}),
                        "the connection to the peer was lost on RDMA device mock0");
}

static void test_link__completion_status__in_words_with_a_remedy(void **state)
{
    static const enum ibv_wc_status statuses[] = {IBV_WC_RETRY_EXC_ERR,   IBV_WC_RNR_RETRY_EXC_ERR,
                                                  IBV_WC_REM_ACCESS_ERR,  IBV_WC_REM_OP_ERR,
                                                  IBV_WC_REM_INV_REQ_ERR, IBV_WC_LOC_PROT_ERR,
                                                  IBV_WC_LOC_LEN_ERR,     IBV_WC_GENERAL_ERR};

    for (unsigned i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++) {
        set_up(state);
        make_source();
        give(action_send(1, 0, 16));
        turn();
        mock_complete_send(1, statuses[i]);
        turn();
        script_fail(RDMIG_REASON_SEND_FAILED, (int32_t)statuses[i]);
        if (i == 0) {
            assert_string_equal(explain().detail,
                                "a message could not be sent: transport retry counter exceeded "
                                "(completion status 12, vendor error 0x51)");
            assert_contains(explain().remedy, "hardware no longer answers");
        }
        assert_contains(explain().detail, "completion status");
        assert_true(strlen(explain().remedy) > 10);
        drop_link();
    }
}

/* 12 is ENOMEM as an errno and "retry counter exceeded" as a status: only the adapter knows which
 * it was. */
static void test_link__refused_post__is_told_as_errno(void **state)
{
    (void)state;
    make_source();
    give(action_send(1, 0, 16));
    mock_post_send_result(0, ENOMEM);
    turn();
    script_fail(RDMIG_REASON_SEND_FAILED, ENOMEM);
    assert_string_equal(explain().detail,
                        "a message could not be sent: RDMA device mock0 refused the work request "
                        "(Cannot allocate memory)");
}

static void test_link__first_fault__is_the_one_that_is_told(void **state)
{
    (void)state;
    make_source();
    give(action_send(1, 0, 16));
    give(action_send(2, 0, 16));
    turn();
    mock_complete_send(1, IBV_WC_RETRY_EXC_ERR);
    mock_complete_send(2, IBV_WC_GENERAL_ERR);
    turn();
    script_fail(RDMIG_REASON_WRITE_FAILED, IBV_WC_RETRY_EXC_ERR);
    assert_contains(explain().detail, "an RDMA Write failed: transport retry counter exceeded");
}

static void test_link__fault_unknown_to_the_adapter__number_is_told(void **state)
{
    (void)state;
    make_source();
    assert_string_equal(
        detail_of((struct rdmig_failure){.reason = RDMIG_REASON_RECV_FAILED, .os_code = 5}),
        "a message could not be received: error 5");
}

static void test_link__many_addresses__detail_is_cut_not_overrun(void **state)
{
    static const char *const hosts[] = {"10.9.0.1", "10.9.0.2", "10.9.0.3", "10.9.0.4",
                                        "10.9.0.5", "10.9.0.6", "10.9.0.7", "10.9.0.8"};

    (void)state;
    mock_set_addresses(hosts, 8);
    assert_int_equal(create_link(RDMIG_ROLE_SOURCE, "several", NULL), 0);
    for (unsigned i = 0; i < 8; i++) {
        mock_event(RDMA_CM_EVENT_ADDR_ERROR, -ENODEV, NULL, 0);
        turn();
    }
    assert_true(link_is_closed(the_link));
    assert_int_equal(strlen(explain().detail), sizeof(explain().detail) - 1);
    assert_contains(explain().detail, "10.9.0.1:4444: no RDMA device leads there");
    assert_contains(explain().detail, "10.9.0.5:4444");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_link__every_reason__has_a_detail_and_a_remedy),
        TEST(test_link__no_failure__nothing_to_explain),
        TEST(test_link__unknown_reason__does_not_reach_outside_the_table),
        TEST(test_link__numbers_and_names__stand_in_their_places),
        TEST(test_link__completion_status__in_words_with_a_remedy),
        TEST(test_link__refused_post__is_told_as_errno),
        TEST(test_link__first_fault__is_the_one_that_is_told),
        TEST(test_link__fault_unknown_to_the_adapter__number_is_told),
        TEST(test_link__many_addresses__detail_is_cut_not_overrun),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
