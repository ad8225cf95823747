/* SPDX-License-Identifier: BSD-2-Clause */
/* The two handles against each other, in order: rounds, stream, hand-over, numbers. */
#include "fakes/two_ends.h"
#include "migration/source.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

static struct rdmig_options make_options(bool pin_all)
{
    return (struct rdmig_options){.struct_bytes = sizeof(struct rdmig_options), .pin_all = pin_all};
}

static void make_state(uint8_t *bytes, uint64_t length_bytes)
{
    for (uint64_t i = 0; i < length_bytes; i++)
        bytes[i] = (uint8_t)(i * 7 + i / 251);
}

/* While the destination's VMM makes up its mind the source still asks its hardware whether it
 * lives, by an RDMA Write of nothing; once the guest is this end's, nothing reaches its memory.
 * Clause: R9 */
static void finish(struct two_ends *ends)
{
    ends->is_confirming = false;
    assert_int_equal(rdmig_source_finish(ends->source), 0);
    ends_run_destination(ends, RDMIG_DESTINATION_RECEIVING);
    assert_int_equal(rdmig_destination_state(ends->destination), RDMIG_DESTINATION_PREPARED);
    assert_false(pair_is_remote_write_revoked(RDMIG_ROLE_DESTINATION));
    assert_int_equal(rdmig_destination_confirm(ends->destination), 0);
    ends_run_destination(ends, RDMIG_DESTINATION_CONFIRMING);
    assert_int_equal(rdmig_destination_state(ends->destination), RDMIG_DESTINATION_COMPLETED);
    assert_true(pair_is_remote_write_revoked(RDMIG_ROLE_DESTINATION));
    ends_run_source(ends, RDMIG_SOURCE_FINISHING);
}

/* A whole migration: a first round, a second after the guest has written, state, hand-over. */
static void migrate(struct two_ends *ends, const struct rdmig_options *options,
                    uint64_t portion_bytes)
{
    const uint64_t state_bytes = 3000000;
    uint8_t *state = malloc(state_bytes);
    const uint64_t page_words[2] = {UINT64_C(1) << 63, 3};

    make_state(state, state_bytes);
    ends_create(ends, options, NULL);
    ends_run_source(ends, RDMIG_SOURCE_CONNECTING);
    assert_int_equal(rdmig_source_state(ends->source), RDMIG_SOURCE_IDLE);
    assert_int_equal(rdmig_source_start_round(ends->source), 0);
    ends_run_source(ends, RDMIG_SOURCE_SENDING);
    assert_int_equal(rdmig_source_state(ends->source), RDMIG_SOURCE_IDLE);
    ends_turn(ends, 50);
    ends_assert_ram_equal(ends);
    /* The guest writes: pages 63, 64 and 65 of block 0, one page of zeros become data, data become
     * zeros. */
    memset(ends->source_ram[0] + UINT64_C(63) * 4096, 0x11, 3 * 4096);
    memset(ends->source_ram[2] + 8192, 0x22, 1);
    memset(ends->source_ram[1], 0, 4096);
    assert_int_equal(rdmig_source_mark_dirty(ends->source, 0, page_words, 0, 128), 0);
    assert_int_equal(rdmig_source_mark_range(ends->source, 2, 8192, 1), 0);
    assert_int_equal(rdmig_source_mark_range(ends->source, 1, 0, 4096), 0);
    assert_true(rdmig_source_converged(ends->source));
    assert_int_equal(rdmig_source_guest_stopped(ends->source), 0);
    assert_int_equal(rdmig_source_finish(ends->source), -RDMIG_E_STATE); /* dirty */
    assert_int_equal(rdmig_source_start_round(ends->source), 0);
    ends_run_source(ends, RDMIG_SOURCE_SENDING);
    ends_write_stream(ends, state, state_bytes, portion_bytes);
    finish(ends);
    assert_int_equal(rdmig_source_state(ends->source), RDMIG_SOURCE_COMPLETED);
    ends_turn(ends, 50);
    assert_int_equal(rdmig_destination_state(ends->destination), RDMIG_DESTINATION_COMPLETED);
    ends_assert_ram_equal(ends);
    assert_int_equal(ends->stream_bytes, state_bytes);
    assert_memory_equal(ends->stream, state, state_bytes);
    free(state);
}

