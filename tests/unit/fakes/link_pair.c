/* SPDX-License-Identifier: BSD-2-Clause */
#include "fakes/link_pair.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define NEWS_COUNT   4096u
#define REGION_COUNT 4096u

/* Something that waits to be fed to a link's core. */
struct news {
    struct rdmig_event event;
    uint8_t *message; /* RECEIVED: what arrives; the slot is found when it is fed */
};

struct region {
    uint32_t number;
    uint32_t rkey;
    uint64_t start_addr;
    uint64_t length_bytes;
    bool is_live;
};

struct link {
    enum rdmig_role role;
    struct rdmig_conn_config config;
    const struct trace *trace;
    struct rdmig_conn *conn;
    void *memory;
    uint8_t *control;
    void *table;
    struct rdmig_block *blocks;
    uint32_t block_count;
    struct region regions[REGION_COUNT];
    uint32_t region_count;
    uint64_t pinned_bytes;
    uint64_t pinned_bytes_max;
    struct {
        uint64_t tag;
        uint64_t offset_bytes;
    } recvs[RDMIG_RECV_SLOT_COUNT];
    uint32_t recv_count;
    uint64_t unanswered[NEWS_COUNT]; /* tags of work that a dead peer will never complete */
    uint32_t unanswered_count;
    struct news news[NEWS_COUNT];
    uint32_t news_first;
    uint32_t news_count;
    int fd;
    bool is_signalled;
    bool is_connected;
    bool is_closed;
    bool is_dead;
    bool has_left; /* its queue pair takes nothing any more */
    bool is_remote_write_revoked;
    bool is_relaxed; /* whatever is wanted is granted */
    bool is_on_demand;
    uint64_t messages_left; /* until it dies; 0: lives on */
    int register_fault;
    struct link_failed_region failed;
};

static struct {
    uint64_t now_ns;
    struct link *ends[2];
    struct pair_counts counts;
    uint32_t next_rkey;
    bool is_create_failing;
    bool is_provide_failing[2];
    bool is_pipeline_hidden;
    uint64_t create_ns;
    uint64_t memlock_bytes;
} world;

static void demand(bool is_true, const char *what)
{
    if (is_true)
        return;
    fprintf(stderr, "link_pair: %s\n", what);
    abort();
}

void pair_reset(void)
{
    demand(world.counts.live_link_count == 0, "a link of the test before is still there");
    memset(&world, 0, sizeof(world));
    world.now_ns = UINT64_C(1000000000);
    world.next_rkey = 0x100;
    world.memlock_bytes = UINT64_MAX;
}

void pair_set_memlock(uint64_t limit_bytes)
{
    world.memlock_bytes = limit_bytes;
}

uint64_t rdmig_memlock_limit_bytes(void)
{
    return world.memlock_bytes;
}

const struct pair_counts *pair_counts(void)
{
    return &world.counts;
}

uint64_t link_now_ns(void)
{
    return world.now_ns;
}

static struct link *peer_of(const struct link *link)
{
    return world.ends[link->role == RDMIG_ROLE_SOURCE ? RDMIG_ROLE_DESTINATION : RDMIG_ROLE_SOURCE];
}

static void signal_fd(struct link *link)
{
    const uint64_t one = 1;

    if (link->is_signalled)
        return;
    link->is_signalled = true;
    demand(write(link->fd, &one, sizeof(one)) == sizeof(one), "eventfd");
}

void pair_signal(enum rdmig_role role)
{
    signal_fd(world.ends[role]);
}

static void tell(struct link *link, const struct rdmig_event *event, uint8_t *message)
{
    demand(link->news_count < NEWS_COUNT, "too much news");
    link->news[(link->news_first + link->news_count++) % NEWS_COUNT] =
        (struct news){*event, message};
    signal_fd(link);
}

static void tell_kind(struct link *link, enum rdmig_event_kind kind)
{
    const struct rdmig_event event = {.kind = kind};

    tell(link, &event, NULL);
}

static void answer(struct link *link, uint64_t tag, enum rdmig_status status, int os_code,
                   uint32_t rkey)
{
    const struct rdmig_event event = {.kind = RDMIG_EVENT_COMPLETED,
                                      .tag = tag,
                                      .status = status,
                                      .os_code = os_code,
                                      .rkey = rkey};

    tell(link, &event, NULL);
}

