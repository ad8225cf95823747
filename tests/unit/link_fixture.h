/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * For the tests of the adapter: a protocol core that gives the actions the test says and remembers
 * the events it gets, and a link on top of mocked verbs. Include it in one file a program: it
 * defines what the adapter calls of the core.
 */
#ifndef RDMIG_TESTS_LINK_FIXTURE_H
#define RDMIG_TESTS_LINK_FIXTURE_H

#include "mocks/verbs_mock.h"
#include "verbs/link.h"

#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define SCRIPT_ACTION_COUNT  1024
#define SCRIPT_EVENT_COUNT   2048
#define SCRIPT_CONTROL_BYTES 65536

/* ---- the scripted core */

struct script_event {
    struct rdmig_event event;
    uint8_t bytes[256];
    unsigned conn_number; /* which connection got it, from 1 */
};

static struct script {
    struct rdmig_action actions[SCRIPT_ACTION_COUNT];
    unsigned action_first;
    unsigned action_end;
    struct script_event events[SCRIPT_EVENT_COUNT];
    unsigned event_count;
    struct rdmig_conn_config config; /* of the connection that was made last */
    unsigned init_count;
    unsigned live_count; /* connections made and not given back */
    enum rdmig_phase phase;
    struct rdmig_failure failure;
    uint64_t deadline_ns;
    int refuse_kind;        /* events of this kind are refused with -INVALID; -1: none */
    bool is_footprint_zero; /* as when there is no memory for a connection */
    int init_result;
    bool is_closing_by_itself; /* UNREACHABLE leads to NOTIFY_CLOSED, as in the real core [true] */
    uint8_t *control;
} script;

static inline void script_reset(void)
{
    memset(&script, 0, sizeof(script));
    script.deadline_ns = RDMIG_NO_DEADLINE;
    script.refuse_kind = -1;
    script.is_closing_by_itself = true;
}

/* The core shall give this action next, after those already given. */
static inline void give(struct rdmig_action action)
{
    assert_true(script.action_end < SCRIPT_ACTION_COUNT);
    script.actions[script.action_end++] = action;
}

static inline void give_kind(enum rdmig_action_kind kind)
{
    give((struct rdmig_action){.kind = kind});
}

size_t rdmig_conn_footprint_bytes(const struct rdmig_conn_config *config)
{
    return script.is_footprint_zero || config->send_queue_depth > RDMIG_SEND_QUEUE_MAX ? 0 : 64;
}

size_t rdmig_conn_control_bytes(void)
{
    return SCRIPT_CONTROL_BYTES;
}

size_t rdmig_blocks_footprint_bytes(const struct rdmig_block *blocks, uint32_t block_count)
{
    return block_count == 0 || blocks[0].length_bytes == 0 ? 0 : 128;
}

int rdmig_conn_init(struct rdmig_conn **out, const struct rdmig_conn_config *config, void *memory,
                    size_t memory_bytes, void *control_memory, size_t control_bytes,
                    uint64_t now_ns)
{
    assert_int_equal(memory_bytes, 64);
    assert_int_equal(control_bytes, SCRIPT_CONTROL_BYTES);
    assert_int_equal((uintptr_t)control_memory % RDMIG_CONTROL_MEMORY_ALIGNMENT, 0);
    assert_true(now_ns > 0);
    if (script.init_result != 0)
        return script.init_result;
    memset(memory, 0, memory_bytes);
    script.config = *config;
    script.init_count++;
    script.live_count++;
    script.phase = RDMIG_PHASE_IDLE;
    script.control = control_memory;
    memset(&script.failure, 0, sizeof(script.failure));
    *out = memory;
    return 0;
}

int rdmig_conn_deinit(struct rdmig_conn *conn)
{
    assert_non_null(conn);
    script.live_count--;
    return script.phase == RDMIG_PHASE_IDLE || script.phase == RDMIG_PHASE_CLOSED ? 0
                                                                                  : -RDMIG_E_STATE;
}

