/* SPDX-License-Identifier: BSD-2-Clause */
/* The rdmig command's command lines. */
#include "../../src/tool/cli/args.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define ARGUMENTS_MAX 24

struct parsed {
    struct tool_args args;
    struct tool_error error;
    char *line; /* argv points into it */
    bool is_good;
};

/* Words separated by blanks; the first one is the sub-command. */
static struct parsed parse(const char *line)
{
    struct parsed parsed;
    char *argv[ARGUMENTS_MAX + 1] = {NULL};
    enum tool_command command;
    int argc = 0;
    char *rest;
    char *word;

    memset(&parsed, 0, sizeof(parsed));
    parsed.line = strdup(line);
    assert_non_null(parsed.line);
    for (word = strtok_r(parsed.line, " ", &rest); word != NULL && argc < ARGUMENTS_MAX;
         word = strtok_r(NULL, " ", &rest)) {
        argv[argc++] = word;
    }
    assert_true(args_find_command(argv[0], &command));
    parsed.is_good = args_parse(&parsed.args, command, argc, argv, &parsed.error);
    assert_int_equal(parsed.is_good, !tool_error_is_set(&parsed.error));
    return parsed;
}

static void release(struct parsed *parsed)
{
    args_free(&parsed->args);
    free(parsed->line);
}

static void test_commands(void **state)
{
    enum tool_command command;
    unsigned int i;

    (void)state;
    for (i = 0; i < TOOL_COMMAND_COUNT; i++) {
        assert_true(args_find_command(args_command_name((enum tool_command)i), &command));
        assert_int_equal(command, i);
    }
    assert_false(args_find_command("sen", &command));
    assert_false(args_find_command("", &command));
}

static void test_send_in_full(void **state)
{
    struct parsed parsed =
        parse("send --to [fd09::1]:4444 --ram pc.ram=/dev/shm/ram --ram=vga=a=b --stream - "
              "--pin-all --relaxed-ordering --on-demand-paging --run-chunks 128 --downtime-ms 50 "
              "--bandwidth 500M --time-limit 60 --pinned-max 1G --trace t --json");

    (void)state;
    assert_true(parsed.is_good);
    assert_string_equal(parsed.args.trace_path, "t");
    assert_string_equal(parsed.args.address.host, "fd09::1");
    assert_string_equal(parsed.args.address.port, "4444");
    assert_int_equal(parsed.args.ram_count, 2);
    assert_string_equal(parsed.args.rams[0].name, "pc.ram");
    assert_string_equal(parsed.args.rams[0].path, "/dev/shm/ram");
    assert_string_equal(parsed.args.rams[1].name, "vga");
    assert_string_equal(parsed.args.rams[1].path, "a=b");
    assert_string_equal(parsed.args.stream_path, "-");
    assert_true(parsed.args.is_pin_all);
    assert_true(parsed.args.is_relaxed_wanted);
    assert_true(parsed.args.is_on_demand_wanted);
    assert_true(parsed.args.is_json);
    assert_int_equal(parsed.args.run_chunk_count, 128);
    assert_int_equal(parsed.args.downtime_target_ms, 50);
    assert_int_equal(parsed.args.bandwidth_bytes_per_s, UINT64_C(500) << 20);
    assert_int_equal(parsed.args.time_limit_ms, 60000);
    assert_int_equal(parsed.args.pinned_limit_bytes, UINT64_C(1) << 30);
    release(&parsed);
}

static void test_relay_has_two_addresses(void **state)
{
    struct parsed parsed = parse("relay --to [fd09::1]:4445 --listen :4444 --ram-max 3g");

    (void)state;
    assert_true(parsed.is_good);
    assert_string_equal(parsed.args.address.host, "");
    assert_string_equal(parsed.args.address.port, "4444");
    assert_string_equal(parsed.args.relay_to.host, "fd09::1");
    assert_string_equal(parsed.args.relay_to.port, "4445");
    assert_int_equal(parsed.args.ram_limit_bytes, UINT64_C(3) << 30);
    release(&parsed);
}

static void test_what_is_not_given_is_zero(void **state)
{
    struct parsed parsed = parse("send --to h:1 --ram a=b");

    (void)state;
    assert_true(parsed.is_good);
    assert_null(parsed.args.stream_path);
    assert_null(parsed.args.trace_path);
    assert_false(parsed.args.is_pin_all);
    assert_false(parsed.args.is_relaxed_wanted);
    assert_false(parsed.args.is_on_demand_wanted);
    assert_false(parsed.args.is_json);
    assert_int_equal(parsed.args.run_chunk_count, 0);
    assert_int_equal(parsed.args.downtime_target_ms, 0);
    assert_int_equal(parsed.args.bandwidth_bytes_per_s, 0);
    assert_int_equal(parsed.args.time_limit_ms, 0);
    assert_int_equal(parsed.args.pinned_limit_bytes, 0);
    assert_int_equal(parsed.args.ram_limit_bytes, 0);
    release(&parsed);
}

