/* SPDX-License-Identifier: BSD-2-Clause */
/* The simulator's decisions, its virtual time and log, the words of its stream, its costs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "stream.h"
#include "world.h"

/* ---- choice */

static void test_sim_choice__seed__gives_these_decisions_for_ever(void **unused)
{
    static const uint32_t expected[] = {566, 745, 971, 444, 444, 762, 877, 523};
    struct choice choice;
    uint64_t state = 0;

    (void)unused;
    choice_init_seed(&choice, 1);
    for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++) {
        assert_int_equal(choice_below(&choice, 1000), expected[i]);
    }
    choice_free(&choice);
    /* splitmix64's published first outputs for the state 0 */
    assert_true(generator_next(&state) == UINT64_C(0xe220a8397b1dcdaf));
    assert_true(generator_next(&state) == UINT64_C(0x6e789e6aa1b965f4));
}

static void test_sim_choice__seed__spreads_evenly(void **unused)
{
    enum { BOUND = 7, DRAWS = 70000 };
    uint32_t counts[BOUND] = {0};
    struct choice choice;

    (void)unused;
    choice_init_seed(&choice, 42);
    for (int i = 0; i < DRAWS; i++) {
        counts[choice_below(&choice, BOUND)]++;
    }
    for (int i = 0; i < BOUND; i++) {
        assert_in_range(counts[i], DRAWS / BOUND - 500, DRAWS / BOUND + 500);
    }
    assert_int_equal(choice.made_count, DRAWS);
    choice_free(&choice);
}

static void test_sim_choice__bytes__take_as_few_as_the_bound_needs_then_zero(void **unused)
{
    static const uint8_t bytes[] = {0xff, 0x34, 0x12, 0x78, 0x56, 0x34, 0x12, 5, 9};
    struct choice choice;

    (void)unused;
    choice_init_bytes(&choice, bytes, sizeof(bytes));
    assert_int_equal(choice_below(&choice, 1), 0);
    assert_int_equal(choice_below(&choice, 0), 0);
    assert_int_equal(choice.position, 0);
    assert_int_equal(choice_below(&choice, 256), 255);
    assert_int_equal(choice_below(&choice, 65536), 0x1234);
    assert_int_equal(choice_below(&choice, 65537), 0x12345678 % 65537);
    assert_int_equal(choice_below(&choice, 4), 1);
    assert_int_equal(choice_below(&choice, 257), 9); /* half of it is left */
    assert_int_equal(choice_below(&choice, 2), 0);
    assert_int_equal(choice_below(&choice, UINT32_MAX), 0);
    assert_int_equal(choice.made_count, 7);
    choice_free(&choice);
}

static void test_sim_choice__list_of_what_was_made__makes_it_again(void **unused)
{
    struct choice first;
    struct choice again;

    (void)unused;
    choice_init_seed(&first, 3);
    for (uint32_t i = 0; i < 1000; i++) {
        choice_below(&first, i);
    }
    assert_int_equal(first.made_count, 998);
    choice_init_list(&again, first.made, first.made_count);
    for (uint32_t i = 0; i < 1000; i++) {
        choice_below(&again, i);
    }
    assert_int_equal(again.made_count, 998);
    assert_memory_equal(again.made, first.made, 998 * sizeof(first.made[0]));
    assert_int_equal(choice_below(&again, 1000), 0);
    choice_free(&again);
    choice_free(&first);
}

static void test_sim_choice__list_value_above_its_bound__counts_as_zero(void **unused)
{
    static const struct decision list[] = {{7, 9}, {5, 9}, {4, 9}};
    struct choice choice;

    (void)unused;
    choice_init_list(&choice, list, 3);
    assert_int_equal(choice_below(&choice, 5), 0);
    assert_int_equal(choice_below(&choice, 6), 5);
    assert_int_equal(choice_below(&choice, 5), 4);
    assert_int_equal(choice_below(&choice, 5), 0);
    choice_free(&choice);
}

