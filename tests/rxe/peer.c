/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A peer that only makes a connection, with private data as told, as no real program sends it.
 *
 *   peer connect ADDRESS PORT VERSION LENGTH   as a source; exit 0: the destination rejected it
 *   peer listen ADDRESS PORT VERSION LENGTH    as a destination, says "listening" and accepts;
 *                                              exit 0: the source went away again
 *   peer write-imm|send-imm ADDRESS PORT VERSION LENGTH
 *                                              as a source that is taken, and then uses a RECV up
 *                                              with an RDMA Write of nothing with immediate data,
 *                                              or a SEND with such; exit 0: it was told ERROR
 * LENGTH bytes of private data are given to the connection manager, which pads with zeros.
 * Prints each event. Nothing here waits longer than LIMIT_SECONDS.
 */
#include <arpa/inet.h>
#include <rdma/rdma_cma.h>
#include <rdma/rdma_verbs.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    LIMIT_SECONDS = 300,
    RESOLVE_MS = 30000,
    PRIVATE_BYTES = 8,
    RECV_COUNT = 4,
    RECV_BYTES = 64,
    MESSAGE_ERROR = 1
};

struct peer {
    struct rdma_event_channel *channel;
    struct rdma_cm_id *id;
    struct sockaddr_in address;
    uint8_t private_data[PRIVATE_BYTES];
    struct rdma_conn_param parameters;
};

static void die(const char *what)
{
    perror(what);
    exit(2);
}

/* The next event; a request's new id is left in *id. */
static enum rdma_cm_event_type next_event(struct peer *peer, struct rdma_cm_id **id)
{
    struct rdma_cm_event *event;
    enum rdma_cm_event_type type;

    if (rdma_get_cm_event(peer->channel, &event) != 0)
        die("rdma_get_cm_event");
    type = event->event;
    printf("%s, status %d\n", rdma_event_str(type), event->status);
    if (id)
        *id = event->id;
    rdma_ack_cm_event(event);
    return type;
}

static void expect(struct peer *peer, enum rdma_cm_event_type wanted, struct rdma_cm_id **id)
{
    if (next_event(peer, id) != wanted) {
        printf("%s was due\n", rdma_event_str(wanted));
        exit(1);
    }
}

static void make_queue_pair(struct rdma_cm_id *id)
{
    struct ibv_qp_init_attr attributes = {
        .qp_type = IBV_QPT_RC,
        .cap = {.max_send_wr = 1, .max_recv_wr = RECV_COUNT, .max_send_sge = 1, .max_recv_sge = 1},
    };

    if (rdma_create_qp(id, NULL, &attributes) != 0)
        die("rdma_create_qp");
}

static void connect_pair(struct peer *peer)
{
    if (rdma_resolve_addr(peer->id, NULL, (struct sockaddr *)&peer->address, RESOLVE_MS) != 0)
        die("rdma_resolve_addr");
    expect(peer, RDMA_CM_EVENT_ADDR_RESOLVED, NULL);
    if (rdma_resolve_route(peer->id, RESOLVE_MS) != 0)
        die("rdma_resolve_route");
    expect(peer, RDMA_CM_EVENT_ROUTE_RESOLVED, NULL);
    make_queue_pair(peer->id);
}

static int connect_peer(struct peer *peer)
{
    connect_pair(peer);
    if (rdma_connect(peer->id, &peer->parameters) != 0)
        die("rdma_connect");
    expect(peer, RDMA_CM_EVENT_REJECTED, NULL);
    return 0;
}

/* What no source of the protocol does. */
static void post_foreign(struct peer *peer, struct ibv_mr *mr, bool is_write)
{
    struct ibv_sge piece = {
        .addr = (uintptr_t)mr->addr, .length = is_write ? 0 : 16, .lkey = mr->lkey};
    struct ibv_send_wr request = {
        .opcode = is_write ? IBV_WR_RDMA_WRITE_WITH_IMM : IBV_WR_SEND_WITH_IMM,
        .send_flags = IBV_SEND_SIGNALED,
        .sg_list = &piece,
        .num_sge = is_write ? 0 : 1,
        .imm_data = htonl(40),
    };
    struct ibv_send_wr *bad;

    if (ibv_post_send(peer->id->qp, &request, &bad) != 0)
        die("ibv_post_send");
}

