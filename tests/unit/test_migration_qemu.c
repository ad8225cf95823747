/* SPDX-License-Identifier: BSD-2-Clause */
/* The two handles with a stream of QEMU's own shape between them: what capture and a QEMU-speaking
 * VMM do. */
#include "fakes/two_ends.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define SECOND_NS UINT64_C(1000000000)

/* "QEVM" 3, configuration "pc", section start "ram" 2, and the blocks' names and lengths by hand;
 * then the hook. */
static const uint8_t opening[] = {
    'Q', 'E', 'V', 'M', 0,   0,    0,    3,    7,   0, 0, 0, 2, 'p',  'c', /* configuration */
    1,   0,   0,   0,   2,   3,    'r',  'a',  'm', 0, 0, 0, 0, 0,    0,    0, 4, /* section */
    0,   0,   0,   0,   0,   0xc0, 0x30, 4,                                       /* total | 4 */
    8,   'r', 'a', 'm', '.', 'm',  'a',  'i',  'n', 0, 0, 0, 0, 0,    0x50, 0, 0, /* 5 MiB */
    7,   'r', 'a', 'm', '.', 'o',  'd',  'd',  0,   0, 0, 0, 0, 0x30, 0x30, 0, /* 3 MiB + 12 KiB */
    8,   'r', 'a', 'm', '.', 'z',  'e',  'r',  'o', 0, 0, 0, 0, 0,    0x40, 0, 0, /* 4 MiB */
    0,   0,   0,   0,   0,   0,    0,    0x80,                                    /* hook */
};
/* End of section and footer; the next part's head and hook. */
static const uint8_t between[] = {0, 0, 0, 0, 0, 0, 0, 0x10, 0x7e, 0, 0, 0, 2,
                                  3, 0, 0, 0, 2, 0, 0, 0,    0,    0, 0, 0, 0x80};
/* End of section, footer, end mark, description. */
static const uint8_t closing[] = {0, 0, 0, 0, 0, 0, 0, 0x10, 0x7e, 0,  0,
                                  0, 2, 0, 6, 0, 0, 0, 2,    '{',  '}'};

static const struct rdmig_options qemu_options = {.struct_bytes = sizeof(qemu_options),
                                                  .stream_format = RDMIG_STREAM_QEMU};
static const struct rdmig_options reporting = {.struct_bytes = sizeof(reporting),
                                               .report_rounds = true};

static void meet(struct two_ends *ends)
{
    ends_create(ends, &qemu_options, &reporting);
    ends_run_source(ends, RDMIG_SOURCE_CONNECTING);
    assert_int_equal(rdmig_source_state(ends->source), RDMIG_SOURCE_IDLE);
    assert_int_equal(rdmig_source_start_round(ends->source), -RDMIG_E_STATE); /* no blocks yet */
    ends_write_stream(ends, opening, sizeof(opening), 7);
    assert_int_equal(rdmig_source_exchange_blocks(ends->source), 0);
    ends_run_source(ends, RDMIG_SOURCE_CONNECTING);
    assert_int_equal(rdmig_source_state(ends->source), RDMIG_SOURCE_IDLE);
    assert_int_equal(rdmig_source_exchange_blocks(ends->source), -RDMIG_E_STATE);
}

static void begin(struct two_ends *ends)
{
    ends_init(ends);
    meet(ends);
}

static void expect_round(struct two_ends *ends, uint64_t position_bytes)
{
    ends_run_destination(ends, RDMIG_DESTINATION_RECEIVING);
    assert_int_equal(rdmig_destination_state(ends->destination), RDMIG_DESTINATION_ROUND_ENDED);
    assert_int_equal(rdmig_destination_round_position_bytes(ends->destination), position_bytes);
    ends_turn(ends, 20);
    assert_int_equal(rdmig_destination_state(ends->destination), RDMIG_DESTINATION_ROUND_ENDED);
    assert_int_equal(rdmig_destination_resume(ends->destination), 0);
    assert_int_equal(rdmig_destination_resume(ends->destination), -RDMIG_E_STATE);
}

