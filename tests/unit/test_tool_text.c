/* SPDX-License-Identifier: BSD-2-Clause */
/* The rdmig command's pure parts: numbers, sizes, addresses, block names, JSON, manifest, report.
 */
#include "../../src/tool/cli/error.h"
#include "../../src/tool/cli/json.h"
#include "../../src/tool/cli/parse.h"
#include "../../src/tool/cli/report.h"
#include "../../src/tool/image/manifest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* ---------------------------------------------------------------------------------------- numbers
 */

static void test_numbers(void **state)
{
    static const struct {
        const char *text;
        uint64_t value;
        bool is_good;
    } rows[] = {
        {"1", 1, true},
        {"4096", 4096, true},
        {"007", 7, true},
        {"0", 0, false},
        {"4097", 0, false},
        {"", 0, false},
        {"-1", 0, false},
        {"+1", 0, false},
        {" 1", 0, false},
        {"1 ", 0, false},
        {"1k", 0, false},
        {"0x10", 0, false},
        {"1.0", 0, false},
        {"99999999999999999999", 0, false},
        {"18446744073709551617", 0, false}, /* 2^64 + 1 must not become 1 */
    };
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint64_t value = 77;

        assert_int_equal(parse_number(rows[i].text, 1, 4096, &value), rows[i].is_good);
        assert_int_equal(value, rows[i].is_good ? rows[i].value : 77);
    }
}

static void test_sizes(void **state)
{
    static const struct {
        const char *text;
        uint64_t value; /* 0: refused */
    } rows[] = {
        {"1", 1},
        {"500", 500},
        {"1K", 1024},
        {"1k", 1024},
        {"3M", UINT64_C(3) << 20},
        {"3m", UINT64_C(3) << 20},
        {"2G", UINT64_C(2) << 30},
        {"2g", UINT64_C(2) << 30},
        {"5T", UINT64_C(5) << 40},
        {"5t", UINT64_C(5) << 40},
        {"18446744073709551615", UINT64_MAX},
        {"18446744073709551616", 0},
        {"16777215T", UINT64_C(16777215) << 40},
        {"16777216T", 0}, /* 2^64 */
        {"0", 0},
        {"0K", 0},
        {"K", 0},
        {"", 0},
        {"1KB", 0},
        {"1KiB", 0},
        {"1P", 0},
        {"1.5G", 0},
        {"-1G", 0},
        {"1 G", 0},
    };
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        uint64_t value = 0;

        assert_int_equal(parse_size(rows[i].text, &value), rows[i].value != 0);
        assert_int_equal(value, rows[i].value);
    }
}

/* -------------------------------------------------------------------------------------- addresses
 */

static void test_addresses(void **state)
{
    static const struct {
        const char *text;
        bool may_listen;
        const char *host; /* NULL: refused */
        const char *port;
    } rows[] = {
        {"10.9.0.1:4444", false, "10.9.0.1", "4444"},
        {"host.example:1", false, "host.example", "1"},
        {"[fd09::1]:65535", false, "fd09::1", "65535"},
        {"[fe80::1%eth0]:5", false, "fe80::1%eth0", "5"},
        {"[10.9.0.1]:5", false, "10.9.0.1", "5"},
        {":4444", true, "", "4444"},
        {"[]:4444", true, "", "4444"},
        {"[::]:0", true, "::", "0"},
        {":4444", false, NULL, NULL},
        {"[]:4444", false, NULL, NULL},
        {"h:0", false, NULL, NULL},
        {"h:65536", false, NULL, NULL},
        {"h:100000", true, NULL, NULL},
        {"h:", true, NULL, NULL},
        {"h", true, NULL, NULL},
        {"", true, NULL, NULL},
        {"h:http", false, NULL, NULL},
        {"h:-1", true, NULL, NULL},
        {"fd09::1", true, NULL, NULL},
        {"fd09::1:4444", false, NULL, NULL},
        {"[fd09::1]4444", false, NULL, NULL},
        {"[fd09::1", false, NULL, NULL},
        {"[fd09::1]", false, NULL, NULL},
    };
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct tool_address address = {"untouched", "9"};
        const char *wrong = parse_address(rows[i].text, rows[i].may_listen, &address);

        if (rows[i].host == NULL) {
            assert_non_null(wrong);
            assert_string_equal(address.host, "untouched");
        } else {
            assert_null(wrong);
            assert_string_equal(address.host, rows[i].host);
            assert_string_equal(address.port, rows[i].port);
        }
    }
}