static inline void script_fail(enum rdmig_reason reason, int32_t os_code)
{
    if (script.failure.reason != RDMIG_REASON_NONE)
        return;
    script.failure = (struct rdmig_failure){
        .reason = reason, .phase = script.phase, .os_code = os_code, .block_index = UINT32_MAX};
    script.phase = RDMIG_PHASE_FAILING;
}

int rdmig_conn_step(struct rdmig_conn *conn, const struct rdmig_event *event)
{
    struct script_event *item = &script.events[script.event_count];

    assert_non_null(conn);
    assert_true(script.event_count < SCRIPT_EVENT_COUNT);
    assert_true(event->now_ns > 0);
    script.event_count++;
    item->event = *event;
    item->conn_number = script.init_count;
    if (event->bytes != NULL)
        memcpy(item->bytes, event->bytes, event->length < 256 ? event->length : 256);
    if ((int)event->kind == script.refuse_kind)
        return -RDMIG_E_INVALID;
    switch (event->kind) {
    case RDMIG_EVENT_STARTED:
        assert_int_equal(script.phase, RDMIG_PHASE_IDLE);
        script.phase = RDMIG_PHASE_CONNECTING;
        break;
    case RDMIG_EVENT_ESTABLISHED:
        script.phase = RDMIG_PHASE_RUNNING;
        break;
    case RDMIG_EVENT_UNREACHABLE:
        script_fail(event->status == RDMIG_STATUS_REJECTED ? RDMIG_REASON_PEER_REJECTED
                                                           : RDMIG_REASON_PEER_UNREACHABLE,
                    event->os_code);
        if (script.is_closing_by_itself) {
            give_kind(RDMIG_ACTION_DISCONNECT);
            give_kind(RDMIG_ACTION_NOTIFY_CLOSED);
        }
        break;
    case RDMIG_EVENT_CANCEL_REQUESTED:
        script_fail(RDMIG_REASON_CANCELLED, event->os_code);
        break;
    default:
        break;
    }
    return 0;
}

bool rdmig_conn_next_action(struct rdmig_conn *conn, struct rdmig_action *action)
{
    assert_non_null(conn);
    if (script.action_first == script.action_end)
        return false;
    *action = script.actions[script.action_first++];
    if (action->kind == RDMIG_ACTION_NOTIFY_CLOSED)
        script.phase = RDMIG_PHASE_CLOSED;
    return true;
}

uint64_t rdmig_conn_deadline_ns(const struct rdmig_conn *conn)
{
    assert_non_null(conn);
    return script.deadline_ns;
}

enum rdmig_phase rdmig_conn_phase(const struct rdmig_conn *conn)
{
    assert_non_null(conn);
    return script.phase;
}

const struct rdmig_failure *rdmig_conn_failure(const struct rdmig_conn *conn)
{
    assert_non_null(conn);
    return script.failure.reason != RDMIG_REASON_NONE ? &script.failure : NULL;
}

/* The n-th event of a kind, from 0; fails the test when there are fewer. */
static inline const struct script_event *event_of(enum rdmig_event_kind kind, unsigned n)
{
    for (unsigned i = 0; i < script.event_count; i++)
        if (script.events[i].event.kind == kind && n-- == 0)
            return &script.events[i];
    fail_msg("the core did not get that many events of kind %d", (int)kind);
    return NULL;
}

static inline unsigned event_count(enum rdmig_event_kind kind)
{
    unsigned count = 0;

    for (unsigned i = 0; i < script.event_count; i++)
        count += script.events[i].event.kind == kind;
    return count;
}

/* The only answer for a tag; fails the test when there is none or more than one. */
static inline const struct rdmig_event *answer_to(uint64_t tag)
{
    const struct rdmig_event *found = NULL;

    for (unsigned i = 0; i < script.event_count; i++) {
        const struct rdmig_event *event = &script.events[i].event;

        if ((event->kind != RDMIG_EVENT_COMPLETED && event->kind != RDMIG_EVENT_RECEIVED) ||
            event->tag != tag)
            continue;
        if (found != NULL)
            fail_msg("tag %llu was answered twice", (unsigned long long)tag);
        found = event;
    }
    if (found == NULL)
        fail_msg("tag %llu was not answered", (unsigned long long)tag);
    return found;
}

