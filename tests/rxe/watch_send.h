/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * For what is preloaded into a program: every list of work that its queue pairs are given comes to
 * watch_send() first, which passes it on by post_send(). ibv_post_send() is inline: it can only be
 * had through the context's table.
 */
#ifndef WATCH_SEND_H
#define WATCH_SEND_H

#include <dlfcn.h>
#include <rdma/rdma_cma.h>

static int (*post_send)(struct ibv_qp *qp, struct ibv_send_wr *wr, struct ibv_send_wr **bad);
static int watch_send(struct ibv_qp *qp, struct ibv_send_wr *first, struct ibv_send_wr **bad);

int rdma_create_qp(struct rdma_cm_id *id, struct ibv_pd *pd, struct ibv_qp_init_attr *attributes)
{
    int (*create)(struct rdma_cm_id *, struct ibv_pd *, struct ibv_qp_init_attr *);
    int result;

    *(void **)&create = dlsym(RTLD_NEXT, "rdma_create_qp");
    result = create(id, pd, attributes);
    if (result == 0 && id->qp->context->ops.post_send != watch_send) {
        post_send = id->qp->context->ops.post_send;
        id->qp->context->ops.post_send = watch_send;
    }
    return result;
}

#endif