void pair_advance_ns(uint64_t passed_ns)
{
    world.now_ns += passed_ns;
    for (int i = 0; i < 2; i++) {
        if (world.ends[i])
            signal_fd(world.ends[i]);
    }
}

void pair_kill(enum rdmig_role role, bool is_silent)
{
    struct link *link = world.ends[role];

    link->is_dead = true;
    if (!is_silent && peer_of(link))
        tell_kind(peer_of(link), RDMIG_EVENT_DISCONNECTED);
}

void pair_fail_register(enum rdmig_role role, int os_code)
{
    world.ends[role]->register_fault = os_code;
}

bool pair_is_remote_write_revoked(enum rdmig_role role)
{
    return world.ends[role]->is_remote_write_revoked;
}

void pair_kill_after_messages(enum rdmig_role role, uint64_t message_count)
{
    world.ends[role]->messages_left = message_count;
}

void pair_fail_provide(enum rdmig_role role)
{
    world.is_provide_failing[role] = true;
}

void pair_fail_create(void)
{
    world.is_create_failing = true;
}

void pair_hide_pipeline(void)
{
    world.is_pipeline_hidden = true;
}

void pair_slow_create(uint64_t passed_ns)
{
    world.create_ns = passed_ns;
}

/* ---- link.h: life */

int link_create(struct link **out, const struct link_config *config, struct rdmig_error *error)
{
    struct link *link = calloc(1, sizeof(*link));
    const size_t memory_bytes = rdmig_conn_footprint_bytes(&config->conn);

    *out = NULL;
    world.now_ns += world.create_ns;
    world.create_ns = 0;
    if (world.is_create_failing) {
        world.is_create_failing = false;
        free(link);
        if (error)
            *error = (struct rdmig_error){.reason = RDMIG_REASON_DEVICE,
                                          .detail = "the test's device has failed",
                                          .remedy = "ask the test for another"};
        return -RDMIG_E_SYSTEM;
    }
    link->role = config->conn.role;
    link->config = config->conn;
    link->trace = config->trace;
    link->is_relaxed = config->is_relaxed_wanted;
    link->is_on_demand = config->is_on_demand_wanted;
    link->memory = malloc(memory_bytes);
    link->control = aligned_alloc(RDMIG_CONTROL_MEMORY_ALIGNMENT, rdmig_conn_control_bytes());
    link->fd = eventfd(0, EFD_NONBLOCK);
    demand(rdmig_conn_init(&link->conn, &config->conn, link->memory, memory_bytes, link->control,
                           rdmig_conn_control_bytes(), world.now_ns) == 0,
           "rdmig_conn_init");
    world.ends[link->role] = link;
    world.counts.live_link_count++;
    tell_kind(link, RDMIG_EVENT_STARTED);
    *out = link;
    return 0;
}

void link_destroy(struct link *link)
{
    if (!link)
        return;
    if (peer_of(link) && link->is_connected && !link->is_dead)
        tell_kind(peer_of(link), RDMIG_EVENT_DISCONNECTED);
    world.ends[link->role] = NULL;
    world.counts.live_link_count--;
    for (uint32_t i = 0; i < link->news_count; i++)
        free(link->news[(link->news_first + i) % NEWS_COUNT].message);
    close(link->fd);
    free(link->memory);
    free(link->control);
    free(link->table);
    free(link->blocks);
    free(link);
}

bool link_failed_region(const struct link *link, struct link_failed_region *out)
{
    *out = link->failed;
    return out->length_bytes != 0;
}

int link_fd(const struct link *link)
{
    return link->fd;
}

static int feed(struct link *link, struct rdmig_event *event)
{
    int result;

    event->now_ns = world.now_ns;
    if (trace_has(link->trace, UINT32_MAX))
        trace_event(link->trace, event);
    result = rdmig_conn_step(link->conn, event);
    demand(rdmig_conn_check(link->conn) == NULL, "an invariant of the core does not hold");
    return result;
}

int link_step(struct link *link, struct rdmig_event *event)
{
    return feed(link, event);
}

