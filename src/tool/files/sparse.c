/* SPDX-License-Identifier: BSD-2-Clause */
#include "sparse.h"

#include "../../ram/zero.h"
#include "fileio.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#define PAGE_BYTES  RDMIG_PAGE_BYTES
#define PIECE_BYTES ((size_t)1 << 20)

/* One stretch of a file that is either data or a hole. */
struct extent {
    uint64_t start_bytes;
    uint64_t end_bytes;
    bool is_hole;
};

static enum sparse_result read_piece(int fd, uint8_t *bytes, size_t length_bytes,
                                     uint64_t offset_bytes)
{
    ssize_t got = pread_fully(fd, bytes, length_bytes, offset_bytes);

    if (got < 0)
        return SPARSE_READ_FAILED;
    return (size_t)got < length_bytes ? SPARSE_CUT_SHORT : SPARSE_DONE;
}

static size_t piece_of(uint64_t left_bytes, size_t limit_bytes)
{
    return left_bytes < limit_bytes ? (size_t)left_bytes : limit_bytes;
}

static uint64_t round_down(uint64_t bytes)
{
    return bytes - bytes % PAGE_BYTES;
}

/* The stretch that starts at start_bytes; whole pages, so that a page is never half a hole. */
static bool find_extent(int fd, uint64_t start_bytes, uint64_t length_bytes, struct extent *extent)
{
    off_t data = lseek(fd, (off_t)start_bytes, SEEK_DATA);
    off_t hole;

    *extent = (struct extent){start_bytes, length_bytes, data < 0 && errno == ENXIO};
    if (extent->is_hole)
        return true;
    if (data < 0)
        /* This file system does not know its holes (hugetlbfs): everything is data. */
        return errno == EINVAL || errno == EOPNOTSUPP;
    if (round_down((uint64_t)data) > start_bytes) {
        extent->is_hole = true;
        if ((uint64_t)data < length_bytes)
            extent->end_bytes = round_down((uint64_t)data);
        return true;
    }
    hole = lseek(fd, data, SEEK_HOLE);
    if (hole > data && (uint64_t)hole + PAGE_BYTES <= length_bytes)
        extent->end_bytes = round_down((uint64_t)hole + PAGE_BYTES - 1);
    return hole >= 0;
}

/* Where the file system cannot punch: zeros, but only over pages that are not zero already. */
static enum sparse_result zero_by_writing(int fd, uint64_t start_bytes, uint64_t length_bytes)
{
    static const uint8_t zeros[PAGE_BYTES];
    uint8_t page[PAGE_BYTES];

    for (uint64_t done = 0; done < length_bytes; done += PAGE_BYTES) {
        const size_t piece = piece_of(length_bytes - done, PAGE_BYTES);
        const enum sparse_result result = read_piece(fd, page, piece, start_bytes + done);

        if (result == SPARSE_CUT_SHORT)
            return SPARSE_DONE; /* behind the target's end: it reads as zeros once it grows */
        if (result != SPARSE_DONE)
            return SPARSE_WRITE_FAILED;
        if (!ram_is_zero(page, piece) && !pwrite_fully(fd, zeros, piece, start_bytes + done))
            return SPARSE_WRITE_FAILED;
    }
    return SPARSE_DONE;
}

static enum sparse_result punch(int fd, uint64_t start_bytes, uint64_t length_bytes)
{
    const int result = AGAIN(fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE,
                                       (off_t)start_bytes, (off_t)length_bytes));

    if (result != 0 && (errno == EOPNOTSUPP || errno == ENOSYS))
        return zero_by_writing(fd, start_bytes, length_bytes);
    return result == 0 ? SPARSE_DONE : SPARSE_WRITE_FAILED;
}

static enum sparse_result clear(const struct sparse_copy *copy, uint64_t start_bytes,
                                uint64_t length_bytes)
{
    return copy->is_to_empty ? SPARSE_DONE : punch(copy->to_fd, start_bytes, length_bytes);
}

