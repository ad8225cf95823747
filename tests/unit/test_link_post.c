/* SPDX-License-Identifier: BSD-2-Clause */
/* Work requests, field by field; completions in every legal order; what the provider refuses; the
 * way out. */
#include "link_fixture.h"

static const struct mock_work *work_of(uint64_t wr_id)
{
    for (unsigned i = 0; i < mock.work_count; i++)
        if (mock.works[i].wr_id == wr_id)
            return &mock.works[i];
    fail_msg("no work request %llu was posted", (unsigned long long)wr_id);
    return NULL;
}

static void give_writes(uint64_t first_tag, unsigned count, unsigned signal_every)
{
    for (unsigned i = 0; i < count; i++)
        give(action_write(first_tag + i, (uint64_t)i * 4096, (i + 1) % signal_every == 0));
}

/* ---- fields */

static void test_link__receive__every_field(void **state)
{
    const struct mock_work *work;

    (void)state;
    make_source();
    give(action_recv(77, 8192));
    turn();
    work = work_of(77);
    assert_true(work->is_receive);
    assert_int_equal(work->piece_count, 1);
    assert_int_equal(work->piece.addr, (uintptr_t)script.control + 8192);
    assert_int_equal(work->piece.length, 4096);
    assert_int_equal(work->piece.lkey, mock.regions[0].lkey);
}

static void test_link__send__every_field(void **state)
{
    const struct mock_work *work;

    (void)state;
    make_source();
    give(action_send(78, 12288, 40));
    turn();
    work = work_of(78);
    assert_false(work->is_receive);
    assert_int_equal(work->opcode, IBV_WR_SEND);
    assert_int_equal(work->send_flags, IBV_SEND_SIGNALED);
    assert_int_equal(work->piece_count, 1);
    assert_int_equal(work->piece.addr, (uintptr_t)script.control + 12288);
    assert_int_equal(work->piece.length, 40);
    assert_int_equal(work->piece.lkey, mock.regions[0].lkey);
}

static void test_link__write__every_field(void **state)
{
    const struct mock_work *work;

    (void)state;
    make_writing_source();
    give(action_write(79, 65536, false));
    give(action_write(80, 131072, true));
    turn();
    work = work_of(79);
    assert_int_equal(work->opcode, IBV_WR_RDMA_WRITE);
    assert_int_equal(work->send_flags, 0);
    assert_int_equal(work->piece_count, 1);
    assert_int_equal(work->piece.addr, (uintptr_t)ram + 65536);
    assert_int_equal(work->piece.length, 4096);
    assert_int_equal(work->piece.lkey, mock.regions[1].lkey);
    assert_int_equal(work->remote_addr, UINT64_C(0x7f0000000000) + 65536);
    assert_int_equal(work->rkey, 0xabcd);
    assert_int_equal(work_of(80)->send_flags, IBV_SEND_SIGNALED);
}

static void test_link__probe__is_a_signalled_write_of_nothing(void **state)
{
    const struct mock_work *work;

    (void)state;
    make_source();
    give((struct rdmig_action){.kind = RDMIG_ACTION_POST_PROBE, .tag = 81, .is_signalled = true});
    turn();
    work = work_of(81);
    assert_int_equal(work->opcode, IBV_WR_RDMA_WRITE);
    assert_int_equal(work->send_flags, IBV_SEND_SIGNALED);
    assert_int_equal(work->piece_count, 0);
    assert_int_equal(work->remote_addr, 0);
    assert_int_equal(work->rkey, 0);
    mock_complete_send(81, IBV_WC_SUCCESS);
    turn();
    assert_int_equal(answer_to(81)->status, RDMIG_STATUS_OK);
}

/* ---- lists */

static void test_link__writes_in_a_row__go_out_in_one_list(void **state)
{
    (void)state;
    make_writing_source();
    give_writes(100, 10, 10);
    turn();
    assert_int_equal(mock.list_count, 1);
    assert_int_equal(mock.work_count, 10);
    for (unsigned i = 0; i < 10; i++)
        assert_int_equal(mock.works[i].wr_id, 100 + i);
}

