/* SPDX-License-Identifier: BSD-2-Clause */
#include "image_stream.h"

#include "../../qemu/stream.h"
#include "../../text/text.h"
#include "../files/fileio.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The end mark and the description behind it, some 100 KiB with QEMU, have to be found in these. */
#define TAIL_BYTES_MAX (UINT64_C(16) << 20)
#define PIECE_BYTES    ((size_t)64 << 10)
#define HOOK_BYTES     8u
#define LEFT_ALONE     "leave the directory alone while it is in use"

bool image_fail(const struct image_reader *reader, const char *what, const char *name,
                struct tool_error *error)
{
    return tool_error_system(error, TOOL_REASON_FILE, "cannot %s %s/%s", what, reader->path, name);
}

/* From one place of a file, all of it; a file that ends before that is cut short. */
bool image_read(const struct image_reader *reader, int fd, const char *name,
                uint64_t position_bytes, void *bytes, size_t length_bytes, struct tool_error *error)
{
    const ssize_t got = pread_fully(fd, bytes, length_bytes, position_bytes);

    if (got < 0)
        return image_fail(reader, "read", name, error);
    return (size_t)got == length_bytes ||
           tool_error_set(error, TOOL_REASON_FILE, LEFT_ALONE,
                          "%s/%s was cut short while it was read", reader->path, name);
}

bool image_reader_read_stream(const struct image_reader *reader, uint64_t position_bytes,
                              void *bytes, size_t length_bytes, struct tool_error *error)
{
    return image_read(reader, reader->stream_fd, IMAGE_STREAM_NAME, position_bytes, bytes,
                      length_bytes, error);
}

bool image_stream_find_end(int stream_fd, uint64_t stream_bytes, const char *path,
                           const char *remedy, uint64_t *end_mark_position_bytes,
                           struct tool_error *error)
{
    const uint64_t tail_bytes = stream_bytes < TAIL_BYTES_MAX ? stream_bytes : TAIL_BYTES_MAX;
    uint8_t *tail = malloc(tail_bytes + 1); /* malloc(0) may be NULL */
    ssize_t got =
        tail == NULL ? -1 : pread_fully(stream_fd, tail, tail_bytes, stream_bytes - tail_bytes);
    size_t end_mark_offset = 0;
    bool is_complete;

    if (got != (ssize_t)tail_bytes) {
        errno = got >= 0 ? EIO : errno;
        file_fail(error, "read the stream in", path);
        free(tail);
        return false;
    }
    is_complete = qemu_stream_find_end(tail, tail_bytes, &end_mark_offset);
    free(tail);
    *end_mark_position_bytes = stream_bytes - tail_bytes + end_mark_offset;
    return is_complete ||
           tool_error_set(error, rdmig_reason_name(RDMIG_REASON_STREAM_TRUNCATED), remedy,
                          "the source left after %" PRIu64
                          " bytes of its stream, before the end mark",
                          stream_bytes);
}

/* ---- against the manifest */

__attribute__((format(printf, 3, 4))) static bool
refuse_stream(const struct image_reader *reader, struct tool_error *error, const char *format, ...)
{
    char cause[600];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(cause, sizeof(cause), format, arguments);
    va_end(arguments);
    tool_error_set(error, TOOL_REASON_FILE, IMAGE_CAPTURE_AGAIN, "%s/%s: %s", reader->path,
                   IMAGE_STREAM_NAME, cause);
    return false;
}

/* Reads the stream up to the first hook. */
static bool feed_setup(const struct image_reader *reader, struct qemu_stream *stream,
                       struct tool_error *error)
{
    const uint64_t hook_bytes = reader->manifest.rounds[0].hook_position_bytes;
    enum qemu_stream_event event = QEMU_STREAM_NEED_MORE;
    uint8_t piece[PIECE_BYTES];
    uint64_t done_bytes = 0;