int link_provide_blocks(struct link *link, const struct rdmig_block *blocks, uint32_t block_count)
{
    struct rdmig_event event = {.kind = RDMIG_EVENT_BLOCKS_PROVIDED, .block_count = block_count};

    if (world.is_provide_failing[link->role])
        return -RDMIG_E_FAILED;
    link->blocks = malloc(block_count * sizeof(*blocks));
    memcpy(link->blocks, blocks, block_count * sizeof(*blocks));
    link->block_count = block_count;
    event.length = rdmig_blocks_footprint_bytes(blocks, block_count);
    link->table = malloc(event.length);
    event.blocks = link->blocks;
    event.memory = link->table;
    return feed(link, &event);
}

/* ---- link.h: what has happened */

static void feed_received(struct link *link, struct news *news)
{
    demand(link->recv_count > 0, "a SEND without a posted RECV");
    news->event.tag = link->recvs[0].tag;
    memcpy(link->control + link->recvs[0].offset_bytes, news->message, news->event.length);
    trace_message(link->trace, world.now_ns, "received", news->message, news->event.length);
    link->recv_count--;
    memmove(&link->recvs[0], &link->recvs[1], link->recv_count * sizeof(link->recvs[0]));
    demand(feed(link, &news->event) == 0, "RECEIVED refused");
}

static bool is_about_connecting(const struct rdmig_event *event)
{
    return event->kind == RDMIG_EVENT_CONNECT_REQUESTED || event->kind == RDMIG_EVENT_ESTABLISHED ||
           event->kind == RDMIG_EVENT_STARTED;
}

void link_process(struct link *link)
{
    struct rdmig_event time = {.kind = RDMIG_EVENT_TIME_PASSED};
    uint64_t signals;

    if (link->is_signalled)
        (void)!read(link->fd, &signals, sizeof(signals));
    link->is_signalled = false;
    /* One piece of news a call: every test then sees every order of processing and advancing. */
    if (link->news_count > 0 && !link->is_dead) {
        struct news news = link->news[link->news_first];

        link->news_first = (link->news_first + 1) % NEWS_COUNT;
        link->news_count--;
        /* What comes for a link that has closed, or crosses its closing, is dropped by real links
         * too. */
        if (link->is_closed || (rdmig_conn_failure(link->conn) && is_about_connecting(&news.event)))
            news.event.kind = RDMIG_EVENT_TIME_PASSED;
        if (news.event.kind == RDMIG_EVENT_RECEIVED)
            feed_received(link, &news);
        else
            demand(feed(link, &news.event) == 0, "news refused");
        free(news.message);
        if (link->news_count > 0)
            signal_fd(link);
    }
    if (rdmig_conn_deadline_ns(link->conn) <= world.now_ns)
        (void)feed(link, &time);
}

/* ---- link.h: what must be done */

/* Its queue pair answers nothing any more, or there is none. */
static bool is_reachable(const struct link *peer)
{
    return peer && !peer->is_dead && !peer->has_left;
}

static void leave_unanswered(struct link *link, uint64_t tag)
{
    demand(link->unanswered_count < NEWS_COUNT, "too much work unanswered");
    link->unanswered[link->unanswered_count++] = tag;
}

static void send_message(struct link *link, const struct rdmig_action *action)
{
    struct link *peer = peer_of(link);
    const uint8_t *bytes = link->control + action->memory_offset_bytes;
    const struct rdmig_event event = {.kind = RDMIG_EVENT_RECEIVED, .length = action->length};
    uint8_t *copy;

    if (link->is_dead)
        return;
    trace_message(link->trace, world.now_ns, "send", bytes, action->length);
    world.counts.message_counts[bytes[7] % RDMIG_MESSAGE_TYPE_COUNT]++;
    if (is_reachable(peer)) {
        copy = malloc(action->length);
        memcpy(copy, bytes, action->length);
        tell(peer, &event, copy);
        answer(link, action->tag, RDMIG_STATUS_OK, 0, 0);
    } else {
        leave_unanswered(link, action->tag);
    }
    if (link->messages_left > 0 && --link->messages_left == 0)
        pair_kill(link->role, false);
}

