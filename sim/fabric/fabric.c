/* SPDX-License-Identifier: BSD-2-Clause */
/* The fabric as a whole: made and freed, and what each fault does to it. */
#include "fabric_internal.h"

#include <stdlib.h>

#define MILLISECOND_NS UINT64_C(1000000)

/* ---- faults */

static void link_is_back(struct world *world, void *subject, uint64_t argument)
{
    struct fabric *fabric = subject;

    (void)argument;
    if (fabric_is_link_down(fabric))
        return;
    world_log(world, "the link is back");
    queue_pair_pump(&fabric->ports[0]);
    queue_pair_pump(&fabric->ports[1]);
}

static void take_link_down(struct fabric *fabric, uint64_t time_ns)
{
    struct world *world = fabric->world;

    if (time_ns == NEVER_NS)
        fabric->down_until_ns = NEVER_NS;
    if (fabric->down_until_ns == NEVER_NS)
        return;
    if (fabric->down_until_ns < world->now_ns + time_ns)
        fabric->down_until_ns = world->now_ns + time_ns;
    world_at(world, fabric->down_until_ns, link_is_back, fabric, 0);
}

/* The kernel of a dead process closes what it had open, and so tells the peer, if it still can. */
static void kill_process(struct port *port, bool is_peer_told)
{
    manager_leave(port, is_peer_told);
    if (!is_peer_told)
        port->state = PORT_GONE; /* the whole host went: not even a refusal */
    port_destroy(port);
    port->process = PROCESS_DEAD;
}

static void remove_device(struct port *port)
{
    queue_pair_fail(port);
    manager_tell(port, CM_DISCONNECTED, 0);
}

static void apply(struct port *port, const struct fault *fault)
{
    struct fabric *fabric = port->fabric;
    const uint64_t retry_ns = fabric->world->costs.retry_timeout_ns;

    switch (fault->kind) {
    case FAULT_LINK_DOWN:
        take_link_down(fabric, NEVER_NS);
        break;
    case FAULT_LINK_FLAP:
        take_link_down(fabric, 1 + retry_ns * (fault->argument % 8) / 9);
        break;
    case FAULT_PROCESS_DEATH:
        kill_process(port, fault->argument % 2 == 0);
        break;
    case FAULT_FREEZE:
        port->ready_ns = port_time_ns(port) + MILLISECOND_NS * (1 + fault->argument % 64);
        break;
    case FAULT_FREEZE_FOR_EVER:
        port->process = PROCESS_FROZEN;
        break;
    case FAULT_DEVICE_REMOVED:
        remove_device(port);
        break;
    default:
        break;
    }
}

/* Those that strike by themselves; the others strike when something they concern is done. */
static void apply_faults(struct fabric *fabric)
{
    struct world *world = fabric->world;
    const struct options *options = world->options;

    for (uint32_t i = 0; i < options->fault_count; i++) {
        const struct fault *fault = &options->faults[i];
        struct port *port = &fabric->ports[fault->role];
        const bool is_own = fault->kind == FAULT_LINK_DOWN || fault->kind == FAULT_LINK_FLAP ||
                            fault->kind == FAULT_PROCESS_DEATH || fault->kind == FAULT_FREEZE ||
                            fault->kind == FAULT_FREEZE_FOR_EVER ||
                            fault->kind == FAULT_DEVICE_REMOVED;

        if (is_own && !port_is_dead(port) && fabric_take_fault(world, fault->kind, port->role))
            apply(port, fault);
    }
}

/* ---- beginning and end */

/* Somewhere, and in no order that could be mistaken for that of the blocks. */
static void lay_out(struct fabric *fabric, const struct guest_options *guest)
{
    uint64_t addr = UINT64_C(0x7f0000000000);
    uint64_t offset = 0;

    fabric->block_count = guest->block_count;
    for (uint32_t i = 0; i < guest->block_count; i++) {
        const uint32_t last = guest->block_count - 1 - i;

        fabric->block_bytes[i] = guest->block_bytes[i];
        fabric->block_addr[i] = addr;
        addr += guest->block_bytes[i] + (UINT64_C(1) << 21) + SIM_PAGE_BYTES * i;
        fabric->ram_offset[last] = offset;
        offset += guest->block_bytes[last] + (UINT64_C(3) << 20);
    }
}

struct fabric *fabric_make(struct world *world)
{
    struct fabric *fabric = calloc(1, sizeof(*fabric));

    if (!fabric)
        abort();
    fabric->world = world;
    fabric->apply_faults = apply_faults;
    lay_out(fabric, &world->options->guest);
    for (uint32_t i = 0; i < 2; i++) {
        struct port *port = &fabric->ports[i];

        port->fabric = fabric;
        port->role = (enum rdmig_role)i;
        port->retry_since_ns = NEVER_NS;
        port_set_depths(port, 512, 8, 4096);
    }
    return fabric;
}

void fabric_free(struct fabric *fabric)
{
    for (uint32_t i = 0; i < 2; i++) {
        queue_pair_free(&fabric->ports[i]);
        regions_free(&fabric->ports[i]);
    }
    for (uint32_t i = 0; i < fabric->slab_count; i++)
        free(fabric->call_slabs[i]);
    free(fabric->call_slabs);
    free(fabric->partial);
    free(fabric);
}
