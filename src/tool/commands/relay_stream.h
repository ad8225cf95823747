/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The byte stream on its way through rdmig relay: what was read from the source's side and not
 * passed on yet, which of it may be passed on, and what hook it stands at.
 *
 * What makes a QEMU run the guest is the stream's end mark; the description behind it may break off
 * without harm. So behind the last round, whatever may be the end mark stays here, with everything
 * behind it, until the source has left in order. A place that turns out not to be the end mark lets
 * go by itself.
 */
#ifndef RDMIG_TOOL_RELAY_STREAM_H
#define RDMIG_TOOL_RELAY_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Most bytes that are read at once; more is kept only of what may be the stream's end. */
#define RELAY_STREAM_BYTES ((size_t)512 << 10)
/* A description that says it is longer than this is not taken for one. */
#define RELAY_DESCRIPTION_BYTES_MAX ((size_t)16 << 20)

#define RELAY_HOOK_BYTES 8u
/* A RAM section's part begins with a byte for its kind and a be32 for its number, then its hook. */
#define RELAY_PART_BYTES (5u + RELAY_HOOK_BYTES)

struct relay_stream {
    uint8_t *bytes;
    size_t capacity_bytes;
    size_t start; /* passed on up to here */
    size_t end;
    uint64_t position_bytes;          /* of the end, in the stream */
    uint8_t recent[RELAY_PART_BYTES]; /* the last bytes read; zeros before the first */
    bool is_end_held;
};

enum relay_hook {
    RELAY_HOOK_NONE, /* no hook ends here */
    RELAY_HOOK_PART, /* of a part that others follow, the last one of RAM at least */
    RELAY_HOOK_OTHER /* the last part's, or one whose kind cannot be told */
};

/* False: no memory. */
bool relay_stream_init(struct relay_stream *stream);
void relay_stream_free(struct relay_stream *stream);

/* Room for at least length_bytes, at most RELAY_STREAM_BYTES; NULL: no memory. The caller writes
 * there, then calls relay_stream_added(). */
uint8_t *relay_stream_reserve(struct relay_stream *stream, size_t length_bytes);
void relay_stream_added(struct relay_stream *stream, size_t length_bytes);

/* Read and not passed on. */
static inline size_t relay_stream_left_bytes(const struct relay_stream *stream)
{
    return stream->end - stream->start;
}

/* How many of these may be passed on now. */
size_t relay_stream_passable_bytes(const struct relay_stream *stream);
void relay_stream_passed(struct relay_stream *stream, size_t length_bytes);

/* What hook ends where the stream has been read up to. */
enum relay_hook relay_stream_hook(const struct relay_stream *stream);

/* The end was held back, and the stream is complete: nothing but its end is left. */
bool relay_stream_is_complete(const struct relay_stream *stream);

#endif
