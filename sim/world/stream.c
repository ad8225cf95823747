/* SPDX-License-Identifier: BSD-2-Clause */
/* Words of the simulated byte stream: one byte says the kind, seven the place. */
#include "stream.h"

#include "fail.h"
#include "options.h"

#include "qemu/native.h"

#include <string.h>

#define PLACE_BITS 56
#define PLACE_MASK ((UINT64_C(1) << PLACE_BITS) - 1)

/* Four bits apart, so that no kind becomes another by little. BROKEN has one too, which no reader
 * accepts: so a hostile party can write a wrong word. */
static const uint8_t kinds[] = {
    [STREAM_DATA] = 0x11, [STREAM_HOOK] = 0x22,   [STREAM_PREPARE] = 0x44,
    [STREAM_END] = 0x88,  [STREAM_BROKEN] = 0xff,
};

static uint64_t word_at(enum stream_word word, uint64_t place)
{
    return (uint64_t)kinds[word] << PLACE_BITS | (place & PLACE_MASK);
}

uint32_t stream_write(struct stream_writer *writer, enum stream_word word, uint8_t *out)
{
    uint64_t value = word_at(word, writer->word_count++);

    for (uint32_t i = 0; i < STREAM_WORD_BYTES; i++) {
        out[i] = (uint8_t)(value >> (56 - 8 * i));
    }
    return STREAM_WORD_BYTES;
}

static uint64_t load_word(const uint8_t *bytes)
{
    uint64_t value = 0;

    for (uint32_t i = 0; i < STREAM_WORD_BYTES; i++) {
        value = value << 8 | bytes[i];
    }
    return value;
}

static enum stream_word judge(struct stream_reader *reader, const uint8_t *bytes)
{
    uint64_t value = load_word(bytes);
    uint64_t place = reader->word_count++;

    for (enum stream_word word = STREAM_DATA; word < STREAM_BROKEN; word++) {
        if (value == word_at(word, place)) {
            return word;
        }
    }
    return STREAM_BROKEN;
}

enum stream_word stream_read(struct stream_reader *reader, const uint8_t *bytes,
                             uint32_t length_bytes, uint32_t *taken_bytes)
{
    enum stream_word word = STREAM_DATA;
    uint32_t taken =
        reader->skip_bytes < length_bytes ? (uint32_t)reader->skip_bytes : length_bytes;

    reader->skip_bytes -= taken;
    while (taken < length_bytes && word == STREAM_DATA) {
        if (reader->part_bytes == 0 && length_bytes - taken >= STREAM_WORD_BYTES) {
            word = judge(reader, bytes + taken);
            taken += STREAM_WORD_BYTES;
            continue;
        }
        reader->part[reader->part_bytes++] = bytes[taken++];
        if (reader->part_bytes == STREAM_WORD_BYTES) {
            reader->part_bytes = 0;
            word = judge(reader, reader->part);
        }
    }
    *taken_bytes = taken;
    return word;
}

/* ---- what comes before the words */

void stream_block_name(uint32_t block, char *name)
{
    (void)snprintf(name, STREAM_NAME_BYTES, "ram%u", block);
}

uint32_t stream_header(const struct guest_options *guest, bool is_native, uint8_t *bytes)
{
    static const char name[] = "sim/pc1"; /* as long as that of our own */
    struct native_block blocks[OPTION_BLOCKS_MAX];
    char names[OPTION_BLOCKS_MAX][STREAM_NAME_BYTES];
    size_t length_bytes;

    for (uint32_t i = 0; i < guest->block_count; i++) {
        stream_block_name(i, names[i]);
        blocks[i] = (struct native_block){names[i], guest->block_bytes[i]};
    }
    length_bytes = native_write_prefix(bytes, STREAM_HEADER_BYTES_MAX, blocks, guest->block_count);
    for (size_t at = 0; at + sizeof(name) < length_bytes; at++) {
        if (memcmp(bytes + at, NATIVE_CONFIGURATION_NAME, sizeof(name) - 1) != 0)
            continue;
        if (!is_native)
            memcpy(bytes + at, name, sizeof(name) - 1);
        return (uint32_t)length_bytes;
    }
    sim_fail("stream", "the head of a stream cannot be made");
}
