/* SPDX-License-Identifier: BSD-2-Clause */
/* The walker over whatever a guest may look like: nothing is left out, nothing goes twice. */
#include "walker_fixture.h"

static struct guest *guest_create_random(uint32_t number)
{
    uint32_t seed = number * 2654435761U; /* neighbours must not be alike */
    uint64_t page_counts[BLOCKS_MAX];
    const uint32_t block_count = 1 + next_random(&seed) / 7 % BLOCKS_MAX;
    const uint64_t cap_bytes_per_s =
        next_random(&seed) / 7 % 2 ? 0 : MIB + next_random(&seed) % (900 * MIB);
    struct guest *guest;

    for (uint32_t i = 0; i < BLOCKS_MAX; i++)
        page_counts[i] = 1 + next_random(&seed) % (i % 2 == number % 2 ? 1500 : 70);
    guest = guest_create(block_count, page_counts, cap_bytes_per_s);
    set_run_chunk_count(guest, 1 + (uint32_t)(next_random(&seed) % 5));
    guest->walker.look_chunk_count_max *= 1 + (uint32_t)(next_random(&seed) % 20);
    guest->walker.is_first_round = next_random(&seed) % 2 == 0;
    guest->walker.is_pin_all = next_random(&seed) % 4 == 0;
    for (uint32_t i = 0; i < block_count; i++) {
        for (uint64_t page = 0; page < page_counts[i];) {
            const uint64_t left_count = page_counts[i] - page;
            const bool is_short = next_random(&seed) / 7 % 4 != 0;
            uint64_t run_count = 1 + next_random(&seed) % (is_short ? 12 : 300);

            run_count = run_count < left_count ? run_count : left_count;
            lay(guest, i, page, run_count, "DDDZZHHC"[next_random(&seed) % 8]);
            page += run_count;
        }
    }
    guest->seed = seed;
    return guest;
}

static void expect_dirty(struct guest *guest)
{
    for (uint32_t i = 0; i < guest->block_count; i++)
        for (uint64_t page = 0; page < guest->blocks[i].page_count; page++)
            guest->blocks[i].is_expected[page] = ram_bitmap_test(&guest->blocks[i].dirty, page);
}

static void assert_expected_once(const struct guest *guest)
{
    for (uint32_t i = 0; i < guest->block_count; i++) {
        const struct block *block = &guest->blocks[i];

        for (uint64_t page = 0; page < block->page_count; page++) {
            assert_int_equal(block->pushed_counts[page], block->is_expected[page]);
            if (block->is_expected[page]) {
                assert_int_equal(block->copies[page], block->tokens[page]);
                assert_false(ram_bitmap_test(&block->dirty, page));
            }
        }
    }
}

static void test_ram_walker__any_guest__has_each_dirty_page_pushed_once(void **unused)
{
    (void)unused;
    for (uint32_t seed = 1; seed <= 1500; seed++) {
        struct guest *guest = guest_create_random(seed);

        expect_dirty(guest);
        guest->room_count = seed % 3;
        ram_walker_start_round(&guest->walker);
        walk_to_the_end(guest, true, seed % 3 == 0 ? UINT32_MAX : seed % 3);
        assert_expected_once(guest);
        assert_all_clean(guest);
        guest_destroy(guest);
    }
}

/* Adds a range as a VMM does: walks when it is refused. */
static void add_piece(struct guest *guest, uint32_t block_index, uint64_t page, uint64_t page_count)
{
    for (uint64_t i = 0; i < page_count; i++)
        guest->blocks[block_index].is_expected[page + i] = 1;
    if (ram_walker_add(&guest->walker, block_index, page * PAGE, page_count * PAGE))
        return;
    walk_to_the_end(guest, false, 1);
    assert_true(ram_walker_add(&guest->walker, block_index, page * PAGE, page_count * PAGE));
}

static void test_ram_walker__any_pieces__have_each_page_pushed_once(void **unused)
{
    (void)unused;
    for (uint32_t seed = 1; seed <= 1000; seed++) {
        struct guest *guest = guest_create_random(seed);

        for (uint32_t i = 0; i < guest->block_count; i++) {
            for (uint64_t page = 0; page < guest->blocks[i].page_count;) {
                const uint64_t left_count = guest->blocks[i].page_count - page;
                uint64_t page_count = 1 + next_random(&guest->seed) % 90;

                page_count = page_count < left_count ? page_count : left_count;
                if (next_random(&guest->seed) % 4 != 0)
                    add_piece(guest, i, page, page_count);
                if (next_random(&guest->seed) % 8 == 0)
                    walk_to_the_end(guest, false, 1);
                page += page_count;
            }
        }
        walk_to_the_end(guest, true, 1);
        assert_expected_once(guest);
        guest_destroy(guest);
    }
}

/* The guest writes all the time, also to the page that is being looked at, and now and then a range
 * is refused. When it stands still, one round more makes both sides equal. */
static void test_ram_walker__running_guest__loses_no_write(void **unused)
{
    (void)unused;
    for (uint32_t seed = 1; seed <= 300; seed++) {
        struct guest *guest = guest_create_random(seed);

        for (uint32_t i = 0; i < guest->block_count; i++)
            ram_bitmap_set_range(&guest->blocks[i].dirty, 0, guest->blocks[i].page_count);
        for (int round = 0; round < 5; round++) {
            guest->is_running = round < 4;
            guest->refused_at =
                guest->is_running ? guest->pushed_count + next_random(&guest->seed) % 5 : NEVER;
            walk_round(guest);
            guest->walker.is_first_round = false;
        }
        assert_all_clean(guest);
        for (uint32_t i = 0; i < guest->block_count; i++)
            assert_memory_equal(guest->blocks[i].copies, guest->blocks[i].tokens,
                                guest->blocks[i].page_count * sizeof(uint32_t));
        guest_destroy(guest);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ram_walker__any_guest__has_each_dirty_page_pushed_once),
        cmocka_unit_test(test_ram_walker__any_pieces__have_each_page_pushed_once),
        cmocka_unit_test(test_ram_walker__running_guest__loses_no_write),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
