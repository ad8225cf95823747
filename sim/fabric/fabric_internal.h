/* SPDX-License-Identifier: BSD-2-Clause */
/* The fabric from inside. From low to high: port.c has the ports' CPUs and which fault is due,
 * regions.c memory and its keys, queue_pair.c the work, manager.c the connection manager, fabric.c
 * what faults do. */
#ifndef SIM_FABRIC_INTERNAL_H
#define SIM_FABRIC_INTERNAL_H

#include "fabric.h"
#include "guest.h"
#include "party.h"

#define NEVER_NS UINT64_MAX
enum {
    PRIVATE_DATA_BYTES_MAX = 256,
    PARTIAL_PAGES = 4096,
    PARTIAL_PROBES = 32,
    DIGEST_RECV_BYTES = 64,
    DIGEST_SEND_BYTES = 1024
};

enum port_state {
    PORT_IDLE,
    PORT_LISTENING,
    PORT_CONNECTING, /* source: asked. destination: was asked */
    PORT_UP,
    PORT_ERROR,
    PORT_GONE
};

enum process_state { PROCESS_ALIVE, PROCESS_FROZEN, PROCESS_DEAD };

enum work_kind { WORK_SEND, WORK_WRITE };

struct work {
    enum work_kind kind;
    bool is_signalled;
    bool is_doomed; /* fails at home: a fault */
    uint64_t id;
    const uint8_t *bytes; /* SEND */
    uint32_t length_bytes;
    uint64_t digest;
    struct write_request write;
    /* Pages that arrive ahead of the rest. */
    uint64_t early_start_bytes;
    uint64_t early_end_bytes;
    bool is_early_done;
};

struct receive {
    uint64_t id;
    uint8_t *buffer;
    uint32_t capacity_bytes;
    uint64_t digest;
};

struct completion_queue {
    struct completion *entries; /* ring */
    uint32_t capacity;
    uint32_t count;
    uint32_t first;
};

enum { QUEUE_SEND, QUEUE_RECV, QUEUE_COUNT };

struct region {
    uint64_t offset_bytes;
    uint64_t length_bytes;
    uint32_t block;
    bool is_alive;
    bool is_remote_writable;
};

struct port {
    struct fabric *fabric;
    struct party *party;
    enum rdmig_role role;
    enum port_state state;
    enum process_state process;
    /* CPU. */
    uint64_t ready_ns; /* busy, or on its way to wake up, until then */
    uint64_t cpu_ns;
    uint64_t wait_ns;
    uint64_t wait_cpu_ns;
    struct call *first_waiting; /* for the process to be free, in this order */
    struct call *last_waiting;
    bool is_attending_planned;
    /* Send queue: numbers count up for ever; the ring has send_depth places. */
    struct work *works;
    uint32_t send_depth;
    uint64_t head;      /* next to be posted */
    uint64_t due;       /* before it: their time to arrive has come */
    uint64_t arrived;   /* before it: carried out at the other end */
    uint64_t acked;     /* before it: known to be */
    uint64_t reclaimed; /* before it: their completion has been taken */
    uint64_t tx_free_ns;
    uint64_t last_arrival_ns;
    uint64_t last_ack_ns;
    uint64_t retry_since_ns; /* the oldest waits for an acknowledgement; NEVER_NS: none does */
    bool is_flush_stuck;
    /* Receive queue: a ring of receive_depth places. */
    struct receive *receives;
    uint32_t receive_depth;
    uint32_t receive_first;
    uint32_t receive_count;
    uint32_t completion_depth;
    struct completion_queue queues[QUEUE_COUNT];
    /* Regions: a key is the number of the region, and never used again. */
    struct region *regions;
    uint32_t region_count;
    uint32_t region_capacity;
    uint32_t regions_alive;
    bool is_peer_shut_out;
    uint64_t pinned_bytes;
    uint64_t pinned_bytes_max;
    /* Connection manager. */
    uint8_t private_data[PRIVATE_DATA_BYTES_MAX]; /* that the other end will see */
    uint32_t private_data_bytes;
    uint64_t last_event_ns; /* events come in the order in which they happened */
    bool is_disconnect_told;
    struct port_traffic traffic;
};

/* A page that has arrived in part. */
struct partial_page {
    uint64_t page;
    uint32_t block;
    uint32_t token;
    uint32_t start_bytes;
    uint32_t end_bytes;
};

struct call {
    struct port *port;
    world_handler *handler;
    void *subject;
    uint64_t argument;
    struct call *next; /* free, or waiting for the process */
};

struct fabric {
    struct world *world;
    struct port ports[2];
    uint64_t block_addr[OPTION_BLOCKS_MAX];
    uint64_t ram_offset[OPTION_BLOCKS_MAX];
    uint64_t block_bytes[OPTION_BLOCKS_MAX];
    uint32_t block_count;
    uint64_t down_until_ns;       /* the link; 0: up, NEVER_NS: for ever */
    struct partial_page *partial; /* hashed; NULL: none yet */
    bool is_fault_taken[OPTION_FAULTS_MAX];
    void (*apply_faults)(struct fabric *); /* fabric.c's, for those below */
    const struct fabric_observer *observer;
    void *observer_subject;
    struct call *free_calls;
    struct call **call_slabs;
    uint32_t slab_count;
};

#define FABRIC_TELL(fabric, what, ...)                                                             \
    ((fabric)->observer->what((fabric)->observer_subject, __VA_ARGS__))

struct port *fabric_peer(const struct port *port);
bool fabric_is_link_down(const struct fabric *fabric);
/* Those that strike by themselves and are due. */
void fabric_apply_faults(struct fabric *fabric);
bool fabric_is_exact(
    const struct fabric *fabric); /* small world: delays and early pages are drawn */

/* queue_pair.c */
void queue_pair_free(struct port *port);
void queue_pair_fail(struct port *port);  /* into error: everything comes back */
void queue_pair_pump(struct port *port);  /* what waited for the link, or for the peer */
void queue_pair_drain(struct port *port); /* hands up every completion there is */

/* regions.c */
void regions_free(struct port *port);
const struct region *regions_find(const struct port *port, uint32_t key);
/* The key is good for the whole request, at home and there: NULL, or why not. */
const char *regions_check(const struct port *port, const struct write_request *request);
void regions_place(const struct port *port, const struct write_request *request,
                   uint64_t start_bytes, uint64_t end_bytes);

/* manager.c */
void manager_tell(struct port *port, enum cm_kind kind, uint64_t delay_ns);
void manager_leave(struct port *port, bool is_peer_told);

#endif
