/* SPDX-License-Identifier: BSD-2-Clause */
#include "manifest.h"

#include "../cli/json.h"
#include "../cli/parse.h"

/* How the library lays a destination's blocks out in its ram_addr space: one after the other. */
#define OFFSET_ALIGNMENT_BYTES (UINT64_C(2) << 20)

static uint64_t align_up(uint64_t bytes)
{
    return (bytes + OFFSET_ALIGNMENT_BYTES - 1) / OFFSET_ALIGNMENT_BYTES * OFFSET_ALIGNMENT_BYTES;
}

static void write_block(struct json *json, const struct rdmig_ram_block *block, uint32_t index,
                        uint64_t offset_bytes)
{
    char encoded[3 * TOOL_BLOCK_NAME_BYTES_MAX + 1];
    char file_name[TOOL_FILE_NAME_BYTES_MAX + 1];
    char file[sizeof(file_name) + 4];

    percent_encode(block->name, encoded, sizeof(encoded));
    block_file_name(block->name, index, file_name);
    snprintf(file, sizeof(file), "ram/%s", file_name);
    json_break(json);
    json_open_object(json, NULL);
    json_string(json, "name", block->name);
    json_string(json, "name_encoded", encoded);
    json_string(json, "file", file);
    json_uint(json, "length_bytes", block->length_bytes);
    json_uint(json, "offset_bytes", offset_bytes);
    json_close_object(json);
}

static void write_blocks(struct json *json, const struct manifest *manifest)
{
    uint64_t offset_bytes = 0;

    json_break(json);
    json_open_array(json, "blocks");
    for (uint32_t i = 0; i < manifest->block_count; i++) {
        write_block(json, &manifest->blocks[i], i, offset_bytes);
        offset_bytes = align_up(offset_bytes + manifest->blocks[i].length_bytes);
    }
    json_break(json);
    json_close_array(json);
}

static void write_rounds(struct json *json, const struct manifest *manifest)
{
    json_break(json);
    json_open_array(json, "rounds");
    for (size_t i = 0; i < manifest->round_count; i++) {
        json_break(json);
        json_open_object(json, NULL);
        json_uint(json, "hook_position_bytes", manifest->rounds[i].hook_position_bytes);
        json_uint(json, "finished_position_bytes", manifest->rounds[i].finished_position_bytes);
        json_close_object(json);
    }
    json_break(json);
    json_close_array(json);
}

void manifest_write(const struct manifest *manifest, FILE *out)
{
    struct json json;

    json_begin(&json, out);
    json_open_object(&json, NULL);
    json_break(&json);
    json_uint(&json, "format", MANIFEST_FORMAT);
    json_break(&json);
    json_string(&json, "rdmig_version", rdmig_version());
    json_break(&json);
    json_string(&json, "mode", manifest->is_pin_all ? "pin-all" : "dynamic");
    write_blocks(&json, manifest);
    write_rounds(&json, manifest);
    json_break(&json);
    json_string(&json, "stream", "stream");
    json_break(&json);
    json_uint(&json, "stream_bytes", manifest->stream_bytes);
    json_break(&json);
    json_uint(&json, "end_mark_position_bytes", manifest->end_mark_position_bytes);
    json_break(&json);
    json_close_object(&json);
    fputc('\n', out);
}
