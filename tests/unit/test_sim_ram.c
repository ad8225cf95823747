/* SPDX-License-Identifier: BSD-2-Clause */
/* The simulator's guest memory against a model of one token a page. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "choice.h"
#include "ram.h"

enum { MODEL_BLOCKS = 3, MODEL_PAGES = 1000 };

/* Whole chunks only, a short last chunk, less than one chunk. */
static const uint64_t model_pages[MODEL_BLOCKS] = {512, 1000, 37};

struct modelled {
    struct ram ram;
    uint32_t tokens[MODEL_BLOCKS][MODEL_PAGES];
};

static void model_init(struct modelled *modelled)
{
    uint64_t length_bytes[MODEL_BLOCKS];

    for (uint32_t i = 0; i < MODEL_BLOCKS; i++) {
        length_bytes[i] = model_pages[i] * SIM_PAGE_BYTES;
    }
    memset(modelled, 0, sizeof(*modelled));
    ram_init(&modelled->ram, MODEL_BLOCKS, length_bytes);
}

static void assert_like_model(const struct modelled *modelled)
{
    for (uint32_t block = 0; block < MODEL_BLOCKS; block++) {
        const uint32_t *tokens = modelled->tokens[block];

        for (uint64_t page = 0; page < model_pages[block]; page++) {
            assert_int_equal(ram_get(&modelled->ram, block, page), tokens[page]);
        }
    }
}

static uint32_t below(uint64_t *seed, uint64_t bound)
{
    return (uint32_t)(generator_next(seed) % bound);
}

/* A range of a random block: often whole chunks, as those have ways of their own. */
static void draw_range(uint64_t *seed, uint32_t *block, uint64_t *first, uint64_t *count)
{
    *block = below(seed, MODEL_BLOCKS);
    *first = below(seed, model_pages[*block]);
    if (below(seed, 2) == 0) {
        *first -= *first % RAM_PAGES_PER_CHUNK;
    }
    *count = below(seed, model_pages[*block] - *first + 1);
    if (below(seed, 3) == 0) {
        *count = model_pages[*block] - *first;
    }
}

static void set_both(struct modelled *modelled, uint64_t *seed)
{
    uint32_t block;
    uint64_t first;
    uint64_t count;
    uint32_t token = below(seed, 4);

    draw_range(seed, &block, &first, &count);
    ram_set(&modelled->ram, block, first, count, token);
    for (uint64_t i = 0; i < count; i++) {
        modelled->tokens[block][first + i] = token;
    }
}

static void copy_both(struct modelled *to, const struct modelled *from, uint64_t *seed)
{
    uint32_t from_block;
    uint64_t from_page;
    uint64_t count;
    uint32_t to_block;
    uint64_t to_page;
    bool is_home;

    draw_range(seed, &from_block, &from_page, &count);
    to_block = from_block;
    to_page = from_page;
    if (below(seed, 2) == 0) {
        to_block = below(seed, MODEL_BLOCKS);
        to_page = below(seed, model_pages[to_block]);
    }
    if (count > model_pages[to_block] - to_page) {
        count = model_pages[to_block] - to_page;
    }
    is_home = to_block == from_block && to_page == from_page;
    ram_copy(&to->ram, to_block, to_page, &from->ram, from_block, from_page, count);
    for (uint64_t i = 0; i < count; i++) {
        uint32_t token = from->tokens[from_block][from_page + i];

        to->tokens[to_block][to_page + i] = is_home || token == 0 ? token : RAM_TOKEN_MISPLACED;
    }
}

static bool is_odd(const void *context, uint32_t block, uint64_t page)
{
    uint32_t *calls = *(uint32_t *const *)context;

    (void)block;
    *calls += 1;
    return page % 2 == 1;
}

static void assert_compares_like_models(const struct modelled *a, const struct modelled *b,
                                        bool is_excused)
{
    uint32_t calls = 0;
    uint32_t *const context = &calls;
    uint32_t block = 77;
    uint64_t page = 77;
    bool is_equal =
        ram_is_equal(&a->ram, &b->ram, is_excused ? is_odd : NULL, &context, &block, &page);
    uint32_t expected_calls = 0;

    for (uint32_t i = 0; i < MODEL_BLOCKS; i++) {
        for (uint64_t k = 0; k < model_pages[i]; k++) {
            uint32_t token = a->tokens[i][k];

            if (token == b->tokens[i][k] && token != RAM_TOKEN_MISPLACED) {
                continue;
            }
            expected_calls += is_excused;
            if (!is_excused || k % 2 == 0) {
                assert_false(is_equal);
                assert_int_equal(block, i);
                assert_int_equal(page, k);
                assert_int_equal(calls, expected_calls);
                return;
            }
        }
    }
    assert_true(is_equal);
    assert_int_equal(calls, expected_calls);
}

static void test_sim_ram__random_sets_and_copies__match_the_model(void **unused)
{
    static struct modelled a;
    static struct modelled b;
    uint64_t seed = 7;

    (void)unused;
    model_init(&a);
    model_init(&b);
    for (int turn = 0; turn < 1500; turn++) {
        set_both(&a, &seed);
        copy_both(turn % 2 == 0 ? &b : &a, turn % 2 == 0 ? &a : &b, &seed);
        assert_like_model(&a);
        assert_like_model(&b);
        assert_compares_like_models(&a, &b, turn % 3 == 0);
        if (turn % 50 == 49) { /* alike again, now and then */
            for (uint32_t block = 0; block < MODEL_BLOCKS; block++) {
                ram_copy(&b.ram, block, 0, &a.ram, block, 0, model_pages[block]);
                memcpy(b.tokens[block], a.tokens[block], sizeof(a.tokens[block]));
            }
            assert_compares_like_models(&a, &b, false);
        }
    }
    ram_free(&a.ram);
    ram_free(&b.ram);
}

