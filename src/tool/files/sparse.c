/* SPDX-License-Identifier: BSD-2-Clause */
#include "sparse.h"

#include "again.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PAGE_BYTES  4096u
#define PIECE_BYTES ((size_t)1 << 20)

/* One stretch of a file that is either data or a hole. */
struct extent {
    uint64_t start_bytes;
    uint64_t end_bytes;
    bool is_hole;
};

bool write_fully(int fd, const void *bytes, size_t length_bytes)
{
    const char *at = bytes;

    while (length_bytes > 0) {
        ssize_t written = write(fd, at, length_bytes);

        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0) {
            errno = written == 0 ? EIO : errno;
            return false;
        }
        at += written;
        length_bytes -= (size_t)written;
    }
    return true;
}

static bool pwrite_fully(int fd, const uint8_t *bytes, size_t length_bytes, uint64_t offset_bytes)
{
    while (length_bytes > 0) {
        ssize_t written = pwrite(fd, bytes, length_bytes, (off_t)offset_bytes);

        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0) {
            errno = written == 0 ? EIO : errno;
            return false;
        }
        bytes += written;
        length_bytes -= (size_t)written;
        offset_bytes += (uint64_t)written;
    }
    return true;
}

static enum sparse_result pread_fully(int fd, uint8_t *bytes, size_t length_bytes,
                                      uint64_t offset_bytes)
{
    while (length_bytes > 0) {
        ssize_t got = pread(fd, bytes, length_bytes, (off_t)offset_bytes);

        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return got == 0 ? SPARSE_CUT_SHORT : SPARSE_READ_FAILED;
        bytes += got;
        length_bytes -= (size_t)got;
        offset_bytes += (uint64_t)got;
    }
    return SPARSE_DONE;
}

/* length_bytes > 0. Each byte equals the one before it, and the first is 0. */
static bool is_all_zero(const uint8_t *bytes, size_t length_bytes)
{
    return bytes[0] == 0 && memcmp(bytes, bytes + 1, length_bytes - 1) == 0;
}

static uint64_t round_down(uint64_t bytes)
{
    return bytes - bytes % PAGE_BYTES;
}

static uint64_t round_up_to(uint64_t bytes, uint64_t limit_bytes)
{
    uint64_t down = round_down(bytes);

    if (down == bytes || limit_bytes - down < PAGE_BYTES)
        return down == bytes ? bytes : limit_bytes;
    return down + PAGE_BYTES;
}

/* The stretch that starts at start_bytes; whole pages, so that a page is never half a hole. */
static bool find_extent(int fd, uint64_t start_bytes, uint64_t length_bytes, struct extent *extent)
{
    off_t data = lseek(fd, (off_t)start_bytes, SEEK_DATA);
    off_t hole;

    extent->start_bytes = start_bytes;
    extent->end_bytes = length_bytes;
    extent->is_hole = false;
    if (data < 0 && errno == ENXIO) {
        extent->is_hole = true;
        return true;
    }
    if (data < 0) {
        /* This file system does not know its holes (hugetlbfs): everything is data. */
        return errno == EINVAL || errno == EOPNOTSUPP;
    }
    if (round_down((uint64_t)data) > start_bytes) {
        extent->is_hole = true;
        extent->end_bytes =
            (uint64_t)data < length_bytes ? round_down((uint64_t)data) : length_bytes;
        return true;
    }
    hole = lseek(fd, data, SEEK_HOLE);
    if (hole > data && (uint64_t)hole < length_bytes)
        extent->end_bytes = round_up_to((uint64_t)hole, length_bytes);
    return hole >= 0;
}

/* Where the file system cannot punch: zeros, but only over pages that are not zero already. */
static enum sparse_result zero_by_writing(int fd, uint64_t start_bytes, uint64_t length_bytes)
{
    uint8_t page[PAGE_BYTES];
    uint64_t done = 0;

    while (done < length_bytes) {
        uint64_t left = length_bytes - done;
        size_t piece = left < sizeof(page) ? (size_t)left : sizeof(page);
        enum sparse_result result = pread_fully(fd, page, piece, start_bytes + done);

        if (result == SPARSE_CUT_SHORT) {
            return SPARSE_DONE; /* behind the target's end: it reads as zeros once it grows */
        }
        if (result != SPARSE_DONE)
            return SPARSE_WRITE_FAILED;
        if (!is_all_zero(page, piece)) {
            memset(page, 0, piece);
            if (!pwrite_fully(fd, page, piece, start_bytes + done))
                return SPARSE_WRITE_FAILED;
        }
        done += piece;
    }
    return SPARSE_DONE;
}