/* Clause: S2 S3 S4 S5 S6 S9 B1 */
static void test_migration__qemu_stream__arrives_as_it_was_written(void **state)
{
    struct two_ends ends;
    uint8_t *whole = malloc(sizeof(opening) + sizeof(between) + sizeof(closing));

    (void)state;
    memcpy(whole, opening, sizeof(opening));
    memcpy(whole + sizeof(opening), between, sizeof(between));
    memcpy(whole + sizeof(opening) + sizeof(between), closing, sizeof(closing));
    begin(&ends);
    assert_true(rdmig_destination_is_qemu_stream(ends.destination));
    assert_int_equal(rdmig_source_begin_round(ends.source),
                     0); /* the setup's round: nothing in it */
    assert_int_equal(rdmig_source_end_round(ends.source), 0);
    expect_round(&ends, sizeof(opening));
    ends_run_source(&ends, RDMIG_SOURCE_SENDING);
    ends_write_stream(&ends, between, sizeof(between), 100);
    assert_int_equal(rdmig_source_start_round(ends.source), 0);
    ends.is_confirming = false;
    expect_round(&ends, sizeof(opening) + sizeof(between));
    ends_run_source(&ends, RDMIG_SOURCE_SENDING);
    ends_assert_ram_equal(&ends);
    ends_write_stream(&ends, closing, sizeof(closing), 1);
    assert_int_equal(rdmig_source_finish(ends.source), 0);
    ends_run_source(&ends, RDMIG_SOURCE_FINISHING);
    assert_int_equal(rdmig_source_state(ends.source), RDMIG_SOURCE_COMPLETED);
    ends_run_destination(&ends, RDMIG_DESTINATION_RECEIVING);
    assert_int_equal(rdmig_destination_state(ends.destination), RDMIG_DESTINATION_PREPARED);
    assert_true(pair_is_remote_write_revoked(RDMIG_ROLE_DESTINATION)); /* clause R9 */
    assert_int_equal(ends.stream_bytes, sizeof(opening) + sizeof(between) + sizeof(closing));
    assert_int_equal(rdmig_destination_stream_received_bytes(ends.destination), ends.stream_bytes);
    assert_int_equal(rdmig_destination_stream_available_bytes(ends.destination), 0);
    assert_memory_equal(ends.stream, whole, ends.stream_bytes);
    assert_int_equal(rdmig_destination_confirm(ends.destination), 0);
    assert_int_equal(rdmig_destination_state(ends.destination), RDMIG_DESTINATION_COMPLETED);
    assert_int_equal(rdmig_destination_cancel(ends.destination), -RDMIG_E_STATE);
    free(whole);
    ends_free(&ends);
}

/* All of a guest has gone to a destination that does not leave by itself, as ours do not, and of
 * which the source thinks that it is a QEMU. */
static void hand_over_to_qemu(struct two_ends *ends)
{
    ends_init(ends);
    pair_hide_pipeline();
    meet(ends);
    ends->is_confirming = false;
    assert_int_equal(rdmig_source_start_round(ends->source), 0);
    expect_round(ends, sizeof(opening));
    ends_run_source(ends, RDMIG_SOURCE_SENDING);
    ends_write_stream(ends, closing, sizeof(closing), sizeof(closing));
    assert_int_equal(rdmig_source_guest_stopped(ends->source), 0);
    assert_int_equal(rdmig_source_finish(ends->source), 0);
    ends_turn(ends, 100);
    assert_int_equal(ends->stream_bytes, sizeof(opening) + sizeof(closing));
    assert_int_equal(rdmig_source_state(ends->source), RDMIG_SOURCE_FINISHING);
    assert_int_equal(rdmig_destination_state(ends->destination), RDMIG_DESTINATION_RECEIVING);
    assert_int_equal(rdmig_source_cancel(ends->source), -RDMIG_E_STATE);
    assert_int_equal(rdmig_source_owns_guest(ends->source), RDMIG_GUEST_UNKNOWN);
}

/* Clause: E13 */
static void test_migration__qemu_destination__leaves_before_the_source(void **state)
{
    struct rdmig_progress before;
    struct rdmig_progress after;
    struct two_ends ends;

    (void)state;
    hand_over_to_qemu(&ends);
    rdmig_source_progress(ends.source, &before, sizeof(before));
    pair_advance_ns(SECOND_NS);
    /* Nothing must be stopped any more: the downtime is over (faults.md, D4). */
    assert_int_equal(rdmig_source_guest_stopped(ends.source), -RDMIG_E_STATE);
    rdmig_destination_destroy(ends.destination);
    ends.destination = NULL;
    ends_run_source(&ends, RDMIG_SOURCE_FINISHING);
    assert_int_equal(rdmig_source_state(ends.source), RDMIG_SOURCE_COMPLETED);
    rdmig_source_progress(ends.source, &after, sizeof(after));
    assert_int_equal(after.downtime_ns, before.downtime_ns); /* until all had arrived */
    assert_int_equal(rdmig_source_owns_guest(ends.source), RDMIG_GUEST_NOT_OWNED);
    ends_free(&ends);
}

