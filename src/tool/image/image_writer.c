/* SPDX-License-Identifier: BSD-2-Clause */
#include "image_writer.h"

#include "../../qemu/stream.h"
#include "../../text/text.h"
#include "../files/again.h"
#include "../files/outfile.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FILE_MODE 0666
/* The end mark and the description behind it, some 100 KiB with QEMU, have to be found in these. */
#define TAIL_BYTES_MAX (UINT64_C(16) << 20)

static bool fail(struct tool_error *error, const char *what, const char *path)
{
    int os_code = errno;

    tool_error_set(error, TOOL_REASON_FILE, tool_error_remedy_of(os_code), "cannot %s %s: %s", what,
                   path, strerror(os_code));
    return false;
}

void image_writer_init(struct image_writer *image)
{
    memset(image, 0, sizeof(*image));
    image->directory_fd = -1;
    image->ram_fd = -1;
    image->stream_fd = -1;
}

static bool fail_exists(struct tool_error *error, const char *path)
{
    tool_error_set(error, TOOL_REASON_FILE, "name a directory that does not exist, or remove it",
                   "%s exists already", path);
    return false;
}

/* "DIR/" would put the partial directory into DIR. */
static bool set_path(struct image_writer *image, const char *path, struct tool_error *error)
{
    struct stat about;
    size_t path_bytes = strlen(path);

    while (path_bytes > 1 && path[path_bytes - 1] == '/')
        path_bytes--;
    image->path = strndup(path, path_bytes);
    if (image->path == NULL)
        return fail(error, "make", path);
    if (lstat(image->path, &about) == 0)
        return fail_exists(error, image->path);
    return errno == ENOENT || fail(error, "look at", image->path);
}

static bool make_part(struct image_writer *image, struct tool_error *error)
{
    size_t path_bytes = strlen(image->path);
    char *part_path = malloc(path_bytes + sizeof(PART_SUFFIX));

    if (part_path == NULL)
        return fail(error, "make", image->path);
    memcpy(part_path, image->path, path_bytes);
    memcpy(part_path + path_bytes, PART_SUFFIX, sizeof(PART_SUFFIX));
    if (mkdtemp(part_path) == NULL) {
        fail(error, "make a directory beside", image->path);
        free(part_path);
        return false;
    }
    image->part_path = part_path;
    return true;
}

bool image_writer_create(struct image_writer *image, const char *path, struct tool_error *error)
{
    const int directory_flags = O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW;

    if (!set_path(image, path, error) || !make_part(image, error))
        return false;
    image->directory_fd = again_open(image->part_path, directory_flags);
    if (image->directory_fd < 0 || mkdirat(image->directory_fd, IMAGE_RAM_NAME, 0777) != 0)
        return fail(error, "make directories in", image->part_path);
    image->ram_fd = again_openat(image->directory_fd, IMAGE_RAM_NAME, directory_flags, 0);
    image->stream_fd = again_openat(image->directory_fd, IMAGE_STREAM_NAME,
                                    O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, FILE_MODE);
    if (image->ram_fd < 0 || image->stream_fd < 0)
        return fail(error, "make files in", image->part_path);
    return true;
}

bool image_writer_write_stream(struct image_writer *image, const void *bytes, size_t length_bytes,
                               struct tool_error *error)
{
    if (!write_fully(image->stream_fd, bytes, length_bytes))
        return fail(error, "write the stream into", image->part_path);
    image->stream_bytes += length_bytes;
    return true;
}

/* Reads the stream's last bytes. NULL with *error set. */
static uint8_t *read_tail(int stream_fd, uint64_t stream_bytes, size_t tail_bytes, const char *path,
                          struct tool_error *error)
{
    uint8_t *tail = malloc(tail_bytes + 1); /* malloc(0) may be NULL */
    uint64_t start_bytes = stream_bytes - tail_bytes;
    size_t done = 0;

    while (tail != NULL && done < tail_bytes) {
        ssize_t got = pread(stream_fd, tail + done, tail_bytes - done, (off_t)(start_bytes + done));

        if (got > 0) {
            done += (size_t)got;
        } else if (got == 0 || errno != EINTR) {
            errno = got == 0 ? EIO : errno;
            fail(error, "read the stream in", path);
            free(tail);
            return NULL;
        }
    }
    if (tail == NULL)
        fail(error, "read the stream in", path);
    return tail;
}

bool image_find_stream_end(int stream_fd, uint64_t stream_bytes, const char *path,
                           const char *remedy, uint64_t *end_mark_position_bytes,
                           struct tool_error *error)
{
    size_t tail_bytes = (size_t)(stream_bytes < TAIL_BYTES_MAX ? stream_bytes : TAIL_BYTES_MAX);
    uint8_t *tail = read_tail(stream_fd, stream_bytes, tail_bytes, path, error);
    size_t end_mark_offset;
    bool is_complete;

    if (tail == NULL)
        return false;
    is_complete = qemu_stream_find_end(tail, tail_bytes, &end_mark_offset);
    free(tail);
    if (!is_complete) {
        tool_error_set(error, rdmig_reason_name(RDMIG_REASON_STREAM_TRUNCATED), remedy,
                       "the source left after %" PRIu64 " bytes of its stream, before the end mark",
                       stream_bytes);
        return false;
    }
    *end_mark_position_bytes = stream_bytes - tail_bytes + end_mark_offset;
    return true;
}

