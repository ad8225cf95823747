/* SPDX-License-Identifier: BSD-2-Clause */
/* What may be asked of a core at any moment: it answers, and the answers make sense. */
#include "ours.h"

#include <inttypes.h>
#include <string.h>

static void break_answer(struct ours *ours, const char *what)
{
    world_break(ours->party.world, "answer", "%s: %s", role_name(ours->party.role), what);
}

/* ---- where it stands */

static void check_answers(struct ours *ours)
{
    const struct rdmig_conn *conn = ours->conn;
    const bool is_running = rdmig_conn_phase(conn) == RDMIG_PHASE_RUNNING;
    const bool is_source = ours->party.role == RDMIG_ROLE_SOURCE;
    const bool may_push = !ours->is_drained ||
                          (ours->is_exchanged && !ours->is_round_closing && !ours->is_flush_asked);
    const bool may_write = !ours->is_drained || (!ours->is_round_open && !ours->is_round_closing &&
                                                 !ours->is_flush_asked);

    if (rdmig_conn_range_room_count(conn) > 0 && (!is_running || !is_source || !may_push))
        world_break(ours->party.world, "answer", "%s: room for ranges now",
                    role_name(ours->party.role));
    if (rdmig_conn_stream_room_bytes(conn) > 0 && (!is_running || !is_source || !may_write))
        world_break(ours->party.world, "answer", "%s: room for the stream now",
                    role_name(ours->party.role));
    if (rdmig_conn_bytes_pending(conn) > 0 && !is_source)
        world_break(ours->party.world, "answer", "a destination has bytes to write");
    if ((rdmig_conn_failure(conn) != NULL) &&
        (is_running || rdmig_conn_phase(conn) < RDMIG_PHASE_RUNNING))
        world_break(ours->party.world, "answer", "%s: failed, and in phase %s",
                    role_name(ours->party.role), rdmig_phase_name(rdmig_conn_phase(conn)));
}

/* Whoever takes a connection up again must know when. */
static void check_deadline(struct ours *ours)
{
    const struct rdmig_conn *conn = ours->conn;
    const enum rdmig_phase phase = rdmig_conn_phase(conn);
    const uint64_t deadline_ns = rdmig_conn_deadline_ns(conn);

    if ((phase == RDMIG_PHASE_IDLE || phase == RDMIG_PHASE_CLOSED) &&
        deadline_ns != RDMIG_NO_DEADLINE)
        break_answer(ours, "a deadline, and nothing to wait for");
    if ((rdmig_conn_capability_flags(conn) & ~ours->config.capability_flags) != 0)
        break_answer(ours, "a capability that nobody offered or granted");
    if ((rdmig_conn_capability_flags(conn) & ~rdmig_conn_offered_flags(conn)) != 0)
        break_answer(ours, "a capability that the source did not offer");
    if (ours->party.role == RDMIG_ROLE_SOURCE &&
        rdmig_conn_offered_flags(conn) != ours->config.capability_flags)
        break_answer(ours, "another offer than the one it was to make");
}

static void check_counters(struct ours *ours)
{
    const bool is_source = ours->party.role == RDMIG_ROLE_SOURCE;
    struct rdmig_conn_counters counters;

    rdmig_conn_counters(ours->conn, &counters);
    if (!is_source && (counters.bytes_written != 0 || counters.writes != 0))
        break_answer(ours, "a destination counts writes");
    if (counters.round_trips > counters.control_messages)
        break_answer(ours, "more commands than messages");
    if (counters.bytes_written > 0 && counters.writes == 0)
        break_answer(ours, "bytes written, and no write");
}

/* ---- names */

/* Every value within an enum has a name, none outside. */
static void check_name(struct ours *ours, const char *name, bool is_known)
{
    if (!name || *name == '\0' || (strcmp(name, "unknown") != 0) != is_known)
        world_break(ours->party.world, "name", "%s is called %s",
                    is_known ? "what exists" : "what does not exist", name ? name : "nothing");
}

static bool is_reason(uint32_t value)
{
    switch (value) {
#define REASON_CASE(name, number, is_retryable) case number:
        RDMIG_REASON_MAP(REASON_CASE)
#undef REASON_CASE
        return true;
    default:
        return false;
    }
}

