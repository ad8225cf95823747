/* SPDX-License-Identifier: BSD-2-Clause */
/* Inside of the mock: what its files share. Tests use verbs_mock.h. */
#ifndef RDMIG_TESTS_VERBS_MOCK_WORLD_H
#define RDMIG_TESTS_VERBS_MOCK_WORLD_H

#include "verbs_mock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#define MOCK_EVENT_COUNT      64
#define MOCK_COMPLETION_COUNT 8192
#define MOCK_ADDRESS_COUNT    32

struct mock_event_item {
    struct rdma_cm_event event; /* first: rdma_ack_cm_event() gets its address */
    uint8_t data[256];
    bool is_taken;
    bool is_acked;
};

struct mock_cq {
    struct ibv_cq cq; /* first */
    struct ibv_wc items[MOCK_COMPLETION_COUNT];
    unsigned first;
    unsigned end;
    bool is_armed;
    unsigned notice_count; /* in the channel, not taken */
    unsigned owed_count;   /* taken, not acknowledged */
};

struct mock_pair {
    struct ibv_qp qp; /* first */
    unsigned send_out;
    unsigned recv_out;
};

struct mock_world {
    unsigned live[MOCK_KIND_COUNT];
    struct verbs_context verbs; /* what a driver's context is: the plain one is its last member */
    struct ibv_device devices[4];
    struct rdma_event_channel channel;
    struct mock_event_item *events[MOCK_EVENT_COUNT];
    unsigned event_first;
    unsigned event_end;
    struct mock_cq *send_cq;
    struct mock_cq *recv_cq;
    struct mock_pair *pair;
    const char *fail_call;
    int fail_code;
    unsigned fail_nth;
    bool is_fail_persistent;
    const char *hosts[MOCK_ADDRESS_COUNT];
    unsigned host_count;
    bool has_send_result;
    unsigned send_taken;
    int send_code;
    int recv_code;
};
extern struct mock_world mock_world;

/* Counts objects in and out; wrong counts fail the test. */
void mock_made(enum mock_kind kind);
void mock_unmade(enum mock_kind kind, const char *what);
void mock_need_none(enum mock_kind kind, const char *what);
/* Notes a call. */
void mock_note(const char *call);
/* Notes a call that can fail. True: it shall, errno is set. */
bool mock_fails(const char *call);
/* The same for a call that takes down: only mock_fail() makes it fail, mock_fail_nth() does not. */
bool mock_fails_by_name(const char *call);
/* Makes a descriptor readable once more, or once less. */
void mock_ring(int fd);
void mock_unring(int fd);
struct rdma_cm_id *mock_new_id(void *context);

/* The verbs that are reached through the context. */
int mock_query_device_ex(struct ibv_context *context, const struct ibv_query_device_ex_input *input,
                         struct ibv_device_attr_ex *out, size_t out_bytes);
int mock_poll_cq(struct ibv_cq *cq, int count, struct ibv_wc *out);
int mock_req_notify_cq(struct ibv_cq *cq, int solicited_only);
int mock_post_send(struct ibv_qp *qp, struct ibv_send_wr *request, struct ibv_send_wr **bad);
int mock_post_recv(struct ibv_qp *qp, struct ibv_recv_wr *request, struct ibv_recv_wr **bad);

#endif
