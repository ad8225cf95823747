/* SPDX-License-Identifier: BSD-2-Clause */
/* Memory regions of guest RAM. */
#include "link_internal.h"

#include <errno.h>

void region_count_registered(struct link *link, uint64_t length_bytes, bool is_pinned)
{
    struct link_regions *regions = &link->regions;

    regions->region_count++;
    if (!is_pinned)
        return;
    regions->pinned_bytes += length_bytes;
    if (regions->pinned_bytes > regions->pinned_bytes_max)
        regions->pinned_bytes_max = regions->pinned_bytes;
}

void region_count_deregistered(struct link *link, uint64_t length_bytes, bool is_pinned)
{
    link->regions.region_count--;
    if (is_pinned)
        link->regions.pinned_bytes -= length_bytes;
}

static struct link_region *find(const struct link *link, uint32_t region)
{
    return region < link->regions.region_slot_count ? &link->regions.regions[region] : NULL;
}

const struct ibv_mr *region_find(const struct link *link, uint32_t region)
{
    const struct link_region *found = find(link, region);

    return found != NULL ? found->mr : NULL;
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

void region_choose_optional_access(struct link *link, const struct ibv_device_attr_ex *attributes)
{
    const struct link_config *config = &link->config;
    const bool is_on_demand = config->is_on_demand_wanted && devices_page_on_demand(attributes);

    link->regions.optional_access =
        (config->is_relaxed_wanted ? (unsigned)IBV_ACCESS_RELAXED_ORDERING : 0u) |
        (is_on_demand ? (unsigned)IBV_ACCESS_ON_DEMAND : 0u);
}

/*
 * Devices and kernels differ in what they take: most ignore relaxed ordering when they do not have
 * it, some refuse it (Soft-RoCE from Linux 6.3 on, until it was mended). So with all of
 * optional_access, then with less, down to nothing; what was refused once is not asked for again.
 */
static struct ibv_mr *register_memory(struct link *link, void *addr, uint64_t length_bytes,
                                      unsigned access)
{
    struct link_regions *regions = &link->regions;
    const unsigned optional_access = regions->optional_access;

    /* All the subsets, the largest number first: relaxed ordering's flag is the greater one. */
    for (unsigned granted = optional_access;; granted = (granted - 1) & optional_access) {
        struct ibv_mr *mr = ibv_reg_mr(link->queue.pd, addr, length_bytes, access | granted);

        if (mr != NULL)
            regions->optional_access = granted;
        if (mr != NULL || granted == 0 || (errno != EINVAL && errno != EOPNOTSUPP))
            return mr;
    }
}

/* The clock has moved while a region was registered or deregistered. */
static void count_busy(struct link *link, uint64_t start_ns)
{
    link->now_ns = link_now_ns();
    link->busy_ns += link->now_ns - start_ns;
}

/* NULL: errno says why. */
static struct ibv_mr *make(struct link *link, const struct rdmig_action *action)
{
    const struct link_region *region = find(link, action->region);
    const uint64_t start_ns = link_now_ns();
    struct ibv_mr *mr;
    uint64_t host_addr;
    int code;

    errno = EINVAL;
    if (region == NULL || region->mr != NULL ||
        !region_is_range(link, action->block_index, action->offset_bytes, action->length))
        return NULL;
    host_addr = link->regions.blocks[action->block_index].host_addr + action->offset_bytes;
    /* Addresses go over the wire as numbers; here one becomes memory of ours again. */
    mr = register_memory(link, (void *)(uintptr_t)host_addr, /* NOLINT(performance-no-int-to-ptr) */
                         action->length, access_flags(link, action));
    code = errno;
    count_busy(link, start_ns);
    errno = code;
    return mr;
}

void region_register(struct link *link, const struct rdmig_action *action)
{
    struct link_regions *regions = &link->regions;
    struct rdmig_event event = {
        .kind = RDMIG_EVENT_COMPLETED, .tag = action->tag, .status = RDMIG_STATUS_OK};
    struct link_region *region;
    struct ibv_mr *mr;
    int32_t code;

    if (link->queue.pd == NULL || !link->queue.has_pair) {
        link_complete(link, action->tag, RDMIG_STATUS_FLUSHED, 0);
        return;
    }
    mr = make(link, action);
    if (mr == NULL) {
        code = errno;
        if (regions->failed.length_bytes == 0) {
            regions->failed = (struct link_failed_region){.block_index = action->block_index,
                                                          .offset_bytes = action->offset_bytes,
                                                          .length_bytes = action->length,
                                                          .os_code = code};
            regions->failed_pinned_bytes = regions->pinned_bytes;
            regions->failed_is_memlock = explain_is_memlock(link, action->length, code);
        }
        link_complete(link, action->tag, RDMIG_STATUS_ERROR, code);
        return;
    }
    region = find(link, action->region);
    *region = (struct link_region){
        .mr = mr, .is_pinned = (regions->optional_access & IBV_ACCESS_ON_DEMAND) == 0};
    region_count_registered(link, action->length, region->is_pinned);
    event.rkey = mr->rkey;
    link_step_core(link, &event);
}

bool link_failed_region(const struct link *link, struct link_failed_region *out)
{
    *out = link->regions.failed;
    return out->length_bytes != 0;
}

/* 0, or what the kernel says; the region is kept then. */
static int deregister(struct link *link, struct link_region *region)
{
    const uint64_t length_bytes = region->mr->length;
    const int code = ibv_dereg_mr(region->mr);

    if (code != 0)
        return code;
    region->mr = NULL;
    region_count_deregistered(link, length_bytes, region->is_pinned);
    return 0;
}

void region_deregister(struct link *link, const struct rdmig_action *action)
{
    struct link_region *region = find(link, action->region);
    const uint64_t start_ns = link_now_ns();
    int code = EINVAL;

    if (region != NULL && region->mr != NULL) {
        code = deregister(link, region);
        count_busy(link, start_ns);
    }
    link_complete(link, action->tag, code == 0 ? RDMIG_STATUS_OK : RDMIG_STATUS_ERROR, code);
}

bool region_destroy_all(struct link *link)
{
    struct link_regions *regions = &link->regions;
    bool are_all_gone = true;

    for (uint64_t i = 0; i < regions->region_slot_count; i++)
        if (regions->regions[i].mr != NULL && deregister(link, &regions->regions[i]) != 0)
            are_all_gone = false; /* kept: destroy tries again */
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

void link_revoke_remote_write(struct link *link)
{
    if (!link->queue.has_pair || take_write_access(link))
        return;
    /* To a peer that has left nothing is owed; its queue pair may still live. */
    if (link->state == LINK_CLOSING && stop_pair(link))
        return;
    if (!region_destroy_all(link))
        (void)stop_pair(link);
}
