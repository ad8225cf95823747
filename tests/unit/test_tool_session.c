/* SPDX-License-Identifier: BSD-2-Clause */
/* Whose mistake it was: what the command makes of the library's refusals. */
#include "../../src/tool/commands/session.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct tool_args args = {.command = TOOL_COMMAND_SEND};

static struct session make_session(void)
{
    struct session session;

    memset(&session, 0, sizeof(session));
    session.args = &args;
    return session;
}

static struct rdmig_error make_error(enum rdmig_reason reason)
{
    return (struct rdmig_error){.reason = reason, .detail = "what it was", .remedy = "do that"};
}

/* What the library was given came from the command line: exit 2, as for any other of its faults. */
static void test_a_callers_mistake_is_wrong_usage(void **state)
{
    struct session session = make_session();
    const struct rdmig_error from = make_error(RDMIG_REASON_CALLER);

    (void)state;
    session_create_failed(&session, -RDMIG_E_INVALID, &from);
    assert_string_equal(session.report.error.reason, TOOL_REASON_USAGE);
    assert_string_equal(session.report.error.detail, "what it was");
    assert_string_equal(session.report.error.remedy, "see rdmig send --help");
    assert_int_equal(report_print(&session.report, false), TOOL_EXIT_USAGE);
}

static void test_the_librarys_reason_is_kept(void **state)
{
    struct session session = make_session();
    struct rdmig_error from = make_error(RDMIG_REASON_PINNED_LIMIT);

    (void)state;
    session_create_failed(&session, -RDMIG_E_INVALID, &from);
    assert_string_equal(session.report.error.reason, "PINNED_LIMIT");
    assert_string_equal(session.report.error.remedy, "do that");
    assert_int_equal(report_print(&session.report, false), TOOL_EXIT_FAILED);
    session = make_session();
    from = make_error(RDMIG_REASON_MEMORY);
    session_blocks_refused(&session, -RDMIG_E_MEMORY, &from);
    assert_string_equal(session.report.error.reason, "MEMORY");
    session = make_session();
    session_blocks_refused(&session, -RDMIG_E_FAILED, &from);
    assert_false(tool_error_is_set(&session.report.error)); /* the handle tells of it */
}

/* Nobody but this program chose them: only such a fault is reported. */
static void test_what_the_command_itself_got_wrong_is_to_be_reported(void **state)
{
    struct session session = make_session();
    const struct rdmig_error callers = make_error(RDMIG_REASON_CALLER);
    const struct rdmig_error none = make_error(RDMIG_REASON_NONE);

    (void)state;
    session_blocks_refused(&session, -RDMIG_E_INVALID, &callers);
    assert_string_equal(session.report.error.reason, "INTERNAL");
    assert_non_null(strstr(session.report.error.detail, "refused: what it was"));
    assert_non_null(strstr(session.report.error.remedy, "report it"));
    session = make_session();
    session_create_failed(&session, -RDMIG_E_SYSTEM, &none);
    assert_string_equal(session.report.error.reason, "INTERNAL");
    assert_non_null(strstr(session.report.error.remedy, "report it"));
}

/* Without devices nothing comes to be traced; a file that cannot be opened ends the command. */
static void test_a_trace_goes_to_its_file(void **state)
{
    struct tracefile trace;
    struct tool_error error = {.reason = ""};
    char path[] = "/tmp/test_tool_trace-XXXXXX";
    char text[64] = "";
    FILE *file;

    (void)state;
    assert_true(mkstemp(path) >= 0);
    assert_true(tracefile_open(&trace, NULL, &error));
    assert_int_equal(tracefile_close(&trace), 0);
    assert_true(tracefile_open(&trace, path, &error));
    assert_non_null(trace.file);
    assert_true(fprintf(trace.file, "source 1 state IDLE\n") > 0);
    file = fopen(path, "r");
    assert_non_null(file);
    assert_non_null(fgets(text, sizeof(text), file)); /* a whole line is there at once */
    assert_string_equal(text, "source 1 state IDLE\n");
    fclose(file);
    assert_int_equal(tracefile_close(&trace), 0);
    assert_int_equal(tracefile_close(&trace), 0);
    assert_true(tracefile_open(&trace, "/dev/full", &error));
    assert_int_equal(fprintf(trace.file, "source 1 state IDLE\n") < 0 ? ENOSPC : 0, ENOSPC);
    (void)tracefile_close(&trace);
    assert_false(tracefile_open(&trace, "/nowhere/at/all", &error));
    assert_string_equal(error.reason, TOOL_REASON_FILE);
    assert_int_equal(tracefile_close(&trace), 0);
    remove(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_trace_goes_to_its_file),
        cmocka_unit_test(test_a_callers_mistake_is_wrong_usage),
        cmocka_unit_test(test_the_librarys_reason_is_kept),
        cmocka_unit_test(test_what_the_command_itself_got_wrong_is_to_be_reported),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
