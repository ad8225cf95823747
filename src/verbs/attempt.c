/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The source's way to a connection: one address after the other, each resolved, routed and
 * connected without waiting, each with an identifier, a queue pair and a core connection of its
 * own.
 */
#include "link_internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Reject reasons of the InfiniBand connection manager (IBTA 1.3, table 112). */
#define REJECT_NO_LISTENER 8
#define REJECT_BY_CONSUMER 28
#define RETRY_COUNT        5u
#define RESOLVE_MS_MAX     UINT64_C(5000)
#define ATTEMPT_NS_DEFAULT (10 * LINK_NS_PER_S) /* for an address that has others behind it */

/* ---- attempts */

static int resolve_ms(const struct link *link)
{
    uint64_t left_ms = RESOLVE_MS_MAX;

    if (link->attempt_deadline_ns != RDMIG_NO_DEADLINE)
        left_ms = link->attempt_deadline_ns > link->now_ns
                      ? (link->attempt_deadline_ns - link->now_ns) / LINK_NS_PER_MS
                      : 0;
    if (left_ms > RESOLVE_MS_MAX)
        left_ms = RESOLVE_MS_MAX;
    return left_ms == 0 ? 1 : (int)left_ms;
}

/* An address that swallows everything must leave time for the ones behind it. */
static void set_attempt_deadline(struct link *link)
{
    uint32_t left_count = link->address_count - link->address_index;
    uint64_t left_ns;

    if (link->connect_deadline_ns == RDMIG_NO_DEADLINE) {
        link->attempt_deadline_ns =
            left_count > 1 ? link->now_ns + ATTEMPT_NS_DEFAULT : RDMIG_NO_DEADLINE;
        return;
    }
    left_ns =
        link->connect_deadline_ns > link->now_ns ? link->connect_deadline_ns - link->now_ns : 0;
    link->attempt_deadline_ns = link->now_ns + left_ns / left_count;
}

static bool start_resolving(struct link *link)
{
    struct link_address *address = address_current(link);

    if (rdma_create_id(link->events, &link->id, link, RDMA_PS_TCP) != 0) {
        explain_cause(&address->cause, RDMIG_REASON_DEVICE, errno,
                      "cannot make a connection identifier (%s)", strerror(errno));
        link->id = NULL;
        return false;
    }
    if (rdma_resolve_addr(link->id, NULL, (struct sockaddr *)&address->sockaddr,
                          resolve_ms(link)) != 0) {
        explain_cause(&address->cause, RDMIG_REASON_PEER_UNREACHABLE, errno, "%s (%s)",
                      errno == ENODEV ? "no RDMA device leads there" : "it cannot be reached",
                      strerror(errno));
        return false;
    }
    link_enter(link, LINK_RESOLVING_ADDRESS);
    return true;
}

static void fail_all_addresses(struct link *link)
{
    const struct link_cause *last = &link->addresses[link->address_count - 1].cause;
    char detail[sizeof(link->own.detail)];
    size_t used = 0;

    link->address_index = link->address_count - 1;
    if (link->address_count == 1) {
        (void)snprintf(detail, sizeof(detail), "cannot connect to %s: %s", link->addresses[0].text,
                       last->text);
    } else {
        int length = snprintf(detail, sizeof(detail), "cannot connect to %.100s: ", link->host);

        used = length > 0 ? (size_t)length : 0;
        address_join_causes(link, detail + used, sizeof(detail) - used);
    }
    link_fail(link, last->reason, last->os_code, detail);
}

/* Starts with the present address and goes on until one attempt is in progress or none is left. */
static void start_attempt(struct link *link)
{
    for (; link->address_index < link->address_count; link->address_index++) {
        set_attempt_deadline(link);
        if (!link_restart_core(link, link->config.conn.send_queue_depth, 0)) {
            link_fail(link, RDMIG_REASON_MEMORY, ENOMEM, "no memory for the connection");
            return;
        }
        if (start_resolving(link))
            return;
        identifier_destroy(link);
    }
    fail_all_addresses(link);
}

void attempt_start_first(struct link *link)
{
    uint64_t limit_ns = link->config.conn.connect_timeout_ns;

    link->connect_deadline_ns = RDMIG_NO_DEADLINE;
    if (limit_ns != 0 && limit_ns < RDMIG_NO_DEADLINE - link->now_ns)
        link->connect_deadline_ns = link->now_ns + limit_ns;
    start_attempt(link);
}

/* The attempt has failed before (core idle) or after the core was started; its cause is in the
 * address or the event. */
void attempt_end(struct link *link, enum rdmig_status status, int32_t os_code)
{
    struct rdmig_event event = {
        .kind = RDMIG_EVENT_UNREACHABLE, .status = status, .os_code = os_code};

    if (trace_has(link->config.trace, RDMIG_TRACE_STATES) &&
        link->config.conn.role == RDMIG_ROLE_SOURCE)
        trace_print(link->config.trace, link->now_ns, "address %s: %s", address_current(link)->text,
                    address_current(link)->cause.text);
    if (rdmig_conn_phase(link->conn) != RDMIG_PHASE_IDLE) {
        link_step_core(link, &event);
        queue_destroy_pair(link);
        post_return_all(link);
        queue_destroy(link);
        identifier_destroy(link);
        /* The core closes next; what follows is decided at NOTIFY_CLOSED. */
        link_enter(link, LINK_CLOSING);
        return;
    }
    queue_destroy(link);
    identifier_destroy(link);
    link->address_index++;
    start_attempt(link);
}

