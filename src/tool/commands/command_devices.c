/* SPDX-License-Identifier: BSD-2-Clause */
/* rdmig devices: what there is, and whether a migration can use it. */
#include "../cli/report.h"
#include "commands.h"

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_CAPACITY 16u
/* Devices may appear between two calls; they do not do so for ever. */
#define ATTEMPT_COUNT 4u
#define PORTS_SHOWN   (sizeof(((struct rdmig_device *)0)->ports) / sizeof(struct rdmig_device_port))
#define GIDS_SHOWN    (sizeof(((struct rdmig_device_port *)0)->gids) / sizeof(struct rdmig_device_gid))

struct device_list {
    struct rdmig_device *devices; /* owned */
    uint32_t count;
    uint64_t memlock_limit_bytes; /* UINT64_MAX: none */
};

static bool list_read(struct device_list *list, struct tool_error *error)
{
    struct rdmig_error from;
    uint32_t capacity = FIRST_CAPACITY;

    for (uint32_t attempt = 0; attempt < ATTEMPT_COUNT; attempt++) {
        int count;

        free(list->devices);
        list->devices = calloc(capacity, sizeof(*list->devices));
        if (list->devices == NULL)
            break;
        memset(&from, 0, sizeof(from));
        count = rdmig_devices_list(list->devices, capacity, sizeof(struct rdmig_device), &from);
        if (count < 0) {
            tool_error_take(error, &from);
            return false;
        }
        list->count = (uint32_t)count;
        if (list->count <= capacity)
            return true;
        capacity = list->count;
    }
    tool_error_set(error, rdmig_reason_name(RDMIG_REASON_MEMORY), "free memory and try again",
                   "no memory for the list of devices");
    return false;
}

static void check_usable(const struct device_list *list, struct tool_error *error)
{
    const char *reason = rdmig_reason_name(RDMIG_REASON_DEVICE);

    for (uint32_t i = 0; i < list->count; i++) {
        if (list->devices[i].is_usable)
            return;
    }
    if (list->count == 0)
        tool_error_set(
            error, reason,
            "load the driver of the network card, or make a software one: rdma link add rxe0 "
            "type rxe netdev DEVICE",
            "there is no RDMA device");
    else
        tool_error_set(error, reason, "see the reason beside each device",
                       "no RDMA device of %u can be used", list->count);
}

static void format_gid(const struct rdmig_device_gid *gid, char text[INET6_ADDRSTRLEN])
{
    if (inet_ntop(AF_INET6, gid->bytes, text, INET6_ADDRSTRLEN) == NULL)
        text[0] = '\0';
}

static uint32_t shown(uint32_t count, size_t capacity)
{
    return count < capacity ? count : (uint32_t)capacity;
}

static void write_port_json(struct json *json, const struct rdmig_device_port *port)
{
    json_open_object(json, NULL);
    json_uint(json, "number", port->number);
    json_bool(json, "is_active", port->is_active);
    json_string(json, "link_layer", port->is_ethernet ? "Ethernet" : "InfiniBand");
    json_uint(json, "mtu_active_bytes", port->mtu_active_bytes);
    json_uint(json, "gid_count", port->gid_count);
    json_open_array(json, "gids");
    for (uint32_t i = 0; i < shown(port->gid_count, GIDS_SHOWN); i++) {
        char text[INET6_ADDRSTRLEN];

        format_gid(&port->gids[i], text);
        json_open_object(json, NULL);
        json_uint(json, "index", port->gids[i].index);
        json_string(json, "gid", text);
        json_close_object(json);
    }
    json_close_array(json);
    json_close_object(json);
}

static void write_device_json(struct json *json, const struct rdmig_device *device)
{
    json_open_object(json, NULL);
    json_string(json, "name", device->name);
    json_bool(json, "is_usable", device->is_usable);
    json_string(json, "reason", device->is_usable ? NULL : device->reason);
    json_uint(json, "queue_pair_depth_max", device->queue_pair_depth_max);
    json_uint(json, "completion_queue_depth_max", device->completion_queue_depth_max);
    json_uint(json, "region_count_max", device->region_count_max);
    json_uint(json, "region_bytes_max", device->region_bytes_max);
    json_uint(json, "message_bytes_max", device->message_bytes_max);
    json_bool(json, "has_on_demand_paging", device->has_on_demand_paging);
    json_uint(json, "port_count", device->port_count);
    json_open_array(json, "ports");
    for (uint32_t i = 0; i < shown(device->port_count, PORTS_SHOWN); i++)
        write_port_json(json, &device->ports[i]);
    json_close_array(json);
    json_close_object(json);
}