/* Clause: S7 S8 C10 R3 B2 */
static void test_migration__dynamic_two_rounds__arrives_whole(void **state)
{
    const struct rdmig_options options = make_options(false);
    struct rdmig_progress progress;
    struct two_ends ends;

    (void)state;
    ends_init(&ends);
    migrate(&ends, &options, 65536);
    rdmig_source_progress(ends.source, &progress, sizeof(progress));
    assert_false(progress.pin_all);
    assert_int_equal(progress.bytes_total, (UINT64_C(12) << 20) + 12288);
    assert_int_equal(progress.bytes_dirty, 0);
    assert_int_equal(progress.rounds, 3); /* the setup's and two */
    assert_true(progress.bytes_written >= (UINT64_C(5) << 20) &&
                progress.bytes_written < (UINT64_C(7) << 20));
    assert_true(progress.bytes_zero >= UINT64_C(5) << 20);
    assert_true(progress.registrations >= 2 && progress.registrations <= 4);
    assert_true(progress.downtime_ns > 0 && progress.downtime_ns < progress.total_ns);
    assert_true(progress.setup_ns > 0 && progress.setup_ns < progress.total_ns);
    rdmig_destination_progress(ends.destination, &progress, sizeof(progress));
    assert_int_equal(progress.bytes_total, (UINT64_C(12) << 20) + 12288);
    assert_int_equal(progress.rounds, 3);
    assert_true(progress.bytes_zero >= UINT64_C(5) << 20);
    ends_free(&ends);
}

/* Clause: R7 W2 */
static void test_migration__pin_all__registers_each_block_once(void **state)
{
    const struct rdmig_options options = make_options(true);
    struct rdmig_progress progress;
    struct two_ends ends;

    (void)state;
    ends_init(&ends);
    migrate(&ends, &options, 1 << 20);
    rdmig_source_progress(ends.source, &progress, sizeof(progress));
    assert_true(progress.pin_all);
    assert_int_equal(progress.registrations, END_BLOCK_COUNT);
    assert_int_equal(pair_counts()->message_counts[RDMIG_MESSAGE_REGISTER_REQUEST], 0);
    ends_free(&ends);
}

/* Each end has its own optional access, and its own answers. */
static void test_migration__registered_as_wanted__each_end_for_itself(void **state)
{
    const struct rdmig_options relaxed = {.struct_bytes = sizeof(relaxed),
                                          .relaxed_ordering = true};
    const struct rdmig_options paged = {.struct_bytes = sizeof(paged), .on_demand_paging = true};
    struct rdmig_progress progress;
    struct two_ends ends;

    (void)state;
    ends_init(&ends);
    ends_create(&ends, &relaxed, &paged);
    ends_run_source(&ends, RDMIG_SOURCE_CONNECTING);
    rdmig_source_progress(ends.source, &progress, sizeof(progress));
    assert_true(progress.relaxed_ordering && !progress.on_demand_paging);
    rdmig_destination_progress(ends.destination, &progress, sizeof(progress));
    assert_true(!progress.relaxed_ordering && progress.on_demand_paging);
    ends_free(&ends);
}

/* Clause: W2 */
static void test_migration__pin_all_refused__goes_dynamic_and_says_so(void **state)
{
    const struct rdmig_options options = make_options(true);
    const struct rdmig_options refusal = {.struct_bytes = sizeof(refusal), .refuse_pin_all = true};
    struct rdmig_progress progress;
    struct two_ends ends;

    (void)state;
    ends_init(&ends);
    ends_create(&ends, &options, &refusal);
    ends_run_source(&ends, RDMIG_SOURCE_CONNECTING);
    assert_int_equal(rdmig_source_start_round(ends.source), 0);
    ends_run_source(&ends, RDMIG_SOURCE_SENDING);
    ends_turn(&ends, 50);
    ends_assert_ram_equal(&ends);
    rdmig_source_progress(ends.source, &progress, sizeof(progress));
    assert_false(progress.pin_all);
    assert_true(pair_counts()->message_counts[RDMIG_MESSAGE_REGISTER_REQUEST] > 0);
    ends_free(&ends);
}