bool image_writer_check_stream(const struct image_writer *image, uint64_t *end_mark_position_bytes,
                               struct tool_error *error)
{
    return image_find_stream_end(image->stream_fd, image->stream_bytes, image->part_path,
                                 "see the source's log, and migrate again", end_mark_position_bytes,
                                 error);
}

bool image_writer_store_block(const struct image_writer *image, const struct ramfile *block,
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
    copy.to_fd = again_openat(image->ram_fd, name,
                              O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, FILE_MODE);
    if (copy.to_fd < 0)
        return fail(error, "make the file of block", name);
    /* The last page may be a hole. */
    is_done = again_ftruncate(copy.to_fd, block->length_bytes) == 0 ||
              fail(error, "make the file of block", name);
    is_done = is_done && sparse_explain(sparse_run(&copy), "the block's memory", name, error);
    if (is_done && again_fsync(copy.to_fd) != 0)
        is_done = fail(error, "write to disk the file of block", name);
    close(copy.to_fd);
    return is_done;
}

bool image_writer_write_manifest(const struct image_writer *image, const struct manifest *manifest,
                                 struct tool_error *error)
{
    int fd = again_openat(image->directory_fd, IMAGE_MANIFEST_NAME,
                          O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, FILE_MODE);
    FILE *out = fd < 0 ? NULL : fdopen(fd, "w");
    bool is_done;

    if (out == NULL) {
        fail(error, "make", IMAGE_MANIFEST_NAME);
        if (fd >= 0)
            close(fd);
        return false;
    }
    manifest_write(manifest, out);
    is_done = fflush(out) == 0 && !ferror(out) && again_fsync(fd) == 0;
    is_done = is_done || fail(error, "write", IMAGE_MANIFEST_NAME);
    fclose(out);
    return is_done;
}

/*
 * Never replaces what somebody else has put there meanwhile. Where the file system does not know
 * RENAME_NOREPLACE (network ones), an empty directory takes the place: renaming onto it is
 * atomic, and fails if it is not empty any more.
 */
static bool move_into_place(const struct image_writer *image, struct tool_error *error)
{
    if (renameat2(AT_FDCWD, image->part_path, AT_FDCWD, image->path, RENAME_NOREPLACE) == 0)
        return true;
    if (errno == EINVAL || errno == ENOSYS) {
        if (mkdir(image->path, 0777) == 0) {
            if (rename(image->part_path, image->path) == 0)
                return true;
            fail(error, "rename the directory to", image->path);
            rmdir(image->path);
            return false;
        }
    }
    return errno == EEXIST ? fail_exists(error, image->path)
                           : fail(error, "rename the directory to", image->path);
}

static bool sync_parent(const struct image_writer *image, struct tool_error *error)
{
    /* Its inode is the same after the rename, so its ".." is the parent. */
    int parent_fd = again_openat(image->directory_fd, "..", O_RDONLY | O_DIRECTORY | O_CLOEXEC, 0);
    bool is_done = parent_fd >= 0 && sync_directory(parent_fd);

    if (!is_done)
        fail(error, "write to disk the directory above", image->path);
    if (parent_fd >= 0)
        close(parent_fd);
    return is_done;
}

bool image_writer_commit(struct image_writer *image, struct tool_error *error)
{
    if (again_fsync(image->stream_fd) != 0 || !sync_directory(image->ram_fd) ||
        fchmod(image->directory_fd, mode_after_umask(0777)) != 0 ||
        !sync_directory(image->directory_fd))
        return fail(error, "write to disk", image->part_path);
    if (!move_into_place(image, error))
        return false;
    free(image->part_path);
    image->part_path = NULL;
    return sync_parent(image, error);
}

/* Only what stands in this one directory, and no link is followed. */
static void remove_files(int directory_fd)
{
    int fd = dup(directory_fd);
    DIR *directory = fd < 0 ? NULL : fdopendir(fd);
    const struct dirent *entry;

    if (directory == NULL) {
        if (fd >= 0)
            close(fd);
        return;
    }
    while ((entry = readdir(directory)) != NULL) {
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            unlinkat(directory_fd, entry->d_name, 0);
    }
    closedir(directory);
}

static void remove_part(const struct image_writer *image)
{
    if (image->ram_fd >= 0)
        remove_files(image->ram_fd);
    if (image->directory_fd >= 0) {
        unlinkat(image->directory_fd, IMAGE_RAM_NAME, AT_REMOVEDIR);
        remove_files(image->directory_fd);
    }
    if (rmdir(image->part_path) != 0) {
        char line[PATH_MAX];

        text_print(line, sizeof(line), "rdmig: cannot remove %s: %s; remove it by hand",
                   image->part_path, strerror(errno));
        fprintf(stderr, "%s\n", line);
    }
}

void image_writer_close(struct image_writer *image)
{
    if (image->part_path != NULL)
        remove_part(image);
    if (image->stream_fd >= 0)
        close(image->stream_fd);
    if (image->ram_fd >= 0)
        close(image->ram_fd);
    if (image->directory_fd >= 0)
        close(image->directory_fd);
    free(image->path);
    free(image->part_path);
    image_writer_init(image);
}