static void check_names(struct ours *ours)
{
    const uint32_t beyond = choice_below(ours->party.world->choice, 2);
    const uint32_t low = choice_below(ours->party.world->choice, 64);
    const uint32_t value = beyond == 0 ? low : UINT32_MAX - low;

    const uint32_t number = value * 25 / 3; /* reasons go up to some 500 */

    check_name(ours, rdmig_reason_name((enum rdmig_reason)number), is_reason(number));
    if (!is_reason(number) && rdmig_reason_is_retryable((enum rdmig_reason)number))
        break_answer(ours, "an unknown reason is worth another try");
    check_name(ours, rdmig_phase_name((enum rdmig_phase)value), value < RDMIG_PHASE_COUNT);
    check_name(ours, rdmig_message_name(value), value < RDMIG_MESSAGE_TYPE_COUNT);
    check_name(ours, rdmig_event_name((enum rdmig_event_kind)value),
               value < RDMIG_EVENT_KIND_COUNT);
    check_name(ours, rdmig_action_name((enum rdmig_action_kind)value),
               value < RDMIG_ACTION_KIND_COUNT);
    /* A refusal may be given as it was returned, or as it is listed. */
    check_name(ours, rdmig_result_text((int)(low % 8)), low % 8 <= RDMIG_E_SYSTEM);
    check_name(ours, rdmig_result_text(-(int)(low % 8)), low % 8 <= RDMIG_E_SYSTEM);
    check_name(ours, rdmig_result_text(INT32_MIN), false);
}

/* ---- lines of text */

/* As much as there is room for, ended, and the same length whatever that is. */
static void check_line(struct ours *ours, const char *whole, size_t whole_bytes, const char *part,
                       size_t part_bytes, size_t capacity_bytes)
{
    const size_t kept_bytes =
        capacity_bytes == 0 || whole_bytes < capacity_bytes ? whole_bytes : capacity_bytes - 1;

    if (whole_bytes >= LOG_LINE_BYTES || strlen(whole) != whole_bytes)
        break_answer(ours, "a line of another length than it says");
    if (part_bytes != whole_bytes)
        break_answer(ours, "the length of a line depends on the room for it");
    if (capacity_bytes > 0 && (memcmp(part, whole, kept_bytes) != 0 || strlen(part) != kept_bytes))
        break_answer(ours, "a line is cut in the wrong place");
}

static void check_event_line(struct ours *ours, size_t capacity_bytes)
{
    struct choice *choice = ours->party.world->choice;
    struct rdmig_event event = {.tag = ours->old_send_tag, .length = ours->unconsumed_bytes};
    char whole[LOG_LINE_BYTES];
    char part[LOG_LINE_BYTES];
    size_t whole_bytes;
    size_t part_bytes;

    event.kind = (enum rdmig_event_kind)choice_below(choice, RDMIG_EVENT_KIND_COUNT + 1);
    event.status = (enum rdmig_status)choice_below(choice, 5);
    event.os_code = (int32_t)choice_below(choice, 3) - 1;
    event.rkey = choice_below(choice, 2);
    event.flush = (enum rdmig_flush)choice_below(choice, 2);
    event.is_zero = choice_below(choice, 2) == 1;
    whole_bytes = rdmig_event_format(&event, whole, sizeof(whole));
    part_bytes = rdmig_event_format(&event, capacity_bytes > 0 ? part : NULL, capacity_bytes);
    check_line(ours, whole, whole_bytes, part, part_bytes, capacity_bytes);
}

static void check_action_line(struct ours *ours, size_t capacity_bytes)
{
    struct choice *choice = ours->party.world->choice;
    struct rdmig_action action = {.tag = ours->old_send_tag, .length = ours->unconsumed_bytes};
    char whole[LOG_LINE_BYTES];
    char part[LOG_LINE_BYTES];
    size_t whole_bytes;
    size_t part_bytes;

    action.kind = (enum rdmig_action_kind)choice_below(choice, RDMIG_ACTION_KIND_COUNT + 1);
    action.is_signalled = choice_below(choice, 2) == 1;
    action.is_remote_writable = choice_below(choice, 2) == 1;
    whole_bytes = rdmig_action_format(&action, whole, sizeof(whole));
    part_bytes = rdmig_action_format(&action, capacity_bytes > 0 ? part : NULL, capacity_bytes);
    check_line(ours, whole, whole_bytes, part, part_bytes, capacity_bytes);
}

void ours_ask_questions(struct ours *ours)
{
    const uint32_t capacity_bytes = choice_below(ours->party.world->choice, 60);
    const uint32_t which = choice_below(ours->party.world->choice, 2);

    check_answers(ours);
    check_deadline(ours);
    check_counters(ours);
    check_names(ours);
    if (which == 0)
        check_event_line(ours, capacity_bytes);
    else
        check_action_line(ours, capacity_bytes);
}