static void write_json(const struct device_list *list, const struct tool_error *error, FILE *out)
{
    struct json json;

    json_begin(&json, out);
    json_open_object(&json, NULL);
    report_write_error(&json, error);
    if (list->memlock_limit_bytes == UINT64_MAX)
        json_null(&json, "memlock_limit_bytes");
    else
        json_uint(&json, "memlock_limit_bytes", list->memlock_limit_bytes);
    json_open_array(&json, "devices");
    for (uint32_t i = 0; i < list->count; i++)
        write_device_json(&json, &list->devices[i]);
    json_close_array(&json);
    json_close_object(&json);
    fputc('\n', out);
}

static void write_port_text(const struct rdmig_device_port *port, FILE *out)
{
    fprintf(out, "  port %u       %s, %s, MTU %u bytes, %u GID%s\n", port->number,
            port->is_active ? "active" : "not active",
            port->is_ethernet ? "Ethernet" : "InfiniBand", port->mtu_active_bytes, port->gid_count,
            port->gid_count == 1 ? "" : "s");
    for (uint32_t i = 0; i < shown(port->gid_count, GIDS_SHOWN); i++) {
        char text[INET6_ADDRSTRLEN];

        format_gid(&port->gids[i], text);
        fprintf(out, "    GID %-6u %s\n", port->gids[i].index, text);
    }
    if (port->gid_count > GIDS_SHOWN)
        fprintf(out, "    and %u more\n", port->gid_count - (uint32_t)GIDS_SHOWN);
}

static void write_device_text(const struct rdmig_device *device, FILE *out)
{
    char region[32];
    char message[32];

    format_bytes(device->region_bytes_max, region);
    format_bytes(device->message_bytes_max, message);
    fprintf(out, "%s\n", device->name);
    fprintf(out, "  migration    %s%s\n", device->is_usable ? "can use it" : "cannot use it: ",
            device->is_usable ? "" : device->reason);
    fprintf(out, "  queues       pair of %u work requests, completions %u\n",
            device->queue_pair_depth_max, device->completion_queue_depth_max);
    fprintf(out, "  regions      %" PRIu64 " of at most %s, messages of at most %s\n",
            device->region_count_max, region, message);
    fprintf(out, "  paging       %s\n",
            device->has_on_demand_paging ? "on demand is possible" : "memory has to be pinned");
    for (uint32_t i = 0; i < shown(device->port_count, PORTS_SHOWN); i++)
        write_port_text(&device->ports[i], out);
    if (device->port_count > PORTS_SHOWN)
        fprintf(out, "  and %u more ports\n", device->port_count - (uint32_t)PORTS_SHOWN);
}

static void write_text(const struct device_list *list, FILE *out)
{
    char limit[32] = "none";

    for (uint32_t i = 0; i < list->count; i++)
        write_device_text(&list->devices[i], out);
    if (list->memlock_limit_bytes != UINT64_MAX)
        format_bytes(list->memlock_limit_bytes, limit);
    fprintf(out, "locked-memory limit (RLIMIT_MEMLOCK): %s\n", limit);
}

int devices_command(const struct tool_args *args)
{
    struct tool_error error = {{0}, {0}, {0}};
    struct device_list list = {.memlock_limit_bytes = rdmig_memlock_limit_bytes()};
    int status;

    if (list_read(&list, &error)) {
        check_usable(&list, &error);
    } else {
        list.count = 0; /* of what was read, nothing is to be trusted */
    }
    if (tool_error_is_set(&error))
        tool_error_print(&error);
    if (args->is_json)
        write_json(&list, &error, stdout);
    else
        write_text(&list, stdout);
    free(list.devices);
    status = tool_error_is_set(&error) ? TOOL_EXIT_FAILED : TOOL_EXIT_COMPLETED;
    if (fflush(stdout) != 0 || ferror(stdout)) {
        fprintf(stderr, "rdmig: cannot write to standard output: %s; check where it goes\n",
                strerror(errno));
        status = TOOL_EXIT_FAILED;
    }
    return status;
}
