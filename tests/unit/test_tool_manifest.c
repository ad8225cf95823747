/* SPDX-License-Identifier: BSD-2-Clause */
/* Reading a captured guest's manifest.json: what capture writes, and what it would never write. */
#include "../../src/tool/image/json_reader.h"
#include "../../src/tool/image/manifest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define MIB (UINT64_C(1) << 20)

/* -------------------------------------------------------------------------------------------- JSON
 */

struct value {
    char text[32];
    uint64_t number;
};

static const struct json_row string_rows[] = {
    {NULL, 0, JSON_OBJECT, 0, 0, NULL},
    {"v", 0, JSON_STRING, offsetof(struct value, text), sizeof(((struct value *)0)->text), NULL}};
static const struct json_row number_rows[] = {
    {NULL, 0, JSON_OBJECT, 0, 0, NULL},
    {"v", 0, JSON_NUMBER, offsetof(struct value, number), 0, NULL}};

static char problem[JSON_PROBLEM_BYTES];

/* {"v": with this behind it. */
static bool reads(const struct json_row *rows, const char *json, size_t json_bytes,
                  struct value *value)
{
    static const char head[] = "{\"v\": ";
    /* As long as the text and no byte more, so that a sanitizer sees what is read beyond it. */
    const size_t text_bytes = sizeof(head) - 1 + json_bytes;
    char *text = malloc(text_bytes);
    bool is_read;

    memcpy(text, head, sizeof(head) - 1);
    memcpy(text + sizeof(head) - 1, json, json_bytes);
    is_read = json_read(text, text_bytes, rows, 2, value, problem);
    assert_int_equal(is_read, problem[0] == '\0');
    free(text);
    return is_read;
}

static void assert_reads_string(const char *json, const char *expected)
{
    struct value value;

    if (!reads(string_rows, json, strlen(json), &value))
        fail_msg("%s: %s", json, problem);
    assert_string_equal(value.text, expected);
}

static void test_strings(void **state)
{
    (void)state;
    assert_reads_string("\"\"}", "");
    assert_reads_string(" \"pc.ram\"\n}", "pc.ram");
    assert_reads_string("\"\\\"\\\\\\/\\b\\f\\n\\r\\t\"}", "\"\\/\b\f\n\r\t");
    assert_reads_string("\"\\u0041\\u00e9\\u20AC\\ud83d\\ude00\"}",
                        "A\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80");
    assert_reads_string("\"0123456789012345678901234567890\"}", "0123456789012345678901234567890");
}

static void assert_no_string(const char *json, size_t json_bytes, const char *says)
{
    struct value value;

    assert_false(reads(string_rows, json, json_bytes, &value));
    if (strstr(problem, says) == NULL)
        fail_msg("%s: \"%s\" lacks \"%s\"", json, problem, says);
}

static void test_bad_strings(void **state)
{
    static const struct {
        const char *json;
        const char *says;
    } rows[] = {
        {"", "line 1: parse error: premature EOF"},
        {"}", "line 1: parse error: "},
        {"\n\n7", "line 3: a string is due"},
        {"\n\n7}", "line 3: a string is due"},
        {"[\"a\"]}", "a string is due"},
        {"{\"a\": 1}}", "a string is due"},
        {"true}", "a string is due"},
        {"null}", "a string is due"},
        {"\"", "premature EOF"},
        {"\"a", "premature EOF"},
        {"\"\\", "inside a string, '\\' occurs before a character"},
        {"\"\\x\"}", "inside a string, '\\' occurs before a character which it may not"},
        {"\"\\u12", "invalid (non-hex) character occurs after '\\u'"},
        {"\"\\u12g4\"}", "invalid (non-hex) character occurs after '\\u'"},
        {"\"\\ud800\"}", "surrogate"},
        {"\"\\ud800\\u0041\"}", "surrogate"},
        {"\"\\udc00\"}", "surrogate"},
        {"\"\\udc00\\ud800\"}", "surrogate"},
        {"1, \"x\\uD800\": 2}", "a string is due"},
        {"\"a\",\n \"x\": \"\\\\ud800 \\uDbff\"}", "line 2: half of a surrogate pair"},
        {"\"\\u0000\"}", "zero byte"},
        {"\"\n\"}", "invalid character inside string"},
        {"\"\xff\"}", "invalid bytes in UTF8 string"},
        {"\"01234567890123456789012345678901\"}", "longer than 31 bytes"},
        {"\"a\"} b", "behind the end"},
        {"\"a\"}}", "behind the end"},
        {"\"a\", \"v\": \"b\"}", "v stands there twice"},
    };
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_no_string(rows[i].json, strlen(rows[i].json), rows[i].says);
    }
    assert_no_string("\"a\0b\"}", 6, "invalid character inside string");
    assert_no_string("\"a\"}\0", 5, "behind the end");
}

