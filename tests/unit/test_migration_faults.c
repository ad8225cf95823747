/* SPDX-License-Identifier: BSD-2-Clause */
/* The two handles when something goes wrong: who owns the guest afterwards, and what is said about
 * it. */
#include "fakes/two_ends.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include <cmocka.h>

#define SECOND_NS UINT64_C(1000000000)

static enum rdmig_reason source_reason(const struct two_ends *ends)
{
    return rdmig_source_error(ends->source)->reason;
}

static enum rdmig_reason destination_reason(const struct two_ends *ends)
{
    return rdmig_destination_error(ends->destination)->reason;
}

/* Time enough for every limit of the closing, in steps that leave room for what is in progress. */
static void settle(struct two_ends *ends)
{
    for (uint32_t i = 0; i < 100; i++) {
        ends_turn(ends, 2);
        pair_advance_ns(SECOND_NS / 10);
    }
}

/* Two ends, so many turns into a migration that starts a round whenever it can. */
static void run_turns(struct two_ends *ends, uint32_t turn_count)
{
    ends_init(ends);
    ends_create(ends, NULL, NULL);
    for (uint32_t i = 0; i < turn_count; i++) {
        if (rdmig_source_state(ends->source) == RDMIG_SOURCE_IDLE)
            (void)rdmig_source_start_round(ends->source);
        ends_turn(ends, 1);
    }
}

/* As far as it gets: rounds, stream, finish; bounded by the clock of the test. */
static void migrate_as_far_as_possible(struct two_ends *ends)
{
    bool has_finished = false;
    uint32_t rounds = 0;

    for (uint32_t i = 0; i < 4000 && rdmig_source_state(ends->source) < RDMIG_SOURCE_COMPLETED;
         i++) {
        if (rdmig_source_state(ends->source) == RDMIG_SOURCE_IDLE && rounds < 2) {
            rounds++;
            (void)rdmig_source_mark_range(ends->source, 0, 0, 8192);
            (void)rdmig_source_start_round(ends->source);
        } else if (rdmig_source_state(ends->source) == RDMIG_SOURCE_IDLE && !has_finished) {
            (void)rdmig_source_stream_write(ends->source, "state", 5);
            has_finished = rdmig_source_finish(ends->source) == 0;
        }
        ends_turn(ends, 1);
        if (i >= 2000)
            pair_advance_ns(SECOND_NS);
    }
    for (uint32_t i = 0; i < 200; i++) {
        ends_turn(ends, 1);
        pair_advance_ns(SECOND_NS / 10);
    }
}

/*
 * Each end dies after its N-th message, for every N until the migration gets through unharmed.
 * Whatever happens: never two owners; none only where the source says HANDOVER_UNKNOWN or the
 * destination died owning; the survivor is done in bounded time. Clause: E3 E5 E7 S8
 */
static void kill_everywhere(enum rdmig_role victim)
{
    bool has_completed = false;

    for (uint64_t n = 1; n < 100 && !has_completed; n++) {
        struct two_ends ends;
        bool source_owns;
        bool destination_owns;

        ends_init(&ends);
        ends_create(&ends, NULL, NULL);
        pair_kill_after_messages(victim, n);
        migrate_as_far_as_possible(&ends);
        source_owns = rdmig_source_state(ends.source) == RDMIG_SOURCE_FAILED &&
                      source_reason(&ends) != RDMIG_REASON_HANDOVER_UNKNOWN;
        destination_owns = rdmig_destination_state(ends.destination) == RDMIG_DESTINATION_COMPLETED;
        assert_false(source_owns && destination_owns);
        if (victim == RDMIG_ROLE_DESTINATION) {
            assert_true(rdmig_source_state(ends.source) == RDMIG_SOURCE_FAILED ||
                        rdmig_source_state(ends.source) == RDMIG_SOURCE_COMPLETED);
            has_completed =
                destination_owns && rdmig_source_state(ends.source) == RDMIG_SOURCE_COMPLETED;
        } else {
            assert_true(rdmig_destination_state(ends.destination) == RDMIG_DESTINATION_FAILED ||
                        destination_owns);
            has_completed = destination_owns;
        }
        ends_free(&ends);
        assert_true(n > 5 || !has_completed);
        assert_true(n < 99);
    }
}

