/* SPDX-License-Identifier: BSD-2-Clause */
/* The simulator's oracles about the hardware and about who owns the guest: each can break, on a
 * short forged history; whole clean histories break none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sim_oracle_fixture.h"

/* ---- clean ones */

/* A guest of which nothing but block 0's first chunk and block 1's last page is not zero. */
static void thin_out(struct bench *bench)
{
    ram_set(&bench->ram[SOURCE], 0, 256, 514, RAM_TOKEN_ZERO);
    ram_set(&bench->ram[SOURCE], 1, 0, 511, RAM_TOKEN_ZERO);
    ram_set(&bench->ram[DESTINATION], 0, 300, 3, 99);
    clear_logs(bench);
}

static void hand_over(struct bench *bench)
{
    guest_stop(&bench->guest, 0);
    oracle_owner_gave_up(bench->world.oracle, SOURCE);
    oracle_owner_took(bench->world.oracle, DESTINATION);
    guest_resume(&bench->guest, &bench->ram[DESTINATION], 0);
    bench->party[SOURCE].outcome = OUTCOME_COMPLETED;
    bench->party[DESTINATION].outcome = OUTCOME_COMPLETED;
    oracle_check_end(bench->world.oracle);
}

static void send_zeros(struct bench *bench, uint32_t block, uint64_t offset_bytes,
                       uint64_t length_bytes)
{
    put_compress(bench, 0, block, offset_bytes, length_bytes);
    send_message(bench, SOURCE);
    fill(bench, block, offset_bytes, length_bytes);
    send_ready(bench);
}

static void play_whole(struct bench *bench)
{
    struct write_request probe = {.is_signalled = true};

    thin_out(bench);
    exchange(bench);
    begin_message(bench, QEMU_FILE, 0, 8);
    put64(bench, 0x80);
    send_message(bench, SOURCE);
    send_ready(bench);
    register_run(bench, 0, 0, 3, KEY + 8);
    register_run(bench, 1, 1, 1, KEY + 9);
    write_and_land(bench, 0, 0, CHUNK, KEY + 8);
    oracle_write_posted(bench->world.oracle, DESTINATION, &probe);
    write_and_land(bench, 1, BLOCK1 - PAGE, PAGE, KEY + 9);
    send_zeros(bench, 0, CHUNK, BLOCK0 - CHUNK);
    send_zeros(bench, 1, 0, BLOCK1 - PAGE);
    send_plain(bench, SOURCE, REGISTER_FINISHED);
    send_ready(bench);
    put_unregister(bench, 0, 0);
    send_message(bench, SOURCE);
    send_plain(bench, DESTINATION, UNREGISTER_FINISHED);
    send_ready(bench);
    register_run(bench, 0, 1, 3, KEY + 10); /* its chunks are free again */
    hand_over(bench);
}

static void play_whole_pin_all(struct bench *bench)
{
    thin_out(bench);
    oracle_registered(bench->world.oracle, DESTINATION, 0, 0, BLOCK0, true);
    exchange(bench);
    write_and_land(bench, 0, 0, CHUNK, KEY);
    write_and_land(bench, 1, BLOCK1 - PAGE, PAGE, KEY + 1);
    send_zeros(bench, 0, CHUNK, BLOCK0 - CHUNK);
    send_plain(bench, SOURCE, REGISTER_FINISHED);
    hand_over(bench);
}

/* First everything is dirty; then one page is still pending, and another dirty again. */
static void play_owed_round(struct bench *bench)
{
    exchange(bench);
    send_plain(bench, SOURCE, REGISTER_FINISHED);
    send_ready(bench);
    clear_logs(bench);
    ram_copy(&bench->ram[DESTINATION], 0, 0, &bench->ram[SOURCE], 0, 0, 770);
    ram_copy(&bench->ram[DESTINATION], 1, 0, &bench->ram[SOURCE], 1, 0, 512);
    ram_set(&bench->ram[SOURCE], 0, 5, 1, 77);
    bench->pending_page = 5;
    ram_set(&bench->ram[SOURCE], 1, 9, 1, 78);
    bench->guest.log[1].words[0] = 1u << 9;
    send_plain(bench, SOURCE, REGISTER_FINISHED);
}

/* The first of two results: the second run is asked for again. */
static void play_short_answer(struct bench *bench)
{
    exchange(bench);
    begin_message(bench, REGISTER_REQUEST, 2, 48);
    put_run(bench, 0, 0, 2);
    put_run(bench, 0, 2, 2);
    send_message(bench, SOURCE);
    begin_message(bench, REGISTER_RESULT, 2, 16);
    put_result(bench, 0, KEY + 8);
    send_message(bench, DESTINATION);
    send_ready(bench);
    write_range(bench, 0, 0, CHUNK, KEY + 8);
    ask_for_run(bench, 0, 2, 2);
    answer_run(bench, 0, KEY + 9);
    write_range(bench, 0, 3 * CHUNK, 2 * PAGE, KEY + 9);
}

