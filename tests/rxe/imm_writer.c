/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A source whose first RDMA Write of more bytes than a message may have carries immediate data, and
 * so uses up a RECV of the destination's: preloaded into rdmig send. How many bytes it had then stands
 * in the file IMM_WRITER.
 */
#include "watch_send.h"

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

enum { MESSAGE_BYTES_MAX = 524288 };

static void note(uint32_t length_bytes)
{
    FILE *file = fopen(getenv("IMM_WRITER"), "w");

    if (file) {
        fprintf(file, "%u\n", (unsigned)length_bytes);
        fclose(file);
    }
}

static int watch_send(struct ibv_qp *qp, struct ibv_send_wr *first, struct ibv_send_wr **bad)
{
    static bool is_done;

    for (struct ibv_send_wr *wr = first; wr && !is_done; wr = wr->next) {
        if (wr->opcode != IBV_WR_RDMA_WRITE || wr->num_sge != 1 ||
            wr->sg_list[0].length <= MESSAGE_BYTES_MAX)
            continue;
        wr->opcode = IBV_WR_RDMA_WRITE_WITH_IMM;
        note(wr->sg_list[0].length);
        is_done = true;
    }
    return post_send(qp, first, bad);
}
