/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * libibverbs and librdmacm for tests without a device. Link it instead of them. A test scripts what
 * the device and the peer do (connection events, completions, failures) and reads back what the
 * code under test asked for. Wrong use (an object destroyed twice or before what depends on it, an
 * event acknowledged twice, a full queue) fails the test at once.
 */
#ifndef RDMIG_TESTS_VERBS_MOCK_H
#define RDMIG_TESTS_VERBS_MOCK_H

#include <rdma/rdma_cma.h>
#include <stdbool.h>
#include <stdint.h>

#define MOCK_WORK_COUNT    1024
#define MOCK_CALLS_BYTES   16384
#define MOCK_REGION_COUNT  256
#define MOCK_OPTION_COUNT  32
#define MOCK_CONNECT_COUNT 16

/* A work request as it was posted. */
struct mock_work {
    bool is_receive;
    bool is_done;  /* completed; a success stands for the sends before it */
    unsigned list; /* which call it came in, from 1, sends and receives counted together */
    uint64_t wr_id;
    enum ibv_wr_opcode opcode;
    unsigned send_flags;
    int piece_count;
    struct ibv_sge piece;
    uint64_t remote_addr;
    uint32_t rkey;
    uint32_t imm_data;
};

struct mock_region {
    void *addr;
    size_t length;
    unsigned access;
    uint32_t lkey;
    uint32_t rkey;
    bool is_live;
};

struct mock_option {
    int level;
    int name;
    int value;
};

/* A connect, accept or reject as it was asked for. */
struct mock_connect {
    const char *call;
    struct rdma_conn_param param;
    uint8_t private_data[256];
};

/* What can be alive, for mock_live_count(). */
enum mock_kind {
    MOCK_CHANNEL,
    MOCK_ID,
    MOCK_PAIR,
    MOCK_PD,
    MOCK_COMP_CHANNEL,
    MOCK_CQ,
    MOCK_REGION,
    MOCK_CM_EVENT, /* taken, not acknowledged */
    MOCK_CONTEXT,  /* opened with ibv_open_device() */
    MOCK_DEVICE_LIST,
    MOCK_KIND_COUNT
};

struct mock {
    /* For the test to set. */
    struct ibv_device_attr limits;
    struct ibv_odp_caps odp_caps;
    unsigned access_refused; /* registering with any of these flags fails, with access_errno */
    int access_errno;
    struct ibv_port_attr ports[4];
    struct ibv_gid_entry gids[64];
    unsigned gid_count;
    int device_count; /* in ibv_get_device_list(); -1: it fails */
    int device_list_errno;
    unsigned pair_depth_max; /* rdma_create_qp() with more fails with ENOMEM; 0: no limit */
    uint16_t port;           /* of a listener with port 0 */
    int poll_result;         /* if not 0: what ibv_poll_cq() returns instead */
    int notify_result;       /* what ibv_req_notify_cq() returns */
    uint64_t clock_ns;       /* what time it is to the adapter; 0: as it is */
    uint64_t region_ns;      /* how far making or taking apart a region moves it */

    /* For the test to read. */
    struct mock_work works[MOCK_WORK_COUNT];
    unsigned work_count;
    unsigned list_count;
    struct mock_region regions[MOCK_REGION_COUNT];
    unsigned region_count;
    struct mock_option options[MOCK_OPTION_COUNT];
    unsigned option_count;
    struct mock_connect connects[MOCK_CONNECT_COUNT];
    unsigned connect_count;
    struct ibv_qp_init_attr pair_attributes; /* of the last queue pair */
    unsigned pair_rnr_timer;
    unsigned pair_access_flags; /* what the peer may do; all of it at first */
    int cq_depths[2];           /* of the last two completion queues: send, receive */
    struct rdma_cm_id *id;      /* the last one that was made or connected to us */
    struct rdma_cm_id *listen_id;
    struct sockaddr_storage resolved; /* of the last rdma_resolve_addr() */
    int resolve_ms;
    struct sockaddr_storage bound[4]; /* of each rdma_bind_addr() */
    unsigned bound_count;
    char calls[MOCK_CALLS_BYTES]; /* every call's name, a blank after each */
    unsigned call_count;          /* calls that can fail */
};

extern struct mock mock;

/* A fresh world: one good device, nothing alive. Call it first in every test. */
void mock_reset(void);
/* Fails the test when anything is still alive or any event was not acknowledged. */
void mock_assert_clean(void);
unsigned mock_live_count(enum mock_kind kind);

/* The call of this name fails with this errno from now on (NULL: none does any more). */
void mock_fail(const char *call, int code);
/* The n-th call that can fail (from 1) fails; with is_persistent every later one as well. 0: none.
 */
void mock_fail_nth(unsigned n, bool is_persistent);

/* How often a call was made; calls are not cut at the end of the log. */
unsigned mock_count(const char *call);
/* True when the first call of `earlier` stands before the first one of `later`. */
bool mock_is_before(const char *earlier, const char *later);

/* The addresses that getaddrinfo() gives for "several", numeric, in this order; it knows numeric
 * hosts by itself. */
void mock_set_addresses(const char *const *hosts, unsigned count);

/* The peer or the connection manager does something. data may be NULL although length is not 0. */
void mock_event(enum rdma_cm_event_type type, int status, const void *data, uint8_t length);
void mock_event_for(struct rdma_cm_id *id, enum rdma_cm_event_type type, int status,
                    const void *data, uint8_t length);
/* A connection request arrives at the listener; returns its identifier. */
struct rdma_cm_id *mock_request(const void *data, uint8_t length);

/* The hardware finishes a work request. */
void mock_complete_send(uint64_t wr_id, enum ibv_wc_status status);
void mock_complete_receive(uint64_t wr_id, enum ibv_wc_status status, uint32_t byte_count);
/* Successes that say of themselves to be something else than a plain SEND, or what was posted. */
void mock_complete_receive_as(uint64_t wr_id, enum ibv_wc_opcode opcode, unsigned wc_flags,
                              uint32_t byte_count);
void mock_complete_send_as(uint64_t wr_id, enum ibv_wc_opcode opcode);
/* Every receive and send that is out is flushed, as after an error; unsignalled ones too. */
void mock_flush_all(void);

/* The device is an iWARP one. */
void mock_set_iwarp(void);

/* The next ibv_post_send() takes `taken` requests and returns this code; once. */
void mock_post_send_result(unsigned taken, int code);
void mock_post_recv_result(int code);

#endif
