/* SPDX-License-Identifier: BSD-2-Clause */
/* A caller's mistakes: each has the reason CALLER and a sentence that names it, whichever call it
 * was, and changes nothing. */
#include "fakes/two_ends.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static uint8_t page[3 * 4096] __attribute__((aligned(4096)));

static const struct rdmig_ram_block good = {"a", page, 4096};

static void assert_callers(const struct rdmig_error *error, const char *says)
{
    if (error->reason != RDMIG_REASON_CALLER)
        fail_msg("%s: reason %s, \"%s\"", says, rdmig_reason_name(error->reason), error->detail);
    if (strstr(error->detail, says) == NULL)
        fail_msg("\"%s\" lacks \"%s\"", error->detail, says);
    assert_true(strlen(error->remedy) > 10);
}

struct call {
    const char *host;
    const char *service;
    const struct rdmig_ram_block *blocks;
    uint32_t block_count;
    const struct rdmig_options *options;
};

/* Both roles, but for what only a source asks for; with and without a place for the error. */
static void refuse_create(const struct call *call, bool is_source_only, const char *says)
{
    struct rdmig_error error;
    struct rdmig_source *source;
    struct rdmig_destination *destination;

    assert_int_equal(rdmig_source_create(&source, call->host, call->service, call->blocks,
                                         call->block_count, call->options, &error),
                     -RDMIG_E_INVALID);
    assert_null(source);
    assert_callers(&error, says);
    assert_int_equal(rdmig_source_create(&source, call->host, call->service, call->blocks,
                                         call->block_count, call->options, NULL),
                     -RDMIG_E_INVALID);
    if (is_source_only)
        return;
    assert_int_equal(rdmig_destination_create(&destination, call->host, call->service, call->blocks,
                                              call->block_count, call->options, &error),
                     -RDMIG_E_INVALID);
    assert_null(destination);
    assert_callers(&error, says);
}

static void test_migration__a_bad_option__is_the_callers_and_named(void **state)
{
    const struct rdmig_options older = {.struct_bytes = sizeof(older) - 8};
    const struct rdmig_options none = {0};
    const struct rdmig_options wide = {.struct_bytes = sizeof(wide), .run_chunk_count = 32769};
    const struct rdmig_options batch = {.struct_bytes = sizeof(batch), .register_batch_count = 65};
    const struct rdmig_options format = {.struct_bytes = sizeof(format),
                                         .stream_format = (enum rdmig_stream_format)2};
    const struct {
        const struct rdmig_options *options;
        const char *says;
    } rows[] = {
        {&wide, "options.run_chunk_count is 32769, and 1 to 32768 are possible"},
        {&batch, "options.register_batch_count is 65, and 1 to 64 are possible"},
        {&format, "options.stream_format is 2"},
        {&older, "options.struct_bytes is "},
        {&none, "options.struct_bytes is 0"},
    };

    (void)state;
    pair_reset();
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct call call = {"h", "1", &good, 1, rows[i].options};

        refuse_create(&call, false, rows[i].says);
    }
}

/* A program of a newer header with this library: what it does not set is no matter (faults.md, A1). */
static void test_migration__options_of_a_newer_header__are_taken_while_unused(void **state)
{
    struct {
        struct rdmig_options options;
        uint64_t later;
    } newer = {.options = {.struct_bytes = sizeof(newer)}};
    const struct call call = {"h", "1", &good, 1, &newer.options};
    struct rdmig_source *source;
    struct rdmig_error error;

    (void)state;
    pair_reset();
    assert_int_equal(rdmig_source_create(&source, "h", "1", &good, 1, &newer.options, &error), 0);
    rdmig_source_destroy(source);
    newer.later = 1;
    refuse_create(&call, false, "an option of a newer version than 0.1.0 is set (byte ");
    newer.later = 0;
    newer.options.struct_bytes = 4097;
    refuse_create(&call, false, "options.struct_bytes is 4097");
}

/* What the library fills is as long as the caller's header has it (faults.md, A1). */
static void test_migration__progress_of_another_version__is_filled_as_far_as_it_goes(void **state)
{
    struct {
        struct rdmig_progress progress;
        uint64_t later;
    } newer;
    struct rdmig_progress older;
    const size_t older_bytes = offsetof(struct rdmig_progress, bytes_written);
    struct rdmig_source *source;

    (void)state;
    pair_reset();
    assert_int_equal(rdmig_source_create(&source, "h", "1", &good, 1, NULL, NULL), 0);
    memset(&newer, 0xee, sizeof(newer));
    rdmig_source_progress(source, &newer.progress, sizeof(newer));
    assert_int_equal(newer.progress.bytes_total, good.length_bytes);
    assert_int_equal(newer.later, 0);
    memset(&older, 0xee, sizeof(older));
    rdmig_source_progress(source, &older, older_bytes);
    assert_int_equal(older.bytes_total, good.length_bytes);
    assert_true(older.bytes_written == UINT64_C(0xeeeeeeeeeeeeeeee));
    rdmig_source_destroy(source);
}

