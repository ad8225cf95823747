/* SPDX-License-Identifier: BSD-2-Clause */
/* What a link tells of itself: which lines, of which kinds. */
#include "link_fixture.h"

#define TEXT_BYTES 16384u

static char lines[TEXT_BYTES];
static unsigned line_count;
static uint64_t last_ns;

/* Each line is one, its time goes forward, and it is kept without it. */
static void take_line(void *opaque, const char *line)
{
    char *end;
    const uint64_t now_ns = strtoull(line, &end, 10);

    assert_ptr_equal(opaque, &line_count);
    assert_null(strchr(line, '\n'));
    assert_int_equal(*end, ' ');
    assert_true(now_ns > 0 && now_ns >= last_ns);
    last_ns = now_ns;
    line_count++;
    assert_true(strlen(lines) + strlen(end + 1) + 2 < sizeof(lines));
    strcat(lines, end + 1);
    strcat(lines, "\n");
}

static void trace(uint32_t kinds)
{
    lines[0] = '\0';
    line_count = 0;
    last_ns = 0;
    assert_int_equal(trace_set(&the_trace, kinds, take_line, &line_count), 0);
}

static void test_link_trace__connecting__tells_address_and_device(void **state)
{
    (void)state;
    trace(RDMIG_TRACE_STATES);
    make_source();
    assert_string_equal(lines, "address 10.9.0.1:4444: by device mock0\n"
                               "event STARTED\n"
                               "action CONNECT length=8\n"
                               "event ESTABLISHED length=8\n"
                               "action NOTIFY_ESTABLISHED flags=0x0\n");
}

static void test_link_trace__address_that_leads_nowhere__tells_why(void **state)
{
    (void)state;
    trace(RDMIG_TRACE_STATES);
    assert_int_equal(create_link(RDMIG_ROLE_SOURCE, "10.9.0.1", NULL), 0);
    mock_event(RDMA_CM_EVENT_ADDR_ERROR, -ENODEV, NULL, 0);
    turn();
    assert_non_null(strstr(lines, "address 10.9.0.1:4444: no RDMA device leads there (No such "
                                  "device)\n"));
}

/* Two messages as they stand in control memory. Clause: W3 */
static void test_link_trace__messages__are_told_both_ways(void **state)
{
    (void)state;
    make_source();
    trace(RDMIG_TRACE_MESSAGES);
    memcpy(script.control + 4096, "\0\0\0\0\0\0\0\2\0\0\0\1\0\0\0\0", 16);
    memcpy(script.control + 8192, "\0\0\0\10\0\0\0\3\0\0\0\1\0\0\0\0", 16);
    give(action_recv(1, 4096));
    give(action_send(2, 8192, 24));
    turn();
    assert_string_equal(lines, "send QEMU_FILE repeat=1 length=24\n");
    mock_complete_receive(1, IBV_WC_SUCCESS, 16);
    turn();
    assert_string_equal(lines, "send QEMU_FILE repeat=1 length=24\n"
                               "received READY repeat=1 length=16\n");
}

static void test_link_trace__registrations_and_work__are_kinds_of_their_own(void **state)
{
    (void)state;
    make_source();
    provide_blocks();
    trace(RDMIG_TRACE_REGIONS);
    give(action_register(9000, 0, 0, 0, 2621440));
    give(action_write(79, 65536, true));
    turn();
    assert_string_equal(
        lines,
        "action REGISTER tag=0x2328 block=0 offset=0 length=2621440 region=0 remote-write\n");
    trace(RDMIG_TRACE_WORK);
    give(action_write(80, 131072, true));
    turn();
    assert_int_equal(line_count, 1);
    assert_non_null(strstr(lines, "action POST_WRITE tag=0x50 block=0 offset=131072 length=4096"));
}

/* What has failed is told with the states; what is only given back is work. */
static void test_link_trace__failed_work__is_told_with_the_states(void **state)
{
    (void)state;
    make_source();
    trace(RDMIG_TRACE_STATES);
    give(action_recv(1, 0));
    give(action_recv(2, 4096));
    turn();
    mock_complete_receive(1, IBV_WC_LOC_LEN_ERR, 0);
    mock_complete_receive(2, IBV_WC_WR_FLUSH_ERR, 0);
    turn();
    assert_string_equal(lines, "event COMPLETED tag=0x1 ERROR os_code=1\n");
}

static void test_link_trace__off__tells_nothing(void **state)
{
    (void)state;
    trace(0);
    make_writing_source();
    give(action_recv(1, 0));
    turn();
    assert_int_equal(line_count, 0);
}

static void test_link_trace__what_cannot_be_set__changes_nothing(void **state)
{
    (void)state;
    trace(RDMIG_TRACE_STATES);
    assert_int_equal(trace_set(&the_trace, 0x10, take_line, NULL), -RDMIG_E_INVALID);
    assert_int_equal(trace_set(&the_trace, RDMIG_TRACE_WORK, NULL, NULL), -RDMIG_E_INVALID);
    assert_int_equal(the_trace.kinds, RDMIG_TRACE_STATES);
    assert_int_equal(trace_set(&the_trace, 0, NULL, NULL), 0);
    assert_false(trace_has(&the_trace, UINT32_MAX));
    assert_false(trace_has(NULL, UINT32_MAX));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_link_trace__connecting__tells_address_and_device),
        TEST(test_link_trace__address_that_leads_nowhere__tells_why),
        TEST(test_link_trace__messages__are_told_both_ways),
        TEST(test_link_trace__registrations_and_work__are_kinds_of_their_own),
        TEST(test_link_trace__failed_work__is_told_with_the_states),
        TEST(test_link_trace__off__tells_nothing),
        TEST(test_link_trace__what_cannot_be_set__changes_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
