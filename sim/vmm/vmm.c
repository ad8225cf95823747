/* SPDX-License-Identifier: BSD-2-Clause */
/* What VMMs of both ends have in common. */
#include "vmm.h"

#include "fail.h"
#include "system.h"

#include "qemu/native.h"

#include <string.h>

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

static uint64_t ram_bytes(const struct options *options)
{
    uint64_t bytes = 0;

    for (uint32_t i = 0; i < options->guest.block_count; i++)
        bytes += options->guest.block_bytes[i];
    return bytes;
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

void vmm_blocks(const struct vmm *vmm, struct rdmig_ram_block *blocks, char names[][VMM_NAME_BYTES])
{
    const struct world *world = vmm->party.world;
    const struct guest_options *guest = &world->options->guest;

    for (uint32_t i = 0; i < guest->block_count; i++) {
        (void)snprintf(names[i], VMM_NAME_BYTES, "ram%u", i);
        blocks[i] =
            (struct rdmig_ram_block){.name = names[i],
                                     .host_addr = system_block_addr(world, vmm->party.role, i),
                                     .length_bytes = guest->block_bytes[i]};
    }
}

/* That of our own two ends, but for the configuration's name, which has the same length. */
uint32_t vmm_stream_header(const struct world *world, uint8_t *bytes)
{
    static const char name[] = "sim/pc1";
    const struct guest_options *guest = &world->options->guest;
    struct native_block blocks[OPTION_BLOCKS_MAX];
    char names[OPTION_BLOCKS_MAX][VMM_NAME_BYTES];
    size_t length_bytes;

    for (uint32_t i = 0; i < guest->block_count; i++) {
        (void)snprintf(names[i], VMM_NAME_BYTES, "ram%u", i);
        blocks[i] = (struct native_block){names[i], guest->block_bytes[i]};
    }
    length_bytes = native_write_prefix(bytes, VMM_HEADER_BYTES_MAX, blocks, guest->block_count);
    for (size_t at = 0; at + sizeof(name) < length_bytes; at++) {
        if (memcmp(bytes + at, NATIVE_CONFIGURATION_NAME, sizeof(name) - 1) != 0)
            continue;
        memcpy(bytes + at, name, sizeof(name) - 1);
        return (uint32_t)length_bytes;
    }
    sim_fail("stream", "the head of a stream cannot be made");
}

/* ---- decisions */

bool vmm_mischief(struct vmm *vmm, uint32_t one_in)
{
    return !vmm->party.world->is_calm && process_chance(&vmm->process, one_in);
}

bool vmm_hesitates(struct vmm *vmm)
{
    if (vmm->idle_until_ns > process_now_ns(&vmm->process))
        return true;
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
    (void)ram_bytes;
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
