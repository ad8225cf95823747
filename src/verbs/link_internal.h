/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Inside of the verbs adapter. One struct link, and one file per concern:
 * None calls one that stands after it here (ci/layers):
 *   clock.c       what time it is
 *   memlock.c     the limit on locked memory
 *   trace.c       lines for a caller's trace
 *   causes.c      each reason in words
 *   devices.c     what devices this host has
 *   address.c     the addresses a name has, and what became of each
 *   explain.c     a failure in words
 *   step.c        steps of the core
 *   region.c      memory regions of guest RAM
 *   post.c        the send list: what is waiting, what the hardware has, what came back
 *   queue.c       protection domain, completion queues, queue pair; completions
 *   identifier.c  the connection's rdma_cm identifier
 *   timer.c       when the descriptor becomes readable by itself
 *   ending.c      the ends that the core does not know
 *   attempt.c     a source's attempts to connect, one address after the other
 *   cm.c          rdma_cm events; listening, accepting, disconnecting
 *   link.c        life of a link; events in, actions out
 */
#ifndef RDMIG_VERBS_LINK_INTERNAL_H
#define RDMIG_VERBS_LINK_INTERNAL_H

#include "core/steps.h"
#include "link.h"

#include <rdma/rdma_cma.h>
#include <sys/socket.h>

#define LINK_ADDRESS_COUNT_MAX 16u
#define LINK_HOST_BYTES        256u /* a DNS name is at most 253 */
#define LINK_SERVICE_BYTES     64u
#define LINK_ADDRESS_BYTES     80u
#define LINK_CAUSE_BYTES       160u
#define LINK_PRIVATE_BYTES     256u /* rdma_cm counts private data in a byte */

#define LINK_WRITE_BYTES    (UINT64_C(4) << 20) /* the core's default for one RDMA Write */
#define LINK_SEND_DEPTH     256u
#define LINK_SEND_LIST_MAX  64u        /* work requests handed to the provider in one call */
#define LINK_DRAIN_ID       UINT64_MAX /* wr_id of the marker behind everything that was posted */
#define LINK_POLL_COUNT     16         /* completions taken in one poll */
#define LINK_CM_EVENT_COUNT 16u        /* rdma_cm events taken in one link_process() */
#define LINK_NS_PER_MS      UINT64_C(1000000)
#define LINK_NS_PER_S       UINT64_C(1000000000)
/*
 * Registering and deregistering between two looks at the completions: no new region is begun
 * after so long. What is in flight (32 MiB, less with a command near) lasts a 40 Gb/s link 6 ms.
 */
#define LINK_BUSY_NS_MAX (5 * LINK_NS_PER_MS)

enum link_state {
    LINK_LISTENING,         /* destination; core idle */
    LINK_RESOLVING_ADDRESS, /* source; core idle */
    LINK_RESOLVING_ROUTE,   /* source; core idle */
    LINK_CONNECTING,        /* source; core started */
    LINK_ACCEPTING,         /* destination; core started */
    LINK_ESTABLISHED,
    LINK_CLOSING, /* we have disconnected, or the peer has; completions still come in */
    LINK_CLOSED,
    LINK_STATE_COUNT
};

#define LINK_STEPS(STEP)                                                                           \
    STEP(LINK_LISTENING, LINK_ACCEPTING, "CONNECT_REQUEST")                                        \
    STEP(LINK_RESOLVING_ADDRESS, LINK_RESOLVING_ROUTE, "ADDR_RESOLVED")                            \
    STEP(LINK_RESOLVING_ROUTE, LINK_CONNECTING, "ROUTE_RESOLVED")                                  \
    STEP(LINK_RESOLVING_ROUTE, LINK_RESOLVING_ADDRESS, "failed: next address")                     \
    STEP(LINK_CONNECTING, LINK_ESTABLISHED, "ESTABLISHED")                                         \
    STEP(LINK_ACCEPTING, LINK_ESTABLISHED, "ESTABLISHED")                                          \
    STEP(LINK_RESOLVING_ADDRESS, LINK_CLOSING, "cancelled")                                        \
    STEP(LINK_RESOLVING_ROUTE, LINK_CLOSING, "cancelled")                                          \
    STEP(LINK_CONNECTING, LINK_CLOSING, "failed, or given up")                                     \
    STEP(LINK_ACCEPTING, LINK_CLOSING, "failed, or given up")                                      \
    STEP(LINK_ESTABLISHED, LINK_CLOSING, "disconnected")                                           \
    STEP(LINK_CLOSING, LINK_RESOLVING_ADDRESS, "source: next address")                             \
    STEP(LINK_LISTENING, LINK_CLOSED, "core closed, or local failure")                             \
    STEP(LINK_RESOLVING_ADDRESS, LINK_CLOSED, "core closed, or local failure")                     \
    STEP(LINK_RESOLVING_ROUTE, LINK_CLOSED, "core closed, or local failure")                       \
    STEP(LINK_CONNECTING, LINK_CLOSED, "core closed, or local failure")                            \
    STEP(LINK_ACCEPTING, LINK_CLOSED, "core closed, or local failure")                             \
    STEP(LINK_ESTABLISHED, LINK_CLOSED, "core closed, or local failure")                           \
    STEP(LINK_CLOSING, LINK_CLOSED, "core closed, or local failure")

