/* SPDX-License-Identifier: BSD-2-Clause */
/* The adapter with the real protocol core on mocked verbs: the two understand each other. Wire
 * bytes are made by hand. */
#include "mocks/verbs_mock.h"
#include "verbs/link.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define RAM_BYTES (3u << 20)

static struct link *the_link;
static struct rdmig_action seen[64]; /* actions for the owner, in order */
static unsigned seen_count;
static uint8_t ram[RAM_BYTES];

static const uint8_t ready[16] = {0, 0, 0, 0, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 0};

static int set_up(void **state)
{
    (void)state;
    mock_reset();
    the_link = NULL;
    seen_count = 0;
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    link_destroy(the_link);
    the_link = NULL;
    mock_assert_clean();
    return 0;
}

static void turn(void)
{
    struct rdmig_action action;

    link_process(the_link);
    while (link_next_action(the_link, &action)) {
        assert_true(seen_count < 64);
        seen[seen_count++] = action;
    }
    assert_null(rdmig_conn_check(link_conn(the_link)));
}

static bool was_seen(enum rdmig_action_kind kind)
{
    for (unsigned i = 0; i < seen_count; i++)
        if (seen[i].kind == kind)
            return true;
    return false;
}

static void make(enum rdmig_role role)
{
    struct link_config config = {.host = "10.9.0.1",
                                 .service = "4444",
                                 .conn = {.struct_bytes = sizeof(struct rdmig_conn_config),
                                          .role = role,
                                          .close_timeout_ns = 30000000,
                                          .connect_timeout_ns = 10000000000}};

    assert_int_equal(link_create(&the_link, &config, NULL), 0);
}

static void provide(void)
{
    struct rdmig_block block = {.host_addr = (uintptr_t)ram, .length_bytes = RAM_BYTES};

    assert_int_equal(link_provide_blocks(the_link, &block, 1), 0);
}

/* The n-th receive that was posted (from 0) gets this message. */
static void arrive(unsigned n, const uint8_t *message, uint32_t byte_count)
{
    for (unsigned i = 0; i < mock.work_count; i++) {
        if (!mock.works[i].is_receive || n-- != 0)
            continue;
        memcpy((void *)(uintptr_t)mock.works[i].piece.addr, message, byte_count);
        mock_complete_receive(mock.works[i].wr_id, IBV_WC_SUCCESS, byte_count);
        turn();
        return;
    }
    fail_msg("no receive is posted for the message");
}

/* The last work request that is not a receive. */
static const struct mock_work *last_sent(void)
{
    for (unsigned i = mock.work_count; i-- > 0;)
        if (!mock.works[i].is_receive)
            return &mock.works[i];
    fail_msg("nothing was sent");
    return NULL;
}

static uint8_t last_sent_type(void)
{
    return ((const uint8_t *)(uintptr_t)last_sent()->piece.addr)[7];
}

static void sent(void)
{
    mock_complete_send(last_sent()->wr_id, IBV_WC_SUCCESS);
    turn();
}

static void resolve(void)
{
    mock_event(RDMA_CM_EVENT_ADDR_RESOLVED, 0, NULL, 0);
    turn();
    mock_event(RDMA_CM_EVENT_ROUTE_RESOLVED, 0, NULL, 0);
    turn();
}

static void connect_source(void)
{
    make(RDMIG_ROLE_SOURCE);
    resolve();
    assert_string_equal(mock.connects[0].call, "rdma_connect");
    assert_memory_equal(mock.connects[0].private_data, "\0\0\0\1\0\0\0\0", 8);
    mock_event(RDMA_CM_EVENT_ESTABLISHED, 0, "\0\0\0\1\0\0\0\0", 8);
    turn();
    assert_true(link_is_connected(the_link));
}

static void connect_destination(void)
{
    make(RDMIG_ROLE_DESTINATION);
    mock_request("\0\0\0\1\0\0\0\0", 8);
    turn();
    assert_string_equal(mock.connects[0].call, "rdma_accept");
    mock_event(RDMA_CM_EVENT_ESTABLISHED, 0, NULL, 0);
    turn();
    assert_true(link_is_connected(the_link));
}

/* Everything that is out comes back flushed, as the hardware does it after a disconnect. */
static void flush(void)
{
    mock_flush_all();
    turn();
}

