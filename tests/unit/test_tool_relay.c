/* SPDX-License-Identifier: BSD-2-Clause */
/* The rdmig relay's parts: what of the stream it passes on, and how it finds changed memory. */
#include "../../src/tool/commands/relay_shadow.h"
#include "../../src/tool/commands/relay_stream.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MIB (UINT64_C(1) << 20)

/* ---- the stream */

static void add(struct relay_stream *stream, const void *bytes, size_t length_bytes)
{
    uint8_t *place = relay_stream_reserve(stream, length_bytes);

    assert_non_null(place);
    memcpy(place, bytes, length_bytes);
    relay_stream_added(stream, length_bytes);
}

static void begin(struct relay_stream *stream, bool is_end_held)
{
    assert_true(relay_stream_init(stream));
    stream->is_end_held = is_end_held;
}

/* Adds this, and expects so much of all that is left to be passable; passes it. */
static void expect(struct relay_stream *stream, const void *bytes, size_t length_bytes,
                   size_t passable_bytes)
{
    add(stream, bytes, length_bytes);
    assert_int_equal(relay_stream_passable_bytes(stream), passable_bytes);
    relay_stream_passed(stream, passable_bytes);
}

static void test_before_the_last_round_all_is_passed(void **state)
{
    struct relay_stream stream;

    (void)state;
    begin(&stream, false);
    expect(&stream, "ab\0\6\0\0\0\2{}", 10, 10);
    expect(&stream, "\0", 1, 1);
    assert_int_equal(stream.position_bytes, 11);
    assert_int_equal(relay_stream_left_bytes(&stream), 0);
    assert_false(relay_stream_is_complete(&stream));
    relay_stream_free(&stream);
}

/* Clause: S6 */
static void test_the_end_is_held_back_however_it_is_cut(void **state)
{
    static const char whole[] = "device\0state\0\6\0\0\0\11{\"a\": 12}";
    const size_t whole_bytes = sizeof(whole) - 1;
    const size_t mark = 12;
    size_t piece_bytes;

    (void)state;
    for (piece_bytes = 1; piece_bytes <= whole_bytes; piece_bytes++) {
        struct relay_stream stream;
        size_t passed_bytes = 0;
        size_t at;

        begin(&stream, true);
        for (at = 0; at < whole_bytes; at += piece_bytes) {
            size_t passable_bytes;

            assert_false(relay_stream_is_complete(&stream));
            add(&stream, whole + at,
                piece_bytes < whole_bytes - at ? piece_bytes : whole_bytes - at);
            passable_bytes = relay_stream_passable_bytes(&stream);
            relay_stream_passed(&stream, passable_bytes);
            passed_bytes += passable_bytes;
            assert_true(passed_bytes <= mark);
        }
        assert_int_equal(passed_bytes, mark);
        assert_true(relay_stream_is_complete(&stream));
        assert_int_equal(relay_stream_left_bytes(&stream), whole_bytes - mark);
        assert_memory_equal(stream.bytes + stream.start, whole + mark, whole_bytes - mark);
        relay_stream_free(&stream);
    }
}

static void test_what_is_not_the_end_goes_on(void **state)
{
    struct relay_stream stream;

    (void)state;
    begin(&stream, true);
    expect(&stream, "a\0", 2, 1);       /* may be */
    expect(&stream, "b", 1, 2);         /* is not: no 6 behind it */
    expect(&stream, "\0\6", 2, 0);      /* may be */
    expect(&stream, "\0\0\0\3[", 5, 7); /* is not: no brace */
    expect(&stream, "\0\6\0\0\0\2{}", 8, 0);
    expect(&stream, "c", 1, 9); /* is not: more than its length */
    expect(&stream, "\0\6\0\0\0\5{", 7, 0);
    expect(&stream, "d\0", 2, 8);                 /* is not: NUL in it; but that one may be */
    expect(&stream, "\0\0", 2, 2);                /* only the last of a row may be */
    expect(&stream, "\6\377\377\377\377{", 6, 7); /* is not: no length of a description */
    assert_false(relay_stream_is_complete(&stream));
    relay_stream_free(&stream);
}