static void test_good_lines(void **state)
{
    static const char *const lines[] = {
        "recv --listen :4444 --ram a=b",
        "recv --listen :4444 --ram a=b --pinned-max none",
        "recv --listen 10.9.0.1:0 --ram a=b --ram b=b --stream s --refuse-pin-all",
        "capture --listen [::]:4444 --into dir",
        "capture --listen [::]:4444 --into dir --relaxed-ordering --on-demand-paging",
        "recv --listen :4444 --ram a=b --relaxed-ordering --on-demand-paging",
        "restore --to h:1 --from dir --relaxed-ordering --on-demand-paging",
        "capture --listen [::]:4444 --into dir --pinned-max 33554432",
        "capture --listen :1 --into dir --ram-max 4G",
        "relay --listen :1 --to h:1 --ram-max none",
        "capture --listen :1 --into dir --refuse-pin-all --time-limit 4294967",
        "restore --to h:1 --from dir --pinned-max 32m",
        ("restore --to [::1]:1 --from d --pin-all --run-chunks 8 --bandwidth 1G --time-limit 9 "
         "--json"),
        "relay --listen :1 --to h:1",
        ("relay --listen [::]:1 --to [::1]:2 --pin-all --refuse-pin-all --run-chunks 8 "
         "--bandwidth 1G --time-limit 9 --json"),
        "devices",
        "devices --json",
        "send --help",
        "send --help --nonsense",
        "send --to h:1 --ram a=b --run-chunks 1",
        "send --to h:1 --ram a=b --run-chunks 4096",
        "send --to h:1 --ram a=b --downtime-ms 4294967294",
        "send --to h:1 --ram a=b --js", /* getopt takes unambiguous beginnings */
    };
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        struct parsed parsed = parse(lines[i]);

        if (!parsed.is_good) {
            print_error("%s: %s\n", lines[i], parsed.error.detail);
        }
        assert_true(parsed.is_good);
        release(&parsed);
    }
}

