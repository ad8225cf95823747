/* SPDX-License-Identifier: BSD-2-Clause */
/* The simulator's oracles about what two ends of ours agree on: private data, several commands
 * under way, batches, the limit on pinned memory. Each can break, on a short forged history; whole
 * clean histories break none, and what is not asked of a stock or a hostile end neither. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sim_oracle_fixture.h"

/* ---- clean ones */

static void put_entries(struct bench *bench, uint32_t type, uint32_t count)
{
    begin_message(bench, type, count, 24 * count);
}

static void put_zeros(struct bench *bench, uint32_t block, uint64_t offset_bytes,
                      uint64_t length_bytes)
{
    put32(bench, 0);
    put32(bench, block);
    put64(bench, fabric_block_ram_offset(&bench->fabric, block) + offset_bytes);
    put64(bench, length_bytes);
}

static void put_region(struct bench *bench, uint32_t block, uint64_t chunk)
{
    put64(bench, chunk);
    put32(bench, block);
    put32(bench, 0);
    put64(bench, 0);
}

static void make_region(struct bench *bench, uint32_t block, uint64_t chunk, uint64_t length_bytes)
{
    oracle_registered(bench->world.oracle, SOURCE, block, chunk * CHUNK, length_bytes, false);
    oracle_registered(bench->world.oracle, DESTINATION, block, chunk * CHUNK, length_bytes, true);
    bench->fabric.ports[SOURCE].pinned_bytes += length_bytes;
    bench->fabric.ports[DESTINATION].pinned_bytes += length_bytes;
}

static void drop_region(struct bench *bench, uint32_t block, uint64_t chunk, uint64_t length_bytes)
{
    oracle_deregistered(bench->world.oracle, SOURCE, block, chunk * CHUNK, length_bytes);
    bench->fabric.ports[SOURCE].pinned_bytes -= length_bytes;
    bench->fabric.ports[DESTINATION].pinned_bytes -= length_bytes;
}

/* Three commands under way, obeyed one after the other. */
static void play_three_under_way(struct bench *bench)
{
    agree(bench, 4);
    exchange(bench);
    ask_for_run(bench, 0, 0, 1);
    put_entries(bench, COMPRESS, 2);
    put_zeros(bench, 1, 0, PAGE);
    put_zeros(bench, 1, CHUNK, PAGE);
    send_message(bench, SOURCE);
    ask_for_run(bench, 0, 1, 2);
    make_region(bench, 0, 0, CHUNK);
    answer_run(bench, 0, KEY + 8);
    write_range(bench, 0, 0, CHUNK, KEY + 8); /* the others are still under way */
    send_ready(bench);
    fill(bench, 1, 0, PAGE);
    fill(bench, 1, CHUNK, PAGE);
    send_ready(bench);
    make_region(bench, 0, 1, 2 * CHUNK);
    answer_run(bench, 0, KEY + 9);
    send_ready(bench);
    send_plain(bench, SOURCE, REGISTER_FINISHED);
}

static void play_room_made(struct bench *bench)
{
    bench->options.pinned_bytes_max[SOURCE] = 2 * CHUNK;
    agree(bench, 2);
    exchange(bench);
    ask_for_run(bench, 0, 0, 1);
    ask_for_run(bench, 0, 1, 1);
    make_region(bench, 0, 0, CHUNK);
    answer_run(bench, 0, KEY + 8);
    send_ready(bench);
    put_unregister(bench, 0, 0);
    send_message(bench, SOURCE);
    make_region(bench, 0, 1, CHUNK);
    answer_run(bench, 0, KEY + 9);
    send_ready(bench);
    send_plain(bench, DESTINATION, UNREGISTER_FINISHED);
    drop_region(bench, 0, 0, CHUNK);
    ask_for_run(bench, 0, 2, 1); /* the first one's READY is still to come */
}

