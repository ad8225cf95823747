/* SPDX-License-Identifier: BSD-2-Clause */
/* The stock destination gives up, or is busy. */
#include "stock_destination.h"

#include "oracle.h"

void stock_destination_close(struct stock_destination *destination)
{
    if (destination->stage == STOCK_END_CLOSED)
        return;
    destination->stage = STOCK_END_CLOSED;
    port_reject(destination->party.port, NULL, 0); /* a request that nobody will accept now */
    port_disconnect(destination->party.port);
    port_destroy(destination->party.port);
}

void stock_destination_patience(struct world *world, void *subject, uint64_t argument)
{
    struct stock_destination *destination = subject;

    (void)world;
    (void)argument;
    if (destination->stage == STOCK_END_LEAVING)
        stock_destination_close(destination);
    else if (destination->stage != STOCK_END_CLOSED)
        stock_destination_fail(destination, "nothing comes back");
}

/* ERROR is sent only when the source has a receive for it: not after a READY, which has taken it.
 */
void stock_destination_fail(struct stock_destination *destination, const char *why)
{
    struct port *port = destination->party.port;
    const bool can_tell = destination->stage == STOCK_END_SERVING && !destination->is_ready_given &&
                          !destination->channel.is_lost;

    if (destination->stage >= STOCK_END_LEAVING)
        return;
    destination->stage = STOCK_END_LEAVING;
    destination->party.outcome = OUTCOME_FAILED;
    world_log(destination->party.world, "stock destination fails: %s", why);
    if (destination->fill.page_count > 0)
        oracle_fill_ended(destination->party.world->oracle);
    if (can_tell && stock_channel_send_error(&destination->channel))
        port_at(port, port_time_ns(port) + stock_patience_ns(destination->party.world),
                stock_destination_patience, destination, 0);
    else
        stock_destination_close(destination);
}

/* ---- busy */

/* What came in meanwhile is seen first: hence once more to the end of the queue. */
static void resumed(struct world *world, void *subject, uint64_t is_first)
{
    struct stock_destination *destination = subject;

    (void)world;
    if (is_first) {
        port_at(destination->party.port, port_time_ns(destination->party.port), resumed,
                destination, 0);
        return;
    }
    destination->is_planned = false;
    destination->run(destination);
}

void stock_destination_spend(struct stock_destination *destination, uint64_t time_ns)
{
    struct port *port = destination->party.port;

    destination->is_planned = true;
    port_spend(port, time_ns);
    port_at(port, port_time_ns(port), resumed, destination, 1);
}
