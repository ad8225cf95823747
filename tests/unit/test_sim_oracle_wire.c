/* SPDX-License-Identifier: BSD-2-Clause */
/* The simulator's oracles about messages: each can break, on a short forged history; and what is
 * not asked of a stock or a hostile end breaks none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sim_oracle_fixture.h"

/* ---- credit and answers */

static void play_command_without_ready(struct bench *bench)
{
    send_plain(bench, SOURCE, BLOCKS_REQUEST);
}

static void play_ready_on_its_way(struct bench *bench)
{
    begin_message(bench, READY, 1, 0);
    post(bench, DESTINATION);
    send_plain(bench, SOURCE, BLOCKS_REQUEST);
}

static void play_two_commands(struct bench *bench)
{
    exchange(bench);
    send_plain(bench, SOURCE, REGISTER_FINISHED);
    send_plain(bench, SOURCE, REGISTER_FINISHED);
}

static void play_error_without_ready(struct bench *bench)
{
    send_plain(bench, SOURCE, ERROR);
}

static void play_two_readies(struct bench *bench)
{
    send_ready(bench);
    send_ready(bench);
}

static void play_unasked_answer(struct bench *bench)
{
    send_ready(bench);
    put_block_answer(bench);
    send_message(bench, DESTINATION);
}

static void play_answer_twice(struct bench *bench)
{
    exchange(bench);
    ask_for_run(bench, 0, 0, 1);
    answer_run(bench, 0, KEY);
    answer_run(bench, 0, KEY);
}

static void play_wrong_answer(struct bench *bench)
{
    exchange(bench);
    ask_for_run(bench, 0, 0, 1);
    send_plain(bench, DESTINATION, UNREGISTER_FINISHED);
}

static void play_answer_of_other_block(struct bench *bench)
{
    exchange(bench);
    ask_for_run(bench, 0, 0, 1);
    answer_run(bench, 1, KEY);
}

static void play_answer_too_long(struct bench *bench)
{
    exchange(bench);
    ask_for_run(bench, 0, 0, 1);
    begin_message(bench, REGISTER_RESULT, 2, 32);
    put_result(bench, 0, KEY);
    put_result(bench, 0, KEY);
    send_message(bench, DESTINATION);
}

static void play_wrong_blocks(struct bench *bench)
{
    send_ready(bench);
    send_plain(bench, SOURCE, BLOCKS_REQUEST);
    put_block_answer(bench);
    bench->message[16 + 8 + 7] ^= 1; /* block 0's place in the ram_addr space */
    send_message(bench, DESTINATION);
}

static void play_ready_before_answer(struct bench *bench)
{
    exchange(bench);
    ask_for_run(bench, 0, 0, 1);
    send_ready(bench);
}

static void play_message_after_error(struct bench *bench)
{
    send_plain(bench, DESTINATION, ERROR);
    send_ready(bench);
}

static void play_write_after_error(struct bench *bench)
{
    exchange(bench);
    register_run(bench, 0, 0, 1, KEY);
    send_plain(bench, SOURCE, ERROR);
    write_range(bench, 0, 0, PAGE, KEY);
}

/* ---- form */

static void play_wrong_length(struct bench *bench)
{
    begin_message(bench, READY, 1, 0);
    bench->length_bytes++;
    post(bench, DESTINATION);
}

static void play_short_message(struct bench *bench)
{
    begin_message(bench, READY, 1, 0);
    bench->length_bytes = 15;
    post(bench, DESTINATION);
}

static void play_no_type(struct bench *bench)
{
    begin_message(bench, 0, 1, 0);
    post(bench, SOURCE);
}

static void play_unknown_type(struct bench *bench)
{
    begin_message(bench, 12, 1, 0);
    post(bench, SOURCE);
}

static void play_wrong_direction(struct bench *bench)
{
    begin_message(bench, READY, 1, 0);
    post(bench, SOURCE);
}

static void play_repeat(struct bench *bench)
{
    begin_message(bench, READY, 4097, 0);
    post(bench, DESTINATION);
}

static void play_padding(struct bench *bench)
{
    begin_message(bench, READY, 1, 0);
    bench->message[15] = 1;
    post(bench, DESTINATION);
}

static void play_body(struct bench *bench)
{
    exchange(bench);
    begin_message(bench, REGISTER_REQUEST, 2, 24);
    put_run(bench, 0, 0, 1);
    post(bench, SOURCE);
}

static void play_empty_stream(struct bench *bench)
{
    send_ready(bench);
    send_plain(bench, SOURCE, QEMU_FILE);
}

/* ---- what commands name */

static void play_before_exchange(struct bench *bench)
{
    send_ready(bench);
    ask_for_run(bench, 0, 0, 1);
}

static void play_write_before_exchange(struct bench *bench)
{
    write_range(bench, 0, 0, PAGE, KEY);
}

static void play_exchange_twice(struct bench *bench)
{
    exchange(bench);
    send_plain(bench, SOURCE, BLOCKS_REQUEST);
}

