/* SPDX-License-Identifier: BSD-2-Clause */
/* Bytes that somebody else has chosen, as text: names and lines. */
#include "text/text.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define RANDOM_COUNT 20000u

static void test_text__names__are_printable_ascii(void **state)
{
    static const struct {
        const char *name;
        const char *shown;
    } rows[] = {
        {"", ""},
        {"pc.ram", "pc.ram"},
        {"/rom@etc/acpi tables", "/rom@etc/acpi tables"},
        {"a\nb", "a\\nb"},
        {"\r\t", "\\r\\t"},
        {"\x1b[31mred\x1b[0m", "\\x1b[31mred\\x1b[0m"},
        {"a\\nb", "a\\\\nb"}, /* not the same as with a line feed */
        {"\x01\x1f\x7f", "\\x01\\x1f\\x7f"},
        {"\xc3\xa9", "\\xc3\\xa9"},
        {"\xff", "\\xff"},
        {"~ !", "~ !"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        assert_string_equal(text_name(rows[i].name).text, rows[i].shown);
}

static int compare(const void *a, const void *b)
{
    return strcmp(a, b);
}

/* All names of one and two bytes: none looks like another, none does anything to a terminal. */
static void test_text__different_names__look_different(void **state)
{
    enum { COUNT = 256 * 256 };
    char(*shown)[9] = calloc(COUNT, sizeof(*shown));
    uint8_t bytes[2];

    (void)state;
    for (uint32_t i = 0; i < COUNT; i++) {
        bytes[0] = (uint8_t)(i >> 8);
        bytes[1] = (uint8_t)i;
        strcpy(shown[i], text_name_of(bytes, 2).text);
        for (const char *at = shown[i]; *at != '\0'; at++)
            assert_true(*at >= ' ' && *at < 0x7f);
    }
    qsort(shown, COUNT, sizeof(*shown), compare);
    for (uint32_t i = 1; i < COUNT; i++)
        assert_string_not_equal(shown[i - 1], shown[i]);
    free(shown);
}

static void test_text__a_long_name__is_cut_and_says_so(void **state)
{
    char name[256];
    struct text_name shown;

    (void)state;
    memset(name, 'n', sizeof(name));
    name[TEXT_NAME_BYTES - 1] = '\0';
    assert_string_equal(text_name(name).text, name);
    name[TEXT_NAME_BYTES - 1] = 'n';
    name[255] = '\0';
    shown = text_name(name);
    assert_int_equal(strlen(shown.text), TEXT_NAME_BYTES - 1);
    assert_string_equal(shown.text + TEXT_NAME_BYTES - 5, "n...");
    memset(name, '\n', 255);
    shown = text_name(name);
    assert_int_equal(strlen(shown.text), 2 * ((TEXT_NAME_BYTES - 4) / 2) + 3);
    assert_string_equal(shown.text + strlen(shown.text) - 5, "\\n...");
}

static void test_text__lines__keep_languages_but_not_commands(void **state)
{
    static const struct {
        const char *line;
        const char *shown;
    } rows[] = {
        {"", ""},
        {"cannot open a\\b: No such file", "cannot open a\\b: No such file"},
        {"two\nlines", "two\\nlines"},
        {"\x1b[2J\a", "\\x1b[2J\\x07"},
        {"caf\xc3\xa9", "caf\xc3\xa9"},
        {"\xe6\x97\xa5\xe6\x9c\xac", "\xe6\x97\xa5\xe6\x9c\xac"},
        {"\xf0\x9f\x98\x80", "\xf0\x9f\x98\x80"},
        {"\xc2\x9b"
         "31m",
         "\\xc2\\x9b31m"},                                     /* CSI in one character */
        {"\x9b", "\\x9b"},                                     /* and in one byte */
        {"\xe2\x80\xae", "\\xe2\\x80\\xae"},                   /* from right to left */
        {"\xe2\x80\xa8", "\\xe2\\x80\\xa8"},                   /* line separator */
        {"\xe2\x80\x8b", "\\xe2\\x80\\x8b"},                   /* no width */
        {"\xf3\xa0\x81\x81", "\\xf3\\xa0\\x81\\x81"},          /* a tag */
        {"\xc0\x8a\xe0\x80\x8a", "\\xc0\\x8a\\xe0\\x80\\x8a"}, /* line feed, overlong */
        {"\xed\xa0\x80\xc3", "\\xed\\xa0\\x80\\xc3"},          /* a surrogate, cut short */
        {"\xf4\x90\x80\x80\xf8", "\\xf4\\x90\\x80\\x80\\xf8"}, /* too high */
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char *exact = strdup(rows[i].line); /* to the byte, for the sanitizer */
        char line[128];

        assert_int_equal(text_line(line, sizeof(line), exact), strlen(rows[i].shown));
        assert_string_equal(line, rows[i].shown);
        free(exact);
    }
}

static void assert_is_line(const char *line)
{
    const uint8_t *at = (const uint8_t *)line;
    size_t left_bytes = strlen(line);

    while (left_bytes > 0) {
        uint32_t code;
        const size_t length = text_sequence(at, left_bytes, &code);

        assert_true(length > 0 && text_is_shown(code));
        at += length;
        left_bytes -= length;
    }
}

static uint64_t random_next(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed;
}

/* Made again, a line is what it was: one may go through several hands. */
static void test_text__any_bytes__make_one_line_in_any_capacity(void **state)
{
    uint64_t seed = 42;

    (void)state;
    for (uint32_t i = 0; i < RANDOM_COUNT; i++) {
        char raw[24];
        char whole[128];
        char again[128];
        char cut[128];
        const size_t length = 1 + random_next(&seed) % (sizeof(raw) - 1);
        const size_t capacity = 1 + random_next(&seed) % 100;
        size_t cut_length;
        size_t whole_length;

        for (size_t k = 0; k < length; k++)
            raw[k] = (char)(1 + random_next(&seed) % 255);
        raw[length - 1] = '\0';
        whole_length = text_line(whole, sizeof(whole), raw);
        assert_is_line(whole);
        (void)text_line(again, sizeof(again), whole);
        assert_string_equal(again, whole);
        memset(cut, '#', sizeof(cut));
        cut_length = text_line(cut, capacity, raw);
        assert_int_equal(cut[capacity], '#');
        assert_int_equal(strlen(cut), cut_length);
        assert_is_line(cut);
        if (cut_length == whole_length && capacity > whole_length) {
            assert_string_equal(cut, whole);
        } else if (capacity >= sizeof("...")) {
            assert_string_equal(cut + cut_length - 3, "...");
            assert_memory_equal(cut, whole, cut_length - 3);
        }
    }
}

static void test_text__printing__makes_a_line_of_the_whole(void **state)
{
    char line[16];
    char room[4096];
    char text[4096];

    (void)state;
    assert_int_equal(text_print(line, sizeof(line), "%s: %d\n", "a\tb", 7), 9);
    assert_string_equal(line, "a\\tb: 7\\n");
    assert_int_equal(text_print(line, sizeof(line), "%s", "0123456789abcdef"), 15);
    assert_string_equal(line, "0123456789ab...");
    assert_int_equal(text_print(line, 1, "%s", "x"), 0);
    assert_string_equal(line, "");
    memset(text, 'x', sizeof(text));
    text[sizeof(text) - 1] = '\0';
    assert_true(text_print(room, sizeof(room), "%s", text) >= 1024);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text__names__are_printable_ascii),
        cmocka_unit_test(test_text__different_names__look_different),
        cmocka_unit_test(test_text__a_long_name__is_cut_and_says_so),
        cmocka_unit_test(test_text__lines__keep_languages_but_not_commands),
        cmocka_unit_test(test_text__any_bytes__make_one_line_in_any_capacity),
        cmocka_unit_test(test_text__printing__makes_a_line_of_the_whole),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
