/* SPDX-License-Identifier: BSD-2-Clause */
#include "image_reader.h"

#include "../../text/text.h"
#include "../files/fileio.h"
#include "image_stream.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Of the longest lists of blocks and rounds, with room to spare. */
#define MANIFEST_BYTES_MAX (UINT64_C(256) << 20)

void image_reader_init(struct image_reader *reader)
{
    *reader = (struct image_reader){.directory_fd = -1, .stream_fd = -1};
}

/* ---- opening, no links */

static const char *kind_name(mode_t mode)
{
    return S_ISLNK(mode)    ? "a symbolic link"
           : S_ISDIR(mode)  ? "a directory"
           : S_ISFIFO(mode) ? "a FIFO"
           : S_ISSOCK(mode) ? "a socket"
           : S_ISREG(mode)  ? "a file"
                            : "a device";
}

/* False with *error set: the entry is something else, or somebody else's. path is for the error. */
static bool check_entry(const struct image_reader *reader, const struct stat *about, mode_t kind,
                        const char *path, struct tool_error *error)
{
    if ((about->st_mode & S_IFMT) != kind)
        return tool_error_set(error, TOOL_REASON_FILE, IMAGE_CAPTURE_AGAIN, "%s is %s, no %s", path,
                              kind_name(about->st_mode),
                              kind == S_IFDIR ? "directory" : "regular file");
    return kind == S_IFDIR || about->st_nlink < 2 || about->st_uid == reader->owner ||
           tool_error_set(error, TOOL_REASON_FILE, IMAGE_CAPTURE_AGAIN,
                          "%s is a hard link to a file of another owner than the directory's",
                          path);
}

/*
 * An entry of a directory that is of this kind, S_IFREG or S_IFDIR, opened for reading; -1 with
 * *error set. Nothing else is opened: a link leads elsewhere, and opening a device may do
 * something. Should the entry be changed in between, the second look finds it. path: its last part
 * is the entry's name, all of it is for the error.
 */
static int open_entry(const struct image_reader *reader, int directory_fd, const char *path,
                      mode_t kind, struct stat *about, struct tool_error *error)
{
    const int flags = O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY | O_NONBLOCK |
                      (kind == S_IFDIR ? O_DIRECTORY : 0);
    const char *name = strrchr(path, '/') + 1;
    int fd = -1;

    if (fstatat(directory_fd, name, about, AT_SYMLINK_NOFOLLOW) != 0) {
        file_fail(error, "open the file", path);
    } else if (check_entry(reader, about, kind, path, error)) {
        fd = AGAIN(openat(directory_fd, name, flags));
        if (fd < 0 || fstat(fd, about) != 0)
            file_fail(error, "open the file", path);
        else if (check_entry(reader, about, kind, path, error))
            return fd;
    }
    close_fd(fd);
    return -1;
}

/* The path of an entry of the image's directory, to be freed; NULL with *error set. */
static char *path_of(const struct image_reader *reader, const char *name, struct tool_error *error)
{
    char *path = NULL;

    if (asprintf(&path, "%s/%s", reader->path, name) >= 0)
        return path;
    image_fail(reader, "open", name, error);
    return NULL;
}

static int open_own_entry(const struct image_reader *reader, const char *name, mode_t kind,
                          struct stat *about, struct tool_error *error)
{
    char *path = path_of(reader, name, error);
    int fd = path == NULL ? -1 : open_entry(reader, reader->directory_fd, path, kind, about, error);

    free(path);
    return fd;
}

/* ---- manifest */

static bool parse_manifest(struct image_reader *reader, int fd, size_t length_bytes,
                           struct tool_error *error)
{
    char *text = malloc(length_bytes + 1);
    char *path = path_of(reader, IMAGE_MANIFEST_NAME, error);
    bool is_good;

    if (text == NULL)
        image_fail(reader, "read", IMAGE_MANIFEST_NAME, error);
    is_good = text != NULL && path != NULL &&
              image_read(reader, fd, IMAGE_MANIFEST_NAME, 0, text, length_bytes, error) &&
              manifest_parse(&reader->manifest, text, length_bytes, path, error);
    free(path);
    free(text);
    return is_good;
}