/* Clause: E13 */
static void test_migration__qemu_destination__that_stays_is_left_after_a_while(void **state)
{
    struct two_ends ends;

    (void)state;
    hand_over_to_qemu(&ends);
    pair_advance_ns(59 * SECOND_NS);
    ends_turn(&ends, 20);
    assert_int_equal(rdmig_source_state(ends.source), RDMIG_SOURCE_FINISHING);
    pair_advance_ns(2 * SECOND_NS);
    ends_run_source(&ends, RDMIG_SOURCE_FINISHING);
    assert_int_equal(rdmig_source_state(ends.source), RDMIG_SOURCE_COMPLETED);
    ends_free(&ends);
}

/* The end of the stream waits for a READY that does not come: nobody else can have the guest.
 * Clause: S8 */
static void test_migration__end_not_sent__is_no_unknown_hand_over(void **state)
{
    struct two_ends ends;

    (void)state;
    ends_init(&ends);
    pair_hide_pipeline();
    meet(&ends);
    assert_int_equal(rdmig_source_start_round(ends.source), 0);
    ends_run_source(&ends, RDMIG_SOURCE_SENDING);
    assert_int_equal(rdmig_source_state(ends.source), RDMIG_SOURCE_IDLE);
    ends_turn(&ends, 50); /* the destination reports the round, and is READY when it goes on */
    assert_int_equal(rdmig_destination_state(ends.destination), RDMIG_DESTINATION_ROUND_ENDED);
    ends_write_stream(&ends, closing, sizeof(closing), sizeof(closing));
    assert_int_equal(rdmig_source_finish(ends.source), 0);
    ends_turn(&ends, 50);
    assert_int_equal(rdmig_source_state(ends.source), RDMIG_SOURCE_FINISHING);
    assert_int_equal(pair_counts()->message_counts[RDMIG_MESSAGE_QEMU_FILE], 1);
    assert_int_equal(rdmig_destination_cancel(ends.destination), 0);
    while (rdmig_source_state(ends.source) == RDMIG_SOURCE_FINISHING ||
           rdmig_source_state(ends.source) == RDMIG_SOURCE_CANCELLING)
        ends_run_source(&ends, rdmig_source_state(ends.source));
    assert_int_equal(rdmig_source_state(ends.source), RDMIG_SOURCE_FAILED);
    assert_int_equal(rdmig_source_error(ends.source)->reason, RDMIG_REASON_PEER_ERROR);
    ends_free(&ends);
}

/* A QEMU's stream is here up to its end mark, in state IDLE; `fill_bytes` of device state more wait
 * for a destination that reads nothing. */
static void wait_before_end(struct two_ends *ends, const void *fill, uint64_t fill_bytes)
{
    ends_init(ends);
    pair_hide_pipeline();
    meet(ends);
    assert_int_equal(rdmig_source_start_round(ends->source), 0);
    expect_round(ends, sizeof(opening));
    ends_run_source(ends, RDMIG_SOURCE_SENDING);
    ends->is_destination_run = false;
    if (fill_bytes > 0)
        ends_write_stream(ends, fill, fill_bytes, fill_bytes);
    assert_int_equal(rdmig_source_state(ends->source), RDMIG_SOURCE_IDLE);
}

/* A QEMU runs the guest from the end mark on, before it has all of the description behind it: of a
 * description that is long the end mark has left, whatever is still here. Clause: S8 */
static void test_migration__end_mark_sent_and_no_more__is_unknown(void **state)
{
    const uint64_t description_bytes = UINT64_C(900) << 10;
    uint8_t *description = calloc(1, description_bytes);
    struct two_ends ends;

    (void)state;
    assert_non_null(description);
    wait_before_end(&ends, NULL, 0); /* one message goes, and no READY comes for the next */
    ends_write_stream(&ends, closing, sizeof(closing), sizeof(closing));
    ends_write_stream(&ends, description, description_bytes, description_bytes);
    assert_int_equal(rdmig_source_finish(ends.source), 0);
    ends_turn(&ends, 50);
    assert_int_equal(rdmig_source_state(ends.source), RDMIG_SOURCE_FINISHING);
    assert_int_equal(pair_counts()->message_counts[RDMIG_MESSAGE_QEMU_FILE], 2);
    pair_kill(RDMIG_ROLE_DESTINATION, false);
    ends_run_source(&ends, RDMIG_SOURCE_FINISHING);
    assert_int_equal(rdmig_source_state(ends.source), RDMIG_SOURCE_FAILED);
    assert_int_equal(rdmig_source_error(ends.source)->reason, RDMIG_REASON_HANDOVER_UNKNOWN);
    free(description);
    ends_free(&ends);
}

