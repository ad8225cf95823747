/* SPDX-License-Identifier: BSD-2-Clause */
/* Words of the simulated byte stream: one byte says the kind, seven the place. */
#include "stream.h"

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
    uint32_t taken = 0;

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
