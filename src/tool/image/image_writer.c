/* SPDX-License-Identifier: BSD-2-Clause */
#include "image_writer.h"

#include "../../text/text.h"
#include "../files/fileio.h"
#include "image_stream.h"

#include <dirent.h>
#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MODE 0666

void image_writer_init(struct image_writer *writer)
{
    *writer = (struct image_writer){.directory_fd = -1, .ram_fd = -1, .stream_fd = -1};
}

static bool fail_exists(struct tool_error *error, const char *path)
{
    return tool_error_set(error, TOOL_REASON_FILE,
                          "name a directory that does not exist, or remove it", "%s exists already",
                          path);
}

/* "DIR/" would put the partial directory into DIR. */
static bool set_path(struct image_writer *writer, const char *path, struct tool_error *error)
{
    struct stat about;
    size_t path_bytes = strlen(path);

    while (path_bytes > 1 && path[path_bytes - 1] == '/')
        path_bytes--;
    writer->path = strndup(path, path_bytes);
    if (writer->path == NULL)
        return file_fail(error, "make", path);
    if (lstat(writer->path, &about) == 0)
        return fail_exists(error, writer->path);
    return errno == ENOENT || file_fail(error, "look at", writer->path);
}

static bool make_part(struct image_writer *writer, struct tool_error *error)
{
    char *part_path = NULL;

    if (asprintf(&part_path, "%s" PART_SUFFIX, writer->path) < 0)
        return file_fail(error, "make", writer->path);
    if (mkdtemp(part_path) == NULL) {
        file_fail(error, "make a directory beside", writer->path);
        free(part_path);
        return false;
    }
    writer->part_path = part_path;
    return true;
}

/* A new file: nothing that stands there is taken for it, and no link is followed. */
static int make_file(int directory_fd, const char *name, int access)
{
    return AGAIN(
        openat(directory_fd, name, access | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, FILE_MODE));
}

bool image_writer_create(struct image_writer *writer, const char *path, struct tool_error *error)
{
    const int flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW;

    if (!set_path(writer, path, error) || !make_part(writer, error))
        return false;
    writer->directory_fd = AGAIN(open(writer->part_path, flags));
    if (writer->directory_fd < 0 || mkdirat(writer->directory_fd, IMAGE_RAM_NAME, 0777) != 0)
        return file_fail(error, "make directories in", writer->part_path);
    writer->ram_fd = AGAIN(openat(writer->directory_fd, IMAGE_RAM_NAME, flags));
    writer->stream_fd = make_file(writer->directory_fd, IMAGE_STREAM_NAME, O_RDWR);
    return (writer->ram_fd >= 0 && writer->stream_fd >= 0) ||
           file_fail(error, "make files in", writer->part_path);
}

bool image_writer_write_stream(struct image_writer *writer, const void *bytes, size_t length_bytes,
                               struct tool_error *error)
{
    if (!write_fully(writer->stream_fd, bytes, length_bytes))
        return file_fail(error, "write the stream into", writer->part_path);
    writer->stream_bytes += length_bytes;
    return true;
}

bool image_writer_check_stream(const struct image_writer *writer, uint64_t *end_mark_position_bytes,
                               struct tool_error *error)
{
    return image_stream_find_end(writer->stream_fd, writer->stream_bytes, writer->part_path,
                                 "see the source's log, and migrate again", end_mark_position_bytes,
                                 error);
}

bool image_writer_store_block(const struct image_writer *writer, const struct ramfile *block,
                              uint32_t index, sparse_proceed *proceed, void *context,
                              struct tool_error *error)
{
    char name[TOOL_FILE_NAME_BYTES_MAX + 1];
    struct sparse_copy copy = {.from_fd = block->memory_fd,
                               .length_bytes = block->length_bytes,
                               .is_to_empty = true,
                               .frees_source = true,
                               .proceed = proceed,
                               .context = context};
    bool is_done;

    block_file_name(block->name, index, name);
    copy.to_fd = make_file(writer->ram_fd, name, O_WRONLY);
    /* The last page may be a hole. */
    if (copy.to_fd < 0 || AGAIN(ftruncate(copy.to_fd, (off_t)block->length_bytes)) != 0)
        is_done = file_fail(error, "make the file of block", name);
    else
        is_done = sparse_explain(sparse_run(&copy), "the block's memory", name, error) &&
                  (AGAIN(fsync(copy.to_fd)) == 0 ||
                   file_fail(error, "write to disk the file of block", name));
    close_fd(copy.to_fd);
    return is_done;
}