static void expect_failure(struct two_ends *ends, bool is_unknown)
{
    pair_kill(RDMIG_ROLE_DESTINATION, false);
    while (rdmig_source_state(ends->source) < RDMIG_SOURCE_COMPLETED ||
           rdmig_source_state(ends->source) == RDMIG_SOURCE_CANCELLING)
        ends_run_source(ends, rdmig_source_state(ends->source));
    assert_int_equal(rdmig_source_state(ends->source), RDMIG_SOURCE_FAILED);
    assert_int_equal(rdmig_source_error(ends->source)->reason == RDMIG_REASON_HANDOVER_UNKNOWN,
                     is_unknown);
    assert_int_equal(rdmig_source_owns_guest(ends->source),
                     is_unknown ? RDMIG_GUEST_UNKNOWN : RDMIG_GUEST_OWNED);
}

/* An end mark and a description of any length leave in finish_with(), and not before: of the first
 * of their bytes that has left a loss is unknown (faults.md, O1). Clause: S8 */
static void test_migration__finish_with__a_long_end_is_unknown_from_its_first_byte_on(void **state)
{
    const uint64_t end_bytes = UINT64_C(6) << 20;
    uint8_t *end = calloc(1, end_bytes);
    struct two_ends ends;

    (void)state;
    assert_non_null(end);
    wait_before_end(&ends, NULL, 0);
    assert_int_equal(rdmig_source_finish_with(ends.source, end, end_bytes), 0);
    memset(end, 0xff, end_bytes); /* it was copied */
    ends_turn(&ends, 50);
    assert_int_equal(pair_counts()->message_counts[RDMIG_MESSAGE_QEMU_FILE], 2);
    assert_int_equal(rdmig_source_state(ends.source), RDMIG_SOURCE_FINISHING);
    assert_int_equal(rdmig_source_cancel(ends.source), -RDMIG_E_STATE);
    expect_failure(&ends, true);
    free(end);
    ends_free(&ends);
}

/* What was written before the end waits for a READY: nothing of the end has left, and the guest is
 * the source's. Clause: S8 */
static void test_migration__finish_with__end_behind_device_state_that_waits__is_known(void **state)
{
    const uint64_t fill_bytes = UINT64_C(900) << 10;
    uint8_t *fill = calloc(1, fill_bytes);
    struct two_ends ends;

    (void)state;
    assert_non_null(fill);
    wait_before_end(&ends, fill, fill_bytes);
    assert_int_equal(rdmig_source_owns_guest(ends.source), RDMIG_GUEST_OWNED);
    assert_int_equal(rdmig_source_finish_with(ends.source, closing, sizeof(closing)), 0);
    ends_turn(&ends, 50);
    assert_int_equal(rdmig_source_owns_guest(ends.source), RDMIG_GUEST_OWNED);
    assert_int_equal(rdmig_source_state(ends.source), RDMIG_SOURCE_FINISHING);
    expect_failure(&ends, false);
    free(fill);
    ends_free(&ends);
}

/* Clause: S8 S9 */
static void test_migration__finish_with__arrives_whole_behind_what_was_written(void **state)
{
    const uint64_t end_bytes = UINT64_C(3) << 20;
    uint8_t *end = malloc(end_bytes);
    struct two_ends ends;

    (void)state;
    assert_non_null(end);
    for (uint64_t i = 0; i < end_bytes; i++)
        end[i] = (uint8_t)(i * 7 + (i >> 8));
    wait_before_end(&ends, between, sizeof(between));
    ends.is_destination_run = true;
    ends.is_confirming = false;
    ends.stream_bytes = 0;
    assert_int_equal(rdmig_source_finish_with(ends.source, NULL, 8), -RDMIG_E_INVALID);
    assert_int_equal(rdmig_source_finish_with(ends.source, end, 0), -RDMIG_E_INVALID);
    for (uint64_t most = UINT64_MAX - 4096; most >= UINT64_MAX - 4096; most += 512)
        assert_int_equal(rdmig_source_finish_with(ends.source, end, most), -RDMIG_E_MEMORY);
    assert_int_equal(rdmig_source_finish_with(ends.source, end, UINT64_MAX), -RDMIG_E_MEMORY);
    assert_int_equal(rdmig_source_finish_with(ends.source, end, end_bytes), 0);
    assert_int_equal(rdmig_source_finish_with(ends.source, end, end_bytes), -RDMIG_E_STATE);
    ends_turn(&ends, 400);
    assert_int_equal(ends.stream_bytes, sizeof(between) + end_bytes);
    assert_memory_equal(ends.stream, between, sizeof(between));
    assert_memory_equal(ends.stream + sizeof(between), end, end_bytes);
    free(end);
    ends_free(&ends);
}

