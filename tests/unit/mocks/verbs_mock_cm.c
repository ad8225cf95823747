/* SPDX-License-Identifier: BSD-2-Clause */
/* The mocked librdmacm, and the calls of libc that go with it. */
#include "verbs_mock_world.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <unistd.h>

/* ---- the names that addresses have */

static void add_address(struct addrinfo **list, int family, const char *host, uint16_t port)
{
    struct addrinfo *info = calloc(1, sizeof(*info) + sizeof(struct sockaddr_in6));
    struct addrinfo **end = list;

    assert_non_null(info);
    info->ai_family = family;
    info->ai_addr = (struct sockaddr *)(info + 1);
    info->ai_addrlen =
        family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);
    if (family == AF_INET6) {
        struct sockaddr_in6 *address = (struct sockaddr_in6 *)(info + 1);

        *address = (struct sockaddr_in6){.sin6_family = AF_INET6, .sin6_port = htons(port)};
        assert_int_equal(inet_pton(AF_INET6, host, &address->sin6_addr), 1);
    } else {
        struct sockaddr_in *address = (struct sockaddr_in *)(info + 1);

        *address = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(port)};
        assert_int_equal(inet_pton(AF_INET, host, &address->sin_addr), 1);
    }
    while (*end != NULL)
        end = &(*end)->ai_next;
    *end = info;
}

int getaddrinfo(const char *host, const char *service, const struct addrinfo *hints,
                struct addrinfo **out)
{
    uint16_t port = (uint16_t)atoi(service != NULL ? service : "0");
    uint8_t scratch[16];

    *out = NULL;
    mock_note(host == NULL                              ? "getaddrinfo(any)"
              : (hints->ai_flags & AI_NUMERICHOST) != 0 ? "getaddrinfo(numeric)"
                                                        : "getaddrinfo(name)");
    if (host == NULL) {
        add_address(out, AF_INET, "0.0.0.0", port);
        add_address(out, AF_INET6, "::", port);
        return 0;
    }
    if (inet_pton(AF_INET, host, scratch) == 1)
        add_address(out, AF_INET, host, port);
    else if (inet_pton(AF_INET6, host, scratch) == 1)
        add_address(out, AF_INET6, host, port);
    else if ((hints->ai_flags & AI_NUMERICHOST) != 0 || strcmp(host, "several") != 0)
        return EAI_NONAME;
    else
        for (unsigned i = 0; i < mock_world.host_count; i++)
            add_address(out, strchr(mock_world.hosts[i], ':') != NULL ? AF_INET6 : AF_INET,
                        mock_world.hosts[i], port);
    return 0;
}

void freeaddrinfo(struct addrinfo *list)
{
    while (list != NULL) {
        struct addrinfo *next = list->ai_next;

        free(list);
        list = next;
    }
}

/* ---- descriptors: real ones, that can fail */

int epoll_create1(int flags)
{
    return mock_fails("epoll_create1") ? -1 : (int)syscall(SYS_epoll_create1, flags);
}

int timerfd_create(int clock, int flags)
{
    return mock_fails("timerfd_create") ? -1 : (int)syscall(SYS_timerfd_create, clock, flags);
}

/* ---- rdma_cm */

struct rdma_event_channel *rdma_create_event_channel(void)
{
    if (mock_fails("rdma_create_event_channel"))
        return NULL;
    mock_world.channel.fd = eventfd(0, EFD_SEMAPHORE | EFD_CLOEXEC);
    assert_true(mock_world.channel.fd >= 0);
    mock_made(MOCK_CHANNEL);
    return &mock_world.channel;
}

void rdma_destroy_event_channel(struct rdma_event_channel *channel)
{
    mock_note("rdma_destroy_event_channel");
    assert_ptr_equal(channel, &mock_world.channel);
    mock_unmade(MOCK_CHANNEL, "rdma_destroy_event_channel");
    mock_need_none(MOCK_CM_EVENT, "rdma_destroy_event_channel");
    /* An identifier that only stands in an event nobody took goes with the channel, as in the
     * kernel. */
    for (unsigned i = mock_world.event_first; i < mock_world.event_end; i++)
        if (mock_world.events[i]->event.event == RDMA_CM_EVENT_CONNECT_REQUEST) {
            free(mock_world.events[i]->event.id);
            mock_unmade(MOCK_ID, "rdma_destroy_event_channel");
        }
    mock_need_none(MOCK_ID, "rdma_destroy_event_channel");
    close(channel->fd);
    channel->fd = -1;
}

int rdma_create_id(struct rdma_event_channel *channel, struct rdma_cm_id **id, void *context,
                   enum rdma_port_space ps)
{
    assert_ptr_equal(channel, &mock_world.channel);
    assert_int_equal(ps, RDMA_PS_TCP);
    if (mock_fails("rdma_create_id"))
        return -1;
    *id = mock_new_id(context);
    (*id)->ps = ps;
    return 0;
}

int rdma_destroy_id(struct rdma_cm_id *id)
{
    mock_note("rdma_destroy_id");
    assert_null(id->qp);
    mock_need_none(MOCK_CM_EVENT, "rdma_destroy_id"); /* it would wait for ever */
    mock_unmade(MOCK_ID, "rdma_destroy_id");
    if (mock.id == id)
        mock.id = NULL;
    if (mock.listen_id == id)
        mock.listen_id = NULL;
    free(id);
    return 0;
}

int rdma_set_option(struct rdma_cm_id *id, int level, int name, void *value, size_t length)
{
    struct mock_option *option = &mock.options[mock.option_count % MOCK_OPTION_COUNT];

    assert_non_null(id);
    if (mock_fails("rdma_set_option"))
        return -1;
    *option = (struct mock_option){.level = level, .name = name};
    if (length == 1)
        option->value = *(const uint8_t *)value;
    else
        memcpy(&option->value, value, sizeof(int));
    mock.option_count++;
    return 0;
}

