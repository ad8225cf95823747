/* SPDX-License-Identifier: BSD-2-Clause */
/* The two handles with a limit on pinned memory: regions come and go, pin-all that does not fit
 * goes dynamic and says so. API covered: options.pinned_limit_bytes, progress.pin_all_refusal. */
#include "fakes/two_ends.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MIB UINT64_C(1048576)

static uint64_t with_control(uint64_t ram_bytes)
{
    return (rdmig_conn_control_bytes() + 4095) / 4096 * 4096 + ram_bytes;
}

static struct rdmig_options make_options(bool is_pin_all, uint64_t pinned_limit_bytes)
{
    return (struct rdmig_options){.struct_bytes = sizeof(struct rdmig_options),
                                  .pin_all = is_pin_all,
                                  .pinned_limit_bytes = pinned_limit_bytes};
}

/* Nothing that is zero: every chunk has to be pinned once. */
static void fill_ram(struct two_ends *ends)
{
    for (uint32_t i = 0; i < END_BLOCK_COUNT; i++) {
        for (uint64_t at = 0; at < ends->source_blocks[i].length_bytes; at += 512)
            ends->source_ram[i][at] = (uint8_t)(1 + at / 512 % 200);
    }
}

static void migrate(struct two_ends *ends)
{
    ends_run_source(ends, RDMIG_SOURCE_CONNECTING);
    assert_int_equal(rdmig_source_state(ends->source), RDMIG_SOURCE_IDLE);
    for (uint32_t round = 0; round < 2; round++) {
        assert_int_equal(rdmig_source_start_round(ends->source), 0);
        ends_run_source(ends, RDMIG_SOURCE_SENDING);
        assert_int_equal(rdmig_source_state(ends->source), RDMIG_SOURCE_IDLE);
        for (uint32_t i = 0; round == 0 && i < END_BLOCK_COUNT; i++)
            assert_int_equal(
                rdmig_source_mark_range(ends->source, i, 0, ends->source_blocks[i].length_bytes),
                0);
    }
    assert_int_equal(rdmig_source_finish(ends->source), 0);
    ends_run_source(ends, RDMIG_SOURCE_FINISHING);
    ends_turn(ends, 50);
    assert_int_equal(rdmig_source_state(ends->source), RDMIG_SOURCE_COMPLETED);
    assert_int_equal(rdmig_destination_state(ends->destination), RDMIG_DESTINATION_COMPLETED);
    ends_assert_ram_equal(ends);
}

/* Both ways round: whose limit it is makes no difference to what is pinned. Clause: R8 R13 */
static void test_migration__12_mib_with_a_limit_of_3__regions_come_and_go(void **state)
{
    const struct rdmig_options limited = make_options(false, with_control(3 * MIB));
    const struct rdmig_options *const rows[][2] = {
        {&limited, &limited}, {&limited, NULL}, {NULL, &limited}};
    struct rdmig_progress source;
    struct rdmig_progress destination;

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct two_ends ends;

        ends_init(&ends);
        fill_ram(&ends);
        ends_create(&ends, rows[i][0], rows[i][1]);
        migrate(&ends);
        rdmig_source_progress(ends.source, &source, sizeof(source));
        rdmig_destination_progress(ends.destination, &destination, sizeof(destination));
        /* Links in memory count RAM alone. */
        assert_true(source.pinned_peak_bytes > MIB && source.pinned_peak_bytes <= 3 * MIB);
        assert_true(destination.pinned_peak_bytes > MIB &&
                    destination.pinned_peak_bytes <= 3 * MIB);
        assert_true(source.registrations >= 2 * 12);
        assert_int_equal(source.registrations, destination.registrations);
        assert_int_equal(source.pinned_limit_bytes,
                         rows[i][0] ? with_control(3 * MIB) : UINT64_MAX);
        assert_true(pair_counts()->message_counts[RDMIG_MESSAGE_UNREGISTER_REQUEST] > 4);
        ends_free(&ends);
    }
}