static void test_migration__source_dies_anywhere__one_owner_at_most(void **state)
{
    (void)state;
    kill_everywhere(RDMIG_ROLE_SOURCE);
}

static void test_migration__destination_dies_anywhere__one_owner_at_most(void **state)
{
    (void)state;
    kill_everywhere(RDMIG_ROLE_DESTINATION);
}

/* A host that is switched off says nothing: the reply limit, or the probe, finds out. Clause: E5
 * C13 */
static void test_migration__silent_death__is_noticed_on_both_sides(void **state)
{
    static const enum rdmig_role victims[] = {RDMIG_ROLE_SOURCE, RDMIG_ROLE_DESTINATION};

    (void)state;
    for (uint32_t i = 0; i < 2; i++) {
        struct two_ends ends;
        uint64_t start_ns;

        ends_init(&ends);
        ends_create(&ends, NULL, NULL);
        ends_run_source(&ends, RDMIG_SOURCE_CONNECTING);
        pair_kill(victims[i], true);
        start_ns = link_now_ns();
        for (uint32_t k = 0; k < 100; k++) {
            pair_advance_ns(SECOND_NS);
            ends_turn(&ends, 2);
        }
        assert_true(link_now_ns() - start_ns < 110 * SECOND_NS);
        if (victims[i] == RDMIG_ROLE_SOURCE) {
            assert_int_equal(rdmig_destination_state(ends.destination), RDMIG_DESTINATION_FAILED);
            assert_int_equal(destination_reason(&ends), RDMIG_REASON_PEER_SILENT);
        } else {
            assert_int_equal(rdmig_source_state(ends.source), RDMIG_SOURCE_FAILED);
            assert_int_equal(source_reason(&ends), RDMIG_REASON_PEER_SILENT);
        }
        ends_free(&ends);
    }
}

/* Clause: E10 E4 */
static void test_migration__source_cancels_at_any_turn__destination_is_told(void **state)
{
    (void)state;
    for (uint32_t turn = 0; turn < 120; turn++) {
        struct two_ends ends;

        run_turns(&ends, turn);
        assert_int_equal(rdmig_source_cancel(ends.source), 0);
        settle(&ends);
        assert_int_equal(rdmig_source_state(ends.source), RDMIG_SOURCE_CANCELLED);
        assert_int_equal(source_reason(&ends), RDMIG_REASON_CANCELLED);
        /* Before the connection there is nobody to tell. */
        if (rdmig_destination_state(ends.destination) != RDMIG_DESTINATION_LISTENING) {
            assert_int_equal(rdmig_destination_state(ends.destination), RDMIG_DESTINATION_FAILED);
            assert_true(destination_reason(&ends) == RDMIG_REASON_PEER_ERROR ||
                        destination_reason(&ends) == RDMIG_REASON_PEER_DISCONNECTED ||
                        destination_reason(&ends) == RDMIG_REASON_STREAM_TRUNCATED);
        }
        ends_free(&ends);
    }
}

/* Clause: E10 E4 */
static void test_migration__destination_cancels_at_any_turn__source_keeps_guest(void **state)
{
    (void)state;
    for (uint32_t turn = 0; turn < 120; turn++) {
        struct two_ends ends;

        run_turns(&ends, turn);
        assert_int_equal(rdmig_destination_cancel(ends.destination), 0);
        settle(&ends);
        assert_int_equal(rdmig_destination_state(ends.destination), RDMIG_DESTINATION_CANCELLED);
        assert_int_equal(rdmig_source_state(ends.source), RDMIG_SOURCE_FAILED);
        ends_free(&ends);
    }
}