/* Clause: S1 S2 */
static void test_migration__stream_byte_by_byte__arrives_whole(void **state)
{
    struct two_ends ends;
    uint8_t bytes[2000];

    (void)state;
    make_state(bytes, sizeof(bytes));
    ends_init(&ends);
    ends_create(&ends, NULL, NULL);
    ends_run_source(&ends, RDMIG_SOURCE_CONNECTING);
    assert_int_equal(rdmig_source_start_round(ends.source), 0);
    assert_int_equal(rdmig_source_stream_write(ends.source, bytes, 1), -RDMIG_E_STATE);
    ends_run_source(&ends, RDMIG_SOURCE_SENDING);
    ends_write_stream(&ends, bytes, sizeof(bytes), 1);
    assert_int_equal(rdmig_source_finish(ends.source), 0);
    ends_run_source(&ends, RDMIG_SOURCE_FINISHING);
    ends_turn(&ends, 20);
    assert_int_equal(ends.stream_bytes, sizeof(bytes));
    assert_memory_equal(ends.stream, bytes, sizeof(bytes));
    ends_free(&ends);
}

/* A zero block costs a message, not one a chunk; zeros shorter than a round trip is worth go with
 * the data. Clause: C9 */
static void test_migration__zeros__cost_a_handful_of_messages(void **state)
{
    struct two_ends ends;

    (void)state;
    ends_init(&ends);
    /* One page of zeros in the middle of data. */
    memset(ends.source_ram[0] + (UINT64_C(1) << 20), 0, 4096);
    ends_create(&ends, NULL, NULL);
    ends_run_source(&ends, RDMIG_SOURCE_CONNECTING);
    assert_int_equal(rdmig_source_start_round(ends.source), 0);
    ends_run_source(&ends, RDMIG_SOURCE_SENDING);
    ends_turn(&ends, 50);
    ends_assert_ram_equal(&ends);
    /* One for both blocks' zeros; one for the first block's run, which is small, and one for the
     * other's (clause C18). */
    assert_int_equal(pair_counts()->message_counts[RDMIG_MESSAGE_COMPRESS], 1);
    assert_int_equal(pair_counts()->message_counts[RDMIG_MESSAGE_REGISTER_REQUEST], 2);
    ends_free(&ends);
}

static void push_all(struct two_ends *ends, uint32_t block_index, uint64_t length_bytes)
{
    for (uint64_t at = 0; at < length_bytes; at += 4096) {
        uint32_t tries = 0;
        int result;

        while ((result = rdmig_source_push(ends->source, block_index, at, 4096)) ==
                   -RDMIG_E_AGAIN &&
               tries++ < 10000)
            ends_turn(ends, 1);
        assert_int_equal(result, 0);
    }
}

/* Page by page as QEMU's save_page does: joined to writes of many pages. Clause: C10 C12 */
static void test_migration__pages_pushed_one_by_one__are_joined(void **state)
{
    struct two_ends ends;

    (void)state;
    ends_init(&ends);
    ends_create(&ends, NULL, NULL);
    ends_run_source(&ends, RDMIG_SOURCE_CONNECTING);
    assert_int_equal(rdmig_source_push(ends.source, 0, 0, 4096), -RDMIG_E_STATE);
    assert_int_equal(rdmig_source_begin_round(ends.source), 0);
    assert_int_equal(rdmig_source_push(ends.source, 3, 0, 4096), -RDMIG_E_INVALID);
    assert_int_equal(rdmig_source_push(ends.source, 0, UINT64_C(5) << 20, 4096), -RDMIG_E_INVALID);
    for (uint32_t i = 0; i < END_BLOCK_COUNT; i++)
        push_all(&ends, i, ends.source_blocks[i].length_bytes);
    assert_int_equal(rdmig_source_end_round(ends.source), 0);
    ends_run_source(&ends, RDMIG_SOURCE_SENDING);
    ends_turn(&ends, 50);
    ends_assert_ram_equal(&ends);
    assert_true(pair_counts()->write_count <= 16);
    ends_free(&ends);
}

