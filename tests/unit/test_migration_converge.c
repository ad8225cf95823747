/* SPDX-License-Identifier: BSD-2-Clause */
/* When to stop the guest: what converged() and the estimate behind it say, and limits that are none
 * (faults.md, D1 to D4). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "fakes/two_ends.h"
#include "migration/source.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define MIB            (UINT64_C(1) << 20)
#define GUEST_BYTES    (1024 * MIB)
#define IN_USE_BYTES   (32 * MIB)
#define HOT_BYTES      (32 * MIB)
#define SECOND_NS      UINT64_C(1000000000)
#define MILLISECOND_NS UINT64_C(1000000)

/* A guest with little of its memory in use. */
struct guest {
    struct two_ends ends; /* the handles only */
    uint8_t *source_ram;
    uint8_t *destination_ram;
};

static uint8_t *map_guest(void)
{
    uint8_t *ram = mmap(NULL, GUEST_BYTES, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    assert_true(ram != MAP_FAILED);
    return ram;
}

static void guest_open(struct guest *guest, const struct rdmig_options *options,
                       uint64_t in_use_bytes)
{
    struct rdmig_ram_block block = {.name = "ram", .length_bytes = GUEST_BYTES};

    memset(guest, 0, sizeof(*guest));
    pair_reset();
    guest->ends.is_reading = true;
    guest->ends.is_confirming = true;
    guest->ends.is_destination_run = true;
    guest->ends.stream = malloc(END_STREAM_MAX);
    guest->source_ram = map_guest();
    guest->destination_ram = map_guest();
    memset(guest->source_ram, 0x5a, in_use_bytes);
    block.host_addr = guest->destination_ram;
    assert_int_equal(
        rdmig_destination_create(&guest->ends.destination, "here", "1", &block, 1, NULL, NULL), 0);
    (void)rdmig_destination_process(guest->ends.destination);
    block.host_addr = guest->source_ram;
    assert_int_equal(
        rdmig_source_create(&guest->ends.source, "there", "1", &block, 1, options, NULL), 0);
    ends_run_source(&guest->ends, RDMIG_SOURCE_CONNECTING);
}

static void guest_close(struct guest *guest)
{
    rdmig_source_destroy(guest->ends.source);
    rdmig_destination_destroy(guest->ends.destination);
    (void)munmap(guest->source_ram, GUEST_BYTES);
    (void)munmap(guest->destination_ram, GUEST_BYTES);
    free(guest->ends.stream);
}

/* The links are as fast as memory: time is made to pass for what is written, at 1 GB/s. */
static void guest_round(struct guest *guest)
{
    assert_int_equal(rdmig_source_start_round(guest->ends.source), 0);
    for (int i = 0; i < 1000000 && rdmig_source_state(guest->ends.source) == RDMIG_SOURCE_SENDING;
         i++) {
        const uint64_t before_bytes = pair_counts()->write_bytes;

        ends_turn(&guest->ends, 1);
        pair_advance_ns(pair_counts()->write_bytes - before_bytes);
    }
    assert_int_equal(rdmig_source_state(guest->ends.source), RDMIG_SOURCE_IDLE);
}

static void guest_write(struct guest *guest, uint64_t length_bytes)
{
    memset(guest->source_ram, 0xa5, length_bytes);
    assert_int_equal(rdmig_source_mark_range(guest->ends.source, 0, 0, length_bytes), 0);
}

/* What the handle's clock says the last round, the guest stopped, takes. */
static uint64_t last_round_ns(struct guest *guest)
{
    struct rdmig_progress progress;

    assert_int_equal(rdmig_source_guest_stopped(guest->ends.source), 0);
    guest_round(guest);
    rdmig_source_progress(guest->ends.source, &progress, sizeof(progress));
    return progress.downtime_ns;
}

static void test_converge__right_after_a_round__is_false_until_the_log_comes(void **state)
{
    const uint64_t nothing[1] = {0};
    struct guest guest;

    (void)state;
    guest_open(&guest, NULL, IN_USE_BYTES);
    assert_false(rdmig_source_converged(guest.ends.source)); /* all is dirty */
    guest_round(&guest);
    assert_false(rdmig_source_converged(guest.ends.source));
    assert_int_equal(rdmig_source_mark_dirty(guest.ends.source, 0, nothing, 0, 64), 0);
    assert_true(rdmig_source_converged(guest.ends.source));
    guest_round(&guest);
    assert_false(rdmig_source_converged(guest.ends.source)); /* that log was for this round */
    assert_int_equal(rdmig_source_mark_range(guest.ends.source, 0, 0, 4096), 0);
    assert_true(rdmig_source_converged(guest.ends.source));
    /* During a round nothing has converged, and what is marked in it is no log for what is next. */
    assert_int_equal(rdmig_source_start_round(guest.ends.source), 0);
    assert_int_equal(rdmig_source_mark_range(guest.ends.source, 0, 0, 4096), 0);
    assert_false(rdmig_source_converged(guest.ends.source));
    ends_run_source(&guest.ends, RDMIG_SOURCE_SENDING);
    assert_false(rdmig_source_converged(guest.ends.source));
    /* A VMM that has found nothing to mark. */
    assert_int_equal(rdmig_source_mark_dirty(guest.ends.source, 0, NULL, 0, 0), 0);
    assert_true(rdmig_source_converged(guest.ends.source));
    /* What has failed has converged to nothing. */
    assert_int_equal(rdmig_source_cancel(guest.ends.source), 0);
    assert_false(rdmig_source_converged(guest.ends.source));
    guest_close(&guest);
}

static void check_estimate(struct guest *guest)
{
    uint64_t estimate_ns;
    uint64_t took_ns;

    guest_round(guest);
    guest_write(guest, HOT_BYTES);
    estimate_ns = rdmig_source_downtime_estimate_ns(guest->ends.source);
    took_ns = last_round_ns(guest);
    if (took_ns > 2 * estimate_ns || estimate_ns > 2 * took_ns)
        fail_msg("the estimate was %llu us, it took %llu us",
                 (unsigned long long)estimate_ns / 1000, (unsigned long long)took_ns / 1000);
}

/* 32 MiB of data in 1 GiB of holes say as much of the wire as 32 MiB. */
static void test_converge__a_sparse_first_round__says_nothing_of_data(void **state)
{
    const struct rdmig_options capped = {.struct_bytes = sizeof(capped),
                                         .bandwidth_bytes_per_s = 100 * MIB};
    struct guest guest;

    (void)state;
    guest_open(&guest, NULL, IN_USE_BYTES);
    check_estimate(&guest);
    guest_close(&guest);
    guest_open(&guest, &capped, IN_USE_BYTES);
    check_estimate(&guest);
    guest_close(&guest);
}

/* Nothing but zeros has gone: they say nothing of what data will take. */
static void test_converge__no_data_written_yet__is_not_guessed_from_zeros(void **state)
{
    struct guest guest;
    struct rdmig_progress progress;

    (void)state;
    guest_open(&guest, NULL, 0);
    guest_round(&guest);
    assert_int_equal(rdmig_source_downtime_estimate_ns(guest.ends.source), 0);
    guest_write(&guest, 4096);
    assert_true(rdmig_source_downtime_estimate_ns(guest.ends.source) == UINT64_MAX);
    assert_false(rdmig_source_converged(guest.ends.source));
    rdmig_source_progress(guest.ends.source, &progress, sizeof(progress));
    assert_int_equal(progress.data_bytes_per_s, 0);
    assert_true(progress.throughput_bytes_per_s > 0);
    guest_round(&guest);
    guest_write(&guest, 4096);
    assert_true(rdmig_source_downtime_estimate_ns(guest.ends.source) < SECOND_NS);
    assert_true(rdmig_source_converged(guest.ends.source));
    guest_close(&guest);
}

static void test_converge__no_target__any_downtime_will_do(void **state)
{
    const struct rdmig_options options = {.struct_bytes = sizeof(options),
                                          .downtime_target_ms = UINT32_MAX,
                                          .bandwidth_bytes_per_s = MIB};
    struct guest guest;

    (void)state;
    guest_open(&guest, &options, MIB / 4);
    guest_round(&guest);
    assert_false(rdmig_source_converged(guest.ends.source));
    guest_write(&guest, HOT_BYTES);
    assert_true(rdmig_source_downtime_estimate_ns(guest.ends.source) > 10 * SECOND_NS);
    assert_true(rdmig_source_converged(guest.ends.source));
    guest_close(&guest);
}

/* Nothing dirty, and nothing was ever moved: all of it was named free. */
static void test_converge__nothing_dirty_and_nothing_moved__has_converged(void **state)
{
    struct guest guest;

    (void)state;
    guest_open(&guest, NULL, IN_USE_BYTES);
    assert_int_equal(rdmig_source_mark_free(guest.ends.source, 0, 0, GUEST_BYTES), 0);
    guest_round(&guest);
    assert_int_equal(rdmig_source_mark_dirty(guest.ends.source, 0, NULL, 0, 0), 0);
    assert_int_equal(rdmig_source_downtime_estimate_ns(guest.ends.source), 0);
    assert_true(rdmig_source_converged(guest.ends.source));
    guest_close(&guest);
}

/* A GiB at a byte a second is 34 years, 16 TiB are 558,000, which is no number of nanoseconds. */
static void test_converge__an_endless_estimate__is_no_short_one(void **state)
{
    const uint64_t word_count = (UINT64_C(16) << 40) / RDMIG_PAGE_BYTES / 64;
    struct memory_block *block;
    struct memory_block own;
    struct guest guest;

    (void)state;
    guest_open(&guest, NULL, 4096);
    guest_round(&guest);
    guest.ends.source->options.bandwidth_bytes_per_s = 1; /* from now on */
    assert_int_equal(rdmig_source_mark_range(guest.ends.source, 0, 0, GUEST_BYTES), 0);
    assert_true(rdmig_source_downtime_estimate_ns(guest.ends.source) / SECOND_NS == GUEST_BYTES);
    assert_false(rdmig_source_converged(guest.ends.source));
    /* As if the block were that long: only its bitmap is looked at. */
    block = &guest.ends.source->memory.blocks[0];
    own = *block;
    block->words = malloc(word_count * sizeof(uint64_t));
    assert_non_null(block->words);
    ram_bitmap_init(&block->dirty, block->words, word_count * 64);
    ram_bitmap_set_range(&block->dirty, 0, word_count * 64);
    assert_true(rdmig_source_downtime_estimate_ns(guest.ends.source) == UINT64_MAX);
    assert_false(rdmig_source_converged(guest.ends.source));
    free(block->words);
    *block = own;
    guest_close(&guest);
}

/* Caps that no link reaches hold nothing up. */
static void test_converge__an_enormous_cap__is_none(void **state)
{
    static const uint64_t caps[] = {UINT64_C(1) << 62, INT64_MAX, UINT64_C(1) << 63, UINT64_MAX};
    struct guest guest;

    (void)state;
    for (size_t i = 0; i < sizeof(caps) / sizeof(caps[0]); i++) {
        const struct rdmig_options options = {.struct_bytes = sizeof(options),
                                              .bandwidth_bytes_per_s = caps[i]};
        uint64_t took_ns;

        guest_open(&guest, &options, IN_USE_BYTES);
        guest_round(&guest);
        guest_write(&guest, HOT_BYTES);
        pair_advance_ns(2 * SECOND_NS); /* the bucket is as full as it gets */
        took_ns = last_round_ns(&guest);
        if (took_ns > 100 * MILLISECOND_NS)
            fail_msg("a cap of %llu bytes a second: a round took %llu ms",
                     (unsigned long long)caps[i], (unsigned long long)(took_ns / MILLISECOND_NS));
        guest_close(&guest);
    }
}

static void test_converge__stopped_when_all_is_over__is_refused_and_counts_nothing(void **state)
{
    struct guest guest;
    struct rdmig_progress progress;

    (void)state;
    guest_open(&guest, NULL, IN_USE_BYTES);
    guest_round(&guest);
    assert_int_equal(rdmig_source_finish(guest.ends.source), 0);
    ends_run_source(&guest.ends, RDMIG_SOURCE_FINISHING);
    assert_int_equal(rdmig_source_guest_stopped(guest.ends.source), -RDMIG_E_STATE);
    rdmig_source_progress(guest.ends.source, &progress, sizeof(progress));
    assert_int_equal(progress.downtime_ns, 0);
    guest_close(&guest);
}

/* The time for connecting has a limit of its own. */
static void test_converge__time_limit__counts_from_the_connection_on(void **state)
{
    const struct rdmig_options options = {.struct_bytes = sizeof(options), .time_limit_ms = 2000};
    struct two_ends ends;

    (void)state;
    ends_init(&ends);
    assert_int_equal(rdmig_destination_create(&ends.destination, "here", "1",
                                              ends.destination_blocks, END_BLOCK_COUNT, NULL, NULL),
                     0);
    (void)rdmig_destination_process(ends.destination);
    pair_slow_create(3 * SECOND_NS);
    assert_int_equal(rdmig_source_create(&ends.source, "there", "1", ends.source_blocks,
                                         END_BLOCK_COUNT, &options, NULL),
                     0);
    ends_run_source(&ends, RDMIG_SOURCE_CONNECTING);
    assert_int_equal(rdmig_source_state(ends.source), RDMIG_SOURCE_IDLE);
    pair_advance_ns(1900 * MILLISECOND_NS);
    ends_turn(&ends, 1);
    assert_int_equal(rdmig_source_state(ends.source), RDMIG_SOURCE_IDLE);
    pair_advance_ns(100 * MILLISECOND_NS);
    ends_turn(&ends, 10);
    assert_int_equal(rdmig_source_error(ends.source)->reason, RDMIG_REASON_TIME_LIMIT);
    ends_free(&ends);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_converge__right_after_a_round__is_false_until_the_log_comes),
        cmocka_unit_test(test_converge__a_sparse_first_round__says_nothing_of_data),
        cmocka_unit_test(test_converge__no_data_written_yet__is_not_guessed_from_zeros),
        cmocka_unit_test(test_converge__no_target__any_downtime_will_do),
        cmocka_unit_test(test_converge__nothing_dirty_and_nothing_moved__has_converged),
        cmocka_unit_test(test_converge__an_endless_estimate__is_no_short_one),
        cmocka_unit_test(test_converge__an_enormous_cap__is_none),
        cmocka_unit_test(test_converge__stopped_when_all_is_over__is_refused_and_counts_nothing),
        cmocka_unit_test(test_converge__time_limit__counts_from_the_connection_on),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