static void test_bad_lines(void **state)
{
    /* Each with a piece of what it must say. */
    static const struct {
        const char *line;
        const char *says;
    } rows[] = {
        {"send", "--to HOST:PORT is missing"},
        {"send --to h:1", "--ram NAME=FILE is missing"},
        {"send --ram a=b", "--to HOST:PORT is missing"},
        {"recv --ram a=b", "--listen HOST:PORT is missing"},
        {"relay --to h:1", "--listen HOST:PORT is missing"},
        {"relay --listen :1", "--to HOST:PORT is missing"},
        {"relay --listen :1 --to h:0", "--to h:0"},
        {"relay --listen :1 --to h:1 --into d", "unknown or ambiguous option --into"},
        {"recv --listen :1", "--ram NAME=FILE is missing"},
        {"capture --listen :1", "--into DIR is missing"},
        {"capture --into d", "--listen HOST:PORT is missing"},
        {"restore --to h:1", "--from DIR is missing"},
        {"restore --from d", "--to HOST:PORT is missing"},
        {"restore --to h:1 --from d --into e", "option --into"},
        {"restore --to h:1 --from d --ram a=b", "option --ram"},
        {"restore --to h:1 --from=", "name is empty"},
        {"restore --to :1 --from d", "host is missing"},
        {"send --to h --ram a=b", "port is missing"},
        {"send --to h:0 --ram a=b", "from 1 to 65535"},
        {"send --to :1 --ram a=b", "host is missing"},
        {"send --to fd09::1:1 --ram a=b", "brackets"},
        {"recv --listen h:65536 --ram a=b", "from 0 (any) to 65535"},
        {"send --to h:1 --ram a", "NAME=FILE"},
        {"send --to h:1 --ram =b", "1 to 255 bytes"},
        {"send --to h:1 --ram a=", "the file is missing"},
        {"send --to h:1 --ram a=b --ram a=c", "given twice"},
        {"send --to h:1 --ram a=b --run-chunks 0", "1 to 4096"},
        {"send --to h:1 --ram a=b --run-chunks 4097", "1 to 4096"},
        {"send --to h:1 --ram a=b --run-chunks", "--run-chunks needs a value"},
        {"send --to h:1 --ram a=b --downtime-ms 4294967295", "milliseconds"},
        {"send --to h:1 --ram a=b --bandwidth 1X", "bytes per second"},
        {"send --to h:1 --ram a=b --bandwidth 0", "bytes per second"},
        {"send --to h:1 --ram a=b --pinned-max 0", "or none"},
        {"recv --listen :1 --ram a=b --pinned-max nothing", "or none"},
        {"capture --listen :1 --into d --ram-max 0", "or none"},
        {"relay --listen :1 --to h:1 --ram-max 1X", "or none"},
        {"capture --listen :1 --into d --ram 1G", "option --ram"},
        {"relay --listen :1 --to h:1 --ram=1G", "option --ram=1G"},
        {"recv --listen :1 --ram a=b --ram-max 1G", "option --ram-max"},
        {"devices --pinned-max 1G", "option --pinned-max"},
        {"send --to h:1 --ram a=b --time-limit 4294968", "seconds"},
        {"send --to h:1 --ram a=b --time-limit 0", "seconds"},
        {"send --to h:1 --ram a=b extra", "unexpected argument extra"},
        {"send --to h:1 --ram a=b -- extra", "unexpected argument extra"},
        {"send --to h:1 --ram a=b --nonsense", "option --nonsense"},
        {"send --to h:1 --ram a=b -x", "option -x"},
        {"send --to h:1 --ram a=b --json=1", "option --json=1"},
        {"send --to h:1 --ram a=b --refuse-pin-all", "option --refuse-pin-all"},
        {"recv --listen :1 --ram a=b --pin-all", "option --pin-all"},
        {"recv --to h:1", "option --to"},
        {"capture --listen :1 --into d --ram a=b", "option --ram"},
        {"devices --into d", "option --into"},
        {"devices extra", "unexpected argument extra"},
    };
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct parsed parsed = parse(rows[i].line);

        assert_false(parsed.is_good);
        assert_string_equal(parsed.error.reason, TOOL_REASON_USAGE);
        assert_non_null(strstr(parsed.error.remedy, "--help"));
        if (strstr(parsed.error.detail, rows[i].says) == NULL) {
            print_error("%s: \"%s\" lacks \"%s\"\n", rows[i].line, parsed.error.detail,
                        rows[i].says);
        }
        assert_non_null(strstr(parsed.error.detail, rows[i].says));
        release(&parsed);
    }
}

static void test_json_is_known_in_spite_of_an_error(void **state)
{
    struct parsed parsed = parse("send --nonsense --json");

    (void)state;
    assert_false(parsed.is_good);
    assert_true(parsed.args.is_json);
    release(&parsed);
    parsed = parse("send --nonsense -- --json");
    assert_false(parsed.args.is_json);
    release(&parsed);
}

static void test_long_block_names(void **state)
{
    char name[300];
    char line[400];
    struct parsed parsed;

    (void)state;
    memset(name, 'n', sizeof(name));
    name[255] = '\0';
    snprintf(line, sizeof(line), "send --to h:1 --ram %s=f", name);
    parsed = parse(line);
    assert_true(parsed.is_good);
    assert_string_equal(parsed.args.rams[0].name, name);
    release(&parsed);
    name[255] = 'n';
    name[256] = '\0';
    snprintf(line, sizeof(line), "send --to h:1 --ram %s=f", name);
    parsed = parse(line);
    assert_false(parsed.is_good);
    release(&parsed);
}

static void test_help_names_every_option(void **state)
{
    char *text = NULL;
    size_t text_bytes = 0;
    FILE *out = open_memstream(&text, &text_bytes);

    (void)state;
    args_print_help(TOOL_COMMAND_SEND, out);
    fclose(out);
    assert_non_null(strstr(text, "usage: rdmig send --to HOST:PORT"));
    assert_non_null(strstr(text, "--run-chunks N"));
    assert_non_null(strstr(text, "--bandwidth BYTES_PER_S"));
    assert_non_null(strstr(text, "--json"));
    assert_null(strstr(text, "--listen"));
    assert_null(strstr(text, "--into"));
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_commands),
        cmocka_unit_test(test_send_in_full),
        cmocka_unit_test(test_relay_has_two_addresses),
        cmocka_unit_test(test_what_is_not_given_is_zero),
        cmocka_unit_test(test_good_lines),
        cmocka_unit_test(test_bad_lines),
        cmocka_unit_test(test_json_is_known_in_spite_of_an_error),
        cmocka_unit_test(test_long_block_names),
        cmocka_unit_test(test_help_names_every_option),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