/* Pages marked while a round runs are sent in it or in the next, never lost. */
static void test_migration__marks_during_a_round__are_not_lost(void **state)
{
    struct two_ends ends;
    uint32_t round_count = 0;

    (void)state;
    ends_init(&ends);
    ends_create(&ends, NULL, NULL);
    ends_run_source(&ends, RDMIG_SOURCE_CONNECTING);
    for (uint32_t i = 0; i < 40; i++) {
        const uint64_t page = i * 31 % 1280;

        if (rdmig_source_state(ends.source) == RDMIG_SOURCE_IDLE && round_count++ < 100)
            assert_int_equal(rdmig_source_start_round(ends.source), 0);
        ends.source_ram[0][page * 4096] = (uint8_t)i;
        assert_int_equal(rdmig_source_mark_range(ends.source, 0, page * 4096, 1), 0);
        ends_turn(&ends, 3);
    }
    while (rdmig_source_state(ends.source) == RDMIG_SOURCE_SENDING)
        ends_turn(&ends, 1);
    assert_int_equal(rdmig_source_start_round(ends.source), 0);
    ends_run_source(&ends, RDMIG_SOURCE_SENDING);
    ends_turn(&ends, 50);
    ends_assert_ram_equal(&ends);
    ends_free(&ends);
}

/* More ranges than the core's queue takes, and nothing in progress whose end would call us back: the
 * first call has to set the first writes going. Clause: C14 */
static void test_migration__many_small_ranges__go_out_in_the_first_call(void **state)
{
    struct two_ends ends;
    uint64_t write_count;

    (void)state;
    ends_init(&ends);
    ends_create(&ends, NULL, NULL);
    ends_run_source(&ends, RDMIG_SOURCE_CONNECTING);
    assert_int_equal(rdmig_source_start_round(ends.source), 0);
    ends_run_source(&ends, RDMIG_SOURCE_SENDING);
    ends_turn(&ends, 50);
    for (uint64_t page = 0; page < 640; page += 2)
        assert_int_equal(rdmig_source_mark_range(ends.source, 0, page * 4096, 4096), 0);
    write_count = pair_counts()->write_count;
    assert_int_equal(rdmig_source_start_round(ends.source), 0);
    assert_true(pair_counts()->write_count > write_count);
    ends_run_source(&ends, RDMIG_SOURCE_SENDING);
    ends_turn(&ends, 50);
    assert_int_equal(pair_counts()->write_count, write_count + 320);
    ends_assert_ram_equal(&ends);
    ends_free(&ends);
}

static uint64_t timed_round_ns(uint64_t bandwidth_bytes_per_s)
{
    const struct rdmig_options options = {.struct_bytes = sizeof(options),
                                          .bandwidth_bytes_per_s = bandwidth_bytes_per_s};
    struct two_ends ends;
    uint64_t start_ns;

    ends_init(&ends);
    ends_create(&ends, &options, NULL);
    ends_run_source(&ends, RDMIG_SOURCE_CONNECTING);
    start_ns = link_now_ns();
    assert_int_equal(rdmig_source_start_round(ends.source), 0);
    ends_run_source(&ends, RDMIG_SOURCE_SENDING);
    start_ns = link_now_ns() - start_ns;
    ends_turn(&ends, 50);
    ends_assert_ram_equal(&ends);
    ends_free(&ends);
    return start_ns;
}

/* 6.5 MiB of data at 10 MiB/s take 0.65 s of the test's clock. */
static void test_migration__bandwidth_cap__is_kept(void **state)
{
    const uint64_t capped_ns = timed_round_ns(UINT64_C(10) << 20);

    (void)state;
    assert_true(capped_ns > UINT64_C(550000000) && capped_ns < UINT64_C(750000000));
    assert_true(timed_round_ns(0) < UINT64_C(50000000));
}