static void
test_link_core__source_exchanges_blocks_writes_and_finishes__closed_without_a_failure(void **state)
{
    uint8_t blocks[48] = {0, 0, 0, 32, 0, 0, 0, 5, 0, 0, 0, 1};
    uint8_t result[32] = {0, 0, 0, 16, 0, 0, 0, 8, 0, 0, 0, 1};
    struct rdmig_event event = {.kind = RDMIG_EVENT_EXCHANGE_REQUESTED};
    unsigned before;

    (void)state;
    connect_source();
    assert_int_equal(mock.work_count, 3);
    provide();
    assert_int_equal(link_step(the_link, &event), 0);
    arrive(0, ready, 16);
    assert_int_equal(last_sent_type(), 4);
    sent();
    memcpy(blocks + 16, "\0\0\x12\x34\0\0\0\0", 8);    /* host address */
    memcpy(blocks + 16 + 16, "\0\0\0\0\0\x30\0\0", 8); /* length 3 MiB */
    arrive(1, blocks, 48);
    assert_true(was_seen(RDMIG_ACTION_NOTIFY_BLOCKS_EXCHANGED));
    event = (struct rdmig_event){
        .kind = RDMIG_EVENT_RANGE_PUSHED, .offset_bytes = 4096, .length = 8192};
    assert_int_equal(link_step(the_link, &event), 0);
    arrive(2, ready, 16);
    assert_int_equal(last_sent_type(), 7);
    sent();
    memcpy(result + 16, "\0\0\xbe\xef\0\0\0\0\0\0\x12\x34\0\0\0\0", 16);
    event = (struct rdmig_event){.kind = RDMIG_EVENT_ROUND_CLOSED};
    assert_int_equal(link_step(the_link, &event), 0);
    arrive(3, result, 32);
    /* The write: from our page, to theirs. No region of ours is open to the peer. */
    assert_int_equal(last_sent()->opcode, IBV_WR_RDMA_WRITE);
    assert_int_equal(last_sent()->piece.addr, (uintptr_t)ram + 4096);
    assert_int_equal(last_sent()->piece.length, 8192);
    assert_int_equal(last_sent()->remote_addr, UINT64_C(0x123400000000) + 4096);
    assert_int_equal(last_sent()->rkey, 0xbeef);
    for (unsigned i = 0; i < mock.region_count; i++)
        assert_int_equal(mock.regions[i].access & ~(unsigned)IBV_ACCESS_LOCAL_WRITE, 0);
    sent();
    arrive(4, ready, 16);
    assert_int_equal(last_sent_type(), 9);
    sent();
    assert_true(was_seen(RDMIG_ACTION_NOTIFY_ROUND_ENDED));
    arrive(5, ready, 16);
    event = (struct rdmig_event){.kind = RDMIG_EVENT_FINISH_REQUESTED};
    before = mock.work_count;
    assert_int_equal(link_step(the_link, &event), 0);
    turn();
    assert_int_equal(mock_count("rdma_disconnect"), 1);
    assert_int_equal(mock.works[before].wr_id, UINT64_MAX);
    flush();
    assert_true(was_seen(RDMIG_ACTION_NOTIFY_CLOSED));
    assert_true(link_is_closed(the_link));
    assert_null(rdmig_conn_failure(link_conn(the_link)));
}

static void test_link_core__destination_accepts_and_offers_ready__after_its_receives(void **state)
{
    (void)state;
    connect_destination();
    assert_int_equal(mock.works[0].is_receive, true);
    assert_true(mock_is_before("ibv_post_recv", "rdma_accept"));
    assert_int_equal(last_sent_type(), 2);
    sent();
}

static void test_link_core__version_2_peer__is_rejected_with_our_version(void **state)
{
    struct rdmig_error error;

    (void)state;
    make(RDMIG_ROLE_DESTINATION);
    mock_request("\0\0\0\2\0\0\0\0", 8);
    turn();
    assert_string_equal(mock.connects[0].call, "rdma_reject");
    assert_memory_equal(mock.connects[0].private_data, "\0\0\0\1", 4);
    assert_true(link_is_closed(the_link));
    link_explain(the_link, &error);
    assert_int_equal(error.reason, RDMIG_REASON_VERSION_UNSUPPORTED);
}

static void test_link_core__nobody_listens__closed_with_the_address(void **state)
{
    struct rdmig_error error;

    (void)state;
    make(RDMIG_ROLE_SOURCE);
    resolve();
    mock_event(RDMA_CM_EVENT_REJECTED, 8, NULL, 0);
    turn();
    assert_true(link_is_closed(the_link));
    link_explain(the_link, &error);
    assert_string_equal(error.detail,
                        "cannot connect to 10.9.0.1:4444: nobody is listening there (rejected)");
}