static bool read_number(const char *json, uint64_t *number)
{
    struct value value = {.number = 0};
    char line[64];
    bool is_read;

    snprintf(line, sizeof(line), "%s}", json);
    is_read = reads(number_rows, line, strlen(line), &value);
    *number = value.number;
    return is_read;
}

static void test_numbers(void **state)
{
    static const char *const bad[] = {"",    "-1",   "01",    "1.0",
                                      "1e3", "0x10", "\"1\"", "18446744073709551616",
                                      "+1",  "1 2",  "null",  "99999999999999999999999"};
    uint64_t value;
    size_t i;

    (void)state;
    assert_true(read_number("0", &value));
    assert_int_equal(value, 0);
    assert_true(read_number(" 18446744073709551615 ", &value));
    assert_int_equal(value, UINT64_MAX);
    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_false(read_number(bad[i], &value));
    }
}

/* As the value of a member that nobody asks for. */
static bool skips(const char *json)
{
    struct value value = {.number = 0};
    char *text = NULL;
    int text_bytes = asprintf(&text, "{\"x\": %s, \"v\": 7}", json);
    bool is_skipped;

    assert_true(text_bytes > 0);
    is_skipped = json_read(text, (size_t)text_bytes, number_rows, 2, &value, problem);
    assert_int_equal(value.number, is_skipped ? 7 : 0);
    free(text);
    return is_skipped;
}

static void test_skipping(void **state)
{
    static const char *const good[] = {
        "null", "true",         "-0.5e+10",
        "0",    "\"a\\u0000\"", "[]",
        "{}",   "[[],{},[{}]]", "{\"a\": [1, {\"b\": \"]}\"}], \"c\": false}"};
    static const char *const bad[] = {
        "",       "nul",     "-",         "01",  "1.", "1e",          "[", "[1,]", "[1 2]",
        "{1: 2}", "{\"a\"}", "{\"a\": }", "[1}", "{]", "{\"a\": 1,}", "]", "[,1]"};
    char deep[200];
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        assert_true(skips(good[i]));
    }
    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_false(skips(bad[i]));
    }
    memset(deep, 0, sizeof(deep));
    memset(deep, '[', 32);
    memset(deep + 32, ']', 32);
    assert_true(skips(deep));
    memset(deep, '[', 33);
    memset(deep + 33, ']', 33);
    assert_false(skips(deep));
}

/* -------------------------------------------------------------------------------- block file names
 */

static void test_names_come_back(void **state)
{
    static const char *const names[] = {"pc.ram", "0000:00:02.0/vga.vram", ".hidden", "a b%",
                                        "\xff~"};
    static const char *const bad[] = {"",    "%",   "%4",  "%41", "%2f", "%00",     ".a",
                                      "a/b", "%zz", "a%2", "~",   "a b", "%2E%2E%2"};
    char encoded[64];
    char name[32];
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        percent_encode(names[i], encoded, sizeof(encoded));
        assert_true(percent_decode(encoded, name, sizeof(name)));
        assert_string_equal(name, names[i]);
    }
    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_false(percent_decode(bad[i], name, sizeof(name)));
    }
    assert_true(percent_decode("abc", name, 4));
    assert_false(percent_decode("abcd", name, 4));
}

/* ---------------------------------------------------------------------------------------- manifest
 */

/* What capture writes of two blocks and two rounds. */
static char *written(void)
{
    static const struct rdmig_ram_block blocks[] = {{"pc.ram", NULL, 64 * MIB},
                                                    {"/rom@etc/acpi", NULL, 3 * 4096}};
    static const struct manifest_round rounds[] = {{100, 100}, {400, 420}};
    static const struct manifest manifest = {.blocks = blocks,
                                             .block_count = 2,
                                             .rounds = rounds,
                                             .round_count = 2,
                                             .stream_bytes = 1000,
                                             .end_mark_position_bytes = 900};
    char *text = NULL;
    size_t text_bytes = 0;
    FILE *out = open_memstream(&text, &text_bytes);

    assert_non_null(out);
    manifest_write(&manifest, out);
    assert_int_equal(fclose(out), 0);
    return text;
}