/* Clause: S6 */
static void test_only_a_whole_end_is_complete(void **state)
{
    static const char footer[] = "\x7e\0\0\0\1\0";
    struct relay_stream stream;

    (void)state;
    begin(&stream, true);
    expect(&stream, "a\0\6\0\0\0\2{", 8, 1);
    assert_false(relay_stream_is_complete(&stream)); /* cut */
    relay_stream_free(&stream);
    begin(&stream, true);
    expect(&stream, "a\0", 2, 1);
    assert_false(relay_stream_is_complete(&stream)); /* no footer before it */
    relay_stream_free(&stream);
    begin(&stream, true);
    expect(&stream, footer, 6, 5);
    assert_true(relay_stream_is_complete(&stream));
    relay_stream_free(&stream);
    begin(&stream, true);
    expect(&stream, "abc", 3, 3);
    assert_false(relay_stream_is_complete(&stream));
    relay_stream_free(&stream);
}

static void test_a_long_description_is_kept_whole(void **state)
{
    const size_t length_bytes = 3 * RELAY_STREAM_BYTES;
    const uint8_t head[] = {0,
                            6,
                            0,
                            (uint8_t)(length_bytes >> 16),
                            (uint8_t)(length_bytes >> 8),
                            (uint8_t)length_bytes};
    uint8_t *text = malloc(length_bytes);
    struct relay_stream stream;
    size_t at;

    (void)state;
    assert_non_null(text);
    memset(text, 'x', length_bytes);
    text[0] = '{';
    text[length_bytes - 1] = '}';
    begin(&stream, true);
    expect(&stream, head, sizeof(head), 0);
    for (at = 0; at < length_bytes; at += RELAY_STREAM_BYTES) {
        expect(&stream, text + at, RELAY_STREAM_BYTES, 0);
    }
    assert_true(relay_stream_is_complete(&stream));
    assert_memory_equal(stream.bytes + stream.start + sizeof(head), text, length_bytes);
    stream.is_end_held = false;
    assert_int_equal(relay_stream_passable_bytes(&stream), sizeof(head) + length_bytes);
    relay_stream_free(&stream);
    free(text);
}

/* Clause: S5 */
static void test_hooks(void **state)
{
    struct relay_stream stream;

    (void)state;
    begin(&stream, false);
    assert_int_equal(relay_stream_hook(&stream), RELAY_HOOK_NONE);
    add(&stream, "\2\0\0\0\3\0\0\0\0\0\0\0\200", 13);
    assert_int_equal(relay_stream_hook(&stream), RELAY_HOOK_PART);
    relay_stream_passed(&stream, 13);
    add(&stream, "\0\0\0\0\0\0\0\20\x7e\0\0\0\3\3\0\0\0\3\0\0\0", 21);
    assert_int_equal(relay_stream_hook(&stream), RELAY_HOOK_NONE);
    add(&stream, "\0\0\0\0\200", 5); /* cut in the middle of it */
    assert_int_equal(relay_stream_hook(&stream), RELAY_HOOK_OTHER);
    add(&stream, "x", 1);
    assert_int_equal(relay_stream_hook(&stream), RELAY_HOOK_NONE);
    relay_stream_free(&stream);
}

/* ---- the memory */

struct seen {
    uint64_t bytes;
    uint32_t range_count;
    uint32_t block_index; /* of the last one */
    uint64_t offset_bytes;
    uint64_t length_bytes;
};

static bool see(void *context, uint32_t block_index, uint64_t offset_bytes, uint64_t length_bytes)
{
    struct seen *seen = context;

    seen->bytes += length_bytes;
    seen->range_count++;
    seen->block_index = block_index;
    seen->offset_bytes = offset_bytes;
    seen->length_bytes = length_bytes;
    return true;
}

struct memories {
    struct ramfile_set received;
    struct shadow shadow;
};