static int foreign_peer(struct peer *peer, bool is_write)
{
    static uint8_t bytes[RECV_COUNT][RECV_BYTES];
    struct ibv_mr *mr;
    struct ibv_wc completion;

    connect_pair(peer);
    mr = rdma_reg_msgs(peer->id, bytes, sizeof(bytes));
    if (!mr)
        die("rdma_reg_msgs");
    for (uintptr_t i = 0; i < RECV_COUNT; i++)
        if (rdma_post_recv(peer->id, (void *)i, bytes[i], RECV_BYTES, mr) != 0)
            die("rdma_post_recv");
    if (rdma_connect(peer->id, &peer->parameters) != 0)
        die("rdma_connect");
    expect(peer, RDMA_CM_EVENT_ESTABLISHED, NULL);
    post_foreign(peer, mr, is_write);
    /* READY, and what it says to that. */
    for (int i = 0; i < RECV_COUNT; i++) {
        if (rdma_get_recv_comp(peer->id, &completion) != 1 || completion.status != IBV_WC_SUCCESS)
            return 1;
        printf("a message of type %u\n", (unsigned)bytes[completion.wr_id][7]);
        if (bytes[completion.wr_id][7] == MESSAGE_ERROR)
            return 0;
    }
    return 1;
}

static int listen_peer(struct peer *peer)
{
    struct rdma_cm_id *id;
    enum rdma_cm_event_type type;

    if (rdma_bind_addr(peer->id, (struct sockaddr *)&peer->address) != 0 ||
        rdma_listen(peer->id, 1) != 0)
        die("rdma_listen");
    printf("listening\n");
    expect(peer, RDMA_CM_EVENT_CONNECT_REQUEST, &id);
    make_queue_pair(id);
    if (rdma_accept(id, &peer->parameters) != 0)
        die("rdma_accept");
    type = next_event(peer, NULL);
    if (type == RDMA_CM_EVENT_ESTABLISHED)
        type = next_event(peer, NULL);
    return type == RDMA_CM_EVENT_DISCONNECTED || type == RDMA_CM_EVENT_REJECTED ||
                   type == RDMA_CM_EVENT_CONNECT_ERROR
               ? 0
               : 1;
}

int main(int argc, char **argv)
{
    struct peer peer = {.address = {.sin_family = AF_INET}};
    uint32_t version;

    if (argc != 6 || inet_pton(AF_INET, argv[2], &peer.address.sin_addr) != 1)
        return 2;
    setvbuf(stdout, NULL, _IOLBF, 0);
    alarm(LIMIT_SECONDS);
    peer.address.sin_port = htons((uint16_t)atoi(argv[3]));
    version = htonl((uint32_t)atoi(argv[4]));
    memcpy(peer.private_data, &version, sizeof(version));
    peer.parameters = (struct rdma_conn_param){
        .private_data = peer.private_data,
        .private_data_len = (uint8_t)atoi(argv[5]),
        .responder_resources = 2,
        .initiator_depth = 2,
        .retry_count = 5,
    };
    peer.channel = rdma_create_event_channel();
    if (!peer.channel || rdma_create_id(peer.channel, &peer.id, NULL, RDMA_PS_TCP) != 0)
        die("rdma_create_id");
    if (strcmp(argv[1], "write-imm") == 0 || strcmp(argv[1], "send-imm") == 0)
        return foreign_peer(&peer, argv[1][0] == 'w');
    return strcmp(argv[1], "listen") == 0 ? listen_peer(&peer) : connect_peer(&peer);
}
