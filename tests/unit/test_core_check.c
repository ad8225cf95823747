/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * rdmig_conn_check() itself: a check that cannot fail is none. A healthy connection's memory is
 * damaged here on purpose, one member at a time; no other test looks inside.
 */
#include "core/internal.h"

#include "support/drive.h"

#include <string.h>

static void expect_broken(struct bench *bench, const char *what)
{
    const char *broken = rdmig_conn_check(bench->conn);

    assert_non_null(broken);
    assert_string_equal(broken, what);
}

/* One damage, what it breaks, and back. */
#define DAMAGE(bench, member, value, what)                                                         \
    do {                                                                                           \
        memcpy((bench)->snapshot, (bench)->memory, (bench)->memory_bytes);                         \
        assert_null(rdmig_conn_check((bench)->conn));                                              \
        (bench)->conn->member = (value);                                                           \
        expect_broken((bench), (what));                                                            \
        memcpy((bench)->memory, (bench)->snapshot, (bench)->memory_bytes);                         \
    } while (0)

/* Clause: C14, E2, E9 */
static void test_core_check__both_roles__finds_each_damage(void **state)
{
    struct bench *bench = source_at(SOURCE_IS_WRITING, NULL);

    (void)state;
    DAMAGE(bench, work_head, bench->conn->work_tail + 257,
           "no more work than the send queue holds");
    DAMAGE(bench, send_slots[0].state, SLOT_HARDWARE,
           "send slots in hardware are the outstanding SENDs");
    DAMAGE(bench, phase, RDMIG_PHASE_FAILING, "what fails has a reason");
    DAMAGE(bench, phase, RDMIG_PHASE_CLOSED, "nothing is outstanding when closed");
    bench_close(bench);
}

/* Clause: S1, R4 */
static void test_core_check__source__finds_each_damage(void **state)
{
    struct bench *bench = source_at(SOURCE_AWAITS_RESULT, NULL);

    (void)state;
    DAMAGE(bench, u.source.bytes_pending, 1, "pending bytes are those queued and those in flight");
    DAMAGE(bench, u.source.data_bytes_pending, 1,
           "pending data is what is queued and no zeros, and what is in flight");
    DAMAGE(bench, u.source.flight_bytes, 1, "bytes in flight are those of the outstanding writes");
    DAMAGE(bench, u.source.stream_bytes, RDMIG_STREAM_BYTES_MAX + 1,
           "stream bytes fit their message");
    DAMAGE(bench, u.source.stream_slot, 0, "a stream slot is held exactly while it has bytes");
    DAMAGE(bench, u.source.stream_bytes, 1, "a stream slot is held exactly while it has bytes");
    DAMAGE(bench, u.source.run_count, RDMIG_REGISTER_BATCH_MAX + 1,
           "no more runs than a batch holds, no more asked for, no more answered");
    DAMAGE(bench, u.source.run_asked_count, RDMIG_REGISTER_BATCH_MAX + 1,
           "no more runs than a batch holds, no more asked for, no more answered");
    DAMAGE(bench, u.source.run_answered_count, RDMIG_REGISTER_BATCH_MAX + 1,
           "no more runs than a batch holds, no more asked for, no more answered");
    DAMAGE(bench, u.source.credit_count, 2,
           "credits are here, to come, or spent on outstanding commands");
    DAMAGE(bench, u.source.pinned_limit_bytes, 1, "no more is pinned than the limit allows");
    DAMAGE(bench, u.source.unregistration_count, UNREGISTRATION_COUNT_MAX + 1,
           "no more regions are unregistered than the list holds");
    DAMAGE(bench, u.source.round, ROUND_NONE, "ranges belong to a round");
    DAMAGE(bench, u.source.range_count, RDMIG_RANGE_QUEUE_COUNT + 1,
           "no more ranges than the queue holds");
    bench_close(bench);
}

/* Clause: C1, S9 */
static void test_core_check__destination__finds_each_damage(void **state)
{
    struct bench *bench = destination_at(DESTINATION_IS_STREAMING, NULL);

    (void)state;
    DAMAGE(bench, u.destination.slot, NO_SLOT,
           "a receive slot is held exactly while its message is handled");
    DAMAGE(bench, u.destination.state, DESTINATION_AWAITING,
           "a receive slot is held exactly while its message is handled");
    DAMAGE(bench, u.destination.slot, (bench->conn->u.destination.slot + 1) % 3,
           "the slot of the command is ours");
    DAMAGE(bench, u.destination.credits_outstanding, 1,
           "credits are outstanding, to be given, or spent on commands that are handled or wait");
    DAMAGE(bench, u.destination.queued_count, 1,
           "credits are outstanding, to be given, or spent on commands that are handled or wait");
    DAMAGE(bench, u.destination.ready_to_send, 1,
           "credits are outstanding, to be given, or spent on commands that are handled or wait");
    DAMAGE(bench, u.destination.entry_index, 1, "each request is handled once");
    bench_close(bench);
}

/* Clause: C16, C17, R13 */
static void test_core_check__several_commands_and_a_limit__finds_each_damage(void **state)
{
    const struct rdmig_conn_config config = {.capability_flags = RDMIG_CAPABILITY_PIPELINE,
                                             .pinned_bytes_max = 4 * MIB};
    struct bench *bench = source_at(SOURCE_AWAITS_RESULT, &config);

    (void)state;
    source_push(bench, 0, MIB, 4096);
    assert_int_equal(bench->conn->u.source.command_count, 2);
    DAMAGE(bench, u.source.commands[bench->conn->u.source.command_head].type,
           RDMIG_MESSAGE_QEMU_FILE, "an exclusive command is the only one");
    DAMAGE(bench, u.source.commands[bench->conn->u.source.command_head].type,
           RDMIG_MESSAGE_REGISTER_FINISHED, "an exclusive command is the only one");
    DAMAGE(bench, u.source.commands[(bench->conn->u.source.command_head + 1) % 4].is_answered, true,
           "answers are for the oldest command");
    DAMAGE(bench, u.source.pinned_bytes, MIB, "pinned bytes are those of the regions");
    DAMAGE(bench, u.source.pinned_bytes, 5 * MIB, "no more is pinned than the limit allows");
    DAMAGE(bench, u.source.initial_ready_pending, 1,
           "credits are here, to come, or spent on outstanding commands");
    bench_close(bench);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_core_check__both_roles__finds_each_damage),
        cmocka_unit_test(test_core_check__source__finds_each_damage),
        cmocka_unit_test(test_core_check__destination__finds_each_damage),
        cmocka_unit_test(test_core_check__several_commands_and_a_limit__finds_each_damage),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