/* Lengths that are no multiple of anything but the page. */
static void make(struct memories *memories)
{
    static const struct rdmig_ram_block blocks[] = {
        {.name = "big", .length_bytes = 9 * MIB + 4096},
        {.name = "small", .length_bytes = 4096},
        {.name = "odd", .length_bytes = MIB / 8},
    };
    struct tool_error error = {{0}, {0}, {0}};

    assert_true(ramfile_set_allocate(&memories->received, blocks, 3, &error));
    assert_true(shadow_allocate(&memories->shadow, &memories->received, &error));
}

static void unmake(struct memories *memories)
{
    shadow_free(&memories->shadow);
    ramfile_set_close(&memories->received);
}

/* A whole comparison, which leaves both the same. */
static struct seen compare(struct memories *memories)
{
    struct seen seen = {0};
    uint32_t turns = 0;
    uint32_t i;

    shadow_begin(&memories->shadow);
    while (memories->shadow.is_comparing) {
        shadow_compare(&memories->shadow, see, &seen);
        assert_true(++turns < 100);
    }
    for (i = 0; i < memories->received.count; i++) {
        assert_memory_equal(memories->shadow.blocks[i].host_addr,
                            memories->received.files[i].host_addr,
                            memories->received.files[i].length_bytes);
    }
    return seen;
}

static uint8_t *at(const struct memories *memories, uint32_t block_index, uint64_t offset_bytes)
{
    return (uint8_t *)memories->received.files[block_index].host_addr + offset_bytes;
}

static void test_what_changed_is_found(void **state)
{
    struct memories memories;
    struct seen seen;

    (void)state;
    make(&memories);
    assert_int_equal(compare(&memories).bytes, 0);
    *at(&memories, 0, 9 * MIB) = 1; /* the last page */
    *at(&memories, 1, 4095) = 1;
    *at(&memories, 2, 0) = 1;
    seen = compare(&memories);
    assert_int_equal(seen.bytes, 3 * 4096);
    assert_int_equal(seen.range_count, 3);
    assert_int_equal(compare(&memories).bytes, 0);
    *at(&memories, 2, 0) = 0; /* zero again is a change, too */
    seen = compare(&memories);
    assert_int_equal(seen.bytes, 4096);
    assert_int_equal(seen.block_index, 2);
    memset(at(&memories, 0, 2 * MIB + 4096), 7, 3 * 4096);
    seen = compare(&memories);
    assert_int_equal(seen.range_count, 1);
    assert_int_equal(seen.offset_bytes, 2 * MIB + 4096);
    assert_int_equal(seen.length_bytes, 3 * 4096);
    unmake(&memories);
}

static void test_holes_are_not_read(void **state)
{
    struct memories memories;

    (void)state;
    make(&memories);
    shadow_begin(&memories.shadow);
    while (memories.shadow.is_comparing) {
        shadow_compare(&memories.shadow, see, &(struct seen){0});
    }
    assert_int_equal(memories.shadow.compared_bytes, 0);
    *at(&memories, 0, 5 * MIB) = 1;
    (void)compare(&memories); /* its own check reads, and so fills, the holes */
    assert_true(memories.shadow.compared_bytes > 0 && memories.shadow.compared_bytes <= MIB);
    unmake(&memories);
}

/* Memory that was something and is a hole again. */
static void test_a_new_hole_is_a_change(void **state)
{
    struct memories memories;
    int fd;

    (void)state;
    make(&memories);
    memset(at(&memories, 0, 4 * MIB), 1, MIB);
    assert_int_equal(compare(&memories).bytes, MIB);
    fd = memories.received.files[0].memory_fd;
    assert_int_equal(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, 9 * MIB), 0);
    assert_int_equal(compare(&memories).bytes, MIB);
    unmake(&memories);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_before_the_last_round_all_is_passed),
        cmocka_unit_test(test_the_end_is_held_back_however_it_is_cut),
        cmocka_unit_test(test_what_is_not_the_end_goes_on),
        cmocka_unit_test(test_only_a_whole_end_is_complete),
        cmocka_unit_test(test_a_long_description_is_kept_whole),
        cmocka_unit_test(test_hooks),
        cmocka_unit_test(test_what_changed_is_found),
        cmocka_unit_test(test_holes_are_not_read),
        cmocka_unit_test(test_a_new_hole_is_a_change),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