static void test_migration__no_host_or_port__is_the_callers(void **state)
{
    const struct call calls[] = {{NULL, "1", &good, 1, NULL},
                                 {"", "1", &good, 1, NULL},
                                 {"h", NULL, &good, 1, NULL},
                                 {"h", "", &good, 1, NULL}};

    (void)state;
    pair_reset();
    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
        refuse_create(&calls[i], true, "no host or no port");
}

/* Lists that no call takes, whatever it is that the blocks are given to. */
static const struct {
    struct rdmig_ram_block blocks[2];
    uint32_t block_count;
    const char *says;
} bad_lists[] = {
    {{{"a", page, 4096}, {"a", page + 4096, 4096}}, 2, "two RAM blocks have the name a"},
    {{{"", page, 4096}}, 1, "RAM block 0 () has no name"},
    {{{NULL, page, 4096}}, 1, "has no name"},
    {{{"a", page + 1, 4096}}, 1, "RAM block 0 (a) has an address"},
    {{{"a", NULL, 4096}}, 1, "has an address that is not page-aligned, or none"},
    {{{"a", page, 4096}, {"b", page + 4096, 0}}, 2, "RAM block 1 (b) has a length"},
    {{{"a", page, 100}}, 1, "has a length that is 0 or no multiple of 4096"},
    {{{"b", page + 4096, 8192}, {"a", page, 8192}}, 2, "RAM blocks a and b share memory"},
    {{{"a", page, 4096}, {"b", page, 4096}}, 2, "share memory"},
    {{{"a", page, UINT64_C(1) << 53}}, 1, "more chunks of 1 MiB together than can be counted"},
};

#define BAD_LIST_COUNT (sizeof(bad_lists) / sizeof(bad_lists[0]))

static void test_migration__a_bad_list_at_create__is_the_callers(void **state)
{
    const struct call none = {"h", "1", NULL, 2, NULL};
    const struct call many = {"h", "1", &good, RDMIG_BLOCK_COUNT_MAX + 1, NULL};
    const struct call empty = {"h", "1", &good, 0, NULL};

    (void)state;
    pair_reset();
    for (size_t i = 0; i < BAD_LIST_COUNT; i++) {
        const struct call call = {"h", "1", bad_lists[i].blocks, bad_lists[i].block_count, NULL};

        refuse_create(&call, false, bad_lists[i].says);
    }
    refuse_create(&none, false, "2 RAM blocks were given, without a list");
    refuse_create(&many, false, "16384 RAM blocks were given");
    refuse_create(&empty, true, "0 RAM blocks were given");
}

static void run_to_blocks_needed(struct two_ends *ends)
{
    struct rdmig_error error;

    ends_init(ends);
    assert_int_equal(rdmig_destination_create(&ends->destination, NULL, "0", NULL, 0, NULL, &error),
                     0);
    (void)rdmig_destination_process(ends->destination);
    assert_int_equal(rdmig_source_create(&ends->source, "there", "1", ends->source_blocks,
                                         END_BLOCK_COUNT, NULL, &error),
                     0);
    ends_run_destination(ends, RDMIG_DESTINATION_LISTENING);
    ends_run_destination(ends, RDMIG_DESTINATION_CONNECTED);
}

/* The sentence comes back, the source still waits, and the right blocks are taken afterwards.
 * Clause: E1 B2 */
static void test_migration__bad_blocks_provided__named_and_nothing_changed(void **state)
{
    struct rdmig_error error;
    struct two_ends ends;

    (void)state;
    run_to_blocks_needed(&ends);
    for (size_t i = 0; i < BAD_LIST_COUNT; i++) {
        memset(&error, 0x55, sizeof(error));
        assert_int_equal(rdmig_destination_provide_blocks(ends.destination, bad_lists[i].blocks,
                                                          bad_lists[i].block_count, &error),
                         -RDMIG_E_INVALID);
        assert_callers(&error, bad_lists[i].says);
        assert_int_equal(rdmig_destination_state(ends.destination),
                         RDMIG_DESTINATION_BLOCKS_NEEDED);
        assert_int_equal(rdmig_destination_error(ends.destination)->reason, RDMIG_REASON_NONE);
    }
    assert_int_equal(rdmig_destination_provide_blocks(ends.destination, NULL, 1, NULL),
                     -RDMIG_E_INVALID);
    assert_int_equal(rdmig_destination_provide_blocks(ends.destination, ends.destination_blocks,
                                                      END_BLOCK_COUNT, &error),
                     0);
    assert_int_equal(error.reason, RDMIG_REASON_NONE);
    assert_int_equal(rdmig_destination_provide_blocks(ends.destination, ends.destination_blocks,
                                                      END_BLOCK_COUNT, &error),
                     -RDMIG_E_STATE);
    assert_callers(&error, "is not waiting for RAM blocks");
    ends_run_source(&ends, RDMIG_SOURCE_CONNECTING);
    assert_int_equal(rdmig_source_start_round(ends.source), 0);
    ends_run_source(&ends, RDMIG_SOURCE_SENDING);
    ends_turn(&ends, 50);
    ends_assert_ram_equal(&ends);
    ends_free(&ends);
}