bool image_writer_write_manifest(const struct image_writer *writer, const struct manifest *manifest,
                                 struct tool_error *error)
{
    int fd = make_file(writer->directory_fd, IMAGE_MANIFEST_NAME, O_WRONLY);
    FILE *out = fd < 0 ? NULL : fdopen(fd, "w");
    bool is_done;

    if (out == NULL) {
        file_fail(error, "make", IMAGE_MANIFEST_NAME);
        close_fd(fd);
        return false;
    }
    manifest_write(manifest, out);
    is_done = (fflush(out) == 0 && !ferror(out) && AGAIN(fsync(fd)) == 0) ||
              file_fail(error, "write", IMAGE_MANIFEST_NAME);
    fclose(out);
    return is_done;
}

/*
 * Never replaces what somebody else has put there meanwhile. Where the file system does not know
 * RENAME_NOREPLACE (network ones), an empty directory takes the place: renaming onto it is
 * atomic, and fails if it is not empty any more.
 */
static bool move_into_place(const struct image_writer *writer, struct tool_error *error)
{
    if (renameat2(AT_FDCWD, writer->part_path, AT_FDCWD, writer->path, RENAME_NOREPLACE) == 0)
        return true;
    if ((errno == EINVAL || errno == ENOSYS) && mkdir(writer->path, 0777) == 0) {
        if (rename(writer->part_path, writer->path) == 0)
            return true;
        file_fail(error, "rename the directory to", writer->path);
        rmdir(writer->path);
        return false;
    }
    return errno == EEXIST ? fail_exists(error, writer->path)
                           : file_fail(error, "rename the directory to", writer->path);
}

static bool sync_parent(const struct image_writer *writer, struct tool_error *error)
{
    /* Its inode is the same after the rename, so its ".." is the parent. */
    int parent_fd = AGAIN(openat(writer->directory_fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
    bool is_done = (parent_fd >= 0 && sync_directory(parent_fd)) ||
                   file_fail(error, "write to disk the directory above", writer->path);

    close_fd(parent_fd);
    return is_done;
}

bool image_writer_commit(struct image_writer *writer, struct tool_error *error)
{
    if (AGAIN(fsync(writer->stream_fd)) != 0 || !sync_directory(writer->ram_fd) ||
        fchmod(writer->directory_fd, mode_after_umask(0777)) != 0 ||
        !sync_directory(writer->directory_fd))
        return file_fail(error, "write to disk", writer->part_path);
    if (!move_into_place(writer, error))
        return false;
    free(writer->part_path);
    writer->part_path = NULL;
    return sync_parent(writer, error);
}

/* Only what stands in this one directory, and no link is followed. */
static void remove_files(int directory_fd)
{
    int fd = directory_fd < 0 ? -1 : dup(directory_fd);
    DIR *directory = fd < 0 ? NULL : fdopendir(fd);
    const struct dirent *entry;

    if (directory == NULL) {
        close_fd(fd);
        return;
    }
    while ((entry = readdir(directory)) != NULL) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            unlinkat(directory_fd, entry->d_name, 0);
    }
    closedir(directory);
}

static void remove_part(const struct image_writer *writer)
{
    remove_files(writer->ram_fd);
    if (writer->directory_fd >= 0)
        unlinkat(writer->directory_fd, IMAGE_RAM_NAME, AT_REMOVEDIR);
    remove_files(writer->directory_fd);
    if (rmdir(writer->part_path) != 0) {
        char line[PATH_MAX];

        text_print(line, sizeof(line), "rdmig: cannot remove %s: %s; remove it by hand",
                   writer->part_path, strerror(errno));
        fprintf(stderr, "%s\n", line);
    }
}

void image_writer_close(struct image_writer *writer)
{
    if (writer->part_path != NULL)
        remove_part(writer);
    close_fd(writer->stream_fd);
    close_fd(writer->ram_fd);
    close_fd(writer->directory_fd);
    free(writer->path);
    free(writer->part_path);
    image_writer_init(writer);
}
