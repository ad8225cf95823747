/* SPDX-License-Identifier: BSD-2-Clause */
/* The ways out of a connection: disconnected by us or by the peer, abandoned, device gone; and the
 * clock. */
#include "link_fixture.h"

static bool is_posted(uint64_t wr_id)
{
    for (unsigned i = 0; i < mock.work_count; i++)
        if (mock.works[i].wr_id == wr_id)
            return true;
    return false;
}

static void give_writes(uint64_t first_tag, unsigned count, unsigned signal_every)
{
    for (unsigned i = 0; i < count; i++)
        give(action_write(first_tag + i, (uint64_t)i * 4096, (i + 1) % signal_every == 0));
}

/* ---- leaving */

static void test_link__disconnect__marker_settles_silent_writes(void **state)
{
    const struct mock_work *marker;

    (void)state;
    make_writing_source();
    give(action_recv(1, 0));
    give_writes(100, 3, 9); /* none signalled: as after a failure in the middle of a batch */
    give_kind(RDMIG_ACTION_DISCONNECT);
    turn();
    assert_int_equal(mock_count("rdma_disconnect"), 1);
    assert_int_equal(mock_count("ibv_modify_qp"), 0);
    marker = &mock.works[mock.work_count - 1];
    assert_int_equal(marker->wr_id, UINT64_MAX);
    assert_int_equal(marker->opcode, IBV_WR_RDMA_WRITE);
    assert_int_equal(marker->send_flags, IBV_SEND_SIGNALED);
    assert_int_equal(marker->piece_count, 0);
    assert_false(is_answered(100));
    mock_complete_receive(1, IBV_WC_WR_FLUSH_ERR, 0);
    mock_complete_send(102, IBV_WC_WR_FLUSH_ERR); /* 100 and 101 were done before */
    mock_complete_send(UINT64_MAX, IBV_WC_WR_FLUSH_ERR);
    turn();
    for (uint64_t tag = 100; tag <= 102; tag++)
        assert_int_equal(answer_to(tag)->status, RDMIG_STATUS_FLUSHED);
    assert_int_equal(answer_to(1)->status, RDMIG_STATUS_FLUSHED);
    assert_false(is_answered(UINT64_MAX));
}

static void
test_link__disconnect_with_all_writes_done_in_silence__marker_alone_settles_them(void **state)
{
    (void)state;
    make_writing_source();
    give_writes(100, 3, 9);
    give_kind(RDMIG_ACTION_DISCONNECT);
    turn();
    mock_complete_send(UINT64_MAX, IBV_WC_WR_FLUSH_ERR);
    turn();
    for (uint64_t tag = 100; tag <= 102; tag++)
        assert_int_equal(answer_to(tag)->status, RDMIG_STATUS_FLUSHED);
}

static void test_link__disconnect_fails__queue_pair_goes_into_error(void **state)
{
    (void)state;
    make_source();
    mock_fail("rdma_disconnect", EINVAL);
    give_kind(RDMIG_ACTION_DISCONNECT);
    turn();
    assert_int_equal(mock_count("ibv_modify_qp"), 1);
    assert_int_equal(mock.work_count, 1); /* the marker */
}

static void test_link__nothing_flushes_it__no_marker_and_abandon_helps(void **state)
{
    (void)state;
    make_source();
    give(action_recv(1, 0));
    turn();
    mock_fail("ibv_modify_qp", EINVAL);
    give_kind(RDMIG_ACTION_DISCONNECT);
    mock_post_send_result(0, EINVAL);
    turn();
    assert_int_equal(mock_count("rdma_disconnect"), 1);
    assert_false(is_answered(1));
    give_kind(RDMIG_ACTION_ABANDON);
    turn();
    assert_int_equal(answer_to(1)->status, RDMIG_STATUS_FLUSHED);
}

