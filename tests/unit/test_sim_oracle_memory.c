/* SPDX-License-Identifier: BSD-2-Clause */
/* The simulator's oracles about regions, RDMA Writes, zeros and rounds: each can break, on a short
 * forged history; and what is not asked of a stock or a hostile end breaks none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sim_oracle_fixture.h"

/* ---- regions */

static void play_source_writable(struct bench *bench)
{
    oracle_registered(bench->world.oracle, SOURCE, 0, 0, CHUNK, true);
}

static void play_region_unaligned(struct bench *bench)
{
    oracle_registered(bench->world.oracle, SOURCE, 0, PAGE, CHUNK, false);
}

static void play_region_cut_short(struct bench *bench)
{
    oracle_registered(bench->world.oracle, SOURCE, 0, 0, CHUNK + PAGE, false);
}

static void play_region_outside(struct bench *bench)
{
    oracle_registered(bench->world.oracle, SOURCE, 0, 3 * CHUNK, CHUNK, false);
}

static void play_region_unasked(struct bench *bench)
{
    exchange(bench);
    ask_for_run(bench, 0, 0, 2);
    oracle_registered(bench->world.oracle, DESTINATION, 0, 0, CHUNK, true);
}

/* ---- writes */

static void play_write_without_region(struct bench *bench)
{
    exchange(bench);
    write_range(bench, 0, 0, PAGE, KEY);
}

static void play_write_before_answer(struct bench *bench)
{
    exchange(bench);
    ask_for_run(bench, 0, 0, 1);
    write_range(bench, 0, 0, PAGE, 0);
}

static void play_write_beyond_region(struct bench *bench)
{
    exchange(bench);
    register_run(bench, 0, 0, 1, KEY);
    write_range(bench, 0, CHUNK - PAGE, 2 * PAGE, KEY);
}

static void play_write_under_other_key(struct bench *bench)
{
    exchange(bench);
    register_run(bench, 0, 0, 1, KEY);
    register_run(bench, 0, 1, 1, KEY + 1);
    write_range(bench, 0, CHUNK, PAGE, KEY);
}

static void play_write_under_old_key(struct bench *bench)
{
    exchange(bench);
    register_run(bench, 0, 0, 1, KEY);
    put_unregister(bench, 0, 0);
    send_message(bench, SOURCE);
    write_range(bench, 0, 0, PAGE, KEY);
}

static void play_write_refused(struct bench *bench)
{
    const struct write_request request = write_of(bench, 0, 0, PAGE, KEY);

    oracle_access_refused(bench->world.oracle, SOURCE, &request, "no such key");
}

static void play_write_refused_when_down(struct bench *bench)
{
    bench->fabric.ports[DESTINATION].is_down = true;
    play_write_refused(bench);
}

static void play_write_beyond_block(struct bench *bench)
{
    exchange(bench);
    register_run(bench, 0, 2, 2, KEY);
    write_range(bench, 0, BLOCK0 - PAGE, 2 * PAGE, KEY);
}

static void play_write_elsewhere(struct bench *bench)
{
    struct write_request request;

    exchange(bench);
    register_run(bench, 0, 0, 1, KEY);
    request = write_of(bench, 0, 0, PAGE, KEY);
    request.remote_addr += PAGE;
    oracle_write_posted(bench->world.oracle, SOURCE, &request);
}

static void play_write_back(struct bench *bench)
{
    const struct write_request request = write_of(bench, 0, 0, PAGE, KEY);

    oracle_write_posted(bench->world.oracle, DESTINATION, &request);
}

static void play_overlap(struct bench *bench)
{
    exchange(bench);
    register_run(bench, 0, 0, 1, KEY);
    set_in_flight(bench, 0, PAGE, PAGE);
    write_range(bench, 0, 0, 2 * PAGE, KEY);
}

static void play_long_write(struct bench *bench)
{
    exchange(bench);
    register_run(bench, 0, 0, 2, KEY);
    write_range(bench, 0, 0, CHUNK + PAGE, KEY);
}

static void play_silent_writes(struct bench *bench)
{
    struct write_request request;

    exchange(bench);
    register_run(bench, 0, 0, 1, KEY);
    request = write_of(bench, 0, 0, PAGE, KEY);
    request.is_signalled = false;
    for (uint32_t i = 0; i < 4; i++)
        oracle_write_posted(bench->world.oracle, SOURCE, &request);
}

/* ---- zeros */

static void play_write_beside_zeros(struct bench *bench)
{
    exchange(bench);
    register_run(bench, 0, 0, 1, KEY);
    put_compress(bench, 0, 0, PAGE, PAGE);
    send_message(bench, SOURCE);
    fill(bench, 0, PAGE, PAGE);
    write_range(bench, 0, 0, 2 * PAGE, KEY); /* READY has not come */
}

