/* SPDX-License-Identifier: BSD-2-Clause */
/* Dirty bitmaps against a model of one byte a page; zero detection with memory that faults. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "../../src/ram/bitmap.h"
#include "../../src/ram/zero.h"

enum { MODEL_PAGES_MAX = 700 };

/* A bitmap whose words are exactly as many as it needs (a sanitizer sees the next), and its model.
 */
struct modelled {
    struct ram_bitmap bitmap;
    uint8_t is_set[MODEL_PAGES_MAX];
};

static uint32_t next_random(uint32_t *seed)
{
    *seed = *seed * 1664525U + 1013904223U;
    return *seed >> 8;
}

static void modelled_create(struct modelled *modelled, uint64_t page_count)
{
    size_t word_count = (size_t)ram_bitmap_word_count(page_count);
    uint64_t *words = malloc(word_count * sizeof(uint64_t));

    assert_non_null(words);
    memset(words, 0xff, word_count * sizeof(uint64_t));
    memset(modelled->is_set, 0, sizeof(modelled->is_set));
    ram_bitmap_init(&modelled->bitmap, words, page_count);
}

static uint64_t model_set(struct modelled *modelled, uint64_t first_page, uint64_t page_count,
                          uint8_t value)
{
    uint64_t changed_count = 0;

    for (uint64_t page = first_page; page_count-- > 0 && page < modelled->bitmap.page_count;
         page++) {
        changed_count += modelled->is_set[page] != value;
        modelled->is_set[page] = value;
    }
    return changed_count;
}

static uint64_t model_find(const struct modelled *modelled, uint64_t page, uint8_t value)
{
    while (page < modelled->bitmap.page_count && modelled->is_set[page] != value) {
        page++;
    }
    return page < modelled->bitmap.page_count ? page : modelled->bitmap.page_count;
}

static void assert_like_model(const struct modelled *modelled)
{
    const struct ram_bitmap *bitmap = &modelled->bitmap;
    uint64_t set_count = 0;

    for (uint64_t page = 0; page < bitmap->page_count + 130; page++) {
        bool is_set = page < bitmap->page_count && modelled->is_set[page];

        set_count += is_set;
        assert_int_equal(ram_bitmap_test(bitmap, page), is_set);
        assert_int_equal(ram_bitmap_next_set(bitmap, page), model_find(modelled, page, 1));
        assert_int_equal(ram_bitmap_next_clear(bitmap, page), model_find(modelled, page, 0));
    }
    assert_int_equal(ram_bitmap_count(bitmap), set_count);
    assert_int_equal(ram_bitmap_is_empty(bitmap), set_count == 0);
    if (bitmap->page_count % 64 != 0) {
        assert_int_equal(bitmap->words[bitmap->page_count / 64] >> (bitmap->page_count % 64), 0);
    }
}

static const uint64_t page_counts[] = {1, 63, 64, 65, 127, 128, 129, 640, MODEL_PAGES_MAX};

#define PAGE_COUNTS (sizeof(page_counts) / sizeof(page_counts[0]))

/* KVM's form: page i is bit i % 64 of word i / 64. */
static void test_ram_bitmap__one_page__is_the_bit_kvm_means(void **unused)
{
    uint64_t words[3];
    struct ram_bitmap bitmap;

    (void)unused;
    ram_bitmap_init(&bitmap, words, 130);
    assert_int_equal(ram_bitmap_word_count(130), 3);
    assert_int_equal(ram_bitmap_set_range(&bitmap, 65, 1), 1);
    assert_int_equal(words[0], 0);
    assert_int_equal(words[1], 2);
    assert_int_equal(ram_bitmap_set_range(&bitmap, 63, 4), 3);
    assert_int_equal(words[0], UINT64_C(1) << 63);
    assert_int_equal(words[1], 7);
    assert_int_equal(ram_bitmap_clear_range(&bitmap, 64, 100), 3);
    assert_int_equal(ram_bitmap_count(&bitmap), 1);
}

static void test_ram_bitmap__random_ranges__match_the_model(void **unused)
{
    uint32_t seed = 1;

    (void)unused;
    for (size_t i = 0; i < PAGE_COUNTS; i++) {
        struct modelled modelled;

        modelled_create(&modelled, page_counts[i]);
        assert_like_model(&modelled);
        for (int turn = 0; turn < 200; turn++) {
            uint64_t first = next_random(&seed) % (page_counts[i] + 2);
            uint64_t count = next_random(&seed) % (turn % 3 == 0 ? page_counts[i] + 70 : 20);

            if (next_random(&seed) % 2 == 0) {
                assert_int_equal(ram_bitmap_set_range(&modelled.bitmap, first, count),
                                 model_set(&modelled, first, count, 1));
            } else {
                assert_int_equal(ram_bitmap_clear_range(&modelled.bitmap, first, count),
                                 model_set(&modelled, first, count, 0));
            }
            assert_like_model(&modelled);
        }
        free(modelled.bitmap.words);
    }
}

