/* SPDX-License-Identifier: BSD-2-Clause */
/* Commands in progress, the oldest first, and the credits for more (clauses C3, C16, C17). */
#include "internal.h"

bool source_has_credit(const struct rdmig_conn *conn)
{
    return conn->u.source.credit_count > 0;
}

enum source_state source_state(const struct rdmig_conn *conn)
{
    /* AWAITING_READY for those that have no answer. */
    static const enum source_state answers[RDMIG_MESSAGE_TYPE_COUNT] = {
        [RDMIG_MESSAGE_RAM_BLOCKS_REQUEST] = SOURCE_AWAITING_BLOCKS,
        [RDMIG_MESSAGE_REGISTER_REQUEST] = SOURCE_AWAITING_RESULT,
        [RDMIG_MESSAGE_UNREGISTER_REQUEST] = SOURCE_AWAITING_UNREGISTERED,
    };
    const struct source *source = &conn->u.source;
    const struct command *oldest = &source->commands[source->command_head];

    if (source->initial_ready_pending > 0)
        return SOURCE_AWAITING_READY; /* these come before anything that is for a command */
    if (source->command_count == 0)
        return SOURCE_CREDITED;
    if (CORE_NEVER(conn, oldest->type >= RDMIG_MESSAGE_TYPE_COUNT))
        return SOURCE_AWAITING_READY;
    return oldest->is_answered ? SOURCE_AWAITING_READY : answers[oldest->type];
}

/* In a failing connection any READY is leave to say ERROR, whatever was awaited before. */
void source_take_credit(struct rdmig_conn *conn)
{
    if (conn->u.source.credit_count == 0)
        conn->u.source.credit_count = 1;
}

static struct command *command_at(struct source *source, uint32_t position)
{
    return &source->commands[(source->command_head + position) % RDMIG_CREDIT_COUNT_MAX];
}

struct command *commands_oldest(struct rdmig_conn *conn)
{
    (void)CORE_NEVER(conn, conn->u.source.command_count == 0); /* its place is there all the same */
    return command_at(&conn->u.source, 0);
}

void commands_pop(struct rdmig_conn *conn)
{
    struct source *source = &conn->u.source;

    if (CORE_NEVER(conn, source->command_count == 0))
        return;
    source->command_head = (source->command_head + 1) % RDMIG_CREDIT_COUNT_MAX;
    source->command_count--;
}

bool commands_is_oldest(const struct rdmig_conn *conn, uint32_t type)
{
    const struct source *source = &conn->u.source;

    return source->command_count > 0 && source->commands[source->command_head].type == type;
}

/* Is READY for the end of a round still to come? It is exclusive (clause C17). Nothing is written
 * before it: a page of the round may be written again, and only READY orders the two (clause C10).
 */
bool commands_is_round_ending(const struct rdmig_conn *conn)
{
    return commands_is_oldest(conn, RDMIG_MESSAGE_REGISTER_FINISHED);
}

/* May a command of this type join the outstanding ones, once there is a credit for it? */
bool credits_may_send(const struct rdmig_conn *conn, uint32_t type)
{
    const struct source *source = &conn->u.source;

    return source->command_count == 0 ||
           (!message_is_exclusive(type) &&
            !message_is_exclusive(source->commands[source->command_head].type));
}

/* The time that the destination has for the oldest command (clause E14). */
void commands_await(struct rdmig_conn *conn)
{
    conn_arm(conn, TIMER_REPLY,
             conn_work_limit_ns(conn->config.reply_timeout_ns, commands_oldest(conn)->work_bytes));
}

/* Sends a command against a credit. The caller has seen that there is one. */
void commands_send(struct rdmig_conn *conn, uint32_t slot, const struct wire_header *header,
                   uint64_t work_bytes, struct rdmig_action *action)
{
    struct source *source = &conn->u.source;
    const uint32_t entry_bytes = wire_entry_bytes(header->type);

    if (CORE_NEVER(conn, source->credit_count == 0 ||
                             source->command_count >= RDMIG_CREDIT_COUNT_MAX ||
                             !credits_may_send(conn, header->type)))
        return;
    /* A pipelined command that did not wait for a credit costs nobody the time of a round trip. */
    if (source->command_count == 0 || source->was_credit_starved)
        conn->counters.round_trips++;
    source->was_credit_starved = false;
    source->command_type = header->type;
    source->command_serial++;
    source->credit_count--;
    *command_at(source, source->command_count) = (struct command){
        .type = header->type,
        .entry_count = entry_bytes == 0 ? 0 : header->length_bytes / entry_bytes,
        .serial = source->command_serial,
        .work_bytes = work_bytes,
    };
    source->command_count++;
    if (source->command_count == 1)
        commands_await(conn);
    flight_send(conn, slot, header, action);
}
