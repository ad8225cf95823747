/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The parser on streams written out by hand: the bytes below follow what a QEMU 7.2 q35 guest
 * sends, and none of them come from our own encoder.
 */
#include "stream_outcome.h"

#define HEAD   "QEVM\0\0\0\3"
#define CONFIG "\7\0\0\0\x0apc-q35-7.2"
#define UUID                                                                                       \
    "\5\x12"                                                                                       \
    "configuration/uuid\0\0\0\1"                                                                   \
    "\0\x11\x22\x33"                                                                               \
    "DUfw\x88\x99\xaa\xbb\xcc\xdd\xee\xff"
#define PAGE_BITS                                                                                  \
    "\5\x1e"                                                                                       \
    "configuration/target-page-bits\0\0\0\1"                                                       \
    "\0\0\0\x0c"
#define CAPABILITY                                                                                 \
    "\5\x1a"                                                                                       \
    "configuration/capabilities\0\0\0\1"                                                           \
    "\0\0\0\2"                                                                                     \
    "\6events"                                                                                     \
    "\x0b"                                                                                         \
    "return-path"
#define COMMANDS                                                                                   \
    "\x08\0\1\0\0"                                                                                 \
    "\x08\0\2\0\4\0\0\0\1"
#define RAM_START "\1\0\0\0\2\3ram\0\0\0\0\0\0\0\4"
#define TOTAL     "\0\0\0\0\x05\x04\0\4"
#define BLOCK_RAM "\6pc.ram\0\0\0\0\4\0\0\0"
#define BLOCK_VGA                                                                                  \
    "\x15"                                                                                         \
    "0000:00:01.0/vga.vram\0\0\0\0\1\0\0\0"
#define BLOCK_BIOS "\7pc.bios\0\0\0\0\0\4\0\0"
#define BLOCKS     BLOCK_RAM BLOCK_VGA BLOCK_BIOS
#define HOOK       "\0\0\0\0\0\0\0\x80"
#define SETUP_END                                                                                  \
    "\0\0\0\0\0\0\0\x10"                                                                           \
    "\x7e\0\0\0\2"

#define GOLDEN HEAD CONFIG UUID COMMANDS RAM_START TOTAL BLOCKS HOOK

static void assert_golden_blocks(const char *bytes, size_t length_bytes)
{
    struct outcome outcome = parse_all_ways(bytes, length_bytes);

    if (outcome.last == QEMU_STREAM_BROKEN) {
        fail_msg("%s", outcome.error);
    }
    assert_int_equal(outcome.block_count, 3);
    assert_int_equal(outcome.blocks_bytes, 0x5040000);
    assert_int_equal(outcome.format, QEMU_STREAM_FORMAT_QEMU);
    assert_int_equal(outcome.hook_position_bytes, length_bytes);
}

/* Clause: S3, S4 */
static void test_qemu_stream__q35_prefix__lists_blocks_in_order(void **unused)
{
    struct qemu_stream *stream = qemu_stream_create();
    struct qemu_stream_state state;
    size_t consumed_bytes;

    (void)unused;
    assert_int_equal(qemu_stream_format(stream), QEMU_STREAM_FORMAT_UNKNOWN);
    assert_int_equal(qemu_stream_feed(stream, (const uint8_t *)GOLDEN "x", sizeof(GOLDEN),
                                      &consumed_bytes, &state),
                     QEMU_STREAM_BLOCKS_LISTED);
    assert_int_equal(consumed_bytes, sizeof(GOLDEN) - 1);
    assert_int_equal(qemu_stream_hook_position(stream), sizeof(GOLDEN) - 1);
    assert_int_equal(qemu_stream_position(stream), sizeof(GOLDEN) - 1);
    assert_int_equal(qemu_stream_format(stream), QEMU_STREAM_FORMAT_QEMU);
    assert_int_equal(qemu_stream_block_count(stream), 3);
    assert_string_equal(qemu_stream_block(stream, 0)->name, "pc.ram");
    assert_int_equal(qemu_stream_block(stream, 0)->length_bytes, 0x4000000);
    assert_string_equal(qemu_stream_block(stream, 1)->name, "0000:00:01.0/vga.vram");
    assert_int_equal(qemu_stream_block(stream, 1)->length_bytes, 0x1000000);
    assert_string_equal(qemu_stream_block(stream, 2)->name, "pc.bios");
    assert_int_equal(qemu_stream_block(stream, 2)->length_bytes, 0x40000);
    assert_null(qemu_stream_block(stream, 3));
    assert_string_equal(qemu_stream_error(stream), "");
    qemu_stream_destroy(stream);
}

