/* SPDX-License-Identifier: BSD-2-Clause */
#include "fabric_internal.h"

#include <inttypes.h>
#include <stdlib.h>

enum { CALLS_PER_SLAB = 256 };
#define MILLISECOND_NS UINT64_C(1000000)

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

struct port *fabric_port(struct fabric *fabric, enum rdmig_role role)
{
    return &fabric->ports[role];
}

struct port *fabric_peer(const struct port *port)
{
    return &port->fabric->ports[1 - port->role];
}

enum rdmig_role port_role(const struct port *port)
{
    return port->role;
}

struct world *port_world(const struct port *port)
{
    return port->fabric->world;
}

void port_attach(struct port *port, struct party *party)
{
    port->party = party;
}

uint64_t fabric_block_addr(const struct fabric *fabric, uint32_t block)
{
    return fabric->block_addr[block];
}

uint64_t fabric_block_ram_offset(const struct fabric *fabric, uint32_t block)
{
    return fabric->ram_offset[block];
}

bool fabric_is_link_down(const struct fabric *fabric)
{
    return fabric->down_until_ns > fabric->world->now_ns;
}

bool fabric_is_exact(const struct fabric *fabric)
{
    return fabric->world->options->jitter_steps > 1;
}

void port_traffic(const struct port *port, struct port_traffic *out)
{
    *out = port->traffic;
}

bool port_is_down(const struct port *port)
{
    return port->state == PORT_ERROR || port->state == PORT_GONE || port_is_dead(port);
}

bool port_is_dead(const struct port *port)
{
    return port->process != PROCESS_ALIVE;
}

/* ---- the CPU */

static struct call *take_call(struct fabric *fabric)
{
    struct call *call = fabric->free_calls;

    if (!call) {
        struct call *slab = calloc(CALLS_PER_SLAB, sizeof(*slab));
        struct call **slabs =
            realloc(fabric->call_slabs, (fabric->slab_count + 1) * sizeof(*fabric->call_slabs));

        if (!slab || !slabs)
            abort();
        fabric->call_slabs = slabs;
        fabric->call_slabs[fabric->slab_count++] = slab;
        for (uint32_t i = 0; i < CALLS_PER_SLAB; i++) {
            slab[i].next = fabric->free_calls;
            fabric->free_calls = &slab[i];
        }
        call = fabric->free_calls;
    }
    fabric->free_calls = call->next;
    return call;
}

static void give_back(struct fabric *fabric, struct call *call)
{
    call->next = fabric->free_calls;
    fabric->free_calls = call;
}

static void attend(struct world *world, void *subject, uint64_t argument);

static void plan_attending(struct port *port)
{
    if (port->is_attending_planned)
        return;
    port->is_attending_planned = true;
    world_at(port->fabric->world, port->ready_ns, attend, port, 0);
}

/* The process is free: what waits for it, one after the other, until it is busy again. */
static void attend(struct world *world, void *subject, uint64_t argument)
{
    struct port *port = subject;

    (void)argument;
    port->is_attending_planned = false;
    while (port->first_waiting && world->now_ns >= port->ready_ns && !port_is_dead(port)) {
        struct call *call = port->first_waiting;
        const struct call todo = *call;

        port->first_waiting = call->next;
        give_back(port->fabric, call);
        todo.handler(world, todo.subject, todo.argument);
    }
    if (port->first_waiting && !port_is_dead(port))
        plan_attending(port);
}

static void await_process(struct port *port, struct call *call)
{
    call->next = NULL;
    if (port->first_waiting)
        port->last_waiting->next = call;
    else
        port->first_waiting = call;
    port->last_waiting = call;
    plan_attending(port);
}

/* A process that is busy sees it later; one that sleeps must be woken first. */
static void dispatch(struct world *world, void *subject, uint64_t argument)
{
    struct call *call = subject;
    struct port *port = call->port;
    const struct call todo = *call;

    (void)argument;
    fabric_apply_faults(port->fabric);
    if (port_is_dead(port)) {
        give_back(port->fabric, call);
        return;
    }
    if (world->now_ns > port->ready_ns && port->wait_ns > 0) {
        port->ready_ns = world->now_ns + port->wait_ns;
        port->cpu_ns += port->wait_cpu_ns;
    }
    if (world->now_ns < port->ready_ns || port->first_waiting) {
        await_process(port, call);
        return;
    }
    give_back(port->fabric, call);
    todo.handler(world, todo.subject, todo.argument);
}

void port_at(struct port *port, uint64_t at_ns, world_handler *handler, void *subject,
             uint64_t argument)
{
    struct call *call = take_call(port->fabric);

    *call = (struct call){port, handler, subject, argument, NULL};
    world_at(port->fabric->world, at_ns, dispatch, call, 0);
}

bool port_has_waiting(const struct port *port)
{
    return port->first_waiting != NULL;
}

uint64_t port_time_ns(const struct port *port)
{
    const uint64_t now_ns = port->fabric->world->now_ns;

    return port->ready_ns > now_ns ? port->ready_ns : now_ns;
}

void port_spend(struct port *port, uint64_t time_ns)
{
    port->ready_ns = port_time_ns(port) + time_ns;
    port->cpu_ns += time_ns;
}

uint64_t port_cpu_ns(const struct port *port)
{
    return port->cpu_ns;
}

void port_set_wait(struct port *port, uint64_t wait_ns, uint64_t cpu_ns)
{
    port->wait_ns = wait_ns;
    port->wait_cpu_ns = cpu_ns;
}

/* ---- faults */

static bool is_fault_due(const struct world *world, const struct fault *fault)
{
    if (fault->moment < FAULT_MOMENT_HANDOVER)
        return world->step_count >= fault->moment;
    return world->handover_step != 0 &&
           world->step_count - world->handover_step >= fault->moment - FAULT_MOMENT_HANDOVER;
}

bool fabric_take_fault(struct world *world, enum fault_kind kind, enum rdmig_role role)
{
    const struct options *options = world->options;

    for (uint32_t i = 0; i < options->fault_count && !world->is_calm; i++) {
        const struct fault *fault = &options->faults[i];

        if (fault->kind != kind || fault->role != role || world->fabric->is_fault_taken[i] ||
            !is_fault_due(world, fault))
            continue;
        world->fabric->is_fault_taken[i] = true;
        world_log(world, "fault %s at %s", fault_name(kind), role_name(role));
        return true;
    }
    return false;
}

uint32_t fabric_faults_taken(const struct fabric *fabric)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < OPTION_FAULTS_MAX; i++)
        count += fabric->is_fault_taken[i] ? 1 : 0;
    return count;
}

bool fabric_fault_was_taken(const struct fabric *fabric, uint32_t fault_index)
{
    return fabric->is_fault_taken[fault_index];
}

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
void fabric_apply_faults(struct fabric *fabric)
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
