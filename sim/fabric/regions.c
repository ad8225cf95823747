/* SPDX-License-Identifier: BSD-2-Clause */
/* Memory regions, their keys, and where the pages of an RDMA Write go. */
#include "fabric_internal.h"

#include "fail.h"

#include <inttypes.h>
#include <stdlib.h>

/* Keys of the two ends differ, so that one taken for the other's is noticed. */
static uint32_t key_base(const struct port *port)
{
    return port->role == RDMIG_ROLE_SOURCE ? 0x10000000u : 0x50000000u;
}

void regions_free(struct port *port)
{
    free(port->regions);
}

const struct region *regions_find(const struct port *port, uint32_t key)
{
    const uint32_t index = key - key_base(port) - 1;

    if (index >= port->region_count || !port->regions[index].is_alive)
        return NULL;
    return &port->regions[index];
}

static bool is_inside(const struct fabric *fabric, uint32_t block, uint64_t offset_bytes,
                      uint64_t length_bytes)
{
    return block < fabric->block_count && length_bytes > 0 &&
           offset_bytes < fabric->block_bytes[block] &&
           length_bytes <= fabric->block_bytes[block] - offset_bytes;
}

static void spend_registration(struct port *port, uint32_t block, uint64_t offset_bytes,
                               uint64_t length_bytes)
{
    struct world *world = port->fabric->world;
    const struct costs *costs = &world->costs;

    port_spend(port, costs_register_ns(costs, length_bytes));
    if (port->role == RDMIG_ROLE_DESTINATION) {
        const uint64_t new_bytes =
            ram_touch(world->ram[port->role], block, offset_bytes, length_bytes);

        port_spend(port,
                   (new_bytes + costs->page_bytes - 1) / costs->page_bytes * costs->fault_page_ns);
    }
}

uint32_t port_register(struct port *port, uint32_t block, uint64_t offset_bytes,
                       uint64_t length_bytes, bool is_remote_writable)
{
    struct world *world = port->fabric->world;

    if (fabric_take_fault(world, FAULT_REGISTER_FAILS, port->role))
        return 0;
    FABRIC_TELL(port->fabric, registered, port->role, block, offset_bytes, length_bytes,
                is_remote_writable);
    if (!is_inside(port->fabric, block, offset_bytes, length_bytes))
        return 0;
    spend_registration(port, block, offset_bytes, length_bytes);
    if (port->region_count == port->region_capacity) {
        port->region_capacity = port->region_capacity ? 2 * port->region_capacity : 64;
        port->regions = realloc(port->regions, port->region_capacity * sizeof(*port->regions));
        if (!port->regions)
            abort();
    }
    port->regions[port->region_count++] =
        (struct region){offset_bytes, length_bytes, block, true, is_remote_writable};
    port->regions_alive++;
    port->pinned_bytes += length_bytes;
    if (port->pinned_bytes > port->pinned_bytes_max)
        port->pinned_bytes_max = port->pinned_bytes;
    return key_base(port) + port->region_count;
}

bool port_deregister(struct port *port, uint32_t key)
{
    const struct region *found = regions_find(port, key);

    if (!found)
        return false;
    port_spend(port, costs_deregister_ns(&port->fabric->world->costs, found->length_bytes));
    FABRIC_TELL(port->fabric, deregistered, port->role, found->block, found->offset_bytes,
                found->length_bytes);
    port->pinned_bytes -= found->length_bytes;
    port->regions_alive--;
    port->regions[found - port->regions].is_alive = false;
    return true;
}

void port_shut_out_peer(struct port *port)
{
    port->is_peer_shut_out = true;
}

uint64_t port_pinned_bytes(const struct port *port)
{
    return port->pinned_bytes;
}

uint64_t port_pinned_bytes_max(const struct port *port)
{
    return port->pinned_bytes_max;
}

uint32_t port_region_count(const struct port *port)
{
    return port->regions_alive;
}

static bool covers(const struct region *region, uint64_t offset_bytes, uint64_t length_bytes)
{
    return offset_bytes >= region->offset_bytes &&
           offset_bytes - region->offset_bytes <= region->length_bytes &&
           length_bytes <= region->length_bytes - (offset_bytes - region->offset_bytes);
}

const char *regions_check(const struct port *port, const struct write_request *request)
{
    const struct region *local = regions_find(port, request->local_key);
    const struct port *peer = fabric_peer(port);
    const struct region *remote = regions_find(peer, request->rkey);

    if (!local || local->block != request->block)
        return "no region at home";
    if (!covers(local, request->offset_bytes, request->length_bytes))
        return "outside its region at home";
    if (peer->is_peer_shut_out)
        return "the peer has been shut out";
    if (!remote)
        return "no region with that key";
    if (!remote->is_remote_writable)
        return "a region without remote write";
    if (request->remote_addr < port->fabric->block_addr[remote->block] ||
        !covers(remote, request->remote_addr - port->fabric->block_addr[remote->block],
                request->length_bytes))
        return "outside the region";
    return NULL;
}

/* ---- placing pages */