static void test_long_hosts(void **state)
{
    struct tool_address address;
    char text[300];

    (void)state;
    memset(text, 'a', sizeof(text));
    memcpy(text + 255, ":1", 3);
    assert_null(parse_address(text, false, &address));
    assert_int_equal(strlen(address.host), 255);
    text[255] = 'a';
    memcpy(text + 256, ":1", 3);
    assert_non_null(parse_address(text, false, &address));
}

/* ------------------------------------------------------------------------------------ block names
 */

static void test_percent_encoding(void **state)
{
    static const struct {
        const char *name;
        const char *encoded;
    } rows[] = {
        {"pc.ram", "pc.ram"},
        {"/rom@etc/acpi/tables", "%2From%40etc%2Facpi%2Ftables"},
        {"0000:00:02.0/virtio-net-pci.rom", "0000%3A00%3A02.0%2Fvirtio-net-pci.rom"},
        {"A-Z_a.z09", "A-Z_a.z09"},
        {".", "%2E"},
        {"..", "%2E."},
        {".hidden", "%2Ehidden"},
        {"a.", "a."},
        {"%2F", "%252F"},
        {"~", "%7E"},
        {" \t\n", "%20%09%0A"},
        {"\x01\x7f\x80\xff", "%01%7F%80%FF"},
        {"", ""},
    };
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char text[64];

        assert_int_equal(percent_encode(rows[i].name, text, sizeof(text)), strlen(rows[i].encoded));
        assert_string_equal(text, rows[i].encoded);
    }
}

static void test_percent_encoding_never_overruns(void **state)
{
    size_t capacity;

    (void)state;
    for (capacity = 0; capacity < 12; capacity++) {
        char *text = malloc(capacity + 1); /* to the byte, for the sanitizer */

        text[capacity] = '#';
        assert_int_equal(percent_encode("a/b/", text, capacity), 8);
        assert_int_equal(text[capacity], '#');
        if (capacity > 0) {
            size_t kept = capacity - 1 < 8 ? capacity - 1 : 8;

            assert_int_equal(strlen(text), kept);
            assert_memory_equal(text, "a%2Fb%2F", kept);
        }
        free(text);
    }
}

static void test_long_names_stay_unique(void **state)
{
    char name[256];
    char first[TOOL_FILE_NAME_BYTES_MAX + 1];
    char second[TOOL_FILE_NAME_BYTES_MAX + 1];

    (void)state;
    memset(name, 'x', 255);
    name[255] = '\0';
    block_file_name(name, 3, first);
    assert_string_equal(first, name);
    memset(name, '/', 255);
    block_file_name(name, 3, first);
    name[254] = '@';
    block_file_name(name, 16382, second);
    assert_int_equal(strlen(first), 255);
    assert_int_equal(strlen(second), 255);
    assert_string_equal(first + 253, "~3");
    assert_string_equal(second + 249, "~16382");
    assert_int_equal(strncmp(first, "%2F%2F", 6), 0);
}

/* ------------------------------------------------------------------------------------------- JSON
 */

static char *text_of(void (*write)(FILE *out, const void *what), const void *what)
{
    char *text = NULL;
    size_t text_bytes = 0;
    FILE *out = open_memstream(&text, &text_bytes);

    assert_non_null(out);
    write(out, what);
    assert_int_equal(fclose(out), 0);
    return text;
}

static void write_structure(FILE *out, const void *what)
{
    struct json json;

    (void)what;
    json_begin(&json, out);
    json_open_object(&json, NULL);
    json_string(&json, "s", "t");
    json_open_array(&json, "empty");
    json_close_array(&json);
    json_open_array(&json, "list");
    json_uint(&json, NULL, 0);
    json_uint(&json, NULL, UINT64_MAX);
    json_open_object(&json, NULL);
    json_bool(&json, "yes", true);
    json_bool(&json, "no", false);
    json_close_object(&json);
    json_open_object(&json, NULL);
    json_close_object(&json);
    json_close_array(&json);
    json_null(&json, "nothing");
    json_string(&json, "none", NULL);
    json_milliseconds(&json, "ms", UINT64_C(1234567890));
    json_milliseconds(&json, "small", 1);
    json_milliseconds(&json, "zero", 0);
    json_break(&json);
    json_uint(&json, "line", 1);
    json_break(&json);
    json_close_object(&json);
}

static void test_json_structure(void **state)
{
    char *text = text_of(write_structure, NULL);

    (void)state;
    assert_string_equal(
        text, "{\"s\": \"t\", \"empty\": [], \"list\": [0, 18446744073709551615, {\"yes\": true, "
              "\"no\": false}, {}], \"nothing\": null, \"none\": null, \"ms\": 1234.567890, "
              "\"small\": 0.000001, \"zero\": 0.000000,\n\"line\": 1\n}");
    free(text);
}

