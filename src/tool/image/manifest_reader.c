/* SPDX-License-Identifier: BSD-2-Clause */
#include "manifest_reader.h"

#include "json_reader.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define KEY_BYTES_MAX  64u
#define TEXT_BYTES_MAX 64u
/* The setup's and the guest's own: no QEMU does with fewer. */
#define ROUND_COUNT_MIN 2u
#define ROUND_COUNT_MAX (UINT32_C(1) << 20)
#define HOOK_BYTES      8u

struct parse {
    struct json_reader reader;
    struct manifest_read *manifest;
};

/* One member of an object: reads its value into what the object stands for. */
typedef bool member_read(struct parse *parse, void *into);

struct member {
    const char *key;
    member_read *read;
};

/* ------------------------------------------------------------------------------- objects of
 * members
 */

static const struct member *find_member(const struct member *members, size_t count, const char *key)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(members[i].key, key) == 0)
            return &members[i];
    }
    return NULL;
}

/* All members once each, in any order; others, of a later version, are passed over. */
static bool read_object(struct parse *parse, const struct member *members, size_t count, void *into)
{
    struct json_reader *reader = &parse->reader;
    char key[KEY_BYTES_MAX + 1];
    uint32_t seen = 0;

    json_enter_object(reader);
    while (json_next_key(reader, key, sizeof(key))) {
        const struct member *member = find_member(members, count, key);

        if (member == NULL) {
            json_skip(reader);
            continue;
        }
        if ((seen >> (member - members) & 1) != 0)
            return json_refuse(reader, "%s stands there twice", key);
        seen |= UINT32_C(1) << (member - members);
        if (!member->read(parse, into))
            return false;
    }
    for (size_t i = 0; i < count; i++) {
        if ((seen >> i & 1) == 0)
            return json_refuse(reader, "%s is missing", members[i].key);
    }
    return json_reader_is_good(reader);
}

/* Room for one more entry; the new one is zero. */
static void *grow(struct parse *parse, void *list, size_t count, size_t entry_bytes)
{
    bool is_full = count == 0 || (count & (count - 1)) == 0;
    void *grown = is_full ? realloc(list, (count == 0 ? 1 : 2 * count) * entry_bytes) : list;

    if (grown == NULL) {
        json_refuse(&parse->reader, "there is no memory for it");
        return NULL;
    }
    memset((char *)grown + count * entry_bytes, 0, entry_bytes);
    return grown;
}

/* ------------------------------------------------------------------------------------------ blocks
 */

static bool read_name(struct parse *parse, void *into)
{
    struct manifest_block *block = into;
    char encoded[3 * TOOL_BLOCK_NAME_BYTES_MAX + 1];

    if (!json_read_string(&parse->reader, encoded, sizeof(encoded)))
        return false;
    return percent_decode(encoded, block->name, sizeof(block->name)) ||
           json_refuse(&parse->reader, "name_encoded is no percent-encoded name of 1 to %u bytes",
                       (unsigned int)TOOL_BLOCK_NAME_BYTES_MAX);
}

static bool read_file(struct parse *parse, void *into)
{
    struct manifest_block *block = into;

    return json_read_string(&parse->reader, block->file, sizeof(block->file));
}

static bool read_length(struct parse *parse, void *into)
{
    struct manifest_block *block = into;

    if (!json_read_uint(&parse->reader, &block->length_bytes))
        return false;
    return (block->length_bytes != 0 && block->length_bytes % RDMIG_PAGE_BYTES == 0 &&
            block->length_bytes <= INT64_MAX) ||
           json_refuse(&parse->reader,
                       "length_bytes is %" PRIu64 ", and a block's is a multiple of %u and not 0",
                       block->length_bytes, RDMIG_PAGE_BYTES);
}

static bool read_offset(struct parse *parse, void *into)
{
    struct manifest_block *block = into;

    return json_read_uint(&parse->reader, &block->offset_bytes);
}

/* No file but the one that capture makes: whatever the manifest says, nothing else is opened. */
static bool check_file(struct parse *parse, const struct manifest_block *block, uint32_t index)
{
    char name[TOOL_FILE_NAME_BYTES_MAX + 1];

    block_file_name(block->name, index, name);
    return (strncmp(block->file, "ram/", 4) == 0 && strcmp(block->file + 4, name) == 0) ||
           json_refuse(&parse->reader, "the file of block %" PRIu32 " is not ram/ and its name",
                       index);
}

static bool check_offset(struct parse *parse, const struct manifest_block *block, uint32_t index)
{
    const struct manifest_block *before = block - 1;

    if (block->offset_bytes > UINT64_MAX - block->length_bytes)
        return json_refuse(&parse->reader, "block %" PRIu32 " ends beyond 2^64", index);
    return index == 0 || block->offset_bytes >= before->offset_bytes + before->length_bytes ||
           json_refuse(&parse->reader, "block %" PRIu32 " overlaps the one before it", index);
}

static bool read_block(struct parse *parse)
{
    static const struct member members[] = {{"name_encoded", read_name},
                                            {"file", read_file},
                                            {"length_bytes", read_length},
                                            {"offset_bytes", read_offset}};
    struct manifest_read *manifest = parse->manifest;
    uint32_t index = manifest->block_count;
    struct manifest_block *blocks;

    if (index == RDMIG_BLOCK_COUNT_MAX)
        return json_refuse(&parse->reader, "more than %u blocks",
                           (unsigned int)RDMIG_BLOCK_COUNT_MAX);
    blocks = grow(parse, manifest->blocks, index, sizeof(*blocks));
    if (blocks == NULL)
        return false;
    manifest->blocks = blocks;
    manifest->block_count++;
    return read_object(parse, members, sizeof(members) / sizeof(members[0]), &blocks[index]) &&
           check_file(parse, &blocks[index], index) && check_offset(parse, &blocks[index], index);
}

