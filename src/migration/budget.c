/* SPDX-License-Identifier: BSD-2-Clause */
/* How much memory may be pinned: by RLIMIT_MEMLOCK, by the memory cgroup, by the VMM. Why the
 * reserves: docs/decisions/009-pinned-memory.md. */
#include "common.h"

#include <inttypes.h>

#define NONE UINT64_MAX
/* A driver's own queues count against RLIMIT_MEMLOCK too where they are the process's memory. */
#define DEVICE_RESERVE_BYTES (UINT64_C(512) << 10)
/* Of a cgroup's limit, for all that is not pinned. */
#define CGROUP_RESERVE_BYTES_MIN (UINT64_C(64) << 20)
#define CGROUP_RESERVE_PART      8u

static uint64_t smaller(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t less(uint64_t bytes, uint64_t part_bytes)
{
    return bytes > part_bytes ? bytes - part_bytes : 0;
}

static uint64_t memlock_left_bytes(const struct budget_facts *facts)
{
    if (facts->memlock_bytes == NONE)
        return NONE;
    return less(less(facts->memlock_bytes, facts->pinned_bytes), DEVICE_RESERVE_BYTES);
}

static uint64_t cgroup_left_bytes(const struct budget_facts *facts)
{
    const uint64_t part_bytes = facts->cgroup_bytes / CGROUP_RESERVE_PART;
    const uint64_t reserve_bytes =
        part_bytes > CGROUP_RESERVE_BYTES_MIN ? part_bytes : CGROUP_RESERVE_BYTES_MIN;

    if (facts->cgroup_bytes == NONE)
        return NONE;
    return facts->cgroup_bytes - smaller(reserve_bytes, facts->cgroup_bytes / 2);
}

uint64_t budget_allowed_bytes(const struct budget_facts *facts)
{
    return smaller(memlock_left_bytes(facts), cgroup_left_bytes(facts));
}

uint64_t rdmig_pinned_limit_bytes(void)
{
    struct budget_facts facts;

    budget_ask_system(&facts);
    return budget_allowed_bytes(&facts);
}

/* The limit that is too small, in words. */
static int refuse(uint64_t limit_bytes, const struct budget_facts *facts, uint64_t need_bytes,
                  struct rdmig_error *error)
{
    if (limit_bytes == memlock_left_bytes(facts)) {
        error_set(
            error, RDMIG_REASON_MEMLOCK, 0,
            "raise the limit: ulimit -l, LimitMEMLOCK= of a systemd unit, or give the process "
            "CAP_IPC_LOCK",
            "%" PRIu64 " bytes of control messages and guest RAM cannot be pinned at a time: "
            "RLIMIT_MEMLOCK is %" PRIu64 ", %" PRIu64 " are pinned already, %" PRIu64
            " are kept for the device's own queues",
            need_bytes, facts->memlock_bytes, facts->pinned_bytes, DEVICE_RESERVE_BYTES);
        return -RDMIG_E_SYSTEM;
    }
    if (limit_bytes == cgroup_left_bytes(facts)) {
        error_set(error, RDMIG_REASON_MEMLOCK, 0,
                  "raise the cgroup's memory.max (MemoryMax= of a systemd unit), or set a limit on "
                  "pinned memory yourself",
                  "%" PRIu64 " bytes of control messages and guest RAM cannot be pinned at a time: "
                  "the memory cgroup's limit is %" PRIu64 ", of which %" PRIu64 " may be pinned",
                  need_bytes, facts->cgroup_bytes, limit_bytes);
        return -RDMIG_E_SYSTEM;
    }
    error_set(error, RDMIG_REASON_PINNED_LIMIT, 0, "raise the limit on pinned memory",
              "%" PRIu64 " bytes of control messages and guest RAM cannot be pinned at a time: the "
              "limit on pinned memory is set to %" PRIu64,
              need_bytes, limit_bytes);
    return -RDMIG_E_INVALID;
}

int budget_decide(uint64_t wanted_bytes, const struct budget_facts *facts, uint64_t need_bytes,
                  struct budget *out, struct rdmig_error *error)
{
    const uint64_t page_bytes = facts->page_bytes;
    const uint64_t control_bytes =
        (rdmig_conn_control_bytes() + page_bytes - 1) / page_bytes * page_bytes;

    *out = (struct budget){NONE, NONE};
    if (wanted_bytes == NONE)
        return RDMIG_OK;
    out->limit_bytes = wanted_bytes == 0 ? budget_allowed_bytes(facts)
                                         : smaller(wanted_bytes, memlock_left_bytes(facts));
    if (out->limit_bytes == NONE)
        return RDMIG_OK;
    if (out->limit_bytes < control_bytes + need_bytes)
        return refuse(out->limit_bytes, facts, control_bytes + need_bytes, error);
    out->ram_bytes = out->limit_bytes - control_bytes;
    return RDMIG_OK;
}

bool budget_has_room(const struct budget *budget, uint64_t ram_bytes)
{
    return ram_bytes <= budget->ram_bytes;
}
