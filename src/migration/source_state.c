/* SPDX-License-Identifier: BSD-2-Clause */
/* What the source's stage is called outside, and the trace of it. */
#include "source.h"

enum rdmig_source_state rdmig_source_state(const struct rdmig_source *source)
{
    static const enum rdmig_source_state states[] = {
        [SOURCE_STAGE_CONNECTING] = RDMIG_SOURCE_CONNECTING,
        [SOURCE_STAGE_OPENING] = RDMIG_SOURCE_CONNECTING,
        [SOURCE_STAGE_EXCHANGING] = RDMIG_SOURCE_CONNECTING,
        [SOURCE_STAGE_ENDING_SETUP] = RDMIG_SOURCE_CONNECTING,
        [SOURCE_STAGE_IDLE] = RDMIG_SOURCE_IDLE,
        [SOURCE_STAGE_ROUND] = RDMIG_SOURCE_SENDING,
        [SOURCE_STAGE_PUSHING] = RDMIG_SOURCE_SENDING,
        [SOURCE_STAGE_PUSHED] = RDMIG_SOURCE_SENDING,
        [SOURCE_STAGE_ENDING_ROUND] = RDMIG_SOURCE_SENDING,
        [SOURCE_STAGE_FLUSHING] = RDMIG_SOURCE_SENDING,
        [SOURCE_STAGE_PREPARING] = RDMIG_SOURCE_FINISHING,
        [SOURCE_STAGE_HANDING_OVER] = RDMIG_SOURCE_FINISHING,
        [SOURCE_STAGE_AWAITING_PEER_CLOSE] = RDMIG_SOURCE_FINISHING,
        [SOURCE_STAGE_COMPLETED] = RDMIG_SOURCE_COMPLETED,
        [SOURCE_STAGE_CLOSING] = RDMIG_SOURCE_CANCELLING,
        [SOURCE_STAGE_CLOSED] = RDMIG_SOURCE_FAILED,
    };

    if (source->stage == SOURCE_STAGE_CLOSED && source->error.reason == RDMIG_REASON_CANCELLED)
        return RDMIG_SOURCE_CANCELLED;
    return states[source->stage];
}

const char *rdmig_source_state_name(enum rdmig_source_state state)
{
    static const char *const names[] = {
        [RDMIG_SOURCE_CONNECTING] = "CONNECTING", [RDMIG_SOURCE_IDLE] = "IDLE",
        [RDMIG_SOURCE_SENDING] = "SENDING",       [RDMIG_SOURCE_FINISHING] = "FINISHING",
        [RDMIG_SOURCE_CANCELLING] = "CANCELLING", [RDMIG_SOURCE_COMPLETED] = "COMPLETED",
        [RDMIG_SOURCE_FAILED] = "FAILED",         [RDMIG_SOURCE_CANCELLED] = "CANCELLED",
    };

    return (uint32_t)state < sizeof(names) / sizeof(names[0]) ? names[state] : "unknown";
}

static void trace_now(struct rdmig_source *source)
{
    const enum rdmig_source_state state = rdmig_source_state(source);

    source->traced_state = state;
    numbers_trace_state(&source->trace, rdmig_source_state_name(state), &source->error);
}

void source_trace_state(struct rdmig_source *source)
{
    if (trace_has(&source->trace, RDMIG_TRACE_STATES) &&
        rdmig_source_state(source) != source->traced_state)
        trace_now(source);
}

int rdmig_source_set_trace(struct rdmig_source *source, uint32_t kinds, rdmig_trace_line write_line,
                           void *opaque)
{
    const int result = trace_set(&source->trace, kinds, write_line, opaque);

    if (result == RDMIG_OK && trace_has(&source->trace, RDMIG_TRACE_STATES))
        trace_now(source);
    return result;
}
