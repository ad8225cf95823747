/* SPDX-License-Identifier: BSD-2-Clause */
/* The mocked libibverbs. */
#include "verbs_mock_world.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* ---- verbs */

int ibv_query_device(struct ibv_context *context, struct ibv_device_attr *out)
{
    assert_ptr_equal(context, &mock_world.verbs.context);
    if (mock_fails("ibv_query_device"))
        return errno;
    *out = mock.limits;
    return 0;
}

int mock_query_device_ex(struct ibv_context *context, const struct ibv_query_device_ex_input *input,
                         struct ibv_device_attr_ex *out, size_t out_bytes)
{
    assert_null(input);
    assert_int_equal(out_bytes, sizeof(*out));
    memset(out, 0, sizeof(*out));
    out->odp_caps = mock.odp_caps;
    return ibv_query_device(context, &out->orig_attr);
}

struct ibv_pd *ibv_alloc_pd(struct ibv_context *context)
{
    struct ibv_pd *pd;

    if (mock_fails("ibv_alloc_pd"))
        return NULL;
    pd = calloc(1, sizeof(*pd));
    assert_non_null(pd);
    pd->context = context;
    mock_made(MOCK_PD);
    return pd;
}

int ibv_dealloc_pd(struct ibv_pd *pd)
{
    mock_note("ibv_dealloc_pd");
    mock_need_none(MOCK_PAIR, "ibv_dealloc_pd");
    mock_need_none(MOCK_REGION, "ibv_dealloc_pd");
    mock_unmade(MOCK_PD, "ibv_dealloc_pd");
    free(pd);
    return 0;
}

struct ibv_comp_channel *ibv_create_comp_channel(struct ibv_context *context)
{
    struct ibv_comp_channel *channel;

    if (mock_fails("ibv_create_comp_channel"))
        return NULL;
    channel = calloc(1, sizeof(*channel));
    assert_non_null(channel);
    channel->context = context;
    channel->fd = eventfd(0, EFD_SEMAPHORE | EFD_CLOEXEC);
    assert_true(channel->fd >= 0);
    mock_made(MOCK_COMP_CHANNEL);
    return channel;
}

int ibv_destroy_comp_channel(struct ibv_comp_channel *channel)
{
    mock_note("ibv_destroy_comp_channel");
    mock_need_none(MOCK_CQ, "ibv_destroy_comp_channel");
    mock_unmade(MOCK_COMP_CHANNEL, "ibv_destroy_comp_channel");
    close(channel->fd);
    free(channel);
    return 0;
}

struct ibv_cq *ibv_create_cq(struct ibv_context *context, int depth, void *user,
                             struct ibv_comp_channel *channel, int vector)
{
    struct mock_cq *cq;

    assert_int_equal(vector, 0);
    assert_true(depth > 0);
    if (mock_fails("ibv_create_cq"))
        return NULL;
    if (depth > mock.limits.max_cqe) {
        errno = EINVAL;
        return NULL;
    }
    cq = calloc(1, sizeof(*cq));
    assert_non_null(cq);
    cq->cq.context = context;
    cq->cq.channel = channel;
    cq->cq.cq_context = user;
    cq->cq.cqe = depth;
    mock_made(MOCK_CQ);
    return &cq->cq;
}

int ibv_destroy_cq(struct ibv_cq *cq)
{
    struct mock_cq *mocked = (struct mock_cq *)cq;

    mock_note("ibv_destroy_cq");
    mock_need_none(MOCK_PAIR, "ibv_destroy_cq");
    if (mocked->owed_count != 0)
        fail_msg("ibv_destroy_cq would wait for ever: %u events were not acknowledged",
                 mocked->owed_count);
    mock_unmade(MOCK_CQ, "ibv_destroy_cq");
    if (mock_world.send_cq == mocked)
        mock_world.send_cq = NULL;
    if (mock_world.recv_cq == mocked)
        mock_world.recv_cq = NULL;
    free(mocked);
    return 0;
}

static struct mock_cq *noticed_queue(void)
{
    if (mock_world.send_cq != NULL && mock_world.send_cq->notice_count > 0)
        return mock_world.send_cq;
    return mock_world.recv_cq != NULL && mock_world.recv_cq->notice_count > 0 ? mock_world.recv_cq
                                                                              : NULL;
}

int ibv_get_cq_event(struct ibv_comp_channel *channel, struct ibv_cq **cq, void **user)
{
    struct mock_cq *mocked = noticed_queue();

    assert_true((fcntl(channel->fd, F_GETFL) & O_NONBLOCK) != 0);
    if (mocked == NULL) {
        errno = EAGAIN;
        return -1;
    }
    mock_unring(channel->fd);
    mocked->notice_count--;
    mocked->owed_count++;
    *cq = &mocked->cq;
    *user = mocked->cq.cq_context;
    return 0;
}