static void test_link__work_after_disconnect__comes_back_flushed(void **state)
{
    (void)state;
    make_writing_source();
    give_kind(RDMIG_ACTION_DISCONNECT);
    give(action_send(5, 0, 16));
    give_writes(100, 1, 1);
    turn();
    assert_int_equal(answer_to(5)->status, RDMIG_STATUS_FLUSHED);
    assert_int_equal(answer_to(100)->status, RDMIG_STATUS_FLUSHED);
    assert_false(is_posted(5));
}

static void test_link__disconnect_with_a_stalled_list__the_rest_comes_back_flushed(void **state)
{
    (void)state;
    make_writing_source();
    give_writes(100, 1, 1);
    turn();
    give_writes(110, 2, 2);
    mock_post_send_result(1, ENOMEM);
    turn();
    give_kind(RDMIG_ACTION_DISCONNECT);
    turn();
    assert_int_equal(answer_to(111)->status, RDMIG_STATUS_FLUSHED);
    assert_false(is_answered(100));
    assert_false(is_answered(110));
}

static void test_link__abandon__pair_is_gone_and_every_tag_answered_once(void **state)
{
    (void)state;
    make_writing_source();
    give(action_recv(1, 0));
    give(action_recv(2, 4096));
    give_writes(100, 5, 2);
    give(action_send(200, 0, 16));
    turn();
    mock_complete_send(101, IBV_WC_SUCCESS); /* and with it 100 */
    turn();
    mock_complete_receive(1, IBV_WC_SUCCESS, 16); /* in the queue, not taken yet */
    give_kind(RDMIG_ACTION_ABANDON);
    while (link_next_action(the_link, &last_action)) {
    }
    assert_int_equal(mock_count("rdma_destroy_qp"), 1);
    assert_int_equal(mock_live_count(MOCK_PAIR), 0);
    assert_int_equal(answer_to(1)->status, RDMIG_STATUS_FLUSHED);
    assert_int_equal(answer_to(2)->status, RDMIG_STATUS_FLUSHED);
    for (uint64_t tag = 102; tag <= 104; tag++)
        assert_int_equal(answer_to(tag)->status, RDMIG_STATUS_FLUSHED);
    assert_int_equal(answer_to(200)->status, RDMIG_STATUS_FLUSHED);
    assert_false(is_answered(100));
    turn(); /* the completion that was in the queue is nobody's now */
    assert_int_equal(answer_to(1)->status, RDMIG_STATUS_FLUSHED);
    give(action_recv(3, 0));
    give(action_send(201, 0, 16));
    give_kind(RDMIG_ACTION_DISCONNECT);
    turn();
    assert_int_equal(answer_to(3)->status, RDMIG_STATUS_FLUSHED);
    assert_int_equal(answer_to(201)->status, RDMIG_STATUS_FLUSHED);
    assert_int_equal(mock_count("rdma_disconnect"), 0);
}

static void test_link__peer_disconnects__pending_completions_come_first(void **state)
{
    const struct rdmig_event *last;

    (void)state;
    make_writing_source();
    give(action_recv(1, 0));
    give_writes(100, 1, 1);
    turn();
    mock_complete_receive(1, IBV_WC_SUCCESS, 16);
    mock_complete_send(100, IBV_WC_SUCCESS);
    mock_event(RDMA_CM_EVENT_DISCONNECTED, 0, NULL, 0);
    turn();
    last = &script.events[script.event_count - 1].event;
    assert_int_equal(last->kind, RDMIG_EVENT_DISCONNECTED);
    assert_int_equal(answer_to(1)->kind, RDMIG_EVENT_RECEIVED);
    assert_int_equal(answer_to(100)->status, RDMIG_STATUS_OK);
    mock_event(RDMA_CM_EVENT_DISCONNECTED, 0, NULL, 0);
    turn();
    assert_int_equal(event_count(RDMIG_EVENT_DISCONNECTED), 1);
}

