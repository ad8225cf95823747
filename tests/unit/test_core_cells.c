/* SPDX-License-Identifier: BSD-2-Clause */
/* Every cell of role, state and message type; and every bit of every header flipped, in both roles.
 */
#include "support/cells.h"

#include <stdio.h>

static void report(const struct cell_row *row, uint32_t type, struct bench *bench)
{
    const struct rdmig_failure *failure = rdmig_conn_failure(bench->conn);

    fail_msg("%s, type %u: %s", row->state, (unsigned int)type,
             failure ? rdmig_reason_name(failure->reason) : "no failure");
}

static void check_cell(enum rdmig_role role, const struct cell_row *row, uint32_t column)
{
    struct bench *bench = cell_bench(role, row);
    const uint32_t type = cell_type(column);
    const char letter = row->cells[column];
    const struct rdmig_failure *before = rdmig_conn_failure(bench->conn);
    const enum rdmig_reason reason_before = before ? before->reason : RDMIG_REASON_NONE;
    const uint64_t messages_before = bench_counters(bench).control_messages;
    const struct rdmig_failure *failure;

    cell_message(bench->message, type);
    assert_int_equal(bench_receive(bench, bench->message), RDMIG_OK);
    failure = rdmig_conn_failure(bench->conn);
    assert_true(bench_counters(bench).control_messages > messages_before);
    if (letter == '-') {
        if ((failure ? failure->reason : RDMIG_REASON_NONE) != reason_before)
            report(row, type, bench);
    } else if (letter == '.') {
        if (failure)
            report(row, type, bench);
    } else {
        if (!failure || failure->reason != cell_reason(letter))
            report(row, type, bench);
        if (letter != 'E')
            assert_int_equal(failure->message_type, type < 12 ? type : RDMIG_MESSAGE_NONE);
        /* After a peer's ERROR nothing is said; otherwise never more than one ERROR. */
        assert_true(bench->action_counts[RDMIG_ACTION_POST_SEND] <= (letter == 'E' ? 0u : 1u));
    }
    bench_close(bench);
}

/* Clause: C6, C5, C3 */
static void test_core_cells__source__each_state_and_type(void **state)
{
    (void)state;
    for (uint32_t row = 0; row < SOURCE_ROW_COUNT; row++) {
        for (uint32_t column = 0; column < CELL_COUNT; column++)
            check_cell(RDMIG_ROLE_SOURCE, &source_rows[row], column);
    }
}

/* Clause: C6, C5 */
static void test_core_cells__destination__each_state_and_type(void **state)
{
    (void)state;
    for (uint32_t row = 0; row < DESTINATION_ROW_COUNT; row++) {
        for (uint32_t column = 0; column < CELL_COUNT; column++)
            check_cell(RDMIG_ROLE_DESTINATION, &destination_rows[row], column);
    }
}

/* ---- flipped bits */

static const uint32_t entry_bytes[12] = {0, 0, 0, 0, 0, 32, 24, 24, 16, 0, 24, 0};

/* What the clauses say of a header alone. */
static enum rdmig_reason judge(const struct message *message)
{
    const uint64_t length = bytes_u32(message->bytes);
    const uint32_t type = bytes_u32(message->bytes + 4);
    const uint64_t repeat = bytes_u32(message->bytes + 8);
    uint32_t entry;

    if (length + 16 != message->length_bytes)
        return RDMIG_REASON_MESSAGE_LENGTH;
    if (type == 0 || type >= 12)
        return RDMIG_REASON_MESSAGE_TYPE;
    if (repeat > 4096)
        return RDMIG_REASON_MESSAGE_REPEAT;
    entry = entry_bytes[type];
    if (type == RDMIG_MESSAGE_QEMU_FILE)
        return RDMIG_REASON_NONE;
    if (entry == 0)
        return length == 0 ? RDMIG_REASON_NONE : RDMIG_REASON_MESSAGE_BODY;
    if (length == 0 || length % entry != 0)
        return RDMIG_REASON_MESSAGE_BODY;
    if (type == RDMIG_MESSAGE_RAM_BLOCKS_RESULT || type == RDMIG_MESSAGE_REGISTER_RESULT)
        return RDMIG_REASON_NONE;
    return length == (repeat == 0 ? 1 : repeat) * entry ? RDMIG_REASON_NONE
                                                        : RDMIG_REASON_MESSAGE_BODY;
}

/* What must come of the message in the row's state; false: anything legal (its body was made for
 * another type). */
static bool predict(const struct cell_row *row, const struct message *message, uint32_t original,
                    enum rdmig_reason *reason)
{
    const uint32_t type = bytes_u32(message->bytes + 4);
    const uint32_t repeat = bytes_u32(message->bytes + 8);
    char letter;

    *reason = judge(message);
    if (*reason != RDMIG_REASON_NONE)
        return true;
    letter = row->cells[type];
    *reason = cell_reason(letter);
    if (letter != '.')
        return true;
    if (type != original)
        return false;
    if (type == RDMIG_MESSAGE_REGISTER_RESULT && repeat > 1)
        *reason = RDMIG_REASON_MESSAGE_REPEAT;
    return true;
}