/* What is no mistake in the list, but not the source's list, ends the migration: told twice. */
static void test_migration__other_blocks_provided__told_by_the_call_and_the_handle(void **state)
{
    struct rdmig_error error;
    struct two_ends ends;

    (void)state;
    run_to_blocks_needed(&ends);
    ends.destination_blocks[0].name = "other";
    assert_int_equal(rdmig_destination_provide_blocks(ends.destination, ends.destination_blocks,
                                                      END_BLOCK_COUNT, &error),
                     -RDMIG_E_FAILED);
    assert_int_equal(error.reason, RDMIG_REASON_BLOCK_UNKNOWN);
    assert_memory_equal(&error, rdmig_destination_error(ends.destination), sizeof(error));
    memset(&error, 0, sizeof(error));
    assert_int_equal(rdmig_destination_provide_blocks(ends.destination, ends.destination_blocks,
                                                      END_BLOCK_COUNT, &error),
                     -RDMIG_E_STATE);
    assert_int_equal(error.reason, RDMIG_REASON_BLOCK_UNKNOWN);
    ends_free(&ends);
}

/* The hardware has gone at that moment: that is the cause, and not that memory is short. */
static void test_migration__link_failed_when_blocks_come__its_own_reason_is_told(void **state)
{
    struct rdmig_error error;
    struct two_ends ends;

    (void)state;
    run_to_blocks_needed(&ends);
    pair_fail_provide(RDMIG_ROLE_DESTINATION);
    assert_int_equal(rdmig_destination_provide_blocks(ends.destination, ends.destination_blocks,
                                                      END_BLOCK_COUNT, &error),
                     -RDMIG_E_FAILED);
    assert_int_equal(error.reason, RDMIG_REASON_DEVICE);
    assert_memory_equal(&error, rdmig_destination_error(ends.destination), sizeof(error));
    ends_free(&ends);
    ends_init(&ends);
    pair_fail_provide(RDMIG_ROLE_SOURCE);
    ends_create(&ends, NULL, NULL);
    ends_run_source(&ends, RDMIG_SOURCE_CONNECTING);
    assert_int_equal(rdmig_source_error(ends.source)->reason, RDMIG_REASON_DEVICE);
    ends_free(&ends);
}

static void run_to_finish(struct two_ends *ends)
{
    ends_init(ends);
    ends_create(ends, NULL, NULL);
    ends_run_source(ends, RDMIG_SOURCE_CONNECTING);
    assert_int_equal(rdmig_source_start_round(ends->source), 0);
    ends_run_source(ends, RDMIG_SOURCE_SENDING);
    assert_int_equal(rdmig_source_finish(ends->source), 0);
    assert_int_equal(rdmig_source_state(ends->source), RDMIG_SOURCE_FINISHING);
}

/* No round would send it: taken, it would be lost, and the guest complete without it. */
static void test_migration__marked_after_finish__is_refused(void **state)
{
    const uint64_t word = 1;
    struct two_ends ends;

    (void)state;
    run_to_finish(&ends);
    assert_int_equal(rdmig_source_mark_range(ends.source, 0, 0, 4096), -RDMIG_E_STATE);
    assert_int_equal(rdmig_source_mark_dirty(ends.source, 0, &word, 0, 64), -RDMIG_E_STATE);
    ends_run_source(&ends, RDMIG_SOURCE_FINISHING);
    assert_int_equal(rdmig_source_state(ends.source), RDMIG_SOURCE_COMPLETED);
    ends_assert_ram_equal(&ends);
    ends_free(&ends);
}

/* FAILED is for what has failed. */
static void test_migration__written_after_the_end__says_which_end(void **state)
{
    struct two_ends ends;

    (void)state;
    run_to_finish(&ends);
    ends_run_source(&ends, RDMIG_SOURCE_FINISHING);
    assert_int_equal(rdmig_source_state(ends.source), RDMIG_SOURCE_COMPLETED);
    assert_int_equal(rdmig_source_stream_write(ends.source, "late", 4), -RDMIG_E_STATE);
    ends_free(&ends);
    ends_init(&ends);
    ends_create(&ends, NULL, NULL);
    assert_int_equal(rdmig_source_cancel(ends.source), 0);
    assert_int_equal(rdmig_source_stream_write(ends.source, "late", 4), -RDMIG_E_FAILED);
    ends_free(&ends);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_migration__link_failed_when_blocks_come__its_own_reason_is_told),
        cmocka_unit_test(test_migration__a_bad_option__is_the_callers_and_named),
        cmocka_unit_test(test_migration__options_of_a_newer_header__are_taken_while_unused),
        cmocka_unit_test(test_migration__progress_of_another_version__is_filled_as_far_as_it_goes),
        cmocka_unit_test(test_migration__no_host_or_port__is_the_callers),
        cmocka_unit_test(test_migration__a_bad_list_at_create__is_the_callers),
        cmocka_unit_test(test_migration__bad_blocks_provided__named_and_nothing_changed),
        cmocka_unit_test(test_migration__other_blocks_provided__told_by_the_call_and_the_handle),
        cmocka_unit_test(test_migration__marked_after_finish__is_refused),
        cmocka_unit_test(test_migration__written_after_the_end__says_which_end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
