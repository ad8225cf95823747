/* SPDX-License-Identifier: BSD-2-Clause */
/* The fabric's observer: hands on what a port does to the oracle that it concerns. */
#include "oracle_internal.h"

static void private_data(void *oracle, enum rdmig_role from, const uint8_t *bytes,
                         uint32_t length_bytes)
{
    oracle_private_data(oracle, from, bytes, length_bytes);
}

static void send_posted(void *oracle, enum rdmig_role from, const uint8_t *bytes,
                        uint32_t length_bytes)
{
    oracle_send_posted(oracle, from, bytes, length_bytes);
}

static void send_arrived(void *oracle, enum rdmig_role from, const uint8_t *bytes,
                         uint32_t length_bytes)
{
    oracle_send_arrived(oracle, from, bytes, length_bytes);
}

static void write_posted(void *oracle, enum rdmig_role from, const struct write_request *request)
{
    oracle_write_posted(oracle, from, request);
}

static void access_refused(void *oracle, enum rdmig_role from, const struct write_request *request,
                           const char *why)
{
    oracle_access_refused(oracle, from, request, why);
}

static void receive_missing(void *oracle, enum rdmig_role from)
{
    oracle_receive_missing(oracle, from);
}

static void buffer_touched(void *oracle, enum rdmig_role role, const char *which)
{
    oracle_buffer_touched(oracle, role, which);
}

static void queue_overrun(void *oracle, enum rdmig_role role, const char *which)
{
    oracle_queue_overrun(oracle, role, which);
}

static void registered(void *oracle, enum rdmig_role role, uint32_t block, uint64_t offset_bytes,
                       uint64_t length_bytes, bool is_remote_writable)
{
    oracle_registered(oracle, role, block, offset_bytes, length_bytes, is_remote_writable);
}

static void deregistered(void *oracle, enum rdmig_role role, uint32_t block, uint64_t offset_bytes,
                         uint64_t length_bytes)
{
    oracle_deregistered(oracle, role, block, offset_bytes, length_bytes);
}

void oracle_watch(struct oracle *oracle, struct fabric *fabric)
{
    static const struct fabric_observer observer = {
        .private_data = private_data,
        .send_posted = send_posted,
        .send_arrived = send_arrived,
        .write_posted = write_posted,
        .access_refused = access_refused,
        .receive_missing = receive_missing,
        .buffer_touched = buffer_touched,
        .queue_overrun = queue_overrun,
        .registered = registered,
        .deregistered = deregistered,
    };

    fabric_observe(fabric, &observer, oracle);
    for (uint32_t i = 0; i < 2; i++)
        oracle->ports[i] = fabric_port(fabric, (enum rdmig_role)i);
}
