/* SPDX-License-Identifier: BSD-2-Clause */
/* rdmig's own framing: the encoders against bytes written by hand, the parser against both. */
#include "../../src/qemu/native.h"
#include "stream_outcome.h"

#define HEAD                                                                                       \
    "QEVM\0\0\0\3"                                                                                 \
    "\7\0\0\0\7rdmig/1"
#define RAM_START "\1\0\0\0\1\3ram\0\0\0\0\0\0\0\4"
#define TOTAL     "\0\0\0\0\0\x20\x30\4"
#define BLOCKS                                                                                     \
    "\4main\0\0\0\0\0\x20\0\0"                                                                     \
    "\6"                                                                                           \
    "bios-1\0\0\0\0\0\0\x30\0"
#define HOOK   "\0\0\0\0\0\0\0\x80"
#define PREFIX HEAD RAM_START TOTAL BLOCKS HOOK
#define SETUP_END                                                                                  \
    "\0\0\0\0\0\0\0\x10"                                                                           \
    "\x7e\0\0\0\1"
#define STATE(length, bytes) "\4\0\0\0\2\x0brdmig/state\0\0\0\0\0\0\0\1" length bytes
#define FOOTER               "\x7e\0\0\0\2"
#define STATES               STATE("\0\0\0\5", "hello") FOOTER STATE("\0\0\0\1", "\0") FOOTER
#define PREPARE              "\x08\x72\x64\0\0"
#define END                  "\0"
#define GOLDEN               PREFIX SETUP_END STATES PREPARE END

static const struct native_block golden_blocks[] = {{"main", 0x200000}, {"bios-1", 0x3000}};

/* Clause: S7 */
static void test_qemu_native__writers__make_the_bytes_of_the_format(void **unused)
{
    uint8_t buffer[sizeof(GOLDEN) + 100];
    size_t used = 0;

    (void)unused;
    assert_int_equal(native_prefix_bytes(golden_blocks, 2), sizeof(PREFIX) - 1);
    used += native_write_prefix(buffer, sizeof(buffer), golden_blocks, 2);
    assert_int_equal(used, sizeof(PREFIX) - 1);
    used += native_write_setup_end(buffer + used, sizeof(buffer) - used);
    used += native_write_state_header(buffer + used, sizeof(buffer) - used, 5);
    memcpy(buffer + used, "hello", 5);
    used += 5;
    used += native_write_state_footer(buffer + used, sizeof(buffer) - used);
    used += native_write_state_header(buffer + used, sizeof(buffer) - used, 1);
    buffer[used++] = 0;
    used += native_write_state_footer(buffer + used, sizeof(buffer) - used);
    used += native_write_prepare(buffer + used, sizeof(buffer) - used);
    used += native_write_end(buffer + used, sizeof(buffer) - used);
    assert_int_equal(used, sizeof(GOLDEN) - 1);
    assert_memory_equal(buffer, GOLDEN, used);
}

static size_t write_piece(unsigned int piece, uint8_t *buffer, size_t capacity_bytes)
{
    switch (piece) {
    case 0:
        return native_write_prefix(buffer, capacity_bytes, golden_blocks, 2);
    case 1:
        return native_write_setup_end(buffer, capacity_bytes);
    case 2:
        return native_write_state_header(buffer, capacity_bytes, NATIVE_STATE_BYTES_MAX);
    case 3:
        return native_write_state_footer(buffer, capacity_bytes);
    case 4:
        return native_write_prepare(buffer, capacity_bytes);
    default:
        return native_write_end(buffer, capacity_bytes);
    }
}

