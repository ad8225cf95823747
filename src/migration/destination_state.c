/* SPDX-License-Identifier: BSD-2-Clause */
/* What the destination's stage is called outside, and the trace of it. */
#include "destination.h"

enum rdmig_destination_state rdmig_destination_state(const struct rdmig_destination *destination)
{
    static const enum rdmig_destination_state states[] = {
        [TAKING_LISTENING] = RDMIG_DESTINATION_LISTENING,
        [TAKING_CONNECTED] = RDMIG_DESTINATION_CONNECTED,
        [TAKING_BLOCKS_NEEDED] = RDMIG_DESTINATION_BLOCKS_NEEDED,
        [TAKING_RECEIVING] = RDMIG_DESTINATION_RECEIVING,
        [TAKING_ROUND_ENDED] = RDMIG_DESTINATION_ROUND_ENDED,
        [TAKING_PREPARED] = RDMIG_DESTINATION_PREPARED,
        [TAKING_CONFIRMING] = RDMIG_DESTINATION_CONFIRMING,
        [TAKING_COMPLETED] = RDMIG_DESTINATION_COMPLETED,
        [TAKING_LEAVING] = RDMIG_DESTINATION_CANCELLING,
        [TAKING_OVER] = RDMIG_DESTINATION_FAILED,
    };

    if (destination->stage == TAKING_OVER && destination->error.reason == RDMIG_REASON_CANCELLED)
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
