/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * README's example, through each of its endings: it stops the guest only when it should, and the
 * guest runs on in every ending but those in which it may run elsewhere (faults.md, D5).
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fakes/two_ends.h"

#include <string.h>

static int waiting(struct rdmig_source *source, enum rdmig_source_state state, uint32_t timeout_ms);
#define rdmig_source_wait waiting
#include "../../examples/loop/send_guest.c"
#undef rdmig_source_wait

enum event { EVENT_NONE, EVENT_PEER_DIES, EVENT_CANCEL };

struct vmm {
    struct two_ends ends;
    bool is_running;
    bool is_logging;
    bool is_cancelled;
    bool is_hot; /* writes all its memory again and again */
    bool has_peer_died;
    uint32_t stop_count;
    uint32_t log_count;
    uint32_t signal_count; /* waits that a signal ends */
    uint32_t wait_count;
    uint64_t kill_after_count; /* messages of the destination; 0: it lives */
    enum event event;          /* happens in a wait for... */
    enum rdmig_source_state event_state;
    uint32_t event_log_count; /* ...this state, after so many logs */
};

static struct vmm vmm;

static void happen(void)
{
    if (vmm.event == EVENT_CANCEL)
        vmm.is_cancelled = true;
    else if (vmm.event == EVENT_PEER_DIES)
        pair_kill(RDMIG_ROLE_DESTINATION, false);
    vmm.event = EVENT_NONE;
}

/* What the library's own does with a thread that sleeps: the other end works meanwhile. */
static int waiting(struct rdmig_source *source, enum rdmig_source_state state, uint32_t timeout_ms)
{
    assert_int_not_equal(timeout_ms, 0);
    assert_true(vmm.wait_count++ < 10000);
    if (vmm.kill_after_count > 0)
        pair_kill_after_messages(RDMIG_ROLE_DESTINATION, vmm.kill_after_count);
    vmm.kill_after_count = 0;
    if (vmm.event != EVENT_NONE && state == vmm.event_state && vmm.log_count >= vmm.event_log_count)
        happen();
    if (vmm.signal_count > 0) {
        vmm.signal_count--;
        return -RDMIG_E_SYSTEM;
    }
    vmm.ends.source = source;
    for (int i = 0; i < 200 && rdmig_source_state(source) == state; i++) {
        ends_turn(&vmm.ends, 1);
        pair_advance_ns(1000000);
    }
    return rdmig_source_state(source) == state ? -RDMIG_E_AGAIN : 0;
}

static bool start_log(void *context)
{
    ((struct vmm *)context)->is_logging = true;
    return true;
}

static void stop_log(void *context)
{
    ((struct vmm *)context)->is_logging = false;
}

static bool log_of_guest(void *context, struct rdmig_source *source)
{
    const uint64_t none[1] = {0};
    struct vmm *own = context;
    const struct rdmig_ram_block *block = &own->ends.source_blocks[0];

    assert_true(own->is_logging);
    own->log_count++;
    if (own->is_hot)
        return rdmig_source_mark_range(source, 0, 0, block->length_bytes) == 0;
    if (own->is_running && own->log_count <= 2) { /* the guest writes a page, then rests */
        memset(block->host_addr, (int)own->log_count, 4096);
        return rdmig_source_mark_range(source, 0, 0, 4096) == 0;
    }
    return rdmig_source_mark_dirty(source, 0, none, 0, 64) == 0;
}

static void stop_guest(void *context)
{
    ((struct vmm *)context)->is_running = false;
    ((struct vmm *)context)->stop_count++;
}

static void run_guest(void *context)
{
    ((struct vmm *)context)->is_running = true;
}

static bool state_of_guest(void *context, struct rdmig_source *source)
{
    assert_false(((struct vmm *)context)->is_running);
    return rdmig_source_stream_write(source, "state", 5) == 5;
}

static bool cancelled(void *context)
{
    return ((struct vmm *)context)->is_cancelled;
}

static const struct vmm_calls calls = {.start_log = start_log,
                                       .stop_log = stop_log,
                                       .hand_in_log = log_of_guest,
                                       .stop_guest = stop_guest,
                                       .run_guest = run_guest,
                                       .write_state = state_of_guest,
                                       .is_cancelled = cancelled};

static int set_up(void **state)
{
    (void)state;
    memset(&vmm, 0, sizeof(vmm));
    vmm.is_running = true;
    ends_init(&vmm.ends);
    assert_int_equal(rdmig_destination_create(&vmm.ends.destination, "here", "1",
                                              vmm.ends.destination_blocks, END_BLOCK_COUNT, NULL,
                                              NULL),
                     0);
    (void)rdmig_destination_process(vmm.ends.destination);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    vmm.ends.source = NULL;
    ends_free(&vmm.ends);
    return 0;
}

