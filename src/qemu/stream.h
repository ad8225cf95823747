/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A pull parser of QEMU's migration stream, as far as an RDMA destination needs it: the RDMA
 * messages carry no block names, so they have to be read from the RAM section's setup, and the
 * commands of the setup belong where that section's hook stands.
 *
 * Two formats come in. A QEMU's own stream is read up to the hook; its device sections have no
 * length, so everything later is opaque and only counted. rdmig's own stream (native.h) is read
 * strictly to its end. The bytes come from a peer: every length is bounded, and nothing but the
 * block list is kept.
 *
 * No I/O, no clock. Memory: one allocation at creation, and the growing block list.
 */
#ifndef RDMIG_QEMU_STREAM_H
#define RDMIG_QEMU_STREAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    QEMU_STREAM_NAME_BYTES_MAX = 255,         /* a name's length is one byte on the wire */
    QEMU_STREAM_BLOCK_COUNT_MAX = 16383,      /* their answer has to fit one 512 KiB message */
    QEMU_STREAM_FIELD_BYTES_MAX = 1024 * 1024 /* longest machine name or state section taken */
};

/* The first byte of every record of the stream. */
enum qemu_stream_record {
    QEMU_STREAM_RECORD_END = 0x00,
    QEMU_STREAM_RECORD_SECTION_START = 0x01,
    QEMU_STREAM_RECORD_SECTION_PART = 0x02,
    QEMU_STREAM_RECORD_SECTION_END = 0x03,
    QEMU_STREAM_RECORD_SECTION_FULL = 0x04,
    QEMU_STREAM_RECORD_SUBSECTION = 0x05,
    QEMU_STREAM_RECORD_DESCRIPTION = 0x06,
    QEMU_STREAM_RECORD_CONFIGURATION = 0x07,
    QEMU_STREAM_RECORD_COMMAND = 0x08,
    QEMU_STREAM_RECORD_FOOTER = 0x7e
};

/* The low 12 bits of each 64-bit record inside the RAM section. */
enum qemu_stream_ram_flag {
    QEMU_STREAM_RAM_FLAG_MEM_SIZE = 0x04,
    QEMU_STREAM_RAM_FLAG_END_OF_SECTION = 0x10,
    QEMU_STREAM_RAM_FLAG_HOOK = 0x80,
    QEMU_STREAM_RAM_FLAGS_MASK = 0xfff
};

#define QEMU_STREAM_MAGIC       0x5145564dU /* "QEVM" */
#define QEMU_STREAM_VERSION     3U
#define QEMU_STREAM_RAM_NAME    "ram"
#define QEMU_STREAM_RAM_VERSION 4U

enum qemu_stream_format {
    QEMU_STREAM_FORMAT_UNKNOWN, /* not enough bytes seen yet */
    QEMU_STREAM_FORMAT_QEMU,
    QEMU_STREAM_FORMAT_NATIVE
};

enum qemu_stream_event {
    QEMU_STREAM_NEED_MORE,     /* everything given was consumed */
    QEMU_STREAM_BLOCKS_LISTED, /* the hook of the setup section has just passed */
    QEMU_STREAM_STATE_BYTES,   /* native: device state, see struct qemu_stream_state */
    QEMU_STREAM_PREPARED,      /* native: the source asks the destination to get ready */
    QEMU_STREAM_ENDED,         /* native: the end mark */
    QEMU_STREAM_BROKEN         /* for good; qemu_stream_error says why */
};

struct qemu_stream_block {
    char name[QEMU_STREAM_NAME_BYTES_MAX + 1]; /* no NUL inside; other bytes are the peer's */
    uint64_t length_bytes;                     /* a non-zero multiple of 4096 */
};

/* Device state found by the last feed. The bytes are the caller's own input, not a copy. */
struct qemu_stream_state {
    const uint8_t *bytes;
    size_t length_bytes;
};

struct qemu_stream;

/* NULL when there is no memory. */
struct qemu_stream *qemu_stream_create(void);
void qemu_stream_destroy(struct qemu_stream *stream);

/*
 * Consumes at most length_bytes and stops after each event, so call again with what is left
 * (bytes + *consumed_bytes) until NEED_MORE. How the bytes are cut into portions changes nothing
 * but the cuts of STATE_BYTES. `state` is written always: empty unless STATE_BYTES is returned.
 */
enum qemu_stream_event qemu_stream_feed(struct qemu_stream *stream, const uint8_t *bytes,
                                        size_t length_bytes, size_t *consumed_bytes,
                                        struct qemu_stream_state *state);

enum qemu_stream_format qemu_stream_format(const struct qemu_stream *stream);

/* Bytes consumed since creation. */
uint64_t qemu_stream_position(const struct qemu_stream *stream);

/* Offset of the byte after the setup section's hook; 0 before BLOCKS_LISTED. */
uint64_t qemu_stream_hook_position(const struct qemu_stream *stream);

/* The blocks in the order of the stream; none before BLOCKS_LISTED, NULL beyond the last. */
uint32_t qemu_stream_block_count(const struct qemu_stream *stream);
const struct qemu_stream_block *qemu_stream_block(const struct qemu_stream *stream, uint32_t index);

/* One printable line with cause and, where there is one, remedy; "" unless BROKEN. */
const char *qemu_stream_error(const struct qemu_stream *stream);

/*
 * Whether these bytes, all or the tail of a finished QEMU stream, are complete: they close with
 * the end mark and the description (00 06, be32 length, exactly that much JSON), or with a
 * section footer and the end mark alone. *end_mark_offset gets the place of the 00.
 */
bool qemu_stream_find_end(const uint8_t *bytes, size_t length_bytes, size_t *end_mark_offset);

#endif
