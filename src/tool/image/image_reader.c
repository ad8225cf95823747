/* SPDX-License-Identifier: BSD-2-Clause */
#include "image_reader.h"

#include "../../qemu/stream.h"
#include "../../text/text.h"
#include "../files/again.h"
#include "image_writer.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* Of the longest lists of blocks and rounds, with room to spare. */
#define MANIFEST_BYTES_MAX (UINT64_C(256) << 20)
#define PIECE_BYTES        ((size_t)64 << 10)
#define HOOK_BYTES         8u
#define CAPTURE_AGAIN      "capture the guest again: this is not what rdmig capture has written"
#define LEFT_ALONE         "leave the directory alone while it is in use"

static bool fail(struct tool_error *error, const char *what, const char *directory,
                 const char *name)
{
    int os_code = errno;

    tool_error_set(error, TOOL_REASON_FILE, tool_error_remedy_of(os_code), "cannot %s %s/%s: %s",
                   what, directory, name, strerror(os_code));
    return false;
}

void image_reader_init(struct image_reader *captured)
{
    memset(captured, 0, sizeof(*captured));
    captured->directory_fd = -1;
    captured->stream_fd = -1;
}

/* ------------------------------------------------------------------------------- opening, no links
 */

static const char *kind_name(mode_t mode)
{
    switch (mode & S_IFMT) {
    case S_IFLNK:
        return "a symbolic link";
    case S_IFDIR:
        return "a directory";
    case S_IFIFO:
        return "a FIFO";
    case S_IFSOCK:
        return "a socket";
    case S_IFREG:
        return "a file";
    default:
        return "a device";
    }
}

/*
 * An entry of a directory that is of this kind, S_IFREG or S_IFDIR, opened for reading; -1 with
 * *error set. Nothing else is opened: a link leads elsewhere, and opening a device may do
 * something. Should the entry be changed in between, the second look finds it. path is for the
 * error.
 */
static int open_entry(int directory_fd, const char *name, mode_t kind, const char *path,
                      struct tool_error *error)
{
    const int flags = O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NOCTTY | O_NONBLOCK;
    struct stat about;
    int fd = -1;
    bool is_seen = fstatat(directory_fd, name, &about, AT_SYMLINK_NOFOLLOW) == 0;

    if (is_seen && (about.st_mode & S_IFMT) == kind) {
        fd = again_openat(directory_fd, name, flags | (kind == S_IFDIR ? O_DIRECTORY : 0), 0);
        is_seen = fd >= 0 && fstat(fd, &about) == 0;
    }
    if (is_seen && (about.st_mode & S_IFMT) == kind)
        return fd;
    if (!is_seen) {
        int os_code = errno;

        tool_error_set(error, TOOL_REASON_FILE, tool_error_remedy_of(os_code),
                       "cannot open the file %s: %s", path, strerror(os_code));
    } else {
        tool_error_set(error, TOOL_REASON_FILE, CAPTURE_AGAIN, "%s is %s, no %s", path,
                       kind_name(about.st_mode), kind == S_IFDIR ? "directory" : "regular file");
    }
    if (fd >= 0)
        close(fd);
    return -1;
}

/* A file of the directory itself. */
static int open_file(const struct image_reader *captured, const char *name, uint64_t *length_bytes,
                     struct tool_error *error)
{
    struct stat about;
    char *path = NULL;
    int fd = -1;

    if (asprintf(&path, "%s/%s", captured->path, name) < 0) {
        path = NULL;
        fail(error, "open", captured->path, name);
    } else {
        fd = open_entry(captured->directory_fd, name, S_IFREG, path, error);
    }
    free(path);
    if (fd >= 0 && fstat(fd, &about) == 0) {
        *length_bytes = (uint64_t)about.st_size;
    }
    return fd;
}

/* From one place of a file, all of it; a file that ends before that is cut short. */
static bool read_fully(const struct image_reader *captured, int fd, const char *name,
                       uint64_t position_bytes, void *bytes, size_t length_bytes,
                       struct tool_error *error)
{
    char *at = bytes;
    size_t done = 0;

