/* SPDX-License-Identifier: BSD-2-Clause */
/* Protection domain, completion queues, queue pair; completions. */
#include "link_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#define READS_AT_ONCE_MAX 2u

/* ---- making one */

static bool fail(const struct link *link, struct link_cause *cause, const char *what)
{
    int32_t code = errno;

    explain_cause(cause, RDMIG_REASON_DEVICE, code, "%s on RDMA device %s cannot be made (%s)",
                  what, link->device_name, strerror(code));
    return false;
}

static uint8_t smaller(int limit, unsigned wanted)
{
    if (limit <= 0)
        return 0;
    return (uint8_t)((unsigned)limit < wanted ? (unsigned)limit : wanted);
}

static uint32_t smaller_limit(int a, int b)
{
    int limit = a < b ? a : b;

    return limit > 0 ? (uint32_t)limit : 0;
}

/* How deep the send queue can be: one place more is needed for the drain marker. */
static bool choose_depth(struct link *link, const struct ibv_device_attr *attributes,
                         struct link_cause *cause)
{
    uint32_t limit = smaller_limit(attributes->max_qp_wr, attributes->max_cqe);
    uint32_t wanted = link->config.conn.send_queue_depth;

    if (limit < RDMIG_SEND_QUEUE_MIN + 1) {
        explain_cause(cause, RDMIG_REASON_DEVICE, 0,
                      "RDMA device %s has queues of at most %u entries; %u are needed",
                      link->device_name, (unsigned)limit, RDMIG_SEND_QUEUE_MIN + 1);
        return false;
    }
    if (wanted == 0)
        wanted = LINK_SEND_DEPTH;
    link->queue.depth = wanted < limit - 1 ? wanted : limit - 1;
    return true;
}

/* What the device can do, as far as it bounds what we ask of it. */
static bool ask_limits(struct link *link, struct link_cause *cause)
{
    struct ibv_device_attr_ex attributes;
    struct ibv_port_attr port;
    int code = ibv_query_device_ex(link->id->verbs, NULL, &attributes);

    if (code == 0)
        code = ibv_query_port(link->id->verbs, link->id->port_num, &port);
    if (code != 0) {
        explain_cause(cause, RDMIG_REASON_DEVICE, code,
                      "RDMA device %s cannot be asked for its limits (%s)", link->device_name,
                      strerror(code));
        return false;
    }
    if (port.max_msg_sz < RDMIG_MESSAGE_BYTES_MAX) {
        explain_cause(cause, RDMIG_REASON_DEVICE, 0,
                      "messages of RDMA device %s are at most %u bytes long; %u are needed",
                      link->device_name, (unsigned)port.max_msg_sz, RDMIG_MESSAGE_BYTES_MAX);
        return false;
    }
    link->message_bytes_max = port.max_msg_sz;
    link->responder_resources = smaller(attributes.orig_attr.max_qp_rd_atom, READS_AT_ONCE_MAX);
    link->initiator_depth = smaller(attributes.orig_attr.max_qp_init_rd_atom, READS_AT_ONCE_MAX);
    region_choose_optional_access(link, &attributes);
    return choose_depth(link, &attributes.orig_attr, cause);
}

static bool create_channel(struct link *link, struct link_cause *cause)
{
    struct link_queue *queue = &link->queue;
    struct epoll_event interest = {.events = EPOLLIN};
    int flags;

    queue->pd = ibv_alloc_pd(link->id->verbs);
    if (queue->pd == NULL)
        return fail(link, cause, "a protection domain");
    queue->channel = ibv_create_comp_channel(link->id->verbs);
    if (queue->channel == NULL)
        return fail(link, cause, "a completion channel");
    flags = fcntl(queue->channel->fd, F_GETFL);
    interest.data.fd = queue->channel->fd;
    if (flags < 0 || fcntl(queue->channel->fd, F_SETFL, flags | O_NONBLOCK) < 0 ||
        epoll_ctl(link->epoll_fd, EPOLL_CTL_ADD, queue->channel->fd, &interest) != 0)
        return fail(link, cause, "a watch on the completion channel");
    return true;
}

/* Each queue holds every completion that can be out at once, signalled or not, so neither can
 * overflow. */
static bool create_completion_queues(struct link *link, struct link_cause *cause)
{
    struct link_queue *queue = &link->queue;
    int code;

    queue->send_cq = ibv_create_cq(link->id->verbs, (int)queue->depth + 1, link, queue->channel, 0);
    if (queue->send_cq == NULL)
        return fail(link, cause, "a send completion queue");
    queue->recv_cq =
        ibv_create_cq(link->id->verbs, (int)RDMIG_RECV_SLOT_COUNT, link, queue->channel, 0);
    if (queue->recv_cq == NULL)
        return fail(link, cause, "a receive completion queue");
    code = ibv_req_notify_cq(queue->send_cq, 0);
    if (code == 0)
        code = ibv_req_notify_cq(queue->recv_cq, 0);
    errno = code;
    return code == 0 || fail(link, cause, "a notification on a completion queue");
}

/* A device may name a limit it cannot reach with our kind of request: ask for less before giving
 * up. */