static bool read_manifest(struct image_reader *reader, struct tool_error *error)
{
    struct stat about;
    int fd = open_own_entry(reader, IMAGE_MANIFEST_NAME, S_IFREG, &about, error);
    bool is_good;

    if (fd < 0)
        return false;
    if ((uint64_t)about.st_size > MANIFEST_BYTES_MAX)
        is_good = tool_error_set(error, TOOL_REASON_FILE, IMAGE_CAPTURE_AGAIN,
                                 "%s/%s has %" PRIu64 " bytes: it is no manifest", reader->path,
                                 IMAGE_MANIFEST_NAME, (uint64_t)about.st_size);
    else
        is_good = parse_manifest(reader, fd, (size_t)about.st_size, error);
    close(fd);
    return is_good;
}

/* ---- stream and blocks */

static bool open_stream(struct image_reader *reader, struct tool_error *error)
{
    struct stat about;

    reader->stream_fd = open_own_entry(reader, IMAGE_STREAM_NAME, S_IFREG, &about, error);
    return reader->stream_fd >= 0 && image_stream_check(reader, (uint64_t)about.st_size, error);
}

bool image_reader_open(struct image_reader *reader, const char *path, struct tool_error *error)
{
    struct stat about;

    reader->path = path;
    reader->directory_fd = AGAIN(open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    if (reader->directory_fd < 0 || fstat(reader->directory_fd, &about) != 0)
        return file_fail(error, "open the directory", path);
    reader->owner = about.st_uid;
    return read_manifest(reader, error) && open_stream(reader, error);
}

/* Returns how many there are: all of them, or *error is set. */
static uint32_t open_files(struct image_reader *reader, int *fds, struct tool_error *error)
{
    const struct manifest_read *manifest = &reader->manifest;
    struct stat about;
    int ram_fd = open_own_entry(reader, IMAGE_RAM_NAME, S_IFDIR, &about, error);
    uint32_t count = 0;

    while (ram_fd >= 0 && count < manifest->block_count) {
        char *path = path_of(reader, manifest->blocks[count].file, error);

        reader->rams[count] = (struct tool_ram){manifest->blocks[count].name, path};
        fds[count] = path == NULL ? -1 : open_entry(reader, ram_fd, path, S_IFREG, &about, error);
        if (fds[count] < 0)
            break;
        count++;
    }
    close_fd(ram_fd);
    return count;
}

static bool adopt_files(struct image_reader *reader, struct ramfile_set *set, bool is_mapped,
                        struct tool_error *error)
{
    const uint32_t block_count = reader->manifest.block_count;
    int *fds = calloc(block_count, sizeof(*fds));
    uint32_t count = 0;
    bool is_good = false;

    reader->rams = calloc(block_count, sizeof(*reader->rams));
    if (fds == NULL || reader->rams == NULL)
        tool_error_memory(error, "no memory for the list of %u blocks", block_count);
    else
        count = open_files(reader, fds, error);
    if (count == block_count)
        is_good = ramfile_set_adopt(set, reader->rams, fds, count, is_mapped, error);
    while (count < block_count && count > 0)
        close(fds[--count]);
    free(fds);
    return is_good;
}

bool image_reader_open_blocks(struct image_reader *reader, struct ramfile_set *set, bool is_mapped,
                              struct tool_error *error)
{
    const struct manifest_read *manifest = &reader->manifest;

    if (!adopt_files(reader, set, is_mapped, error))
        return false;
    for (uint32_t i = 0; i < set->count; i++) {
        if (set->files[i].length_bytes != manifest->blocks[i].length_bytes)
            return tool_error_set(
                error, TOOL_REASON_FILE, IMAGE_CAPTURE_AGAIN,
                "%s has %" PRIu64 " bytes, and block %s has %" PRIu64 " in the manifest",
                set->files[i].path, set->files[i].length_bytes, text_name(set->files[i].name).text,
                manifest->blocks[i].length_bytes);
    }
    return true;
}

void image_reader_close(struct image_reader *reader)
{
    for (uint32_t i = 0; reader->rams != NULL && i < reader->manifest.block_count; i++)
        free((char *)reader->rams[i].path);
    free(reader->rams);
    manifest_read_free(&reader->manifest);
    close_fd(reader->stream_fd);
    close_fd(reader->directory_fd);
    image_reader_init(reader);
}