/* Clause: S7, E1 */
static void test_qemu_native__too_small_buffer__is_refused_untouched(void **unused)
{
    static const size_t piece_bytes[] = {sizeof(PREFIX) - 1,        NATIVE_SETUP_END_BYTES,
                                         NATIVE_STATE_HEADER_BYTES, NATIVE_STATE_FOOTER_BYTES,
                                         NATIVE_PREPARE_BYTES,      NATIVE_END_BYTES};

    (void)unused;
    for (unsigned int piece = 0; piece < 6; piece++) {
        for (size_t capacity_bytes = 0; capacity_bytes <= piece_bytes[piece]; capacity_bytes++) {
            uint8_t *buffer = malloc(capacity_bytes + 1);
            bool fits = capacity_bytes == piece_bytes[piece];

            assert_non_null(buffer);
            memset(buffer, 0xa5, capacity_bytes + 1);
            assert_int_equal(write_piece(piece, buffer, capacity_bytes), fits ? capacity_bytes : 0);
            assert_int_equal(buffer[capacity_bytes], 0xa5);
            assert_true(fits || capacity_bytes == 0 || buffer[0] == 0xa5);
            free(buffer);
        }
    }
}

/* Clause: S4, B4, E1 */
static void test_qemu_native__impossible_blocks__are_refused(void **unused)
{
    char name[257];
    uint8_t buffer[600];
    struct native_block *many = calloc(16384, sizeof(*many));
    struct native_block blocks[2] = {{"a", 0x1000}, {name, 0x1000}};

    (void)unused;
    assert_non_null(many);
    memset(name, 'n', 256);
    name[256] = '\0';
    assert_int_equal(native_prefix_bytes(blocks, 0), 0);
    assert_int_equal(native_prefix_bytes(blocks, 2), 0); /* 256 bytes of name */
    assert_int_equal(native_write_prefix(buffer, sizeof(buffer), blocks, 2), 0);
    name[255] = '\0';
    assert_true(native_prefix_bytes(blocks, 2) > 255);
    blocks[1].name = "";
    assert_int_equal(native_prefix_bytes(blocks, 2), 0);
    blocks[1].name = NULL;
    assert_int_equal(native_prefix_bytes(blocks, 2), 0);
    blocks[1].name = "b";
    blocks[1].length_bytes = 0;
    assert_int_equal(native_prefix_bytes(blocks, 2), 0);
    blocks[1].length_bytes = 0x1800;
    assert_int_equal(native_prefix_bytes(blocks, 2), 0);
    blocks[1].length_bytes = UINT64_MAX - 0xfff; /* the sum passes 2^64 */
    assert_int_equal(native_prefix_bytes(blocks, 2), 0);
    blocks[1].length_bytes = UINT64_MAX - 0x1fff;
    assert_true(native_prefix_bytes(blocks, 2) > 0);
    for (size_t i = 0; i < 16384; i++) {
        many[i] = blocks[0];
    }
    assert_true(native_prefix_bytes(many, 16383) > 0);
    assert_int_equal(native_prefix_bytes(many, 16384), 0);
    free(many);
}

/* Clause: S7, E1 */
static void test_qemu_native__state_length__is_limited(void **unused)
{
    uint8_t buffer[NATIVE_STATE_HEADER_BYTES];

    (void)unused;
    assert_int_equal(native_write_state_header(buffer, sizeof(buffer), 0), 0);
    assert_int_equal(native_write_state_header(buffer, sizeof(buffer), 1024 * 1024 + 1), 0);
    assert_int_equal(native_write_state_header(buffer, sizeof(buffer), SIZE_MAX), 0);
    assert_int_equal(native_write_state_header(buffer, sizeof(buffer), 1024 * 1024),
                     sizeof(buffer));
}

/* Clause: S7 */
static void test_qemu_native__whole_stream__gives_every_event_in_its_place(void **unused)
{
    struct outcome outcome = parse_all_ways(GOLDEN, sizeof(GOLDEN) - 1);
    char expected[64];

    (void)unused;
    snprintf(expected, sizeof(expected), "%d@%zu %d@%zu %d@%zu ", QEMU_STREAM_BLOCKS_LISTED,
             sizeof(PREFIX) - 1, QEMU_STREAM_PREPARED, sizeof(GOLDEN) - 2, QEMU_STREAM_ENDED,
             sizeof(GOLDEN) - 1);
    assert_string_equal(outcome.events, expected);
    assert_int_equal(outcome.last, QEMU_STREAM_NEED_MORE);
    assert_int_equal(outcome.block_count, 2);
    assert_int_equal(outcome.state_bytes, 6);
    assert_memory_equal(outcome.state, "hello\0", 6);
}

