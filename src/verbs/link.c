/* SPDX-License-Identifier: BSD-2-Clause */
/* Life of a link: core events in, actions out, the timer. */
#include "link_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

/* ---- the core */

/* ---- creation */

static bool copy_config(struct link *link, const struct link_config *config)
{
    const char *host = config->host != NULL ? config->host : "";
    const char *service = config->service != NULL ? config->service : "";

    if (strlen(host) >= sizeof(link->host) || strlen(service) >= sizeof(link->service))
        return false;
    (void)snprintf(link->host, sizeof(link->host), "%s", host);
    (void)snprintf(link->service, sizeof(link->service), "%s", service);
    link->config = *config;
    link->config.host = link->host;
    link->config.service = link->service;
    return true;
}

static int fail_create(struct rdmig_error *error, enum rdmig_reason reason, int32_t os_code,
                       int result, const char *what)
{
    char detail[sizeof(error->detail)];

    if (os_code != 0)
        (void)snprintf(detail, sizeof(detail), "%s: %s", what, strerror(os_code));
    else
        (void)snprintf(detail, sizeof(detail), "%s", what);
    explain_error(error, reason, os_code, detail);
    if (error != NULL && result == -RDMIG_E_INVALID)
        (void)snprintf(error->remedy, sizeof(error->remedy),
                       "check the host, the port and the options");
    return result;
}

static bool watch(struct link *link, int fd)
{
    struct epoll_event interest = {.events = EPOLLIN, .data = {.fd = fd}};

    return epoll_ctl(link->epoll_fd, EPOLL_CTL_ADD, fd, &interest) == 0;
}

static int open_descriptors(struct link *link, struct rdmig_error *error)
{
    int flags;

    link->events = rdma_create_event_channel();
    if (link->events == NULL)
        return fail_create(error, RDMIG_REASON_DEVICE, errno, -RDMIG_E_SYSTEM,
                           "cannot open an RDMA connection manager channel");
    link->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (link->epoll_fd < 0)
        return fail_create(error, RDMIG_REASON_MEMORY, errno, -RDMIG_E_SYSTEM,
                           "cannot make an epoll descriptor");
    link->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (link->timer_fd < 0)
        return fail_create(error, RDMIG_REASON_MEMORY, errno, -RDMIG_E_SYSTEM,
                           "cannot make a timer descriptor");
    flags = fcntl(link->events->fd, F_GETFL);
    if (flags < 0 || fcntl(link->events->fd, F_SETFL, flags | O_NONBLOCK) < 0 ||
        !watch(link, link->events->fd) || !watch(link, link->timer_fd))
        return fail_create(error, RDMIG_REASON_MEMORY, errno, -RDMIG_E_SYSTEM,
                           "cannot watch the RDMA connection manager channel");
    return 0;
}

static int make_core(struct link *link, struct rdmig_error *error)
{
    if (rdmig_conn_footprint_bytes(&link->config.conn) == 0)
        return fail_create(error, RDMIG_REASON_CALLER, 0, -RDMIG_E_INVALID,
                           "a number in the options is outside its limits");
    link->control_bytes = rdmig_conn_control_bytes();
    if (posix_memalign(&link->control_memory, 4096, link->control_bytes) != 0) {
        link->control_memory = NULL;
        return fail_create(error, RDMIG_REASON_MEMORY, ENOMEM, -RDMIG_E_MEMORY,
                           "no memory for control messages");
    }
    memset(link->control_memory, 0, link->control_bytes);
    if (!link_restart_core(link, link->config.conn.send_queue_depth, 0))
        return fail_create(error, RDMIG_REASON_MEMORY, ENOMEM, -RDMIG_E_MEMORY,
                           "no memory for the connection");
    return 0;
}

static int start(struct link *link, const struct link_config *config, struct rdmig_error *error)
{
    int result;

    if (!copy_config(link, config))
        return fail_create(error, RDMIG_REASON_CALLER, 0, -RDMIG_E_INVALID,
                           "the host name or the port is too long");
    link->now_ns = link_now_ns();
    result = make_core(link, error);
    if (result == 0)
        result = address_look_up(link, error);
    if (result == 0)
        result = open_descriptors(link, error);
    if (result != 0)
        return result;
    if (config->conn.role == RDMIG_ROLE_DESTINATION)
        return cm_listen(link, error);
    attempt_start_first(link);
    return 0;
}