static void test_link__receives_flushed_after_the_peer_left__are_answered(void **state)
{
    (void)state;
    make_source();
    give(action_recv(1, 0));
    turn();
    mock_event(RDMA_CM_EVENT_DISCONNECTED, 0, NULL, 0);
    turn();
    give_kind(RDMIG_ACTION_DISCONNECT);
    turn();
    mock_flush_all();
    turn();
    assert_int_equal(answer_to(1)->status, RDMIG_STATUS_FLUSHED);
}

static void test_link__device_removed__everything_comes_back_and_the_pair_goes(void **state)
{
    struct rdmig_error error;

    (void)state;
    make_writing_source();
    give(action_recv(1, 0));
    give_writes(100, 2, 2);
    turn();
    mock_event(RDMA_CM_EVENT_DEVICE_REMOVAL, 0, NULL, 0);
    turn();
    assert_int_equal(mock_live_count(MOCK_PAIR), 0);
    assert_int_equal(event_count(RDMIG_EVENT_DISCONNECTED), 1);
    assert_int_equal(answer_to(1)->status, RDMIG_STATUS_FLUSHED);
    assert_int_equal(answer_to(101)->status, RDMIG_STATUS_FLUSHED);
    script_fail(RDMIG_REASON_PEER_DISCONNECTED, 0);
    error = explain();
    assert_int_equal(error.reason, RDMIG_REASON_DEVICE);
    assert_string_equal(error.detail, "RDMA device mock0 was removed while it was in use");
}

static void test_link__completion_queue_cannot_be_read__ends_the_connection(void **state)
{
    static const int results[] = {-1, 1000};

    for (unsigned i = 0; i < 2; i++) {
        set_up(state);
        make_source();
        give(action_recv(1, 0));
        turn();
        mock.poll_result = results[i];
        turn();
        turn();
        assert_int_equal(event_count(RDMIG_EVENT_DISCONNECTED), 1);
        script_fail(RDMIG_REASON_PEER_DISCONNECTED, 0);
        assert_int_equal(explain().reason, RDMIG_REASON_DEVICE);
        assert_contains(explain().detail, "completion queue of RDMA device mock0");
        drop_link();
    }
}

static void test_link__completion_queue_cannot_be_armed__ends_the_connection(void **state)
{
    (void)state;
    make_source();
    give(action_send(1, 0, 16));
    turn();
    mock.notify_result = EIO;
    mock_complete_send(1, IBV_WC_SUCCESS);
    turn();
    assert_int_equal(event_count(RDMIG_EVENT_DISCONNECTED), 1);
}

static void test_link__core_refuses_a_completion__internal_failure(void **state)
{
    (void)state;
    make_source();
    give(action_recv(1, 0));
    turn();
    script.refuse_kind = RDMIG_EVENT_RECEIVED;
    mock_complete_receive(1, IBV_WC_SUCCESS, 16);
    assert_int_equal(turn(), 1);
    assert_int_equal(last_action.kind, RDMIG_ACTION_NOTIFY_CLOSED);
    assert_true(link_is_closed(the_link));
    assert_int_equal(explain().reason, RDMIG_REASON_INTERNAL);
    assert_int_equal(mock_live_count(MOCK_PAIR), 0);
}

/* ---- the guest is to run here: clause R9 */

static void make_registered_destination(void)
{
    make_destination();
    provide_blocks();
    give(action_register(1, 0, 0, 0, 1048576));
    give(action_register(2, 1, 3, 0, 1048576));
    turn();
    assert_true(mock.regions[1].is_live && mock.regions[2].is_live);
    assert_true((mock.regions[1].access & IBV_ACCESS_REMOTE_WRITE) != 0);
}

/* Regions cost 8 ms a GiB to deregister: not before destroy. Messages and their acknowledgements go
 * on. Clause: R9 */