static void test_sim_choice__chance__is_false_for_the_dull_decision(void **unused)
{
    struct decision list[10];
    uint32_t true_count = 0;
    struct choice choice;

    (void)unused;
    for (uint32_t i = 0; i < 10; i++) {
        list[i] = (struct decision){i, 10};
    }
    choice_init_list(&choice, list, 10);
    assert_false(choice_chance(&choice, (struct ratio){0, 10}));
    assert_false(choice_chance(&choice, (struct ratio){0, 0}));
    assert_true(choice_chance(&choice, (struct ratio){10, 10}));
    assert_int_equal(choice.made_count, 0);
    assert_false(choice_chance(&choice, (struct ratio){9, 10})); /* 0 */
    for (int i = 1; i < 10; i++) {
        true_count += choice_chance(&choice, (struct ratio){3, 10});
    }
    assert_int_equal(true_count, 3);
    choice_free(&choice);
}

static void test_sim_choice__between__has_both_ends(void **unused)
{
    static const struct decision list[] = {{0, 4}, {3, 4}, {7, 8}};
    struct choice choice;

    (void)unused;
    choice_init_list(&choice, list, 3);
    assert_int_equal(choice_between(&choice, 5, 5), 5);
    assert_int_equal(choice_between(&choice, 5, 8), 5);
    assert_int_equal(choice_between(&choice, 5, 8), 8);
    assert_int_equal(choice_between(&choice, 0, UINT32_MAX), 7);
    assert_int_equal(choice.made_count, 3);
    choice_free(&choice);
}

/* ---- world */

struct world_fixture {
    struct options options;
    struct choice choice;
    struct world world;
};

static void fixture_init(struct world_fixture *fixture, uint64_t seed)
{
    memset(&fixture->options, 0, sizeof(fixture->options));
    fixture->options.jitter_steps = 5;
    choice_init_seed(&fixture->choice, seed);
    world_init(&fixture->world, &fixture->options, &fixture->choice);
}

static void fixture_free(struct world_fixture *fixture)
{
    world_free(&fixture->world);
    choice_free(&fixture->choice);
}

struct recorder {
    uint64_t last_at_ns;
    uint64_t last_argument;
    uint64_t count;
};

/* Arguments count up as things are planned: at one time they come in that order. */
static void record(struct world *world, void *subject, uint64_t argument)
{
    struct recorder *recorder = subject;

    assert_true(world->now_ns >= recorder->last_at_ns);
    if (recorder->count > 0 && world->now_ns == recorder->last_at_ns) {
        assert_true(argument > recorder->last_argument);
    }
    recorder->last_at_ns = world->now_ns;
    recorder->last_argument = argument;
    recorder->count++;
    assert_int_equal(world->step_count, recorder->count);
}

static void test_sim_world__things_planned__happen_in_time_and_in_order(void **unused)
{
    struct world_fixture fixture;
    struct recorder recorder = {0};
    uint64_t planned = 0;

    (void)unused;
    fixture_init(&fixture, 5);
    assert_false(world_step(&fixture.world));
    while (planned < 20000) {
        uint32_t add_count = choice_below(&fixture.choice, 60);
        uint32_t step_count = choice_below(&fixture.choice, 60);

        while (add_count-- > 0) { /* few times, so many are equal; some are past */
            uint64_t back_ns = fixture.world.now_ns > 20 ? 20 : 0;
            uint64_t at_ns = fixture.world.now_ns - back_ns;

            at_ns += choice_below(&fixture.choice, 60);
            world_at(&fixture.world, at_ns, record, &recorder, planned++);
        }
        while (step_count-- > 0) {
            world_step(&fixture.world);
        }
    }
    while (world_step(&fixture.world)) {
    }
    assert_int_equal(recorder.count, planned);
    world_at(&fixture.world, 0, record, &recorder, planned);
    world_forget(&fixture.world);
    assert_false(world_step(&fixture.world));
    fixture_free(&fixture);
}

static void log_some(struct world *world)
{
    for (uint64_t i = 0; i < 100; i++) {
        world->now_ns = i * i * i * UINT64_C(1000003);
        world_log(world, "line %" PRIu64 " %s", i, role_name(RDMIG_ROLE_DESTINATION));
    }
    world_log(world, "%0400d", 7); /* longer than a line can be: cut */
}