    while (done < length_bytes) {
        ssize_t got = pread(fd, at + done, length_bytes - done, (off_t)(position_bytes + done));

        if (got == 0) {
            tool_error_set(error, TOOL_REASON_FILE, LEFT_ALONE,
                           "%s/%s was cut short while it was read", captured->path, name);
            return false;
        }
        if (got < 0 && errno != EINTR)
            return fail(error, "read", captured->path, name);
        done += got < 0 ? 0 : (size_t)got;
    }
    return true;
}

bool image_reader_read_stream(const struct image_reader *captured, uint64_t position_bytes,
                              void *bytes, size_t length_bytes, struct tool_error *error)
{
    return read_fully(captured, captured->stream_fd, IMAGE_STREAM_NAME, position_bytes, bytes,
                      length_bytes, error);
}

/* ---------------------------------------------------------------------------------------- manifest
 */

static bool parse_manifest(struct image_reader *captured, int fd, uint64_t length_bytes,
                           struct tool_error *error)
{
    size_t path_bytes = strlen(captured->path) + sizeof("/" IMAGE_MANIFEST_NAME);
    char *text = malloc((size_t)length_bytes + 1);
    char *path = malloc(path_bytes);
    bool is_good = false;

    if (text == NULL || path == NULL) {
        fail(error, "read", captured->path, IMAGE_MANIFEST_NAME);
    } else {
        snprintf(path, path_bytes, "%s/%s", captured->path, IMAGE_MANIFEST_NAME);
        is_good =
            read_fully(captured, fd, IMAGE_MANIFEST_NAME, 0, text, (size_t)length_bytes, error) &&
            manifest_parse(&captured->manifest, text, (size_t)length_bytes, path, error);
    }
    free(path);
    free(text);
    return is_good;
}

static bool read_manifest(struct image_reader *captured, struct tool_error *error)
{
    uint64_t length_bytes = 0;
    int fd = open_file(captured, IMAGE_MANIFEST_NAME, &length_bytes, error);
    bool is_good = false;

    if (fd < 0)
        return false;
    if (length_bytes > MANIFEST_BYTES_MAX)
        tool_error_set(error, TOOL_REASON_FILE, CAPTURE_AGAIN,
                       "%s/%s has %" PRIu64 " bytes: it is no manifest", captured->path,
                       IMAGE_MANIFEST_NAME, length_bytes);
    else
        is_good = parse_manifest(captured, fd, length_bytes, error);
    close(fd);
    return is_good;
}

/* ------------------------------------------------------------------------------------------ stream
 */

__attribute__((format(printf, 3, 4))) static bool refuse_stream(const struct image_reader *captured,
                                                                struct tool_error *error,
                                                                const char *format, ...)
{
    char cause[600];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(cause, sizeof(cause), format, arguments);
    va_end(arguments);
    tool_error_set(error, TOOL_REASON_FILE, CAPTURE_AGAIN, "%s/%s: %s", captured->path,
                   IMAGE_STREAM_NAME, cause);
    return false;
}

/* Reads the stream up to the first hook. */
static bool feed_setup(const struct image_reader *captured, struct qemu_stream *stream,
                       struct tool_error *error)
{
    const uint64_t hook_bytes = captured->manifest.rounds[0].hook_position_bytes;
    enum qemu_stream_event event = QEMU_STREAM_NEED_MORE;
    uint8_t piece[PIECE_BYTES];
    uint64_t done_bytes = 0;

    while (event == QEMU_STREAM_NEED_MORE && done_bytes < hook_bytes) {
        uint64_t left_bytes = hook_bytes - done_bytes;
        size_t piece_bytes = left_bytes < sizeof(piece) ? (size_t)left_bytes : sizeof(piece);
        struct qemu_stream_state state;
        size_t consumed_bytes = 0;

        if (!image_reader_read_stream(captured, done_bytes, piece, piece_bytes, error))
            return false;
        event = qemu_stream_feed(stream, piece, piece_bytes, &consumed_bytes, &state);
        done_bytes += consumed_bytes;
    }
    if (event == QEMU_STREAM_BROKEN)
        return refuse_stream(captured, error, "%s", qemu_stream_error(stream));
    if (qemu_stream_format(stream) != QEMU_STREAM_FORMAT_QEMU)
        return refuse_stream(captured, error, "it is no stream of a QEMU");
    return (event == QEMU_STREAM_BLOCKS_LISTED && done_bytes == hook_bytes) ||
           refuse_stream(captured, error,
                         "its list of blocks does not end at %" PRIu64
                         " bytes, where the manifest has the first hook",
                         hook_bytes);
}