#define ASSERT_GOLDEN(text) assert_golden_blocks(text, sizeof(text) - 1)

/* Clause: S3 */
static void test_qemu_stream__every_known_preamble__is_passed_over(void **unused)
{
    (void)unused;
    ASSERT_GOLDEN(GOLDEN);
    ASSERT_GOLDEN(HEAD RAM_START TOTAL BLOCKS HOOK);
    ASSERT_GOLDEN(HEAD COMMANDS RAM_START TOTAL BLOCKS HOOK);
    ASSERT_GOLDEN(HEAD CONFIG RAM_START TOTAL BLOCKS HOOK);
    ASSERT_GOLDEN(HEAD CONFIG PAGE_BITS CAPABILITY UUID RAM_START TOTAL BLOCKS HOOK);
    ASSERT_GOLDEN(HEAD CONFIG CAPABILITY COMMANDS RAM_START TOTAL BLOCKS HOOK);
    /* a machine whose name is as long as ours */
    ASSERT_GOLDEN(HEAD "\7\0\0\0\7"
                       "rdmig/2" RAM_START TOTAL BLOCKS HOOK);
}

/* Clause: S5 */
static void test_qemu_stream__bytes_behind_the_hook__are_opaque(void **unused)
{
    enum { REST_BYTES = 5000, PREFIX_BYTES = sizeof(GOLDEN) - 1 };
    uint8_t *bytes = malloc(PREFIX_BYTES + REST_BYTES);
    uint32_t seed = 7;
    struct outcome outcome;

    (void)unused;
    assert_non_null(bytes);
    memcpy(bytes, GOLDEN, PREFIX_BYTES);
    for (size_t i = 0; i < REST_BYTES; i++) {
        bytes[PREFIX_BYTES + i] = (uint8_t)next_random(&seed);
    }
    outcome = parse_all_ways(bytes, PREFIX_BYTES + REST_BYTES);
    assert_int_equal(outcome.last, QEMU_STREAM_NEED_MORE);
    assert_int_equal(outcome.position_bytes, PREFIX_BYTES + REST_BYTES);
    assert_int_equal(outcome.hook_position_bytes, PREFIX_BYTES);
    assert_int_equal(outcome.block_count, 3);
    free(bytes);
}

/* Clause: S1, S4 */
static void test_qemu_stream__every_truncation__needs_more(void **unused)
{
    static const char bytes[] =
        HEAD CONFIG PAGE_BITS CAPABILITY UUID COMMANDS RAM_START TOTAL BLOCKS HOOK;

    (void)unused;
    for (size_t length_bytes = 0; length_bytes < sizeof(bytes) - 1; length_bytes++) {
        struct outcome outcome = parse_all_ways(bytes, length_bytes);

        assert_int_equal(outcome.last, QEMU_STREAM_NEED_MORE);
        assert_int_equal(outcome.position_bytes, length_bytes);
        assert_int_equal(outcome.block_count, 0);
        assert_string_equal(outcome.events, "");
    }
}

