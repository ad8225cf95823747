/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The framing of the byte stream between rdmig's own two ends. It has the shape of a QEMU stream,
 * so one parser (stream.h) reads both, but its device state carries lengths:
 *
 *   "QEVM" 3, configuration "rdmig/1"
 *   section start id 1 "ram": total | 4, the blocks, hook          native_write_prefix
 *     (here the commands of the setup cross: RAM_BLOCKS_REQUEST and what follows it)
 *   end of section, footer id 1                                    native_write_setup_end
 *   any number of: section full id 2 "rdmig/state", be32 length    native_write_state_header
 *     that many bytes (the caller's), footer id 2                  native_write_state_footer
 *   command 0x7264, no data: the source is about to stop           native_write_prepare
 *   end mark                                                       native_write_end
 *
 * Every writer writes its whole piece into the caller's buffer and returns its size, or writes
 * nothing and returns 0 when the piece does not fit the capacity or may not be written at all.
 */
#ifndef RDMIG_QEMU_NATIVE_H
#define RDMIG_QEMU_NATIVE_H

#include <stddef.h>
#include <stdint.h>

#define NATIVE_CONFIGURATION_NAME "rdmig/1"
#define NATIVE_STATE_NAME         "rdmig/state"

enum {
    NATIVE_RAM_SECTION_ID = 1,
    NATIVE_STATE_SECTION_ID = 2,
    NATIVE_STATE_VERSION = 1,
    NATIVE_COMMAND_PREPARE = 0x7264, /* "rd" */

    NATIVE_SETUP_END_BYTES = 13,
    NATIVE_STATE_HEADER_BYTES = 29,
    NATIVE_STATE_FOOTER_BYTES = 5,
    NATIVE_PREPARE_BYTES = 5,
    NATIVE_END_BYTES = 1,

    NATIVE_STATE_BYTES_MAX = 1024 * 1024 /* one state section; longer state takes several */
};

/* A RAM block: name of 1 to 255 bytes, length a non-zero multiple of 4096. */
struct native_block {
    const char *name;
    uint64_t length_bytes;
};

/*
 * Size of the prefix for these blocks; 0 when they cannot be sent: none or more than 16383, a
 * name or length out of bounds, or a total beyond 64 bits. Two equal names are not noticed here:
 * that is checked where the VMM registers its blocks, and again by the parser.
 */
size_t native_prefix_bytes(const struct native_block *blocks, size_t block_count);

size_t native_write_prefix(uint8_t *buffer, size_t capacity_bytes,
                           const struct native_block *blocks, size_t block_count);
size_t native_write_setup_end(uint8_t *buffer, size_t capacity_bytes);
/* state_bytes: 1 to NATIVE_STATE_BYTES_MAX. */
size_t native_write_state_header(uint8_t *buffer, size_t capacity_bytes, size_t state_bytes);
size_t native_write_state_footer(uint8_t *buffer, size_t capacity_bytes);
size_t native_write_prepare(uint8_t *buffer, size_t capacity_bytes);
size_t native_write_end(uint8_t *buffer, size_t capacity_bytes);

#endif