int link_create(struct link **out, const struct link_config *config, struct rdmig_error *error)
{
    struct link *link = calloc(1, sizeof(*link));
    int result;

    *out = NULL;
    if (link == NULL)
        return fail_create(error, RDMIG_REASON_MEMORY, ENOMEM, -RDMIG_E_MEMORY,
                           "no memory for a link");
    link->epoll_fd = -1;
    link->timer_fd = -1;
    link->timer_ns = RDMIG_NO_DEADLINE;
    link->state = config->conn.role == RDMIG_ROLE_SOURCE ? LINK_RESOLVING_ADDRESS : LINK_LISTENING;
    result = start(link, config, error);
    if (result != 0) {
        link_destroy(link);
        return result;
    }
    timer_arm(link);
    *out = link;
    return 0;
}

void link_destroy(struct link *link)
{
    if (link == NULL)
        return;
    queue_destroy(link);
    identifier_destroy(link);
    if (link->listen_id != NULL)
        rdma_destroy_id(link->listen_id);
    if (link->events != NULL)
        rdma_destroy_event_channel(link->events);
    if (link->timer_fd >= 0)
        close(link->timer_fd);
    if (link->epoll_fd >= 0)
        close(link->epoll_fd);
    if (link->conn != NULL)
        rdmig_conn_deinit(
            link->conn); /* refused in mid-flight; the hardware is destroyed, so its memory
                                          may go all the same */
    link_forget_blocks(link);
    free(link->conn_memory);
    free(link->control_memory);
    free(link);
}

/* ---- running */

void link_process(struct link *link)
{
    struct epoll_event ready[4];
    struct rdmig_event event = {.kind = RDMIG_EVENT_TIME_PASSED};
    int count = epoll_wait(link->epoll_fd, ready, 4, 0);

    link->now_ns = link_now_ns();
    link->busy_ns = 0;
    for (int i = 0; i < count; i++) {
        uint64_t expirations;

        if (ready[i].data.fd == link->timer_fd) {
            if (read(link->timer_fd, &expirations, sizeof(expirations)) > 0)
                link->timer_ns = RDMIG_NO_DEADLINE;
        } else if (ready[i].data.fd == link->events->fd) {
            cm_process(link);
        } else {
            queue_drain_cq_events(link);
        }
    }
    queue_poll(link);
    if (link->is_queue_unreadable)
        link_disconnected(link);
    attempt_check_deadline(link);
    /* Last, so that nothing which has arrived already counts as missing. */
    if (link->state != LINK_CLOSED && rdmig_conn_deadline_ns(link->conn) <= link->now_ns)
        link_step_core(link, &event);
}

static void (*const action_handlers[RDMIG_ACTION_KIND_COUNT])(struct link *,
                                                              const struct rdmig_action *) = {
    [RDMIG_ACTION_POST_RECV] = post_receive,
    [RDMIG_ACTION_CONNECT] = attempt_connect,
    [RDMIG_ACTION_ACCEPT] = cm_accept,
    [RDMIG_ACTION_REJECT] = cm_reject,
    [RDMIG_ACTION_POST_SEND] = post_send,
    [RDMIG_ACTION_POST_WRITE] = post_write,
    [RDMIG_ACTION_POST_PROBE] = post_probe,
    [RDMIG_ACTION_REGISTER] = region_register,
    [RDMIG_ACTION_DEREGISTER] = region_deregister,
    [RDMIG_ACTION_DISCONNECT] = cm_disconnect,
    [RDMIG_ACTION_ABANDON] = cm_abandon,
};

/* The link's own end, told as the core would tell it. */
static bool give_notification(struct link *link, struct rdmig_action *action)
{
    bool is_due = link->is_notification_due;

    if (is_due) {
        memset(action, 0, sizeof(*action));
        action->kind = RDMIG_ACTION_NOTIFY_CLOSED;
    }
    link->is_notification_due = false;
    timer_arm(link);
    return is_due;
}

/* True: the action is for the owner. */
static bool pass_on(struct link *link, const struct rdmig_action *action)
{
    if (action->kind == RDMIG_ACTION_NOTIFY_ESTABLISHED)
        link->is_connected = true;
    if (action->kind != RDMIG_ACTION_NOTIFY_CLOSED)
        return true;
    if (attempt_next_address(link))
        return false;
    link_enter(link, LINK_CLOSED);
    timer_arm(link);
    return true;
}

/* Somebody is wrong about what is outstanding: the core, or this adapter, or the device. */
static void fail_if_miscounted(struct link *link)
{
    char detail[sizeof(link->own.detail)];

    if (link->state == LINK_CLOSED)
        return;
    if (link->is_refused)
        link_fail(link, RDMIG_REASON_INTERNAL, 0, "the protocol core refused a completion");
    if (link->is_astray)
        link_fail(link, RDMIG_REASON_INTERNAL, 0, "a step of the connection's that cannot be");
    if (!link->is_miscounted)
        return;
    (void)snprintf(detail, sizeof(detail),
                   "RDMA device %s completed a work request that was never posted",
                   link->device_name);
    link_fail(link, RDMIG_REASON_DEVICE, EPROTO, detail);
}

