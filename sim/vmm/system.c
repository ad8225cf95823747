/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What src/migration asks of the operating system and of the guest's bytes, answered by the world:
 * waker.c, holes.c, access.c, memory_kinds.c and facts.c of there, by their own headers.
 */
#include "system.h"
#include "process.h"

#include "fail.h"
#include "guest.h"
#include "oracle.h"
#include "ram.h"

#include "migration/access.h"
#include "migration/common.h"
#include "migration/holes.h"
#include "migration/memory_kinds.h"

#include <errno.h>

#define MS_NS UINT64_C(1000000)

/* ---- the waker */

int waker_open(struct waker *waker, int link_fd, struct rdmig_error *error)
{
    (void)error;
    *waker = (struct waker){.epoll_fd = link_fd, .timer_fd = link_fd};
    waker->deadline_ns = RDMIG_NO_DEADLINE;
    process_of(link_fd)->deadline_ns = RDMIG_NO_DEADLINE;
    process_of(link_fd)->has_waker = true;
    return RDMIG_OK;
}

void waker_close(struct waker *waker)
{
    if (waker->epoll_fd >= 0)
        process_of(waker->epoll_fd)->has_waker = false;
    waker->epoll_fd = -1;
    waker->timer_fd = -1;
}

static void deadline_due(struct world *world, void *subject, uint64_t deadline_ns)
{
    struct process *process = subject;

    (void)world;
    if (process->has_waker && process->deadline_ns == deadline_ns)
        process_signal(process);
}

void waker_set(struct waker *waker, uint64_t deadline_ns)
{
    struct process *process = process_of(waker->epoll_fd);
    const uint64_t now_ns = process_now_ns(process);

    if (deadline_ns == waker->deadline_ns)
        return;
    waker->deadline_ns = deadline_ns;
    process->deadline_ns = deadline_ns;
    if (deadline_ns != RDMIG_NO_DEADLINE && !process->is_ending)
        port_at(process->port, deadline_ns > now_ns ? deadline_ns : now_ns, deadline_due, process,
                deadline_ns);
}

/* Now and then a signal comes to the process. */
int waker_wait(const struct waker *waker, uint32_t timeout_ms)
{
    struct process *process = process_of(waker->epoll_fd);
    const uint64_t timeout_ns = timeout_ms == UINT32_MAX ? UINT64_MAX : timeout_ms * MS_NS;

    if (!process->is_ending && timeout_ms > 0 && process_chance(process, 64)) {
        errno = EINTR;
        return -RDMIG_E_SYSTEM;
    }
    return process_block(process, timeout_ns) ? RDMIG_OK : -RDMIG_E_AGAIN;
}

/* Whatever happens to anybody meanwhile: it cannot be known yet whether it is for this one. */
bool waker_is_link_readable(int link_fd)
{
    const struct process *process = process_of(link_fd);

    return link_has_news(process->link) ||
           world_has_planned(process->world, process_now_ns(process));
}

/* ---- limits */

void budget_ask_system(struct budget_facts *facts)
{
    *facts = (struct budget_facts){.page_bytes = SIM_PAGE_BYTES,
                                   .memlock_bytes = UINT64_MAX,
                                   .pinned_bytes = 0,
                                   .cgroup_bytes = UINT64_MAX};
}

/* ---- where memory is */

void *system_block_addr(const struct world *world, enum rdmig_role role, uint32_t block)
{
    uint64_t addr = SYSTEM_SOURCE_ADDR;

    if (role == RDMIG_ROLE_DESTINATION)
        return (void *)(uintptr_t)fabric_block_addr(world->fabric, block);
    for (uint32_t i = 0; i < block; i++)
        addr += world->options->guest.block_bytes[i];
    return (void *)(uintptr_t)addr;
}

struct place {
    uint32_t block;
    uint64_t page;
    uint64_t offset_bytes;
};

static bool find_place(const struct process *process, const void *address, uint64_t length_bytes,
                       struct place *place)
{
    const struct guest_options *guest = &process->world->options->guest;

    for (uint32_t i = 0; i < guest->block_count; i++) {
        const uintptr_t start = (uintptr_t)system_block_addr(process->world, process->role, i);
        const uintptr_t at = (uintptr_t)address;

        if (at < start || at - start >= guest->block_bytes[i])
            continue;
        place->block = i;
        place->offset_bytes = at - start;
        place->page = place->offset_bytes / SIM_PAGE_BYTES;
        if (length_bytes <= guest->block_bytes[i] - place->offset_bytes)
            return true;
    }
    world_break(process->world, "outside", "the %s looks at memory that is not the guest's",
                role_name(process->role));
    return false;
}

/* ---- holes: what was found out in a call, and kept for it, as holes.c does */

struct holes {
    struct process *process;
    const uint8_t *start; /* the run that is known */
    const uint8_t *end;   /* start: none */
    bool is_hole;
};

struct holes *holes_create(void)
{
    struct holes *holes = sim_allocated(calloc(1, sizeof(*holes)));

    holes->process = process_current();
    holes->process->holes = holes;
    return holes;
}

void holes_destroy(struct holes *holes)
{
    if (holes)
        holes->process->holes = NULL;
    free(holes);
}

void holes_invalidate(struct holes *holes)
{
    holes->start = NULL;
    holes->end = NULL;
}

/* Every second block has its zeros unallocated. */
static bool is_sparse(uint32_t block)
{
    return block % 2 == 1;
}

