/* SPDX-License-Identifier: BSD-2-Clause */
#include "options.h"

#include <fcntl.h>
#include <getopt.h>
#include <rdmig/rdmig.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define RAM_MB_DEFAULT         64
#define DIRTY_MB_PER_S_DEFAULT 16
#define DIRTY_MB_PER_S_MAX     1000000
#define PORT_MAX               65535

static const char help_text[] =
    "Usage: minivmm [OPTION...]\n"
    "       minivmm --ctl SOCKET COMMAND...\n"
    "Runs a small guest that writes and checks all of its memory, and migrates it with librdmig.\n"
    "\n"
    "  --ram-mb N          the guest's memory in MiB, 8 to 16384 [64]\n"
    "  --incoming ADDRESS  start no guest: wait for one on rdma:HOST:PORT\n"
    "  --control SOCKET    take commands on this Unix socket\n"
    "  --serial FILE       append what the guest prints to FILE [standard output]\n"
    "  --kvm, --process    how the guest runs [KVM where /dev/kvm opens, else a process]\n"
    "  --dirty-mb-per-s N  how fast the guest writes its memory after its first pass [16]; 0: as\n"
    "                      fast as it can, which slower networks will not keep up with\n"
    "  --name NAME         what the status calls this minivmm [minivmm]\n"
    "  --ctl SOCKET ...    send a command to a running minivmm and print the answer\n"
    "  --help, --version\n"
    "\n"
    "Commands on the control socket, one a line; the answer is one line:\n"
    "  migrate ADDRESS [pin-all]   send the guest to the minivmm that waits there\n"
    "  cancel                      give the migration up; the guest stays and runs on\n"
    "  status                      one line of JSON\n"
    "  continue                    run the guest again after a lost hand-over, when it is certain\n"
    "                              that it does not run on the destination\n"
    "  quit                        end minivmm and its guest\n"
    "\n"
    "ADDRESS is rdma:HOST:PORT, with an IPv6 HOST in [brackets].\n"
    "Exit status: 0 normal end, 1 failure, 2 wrong usage.\n";

enum option_key {
    OPTION_RAM_MB = 1,
    OPTION_INCOMING,
    OPTION_CONTROL,
    OPTION_SERIAL,
    OPTION_KVM,
    OPTION_PROCESS,
    OPTION_DIRTY_RATE,
    OPTION_NAME,
    OPTION_HELP,
    OPTION_VERSION,
};

static const struct option option_table[] = {
    {"ram-mb", required_argument, NULL, OPTION_RAM_MB},
    {"incoming", required_argument, NULL, OPTION_INCOMING},
    {"control", required_argument, NULL, OPTION_CONTROL},
    {"serial", required_argument, NULL, OPTION_SERIAL},
    {"kvm", no_argument, NULL, OPTION_KVM},
    {"process", no_argument, NULL, OPTION_PROCESS},
    {"dirty-mb-per-s", required_argument, NULL, OPTION_DIRTY_RATE},
    {"name", required_argument, NULL, OPTION_NAME},
    {"help", no_argument, NULL, OPTION_HELP},
    {"version", no_argument, NULL, OPTION_VERSION},
    {NULL, 0, NULL, 0},
};

static bool number_parse(uint64_t *number, const char *text, uint64_t smallest, uint64_t largest)
{
    char *end;

    if (text[0] < '0' || text[0] > '9')
        return false;
    *number = strtoull(text, &end, 10);
    return *end == '\0' && *number >= smallest && *number <= largest;
}

bool rdma_address_parse(struct rdma_address *address, const char *text)
{
    const char *host = text + strlen("rdma:");
    const char *host_end;
    const char *service;
    uint64_t port;

    if (strncmp(text, "rdma:", strlen("rdma:")) != 0)
        return false;
    if (*host == '[') {
        host++;
        host_end = strchr(host, ']');
        if (host_end == NULL || host_end[1] != ':')
            return false;
        service = host_end + 2;
    } else {
        host_end = strrchr(host, ':');
        if (host_end == NULL || memchr(host, ':', (size_t)(host_end - host)) != NULL)
            return false; /* an IPv6 address without brackets: where its port begins is a guess */
        service = host_end + 1;
    }
    if (host_end == host || (size_t)(host_end - host) >= sizeof(address->host) ||
        strlen(service) >= sizeof(address->service) || !number_parse(&port, service, 0, PORT_MAX))
        return false;
    (void)snprintf(address->host, sizeof(address->host), "%.*s", (int)(host_end - host), host);
    (void)snprintf(address->service, sizeof(address->service), "%s", service);
    return true;
}

static enum options_result wrong(const char *what)
{
    (void)fprintf(stderr, "minivmm: %s; see minivmm --help\n", what);
    return OPTIONS_WRONG;
}

static const struct machine_backend *backend_default(void)
{
    const int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);

    if (fd < 0)
        return &machine_backend_process;
    (void)close(fd);
    return &machine_backend_kvm;
}

static enum options_result take_name(struct options *options, const char *value)
{
    if (strlen(value) >= sizeof(options->name))
        return wrong("--name takes at most 63 bytes");
    (void)snprintf(options->name, sizeof(options->name), "%s", value);
    return OPTIONS_START;
}

static enum options_result option_take(struct options *options, int key, const char *value)
{
    switch (key) {
    case OPTION_RAM_MB:
        if (!number_parse(&options->ram_mb, value, MACHINE_RAM_MB_MIN, MACHINE_RAM_MB_MAX))
            return wrong("--ram-mb takes a number from 8 to 16384");
        return OPTIONS_START;
    case OPTION_DIRTY_RATE:
        if (!number_parse(&options->dirty_mb_per_s, value, 0, DIRTY_MB_PER_S_MAX))
            return wrong("--dirty-mb-per-s takes a number, 0 for no limit");
        return OPTIONS_START;
    case OPTION_INCOMING:
        options->is_incoming = true;
        if (!rdma_address_parse(&options->incoming, value))
            return wrong("--incoming takes rdma:HOST:PORT, an IPv6 HOST in [brackets]");
        return OPTIONS_START;
    case OPTION_CONTROL:
        options->control_path = value;
        return OPTIONS_START;
    case OPTION_SERIAL:
        options->serial_path = value;
        return OPTIONS_START;
    case OPTION_KVM:
        options->backend = &machine_backend_kvm;
        return OPTIONS_START;
    case OPTION_PROCESS:
        options->backend = &machine_backend_process;
        return OPTIONS_START;
    case OPTION_NAME:
        return take_name(options, value);
    case OPTION_HELP:
        (void)fputs(help_text, stdout);
        return OPTIONS_DONE;
    case OPTION_VERSION:
        (void)printf("minivmm with librdmig %s\n", rdmig_version());
        return OPTIONS_DONE;
    default:
        return wrong("unknown option, or an argument is missing");
    }
}

enum options_result options_parse(struct options *options, int count, char **arguments)
{
    int key;

    *options = (struct options){
        .ram_mb = RAM_MB_DEFAULT, .dirty_mb_per_s = DIRTY_MB_PER_S_DEFAULT, .name = "minivmm"};
    opterr = 0;
    while ((key = getopt_long(count, arguments, "", option_table, NULL)) != -1) {
        const enum options_result result = option_take(options, key, optarg);

        if (result != OPTIONS_START)
            return result;
    }
    if (optind != count)
        return wrong("there is an argument too many");
    if (options->backend == NULL)
        options->backend = backend_default();
    return OPTIONS_START;
}
