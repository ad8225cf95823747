/* SPDX-License-Identifier: BSD-2-Clause */
/* The connection's rdma_cm identifier: taken over and given back. */
#include "link_internal.h"

#include <stdio.h>
#include <stdlib.h>

#define ACK_TIMEOUT                                                                                \
    17u /* 4.096 us << 17 = 0.54 s; with 5 retries a dead peer is noticed within seconds */

int32_t identifier_positive(int status)
{
    return status == INT32_MIN ? INT32_MAX : abs(status);
}

void identifier_adopt(struct link *link, struct rdma_cm_id *id)
{
    uint8_t exponent = ACK_TIMEOUT;

    link->id = id;
    if (id->verbs != NULL && id->verbs->device != NULL)
        (void)snprintf(link->device_name, sizeof(link->device_name), "%.60s",
                       id->verbs->device->name);
    /* Not every transport has it; the device's own default holds then, and the core's deadlines. */
    (void)rdma_set_option(id, RDMA_OPTION_ID, RDMA_OPTION_ID_ACK_TIMEOUT, &exponent,
                          sizeof(exponent));
}

void identifier_destroy(struct link *link)
{
    if (link->id != NULL)
        rdma_destroy_id(link->id);
    link->id = NULL;
    link->is_cm_established = false;
}