/* Clause: S4 */
static void test_qemu_stream__every_corrupted_byte__stays_in_bounds(void **unused)
{
    static const char golden[] =
        HEAD CONFIG PAGE_BITS CAPABILITY UUID COMMANDS RAM_START TOTAL BLOCKS HOOK SETUP_END;
    char bytes[sizeof(golden)];
    unsigned int broken_count = 0;

    (void)unused;
    for (size_t i = 0; i < sizeof(golden) - 1; i++) {
        for (int flip = 1; flip < 256; flip++) {
            struct outcome whole;
            struct outcome bytewise;

            memcpy(bytes, golden, sizeof(golden));
            bytes[i] = (char)((uint8_t)bytes[i] ^ flip);
            whole = parse(bytes, sizeof(golden) - 1, PORTION_WHOLE, 0);
            bytewise = parse(bytes, sizeof(golden) - 1, PORTION_BYTE, 0);
            assert_memory_equal(&whole, &bytewise, sizeof(whole));
            /* no single flip makes another list whose lengths still add up */
            assert_true(whole.block_count == 0 || whole.blocks_bytes == 0x5040000);
            broken_count += whole.last == QEMU_STREAM_BROKEN;
        }
    }
    assert_true(broken_count > sizeof(golden) * 100);
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
    BROKEN("QEVN", "byte 4: does not begin with QEVM"),
    BROKEN("QEVM\0\0\0\2", "stream version 2"),
    BROKEN(HEAD "\7\0\0\0\0", "machine name of 0 bytes"),
    BROKEN(HEAD "\7\0\x10\0\1", "machine name of 1048577 bytes"),
    BROKEN(HEAD CONFIG "\7", "record 0x07 cannot stand"),
    BROKEN(HEAD COMMANDS "\7", "record 0x07 cannot stand"),
    BROKEN(HEAD CONFIG COMMANDS "\5", "record 0x05 cannot stand"),
    BROKEN(HEAD "\5", "record 0x05 cannot stand"),
    BROKEN(HEAD CONFIG "\0", "record 0x00 cannot stand"),
    BROKEN(HEAD CONFIG "\2", "record 0x02 cannot stand"),
    BROKEN(HEAD CONFIG "\4", "a device's state stands before the RAM section"),
    BROKEN(HEAD CONFIG "\5\0", "has no name"),
    BROKEN(HEAD CONFIG "\5\4"
                       "a\x1b[b",
           "unknown subsection 'a\\x1b[b'"),
    BROKEN(HEAD CONFIG "\5\x1a"
                       "configuration/capabilities\0\0\0\1"
                       "\0\0\x10\1",
           "4097 migration capabilities"),
    BROKEN(HEAD CONFIG "\5\x1a"
                       "configuration/capabilities\0\0\0\1"
                       "\0\0\0\1"
                       "\x0fx-ignore-shared",
           "x-ignore-shared off"),
    BROKEN(HEAD CONFIG "\1\0\0\0\1\5block", "section 'block' stands before"),
    BROKEN(HEAD CONFIG "\1\0\0\0\1\0", "section '' stands before"),
    BROKEN(HEAD CONFIG "\1\0\0\0\2\3ram\0\0\0\1\0\0\0\4", "RAM section instance 1 version 4"),
    BROKEN(HEAD CONFIG "\1\0\0\0\2\3ram\0\0\0\0\0\0\0\3", "RAM section instance 0 version 3"),
    BROKEN(HEAD CONFIG RAM_START "\0\0\0\0\5\4\0\0", "flags 0x000, expected the size"),
    BROKEN(HEAD CONFIG RAM_START "\0\0\0\0\5\4\0\x0c", "flags 0x00c, expected the size"),
    BROKEN(HEAD CONFIG RAM_START "\0\0\0\0\0\0\0\4", "the guest has no RAM"),
    BROKEN(HEAD CONFIG RAM_START TOTAL BLOCK_RAM "\0", "RAM block 1 has no name"),
    BROKEN(HEAD CONFIG RAM_START TOTAL "\3a\0b", "RAM block 0 has a NUL inside"),
    BROKEN(HEAD CONFIG RAM_START TOTAL "\1a\0\0\0\0\0\0\0\0", "RAM block 0 is 0x0 bytes"),
    BROKEN(HEAD CONFIG RAM_START TOTAL "\1a\0\0\0\0\0\0\2\0", "RAM block 0 is 0x200 bytes"),
    BROKEN(HEAD CONFIG RAM_START TOTAL BLOCK_RAM "\1a\0\0\0\0\1\4\x10\0",
           "up to number 1 are longer than the guest's RAM"),
    BROKEN(HEAD CONFIG RAM_START TOTAL BLOCK_RAM "\1a\xff\xff\xff\xff\xff\xff\xf0\0",
           "up to number 1 are longer than the guest's RAM"),
    BROKEN(HEAD CONFIG RAM_START "\0\0\0\0\0\1\0\4"
                                 "\2\x1b"
                                 "a\0\0\0\0\0\0\x80\0"
                                 "\2\x1b"
                                 "a\0\0\0\0\0\0\x80\0",
           "two RAM blocks are named '\\x1ba'"),
    BROKEN(HEAD CONFIG RAM_START TOTAL BLOCKS SETUP_END, "does not migrate over RDMA: record 0x10"),
    BROKEN(HEAD CONFIG RAM_START TOTAL BLOCKS "\0\0\0\0\0\0\x10\x80",
           "does not migrate over RDMA: record 0x1080"),
};