void ibv_ack_cq_events(struct ibv_cq *cq, unsigned count)
{
    struct mock_cq *mocked = (struct mock_cq *)cq;

    if (count > mocked->owed_count)
        fail_msg("%u events acknowledged, %u are outstanding", count, mocked->owed_count);
    mocked->owed_count -= count;
}

static void take_time(void)
{
    if (mock.clock_ns != 0)
        mock.clock_ns += mock.region_ns;
}

#undef ibv_reg_mr
struct ibv_mr *ibv_reg_mr_iova2(struct ibv_pd *pd, void *addr, size_t length, uint64_t iova,
                                unsigned access)
{
    struct mock_region *region = &mock.regions[mock.region_count];
    struct ibv_mr *mr;

    assert_int_equal(iova, (uintptr_t)addr);
    assert_true(mock.region_count < MOCK_REGION_COUNT);
    take_time();
    if (mock_fails("ibv_reg_mr"))
        return NULL;
    if ((access & mock.access_refused) != 0) {
        errno = mock.access_errno;
        return NULL;
    }
    mr = calloc(1, sizeof(*mr));
    assert_non_null(mr);
    mr->pd = pd;
    mr->context = pd->context;
    mr->addr = addr;
    mr->length = length;
    mr->handle = mock.region_count;
    mr->lkey = 0x1000 + mock.region_count;
    mr->rkey = 0x2000 + mock.region_count;
    *region = (struct mock_region){.addr = addr,
                                   .length = length,
                                   .access = access,
                                   .lkey = mr->lkey,
                                   .rkey = mr->rkey,
                                   .is_live = true};
    mock.region_count++;
    mock_made(MOCK_REGION);
    return mr;
}

struct ibv_mr *ibv_reg_mr(struct ibv_pd *pd, void *addr, size_t length, int access)
{
    return ibv_reg_mr_iova2(pd, addr, length, (uintptr_t)addr, (unsigned)access);
}

int ibv_dereg_mr(struct ibv_mr *mr)
{
    if (mock_fails_by_name("ibv_dereg_mr"))
        return errno;
    take_time();
    assert_true(mock.regions[mr->handle].is_live);
    mock.regions[mr->handle].is_live = false;
    mock_unmade(MOCK_REGION, "ibv_dereg_mr");
    free(mr);
    return 0;
}

int ibv_modify_qp(struct ibv_qp *qp, struct ibv_qp_attr *attributes, int mask)
{
    assert_non_null(qp);
    if (mask == IBV_QP_ACCESS_FLAGS) {
        if (mock_fails("ibv_modify_qp_access"))
            return errno;
        mock.pair_access_flags = attributes->qp_access_flags;
        return 0;
    }
    if (mask == IBV_QP_MIN_RNR_TIMER) {
        if (mock_fails("ibv_modify_qp_rnr"))
            return errno;
        mock.pair_rnr_timer = attributes->min_rnr_timer;
        return 0;
    }
    assert_int_equal(mask, IBV_QP_STATE);
    assert_int_equal(attributes->qp_state, IBV_QPS_ERR);
    return mock_fails("ibv_modify_qp") ? errno : 0;
}

const char *ibv_wc_status_str(enum ibv_wc_status status)
{
    return status == IBV_WC_RETRY_EXC_ERR ? "transport retry counter exceeded"
                                          : "some other status";
}

int mock_poll_cq(struct ibv_cq *cq, int count, struct ibv_wc *out)
{
    struct mock_cq *mocked = (struct mock_cq *)cq;
    int taken = 0;

    if (mock.poll_result != 0)
        return mock.poll_result;
    while (taken < count && mocked->first != mocked->end)
        out[taken++] = mocked->items[mocked->first++ % MOCK_COMPLETION_COUNT];
    return taken;
}

int mock_req_notify_cq(struct ibv_cq *cq, int solicited_only)
{
    struct mock_cq *mocked = (struct mock_cq *)cq;

    assert_int_equal(solicited_only, 0);
    if (mock_fails("ibv_req_notify_cq"))
        return errno;
    if (mock.notify_result != 0)
        return mock.notify_result;
    mocked->is_armed = true;
    return 0;
}

static void note_work(const struct mock_work *work)
{
    assert_true(mock.work_count < MOCK_WORK_COUNT);
    mock.works[mock.work_count++] = *work;
}