static bool create_pair(struct link *link, struct link_cause *cause)
{
    struct link_queue *queue = &link->queue;

    for (;; queue->depth /= 2) {
        struct ibv_qp_init_attr attributes = {.send_cq = queue->send_cq,
                                              .recv_cq = queue->recv_cq,
                                              .cap = {.max_send_wr = queue->depth + 1,
                                                      .max_recv_wr = RDMIG_RECV_SLOT_COUNT,
                                                      .max_send_sge = 1,
                                                      .max_recv_sge = 1},
                                              .qp_type = IBV_QPT_RC,
                                              .sq_sig_all = 0};

        if (rdma_create_qp(link->id, queue->pd, &attributes) == 0)
            break;
        if ((errno != ENOMEM && errno != EINVAL) || queue->depth / 2 < RDMIG_SEND_QUEUE_MIN)
            return fail(link, cause, "a queue pair");
    }
    queue->has_pair = true;
    queue->sends = calloc(queue->depth, sizeof(*queue->sends));
    errno = ENOMEM;
    return queue->sends != NULL || fail(link, cause, "a send list");
}

static bool register_control(struct link *link, struct link_cause *cause)
{
    struct link_queue *queue = &link->queue;
    int32_t code;

    queue->control_mr =
        ibv_reg_mr(queue->pd, link->control_memory, link->control_bytes, IBV_ACCESS_LOCAL_WRITE);
    if (queue->control_mr != NULL) {
        region_count_registered(link, link->control_bytes, true);
        return true;
    }
    code = errno;
    if (!explain_is_memlock(link, link->control_bytes, code))
        return fail(link, cause, "a memory region for control messages");
    explain_cause(
        cause, RDMIG_REASON_MEMLOCK, code,
        "%zu bytes of memory for control messages cannot be pinned: RLIMIT_MEMLOCK is %llu bytes, "
        "and the guest RAM registered at a time comes on top",
        link->control_bytes, (unsigned long long)rdmig_memlock_limit_bytes());
    return false;
}

bool queue_create(struct link *link, struct link_cause *cause)
{
    if (ask_limits(link, cause) && create_channel(link, cause) &&
        create_completion_queues(link, cause) && create_pair(link, cause) &&
        register_control(link, cause))
        return true;
    queue_destroy(link);
    return false;
}

/* ---- taking it down */

void queue_destroy_pair(struct link *link)
{
    if (link->queue.has_pair)
        rdma_destroy_qp(link->id);
    link->queue.has_pair = false;
}

static void destroy_completion_queue(struct ibv_cq *cq, unsigned cq_event_count)
{
    if (cq == NULL)
        return;
    /* ibv_destroy_cq() waits for every event that was taken. */
    if (cq_event_count > 0)
        ibv_ack_cq_events(cq, cq_event_count);
    ibv_destroy_cq(cq);
}

/* In the order of dependence: nothing goes before what uses it. Fine at any stage of making one. */
void queue_destroy(struct link *link)
{
    struct link_queue *queue = &link->queue;

    queue_destroy_pair(link);
    region_destroy_all(link);
    if (queue->control_mr != NULL) {
        ibv_dereg_mr(queue->control_mr);
        region_count_deregistered(link, link->control_bytes, true);
    }
    destroy_completion_queue(queue->send_cq, queue->send_cq_event_count);
    destroy_completion_queue(queue->recv_cq, queue->recv_cq_event_count);
    if (queue->channel != NULL) {
        epoll_ctl(link->epoll_fd, EPOLL_CTL_DEL, queue->channel->fd, NULL);
        ibv_destroy_comp_channel(queue->channel);
    }
    if (queue->pd != NULL)
        ibv_dealloc_pd(queue->pd);
    free(queue->sends);
    memset(queue, 0, sizeof(*queue));
}

/* ---- completions */

/* Noted only: link_process() ends the link for it. */
static void declare_unreadable(struct link *link)
{
    link->is_queue_unreadable = true;
}

/*
 * A queue is armed again before it is polled: what completes in between is found by the poll, what
 * completes later makes an event. So none is lost.
 */
void queue_drain_cq_events(struct link *link)
{
    struct link_queue *queue = &link->queue;

    for (uint32_t i = 0; i < 4 && queue->channel != NULL && !link->is_queue_unreadable; i++) {
        struct ibv_cq *cq = NULL;
        void *context;

        if (ibv_get_cq_event(queue->channel, &cq, &context) != 0)
            return;
        if (cq == queue->send_cq)
            queue->send_cq_event_count++;
        else
            queue->recv_cq_event_count++;
        if (ibv_req_notify_cq(cq, 0) != 0)
            declare_unreadable(link);
    }
}

static void poll_one(struct link *link, struct ibv_cq *cq,
                     void (*take)(struct link *, const struct ibv_wc *))
{
    struct ibv_wc completions[LINK_POLL_COUNT];
    uint32_t turn_max = link->queue.depth / LINK_POLL_COUNT + 2;

    for (uint32_t turn = 0; turn < turn_max && !link->is_queue_unreadable; turn++) {
        int count = ibv_poll_cq(cq, LINK_POLL_COUNT, completions);

        if (count < 0 || count > LINK_POLL_COUNT) {
            declare_unreadable(link);
            return;
        }
        for (int i = 0; i < count; i++)
            take(link, &completions[i]);
        if (count < LINK_POLL_COUNT)
            return;
    }
}

void queue_poll(struct link *link)
{
    /* Before ESTABLISHED has been fed the core expects none; they stay in the queue until then. */
    if (!link->queue.has_pair || (link->state != LINK_ESTABLISHED && link->state != LINK_CLOSING))
        return;
    poll_one(link, link->queue.send_cq, post_take_send);
    if (link->queue.has_pair)
        poll_one(link, link->queue.recv_cq, post_take_receive);
}