/* Makes the last block a large one: full at the destination, never touched at the source. */
static void enlarge(struct two_ends *ends, uint64_t length_bytes)
{
    struct rdmig_ram_block *here = &ends->source_blocks[END_BLOCK_COUNT - 1];
    struct rdmig_ram_block *there = &ends->destination_blocks[0];

    here->host_addr = mmap(NULL, length_bytes, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    there->host_addr =
        mmap(NULL, length_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(here->host_addr != MAP_FAILED && there->host_addr != MAP_FAILED);
    memset(there->host_addr, 0xee, length_bytes);
    here->length_bytes = length_bytes;
    there->length_bytes = length_bytes;
}

/*
 * A range of zeros may be as long as the guest, and is filled a piece a call: who gives up does not
 * first finish it, and who is told to go need not wait for that. Clause: E3, E10
 */
static void test_migration__given_up_while_filling__fills_no_more(void **state)
{
    enum { LARGE_BYTES = 192 << 20 };

    (void)state;
    for (uint32_t who = 0; who < 2; who++) {
        struct two_ends ends;
        const uint8_t *filled;

        ends_init(&ends);
        enlarge(&ends, LARGE_BYTES);
        filled = ends.destination_blocks[0].host_addr;
        ends_create(&ends, NULL, NULL);
        ends_run_source(&ends, RDMIG_SOURCE_CONNECTING);
        assert_int_equal(rdmig_source_start_round(ends.source), 0);
        for (uint32_t i = 0; i < 2000 && filled[0] != 0; i++)
            ends_turn(&ends, 1);
        assert_int_equal(filled[0], 0);
        if (who == 0)
            assert_int_equal(rdmig_destination_cancel(ends.destination), 0);
        else
            assert_int_equal(rdmig_source_cancel(ends.source), 0);
        settle(&ends);
        assert_int_equal(rdmig_destination_state(ends.destination),
                         who == 0 ? RDMIG_DESTINATION_CANCELLED : RDMIG_DESTINATION_FAILED);
        if (who == 0)
            assert_int_equal(filled[LARGE_BYTES - 1], 0xee);
        ends_free(&ends);
        (void)munmap(ends.source_blocks[END_BLOCK_COUNT - 1].host_addr, LARGE_BYTES);
        (void)munmap(ends.destination_blocks[0].host_addr, LARGE_BYTES);
    }
}

/* The destination's VMM finds that it cannot run the guest: the source keeps it. Clause: S8 */
static void test_migration__not_confirmed__source_keeps_guest(void **state)
{
    struct two_ends ends;

    (void)state;
    ends_init(&ends);
    ends.is_confirming = false;
    ends_create(&ends, NULL, NULL);
    ends_run_source(&ends, RDMIG_SOURCE_CONNECTING);
    assert_int_equal(rdmig_source_start_round(ends.source), 0);
    ends_run_source(&ends, RDMIG_SOURCE_SENDING);
    assert_int_equal(rdmig_source_finish(ends.source), 0);
    while (rdmig_destination_state(ends.destination) == RDMIG_DESTINATION_RECEIVING)
        ends_turn(&ends, 1);
    assert_int_equal(rdmig_destination_state(ends.destination), RDMIG_DESTINATION_PREPARED);
    ends_turn(&ends, 100);
    assert_int_equal(rdmig_source_state(ends.source), RDMIG_SOURCE_FINISHING);
    assert_int_equal(rdmig_destination_cancel(ends.destination), 0);
    ends_run_source(&ends, RDMIG_SOURCE_FINISHING);
    settle(&ends);
    assert_int_equal(rdmig_source_state(ends.source), RDMIG_SOURCE_FAILED);
    assert_int_equal(source_reason(&ends), RDMIG_REASON_PEER_ERROR);
    ends_free(&ends);
}

static void expect_mismatch(struct two_ends *ends, enum rdmig_reason reason)
{
    ends_create(ends, NULL, NULL);
    ends_run_source(ends, RDMIG_SOURCE_CONNECTING);
    settle(ends);
    assert_int_equal(rdmig_source_state(ends->source), RDMIG_SOURCE_FAILED);
    assert_int_equal(source_reason(ends), RDMIG_REASON_PEER_ERROR);
    assert_int_equal(rdmig_destination_state(ends->destination), RDMIG_DESTINATION_FAILED);
    assert_int_equal(destination_reason(ends), reason);
    assert_true(strlen(rdmig_destination_error(ends->destination)->detail) > 10);
    assert_true(strlen(rdmig_destination_error(ends->destination)->remedy) > 10);
    ends_free(ends);
}

/* Clause: B2 */
static void test_migration__blocks_differ__both_ends_fail_with_cause(void **state)
{
    struct two_ends ends;

    (void)state;
    ends_init(&ends);
    ends.destination_blocks[1].length_bytes -= 4096;
    expect_mismatch(&ends, RDMIG_REASON_BLOCK_LENGTH);
    ends_init(&ends);
    ends.destination_blocks[1].name = "ram.other";
    expect_mismatch(&ends, RDMIG_REASON_BLOCK_UNKNOWN);
}

/* Clause: B2 */
static void test_migration__block_missing__either_side_says_which(void **state)
{
    struct two_ends ends;
    struct rdmig_error error;

    (void)state;
    ends_init(&ends);
    assert_int_equal(rdmig_destination_create(&ends.destination, "", "1", ends.destination_blocks,
                                              END_BLOCK_COUNT, NULL, &error),
                     0);
    (void)rdmig_destination_process(ends.destination);
    assert_int_equal(
        rdmig_source_create(&ends.source, "there", "1", ends.source_blocks, 2, NULL, &error), 0);
    ends_run_source(&ends, RDMIG_SOURCE_CONNECTING);
    assert_int_equal(destination_reason(&ends), RDMIG_REASON_BLOCK_UNKNOWN);
    assert_non_null(strstr(rdmig_destination_error(ends.destination)->detail, "ram.zero"));
    ends_free(&ends);
}

/* Clause: E11 */
static void test_migration__registration_fails__both_ends_know(void **state)
{
    static const enum rdmig_role roles[] = {RDMIG_ROLE_SOURCE, RDMIG_ROLE_DESTINATION};

    (void)state;
    for (uint32_t i = 0; i < 2; i++) {
        struct two_ends ends;

        ends_init(&ends);
        ends_create(&ends, NULL, NULL);
        ends_run_source(&ends, RDMIG_SOURCE_CONNECTING);
        pair_fail_register(roles[i], 12);
        assert_int_equal(rdmig_source_start_round(ends.source), 0);
        ends_run_source(&ends, RDMIG_SOURCE_SENDING);
        settle(&ends);
        assert_int_equal(rdmig_source_state(ends.source), RDMIG_SOURCE_FAILED);
        assert_int_equal(rdmig_destination_state(ends.destination), RDMIG_DESTINATION_FAILED);
        assert_int_equal(roles[i] == RDMIG_ROLE_SOURCE ? source_reason(&ends)
                                                       : destination_reason(&ends),
                         RDMIG_REASON_REGISTER_FAILED);
        assert_int_equal(roles[i] == RDMIG_ROLE_SOURCE ? destination_reason(&ends)
                                                       : source_reason(&ends),
                         RDMIG_REASON_PEER_ERROR);
        ends_free(&ends);
    }
}

/* Clause: E5 */
static void test_migration__time_limit__fails_with_its_own_reason(void **state)
{
    const struct rdmig_options limited = {.struct_bytes = sizeof(limited), .time_limit_ms = 1500};
    struct two_ends ends;

    (void)state;
    ends_init(&ends);
    ends_create(&ends, &limited, NULL);
    ends_run_source(&ends, RDMIG_SOURCE_CONNECTING);
    pair_advance_ns(2 * SECOND_NS);
    ends_turn(&ends, 100);
    assert_int_equal(rdmig_source_state(ends.source), RDMIG_SOURCE_FAILED);
    assert_int_equal(source_reason(&ends), RDMIG_REASON_TIME_LIMIT);
    ends_free(&ends);
    ends_init(&ends);
    ends_create(&ends, NULL, &limited);
    ends_run_source(&ends, RDMIG_SOURCE_CONNECTING);
    pair_advance_ns(2 * SECOND_NS);
    ends_turn(&ends, 100);
    assert_int_equal(rdmig_destination_state(ends.destination), RDMIG_DESTINATION_FAILED);
    assert_int_equal(destination_reason(&ends), RDMIG_REASON_TIME_LIMIT);
    ends_free(&ends);
}

/* Clause: E1 */
static void test_migration__wrong_create__is_refused_with_cause(void **state)
{
    const struct rdmig_options short_options = {.struct_bytes = 8};
    const struct rdmig_options wide = {.struct_bytes = sizeof(wide), .register_batch_count = 65};
    static uint8_t page[8192] __attribute__((aligned(4096)));
    const struct rdmig_ram_block good = {"a", page, 4096};
    const struct rdmig_ram_block doubled[2] = {good, {"a", page + 4096, 4096}};
    const struct rdmig_ram_block bad[] = {
        {"", page, 4096},  {NULL, page, 4096}, {"a", page + 1, 4096},
        {"a", NULL, 4096}, {"a", page, 0},     {"a", page, 100},
    };
    struct rdmig_source *source;
    struct rdmig_error error;

    (void)state;
    pair_reset();
    for (uint32_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_int_equal(rdmig_source_create(&source, "h", "1", &bad[i], 1, NULL, &error),
                         -RDMIG_E_INVALID);
        assert_null(source);
        assert_true(error.reason != RDMIG_REASON_NONE && error.detail[0] != '\0' &&
                    error.remedy[0] != '\0');
    }
    assert_int_equal(rdmig_source_create(&source, "h", "1", doubled, 2, NULL, &error),
                     -RDMIG_E_INVALID);
    assert_int_equal(rdmig_source_create(&source, "h", "1", &good, 0, NULL, &error),
                     -RDMIG_E_INVALID);
    assert_int_equal(rdmig_source_create(&source, "h", "1", &good, 1, &short_options, &error),
                     -RDMIG_E_INVALID);
    assert_int_equal(rdmig_source_create(&source, "h", "1", &good, 1, &wide, &error),
                     -RDMIG_E_INVALID);
    assert_int_equal(rdmig_source_create(&source, "", "1", &good, 1, NULL, &error),
                     -RDMIG_E_INVALID);
    assert_int_equal(rdmig_source_create(&source, "h", NULL, &good, 1, NULL, NULL),
                     -RDMIG_E_INVALID);
    pair_fail_create();
    assert_int_equal(rdmig_source_create(&source, "h", "1", &good, 1, NULL, &error),
                     -RDMIG_E_SYSTEM);
    assert_int_equal(error.reason, RDMIG_REASON_DEVICE);
    rdmig_source_destroy(NULL);
    rdmig_destination_destroy(NULL);
    assert_int_equal(pair_counts()->live_link_count, 0);
}

/* Thousand starts and cancels leave nothing behind (leaks show under the sanitizers). */
static void test_migration__started_and_cancelled_often__leaves_nothing(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 100; i++) {
        struct two_ends ends;

        ends_init(&ends);
        ends_create(&ends, NULL, NULL);
        ends_turn(&ends, i);
        (void)rdmig_source_cancel(ends.source);
        ends_turn(&ends, i % 5);
        ends_free(&ends);
        assert_int_equal(pair_counts()->live_link_count, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_migration__source_dies_anywhere__one_owner_at_most),
        cmocka_unit_test(test_migration__destination_dies_anywhere__one_owner_at_most),
        cmocka_unit_test(test_migration__silent_death__is_noticed_on_both_sides),
        cmocka_unit_test(test_migration__source_cancels_at_any_turn__destination_is_told),
        cmocka_unit_test(test_migration__destination_cancels_at_any_turn__source_keeps_guest),
        cmocka_unit_test(test_migration__given_up_while_filling__fills_no_more),
        cmocka_unit_test(test_migration__not_confirmed__source_keeps_guest),
        cmocka_unit_test(test_migration__blocks_differ__both_ends_fail_with_cause),
        cmocka_unit_test(test_migration__block_missing__either_side_says_which),
        cmocka_unit_test(test_migration__registration_fails__both_ends_know),
        cmocka_unit_test(test_migration__time_limit__fails_with_its_own_reason),
        cmocka_unit_test(test_migration__wrong_create__is_refused_with_cause),
        cmocka_unit_test(test_migration__started_and_cancelled_often__leaves_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
