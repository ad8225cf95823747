/* SPDX-License-Identifier: BSD-2-Clause */
/* The simulator's guest: what it writes and when, and what its dirty log says of that. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "guest.h"

#define SECOND_NS UINT64_C(1000000000)
#define TIB       (UINT64_C(1) << 40)

static const struct guest_options plain_guest = {
    .block_count = 2,
    .block_bytes = {700 * SIM_PAGE_BYTES, 130 * SIM_PAGE_BYTES},
    .workload = WORKLOAD_RANDOM,
    .writes_per_s = 3000,
    .hot_page_count = 20,
    .stride = 7,
};

struct running {
    struct guest_options options;
    struct ram ram;
    struct guest guest;
};

static void running_init(struct running *running, enum workload workload, uint64_t seed)
{
    running->options = plain_guest;
    running->options.workload = workload;
    ram_init(&running->ram, running->options.block_count, running->options.block_bytes);
    guest_init(&running->guest, &running->options, &running->ram, seed, 0);
}

static void running_free(struct running *running)
{
    guest_free(&running->guest);
    ram_free(&running->ram);
}

static void take_both_logs(struct running *running, uint64_t now_ns)
{
    uint64_t words[16];

    guest_take_log(&running->guest, 0, now_ns, words);
    guest_take_log(&running->guest, 1, now_ns, words);
}

static void test_sim_guest__at_the_start__all_is_dirty_and_no_bit_beyond(void **unused)
{
    struct running running;
    uint64_t words[3];

    (void)unused;
    running_init(&running, WORKLOAD_IDLE, 1);
    assert_true(guest_is_dirty(&running.guest, 1, 129));
    assert_false(guest_is_dirty(&running.guest, 1, 130));
    assert_int_equal(guest_take_log(&running.guest, 1, 0, words), 130);
    assert_int_equal(words[0], UINT64_MAX);
    assert_int_equal(words[1], UINT64_MAX);
    assert_int_equal(words[2], 3);
    assert_false(guest_is_dirty(&running.guest, 1, 129));
    assert_int_equal(guest_take_log(&running.guest, 1, 9 * SECOND_NS, words), 0);
    assert_int_equal(words[0] | words[1] | words[2], 0);
    guest_mark_all(&running.guest);
    assert_int_equal(guest_take_log(&running.guest, 1, 9 * SECOND_NS, words), 130);
    assert_int_equal(words[2], 3);
    running_free(&running);
}

/* A page that changed and is not in the log is what a migration never finds again. */
static void test_sim_guest__every_workload__logs_exactly_what_changed(void **unused)
{
    (void)unused;
    for (enum workload workload = WORKLOAD_IDLE; workload < WORKLOAD_COUNT; workload++) {
        struct running running;
        struct ram before;
        uint64_t changed_count = 0;

        running_init(&running, workload, 5);
        ram_init(&before, 2, running.options.block_bytes);
        for (uint64_t now_ns = 0; now_ns < SECOND_NS; now_ns += SECOND_NS / 9) {
            uint64_t words[2][16];

            for (uint32_t block = 0; block < 2; block++) {
                ram_copy(&before, block, 0, &running.ram, block, 0,
                         running.options.block_bytes[block] / SIM_PAGE_BYTES);
            }
            take_both_logs(&running, running.guest.advanced_ns);
            guest_take_log(&running.guest, 0, now_ns, words[0]);
            guest_take_log(&running.guest, 1, now_ns, words[1]);
            for (uint32_t block = 0; block < 2; block++) {
                for (uint64_t page = 0; page < running.options.block_bytes[block] / SIM_PAGE_BYTES;
                     page++) {
                    bool is_changed =
                        ram_get(&before, block, page) != ram_get(&running.ram, block, page);

                    changed_count += is_changed;
                    assert_int_equal(words[block][page / 64] >> (page % 64) & 1, is_changed);
                }
            }
        }
        assert_int_equal(changed_count == 0, workload == WORKLOAD_IDLE);
        ram_free(&before);
        running_free(&running);
    }
}

static void test_sim_guest__looked_at_often_or_once__has_written_the_same(void **unused)
{
    (void)unused;
    for (enum workload workload = WORKLOAD_IDLE; workload < WORKLOAD_COUNT; workload++) {
        struct running often;
        struct running once;
        uint32_t block;
        uint64_t page;

        running_init(&often, workload, 3);
        running_init(&once, workload, 3);
        for (uint64_t now_ns = 0; now_ns < SECOND_NS; now_ns += 777777) {
            guest_advance(&often.guest, now_ns);
        }
        guest_advance(&often.guest, SECOND_NS / 10 * 11);
        guest_advance(&once.guest, SECOND_NS / 10 * 11);
        assert_int_equal(often.guest.write_count, workload == WORKLOAD_IDLE ? 0 : 3300);
        assert_int_equal(once.guest.write_count, often.guest.write_count);
        if (workload != WORKLOAD_HOT_SET) { /* 3300 writes to 20 pages at once are cut short */
            assert_true(ram_is_equal(&often.ram, &once.ram, NULL, NULL, &block, &page));
        }
        assert_int_equal(once.guest.log[0].set_count, 700);
        running_free(&often);
        running_free(&once);
    }
}