/* Clause: E13 */
static void test_migration__qemu_destination__says_error_at_the_end(void **state)
{
    struct two_ends ends;

    (void)state;
    hand_over_to_qemu(&ends);
    assert_int_equal(rdmig_destination_cancel(ends.destination), 0);
    ends_run_source(&ends, RDMIG_SOURCE_FINISHING);
    assert_int_equal(rdmig_source_state(ends.source), RDMIG_SOURCE_FAILED);
    assert_int_equal(rdmig_source_error(ends.source)->reason, RDMIG_REASON_HANDOVER_UNKNOWN);
    assert_non_null(strstr(rdmig_source_error(ends.source)->detail, "reported an error"));
    assert_non_null(strstr(rdmig_source_error(ends.source)->remedy, "log"));
    ends_free(&ends);
}

/* The stream stops in the middle and the source goes away: the VMM judges the end, and throws the
 * guest away. Clause: S6 E7 */
static void test_migration__qemu_stream_cut__is_for_the_vmm_to_judge(void **state)
{
    struct two_ends ends;

    (void)state;
    begin(&ends);
    ends.is_confirming = false;
    assert_int_equal(rdmig_source_begin_round(ends.source), 0);
    assert_int_equal(rdmig_source_end_round(ends.source), 0);
    expect_round(&ends, sizeof(opening));
    ends_run_source(&ends, RDMIG_SOURCE_SENDING);
    ends_turn(&ends, 20);
    pair_kill(RDMIG_ROLE_SOURCE, false);
    ends_run_destination(&ends, RDMIG_DESTINATION_RECEIVING);
    assert_int_equal(rdmig_destination_state(ends.destination), RDMIG_DESTINATION_PREPARED);
    assert_int_equal(rdmig_destination_cancel(ends.destination), 0);
    ends_run_destination(&ends, RDMIG_DESTINATION_CANCELLING);
    assert_int_equal(rdmig_destination_state(ends.destination), RDMIG_DESTINATION_CANCELLED);
    ends_free(&ends);
}

/* Flushed means: the destination has used the bytes up and wants more. Clause: C2 S9 */
static void test_migration__flush__waits_for_the_reader(void **state)
{
    struct two_ends ends;

    (void)state;
    begin(&ends);
    assert_int_equal(rdmig_source_begin_round(ends.source), 0);
    assert_int_equal(rdmig_source_end_round(ends.source), 0);
    expect_round(&ends, sizeof(opening));
    ends_run_source(&ends, RDMIG_SOURCE_SENDING);
    ends.is_reading = false;
    ends_write_stream(&ends, between, sizeof(between), sizeof(between));
    assert_int_equal(rdmig_source_stream_flush(ends.source), 0);
    assert_int_equal(rdmig_source_stream_flush(ends.source), -RDMIG_E_STATE);
    ends_turn(&ends, 50);
    assert_int_equal(rdmig_source_state(ends.source), RDMIG_SOURCE_SENDING);
    ends.is_reading = true;
    ends_run_source(&ends, RDMIG_SOURCE_SENDING);
    assert_int_equal(rdmig_source_state(ends.source), RDMIG_SOURCE_IDLE);
    assert_int_equal(ends.stream_bytes, sizeof(opening) + sizeof(between));
    /* Nothing new: at once. */
    assert_int_equal(rdmig_source_stream_flush(ends.source), 0);
    ends_run_source(&ends, RDMIG_SOURCE_SENDING);
    assert_int_equal(rdmig_source_state(ends.source), RDMIG_SOURCE_IDLE);
    ends_free(&ends);
}

