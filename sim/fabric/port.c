/* SPDX-License-Identifier: BSD-2-Clause */
/* A port: the CPU of its process, and which of the planned faults is due. What a fault does is fabric.c's. */
#include "fabric_internal.h"

#include <inttypes.h>
#include <stdlib.h>

enum { CALLS_PER_SLAB = 256 };
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

uint64_t port_block_addr(const struct port *port, uint32_t block)
{
    return fabric_block_addr(port->fabric, block);
}

uint64_t port_block_ram_offset(const struct port *port, uint32_t block)
{
    return fabric_block_ram_offset(port->fabric, block);
}

uint32_t port_faults_taken(const struct port *port)
{
    return fabric_faults_taken(port->fabric);
}

void fabric_observe(struct fabric *fabric, const struct fabric_observer *observer, void *subject)
{
    fabric->observer = observer;
    fabric->observer_subject = subject;
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

void fabric_apply_faults(struct fabric *fabric)
{
    fabric->apply_faults(fabric);
}