static void test_link__a_send_behind_writes__goes_out_with_them_and_after_them(void **state)
{
    (void)state;
    make_writing_source();
    give_writes(100, 3, 3);
    give(action_send(200, 0, 16));
    give_writes(110, 2, 2);
    turn();
    assert_int_equal(mock.list_count, 2);
    assert_int_equal(mock.works[3].wr_id, 200);
    assert_int_equal(mock.works[3].list, 1);
    assert_int_equal(mock.works[4].list, 2);
}

static void test_link__writes_before_a_registration__do_not_wait_for_it(void **state)
{
    (void)state;
    make_writing_source();
    give_writes(100, 2, 2);
    give(action_register(9001, 1, 3, 0, 1048576));
    give_writes(110, 1, 1);
    turn();
    assert_int_equal(mock.list_count, 2);
    assert_int_equal(mock.works[1].list, 1);
}

static void
test_link__writes_before_something_for_the_owner__are_on_the_wire_when_it_sees_it(void **state)
{
    struct rdmig_action action;

    (void)state;
    make_writing_source();
    give_writes(100, 2, 2);
    give_kind(RDMIG_ACTION_NOTIFY_FLUSHED);
    link_process(the_link);
    assert_true(link_next_action(the_link, &action));
    assert_int_equal(action.kind, RDMIG_ACTION_NOTIFY_FLUSHED);
    assert_int_equal(mock.work_count, 2);
}

static void test_link__more_writes_than_a_list_holds__several_lists_in_order(void **state)
{
    (void)state;
    make_writing_source();
    give_writes(100, 200, 64);
    turn();
    assert_int_equal(mock.work_count, 200);
    assert_int_equal(mock.list_count, 4); /* 64, 64, 64, 8 */
    for (unsigned i = 0; i < 200; i++)
        assert_int_equal(mock.works[i].wr_id, 100 + i);
}

static void test_link__send_list_goes_round__many_times(void **state)
{
    (void)state;
    mock.limits.max_qp_wr = 32; /* a depth of 31: no power of two */
    make_writing_source();
    for (unsigned round = 0; round < 30; round++) {
        unsigned base = 1000 + round * 20;

        mock.work_count = 0;
        give_writes(base, 20, 20);
        turn();
        assert_int_equal(mock.work_count, 20);
        mock_complete_send(base + 19, IBV_WC_SUCCESS);
        turn();
        assert_int_equal(answer_to(base + 19)->status, RDMIG_STATUS_OK);
        assert_false(is_answered(base)); /* its success stands for it */
    }
}

static void test_link__more_work_than_the_depth__is_refused_not_lost(void **state)
{
    (void)state;
    mock.limits.max_qp_wr = 20;
    make_writing_source();
    give_writes(100, 20, 1);
    turn();
    assert_int_equal(mock.work_count, 19);
    assert_int_equal(answer_to(119)->status, RDMIG_STATUS_ERROR);
    assert_int_equal(answer_to(119)->os_code, ENOMEM);
}

/* ---- completions */

static void test_link__receive_completes__core_gets_the_length(void **state)
{
    (void)state;
    make_source();
    give(action_recv(1, 0));
    turn();
    mock_complete_receive(1, IBV_WC_SUCCESS, 1234);
    assert_true(is_readable());
    turn();
    assert_int_equal(answer_to(1)->kind, RDMIG_EVENT_RECEIVED);
    assert_int_equal(answer_to(1)->length, 1234);
    assert_false(is_readable());
}

static void test_link__receive_fails__core_gets_the_status(void **state)
{
    (void)state;
    make_source();
    give(action_recv(1, 0));
    give(action_recv(2, 4096));
    turn();
    mock_complete_receive(1, IBV_WC_LOC_LEN_ERR, 0);
    mock_complete_receive(2, IBV_WC_WR_FLUSH_ERR, 0);
    turn();
    assert_int_equal(answer_to(1)->kind, RDMIG_EVENT_COMPLETED);
    assert_int_equal(answer_to(1)->status, RDMIG_STATUS_ERROR);
    assert_int_equal(answer_to(1)->os_code, IBV_WC_LOC_LEN_ERR);
    assert_int_equal(answer_to(1)->length, 0); /* byte_len means nothing then */
    assert_int_equal(answer_to(2)->status, RDMIG_STATUS_FLUSHED);
}

