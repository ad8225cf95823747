/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A network that goes away at the worst moment: preloaded into rdmig relay, it breaks the queue
 * pair right before the message with the stream's end mark, which so is never acknowledged. Makes
 * the file LOST_END then.
 */
#include "watch_send.h"

#include <endian.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { HEADER_BYTES = 16, TYPE_AT = 4, TYPE_STREAM = 3, END_MARK = 0x00, DESCRIPTION = 0x06 };

static uint32_t number_at(const uint8_t *bytes)
{
    uint32_t number;

    memcpy(&number, bytes, sizeof(number));
    return be32toh(number);
}

/* A QEMU_FILE message that begins with the end mark, and has the description behind it or nothing.
 */
static bool is_end(const struct ibv_send_wr *wr)
{
    const uint8_t *bytes;
    uint32_t length;

    if (wr->opcode != IBV_WR_SEND || wr->num_sge != 1 || wr->sg_list[0].length <= HEADER_BYTES)
        return false;
    bytes = (const uint8_t *)(uintptr_t)wr->sg_list[0].addr;
    length = number_at(bytes);
    return number_at(bytes + TYPE_AT) == TYPE_STREAM && bytes[HEADER_BYTES] == END_MARK &&
           (length == 1 || bytes[HEADER_BYTES + 1] == DESCRIPTION);
}

static int watch_send(struct ibv_qp *qp, struct ibv_send_wr *first, struct ibv_send_wr **bad)
{
    struct ibv_qp_attr to_error = {.qp_state = IBV_QPS_ERR};

    for (const struct ibv_send_wr *wr = first; wr; wr = wr->next) {
        if (is_end(wr)) {
            close(open(getenv("LOST_END"), O_CREAT | O_WRONLY, 0644));
            (void)ibv_modify_qp(qp, &to_error, IBV_QP_STATE);
        }
    }
    return post_send(qp, first, bad);
}
