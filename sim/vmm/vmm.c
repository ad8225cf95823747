/* SPDX-License-Identifier: BSD-2-Clause */
/* What VMMs of both ends have in common. */
#include "vmm.h"

#include "system.h"

#define MS_NS UINT64_C(1000000)

enum { HESITATES_ONE_IN = 8 };

/* ---- options */

/* In whole milliseconds; finer ones are the link's affair. */
static uint32_t limit_ms(uint64_t limit_ns)
{
    if (limit_ns == 0 || limit_ns / MS_NS >= UINT32_MAX)
        return UINT32_MAX;
    return limit_ns < MS_NS ? 1 : (uint32_t)(limit_ns / MS_NS);
}

static uint64_t pinned_limit_bytes(const struct vmm *vmm)
{
    const uint64_t limit_bytes = vmm->party.world->options->pinned_bytes_max[vmm->party.role];
    const uint64_t control_bytes =
        (rdmig_conn_control_bytes() + SIM_PAGE_BYTES - 1) / SIM_PAGE_BYTES * SIM_PAGE_BYTES;

    return limit_bytes < RDMIG_CHUNK_BYTES ? UINT64_MAX : limit_bytes + control_bytes;
}

void vmm_options(const struct vmm *vmm, struct rdmig_options *options)
{
    const enum rdmig_role role = vmm->party.role;
    const struct options *world = vmm->party.world->options;
    const struct engine_options *engine = &world->engine[role];

    *options = (struct rdmig_options){
        .struct_bytes = sizeof(*options),
        .stream_format = vmm->is_native ? RDMIG_STREAM_NATIVE : RDMIG_STREAM_QEMU,
        .pin_all = world->is_pin_all[role],
        .refuse_pin_all = !world->is_pin_all[role],
        .run_chunk_count = engine->run_chunk_count,
        .register_batch_count = engine->register_batch_count,
        .connect_timeout_ms = limit_ms(engine->connect_timeout_ns),
        .reply_timeout_ms = limit_ms(engine->reply_timeout_ns),
        .probe_interval_ms = limit_ms(engine->probe_interval_ns),
        .idle_timeout_ms = limit_ms(engine->idle_timeout_ns),
        .pinned_limit_bytes = pinned_limit_bytes(vmm),
    };
}

void vmm_blocks(const struct vmm *vmm, struct rdmig_ram_block *blocks,
                char names[][STREAM_NAME_BYTES])
{
    const struct world *world = vmm->party.world;
    const struct guest_options *guest = &world->options->guest;

    for (uint32_t i = 0; i < guest->block_count; i++) {
        stream_block_name(i, names[i]);
        blocks[i] =
            (struct rdmig_ram_block){.name = names[i],
                                     .host_addr = system_block_addr(world, vmm->party.role, i),
                                     .length_bytes = guest->block_bytes[i]};
    }
}

/* ---- decisions */

bool vmm_mischief(struct vmm *vmm, uint32_t one_in)
{
    return !vmm->party.world->is_calm && process_chance(&vmm->process, one_in);
}

bool vmm_hesitates(struct vmm *vmm)
{
    if (vmm->idle_until_ns > process_now_ns(&vmm->process)) {
        process_plan_turn(&vmm->process, vmm->idle_until_ns - process_now_ns(&vmm->process));
        return true;
    }
    if (vmm->idle_until_ns != 0) {
        vmm->idle_until_ns = 0;
        return false;
    }
    if (!process_chance(&vmm->process, HESITATES_ONE_IN))
        return false;
    vmm->idle_until_ns = process_now_ns(&vmm->process) + world_jitter_ns(vmm->party.world) + 1;
    process_plan_turn(&vmm->process, vmm->idle_until_ns - process_now_ns(&vmm->process));
    return true;
}

/* ---- for the class */

void vmm_init(struct vmm *vmm, const struct party_class *class, struct world *world,
              struct port *port, void (*turn)(struct party *party))
{
    vmm->party =
        (struct party){.class = class, .world = world, .port = port, .role = port_role(port)};
    vmm->is_native = true;
    process_init(&vmm->process, &vmm->party, turn);
}

/* Nobody listens any more, or not yet. */
void vmm_managed(struct party *party, const struct cm_event *event)
{
    if (event->kind == CM_CONNECT_REQUESTED)
        port_reject(party->port, NULL, 0);
}

void vmm_completed(struct party *party, const struct completion *completion)
{
    (void)party;
    (void)completion;
}

bool vmm_is_closed(const struct party *party)
{
    const struct vmm *vmm = (const struct vmm *)party;

    return vmm->is_over && (!vmm->process.link || link_is_closed(vmm->process.link));
}

void vmm_count(struct party *party)
{
    struct vmm *vmm = (struct vmm *)party;

    if (vmm->process.link)
        link_count(vmm->process.link, &party->numbers);
}
