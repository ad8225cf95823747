/* SPDX-License-Identifier: BSD-2-Clause */
/* Making pages so that what cannot be made is an error and no signal. */
#include "holes_internal.h"

#include <errno.h>
#include <rdmig/rdmig.h>
#include <sys/mman.h>
#include <sys/uio.h>
#include <unistd.h>

/* Linux 5.14; the headers of older systems have not got them. */
#define POPULATE_READ  22
#define POPULATE_WRITE 23
enum { PROBE_COUNT = 256 };

/* Other errors are of a sandbox that does not let us ask: the memory is read like any other then. */
static bool is_missing(int os_code)
{
    return os_code == EFAULT || os_code == ENOMEM || os_code == EHWPOISON;
}

/* One byte of each page from address (a page's beginning) on, read by the kernel on our behalf:
 * older ones, and what is no memory. */
static bool probe(const void *address, uint64_t length_bytes)
{
    const uint8_t *at = address;

    while (length_bytes > 0) {
        struct iovec from[PROBE_COUNT];
        uint8_t bytes[PROBE_COUNT];
        struct iovec to = {.iov_base = bytes};
        unsigned long count = 0;
        ssize_t got;

        for (; count < PROBE_COUNT && length_bytes > 0; count++) {
            from[count] = (struct iovec){.iov_base = (void *)(uintptr_t)at, .iov_len = 1};
            at += RDMIG_PAGE_BYTES;
            length_bytes -= length_bytes < RDMIG_PAGE_BYTES ? length_bytes : RDMIG_PAGE_BYTES;
        }
        to.iov_len = count;
        got = process_vm_readv(getpid(), &to, 1, from, count, 0);
        if (got < 0 && !is_missing(errno))
            return true;
        if (got >= 0 && (unsigned long)got < count)
            errno = EFAULT;
        if (got != (ssize_t)count)
            return false;
    }
    return true;
}

bool memory_populate(const void *address, uint64_t length_bytes, bool is_written)
{
    const uintptr_t page_bytes = (uintptr_t)sysconf(_SC_PAGESIZE);
    const uintptr_t start = (uintptr_t)address / page_bytes * page_bytes;
    const uintptr_t end = (uintptr_t)address + length_bytes;
    int result;

    do
        /* NOLINTNEXTLINE(performance-no-int-to-ptr) */
        result = madvise((void *)start, end - start, is_written ? POPULATE_WRITE : POPULATE_READ);
    while (result != 0 && errno == EINTR);
    /* EINVAL: an older kernel, or a device's memory, which it does not populate. */
    if (result != 0 && errno == EINVAL)
        /* NOLINTNEXTLINE(performance-no-int-to-ptr) */
        return probe((const void *)start, end - start);
    return result == 0 || !is_missing(errno);
}