static void flip(enum rdmig_role role, const struct cell_row *row, uint32_t type, uint32_t bit)
{
    struct bench *bench = cell_bench(role, row);
    const struct rdmig_failure *failure;
    enum rdmig_reason reason;

    bench->is_quiet = true;
    cell_message(bench->message, type);
    bench->message->bytes[bit / 8] ^= (uint8_t)(0x80 >> bit % 8);
    assert_int_equal(bench_receive(bench, bench->message), RDMIG_OK);
    failure = rdmig_conn_failure(bench->conn);
    if (predict(row, bench->message, type, &reason) &&
        (failure ? failure->reason : RDMIG_REASON_NONE) != reason)
        fail_msg("%s, type %u, bit %u: %s instead of %s", row->state, (unsigned int)type,
                 (unsigned int)bit, rdmig_reason_name(failure ? failure->reason : 0),
                 rdmig_reason_name(reason));
    bench_close(bench);
}

static void flip_all(enum rdmig_role role, const struct cell_row *rows, uint32_t row_count)
{
    for (uint32_t row = 0; row < row_count; row++) {
        for (uint32_t type = 1; type < 12; type++) {
            if (rows[row].cells[type] != '.' && rows[row].cells[type] != 'K')
                continue;
            for (uint32_t bit = 0; bit < 128; bit++)
                flip(role, &rows[row], type, bit);
        }
    }
}

/* Clause: W3, W4, W5, W6 */
static void test_core_cells__source__every_header_bit_flipped(void **state)
{
    (void)state;
    flip_all(RDMIG_ROLE_SOURCE, source_rows, SOURCE_ROW_COUNT);
}

/* Clause: W3, W4, W5, W6 */
static void test_core_cells__destination__every_header_bit_flipped(void **state)
{
    (void)state;
    flip_all(RDMIG_ROLE_DESTINATION, destination_rows, DESTINATION_ROW_COUNT);
}

/* Clause: W4 */
static void test_core_cells__every_truncation__is_a_failure(void **state)
{
    static const struct {
        enum source_stage stage;
        uint32_t type;
    } cases[] = {
        {SOURCE_IS_ESTABLISHED, RDMIG_MESSAGE_READY},
        {SOURCE_AWAITS_BLOCKS, RDMIG_MESSAGE_RAM_BLOCKS_RESULT},
        {SOURCE_AWAITS_RESULT, RDMIG_MESSAGE_REGISTER_RESULT},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct bench *bench = source_at(cases[i].stage, NULL);
        size_t whole;

        cell_message(bench->message, cases[i].type);
        whole = bench->message->length_bytes;
        bench_close(bench);
        for (size_t length = 0; length < whole; length++) {
            bench = source_at(cases[i].stage, NULL);
            cell_message(bench->message, cases[i].type);
            bench_receive_bytes(bench, bench->message->bytes, length);
            bench_expect_failure(bench, length < 16 ? RDMIG_REASON_MESSAGE_SHORT
                                                    : RDMIG_REASON_MESSAGE_LENGTH);
            assert_int_equal(rdmig_conn_failure(bench->conn)->actual, length);
            bench_close(bench);
        }
    }
}

/* Clause: W4, E3 */
static void test_core_cells__destination__a_broken_message__is_answered_with_error(void **state)
{
    struct bench *bench = destination_at(DESTINATION_IS_AWAITING, NULL);

    (void)state;
    cell_message(bench->message, RDMIG_MESSAGE_QEMU_FILE);
    bench_receive_bytes(bench, bench->message->bytes, 20);
    EXPECT(bench, "> RECEIVED r0 QEMU_FILE x1 len=5 4 bytes 'byte'\n"
                  "< POST_SEND s1 ERROR x1\n");
    bench_expect_failure(bench, RDMIG_REASON_MESSAGE_LENGTH);
    assert_int_equal(rdmig_conn_failure(bench->conn)->expected, 21);
    assert_int_equal(rdmig_conn_failure(bench->conn)->actual, 20);
    assert_int_equal(rdmig_conn_failure(bench->conn)->message_type, RDMIG_MESSAGE_QEMU_FILE);
    bench_close(bench);
}

/*
 * Thousands of benches are opened here: each with the memory of the one before, or a run under ASan
 * is fifty times slower than one without, most of it page faults (faults.md, A4).
 */
static void test_core_cells__a_bench__has_the_memory_of_the_one_before(void **state)
{
    struct bench *bench = source_at(SOURCE_IS_CREDITED, NULL);
    const uint8_t *const control = bench->control;
    const uint8_t *const memory = bench->memory;

    (void)state;
    bench_close(bench);
    for (int i = 0; i < 3; i++) {
        bench = source_at(SOURCE_IS_CREDITED, NULL);
        assert_ptr_equal(bench->control, control);
        assert_true(bench->memory == memory || bench->snapshot == memory);
        bench_close(bench);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_core_cells__a_bench__has_the_memory_of_the_one_before),
        cmocka_unit_test(test_core_cells__source__each_state_and_type),
        cmocka_unit_test(test_core_cells__destination__each_state_and_type),
        cmocka_unit_test(test_core_cells__source__every_header_bit_flipped),
        cmocka_unit_test(test_core_cells__destination__every_header_bit_flipped),
        cmocka_unit_test(test_core_cells__every_truncation__is_a_failure),
        cmocka_unit_test(test_core_cells__destination__a_broken_message__is_answered_with_error),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
