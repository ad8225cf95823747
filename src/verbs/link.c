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

/*
 * A deadline that moves away is left alone: the timer wakes us once for nothing and is set anew
 * then. Deadlines move with every completion, and each setting is a system call.
 */
static void set_timer(struct link *link, uint64_t deadline_ns)
{
    struct itimerspec spec = {0};
    uint64_t at_ns = deadline_ns == 0 ? 1 : deadline_ns; /* 0 would switch the timer off */

    if (deadline_ns == link->timer_ns)
        return;
    if (deadline_ns != RDMIG_NO_DEADLINE && deadline_ns > link->timer_ns)
        return;
    if (deadline_ns != RDMIG_NO_DEADLINE) {
        spec.it_value.tv_sec = (time_t)(at_ns / LINK_NS_PER_S);
        spec.it_value.tv_nsec = (long)(at_ns % LINK_NS_PER_S);
    }
    if (timerfd_settime(link->timer_fd, TFD_TIMER_ABSTIME, &spec, NULL) == 0)
        link->timer_ns = deadline_ns;
}

/* Completions are to be looked at before the next memory region is made or taken apart. */
static bool has_worked_enough(const struct link *link)
{
    return link->busy_ns >= LINK_BUSY_NS_MAX;
}

static void arm_timer(struct link *link)
{
    uint64_t deadline_ns = rdmig_conn_deadline_ns(link->conn);

    if (link->state == LINK_CLOSED)
        deadline_ns = link->is_notice_due ? 0 : RDMIG_NO_DEADLINE;
    else if (has_worked_enough(link))
        deadline_ns = 0;
    else if ((link->state == LINK_RESOLVING_ADDRESS || link->state == LINK_RESOLVING_ROUTE) &&
             link->attempt_deadline_ns < deadline_ns)
        deadline_ns = link->attempt_deadline_ns;
    set_timer(link, deadline_ns);
}

/* ---- the core */

int link_feed(struct link *link, struct rdmig_event *event)
{
    int result;

    event->now_ns = link->now_ns;
    result = rdmig_conn_step(link->conn, event);
    /* FLUSHED may come twice for silent writes: by what stands for them, and by itself. */
    if (result < 0 &&
        (event->kind == RDMIG_EVENT_RECEIVED ||
         (event->kind == RDMIG_EVENT_COMPLETED && event->status != RDMIG_STATUS_FLUSHED)))
        link->is_refused = true;
    return result;
}

void link_answer(struct link *link, uint64_t tag, enum rdmig_status status, int32_t os_code)
{
    struct rdmig_event event = {
        .kind = RDMIG_EVENT_COMPLETED, .tag = tag, .status = status, .os_code = os_code};

    link_feed(link, &event);
}

static int provide(struct link *link)
{
    struct link_regions *regions = &link->regions;
    struct rdmig_event event = {.kind = RDMIG_EVENT_BLOCKS_PROVIDED,
                                .blocks = regions->blocks,
                                .block_count = regions->block_count,
                                .memory = regions->table_memory,
                                .length = regions->table_bytes};

    return link_feed(link, &event);
}

static void forget_blocks(struct link *link)
{
    struct link_regions *regions = &link->regions;

    free(regions->blocks);
    free(regions->table_memory);
    free(regions->regions);
    regions->blocks = NULL;
    regions->table_memory = NULL;
    regions->regions = NULL;
    regions->block_count = 0;
    regions->region_slot_count = 0;
}

bool link_restart_core(struct link *link, uint32_t send_queue_depth, uint64_t connect_timeout_ns)
{
    struct rdmig_conn_config config = link->config.conn;
    size_t memory_bytes;
    void *memory;
    struct rdmig_conn *conn;

    config.send_queue_depth = send_queue_depth;
    config.connect_timeout_ns = connect_timeout_ns;
    if (config.write_bytes_max == 0)
        config.write_bytes_max = LINK_WRITE_BYTES;
    if (link->message_bytes_max != 0 && config.write_bytes_max > link->message_bytes_max)
        config.write_bytes_max = link->message_bytes_max;
    memory_bytes = rdmig_conn_footprint_bytes(&config);
    if (memory_bytes == 0)
        return false;
    memory = calloc(1, memory_bytes);
    if (memory == NULL)
        return false;
    if (rdmig_conn_init(&conn, &config, memory, memory_bytes, link->control_memory,
                        link->control_bytes, link->now_ns) != 0) {
        free(memory);
        return false;
    }
    if (link->conn != NULL)
        rdmig_conn_deinit(link->conn);
    free(link->conn_memory);
    link->conn_memory = memory;
    link->conn = conn;
    return link->regions.block_count == 0 || provide(link) == 0;
}