/* Writes a piece that has been read: runs of zero pages as holes, the others as data. */
static enum sparse_result write_piece(const struct sparse_copy *copy, const uint8_t *bytes,
                                      size_t length_bytes, uint64_t offset_bytes)
{
    enum sparse_result result = SPARSE_DONE;
    size_t done = 0;

    while (result == SPARSE_DONE && done < length_bytes) {
        const size_t left = length_bytes - done;
        bool is_zero = false;
        size_t run =
            ram_scan_run(bytes + done, PAGE_BYTES, left / PAGE_BYTES, &is_zero) * PAGE_BYTES;

        if (run == 0)
            run = left; /* less than a page */
        if (is_zero)
            result = clear(copy, offset_bytes + done, run);
        else if (!pwrite_fully(copy->to_fd, bytes + done, run, offset_bytes + done))
            result = SPARSE_WRITE_FAILED;
        done += run;
    }
    return result;
}

static enum sparse_result copy_data(const struct sparse_copy *copy, const struct extent *extent,
                                    uint8_t *buffer)
{
    uint64_t at = extent->start_bytes;

    while (at < extent->end_bytes) {
        const size_t piece = piece_of(extent->end_bytes - at, PIECE_BYTES);
        enum sparse_result result = read_piece(copy->from_fd, buffer, piece, at);

        if (result == SPARSE_DONE)
            result = write_piece(copy, buffer, piece, at);
        if (result == SPARSE_DONE && copy->frees_source)
            result = punch(copy->from_fd, at, piece);
        if (result != SPARSE_DONE)
            return result;
        at += piece;
        if (copy->proceed != NULL && !copy->proceed(copy->context, at))
            return SPARSE_STOPPED;
    }
    return SPARSE_DONE;
}

enum sparse_result sparse_run(const struct sparse_copy *copy)
{
    uint8_t *buffer = malloc(PIECE_BYTES);
    enum sparse_result result = buffer == NULL ? SPARSE_MEMORY : SPARSE_DONE;
    uint64_t at = 0;

    while (result == SPARSE_DONE && at < copy->length_bytes) {
        struct extent extent;

        if (!find_extent(copy->from_fd, at, copy->length_bytes, &extent))
            result = SPARSE_READ_FAILED;
        else if (extent.is_hole)
            result = clear(copy, extent.start_bytes, extent.end_bytes - extent.start_bytes);
        else
            result = copy_data(copy, &extent, buffer);
        at = extent.end_bytes;
        if (result == SPARSE_DONE && copy->proceed != NULL && !copy->proceed(copy->context, at))
            result = SPARSE_STOPPED;
    }
    if (result == SPARSE_DONE && lseek(copy->from_fd, 0, SEEK_END) < (off_t)copy->length_bytes)
        result = SPARSE_CUT_SHORT; /* what was cut off looked like a hole */
    free(buffer);                  /* leaves errno alone */
    return result;
}

enum sparse_result sparse_reserve(int from_fd, int to_fd, uint64_t length_bytes)
{
    struct extent extent;

    for (uint64_t at = 0; at < length_bytes; at = extent.end_bytes) {
        if (!find_extent(from_fd, at, length_bytes, &extent))
            return SPARSE_READ_FAILED;
        if (!extent.is_hole &&
            AGAIN(fallocate(to_fd, FALLOC_FL_KEEP_SIZE, (off_t)extent.start_bytes,
                            (off_t)(extent.end_bytes - extent.start_bytes))) != 0)
            return errno == EOPNOTSUPP || errno == ENOSYS ? SPARSE_DONE : SPARSE_WRITE_FAILED;
    }
    return SPARSE_DONE;
}

bool sparse_explain(enum sparse_result result, const char *from, const char *to,
                    struct tool_error *error)
{
    switch (result) {
    case SPARSE_DONE:
        return true;
    case SPARSE_STOPPED:
        break;
    case SPARSE_READ_FAILED:
        return file_fail(error, "read", from);
    case SPARSE_WRITE_FAILED:
        return file_fail(error, "write", to);
    case SPARSE_CUT_SHORT:
        return tool_error_set(error, TOOL_REASON_FILE, "leave the file alone while it is in use",
                              "%s was cut short while it was copied", from);
    case SPARSE_MEMORY:
        return tool_error_memory(error, "no memory to copy %s with", from);
    }
    return false;
}
