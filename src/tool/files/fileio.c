/* SPDX-License-Identifier: BSD-2-Clause */
#include "fileio.h"

#include <sys/stat.h>
#include <unistd.h>

ssize_t pread_fully(int fd, void *bytes, size_t length_bytes, uint64_t offset_bytes)
{
    size_t done_bytes = 0;

    while (done_bytes < length_bytes) {
        ssize_t got = AGAIN(pread(fd, (char *)bytes + done_bytes, length_bytes - done_bytes,
                                  (off_t)(offset_bytes + done_bytes)));

        if (got < 0)
            return -1;
        if (got == 0)
            break;
        done_bytes += (size_t)got;
    }
    return (ssize_t)done_bytes;
}

/* From where the file stands, or, if that is not negative, from this offset on. */
static bool write_all(int fd, const char *bytes, size_t length_bytes, off_t offset_bytes)
{
    while (length_bytes > 0) {
        ssize_t written = AGAIN(offset_bytes < 0 ? write(fd, bytes, length_bytes)
                                                 : pwrite(fd, bytes, length_bytes, offset_bytes));

        if (written == 0)
            errno = EIO; /* there would be no end of it */
        if (written <= 0)
            return false;
        bytes += written;
        length_bytes -= (size_t)written;
        offset_bytes += offset_bytes < 0 ? 0 : written;
    }
    return true;
}

bool write_fully(int fd, const void *bytes, size_t length_bytes)
{
    return write_all(fd, bytes, length_bytes, -1);
}

bool pwrite_fully(int fd, const void *bytes, size_t length_bytes, uint64_t offset_bytes)
{
    return write_all(fd, bytes, length_bytes, (off_t)offset_bytes);
}

bool file_fail(struct tool_error *error, const char *what, const char *path)
{
    return tool_error_system(error, TOOL_REASON_FILE, "cannot %s %s", what, path);
}

void close_fd(int fd)
{
    const int os_code = errno;

    if (fd >= 0)
        close(fd);
    errno = os_code;
}

bool sync_directory(int fd)
{
    /* Some file systems cannot and say EINVAL: there is nothing to be had then. */
    return AGAIN(fsync(fd)) == 0 || errno == EINVAL;
}

mode_t mode_after_umask(mode_t mode)
{
    mode_t mask = umask(0);

    umask(mask);
    return mode & ~mask;
}