/* Stock answers the first of two, and the second is asked for again: it counts once. */
static void play_unanswered_counts_once(struct bench *bench)
{
    bench->options.pinned_bytes_max[SOURCE] = 2 * CHUNK;
    exchange(bench);
    begin_message(bench, REGISTER_REQUEST, 2, 48);
    put_run(bench, 0, 0, 1);
    put_run(bench, 0, 1, 1);
    send_message(bench, SOURCE);
    begin_message(bench, REGISTER_RESULT, 2, 16);
    put_result(bench, 0, KEY + 8);
    send_message(bench, DESTINATION);
    send_ready(bench);
    ask_for_run(bench, 0, 1, 1);
}

static void play_pin_all_refused(struct bench *bench)
{
    struct private_data offered = data_of(bench, SOURCE);
    struct private_data granted;

    bench->options.pinned_bytes_max[DESTINATION] = CHUNK;
    granted = data_of(bench, DESTINATION);
    offered.flags |= PIN_ALL;
    give_private_data(bench, SOURCE, &offered);
    give_private_data(bench, DESTINATION, &granted);
}

/* ---- private data */

static void offer(struct bench *bench, struct private_data data)
{
    give_private_data(bench, SOURCE, &data);
}

static void grant(struct bench *bench, struct private_data data)
{
    const struct private_data offered = data_of(bench, SOURCE);

    give_private_data(bench, SOURCE, &offered);
    give_private_data(bench, DESTINATION, &data);
}

static void play_plain_data(struct bench *bench)
{
    struct private_data data = {.length_bytes = 8, .version = 1};

    give_private_data(bench, SOURCE, &data);
    give_private_data(bench, DESTINATION, &data);
}

static void play_long_without_flag(struct bench *bench)
{
    offer(bench, (struct private_data){.length_bytes = 24, .version = 1});
}

static void play_short_with_flag(struct bench *bench)
{
    struct private_data data = data_of(bench, SOURCE);

    data.length_bytes = 8;
    offer(bench, data);
}

static void play_other_version(struct bench *bench)
{
    offer(bench, (struct private_data){.length_bytes = 8, .version = 2});
}

static void play_padded_data(struct bench *bench)
{
    struct private_data data = data_of(bench, SOURCE);

    data.padding = 1;
    offer(bench, data);
}

static void play_flag_not_set(struct bench *bench)
{
    bench->options.is_pipelined[SOURCE] = true;
    play_plain_data(bench);
}

static void play_no_credits(struct bench *bench)
{
    struct private_data data = data_of(bench, SOURCE);

    data.credit_count = 0;
    offer(bench, data);
}

static void play_other_ram(struct bench *bench)
{
    struct private_data data = data_of(bench, SOURCE);

    data.bytes++;
    offer(bench, data);
}

static void play_flag_not_offered(struct bench *bench)
{
    struct private_data offered = {.length_bytes = 8, .version = 1};
    const struct private_data granted = data_of(bench, DESTINATION);

    give_private_data(bench, SOURCE, &offered);
    give_private_data(bench, DESTINATION, &granted);
}

static void play_fewer_credits(struct bench *bench)
{
    struct private_data data = data_of(bench, DESTINATION);

    data.credit_count = 3;
    grant(bench, data);
}

static void play_other_limit(struct bench *bench)
{
    struct private_data data = data_of(bench, DESTINATION);

    data.bytes = CHUNK;
    grant(bench, data);
}

static void play_pin_all_beyond_limit(struct bench *bench)
{
    struct private_data offered;
    struct private_data granted;

    bench->options.is_ram_told = true;
    bench->options.pinned_bytes_max[DESTINATION] = BLOCK0 + BLOCK1 - 1;
    offered = data_of(bench, SOURCE);
    granted = data_of(bench, DESTINATION);
    offered.flags |= PIN_ALL;
    granted.flags |= PIN_ALL;
    give_private_data(bench, SOURCE, &offered);
    give_private_data(bench, DESTINATION, &granted);
}

