/* SPDX-License-Identifier: BSD-2-Clause */
/* Telling a finished QEMU stream from one that was cut. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "../../src/qemu/stream.h"

/* A finished stream whose description is json_bytes long. */
static uint8_t *make_finished(size_t json_bytes, size_t *length_bytes)
{
    static const char tail[] = "\x01\x02\0\x06\0\0\x7e\0\0\0\x2c";
    size_t tail_bytes = sizeof(tail) - 1;
    uint8_t *bytes = malloc(tail_bytes + 6 + json_bytes);

    assert_non_null(bytes);
    memcpy(bytes, tail, tail_bytes);
    bytes[tail_bytes] = 0x00;
    bytes[tail_bytes + 1] = 0x06;
    for (unsigned int i = 0; i < 4; i++) {
        bytes[tail_bytes + 2 + i] = (uint8_t)(json_bytes >> (24 - 8 * i));
    }
    memset(bytes + tail_bytes + 6, 'j', json_bytes);
    bytes[tail_bytes + 6] = '{';
    bytes[tail_bytes + 6 + json_bytes - 1] = '}';
    *length_bytes = tail_bytes + 6 + json_bytes;
    return bytes;
}

/* Clause: S6 */
static void test_qemu_stream_end__end_with_description__is_found(void **unused)
{
    /* lengths with a zero in each byte, and 0x01010101 with none */
    static const size_t json_lengths[] = {2, 3, 255, 256, 257, 0x600, 0x10000, 0x10101, 0x1010101};

    (void)unused;
    for (size_t i = 0; i < sizeof(json_lengths) / sizeof(json_lengths[0]); i++) {
        size_t length_bytes;
        size_t offset_bytes = 0;
        uint8_t *bytes = make_finished(json_lengths[i], &length_bytes);

        assert_true(qemu_stream_find_end(bytes, length_bytes, &offset_bytes));
        assert_int_equal(offset_bytes, 11);
        /* also when only the tail is there */
        assert_true(qemu_stream_find_end(bytes + 11, length_bytes - 11, &offset_bytes));
        assert_int_equal(offset_bytes, 0);
        assert_false(qemu_stream_find_end(bytes + 12, length_bytes - 12, &offset_bytes));
        free(bytes);
    }
}

/* Clause: S6 */
static void test_qemu_stream_end__end_without_description__is_found(void **unused)
{
    size_t offset_bytes = 0;

    (void)unused;
    assert_true(qemu_stream_find_end((const uint8_t *)"abc\x7e\0\0\0\x2c", 9, &offset_bytes));
    assert_int_equal(offset_bytes, 8);
    assert_true(qemu_stream_find_end((const uint8_t *)"\x7e\0\0\0\x2c", 6, &offset_bytes));
    assert_int_equal(offset_bytes, 5);
    assert_false(qemu_stream_find_end((const uint8_t *)"\x7d\0\0\0\x2c", 6, &offset_bytes));
    assert_false(qemu_stream_find_end((const uint8_t *)"\x7e\0\0\0\x2c\1", 6, &offset_bytes));
    assert_int_equal(offset_bytes, 5);
}

/* Clause: S6, E7 */
static void test_qemu_stream_end__truncated_or_longer_end__is_not_complete(void **unused)
{
    size_t length_bytes;
    size_t offset_bytes;
    uint8_t *bytes = make_finished(300, &length_bytes);

    (void)unused;
    for (size_t shorter = 0; shorter < length_bytes; shorter++) {
        uint8_t *copy = malloc(shorter + 1);
        bool complete;

        assert_non_null(copy);
        memcpy(copy, bytes, shorter);
        complete = qemu_stream_find_end(copy, shorter, &offset_bytes);
        /* cut right behind the end mark it looks as one without a description would */
        assert_int_equal(complete, shorter == 12);
        copy[shorter] = 'x';
        assert_false(qemu_stream_find_end(copy, shorter + 1, &offset_bytes));
        free(copy);
    }
    bytes[length_bytes - 300] = '[';
    assert_false(qemu_stream_find_end(bytes, length_bytes, &offset_bytes));
    bytes[length_bytes - 300] = '{';
    bytes[length_bytes - 301]++;
    assert_false(qemu_stream_find_end(bytes, length_bytes, &offset_bytes));
    free(bytes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_qemu_stream_end__end_with_description__is_found),
        cmocka_unit_test(test_qemu_stream_end__end_without_description__is_found),
        cmocka_unit_test(test_qemu_stream_end__truncated_or_longer_end__is_not_complete),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
