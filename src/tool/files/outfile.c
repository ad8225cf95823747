/* SPDX-License-Identifier: BSD-2-Clause */
#include "outfile.h"

#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void outfile_init(struct outfile *file)
{
    *file = (struct outfile){.fd = -1};
}

/* A rename would replace a symbolic link, or a device, by a file. */
static bool find_place(struct outfile *file, const char *path, struct tool_error *error)
{
    struct stat about;

    if (stat(path, &about) == 0) {
        if (!S_ISREG(about.st_mode))
            return tool_error_set(error, TOOL_REASON_FILE,
                                  "name a regular file or one that does not exist",
                                  "%s is no regular file", path);
        file->path = realpath(path, NULL);
    } else if (errno == ENOENT) {
        file->path = strdup(path);
    }
    return file->path != NULL || file_fail(error, "look at", path);
}

bool outfile_open(struct outfile *file, const char *path, struct tool_error *error)
{
    if (!find_place(file, path, error))
        return false;
    if (asprintf(&file->part_path, "%s" PART_SUFFIX, file->path) < 0) {
        file->part_path = NULL;
        return file_fail(error, "make a name beside", path);
    }
    file->fd = mkostemp(file->part_path, O_CLOEXEC);
    if (file->fd < 0) {
        file_fail(error, "make a file beside", path);
        free(file->part_path);
        file->part_path = NULL;
        return false;
    }
    return fchmod(file->fd, mode_after_umask(0666)) == 0 ||
           file_fail(error, "set the mode of", path);
}

bool outfile_write(struct outfile *file, const void *bytes, size_t length_bytes,
                   struct tool_error *error)
{
    return write_fully(file->fd, bytes, length_bytes) || file_fail(error, "write", file->part_path);
}

bool outfile_seal(struct outfile *file, struct tool_error *error)
{
    return AGAIN(fsync(file->fd)) == 0 || file_fail(error, "write to disk", file->part_path);
}

/* The directory that holds path, which has been made one of this process's own. */
static bool sync_parent(const char *path)
{
    char *copy = strdup(path);
    int fd = copy == NULL ? -1 : AGAIN(open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    bool is_done = fd >= 0 && sync_directory(fd);

    close_fd(fd);
    free(copy);
    return is_done;
}

bool outfile_commit(struct outfile *file, struct tool_error *error)
{
    if (rename(file->part_path, file->path) != 0)
        return file_fail(error, "rename the received stream to", file->path);
    free(file->part_path);
    file->part_path = NULL;
    return sync_parent(file->path) ||
           file_fail(error, "write to disk the directory of", file->path);
}

void outfile_close(struct outfile *file)
{
    if (file->part_path != NULL)
        unlink(file->part_path);
    close_fd(file->fd);
    free(file->path);
    free(file->part_path);
    outfile_init(file);
}
