/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The fabric: two ports (a reliable connected queue pair, its two completion queues, its memory
 * regions, its connection manager, and the CPU of the process that uses it) and the link between.
 *
 * As hardware does it: send-queue entries are carried out in the order of posting and complete in
 * it; a SEND takes the oldest posted receive, and without one the connection breaks (rnr_retry 0);
 * the two completion queues are seen in any order against each other; a queue pair in error gives
 * back all that is posted as FLUSHED. An RDMA Write's pages arrive one by one at times of their own
 * between posting and completion, and a key is looked up when they do.
 *
 * A party is called back (party.h) for each completion and each connection event, never from inside
 * a call of its own. Its CPU time is virtual too: while it is busy, its events wait.
 */
#ifndef SIM_FABRIC_H
#define SIM_FABRIC_H

#include "ram.h"
#include "world.h"

enum completion_status { COMPLETION_OK, COMPLETION_ERROR, COMPLETION_FLUSHED };

struct completion {
    uint64_t id;
    enum completion_status status;
    int32_t os_code;       /* why, for ERROR: a FABRIC_ERROR_ */
    uint32_t length_bytes; /* received */
    bool is_recv;
};

enum {
    FABRIC_ERROR_RETRY = 12,  /* nobody acknowledged */
    FABRIC_ERROR_RNR = 13,    /* no receive was posted there */
    FABRIC_ERROR_ACCESS = 10, /* the key was not good for it */
    FABRIC_ERROR_LOCAL = 4,
    FABRIC_ERROR_LENGTH = 1 /* a message longer than the receive */
};

enum cm_kind {
    CM_CONNECT_REQUESTED, /* destination; with private data */
    CM_ESTABLISHED,       /* source: with private data */
    CM_REJECTED,
    CM_UNREACHABLE,
    CM_DISCONNECTED
};

struct cm_event {
    enum cm_kind kind;
    const uint8_t *bytes; /* valid during the call */
    uint32_t length_bytes;
};

struct port;

struct fabric *fabric_make(struct world *world);
void fabric_free(struct fabric *fabric);
struct port *fabric_port(struct fabric *fabric, enum rdmig_role role);
enum rdmig_role port_role(const struct port *port);
struct world *port_world(const struct port *port);

/* Who watches: told of everything that a port does, as it happens. All must be there; subject is
 * handed on. */
struct write_request;
struct fabric_observer {
    /* CONNECT's or ACCEPT's private data, as the end gave them. */
    void (*private_data)(void *subject, enum rdmig_role from, const uint8_t *bytes,
                         uint32_t length_bytes);
    /* A SEND is posted; bytes are those of the buffer then. */
    void (*send_posted)(void *subject, enum rdmig_role from, const uint8_t *bytes,
                        uint32_t length_bytes);
    /* It arrives at the other end, before the receive completes there. */
    void (*send_arrived)(void *subject, enum rdmig_role from, const uint8_t *bytes,
                         uint32_t length_bytes);
    void (*write_posted)(void *subject, enum rdmig_role from, const struct write_request *request);
    /* The key was not good for it, or no receive was posted: the hardware broke the connection. */
    void (*access_refused)(void *subject, enum rdmig_role from, const struct write_request *request,
                           const char *why);
    void (*receive_missing)(void *subject, enum rdmig_role from);
    /* A buffer changed (send) or was written to (receive) while the hardware had it. */
    void (*buffer_touched)(void *subject, enum rdmig_role role, const char *which);
    void (*queue_overrun)(void *subject, enum rdmig_role role, const char *which);
    void (*registered)(void *subject, enum rdmig_role role, uint32_t block, uint64_t offset_bytes,
                       uint64_t length_bytes, bool is_remote_writable);
    void (*deregistered)(void *subject, enum rdmig_role role, uint32_t block, uint64_t offset_bytes,
                         uint64_t length_bytes);
};
/* Before a port is used. */
void fabric_observe(struct fabric *fabric, const struct fabric_observer *observer, void *subject);

/* The base address of a destination's block: what its REGISTER_RESULT says. Both ends' blocks are
 * those of the world's guest. */