static void test_sim_guest__stopped__writes_nothing_until_resumed_elsewhere(void **unused)
{
    struct running running;
    struct ram other;
    uint64_t words[16];

    (void)unused;
    running_init(&running, WORKLOAD_HOT_SET, 3);
    ram_init(&other, 2, running.options.block_bytes);
    guest_stop(&running.guest, SECOND_NS);
    assert_int_equal(running.guest.write_count, 3000);
    take_both_logs(&running, 2 * SECOND_NS);
    assert_int_equal(guest_take_log(&running.guest, 0, 3 * SECOND_NS, words), 0);
    guest_resume(&running.guest, &other, 4 * SECOND_NS);
    assert_int_equal(guest_take_log(&running.guest, 0, 4 * SECOND_NS, words), 0);
    assert_true(ram_is_all_zero(&other, 0, 0, 700));
    assert_int_equal(guest_take_log(&running.guest, 0, 5 * SECOND_NS, words), 20);
    assert_int_equal(words[0], (UINT64_C(1) << 20) - 1);
    assert_int_equal(running.guest.write_count, 6000);
    assert_false(ram_is_all_zero(&other, 0, 0, 1));
    ram_free(&other);
    running_free(&running);
}

static void test_sim_guest__sparse_and_sequential__write_the_pages_they_should(void **unused)
{
    struct running running;
    uint64_t words[16];

    (void)unused;
    running_init(&running, WORKLOAD_SPARSE, 3);
    take_both_logs(&running, 0);
    guest_advance(&running.guest, SECOND_NS / 300 + 1); /* 10 writes */
    for (uint64_t page = 0; page < 700; page++) {
        assert_int_equal(guest_is_dirty(&running.guest, 0, page), page % 7 == 0 && page < 70);
    }
    assert_int_equal(guest_take_log(&running.guest, 1, SECOND_NS, words), 19);
    running_free(&running);

    running_init(&running, WORKLOAD_SEQUENTIAL, 3);
    take_both_logs(&running, 0);
    guest_advance(&running.guest, SECOND_NS * 710 / 3000 + 1); /* into the second block */
    assert_int_equal(running.guest.log[0].set_count, 700);
    assert_int_equal(guest_take_log(&running.guest, 1, SECOND_NS * 710 / 3000 + 1, words), 10);
    assert_int_equal(words[0], 0x3ff);
    running_free(&running);
}

static uint64_t zero_pages(const struct ram *ram, uint32_t block)
{
    uint64_t zero_count = 0;

    for (uint64_t page = 0; page < ram->blocks[block].page_count;) {
        bool is_zero;
        uint64_t run = ram_run(ram, block, page, ram->blocks[block].page_count - page, &is_zero);

        zero_count += is_zero ? run : 0;
        page += run;
    }
    return zero_count;
}

static void test_sim_guest__zero_share__is_about_what_was_asked_for(void **unused)
{
    static const uint32_t percents[] = {0, 1, 50, 99, 100};

    (void)unused;
    for (size_t i = 0; i < 10; i++) {
        struct guest_options options = plain_guest;
        struct ram ram;
        struct guest guest;
        uint64_t page_count = i % 2 == 0 ? 1 << 18 : 1 << 22; /* by pages; by chunks */
        uint64_t zero_count;

        options.block_count = 1;
        options.block_bytes[0] = page_count * SIM_PAGE_BYTES;
        options.zero_percent = percents[i / 2];
        options.zero_run_pages = 13;
        ram_init(&ram, 1, options.block_bytes);
        guest_init(&guest, &options, &ram, 99, 0);
        zero_count = zero_pages(&ram, 0);
        assert_in_range(zero_count * 100 / page_count,
                        options.zero_percent > 0 ? options.zero_percent - 1 : 0,
                        options.zero_percent + (options.zero_percent % 100 > 0));
        assert_int_equal(options.zero_percent == 0, zero_count == 0);
        guest_free(&guest);
        ram_free(&ram);
    }
}

static void test_sim_guest__rezeroing__makes_zero_pages_and_logs_them(void **unused)
{
    struct running running;
    uint64_t words[16];
    uint64_t zero_count;

    (void)unused;
    running_init(&running, WORKLOAD_SEQUENTIAL, 3);
    running.options.rezero_permille = 500;
    take_both_logs(&running, 0);
    assert_int_equal(guest_take_log(&running.guest, 0, SECOND_NS, words), 700);
    zero_count = zero_pages(&running.ram, 0);
    assert_in_range(zero_count, 250, 450);
    running_free(&running);
}

static void test_sim_guest__sixteen_tebibytes__begin_at_once(void **unused)
{
    struct guest_options options = plain_guest;
    struct ram ram;
    struct guest guest;
    uint32_t block;
    uint64_t page;

    (void)unused;
    options.block_count = 1;
    options.block_bytes[0] = 16 * TIB;
    options.zero_percent = 30;
    options.zero_run_pages = 1;
    options.writes_per_s = 1000000;
    ram_init(&ram, 1, options.block_bytes);
    guest_init(&guest, &options, &ram, 4, 0);
    guest_advance(&guest, SECOND_NS / 100);
    assert_int_equal(guest.write_count, 10000);
    assert_int_equal(guest.log[0].set_count, 16 * TIB / SIM_PAGE_BYTES);
    assert_false(ram_is_all_zero(&ram, 0, 0, ram.blocks[0].page_count));
    assert_true(ram_is_equal(&ram, &ram, NULL, NULL, &block, &page));
    guest_free(&guest);
    ram_free(&ram);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sim_guest__at_the_start__all_is_dirty_and_no_bit_beyond),
        cmocka_unit_test(test_sim_guest__every_workload__logs_exactly_what_changed),
        cmocka_unit_test(test_sim_guest__looked_at_often_or_once__has_written_the_same),
        cmocka_unit_test(test_sim_guest__stopped__writes_nothing_until_resumed_elsewhere),
        cmocka_unit_test(test_sim_guest__sparse_and_sequential__write_the_pages_they_should),
        cmocka_unit_test(test_sim_guest__zero_share__is_about_what_was_asked_for),
        cmocka_unit_test(test_sim_guest__rezeroing__makes_zero_pages_and_logs_them),
        cmocka_unit_test(test_sim_guest__sixteen_tebibytes__begin_at_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