/* Clause: S3, S4, E2 */
static void test_qemu_stream__each_violation__is_broken_with_its_cause(void **unused)
{
    (void)unused;
    for (size_t i = 0; i < sizeof(broken_cases) / sizeof(broken_cases[0]); i++) {
        const struct broken_case *broken = &broken_cases[i];
        struct outcome outcome = parse_all_ways(broken->bytes, broken->length_bytes);

        if (outcome.last != QEMU_STREAM_BROKEN || strstr(outcome.error, broken->cause) == NULL) {
            fail_msg("expected '%s', got '%s'", broken->cause, outcome.error);
        }
        assert_int_equal(outcome.block_count, 0);
    }
}

/* Clause: E2 */
static void test_qemu_stream__fed_after_broken__keeps_the_first_cause(void **unused)
{
    struct qemu_stream *stream = qemu_stream_create();
    struct qemu_stream_state state;
    size_t consumed_bytes;

    (void)unused;
    for (int i = 0; i < 3; i++) {
        const uint8_t *bytes = (const uint8_t *)"xxxx" GOLDEN;

        assert_int_equal(
            qemu_stream_feed(stream, bytes, 4 + sizeof(GOLDEN) - 1, &consumed_bytes, &state),
            QEMU_STREAM_BROKEN);
        assert_int_equal(consumed_bytes, i == 0 ? 4 : 0);
        assert_non_null(strstr(qemu_stream_error(stream), "byte 4: "));
    }
    assert_int_equal(qemu_stream_position(stream), 4);
    qemu_stream_destroy(stream);
    qemu_stream_destroy(NULL);
}

/* A stream of that many blocks of one page; named by number, but for the last when doubled. */
static uint8_t *make_many_blocks(uint32_t block_count, bool doubled, size_t *length_bytes)
{
    uint64_t total = (uint64_t)block_count * 4096 | 4;
    uint8_t *bytes = malloc(sizeof(HEAD RAM_START) + 16 + block_count * (size_t)15);
    uint8_t *next = bytes;

    assert_non_null(bytes);
    memcpy(next, HEAD RAM_START, sizeof(HEAD RAM_START) - 1);
    next += sizeof(HEAD RAM_START) - 1;
    for (int shift = 56; shift >= 0; shift -= 8) {
        *next++ = (uint8_t)(total >> shift);
    }
    for (uint32_t i = 0; i < block_count; i++) {
        char name[16];

        snprintf(name, sizeof(name), "%06u", doubled && i + 1 == block_count ? 0 : i);
        *next++ = 6;
        memcpy(next, name, 6);
        memcpy(next + 6, "\0\0\0\0\0\0\x10\0", 8);
        next += 14;
    }
    memcpy(next, HOOK, 8);
    *length_bytes = (size_t)(next + 8 - bytes);
    return bytes;
}

