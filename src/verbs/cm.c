/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * rdma_cm events, and the actions that are rdma_cm calls. Every event is copied and acknowledged
 * before anything is done about it: one that is still out makes rdma_destroy_id() wait for ever.
 */
#include "link_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CM_EVENT_KIND_COUNT (RDMA_CM_EVENT_TIMEWAIT_EXIT + 1)
#define LISTEN_BACKLOG      4
/*
 * A page that guest RAM does not have yet keeps the source waiting ("receiver not ready"), which is
 * an error unless it may try again: for ever here, since the core has limits of its own. In 0.64 ms
 * each time; rdma_cm's own choice means 655 ms.
 */
#define RETRY_FOR_EVER  7u
#define RETRY_IN_064_MS 12u

/* ---- destination */

static bool listen_on(struct link *link, struct link_address *address)
{
    struct rdma_cm_id *id = NULL;
    int is_family_only = link->host[0] == '\0' ? 0 : 1;

    if (rdma_create_id(link->events, &id, link, RDMA_PS_TCP) != 0) {
        explain_cause(&address->cause, RDMIG_REASON_DEVICE, errno,
                      "cannot make a connection identifier (%s)", strerror(errno));
        return false;
    }
    if (address->sockaddr.ss_family == AF_INET6)
        (void)rdma_set_option(id, RDMA_OPTION_ID, RDMA_OPTION_ID_AFONLY, &is_family_only,
                              sizeof(is_family_only));
    if (rdma_bind_addr(id, (struct sockaddr *)&address->sockaddr) == 0 &&
        rdma_listen(id, LISTEN_BACKLOG) == 0) {
        link->listen_id = id;
        link->port = be16toh(rdma_get_src_port(id));
        link_enter(link, LINK_LISTENING);
        return true;
    }
    explain_cause(&address->cause, RDMIG_REASON_ADDRESS, errno, "%s",
                  errno == ENODEV || errno == EADDRNOTAVAIL
                      ? "no RDMA device of this host has that address"
                  : errno == EADDRINUSE ? "another program is listening there"
                                        : strerror(errno));
    rdma_destroy_id(id);
    return false;
}

int cm_listen(struct link *link, struct rdmig_error *error)
{
    char detail[sizeof(error->detail)];
    int length;

    for (link->address_index = 0; link->address_index < link->address_count; link->address_index++)
        if (listen_on(link, address_current(link)))
            return 0;
    link->address_index = 0;
    length = snprintf(detail, sizeof(detail), "cannot listen: ");
    address_join_causes(link, detail + length, sizeof(detail) - (size_t)length);
    explain_error(error, link->addresses[0].cause.reason, link->addresses[0].cause.os_code, detail);
    return -RDMIG_E_SYSTEM;
}

static void refuse_request(struct link *link, const struct cm_event *event)
{
    (void)link;
    (void)rdma_reject(event->id, NULL, 0);
    rdma_destroy_id(event->id);
}

static void on_request(struct link *link, const struct cm_event *event)
{
    struct rdmig_event started = {.kind = RDMIG_EVENT_STARTED};
    struct rdmig_event requested = {.kind = RDMIG_EVENT_CONNECT_REQUESTED,
                                    .bytes = event->private_data,
                                    .length = event->private_bytes};
    struct link_cause cause = {0};

    if (rdmig_conn_phase(link->conn) != RDMIG_PHASE_IDLE) {
        refuse_request(link, event); /* cancelled while listening */
        return;
    }
    identifier_adopt(link, event->id);
    if (!queue_create(link, &cause)) {
        char detail[sizeof(link->own.detail)];

        (void)snprintf(detail, sizeof(detail), "a source has connected, but %s", cause.text);
        (void)rdma_reject(link->id, NULL, 0);
        link_fail(link, cause.reason, cause.os_code, detail);
        return;
    }
    if (!link_restart_core(link, link->queue.depth, link->config.conn.connect_timeout_ns)) {
        (void)rdma_reject(link->id, NULL, 0);
        link_fail(link, RDMIG_REASON_MEMORY, ENOMEM, "no memory for the connection");
        return;
    }
    link_enter(link, LINK_ACCEPTING);
    link_step_core(link, &started);
    link_step_core(link, &requested);
}

