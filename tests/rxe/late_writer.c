/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A source that has handed its guest over and goes on writing into it: preloaded into rdmig send,
 * it keeps the last RDMA Write's address and key, and before the disconnect writes there again and
 * again until that fails. Says how it failed:
 *   late writer: STATUS after COUNT writes, MILLISECONDS ms
 */
#include "watch_send.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { PAGE_BYTES = 4096, LIMIT_MS = 5000, LATE_ID = 0x1a7e };

static struct ibv_send_wr last; /* opcode RDMA_WRITE: there was one */
static uint8_t page[PAGE_BYTES] __attribute__((aligned(PAGE_BYTES)));

static uint64_t now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static int watch_send(struct ibv_qp *qp, struct ibv_send_wr *first, struct ibv_send_wr **bad)
{
    for (const struct ibv_send_wr *wr = first; wr; wr = wr->next) {
        if (wr->opcode == IBV_WR_RDMA_WRITE && wr->num_sge > 0)
            last = *wr;
    }
    return post_send(qp, first, bad);
}

/* One write, waited for. */
static enum ibv_wc_status write_once(struct ibv_qp *qp, const struct ibv_mr *mr, uint64_t end_ms)
{
    struct ibv_sge piece = {(uintptr_t)page, PAGE_BYTES, mr->lkey};
    struct ibv_send_wr wr = {.wr_id = LATE_ID,
                             .sg_list = &piece,
                             .num_sge = 1,
                             .opcode = IBV_WR_RDMA_WRITE,
                             .send_flags = IBV_SEND_SIGNALED};
    struct ibv_send_wr *bad;
    struct ibv_wc completion;

    wr.wr.rdma.remote_addr = last.wr.rdma.remote_addr;
    wr.wr.rdma.rkey = last.wr.rdma.rkey;
    if (post_send(qp, &wr, &bad) != 0)
        return IBV_WC_GENERAL_ERR;
    while (now_ms() < end_ms) {
        if (ibv_poll_cq(qp->send_cq, 1, &completion) == 1 && completion.wr_id == LATE_ID)
            return completion.status;
    }
    return IBV_WC_GENERAL_ERR;
}

int rdma_disconnect(struct rdma_cm_id *id)
{
    const uint64_t start_ms = now_ms();
    enum ibv_wc_status status = IBV_WC_SUCCESS;
    int (*disconnect)(struct rdma_cm_id *);
    unsigned count = 0;
    struct ibv_mr *mr;

    memset(page, 0xbd, sizeof(page));
    mr = ibv_reg_mr(id->qp->pd, page, sizeof(page), 0);
    while (mr && last.opcode == IBV_WR_RDMA_WRITE && status == IBV_WC_SUCCESS &&
           now_ms() < start_ms + LIMIT_MS) {
        status = write_once(id->qp, mr, start_ms + LIMIT_MS);
        count++;
    }
    fprintf(stderr, "late writer: %s after %u writes, %llu ms\n", ibv_wc_status_str(status), count,
            (unsigned long long)(now_ms() - start_ms));
    if (mr)
        ibv_dereg_mr(mr);
    *(void **)&disconnect = dlsym(RTLD_NEXT, "rdma_disconnect");
    return disconnect(id);
}