/* A limit that all memory fits holds nothing up. Clause: R13 */
static void test_migration__a_limit_that_is_enough__nothing_is_evicted(void **state)
{
    const struct rdmig_options limited = make_options(false, with_control(12 * MIB + 12288));
    struct two_ends ends;

    (void)state;
    ends_init(&ends);
    fill_ram(&ends);
    ends_create(&ends, &limited, &limited);
    migrate(&ends);
    assert_int_equal(pair_counts()->message_counts[RDMIG_MESSAGE_UNREGISTER_REQUEST], 0);
    assert_true(pair_counts()->message_counts[RDMIG_MESSAGE_REGISTER_REQUEST] > 0);
    ends_free(&ends);
}

static enum rdmig_pin_all_refusal source_refusal(const struct two_ends *ends)
{
    struct rdmig_progress progress;

    rdmig_source_progress(ends->source, &progress, sizeof(progress));
    return progress.pin_all_refusal;
}

static enum rdmig_pin_all_refusal destination_refusal(const struct two_ends *ends)
{
    struct rdmig_progress progress;

    rdmig_destination_progress(ends->destination, &progress, sizeof(progress));
    return progress.pin_all_refusal;
}

/* Clause: R13 W2 */
static void test_migration__pin_all_beyond_the_sources_limit__known_at_once(void **state)
{
    const struct rdmig_options limited = make_options(true, with_control(12 * MIB));
    struct two_ends ends;

    (void)state;
    ends_init(&ends);
    ends_create(&ends, &limited, NULL);
    assert_int_equal(source_refusal(&ends), RDMIG_PIN_ALL_REFUSED_BY_LIMIT);
    migrate(&ends);
    assert_int_equal(source_refusal(&ends), RDMIG_PIN_ALL_REFUSED_BY_LIMIT);
    assert_int_equal(destination_refusal(&ends), RDMIG_PIN_ALL_NOT_REFUSED);
    ends_free(&ends);
}

/* Clause: R14 W2 */
static void test_migration__pin_all_beyond_the_destinations_limit__both_say_so(void **state)
{
    const struct rdmig_options pin_all = make_options(true, 0);
    const struct rdmig_options limited = make_options(false, with_control(12 * MIB));
    struct two_ends ends;

    (void)state;
    ends_init(&ends);
    fill_ram(&ends);
    ends_create(&ends, &pin_all, &limited);
    assert_int_equal(source_refusal(&ends), RDMIG_PIN_ALL_NOT_REFUSED); /* nobody has been asked */
    assert_int_equal(destination_refusal(&ends), RDMIG_PIN_ALL_NOT_REFUSED);
    migrate(&ends);
    assert_int_equal(source_refusal(&ends), RDMIG_PIN_ALL_REFUSED_BY_PEER);
    assert_int_equal(destination_refusal(&ends), RDMIG_PIN_ALL_REFUSED_BY_LIMIT);
    assert_true(pair_counts()->message_counts[RDMIG_MESSAGE_UNREGISTER_REQUEST] > 0);
    ends_free(&ends);
}