static void test_sim_ram__runs__match_the_model(void **unused)
{
    static struct modelled modelled;
    uint64_t seed = 11;

    (void)unused;
    model_init(&modelled);
    for (int turn = 0; turn < 4000; turn++) {
        uint32_t block;
        uint64_t first;
        uint64_t count;
        uint64_t expected = 0;
        const uint32_t *tokens;
        bool is_zero = true;

        set_both(&modelled, &seed);
        draw_range(&seed, &block, &first, &count);
        tokens = modelled.tokens[block] + first;
        while (expected < count && (tokens[expected] == 0) == (tokens[0] == 0)) {
            expected++;
        }
        assert_int_equal(ram_run(&modelled.ram, block, first, count, &is_zero), expected);
        assert_int_equal(is_zero, count > 0 && tokens[0] == 0);
        assert_int_equal(ram_is_all_zero(&modelled.ram, block, first, count),
                         count == 0 || (expected == count && tokens[0] == 0));
    }
    ram_free(&modelled.ram);
}

static void test_sim_ram__a_page_in_a_wrong_place__equals_nothing(void **unused)
{
    uint64_t length_bytes[2] = {300 * SIM_PAGE_BYTES, 300 * SIM_PAGE_BYTES};
    struct ram a;
    struct ram b;
    uint32_t block;
    uint64_t page;

    (void)unused;
    ram_init(&a, 2, length_bytes);
    ram_init(&b, 2, length_bytes);
    ram_set(&a, 0, 0, 300, 5);
    ram_set(&a, 1, 0, 300, 5);
    ram_copy(&b, 0, 0, &a, 0, 0, 300);
    ram_copy(&b, 1, 0, &a, 0, 0, 256); /* the number is right, the block is not */
    assert_int_equal(ram_get(&b, 1, 0), RAM_TOKEN_MISPLACED);
    assert_false(ram_is_equal(&a, &b, NULL, NULL, &block, &page));
    assert_int_equal(block, 1);
    assert_int_equal(page, 0);
    ram_copy(&a, 1, 0, &b, 1, 0, 300); /* as bad on both ends: not equal for it */
    assert_false(ram_is_equal(&a, &b, NULL, NULL, &block, &page));
    assert_int_equal(page, 0);
    ram_free(&a);
    ram_free(&b);
}

static void test_sim_ram__pages_set_in_order__leave_a_uniform_chunk(void **unused)
{
    uint64_t length_bytes = 300 * SIM_PAGE_BYTES;
    struct ram ram;

    (void)unused;
    ram_init(&ram, 1, &length_bytes);
    for (uint64_t page = 0; page < 300; page++) {
        ram_set(&ram, 0, page, 1, 9);
        assert_int_equal(ram.blocks[0].chunks[0].tokens == NULL, page >= 255);
    }
    assert_null(ram.blocks[0].chunks[1].tokens);
    ram_set(&ram, 0, 17, 1, 0);
    assert_non_null(ram.blocks[0].chunks[0].tokens);
    ram_set(&ram, 0, 0, 256, 3);
    assert_null(ram.blocks[0].chunks[0].tokens);
    ram_free(&ram);
}

static void test_sim_ram__touch__counts_each_chunk_once(void **unused)
{
    uint64_t length_bytes = 600 * SIM_PAGE_BYTES;
    uint64_t mib = UINT64_C(1) << 20;
    struct ram ram;

    (void)unused;
    ram_init(&ram, 1, &length_bytes);
    assert_int_equal(ram_touch(&ram, 0, 0, 0), 0);
    assert_int_equal(ram_touch(&ram, 0, mib - 1, 1), mib);
    assert_int_equal(ram_touch(&ram, 0, mib - 1, 2), mib);
    assert_int_equal(ram_touch(&ram, 0, 0, length_bytes), 88 * SIM_PAGE_BYTES);
    assert_int_equal(ram_touch(&ram, 0, 0, length_bytes), 0);
    assert_int_equal(ram_touch(&ram, 0, length_bytes, 0), 0);
    ram_free(&ram);
}

static void test_sim_ram__range_outside_its_block__aborts(void **unused)
{
    uint64_t length_bytes = 300 * SIM_PAGE_BYTES;

    (void)unused;
    for (int which = 0; which < 5; which++) {
        pid_t child = fork();
        int status;

        assert_true(child >= 0);
        if (child == 0) {
            struct ram ram;

            fclose(stderr);
            ram_init(&ram, 1, &length_bytes);
            if (which == 0) {
                ram_set(&ram, 0, 299, 2, 1);
            } else if (which == 1) {
                ram_get(&ram, 1, 0);
            } else if (which == 2) {
                ram_set(&ram, 0, UINT64_MAX, 2, 1);
            } else if (which == 3) {
                ram_touch(&ram, 0, 4096, length_bytes);
            } else {
                ram_touch(&ram, 0, UINT64_MAX, 2);
            }
            _exit(0);
        }
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFSIGNALED(status));
        assert_int_equal(WTERMSIG(status), SIGABRT);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sim_ram__random_sets_and_copies__match_the_model),
        cmocka_unit_test(test_sim_ram__runs__match_the_model),
        cmocka_unit_test(test_sim_ram__a_page_in_a_wrong_place__equals_nothing),
        cmocka_unit_test(test_sim_ram__pages_set_in_order__leave_a_uniform_chunk),
        cmocka_unit_test(test_sim_ram__touch__counts_each_chunk_once),
        cmocka_unit_test(test_sim_ram__range_outside_its_block__aborts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