/* Blocks that the destination only hears of from the source. Clause: S4 B2 */
static void test_migration__blocks_announced__are_provided_later(void **state)
{
    struct two_ends ends;
    struct rdmig_error error;
    const struct rdmig_ram_block *announced;
    uint32_t count;

    (void)state;
    ends_init(&ends);
    assert_int_equal(rdmig_destination_create(&ends.destination, NULL, "0", NULL, 0, NULL, &error),
                     0);
    assert_int_equal(rdmig_destination_port(ends.destination), 4444);
    (void)rdmig_destination_process(ends.destination);
    assert_int_equal(rdmig_source_create(&ends.source, "there", "1", ends.source_blocks,
                                         END_BLOCK_COUNT, NULL, &error),
                     0);
    while (rdmig_destination_state(ends.destination) < RDMIG_DESTINATION_BLOCKS_NEEDED)
        ends_turn(&ends, 1);
    assert_int_equal(rdmig_destination_state(ends.destination), RDMIG_DESTINATION_BLOCKS_NEEDED);
    announced = rdmig_destination_announced(ends.destination, &count);
    assert_int_equal(count, END_BLOCK_COUNT);
    for (uint32_t i = 0; i < count; i++) {
        assert_string_equal(announced[i].name, ends.source_blocks[i].name);
        assert_int_equal(announced[i].length_bytes, ends.source_blocks[i].length_bytes);
    }
    ends_turn(&ends, 100);
    assert_int_equal(rdmig_source_state(ends.source), RDMIG_SOURCE_CONNECTING);
    assert_int_equal(rdmig_destination_provide_blocks(ends.destination, ends.destination_blocks,
                                                      END_BLOCK_COUNT, &error),
                     0);
    ends_run_source(&ends, RDMIG_SOURCE_CONNECTING);
    assert_int_equal(rdmig_source_start_round(ends.source), 0);
    ends_run_source(&ends, RDMIG_SOURCE_SENDING);
    ends_turn(&ends, 50);
    ends_assert_ram_equal(&ends);
    ends_free(&ends);
}

/* State written until nothing more is taken, and finished at once: a full outbox is no refusal.
 * Clause: S2 S9 */
static void test_migration__finished_with_a_full_outbox__is_taken(void **state)
{
    static uint8_t bytes[1 << 20];
    struct two_ends ends;
    uint64_t written_bytes = 0;
    int64_t taken_bytes;

    (void)state;
    make_state(bytes, sizeof(bytes));
    ends_init(&ends);
    ends.is_reading = false;
    ends_create(&ends, NULL, NULL);
    ends_run_source(&ends, RDMIG_SOURCE_CONNECTING);
    assert_int_equal(rdmig_source_start_round(ends.source), 0);
    ends_run_source(&ends, RDMIG_SOURCE_SENDING);
    do {
        taken_bytes = rdmig_source_stream_write(ends.source, bytes, sizeof(bytes));
        assert_true(taken_bytes >= 0);
        written_bytes += (uint64_t)taken_bytes;
    } while (taken_bytes > 0);
    assert_true(written_bytes < END_STREAM_MAX / 2);
    assert_int_equal(rdmig_source_finish(ends.source), 0);
    ends.is_reading = true;
    ends_run_source(&ends, RDMIG_SOURCE_FINISHING);
    assert_int_equal(rdmig_source_state(ends.source), RDMIG_SOURCE_COMPLETED);
    ends_turn(&ends, 20);
    assert_int_equal(ends.stream_bytes, written_bytes);
    ends_free(&ends);
}