/* The destination has no block of its own yet: it goes by what the source says. Clause: R14 W11 */
static void test_migration__pin_all_with_blocks_to_come__refused_by_their_sum(void **state)
{
    const struct rdmig_options pin_all = make_options(true, 0);
    const uint64_t ram_bytes = 12 * MIB + 12288;

    (void)state;
    for (uint64_t room_bytes = ram_bytes - 4096; room_bytes <= ram_bytes; room_bytes += 4096) {
        const struct rdmig_options limited = make_options(false, with_control(room_bytes));
        const bool fits = room_bytes == ram_bytes;
        struct rdmig_error error;
        struct two_ends ends;

        ends_init(&ends);
        assert_int_equal(
            rdmig_destination_create(&ends.destination, NULL, "0", NULL, 0, &limited, &error), 0);
        (void)rdmig_destination_process(ends.destination);
        assert_int_equal(rdmig_source_create(&ends.source, "there", "1", ends.source_blocks,
                                             END_BLOCK_COUNT, &pin_all, &error),
                         0);
        ends_run_destination(&ends, RDMIG_DESTINATION_LISTENING);
        ends_run_destination(&ends, RDMIG_DESTINATION_CONNECTED);
        assert_int_equal(rdmig_destination_provide_blocks(ends.destination, ends.destination_blocks,
                                                          END_BLOCK_COUNT, &error),
                         0);
        migrate(&ends);
        assert_int_equal(source_refusal(&ends),
                         fits ? RDMIG_PIN_ALL_NOT_REFUSED : RDMIG_PIN_ALL_REFUSED_BY_PEER);
        assert_int_equal(destination_refusal(&ends),
                         fits ? RDMIG_PIN_ALL_NOT_REFUSED : RDMIG_PIN_ALL_REFUSED_BY_LIMIT);
        ends_free(&ends);
    }
}

/* Clause: W2 */
static void test_migration__pin_all_refused_by_option__the_source_hears_peer(void **state)
{
    const struct rdmig_options pin_all = make_options(true, 0);
    struct rdmig_options refusing = make_options(false, 0);
    struct two_ends ends;

    (void)state;
    refusing.refuse_pin_all = true;
    ends_init(&ends);
    ends_create(&ends, &pin_all, &refusing);
    migrate(&ends);
    assert_int_equal(source_refusal(&ends), RDMIG_PIN_ALL_REFUSED_BY_PEER);
    assert_int_equal(destination_refusal(&ends), RDMIG_PIN_ALL_REFUSED_BY_OPTION);
    ends_free(&ends);
}

static void test_migration__limit_below_a_chunk__refused_at_create(void **state)
{
    const struct rdmig_options small = make_options(false, with_control(MIB) - 1);
    struct rdmig_error error;
    struct two_ends ends;

    (void)state;
    ends_init(&ends);
    assert_int_equal(rdmig_source_create(&ends.source, "there", "1", ends.source_blocks,
                                         END_BLOCK_COUNT, &small, &error),
                     -RDMIG_E_INVALID);
    assert_null(ends.source);
    assert_int_equal(error.reason, RDMIG_REASON_PINNED_LIMIT);
    assert_int_equal(
        rdmig_destination_create(&ends.destination, "here", "1", NULL, 0, &small, &error),
        -RDMIG_E_INVALID);
    assert_null(ends.destination);
    assert_int_equal(error.reason, RDMIG_REASON_PINNED_LIMIT);
    pair_set_memlock(65536);
    assert_int_equal(rdmig_source_create(&ends.source, "there", "1", ends.source_blocks,
                                         END_BLOCK_COUNT, NULL, &error),
                     -RDMIG_E_SYSTEM);
    assert_int_equal(error.reason, RDMIG_REASON_MEMLOCK);
    assert_int_equal(rdmig_destination_create(&ends.destination, "here", "1",
                                              ends.destination_blocks, END_BLOCK_COUNT, NULL,
                                              &error),
                     -RDMIG_E_SYSTEM);
    assert_int_equal(error.reason, RDMIG_REASON_MEMLOCK);
    ends_free(&ends);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_migration__12_mib_with_a_limit_of_3__regions_come_and_go),
        cmocka_unit_test(test_migration__a_limit_that_is_enough__nothing_is_evicted),
        cmocka_unit_test(test_migration__pin_all_beyond_the_sources_limit__known_at_once),
        cmocka_unit_test(test_migration__pin_all_beyond_the_destinations_limit__both_say_so),
        cmocka_unit_test(test_migration__pin_all_with_blocks_to_come__refused_by_their_sum),
        cmocka_unit_test(test_migration__pin_all_refused_by_option__the_source_hears_peer),
        cmocka_unit_test(test_migration__limit_below_a_chunk__refused_at_create),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
