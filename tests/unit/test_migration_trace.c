/* SPDX-License-Identifier: BSD-2-Clause */
/* What both handles tell of a migration, line by line. */
#include "fakes/two_ends.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define TEXT_BYTES (UINT64_C(1) << 20)

struct told {
    char *text; /* the lines without their times */
    uint64_t length_bytes;
    uint64_t last_ns;
};

static struct told told_source;
static struct told told_destination;

static void take_line(void *opaque, const char *line)
{
    struct told *told = opaque;
    char *end;
    const uint64_t now_ns = strtoull(line, &end, 10);

    assert_int_equal(*end, ' ');
    assert_null(strchr(line, '\n'));
    assert_true(now_ns >= told->last_ns);
    told->last_ns = now_ns;
    told->length_bytes += (uint64_t)snprintf(told->text + told->length_bytes,
                                             TEXT_BYTES - told->length_bytes, "%s\n", end + 1);
    assert_true(told->length_bytes < TEXT_BYTES);
}

static int set_up(void **state)
{
    (void)state;
    told_source = (struct told){.text = calloc(1, TEXT_BYTES)};
    told_destination = (struct told){.text = calloc(1, TEXT_BYTES)};
    return !told_source.text || !told_destination.text;
}

static int tear_down(void **state)
{
    (void)state;
    free(told_source.text);
    free(told_destination.text);
    return 0;
}

static void begin(struct two_ends *ends, uint32_t kinds)
{
    ends_init(ends);
    ends_create(ends, NULL, NULL);
    assert_int_equal(rdmig_source_set_trace(ends->source, kinds, take_line, &told_source), 0);
    assert_int_equal(
        rdmig_destination_set_trace(ends->destination, kinds, take_line, &told_destination), 0);
}

static void migrate(struct two_ends *ends)
{
    ends_run_source(ends, RDMIG_SOURCE_CONNECTING);
    assert_int_equal(rdmig_source_start_round(ends->source), 0);
    ends_run_source(ends, RDMIG_SOURCE_SENDING);
    ends_write_stream(ends, "state", 5, 5);
    assert_int_equal(rdmig_source_finish(ends->source), 0);
    ends_run_source(ends, RDMIG_SOURCE_FINISHING);
    ends_turn(ends, 1000);
}

/* The parts stand in the text in this order, other lines in between. */
static void assert_order(const struct told *told, const char *const *parts)
{
    const char *at = told->text;

    for (; *parts; parts++) {
        at = strstr(at, *parts);
        if (!at)
            fail_msg("no \"%s\" in its place of:\n%s", *parts, told->text);
        at += strlen(*parts);
    }
}

static void test_migration_trace__a_migration__is_told_from_end_to_end(void **state)
{
    static const char *const at_source[] = {"state CONNECTING\n",
                                            "event ESTABLISHED",
                                            "send QEMU_FILE",
                                            "send RAM_BLOCKS_REQUEST",
                                            "received RAM_BLOCKS_RESULT",
                                            "action NOTIFY_BLOCKS_EXCHANGED\n",
                                            "state IDLE\n",
                                            "state SENDING\n",
                                            "event ROUND_CLOSED\n",
                                            "send REGISTER_REQUEST",
                                            "received REGISTER_RESULT",
                                            "send REGISTER_FINISHED",
                                            "state IDLE\n",
                                            "state FINISHING\n",
                                            "state COMPLETED\n",
                                            "action DISCONNECT\n",
                                            "action NOTIFY_CLOSED\n",
                                            NULL};
    static const char *const at_destination[] = {"state LISTENING\n",
                                                 "event CONNECT_REQUESTED",
                                                 "action ACCEPT",
                                                 "state CONNECTED\n",
                                                 "state RECEIVING\n",
                                                 "received RAM_BLOCKS_REQUEST",
                                                 "received REGISTER_REQUEST",
                                                 "action REGISTER ",
                                                 "send REGISTER_RESULT",
                                                 "received REGISTER_FINISHED",
                                                 "action END_ROUND",
                                                 "state PREPARED\n",
                                                 "state CONFIRMING\n",
                                                 "state COMPLETED\n",
                                                 "event DISCONNECTED\n",
                                                 "action NOTIFY_CLOSED\n",
                                                 NULL};
    struct two_ends ends;

    (void)state;
    begin(&ends, RDMIG_TRACE_STATES | RDMIG_TRACE_MESSAGES | RDMIG_TRACE_REGIONS);
    migrate(&ends);
    assert_int_equal(rdmig_source_state(ends.source), RDMIG_SOURCE_COMPLETED);
    assert_order(&told_source, at_source);
    assert_order(&told_destination, at_destination);
    assert_null(strstr(told_source.text, "POST_WRITE"));
    assert_null(strstr(told_source.text, "cause "));
    ends_free(&ends);
}