static inline bool is_answered(uint64_t tag)
{
    for (unsigned i = 0; i < script.event_count; i++) {
        const struct rdmig_event *event = &script.events[i].event;

        if ((event->kind == RDMIG_EVENT_COMPLETED || event->kind == RDMIG_EVENT_RECEIVED) &&
            event->tag == tag)
            return true;
    }
    return false;
}

/* ---- actions in short */

static inline struct rdmig_action action_recv(uint64_t tag, uint64_t offset_bytes)
{
    return (struct rdmig_action){.kind = RDMIG_ACTION_POST_RECV,
                                 .tag = tag,
                                 .memory_offset_bytes = offset_bytes,
                                 .length = 4096};
}

static inline struct rdmig_action action_send(uint64_t tag, uint64_t offset_bytes, uint64_t length)
{
    return (struct rdmig_action){.kind = RDMIG_ACTION_POST_SEND,
                                 .tag = tag,
                                 .memory_offset_bytes = offset_bytes,
                                 .length = length,
                                 .is_signalled = true};
}

static inline struct rdmig_action action_write(uint64_t tag, uint64_t offset_bytes,
                                               bool is_signalled)
{
    return (struct rdmig_action){.kind = RDMIG_ACTION_POST_WRITE,
                                 .tag = tag,
                                 .block_index = 0,
                                 .offset_bytes = offset_bytes,
                                 .length = 4096,
                                 .region = 0,
                                 .remote_addr = UINT64_C(0x7f0000000000) + offset_bytes,
                                 .rkey = 0xabcd,
                                 .is_signalled = is_signalled};
}

static inline struct rdmig_action action_register(uint64_t tag, uint32_t block_index,
                                                  uint32_t region, uint64_t offset_bytes,
                                                  uint64_t length)
{
    return (struct rdmig_action){.kind = RDMIG_ACTION_REGISTER,
                                 .tag = tag,
                                 .block_index = block_index,
                                 .region = region,
                                 .offset_bytes = offset_bytes,
                                 .length = length,
                                 .is_remote_writable = true};
}

static inline struct rdmig_action action_private(enum rdmig_action_kind kind, const char *bytes)
{
    return (struct rdmig_action){.kind = kind, .bytes = bytes, .length = RDMIG_PRIVATE_DATA_BYTES};
}

/* ---- a link */

#define PRIVATE_DATA "\0\0\0\1\0\0\0\0"

static struct link *the_link;
static bool is_relaxed_wanted; /* of the next link */
static bool is_on_demand_wanted;
static struct trace the_trace;          /* of every link; off unless a test switches it on */
static struct rdmig_action last_action; /* the last one that was for the owner */

static inline struct link_config config_for(enum rdmig_role role, const char *host)
{
    return (struct link_config){.host = host,
                                .service = "4444",
                                .is_relaxed_wanted = is_relaxed_wanted,
                                .is_on_demand_wanted = is_on_demand_wanted,
                                .trace = &the_trace,
                                .conn = {.struct_bytes = sizeof(struct rdmig_conn_config),
                                         .role = role,
                                         .connect_timeout_ns = UINT64_C(20000000000)}};
}

/* Processes and carries out actions until nothing is left; actions for the owner are remembered and
 * dropped. */
static inline unsigned turn(void)
{
    struct rdmig_action action;
    unsigned count = 0;

    link_process(the_link);
    while (link_next_action(the_link, &action)) {
        assert_true(count < 1000);
        last_action = action;
        count++;
    }
    return count;
}

static inline bool is_readable(void)
{
    struct pollfd interest = {.fd = link_fd(the_link), .events = POLLIN};

    return poll(&interest, 1, 0) == 1;
}