int rdma_bind_addr(struct rdma_cm_id *id, struct sockaddr *address)
{
    size_t length =
        address->sa_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in);

    assert_non_null(id);
    if (mock.bound_count < 4)
        memcpy(&mock.bound[mock.bound_count++], address, length);
    if (mock_fails(address->sa_family == AF_INET6 ? "rdma_bind_addr(6)" : "rdma_bind_addr(4)"))
        return -1;
    id->route.addr.src_sin.sin_port = ((const struct sockaddr_in *)address)->sin_port;
    return 0;
}

int rdma_listen(struct rdma_cm_id *id, int backlog)
{
    assert_true(backlog > 0);
    if (mock_fails("rdma_listen"))
        return -1;
    mock.listen_id = id;
    return 0;
}

__be16 rdma_get_src_port(struct rdma_cm_id *id)
{
    __be16 port = id->route.addr.src_sin.sin_port;

    return port != 0 ? port : htons(mock.port);
}

int rdma_resolve_addr(struct rdma_cm_id *id, struct sockaddr *from, struct sockaddr *to,
                      int timeout_ms)
{
    assert_null(from);
    assert_true(timeout_ms > 0);
    memset(&mock.resolved, 0, sizeof(mock.resolved));
    memcpy(&mock.resolved, to,
           to->sa_family == AF_INET6 ? sizeof(struct sockaddr_in6) : sizeof(struct sockaddr_in));
    mock.resolve_ms = timeout_ms;
    if (mock_fails("rdma_resolve_addr"))
        return -1;
    id->verbs = &mock_world.verbs.context;
    id->port_num = 1;
    return 0;
}

int rdma_resolve_route(struct rdma_cm_id *id, int timeout_ms)
{
    assert_non_null(id->verbs);
    assert_true(timeout_ms > 0);
    return mock_fails("rdma_resolve_route") ? -1 : 0;
}

int rdma_create_qp(struct rdma_cm_id *id, struct ibv_pd *pd, struct ibv_qp_init_attr *attributes)
{
    assert_null(id->qp);
    assert_non_null(pd);
    if (mock_fails("rdma_create_qp"))
        return -1;
    if (mock.pair_depth_max != 0 && attributes->cap.max_send_wr > mock.pair_depth_max) {
        errno = ENOMEM;
        return -1;
    }
    mock.pair_attributes = *attributes;
    mock.pair_access_flags = IBV_ACCESS_REMOTE_WRITE; /* what librdmacm gives it */
    mock_world.send_cq = (struct mock_cq *)attributes->send_cq;
    mock_world.recv_cq = (struct mock_cq *)attributes->recv_cq;
    mock.cq_depths[0] = attributes->send_cq->cqe;
    mock.cq_depths[1] = attributes->recv_cq->cqe;
    mock_world.pair = calloc(1, sizeof(*mock_world.pair));
    assert_non_null(mock_world.pair);
    mock_world.pair->qp.context = &mock_world.verbs.context;
    id->qp = &mock_world.pair->qp;
    mock_made(MOCK_PAIR);
    return 0;
}

void rdma_destroy_qp(struct rdma_cm_id *id)
{
    mock_note("rdma_destroy_qp");
    assert_non_null(id->qp);
    mock_unmade(MOCK_PAIR, "rdma_destroy_qp");
    free(id->qp);
    id->qp = NULL;
    mock_world.pair = NULL;
}

static int answer(const char *call, struct rdma_cm_id *id, const struct rdma_conn_param *param)
{
    struct mock_connect *connect = &mock.connects[mock.connect_count % MOCK_CONNECT_COUNT];

    assert_non_null(id);
    if (mock_fails(call))
        return -1;
    connect->call = call;
    connect->param = *param;
    if (param->private_data != NULL)
        memcpy(connect->private_data, param->private_data, param->private_data_len);
    mock.connect_count++;
    return 0;
}

int rdma_connect(struct rdma_cm_id *id, struct rdma_conn_param *param)
{
    assert_non_null(id->qp);
    return answer("rdma_connect", id, param);
}

int rdma_accept(struct rdma_cm_id *id, struct rdma_conn_param *param)
{
    assert_non_null(id->qp);
    return answer("rdma_accept", id, param);
}

int rdma_reject(struct rdma_cm_id *id, const void *data, uint8_t length)
{
    struct rdma_conn_param param = {.private_data = data, .private_data_len = length};

    return answer("rdma_reject", id, &param);
}

int rdma_disconnect(struct rdma_cm_id *id)
{
    assert_non_null(id);
    return mock_fails("rdma_disconnect") ? -1 : 0;
}

int rdma_get_cm_event(struct rdma_event_channel *channel, struct rdma_cm_event **event)
{
    struct mock_event_item *item;

    assert_true((fcntl(channel->fd, F_GETFL) & O_NONBLOCK) != 0); /* it would block otherwise */
    if (mock_world.event_first == mock_world.event_end) {
        errno = EAGAIN;
        return -1;
    }
    item = mock_world.events[mock_world.event_first++];
    mock_unring(channel->fd);
    item->is_taken = true;
    mock_made(MOCK_CM_EVENT);
    *event = &item->event;
    return 0;
}

int rdma_ack_cm_event(struct rdma_cm_event *event)
{
    struct mock_event_item *item = (struct mock_event_item *)event;

    if (!item->is_taken || item->is_acked)
        fail_msg("an event was acknowledged that is not out");
    item->is_acked = true;
    memset(item->data, 0xee, sizeof(item->data)); /* who still reads it sees that */
    mock_unmade(MOCK_CM_EVENT, "rdma_ack_cm_event");
    return 0;
}
