/* SPDX-License-Identifier: BSD-2-Clause */
/* libibverbs and librdmacm for tests without a device: bookkeeping, failures, scripting; the calls
 * are in the second half. */
#include "verbs_mock_world.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

struct mock mock;
struct mock_world mock_world;

/* ---- bookkeeping */

void mock_made(enum mock_kind kind)
{
    mock_world.live[kind]++;
}

void mock_unmade(enum mock_kind kind, const char *what)
{
    if (mock_world.live[kind] == 0)
        fail_msg("%s: destroyed more often than made", what);
    mock_world.live[kind]--;
}

void mock_need_none(enum mock_kind kind, const char *what)
{
    if (mock_world.live[kind] != 0)
        fail_msg("%s although %u objects that depend on it are alive", what, mock_world.live[kind]);
}

void mock_note(const char *call)
{
    size_t used = strlen(mock.calls);

    if (used + strlen(call) + 2 < sizeof(mock.calls))
        snprintf(mock.calls + used, sizeof(mock.calls) - used, "%s ", call);
}

/* Notes a call that can fail. True: it shall, errno is set. */
bool mock_fails(const char *call)
{
    bool is_nth;

    mock_note(call);
    mock.call_count++;
    is_nth = mock_world.fail_nth != 0 &&
             (mock_world.is_fail_persistent ? mock.call_count >= mock_world.fail_nth
                                            : mock.call_count == mock_world.fail_nth);
    if (!is_nth && (mock_world.fail_call == NULL || strcmp(mock_world.fail_call, call) != 0))
        return false;
    errno = is_nth ? ENOMEM : mock_world.fail_code;
    return true;
}

bool mock_fails_by_name(const char *call)
{
    mock_note(call);
    if (mock_world.fail_call == NULL || strcmp(mock_world.fail_call, call) != 0)
        return false;
    errno = mock_world.fail_code;
    return true;
}

