/* SPDX-License-Identifier: BSD-2-Clause */
/* What the destination's stage is called outside, and the trace of it. */
#include "destination.h"

enum rdmig_destination_state rdmig_destination_state(const struct rdmig_destination *destination)
{
    static const enum rdmig_destination_state states[] = {
        [DESTINATION_STAGE_LISTENING] = RDMIG_DESTINATION_LISTENING,
        [DESTINATION_STAGE_CONNECTED] = RDMIG_DESTINATION_CONNECTED,
        [DESTINATION_STAGE_BLOCKS_NEEDED] = RDMIG_DESTINATION_BLOCKS_NEEDED,
        [DESTINATION_STAGE_RECEIVING] = RDMIG_DESTINATION_RECEIVING,
        [DESTINATION_STAGE_ROUND_ENDED] = RDMIG_DESTINATION_ROUND_ENDED,
        [DESTINATION_STAGE_PREPARED] = RDMIG_DESTINATION_PREPARED,
        [DESTINATION_STAGE_CONFIRMING] = RDMIG_DESTINATION_CONFIRMING,
        [DESTINATION_STAGE_COMPLETED] = RDMIG_DESTINATION_COMPLETED,
        [DESTINATION_STAGE_CLOSING] = RDMIG_DESTINATION_CANCELLING,
        [DESTINATION_STAGE_CLOSED] = RDMIG_DESTINATION_FAILED,
    };

    if (destination->stage == DESTINATION_STAGE_CLOSED &&
        destination->error.reason == RDMIG_REASON_CANCELLED)
        return RDMIG_DESTINATION_CANCELLED;
    return states[destination->stage];
}

const char *rdmig_destination_state_name(enum rdmig_destination_state state)
{
    static const char *const names[] = {
        [RDMIG_DESTINATION_LISTENING] = "LISTENING",
        [RDMIG_DESTINATION_CONNECTED] = "CONNECTED",
        [RDMIG_DESTINATION_BLOCKS_NEEDED] = "BLOCKS_NEEDED",
        [RDMIG_DESTINATION_RECEIVING] = "RECEIVING",
        [RDMIG_DESTINATION_ROUND_ENDED] = "ROUND_ENDED",
        [RDMIG_DESTINATION_PREPARED] = "PREPARED",
        [RDMIG_DESTINATION_CONFIRMING] = "CONFIRMING",
        [RDMIG_DESTINATION_CANCELLING] = "CANCELLING",
        [RDMIG_DESTINATION_COMPLETED] = "COMPLETED",
        [RDMIG_DESTINATION_FAILED] = "FAILED",
        [RDMIG_DESTINATION_CANCELLED] = "CANCELLED",
    };

    return (uint32_t)state < sizeof(names) / sizeof(names[0]) ? names[state] : "unknown";
}

static void trace_now(struct rdmig_destination *destination)
{
    const enum rdmig_destination_state state = rdmig_destination_state(destination);

    destination->traced_state = state;
    numbers_trace_state(&destination->trace, rdmig_destination_state_name(state),
                        &destination->error);
}

void destination_trace_state(struct rdmig_destination *destination)
{
    if (trace_has(&destination->trace, RDMIG_TRACE_STATES) &&
        rdmig_destination_state(destination) != destination->traced_state)
        trace_now(destination);
}

int rdmig_destination_set_trace(struct rdmig_destination *destination, uint32_t kinds,
                                rdmig_trace_line write_line, void *opaque)
{
    const int result = trace_set(&destination->trace, kinds, write_line, opaque);

    if (result == RDMIG_OK && trace_has(&destination->trace, RDMIG_TRACE_STATES))
        trace_now(destination);
    return result;
}