uint64_t holes_query(struct holes *holes, const void *address, uint64_t page_count, bool *is_hole)
{
    struct process *process = holes->process;
    struct world *world = process->world;
    const uint8_t *at = address;
    struct place place;
    uint64_t count;

    *is_hole = false;
    if (at >= holes->start && at < holes->end) {
        const uint64_t left_count = (uint64_t)(holes->end - at) / SIM_PAGE_BYTES;

        *is_hole = holes->is_hole;
        return left_count < page_count ? left_count : page_count;
    }
    if (!find_place(process, address, SIM_PAGE_BYTES, &place) || !is_sparse(place.block))
        return page_count;
    if (process->role == RDMIG_ROLE_SOURCE)
        guest_advance(world->guest, process_now_ns(process));
    count = ram_run(world->ram[process->role], place.block, place.page, page_count, is_hole);
    holes->start = at;
    holes->end = at + count * SIM_PAGE_BYTES;
    holes->is_hole = *is_hole;
    return count;
}

/* Memory in small pages: no file is read to find its holes. */
uint64_t holes_read_bytes(const struct holes *holes)
{
    (void)holes;
    return 0;
}

bool holes_make_readable(struct holes *holes, const void *address, uint64_t length_bytes)
{
    struct place place;

    return find_place(holes->process, address, length_bytes, &place);
}

bool holes_make_writable(struct holes *holes, void *address, uint64_t length_bytes)
{
    struct place place;

    errno = EIO;
    return find_place(holes->process, address, length_bytes, &place) &&
           !link_is_fill_doomed(holes->process->link);
}

/* ---- access */

/* Reading a page that was never allocated would make it: whether it was is asked before, in the same
 * call. */
static bool was_allocated(const struct holes *holes, const uint8_t *address, uint64_t page_count)
{
    return holes && !holes->is_hole && address >= holes->start &&
           address + page_count * SIM_PAGE_BYTES <= holes->end;
}

uint64_t access_scan_run(const void *address, uint64_t page_count, bool *is_zero)
{
    struct process *process = process_current();
    struct world *world = process->world;
    const struct costs *costs = &world->costs;
    struct place place;
    uint64_t count;

    *is_zero = false;
    if (!find_place(process, address, page_count * SIM_PAGE_BYTES, &place))
        return page_count;
    if (process->role == RDMIG_ROLE_SOURCE)
        guest_advance(world->guest, process_now_ns(process));
    count = ram_run(world->ram[process->role], place.block, place.page, page_count, is_zero);
    if (is_sparse(place.block) && !was_allocated(process->holes, address, page_count))
        world_break(world, "allocated", "the %s reads page %llu of block %u, which may be none",
                    role_name(process->role), (unsigned long long)place.page, place.block);
    port_spend(process->port,
               *is_zero ? costs_time_ns(count * SIM_PAGE_BYTES, costs->scan_zero_bytes_per_s)
                        : count * costs->scan_data_page_ps / 1000);
    return count;
}

/* A page that is filled in part holds neither what it held nor what it is filled with. */
static void fill_part(struct ram *ram, uint32_t block, uint64_t page, uint32_t token)
{
    if (ram_get(ram, block, page) != token)
        ram_set(ram, block, page, 1, RAM_TOKEN_MISPLACED);
}

static void fill_pages(struct ram *ram, const struct place *place, uint64_t length_bytes,
                       uint32_t token)
{
    const uint64_t end_bytes = place->offset_bytes + length_bytes;
    const uint64_t first_whole = (place->offset_bytes + SIM_PAGE_BYTES - 1) / SIM_PAGE_BYTES;
    const uint64_t end_whole = end_bytes / SIM_PAGE_BYTES;

    if (place->offset_bytes % SIM_PAGE_BYTES != 0)
        fill_part(ram, place->block, place->page, token);
    if (end_bytes % SIM_PAGE_BYTES != 0 && end_whole >= first_whole)
        fill_part(ram, place->block, end_whole, token);
    if (end_whole > first_whole)
        ram_set(ram, place->block, first_whole, end_whole - first_whole, token);
}

void access_fill(void *address, uint64_t length_bytes, uint8_t value)
{
    struct process *process = process_current();
    const struct costs *costs = &process->world->costs;
    struct ram *ram = process->world->ram[process->role];
    struct place place;
    uint64_t new_bytes;

    if (!find_place(process, address, length_bytes, &place))
        return;
    new_bytes = ram_touch(ram, place.block, place.offset_bytes, length_bytes);
    port_spend(process->port,
               costs_time_ns(length_bytes, costs->fill_bytes_per_s) +
                   (new_bytes + costs->page_bytes - 1) / costs->page_bytes * costs->fault_page_ns);
    fill_pages(ram, &place, length_bytes,
               value == 0 ? RAM_TOKEN_ZERO : RAM_TOKEN_FILLED((uint32_t)value));
}

/* ---- kinds of memory: all is as it should be */

int memory_kinds_check(const struct memory *memory, bool is_written, struct rdmig_error *error)
{
    (void)memory;
    (void)is_written;
    (void)error;
    return RDMIG_OK;
}

void memory_kinds_explain(const struct memory *memory, uint32_t block_index, uint64_t offset_bytes,
                          uint64_t length_bytes, const char *what, int os_code,
                          struct rdmig_error *error)
{
    (void)memory;
    (void)block_index;
    (void)offset_bytes;
    (void)length_bytes;
    (void)what;
    if (error->reason == RDMIG_REASON_NONE)
        *error = (struct rdmig_error){.reason = RDMIG_REASON_CALLER, .os_code = os_code};
}
