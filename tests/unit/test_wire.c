/* SPDX-License-Identifier: BSD-2-Clause */
/* The wire codec against bytes written by hand from the protocol's description. */
#include "core/wire.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>
#include <string.h>
#include <sys/mman.h>

enum { PAGE_BYTES = 4096, DATA_BYTES_MAX = 96 };

/* Whole messages, every type once; what follows the header is 0, 1, 2, ... where its meaning does
 * not matter. */
struct golden {
    uint32_t length_bytes;
    uint32_t type;
    uint32_t repeat;
    uint8_t header[16];
};

static const struct golden goldens[] = {
    {0, RDMIG_MESSAGE_ERROR, 1, {0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 0}},
    {0, RDMIG_MESSAGE_READY, 1, {0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 0}},
    {5, RDMIG_MESSAGE_QEMU_FILE, 0, {0, 0, 0, 5, 0, 0, 0, 3, 0, 0, 0, 0, 0, 0, 0, 0}},
    {0, RDMIG_MESSAGE_RAM_BLOCKS_REQUEST, 1, {0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 0, 1, 0, 0, 0, 0}},
    {96, RDMIG_MESSAGE_RAM_BLOCKS_RESULT, 1, {0, 0, 0, 96, 0, 0, 0, 5, 0, 0, 0, 1, 0, 0, 0, 0}},
    {24, RDMIG_MESSAGE_COMPRESS, 1, {0, 0, 0, 24, 0, 0, 0, 6, 0, 0, 0, 1, 0, 0, 0, 0}},
    {72, RDMIG_MESSAGE_REGISTER_REQUEST, 3, {0, 0, 0, 72, 0, 0, 0, 7, 0, 0, 0, 3, 0, 0, 0, 0}},
    {48, RDMIG_MESSAGE_REGISTER_RESULT, 3, {0, 0, 0, 48, 0, 0, 0, 8, 0, 0, 0, 3, 0, 0, 0, 0}},
    {0, RDMIG_MESSAGE_REGISTER_FINISHED, 1, {0, 0, 0, 0, 0, 0, 0, 9, 0, 0, 0, 1, 0, 0, 0, 0}},
    {48, RDMIG_MESSAGE_UNREGISTER_REQUEST, 2, {0, 0, 0, 48, 0, 0, 0, 10, 0, 0, 0, 2, 0, 0, 0, 0}},
    {0, RDMIG_MESSAGE_UNREGISTER_FINISHED, 1, {0, 0, 0, 0, 0, 0, 0, 11, 0, 0, 0, 1, 0, 0, 0, 0}},
};

#define GOLDEN_COUNT (sizeof(goldens) / sizeof(goldens[0]))

