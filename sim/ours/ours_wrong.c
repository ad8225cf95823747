/* SPDX-License-Identifier: BSD-2-Clause */
/* Calls that the core must refuse (clauses E1, E9): with the right kind of refusal, and without
 * changing a byte of what it has. */
#include "ours_wrong.h"

#include "fail.h"

#include <inttypes.h>
#include <string.h>

/* ---- making them */

static size_t compared_table_bytes(const struct ours *ours)
{
    return ours->tables.length_bytes <= TABLE_BYTES_MAX ? ours->tables.length_bytes : 0;
}

static void keep(struct ours *ours)
{
    const size_t table_bytes = compared_table_bytes(ours);

    if (!ours->before)
        ours->before = sim_allocated(malloc(ours->memory.length_bytes + TABLE_BYTES_MAX));
    memcpy(ours->before, ours->memory.bytes, ours->memory.length_bytes);
    if (table_bytes > 0)
        memcpy(ours->before + ours->memory.length_bytes, ours->tables.bytes, table_bytes);
}

static bool is_as_before(const struct ours *ours)
{
    const size_t table_bytes = compared_table_bytes(ours);

    return memcmp(ours->before, ours->memory.bytes, ours->memory.length_bytes) == 0 &&
           (table_bytes == 0 ||
            memcmp(ours->before + ours->memory.length_bytes, ours->tables.bytes, table_bytes) == 0);
}

static void judge(struct ours *ours, const char *what, int result, uint32_t says)
{
    struct world *world = ours->party.world;

    world_log(world, "%s wrong call %s: %s", role_name(ours->party.role), what,
              rdmig_result_text(result));
    if (result >= 0 || result < -31 || (says >> -result & 1) == 0)
        world_break(world, "wrong call", "%s: the core says %d to %s", role_name(ours->party.role),
                    result, what);
    if (!is_as_before(ours))
        world_break(world, "wrong call", "%s: a refused %s has changed something",
                    role_name(ours->party.role), what);
}

static void end_too_early(struct ours *ours)
{
    const enum rdmig_phase phase = rdmig_conn_phase(ours->conn);

    if (phase == RDMIG_PHASE_IDLE || phase == RDMIG_PHASE_CLOSED)
        return;
    keep(ours);
    judge(ours, "deinit", rdmig_conn_deinit(ours->conn), SAYS(STATE));
}

static void ask(struct ours *ours, struct wrong_call *call)
{
    char text[LOG_LINE_BYTES / 2];

    call->event.now_ns = ours->stepped_ns;
    (void)rdmig_event_format(&call->event, text, sizeof(text));
    keep(ours);
    judge(ours, text, rdmig_conn_step(ours->conn, &call->event), call->says);
}

/* ---- making one now */

void ours_call_wrongly(struct ours *ours)
{
    struct world *world = ours->party.world;
    const struct ratio ratio = {world->options->wrong_call_permille, 1000};
    struct wrong_call call = {0};
    uint32_t which;

    if (ratio.numerator == 0 || !choice_chance(world->choice, ratio))
        return;
    ours_ask_questions(ours);
    ours_check_invariants_notice(ours);
    which = choice_below(world->choice, wrong_call_row_count + 1);
    if (which == wrong_call_row_count)
        end_too_early(ours);
    else if ((ours->is_drained || !wrong_call_rows[which].needs_drained) &&
             wrong_call_rows[which].make(ours, &call))
        ask(ours, &call);
}

/* ---- configurations */

static void spoil(struct rdmig_conn_config *config, uint32_t which)
{
    switch (which) {
    case 0:
        config->struct_bytes--;
        break;
    case 1:
        config->role = (enum rdmig_role)2;
        break;
    case 2:
        config->capability_flags |= 2;
        break;
    case 3:
        config->run_chunk_count = 32769;
        break;
    case 4:
        config->register_batch_count = RDMIG_REGISTER_BATCH_MAX + 1;
        break;
    case 5:
        config->send_queue_depth = RDMIG_SEND_QUEUE_MIN - 1;
        break;
    case 6:
        config->send_queue_depth = RDMIG_SEND_QUEUE_MAX + 1;
        break;
    case 7:
        config->stream_message_bytes = RDMIG_STREAM_BYTES_MAX + 1;
        break;
    case 8:
        config->write_bytes_max = (UINT64_C(1) << 30) + 1;
        break;
    default:
        break;
    }
}

enum { SPOILED_CONFIGS = 9, SPOILED_CALLS = 16 };

void ours_configure_wrongly(struct ours *ours)
{
    struct world *world = ours->party.world;
    const struct ratio ratio = {world->options->wrong_call_permille, 1000};
    struct rdmig_conn_config config = ours->config;
    uint8_t *memory = ours->memory.bytes;
    uint8_t *control = ours->control.bytes;
    size_t memory_bytes = ours->memory.length_bytes;
    size_t control_bytes = ours->control.length_bytes;
    struct rdmig_conn *conn = ours->conn;
    uint32_t which;
    int result;

    if (ratio.numerator == 0 || !choice_chance(world->choice, ratio))
        return;
    which = choice_below(world->choice, SPOILED_CALLS);
    spoil(&config, which);
    keep(ours);
    memory = which == 9 ? NULL : which == 10 ? memory + 4 : memory;
    memory_bytes -= which == 11 ? 1 : 0;
    control = which == 12 ? NULL : which == 13 ? control + 32 : control;
    control_bytes -= which == 14 ? 1 : 0;
    result = rdmig_conn_init(&conn, which == 15 ? NULL : &config, memory, memory_bytes, control,
                             control_bytes, 0);
    judge(ours, "init", result, SAYS(INVALID));
    if (conn)
        world_break(world, "wrong call", "a refused init gives a connection");
    if ((which < SPOILED_CONFIGS) != (rdmig_conn_footprint_bytes(&config) == 0))
        world_break(world, "wrong call", "the footprint of configuration %" PRIu32, which);
}
