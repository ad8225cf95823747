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
    return tool_error_set(error, TOOL_REASON_MEMORY, "free memory and try again",
                          "no memory for the list of devices");
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

#define IN_PORT(member)   offsetof(struct rdmig_device_port, member)
#define IN_DEVICE(member) offsetof(struct rdmig_device, member)

static const char *const link_layers[] = {"InfiniBand", "Ethernet"};

static const struct json_field port_fields[] = {
    {"number", JSON_FIELD_U32, IN_PORT(number), NULL},
    {"is_active", JSON_FIELD_BOOL, IN_PORT(is_active), NULL},
    {"link_layer", JSON_FIELD_BOOL_WORD, IN_PORT(is_ethernet), link_layers},
    {"mtu_active_bytes", JSON_FIELD_U32, IN_PORT(mtu_active_bytes), NULL},
    {"gid_count", JSON_FIELD_U32, IN_PORT(gid_count), NULL},
};

static const struct json_field device_fields[] = {
    {"name", JSON_FIELD_TEXT, IN_DEVICE(name), NULL},
    {"is_usable", JSON_FIELD_BOOL, IN_DEVICE(is_usable), NULL},
    {"reason", JSON_FIELD_TEXT, IN_DEVICE(reason), NULL},
    {"queue_pair_depth_max", JSON_FIELD_U32, IN_DEVICE(queue_pair_depth_max), NULL},
    {"completion_queue_depth_max", JSON_FIELD_U32, IN_DEVICE(completion_queue_depth_max), NULL},
    {"region_count_max", JSON_FIELD_U64, IN_DEVICE(region_count_max), NULL},
    {"region_bytes_max", JSON_FIELD_U64, IN_DEVICE(region_bytes_max), NULL},
    {"message_bytes_max", JSON_FIELD_U64, IN_DEVICE(message_bytes_max), NULL},
    {"has_on_demand_paging", JSON_FIELD_BOOL, IN_DEVICE(has_on_demand_paging), NULL},
    {"port_count", JSON_FIELD_U32, IN_DEVICE(port_count), NULL},
};

static void write_port_json(struct json *json, const struct rdmig_device_port *port)
{
    json_open_object(json, NULL);
    json_fields(json, port_fields, sizeof(port_fields) / sizeof(port_fields[0]), port);
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
    json_fields(json, device_fields, sizeof(device_fields) / sizeof(device_fields[0]), device);
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
    fprintf(out, "%s\n", device->name);
    fprintf(out, "  migration    %s%s\n", device->is_usable ? "can use it" : "cannot use it: ",
            device->is_usable ? "" : device->reason);
    fprintf(out, "  queues       pair of %u work requests, completions %u\n",
            device->queue_pair_depth_max, device->completion_queue_depth_max);
    fprintf(out, "  regions      %" PRIu64 " of at most %s, messages of at most %s\n",
            device->region_count_max, bytes_text(device->region_bytes_max).text,
            bytes_text(device->message_bytes_max).text);
    fprintf(out, "  paging       %s\n",
            device->has_on_demand_paging ? "on demand is possible" : "memory has to be pinned");
    for (uint32_t i = 0; i < shown(device->port_count, PORTS_SHOWN); i++)
        write_port_text(&device->ports[i], out);
    if (device->port_count > PORTS_SHOWN)
        fprintf(out, "  and %u more ports\n", device->port_count - (uint32_t)PORTS_SHOWN);
}

static void write_text(const struct device_list *list, FILE *out)
{
    for (uint32_t i = 0; i < list->count; i++)
        write_device_text(&list->devices[i], out);
    fprintf(out, "locked-memory limit (RLIMIT_MEMLOCK): %s\n",
            list->memlock_limit_bytes == UINT64_MAX ? "none"
                                                    : bytes_text(list->memlock_limit_bytes).text);
}

int devices_command(const struct tool_args *args)
{
    struct tool_error error = {{0}, {0}, {0}};
    struct device_list list = {.memlock_limit_bytes = rdmig_memlock_limit_bytes()};

    if (list_read(&list, &error)) {
        check_usable(&list, &error);
    } else {
        list.count = 0; /* nothing of what was read can be trusted */
    }
    if (tool_error_is_set(&error))
        tool_error_print(&error);
    if (args->is_json)
        write_json(&list, &error, stdout);
    else
        write_text(&list, stdout);
    free(list.devices);
    return report_end(tool_error_is_set(&error) ? TOOL_EXIT_FAILED : TOOL_EXIT_COMPLETED);
}