static void test_link_core__second_address__gets_through(void **state)
{
    static const char *const hosts[] = {"10.9.0.1", "fd09::1"};
    struct link_config config = {.host = "several",
                                 .service = "4444",
                                 .conn = {.struct_bytes = sizeof(struct rdmig_conn_config)}};

    (void)state;
    mock_set_addresses(hosts, 2);
    assert_int_equal(link_create(&the_link, &config, NULL), 0);
    resolve();
    mock_event(RDMA_CM_EVENT_REJECTED, 8, NULL, 0);
    turn();
    assert_int_equal(seen_count, 0);
    resolve();
    mock_event(RDMA_CM_EVENT_ESTABLISHED, 0, "\0\0\0\1\0\0\0\0", 8);
    turn();
    assert_true(link_is_connected(the_link));
}

/* Field H1, H2: neither an answer nor a flush ever comes. */
static void test_link_core__nothing_comes_back__abandoned_within_the_close_limit(void **state)
{
    struct rdmig_event event = {.kind = RDMIG_EVENT_CANCEL_REQUESTED};

    (void)state;
    connect_source();
    assert_int_equal(link_step(the_link, &event), 0);
    for (unsigned i = 0; i < 20 && !link_is_closed(the_link); i++) {
        turn();
        usleep(10000);
    }
    assert_true(link_is_closed(the_link));
    assert_int_equal(mock_count("rdma_disconnect"), 1);
    assert_int_equal(mock_count("rdma_destroy_qp"), 1);
    assert_int_equal(mock_live_count(MOCK_PAIR), 0);
}

/* Field H1: the peer goes away at any moment; the source closes as soon as its receives are
 * flushed. */
static void test_link_core__peer_leaves_the_source__closed_with_the_cause(void **state)
{
    (void)state;
    connect_source();
    mock_event(RDMA_CM_EVENT_DISCONNECTED, 0, NULL, 0);
    turn();
    flush();
    assert_true(link_is_closed(the_link));
    assert_int_equal(rdmig_conn_failure(link_conn(the_link))->reason,
                     RDMIG_REASON_PEER_DISCONNECTED);
}

static void test_link_core__device_goes_away__closed_with_the_cause(void **state)
{
    struct rdmig_error error;

    (void)state;
    connect_source();
    mock_event(RDMA_CM_EVENT_DEVICE_REMOVAL, 0, NULL, 0);
    turn();
    assert_true(link_is_closed(the_link));
    link_explain(the_link, &error);
    assert_int_equal(error.reason, RDMIG_REASON_DEVICE);
}

/* Each call fails once with the real core: it always comes to an end. */
static void test_link_core__each_call_fails__always_ends_and_nothing_leaks(void **state)
{
    unsigned call_count = 1;

    for (unsigned n = 0; n <= call_count; n++) {
        struct rdmig_error error;
        struct link_config config = {.host = "10.9.0.1",
                                     .service = "4444",
                                     .conn = {.struct_bytes = sizeof(struct rdmig_conn_config),
                                              .role = RDMIG_ROLE_DESTINATION,
                                              .close_timeout_ns = 1000000}};

        set_up(state);
        mock_fail_nth(n, false);
        if (link_create(&the_link, &config, &error) == 0) {
            mock_request("\0\0\0\1\0\0\0\0", 8);
            turn();
            if (!link_is_closed(the_link)) {
                mock_event(RDMA_CM_EVENT_ESTABLISHED, 0, NULL, 0);
                turn();
                mock_event(RDMA_CM_EVENT_DISCONNECTED, 0, NULL, 0);
                turn();
            }
            for (unsigned i = 0; i < 20 && !link_is_closed(the_link); i++) {
                struct rdmig_event event = {.kind = RDMIG_EVENT_CANCEL_REQUESTED};

                (void)link_step(the_link, &event);
                turn();
                usleep(1000);
            }
            assert_true(link_is_closed(the_link));
        }
        if (n == 0)
            call_count = mock.call_count;
        tear_down(state);
    }
    assert_true(call_count > 15);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_link_core__source_exchanges_blocks_writes_and_finishes__closed_without_a_failure),
        TEST(test_link_core__destination_accepts_and_offers_ready__after_its_receives),
        TEST(test_link_core__version_2_peer__is_rejected_with_our_version),
        TEST(test_link_core__nobody_listens__closed_with_the_address),
        TEST(test_link_core__second_address__gets_through),
        TEST(test_link_core__nothing_comes_back__abandoned_within_the_close_limit),
        TEST(test_link_core__peer_leaves_the_source__closed_with_the_cause),
        TEST(test_link_core__device_goes_away__closed_with_the_cause),
        TEST(test_link_core__each_call_fails__always_ends_and_nothing_leaks),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