    while (event == QEMU_STREAM_NEED_MORE && done_bytes < hook_bytes) {
        uint64_t left_bytes = hook_bytes - done_bytes;
        size_t piece_bytes = left_bytes < sizeof(piece) ? (size_t)left_bytes : sizeof(piece);
        struct qemu_stream_state state;
        size_t consumed_bytes = 0;

        if (!image_reader_read_stream(reader, done_bytes, piece, piece_bytes, error))
            return false;
        event = qemu_stream_feed(stream, piece, piece_bytes, &consumed_bytes, &state);
        done_bytes += consumed_bytes;
    }
    if (event == QEMU_STREAM_BROKEN)
        return refuse_stream(reader, error, "%s", qemu_stream_error(stream));
    if (qemu_stream_format(stream) != QEMU_STREAM_FORMAT_QEMU)
        return refuse_stream(reader, error, "it is no stream of a QEMU");
    return (event == QEMU_STREAM_BLOCKS_LISTED && done_bytes == hook_bytes) ||
           refuse_stream(reader, error,
                         "its list of blocks does not end at %" PRIu64
                         " bytes, where the manifest has the first hook",
                         hook_bytes);
}

/* The destination answers in the stream's order, and the source goes by that. */
static bool compare_blocks(const struct image_reader *reader, const struct qemu_stream *stream,
                           struct tool_error *error)
{
    const struct manifest_read *manifest = &reader->manifest;

    if (qemu_stream_block_count(stream) != manifest->block_count)
        return refuse_stream(reader, error, "it names %u blocks, and the manifest %u",
                             qemu_stream_block_count(stream), manifest->block_count);
    for (uint32_t i = 0; i < manifest->block_count; i++) {
        const struct qemu_stream_block *block = qemu_stream_block(stream, i);

        if (strcmp(block->name, manifest->blocks[i].name) != 0 ||
            block->length_bytes != manifest->blocks[i].length_bytes)
            return refuse_stream(
                reader, error,
                "its block %u is %s of %" PRIu64 " bytes, and the manifest's %s of %" PRIu64, i,
                text_name(block->name).text, block->length_bytes,
                text_name(manifest->blocks[i].name).text, manifest->blocks[i].length_bytes);
    }
    return true;
}

static bool check_setup(const struct image_reader *reader, struct tool_error *error)
{
    struct qemu_stream *stream = qemu_stream_create();
    bool is_good;

    if (stream == NULL)
        return image_fail(reader, "read", IMAGE_STREAM_NAME, error);
    is_good = feed_setup(reader, stream, error) && compare_blocks(reader, stream, error);
    qemu_stream_destroy(stream);
    return is_good;
}

/* Commands anywhere but behind a hook would be taken for stream bytes, and the other way round. */
static bool check_hooks(const struct image_reader *reader, struct tool_error *error)
{
    static const uint8_t hook[HOOK_BYTES] = {0, 0, 0, 0, 0, 0, 0, QEMU_STREAM_RAM_FLAG_HOOK};
    const struct manifest_read *manifest = &reader->manifest;
    uint8_t found[HOOK_BYTES];

    for (size_t i = 0; i < manifest->round_count; i++) {
        uint64_t end_bytes = manifest->rounds[i].hook_position_bytes;

        if (!image_reader_read_stream(reader, end_bytes - HOOK_BYTES, found, sizeof(found), error))
            return false;
        if (memcmp(found, hook, sizeof(hook)) != 0)
            return refuse_stream(reader, error,
                                 "no hook ends at %" PRIu64
                                 " bytes, where the manifest has that of round %zu",
                                 end_bytes, i);
    }
    return true;
}

static bool check_end(const struct image_reader *reader, struct tool_error *error)
{
    const struct manifest_read *manifest = &reader->manifest;
    uint64_t end_mark_position_bytes = 0;

    if (!image_stream_find_end(reader->stream_fd, manifest->stream_bytes, reader->path,
                               IMAGE_CAPTURE_AGAIN, &end_mark_position_bytes, error))
        return false;
    return end_mark_position_bytes == manifest->end_mark_position_bytes ||
           refuse_stream(reader, error,
                         "its end mark is at %" PRIu64 " bytes, and at %" PRIu64 " in the manifest",
                         end_mark_position_bytes, manifest->end_mark_position_bytes);
}

bool image_stream_check(const struct image_reader *reader, uint64_t length_bytes,
                        struct tool_error *error)
{
    if (length_bytes != reader->manifest.stream_bytes)
        return refuse_stream(reader, error,
                             "it has %" PRIu64 " bytes, and %" PRIu64 " in the manifest",
                             length_bytes, reader->manifest.stream_bytes);
    return check_setup(reader, error) && check_hooks(reader, error) && check_end(reader, error);
}