/* Clause: S7 */
static void test_qemu_native__no_state_at_all__ends_well(void **unused)
{
    static const char bytes[] = PREFIX SETUP_END PREPARE END;
    struct outcome outcome = parse_all_ways(bytes, sizeof(bytes) - 1);

    (void)unused;
    assert_int_equal(outcome.last, QEMU_STREAM_NEED_MORE);
    assert_int_equal(outcome.state_bytes, 0);
    assert_non_null(strstr(outcome.events, "4@"));
}

/* Clause: S7 */
static void test_qemu_native__longest_state_section__passes_without_a_copy(void **unused)
{
    enum { PREFIX_BYTES = sizeof(PREFIX SETUP_END) - 1 };
    size_t length_bytes =
        PREFIX_BYTES + NATIVE_STATE_HEADER_BYTES + NATIVE_STATE_BYTES_MAX + sizeof(FOOTER) - 1;
    uint8_t *bytes = calloc(1, length_bytes);
    struct outcome outcome;

    (void)unused;
    assert_non_null(bytes);
    memcpy(bytes, PREFIX SETUP_END, PREFIX_BYTES);
    native_write_state_header(bytes + PREFIX_BYTES, NATIVE_STATE_HEADER_BYTES,
                              NATIVE_STATE_BYTES_MAX);
    native_write_state_footer(bytes + length_bytes - 5, 5);
    outcome = parse(bytes, length_bytes, PORTION_WHOLE, 0);
    assert_int_equal(outcome.last, QEMU_STREAM_NEED_MORE);
    assert_int_equal(outcome.state_bytes, NATIVE_STATE_BYTES_MAX);
    free(bytes);
}

/* Clause: S1, S7 */
static void test_qemu_native__every_truncation__needs_more(void **unused)
{
    (void)unused;
    for (size_t length_bytes = 0; length_bytes < sizeof(GOLDEN) - 1; length_bytes++) {
        struct outcome outcome = parse_all_ways(GOLDEN, length_bytes);

        assert_int_equal(outcome.last, QEMU_STREAM_NEED_MORE);
        assert_int_equal(outcome.position_bytes, length_bytes);
        assert_int_equal(outcome.block_count, length_bytes >= sizeof(PREFIX) - 1 ? 2 : 0);
        assert_null(strstr(outcome.events, "4@"));
    }
}

/*
 * Whether another byte here may make another whole stream: a byte of a block's name or of device
 * state, or the first state's length, which may come to cover the second section as well.
 */
static bool is_free_byte(size_t offset_bytes)
{
    static const size_t names_at = sizeof(HEAD RAM_START TOTAL) - 1;
    static const size_t states_at = sizeof(PREFIX SETUP_END) - 1;

    return (offset_bytes >= names_at + 1 && offset_bytes < names_at + 5) ||
           (offset_bytes >= names_at + 14 && offset_bytes < names_at + 20) ||
           (offset_bytes >= states_at + 28 && offset_bytes < states_at + 34) ||
           offset_bytes == states_at + 39 + 29;
}

/* Clause: S7, E2 */
static void test_qemu_native__every_corrupted_byte__never_ends_the_stream(void **unused)
{
    char bytes[sizeof(GOLDEN)];

    (void)unused;
    for (size_t i = 0; i < sizeof(GOLDEN) - 1; i++) {
        for (int flip = 1; flip < 256; flip++) {
            struct outcome whole;
            struct outcome bytewise;

            memcpy(bytes, GOLDEN, sizeof(GOLDEN));
            bytes[i] = (char)((uint8_t)bytes[i] ^ flip);
            whole = parse(bytes, sizeof(GOLDEN) - 1, PORTION_WHOLE, 0);
            bytewise = parse(bytes, sizeof(GOLDEN) - 1, PORTION_BYTE, 0);
            assert_memory_equal(&whole, &bytewise, sizeof(whole));
            if (!is_free_byte(i)) {
                assert_null(strstr(whole.events, "4@"));
            }
        }
    }
}

struct broken_case {
    const char *bytes;
    size_t length_bytes;
    const char *cause;
};