MACHINE_DEFINE(link, LINK_STEPS)

/* Why something could not be set up, until somebody decides whether that ends the link. */
struct link_cause {
    enum rdmig_reason reason;
    int32_t os_code;
    char text[LINK_CAUSE_BYTES];
};

struct link_address {
    struct sockaddr_storage sockaddr;
    socklen_t length;
    char text[LINK_ADDRESS_BYTES]; /* 10.9.0.1:4444 or [fd09::1]:4444 */
    struct link_cause cause;       /* reason NONE: not tried, or not failed */
};

enum link_send_state {
    LINK_SEND_WAITING,  /* in the list, not given to the provider */
    LINK_SEND_POSTED,   /* the hardware has it */
    LINK_SEND_FAILED,   /* the provider refused it: its tag completes with ERROR */
    LINK_SEND_RETURNED, /* it will not be carried out: its tag completes with FLUSHED */
    LINK_SEND_COMPLETED /* nothing is owed for it; its place is free once it is the oldest */
};

struct link_send {
    struct ibv_send_wr request;
    struct ibv_sge piece;
    enum link_send_state state;
    int32_t os_code;
};

struct link_receive {
    uint64_t tag;
    uint64_t memory_offset_bytes;
    bool is_outstanding;
};

/* Everything one connection attempt needs from the device; made for it and destroyed with it. */
struct link_queue {
    struct ibv_pd *pd;
    struct ibv_comp_channel *channel;
    struct ibv_cq *send_cq;
    struct ibv_cq *recv_cq;
    struct ibv_mr *control_mr;
    bool has_pair; /* link->id carries a queue pair */
    /* Events taken, to be acknowledged before the queue is destroyed. */
    unsigned send_cq_event_count;
    unsigned recv_cq_event_count;
    uint32_t depth; /* work requests the core may have outstanding */
    struct link_receive receives[RDMIG_RECV_SLOT_COUNT];
    /* The send list, a ring in the order of the core's actions: first <= unposted <= end, counted
     * without wrapping. */
    struct link_send *sends;
    uint64_t first;
    uint64_t unposted;
    uint64_t end;
    bool is_stalled; /* the provider had no room; try again after the next completion */
    bool has_due;    /* some entry is FAILED or RETURNED */
};

struct link_region {
    struct ibv_mr *mr; /* NULL: none */
    bool is_pinned;    /* not: paged on demand */
};

struct link_regions {
    struct rdmig_block *blocks;
    uint32_t block_count;
    size_t table_bytes;
    void *table_memory;          /* the core's */
    struct link_region *regions; /* by region number */
    uint64_t region_slot_count;
    unsigned optional_access; /* access flags that registering asks for and can do without */
    uint64_t pinned_bytes;    /* control memory included */
    uint64_t pinned_bytes_max;
    uint64_t region_count;
    /* The registration that failed first: what link_explain() needs to judge it. */
    struct link_failed_region failed;
    uint64_t failed_pinned_bytes;
    bool failed_is_memlock;
};

/* The first completion or post that went wrong: the core keeps its number only, which alone is
 * ambiguous. */