/* ---- credits and order */

static void play_ready_too_many(struct bench *bench)
{
    agree(bench, 3);
    exchange(bench);
    send_ready(bench);
}

static void play_command_too_many(struct bench *bench)
{
    agree(bench, 2);
    exchange(bench);
    for (uint64_t i = 0; i < 3; i++)
        ask_for_run(bench, 0, i, 1);
}

static void play_answer_out_of_turn(struct bench *bench)
{
    agree(bench, 2);
    exchange(bench);
    ask_for_run(bench, 0, 0, 1);
    put_compress(bench, 0, 1, 0, PAGE);
    send_message(bench, SOURCE);
    answer_run(bench, 0, KEY + 8);
    send_ready(bench);
    answer_run(bench, 0, KEY + 9); /* of a command that has none */
}

static void play_second_answered_first(struct bench *bench)
{
    agree(bench, 2);
    exchange(bench);
    ask_for_run(bench, 0, 0, 1);
    ask_for_run(bench, 1, 0, 1);
    answer_run(bench, 1, KEY + 8);
}

static void play_ready_before_answer(struct bench *bench)
{
    agree(bench, 2);
    exchange(bench);
    ask_for_run(bench, 0, 0, 1);
    ask_for_run(bench, 1, 0, 1);
    send_ready(bench);
}

static void play_short_answer(struct bench *bench)
{
    agree(bench, 1);
    exchange(bench);
    put_entries(bench, REGISTER_REQUEST, 2);
    put_run(bench, 0, 0, 1);
    put_run(bench, 0, 1, 1);
    send_message(bench, SOURCE);
    begin_message(bench, REGISTER_RESULT, 2, 16);
    put_result(bench, 0, KEY + 8);
    send_message(bench, DESTINATION);
}

static void play_region_before_its_turn(struct bench *bench)
{
    agree(bench, 2);
    exchange(bench);
    ask_for_run(bench, 0, 0, 1);
    ask_for_run(bench, 0, 1, 1);
    oracle_registered(bench->world.oracle, DESTINATION, 0, CHUNK, CHUNK, true);
}

static void play_fill_before_its_turn(struct bench *bench)
{
    agree(bench, 2);
    exchange(bench);
    ask_for_run(bench, 0, 0, 1);
    put_compress(bench, 0, 1, 0, PAGE);
    send_message(bench, SOURCE);
    oracle_fill_started(bench->world.oracle, 1, 0, PAGE);
}

static void play_write_beside_older_zeros(struct bench *bench)
{
    agree(bench, 3);
    exchange(bench);
    register_run(bench, 0, 0, 1, KEY + 8);
    put_compress(bench, 0, 0, PAGE, PAGE);
    send_message(bench, SOURCE);
    ask_for_run(bench, 0, 1, 1);
    write_range(bench, 0, 0, 2 * PAGE, KEY + 8);
}

static void play_zeros_not_there(struct bench *bench)
{
    agree(bench, 2);
    exchange(bench);
    put_compress(bench, 0, 1, 0, PAGE);
    send_message(bench, SOURCE);
    put_compress(bench, 0, 1, PAGE, PAGE);
    send_message(bench, SOURCE);
    fill(bench, 1, 0, PAGE);
    send_ready(bench);
    ram_set(&bench->ram[DESTINATION], 1, 1, 1, 5);
    send_ready(bench);
}

static void play_nonsense_obeyed(struct bench *bench)
{
    agree(bench, 2);
    exchange(bench);
    put_compress(bench, 0, 0, 0, PAGE);
    send_message(bench, SOURCE);
    put_compress(bench, 0, 2, 0, PAGE); /* no such block */
    send_message(bench, SOURCE);
    send_ready(bench);
    send_ready(bench);
}

/* ---- alone, and in batches */

