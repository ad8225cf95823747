/* SPDX-License-Identifier: BSD-2-Clause */
/* What the driver does for the core that is no work request: regions, filling, the end of a round.
 * Each takes its time, and its tag is answered then. */
#include "ours.h"

#include "oracle.h"
#include "ram.h"

#include <inttypes.h>

/* Filled in one go; other events have their turn in between. */
#define FILL_BYTES_PER_CALL (UINT64_C(64) << 20)

enum { OS_CODE_IO = 5, OS_CODE_MEMORY = 12, OS_CODE_INVALID = 22, OS_CODE_CANCELLED = 125 };

static void break_region(struct ours *ours, const char *what, uint32_t region)
{
    world_break(ours->party.world, "region", "%s: %s %" PRIu32, role_name(ours->party.role), what,
                region);
}

/* ---- regions */

static void do_register(struct ours *ours, const struct rdmig_action *action,
                        struct rdmig_event *answer)
{
    struct ours_region region = {.region = action->region,
                                 .block = action->block_index,
                                 .offset_bytes = action->offset_bytes,
                                 .length_bytes = action->length};

    if (ours->is_destroyed) {
        answer->status = RDMIG_STATUS_FLUSHED;
        return;
    }
    region.key = port_register(ours->party.port, action->block_index, action->offset_bytes,
                               action->length, action->is_remote_writable);
    if (region.key == 0) {
        answer->status = RDMIG_STATUS_ERROR;
        answer->os_code = OS_CODE_MEMORY;
        return;
    }
    answer->rkey = region.key;
    if (!ours_regions_add(&ours->regions, &region))
        break_region(ours, "a second region", action->region);
}

static void do_deregister(struct ours *ours, const struct rdmig_action *action,
                          struct rdmig_event *answer)
{
    struct ours_region *region = ours_regions_find(&ours->regions, action->region);

    if (!region || !port_deregister(ours->party.port, region->key)) {
        break_region(ours, "no region", action->region);
        answer->status = RDMIG_STATUS_ERROR;
        answer->os_code = OS_CODE_INVALID;
        return;
    }
    ours_regions_remove(&ours->regions, region);
}

/* ---- filling */

/* A page that is filled in part holds neither what it held nor what it is filled with. */
static void set_part(struct ram *ram, uint32_t block, uint64_t page, uint32_t token)
{
    if (ram_get(ram, block, page) != token)
        ram_set(ram, block, page, 1, RAM_TOKEN_MISPLACED);
}

static void set_pages(struct ram *ram, uint32_t block, uint64_t start_bytes, uint64_t end_bytes,
                      uint32_t token)
{
    const uint64_t first_whole = (start_bytes + SIM_PAGE_BYTES - 1) / SIM_PAGE_BYTES;
    const uint64_t end_whole = end_bytes / SIM_PAGE_BYTES;

    if (start_bytes % SIM_PAGE_BYTES != 0)
        set_part(ram, block, start_bytes / SIM_PAGE_BYTES, token);
    if (end_bytes % SIM_PAGE_BYTES != 0 && end_whole >= first_whole)
        set_part(ram, block, end_whole, token);
    if (end_whole > first_whole)
        ram_set(ram, block, first_whole, end_whole - first_whole, token);
}

static void fill_piece(struct ours *ours, struct ours_operation *operation)
{
    const struct rdmig_action *action = &operation->action;
    const struct costs *costs = &ours->party.world->costs;
    struct ram *ram = ours->party.world->ram[ours->party.role];
    const uint64_t start_bytes = action->offset_bytes + operation->done_bytes;
    uint64_t piece_bytes = action->length - operation->done_bytes;
    uint64_t new_bytes;

    if (piece_bytes > FILL_BYTES_PER_CALL)
        piece_bytes = FILL_BYTES_PER_CALL;
    new_bytes = ram_touch(ram, action->block_index, start_bytes, piece_bytes);
    port_spend(ours->party.port,
               costs_time_ns(piece_bytes, costs->fill_bytes_per_s) +
                   (new_bytes + costs->page_bytes - 1) / costs->page_bytes * costs->fault_page_ns);
    set_pages(ram, action->block_index, start_bytes, start_bytes + piece_bytes,
              action->fill_value == 0 ? RAM_TOKEN_ZERO : RAM_TOKEN_FILLED(action->fill_value));
    operation->done_bytes += piece_bytes;
}

static bool is_filling(const struct ours_operation *operation)
{
    return operation->action.kind == RDMIG_ACTION_FILL_RANGE && !operation->is_doomed &&
           operation->done_bytes < operation->action.length;
}

/* ---- ending */

/* What a VMM does with all memory before it says that the round is over: a relay compares it. */
static void spend_round(struct ours *ours)
{
    uint64_t page_count = 0;

    for (uint32_t i = 0; i < ours->block_count; i++)
        page_count += ours->blocks[i].length_bytes / SIM_PAGE_BYTES;
    port_spend(ours->party.port, page_count * ours->party.world->costs.round_page_ns);
}

