/* SPDX-License-Identifier: BSD-2-Clause */
#include "outfile.h"

#include "again.h"
#include "sparse.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static bool fail(struct tool_error *error, const char *what, const char *path)
{
    int os_code = errno;

    tool_error_set(error, TOOL_REASON_FILE, tool_error_remedy_of(os_code), "cannot %s %s: %s", what,
                   path, strerror(os_code));
    return false;
}

unsigned int mode_after_umask(unsigned int mode)
{
    mode_t mask = umask(0);

    umask(mask);
    return mode & ~(unsigned int)mask;
}

bool sync_directory(int fd)
{
    /* Some file systems cannot and say EINVAL: there is nothing to be had then. */
    return again_fsync(fd) == 0 || errno == EINVAL;
}

void outfile_init(struct outfile *file)
{
    memset(file, 0, sizeof(*file));
    file->fd = -1;
}

/* A rename would replace a symbolic link, or a device, by a file. */
static bool find_place(struct outfile *file, const char *path, struct tool_error *error)
{
    struct stat about;

    if (stat(path, &about) == 0) {
        if (!S_ISREG(about.st_mode)) {
            tool_error_set(error, TOOL_REASON_FILE,
                           "name a regular file or one that does not exist",
                           "%s is no regular file", path);
            return false;
        }
        file->path = realpath(path, NULL);
    } else if (errno == ENOENT) {
        file->path = strdup(path);
    }
    return file->path != NULL || fail(error, "look at", path);
}

bool outfile_open(struct outfile *file, const char *path, struct tool_error *error)
{
    size_t path_bytes;

    if (!find_place(file, path, error))
        return false;
    path_bytes = strlen(file->path);
    file->part_path = malloc(path_bytes + sizeof(PART_SUFFIX));
    if (file->part_path == NULL)
        return fail(error, "make a name beside", path);
    memcpy(file->part_path, file->path, path_bytes);
    memcpy(file->part_path + path_bytes, PART_SUFFIX, sizeof(PART_SUFFIX));
    file->fd = mkostemp(file->part_path, O_CLOEXEC);
    if (file->fd < 0) {
        fail(error, "make a file beside", path);
        free(file->part_path);
        file->part_path = NULL;
        return false;
    }
    return fchmod(file->fd, mode_after_umask(0666)) == 0 || fail(error, "set the mode of", path);
}

bool outfile_write(struct outfile *file, const void *bytes, size_t length_bytes,
                   struct tool_error *error)
{
    return write_fully(file->fd, bytes, length_bytes) || fail(error, "write", file->part_path);
}

bool outfile_seal(struct outfile *file, struct tool_error *error)
{
    return again_fsync(file->fd) == 0 || fail(error, "write to disk", file->part_path);
}

/* The directory that holds path; -1 with errno set. */
static int open_parent(const char *path)
{
    const char *slash = strrchr(path, '/');
    char *parent;
    int fd;

    if (slash == NULL)
        return again_open(".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    parent = strndup(path, slash == path ? 1 : (size_t)(slash - path));
    if (parent == NULL)
        return -1;
    fd = again_open(parent, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    free(parent);
    return fd;
}

bool outfile_commit(struct outfile *file, struct tool_error *error)
{
    int fd;
    bool is_done;

    if (rename(file->part_path, file->path) != 0)
        return fail(error, "rename the received stream to", file->path);
    free(file->part_path);
    file->part_path = NULL;
    fd = open_parent(file->path);
    is_done = fd >= 0 && sync_directory(fd);
    if (!is_done)
        fail(error, "write to disk the directory of", file->path);
    if (fd >= 0)
        close(fd);
    return is_done;
}

void outfile_close(struct outfile *file)
{
    if (file->part_path != NULL)
        unlink(file->part_path);
    if (file->fd >= 0)
        close(file->fd);
    free(file->path);
    free(file->part_path);
    outfile_init(file);
}
