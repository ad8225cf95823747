/* SPDX-License-Identifier: BSD-2-Clause */
/* Every event in every stage of both roles gives its documented result; a refused one does nothing
 * at all. */
#include "support/drive.h"

#include <stdlib.h>
#include <string.h>

/*
 * o taken   S -STATE   I -INVALID   A -AGAIN   F -FAILED. Columns in the order of enum
 * rdmig_event_kind: TIME_PASSED STARTED CONNECT_REQUESTED ESTABLISHED UNREACHABLE DISCONNECTED
 * RECEIVED COMPLETED (both of no tag) BLOCKS_PROVIDED FINISH CANCEL | EXCHANGE STREAM_WRITTEN FLUSH
 * RANGE_PUSHED ROUND_CLOSED UNREGISTER | STREAM_CONSUMED
 */
/* clang-format off */
static const char *const source_table[SOURCE_STAGE_COUNT] = {
    [SOURCE_IS_IDLE]             = "ooSSooIIoSoSSSSSSS",
    [SOURCE_IS_CONNECTING]       = "oSSoooIIoSoSSSSSSS",
    [SOURCE_IS_ESTABLISHED]      = "oSSSooIIoooSooSSSS",
    [SOURCE_IS_CREDITED]         = "oSSSooIISooooo" "SSSS",
    [SOURCE_AWAITS_BLOCKS]       = "oSSSooIISooSooSSSS",
    [SOURCE_IS_EXCHANGED]        = "oSSSooIISooSoooo" "IS",
    [SOURCE_AWAITS_RESULT]       = "oSSSooIISSoSSSooIS",
    [SOURCE_IS_WRITING]          = "oSSSooIISSoSSSooAS",
    [SOURCE_AWAITS_UNREGISTERED] = "oSSSooIISSoSSSooIS",
    [SOURCE_IS_FINISHING]        = "oSSSooIISSSSSSSSSS",
    [SOURCE_IS_FAILING]          = "oSSoooIIFFoFFFFFFF",
    [SOURCE_IS_CLOSED]           = "oSSSooIISSSSSSSSSS",
};

static const char *const destination_table[DESTINATION_STAGE_COUNT] = {
    [DESTINATION_IS_IDLE]          = "ooSSooIIoSoSSSSSSS",
    [DESTINATION_IS_CONNECTING]    = "oSoSooIIoSoSSSSSSS",
    [DESTINATION_IS_AWAITING]      = "oSSSooIIoooSSSSSSS",
    [DESTINATION_IS_LISTED]        = "oSSSooIISooSSSSSSS",
    [DESTINATION_IS_OFFERING]      = "oSSSooIISooSSSSSSS",
    [DESTINATION_IS_STREAMING]     = "oSSSooIISooSSSSSSo",
    [DESTINATION_IS_LISTING]       = "oSSSooIIoooSSSSSSS",
    [DESTINATION_IS_REGISTERING]   = "oSSSooIISooSSSSSSS",
    [DESTINATION_IS_UNREGISTERING] = "oSSSooIISooSSSSSSS",
    [DESTINATION_IS_FILLING]       = "oSSSooIISooSSSSSSS",
    [DESTINATION_IS_ENDING_ROUND]  = "oSSSooIISooSSSSSSS",
    [DESTINATION_IS_FINISHING]     = "oSSSooIISSSSSSSSSS",
    [DESTINATION_IS_FAILING]       = "oSSoooIIFFoFFFFFFF",
    [DESTINATION_IS_CLOSED]        = "oSSSooIISSSSSSSSSS",
};
/* clang-format on */

static const struct rdmig_block blocks[2] = {
    {.host_addr = SOURCE_HOST0, .length_bytes = BLOCK0_BYTES},
    {.host_addr = SOURCE_HOST1, .length_bytes = BLOCK1_BYTES},
};
static uint64_t table_memory[4096];
static const uint8_t private_data[8] = {0, 0, 0, 1, 0, 0, 0, 0};

static struct rdmig_event make_event(enum rdmig_event_kind kind)
{
    struct rdmig_event event = {.kind = kind};

