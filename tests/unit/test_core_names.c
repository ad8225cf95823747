/* SPDX-License-Identifier: BSD-2-Clause */
/* Names, and events and actions as lines of text. */
#include "support/drive.h"

#include <limits.h>
#include <string.h>

typedef const char *namer(uint32_t value);

static const char *phase_name(uint32_t value)
{
    return rdmig_phase_name((enum rdmig_phase)value);
}

static const char *event_name(uint32_t value)
{
    return rdmig_event_name((enum rdmig_event_kind)value);
}

static const char *action_name(uint32_t value)
{
    return rdmig_action_name((enum rdmig_action_kind)value);
}

/* Every value has a name of its own in capitals; what is beyond has none. */
static void check_names(namer *name, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        assert_string_not_equal(name(i), "unknown");
        assert_int_equal(strspn(name(i), "ABCDEFGHIJKLMNOPQRSTUVWXYZ_"), strlen(name(i)));
        for (uint32_t k = 0; k < i; k++)
            assert_string_not_equal(name(i), name(k));
    }
    assert_string_equal(name(count), "unknown");
    assert_string_equal(name(INT_MAX), "unknown");
    assert_string_equal(name(UINT32_MAX), "unknown");
}

static const enum rdmig_reason reasons[] = {
#define REASON_VALUE(name, value, is_retryable) RDMIG_REASON_##name,
    RDMIG_REASON_MAP(REASON_VALUE)
#undef REASON_VALUE
};
enum { REASON_COUNT = sizeof(reasons) / sizeof(reasons[0]) };