static void test_link__remote_write_revoked__writes_nothing_more_and_regions_stay(void **state)
{
    (void)state;
    make_registered_destination();
    give(action_recv(3, 0));
    turn();
    assert_int_equal(mock.pair_access_flags, IBV_ACCESS_REMOTE_WRITE);
    link_revoke_remote_write(the_link);
    assert_int_equal(mock.pair_access_flags, 0);
    assert_int_equal(mock_count("ibv_modify_qp"), 0);
    assert_int_equal(mock_count("ibv_dereg_mr"), 0);
    give(action_send(4, 0, 16));
    mock_complete_receive(3, IBV_WC_SUCCESS, 16);
    turn();
    assert_int_equal(answer_to(3)->kind, RDMIG_EVENT_RECEIVED);
    assert_true(is_posted(4));
    mock_event(RDMA_CM_EVENT_DISCONNECTED, 0, NULL, 0);
    give_kind(RDMIG_ACTION_DISCONNECT);
    give_kind(RDMIG_ACTION_NOTIFY_CLOSED);
    turn();
    assert_true(link_is_closed(the_link));
    assert_int_equal(mock_count("ibv_dereg_mr"), 0);
    drop_link();
    assert_true(mock_is_before("ibv_modify_qp_access", "rdma_destroy_qp"));
    assert_true(mock_is_before("rdma_destroy_qp", "ibv_dereg_mr"));
}

/* Clause: R9 */
static void test_link__remote_write_revoked_without_that_right__regions_go(void **state)
{
    for (unsigned i = 0; i < 2; i++) {
        set_up(state);
        if (i == 0)
            mock_set_iwarp();
        make_registered_destination();
        if (i == 1)
            mock_fail("ibv_modify_qp_access", EINVAL);
        link_revoke_remote_write(the_link);
        assert_int_equal(mock_count("ibv_modify_qp_access"), i);
        assert_false(mock.regions[1].is_live || mock.regions[2].is_live);
        assert_true(mock.regions[0].is_live); /* control memory */
        assert_int_equal(mock_count("ibv_modify_qp"), 0);
        give((struct rdmig_action){.kind = RDMIG_ACTION_DEREGISTER, .tag = 9, .region = 0});
        turn();
        assert_int_equal(answer_to(9)->status, RDMIG_STATUS_ERROR);
        drop_link();
    }
}

static void test_link__remote_write_revoked_and_nothing_else_helps__queue_pair_stops(void **state)
{
    (void)state;
    mock_set_iwarp();
    make_registered_destination();
    mock_fail("ibv_dereg_mr", EBUSY);
    link_revoke_remote_write(the_link);
    assert_int_equal(mock_count("ibv_modify_qp"), 1);
    mock_fail(NULL, 0);
    drop_link(); /* tries the regions again */
}

/* A queue pair in error has no right to change; it stays in error, and that is quick. */
static void test_link__remote_write_revoked_when_the_peer_has_left__queue_pair_stops(void **state)
{
    (void)state;
    make_registered_destination();
    mock_event(RDMA_CM_EVENT_DISCONNECTED, 0, NULL, 0);
    turn();
    link_revoke_remote_write(the_link);
    assert_int_equal(mock.pair_access_flags, 0);
    assert_int_equal(mock_count("ibv_modify_qp"), 0);
    mock_fail("ibv_modify_qp_access", EINVAL);
    link_revoke_remote_write(the_link);
    assert_int_equal(mock_count("ibv_modify_qp"), 1);
    assert_int_equal(mock_count("ibv_dereg_mr"), 0);
}

static void test_link__remote_write_revoked_without_a_pair__nothing_to_do(void **state)
{
    (void)state;
    make_listener();
    link_revoke_remote_write(the_link);
    drop_link();
    set_up(state);
    make_registered_destination();
    give_kind(RDMIG_ACTION_ABANDON);
    turn();
    link_revoke_remote_write(the_link);
    assert_int_equal(mock_count("ibv_modify_qp_access"), 0);
    assert_int_equal(mock_count("ibv_dereg_mr"), 0);
}

/* ---- time */

#define HOUR_NS (UINT64_C(3600) * 1000000000)