static void test_what_capture_writes_is_read(void **state)
{
    char *text = written();
    struct manifest_read manifest;
    struct tool_error error = {{0}, {0}, {0}};

    (void)state;
    assert_true(manifest_parse(&manifest, text, strlen(text), "m", &error));
    assert_false(tool_error_is_set(&error));
    assert_int_equal(manifest.block_count, 2);
    assert_string_equal(manifest.blocks[0].name, "pc.ram");
    assert_string_equal(manifest.blocks[0].file, "ram/pc.ram");
    assert_int_equal(manifest.blocks[0].length_bytes, 64 * MIB);
    assert_string_equal(manifest.blocks[1].name, "/rom@etc/acpi");
    assert_string_equal(manifest.blocks[1].file, "ram/%2From%40etc%2Facpi");
    assert_int_equal(manifest.blocks[1].length_bytes, 3 * 4096);
    assert_int_equal(manifest.blocks[1].offset_bytes, 64 * MIB);
    assert_int_equal(manifest.round_count, 2);
    assert_int_equal(manifest.rounds[1].hook_position_bytes, 400);
    assert_int_equal(manifest.rounds[1].finished_position_bytes, 420);
    assert_int_equal(manifest.stream_bytes, 1000);
    assert_int_equal(manifest.end_mark_position_bytes, 900);
    manifest_read_free(&manifest);
    free(text);
}

/* Every beginning of it is refused, and by a sanitizer's account without a look behind its end. */
static void test_a_manifest_cut_short(void **state)
{
    char *text = written();
    size_t whole_bytes = strlen(text) - 1; /* less the line feed */
    size_t text_bytes;

    (void)state;
    for (text_bytes = 0; text_bytes < whole_bytes; text_bytes++) {
        char *copy = malloc(text_bytes + 1);
        char *exact = realloc(memcpy(copy, text, text_bytes), text_bytes == 0 ? 1 : text_bytes);
        struct manifest_read manifest;
        struct tool_error error = {{0}, {0}, {0}};

        assert_false(manifest_parse(&manifest, exact, text_bytes, "m", &error));
        assert_string_equal(error.reason, TOOL_REASON_FILE);
        manifest_read_free(&manifest);
        free(exact);
    }
    free(text);
}

static char *replace(const char *text, const char *old, const char *new)
{
    const char *found = strstr(text, old);
    char *changed = NULL;

    assert_non_null(found);
    assert_true(
        asprintf(&changed, "%.*s%s%s", (int)(found - text), text, new, found + strlen(old)) > 0);
    return changed;
}

static void assert_refused(const char *old, const char *new, const char *says)
{
    char *text = written();
    char *changed = replace(text, old, new);
    struct manifest_read manifest;
    struct tool_error error = {{0}, {0}, {0}};

    assert_false(manifest_parse(&manifest, changed, strlen(changed), "DIR/manifest.json", &error));
    assert_string_equal(error.reason, TOOL_REASON_FILE);
    if (strstr(error.detail, says) == NULL ||
        strstr(error.detail, "DIR/manifest.json, line ") == NULL) {
        fail_msg("%s instead of %s", error.detail, says);
    }
    assert_true(error.remedy[0] != '\0');
    manifest_read_free(&manifest);
    free(changed);
    free(text);
}