uint64_t fabric_block_addr(const struct fabric *fabric, uint32_t block);
/* Its place in the destination's ram_addr space; not in the order of the blocks. */
uint64_t fabric_block_ram_offset(const struct fabric *fabric, uint32_t block);
/* The same, and the number of faults so far, by who has a port of it. */
uint64_t port_block_addr(const struct port *port, uint32_t block);
uint64_t port_block_ram_offset(const struct port *port, uint32_t block);
uint32_t port_faults_taken(const struct port *port);

/* ---- the CPU of a port's process */

/* It has been busy for so long. What it posts from now on is posted then. */
void port_spend(struct port *port, uint64_t time_ns);
uint64_t port_cpu_ns(const struct port *port); /* in all */
uint64_t
port_time_ns(const struct port *port); /* the process's "now": world time, or later when busy */
/* Time from an event to its handler when the process slept. */
void port_set_wait(struct port *port, uint64_t wait_ns, uint64_t cpu_ns);
/* Calls handler(world, subject, argument) when the time has come and the process is free; never
 * when the process has died. */
void port_at(struct port *port, uint64_t at_ns, world_handler *handler, void *subject,
             uint64_t argument);
/* Something has come that the process has been too busy to look at. */
bool port_has_waiting(const struct port *port);

/* ---- connection */

/* Private data: at most 56 bytes for connect, 196 for accept, padded with zeros to at least
 * options->private_data_bytes. */
void port_connect(struct port *port, const uint8_t *bytes, uint32_t length_bytes);
void port_listen(struct port *port);
void port_accept(struct port *port, const uint8_t *bytes, uint32_t length_bytes);
void port_reject(struct port *port, const uint8_t *bytes, uint32_t length_bytes);
/* Into error at once; everything posted comes back. */
void port_disconnect(struct port *port);
/* Gone; nothing comes back any more, no event either. */
void port_destroy(struct port *port);

/* ---- work; false: the queue is full (send_depth, receive_depth), nothing was posted */

void port_set_depths(struct port *port, uint32_t send_depth, uint32_t receive_depth,
                     uint32_t completion_depth);
bool port_post_recv(struct port *port, uint64_t id, uint8_t *buffer, uint32_t capacity_bytes);
bool port_post_send(struct port *port, uint64_t id, const uint8_t *bytes, uint32_t length_bytes,
                    bool is_signalled);
struct write_request {
    uint64_t id;
    uint32_t local_key;
    uint32_t block; /* at home */
    uint64_t offset_bytes;
    uint64_t length_bytes; /* 0: a probe; keys and addresses do not count then */
    uint64_t remote_addr;
    uint32_t rkey;
    bool is_signalled;
};
bool port_post_write(struct port *port, const struct write_request *request);

/* ---- memory regions; costs are spent by the call */

/* 0: it failed (a fault, or a range outside its block). Touches the pages at the destination's
 * side. */
uint32_t port_register(struct port *port, uint32_t block, uint64_t offset_bytes,
                       uint64_t length_bytes, bool is_remote_writable);
/* False: no such region. */
bool port_deregister(struct port *port, uint32_t key);
/* From now on nothing that the peer does reaches this end's memory. */
void port_shut_out_peer(struct port *port);
uint64_t port_pinned_bytes(const struct port *port);
uint64_t port_pinned_bytes_max(const struct port *port);
uint32_t port_region_count(const struct port *port);

/* ---- what was sent, headers of packets included */
struct port_traffic {
    uint64_t message_count;
    uint64_t message_bytes;
    uint64_t write_count;
    uint64_t write_bytes;
    uint64_t busy_ns; /* the link's time in this direction */
};
void port_traffic(const struct port *port, struct port_traffic *out);

/* True when an RDMA Write of this port, posted and not acknowledged yet, touches the range. */
bool port_has_write_in_flight(const struct port *port, uint32_t block, uint64_t offset_bytes,
                              uint64_t length_bytes);
uint32_t port_receives_posted(const struct port *port);
/* In error, destroyed, or its process dead. */
bool port_is_down(const struct port *port);
/* Its process is dead or frozen for ever: its party will do nothing any more. */
bool port_is_dead(const struct port *port);

/* True once when such a fault of options->faults is due at that end now (never when the world is
 * calm). */
bool fabric_take_fault(struct world *world, enum fault_kind kind, enum rdmig_role role);
/* How many of the planned faults have taken place. */
uint32_t fabric_faults_taken(const struct fabric *fabric);
bool fabric_fault_was_taken(const struct fabric *fabric, uint32_t fault_index);

#endif