/* The destination answers in the stream's order, and the source goes by that. */
static bool compare_blocks(const struct image_reader *captured, const struct qemu_stream *stream,
                           struct tool_error *error)
{
    const struct manifest_read *manifest = &captured->manifest;

    if (qemu_stream_block_count(stream) != manifest->block_count)
        return refuse_stream(captured, error, "it names %u blocks, and the manifest %u",
                             qemu_stream_block_count(stream), manifest->block_count);
    for (uint32_t i = 0; i < manifest->block_count; i++) {
        const struct qemu_stream_block *block = qemu_stream_block(stream, i);

        if (strcmp(block->name, manifest->blocks[i].name) != 0 ||
            block->length_bytes != manifest->blocks[i].length_bytes)
            return refuse_stream(
                captured, error,
                "its block %u is %s of %" PRIu64 " bytes, and the manifest's %s of %" PRIu64, i,
                text_name(block->name).text, block->length_bytes,
                text_name(manifest->blocks[i].name).text, manifest->blocks[i].length_bytes);
    }
    return true;
}

static bool check_setup(const struct image_reader *captured, struct tool_error *error)
{
    struct qemu_stream *stream = qemu_stream_create();
    bool is_good;

    if (stream == NULL)
        return fail(error, "read", captured->path, IMAGE_STREAM_NAME);
    is_good = feed_setup(captured, stream, error) && compare_blocks(captured, stream, error);
    qemu_stream_destroy(stream);
    return is_good;
}

/* Commands anywhere but behind a hook would be taken for stream bytes, and the other way round. */
static bool check_hooks(const struct image_reader *captured, struct tool_error *error)
{
    static const uint8_t hook[HOOK_BYTES] = {0, 0, 0, 0, 0, 0, 0, QEMU_STREAM_RAM_FLAG_HOOK};
    const struct manifest_read *manifest = &captured->manifest;
    uint8_t found[HOOK_BYTES];

    for (size_t i = 0; i < manifest->round_count; i++) {
        uint64_t end_bytes = manifest->rounds[i].hook_position_bytes;

        if (!image_reader_read_stream(captured, end_bytes - HOOK_BYTES, found, sizeof(found),
                                      error))
            return false;
        if (memcmp(found, hook, sizeof(hook)) != 0)
            return refuse_stream(captured, error,
                                 "no hook ends at %" PRIu64
                                 " bytes, where the manifest has that of round %zu",
                                 end_bytes, i);
    }
    return true;
}

static bool check_end(const struct image_reader *captured, struct tool_error *error)
{
    const struct manifest_read *manifest = &captured->manifest;
    uint64_t end_mark_position_bytes = 0;

    if (!image_find_stream_end(captured->stream_fd, manifest->stream_bytes, captured->path,
                               CAPTURE_AGAIN, &end_mark_position_bytes, error))
        return false;
    return end_mark_position_bytes == manifest->end_mark_position_bytes ||
           refuse_stream(captured, error,
                         "its end mark is at %" PRIu64 " bytes, and at %" PRIu64 " in the manifest",
                         end_mark_position_bytes, manifest->end_mark_position_bytes);
}

static bool open_stream(struct image_reader *captured, struct tool_error *error)
{
    uint64_t length_bytes = 0;

    captured->stream_fd = open_file(captured, IMAGE_STREAM_NAME, &length_bytes, error);
    if (captured->stream_fd < 0)
        return false;
    if (length_bytes != captured->manifest.stream_bytes)
        return refuse_stream(captured, error,
                             "it has %" PRIu64 " bytes, and %" PRIu64 " in the manifest",
                             length_bytes, captured->manifest.stream_bytes);
    return check_setup(captured, error) && check_hooks(captured, error) &&
           check_end(captured, error);
}

