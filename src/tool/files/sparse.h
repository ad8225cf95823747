/* SPDX-License-Identifier: BSD-2-Clause */
/* Copies between files that keep holes: neither end allocates a page that is zero. */
#ifndef RDMIG_TOOL_SPARSE_H
#define RDMIG_TOOL_SPARSE_H

#include "../cli/error.h"

enum sparse_result {
    SPARSE_DONE,
    SPARSE_STOPPED,     /* proceed() returned false */
    SPARSE_READ_FAILED, /* errno tells why; likewise below */
    SPARSE_WRITE_FAILED,
    SPARSE_CUT_SHORT, /* the source file ended before length_bytes */
    SPARSE_MEMORY     /* no buffer */
};

/* Called now and then with the bytes done so far; false stops the copy. */
typedef bool sparse_proceed(void *context, uint64_t done_bytes);

struct sparse_copy {
    int from_fd;
    int to_fd;
    uint64_t length_bytes;
    bool is_to_empty;  /* the target is known to read as zeros everywhere: holes need no work */
    bool frees_source; /* give the source's memory back piece by piece; it reads as zeros then */
    sparse_proceed *proceed; /* may be NULL */
    void *context;
};

/* Copies [0, length_bytes). The target must be that long already, or grow by itself. */
enum sparse_result sparse_run(const struct sparse_copy *copy);

/*
 * Makes sure that writing from_fd's data into to_fd will not run out of space, without changing
 * what to_fd holds. DONE as well where the file system cannot promise that.
 */
enum sparse_result sparse_reserve(int from_fd, int to_fd, uint64_t length_bytes);

/*
 * True for DONE. Otherwise false with *error set, but for STOPPED: who stopped it knows why. Call
 * it before anything else changes errno.
 */
bool sparse_explain(enum sparse_result result, const char *from, const char *to,
                    struct tool_error *error);

#endif
