/* SPDX-License-Identifier: BSD-2-Clause */
/* The stock source gives up, or is busy; and what its rounds want sent. */
#include "stock_source.h"

void stock_source_close(struct stock_source *source)
{
    if (source->stage == STOCK_STAGE_CLOSED)
        return;
    source->stage = STOCK_STAGE_CLOSED;
    port_disconnect(source->party.port);
    port_destroy(source->party.port);
}

void stock_source_patience(struct world *world, void *subject, uint64_t argument)
{
    struct stock_source *source = subject;

    (void)world;
    (void)argument;
    if (source->stage == STOCK_STAGE_LEAVING)
        stock_source_close(source);
    else if (source->stage != STOCK_STAGE_CLOSED)
        stock_source_fail(source, "nothing comes back");
}

static void leave(struct stock_source *source)
{
    struct port *port = source->party.port;

    source->stage = STOCK_STAGE_LEAVING;
    if (source->has_credit && !source->channel.is_lost &&
        stock_channel_send_error(&source->channel)) {
        port_at(port, port_time_ns(port) + stock_patience_ns(source->party.world),
                stock_source_patience, source, 0);
        return;
    }
    stock_source_close(source);
}

/* The guest goes on here, unless it may be there already. */
void stock_source_fail(struct stock_source *source, const char *why)
{
    struct world *world = source->party.world;
    struct guest *guest = world->guest;

    if (source->stage >= STOCK_STAGE_LEAVING)
        return;
    source->party.outcome = source->is_end_posted ? OUTCOME_UNKNOWN : OUTCOME_FAILED;
    world_log(world, "stock source fails: %s%s", why,
              source->is_end_posted ? "; the guest may be there" : "");
    if (!source->is_end_posted) {
        if (!guest->is_running)
            guest_resume(guest, world->ram[RDMIG_ROLE_SOURCE], world->now_ns);
        guest_mark_all(guest);
    }
    leave(source);
}

/* ---- busy */

/* What came in meanwhile is seen first: hence once more to the end of the queue. */
static void resumed(struct world *world, void *subject, uint64_t is_first)
{
    struct stock_source *source = subject;

    (void)world;
    if (is_first) {
        port_at(source->party.port, port_time_ns(source->party.port), resumed, source, 0);
        return;
    }
    source->is_planned = false;
    source->run(source);
}

void stock_source_spend(struct stock_source *source, uint64_t time_ns, enum stock_stage next)
{
    struct port *port = source->party.port;

    source->stage = next;
    source->is_planned = true;
    port_spend(port, time_ns);
    port_at(port, port_time_ns(port), resumed, source, 1);
}

/* ---- what is to be sent */

void stock_source_command(struct stock_source *source, uint32_t type, uint32_t data_bytes,
                          uint32_t answer, enum stock_stage next)
{
    source->command = STOCK_COMMAND_WANTED;
    source->command_type = type;
    source->command_data_bytes = data_bytes;
    source->command_answer = answer;
    source->is_answered = false;
    source->stage = next;
}

void stock_source_stream(struct stock_source *source, uint64_t data_word_count,
                         enum stream_word last_word)
{
    source->data_word_count = data_word_count;
    source->last_word = last_word;
}
