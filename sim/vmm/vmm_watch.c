/* SPDX-License-Identifier: BSD-2-Clause */
/* What rdmig.h promises of numbers and of the time that a call takes. */
#include "vmm.h"

#include <inttypes.h>

/* No call takes longer, but for one region that is made in it, and one piece that is filled. */
#define CALL_NS_MAX     UINT64_C(20000000)
#define FILL_BYTES_CALL (UINT64_C(64) << 20)

void vmm_call_begins(struct vmm *vmm)
{
    process_enter(&vmm->process);
    vmm->watch.call_start_ns = process_now_ns(&vmm->process);
    vmm->process.region_ns_max = 0;
}

void vmm_call_ended(struct vmm *vmm, const char *name)
{
    const struct costs *costs = &vmm->party.world->costs;
    const uint64_t passed_ns = process_now_ns(&vmm->process) - vmm->watch.call_start_ns;
    const uint64_t fill_ns = costs_time_ns(FILL_BYTES_CALL, costs->fill_bytes_per_s) +
                             FILL_BYTES_CALL / costs->page_bytes * costs->fault_page_ns;

    if (passed_ns > CALL_NS_MAX + fill_ns + vmm->process.region_ns_max)
        world_break(vmm->party.world, "call time", "%s: a call of %s took %" PRIu64 " ns",
                    role_name(vmm->party.role), name, passed_ns);
}

void vmm_watch_wait(struct vmm *vmm, int result, uint64_t start_ns, uint32_t timeout_ms)
{
    struct world *world = vmm->party.world;
    const uint64_t passed_ns = process_now_ns(&vmm->process) - start_ns;

    if (port_is_dead(vmm->party.port) || world_is_broken(world))
        return;
    if (result != RDMIG_OK && result != -RDMIG_E_AGAIN)
        world_break(world, "wait", "the %s's wait says %s", role_name(vmm->party.role),
                    rdmig_result_text(result));
    if (result == -RDMIG_E_AGAIN && passed_ns < timeout_ms * UINT64_C(1000000))
        world_break(world, "wait", "the %s's wait is over after %" PRIu64 " ns of %" PRIu32 " ms",
                    role_name(vmm->party.role), passed_ns, timeout_ms);
}

static void break_numbers(struct vmm *vmm, const char *what, uint64_t now, uint64_t other)
{
    world_break(vmm->party.world, "progress", "%s: %s is %" PRIu64 " beside %" PRIu64,
                role_name(vmm->party.role), what, now, other);
}

static void check_growing(struct vmm *vmm, const struct rdmig_progress *now)
{
    const struct rdmig_progress *last = &vmm->watch.last;
    const struct {
        const char *name;
        uint64_t last;
        uint64_t now;
    } rows[] = {
        {"bytes_total", last->bytes_total, now->bytes_total},
        {"bytes_written", last->bytes_written, now->bytes_written},
        {"bytes_zero", last->bytes_zero, now->bytes_zero},
        {"bytes_stream", last->bytes_stream, now->bytes_stream},
        {"rounds", last->rounds, now->rounds},
        {"control_messages", last->control_messages, now->control_messages},
        {"control_bytes", last->control_bytes, now->control_bytes},
        {"round_trips", last->round_trips, now->round_trips},
        {"registrations", last->registrations, now->registrations},
        {"pinned_peak_bytes", last->pinned_peak_bytes, now->pinned_peak_bytes},
        {"total_ns", last->total_ns, now->total_ns},
    };

    for (size_t i = 0; vmm->watch.has_last && i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (rows[i].now < rows[i].last)
            break_numbers(vmm, rows[i].name, rows[i].now, rows[i].last);
    }
}

void vmm_watch_progress(struct vmm *vmm, const struct rdmig_progress *now)
{
    const bool is_source = vmm->party.role == RDMIG_ROLE_SOURCE;

    check_growing(vmm, now);
    if (now->pinned_bytes > now->pinned_peak_bytes)
        break_numbers(vmm, "pinned_bytes", now->pinned_bytes, now->pinned_peak_bytes);
    if (is_source && now->pinned_peak_bytes > now->pinned_limit_bytes)
        break_numbers(vmm, "pinned_peak_bytes", now->pinned_peak_bytes, now->pinned_limit_bytes);
    if (now->setup_ns > now->total_ns)
        break_numbers(vmm, "setup_ns", now->setup_ns, now->total_ns);
    if (now->downtime_ns > now->total_ns)
        break_numbers(vmm, "downtime_ns", now->downtime_ns, now->total_ns);
    if (now->bytes_stream > now->control_bytes)
        break_numbers(vmm, "bytes_stream", now->bytes_stream, now->control_bytes);
    vmm->watch.last = *now;
    vmm->watch.has_last = true;
}
