/* SPDX-License-Identifier: BSD-2-Clause */
/* What is no work request: regions, which take their time and are answered then; a fill and the end of
 * a round, which src/migration sees to. */
#include "ours.h"

#include "oracle.h"
#include "ram.h"

#include <inttypes.h>

enum { OS_CODE_MEMORY = 12, OS_CODE_INVALID = 22 };

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

/* ---- ending */

static void end_operation(struct ours *ours, struct ours_operation *operation)
{
    const struct rdmig_action *action = &operation->action;
    struct rdmig_event event = {.kind = RDMIG_EVENT_COMPLETED, .tag = action->tag};

    if (action->kind == RDMIG_ACTION_REGISTER)
        do_register(ours, action, &event);
    else
        do_deregister(ours, action, &event);
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

static void operation_due(struct world *world, void *subject, uint64_t index)
{
    struct ours *ours = subject;

    (void)world;
    ours->application->due(ours, (int32_t)index);
}

/* After a moment's delay; at once when there is none. */
static void proceed(struct ours *ours, uint32_t index)
{
    const uint64_t jitter_ns = world_jitter_ns(ours->party.world);

    if (jitter_ns > 0)
        port_at(ours->party.port, ours_now_ns(ours) + jitter_ns, operation_due, ours, index);
    else
        end_operation(ours, &ours->operations[index]);
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
    ours->operation_count++;
    if (action->kind == RDMIG_ACTION_FILL_RANGE)
        oracle_fill_started(world->oracle, action->block_index, action->offset_bytes,
                            action->length);
    else if (action->kind != RDMIG_ACTION_END_ROUND)
        proceed(ours, index);
}