static bool is_writable(const struct link *link, const struct rdmig_action *action)
{
    for (uint32_t i = 0; i < link->region_count; i++) {
        const struct region *region = &link->regions[i];

        if (region->is_live && region->rkey == action->rkey &&
            action->remote_addr >= region->start_addr &&
            action->remote_addr + action->length <= region->start_addr + region->length_bytes)
            return true;
    }
    return false;
}

static void write_remote(struct link *link, const struct rdmig_action *action)
{
    struct link *peer = peer_of(link);

    if (link->is_dead || !is_reachable(peer)) {
        leave_unanswered(link, action->tag);
        return;
    }
    demand(!peer->is_remote_write_revoked, "a write after the hand-over");
    demand(is_writable(peer, action), "a write outside a live region");
    memcpy((void *)(uintptr_t)action->remote_addr,
           (const void *)(uintptr_t)(link->blocks[action->block_index].host_addr +
                                     action->offset_bytes),
           action->length);
    world.counts.write_count++;
    world.counts.write_bytes += action->length;
    if (action->is_signalled)
        answer(link, action->tag, RDMIG_STATUS_OK, 0, 0);
}

static struct region *free_region(struct link *link)
{
    uint32_t i = 0;

    while (i < link->region_count && link->regions[i].is_live)
        i++;
    demand(i < REGION_COUNT, "too many regions");
    if (i == link->region_count)
        link->region_count++;
    return &link->regions[i];
}

static void make_region(struct link *link, const struct rdmig_action *action)
{
    struct region *region;

    if (link->register_fault != 0) {
        if (link->failed.length_bytes == 0) /* the first, as the real one */
            link->failed = (struct link_failed_region){.block_index = action->block_index,
                                                       .offset_bytes = action->offset_bytes,
                                                       .length_bytes = action->length,
                                                       .os_code = link->register_fault};
        answer(link, action->tag, RDMIG_STATUS_ERROR, link->register_fault, 0);
        return;
    }
    region = free_region(link);
    *region = (struct region){action->region, world.next_rkey++,
                              link->blocks[action->block_index].host_addr + action->offset_bytes,
                              action->length, true};
    link->pinned_bytes += action->length;
    if (link->pinned_bytes > link->pinned_bytes_max)
        link->pinned_bytes_max = link->pinned_bytes;
    answer(link, action->tag, RDMIG_STATUS_OK, 0, region->rkey);
}

static void drop_region(struct link *link, const struct rdmig_action *action)
{
    for (uint32_t i = 0; i < link->region_count; i++) {
        struct region *region = &link->regions[i];

        if (!region->is_live || region->number != action->region)
            continue;
        region->is_live = false;
        link->pinned_bytes -= region->length_bytes;
        answer(link, action->tag, RDMIG_STATUS_OK, 0, 0);
        return;
    }
    demand(false, "DEREGISTER of a region that is not there");
}

static void connect_ends(struct link *link, const struct rdmig_action *action,
                         enum rdmig_event_kind kind)
{
    struct link *peer = peer_of(link);
    struct rdmig_event event = {.kind = kind, .bytes = NULL, .length = action->length};
    /* The bytes have to outlive the queue; one buffer a direction is enough for one connection. */
    static uint8_t private_data[2][RDMIG_PRIVATE_DATA_BYTES_MAX];

    if (!peer || peer->is_dead || link->is_dead) {
        event.kind = RDMIG_EVENT_UNREACHABLE;
        tell(link, &event, NULL);
        return;
    }
    demand(action->length <= RDMIG_PRIVATE_DATA_BYTES_MAX, "private data");
    memcpy(private_data[link->role], action->bytes, action->length);
    if (world.is_pipeline_hidden && kind == RDMIG_EVENT_CONNECT_REQUESTED) {
        private_data[link->role][5] &= 0xfe; /* bit 16 of the flags, at 4, big-endian */
        event.length = RDMIG_PRIVATE_DATA_BYTES;
    }
    event.bytes = private_data[link->role];
    tell(peer, &event, NULL);
    if (kind == RDMIG_EVENT_ESTABLISHED)
        tell_kind(link, RDMIG_EVENT_ESTABLISHED);
}

