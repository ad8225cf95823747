/* SPDX-License-Identifier: BSD-2-Clause */
/* Lines for a caller's trace. */
#include "trace.h"

#include "text/text.h"

#include <inttypes.h>
#include <stdio.h>

#define KINDS_ALL                                                                                  \
    (RDMIG_TRACE_STATES | RDMIG_TRACE_MESSAGES | RDMIG_TRACE_REGIONS | RDMIG_TRACE_WORK)
#define LINE_BYTES 768u /* a detail of 319 bytes, escapes included, and what stands before it */
#define PART_BYTES 256u /* no line of the core is longer */

static const uint32_t event_kinds[RDMIG_EVENT_KIND_COUNT] = {
    [RDMIG_EVENT_TIME_PASSED] = RDMIG_TRACE_WORK,
    [RDMIG_EVENT_STARTED] = RDMIG_TRACE_STATES,
    [RDMIG_EVENT_CONNECT_REQUESTED] = RDMIG_TRACE_STATES,
    [RDMIG_EVENT_ESTABLISHED] = RDMIG_TRACE_STATES,
    [RDMIG_EVENT_UNREACHABLE] = RDMIG_TRACE_STATES,
    [RDMIG_EVENT_DISCONNECTED] = RDMIG_TRACE_STATES,
    [RDMIG_EVENT_RECEIVED] = RDMIG_TRACE_WORK,
    [RDMIG_EVENT_COMPLETED] = RDMIG_TRACE_WORK,
    [RDMIG_EVENT_BLOCKS_PROVIDED] = RDMIG_TRACE_STATES,
    [RDMIG_EVENT_FINISH_REQUESTED] = RDMIG_TRACE_STATES,
    [RDMIG_EVENT_CANCEL_REQUESTED] = RDMIG_TRACE_STATES,
    [RDMIG_EVENT_EXCHANGE_REQUESTED] = RDMIG_TRACE_STATES,
    [RDMIG_EVENT_STREAM_WRITTEN] = RDMIG_TRACE_WORK,
    [RDMIG_EVENT_FLUSH_REQUESTED] = RDMIG_TRACE_STATES,
    [RDMIG_EVENT_RANGE_PUSHED] = RDMIG_TRACE_WORK,
    [RDMIG_EVENT_ROUND_CLOSED] = RDMIG_TRACE_STATES,
    [RDMIG_EVENT_UNREGISTER_REQUESTED] = RDMIG_TRACE_REGIONS,
    [RDMIG_EVENT_STREAM_CONSUMED] = RDMIG_TRACE_WORK,
};

/* A message that is sent has a line of its own. */
static const uint32_t action_kinds[RDMIG_ACTION_KIND_COUNT] = {
    [RDMIG_ACTION_POST_RECV] = RDMIG_TRACE_WORK,
    [RDMIG_ACTION_CONNECT] = RDMIG_TRACE_STATES,
    [RDMIG_ACTION_ACCEPT] = RDMIG_TRACE_STATES,
    [RDMIG_ACTION_REJECT] = RDMIG_TRACE_STATES,
    [RDMIG_ACTION_POST_SEND] = RDMIG_TRACE_WORK,
    [RDMIG_ACTION_POST_WRITE] = RDMIG_TRACE_WORK,
    [RDMIG_ACTION_POST_PROBE] = RDMIG_TRACE_WORK,
    [RDMIG_ACTION_REGISTER] = RDMIG_TRACE_REGIONS,
    [RDMIG_ACTION_DEREGISTER] = RDMIG_TRACE_REGIONS,
    [RDMIG_ACTION_DISCONNECT] = RDMIG_TRACE_STATES,
    [RDMIG_ACTION_ABANDON] = RDMIG_TRACE_STATES,
    [RDMIG_ACTION_NOTIFY_ESTABLISHED] = RDMIG_TRACE_STATES,
    [RDMIG_ACTION_NOTIFY_BLOCKS_EXCHANGED] = RDMIG_TRACE_STATES,
    [RDMIG_ACTION_NOTIFY_FLUSHED] = RDMIG_TRACE_STATES,
    [RDMIG_ACTION_NOTIFY_ROUND_ENDED] = RDMIG_TRACE_STATES,
    [RDMIG_ACTION_NOTIFY_UNREGISTERED] = RDMIG_TRACE_REGIONS,
    [RDMIG_ACTION_REQUEST_BLOCKS] = RDMIG_TRACE_STATES,
    [RDMIG_ACTION_DELIVER_STREAM] = RDMIG_TRACE_WORK,
    [RDMIG_ACTION_FILL_RANGE] = RDMIG_TRACE_WORK,
    [RDMIG_ACTION_END_ROUND] = RDMIG_TRACE_STATES,
    [RDMIG_ACTION_NOTIFY_PEER_ENDED] = RDMIG_TRACE_STATES,
    [RDMIG_ACTION_NOTIFY_CLOSED] = RDMIG_TRACE_STATES,
};

int trace_set(struct trace *trace, uint32_t kinds, rdmig_trace_line write_line, void *opaque)
{
    if ((kinds & ~(uint32_t)KINDS_ALL) != 0 || (kinds != 0 && !write_line))
        return -RDMIG_E_INVALID;
    *trace = (struct trace){.kinds = kinds, .write_line = write_line, .opaque = opaque};
    return RDMIG_OK;
}

void trace_print(const struct trace *trace, uint64_t now_ns, const char *format, ...)
{
    char line[LINE_BYTES];
    const int time_bytes = snprintf(line, sizeof(line), "%" PRIu64 " ", now_ns);
    va_list arguments;

    va_start(arguments, format);
    (void)text_vprint(line + time_bytes, sizeof(line) - (size_t)time_bytes, format, arguments);
    va_end(arguments);
    trace->write_line(trace->opaque, line);
}

void trace_event(const struct trace *trace, const struct rdmig_event *event)
{
    const bool has_failed = event->kind == RDMIG_EVENT_COMPLETED &&
                            event->status != RDMIG_STATUS_OK &&
                            event->status != RDMIG_STATUS_FLUSHED;
    char part[PART_BYTES];

    if (!trace_has(trace, event_kinds[event->kind] | (has_failed ? RDMIG_TRACE_STATES : 0)))
        return;
    (void)rdmig_event_format(event, part, sizeof(part));
    trace_print(trace, event->now_ns, "event %s", part);
}

void trace_action(const struct trace *trace, uint64_t now_ns, const struct rdmig_action *action)
{
    char part[PART_BYTES];

    if (!trace_has(trace, action_kinds[action->kind]))
        return;
    (void)rdmig_action_format(action, part, sizeof(part));
    trace_print(trace, now_ns, "action %s", part);
}

void trace_message(const struct trace *trace, uint64_t now_ns, const char *what, const void *bytes,
                   uint64_t length_bytes)
{
    char part[PART_BYTES];

    if (!trace_has(trace, RDMIG_TRACE_MESSAGES))
        return;
    (void)rdmig_message_format(bytes, length_bytes, part, sizeof(part));
    trace_print(trace, now_ns, "%s %s", what, part);
}