static void on_request_lost(struct link *link, const struct cm_event *event)
{
    attempt_end(link, RDMIG_STATUS_ERROR, identifier_positive(event->status));
}

static void on_listener_removed(struct link *link, const struct cm_event *event)
{
    (void)event;
    link_fail(link, RDMIG_REASON_DEVICE, ENODEV, "the RDMA device was removed while listening");
}

/* ---- both */

static bool is_paged_on_demand(const struct link *link)
{
    return (link->regions.optional_access & IBV_ACCESS_ON_DEMAND) != 0;
}

/* Should it be refused: slow is better than not at all. */
static void shorten_rnr_timer(struct link *link)
{
    struct ibv_qp_attr shortened = {.min_rnr_timer = RETRY_IN_064_MS};

    if (link->config.conn.role == RDMIG_ROLE_DESTINATION && is_paged_on_demand(link))
        (void)ibv_modify_qp(link->id->qp, &shortened, IBV_QP_MIN_RNR_TIMER);
}

static void on_established(struct link *link, const struct cm_event *event)
{
    struct rdmig_event established = {.kind = RDMIG_EVENT_ESTABLISHED};

    if (link->config.conn.role == RDMIG_ROLE_SOURCE) {
        established.bytes = event->private_data;
        established.length = event->private_bytes;
    }
    link->is_cm_established = true;
    link_enter(link, LINK_ESTABLISHED);
    shorten_rnr_timer(link);
    link_step_core(link, &established);
}

static void on_disconnected(struct link *link, const struct cm_event *event)
{
    (void)event;
    link_disconnected(link);
}

/* The queue pair has to go at once: the kernel waits for it before it lets the device go. */
static void on_device_removed(struct link *link, const struct cm_event *event)
{
    (void)event;
    link->is_device_gone = true;
    link_disconnected(link);
    queue_destroy_pair(link);
    post_return_all(link);
}

typedef void cm_handler(struct link *, const struct cm_event *);

static cm_handler *const handlers[LINK_STATE_COUNT][CM_EVENT_KIND_COUNT] = {
    [LINK_LISTENING] = {[RDMA_CM_EVENT_CONNECT_REQUEST] = on_request,
                        [RDMA_CM_EVENT_DEVICE_REMOVAL] = on_listener_removed},
    [LINK_RESOLVING_ADDRESS] = {[RDMA_CM_EVENT_ADDR_RESOLVED] = attempt_address_resolved,
                                [RDMA_CM_EVENT_ADDR_ERROR] = attempt_address_failed,
                                [RDMA_CM_EVENT_DEVICE_REMOVAL] = attempt_connect_failed},
    [LINK_RESOLVING_ROUTE] = {[RDMA_CM_EVENT_ROUTE_RESOLVED] = attempt_route_resolved,
                              [RDMA_CM_EVENT_ROUTE_ERROR] = attempt_route_failed,
                              [RDMA_CM_EVENT_DEVICE_REMOVAL] = attempt_connect_failed},
    [LINK_CONNECTING] = {[RDMA_CM_EVENT_ESTABLISHED] = on_established,
                         [RDMA_CM_EVENT_REJECTED] = attempt_rejected,
                         [RDMA_CM_EVENT_UNREACHABLE] = attempt_unreachable,
                         [RDMA_CM_EVENT_CONNECT_ERROR] = attempt_connect_failed,
                         [RDMA_CM_EVENT_DISCONNECTED] = attempt_connect_failed,
                         [RDMA_CM_EVENT_DEVICE_REMOVAL] = attempt_connect_failed},
    [LINK_ACCEPTING] = {[RDMA_CM_EVENT_CONNECT_REQUEST] = refuse_request,
                        [RDMA_CM_EVENT_ESTABLISHED] = on_established,
                        [RDMA_CM_EVENT_REJECTED] = on_request_lost,
                        [RDMA_CM_EVENT_UNREACHABLE] = on_request_lost,
                        [RDMA_CM_EVENT_CONNECT_ERROR] = on_request_lost,
                        [RDMA_CM_EVENT_DISCONNECTED] = on_request_lost,
                        [RDMA_CM_EVENT_DEVICE_REMOVAL] = on_request_lost},
    [LINK_ESTABLISHED] = {[RDMA_CM_EVENT_CONNECT_REQUEST] = refuse_request,
                          [RDMA_CM_EVENT_DISCONNECTED] = on_disconnected,
                          [RDMA_CM_EVENT_DEVICE_REMOVAL] = on_device_removed},
    [LINK_CLOSING] = {[RDMA_CM_EVENT_CONNECT_REQUEST] = refuse_request,
                      [RDMA_CM_EVENT_DEVICE_REMOVAL] = on_device_removed},
    [LINK_CLOSED] = {[RDMA_CM_EVENT_CONNECT_REQUEST] = refuse_request},
};