/*
 * A RECV is used up by an RDMA Write with immediate data, too: its memory holds then what was there
 * before, and the length is that of the Write (faults.md, P3). Clause: W12
 */
static void test_link__receive_of_no_plain_send__core_never_sees_its_memory(void **state)
{
    static const struct {
        enum ibv_wc_opcode opcode;
        unsigned wc_flags;
        uint32_t byte_count;
    } cases[] = {
        {IBV_WC_RECV_RDMA_WITH_IMM, IBV_WC_WITH_IMM, 40},
        {IBV_WC_RECV_RDMA_WITH_IMM, IBV_WC_WITH_IMM, 4u << 20},
        {IBV_WC_RECV, IBV_WC_WITH_IMM, 16},
        {IBV_WC_RECV, IBV_WC_WITH_INV, 16},
    };

    for (unsigned i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        set_up(state);
        make_source();
        give(action_recv(1, 0));
        turn();
        mock_complete_receive_as(1, cases[i].opcode, cases[i].wc_flags, cases[i].byte_count);
        turn();
        assert_int_equal(answer_to(1)->kind, RDMIG_EVENT_COMPLETED);
        assert_int_equal(answer_to(1)->status, RDMIG_STATUS_FOREIGN);
        assert_int_equal(answer_to(1)->os_code, cases[i].opcode);
        drop_link();
    }
}

/* RoCE devices say that a GRH came along: no harm. */
static void test_link__receive_with_a_grh__is_a_message(void **state)
{
    (void)state;
    make_source();
    give(action_recv(1, 0));
    turn();
    mock_complete_receive_as(1, IBV_WC_RECV, IBV_WC_GRH, 16);
    turn();
    assert_int_equal(answer_to(1)->kind, RDMIG_EVENT_RECEIVED);
}

static void test_link__more_bytes_than_the_buffer__is_the_devices_fault(void **state)
{
    (void)state;
    make_source();
    give(action_recv(1, 0));
    turn();
    mock_complete_receive(1, IBV_WC_SUCCESS, RDMIG_MESSAGE_BYTES_MAX + 1);
    turn();
    assert_int_equal(answer_to(1)->kind, RDMIG_EVENT_COMPLETED);
    assert_int_equal(answer_to(1)->status, RDMIG_STATUS_ERROR);
    assert_false(link_is_closed(the_link)); /* the core decides, as of any RECV that has failed */
}

/* Nor can a peer have a RECV completed as a send. */
static void test_link__receive_that_completes_as_a_send__is_the_devices_fault(void **state)
{
    (void)state;
    make_source();
    give(action_recv(1, 0));
    turn();
    mock_complete_receive_as(1, IBV_WC_SEND, 0, 16);
    turn();
    assert_int_equal(answer_to(1)->kind, RDMIG_EVENT_COMPLETED);
    assert_int_equal(answer_to(1)->status, RDMIG_STATUS_ERROR);
}

/* Neither the core nor the peer is told to have done that: the device is. */
static void test_link__success_of_what_was_never_posted__is_the_devices_fault(void **state)
{
    for (unsigned is_receive = 0; is_receive < 2; is_receive++) {
        set_up(state);
        make_source();
        give(action_recv(1, 0));
        give(action_send(2, 0, 16));
        turn();
        if (is_receive)
            mock_complete_receive(99, IBV_WC_SUCCESS, 16);
        else
            mock_complete_send_as(99, IBV_WC_SEND);
        turn();
        assert_true(link_is_closed(the_link));
        assert_int_equal(explain().reason, RDMIG_REASON_DEVICE);
        assert_string_equal(explain().detail,
                            "RDMA device mock0 completed a work request that was never posted");
        drop_link();
    }
}

/* But a queue pair that goes may give its work back twice. */
static void test_link__work_given_back_twice__the_first_counts(void **state)
{
    (void)state;
    make_source();
    give(action_recv(1, 0));
    give(action_send(2, 0, 16));
    turn();
    for (unsigned i = 0; i < 2; i++) {
        mock_complete_receive(1, IBV_WC_WR_FLUSH_ERR, 0);
        mock_complete_send(2, IBV_WC_WR_FLUSH_ERR);
        turn();
    }
    assert_false(link_is_closed(the_link));
    assert_int_equal(answer_to(1)->status, RDMIG_STATUS_FLUSHED);
    assert_int_equal(answer_to(2)->status, RDMIG_STATUS_FLUSHED);
}