static void play_stream_beside_others(struct bench *bench)
{
    agree(bench, 2);
    exchange(bench);
    ask_for_run(bench, 0, 0, 1);
    begin_message(bench, QEMU_FILE, 0, 8);
    put64(bench, 0x80);
    send_message(bench, SOURCE);
}

static void play_others_beside_round_end(struct bench *bench)
{
    clear_logs(bench);
    ram_copy(&bench->ram[DESTINATION], 0, 0, &bench->ram[SOURCE], 0, 0, 770);
    ram_copy(&bench->ram[DESTINATION], 1, 0, &bench->ram[SOURCE], 1, 0, 512);
    agree(bench, 2);
    exchange(bench);
    send_plain(bench, SOURCE, REGISTER_FINISHED);
    ask_for_run(bench, 0, 0, 1);
}

static void play_zeros_in_batch(struct bench *bench)
{
    exchange(bench);
    put_entries(bench, COMPRESS, 2);
    put_zeros(bench, 1, 0, PAGE);
    put_zeros(bench, 1, CHUNK, PAGE);
    send_message(bench, SOURCE);
}

static void play_unregister_in_batch(struct bench *bench)
{
    exchange(bench);
    register_run(bench, 0, 0, 1, KEY + 8);
    register_run(bench, 0, 1, 1, KEY + 9);
    put_entries(bench, UNREGISTER_REQUEST, 2);
    put_region(bench, 0, 0);
    put_region(bench, 0, 1);
    send_message(bench, SOURCE);
}

static void play_large_batch(struct bench *bench)
{
    agree(bench, 1);
    exchange(bench);
    put_entries(bench, COMPRESS, 65);
    for (uint32_t i = 0; i < 65; i++)
        put_zeros(bench, 1, i * PAGE, PAGE);
    send_message(bench, SOURCE);
}

/* ---- the limit */

static void play_asked_beyond_limit(struct bench *bench)
{
    bench->options.pinned_bytes_max[DESTINATION] = 2 * CHUNK;
    agree(bench, 4);
    exchange(bench);
    for (uint64_t i = 0; i < 3; i++)
        ask_for_run(bench, 0, i, 1);
}

/* The destination has not said that it is gone. */
static void play_asked_too_early(struct bench *bench)
{
    bench->options.pinned_bytes_max[SOURCE] = CHUNK;
    agree(bench, 2);
    exchange(bench);
    register_run(bench, 0, 0, 1, KEY + 8);
    put_unregister(bench, 0, 0);
    send_message(bench, SOURCE);
    ask_for_run(bench, 0, 1, 1);
}

static void play_asked_before_ours_is_gone(struct bench *bench)
{
    bench->options.pinned_bytes_max[SOURCE] = CHUNK;
    agree(bench, 2);
    exchange(bench);
    register_run(bench, 0, 0, 1, KEY + 8);
    put_unregister(bench, 0, 0);
    send_message(bench, SOURCE);
    send_plain(bench, DESTINATION, UNREGISTER_FINISHED);
    send_ready(bench);
    ask_for_run(bench, 0, 1, 1);
}

static void play_long_run_in_limit(struct bench *bench)
{
    bench->options.pinned_bytes_max[SOURCE] = 2 * CHUNK;
    exchange(bench);
    ask_for_run(bench, 0, 0, 2);
}

static void play_ours_gone_first(struct bench *bench)
{
    exchange(bench);
    register_run(bench, 0, 0, 1, KEY + 8);
    put_unregister(bench, 0, 0);
    send_message(bench, SOURCE);
    drop_region(bench, 0, 0, CHUNK);
}

static void play_ours_gone_in_use(struct bench *bench)
{
    exchange(bench);
    register_run(bench, 0, 0, 1, KEY + 8);
    put_unregister(bench, 0, 0);
    send_message(bench, SOURCE);
    send_plain(bench, DESTINATION, UNREGISTER_FINISHED);
    set_in_flight(bench, 0, 0, PAGE);
    drop_region(bench, 0, 0, CHUNK);
}

