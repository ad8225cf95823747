/* SPDX-License-Identifier: BSD-2-Clause */
#include "stock.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { CLEARED_BYTES = 256 };
#define MILLISECOND_NS UINT64_C(1000000)

void stock_channel_init(struct stock_channel *channel, struct party *party)
{
    *channel = (struct stock_channel){.party = party};
    /* Not cleared but for the beginnings, at which the fabric looks: a megabyte and a half for each
     * world would cost more than the world. */
    channel->recv_memory = malloc((size_t)STOCK_RECV_COUNT * STOCK_RECV_BYTES);
    channel->send_memory = malloc(STOCK_HEADER_BYTES + STOCK_STREAM_BYTES);
    if (!channel->recv_memory || !channel->send_memory)
        abort();
    while (channel->free_count < STOCK_RECV_COUNT) {
        memset(channel->recv_memory + (size_t)channel->free_count * STOCK_RECV_BYTES, 0,
               CLEARED_BYTES);
        channel->free_buffers[channel->free_count] = channel->free_count;
        channel->free_count++;
    }
}

void stock_channel_free(struct stock_channel *channel)
{
    free(channel->recv_memory);
    free(channel->send_memory);
}

bool stock_channel_keep(struct stock_channel *channel, uint32_t receive_count)
{
    while (channel->posted_count < receive_count && channel->free_count > 0) {
        const uint32_t buffer = channel->free_buffers[channel->free_count - 1];
        uint8_t *memory = channel->recv_memory + (size_t)buffer * STOCK_RECV_BYTES;

        if (!port_post_recv(channel->party->port,
                            (uint64_t)STOCK_WORK_RECV << STOCK_WORK_SHIFT | buffer, memory,
                            STOCK_RECV_BYTES))
            return false;
        channel->free_count--;
        channel->posted_count++;
    }
    return channel->posted_count >= receive_count;
}

static void log_message(const struct party *party, const char *verb, uint32_t type, uint32_t repeat,
                        uint32_t data_bytes)
{
    if (world_is_logging(party->world))
        world_log(party->world, "stock %s %s %s repeat %" PRIu32 " len %" PRIu32,
                  role_name(party->role), verb, stock_type_name(type), repeat, data_bytes);
}

bool stock_channel_send(struct stock_channel *channel, uint32_t type, uint32_t repeat,
                        uint32_t data_bytes)
{
    struct party *party = channel->party;

    stock_write_header(channel->send_memory, type, repeat, data_bytes);
    log_message(party, "sends", type, repeat, data_bytes);
    if (!port_post_send(party->port, (uint64_t)STOCK_WORK_SEND << STOCK_WORK_SHIFT,
                        channel->send_memory, STOCK_HEADER_BYTES + data_bytes, true))
        return false;
    party->numbers.control_messages++;
    channel->is_sending = true;
    return true;
}

bool stock_channel_send_error(struct stock_channel *channel)
{
    struct party *party = channel->party;

    stock_write_header(channel->error_memory, STOCK_ERROR, 0, 0);
    log_message(party, "sends", STOCK_ERROR, 0, 0);
    if (!port_post_send(party->port, (uint64_t)STOCK_WORK_ERROR << STOCK_WORK_SHIFT,
                        channel->error_memory, STOCK_HEADER_BYTES, true))
        return false;
    party->numbers.control_messages++;
    return true;
}

bool stock_channel_received(struct stock_channel *channel, const struct completion *completion)
{
    const uint32_t buffer = (uint32_t)(completion->id & 0xff);
    struct stock_message *message = &channel->received[channel->received_count];

    channel->posted_count--;
    if (completion->status != COMPLETION_OK) {
        stock_channel_give_back(channel, buffer);
        return true;
    }
    channel->party->numbers.control_messages++;
    if (!stock_read_message(channel->recv_memory + (size_t)buffer * STOCK_RECV_BYTES,
                            completion->length_bytes, message)) {
        stock_channel_give_back(channel, buffer);
        return false;
    }
    message->buffer = buffer;
    channel->received_count++;
    log_message(channel->party, "gets", message->type, message->repeat, message->length_bytes);
    return true;
}

bool stock_channel_take(struct stock_channel *channel, struct stock_message *message)
{
    if (channel->received_count == 0)
        return false;
    *message = channel->received[0];
    channel->received_count--;
    for (uint32_t i = 0; i < channel->received_count; i++)
        channel->received[i] = channel->received[i + 1];
    return true;
}

void stock_channel_give_back(struct stock_channel *channel, uint32_t buffer)
{
    channel->free_buffers[channel->free_count++] = buffer;
}

void stock_channel_lose(struct stock_channel *channel, world_handler *handler, void *subject)
{
    struct port *port = channel->party->port;

    if (channel->is_lost)
        return;
    channel->is_lost = true;
    port_disconnect(port);
    port_at(port, port_time_ns(port) + stock_patience_ns(channel->party->world), handler, subject,
            0);
}

uint64_t stock_patience_ns(const struct world *world)
{
    return world->costs.retry_timeout_ns + MILLISECOND_NS;
}

uint64_t stock_chunk_bytes(const struct world *world)
{
    const struct options *options = world->options;
    const uint64_t set_bytes = world->costs.stock_chunk_bytes;

    if (options->kind[RDMIG_ROLE_SOURCE] != PARTY_STOCK ||
        options->kind[RDMIG_ROLE_DESTINATION] != PARTY_STOCK || set_bytes < RDMIG_CHUNK_BYTES)
        return RDMIG_CHUNK_BYTES;
    return set_bytes - set_bytes % RDMIG_CHUNK_BYTES;
}