static enum sparse_result punch(int fd, uint64_t start_bytes, uint64_t length_bytes)
{
    int result =
        again_fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, start_bytes, length_bytes);

    if (result != 0 && (errno == EOPNOTSUPP || errno == ENOSYS))
        return zero_by_writing(fd, start_bytes, length_bytes);
    return result == 0 ? SPARSE_DONE : SPARSE_WRITE_FAILED;
}

static enum sparse_result clear(const struct sparse_copy *copy, uint64_t start_bytes,
                                uint64_t length_bytes)
{
    return copy->is_to_empty ? SPARSE_DONE : punch(copy->to_fd, start_bytes, length_bytes);
}

/* Bytes of the pages from start on that are all zero, or all not, as the first one is. */
static size_t find_run(const uint8_t *bytes, size_t length_bytes, bool *is_zero)
{
    size_t run = 0;

    while (run < length_bytes) {
        size_t left = length_bytes - run;
        size_t page_bytes = left < PAGE_BYTES ? left : PAGE_BYTES;
        bool is_page_zero = is_all_zero(bytes + run, page_bytes);

        if (run > 0 && is_page_zero != *is_zero)
            break;
        *is_zero = is_page_zero;
        run += page_bytes;
    }
    return run;
}

/* Writes a piece that has been read: runs of zero pages as holes, the others as data. */
static enum sparse_result write_piece(const struct sparse_copy *copy, const uint8_t *bytes,
                                      size_t length_bytes, uint64_t offset_bytes)
{
    enum sparse_result result = SPARSE_DONE;
    size_t done = 0;

    while (result == SPARSE_DONE && done < length_bytes) {
        bool is_zero = false;
        size_t run = find_run(bytes + done, length_bytes - done, &is_zero);

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
        uint64_t left = extent->end_bytes - at;
        size_t piece = left < PIECE_BYTES ? (size_t)left : PIECE_BYTES;
        enum sparse_result result = pread_fully(copy->from_fd, buffer, piece, at);

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
    if (result == SPARSE_DONE && lseek(copy->from_fd, 0, SEEK_END) < (off_t)copy->length_bytes) {
        result = SPARSE_CUT_SHORT; /* what was cut off looked like a hole */
    }
    free(buffer); /* leaves errno alone */
    return result;
}

enum sparse_result sparse_reserve(int from_fd, int to_fd, uint64_t length_bytes)
{
    uint64_t at = 0;

    while (at < length_bytes) {
        struct extent extent;
        int result = 0;

        if (!find_extent(from_fd, at, length_bytes, &extent))
            return SPARSE_READ_FAILED;
        if (!extent.is_hole)
            result = again_fallocate(to_fd, FALLOC_FL_KEEP_SIZE, extent.start_bytes,
                                     extent.end_bytes - extent.start_bytes);
        if (result != 0)
            return errno == EOPNOTSUPP || errno == ENOSYS ? SPARSE_DONE : SPARSE_WRITE_FAILED;
        at = extent.end_bytes;
    }
    return SPARSE_DONE;
}

bool sparse_explain(enum sparse_result result, const char *from, const char *to,
                    struct tool_error *error)
{
    int os_code = errno;

    switch (result) {
    case SPARSE_DONE:
        return true;
    case SPARSE_STOPPED:
        break;
    case SPARSE_READ_FAILED:
        tool_error_set(error, TOOL_REASON_FILE, tool_error_remedy_of(os_code), "cannot read %s: %s",
                       from, strerror(os_code));
        break;
    case SPARSE_WRITE_FAILED:
        tool_error_set(error, TOOL_REASON_FILE, tool_error_remedy_of(os_code),
                       "cannot write %s: %s", to, strerror(os_code));
        break;
    case SPARSE_CUT_SHORT:
        tool_error_set(error, TOOL_REASON_FILE, "leave the file alone while it is in use",
                       "%s was cut short while it was copied", from);
        break;
    case SPARSE_MEMORY:
        tool_error_set(error, rdmig_reason_name(RDMIG_REASON_MEMORY), "free memory",
                       "no memory to copy %s with", from);
        break;
    }
    return false;
}
