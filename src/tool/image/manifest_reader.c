/* SPDX-License-Identifier: BSD-2-Clause */
#include "manifest.h"

#include "json_reader.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

/* The setup's and the guest's own: no QEMU does with fewer. */
#define ROUND_COUNT_MIN 2u
#define HOOK_BYTES      8u

/* Where the values go; block and round are of the one that is being read. */
struct parse {
    struct manifest_read *manifest;
    uint64_t format;
    char mode[65];
    char stream[65];
    uint64_t stream_bytes;
    uint64_t end_mark_position_bytes;
    char encoded[3 * TOOL_BLOCK_NAME_BYTES_MAX + 1];
    struct manifest_block block;
    struct manifest_round round;
};

void *manifest_grow(void *list, size_t count, size_t entry_bytes)
{
    const bool is_full = count == 0 || (count & (count - 1)) == 0;

    return is_full ? realloc(list, (count == 0 ? 1 : 2 * count) * entry_bytes) : list;
}

/* ---- blocks */

static bool check_name(struct json_reader *reader, void *into)
{
    struct parse *parse = into;

    return percent_decode(parse->encoded, parse->block.name, sizeof(parse->block.name)) ||
           json_refuse(reader, "name_encoded is no percent-encoded name of 1 to %u bytes",
                       (unsigned int)TOOL_BLOCK_NAME_BYTES_MAX);
}

static bool check_length(struct json_reader *reader, void *into)
{
    const uint64_t length_bytes = ((const struct parse *)into)->block.length_bytes;

    return (length_bytes != 0 && length_bytes % RDMIG_PAGE_BYTES == 0 &&
            length_bytes <= INT64_MAX) ||
           json_refuse(reader,
                       "length_bytes is %" PRIu64 ", and a block's is a multiple of %u and not 0",
                       length_bytes, RDMIG_PAGE_BYTES);
}

static bool check_offset(struct json_reader *reader, const struct manifest_block *block,
                         const struct manifest_block *before, uint32_t index)
{
    if (block->offset_bytes > UINT64_MAX - block->length_bytes)
        return json_refuse(reader, "block %" PRIu32 " ends beyond 2^64", index);
    return before == NULL || block->offset_bytes >= before->offset_bytes + before->length_bytes ||
           json_refuse(reader, "block %" PRIu32 " overlaps the one before it", index);
}

/* No file but the one that capture makes: whatever the manifest says, nothing else is opened. */
static bool check_block(struct json_reader *reader, void *into)
{
    struct parse *parse = into;
    struct manifest_read *manifest = parse->manifest;
    const uint32_t index = manifest->block_count;
    struct manifest_block *blocks;
    char name[TOOL_FILE_NAME_BYTES_MAX + 1];

    if (index == RDMIG_BLOCK_COUNT_MAX)
        return json_refuse(reader, "more than %u blocks", (unsigned int)RDMIG_BLOCK_COUNT_MAX);
    block_file_name(parse->block.name, index, name);
    if (strncmp(parse->block.file, "ram/", 4) != 0 || strcmp(parse->block.file + 4, name) != 0)
        return json_refuse(reader, "the file of block %" PRIu32 " is not ram/ and its name", index);
    if (!check_offset(reader, &parse->block, index == 0 ? NULL : &manifest->blocks[index - 1],
                      index))
        return false;
    blocks = manifest_grow(manifest->blocks, index, sizeof(*blocks));
    if (blocks == NULL)
        return json_refuse(reader, "there is no memory for it");
    manifest->blocks = blocks;
    blocks[manifest->block_count++] = parse->block;
    return true;
}

static bool check_blocks(struct json_reader *reader, void *into)
{
    return ((const struct parse *)into)->manifest->block_count > 0 ||
           json_refuse(reader, "there are no blocks");
}

/* ---- rounds */

static bool check_round(struct json_reader *reader, void *into)
{
    struct parse *parse = into;
    struct manifest_read *manifest = parse->manifest;
    const size_t index = manifest->round_count;
    const uint64_t hook_bytes = parse->round.hook_position_bytes;
    struct manifest_round *rounds;

    if (index == MANIFEST_ROUND_COUNT_MAX)
        return json_refuse(reader, "more than %u rounds", (unsigned int)MANIFEST_ROUND_COUNT_MAX);
    if (hook_bytes < HOOK_BYTES ||
        hook_bytes - HOOK_BYTES <
            (index == 0 ? 0 : manifest->rounds[index - 1].hook_position_bytes))
        return json_refuse(reader, "the hook of round %zu ends too early", index);
    if (parse->round.finished_position_bytes < hook_bytes)
        return json_refuse(reader, "round %zu is finished before its hook", index);
    rounds = manifest_grow(manifest->rounds, index, sizeof(*rounds));
    if (rounds == NULL)
        return json_refuse(reader, "there is no memory for it");
    manifest->rounds = rounds;
    rounds[manifest->round_count++] = parse->round;
    return true;
}

