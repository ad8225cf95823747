/* SPDX-License-Identifier: BSD-2-Clause */
#include <rdmig/core.h>

static const char *pick(const char *const *names, uint64_t count, uint64_t index)
{
    return index < count && names[index] ? names[index] : "unknown";
}

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

const char *rdmig_result_text(int result)
{
    switch (result < 0 ? 0u - (uint32_t)result : (uint32_t)result) {
    case RDMIG_OK:
        return "done";
#define ERROR_CASE(name, value, text)                                                              \
    case RDMIG_E_##name:                                                                           \
        return text;
        RDMIG_ERROR_MAP(ERROR_CASE)
#undef ERROR_CASE
    default:
        return "unknown";
    }
}

const char *rdmig_reason_name(enum rdmig_reason reason)
{
    switch (reason) {
#define REASON_CASE(name, value, is_retryable)                                                     \
    case RDMIG_REASON_##name:                                                                      \
        return #name;
        RDMIG_REASON_MAP(REASON_CASE)
#undef REASON_CASE
    }
    return "unknown";
}

bool rdmig_reason_is_retryable(enum rdmig_reason reason)
{
    static const struct {
        enum rdmig_reason reason;
        bool is_retryable;
    } rows[] = {
#define REASON_ROW(name, value, is_retryable) {RDMIG_REASON_##name, is_retryable},
        RDMIG_REASON_MAP(REASON_ROW)
#undef REASON_ROW
    };

    for (size_t i = 0; i < COUNT_OF(rows); i++) {
        if (rows[i].reason == reason)
            return rows[i].is_retryable;
    }
    return false;
}

const char *rdmig_phase_name(enum rdmig_phase phase)
{
    static const char *const names[RDMIG_PHASE_COUNT] = {
        [RDMIG_PHASE_IDLE] = "IDLE",       [RDMIG_PHASE_CONNECTING] = "CONNECTING",
        [RDMIG_PHASE_RUNNING] = "RUNNING", [RDMIG_PHASE_FINISHING] = "FINISHING",
        [RDMIG_PHASE_FAILING] = "FAILING", [RDMIG_PHASE_CLOSED] = "CLOSED",
    };
    return pick(names, COUNT_OF(names), (uint64_t)phase);
}

const char *rdmig_message_name(uint32_t message_type)
{
    static const char *const names[RDMIG_MESSAGE_TYPE_COUNT] = {
        "NONE",
        "ERROR",
        "READY",
        "QEMU_FILE",
        "RAM_BLOCKS_REQUEST",
        "RAM_BLOCKS_RESULT",
        "COMPRESS",
        "REGISTER_REQUEST",
        "REGISTER_RESULT",
        "REGISTER_FINISHED",
        "UNREGISTER_REQUEST",
        "UNREGISTER_FINISHED",
    };
    return pick(names, COUNT_OF(names), message_type);
}

const char *rdmig_event_name(enum rdmig_event_kind kind)
{
    static const char *const names[RDMIG_EVENT_KIND_COUNT] = {
        [RDMIG_EVENT_TIME_PASSED] = "TIME_PASSED",
        [RDMIG_EVENT_STARTED] = "STARTED",
        [RDMIG_EVENT_CONNECT_REQUESTED] = "CONNECT_REQUESTED",
        [RDMIG_EVENT_ESTABLISHED] = "ESTABLISHED",
        [RDMIG_EVENT_UNREACHABLE] = "UNREACHABLE",
        [RDMIG_EVENT_DISCONNECTED] = "DISCONNECTED",
        [RDMIG_EVENT_RECEIVED] = "RECEIVED",
        [RDMIG_EVENT_COMPLETED] = "COMPLETED",
        [RDMIG_EVENT_BLOCKS_PROVIDED] = "BLOCKS_PROVIDED",
        [RDMIG_EVENT_FINISH_REQUESTED] = "FINISH_REQUESTED",
        [RDMIG_EVENT_CANCEL_REQUESTED] = "CANCEL_REQUESTED",
        [RDMIG_EVENT_EXCHANGE_REQUESTED] = "EXCHANGE_REQUESTED",
        [RDMIG_EVENT_STREAM_WRITTEN] = "STREAM_WRITTEN",
        [RDMIG_EVENT_FLUSH_REQUESTED] = "FLUSH_REQUESTED",
        [RDMIG_EVENT_RANGE_PUSHED] = "RANGE_PUSHED",
        [RDMIG_EVENT_ROUND_CLOSED] = "ROUND_CLOSED",
        [RDMIG_EVENT_UNREGISTER_REQUESTED] = "UNREGISTER_REQUESTED",
        [RDMIG_EVENT_STREAM_CONSUMED] = "STREAM_CONSUMED",
    };
    return pick(names, COUNT_OF(names), (uint64_t)kind);
}

const char *rdmig_action_name(enum rdmig_action_kind kind)
{
    static const char *const names[RDMIG_ACTION_KIND_COUNT] = {
        [RDMIG_ACTION_POST_RECV] = "POST_RECV",
        [RDMIG_ACTION_CONNECT] = "CONNECT",
        [RDMIG_ACTION_ACCEPT] = "ACCEPT",
        [RDMIG_ACTION_REJECT] = "REJECT",
        [RDMIG_ACTION_POST_SEND] = "POST_SEND",
        [RDMIG_ACTION_POST_WRITE] = "POST_WRITE",
        [RDMIG_ACTION_POST_PROBE] = "POST_PROBE",
        [RDMIG_ACTION_REGISTER] = "REGISTER",
        [RDMIG_ACTION_DEREGISTER] = "DEREGISTER",
        [RDMIG_ACTION_DISCONNECT] = "DISCONNECT",
        [RDMIG_ACTION_ABANDON] = "ABANDON",
        [RDMIG_ACTION_NOTIFY_ESTABLISHED] = "NOTIFY_ESTABLISHED",
        [RDMIG_ACTION_NOTIFY_BLOCKS_EXCHANGED] = "NOTIFY_BLOCKS_EXCHANGED",
        [RDMIG_ACTION_NOTIFY_FLUSHED] = "NOTIFY_FLUSHED",
        [RDMIG_ACTION_NOTIFY_ROUND_ENDED] = "NOTIFY_ROUND_ENDED",
        [RDMIG_ACTION_NOTIFY_UNREGISTERED] = "NOTIFY_UNREGISTERED",
        [RDMIG_ACTION_REQUEST_BLOCKS] = "REQUEST_BLOCKS",
        [RDMIG_ACTION_DELIVER_STREAM] = "DELIVER_STREAM",
        [RDMIG_ACTION_FILL_RANGE] = "FILL_RANGE",
        [RDMIG_ACTION_END_ROUND] = "END_ROUND",
        [RDMIG_ACTION_NOTIFY_PEER_ENDED] = "NOTIFY_PEER_ENDED",
        [RDMIG_ACTION_NOTIFY_CLOSED] = "NOTIFY_CLOSED",
    };
    return pick(names, COUNT_OF(names), (uint64_t)kind);
}
