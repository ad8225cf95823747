/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The byte stream of a simulated VMM: 8-byte big-endian words. A hook, PREPARE and the end mark
 * have their own; every other word says its place in the stream, so that a byte lost, doubled or
 * swapped is noticed by whoever reads.
 */
#ifndef SIM_STREAM_H
#define SIM_STREAM_H

#include <stdbool.h>
#include <stdint.h>

#define STREAM_WORD_BYTES 8u

enum stream_word { STREAM_DATA, STREAM_HOOK, STREAM_PREPARE, STREAM_END, STREAM_BROKEN };

/* What a QEMU's stream begins with: its RAM section up to the hook, for that guest. Of our own two
 * ends' (is_native) the configuration has another name. Returns its length. */
struct guest_options;
enum { STREAM_HEADER_BYTES_MAX = 8192 };
uint32_t stream_header(const struct guest_options *guest, bool is_native, uint8_t *bytes);
/* The name of the guest's block: at most STREAM_NAME_BYTES, with its end. */
enum { STREAM_NAME_BYTES = 16 };
void stream_block_name(uint32_t block, char *name);

struct stream_writer {
    uint64_t word_count;
};
/* Writes one word; returns STREAM_WORD_BYTES. */
uint32_t stream_write(struct stream_writer *writer, enum stream_word word, uint8_t *out);

struct stream_reader {
    uint64_t skip_bytes; /* of a header, before the first word */
    uint64_t word_count;
    uint8_t part[STREAM_WORD_BYTES];
    uint32_t part_bytes;
};
/*
 * Takes bytes up to the end of the next word that is not DATA; *taken is how many. DATA: all were
 * taken and nothing but data was in them. BROKEN: a word is not the one that belongs there.
 */
enum stream_word stream_read(struct stream_reader *reader, const uint8_t *bytes,
                             uint32_t length_bytes, uint32_t *taken_bytes);

#endif