static void test_link__core_has_a_deadline__fd_becomes_readable_then(void **state)
{
    (void)state;
    make_source();
    script.deadline_ns = link_now_ns() + HOUR_NS;
    turn();
    assert_false(is_readable());
    assert_int_equal(event_count(RDMIG_EVENT_TIME_PASSED), 0);
    script.deadline_ns = link_now_ns() + 20000000;
    turn();
    assert_true(becomes_readable());
    link_process(the_link);
    assert_int_equal(event_count(RDMIG_EVENT_TIME_PASSED), 1);
    assert_true(event_of(RDMIG_EVENT_TIME_PASSED, 0)->event.now_ns >= script.deadline_ns);
    script.deadline_ns = RDMIG_NO_DEADLINE;
    turn();
    assert_false(is_readable());
}

static void test_link__deadline_moves_away__at_most_one_wake_for_nothing(void **state)
{
    (void)state;
    make_source();
    script.deadline_ns = link_now_ns() + 20000000;
    turn();
    script.deadline_ns = link_now_ns() + HOUR_NS;
    turn();
    assert_true(becomes_readable()); /* the wake for nothing */
    turn();
    assert_int_equal(event_count(RDMIG_EVENT_TIME_PASSED), 0);
    assert_false(is_readable());                   /* it was set anew */
    script.deadline_ns = link_now_ns() + 10000000; /* and moving it nearer counts at once */
    turn();
    assert_true(becomes_readable());
}

static void test_link__deadline_and_completion_together__completion_first(void **state)
{
    (void)state;
    make_source();
    give(action_recv(1, 0));
    turn();
    script.deadline_ns = 1;
    mock_complete_receive(1, IBV_WC_SUCCESS, 16);
    link_process(the_link);
    assert_int_equal(script.events[script.event_count - 1].event.kind, RDMIG_EVENT_TIME_PASSED);
    assert_int_equal(script.events[script.event_count - 2].event.kind, RDMIG_EVENT_RECEIVED);
}

static void test_link__deadline_long_past__still_wakes(void **state)
{
    (void)state;
    make_source();
    script.deadline_ns = 0;
    while (link_next_action(the_link, &last_action)) {
    }
    assert_true(is_readable());
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_link__disconnect__marker_settles_silent_writes),
        TEST(test_link__disconnect_with_all_writes_done_in_silence__marker_alone_settles_them),
        TEST(test_link__disconnect_fails__queue_pair_goes_into_error),
        TEST(test_link__nothing_flushes_it__no_marker_and_abandon_helps),
        TEST(test_link__work_after_disconnect__comes_back_flushed),
        TEST(test_link__disconnect_with_a_stalled_list__the_rest_comes_back_flushed),
        TEST(test_link__abandon__pair_is_gone_and_every_tag_answered_once),
        TEST(test_link__peer_disconnects__pending_completions_come_first),
        TEST(test_link__receives_flushed_after_the_peer_left__are_answered),
        TEST(test_link__device_removed__everything_comes_back_and_the_pair_goes),
        TEST(test_link__completion_queue_cannot_be_read__ends_the_connection),
        TEST(test_link__completion_queue_cannot_be_armed__ends_the_connection),
        TEST(test_link__core_refuses_a_completion__internal_failure),
        TEST(test_link__remote_write_revoked__writes_nothing_more_and_regions_stay),
        TEST(test_link__remote_write_revoked_without_that_right__regions_go),
        TEST(test_link__remote_write_revoked_and_nothing_else_helps__queue_pair_stops),
        TEST(test_link__remote_write_revoked_when_the_peer_has_left__queue_pair_stops),
        TEST(test_link__remote_write_revoked_without_a_pair__nothing_to_do),
        TEST(test_link__core_has_a_deadline__fd_becomes_readable_then),
        TEST(test_link__deadline_moves_away__at_most_one_wake_for_nothing),
        TEST(test_link__deadline_and_completion_together__completion_first),
        TEST(test_link__deadline_long_past__still_wakes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