/* Takes the next event, copies what is needed and acknowledges it. False: there is none. */
static bool take_event(struct link *link, struct cm_event *out)
{
    struct rdma_cm_event *event;

    if (rdma_get_cm_event(link->events, &event) != 0)
        return false;
    memset(out, 0, sizeof(*out));
    out->type = event->event;
    out->status = event->status;
    out->id = event->id;
    /* Transports differ: there may be a length without data and data without a length (field S7).
     */
    if (event->param.conn.private_data != NULL && event->param.conn.private_data_len > 0 &&
        (event->event == RDMA_CM_EVENT_CONNECT_REQUEST ||
         event->event == RDMA_CM_EVENT_ESTABLISHED || event->event == RDMA_CM_EVENT_REJECTED)) {
        out->private_bytes = event->param.conn.private_data_len;
        memcpy(out->private_data, event->param.conn.private_data, out->private_bytes);
    }
    rdma_ack_cm_event(event);
    return true;
}

void cm_process(struct link *link)
{
    struct cm_event event;

    for (uint32_t i = 0; i < LINK_CM_EVENT_COUNT && take_event(link, &event); i++) {
        cm_handler *handler = NULL;

        if ((unsigned)event.type < CM_EVENT_KIND_COUNT)
            handler = handlers[link->state][event.type];
        /* What comes for an identifier of an earlier attempt says nothing about this one. */
        if (event.type != RDMA_CM_EVENT_CONNECT_REQUEST && event.id != link->id &&
            event.id != link->listen_id)
            continue;
        if (handler != NULL)
            handler(link, &event);
    }
}

/* ---- actions */

void cm_accept(struct link *link, const struct rdmig_action *action)
{
    struct rdma_conn_param param = {.private_data = action->bytes,
                                    .private_data_len = (uint8_t)action->length,
                                    .responder_resources = link->responder_resources,
                                    .initiator_depth = 0,
                                    .rnr_retry_count =
                                        is_paged_on_demand(link) ? RETRY_FOR_EVER : 0};

    if (link->state != LINK_ACCEPTING || !link->queue.has_pair ||
        rdma_accept(link->id, &param) == 0)
        return;
    attempt_end(link, RDMIG_STATUS_ERROR, errno);
}

void cm_reject(struct link *link, const struct rdmig_action *action)
{
    if (link->state == LINK_ACCEPTING && link->id != NULL)
        (void)rdma_reject(link->id, action->bytes, (uint8_t)action->length);
}

/* Fire and forget: an answer to a disconnect request may never come. */
void cm_disconnect(struct link *link, const struct rdmig_action *action)
{
    struct ibv_qp_attr to_error = {.qp_state = IBV_QPS_ERR};

    (void)action;
    if (!link->queue.has_pair)
        return;
    post_return_waiting(link);
    link_enter(link, LINK_CLOSING);
    if ((link->is_cm_established && rdma_disconnect(link->id) == 0) ||
        ibv_modify_qp(link->id->qp, &to_error, IBV_QP_STATE) == 0)
        post_drain(link);
}

void cm_abandon(struct link *link, const struct rdmig_action *action)
{
    (void)action;
    if (link->state != LINK_CLOSED)
        link_enter(link, LINK_CLOSING);
    queue_destroy_pair(link);
    post_return_all(link);
}