static void test_manifests_that_are_wrong(void **state)
{
    static const char *const rows[][3] = {
        {"\"format\": 1", "\"format\": 2", "format 2, and this rdmig reads format 1"},
        {"\"format\": 1", "\"format\": \"1\"", "whole number"},
        {"\"format\": 1,", "", "format is missing"},
        {"\"format\": 1", "\"format\": 1, \"format\": 1", "format stands there twice"},
        {"\"dynamic\"", "\"postcopy\"", "mode is neither"},
        {"\"name_encoded\": \"pc.ram\"", "\"name_encoded\": \"pc/ram\"", "no percent-encoded name"},
        {"\"name_encoded\": \"pc.ram\"", "\"name_encoded\": \"\"", "no percent-encoded name"},
        /* Halves of surrogate pairs: whatever the library makes of them, it is no name. */
        {"\"name_encoded\": \"pc.ram\"", "\"name_encoded\": \"\\ud800\"", "no percent-encoded"},
        {"\"name_encoded\": \"pc.ram\"", "\"name_encoded\": \"\\udc00\"", "no percent-encoded"},
        {"\"name_encoded\": \"pc.ram\"", "\"name_encoded\": \"\\ud800\\u0041\"",
         "no percent-encoded name"},
        {"\"ram/pc.ram\"", "\"ram/pc\\ud800ram\"", "file of block 0"},
        {"\"dynamic\"", "\"\\udc00\"", "mode is neither"},
        {"\"name_encoded\": \"pc.ram\"", "\"name_encoded\": \"vga\"", "file of block 0"},
        {"\"ram/pc.ram\"", "\"../pc.ram\"", "file of block 0"},
        {"\"ram/pc.ram\"", "\"/etc/passwd\"", "file of block 0"},
        {"\"ram/pc.ram\"", "\"ram/../stream\"", "file of block 0"},
        {"\"length_bytes\": 67108864", "\"length_bytes\": 0", "length_bytes is 0"},
        {"\"length_bytes\": 67108864", "\"length_bytes\": 4097", "length_bytes is 4097"},
        {"\"length_bytes\": 67108864", "\"length_bytes\": -4096", "whole number"},
        {"\"length_bytes\": 67108864", "\"length_bytes\": 18446744073709547520", "length_bytes is"},
        {"\"length_bytes\": 67108864", "\"length_bytes\": 67112960", "block 1 overlaps"},
        {"\"offset_bytes\": 67108864", "\"offset_bytes\": 18446744073709551615", "beyond 2^64"},
        {"\"offset_bytes\": 67108864", "\"offset_bytes\": 0", "block 1 overlaps"},
        {", \"offset_bytes\": 67108864", "", "offset_bytes is missing"},
        {"\"hook_position_bytes\": 100", "\"hook_position_bytes\": 7", "round 0 ends too early"},
        {"\"hook_position_bytes\": 400", "\"hook_position_bytes\": 107", "round 1 ends too early"},
        {"\"hook_position_bytes\": 400", "\"hook_position_bytes\": 421", "round 1 is finished"},
        {"\"finished_position_bytes\": 420", "\"finished_position_bytes\": 901", "last round ends"},
        {"\"stream\": \"stream\"", "\"stream\": \"../stream\"", "not called stream"},
        {"\"stream_bytes\": 1000", "\"stream_bytes\": 900", "end mark stands behind"},
        {"\"stream_bytes\": 1000", "\"stream_bytes\": 1e3", "whole number"},
        {"\"rounds\": [", "\"rounds\": {", "an array is due"},
        {"\"blocks\": [", "\"blocks\": [], \"old\": [", "there are no blocks"},
        {"\"rounds\": [", "\"rounds\": [], \"old\": [", "fewer than 2 rounds"},
        {"\n}\n", "\n}\n}", "behind the end"},
        {"{\n", "[\n", "an object is due"},
    };
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_refused(rows[i][0], rows[i][1], rows[i][2]);
    }
}

/* What a later version adds is passed over. */
static void test_unknown_members(void **state)
{
    char *text = written();
    char *changed =
        replace(text, "\"name\": \"pc.ram\"", "\"more\": {\"a\": [1, null]}, \"name\": 7");
    struct manifest_read manifest;
    struct tool_error error = {{0}, {0}, {0}};

    (void)state;
    assert_true(manifest_parse(&manifest, changed, strlen(changed), "m", &error));
    assert_string_equal(manifest.blocks[0].name, "pc.ram");
    manifest_read_free(&manifest);
    free(changed);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_strings),
        cmocka_unit_test(test_bad_strings),
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_skipping),
        cmocka_unit_test(test_names_come_back),
        cmocka_unit_test(test_what_capture_writes_is_read),
        cmocka_unit_test(test_a_manifest_cut_short),
        cmocka_unit_test(test_manifests_that_are_wrong),
        cmocka_unit_test(test_unknown_members),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