static void play_registered_beyond_limit(struct bench *bench)
{
    bench->options.pinned_bytes_max[DESTINATION] = CHUNK;
    agree(bench, 1);
    exchange(bench);
    ask_for_run(bench, 0, 0, 1);
    bench->fabric.ports[DESTINATION].pinned_bytes = 1;
    oracle_registered(bench->world.oracle, DESTINATION, 0, 0, CHUNK, true);
}

/* Nobody has told the source: it cannot be held to it, and the destination does not mind. */
static void play_limit_untold(struct bench *bench)
{
    bench->options.pinned_bytes_max[DESTINATION] = CHUNK;
    exchange(bench);
    register_run(bench, 0, 0, 2, KEY + 8);
}

#define PLAYS(oracle, play, kind)                                                                  \
    {                                                                                              \
        "breaks " #oracle ": " #play, #oracle, play_##play, kind, false                            \
    }

static const struct history histories[] = {
    CLEAN(three_under_way, OURS),
    CLEAN(room_made, OURS),
    {"clean: unanswered counts once",
     NULL,
     play_unanswered_counts_once,
     {PARTY_OURS, PARTY_STOCK},
     false},
    CLEAN_PIN_ALL(pin_all_refused, OURS),
    CLEAN(plain_data, OURS),
    CLEAN(plain_data, STOCK),
    CLEAN(limit_untold, OURS),
    CLEAN(no_credits, BAD_TO),
    CLEAN(short_with_flag, BAD_TO),
    CLEAN(fewer_credits, TO_BAD),
    CLEAN(ready_too_many, TO_BAD),
    CLEAN(stream_beside_others, BAD_TO),
    CLEAN(command_too_many, BAD_TO),
    CLEAN(asked_beyond_limit, BAD_TO),
    BREAKS(private_data, long_without_flag),
    BREAKS(private_data, short_with_flag),
    BREAKS(private_data, other_version),
    BREAKS(private_data, padded_data),
    BREAKS(private_data, flag_not_set),
    BREAKS(private_data, no_credits),
    BREAKS(private_data, other_ram),
    BREAKS(private_data, flag_not_offered),
    BREAKS(private_data, fewer_credits),
    BREAKS(private_data, other_limit),
    PLAYS(private_data, padded_data, STOCK),
    {"breaks private_data: pin-all beyond the limit", "private_data", play_pin_all_beyond_limit,
     OURS, true},
    BREAKS(credit, ready_too_many),
    BREAKS(credit, command_too_many),
    BREAKS(answer, answer_out_of_turn),
    BREAKS(answer, second_answered_first),
    BREAKS(ready_before_answer, ready_before_answer),
    BREAKS(header, short_answer),
    BREAKS(region_unasked, region_before_its_turn),
    BREAKS(fill_unasked, fill_before_its_turn),
    BREAKS(write_over_zero, write_beside_older_zeros),
    BREAKS(zero_late, zeros_not_there),
    PLAYS(nonsense_obeyed, nonsense_obeyed, BAD_TO),
    BREAKS(alone, stream_beside_others),
    BREAKS(alone, others_beside_round_end),
    BREAKS(batch, zeros_in_batch),
    BREAKS(batch, unregister_in_batch),
    BREAKS(batch, large_batch),
    BREAKS(pinned_limit, asked_beyond_limit),
    BREAKS(pinned_limit, asked_too_early),
    BREAKS(pinned_limit, asked_before_ours_is_gone),
    BREAKS(pinned_limit, registered_beyond_limit),
    BREAKS(run_length, long_run_in_limit),
    BREAKS(deregister_early, ours_gone_first),
    BREAKS(unregister_in_use, ours_gone_in_use),
};

int main(void)
{
    return play_histories(histories, sizeof(histories) / sizeof(histories[0]));
}