static void test_sim_world__same_lines__same_hash_on_every_compiler(void **unused)
{
    struct world_fixture a;
    struct world_fixture b;

    (void)unused;
    fixture_init(&a, 1);
    fixture_init(&b, 2);
    log_some(&a.world);
    log_some(&b.world);
    assert_true(a.world.log_hash == b.world.log_hash);
    assert_true(a.world.log_hash == UINT64_C(0xef2f95baa72cfcfa));
    a.world.now_ns++;
    world_log(&a.world, "x");
    world_log(&b.world, "x");
    assert_true(a.world.log_hash != b.world.log_hash);
    fixture_free(&a);
    fixture_free(&b);
}

static void test_sim_world__two_lines__do_not_hash_as_one(void **unused)
{
    struct world_fixture a;
    struct world_fixture b;

    (void)unused;
    fixture_init(&a, 1);
    fixture_init(&b, 1);
    world_log(&a.world, "x           0 y");
    world_log(&b.world, "x");
    world_log(&b.world, "y");
    assert_true(a.world.log_hash != b.world.log_hash);
    fixture_free(&a);
    fixture_free(&b);
}

static void test_sim_world__ring_and_file__hold_the_lines(void **unused)
{
    struct world_fixture fixture;
    char *all;
    char *last;
    size_t all_length;
    size_t last_length;
    FILE *ring = open_memstream(&last, &last_length);

    (void)unused;
    assert_non_null(ring);
    fixture_init(&fixture, 1);
    fixture.world.log_file = open_memstream(&all, &all_length);
    assert_non_null(fixture.world.log_file);
    for (uint64_t i = 0; i < 60; i++) {
        fixture.world.now_ns = i == 59 ? UINT64_MAX : i;
        world_log(&fixture.world, "line %" PRIu64, i);
    }
    world_print_ring(&fixture.world, ring);
    fclose(ring);
    fclose(fixture.world.log_file);
    assert_memory_equal(all, "           0 line 0\n           1 line 1\n", 40);
    assert_memory_equal(last, "          12 line 12\n", 20);
    assert_string_equal(strstr(last, "18446744073709551615"), "18446744073709551615 line 59\n");
    assert_string_equal(last, all + (all_length - last_length));
    free(all);
    free(last);
    fixture_free(&fixture);
}

static void test_sim_world__quiet__logs_nothing_but_still_breaks(void **unused)
{
    struct world_fixture fixture;
    uint64_t hash;

    (void)unused;
    fixture_init(&fixture, 1);
    fixture.options.is_quiet = true;
    hash = fixture.world.log_hash;
    assert_false(world_is_logging(&fixture.world));
    world_log(&fixture.world, "x");
    assert_false(world_is_broken(&fixture.world));
    world_break(&fixture.world, "ram", "page %" PRIu64, UINT64_C(7));
    world_break(&fixture.world, "later", "is not kept");
    assert_true(world_is_broken(&fixture.world));
    assert_string_equal(fixture.world.broken, "ram: page 7");
    assert_true(fixture.world.log_hash == hash);
    assert_int_equal(fixture.world.log_line_count, 0);
    fixture_free(&fixture);
}

static void test_sim_world__broken__logs_the_first_once(void **unused)
{
    struct world_fixture fixture;

    (void)unused;
    fixture_init(&fixture, 1);
    world_break(&fixture.world, "ram", "page %" PRIu64, UINT64_C(7));
    world_break(&fixture.world, "later", "is not kept");
    assert_int_equal(fixture.world.log_line_count, 1);
    assert_string_equal(fixture.world.ring[0], "           0 BROKEN ram: page 7");
    fixture_free(&fixture);
}