void link_fail(struct link *link, enum rdmig_reason reason, int32_t os_code, const char *detail)
{
    if (link->own.reason == RDMIG_REASON_NONE)
        explain_error(&link->own, reason, os_code, detail);
    queue_destroy(link);
    cm_release(link);
    if (link->state == LINK_CLOSED)
        return;
    link->state = LINK_CLOSED;
    link->is_notice_due = true;
    arm_timer(link);
}

void link_lose(struct link *link)
{
    struct rdmig_event event = {.kind = RDMIG_EVENT_DISCONNECTED};

    if (link->state != LINK_ESTABLISHED && link->state != LINK_CONNECTING &&
        link->state != LINK_ACCEPTING)
        return;
    /* What the hardware finished before the peer left counts: a peer may leave right after its last
     * message. */
    link->state = LINK_LEAVING;
    queue_poll(link);
    link_feed(link, &event);
}

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
    result = start(link, config, error);
    if (result != 0) {
        link_destroy(link);
        return result;
    }
    arm_timer(link);
    *out = link;
    return 0;
}

void link_destroy(struct link *link)
{
    if (link == NULL)
        return;
    queue_destroy(link);
    cm_release(link);
    if (link->listen_id != NULL)
        rdma_destroy_id(link->listen_id);
    if (link->events != NULL)
        rdma_destroy_event_channel(link->events);
    if (link->timer_fd >= 0)
        close(link->timer_fd);
    if (link->epoll_fd >= 0)
        close(link->epoll_fd);
    if (link->conn != NULL)
        rdmig_conn_deinit(link->conn); /* refused in mid-flight; the hardware is gone, so its memory
                                          may go all the same */
    forget_blocks(link);
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
            queue_take_notices(link);
        }
    }
    queue_poll(link);
    attempt_check_deadline(link);
    /* Last, so that nothing which has arrived already counts as missing. */
    if (link->state != LINK_CLOSED && rdmig_conn_deadline_ns(link->conn) <= link->now_ns)
        link_feed(link, &event);
}

static void (*const carriers[RDMIG_ACTION_KIND_COUNT])(struct link *,
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
static bool give_notice(struct link *link, struct rdmig_action *action)
{
    bool is_due = link->is_notice_due;

    if (is_due) {
        memset(action, 0, sizeof(*action));
        action->kind = RDMIG_ACTION_NOTIFY_CLOSED;
    }
    link->is_notice_due = false;
    arm_timer(link);
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
    link->state = LINK_CLOSED;
    arm_timer(link);
    return true;
}

bool link_next_action(struct link *link, struct rdmig_action *action)
{
    link->now_ns = link_now_ns();
    for (;;) {
        post_answer_due(link);
        if (link->is_refused && link->state != LINK_CLOSED)
            link_fail(link, RDMIG_REASON_INTERNAL, 0, "the protocol core refused a completion");
        if (link->state == LINK_CLOSED)
            return give_notice(link, action);
        if (has_worked_enough(link) || !rdmig_conn_next_action(link->conn, action)) {
            post_flush(link);
            if (link->queue.has_due)
                continue;
            arm_timer(link);
            return false;
        }
        /* Only sends are gathered: a registration takes long, and an owner may do anything before
         * it comes back. */
        if (action->kind != RDMIG_ACTION_POST_SEND && action->kind != RDMIG_ACTION_POST_WRITE &&
            action->kind != RDMIG_ACTION_POST_PROBE)
            post_flush(link);
        if (carriers[action->kind] != NULL)
            carriers[action->kind](link, action);
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
    return link_feed(link, event);
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
        result = provide(link);
    }
    if (result != 0)
        forget_blocks(link);
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
    return link->state == LINK_CLOSED && !link->is_notice_due;
}

uint16_t link_port(const struct link *link)
{
    return link->port;
}

void link_numbers(const struct link *link, struct link_numbers *out)
{
    memset(out, 0, sizeof(*out));
    out->pinned_bytes = link->regions.pinned_bytes;
    out->pinned_bytes_max = link->regions.pinned_bytes_max;
    out->region_count = link->regions.region_count;
    out->is_relaxed = (link->regions.wishes & IBV_ACCESS_RELAXED_ORDERING) != 0;
    out->is_on_demand = (link->regions.wishes & IBV_ACCESS_ON_DEMAND) != 0;
    memcpy(out->device_name, link->device_name, sizeof(out->device_name));
}