/* One page with memory behind it that cannot be touched: reading too far ends the test. */
static uint8_t *map_guarded(void)
{
    uint8_t *memory =
        mmap(NULL, 2 * PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    assert_ptr_not_equal(memory, MAP_FAILED);
    assert_int_equal(mprotect(memory + PAGE_BYTES, PAGE_BYTES, PROT_NONE), 0);
    return memory;
}

static void unmap(uint8_t *memory)
{
    assert_int_equal(munmap(memory, 2 * PAGE_BYTES), 0);
}

/* The message, of exactly its bytes, at the very end of the page. */
static uint8_t *place(uint8_t *memory, const struct golden *golden, size_t length_bytes)
{
    uint8_t bytes[16 + DATA_BYTES_MAX];

    memcpy(bytes, golden->header, 16);
    for (uint32_t i = 0; i < DATA_BYTES_MAX; i++)
        bytes[16 + i] = (uint8_t)i;
    memcpy(memory + PAGE_BYTES - length_bytes, bytes, length_bytes);
    return memory + PAGE_BYTES - length_bytes;
}

/* Clause: W3, W6 */
static void test_wire_header__every_type__reads_as_it_is_written_down(void **state)
{
    uint8_t *memory = map_guarded();

    (void)state;
    for (size_t i = 0; i < GOLDEN_COUNT; i++) {
        const struct golden *golden = &goldens[i];
        const uint8_t *message = place(memory, golden, 16 + golden->length_bytes);
        struct wire_header header;
        uint64_t expected;
        uint64_t actual;

        assert_int_equal(
            wire_read_header(message, 16 + golden->length_bytes, &header, &expected, &actual),
            RDMIG_REASON_NONE);
        assert_int_equal(header.length_bytes, golden->length_bytes);
        assert_int_equal(header.type, golden->type);
        assert_int_equal(header.repeat, golden->repeat);
    }
    unmap(memory);
}

/* Clause: W3 */
static void test_wire_header__every_type__is_written_as_it_is_written_down(void **state)
{
    (void)state;
    for (size_t i = 0; i < GOLDEN_COUNT; i++) {
        const struct golden *golden = &goldens[i];
        const struct wire_header header = {golden->length_bytes, golden->type, golden->repeat};
        uint8_t bytes[18];

        memset(bytes, 0xff, sizeof(bytes));
        wire_write_header(bytes + 1, &header);
        assert_memory_equal(bytes + 1, golden->header, 16);
        assert_int_equal(bytes[0], 0xff);
        assert_int_equal(bytes[17], 0xff);
    }
}

/* Clause: W4 */
static void test_wire_header__every_truncation__is_refused_and_never_read_past(void **state)
{
    uint8_t *memory = map_guarded();

    (void)state;
    for (size_t i = 0; i < GOLDEN_COUNT; i++) {
        for (size_t length = 0; length < 16 + goldens[i].length_bytes; length++) {
            const uint8_t *message = place(memory, &goldens[i], length);
            struct wire_header header;
            uint64_t expected;
            uint64_t actual;
            const enum rdmig_reason reason =
                wire_read_header(message, length, &header, &expected, &actual);

            assert_int_equal(reason, length < 16 ? RDMIG_REASON_MESSAGE_SHORT
                                                 : RDMIG_REASON_MESSAGE_LENGTH);
            assert_int_equal(expected, length < 16 ? 16 : 16 + goldens[i].length_bytes);
            assert_int_equal(actual, length);
        }
    }
    unmap(memory);
}

/* What a flipped header may be taken for: found here from the clauses, not from the codec. */
static enum rdmig_reason judge(const uint8_t *bytes, size_t received_bytes)
{
    static const uint32_t entry_bytes[12] = {0, 0, 0, 0, 0, 32, 24, 24, 16, 0, 24, 0};
    const uint64_t length =
        (uint64_t)bytes[0] * 0x1000000 + bytes[1] * 0x10000u + bytes[2] * 0x100u + bytes[3];
    const uint64_t type =
        (uint64_t)bytes[4] * 0x1000000 + bytes[5] * 0x10000u + bytes[6] * 0x100u + bytes[7];
    const uint64_t repeat =
        (uint64_t)bytes[8] * 0x1000000 + bytes[9] * 0x10000u + bytes[10] * 0x100u + bytes[11];
    const uint64_t counted = repeat == 0 ? 1 : repeat;

    if (length + 16 != received_bytes)
        return RDMIG_REASON_MESSAGE_LENGTH;
    if (type == 0 || type > 11)
        return RDMIG_REASON_MESSAGE_TYPE;
    if (repeat > 4096)
        return RDMIG_REASON_MESSAGE_REPEAT;
    if (type == 3)
        return RDMIG_REASON_NONE;
    if (entry_bytes[type] == 0)
        return length == 0 ? RDMIG_REASON_NONE : RDMIG_REASON_MESSAGE_BODY;
    if (length == 0 || length % entry_bytes[type] != 0)
        return RDMIG_REASON_MESSAGE_BODY;
    /* The two answers count by len: stock leaves repeat at 1 in one, and as asked in the other
     * (clause R5). */
    if (type == 5 || type == 8)
        return RDMIG_REASON_NONE;
    return length == counted * entry_bytes[type] ? RDMIG_REASON_NONE : RDMIG_REASON_MESSAGE_BODY;
}

/* Clause: W3, W4, W5, W6 */
static void test_wire_header__every_bit_flipped__is_judged_by_the_clauses(void **state)
{
    uint8_t *memory = map_guarded();

    (void)state;
    for (size_t i = 0; i < GOLDEN_COUNT; i++) {
        for (uint32_t bit = 0; bit < 128; bit++) {
            const size_t length = 16 + goldens[i].length_bytes;
            uint8_t *message = place(memory, &goldens[i], length);
            struct wire_header header;
            uint64_t expected;
            uint64_t actual;

            message[bit / 8] ^= (uint8_t)(0x80 >> bit % 8);
            assert_int_equal(wire_read_header(message, length, &header, &expected, &actual),
                             judge(message, length));
            if (bit >= 96) /* padding */
                assert_int_equal(wire_read_header(message, length, &header, &expected, &actual),
                                 RDMIG_REASON_NONE);
        }
    }
    unmap(memory);
}

/* Clause: W4 */
static void test_wire_header__len_near_the_limits__does_not_wrap(void **state)
{
    static const struct {
        uint32_t length_bytes;
        uint64_t received_bytes;
        enum rdmig_reason reason;
    } cases[] = {
        {524272, 524288, RDMIG_REASON_NONE},
        {524273, 524288, RDMIG_REASON_MESSAGE_LENGTH},
        {UINT32_MAX, 15, RDMIG_REASON_MESSAGE_SHORT},
        {UINT32_MAX, 16, RDMIG_REASON_MESSAGE_LENGTH},
        {UINT32_MAX - 15, 16, RDMIG_REASON_MESSAGE_LENGTH},
        {UINT32_MAX - 15, 0, RDMIG_REASON_MESSAGE_SHORT},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct wire_header written = {cases[i].length_bytes, RDMIG_MESSAGE_QEMU_FILE, 0};
        struct wire_header header;
        uint8_t bytes[16];
        uint64_t expected;
        uint64_t actual;

        wire_write_header(bytes, &written);
        assert_int_equal(
            wire_read_header(bytes, cases[i].received_bytes, &header, &expected, &actual),
            cases[i].reason);
    }
}

/* Clause: W5 */
static void test_wire_header__repeat_and_len__must_agree(void **state)
{
    static const struct {
        uint32_t type;
        uint32_t length_bytes;
        uint32_t repeat;
        enum rdmig_reason reason;
    } cases[] = {
        {RDMIG_MESSAGE_REGISTER_REQUEST, 24 * 4096, 4096, RDMIG_REASON_NONE},
        {RDMIG_MESSAGE_REGISTER_REQUEST, 24 * 4097, 4097, RDMIG_REASON_MESSAGE_REPEAT},
        {RDMIG_MESSAGE_REGISTER_REQUEST, 24, 0, RDMIG_REASON_NONE},
        {RDMIG_MESSAGE_REGISTER_REQUEST, 48, 0, RDMIG_REASON_MESSAGE_BODY},
        {RDMIG_MESSAGE_REGISTER_REQUEST, 24, 2, RDMIG_REASON_MESSAGE_BODY},
        {RDMIG_MESSAGE_REGISTER_REQUEST, 0, 0, RDMIG_REASON_MESSAGE_BODY},
        {RDMIG_MESSAGE_REGISTER_REQUEST, 23, 1, RDMIG_REASON_MESSAGE_BODY},
        {RDMIG_MESSAGE_COMPRESS, 24, 0, RDMIG_REASON_NONE},
        {RDMIG_MESSAGE_COMPRESS, 48, 1, RDMIG_REASON_MESSAGE_BODY},
        {RDMIG_MESSAGE_UNREGISTER_REQUEST, 48, 2, RDMIG_REASON_NONE},
        {RDMIG_MESSAGE_REGISTER_RESULT, 16, 64, RDMIG_REASON_NONE},
        {RDMIG_MESSAGE_REGISTER_RESULT, 17, 1, RDMIG_REASON_MESSAGE_BODY},
        {RDMIG_MESSAGE_RAM_BLOCKS_RESULT, 64, 1, RDMIG_REASON_NONE},
        {RDMIG_MESSAGE_RAM_BLOCKS_RESULT, 0, 1, RDMIG_REASON_MESSAGE_BODY},
        {RDMIG_MESSAGE_READY, 1, 1, RDMIG_REASON_MESSAGE_BODY},
        {RDMIG_MESSAGE_READY, 0, 4097, RDMIG_REASON_MESSAGE_REPEAT},
        {RDMIG_MESSAGE_NONE, 0, 1, RDMIG_REASON_MESSAGE_TYPE},
        {12, 0, 1, RDMIG_REASON_MESSAGE_TYPE},
        {UINT32_MAX, 0, 1, RDMIG_REASON_MESSAGE_TYPE},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct wire_header written = {cases[i].length_bytes, cases[i].type, cases[i].repeat};
        struct wire_header header;
        uint8_t bytes[16];
        uint64_t expected;
        uint64_t actual;

        wire_write_header(bytes, &written);
        assert_int_equal(
            wire_read_header(bytes, 16ULL + cases[i].length_bytes, &header, &expected, &actual),
            cases[i].reason);
    }
}

/* Clause: W7, W8, W9, W10 */
static void test_wire_entry_bytes__every_type__has_the_size_of_the_specification(void **state)
{
    static const uint32_t sizes[14] = {0, 0, 0, 0, 0, 32, 24, 24, 16, 0, 24, 0, 0, 0};

    (void)state;
    for (uint32_t type = 0; type < 14; type++)
        assert_int_equal(wire_entry_bytes(type), sizes[type]);
    assert_int_equal(wire_entry_bytes(UINT32_MAX), 0);
}

/* Clause: W1 */
static void test_wire_private_data__golden(void **state)
{
    static const uint8_t golden[8] = {0x00, 0x00, 0x00, 0x01, 0x80, 0x40, 0x20, 0x11};
    struct wire_private_data data = {1, 0x80402011, 0, 0};
    uint8_t bytes[8];

    (void)state;
    assert_int_equal(wire_write_private_data(bytes, &data), sizeof(golden));
    assert_memory_equal(bytes, golden, sizeof(golden));
    data = (struct wire_private_data){0, 0, 1, 1};
    wire_read_private_data(golden, sizeof(golden), &data);
    assert_int_equal(data.credit_count, 0);
    assert_int_equal(data.bytes, 0);
    assert_int_equal(data.version, 1);
    assert_int_equal(data.flags, 0x80402011);
}

/* Clause: W11 */
static void test_wire_private_data__between_our_own_ends__golden(void **state)
{
    static const uint8_t golden[24] = {
        0x00, 0x00, 0x00, 0x01,                         /* version */
        0x00, 0x01, 0x00, 0x01,                         /* flags */
        0x00, 0x00, 0x00, 0x04,                         /* credits */
        0x00, 0x00, 0x00, 0x00,                         /* padding */
        0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, /* bytes */
    };
    struct wire_private_data data = {1, RDMIG_CAPABILITY_PIPELINE | 1, 4, 0x0102030405060708};
    uint8_t bytes[24];

    (void)state;
    assert_int_equal(wire_write_private_data(bytes, &data), sizeof(golden));
    assert_memory_equal(bytes, golden, sizeof(golden));
    data = (struct wire_private_data){0};
    wire_read_private_data(golden, sizeof(golden), &data);
    assert_int_equal(data.flags, RDMIG_CAPABILITY_PIPELINE | 1);
    assert_int_equal(data.credit_count, 4);
    assert_int_equal(data.bytes, 0x0102030405060708);
    /* Short of one byte: what is not there is not read. */
    wire_read_private_data(golden, sizeof(golden) - 1, &data);
    assert_int_equal(data.flags, RDMIG_CAPABILITY_PIPELINE | 1);
    assert_int_equal(data.credit_count, 0);
}

/* Clause: W7 */
static void test_wire_block__golden(void **state)
{
    static const uint8_t golden[32] = {
        0x00, 0x00, 0x7f, 0x12, 0x34, 0x56, 0x78, 0x9a, /* remote_host_addr */
        0x01, 0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, /* offset */
        0xf1, 0xf2, 0xf3, 0xf4, 0xf5, 0xf6, 0xf7, 0xf8, /* length */
        0xde, 0xad, 0xbe, 0xef,                         /* remote_rkey */
        0x00, 0x00, 0x00, 0x00,
    };
    const struct wire_block entry = {0x7f123456789a, 0x0102030405060708, 0xf1f2f3f4f5f6f7f8,
                                     0xdeadbeef};
    struct wire_block read = {0, 0, 0, 0};
    uint8_t bytes[32];

    (void)state;
    memset(bytes, 0xff, sizeof(bytes));
    wire_write_block(bytes, &entry);
    assert_memory_equal(bytes, golden, sizeof(golden));
    bytes[31] = 0xff; /* padding is ignored */
    wire_read_block(bytes, &read);
    assert_int_equal(read.host_addr, entry.host_addr);
    assert_int_equal(read.offset_bytes, entry.offset_bytes);
    assert_int_equal(read.length_bytes, entry.length_bytes);
    assert_int_equal(read.rkey, entry.rkey);
}

/* Clause: W8 */
static void test_wire_register__golden(void **state)
{
    static const uint8_t golden[24] = {
        0x00, 0x00, 0x00, 0x01, 0x00, 0x10, 0x00, 0x00, /* key */
        0x00, 0x00, 0x01, 0x02,                         /* block_index */
        0x00, 0x00, 0x00, 0x00,                         /* padding */
        0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x3f, /* chunks */
    };
    const struct wire_register entry = {0x100100000, 0x102, 63};
    struct wire_register read = {0, 0, 0};
    uint8_t bytes[24];

    (void)state;
    memset(bytes, 0xff, sizeof(bytes));
    wire_write_register(bytes, &entry);
    assert_memory_equal(bytes, golden, sizeof(golden));
    bytes[12] = 0xff;
    wire_read_register(bytes, &read);
    assert_int_equal(read.key, entry.key);
    assert_int_equal(read.block_index, entry.block_index);
    assert_int_equal(read.extra_chunk_count, entry.extra_chunk_count);
}

/* Clause: W9 */
static void test_wire_result__golden(void **state)
{
    static const uint8_t golden[16] = {
        0x12, 0x34, 0x56, 0x78,                         /* rkey */
        0x00, 0x00, 0x00, 0x00,                         /* padding */
        0x00, 0x00, 0x7e, 0xdc, 0xba, 0x98, 0x76, 0x54, /* host_addr */
    };
    const struct wire_result entry = {0x12345678, 0x7edcba987654};
    struct wire_result read = {0, 0};
    uint8_t bytes[16];

    (void)state;
    memset(bytes, 0xff, sizeof(bytes));
    wire_write_result(bytes, &entry);
    assert_memory_equal(bytes, golden, sizeof(golden));
    bytes[7] = 0xff;
    wire_read_result(bytes, &read);
    assert_int_equal(read.rkey, entry.rkey);
    assert_int_equal(read.host_addr, entry.host_addr);
}

/* Clause: W10 */
static void test_wire_compress__golden(void **state)
{
    static const uint8_t golden[24] = {
        0x00, 0x00, 0x00, 0xff,                         /* value */
        0x00, 0x00, 0x00, 0x05,                         /* block_index */
        0x00, 0x00, 0x00, 0x02, 0x00, 0x00, 0x10, 0x00, /* offset */
        0x00, 0x00, 0x00, 0x00, 0x06, 0x40, 0x00, 0x00, /* length: 100 MiB */
    };
    const struct wire_compress entry = {255, 5, 0x200001000, 104857600};
    struct wire_compress read = {0, 0, 0, 0};
    uint8_t bytes[24];

    (void)state;
    memset(bytes, 0xaa, sizeof(bytes));
    wire_write_compress(bytes, &entry);
    assert_memory_equal(bytes, golden, sizeof(golden));
    wire_read_compress(bytes, &read);
    assert_int_equal(read.value, entry.value);
    assert_int_equal(read.block_index, entry.block_index);
    assert_int_equal(read.offset_bytes, entry.offset_bytes);
    assert_int_equal(read.length_bytes, entry.length_bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wire_header__every_type__reads_as_it_is_written_down),
        cmocka_unit_test(test_wire_header__every_type__is_written_as_it_is_written_down),
        cmocka_unit_test(test_wire_header__every_truncation__is_refused_and_never_read_past),
        cmocka_unit_test(test_wire_header__every_bit_flipped__is_judged_by_the_clauses),
        cmocka_unit_test(test_wire_header__len_near_the_limits__does_not_wrap),
        cmocka_unit_test(test_wire_header__repeat_and_len__must_agree),
        cmocka_unit_test(test_wire_entry_bytes__every_type__has_the_size_of_the_specification),
        cmocka_unit_test(test_wire_private_data__golden),
        cmocka_unit_test(test_wire_private_data__between_our_own_ends__golden),
        cmocka_unit_test(test_wire_block__golden),
        cmocka_unit_test(test_wire_register__golden),
        cmocka_unit_test(test_wire_result__golden),
        cmocka_unit_test(test_wire_compress__golden),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