static bool check_rounds(struct json_reader *reader, void *into)
{
    return ((const struct parse *)into)->manifest->round_count >= ROUND_COUNT_MIN ||
           json_refuse(reader, "fewer than %u rounds", ROUND_COUNT_MIN);
}

/* ---- the rest */

/* At once: what else stands there is another format's affair. */
static bool check_format(struct json_reader *reader, void *into)
{
    const uint64_t format = ((const struct parse *)into)->format;

    return format == MANIFEST_FORMAT ||
           json_refuse(reader, "format %" PRIu64 ", and this rdmig reads format %u", format,
                       MANIFEST_FORMAT);
}

static bool check_mode(struct json_reader *reader, void *into)
{
    const char *mode = ((const struct parse *)into)->mode;

    return strcmp(mode, "dynamic") == 0 || strcmp(mode, "pin-all") == 0 ||
           json_refuse(reader, "mode is neither dynamic nor pin-all");
}

static bool check_stream(struct json_reader *reader, void *into)
{
    return strcmp(((const struct parse *)into)->stream, "stream") == 0 ||
           json_refuse(reader, "the stream's file is not called stream");
}

static bool check_positions(struct json_reader *reader, void *into)
{
    const struct parse *parse = into;
    struct manifest_read *manifest = parse->manifest;
    const struct manifest_round *last = &manifest->rounds[manifest->round_count - 1];

    manifest->stream_bytes = parse->stream_bytes;
    manifest->end_mark_position_bytes = parse->end_mark_position_bytes;
    if (last->finished_position_bytes > manifest->end_mark_position_bytes)
        return json_refuse(reader, "the last round ends behind the stream's end mark");
    return manifest->end_mark_position_bytes < manifest->stream_bytes ||
           json_refuse(reader, "the end mark stands behind the stream's end");
}

#define IN(member)      offsetof(struct parse, member)
#define SIZE_OF(member) sizeof(((struct parse *)0)->member)

enum { ROOT, BLOCKS = 3, BLOCK, ROUNDS = 9, ROUND };

static const struct json_row rows[] = {
    [ROOT] = {NULL, ROOT, JSON_OBJECT, 0, 0, check_positions},
    {"format", ROOT, JSON_NUMBER, IN(format), 0, check_format},
    {"mode", ROOT, JSON_STRING, IN(mode), SIZE_OF(mode), check_mode},
    [BLOCKS] = {"blocks", ROOT, JSON_LIST, 0, 0, check_blocks},
    [BLOCK] = {NULL, BLOCKS, JSON_OBJECT, 0, 0, check_block},
    {"name_encoded", BLOCK, JSON_STRING, IN(encoded), SIZE_OF(encoded), check_name},
    {"file", BLOCK, JSON_STRING, IN(block.file), SIZE_OF(block.file), NULL},
    {"length_bytes", BLOCK, JSON_NUMBER, IN(block.length_bytes), 0, check_length},
    {"offset_bytes", BLOCK, JSON_NUMBER, IN(block.offset_bytes), 0, NULL},
    [ROUNDS] = {"rounds", ROOT, JSON_LIST, 0, 0, check_rounds},
    [ROUND] = {NULL, ROUNDS, JSON_OBJECT, 0, 0, check_round},
    {"hook_position_bytes", ROUND, JSON_NUMBER, IN(round.hook_position_bytes), 0, NULL},
    {"finished_position_bytes", ROUND, JSON_NUMBER, IN(round.finished_position_bytes), 0, NULL},
    {"stream", ROOT, JSON_STRING, IN(stream), SIZE_OF(stream), check_stream},
    {"stream_bytes", ROOT, JSON_NUMBER, IN(stream_bytes), 0, NULL},
    {"end_mark_position_bytes", ROOT, JSON_NUMBER, IN(end_mark_position_bytes), 0, NULL},
};

bool manifest_parse(struct manifest_read *manifest, const char *text, size_t text_bytes,
                    const char *path, struct tool_error *error)
{
    char problem[JSON_PROBLEM_BYTES];
    struct parse parse = {.manifest = manifest};

    memset(manifest, 0, sizeof(*manifest));
    return json_read(text, text_bytes, rows, sizeof(rows) / sizeof(rows[0]), &parse, problem) ||
           tool_error_set(error, TOOL_REASON_FILE,
                          "name a directory that rdmig capture has made and nobody has changed",
                          "%s, %s", path, problem);
}

void manifest_read_free(struct manifest_read *manifest)
{
    free(manifest->blocks);
    free(manifest->rounds);
    memset(manifest, 0, sizeof(*manifest));
}
