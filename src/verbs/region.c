/* SPDX-License-Identifier: BSD-2-Clause */
/* Memory regions of guest RAM. */
#include "link_internal.h"

#include <errno.h>

void region_count_pinned(struct link *link, uint64_t length_bytes)
{
    struct link_regions *regions = &link->regions;

    regions->region_count++;
    regions->pinned_bytes += length_bytes;
    if (regions->pinned_bytes > regions->pinned_bytes_max)
        regions->pinned_bytes_max = regions->pinned_bytes;
}

void region_count_unpinned(struct link *link, uint64_t length_bytes)
{
    link->regions.region_count--;
    link->regions.pinned_bytes -= length_bytes;
}

const struct ibv_mr *region_find(const struct link *link, uint32_t region)
{
    return region < link->regions.region_slot_count ? link->regions.regions[region] : NULL;
}

bool region_is_range(const struct link *link, uint32_t block_index, uint64_t offset_bytes,
                     uint64_t length_bytes)
{
    const struct link_regions *regions = &link->regions;

    return block_index < regions->block_count &&
           offset_bytes <= regions->blocks[block_index].length_bytes &&
           length_bytes <= regions->blocks[block_index].length_bytes - offset_bytes &&
           length_bytes > 0;
}

/*
 * What the peer may do to a region. A source's memory is never open to the peer, whatever is asked
 * for here: a source only reads its RAM, and does that itself.
 */
static unsigned access_flags(const struct link *link, const struct rdmig_action *action)
{
    if (link->config.conn.role == RDMIG_ROLE_SOURCE)
        return 0;
    return (unsigned)IBV_ACCESS_LOCAL_WRITE |
           (action->is_remote_writable ? (unsigned)IBV_ACCESS_REMOTE_WRITE : 0u);
}

/* The clock has moved while a region was made or taken apart. */
static void count_busy(struct link *link, uint64_t start_ns)
{
    link->now_ns = link_now_ns();
    link->busy_ns += link->now_ns - start_ns;
}

void region_register(struct link *link, const struct rdmig_action *action)
{
    struct link_regions *regions = &link->regions;
    const uint64_t start_ns = link_now_ns();
    struct rdmig_event event = {
        .kind = RDMIG_EVENT_COMPLETED, .tag = action->tag, .status = RDMIG_STATUS_OK};
    struct ibv_mr *region = NULL;
    int32_t code = EINVAL;

    if (link->queue.pd == NULL || !link->queue.has_pair) {
        link_answer(link, action->tag, RDMIG_STATUS_FLUSHED, 0);
        return;
    }
    if (action->region < regions->region_slot_count && regions->regions[action->region] == NULL &&
        region_is_range(link, action->block_index, action->offset_bytes, action->length)) {
        uint64_t host_addr = regions->blocks[action->block_index].host_addr + action->offset_bytes;
        /* Addresses go over the wire as numbers; here one becomes memory of ours again. */
        void *addr = (void *)(uintptr_t)host_addr; /* NOLINT(performance-no-int-to-ptr) */

        region = ibv_reg_mr(link->queue.pd, addr, action->length, access_flags(link, action));
        code = errno;
        count_busy(link, start_ns);
    }
    if (region == NULL) {
        if (regions->failed_bytes == 0) {
            regions->failed_bytes = action->length;
            regions->failed_pinned_bytes = regions->pinned_bytes;
            regions->failed_is_memlock = explain_is_memlock(link, action->length, code);
        }
        link_answer(link, action->tag, RDMIG_STATUS_ERROR, code);
        return;
    }
    regions->regions[action->region] = region;
    region_count_pinned(link, action->length);
    event.rkey = region->rkey;
    link_feed(link, &event);
}

void region_deregister(struct link *link, const struct rdmig_action *action)
{
    struct ibv_mr *region =
        link->regions.regions == NULL || action->region >= link->regions.region_slot_count
            ? NULL
            : link->regions.regions[action->region];
    const uint64_t start_ns = link_now_ns();
    uint64_t length_bytes;
    int code;

    if (region == NULL) {
        link_answer(link, action->tag, RDMIG_STATUS_ERROR, EINVAL);
        return;
    }
    length_bytes = region->length;
    code = ibv_dereg_mr(region);
    count_busy(link, start_ns);
    if (code != 0) {
        link_answer(link, action->tag, RDMIG_STATUS_ERROR, code);
        return;
    }
    link->regions.regions[action->region] = NULL;
    region_count_unpinned(link, length_bytes);
    link_answer(link, action->tag, RDMIG_STATUS_OK, 0);
}

bool region_destroy_all(struct link *link)
{
    struct link_regions *regions = &link->regions;
    bool are_all_gone = true;

    if (regions->regions == NULL)
        return true;
    for (uint64_t i = 0; i < regions->region_slot_count; i++) {
        struct ibv_mr *region = regions->regions[i];
        uint64_t length_bytes;

        if (region == NULL)
            continue;
        length_bytes = region->length;
        if (ibv_dereg_mr(region) != 0) {
            are_all_gone = false; /* kept: destroy tries again */
            continue;
        }
        regions->regions[i] = NULL;
        region_count_unpinned(link, length_bytes);
    }
    return are_all_gone;
}

/* ---- the end of the peer's access */

static bool stop_pair(struct link *link)
{
    struct ibv_qp_attr to_error = {.qp_state = IBV_QPS_ERR};

    return ibv_modify_qp(link->id->qp, &to_error, IBV_QP_STATE) == 0;
}

/*
 * The queue pair goes on without the right to write: it has to acknowledge the source's last
 * message, which one in error does not. InfiniBand and RoCE check that right with each packet, and
 * let it change while connected. iWARP hardware looks at the region only.
 */
static bool take_write_access(struct link *link)
{
    struct ibv_qp_attr none = {.qp_access_flags = 0};

    return link->id->verbs->device->transport_type == IBV_TRANSPORT_IB &&
           ibv_modify_qp(link->id->qp, &none, IBV_QP_ACCESS_FLAGS) == 0;
}

void link_shut_out_peer(struct link *link)
{
    if (!link->queue.has_pair || take_write_access(link))
        return;
    /* To a peer that has left nothing is owed; its queue pair may still live. */
    if (link->state == LINK_LEAVING && stop_pair(link))
        return;
    if (!region_destroy_all(link))
        (void)stop_pair(link);
}