/* Failed at home; the next attempt begins anew. */
static void play_two_attempts(struct bench *bench)
{
    exchange(bench);
    register_run(bench, 0, 0, 1, KEY + 8);
    guest_stop(&bench->guest, 0);
    oracle_owner_gave_up(bench->world.oracle, SOURCE);
    oracle_owner_took(bench->world.oracle, SOURCE);
    guest_resume(&bench->guest, &bench->ram[SOURCE], 0);
    bench->party[SOURCE].outcome = OUTCOME_FAILED;
    bench->party[DESTINATION].outcome = OUTCOME_FAILED;
    oracle_check_end(bench->world.oracle);
    oracle_restart(bench->world.oracle);
    oracle_watch(bench->world.oracle, &bench->fabric);
    exchange(bench);
    register_run(bench, 0, 0, 1, KEY + 8);
}

static void play_unknown(struct bench *bench)
{
    guest_stop(&bench->guest, 0);
    oracle_owner_gave_up(bench->world.oracle, SOURCE);
    bench->party[SOURCE].outcome = OUTCOME_UNKNOWN;
    bench->party[DESTINATION].outcome = OUTCOME_FAILED;
    oracle_check_end(bench->world.oracle);
}

/* ---- the hardware's complaints */

static void play_receive_missing(struct bench *bench)
{
    oracle_receive_missing(bench->world.oracle, SOURCE);
}

static void play_receive_missing_when_down(struct bench *bench)
{
    bench->fabric.ports[DESTINATION].is_down = true;
    play_receive_missing(bench);
}

static void play_buffer_touched(struct bench *bench)
{
    oracle_buffer_touched(bench->world.oracle, SOURCE, "send");
}

static void play_queue_overrun(struct bench *bench)
{
    oracle_queue_overrun(bench->world.oracle, DESTINATION, "completion");
}

/* ---- ownership and the end */

static void play_took_too_early(struct bench *bench)
{
    oracle_owner_took(bench->world.oracle, DESTINATION);
}

static void play_took_back_too_late(struct bench *bench)
{
    ram_copy(&bench->ram[DESTINATION], 0, 0, &bench->ram[SOURCE], 0, 0, 770);
    ram_copy(&bench->ram[DESTINATION], 1, 0, &bench->ram[SOURCE], 1, 0, 512);
    guest_stop(&bench->guest, 0);
    oracle_owner_gave_up(bench->world.oracle, SOURCE);
    oracle_owner_took(bench->world.oracle, DESTINATION);
    oracle_owner_took(bench->world.oracle, SOURCE);
}

static void play_gave_up_twice(struct bench *bench)
{
    guest_stop(&bench->guest, 0);
    oracle_owner_gave_up(bench->world.oracle, SOURCE);
    oracle_owner_gave_up(bench->world.oracle, SOURCE);
}

static void play_gave_up_running(struct bench *bench)
{
    oracle_owner_gave_up(bench->world.oracle, SOURCE);
}

static void play_page_lost(struct bench *bench)
{
    ram_copy(&bench->ram[DESTINATION], 0, 0, &bench->ram[SOURCE], 0, 0, 770);
    ram_copy(&bench->ram[DESTINATION], 1, 0, &bench->ram[SOURCE], 1, 0, 512);
    ram_set(&bench->ram[DESTINATION], 1, 500, 1, 1234);
    hand_over(bench);
}

static void end_with(struct bench *bench, enum outcome source, enum outcome destination)
{
    bench->party[SOURCE].outcome = source;
    bench->party[DESTINATION].outcome = destination;
    oracle_check_end(bench->world.oracle);
}

static void play_nobody_owns(struct bench *bench)
{
    guest_stop(&bench->guest, 0);
    oracle_owner_gave_up(bench->world.oracle, SOURCE);
    end_with(bench, OUTCOME_COMPLETED, OUTCOME_FAILED);
}

static void play_nobody_owns_after_death(struct bench *bench)
{
    bench->fabric.ports[DESTINATION].is_dead = true;
    guest_stop(&bench->guest, 0);
    oracle_owner_gave_up(bench->world.oracle, SOURCE);
    end_with(bench, OUTCOME_COMPLETED, OUTCOME_OPEN);
}

static void play_nobody_owns_after_fault(struct bench *bench)
{
    bench->fabric.faults_taken = 1;
    play_nobody_owns(bench);
}