enum link_fault_kind {
    LINK_FAULT_NONE,
    LINK_FAULT_REFUSED,    /* posting: os_code is an errno */
    LINK_FAULT_COMPLETION, /* os_code is an enum ibv_wc_status, with vendor_error */
    LINK_FAULT_IMPOSSIBLE  /* a success that cannot be: os_code is its enum ibv_wc_opcode */
};

struct link_fault {
    enum link_fault_kind kind;
    int32_t os_code;
    uint32_t vendor_error;
};

struct link {
    enum link_state state;
    bool is_astray;           /* a step of its state that LINK_STEPS has not got was refused */
    bool is_connected;        /* NOTIFY_ESTABLISHED was passed on */
    bool is_cm_established;   /* rdma_cm said ESTABLISHED: rdma_disconnect() makes sense */
    bool is_notification_due; /* the link ended without the core: NOTIFY_CLOSED is ours to give */
    bool is_device_gone;
    bool is_refused;           /* the core refused a completion: one of the two has miscounted */
    bool is_miscounted;        /* the device has completed what was never posted */
    bool is_queue_unreadable;  /* polling or arming a completion queue failed: nothing comes out of
                                  it any more */
    struct link_config config; /* host and service point into the two arrays */
    char host[LINK_HOST_BYTES];
    char service[LINK_SERVICE_BYTES];
    int epoll_fd;
    int timer_fd;
    uint64_t timer_ns; /* what the timer is set to; RDMIG_NO_DEADLINE: off */
    uint64_t now_ns;
    uint64_t busy_ns;             /* spent on registering and deregistering since link_process() */
    uint64_t connect_deadline_ns; /* source: for all addresses together */
    uint64_t attempt_deadline_ns; /* source: for the present address */

    struct rdma_event_channel *events;
    struct rdma_cm_id *listen_id;
    struct rdma_cm_id *id;
    uint16_t port;
    char device_name[64];
    struct link_address addresses[LINK_ADDRESS_COUNT_MAX];
    uint32_t address_count;
    uint32_t address_index;     /* source: the one being tried. destination: the one listened on */
    uint64_t message_bytes_max; /* of the device's port; 0: not known yet */
    uint8_t responder_resources;
    uint8_t initiator_depth;

    struct link_queue queue;
    struct link_regions regions;
    struct link_fault fault;

    struct rdmig_conn *conn;
    void *conn_memory;
    void *control_memory;
    size_t control_bytes;

    struct rdmig_error own; /* a failure that the core does not know; reason NONE: none */
};

/* link.c ends a link that was astray. */
static inline void link_enter(struct link *link, enum link_state state)
{
    if (is_link_step(link->state, state))
        link->state = state;
    else
        link->is_astray = true;
}

/* An rdma_cm event after it was acknowledged. */
struct cm_event {
    enum rdma_cm_event_type type;
    int status;
    struct rdma_cm_id *id;
    uint8_t private_data[LINK_PRIVATE_BYTES];
    uint32_t private_bytes;
};

/* step.c */
int link_step_core(struct link *link, struct rdmig_event *event);
void link_complete(struct link *link, uint64_t tag, enum rdmig_status status, int32_t os_code);
/* A new core connection in IDLE. False: no memory, or the configuration is out of its limits. */
bool link_restart_core(struct link *link, uint32_t send_queue_depth, uint64_t connect_timeout_ns);
/* BLOCKS_PROVIDED, to the core of the present attempt. */
int link_provide_blocks_to_core(struct link *link);
void link_forget_blocks(struct link *link);

/* timer.c */
void timer_arm(struct link *link);
/* Completions must be looked at before the next region is registered or deregistered. */
bool timer_has_worked_enough(const struct link *link);

/* ending.c */
/* Ends the link for a reason of its own; the owner gets NOTIFY_CLOSED. The first such reason is
 * kept. */
void link_fail(struct link *link, enum rdmig_reason reason, int32_t os_code, const char *detail);
/* The peer or the device has left: pending completions first, then DISCONNECTED, once. */
void link_disconnected(struct link *link);

/* address.c */
int address_look_up(struct link *link, struct rdmig_error *error);
void address_join_causes(const struct link *link, char *text, size_t capacity_bytes);
struct link_address *address_current(struct link *link);