static uint32_t arrived_count(const struct link *link)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < link->news_count; i++)
        count += link->news[(link->news_first + i) % NEWS_COUNT].event.kind == RDMIG_EVENT_RECEIVED;
    return count;
}

/* What has arrived is in the completion queue, and is told before what is given back. */
static void leave(struct link *link)
{
    const uint32_t kept_count = arrived_count(link);

    link->has_left = true;
    for (uint32_t i = kept_count; i < link->recv_count; i++)
        answer(link, link->recvs[i].tag, RDMIG_STATUS_FLUSHED, 0, 0);
    if (link->recv_count > kept_count)
        link->recv_count = kept_count;
    for (uint32_t i = 0; i < link->unanswered_count; i++)
        answer(link, link->unanswered[i], RDMIG_STATUS_FLUSHED, 0, 0);
    link->unanswered_count = 0;
    if (peer_of(link) && !link->is_dead)
        tell_kind(peer_of(link), RDMIG_EVENT_DISCONNECTED);
}

static void probe(struct link *link, const struct rdmig_action *action)
{
    if (!link->is_dead && is_reachable(peer_of(link)))
        answer(link, action->tag, RDMIG_STATUS_OK, 0, 0);
    else
        leave_unanswered(link, action->tag);
}

/* True: it was for the hardware. */
static bool carry_out(struct link *link, const struct rdmig_action *action)
{
    switch (action->kind) {
    case RDMIG_ACTION_POST_RECV:
        link->recvs[link->recv_count].tag = action->tag;
        link->recvs[link->recv_count++].offset_bytes = action->memory_offset_bytes;
        return true;
    case RDMIG_ACTION_CONNECT:
        connect_ends(link, action, RDMIG_EVENT_CONNECT_REQUESTED);
        return true;
    case RDMIG_ACTION_ACCEPT:
        connect_ends(link, action, RDMIG_EVENT_ESTABLISHED);
        return true;
    case RDMIG_ACTION_POST_SEND:
        send_message(link, action);
        return true;
    case RDMIG_ACTION_POST_WRITE:
        write_remote(link, action);
        return true;
    case RDMIG_ACTION_POST_PROBE:
        probe(link, action);
        return true;
    case RDMIG_ACTION_REGISTER:
        make_region(link, action);
        return true;
    case RDMIG_ACTION_DEREGISTER:
        drop_region(link, action);
        return true;
    case RDMIG_ACTION_DISCONNECT:
        leave(link);
        return true;
    case RDMIG_ACTION_NOTIFY_ESTABLISHED:
        link->is_connected = true;
        return false;
    case RDMIG_ACTION_NOTIFY_CLOSED:
        link->is_closed = true;
        return false;
    default:
        return false;
    }
}

bool link_next_action(struct link *link, struct rdmig_action *action)
{
    while (rdmig_conn_next_action(link->conn, action)) {
        if (trace_has(link->trace, UINT32_MAX))
            trace_action(link->trace, world.now_ns, action);
        if (!carry_out(link, action))
            return true;
    }
    return false;
}

/* ---- link.h: questions */

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
    return link->is_closed;
}

void link_revoke_remote_write(struct link *link)
{
    link->is_remote_write_revoked = true;
}

uint16_t link_port(const struct link *link)
{
    (void)link;
    return 4444;
}

void link_stats(const struct link *link, struct link_stats *out)
{
    *out = (struct link_stats){.is_relaxed = link->is_relaxed,
                               .is_on_demand = link->is_on_demand,
                               .pinned_bytes = link->pinned_bytes,
                               .pinned_bytes_max = link->pinned_bytes_max};
}

void link_explain(const struct link *link, struct rdmig_error *error)
{
    const struct rdmig_failure *failure = rdmig_conn_failure(link->conn);
    static const struct rdmig_failure removed = {.reason = RDMIG_REASON_DEVICE};

    if (world.is_provide_failing[link->role])
        failure = &removed;
    if (error->reason != RDMIG_REASON_NONE || !failure)
        return;
    error->reason = failure->reason;
    error->os_code = failure->os_code;
    snprintf(error->detail, sizeof(error->detail), "%s", rdmig_reason_name(failure->reason));
    snprintf(error->remedy, sizeof(error->remedy), "look into the test");
}