static void end_operation(struct ours *ours, struct ours_operation *operation)
{
    const struct rdmig_action *action = &operation->action;
    struct rdmig_event event = {.kind = RDMIG_EVENT_COMPLETED, .tag = action->tag};

    if (action->kind == RDMIG_ACTION_REGISTER)
        do_register(ours, action, &event);
    else if (action->kind == RDMIG_ACTION_DEREGISTER)
        do_deregister(ours, action, &event);
    else if (action->kind == RDMIG_ACTION_FILL_RANGE)
        oracle_fill_ended(ours->party.world->oracle);
    else
        spend_round(ours);
    if (operation->is_doomed) {
        event.status = RDMIG_STATUS_ERROR;
        event.os_code = action->kind == RDMIG_ACTION_FILL_RANGE ? OS_CODE_IO : OS_CODE_CANCELLED;
    }
    operation->is_out = false;
    ours->operation_count--;
    ours->old_operation_tag = action->tag;
    if (event.status == RDMIG_STATUS_ERROR)
        ours_watch_error(ours, event.os_code);
    ours_tell(ours, &event);
}

void ours_end_operation(struct ours *ours, uint32_t index)
{
    if (ours->operations[index].is_out)
        end_operation(ours, &ours->operations[index]);
}

struct ours_operation *ours_find_operation(struct ours *ours, uint64_t tag)
{
    for (uint32_t i = 0; i < OURS_OPERATIONS_MAX && ours->operation_count > 0; i++) {
        if (ours->operations[i].is_out && ours->operations[i].action.tag == tag)
            return &ours->operations[i];
    }
    return NULL;
}

void ours_end_own_operation(struct ours *ours, struct ours_operation *operation,
                            enum rdmig_status status)
{
    if (operation->action.kind == RDMIG_ACTION_FILL_RANGE)
        oracle_fill_ended(ours->party.world->oracle);
    operation->is_out = false;
    ours->operation_count--;
    ours->old_operation_tag = operation->action.tag;
    if (operation->action.kind == RDMIG_ACTION_FILL_RANGE && operation->is_doomed &&
        status == RDMIG_STATUS_OK)
        world_break(ours->party.world, "failure ignored", "a fill that failed is said to be done");
}

static void operation_due(struct world *world, void *subject, uint64_t index);

/* A piece of work, then a moment's delay; the answer at once when there is none. True: answered. */
static bool proceed(struct ours *ours, uint32_t index)
{
    struct ours_operation *operation = &ours->operations[index];
    uint64_t jitter_ns;

    if (is_filling(operation))
        fill_piece(ours, operation);
    jitter_ns = world_jitter_ns(ours->party.world);
    if (jitter_ns > 0 || is_filling(operation)) {
        port_at(ours->party.port, ours_now_ns(ours) + jitter_ns, operation_due, ours, index);
        return false;
    }
    end_operation(ours, operation);
    return true;
}

static void operation_due(struct world *world, void *subject, uint64_t index)
{
    struct ours *ours = subject;
    struct ours_operation *operation = &ours->operations[index];

    (void)world;
    if (ours->application->due) {
        ours->application->due(ours, (int32_t)index);
        return;
    }
    if (is_filling(operation) && !proceed(ours, (uint32_t)index))
        return;
    if (operation->is_out)
        end_operation(ours, operation);
    ours_go_on(ours);
}

void ours_start_operation(struct ours *ours, const struct rdmig_action *action)
{
    struct world *world = ours->party.world;
    uint32_t index = 0;

    while (index < OURS_OPERATIONS_MAX && ours->operations[index].is_out)
        index++;
    if (index == OURS_OPERATIONS_MAX) {
        world_break(world, "queue overrun", "%s: too many operations at a time",
                    role_name(ours->party.role));
        return;
    }
    if (action->block_index >= ours->block_count ||
        action->offset_bytes > ours->blocks[action->block_index].length_bytes ||
        action->length > ours->blocks[action->block_index].length_bytes - action->offset_bytes) {
        world_break(world, "outside", "%s: %s outside its block", role_name(ours->party.role),
                    rdmig_action_name(action->kind));
        return;
    }
    ours->operations[index] = (struct ours_operation){.action = *action, .is_out = true};
    if (action->kind == RDMIG_ACTION_FILL_RANGE) {
        oracle_fill_started(world->oracle, action->block_index, action->offset_bytes,
                            action->length);
        ours->operations[index].is_doomed =
            !ours->application->signal &&
            (fabric_take_fault(world, FAULT_FILL_FAILS, ours->party.role) ||
             world_is_broken(world));
    } else if (action->kind == RDMIG_ACTION_END_ROUND && !ours->application->signal) {
        ours->operations[index].is_doomed =
            fabric_take_fault(world, FAULT_ROUND_REFUSED, ours->party.role);
    }
    ours->operation_count++;
    /* Who fetches his actions fills and ends rounds himself. */
    if (!ours->application->signal || action->kind == RDMIG_ACTION_REGISTER ||
        action->kind == RDMIG_ACTION_DEREGISTER)
        (void)proceed(ours, index);
}