/* Cancelled while a flush waits: nothing hangs. Clause: E10 */
static void test_migration__flush__can_be_cancelled(void **state)
{
    struct two_ends ends;

    (void)state;
    begin(&ends);
    assert_int_equal(rdmig_source_begin_round(ends.source), 0);
    assert_int_equal(rdmig_source_end_round(ends.source), 0);
    expect_round(&ends, sizeof(opening));
    ends_run_source(&ends, RDMIG_SOURCE_SENDING);
    ends.is_reading = false;
    ends_write_stream(&ends, between, sizeof(between), sizeof(between));
    assert_int_equal(rdmig_source_stream_flush(ends.source), 0);
    ends_turn(&ends, 50);
    assert_int_equal(rdmig_source_cancel(ends.source), 0);
    for (uint32_t i = 0; i < 100; i++) {
        ends_turn(&ends, 2);
        pair_advance_ns(100000000);
    }
    assert_int_equal(rdmig_source_state(ends.source), RDMIG_SOURCE_CANCELLED);
    ends_free(&ends);
}

/* Killed while the round's report waits for the VMM: nothing hangs. Clause: E7 */
static void test_migration__source_dies_during_round_report__ends(void **state)
{
    struct two_ends ends;

    (void)state;
    begin(&ends);
    assert_int_equal(rdmig_source_begin_round(ends.source), 0);
    assert_int_equal(rdmig_source_end_round(ends.source), 0);
    ends_run_destination(&ends, RDMIG_DESTINATION_RECEIVING);
    assert_int_equal(rdmig_destination_state(ends.destination), RDMIG_DESTINATION_ROUND_ENDED);
    assert_int_equal(rdmig_destination_cancel(ends.destination), 0);
    ends_run_destination(&ends, RDMIG_DESTINATION_ROUND_ENDED);
    for (uint32_t i = 0; i < 100; i++) {
        ends_turn(&ends, 2);
        pair_advance_ns(100000000);
    }
    assert_int_equal(rdmig_destination_state(ends.destination), RDMIG_DESTINATION_CANCELLED);
    assert_int_equal(rdmig_source_state(ends.source), RDMIG_SOURCE_FAILED);
    ends_free(&ends);
}

/* Bytes that are no stream at all. Clause: S3 */
static void test_migration__not_a_stream__fails_with_cause(void **state)
{
    struct two_ends ends;

    (void)state;
    ends_init(&ends);
    ends_create(&ends, &qemu_options, NULL);
    ends_run_source(&ends, RDMIG_SOURCE_CONNECTING);
    ends_write_stream(&ends, "this is not a migration stream", 30, 30);
    assert_int_equal(rdmig_source_exchange_blocks(ends.source), 0);
    ends_run_source(&ends, RDMIG_SOURCE_CONNECTING);
    for (uint32_t i = 0; i < 100; i++) {
        ends_turn(&ends, 2);
        pair_advance_ns(100000000);
    }
    assert_int_equal(rdmig_destination_state(ends.destination), RDMIG_DESTINATION_FAILED);
    assert_int_equal(rdmig_destination_error(ends.destination)->reason, RDMIG_REASON_STREAM_BROKEN);
    assert_int_equal(rdmig_source_state(ends.source), RDMIG_SOURCE_FAILED);
    ends_free(&ends);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_migration__qemu_stream__arrives_as_it_was_written),
        cmocka_unit_test(test_migration__qemu_destination__leaves_before_the_source),
        cmocka_unit_test(test_migration__qemu_destination__that_stays_is_left_after_a_while),
        cmocka_unit_test(test_migration__qemu_destination__says_error_at_the_end),
        cmocka_unit_test(test_migration__end_not_sent__is_no_unknown_hand_over),
        cmocka_unit_test(test_migration__end_mark_sent_and_no_more__is_unknown),
        cmocka_unit_test(test_migration__finish_with__a_long_end_is_unknown_from_its_first_byte_on),
        cmocka_unit_test(test_migration__finish_with__end_behind_device_state_that_waits__is_known),
        cmocka_unit_test(test_migration__finish_with__arrives_whole_behind_what_was_written),
        cmocka_unit_test(test_migration__qemu_stream_cut__is_for_the_vmm_to_judge),
        cmocka_unit_test(test_migration__flush__waits_for_the_reader),
        cmocka_unit_test(test_migration__flush__can_be_cancelled),
        cmocka_unit_test(test_migration__source_dies_during_round_report__ends),
        cmocka_unit_test(test_migration__not_a_stream__fails_with_cause),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
