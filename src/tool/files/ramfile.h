/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Memory blocks that are files. A file of shared memory (a memfd by its /proc path, tmpfs,
 * hugetlbfs) is mapped as it is. Mappings of ordinary files cannot be pinned for RDMA: such a
 * block lives in a memfd of the same length, and its bytes are copied, holes kept.
 */
#ifndef RDMIG_TOOL_RAMFILE_H
#define RDMIG_TOOL_RAMFILE_H

#include "../cli/args.h"
#include "sparse.h"

#include <sys/types.h>

enum ramfile_use {
    RAMFILE_SEND, /* read, but mapped for writing too if that is allowed: see readonly.h */
    RAMFILE_SEND_READ_ONLY, /* opened and mapped for reading alone */
    RAMFILE_RECV            /* written */
};

struct ramfile {
    const char *name; /* of the block */
    char *own_name;   /* NULL: the name is the caller's */
    const char *path; /* NULL: a block without a file */
    int file_fd;      /* -1: none */
    int memory_fd;    /* memfd that stands in for the file; -1: the file itself is mapped */
    void *host_addr;  /* NULL: not mapped */
    uint64_t length_bytes;
    uint64_t page_bytes; /* of the mapping: huge pages can only be replaced whole */
    dev_t device;        /* of file_fd */
    ino_t inode;
};

struct ramfile_set {
    struct ramfile *files;
    uint32_t count;
    struct rdmig_ram_block *blocks; /* the same, as the library takes them */
};

/* All functions: false with *error set. ramfile_set_close() is due after a failure as well. */

/* Opens and maps. Nothing is copied yet, no file is changed. Names and paths stay the caller's. */
bool ramfile_set_open(struct ramfile_set *set, const struct tool_ram *rams, uint32_t count,
                      enum ramfile_use use, struct tool_error *error);
/*
 * The same for files that the caller has opened for reading: they become the set's, also on
 * failure. is_mapped: shared memory among them is mapped as it is, otherwise all are copied.
 */
bool ramfile_set_adopt(struct ramfile_set *set, const struct tool_ram *rams, const int *fds,
                       uint32_t count, bool is_mapped, struct tool_error *error);
/* The same for blocks that have no file: fresh memory that reads as zeros. Names are copied. */
bool ramfile_set_allocate(struct ramfile_set *set, const struct rdmig_ram_block *wanted,
                          uint32_t count, struct tool_error *error);

/*
 * Ordinary files into their memory, or back. proceed counts over all files; when it stops the copy,
 * the result is false and *error stays as it is.
 */
bool ramfile_set_load(const struct ramfile_set *set, sparse_proceed *proceed, void *context,
                      struct tool_error *error);
bool ramfile_set_store(const struct ramfile_set *set, sparse_proceed *proceed, void *context,
                       struct tool_error *error);
/* Asks the file systems for the space that store will need. What the files hold does not change. */
bool ramfile_set_reserve(const struct ramfile_set *set, struct tool_error *error);

/* False when a file has become shorter than its block since it was mapped. */
bool ramfile_set_check_lengths(const struct ramfile_set *set, struct tool_error *error);

/* Index of the block that holds this address, or -1. Safe in a signal handler. */
int64_t ramfile_set_find(const struct ramfile_set *set, const void *address);

/* Unmaps and closes everything. The library's handle has to be gone before. */
void ramfile_set_close(struct ramfile_set *set);

#endif