static void test_sim_world__jitter__is_one_of_its_steps(void **unused)
{
    static const uint64_t delays_ns[] = {0, 333, 2000, 9000, 40000};
    struct world_fixture fixture;
    uint32_t counts[5] = {0};

    (void)unused;
    fixture_init(&fixture, 1); /* costs FLAT: a latency of 1000 ns */
    for (int i = 0; i < 500; i++) {
        uint64_t delay_ns = world_jitter_ns(&fixture.world);
        size_t step = 0;

        while (step < 5 && delays_ns[step] != delay_ns) {
            step++;
        }
        assert_in_range(step, 0, 4);
        counts[step]++;
    }
    for (int i = 0; i < 5; i++) {
        assert_in_range(counts[i], 50, 150);
    }
    assert_int_equal(fixture.choice.made_count, 500);
    for (uint32_t steps = 0; steps < 2; steps++) {
        fixture.options.jitter_steps = steps;
        assert_int_equal(world_jitter_ns(&fixture.world), 0);
    }
    assert_int_equal(fixture.choice.made_count, 500);
    fixture_free(&fixture);
}

/* ---- stream */

enum { WORDS = 40 };

static enum stream_word word_of(uint32_t i)
{
    return i == 5 || i == 6 ? STREAM_HOOK
           : i == 20        ? STREAM_PREPARE
           : i == 39        ? STREAM_END
                            : STREAM_DATA;
}

static void write_words(uint8_t *bytes)
{
    struct stream_writer writer = {0};

    for (uint32_t i = 0; i < WORDS; i++) {
        assert_int_equal(stream_write(&writer, word_of(i), bytes + i * STREAM_WORD_BYTES), 8);
    }
}

/* Reads it in pieces; the words that are not data must come, each at its own end. */
static void test_sim_stream__in_pieces_of_any_size__gives_each_word_at_its_end(void **unused)
{
    uint8_t bytes[WORDS * STREAM_WORD_BYTES];

    (void)unused;
    write_words(bytes);
    for (uint32_t piece = 1; piece <= sizeof(bytes); piece++) {
        struct stream_reader reader = {0};
        uint32_t at = 0;
        uint32_t special_count = 0;

        while (at < sizeof(bytes)) {
            uint32_t left = (uint32_t)sizeof(bytes) - at;
            uint32_t length = piece < left ? piece : left;
            uint32_t taken = 0;
            enum stream_word word = stream_read(&reader, bytes + at, length, &taken);

            assert_in_range(taken, 1, length);
            at += taken;
            if (word == STREAM_DATA) {
                assert_int_equal(taken, length);
                continue;
            }
            assert_int_equal(at % STREAM_WORD_BYTES, 0);
            assert_int_equal(word, word_of(at / STREAM_WORD_BYTES - 1));
            special_count++;
        }
        assert_int_equal(special_count, 4);
        assert_int_equal(reader.word_count, WORDS);
    }
}

static bool reads_well(const uint8_t *bytes, uint32_t length)
{
    struct stream_reader reader = {0};
    uint32_t at = 0;

    while (at < length) {
        uint32_t taken;

        if (stream_read(&reader, bytes + at, length - at, &taken) == STREAM_BROKEN) {
            return false;
        }
        at += taken;
    }
    return true;
}

static void test_sim_stream__byte_lost_doubled_or_changed__is_broken(void **unused)
{
    uint8_t good[WORDS * STREAM_WORD_BYTES];
    uint8_t bad[sizeof(good) + STREAM_WORD_BYTES];
    uint32_t length = sizeof(good);

    (void)unused;
    write_words(good);
    assert_true(reads_well(good, length));
    for (uint32_t i = 0; i < length - STREAM_WORD_BYTES; i++) {
        memcpy(bad, good, length);
        bad[i] ^= 1;
        assert_false(reads_well(bad, length));
        memcpy(bad + i, good + i + 1, length - i - 1); /* lost */
        assert_false(reads_well(bad, length - 1));
        memcpy(bad, good, i + 1);
        memcpy(bad + i + 1, good + i, length - i); /* doubled */
        assert_false(reads_well(bad, length + 1));
    }
    for (uint32_t i = 0; i < WORDS; i++) { /* a whole word twice: a message delivered twice */
        uint32_t at = i * STREAM_WORD_BYTES;

        memcpy(bad, good, at + STREAM_WORD_BYTES);
        memcpy(bad + at + STREAM_WORD_BYTES, good + at, length - at);
        assert_false(reads_well(bad, length + STREAM_WORD_BYTES));
    }
    for (uint32_t i = 1; i < WORDS; i++) { /* so many words lost from the start */
        assert_false(reads_well(good + i * STREAM_WORD_BYTES, length - i * STREAM_WORD_BYTES));
    }
}