static void play_zeros_beside_write(struct bench *bench)
{
    exchange(bench);
    set_in_flight(bench, 0, 0, 2 * PAGE);
    put_compress(bench, 0, 0, PAGE, PAGE);
    post(bench, SOURCE);
}

static void play_fill_beside_write(struct bench *bench)
{
    exchange(bench);
    put_compress(bench, 0, 0, PAGE, PAGE);
    send_message(bench, SOURCE);
    set_in_flight(bench, 0, 0, 2 * PAGE);
    fill(bench, 0, PAGE, PAGE);
}

static void play_ready_in_fill(struct bench *bench)
{
    exchange(bench);
    put_compress(bench, 0, 0, PAGE, PAGE);
    send_message(bench, SOURCE);
    oracle_fill_started(bench->world.oracle, 0, PAGE, PAGE);
    begin_message(bench, READY, 1, 0);
    post(bench, DESTINATION);
}

static void play_ready_without_fill(struct bench *bench)
{
    ram_set(&bench->ram[DESTINATION], 0, 2, 1, 5);
    exchange(bench);
    put_compress(bench, 0, 0, PAGE, 2 * PAGE);
    send_message(bench, SOURCE);
    send_ready(bench);
}

static void play_fill_outside(struct bench *bench)
{
    oracle_fill_started(bench->world.oracle, 0, BLOCK0, PAGE);
}

static void play_fill_unasked(struct bench *bench)
{
    exchange(bench);
    put_compress(bench, 0, 0, PAGE, PAGE);
    send_message(bench, SOURCE);
    oracle_fill_started(bench->world.oracle, 0, PAGE, 2 * PAGE);
}

static void play_fill_twice(struct bench *bench)
{
    exchange(bench);
    put_compress(bench, 0, 0, PAGE, PAGE);
    send_message(bench, SOURCE);
    oracle_fill_started(bench->world.oracle, 0, PAGE, PAGE);
    oracle_fill_started(bench->world.oracle, 0, PAGE, PAGE);
}

/* ---- rounds */

static void play_round_with_write(struct bench *bench)
{
    exchange(bench);
    set_in_flight(bench, 1, BLOCK1 - PAGE, PAGE);
    begin_message(bench, REGISTER_FINISHED, 1, 0);
    post(bench, SOURCE);
}

static void play_round_short_of_a_page(struct bench *bench)
{
    clear_logs(bench);
    ram_copy(&bench->ram[DESTINATION], 0, 0, &bench->ram[SOURCE], 0, 0, 770);
    ram_copy(&bench->ram[DESTINATION], 1, 0, &bench->ram[SOURCE], 1, 0, 511);
    exchange(bench);
    send_plain(bench, SOURCE, REGISTER_FINISHED);
}

static const struct history histories[] = {
    CLEAN(write_refused_when_down, OURS),
    CLEAN_PIN_ALL(source_writable, STOCK),
    CLEAN(region_unaligned, STOCK),
    CLEAN(region_unasked, STOCK),
    CLEAN(silent_writes, STOCK),
    CLEAN(ready_without_fill, TO_BAD),
    CLEAN(write_refused, TO_BAD),
    CLEAN(write_without_region, BAD_TO),
    CLEAN(fill_unasked, BAD_TO),
    BREAKS(range_outside, write_beyond_block),
    BREAKS(source_remote_writable, source_writable),
    BREAKS(region_outside, region_unaligned),
    BREAKS(region_outside, region_cut_short),
    BREAKS(region_outside, region_outside),
    BREAKS(region_unasked, region_unasked),
    BREAKS(write_outside, write_without_region),
    BREAKS(write_outside, write_before_answer),
    BREAKS(write_outside, write_beyond_region),
    BREAKS(write_outside, write_under_other_key),
    BREAKS(write_outside, write_under_old_key),
    BREAKS(write_outside, write_refused),
    BREAKS(write_misplaced, write_elsewhere),
    BREAKS(write_direction, write_back),
    BREAKS(overlap, overlap),
    BREAKS(write_length, long_write),
    BREAKS(unsignalled, silent_writes),
    BREAKS(write_over_zero, write_beside_zeros),
    BREAKS(write_over_zero, zeros_beside_write),
    BREAKS(write_over_zero, fill_beside_write),
    BREAKS(zero_late, ready_in_fill),
    BREAKS(zero_late, ready_without_fill),
    BREAKS(fill_outside, fill_outside),
    BREAKS(fill_unasked, fill_unasked),
    BREAKS(fill_twice, fill_twice),
    BREAKS(round_end, round_with_write),
    BREAKS(round_end, round_short_of_a_page),
};

int main(void)
{
    return play_histories(histories, sizeof(histories) / sizeof(histories[0]));
}