    switch (kind) {
    case RDMIG_EVENT_CONNECT_REQUESTED:
    case RDMIG_EVENT_ESTABLISHED:
        event.bytes = private_data;
        event.length = sizeof(private_data);
        break;
    case RDMIG_EVENT_UNREACHABLE:
        event.status = RDMIG_STATUS_ERROR;
        break;
    case RDMIG_EVENT_BLOCKS_PROVIDED:
        event.blocks = blocks;
        event.block_count = 2;
        event.memory = table_memory;
        event.length = sizeof(table_memory);
        break;
    case RDMIG_EVENT_STREAM_WRITTEN:
    case RDMIG_EVENT_STREAM_CONSUMED:
        event.bytes = "x";
        event.length = 1;
        break;
    case RDMIG_EVENT_RANGE_PUSHED:
        event.offset_bytes = 8192;
        event.length = 4096;
        break;
    default:
        break;
    }
    return event;
}

static int expected_result(char letter)
{
    switch (letter) {
    case 'S':
        return -RDMIG_E_STATE;
    case 'I':
        return -RDMIG_E_INVALID;
    case 'A':
        return -RDMIG_E_AGAIN;
    case 'F':
        return -RDMIG_E_FAILED;
    default:
        return RDMIG_OK;
    }
}

static void check(struct bench *bench, const char *stage, const char *row, uint32_t kind)
{
    const struct rdmig_conn_counters before = bench_counters(bench);
    const enum rdmig_phase phase = rdmig_conn_phase(bench->conn);
    const int expected = expected_result(row[kind]);
    const int result = bench_feed(bench, make_event((enum rdmig_event_kind)kind));

    if (result != expected)
        fail_msg("%s, %s: %d instead of %d", stage, rdmig_event_name((enum rdmig_event_kind)kind),
                 result, expected);
    if (result != RDMIG_OK) {
        const struct rdmig_conn_counters after = bench_counters(bench);

        /* The bench has compared the connection's memory; neither is there an action or a count. */
        assert_null(strstr(bench->text, "<"));
        assert_memory_equal(&before, &after, sizeof(before));
        assert_int_equal(rdmig_conn_phase(bench->conn), phase);
    }
    bench_close(bench);
}

/* Clause: E1, E10 */
static void test_core_phases__source__each_stage_and_event(void **state)
{
    (void)state;
    for (int stage = 0; stage < SOURCE_STAGE_COUNT; stage++) {
        assert_int_equal(strlen(source_table[stage]), RDMIG_EVENT_KIND_COUNT);
        for (uint32_t kind = 0; kind < RDMIG_EVENT_KIND_COUNT; kind++)
            check(source_at((enum source_stage)stage, NULL), source_stage_names[stage],
                  source_table[stage], kind);
    }
}

/* Clause: E1, E10 */
static void test_core_phases__destination__each_stage_and_event(void **state)
{
    (void)state;
    for (int stage = 0; stage < DESTINATION_STAGE_COUNT; stage++) {
        assert_int_equal(strlen(destination_table[stage]), RDMIG_EVENT_KIND_COUNT);
        for (uint32_t kind = 0; kind < RDMIG_EVENT_KIND_COUNT; kind++)
            check(destination_at((enum destination_stage)stage, NULL),
                  destination_stage_names[stage], destination_table[stage], kind);
    }
}

static const struct rdmig_conn_config pipelined = {.capability_flags = RDMIG_CAPABILITY_PIPELINE};

/* Clause: E1, E10, C16 */
static void test_core_phases__several_credits__change_no_result(void **state)
{
    (void)state;
    for (int stage = 0; stage < SOURCE_STAGE_COUNT; stage++) {
        for (uint32_t kind = 0; kind < RDMIG_EVENT_KIND_COUNT; kind++)
            check(source_at((enum source_stage)stage, &pipelined), source_stage_names[stage],
                  source_table[stage], kind);
    }
    for (int stage = 0; stage < DESTINATION_STAGE_COUNT; stage++) {
        for (uint32_t kind = 0; kind < RDMIG_EVENT_KIND_COUNT; kind++)
            check(destination_at((enum destination_stage)stage, &pipelined),
                  destination_stage_names[stage], destination_table[stage], kind);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_core_phases__source__each_stage_and_event),
        cmocka_unit_test(test_core_phases__destination__each_stage_and_event),
        cmocka_unit_test(test_core_phases__several_credits__change_no_result),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