static void write_string(FILE *out, const void *what)
{
    struct json json;

    json_begin(&json, out);
    json_string(&json, NULL, what);
}

static void test_json_strings(void **state)
{
    static const struct {
        const char *given;
        const char *written;
    } rows[] = {
        {"", "\"\""},
        {"plain", "\"plain\""},
        {"\"\\/", "\"\\\"\\\\/\""},
        {"\n\r\t\b\x01\x1f\x7f", "\"\\n\\r\\t\\u0008\\u0001\\u001f\\u007f\""},
        {"\xc3\xa9", "\"\xc3\xa9\""},                 /* U+00E9 */
        {"\xe2\x82\xac", "\"\xe2\x82\xac\""},         /* U+20AC */
        {"\xf0\x9f\x98\x80", "\"\xf0\x9f\x98\x80\""}, /* U+1F600 */
        {"\xf4\x8f\xbf\xbf", "\"\xf4\x8f\xbf\xbf\""}, /* U+10FFFF, the last */
        /* No UTF-8: one U+FFFD for each byte that starts nothing. */
        {"a\xff"
         "b",
         "\"a\xef\xbf\xbd"
         "b\""},
        {"\x80", "\"\xef\xbf\xbd\""},
        {"\xc3", "\"\xef\xbf\xbd\""},
        {"\xe2\x82", "\"\xef\xbf\xbd\xef\xbf\xbd\""},
        {"\xc0\xaf", "\"\xef\xbf\xbd\xef\xbf\xbd\""},                 /* overlong */
        {"\xe0\x80\xaf", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""}, /* overlong */
        {"\xed\xa0\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""}, /* surrogate */
        {"\xf4\x90\x80\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\""}, /* too high */
        {"\xf8\x88", "\"\xef\xbf\xbd\xef\xbf\xbd\""},
        /* Fine in JSON, but not on the terminal of whoever looks at it. */
        {"\xc2\x9b", "\"\\u009b\""},
        {"\xe2\x80\xae", "\"\\u202e\""},
        {"\xe2\x80\xa8", "\"\\u2028\""},
        {"\xf3\xa0\x81\x81", "\"\\udb40\\udc41\""},
    };
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char *exact = strdup(rows[i].given); /* to the byte, for the sanitizer */
        char *text = text_of(write_string, exact);

        assert_string_equal(text, rows[i].written);
        free(text);
        free(exact);
    }
}

/* --------------------------------------------------------------------------------------- manifest
 */

static void write_manifest(FILE *out, const void *what)
{
    manifest_write(what, out);
}

static void test_manifest(void **state)
{
    static const struct rdmig_ram_block blocks[] = {
        {"pc.ram", NULL, UINT64_C(256) << 20},
        {"/rom@etc/table", NULL, 4096},
        {"vga\xff", NULL, (UINT64_C(16) << 20) + 4096},
        {"last", NULL, 8192},
    };
    static const struct manifest_round rounds[] = {{186, 186}, {250, 251}};
    const struct manifest manifest = {.blocks = blocks,
                                      .block_count = 4,
                                      .rounds = rounds,
                                      .round_count = 2,
                                      .stream_bytes = 70000,
                                      .end_mark_position_bytes = 60000,
                                      .is_pin_all = true};
    char expected[2048];
    char *text = text_of(write_manifest, &manifest);

    (void)state;
    snprintf(
        expected, sizeof(expected),
        "{\n\"format\": 1,\n\"rdmig_version\": \"%s\",\n\"mode\": \"pin-all\",\n\"blocks\": [\n"
        "{\"name\": \"pc.ram\", \"name_encoded\": \"pc.ram\", \"file\": \"ram/pc.ram\", "
        "\"length_bytes\": 268435456, \"offset_bytes\": 0},\n"
        "{\"name\": \"/rom@etc/table\", \"name_encoded\": \"%%2From%%40etc%%2Ftable\", "
        "\"file\": \"ram/%%2From%%40etc%%2Ftable\", \"length_bytes\": 4096, "
        "\"offset_bytes\": 268435456},\n"
        "{\"name\": \"vga\xef\xbf\xbd\", \"name_encoded\": \"vga%%FF\", \"file\": "
        "\"ram/vga%%FF\", \"length_bytes\": 16781312, \"offset_bytes\": 270532608},\n"
        "{\"name\": \"last\", \"name_encoded\": \"last\", \"file\": \"ram/last\", "
        "\"length_bytes\": 8192, \"offset_bytes\": 289406976}\n],\n"
        "\"rounds\": [\n{\"hook_position_bytes\": 186, \"finished_position_bytes\": 186},\n"
        "{\"hook_position_bytes\": 250, \"finished_position_bytes\": 251}\n],\n"
        "\"stream\": \"stream\",\n\"stream_bytes\": 70000,\n\"end_mark_position_bytes\": 60000\n"
        "}\n",
        rdmig_version());
    assert_string_equal(text, expected);
    free(text);
}