static double real_now_s(void)
{
    struct timespec now;

    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

/*
 * In the very moment in which it owns the guest the source is not yet told, and the acknowledgement
 * goes out with the queue pair: it is not closed before the source has left, or its time to do so is
 * over. Clause: S8
 */
static void test_migration__completed__is_closed_when_the_source_knows(void **state)
{
    struct two_ends ends;
    uint64_t message_count;
    double start_s;

    (void)state;
    for (uint32_t is_source_told = 0; is_source_told < 2; is_source_told++) {
        ends_init(&ends);
        ends_create(&ends, NULL, NULL);
        ends_run_source(&ends, RDMIG_SOURCE_CONNECTING);
        assert_int_equal(rdmig_source_start_round(ends.source), 0);
        ends_run_source(&ends, RDMIG_SOURCE_SENDING);
        assert_int_equal(rdmig_source_finish(ends.source), 0);
        while (rdmig_destination_state(ends.destination) != RDMIG_DESTINATION_CONFIRMING)
            ends_turn(&ends, 1);
        /* The source sends its last message and stands still; the destination takes it. */
        message_count = pair_counts()->message_counts[RDMIG_MESSAGE_QEMU_FILE];
        while (pair_counts()->message_counts[RDMIG_MESSAGE_QEMU_FILE] == message_count)
            ends_turn(&ends, 1);
        while (rdmig_destination_state(ends.destination) != RDMIG_DESTINATION_COMPLETED)
            (void)rdmig_destination_process(ends.destination);
        assert_int_equal(rdmig_source_state(ends.source), RDMIG_SOURCE_FINISHING);
        if (is_source_told)
            ends_turn(&ends, 20);
        start_s = real_now_s();
        assert_int_equal(rdmig_destination_is_closed(ends.destination), is_source_told);
        assert_int_equal(rdmig_destination_wait_closed(ends.destination, 200),
                         is_source_told ? 0 : -RDMIG_E_AGAIN);
        if (!is_source_told) /* that the other wait is none at all: test_migration_counts */
            assert_true(real_now_s() - start_s > 0.1);
        ends_turn(&ends, 20);
        assert_true(rdmig_destination_is_closed(ends.destination));
        assert_int_equal(rdmig_source_state(ends.source), RDMIG_SOURCE_COMPLETED);
        ends_free(&ends);
    }
}

/* What comes while memory is looked at is seen to after the next MiB of it. */
static void test_migration__news_during_a_walk__ends_the_call(void **state)
{
    struct two_ends ends;
    const uint64_t mib_bytes = UINT64_C(1) << 20;
    uint64_t looked_bytes;

    (void)state;
    for (uint32_t has_event = 0; has_event < 2; has_event++) {
        ends_init(&ends);
        ends_create(&ends, NULL, NULL);
        ends_run_source(&ends, RDMIG_SOURCE_CONNECTING);
        for (uint32_t i = 0; i < 50; i++) /* nothing is left to be seen to */
            (void)rdmig_source_process(ends.source);
        looked_bytes = memory_dirty_bytes(&ends.source->memory);
        if (has_event)
            pair_signal(RDMIG_ROLE_SOURCE);
        assert_int_equal(rdmig_source_start_round(ends.source), 0);
        looked_bytes -= memory_dirty_bytes(&ends.source->memory);
        assert_true(has_event ? looked_bytes == mib_bytes : looked_bytes > mib_bytes);
        ends_run_source(&ends, RDMIG_SOURCE_SENDING);
        ends_turn(&ends, 50);
        ends_assert_ram_equal(&ends);
        ends_free(&ends);
    }
}

/* libibverbs loads its drivers then: a tenth of a second, which the caller has waited for. */
static void test_migration__slow_creation__counts_as_setup(void **state)
{
    const uint64_t passed_ns = 85000000;
    struct rdmig_progress progress;
    struct two_ends ends;

    (void)state;
    ends_init(&ends);
    assert_int_equal(rdmig_destination_create(&ends.destination, "here", "1",
                                              ends.destination_blocks, END_BLOCK_COUNT, NULL, NULL),
                     0);
    pair_slow_create(passed_ns);
    assert_int_equal(rdmig_source_create(&ends.source, "there", "1", ends.source_blocks,
                                         END_BLOCK_COUNT, NULL, NULL),
                     0);
    ends_run_source(&ends, RDMIG_SOURCE_CONNECTING);
    rdmig_source_progress(ends.source, &progress, sizeof(progress));
    assert_true(progress.setup_ns > passed_ns && progress.total_ns >= progress.setup_ns);
    ends_free(&ends);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_migration__dynamic_two_rounds__arrives_whole),
        cmocka_unit_test(test_migration__pin_all__registers_each_block_once),
        cmocka_unit_test(test_migration__registered_as_wanted__each_end_for_itself),
        cmocka_unit_test(test_migration__pin_all_refused__goes_dynamic_and_says_so),
        cmocka_unit_test(test_migration__stream_byte_by_byte__arrives_whole),
        cmocka_unit_test(test_migration__zeros__cost_a_handful_of_messages),
        cmocka_unit_test(test_migration__pages_pushed_one_by_one__are_joined),
        cmocka_unit_test(test_migration__many_small_ranges__go_out_in_the_first_call),
        cmocka_unit_test(test_migration__marks_during_a_round__are_not_lost),
        cmocka_unit_test(test_migration__bandwidth_cap__is_kept),
        cmocka_unit_test(test_migration__blocks_announced__are_provided_later),
        cmocka_unit_test(test_migration__finished_with_a_full_outbox__is_taken),
        cmocka_unit_test(test_migration__completed__is_closed_when_the_source_knows),
        cmocka_unit_test(test_migration__news_during_a_walk__ends_the_call),
        cmocka_unit_test(test_migration__slow_creation__counts_as_setup),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