/* The adapter's own clock stands in a file of its own: the test's takes its place. */
uint64_t link_now_ns(void);
uint64_t link_now_ns(void)
{
    struct timespec now;

    if (mock.clock_ns != 0)
        return mock.clock_ns;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

static void drop_events(void)
{
    for (unsigned i = 0; i < mock_world.event_end; i++)
        free(mock_world.events[i % MOCK_EVENT_COUNT]);
    mock_world.event_first = 0;
    mock_world.event_end = 0;
}

void mock_reset(void)
{
    drop_events();
    memset(&mock, 0, sizeof(mock));
    memset(&mock_world, 0, sizeof(mock_world));
    mock_world.channel.fd = -1;
    mock_world.verbs.context.device = &mock_world.devices[0];
    mock_world.verbs.sz = sizeof(mock_world.verbs);
    mock_world.verbs.query_device_ex = mock_query_device_ex;
    mock_world.verbs.context.abi_compat = __VERBS_ABI_IS_EXTENDED;
    mock_world.verbs.context.ops.poll_cq = mock_poll_cq;
    mock_world.verbs.context.ops.req_notify_cq = mock_req_notify_cq;
    mock_world.verbs.context.ops.post_send = mock_post_send;
    mock_world.verbs.context.ops.post_recv = mock_post_recv;
    for (unsigned i = 0; i < 4; i++) {
        snprintf(mock_world.devices[i].name, sizeof(mock_world.devices[i].name), "mock%u", i);
        mock_world.devices[i].node_type = IBV_NODE_CA;
        mock_world.devices[i].transport_type = IBV_TRANSPORT_IB;
    }
    mock.limits = (struct ibv_device_attr){.max_qp_wr = 1024,
                                           .max_cqe = 4096,
                                           .max_mr = 1000,
                                           .max_mr_size = UINT64_C(1) << 40,
                                           .max_qp_rd_atom = 16,
                                           .max_qp_init_rd_atom = 16,
                                           .phys_port_cnt = 1};
    mock.ports[0] = (struct ibv_port_attr){.state = IBV_PORT_ACTIVE,
                                           .active_mtu = IBV_MTU_1024,
                                           .max_msg_sz = 1u << 30,
                                           .gid_tbl_len = 16,
                                           .link_layer = IBV_LINK_LAYER_ETHERNET};
    mock.device_count = 1;
    mock.port = 4711;
}

unsigned mock_live_count(enum mock_kind kind)
{
    return mock_world.live[kind];
}

void mock_assert_clean(void)
{
    static const char *const names[MOCK_KIND_COUNT] = {
        "event channel",      "identifier",       "queue pair",    "protection domain",
        "completion channel", "completion queue", "memory region", "unacknowledged event",
        "device context",     "device list"};

    for (unsigned kind = 0; kind < MOCK_KIND_COUNT; kind++)
        if (mock_world.live[kind] != 0)
            fail_msg("%u left over: %s", mock_world.live[kind], names[kind]);
    drop_events();
}

void mock_fail(const char *call, int code)
{
    mock_world.fail_call = call;
    mock_world.fail_code = code;
}

void mock_fail_nth(unsigned n, bool is_persistent)
{
    mock_world.fail_nth = n;
    mock_world.is_fail_persistent = is_persistent;
}

static const char *find_call(const char *call)
{
    size_t length = strlen(call);

    for (const char *at = mock.calls; (at = strstr(at, call)) != NULL; at += length)
        if ((at == mock.calls || at[-1] == ' ') && at[length] == ' ')
            return at;
    return NULL;
}

unsigned mock_count(const char *call)
{
    size_t length = strlen(call);
    unsigned count = 0;

    for (const char *at = mock.calls; (at = strstr(at, call)) != NULL; at += length)
        count += (at == mock.calls || at[-1] == ' ') && at[length] == ' ';
    return count;
}

bool mock_is_before(const char *earlier, const char *later)
{
    const char *a = find_call(earlier);
    const char *b = find_call(later);

    return a != NULL && b != NULL && a < b;
}

void mock_set_addresses(const char *const *hosts, unsigned count)
{
    for (unsigned i = 0; i < count && i < MOCK_ADDRESS_COUNT; i++)
        mock_world.hosts[i] = hosts[i];
    mock_world.host_count = count;
}

void mock_ring(int fd)
{
    uint64_t one = 1;

    if (write(fd, &one, sizeof(one)) != sizeof(one))
        fail_msg("the mock cannot ring its descriptor %d", fd);
}

void mock_unring(int fd)
{
    uint64_t one;

    if (read(fd, &one, sizeof(one)) != sizeof(one))
        fail_msg("the mock cannot take its ring from descriptor %d", fd);
}

void mock_event_for(struct rdma_cm_id *id, enum rdma_cm_event_type type, int status,
                    const void *data, uint8_t length)
{
    struct mock_event_item *item = calloc(1, sizeof(*item));

    assert_non_null(item);
    assert_true(mock_world.event_end < MOCK_EVENT_COUNT);
    item->event.id = id;
    item->event.event = type;
    item->event.status = status;
    item->event.param.conn.private_data_len = length;
    if (data != NULL) {
        memcpy(item->data, data, length);
        item->event.param.conn.private_data = item->data;
    }
    mock_world.events[mock_world.event_end++] = item;
    mock_ring(mock_world.channel.fd);
}

void mock_event(enum rdma_cm_event_type type, int status, const void *data, uint8_t length)
{
    mock_event_for(mock.id, type, status, data, length);
}

struct rdma_cm_id *mock_new_id(void *context)
{
    struct rdma_cm_id *id = calloc(1, sizeof(*id));

    assert_non_null(id);
    id->context = context;
    id->channel = &mock_world.channel;
    mock_made(MOCK_ID);
    mock.id = id;
    return id;
}

struct rdma_cm_id *mock_request(const void *data, uint8_t length)
{
    struct rdma_cm_id *listen_id = mock.listen_id;
    struct rdma_cm_id *id = mock_new_id(listen_id->context);

    id->verbs = &mock_world.verbs.context;
    id->port_num = 1;
    mock_event_for(id, RDMA_CM_EVENT_CONNECT_REQUEST, 0, data, length);
    mock_world.events[mock_world.event_end - 1]->event.listen_id = listen_id;
    return id;
}

static void complete(struct mock_cq *cq, const struct ibv_wc *completion)
{
    assert_non_null(cq);
    assert_true(cq->end - cq->first <
                (unsigned)cq->cq.cqe); /* an overflow would lose the queue pair */
    cq->items[cq->end++ % MOCK_COMPLETION_COUNT] = *completion;
    if (!cq->is_armed)
        return;
    cq->is_armed = false;
    cq->notice_count++;
    mock_ring(cq->cq.channel->fd);
}

/* After an error only wr_id, status, qp_num and vendor_err mean anything: the rest is made to
 * mislead. */
static struct ibv_wc completion_of(uint64_t wr_id, enum ibv_wc_status status,
                                   enum ibv_wc_opcode opcode, uint32_t byte_count)
{
    struct ibv_wc completion = {
        .wr_id = wr_id, .status = status, .opcode = opcode, .byte_len = byte_count, .qp_num = 7};

    if (status != IBV_WC_SUCCESS) {
        completion.opcode = IBV_WC_BIND_MW;
        completion.byte_len = 0xdeadbeef;
        completion.vendor_err = 0x51;
    }
    return completion;
}

/* What hardware completes a request of this kind with. */
static enum ibv_wc_opcode posted_opcode(uint64_t wr_id)
{
    for (unsigned i = mock.work_count; i > 0; i--)
        if (mock.works[i - 1].wr_id == wr_id && !mock.works[i - 1].is_receive)
            return mock.works[i - 1].opcode == IBV_WR_SEND ? IBV_WC_SEND : IBV_WC_RDMA_WRITE;
    return IBV_WC_SEND;
}

static void mark_done(uint64_t wr_id, bool is_receive, bool is_success)
{
    unsigned index = 0;

    while (index < mock.work_count &&
           (mock.works[index].wr_id != wr_id || mock.works[index].is_receive != is_receive))
        index++;
    if (index == mock.work_count)
        return;
    mock.works[index].is_done = true;
    for (unsigned i = 0; i < index && is_success && !is_receive; i++)
        mock.works[i].is_done = mock.works[i].is_done || !mock.works[i].is_receive;
}

static void complete_send(const struct ibv_wc *completion)
{
    mark_done(completion->wr_id, false, completion->status == IBV_WC_SUCCESS);
    complete(mock_world.send_cq, completion);
}

void mock_complete_send(uint64_t wr_id, enum ibv_wc_status status)
{
    struct ibv_wc completion = completion_of(wr_id, status, posted_opcode(wr_id), 0);

    complete_send(&completion);
}

void mock_complete_send_as(uint64_t wr_id, enum ibv_wc_opcode opcode)
{
    struct ibv_wc completion = completion_of(wr_id, IBV_WC_SUCCESS, opcode, 0);

    complete_send(&completion);
}

static void complete_receive(const struct ibv_wc *completion)
{
    mark_done(completion->wr_id, true, completion->status == IBV_WC_SUCCESS);
    if (mock_world.pair != NULL && mock_world.pair->recv_out > 0)
        mock_world.pair->recv_out--;
    complete(mock_world.recv_cq, completion);
}

void mock_complete_receive(uint64_t wr_id, enum ibv_wc_status status, uint32_t byte_count)
{
    struct ibv_wc completion = completion_of(wr_id, status, IBV_WC_RECV, byte_count);

    complete_receive(&completion);
}

void mock_complete_receive_as(uint64_t wr_id, enum ibv_wc_opcode opcode, unsigned wc_flags,
                              uint32_t byte_count)
{
    struct ibv_wc completion = completion_of(wr_id, IBV_WC_SUCCESS, opcode, byte_count);

    completion.wc_flags = wc_flags;
    complete_receive(&completion);
}

void mock_flush_all(void)
{
    for (unsigned i = 0; i < mock.work_count; i++) {
        if (mock.works[i].is_done)
            continue;
        if (mock.works[i].is_receive)
            mock_complete_receive(mock.works[i].wr_id, IBV_WC_WR_FLUSH_ERR, 0);
        else
            mock_complete_send(mock.works[i].wr_id, IBV_WC_WR_FLUSH_ERR);
    }
}

void mock_set_iwarp(void)
{
    mock_world.verbs.context.device->transport_type = IBV_TRANSPORT_IWARP;
}

void mock_post_send_result(unsigned taken, int code)
{
    mock_world.has_send_result = true;
    mock_world.send_taken = taken;
    mock_world.send_code = code;
}

void mock_post_recv_result(int code)
{
    mock_world.recv_code = code;
}