/* ----------------------------------------------------------------------------------------- report
 */

static void write_report(FILE *out, const void *what)
{
    report_write_json(what, out);
}

static void test_report_json(void **state)
{
    struct report report = {.outcome = TOOL_COMPLETED,
                            .progress = {.bytes_total = 1,
                                         .bytes_written = 2,
                                         .bytes_zero = 3,
                                         .rounds = 4,
                                         .control_messages = 5,
                                         .control_bytes = 55,
                                         .round_trips = 6,
                                         .registrations = 7,
                                         .pinned_peak_bytes = 8,
                                         .on_demand_paging = true,
                                         .setup_ns = 9000000,
                                         .total_ns = 10500000,
                                         .downtime_ns = 11,
                                         .throughput_bytes_per_s = 12,
                                         .data_bytes_per_s = 13,
                                         .pin_all = true}};
    static const char *const numbers =
        "\"bytes_total\": 1, \"bytes_written\": 2, \"bytes_zero\": 3, \"rounds\": 4, "
        "\"control_messages\": 5, \"control_bytes\": 55, \"round_trips\": 6, \"registrations\": 7, "
        "\"pinned_peak_bytes\": 8, \"pinned_limit_bytes\": null, \"relaxed_ordering\": false, "
        "\"on_demand_paging\": true, \"setup_ms\": 9.000000, \"total_ms\": 10.500000, "
        "\"downtime_ms\": 0.000011, \"throughput_bytes_per_s\": 12, "
        "\"data_bytes_per_s\": 13}";
    char expected[1024];
    char *text = text_of(write_report, &report);

    (void)state;
    snprintf(expected, sizeof(expected),
             "{\"status\": \"completed\", \"error\": null, \"mode\": \"pin-all\", "
             "\"pin_all_refusal\": null, %s",
             numbers);
    assert_string_equal(text, expected);
    free(text);

    report.outcome = TOOL_CANCELLED;
    report.progress.pin_all = false;
    report.progress.pinned_limit_bytes = UINT64_MAX;
    tool_error_set(&report.error, "CANCELLED", "start \"again\"", "by %s", "SIGINT");
    text = text_of(write_report, &report);
    snprintf(expected, sizeof(expected),
             "{\"status\": \"cancelled\", \"error\": {\"reason\": \"CANCELLED\", \"detail\": "
             "\"by SIGINT\", \"remedy\": \"start \\\"again\\\"\"}, \"mode\": \"dynamic\", "
             "\"pin_all_refusal\": null, %s",
             numbers);
    assert_string_equal(text, expected);
    free(text);

    report.outcome = TOOL_FAILED;
    text = text_of(write_report, &report);
    assert_int_equal(strncmp(text, "{\"status\": \"failed\", ", 20), 0);
    free(text);
}

static void write_report_text(FILE *out, const void *what)
{
    report_write_text(what, out);
}

/* Optional access that was refused is told of; what was not asked for is not. */
static void test_report_optional_access(void **state)
{
    struct report report = {.outcome = TOOL_COMPLETED};
    char *text = text_of(write_report_text, &report);

    (void)state;
    assert_null(strstr(text, "relaxed ordering"));
    assert_null(strstr(text, "on-demand paging"));
    free(text);
    report.is_relaxed_wanted = true;
    report.is_on_demand_wanted = true;
    report.progress.relaxed_ordering = true;
    text = text_of(write_report_text, &report);
    assert_non_null(strstr(text, "  relaxed ordering: yes\n"));
    assert_non_null(strstr(text, "  on-demand paging: no, the device or the kernel does not have"));
    free(text);
}