static bool send(const struct rdmig_options *options, struct rdmig_error *error)
{
    const bool is_sent = send_guest(&vmm, &calls, vmm.ends.source_blocks, END_BLOCK_COUNT, "there",
                                    "1", options, error);

    vmm.ends.source = NULL;
    assert_false(vmm.is_logging);
    return is_sent;
}

static void assert_completed(void)
{
    struct rdmig_error error;

    assert_true(send(NULL, &error));
    assert_int_equal(error.reason, RDMIG_REASON_NONE);
    assert_int_equal(vmm.stop_count, 1);
    assert_false(vmm.is_running);
    ends_turn(&vmm.ends, 20);
    assert_int_equal(rdmig_destination_state(vmm.ends.destination), RDMIG_DESTINATION_COMPLETED);
    ends_assert_ram_equal(&vmm.ends);
    assert_int_equal(vmm.ends.stream_bytes, 5);
}

static void assert_runs_on(const struct rdmig_options *options, enum rdmig_reason reason,
                           uint32_t stop_count)
{
    struct rdmig_error error;

    assert_false(send(options, &error));
    assert_string_equal(rdmig_reason_name(error.reason), rdmig_reason_name(reason));
    assert_true(vmm.is_running);
    assert_int_equal(vmm.stop_count, stop_count);
}

static void test_example__completed__stopped_once_and_not_before_the_log(void **state)
{
    (void)state;
    assert_completed();
    assert_true(vmm.log_count >= 3); /* after the first round, and after the stop */
}

static void test_example__failed_in_a_round__never_stopped(void **state)
{
    (void)state;
    vmm.event = EVENT_PEER_DIES;
    vmm.event_state = RDMIG_SOURCE_SENDING;
    vmm.event_log_count = 1;
    assert_runs_on(NULL, RDMIG_REASON_PEER_DISCONNECTED, 0);
}

static void test_example__failed_in_the_last_round__runs_again(void **state)
{
    (void)state;
    vmm.event = EVENT_PEER_DIES;
    vmm.event_state = RDMIG_SOURCE_SENDING;
    vmm.event_log_count = 3;
    assert_runs_on(NULL, RDMIG_REASON_PEER_DISCONNECTED, 1);
}

static void test_example__cancelled__never_stopped(void **state)
{
    (void)state;
    vmm.event = EVENT_CANCEL;
    vmm.event_state = RDMIG_SOURCE_SENDING;
    vmm.is_hot = true;
    assert_runs_on(NULL, RDMIG_REASON_CANCELLED, 0);
}

static void test_example__cancelled_while_connecting__never_stopped(void **state)
{
    (void)state;
    vmm.event = EVENT_CANCEL;
    vmm.event_state = RDMIG_SOURCE_CONNECTING;
    assert_runs_on(NULL, RDMIG_REASON_CANCELLED, 0);
}

static void test_example__interrupted_by_signals__goes_on(void **state)
{
    (void)state;
    vmm.signal_count = 50;
    assert_completed();
    assert_int_equal(vmm.signal_count, 0);
}

static void test_example__never_converging__stays_here(void **state)
{
    const struct rdmig_options options = {.struct_bytes = sizeof(options),
                                          .downtime_target_ms = 1,
                                          .bandwidth_bytes_per_s = UINT64_C(100) << 20};

    (void)state;
    vmm.is_hot = true;
    assert_runs_on(&options, RDMIG_REASON_CANCELLED, 0);
    assert_int_equal(vmm.log_count, ROUND_COUNT_MAX + 1);
}

/* The destination dies after each of its messages: the guest runs on here unless it may run there.
 */
static void test_example__lost_at_any_moment__runs_on_unless_it_may_run_there(void **state)
{
    uint32_t unknown_count = 0;
    bool is_sent = false;

    for (uint64_t n = 1; n < 100 && !is_sent; n++) {
        struct rdmig_error error;

        tear_down(state);
        set_up(state);
        vmm.kill_after_count = n;
        is_sent = send(NULL, &error);
        unknown_count += error.reason == RDMIG_REASON_HANDOVER_UNKNOWN;
        assert_int_equal(vmm.is_running, !is_sent && error.reason != RDMIG_REASON_HANDOVER_UNKNOWN);
    }
    assert_true(is_sent);
    assert_true(unknown_count > 0);
}

static void test_example__cannot_be_created__runs_on(void **state)
{
    (void)state;
    pair_fail_create();
    assert_runs_on(NULL, RDMIG_REASON_DEVICE, 0);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(test_example__completed__stopped_once_and_not_before_the_log),
        TEST(test_example__failed_in_a_round__never_stopped),
        TEST(test_example__failed_in_the_last_round__runs_again),
        TEST(test_example__cancelled__never_stopped),
        TEST(test_example__cancelled_while_connecting__never_stopped),
        TEST(test_example__interrupted_by_signals__goes_on),
        TEST(test_example__never_converging__stays_here),
        TEST(test_example__lost_at_any_moment__runs_on_unless_it_may_run_there),
        TEST(test_example__cannot_be_created__runs_on),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