/* attempt.c */
void attempt_start_first(struct link *link);
/* At NOTIFY_CLOSED. True: the next address has been turned to. */
bool attempt_next_address(struct link *link);
void attempt_check_deadline(struct link *link);
void attempt_connect(struct link *link, const struct rdmig_action *action);
/* This attempt is over; both roles. What comes next is decided at the core's NOTIFY_CLOSED, or at
 * once if the core is idle. */
void attempt_end(struct link *link, enum rdmig_status status, int32_t os_code);
void attempt_address_resolved(struct link *link, const struct cm_event *event);
void attempt_address_failed(struct link *link, const struct cm_event *event);
void attempt_route_resolved(struct link *link, const struct cm_event *event);
void attempt_route_failed(struct link *link, const struct cm_event *event);
void attempt_rejected(struct link *link, const struct cm_event *event);
void attempt_unreachable(struct link *link, const struct cm_event *event);
void attempt_connect_failed(struct link *link, const struct cm_event *event);

/* identifier.c */
/* The identifier is this attempt's and has a device now. */
void identifier_adopt(struct link *link, struct rdma_cm_id *id);
/* Gives the identifier up; the queue pair is destroyed by then. */
void identifier_destroy(struct link *link);
/* rdma_cm gives errno values with either sign. */
int32_t identifier_positive(int status);

/* cm.c */
int cm_listen(struct link *link, struct rdmig_error *error);
void cm_process(struct link *link);
void cm_accept(struct link *link, const struct rdmig_action *action);
void cm_reject(struct link *link, const struct rdmig_action *action);
void cm_disconnect(struct link *link, const struct rdmig_action *action);
void cm_abandon(struct link *link, const struct rdmig_action *action);

/* queue.c */
bool queue_create(struct link *link, struct link_cause *cause);
void queue_destroy_pair(struct link *link);
void queue_destroy(struct link *link);
void queue_drain_cq_events(struct link *link);
void queue_poll(struct link *link);

/* post.c */
void post_receive(struct link *link, const struct rdmig_action *action);
void post_send(struct link *link, const struct rdmig_action *action);
void post_write(struct link *link, const struct rdmig_action *action);
void post_probe(struct link *link, const struct rdmig_action *action);
void post_flush(
    struct link *link); /* hands the waiting ones to the provider; never steps the core */
void post_complete_due(struct link *link); /* answers what was refused or is not going to happen */
void post_drain(struct link *link); /* marker behind all posted work of a queue pair in error */
void post_return_waiting(struct link *link);
void post_return_all(
    struct link *link); /* the queue pair is destroyed: all outstanding work is FLUSHED */
void post_take_send(struct link *link, const struct ibv_wc *completion);
void post_take_receive(struct link *link, const struct ibv_wc *completion);

/* region.c */
void region_register(struct link *link, const struct rdmig_action *action);
void region_deregister(struct link *link, const struct rdmig_action *action);
/* What to ask this device for, from now on. */
void region_choose_optional_access(struct link *link, const struct ibv_device_attr_ex *attributes);
void region_count_registered(struct link *link, uint64_t length_bytes, bool is_pinned);
void region_count_deregistered(struct link *link, uint64_t length_bytes, bool is_pinned);
const struct ibv_mr *region_find(const struct link *link, uint32_t region);
bool region_is_range(const struct link *link, uint32_t block_index, uint64_t offset_bytes,
                     uint64_t length_bytes);
/* False: the kernel did not deregister one of them. */
bool region_destroy_all(struct link *link);

/* devices.c */
/* Can guest RAM be paged on demand? At either end it is only RDMA Writes that touch it. */
bool devices_page_on_demand(const struct ibv_device_attr_ex *attributes);

/* causes.c */
#define REMEDY_PEER_LOG "look at the peer's own message: it names the cause"
void explain_cause(struct link_cause *cause, enum rdmig_reason reason, int32_t os_code,
                   const char *format, ...) __attribute__((format(printf, 4, 5)));
void explain_error(struct rdmig_error *error, enum rdmig_reason reason, int32_t os_code,
                   const char *detail);
/* The reason, or INTERNAL for one that causes.c has no words for. */
enum rdmig_reason explain_known(enum rdmig_reason reason);
/* With places to fill in, as causes.c has them. */
const char *explain_detail(enum rdmig_reason reason);

/* explain.c */
bool explain_is_memlock(const struct link *link, uint64_t needed_bytes, int32_t os_code);

#endif
