/* SPDX-License-Identifier: BSD-2-Clause */
/* What must hold whenever either side gives an action, whatever the order in which things happen.
 */
#include "support/fabric.h"

static bool overlaps(const struct rdmig_action *a, const struct rdmig_action *b)
{
    return a->block_index == b->block_index && a->offset_bytes < b->offset_bytes + b->length &&
           b->offset_bytes < a->offset_bytes + a->length;
}

void oracle_no_write_there(const struct fabric *fabric, const struct rdmig_action *action)
{
    for (uint32_t i = 0; i < fabric->source.sends.count; i++) {
        const struct rdmig_action *out = &fabric->source.sends.actions[i];

        assert_false(out->kind == RDMIG_ACTION_POST_WRITE && overlaps(out, action));
    }
}

void oracle_write(const struct fabric *fabric, const struct rdmig_action *action)
{
    const struct fabric_region *local = &fabric->local[action->region];
    const struct fabric_region *remote = &fabric->remote[action->rkey];
    const uint64_t end_bytes = action->offset_bytes + action->length;

    oracle_no_write_there(fabric, action); /* clause C15 */
    assert_true(local->is_alive && remote->is_alive);
    assert_int_equal(local->block_index, action->block_index);
    assert_int_equal(remote->block_index, action->block_index);
    assert_true(action->offset_bytes >= local->offset_bytes &&
                end_bytes <= local->offset_bytes + local->length_bytes);
    assert_true(action->offset_bytes >= remote->offset_bytes &&
                end_bytes <= remote->offset_bytes + remote->length_bytes);
    assert_int_equal(action->remote_addr,
                     fabric->destination_blocks[action->block_index].host_addr +
                         action->offset_bytes);
    /* Clause C9: no range that is being filled is written to. */
    for (uint32_t i = 0; i < fabric->destination.operations.count; i++) {
        const struct rdmig_action *fill = &fabric->destination.operations.actions[i];

        assert_false(fill->kind == RDMIG_ACTION_FILL_RANGE && overlaps(fill, action));
    }
}

static bool is_alone(uint32_t type)
{
    return type != RDMIG_MESSAGE_COMPRESS && type != RDMIG_MESSAGE_REGISTER_REQUEST &&
           type != RDMIG_MESSAGE_UNREGISTER_REQUEST;
}

/* Clauses C3, C16, C17. */
static void check_command(struct fabric *fabric, uint32_t type)
{
    const uint32_t done_count = fabric->ready_count > fabric->initial_ready_pending
                                    ? fabric->ready_count - fabric->initial_ready_pending
                                    : 0;
    const uint32_t outstanding_count = fabric->command_count - done_count;

    assert_true(fabric->command_count < fabric->ready_count);
    if (outstanding_count > 0)
        assert_false(is_alone(type) || is_alone(fabric->command_type));
    fabric->command_count++;
    fabric->command_type = type;
    if (outstanding_count + 1 > fabric->command_count_max)
        fabric->command_count_max = outstanding_count + 1;
}

void oracle_send(struct fabric *fabric, const struct fabric_side *side,
                 const struct rdmig_action *action)
{
    const uint32_t type = bytes_u32(side->control + action->memory_offset_bytes + 4);

    if (side == &fabric->source && type != RDMIG_MESSAGE_ERROR)
        check_command(fabric, type);
    if (type != RDMIG_MESSAGE_REGISTER_FINISHED)
        return;
    assert_int_equal(fabric->source.silent_writes, 0); /* clause C10 */
    for (uint32_t i = 0; i < side->sends.count; i++)
        assert_true(side->sends.actions[i].kind != RDMIG_ACTION_POST_WRITE);
}

void oracle_received(struct fabric *fabric, const uint8_t *message)
{
    fabric->ready_count += bytes_u32(message + 4) == RDMIG_MESSAGE_READY;
}

/* Clause R13. */
void oracle_pinned(struct fabric_side *side, const struct rdmig_action *action)
{
    side->pinned_bytes += action->length;
    if (side->pinned_bytes > side->pinned_bytes_max)
        side->pinned_bytes_max = side->pinned_bytes;
    assert_true(side->pinned_limit_bytes == 0 || side->pinned_bytes <= side->pinned_limit_bytes);
}