/* For what a timer brings: however late a busy machine is with it. */
static inline bool becomes_readable(void)
{
    struct pollfd interest = {.fd = link_fd(the_link), .events = POLLIN};

    return poll(&interest, 1, 60000) == 1;
}

static inline int create_link(enum rdmig_role role, const char *host, struct rdmig_error *error)
{
    struct link_config config = config_for(role, host);

    return link_create(&the_link, &config, error);
}

static inline void drop_link(void)
{
    link_destroy(the_link);
    the_link = NULL;
    mock_assert_clean();
    assert_int_equal(script.live_count, 0);
}

/* Setup and teardown of every test. */
static inline int set_up(void **state)
{
    (void)state;
    mock_reset();
    script_reset();
    the_link = NULL;
    is_relaxed_wanted = false;
    is_on_demand_wanted = false;
    memset(&the_trace, 0, sizeof(the_trace));
    memset(&last_action, 0, sizeof(last_action));
    return 0;
}

static inline int tear_down(void **state)
{
    (void)state;
    link_destroy(the_link);
    the_link = NULL;
    mock_assert_clean();
    return 0;
}

/* A source at the point where its first address is resolved and routed: core started, queue pair
 * made. */
static inline void make_connecting_source(void)
{
    assert_int_equal(create_link(RDMIG_ROLE_SOURCE, "10.9.0.1", NULL), 0);
    mock_event(RDMA_CM_EVENT_ADDR_RESOLVED, 0, NULL, 0);
    turn();
    mock_event(RDMA_CM_EVENT_ROUTE_RESOLVED, 0, NULL, 0);
    turn();
    assert_int_equal(event_count(RDMIG_EVENT_STARTED), 1);
}

static inline void establish(void)
{
    mock_event(RDMA_CM_EVENT_ESTABLISHED, 0, PRIVATE_DATA, 8);
    give_kind(RDMIG_ACTION_NOTIFY_ESTABLISHED);
    turn();
    assert_true(link_is_connected(the_link));
}

static inline void make_source(void)
{
    make_connecting_source();
    give(action_private(RDMIG_ACTION_CONNECT, PRIVATE_DATA));
    turn();
    establish();
}

static inline void make_listener(void)
{
    assert_int_equal(create_link(RDMIG_ROLE_DESTINATION, "10.9.0.1", NULL), 0);
}

static inline void make_destination(void)
{
    make_listener();
    mock_request(PRIVATE_DATA, 8);
    give(action_private(RDMIG_ACTION_ACCEPT, PRIVATE_DATA));
    turn();
    establish();
}

static uint8_t ram[4 * 1024 * 1024];

/* One block of 2.5 MiB and one of 1 MiB: regions 0 to 2 and 3. */
static inline void provide_blocks(void)
{
    const struct rdmig_block blocks[2] = {
        {.host_addr = (uintptr_t)ram, .length_bytes = 2621440},
        {.host_addr = (uintptr_t)ram + 3145728,
         .length_bytes = 1048576,
         .ram_offset_bytes = 4194304},
    };

    assert_int_equal(link_provide_blocks(the_link, blocks, 2), 0);
}

/* Region 0 over the first block, ready to write from. */
static inline void make_writing_source(void)
{
    make_source();
    provide_blocks();
    give(action_register(9000, 0, 0, 0, 2621440));
    turn();
    assert_int_equal(answer_to(9000)->status, RDMIG_STATUS_OK);
}

static inline struct rdmig_error explain(void)
{
    struct rdmig_error error;

    link_explain(the_link, &error);
    assert_null(strchr(error.detail, '\n'));
    assert_null(strchr(error.remedy, '\n'));
    return error;
}

static inline void assert_contains(const char *text, const char *part)
{
    if (strstr(text, part) == NULL)
        fail_msg("\"%s\" does not contain \"%s\"", text, part);
}

#endif