static void test_sim_stream__nothing_to_read__takes_nothing(void **unused)
{
    struct stream_reader reader = {0};
    uint32_t taken = 9;
    uint8_t byte = 0;

    (void)unused;
    assert_int_equal(stream_read(&reader, &byte, 0, &taken), STREAM_DATA);
    assert_int_equal(taken, 0);
}

/* ---- costs */

static void test_sim_costs__times__are_rounded_up_and_never_overflow(void **unused)
{
    const struct costs *flat = costs_of(COSTS_FLAT);
    const struct costs *old = costs_of(COSTS_BENCH_2013);

    (void)unused;
    assert_int_equal(costs_time_ns(0, 1), 0);
    assert_int_equal(costs_time_ns(1, 0), 0);
    assert_int_equal(costs_time_ns(1, 3), 333333334);
    assert_int_equal(costs_time_ns(UINT64_C(1) << 44, 12500000000), 1407374883554);
    assert_true(costs_time_ns(UINT64_MAX, 1) == UINT64_MAX);
    assert_int_equal(costs_wire_ns(flat, 125), 10);
    assert_int_equal(costs_wire_ns(flat, 126), 11);
    /* 1 GiB at 31.584 Gb/s */
    assert_int_equal(costs_wire_ns(old, UINT64_C(1) << 30), 271971081);
    assert_int_equal(costs_register_ns(old, 1), 5300);
    assert_int_equal(costs_register_ns(old, UINT64_C(1) << 20), 5000 + 256 * 300);
    assert_int_equal(costs_deregister_ns(old, 4097), 5192);
    assert_int_equal(costs_register_ns(old, 0), 5000);
}

static void test_sim_costs__sets__are_found_by_their_names(void **unused)
{
    (void)unused;
    for (unsigned int i = 0; i < COSTS_KIND_COUNT; i++) {
        enum costs_kind kind = COSTS_KIND_COUNT;
        const struct costs *costs = costs_of((enum costs_kind)i);

        assert_true(costs_find(costs->name, &kind));
        assert_int_equal(kind, i);
        assert_true(costs->page_bytes % 4096 == 0 && costs->page_bytes > 0);
        assert_true(costs->link_bits_per_s > 0 && costs->payload_permille <= 1000);
    }
    assert_false(costs_find("none", &(enum costs_kind){COSTS_FLAT}));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sim_choice__seed__gives_these_decisions_for_ever),
        cmocka_unit_test(test_sim_choice__seed__spreads_evenly),
        cmocka_unit_test(test_sim_choice__bytes__take_as_few_as_the_bound_needs_then_zero),
        cmocka_unit_test(test_sim_choice__list_of_what_was_made__makes_it_again),
        cmocka_unit_test(test_sim_choice__list_value_above_its_bound__counts_as_zero),
        cmocka_unit_test(test_sim_choice__chance__is_false_for_the_dull_decision),
        cmocka_unit_test(test_sim_choice__between__has_both_ends),
        cmocka_unit_test(test_sim_world__things_planned__happen_in_time_and_in_order),
        cmocka_unit_test(test_sim_world__same_lines__same_hash_on_every_compiler),
        cmocka_unit_test(test_sim_world__two_lines__do_not_hash_as_one),
        cmocka_unit_test(test_sim_world__ring_and_file__hold_the_lines),
        cmocka_unit_test(test_sim_world__quiet__logs_nothing_but_still_breaks),
        cmocka_unit_test(test_sim_world__broken__logs_the_first_once),
        cmocka_unit_test(test_sim_world__jitter__is_one_of_its_steps),
        cmocka_unit_test(test_sim_stream__in_pieces_of_any_size__gives_each_word_at_its_end),
        cmocka_unit_test(test_sim_stream__byte_lost_doubled_or_changed__is_broken),
        cmocka_unit_test(test_sim_stream__nothing_to_read__takes_nothing),
        cmocka_unit_test(test_sim_costs__times__are_rounded_up_and_never_overflow),
        cmocka_unit_test(test_sim_costs__sets__are_found_by_their_names),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
