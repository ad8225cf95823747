/* SPDX-License-Identifier: BSD-2-Clause */
/* The command line, and the address form rdma:HOST:PORT. */
#ifndef MINIVMM_OPTIONS_H
#define MINIVMM_OPTIONS_H

#include "machine.h"

#define OPTIONS_NAME_BYTES 64

struct rdma_address {
    char host[256];
    char service[32];
};

struct options {
    uint64_t ram_mb;
    uint64_t dirty_mb_per_s;
    const char *serial_path;  /* NULL: standard output */
    const char *control_path; /* NULL: none */
    const struct machine_backend *backend;
    char name[OPTIONS_NAME_BYTES];
    bool is_incoming;
    struct rdma_address incoming;
};

enum options_result {
    OPTIONS_START,
    OPTIONS_DONE,  /* help or version was printed */
    OPTIONS_WRONG, /* and said on standard error */
};

enum options_result options_parse(struct options *options, int count, char **arguments);

/* rdma:HOST:PORT, an IPv6 HOST in [brackets]. False: it is not of that form. */
bool rdma_address_parse(struct rdma_address *address, const char *text);

#endif