static void test_migration_trace__a_cancel__is_told_with_its_cause(void **state)
{
    static const char *const at_source[] = {
        "state IDLE\n",
        "state CANCELLING\ncause CANCELLED os_code=0: the migration was cancelled here\n",
        "state CANCELLED\ncause CANCELLED", NULL};
    static const char *const at_destination[] = {"received ERROR", "cause PEER_ERROR",
                                                 "state FAILED\ncause PEER_ERROR", NULL};
    struct two_ends ends;

    (void)state;
    begin(&ends, RDMIG_TRACE_STATES | RDMIG_TRACE_MESSAGES);
    ends_run_source(&ends, RDMIG_SOURCE_CONNECTING);
    assert_int_equal(rdmig_source_cancel(ends.source), 0);
    ends_turn(&ends, 1000);
    assert_order(&told_source, at_source);
    assert_order(&told_destination, at_destination);
    ends_free(&ends);
}

static void test_migration_trace__work__is_told_on_demand(void **state)
{
    static const char *const at_source[] = {"event RANGE_PUSHED", "action POST_WRITE",
                                            "event COMPLETED", NULL};
    static const char *const at_destination[] = {"action POST_RECV", "action FILL_RANGE",
                                                 "action DELIVER_STREAM", NULL};
    struct two_ends ends;

    (void)state;
    begin(&ends, RDMIG_TRACE_WORK);
    migrate(&ends);
    assert_order(&told_source, at_source);
    assert_order(&told_destination, at_destination);
    assert_null(strstr(told_source.text, "state "));
    ends_free(&ends);
}

static void test_migration_trace__switched_off__tells_no_more(void **state)
{
    struct two_ends ends;
    uint64_t length_bytes;

    (void)state;
    begin(&ends, RDMIG_TRACE_STATES);
    ends_run_source(&ends, RDMIG_SOURCE_CONNECTING);
    assert_int_equal(rdmig_source_set_trace(ends.source, 0, NULL, NULL), 0);
    assert_int_equal(rdmig_destination_set_trace(ends.destination, 0, NULL, NULL), 0);
    length_bytes = told_source.length_bytes + told_destination.length_bytes;
    migrate(&ends);
    assert_int_equal(told_source.length_bytes + told_destination.length_bytes, length_bytes);
    assert_int_equal(rdmig_source_set_trace(ends.source, 0x10, take_line, &told_source),
                     -RDMIG_E_INVALID);
    assert_int_equal(rdmig_destination_set_trace(ends.destination, 1, NULL, NULL),
                     -RDMIG_E_INVALID);
    /* Switched on late, it begins with where things stand. */
    assert_int_equal(
        rdmig_source_set_trace(ends.source, RDMIG_TRACE_STATES, take_line, &told_source), 0);
    assert_string_equal(told_source.text + told_source.length_bytes - 16, "state COMPLETED\n");
    ends_free(&ends);
}

static void test_migration_trace__every_state__has_a_name(void **state)
{
    (void)state;
    for (uint32_t i = 0; i <= RDMIG_SOURCE_CANCELLED; i++)
        assert_string_not_equal(rdmig_source_state_name((enum rdmig_source_state)i), "unknown");
    for (uint32_t i = 0; i <= RDMIG_DESTINATION_CANCELLED; i++)
        assert_string_not_equal(rdmig_destination_state_name((enum rdmig_destination_state)i),
                                "unknown");
    assert_string_equal(rdmig_source_state_name(RDMIG_SOURCE_FINISHING), "FINISHING");
    assert_string_equal(rdmig_destination_state_name(RDMIG_DESTINATION_PREPARED), "PREPARED");
    assert_string_equal(rdmig_source_state_name((enum rdmig_source_state)99), "unknown");
    assert_string_equal(rdmig_destination_state_name((enum rdmig_destination_state)99), "unknown");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_migration_trace__a_migration__is_told_from_end_to_end),
        TEST(test_migration_trace__a_cancel__is_told_with_its_cause),
        TEST(test_migration_trace__work__is_told_on_demand),
        TEST(test_migration_trace__switched_off__tells_no_more),
        TEST(test_migration_trace__every_state__has_a_name),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
