/* SPDX-License-Identifier: BSD-2-Clause */
/* Calls of a VMM's that the library must refuse, and that change nothing. */
#include "vmm_source.h"

enum { CALL_COUNT = 12 };

/* What a source that refuses may not have changed. */
struct seen {
    enum rdmig_source_state state;
    uint64_t bytes_dirty;
    uint64_t control_messages;
    uint64_t estimate_ns;
};

static struct seen look(const struct vmm_source *source)
{
    struct rdmig_progress progress;

    rdmig_source_progress(source->handle, &progress, sizeof(progress));
    return (struct seen){rdmig_source_state(source->handle), progress.bytes_dirty,
                         progress.control_messages,
                         rdmig_source_downtime_estimate_ns(source->handle)};
}

static bool is_over(enum rdmig_source_state state)
{
    return state == RDMIG_SOURCE_COMPLETED || state == RDMIG_SOURCE_FAILED ||
           state == RDMIG_SOURCE_CANCELLED || state == RDMIG_SOURCE_CANCELLING;
}

/* No round is to come that would send what is marked. */
static bool is_last_round_over(enum rdmig_source_state state)
{
    return is_over(state) || state == RDMIG_SOURCE_FINISHING;
}

/* Each makes a call and returns what it must say, which is *result too when the call may not be made
 * just now. */
static int call_rounds(struct vmm_source *source, uint32_t which, int *result)
{
    struct rdmig_source *handle = source->handle;
    const enum rdmig_source_state state = rdmig_source_state(handle);
    const bool is_idle = state == RDMIG_SOURCE_IDLE;
    const bool is_pushing = source->is_pushing || source->stage < VMM_BETWEEN;

    switch (which) {
    case 0:
        *result = is_idle ? -RDMIG_E_STATE : rdmig_source_start_round(handle);
        return -RDMIG_E_STATE;
    case 1:
        *result = is_idle ? -RDMIG_E_STATE : rdmig_source_begin_round(handle);
        return -RDMIG_E_STATE;
    case 2:
        *result = state == RDMIG_SOURCE_SENDING && is_pushing
                      ? -RDMIG_E_STATE
                      : rdmig_source_push(handle, 0, 0, SIM_PAGE_BYTES);
        return -RDMIG_E_STATE;
    case 3:
        *result = state == RDMIG_SOURCE_SENDING && is_pushing ? -RDMIG_E_STATE
                                                              : rdmig_source_end_round(handle);
        return -RDMIG_E_STATE;
    default:
        *result =
            is_idle && look(source).bytes_dirty == 0 ? -RDMIG_E_STATE : rdmig_source_finish(handle);
        return -RDMIG_E_STATE;
    }
}

static int call_stream(struct vmm_source *source, uint32_t which, int *result)
{
    struct rdmig_source *handle = source->handle;
    const enum rdmig_source_state state = rdmig_source_state(handle);
    const bool is_idle = state == RDMIG_SOURCE_IDLE;
    static const uint64_t word;

    switch (which) {
    case 5:
        *result = is_idle ? -RDMIG_E_STATE : (int)rdmig_source_stream_write(handle, &word, 8);
        return is_over(state) && state != RDMIG_SOURCE_COMPLETED ? -RDMIG_E_FAILED : -RDMIG_E_STATE;
    case 6:
        *result =
            is_idle && !source->vmm.is_native ? -RDMIG_E_STATE : rdmig_source_stream_flush(handle);
        return -RDMIG_E_STATE;
    default:
        *result = is_idle && source->stage == VMM_OPENING ? -RDMIG_E_STATE
                                                          : rdmig_source_exchange_blocks(handle);
        return -RDMIG_E_STATE;
    }
}

static int call_marks(struct vmm_source *source, uint32_t which, int *result)
{
    struct rdmig_source *handle = source->handle;
    const enum rdmig_source_state state = rdmig_source_state(handle);
    const uint32_t block_count = source->vmm.party.world->options->guest.block_count;
    const uint64_t block_bytes = source->vmm.party.world->options->guest.block_bytes[0];
    static const uint64_t word;

    switch (which) {
    case 8:
        *result = rdmig_source_mark_dirty(handle, block_count, &word, 0, 1);
        return is_last_round_over(state) ? -RDMIG_E_STATE : -RDMIG_E_INVALID;
    case 9:
        *result = rdmig_source_mark_dirty(handle, 0, &word, 1, 1);
        return is_last_round_over(state) ? -RDMIG_E_STATE : -RDMIG_E_INVALID;
    case 10:
        *result = rdmig_source_mark_range(handle, 0, block_bytes, 1);
        return is_last_round_over(state) ? -RDMIG_E_STATE : -RDMIG_E_INVALID;
    default:
        *result = rdmig_source_mark_free(handle, 0, 0, block_bytes + 1);
        return is_over(state) ? -RDMIG_E_STATE : -RDMIG_E_INVALID;
    }
}

static int call(struct vmm_source *source, uint32_t which, int *result)
{
    if (which < 5)
        return call_rounds(source, which, result);
    return which < 8 ? call_stream(source, which, result) : call_marks(source, which, result);
}

void vmm_source_call_wrongly(struct vmm_source *source)
{
    struct world *world = source->vmm.party.world;
    const struct ratio ratio = {world->options->wrong_call_permille, 1000};
    struct seen before;
    struct seen after;
    uint32_t which;
    int result;
    int wanted;

    if (ratio.numerator == 0 || !choice_chance(world->choice, ratio))
        return;
    which = choice_below(world->choice, CALL_COUNT);
    process_enter(&source->vmm.process);
    before = look(source);
    wanted = call(source, which, &result);
    after = look(source);
    if (result != wanted)
        world_break(world, "wrong call", "call %u in state %u: %s, not %s", which,
                    (unsigned)before.state, rdmig_result_text(result), rdmig_result_text(wanted));
    if (after.state != before.state || after.bytes_dirty != before.bytes_dirty ||
        after.control_messages != before.control_messages ||
        after.estimate_ns != before.estimate_ns)
        world_break(world, "wrong call", "call %u in state %u was refused, and changed something",
                    which, (unsigned)before.state);
}