/* Clause: E1 */
static void test_ram_bitmap__ranges_beyond_the_end__are_cut_there(void **unused)
{
    struct modelled modelled;
    uint64_t ones[2] = {UINT64_MAX, UINT64_MAX};

    (void)unused;
    modelled_create(&modelled, 100);
    assert_int_equal(ram_bitmap_set_range(&modelled.bitmap, 100, 1), 0);
    assert_int_equal(ram_bitmap_set_range(&modelled.bitmap, UINT64_MAX, UINT64_MAX), 0);
    assert_int_equal(ram_bitmap_merge(&modelled.bitmap, 100, ones, 128), 0);
    assert_int_equal(ram_bitmap_merge(&modelled.bitmap, UINT64_MAX, ones, 128), 0);
    assert_like_model(&modelled);
    assert_int_equal(ram_bitmap_set_range(&modelled.bitmap, 90, UINT64_MAX), 10);
    assert_int_equal(ram_bitmap_clear_range(&modelled.bitmap, 99, UINT64_MAX), 1);
    assert_int_equal(ram_bitmap_next_set(&modelled.bitmap, UINT64_MAX), 100);
    assert_int_equal(ram_bitmap_next_clear(&modelled.bitmap, UINT64_MAX), 100);
    assert_false(ram_bitmap_test(&modelled.bitmap, UINT64_MAX));
    assert_int_equal(ram_bitmap_word_count(UINT64_MAX), UINT64_C(1) << 58);
    free(modelled.bitmap.words);
}

/* KVM gives a bitmap per slot; a slot may start anywhere in its block, and its last word is whole.
 */
static void test_ram_bitmap__merge__matches_the_model_at_every_place(void **unused)
{
    enum { SOURCE_PAGES = 200, SOURCE_WORDS = 4 };
    uint32_t seed = 99;

    (void)unused;
    for (uint64_t first = 0; first < 330; first++) {
        uint64_t source_count = next_random(&seed) % (SOURCE_PAGES + 1);
        uint64_t *source = malloc(SOURCE_WORDS * sizeof(uint64_t));
        struct modelled modelled;
        uint64_t expected_count = 0;

        assert_non_null(source);
        modelled_create(&modelled, 300);
        for (size_t i = 0; i < SOURCE_WORDS; i++) {
            source[i] = (uint64_t)next_random(&seed) << 40 ^ (uint64_t)next_random(&seed) << 20 ^
                        next_random(&seed);
            source[i] = i == 1 && first % 5 == 0 ? 0 : source[i];
        }
        for (uint64_t page = first % 7; page < 300; page += 7) {
            ram_bitmap_set_range(&modelled.bitmap, page, 1);
            model_set(&modelled, page, 1, 1);
        }
        for (uint64_t page = 0; page < source_count; page++) {
            if (source[page / 64] >> (page % 64) & 1) {
                expected_count += model_set(&modelled, first + page, 1, 1);
            }
        }
        assert_int_equal(ram_bitmap_merge(&modelled.bitmap, first, source, source_count),
                         expected_count);
        assert_like_model(&modelled);
        free(source);
        free(modelled.bitmap.words);
    }
}

static void test_ram_bitmap__runs__visit_every_set_page_once(void **unused)
{
    uint32_t seed = 5;

    (void)unused;
    for (uint64_t run_max = 1; run_max < 200; run_max += 3) {
        struct modelled modelled;
        uint64_t page = 0;
        uint64_t first;
        uint64_t count;

        modelled_create(&modelled, 640);
        for (int i = 0; i < 12; i++) {
            uint64_t start = next_random(&seed) % 640;

            ram_bitmap_set_range(&modelled.bitmap, start, next_random(&seed) % 100);
        }
        for (uint64_t i = 0; i < 640; i++) {
            modelled.is_set[i] = ram_bitmap_test(&modelled.bitmap, i);
        }
        while (ram_bitmap_next_run(&modelled.bitmap, page, run_max, &first, &count)) {
            assert_int_equal(first, model_find(&modelled, page, 1));
            assert_in_range(count, 1, run_max);
            assert_true(count == run_max || first + count == model_find(&modelled, first, 0));
            assert_true(first + count <= model_find(&modelled, first, 0));
            page = first + count;
        }
        assert_int_equal(model_find(&modelled, page, 1), 640);
        free(modelled.bitmap.words);
    }
}