#define BROKEN(text, cause)                                                                        \
    {                                                                                              \
        text, sizeof(text) - 1, cause                                                              \
    }

static const struct broken_case broken_cases[] = {
    BROKEN(HEAD "\5", "record 0x05 cannot stand before the RAM section"),
    BROKEN(HEAD "\x08", "record 0x08 cannot stand before the RAM section"),
    BROKEN(HEAD "\7", "record 0x07 cannot stand before the RAM section"),
    BROKEN(HEAD "\1\0\0\0\2", "RAM section with number 2, expected 1"),
    BROKEN(PREFIX HOOK "\x7e\0\0\0\1", "does not end behind its hook"),
    BROKEN(PREFIX "\0\0\0\0\0\0\0\x10"
                  "\x7e\0\0\0\2",
           "does not end behind its hook"),
    BROKEN(PREFIX SETUP_END "\1", "record 0x01 where device state belongs"),
    BROKEN(PREFIX SETUP_END "\x7e", "record 0x7e where device state belongs"),
    BROKEN(PREFIX SETUP_END STATES END, "ends before the source asked to prepare"),
    BROKEN(PREFIX SETUP_END STATE("\0\0\0\0", ""), "state section of 0 bytes"),
    BROKEN(PREFIX SETUP_END STATE("\0\x10\0\1", ""), "state section of 1048577 bytes"),
    BROKEN(PREFIX SETUP_END "\4\0\0\0\3\x0brdmig/state\0\0\0\0\0\0\0\1"
                            "\0\0\0\1",
           "not device state of this version"),
    BROKEN(PREFIX SETUP_END "\4\0\0\0\2\x0brdmig/state\0\0\0\0\0\0\0\2"
                            "\0\0\0\1",
           "not device state of this version"),
    BROKEN(PREFIX SETUP_END "\4\0\0\0\2\x0brdmig/stats\0\0\0\0\0\0\0\1"
                            "\0\0\0\1",
           "not device state of this version"),
    BROKEN(PREFIX SETUP_END STATE("\0\0\0\1", "x") "\x7e\0\0\0\1",
           "state section without its footer"),
    BROKEN(PREFIX SETUP_END "\x08\x72\x65\0\0", "command 0x7265 with 0 bytes"),
    BROKEN(PREFIX SETUP_END "\x08\x72\x64\0\1", "command 0x7264 with 1 bytes"),
    BROKEN(PREFIX SETUP_END PREPARE PREPARE, "record 0x08 where the end mark belongs"),
    BROKEN(PREFIX SETUP_END PREPARE STATES, "record 0x04 where the end mark belongs"),
    BROKEN(GOLDEN "\0", "goes on behind its end mark"),
    BROKEN(GOLDEN "\6", "goes on behind its end mark"),
};

/* Clause: S7, E2 */
static void test_qemu_native__each_violation__is_broken_with_its_cause(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < sizeof(broken_cases) / sizeof(broken_cases[0]); i++) {
        const struct broken_case *broken = &broken_cases[i];
        struct outcome outcome = parse_all_ways(broken->bytes, broken->length_bytes);

        if (outcome.last != QEMU_STREAM_BROKEN || strstr(outcome.error, broken->cause) == NULL) {
            fail_msg("expected '%s', got '%s'", broken->cause, outcome.error);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_qemu_native__writers__make_the_bytes_of_the_format),
        cmocka_unit_test(test_qemu_native__too_small_buffer__is_refused_untouched),
        cmocka_unit_test(test_qemu_native__impossible_blocks__are_refused),
        cmocka_unit_test(test_qemu_native__state_length__is_limited),
        cmocka_unit_test(test_qemu_native__whole_stream__gives_every_event_in_its_place),
        cmocka_unit_test(test_qemu_native__no_state_at_all__ends_well),
        cmocka_unit_test(test_qemu_native__longest_state_section__passes_without_a_copy),
        cmocka_unit_test(test_qemu_native__every_truncation__needs_more),
        cmocka_unit_test(test_qemu_native__every_corrupted_byte__never_ends_the_stream),
        cmocka_unit_test(test_qemu_native__each_violation__is_broken_with_its_cause),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