/* What the device says it did is not what it was told to do. */
static void test_link__completion_of_another_operation__counts_as_failed(void **state)
{
    (void)state;
    make_writing_source();
    give_writes(100, 1, 1);
    give(action_send(200, 0, 16));
    turn();
    mock_complete_send_as(100, IBV_WC_RDMA_READ);
    mock_complete_send_as(200, IBV_WC_RDMA_WRITE);
    turn();
    assert_int_equal(answer_to(100)->status, RDMIG_STATUS_ERROR);
    assert_int_equal(answer_to(100)->os_code, IBV_WC_RDMA_READ);
    assert_int_equal(answer_to(200)->status, RDMIG_STATUS_ERROR);
}

/* Field H6: an answer may be seen before the completion of the message it answers. */
static void test_link__both_queues_in_either_order__nothing_is_lost(void **state)
{
    for (unsigned order = 0; order < 2; order++) {
        set_up(state);
        make_source();
        give(action_recv(1, 0));
        give(action_send(2, 0, 16));
        turn();
        if (order == 0)
            mock_complete_receive(1, IBV_WC_SUCCESS, 16);
        else
            mock_complete_send(2, IBV_WC_SUCCESS);
        turn();
        if (order == 0)
            mock_complete_send(2, IBV_WC_SUCCESS);
        else
            mock_complete_receive(1, IBV_WC_SUCCESS, 16);
        assert_true(is_readable());
        turn();
        assert_int_equal(answer_to(1)->kind, RDMIG_EVENT_RECEIVED);
        assert_int_equal(answer_to(2)->status, RDMIG_STATUS_OK);
        drop_link();
    }
}

static void test_link__many_completions_behind_one_notice__all_are_taken(void **state)
{
    (void)state;
    make_writing_source();
    give_writes(100, 200, 1);
    turn();
    for (unsigned i = 0; i < 200; i++)
        mock_complete_send(100 + i, IBV_WC_SUCCESS);
    turn();
    for (unsigned i = 0; i < 200; i++)
        assert_int_equal(answer_to(100 + i)->status, RDMIG_STATUS_OK);
    assert_false(is_readable());
    /* And the queue is armed again. */
    give(action_send(900, 0, 16));
    turn();
    mock_complete_send(900, IBV_WC_SUCCESS);
    assert_true(is_readable());
}

static void test_link__second_completion_for_one_request__is_ignored(void **state)
{
    (void)state;
    make_source();
    give(action_recv(1, 0));
    give(action_send(2, 0, 16));
    turn();
    mock_complete_receive(1, IBV_WC_SUCCESS, 16);
    mock_complete_receive(1, IBV_WC_SUCCESS, 16);
    mock_complete_send(2, IBV_WC_SUCCESS);
    mock_complete_send(2, IBV_WC_WR_FLUSH_ERR);
    mock_complete_send(12345, IBV_WC_SUCCESS);
    turn();
    assert_int_equal(answer_to(1)->kind, RDMIG_EVENT_RECEIVED);
    assert_int_equal(answer_to(2)->status, RDMIG_STATUS_OK);
    assert_false(is_answered(12345));
}

static void test_link__write_fails__cause_first_then_the_rest_as_flushed(void **state)
{
    (void)state;
    make_writing_source();
    give_writes(100, 6, 3); /* signalled: 102, 105 */
    turn();
    mock_complete_send(101, IBV_WC_REM_ACCESS_ERR); /* not signalled, but errors always show */
    mock_complete_send(102, IBV_WC_WR_FLUSH_ERR);
    mock_complete_send(103, IBV_WC_WR_FLUSH_ERR);
    mock_complete_send(104, IBV_WC_WR_FLUSH_ERR);
    mock_complete_send(105, IBV_WC_WR_FLUSH_ERR);
    turn();
    assert_int_equal(answer_to(101)->status, RDMIG_STATUS_ERROR);
    assert_int_equal(answer_to(101)->os_code, IBV_WC_REM_ACCESS_ERR);
    assert_int_equal(event_of(RDMIG_EVENT_COMPLETED, 1)->event.tag,
                     101); /* 0 was the registration */
    /* 100 succeeded in silence; no later success will ever say so. */
    assert_int_equal(answer_to(100)->status, RDMIG_STATUS_FLUSHED);
    for (uint64_t tag = 102; tag <= 105; tag++)
        assert_int_equal(answer_to(tag)->status, RDMIG_STATUS_FLUSHED);
}