static void fail_attempt(struct link *link, int32_t code, const char *what)
{
    explain_cause(&address_current(link)->cause, RDMIG_REASON_PEER_UNREACHABLE, code, "%s (%s)",
                  what, code == 0 ? "no cause given" : strerror(code));
    attempt_end(link, RDMIG_STATUS_ERROR, code);
}

bool attempt_next_address(struct link *link)
{
    const struct rdmig_failure *failure = rdmig_conn_failure(link->conn);
    struct link_cause *cause;

    if (link->config.conn.role != RDMIG_ROLE_SOURCE || link->is_connected || failure == NULL)
        return false;
    if (failure->reason != RDMIG_REASON_PEER_UNREACHABLE &&
        failure->reason != RDMIG_REASON_CONNECT_TIMEOUT)
        return false;
    cause = &address_current(link)->cause;
    if (cause->reason == RDMIG_REASON_NONE)
        explain_cause(cause, failure->reason, failure->os_code,
                      "no answer to the connection request in time");
    if (link->address_index + 1 >= link->address_count)
        return false;
    queue_destroy(link);
    identifier_destroy(link);
    link->address_index++;
    start_attempt(link);
    return true;
}

void attempt_check_deadline(struct link *link)
{
    if (link->state != LINK_RESOLVING_ADDRESS && link->state != LINK_RESOLVING_ROUTE)
        return;
    if (link->now_ns < link->attempt_deadline_ns)
        return;
    explain_cause(&address_current(link)->cause, RDMIG_REASON_CONNECT_TIMEOUT, ETIMEDOUT,
                  "its address could not be resolved in time");
    attempt_end(link, RDMIG_STATUS_ERROR, ETIMEDOUT);
}

/* ---- events */

void attempt_address_resolved(struct link *link, const struct cm_event *event)
{
    (void)event;
    identifier_adopt(link, link->id);
    link_enter(link, LINK_RESOLVING_ROUTE);
    if (trace_has(link->config.trace, RDMIG_TRACE_STATES))
        trace_print(link->config.trace, link->now_ns, "address %s: by device %s",
                    address_current(link)->text, link->device_name);
    if (rdma_resolve_route(link->id, resolve_ms(link)) == 0)
        return;
    fail_attempt(link, errno, "no route leads there");
}

void attempt_route_resolved(struct link *link, const struct cm_event *event)
{
    struct rdmig_event started = {.kind = RDMIG_EVENT_STARTED};
    struct link_address *address = address_current(link);
    uint64_t left_ns = 0;

    (void)event;
    if (!queue_create(link, &address->cause)) {
        attempt_end(link, RDMIG_STATUS_ERROR, address->cause.os_code);
        return;
    }
    if (link->attempt_deadline_ns != RDMIG_NO_DEADLINE)
        left_ns =
            link->attempt_deadline_ns > link->now_ns ? link->attempt_deadline_ns - link->now_ns : 1;
    if (!link_restart_core(link, link->queue.depth, left_ns)) {
        link_fail(link, RDMIG_REASON_MEMORY, ENOMEM, "no memory for the connection");
        return;
    }
    link_enter(link, LINK_CONNECTING);
    link_step_core(link, &started);
}

void attempt_address_failed(struct link *link, const struct cm_event *event)
{
    int32_t code = identifier_positive(event->status);

    fail_attempt(link, code,
                 code == ENODEV ? "no RDMA device leads there" : "its address cannot be resolved");
}

void attempt_route_failed(struct link *link, const struct cm_event *event)
{
    fail_attempt(link, identifier_positive(event->status), "no route leads there");
}

void attempt_unreachable(struct link *link, const struct cm_event *event)
{
    fail_attempt(link, identifier_positive(event->status), "it does not answer");
}

void attempt_connect_failed(struct link *link, const struct cm_event *event)
{
    fail_attempt(link, identifier_positive(event->status), "connecting failed");
}

/*
 * A program's own refusal is final; everything else is the network or the host saying that
 * nobody listens. InfiniBand's message has its private data always, so only its reason tells;
 * iWARP's has only data of the program's own.
 */
void attempt_rejected(struct link *link, const struct cm_event *event)
{
    struct link_cause *cause = &address_current(link)->cause;
    int32_t code = identifier_positive(event->status);

    if (event->status == REJECT_BY_CONSUMER || (event->status < 0 && event->private_bytes > 0)) {
        explain_cause(cause, RDMIG_REASON_PEER_REJECTED, code,
                      "the program there refused the connection");
        attempt_end(link, RDMIG_STATUS_REJECTED, code);
        return;
    }
    if (event->status == REJECT_NO_LISTENER || event->status == -ECONNREFUSED) {
        explain_cause(cause, RDMIG_REASON_PEER_UNREACHABLE, ECONNREFUSED,
                      "nobody is listening there (rejected)");
        attempt_end(link, RDMIG_STATUS_ERROR, ECONNREFUSED);
    } else if (event->status < 0) {
        fail_attempt(link, code, "rejected");
    } else {
        explain_cause(cause, RDMIG_REASON_PEER_UNREACHABLE, code,
                      "the host there rejected the connection (reason %d)", event->status);
        attempt_end(link, RDMIG_STATUS_ERROR, code);
    }
}

void attempt_connect(struct link *link, const struct rdmig_action *action)
{
    struct rdma_conn_param param = {.private_data = action->bytes,
                                    .private_data_len = (uint8_t)action->length,
                                    .responder_resources = 0, /* nobody may read our memory */
                                    .initiator_depth = link->initiator_depth,
                                    .retry_count = RETRY_COUNT,
                                    .rnr_retry_count = 0};

    if (link->state != LINK_CONNECTING || !link->queue.has_pair ||
        rdma_connect(link->id, &param) == 0)
        return;
    fail_attempt(link, errno, "connecting failed");
}