bool image_reader_open(struct image_reader *captured, const char *path, struct tool_error *error)
{
    captured->path = path;
    captured->directory_fd = again_open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (captured->directory_fd < 0) {
        int os_code = errno;

        tool_error_set(error, TOOL_REASON_FILE, tool_error_remedy_of(os_code),
                       "cannot open the directory %s: %s", path, strerror(os_code));
        return false;
    }
    return read_manifest(captured, error) && open_stream(captured, error);
}

/* ------------------------------------------------------------------------------------------ blocks
 */

static bool list_files(struct image_reader *captured, struct tool_error *error)
{
    struct manifest_read *manifest = &captured->manifest;
    uint32_t i;

    captured->rams = calloc(manifest->block_count, sizeof(*captured->rams));
    for (i = 0; captured->rams != NULL && i < manifest->block_count; i++) {
        char *path = NULL;

        if (asprintf(&path, "%s/%s", captured->path, manifest->blocks[i].file) < 0)
            break;
        captured->rams[i].name = manifest->blocks[i].name;
        captured->rams[i].path = path;
    }
    if (i < manifest->block_count) {
        tool_error_set(error, rdmig_reason_name(RDMIG_REASON_MEMORY), "free memory",
                       "no memory for the list of %u blocks", manifest->block_count);
        return false;
    }
    return true;
}

/* What stands behind "ram/" in the manifest, which has been checked to be no path. */
static const char *name_in_ram(const struct manifest_block *block)
{
    return block->file + sizeof(IMAGE_RAM_NAME);
}

static bool open_files(const struct image_reader *captured, int *fds, uint32_t *count,
                       struct tool_error *error)
{
    const struct manifest_read *manifest = &captured->manifest;
    char *path = NULL;
    int ram_fd = -1;

    if (asprintf(&path, "%s/" IMAGE_RAM_NAME, captured->path) < 0)
        return fail(error, "open", captured->path, IMAGE_RAM_NAME);
    ram_fd = open_entry(captured->directory_fd, IMAGE_RAM_NAME, S_IFDIR, path, error);
    free(path);
    for (*count = 0; ram_fd >= 0 && *count < manifest->block_count; ++*count) {
        fds[*count] = open_entry(ram_fd, name_in_ram(&manifest->blocks[*count]), S_IFREG,
                                 captured->rams[*count].path, error);
        if (fds[*count] < 0)
            break;
    }
    if (ram_fd >= 0)
        close(ram_fd);
    return *count == manifest->block_count;
}

static bool adopt_files(struct image_reader *captured, struct ramfile_set *set, bool is_mapped,
                        struct tool_error *error)
{
    const uint32_t block_count = captured->manifest.block_count;
    int *fds = calloc(block_count, sizeof(*fds));
    uint32_t count = 0;
    bool is_good = false;

    if (fds == NULL)
        return fail(error, "open the files of", captured->path, IMAGE_RAM_NAME);
    if (open_files(captured, fds, &count, error)) {
        is_good = ramfile_set_adopt(set, captured->rams, fds, count, is_mapped, error);
    } else {
        while (count > 0)
            close(fds[--count]);
    }
    free(fds);
    return is_good;
}

bool image_reader_open_blocks(struct image_reader *captured, struct ramfile_set *set,
                              bool is_mapped, struct tool_error *error)
{
    const struct manifest_read *manifest = &captured->manifest;

    if (!list_files(captured, error) || !adopt_files(captured, set, is_mapped, error))
        return false;
    for (uint32_t i = 0; i < set->count; i++) {
        if (set->files[i].length_bytes != manifest->blocks[i].length_bytes) {
            tool_error_set(error, TOOL_REASON_FILE, CAPTURE_AGAIN,
                           "%s has %" PRIu64 " bytes, and block %s has %" PRIu64 " in the manifest",
                           set->files[i].path, set->files[i].length_bytes,
                           text_name(set->files[i].name).text, manifest->blocks[i].length_bytes);
            return false;
        }
    }
    return true;
}

void image_reader_close(struct image_reader *captured)
{
    for (uint32_t i = 0; captured->rams != NULL && i < captured->manifest.block_count; i++)
        free((char *)captured->rams[i].path);
    free(captured->rams);
    manifest_read_free(&captured->manifest);
    if (captured->stream_fd >= 0)
        close(captured->stream_fd);
    if (captured->directory_fd >= 0)
        close(captured->directory_fd);
    image_reader_init(captured);
}