/* Clause: B4 */
static void test_qemu_stream__block_count__is_limited_to_what_an_answer_holds(void **unused)
{
    size_t length_bytes;
    uint8_t *bytes = make_many_blocks(16383, false, &length_bytes);
    struct outcome outcome = parse(bytes, length_bytes, PORTION_WHOLE, 0);

    (void)unused;
    assert_int_equal(outcome.last, QEMU_STREAM_NEED_MORE);
    assert_int_equal(outcome.block_count, 16383);
    free(bytes);
    bytes = make_many_blocks(16384, false, &length_bytes);
    outcome = parse(bytes, length_bytes, PORTION_WHOLE, 0);
    assert_non_null(strstr(outcome.error, "more than 16383 RAM blocks"));
    free(bytes);
    bytes = make_many_blocks(16383, true, &length_bytes);
    outcome = parse(bytes, length_bytes, PORTION_WHOLE, 0);
    assert_non_null(strstr(outcome.error, "two RAM blocks are named '000000'"));
    free(bytes);
}

/* Clause: S4 */
static void test_qemu_stream__longest_name__is_kept_whole(void **unused)
{
    uint8_t bytes[sizeof(HEAD RAM_START) + 8 + 256 + 16];
    struct qemu_stream *stream = qemu_stream_create();
    struct qemu_stream_state state;
    size_t consumed_bytes;
    uint8_t *next = bytes + sizeof(HEAD RAM_START) - 1;

    (void)unused;
    memcpy(bytes, HEAD RAM_START, sizeof(HEAD RAM_START) - 1);
    memcpy(next, "\0\0\0\0\0\0\x10\4\xff", 9);
    memset(next + 9, 'n', 255);
    memcpy(next + 264, "\0\0\0\0\0\0\x10\0" HOOK, 16);
    assert_int_equal(qemu_stream_feed(stream, bytes, sizeof(bytes) - 1, &consumed_bytes, &state),
                     QEMU_STREAM_BLOCKS_LISTED);
    assert_int_equal(strlen(qemu_stream_block(stream, 0)->name), 255);
    qemu_stream_destroy(stream);
}

/* Clause: S3 */
static void test_qemu_stream__endless_preamble__is_broken_at_its_limit(void **unused)
{
    enum { COMMAND_BYTES = 5 + 65535, COMMAND_COUNT = 70 };
    size_t length_bytes = 8 + (size_t)COMMAND_COUNT * COMMAND_BYTES;
    uint8_t *bytes = calloc(1, length_bytes);
    struct outcome outcome;

    (void)unused;
    assert_non_null(bytes);
    memcpy(bytes, HEAD, 8);
    for (size_t i = 0; i < COMMAND_COUNT; i++) {
        memcpy(bytes + 8 + i * COMMAND_BYTES, "\x08\0\1\xff\xff", 5);
    }
    outcome = parse(bytes, length_bytes, PORTION_WHOLE, 0);
    assert_non_null(strstr(outcome.error, "no RAM section in the first 4194304 bytes"));
    free(bytes);

    /* while the longest machine name is still taken */
    length_bytes = 8 + 5 + 1024 * 1024;
    bytes = calloc(1, length_bytes + 1);
    assert_non_null(bytes);
    memcpy(bytes, HEAD "\7\0\x10\0\0", 13);
    bytes[length_bytes] = 1;
    outcome = parse(bytes, length_bytes + 1, PORTION_WHOLE, 0);
    assert_int_equal(outcome.last, QEMU_STREAM_NEED_MORE);
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_qemu_stream__q35_prefix__lists_blocks_in_order),
        cmocka_unit_test(test_qemu_stream__every_known_preamble__is_passed_over),
        cmocka_unit_test(test_qemu_stream__bytes_behind_the_hook__are_opaque),
        cmocka_unit_test(test_qemu_stream__every_truncation__needs_more),
        cmocka_unit_test(test_qemu_stream__every_corrupted_byte__stays_in_bounds),
        cmocka_unit_test(test_qemu_stream__each_violation__is_broken_with_its_cause),
        cmocka_unit_test(test_qemu_stream__fed_after_broken__keeps_the_first_cause),
        cmocka_unit_test(test_qemu_stream__block_count__is_limited_to_what_an_answer_holds),
        cmocka_unit_test(test_qemu_stream__longest_name__is_kept_whole),
        cmocka_unit_test(test_qemu_stream__endless_preamble__is_broken_at_its_limit),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