/* A limit on pinned memory, and pin-all that does not fit it. */
static void test_report_limit(void **state)
{
    static const struct {
        enum rdmig_pin_all_refusal refusal;
        const char *name;
        const char *note; /* NULL: none, the user knows */
    } rows[] = {
        {RDMIG_PIN_ALL_NOT_REFUSED, "null", NULL},
        {RDMIG_PIN_ALL_REFUSED_BY_OPTION, "\"OPTION\"", NULL},
        {RDMIG_PIN_ALL_REFUSED_BY_LIMIT, "\"LIMIT\"", "32.0 MiB (33554432 bytes)"},
        {RDMIG_PIN_ALL_REFUSED_BY_PEER, "\"PEER\"", "the destination does not pin all memory"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct report report = {
            .outcome = TOOL_COMPLETED,
            .progress = {.pinned_limit_bytes = 33554432, .pin_all_refusal = rows[i].refusal}};
        char expected[64];
        char note[256] = "";
        char *text = text_of(write_report, &report);

        snprintf(expected, sizeof(expected), "\"pin_all_refusal\": %s, ", rows[i].name);
        assert_non_null(strstr(text, expected));
        assert_non_null(strstr(text, "\"pinned_limit_bytes\": 33554432, "));
        free(text);
        assert_int_equal(report_describe_refusal(&report.progress, note), rows[i].note != NULL);
        assert_true(rows[i].note == NULL || strstr(note, rows[i].note) != NULL);
        assert_true(rows[i].note == NULL || strstr(note, "dynamic registration") != NULL);
    }
}

static void test_bytes(void **state)
{
    static const struct {
        uint64_t size_bytes;
        const char *text;
    } rows[] = {
        {0, "0 bytes"},
        {1023, "1023 bytes"},
        {1024, "1.0 KiB"},
        {1536, "1.5 KiB"},
        {UINT64_C(256) << 20, "256.0 MiB"},
        {UINT64_C(3) << 40, "3.0 TiB"},
        {UINT64_MAX, "16.0 EiB"},
    };
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_string_equal(bytes_text(rows[i].size_bytes).text, rows[i].text);
    }
}

/* ----------------------------------------------------------------------------------------- errors
 */

static void test_first_error_is_kept(void **state)
{
    struct tool_error error = {{0}, {0}, {0}};
    char long_text[4096];

    (void)state;
    assert_false(tool_error_is_set(&error));
    tool_error_set(&error, "FILE", "one", "first %d", 1);
    tool_error_set(&error, "USAGE", "two", "second");
    assert_string_equal(error.reason, "FILE");
    assert_string_equal(error.detail, "first 1");
    tool_error_add_remedy(&error, "two");
    assert_string_equal(error.remedy, "one; two");

    tool_error_clear(&error);
    memset(long_text, 'x', sizeof(long_text) - 1);
    long_text[sizeof(long_text) - 1] = '\0';
    tool_error_set(&error, long_text, long_text, "%s", long_text);
    tool_error_add_remedy(&error, long_text);
    assert_int_equal(strlen(error.reason), sizeof(error.reason) - 1);
    assert_int_equal(strlen(error.detail), sizeof(error.detail) - 1);
    assert_int_equal(strlen(error.remedy), sizeof(error.remedy) - 1);
}

static void assert_plain(const char *what, const char *text)
{
    const char *at;

    for (at = text; *at != '\0'; at++) {
        if (*at < ' ' || *at > '~') {
            fail_msg("%s: byte 0x%02x in \"%.20s\"", what, (unsigned char)*at, text);
        }
    }
}

/* What a person sees: the line on standard error. */
static char *printed(const struct tool_error *error)
{
    FILE *real = stderr;
    char *text = NULL;
    size_t text_bytes = 0;

    stderr = open_memstream(&text, &text_bytes);
    assert_non_null(stderr);
    tool_error_print(error);
    fclose(stderr);
    stderr = real;
    return text;
}

/* A block's name, and a path, of bytes that are no text. */
static void test_an_error_is_one_line(void **state)
{
    struct report report = {.outcome = TOOL_FAILED};
    char *line;
    char *json;

    (void)state;
    tool_error_set(&report.error, "FILE", "look\nagain", "cannot open %s of block %s",
                   "/dir\n\x1b[2J/x", "pc\r.ram\x9b");
    assert_plain("the detail", report.error.detail);
    assert_plain("the remedy", report.error.remedy);
    line = printed(&report.error);
    assert_string_equal(line, "rdmig: cannot open /dir\\n\\x1b[2J/x of block pc\\r.ram\\x9b; "
                              "look\\nagain\n");
    free(line);
    json = text_of(write_report, &report);
    assert_plain("the JSON", json);
    free(json);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_sizes),
        cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_long_hosts),
        cmocka_unit_test(test_percent_encoding),
        cmocka_unit_test(test_percent_encoding_never_overruns),
        cmocka_unit_test(test_long_names_stay_unique),
        cmocka_unit_test(test_json_structure),
        cmocka_unit_test(test_json_strings),
        cmocka_unit_test(test_manifest),
        cmocka_unit_test(test_report_json),
        cmocka_unit_test(test_report_optional_access),
        cmocka_unit_test(test_report_limit),
        cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_first_error_is_kept),
        cmocka_unit_test(test_an_error_is_one_line),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