static void test_link__probe_succeeds__stands_for_itself_only(void **state)
{
    (void)state;
    make_writing_source();
    give_writes(100, 2, 5);
    give((struct rdmig_action){.kind = RDMIG_ACTION_POST_PROBE, .tag = 300, .is_signalled = true});
    turn();
    mock_complete_send(300, IBV_WC_SUCCESS);
    turn();
    assert_int_equal(answer_to(300)->status, RDMIG_STATUS_OK);
    give_kind(RDMIG_ACTION_ABANDON);
    turn();
    assert_int_equal(answer_to(100)->status, RDMIG_STATUS_FLUSHED);
    assert_int_equal(answer_to(101)->status, RDMIG_STATUS_FLUSHED);
}

/* ---- what the provider refuses */

static void test_link__post_refused_in_the_middle__error_for_it_flushed_behind_it(void **state)
{
    (void)state;
    make_writing_source();
    give_writes(100, 5, 5);
    mock_post_send_result(2, EINVAL);
    turn();
    assert_int_equal(mock.work_count, 2);
    assert_false(is_answered(100));
    assert_false(is_answered(101));
    assert_int_equal(answer_to(102)->status, RDMIG_STATUS_ERROR);
    assert_int_equal(answer_to(102)->os_code, EINVAL); /* the call's result, not errno */
    assert_int_equal(answer_to(103)->status, RDMIG_STATUS_FLUSHED);
    assert_int_equal(answer_to(104)->status, RDMIG_STATUS_FLUSHED);
}

static void test_link__provider_full_while_work_is_out__the_rest_follows_later(void **state)
{
    (void)state;
    make_writing_source();
    give_writes(100, 2, 1);
    turn();
    give_writes(110, 5, 5);
    mock_post_send_result(2, ENOMEM);
    turn();
    assert_int_equal(mock.work_count, 4);
    assert_false(is_answered(112));
    turn(); /* nothing has changed: no second try */
    assert_int_equal(mock_count("ibv_post_send"), 2);
    give(action_send(200, 0, 16)); /* must not overtake */
    turn();
    assert_int_equal(mock_count("ibv_post_send"), 2);
    mock_complete_send(100, IBV_WC_SUCCESS);
    turn();
    assert_int_equal(mock.work_count, 8);
    for (unsigned i = 0; i < 5; i++)
        assert_int_equal(mock.works[2 + i].wr_id, 110 + i);
    assert_int_equal(mock.works[7].wr_id, 200);
    assert_int_equal(event_count(RDMIG_EVENT_COMPLETED), 2); /* the registration and 100 */
}

static void test_link__provider_full_with_nothing_out__is_an_error(void **state)
{
    (void)state;
    make_writing_source();
    give_writes(100, 2, 2);
    mock_post_send_result(0, ENOMEM);
    turn();
    assert_int_equal(answer_to(100)->status, RDMIG_STATUS_ERROR);
    assert_int_equal(answer_to(100)->os_code, ENOMEM);
    assert_int_equal(answer_to(101)->status, RDMIG_STATUS_FLUSHED);
}

static void test_link__provider_full_with_only_silent_work_out__is_an_error(void **state)
{
    (void)state;
    make_writing_source();
    give_writes(100, 2, 9);
    turn();
    give_writes(110, 2, 2);
    mock_post_send_result(0, ENOMEM); /* no completion would ever come to try again after */
    turn();
    assert_int_equal(answer_to(110)->status, RDMIG_STATUS_ERROR);
    assert_int_equal(answer_to(111)->status, RDMIG_STATUS_FLUSHED);
}