static bool read_blocks(struct parse *parse, void *into)
{
    (void)into;
    json_enter_array(&parse->reader);
    while (json_next_element(&parse->reader)) {
        if (!read_block(parse))
            return false;
    }
    return parse->manifest->block_count > 0 || json_refuse(&parse->reader, "there are no blocks");
}

/* ------------------------------------------------------------------------------------------ rounds
 */

static bool read_hook(struct parse *parse, void *into)
{
    struct manifest_round *round = into;

    return json_read_uint(&parse->reader, &round->hook_position_bytes);
}

static bool read_finished(struct parse *parse, void *into)
{
    struct manifest_round *round = into;

    return json_read_uint(&parse->reader, &round->finished_position_bytes);
}

static bool check_round(struct parse *parse, const struct manifest_round *round, size_t index)
{
    uint64_t before_bytes = index == 0 ? 0 : round[-1].hook_position_bytes;

    if (round->hook_position_bytes < HOOK_BYTES ||
        round->hook_position_bytes - HOOK_BYTES < before_bytes)
        return json_refuse(&parse->reader, "the hook of round %zu ends too early", index);
    return round->finished_position_bytes >= round->hook_position_bytes ||
           json_refuse(&parse->reader, "round %zu is finished before its hook", index);
}

static bool read_round(struct parse *parse)
{
    static const struct member members[] = {{"hook_position_bytes", read_hook},
                                            {"finished_position_bytes", read_finished}};
    struct manifest_read *manifest = parse->manifest;
    size_t index = manifest->round_count;
    struct manifest_round *rounds;

    if (index == ROUND_COUNT_MAX)
        return json_refuse(&parse->reader, "more than %u rounds", (unsigned int)ROUND_COUNT_MAX);
    rounds = grow(parse, manifest->rounds, index, sizeof(*rounds));
    if (rounds == NULL)
        return false;
    manifest->rounds = rounds;
    manifest->round_count++;
    return read_object(parse, members, sizeof(members) / sizeof(members[0]), &rounds[index]) &&
           check_round(parse, &rounds[index], index);
}

static bool read_rounds(struct parse *parse, void *into)
{
    (void)into;
    json_enter_array(&parse->reader);
    while (json_next_element(&parse->reader)) {
        if (!read_round(parse))
            return false;
    }
    return parse->manifest->round_count >= ROUND_COUNT_MIN ||
           json_refuse(&parse->reader, "fewer than %u rounds", ROUND_COUNT_MIN);
}

/* ---------------------------------------------------------------------------------------- the rest
 */

static bool read_format(struct parse *parse, void *into)
{
    uint64_t format;

    (void)into;
    if (!json_read_uint(&parse->reader, &format))
        return false;
    return format == MANIFEST_FORMAT ||
           json_refuse(&parse->reader, "format %" PRIu64 ", and this rdmig reads format %u", format,
                       MANIFEST_FORMAT);
}

static bool read_mode(struct parse *parse, void *into)
{
    char mode[TEXT_BYTES_MAX + 1];

    (void)into;
    if (!json_read_string(&parse->reader, mode, sizeof(mode)))
        return false;
    return strcmp(mode, "dynamic") == 0 || strcmp(mode, "pin-all") == 0 ||
           json_refuse(&parse->reader, "mode is neither dynamic nor pin-all");
}

static bool read_stream(struct parse *parse, void *into)
{
    char name[TEXT_BYTES_MAX + 1];

    (void)into;
    if (!json_read_string(&parse->reader, name, sizeof(name)))
        return false;
    return strcmp(name, "stream") == 0 ||
           json_refuse(&parse->reader, "the stream's file is not called stream");
}

static bool read_stream_bytes(struct parse *parse, void *into)
{
    (void)into;
    return json_read_uint(&parse->reader, &parse->manifest->stream_bytes);
}

static bool read_end_mark(struct parse *parse, void *into)
{
    (void)into;
    return json_read_uint(&parse->reader, &parse->manifest->end_mark_position_bytes);
}

static bool check_positions(struct parse *parse)
{
    const struct manifest_read *manifest = parse->manifest;
    const struct manifest_round *last = &manifest->rounds[manifest->round_count - 1];

    if (last->finished_position_bytes > manifest->end_mark_position_bytes)
        return json_refuse(&parse->reader, "the last round ends behind the stream's end mark");
    return manifest->end_mark_position_bytes < manifest->stream_bytes ||
           json_refuse(&parse->reader, "the end mark stands behind the stream's end");
}

bool manifest_parse(struct manifest_read *manifest, const char *text, size_t text_bytes,
                    const char *path, struct tool_error *error)
{
    static const struct member members[] = {{"format", read_format},
                                            {"mode", read_mode},
                                            {"blocks", read_blocks},
                                            {"rounds", read_rounds},
                                            {"stream", read_stream},
                                            {"stream_bytes", read_stream_bytes},
                                            {"end_mark_position_bytes", read_end_mark}};
    struct parse parse = {.manifest = manifest};

    memset(manifest, 0, sizeof(*manifest));
    json_reader_begin(&parse.reader, text, text_bytes);
    if (read_object(&parse, members, sizeof(members) / sizeof(members[0]), manifest) &&
        check_positions(&parse) && json_reader_end(&parse.reader))
        return true;
    tool_error_set(error, TOOL_REASON_FILE,
                   "name a directory that rdmig capture has made and nobody has changed", "%s, %s",
                   path, parse.reader.problem);
    return false;
}

void manifest_read_free(struct manifest_read *manifest)
{
    free(manifest->blocks);
    free(manifest->rounds);
    memset(manifest, 0, sizeof(*manifest));
}