bool link_next_action(struct link *link, struct rdmig_action *action)
{
    link->now_ns = link_now_ns();
    for (;;) {
        post_complete_due(link);
        fail_if_miscounted(link);
        if (link->state == LINK_CLOSED)
            return give_notification(link, action);
        if (timer_has_worked_enough(link) || !rdmig_conn_next_action(link->conn, action)) {
            post_flush(link);
            if (link->queue.has_due)
                continue;
            timer_arm(link);
            return false;
        }
        /* Only sends are gathered: a registration takes long, and an owner may do anything before
         * it comes back. */
        if (action->kind != RDMIG_ACTION_POST_SEND && action->kind != RDMIG_ACTION_POST_WRITE &&
            action->kind != RDMIG_ACTION_POST_PROBE)
            post_flush(link);
        if (trace_has(link->config.trace, UINT32_MAX))
            trace_action(link->config.trace, link->now_ns, action);
        if (action_handlers[action->kind] != NULL)
            action_handlers[action->kind](link, action);
        else if (pass_on(link, action))
            return true;
    }
}

int link_step(struct link *link, struct rdmig_event *event)
{
    link->now_ns = link_now_ns();
    if (link->own.reason != RDMIG_REASON_NONE)
        return -RDMIG_E_FAILED;
    if (link->config.conn.role == RDMIG_ROLE_SOURCE && !link->is_connected) {
        if (event->kind != RDMIG_EVENT_CANCEL_REQUESTED)
            return -RDMIG_E_STATE;
        if (rdmig_conn_phase(link->conn) == RDMIG_PHASE_IDLE) {
            link_fail(link, RDMIG_REASON_CANCELLED, event->os_code, "cancelled while connecting");
            return 0;
        }
    }
    return link_step_core(link, event);
}

int link_provide_blocks(struct link *link, const struct rdmig_block *blocks, uint32_t block_count)
{
    struct link_regions *regions = &link->regions;
    uint64_t chunk_count = 0;
    int result = -RDMIG_E_MEMORY;

    if (regions->blocks != NULL)
        return -RDMIG_E_STATE;
    if (link->own.reason != RDMIG_REASON_NONE)
        return -RDMIG_E_FAILED;
    regions->table_bytes = rdmig_blocks_footprint_bytes(blocks, block_count);
    for (uint32_t i = 0; i < block_count; i++)
        chunk_count += (blocks[i].length_bytes - 1) / RDMIG_CHUNK_BYTES + 1;
    if (regions->table_bytes == 0 || chunk_count == 0)
        return -RDMIG_E_INVALID;
    regions->region_slot_count = chunk_count;
    regions->block_count = block_count;
    regions->blocks = calloc(block_count, sizeof(*blocks));
    regions->table_memory = calloc(1, regions->table_bytes);
    regions->regions = calloc(chunk_count, sizeof(*regions->regions));
    if (regions->blocks != NULL && regions->table_memory != NULL && regions->regions != NULL) {
        memcpy(regions->blocks, blocks, block_count * sizeof(*blocks));
        link->now_ns = link_now_ns();
        result = link_provide_blocks_to_core(link);
    }
    if (result != 0)
        link_forget_blocks(link);
    return result;
}

/* ---- questions */

int link_fd(const struct link *link)
{
    return link->epoll_fd;
}

const struct rdmig_conn *link_conn(const struct link *link)
{
    return link->conn;
}

bool link_is_connected(const struct link *link)
{
    return link->is_connected;
}

bool link_is_closed(const struct link *link)
{
    return link->state == LINK_CLOSED && !link->is_notification_due;
}

uint16_t link_port(const struct link *link)
{
    return link->port;
}

void link_stats(const struct link *link, struct link_stats *out)
{
    memset(out, 0, sizeof(*out));
    out->pinned_bytes = link->regions.pinned_bytes;
    out->pinned_bytes_max = link->regions.pinned_bytes_max;
    out->region_count = link->regions.region_count;
    out->is_relaxed = (link->regions.optional_access & IBV_ACCESS_RELAXED_ORDERING) != 0;
    out->is_on_demand = (link->regions.optional_access & IBV_ACCESS_ON_DEMAND) != 0;
    memcpy(out->device_name, link->device_name, sizeof(out->device_name));
}
