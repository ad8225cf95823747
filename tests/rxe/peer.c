/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A peer that only makes a connection, with private data as told, as no real program sends it.
 *
 *   peer connect ADDRESS PORT VERSION LENGTH   as a source; exit 0: the destination rejected it
 *   peer listen ADDRESS PORT VERSION LENGTH    as a destination, says "listening" and accepts;
 *                                              exit 0: the source went away again
 * LENGTH bytes of private data are given to the connection manager, which pads with zeros.
 * Prints each event. Nothing here waits longer than LIMIT_SECONDS.
 */
#include <arpa/inet.h>
#include <rdma/rdma_cma.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { LIMIT_SECONDS = 300, RESOLVE_MS = 30000, PRIVATE_BYTES = 8 };

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
        .cap = {.max_send_wr = 1, .max_recv_wr = 1, .max_send_sge = 1, .max_recv_sge = 1},
    };

    if (rdma_create_qp(id, NULL, &attributes) != 0)
        die("rdma_create_qp");
}

static int connect_peer(struct peer *peer)
{
    if (rdma_resolve_addr(peer->id, NULL, (struct sockaddr *)&peer->address, RESOLVE_MS) != 0)
        die("rdma_resolve_addr");
    expect(peer, RDMA_CM_EVENT_ADDR_RESOLVED, NULL);
    if (rdma_resolve_route(peer->id, RESOLVE_MS) != 0)
        die("rdma_resolve_route");
    expect(peer, RDMA_CM_EVENT_ROUTE_RESOLVED, NULL);
    make_queue_pair(peer->id);
    if (rdma_connect(peer->id, &peer->parameters) != 0)
        die("rdma_connect");
    expect(peer, RDMA_CM_EVENT_REJECTED, NULL);
    return 0;
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
    return strcmp(argv[1], "listen") == 0 ? listen_peer(&peer) : connect_peer(&peer);
}
