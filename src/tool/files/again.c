/* SPDX-License-Identifier: BSD-2-Clause */
#include "again.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

int again_open(const char *path, int flags)
{
    int fd;

    do {
        fd = open(path, flags);
    } while (fd < 0 && errno == EINTR);
    return fd;
}

int again_openat(int directory_fd, const char *path, int flags, mode_t mode)
{
    int fd;

    do {
        fd = openat(directory_fd, path, flags, mode);
    } while (fd < 0 && errno == EINTR);
    return fd;
}

int again_ftruncate(int fd, uint64_t length_bytes)
{
    int result;

    do {
        result = ftruncate(fd, (off_t)length_bytes);
    } while (result != 0 && errno == EINTR);
    return result;
}

int again_fallocate(int fd, int mode, uint64_t offset_bytes, uint64_t length_bytes)
{
    int result;

    do {
        result = fallocate(fd, mode, (off_t)offset_bytes, (off_t)length_bytes);
    } while (result != 0 && errno == EINTR);
    return result;
}

int again_fsync(int fd)
{
    int result;

    do {
        result = fsync(fd);
    } while (result != 0 && errno == EINTR);
    return result;
}