int mock_post_send(struct ibv_qp *qp, struct ibv_send_wr *request, struct ibv_send_wr **bad)
{
    unsigned taken = 0;

    assert_ptr_equal(qp, &mock_world.pair->qp);
    if (mock_fails("ibv_post_send")) {
        *bad = request;
        return errno;
    }
    mock.list_count++;
    for (; request != NULL; request = request->next) {
        struct mock_work work = {.list = mock.list_count,
                                 .wr_id = request->wr_id,
                                 .opcode = request->opcode,
                                 .send_flags = request->send_flags,
                                 .piece_count = request->num_sge,
                                 .remote_addr = request->wr.rdma.remote_addr,
                                 .rkey = request->wr.rdma.rkey};

        if (mock_world.has_send_result && taken == mock_world.send_taken) {
            mock_world.has_send_result = false;
            *bad = request;
            errno = EIO; /* not where the code is: who reads errno reads this */
            return mock_world.send_code;
        }
        if (request->num_sge > 0)
            work.piece = request->sg_list[0];
        note_work(&work);
        taken++;
    }
    return 0;
}

int mock_post_recv(struct ibv_qp *qp, struct ibv_recv_wr *request, struct ibv_recv_wr **bad)
{
    assert_ptr_equal(qp, &mock_world.pair->qp);
    assert_null(request->next);
    if (mock_fails("ibv_post_recv") || mock_world.recv_code != 0 ||
        mock_world.pair->recv_out >= mock.pair_attributes.cap.max_recv_wr) {
        *bad = request;
        errno = EIO;
        return mock_world.recv_code != 0 ? mock_world.recv_code : ENOMEM;
    }
    mock.list_count++;
    mock_world.pair->recv_out++;
    note_work(&(struct mock_work){.is_receive = true,
                                  .list = mock.list_count,
                                  .wr_id = request->wr_id,
                                  .piece_count = request->num_sge,
                                  .piece = request->sg_list[0]});
    return 0;
}

/* ---- devices */

#undef ibv_get_device_list
struct ibv_device **ibv_get_device_list(int *count)
{
    struct ibv_device **list;

    if (mock.device_count < 0) {
        errno = mock.device_list_errno;
        return NULL;
    }
    list = calloc((size_t)mock.device_count + 1, sizeof(struct ibv_device *));
    assert_non_null(list);
    for (int i = 0; i < mock.device_count; i++)
        list[i] = &mock_world.devices[i];
    if (count != NULL)
        *count = mock.device_count;
    mock_made(MOCK_DEVICE_LIST);
    return list;
}

void ibv_free_device_list(struct ibv_device **list)
{
    mock_unmade(MOCK_DEVICE_LIST, "ibv_free_device_list");
    free(list);
}

const char *ibv_get_device_name(struct ibv_device *device)
{
    return device->name;
}

struct ibv_context *ibv_open_device(struct ibv_device *device)
{
    if (mock_fails("ibv_open_device"))
        return NULL;
    mock_world.verbs.context.device = device;
    mock_made(MOCK_CONTEXT);
    return &mock_world.verbs.context;
}

int ibv_close_device(struct ibv_context *context)
{
    assert_ptr_equal(context, &mock_world.verbs.context);
    mock_unmade(MOCK_CONTEXT, "ibv_close_device");
    return 0;
}

#undef ibv_query_port
int ibv_query_port(struct ibv_context *context, uint8_t port, struct _compat_ibv_port_attr *out)
{
    assert_ptr_equal(context, &mock_world.verbs.context);
    if (mock_fails("ibv_query_port"))
        return errno;
    memcpy(out, &mock.ports[port - 1], sizeof(mock.ports[0]));
    return 0;
}

ssize_t _ibv_query_gid_table(struct ibv_context *context, struct ibv_gid_entry *entries,
                             size_t capacity, uint32_t flags, size_t entry_bytes)
{
    size_t count = mock.gid_count < capacity ? mock.gid_count : capacity;

    assert_ptr_equal(context, &mock_world.verbs.context);
    assert_int_equal(flags, 0);
    assert_int_equal(entry_bytes, sizeof(*entries));
    if (mock_fails("ibv_query_gid_table"))
        return -EINVAL;
    memcpy(entries, mock.gids, count * sizeof(*entries));
    return (ssize_t)count;
}

struct ibv_qp *ibv_create_qp(struct ibv_pd *pd, struct ibv_qp_init_attr *attributes)
{
    struct mock_pair *pair;

    if (mock_fails("ibv_create_qp"))
        return NULL;
    mock.pair_attributes = *attributes;
    pair = calloc(1, sizeof(*pair));
    assert_non_null(pair);
    pair->qp.context = pd->context;
    mock_made(MOCK_PAIR);
    return &pair->qp;
}

int ibv_destroy_qp(struct ibv_qp *qp)
{
    mock_unmade(MOCK_PAIR, "ibv_destroy_qp");
    free(qp);
    return 0;
}
