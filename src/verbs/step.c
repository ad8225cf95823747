/* SPDX-License-Identifier: BSD-2-Clause */
/* Steps of the core, and the core of each attempt to connect. */
#include "link_internal.h"

#include <stdlib.h>
#include <string.h>

int link_step_core(struct link *link, struct rdmig_event *event)
{
    int result;

    event->now_ns = link->now_ns;
    if (trace_has(link->config.trace, UINT32_MAX))
        trace_event(link->config.trace, event);
    result = rdmig_conn_step(link->conn, event);
    /* FLUSHED may come twice for silent writes: by what stands for them, and by itself. */
    if (result < 0 &&
        (event->kind == RDMIG_EVENT_RECEIVED ||
         (event->kind == RDMIG_EVENT_COMPLETED && event->status != RDMIG_STATUS_FLUSHED)))
        link->is_refused = true;
    return result;
}

void link_complete(struct link *link, uint64_t tag, enum rdmig_status status, int32_t os_code)
{
    struct rdmig_event event = {
        .kind = RDMIG_EVENT_COMPLETED, .tag = tag, .status = status, .os_code = os_code};

    link_step_core(link, &event);
}

int link_provide_blocks_to_core(struct link *link)
{
    struct link_regions *regions = &link->regions;
    struct rdmig_event event = {.kind = RDMIG_EVENT_BLOCKS_PROVIDED,
                                .blocks = regions->blocks,
                                .block_count = regions->block_count,
                                .memory = regions->table_memory,
                                .length = regions->table_bytes};

    return link_step_core(link, &event);
}

void link_forget_blocks(struct link *link)
{
    struct link_regions *regions = &link->regions;

    free(regions->blocks);
    free(regions->table_memory);
    free(regions->regions);
    regions->blocks = NULL;
    regions->table_memory = NULL;
    regions->regions = NULL;
    regions->block_count = 0;
    regions->region_slot_count = 0;
}

bool link_restart_core(struct link *link, uint32_t send_queue_depth, uint64_t connect_timeout_ns)
{
    struct rdmig_conn_config config = link->config.conn;
    size_t memory_bytes;
    void *memory;
    struct rdmig_conn *conn;

    config.send_queue_depth = send_queue_depth;
    config.connect_timeout_ns = connect_timeout_ns;
    if (config.write_bytes_max == 0)
        config.write_bytes_max = LINK_WRITE_BYTES;
    if (link->message_bytes_max != 0 && config.write_bytes_max > link->message_bytes_max)
        config.write_bytes_max = link->message_bytes_max;
    memory_bytes = rdmig_conn_footprint_bytes(&config);
    if (memory_bytes == 0)
        return false;
    memory = calloc(1, memory_bytes);
    if (memory == NULL)
        return false;
    if (rdmig_conn_init(&conn, &config, memory, memory_bytes, link->control_memory,
                        link->control_bytes, link->now_ns) != 0) {
        free(memory);
        return false;
    }
    if (link->conn != NULL)
        rdmig_conn_deinit(link->conn);
    free(link->conn_memory);
    link->conn_memory = memory;
    link->conn = conn;
    return link->regions.block_count == 0 || link_provide_blocks_to_core(link) == 0;
}