static void play_failed_without_guest(struct bench *bench)
{
    guest_stop(&bench->guest, 0);
    oracle_owner_gave_up(bench->world.oracle, SOURCE);
    end_with(bench, OUTCOME_FAILED, OUTCOME_FAILED);
}

static void play_failed_guest_stands(struct bench *bench)
{
    guest_stop(&bench->guest, 0);
    end_with(bench, OUTCOME_FAILED, OUTCOME_FAILED);
}

static void play_open_without_guest(struct bench *bench)
{
    guest_stop(&bench->guest, 0);
    oracle_owner_gave_up(bench->world.oracle, SOURCE);
    end_with(bench, OUTCOME_OPEN, OUTCOME_FAILED);
}

static void play_completed_with_guest(struct bench *bench)
{
    end_with(bench, OUTCOME_COMPLETED, OUTCOME_FAILED);
}

static void play_unknown_with_guest(struct bench *bench)
{
    end_with(bench, OUTCOME_UNKNOWN, OUTCOME_FAILED);
}

static void play_completed_without_taking(struct bench *bench)
{
    end_with(bench, OUTCOME_FAILED, OUTCOME_COMPLETED);
}

static void play_unknown_guest_runs(struct bench *bench)
{
    guest_stop(&bench->guest, 0);
    oracle_owner_gave_up(bench->world.oracle, SOURCE);
    guest_resume(&bench->guest, &bench->ram[SOURCE], 0);
    end_with(bench, OUTCOME_UNKNOWN, OUTCOME_FAILED);
}

static void play_guest_runs_there(struct bench *bench)
{
    guest_stop(&bench->guest, 0);
    oracle_owner_gave_up(bench->world.oracle, SOURCE);
    guest_resume(&bench->guest, &bench->ram[DESTINATION], 0);
    end_with(bench, OUTCOME_UNKNOWN, OUTCOME_FAILED);
}

static void play_taken_guest_stands(struct bench *bench)
{
    ram_copy(&bench->ram[DESTINATION], 0, 0, &bench->ram[SOURCE], 0, 0, 770);
    ram_copy(&bench->ram[DESTINATION], 1, 0, &bench->ram[SOURCE], 1, 0, 512);
    guest_stop(&bench->guest, 0);
    oracle_owner_gave_up(bench->world.oracle, SOURCE);
    oracle_owner_took(bench->world.oracle, DESTINATION);
    end_with(bench, OUTCOME_COMPLETED, OUTCOME_COMPLETED);
}

static void play_restart_without_guest(struct bench *bench)
{
    guest_stop(&bench->guest, 0);
    oracle_owner_gave_up(bench->world.oracle, SOURCE);
    oracle_restart(bench->world.oracle);
    oracle_watch(bench->world.oracle, &bench->fabric);
}

static const struct history histories[] = {
    CLEAN(whole, OURS),
    CLEAN(whole, STOCK),
    CLEAN_PIN_ALL(whole_pin_all, OURS),
    CLEAN(owed_round, OURS),
    {"clean: short answer of stock", NULL, play_short_answer, {PARTY_OURS, PARTY_STOCK}, false},
    CLEAN(two_attempts, OURS),
    CLEAN(unknown, OURS),
    CLEAN(receive_missing_when_down, OURS),
    CLEAN(nobody_owns_after_death, OURS),
    CLEAN(nobody_owns_after_fault, STOCK),
    CLEAN(receive_missing, TO_BAD),
    CLEAN(nobody_owns, TO_BAD),
    CLEAN(took_too_early, BAD_TO),
    CLEAN(buffer_touched, BAD_TO),
    BREAKS(receive_missing, receive_missing),
    BREAKS(buffer_touched, buffer_touched),
    BREAKS(queue_overrun, queue_overrun),
    BREAKS(two_owners, took_too_early),
    BREAKS(two_owners, took_back_too_late),
    BREAKS(ownership, gave_up_twice),
    BREAKS(ownership, completed_with_guest),
    BREAKS(ownership, unknown_with_guest),
    BREAKS(ownership, completed_without_taking),
    BREAKS(guest_runs_on, gave_up_running),
    BREAKS(guest_runs_on, unknown_guest_runs),
    BREAKS(guest_runs_on, guest_runs_there),
    BREAKS(guest_stands, failed_guest_stands),
    BREAKS(guest_stands, taken_guest_stands),
    BREAKS(no_owner, nobody_owns),
    {"breaks no_owner: stock without a fault", "no_owner", play_nobody_owns, STOCK, false},
    BREAKS(no_owner, failed_without_guest),
    BREAKS(no_owner, open_without_guest),
    BREAKS(ram_differs, page_lost),
    BREAKS(restart, restart_without_guest),
};

int main(void)
{
    return play_histories(histories, sizeof(histories) / sizeof(histories[0]));
}