static void check_reasons(void)
{
    uint32_t known_count = 0;

    for (uint32_t value = 0; value < 1000; value++)
        known_count += strcmp(rdmig_reason_name((enum rdmig_reason)value), "unknown") != 0;
    assert_int_equal(known_count, REASON_COUNT); /* no two have one number */
    for (uint32_t i = 0; i < REASON_COUNT; i++) {
        const char *name = rdmig_reason_name(reasons[i]);

        assert_int_equal(strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZ_"), strlen(name));
        for (uint32_t k = 0; k < i; k++)
            assert_string_not_equal(name, rdmig_reason_name(reasons[k]));
    }
    assert_string_equal(rdmig_reason_name((enum rdmig_reason)UINT32_MAX), "unknown");
}

/* Numbers that programs have been compiled with: none may ever be another one. */
static void test_core_names__reasons__keep_their_numbers(void **state)
{
    static const struct {
        enum rdmig_reason reason;
        int number;
    } fixed[] = {
        {RDMIG_REASON_NONE, 0},
        {RDMIG_REASON_CANCELLED, 100},
        {RDMIG_REASON_HANDOVER_UNKNOWN, 104},
        {RDMIG_REASON_PEER_UNREACHABLE, 201},
        {RDMIG_REASON_PEER_ERROR, 207},
        {RDMIG_REASON_PRIVATE_DATA_SHORT, 300},
        {RDMIG_REASON_STREAM_TRUNCATED, 322},
        {RDMIG_REASON_DEVICE, 400},
        {RDMIG_REASON_REGISTER_FAILED, 404},
        {RDMIG_REASON_MEMLOCK, 500},
        {RDMIG_REASON_INTERNAL, 503},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(fixed) / sizeof(fixed[0]); i++)
        assert_int_equal(fixed[i].reason, fixed[i].number);
}

static void test_core_names__retryable__is_what_another_moment_may_mend(void **state)
{
    (void)state;
    assert_true(rdmig_reason_is_retryable(RDMIG_REASON_PEER_UNREACHABLE));
    assert_true(rdmig_reason_is_retryable(RDMIG_REASON_CONNECTION_LOST));
    assert_false(rdmig_reason_is_retryable(RDMIG_REASON_HANDOVER_UNKNOWN));
    assert_false(rdmig_reason_is_retryable(RDMIG_REASON_CALLER));
    assert_false(rdmig_reason_is_retryable(RDMIG_REASON_NONE));
    assert_false(rdmig_reason_is_retryable((enum rdmig_reason)299));
}

/* Clause: E2 */
static void test_core_names__every_value__has_one(void **state)
{
    (void)state;
    check_reasons();
    check_names(phase_name, RDMIG_PHASE_COUNT);
    check_names(event_name, RDMIG_EVENT_KIND_COUNT);
    check_names(action_name, RDMIG_ACTION_KIND_COUNT);
    check_names(rdmig_message_name, RDMIG_MESSAGE_TYPE_COUNT);
    assert_string_equal(rdmig_reason_name(RDMIG_REASON_PEER_SILENT), "PEER_SILENT");
    assert_string_equal(rdmig_message_name(5), "RAM_BLOCKS_RESULT");
    assert_string_equal(rdmig_event_name(RDMIG_EVENT_RANGE_PUSHED), "RANGE_PUSHED");
}

/* Clause: E1 */
static void test_core_names__results__are_sentences_for_either_sign(void **state)
{
    (void)state;
    assert_string_equal(rdmig_result_text(RDMIG_OK), "done");
    for (int i = 1; i <= RDMIG_E_SYSTEM; i++) {
        assert_ptr_equal(rdmig_result_text(i), rdmig_result_text(-i));
        assert_true(strlen(rdmig_result_text(i)) > 10);
    }
    assert_string_equal(rdmig_result_text(RDMIG_E_SYSTEM + 1), "unknown");
    assert_string_equal(rdmig_result_text(INT_MAX), "unknown");
    assert_string_equal(rdmig_result_text(INT_MIN), "unknown");
}

static void check_event(struct rdmig_event event, const char *expected)
{
    char text[256];

    assert_int_equal(rdmig_event_format(&event, text, sizeof(text)), strlen(expected));
    assert_string_equal(text, expected);
}

/* Clause: E2 */
static void test_core_names__events__show_what_they_carry(void **state)
{
    (void)state;
#define EVENT(name, ...) ((struct rdmig_event){.kind = RDMIG_EVENT_##name, __VA_ARGS__})
    check_event(EVENT(TIME_PASSED, .now_ns = 5), "TIME_PASSED");
    check_event(EVENT(RECEIVED, .tag = 0xabc, .length = 16), "RECEIVED tag=0xabc length=16");
    check_event(EVENT(COMPLETED, .tag = 1, .rkey = 0xff), "COMPLETED tag=0x1 OK rkey=0xff");
    check_event(EVENT(COMPLETED, .tag = 0, .status = RDMIG_STATUS_ERROR, .os_code = -12),
                "COMPLETED tag=0x0 ERROR os_code=-12");
    check_event(EVENT(COMPLETED, .tag = 0, .status = RDMIG_STATUS_ERROR, .os_code = INT32_MIN),
                "COMPLETED tag=0x0 ERROR os_code=-2147483648");
    check_event(EVENT(COMPLETED, .status = RDMIG_STATUS_FLUSHED), "COMPLETED tag=0x0 FLUSHED");
    check_event(EVENT(COMPLETED, .status = RDMIG_STATUS_FOREIGN, .os_code = 129),
                "COMPLETED tag=0x0 FOREIGN os_code=129");
    check_event(EVENT(COMPLETED, .status = (enum rdmig_status)5), "COMPLETED tag=0x0 unknown");
    check_event(EVENT(UNREACHABLE, .status = RDMIG_STATUS_REJECTED, .os_code = 8),
                "UNREACHABLE REJECTED os_code=8");
    check_event(EVENT(RANGE_PUSHED, .block_index = 1, .offset_bytes = 2, .length = 3,
                      .register_end_bytes = 4, .is_zero = true),
                "RANGE_PUSHED block=1 offset=2 length=3 register_end=4 zero");
    check_event(EVENT(UNREGISTER_REQUESTED, .block_index = 1, .chunk_index = 2),
                "UNREGISTER_REQUESTED block=1 chunk=2");
    check_event(EVENT(BLOCKS_PROVIDED, .block_count = 16383), "BLOCKS_PROVIDED count=16383");
    check_event(EVENT(FLUSH_REQUESTED, .flush = RDMIG_FLUSH_CONSUMED), "FLUSH_REQUESTED CONSUMED");
    check_event(EVENT(FLUSH_REQUESTED, .flush = RDMIG_FLUSH_DELIVERED),
                "FLUSH_REQUESTED DELIVERED");
    check_event(EVENT(STREAM_WRITTEN, .length = UINT64_MAX),
                "STREAM_WRITTEN length=18446744073709551615");
    check_event((struct rdmig_event){.kind = RDMIG_EVENT_KIND_COUNT}, "unknown");
}

static void check_action(struct rdmig_action action, const char *expected)
{
    char text[256];

    assert_int_equal(rdmig_action_format(&action, text, sizeof(text)), strlen(expected));
    assert_string_equal(text, expected);
}

/* Clause: E2 */
static void test_core_names__actions__show_what_they_ask_for(void **state)
{
    (void)state;
#define ACTION(name, ...) ((struct rdmig_action){.kind = RDMIG_ACTION_##name, __VA_ARGS__})
    check_action(ACTION(DISCONNECT), "DISCONNECT");
    check_action(ACTION(POST_RECV, .tag = 0x10, .memory_offset_bytes = 524288, .length = 9),
                 "POST_RECV tag=0x10 memory=524288 length=9");
    check_action(ACTION(POST_WRITE, .tag = 2, .block_index = 3, .offset_bytes = 4, .length = 5,
                        .region = 6, .remote_addr = UINT64_MAX, .rkey = UINT32_MAX,
                        .is_signalled = true),
                 "POST_WRITE tag=0x2 block=3 offset=4 length=5 region=6 "
                 "remote=0xffffffffffffffff rkey=0xffffffff signalled");
    check_action(ACTION(REGISTER, .tag = 1, .region = 2, .is_remote_writable = true),
                 "REGISTER tag=0x1 block=0 offset=0 length=0 region=2 remote-write");
    check_action(ACTION(DEREGISTER, .tag = 1, .region = 2), "DEREGISTER tag=0x1 region=2");
    check_action(ACTION(FILL_RANGE, .tag = 1, .fill_value = 255),
                 "FILL_RANGE tag=0x1 block=0 offset=0 length=0 value=255");
    check_action(ACTION(NOTIFY_ESTABLISHED, .capability_flags = 1), "NOTIFY_ESTABLISHED flags=0x1");
    check_action(ACTION(NOTIFY_UNREGISTERED, .region = 7), "NOTIFY_UNREGISTERED region=7");
    check_action((struct rdmig_action){.kind = RDMIG_ACTION_KIND_COUNT}, "unknown");
    check_action((struct rdmig_action){.kind = (enum rdmig_action_kind)UINT32_MAX}, "unknown");
}

/* Clause: E1 */
static void test_core_names__a_line_too_long__is_cut_and_terminated(void **state)
{
    const struct rdmig_event event = EVENT(RECEIVED, .tag = 0xabc, .length = 16);
    const struct rdmig_action action = ACTION(DEREGISTER, .tag = 1, .region = 2);
    char text[64];
    char full[64];
    const size_t event_length = rdmig_event_format(&event, full, sizeof(full));

    (void)state;
    for (size_t capacity = 0; capacity <= event_length + 2; capacity++) {
        const size_t kept = capacity == 0 ? 0 : capacity - 1;

        memset(text, '#', sizeof(text));
        assert_int_equal(rdmig_event_format(&event, text, capacity), event_length);
        if (capacity > 0) {
            assert_int_equal(strlen(text), kept < event_length ? kept : event_length);
            assert_memory_equal(text, full, strlen(text));
        }
        assert_int_equal(text[capacity], '#');
    }
    assert_int_equal(rdmig_event_format(&event, NULL, 0), event_length);
    assert_int_equal(rdmig_action_format(&action, NULL, 0), strlen("DEREGISTER tag=0x1 region=2"));
}

static void check_message(const char *bytes, uint64_t length_bytes, const char *expected)
{
    char text[64];

    assert_int_equal(rdmig_message_format(bytes, length_bytes, text, sizeof(text)),
                     strlen(expected));
    assert_string_equal(text, expected);
    assert_int_equal(rdmig_message_format(bytes, length_bytes, NULL, 0), strlen(expected));
}

/* Whatever has come, the header is all that is looked at. Clause: W3 */
static void test_core_names__messages__show_their_header(void **state)
{
    (void)state;
    check_message("\0\0\0\0\0\0\0\2\0\0\0\1\0\0\0\0", 16, "READY repeat=1 length=16");
    check_message("\0\0\0\30\0\0\0\12\0\0\0\1\0\0\0\0", 40,
                  "UNREGISTER_REQUEST repeat=1 length=40");
    check_message("\0\0\0\0\0\0\0\77\0\0\0\1\0\0\0\0", 16,
                  "unknown type=63 repeat=1 length=16 MESSAGE_TYPE");
    check_message("\0\0\0\1\0\0\0\2\0\0\0\1\0\0\0\0", 16,
                  "READY repeat=1 length=16 MESSAGE_LENGTH");
    check_message("\0\0\0", 3, "message length=3 MESSAGE_SHORT");
    check_message("", 0, "message length=0 MESSAGE_SHORT");
}

/* Clause: E2 */
static void test_core_names__every_kind__makes_a_line_that_begins_with_its_name(void **state)
{
    char text[256];

    (void)state;
    for (uint32_t i = 0; i < RDMIG_EVENT_KIND_COUNT; i++) {
        const struct rdmig_event event = {.kind = (enum rdmig_event_kind)i};

        rdmig_event_format(&event, text, sizeof(text));
        assert_memory_equal(text, rdmig_event_name(event.kind),
                            strlen(rdmig_event_name(event.kind)));
    }
    for (uint32_t i = 0; i < RDMIG_ACTION_KIND_COUNT; i++) {
        const struct rdmig_action action = {.kind = (enum rdmig_action_kind)i};

        rdmig_action_format(&action, text, sizeof(text));
        assert_memory_equal(text, rdmig_action_name(action.kind),
                            strlen(rdmig_action_name(action.kind)));
    }
}
int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_core_names__every_value__has_one),
        cmocka_unit_test(test_core_names__reasons__keep_their_numbers),
        cmocka_unit_test(test_core_names__retryable__is_what_another_moment_may_mend),
        cmocka_unit_test(test_core_names__results__are_sentences_for_either_sign),
        cmocka_unit_test(test_core_names__events__show_what_they_carry),
        cmocka_unit_test(test_core_names__actions__show_what_they_ask_for),
        cmocka_unit_test(test_core_names__a_line_too_long__is_cut_and_terminated),
        cmocka_unit_test(test_core_names__messages__show_their_header),
        cmocka_unit_test(test_core_names__every_kind__makes_a_line_that_begins_with_its_name),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