static void test_link__send_refused__error(void **state)
{
    (void)state;
    make_source();
    give(action_send(5, 0, 16));
    mock_post_send_result(0, EIO);
    turn();
    assert_int_equal(answer_to(5)->status, RDMIG_STATUS_ERROR);
    assert_int_equal(answer_to(5)->os_code, EIO);
}

static void test_link__receive_refused__error(void **state)
{
    (void)state;
    make_source();
    mock_post_recv_result(EINVAL);
    give(action_recv(1, 0));
    turn();
    assert_int_equal(answer_to(1)->status, RDMIG_STATUS_ERROR);
    assert_int_equal(answer_to(1)->os_code, EINVAL);
}

static void test_link__more_receives_than_slots__is_refused(void **state)
{
    (void)state;
    make_source();
    for (unsigned i = 0; i < RDMIG_RECV_SLOT_COUNT + 1; i++)
        give(action_recv(1 + i, i * 4096));
    turn();
    assert_int_equal(mock.work_count, RDMIG_RECV_SLOT_COUNT);
    assert_int_equal(answer_to(RDMIG_RECV_SLOT_COUNT + 1)->status, RDMIG_STATUS_ERROR);
}

static void test_link__write_without_a_region_or_outside_its_block__is_refused(void **state)
{
    struct rdmig_action outside = action_write(102, 2621440 - 100, true);
    struct rdmig_action unknown = action_write(101, 0, true);
    struct rdmig_action too_long = action_write(103, 0, true);
    struct rdmig_action no_block = action_write(104, 0, true);

    (void)state;
    make_writing_source();
    unknown.region = 2;
    too_long.length = UINT64_MAX;
    no_block.block_index = 7;
    give(unknown);
    give(outside);
    give(too_long);
    give(no_block);
    turn();
    assert_int_equal(mock.work_count, 0);
    for (uint64_t tag = 101; tag <= 104; tag++)
        assert_int_equal(answer_to(tag)->status, RDMIG_STATUS_ERROR);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_link__receive__every_field),
        TEST(test_link__send__every_field),
        TEST(test_link__write__every_field),
        TEST(test_link__probe__is_a_signalled_write_of_nothing),
        TEST(test_link__writes_in_a_row__go_out_in_one_list),
        TEST(test_link__a_send_behind_writes__goes_out_with_them_and_after_them),
        TEST(test_link__writes_before_a_registration__do_not_wait_for_it),
        TEST(test_link__writes_before_something_for_the_owner__are_on_the_wire_when_it_sees_it),
        TEST(test_link__more_writes_than_a_list_holds__several_lists_in_order),
        TEST(test_link__send_list_goes_round__many_times),
        TEST(test_link__more_work_than_the_depth__is_refused_not_lost),
        TEST(test_link__receive_completes__core_gets_the_length),
        TEST(test_link__receive_fails__core_gets_the_status),
        TEST(test_link__receive_of_no_plain_send__core_never_sees_its_memory),
        TEST(test_link__receive_with_a_grh__is_a_message),
        TEST(test_link__more_bytes_than_the_buffer__is_the_devices_fault),
        TEST(test_link__receive_that_completes_as_a_send__is_the_devices_fault),
        TEST(test_link__success_of_what_was_never_posted__is_the_devices_fault),
        TEST(test_link__work_given_back_twice__the_first_counts),
        TEST(test_link__completion_of_another_operation__counts_as_failed),
        TEST(test_link__both_queues_in_either_order__nothing_is_lost),
        TEST(test_link__many_completions_behind_one_notice__all_are_taken),
        TEST(test_link__second_completion_for_one_request__is_ignored),
        TEST(test_link__write_fails__cause_first_then_the_rest_as_flushed),
        TEST(test_link__probe_succeeds__stands_for_itself_only),
        TEST(test_link__post_refused_in_the_middle__error_for_it_flushed_behind_it),
        TEST(test_link__provider_full_while_work_is_out__the_rest_follows_later),
        TEST(test_link__provider_full_with_nothing_out__is_an_error),
        TEST(test_link__provider_full_with_only_silent_work_out__is_an_error),
        TEST(test_link__send_refused__error),
        TEST(test_link__receive_refused__error),
        TEST(test_link__more_receives_than_slots__is_refused),
        TEST(test_link__write_without_a_region_or_outside_its_block__is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