static void test_ram_bitmap__no_run_left__writes_nothing(void **unused)
{
    uint64_t words[2];
    struct ram_bitmap bitmap;
    uint64_t first = 77;
    uint64_t count = 78;

    (void)unused;
    ram_bitmap_init(&bitmap, words, 128);
    assert_false(ram_bitmap_next_run(&bitmap, 0, 10, &first, &count));
    ram_bitmap_set_range(&bitmap, 0, 128);
    assert_false(ram_bitmap_next_run(&bitmap, 128, 10, &first, &count));
    assert_false(ram_bitmap_next_run(&bitmap, 0, 0, &first, &count));
    assert_int_equal(first, 77);
    assert_int_equal(count, 78);
    assert_true(ram_bitmap_next_run(&bitmap, 3, UINT64_MAX, &first, &count));
    assert_int_equal(first, 3);
    assert_int_equal(count, 125);
    ram_bitmap_init(&bitmap, words, 0);
    assert_true(ram_bitmap_is_empty(&bitmap));
    assert_false(ram_bitmap_next_run(&bitmap, 0, 1, &first, &count));
}

/* Two pages that can be read with one behind them that cannot: reading too far ends the test. */
static uint8_t *map_guarded(void)
{
    uint8_t *memory =
        mmap(NULL, 3 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    assert_ptr_not_equal(memory, MAP_FAILED);
    assert_int_equal(mprotect(memory + 2 * 4096, 4096, PROT_NONE), 0);
    return memory;
}

/* Clause: C9 */
static void test_ram_zero__one_byte_set_anywhere__is_not_zero(void **unused)
{
    uint8_t *memory = map_guarded();

    (void)unused;
    for (size_t length_bytes = 0; length_bytes <= 210; length_bytes++) {
        /* ends at the guard, so each length has another alignment */
        uint8_t *bytes = memory + 2 * 4096 - length_bytes;

        bytes[-1] = 0xff;
        assert_true(ram_is_zero(bytes, length_bytes));
        for (size_t i = 0; i < length_bytes; i++) {
            bytes[i] = (uint8_t)(1U << (i % 8));
            assert_false(ram_is_zero(bytes, length_bytes));
            bytes[i] = 0;
        }
        bytes[-1] = 0;
    }
    for (size_t i = 0; i < 4096; i++) {
        memory[i] = 0x80;
        assert_false(ram_is_zero(memory, 4096));
        assert_true(ram_is_zero(memory + 4096, 4096));
        memory[i] = 0;
    }
    assert_int_equal(munmap(memory, 3 * 4096), 0);
}

/* Clause: C9 */
static void test_ram_zero__scan__counts_pages_alike_the_first(void **unused)
{
    enum { PAGE_BYTES = 512, PAGE_COUNT = 16 };
    uint8_t *memory = map_guarded();

    (void)unused;
    for (unsigned int pattern = 0; pattern < 1U << PAGE_COUNT; pattern += 37) {
        for (uint64_t first = 0; first < PAGE_COUNT; first++) {
            uint64_t expected = 1;
            bool is_zero;

            for (unsigned int page = 0; page < PAGE_COUNT; page++) {
                memory[page * PAGE_BYTES + (page * 97) % PAGE_BYTES] =
                    (uint8_t)(pattern >> page & 1);
            }
            while (first + expected < PAGE_COUNT &&
                   (pattern >> (first + expected) & 1) == (pattern >> first & 1)) {
                expected++;
            }
            assert_int_equal(
                ram_scan_run(memory + first * PAGE_BYTES, PAGE_BYTES, PAGE_COUNT - first, &is_zero),
                expected);
            assert_int_equal(is_zero, (pattern >> first & 1) == 0);
        }
    }
    assert_int_equal(munmap(memory, 3 * 4096), 0);
}

/* Clause: E1 */
static void test_ram_zero__scan_of_nothing__counts_nothing(void **unused)
{
    uint8_t byte = 0;
    bool is_zero = true;

    (void)unused;
    assert_int_equal(ram_scan_run(&byte, 4096, 0, &is_zero), 0);
    assert_false(is_zero);
    is_zero = true;
    assert_int_equal(ram_scan_run(&byte, 0, 5, &is_zero), 0);
    assert_false(is_zero);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ram_bitmap__one_page__is_the_bit_kvm_means),
        cmocka_unit_test(test_ram_bitmap__random_ranges__match_the_model),
        cmocka_unit_test(test_ram_bitmap__ranges_beyond_the_end__are_cut_there),
        cmocka_unit_test(test_ram_bitmap__merge__matches_the_model_at_every_place),
        cmocka_unit_test(test_ram_bitmap__runs__visit_every_set_page_once),
        cmocka_unit_test(test_ram_bitmap__no_run_left__writes_nothing),
        cmocka_unit_test(test_ram_zero__one_byte_set_anywhere__is_not_zero),
        cmocka_unit_test(test_ram_zero__scan__counts_pages_alike_the_first),
        cmocka_unit_test(test_ram_zero__scan_of_nothing__counts_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
