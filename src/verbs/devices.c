/* SPDX-License-Identifier: BSD-2-Clause */
/* What RDMA devices this host has, and whether a migration can use them. */
#include "link_internal.h"

#include "text/text.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEVICE_PORT_COUNT_MAX                                                                      \
    (sizeof(((struct rdmig_device *)0)->ports) / sizeof(struct rdmig_device_port))
#define DEVICE_GID_COUNT_MAX                                                                       \
    (sizeof(((struct rdmig_device_port *)0)->gids) / sizeof(struct rdmig_device_gid))
#define GID_TABLE_COUNT_MAX 4096u

static void refuse(struct rdmig_device *device, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* The first reason is kept: the later ones often follow from it. */
static void refuse(struct rdmig_device *device, const char *format, ...)
{
    va_list arguments;

    if (device->reason[0] != '\0')
        return;
    va_start(arguments, format);
    (void)text_vprint(device->reason, sizeof(device->reason), format, arguments);
    va_end(arguments);
}

static uint32_t mtu_bytes(enum ibv_mtu mtu)
{
    return mtu >= IBV_MTU_256 && mtu <= IBV_MTU_4096 ? 128u << mtu : 0;
}

static uint32_t count_of(int number)
{
    return number > 0 ? (uint32_t)number : 0;
}

/* Returns the length of the port's table of GIDs. */
static uint32_t fill_port(struct ibv_context *context, struct rdmig_device *device, uint32_t index)
{
    struct rdmig_device_port *port = &device->ports[index];
    struct ibv_port_attr attributes;

    port->number = index + 1;
    if (ibv_query_port(context, (uint8_t)(index + 1), &attributes) != 0)
        return 0;
    port->is_active = attributes.state == IBV_PORT_ACTIVE;
    port->is_ethernet = attributes.link_layer == IBV_LINK_LAYER_ETHERNET;
    port->mtu_active_bytes = mtu_bytes(attributes.active_mtu);
    if (attributes.max_msg_sz > device->message_bytes_max)
        device->message_bytes_max = attributes.max_msg_sz;
    return count_of(attributes.gid_tbl_len);
}

static void fill_gids(struct ibv_context *context, struct rdmig_device *device,
                      uint32_t entry_count)
{
    struct ibv_gid_entry *entries;
    ssize_t count;

    if (entry_count == 0)
        return;
    if (entry_count > GID_TABLE_COUNT_MAX)
        entry_count = GID_TABLE_COUNT_MAX;
    entries = calloc(entry_count, sizeof(*entries));
    if (entries == NULL)
        return;
    count = ibv_query_gid_table(context, entries, entry_count, 0);
    for (ssize_t i = 0; i < count && i < (ssize_t)entry_count; i++) {
        struct rdmig_device_port *port;

        if (entries[i].port_num == 0 || entries[i].port_num > DEVICE_PORT_COUNT_MAX ||
            entries[i].port_num > device->port_count)
            continue;
        port = &device->ports[entries[i].port_num - 1];
        if (port->gid_count < DEVICE_GID_COUNT_MAX) {
            port->gids[port->gid_count].index = entries[i].gid_index;
            memcpy(port->gids[port->gid_count].bytes, entries[i].gid.raw,
                   sizeof(entries[i].gid.raw));
        }
        port->gid_count++;
    }
    free(entries);
}

/* The only sure way to learn whether a device has the kind of queue pair that is needed. */
static void try_queue_pair(struct ibv_context *context, struct rdmig_device *device)
{
    struct ibv_pd *pd = ibv_alloc_pd(context);
    struct ibv_cq *cq = NULL;
    struct ibv_qp *pair = NULL;

    if (pd != NULL)
        cq = ibv_create_cq(context, (int)RDMIG_SEND_QUEUE_MIN * 2, NULL, NULL, 0);
    if (cq != NULL) {
        struct ibv_qp_init_attr attributes = {.send_cq = cq,
                                              .recv_cq = cq,
                                              .cap = {.max_send_wr = RDMIG_SEND_QUEUE_MIN + 1,
                                                      .max_recv_wr = RDMIG_RECV_SLOT_COUNT,
                                                      .max_send_sge = 1,
                                                      .max_recv_sge = 1},
                                              .qp_type = IBV_QPT_RC};

        pair = ibv_create_qp(pd, &attributes);
    }
    if (pair == NULL)
        refuse(device, "a reliable connected queue pair cannot be made on it (%s)",
               strerror(errno));
    if (pair != NULL)
        ibv_destroy_qp(pair);
    if (cq != NULL)
        ibv_destroy_cq(cq);
    if (pd != NULL)
        ibv_dealloc_pd(pd);
}

static void judge(struct ibv_context *context, struct rdmig_device *device)
{
    bool has_active_port = false;

    for (uint32_t i = 0; i < device->port_count && i < DEVICE_PORT_COUNT_MAX; i++)
        has_active_port = has_active_port || device->ports[i].is_active;
    if (!has_active_port)
        refuse(device, "no port is active: bring up the network interface under it");
    if (device->queue_pair_depth_max < RDMIG_SEND_QUEUE_MIN + 1)
        refuse(device, "its queue pairs hold %u work requests; %u are needed",
               device->queue_pair_depth_max, RDMIG_SEND_QUEUE_MIN + 1);
    if (device->completion_queue_depth_max < RDMIG_SEND_QUEUE_MIN + 1)
        refuse(device, "its completion queues hold %u entries; %u are needed",
               device->completion_queue_depth_max, RDMIG_SEND_QUEUE_MIN + 1);
    if (device->message_bytes_max < RDMIG_MESSAGE_BYTES_MAX)
        refuse(device, "its messages are at most %llu bytes long; %u are needed",
               (unsigned long long)device->message_bytes_max, RDMIG_MESSAGE_BYTES_MAX);
    if (device->reason[0] == '\0')
        try_queue_pair(context, device);
    device->is_usable = device->reason[0] == '\0';
}

bool devices_page_on_demand(const struct ibv_device_attr_ex *attributes)
{
    const struct ibv_odp_caps *caps = &attributes->odp_caps;

    return (caps->general_caps & IBV_ODP_SUPPORT) != 0 &&
           (caps->per_transport_caps.rc_odp_caps & IBV_ODP_SUPPORT_WRITE) != 0;
}

static void fill_device(struct ibv_device *handle, struct rdmig_device *device)
{
    struct ibv_device_attr_ex attributes;
    struct ibv_context *context;
    uint32_t gid_table_count = 0;
    int code;

    memset(device, 0, sizeof(*device));
    (void)snprintf(device->name, sizeof(device->name), "%s", ibv_get_device_name(handle));
    context = ibv_open_device(handle);
    if (context == NULL) {
        refuse(device, "it cannot be opened (%s): check the access to /dev/infiniband",
               strerror(errno));
        return;
    }
    code = ibv_query_device_ex(context, NULL, &attributes);
    if (code != 0) {
        refuse(device, "it does not tell its limits (%s)", strerror(code));
    } else {
        const struct ibv_device_attr *limits = &attributes.orig_attr;

        device->port_count = limits->phys_port_cnt;
        device->queue_pair_depth_max = count_of(limits->max_qp_wr);
        device->completion_queue_depth_max = count_of(limits->max_cqe);
        device->region_count_max = count_of(limits->max_mr);
        device->region_bytes_max = limits->max_mr_size;
        device->has_on_demand_paging = devices_page_on_demand(&attributes);
        for (uint32_t i = 0; i < device->port_count && i < DEVICE_PORT_COUNT_MAX; i++)
            gid_table_count += fill_port(context, device, i);
        fill_gids(context, device, gid_table_count);
        judge(context, device);
    }
    ibv_close_device(context);
}

/* The caller's struct may be another version's, shorter or longer. */
static void give_device(struct ibv_device *from, void *out, size_t device_bytes)
{
    struct rdmig_device device;

    fill_device(from, &device);
    memset(out, 0, device_bytes);
    memcpy(out, &device, device_bytes < sizeof(device) ? device_bytes : sizeof(device));
}

int rdmig_devices_list(struct rdmig_device *devices, uint32_t capacity, size_t device_bytes,
                       struct rdmig_error *error)
{
    struct ibv_device **list;
    char detail[sizeof(error->detail)];
    int count = 0;
    int32_t code;

    if (devices == NULL && capacity > 0) {
        explain_error(error, RDMIG_REASON_CALLER, 0,
                      "rdmig_devices_list() was given a capacity, but no room for devices");
        return -RDMIG_E_INVALID;
    }
    errno = 0;
    list = ibv_get_device_list(&count);
    if (list == NULL) {
        code = errno;
        /* A kernel without RDMA has no devices; that is an answer, not an error. */
        if (code == ENOSYS || code == ENOENT || code == 0)
            return 0;
        (void)snprintf(detail, sizeof(detail), "cannot ask for the RDMA devices: %s",
                       strerror(code));
        explain_error(error, RDMIG_REASON_DEVICE, code, detail);
        return -RDMIG_E_SYSTEM;
    }
    for (int i = 0; i < count && (uint32_t)i < capacity; i++)
        give_device(list[i], (char *)devices + (size_t)i * device_bytes, device_bytes);
    ibv_free_device_list(list);
    return count;
}