/* What is known of a page that has arrived in part, or a free place for it. */
static struct partial_page *find_partial(struct fabric *fabric, uint32_t block, uint64_t page)
{
    struct partial_page *free_place = NULL;

    if (!fabric->partial)
        fabric->partial = sim_allocated(calloc(PARTIAL_PAGES, sizeof(*fabric->partial)));
    for (uint32_t i = 0; i < PARTIAL_PROBES; i++) {
        struct partial_page *known =
            &fabric->partial[(page * 7 + block * 1031 + i) % PARTIAL_PAGES];

        if (known->end_bytes > 0 && known->block == block && known->page == page)
            return known;
        if (known->end_bytes == 0 && !free_place)
            free_place = known;
    }
    if (!free_place)
        sim_fail("regions", "too many pages have arrived in part");
    return free_place;
}

/* A page of which only a part arrives: complete when the parts of one and the same content are. */
static void place_part(struct fabric *fabric, struct ram *to, uint32_t block, uint64_t page,
                       uint32_t token, uint32_t start_bytes, uint32_t end_bytes)
{
    struct partial_page *found = find_partial(fabric, block, page);

    if (found->end_bytes == 0) {
        *found = (struct partial_page){page, block, token, start_bytes, end_bytes};
    } else if (found->token == token && start_bytes <= found->end_bytes &&
               end_bytes >= found->start_bytes) {
        found->start_bytes = start_bytes < found->start_bytes ? start_bytes : found->start_bytes;
        found->end_bytes = end_bytes > found->end_bytes ? end_bytes : found->end_bytes;
    } else {
        *found = (struct partial_page){page, block, token, start_bytes, end_bytes};
    }
    if (found->start_bytes == 0 && found->end_bytes == SIM_PAGE_BYTES) {
        ram_set(to, block, page, 1, token);
        found->end_bytes = 0;
    } else if (ram_get(to, block, page) != token) {
        ram_set(to, block, page, 1, RAM_TOKEN_MISPLACED); /* a page of two contents is neither */
    }
}

static uint32_t token_there(const struct port *port, const struct write_request *request,
                            uint64_t at_bytes, uint32_t to_block, uint64_t to_page)
{
    const uint64_t page = at_bytes / SIM_PAGE_BYTES;
    const uint32_t token = ram_get(port->fabric->world->ram[port->role], request->block, page);

    if (request->block == to_block && page == to_page)
        return token;
    return token == RAM_TOKEN_ZERO ? token : RAM_TOKEN_MISPLACED;
}

/* Bytes [start, end) of the request's range at home, as they are now, to where they belong. */
/* An end of ours that owns the guest has shut its peer out (clause R9). */
static void check_owner(const struct port *port)
{
    struct world *world = port->fabric->world;

    if (port->role == RDMIG_ROLE_SOURCE &&
        world->options->kind[RDMIG_ROLE_DESTINATION] == PARTY_OURS && world->guest &&
        world->guest->is_running && world->guest->ram == world->ram[RDMIG_ROLE_DESTINATION])
        world_break(world, "running_guest", "a write has changed a guest that runs");
}

void regions_place(const struct port *port, const struct write_request *request,
                   uint64_t start_bytes, uint64_t end_bytes)
{
    struct fabric *fabric = port->fabric;
    struct world *world = fabric->world;
    const struct region *remote = regions_find(fabric_peer(port), request->rkey);
    struct ram *to = world->ram[1 - port->role];
    const uint64_t to_offset_bytes = request->remote_addr - fabric->block_addr[remote->block];

    if (port->role == RDMIG_ROLE_SOURCE)
        guest_advance(world->guest, world->now_ns);
    check_owner(port);
    if ((to_offset_bytes - request->offset_bytes) % SIM_PAGE_BYTES != 0) {
        /* Shifted by less than a page: nothing of it is at its place. */
        const uint64_t first =
            (to_offset_bytes + start_bytes - request->offset_bytes) / SIM_PAGE_BYTES;
        const uint64_t last =
            (to_offset_bytes + end_bytes - 1 - request->offset_bytes) / SIM_PAGE_BYTES;

        ram_set(to, remote->block, first, last - first + 1, RAM_TOKEN_MISPLACED);
        return;
    }
    while (start_bytes < end_bytes) {
        const uint64_t to_page =
            (to_offset_bytes + start_bytes - request->offset_bytes) / SIM_PAGE_BYTES;
        const uint64_t in_page = start_bytes % SIM_PAGE_BYTES;
        const uint64_t whole = (end_bytes - start_bytes) / SIM_PAGE_BYTES;

        if (in_page == 0 && whole > 0) {
            ram_copy(to, remote->block, to_page, world->ram[port->role], request->block,
                     start_bytes / SIM_PAGE_BYTES, whole);
            start_bytes += whole * SIM_PAGE_BYTES;
        } else {
            const uint64_t left = SIM_PAGE_BYTES - in_page;
            const uint64_t part = end_bytes - start_bytes < left ? end_bytes - start_bytes : left;

            place_part(fabric, to, remote->block, to_page,
                       token_there(port, request, start_bytes, remote->block, to_page),
                       (uint32_t)in_page, (uint32_t)(in_page + part));
            start_bytes += part;
        }
    }
}