static void play_zeros_outside(struct bench *bench)
{
    exchange(bench);
    put_compress(bench, 0, 0, BLOCK0 - PAGE, 2 * PAGE);
    send_message(bench, SOURCE);
}

static void play_zeros_of_no_block(struct bench *bench)
{
    exchange(bench);
    put_compress(bench, 0, 2, 0, PAGE);
    send_message(bench, SOURCE);
}

static void play_run_outside(struct bench *bench)
{
    exchange(bench);
    ask_for_run(bench, 0, 3, 2);
}

static void play_run_over_64_bits(struct bench *bench)
{
    exchange(bench);
    ask_for_run(bench, 0, 1, 0); /* 2^64 - 1 chunks more */
}

static void play_fill_value(struct bench *bench)
{
    exchange(bench);
    put_compress(bench, 1, 0, 0, PAGE);
    send_message(bench, SOURCE);
}

static void play_long_run(struct bench *bench)
{
    exchange(bench);
    ask_for_run(bench, 0, 0, 4);
}

static void play_large_batch(struct bench *bench)
{
    exchange(bench);
    begin_message(bench, REGISTER_REQUEST, 3, 72);
    for (uint32_t i = 0; i < 3; i++)
        put_run(bench, 0, i, 1);
    post(bench, SOURCE);
}

static void play_register_twice(struct bench *bench)
{
    exchange(bench);
    register_run(bench, 0, 1, 2, KEY);
    ask_for_run(bench, 0, 0, 2);
}

static void play_register(struct bench *bench)
{
    exchange(bench);
    ask_for_run(bench, 0, 0, 1);
}

static void play_unregister_unknown(struct bench *bench)
{
    exchange(bench);
    register_run(bench, 0, 0, 2, KEY);
    put_unregister(bench, 0, 1); /* in its middle */
    send_message(bench, SOURCE);
}

static void play_unregister_twice(struct bench *bench)
{
    agree(bench, 1);
    exchange(bench);
    register_run(bench, 0, 0, 2, KEY);
    begin_message(bench, UNREGISTER_REQUEST, 2, 48);
    for (uint32_t i = 0; i < 2; i++) {
        put64(bench, 0);
        put64(bench, 0);
        put64(bench, 0);
    }
    send_message(bench, SOURCE);
}

static void play_unregister_in_use(struct bench *bench)
{
    exchange(bench);
    register_run(bench, 0, 0, 2, KEY);
    set_in_flight(bench, 0, CHUNK, PAGE);
    put_unregister(bench, 0, 0);
    send_message(bench, SOURCE);
}

static const struct history histories[] = {
    CLEAN(error_without_ready, STOCK),
    CLEAN(register_twice, STOCK),
    CLEAN(long_run, STOCK),
    CLEAN(two_readies, TO_BAD),
    CLEAN(unasked_answer, TO_BAD),
    CLEAN(wrong_length, TO_BAD),
    CLEAN_PIN_ALL(register, TO_BAD),
    CLEAN(command_without_ready, BAD_TO),
    CLEAN(before_exchange, BAD_TO),
    BREAKS(credit, command_without_ready),
    BREAKS(credit, ready_on_its_way),
    BREAKS(credit, two_commands),
    BREAKS(credit, error_without_ready),
    BREAKS(credit, two_readies),
    BREAKS(answer, unasked_answer),
    BREAKS(answer, answer_twice),
    BREAKS(answer, wrong_answer),
    BREAKS(answer, answer_of_other_block),
    BREAKS(answer, answer_too_long),
    BREAKS(answer, wrong_blocks),
    BREAKS(ready_before_answer, ready_before_answer),
    BREAKS(after_error, message_after_error),
    BREAKS(after_error, write_after_error),
    BREAKS(header, wrong_length),
    BREAKS(header, short_message),
    BREAKS(header, no_type),
    BREAKS(header, unknown_type),
    BREAKS(header, wrong_direction),
    BREAKS(header, repeat),
    BREAKS(header, padding),
    BREAKS(header, body),
    BREAKS(header, empty_stream),
    BREAKS(register_before_exchange, before_exchange),
    BREAKS(register_before_exchange, write_before_exchange),
    BREAKS(exchange_twice, exchange_twice),
    BREAKS(range_outside, zeros_outside),
    BREAKS(range_outside, zeros_of_no_block),
    BREAKS(range_outside, run_outside),
    BREAKS(range_outside, run_over_64_bits),
    BREAKS(compress_value, fill_value),
    BREAKS(run_length, long_run),
    BREAKS(batch, large_batch),
    BREAKS(register_twice, register_twice),
    {"breaks register_in_pin_all", "register_in_pin_all", play_register, OURS, true},
    BREAKS(unregister_unknown, unregister_unknown),
    BREAKS(unregister_unknown, unregister_twice),
    BREAKS(unregister_in_use, unregister_in_use),
};

int main(void)
{
    return play_histories(histories, sizeof(histories) / sizeof(histories[0]));
}
