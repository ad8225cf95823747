/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The verbs adapter: one link = one core connection carried out on rdma_cm and libibverbs. It turns
 * rdma_cm events, completions and the clock into core events, and the core's transport actions into
 * verbs calls. It decides nothing about the protocol. Actions that are for the application
 * (NOTIFY_*, REQUEST_BLOCKS, DELIVER_STREAM, FILL_RANGE, END_ROUND) are passed on to the owner, in
 * the core's order.
 */
#ifndef RDMIG_VERBS_LINK_H
#define RDMIG_VERBS_LINK_H

#include "trace.h"

#include <rdmig/core.h>
#include <rdmig/rdmig.h>

struct link;

struct link_config {
    /* Source: where to; destination: where to listen, NULL or "": every address. */
    const char *host;
    const char *service; /* port number or name; destination: "0" lets the kernel choose */
    /* send_queue_depth 0 lets the link choose from the device's limits; connect_timeout_ns covers
     * all addresses. */
    struct rdmig_conn_config conn;
    /* How guest RAM is registered, where device and kernel do so; link_stats() tells. */
    bool is_relaxed_wanted;    /* relaxed ordering */
    bool is_on_demand_wanted;  /* on-demand paging instead of pinning */
    const struct trace *trace; /* the owner's, which may change it at any time; NULL: none */
};

struct link_stats {
    uint64_t pinned_bytes;
    uint64_t pinned_bytes_max;
    uint64_t region_count; /* live now, control memory included */
    bool is_relaxed;       /* guest RAM is being registered so, as far as it is known */
    bool is_on_demand;
    char device_name[64]; /* "" before one is known */
};

/*
 * Looks the name up (the only call that may block, on a DNS server), makes the event channel and
 * the fd, and starts: source: resolves the first address; destination: listens. config and its
 * strings are copied. Fills *error and returns -SYSTEM/-MEMORY/-INVALID on failure.
 */
int link_create(struct link **out, const struct link_config *config, struct rdmig_error *error);

/* An epoll descriptor over the rdma_cm channel, the completion channels and a timer. */
int link_fd(const struct link *link);

/*
 * Takes in what has happened: rdma_cm events (each acknowledged at once), completions of both
 * queues (drained before a DISCONNECTED is fed), the timer. Every one becomes a core event. Never
 * blocks; bounded work per call.
 */
void link_process(struct link *link);

/*
 * Carries out the core's actions until one is for the application: *action, true; or none is left:
 * false (posted writes are on the wire then and the timer is set to the core's deadline). Also
 * false, with the fd readable, once 5 ms have gone into memory regions since link_process(): no
 * action is taken before the next one, so that completions are seen in between. Action
 * bytes stay valid until the next link_process(), link_next_action() or link_step(); those of
 * DELIVER_STREAM until they are consumed. Before NOTIFY_ESTABLISHED a source hears of one thing
 * only: NOTIFY_CLOSED, once no address is left; the core may have no failure then: link_explain()
 * has. A link always ends with NOTIFY_CLOSED.
 */
bool link_next_action(struct link *link, struct rdmig_action *action);

/*
 * rdmig_conn_step() with now_ns filled in. Before link_is_connected() a source takes
 * CANCEL_REQUESTED only (-STATE otherwise): NOTIFY_CLOSED follows. -FAILED after an end of the
 * link's own.
 */
int link_step(struct link *link, struct rdmig_event *event);

/* Where guest RAM is: needed for REGISTER and POST_WRITE. Feeds BLOCKS_PROVIDED to the core with
 * table memory of the link's own. blocks is copied. Once, in any state before the end. */
int link_provide_blocks(struct link *link, const struct rdmig_block *blocks, uint32_t block_count);

/*
 * Destination, before the guest runs here: from the return on nothing that the peer does reaches
 * guest RAM. Messages still arrive and are acknowledged, so the source hears that it has handed
 * over. Takes a call of the driver; where queue pairs cannot have write access taken away (iWARP),
 * as long as deregistering all regions does.
 */
void link_revoke_remote_write(struct link *link);

const struct rdmig_conn *
link_conn(const struct link *link);              /* never NULL; another one with each address */
bool link_is_connected(const struct link *link); /* NOTIFY_ESTABLISHED has been passed on */
bool link_is_closed(const struct link *link);    /* nothing will come any more */
uint64_t link_now_ns(void);                      /* CLOCK_MONOTONIC */
uint16_t link_port(const struct link *link);     /* destination: the port it listens on */
void link_stats(const struct link *link, struct link_stats *out);

/*
 * After a failure: the cause in words with names and numbers: what the core's failure says, plus
 * what only the adapter knows (address tried, device, errno text, completion status text,
 * RLIMIT_MEMLOCK and the bytes needed). error->reason may say more than the core's: ADDRESS, DEVICE
 * or MEMLOCK where those are behind it. Reason NONE: nothing has failed.
 */
void link_explain(const struct link *link, struct rdmig_error *error);

/* The region of guest RAM that could not be made, the first one. False: none. */
struct link_failed_region {
    uint32_t block_index;
    uint64_t offset_bytes;
    uint64_t length_bytes;
    int32_t os_code; /* errno */
};
bool link_failed_region(const struct link *link, struct link_failed_region *out);

/* At once, in any state, without waiting; no byte of guest RAM is reachable for hardware
 * afterwards. NULL is fine. */
void link_destroy(struct link *link);

#endif
