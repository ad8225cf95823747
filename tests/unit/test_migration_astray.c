/* SPDX-License-Identifier: BSD-2-Clause */
/* Steps that the tables of stages have not got: what a source sends out of turn leads to none, and
 * one that is taken all the same ends the migration with INTERNAL. */
#include "fakes/two_ends.h"
#include "migration/destination.h"
#include "migration/source.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static void open_ends(struct two_ends *ends)
{
    ends_init(ends);
    ends_create(ends, NULL, NULL);
    ends_run_source(ends, RDMIG_SOURCE_CONNECTING);
    assert_int_equal(rdmig_source_start_round(ends->source), 0);
    ends_run_source(ends, RDMIG_SOURCE_SENDING);
    assert_int_equal(rdmig_source_state(ends->source), RDMIG_SOURCE_IDLE);
}

/* The link of a source that is no longer driven as a handle: what its core says is dropped. */
static void step_source(struct two_ends *ends, enum rdmig_event_kind kind)
{
    struct rdmig_event event = {.kind = kind};
    struct rdmig_action action;

    link_process(ends->source->link);
    assert_int_equal(link_step(ends->source->link, &event), RDMIG_OK);
    while (link_next_action(ends->source->link, &action))
        continue;
}

static void test_migration_astray__round_after_confirm__stays_confirming(void **state)
{
    struct two_ends ends;
    struct rdmig_action action;

    (void)state;
    open_ends(&ends);
    ends.is_confirming = false;
    assert_int_equal(rdmig_source_finish(ends.source), 0);
    ends_run_destination(&ends, RDMIG_DESTINATION_RECEIVING);
    assert_int_equal(rdmig_destination_state(ends.destination), RDMIG_DESTINATION_PREPARED);
    ends.destination->options.report_rounds = true;
    assert_int_equal(rdmig_destination_confirm(ends.destination), 0);
    step_source(&ends, RDMIG_EVENT_ROUND_CLOSED);
    for (uint32_t i = 0; i < 20; i++) {
        assert_int_equal(rdmig_destination_process(ends.destination), 0);
        assert_int_equal(rdmig_destination_state(ends.destination), RDMIG_DESTINATION_CONFIRMING);
        link_process(ends.source->link);
        while (link_next_action(ends.source->link, &action))
            continue;
    }
    assert_int_equal(rdmig_conn_phase(link_conn(ends.source->link)), RDMIG_PHASE_RUNNING);
    ends_free(&ends);
}

static void test_migration_astray__source__fails_with_internal(void **state)
{
    struct two_ends ends;

    (void)state;
    open_ends(&ends);
    source_enter(ends.source, SOURCE_STAGE_PUSHED);
    assert_int_equal(rdmig_source_state(ends.source), RDMIG_SOURCE_IDLE);
    ends_run_source(&ends, RDMIG_SOURCE_IDLE);
    ends_run_source(&ends, RDMIG_SOURCE_CANCELLING);
    assert_int_equal(rdmig_source_state(ends.source), RDMIG_SOURCE_FAILED);
    assert_int_equal(rdmig_source_error(ends.source)->reason, RDMIG_REASON_INTERNAL);
    ends_free(&ends);
}

static void test_migration_astray__destination__fails_with_internal(void **state)
{
    struct two_ends ends;

    (void)state;
    open_ends(&ends);
    destination_enter(ends.destination, DESTINATION_STAGE_CONFIRMING);
    assert_int_equal(rdmig_destination_state(ends.destination), RDMIG_DESTINATION_RECEIVING);
    ends_run_destination(&ends, RDMIG_DESTINATION_RECEIVING);
    ends_run_destination(&ends, RDMIG_DESTINATION_CANCELLING);
    assert_int_equal(rdmig_destination_state(ends.destination), RDMIG_DESTINATION_FAILED);
    assert_int_equal(rdmig_destination_error(ends.destination)->reason, RDMIG_REASON_INTERNAL);
    ends_free(&ends);
}

/* The end mark has left: whatever goes wrong here, the guest may run there. */
static void test_migration_astray__source_that_hands_over__is_unknown(void **state)
{
    struct two_ends ends;

    (void)state;
    open_ends(&ends);
    assert_int_equal(rdmig_source_finish(ends.source), 0);
    for (uint32_t i = 0; i < 1000 && ends.source->stage < SOURCE_STAGE_HANDING_OVER; i++)
        ends_turn(&ends, 1);
    assert_int_equal(ends.source->stage, SOURCE_STAGE_HANDING_OVER);
    pair_kill(RDMIG_ROLE_SOURCE, true); /* no word of the arrival comes */
    ends_turn(&ends, 2);
    assert_int_equal(rdmig_source_state(ends.source), RDMIG_SOURCE_FINISHING);
    source_enter(ends.source, SOURCE_STAGE_PUSHED);
    ends_run_source(&ends, RDMIG_SOURCE_FINISHING);
    assert_int_equal(rdmig_source_state(ends.source), RDMIG_SOURCE_CANCELLING);
    assert_int_equal(rdmig_source_error(ends.source)->reason, RDMIG_REASON_HANDOVER_UNKNOWN);
    ends_free(&ends);
}

/* It has promised to run the guest, which may be on its way. */
static void test_migration_astray__destination_that_confirmed__takes_the_guest(void **state)
{
    struct two_ends ends;

    (void)state;
    open_ends(&ends);
    assert_int_equal(rdmig_source_finish(ends.source), 0);
    for (uint32_t i = 0; i < 1000 && ends.destination->stage < DESTINATION_STAGE_CONFIRMING; i++)
        ends_turn(&ends, 1);
    assert_int_equal(ends.destination->stage, DESTINATION_STAGE_CONFIRMING);
    destination_enter(ends.destination, DESTINATION_STAGE_BLOCKS_NEEDED);
    (void)rdmig_destination_process(ends.destination);
    assert_int_equal(rdmig_destination_state(ends.destination), RDMIG_DESTINATION_CONFIRMING);
    ends_run_source(&ends, RDMIG_SOURCE_FINISHING);
    assert_int_equal(rdmig_source_state(ends.source), RDMIG_SOURCE_COMPLETED);
    assert_int_equal(rdmig_destination_state(ends.destination), RDMIG_DESTINATION_COMPLETED);
    ends_free(&ends);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_migration_astray__round_after_confirm__stays_confirming),
        cmocka_unit_test(test_migration_astray__source__fails_with_internal),
        cmocka_unit_test(test_migration_astray__destination__fails_with_internal),
        cmocka_unit_test(test_migration_astray__source_that_hands_over__is_unknown),
        cmocka_unit_test(test_migration_astray__destination_that_confirmed__takes_the_guest),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
