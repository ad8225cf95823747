/* SPDX-License-Identifier: BSD-2-Clause */
/* What rdmig capture and relay allocate for the list of blocks that a source has sent. */
#include "../../src/tool/commands/session.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define TIB (UINT64_C(1) << 40)

static struct rdmig_ram_block announced = {.name = "pc.ram"};

const struct rdmig_ram_block *
__wrap_rdmig_destination_announced(const struct rdmig_destination *destination,
                                   uint32_t *block_count);

const struct rdmig_ram_block *
__wrap_rdmig_destination_announced(const struct rdmig_destination *destination,
                                   uint32_t *block_count)
{
    (void)destination;
    *block_count = 1;
    return &announced;
}

/* Whether one block of that length is allocated. */
static bool allocate(struct session *session, enum tool_command command, uint64_t length_bytes)
{
    static struct tool_args args;

    args = (struct tool_args){.command = command};
    memset(session, 0, sizeof(*session));
    session->args = &args;
    announced.length_bytes = length_bytes;
    return session_allocate_memory(session);
}

/* Sparse, so the kernel would give it. */
static void test_no_peer_gets_a_whole_host(void **state)
{
    static const enum tool_command commands[] = {TOOL_COMMAND_CAPTURE, TOOL_COMMAND_RELAY};
    struct session session;
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        if (allocate(&session, commands[i], 64 * TIB)) {
            fail_msg("%llu bytes of a peer's list were allocated",
                     (unsigned long long)session.rams.blocks[0].length_bytes);
        }
        assert_string_equal(session.report.error.reason, TOOL_REASON_MEMORY);
        assert_non_null(strstr(session.report.error.detail, "70368744177664"));
        assert_non_null(strstr(session.report.error.remedy, "--ram-max"));
        assert_int_equal(session.rams.count, 0);
        /* The report says that nothing has begun. */
        assert_int_equal(session.report.block_count, 0);
    }
}

static void test_a_small_guest_is_taken(void **state)
{
    struct session session;

    (void)state;
    assert_true(allocate(&session, TOOL_COMMAND_RELAY, 4096));
    assert_int_equal(session.rams.count, 1);
    ramfile_set_close(&session.rams);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_no_peer_gets_a_whole_host),
        cmocka_unit_test(test_a_small_guest_is_taken),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
