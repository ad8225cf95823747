/* SPDX-License-Identifier: BSD-2-Clause */
#include "common.h"

#include "text/text.h"

#include <stdlib.h>
#include <string.h>

#define NAME_BYTES_MAX      255u
#define RAM_ALIGNMENT_BYTES (UINT64_C(2) << 20)

/* NULL: usable; otherwise what is wrong with it. */
static const char *block_fault(const struct rdmig_ram_block *block)
{
    if (!block->name || block->name[0] == '\0' || strlen(block->name) > NAME_BYTES_MAX)
        return "has no name, or one of more than 255 bytes";
    if (block->length_bytes == 0 || block->length_bytes % RDMIG_PAGE_BYTES != 0)
        return "has a length that is 0 or no multiple of 4096";
    if ((uintptr_t)block->host_addr % RDMIG_PAGE_BYTES != 0 || !block->host_addr ||
        block->length_bytes > UINTPTR_MAX - (uintptr_t)block->host_addr)
        return "has an address that is not page-aligned, or none";
    return NULL;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* The first name that stands twice; NULL: none, or no memory to find out (*is_memory_out). */
static const char *find_double(const struct rdmig_ram_block *blocks, uint32_t block_count,
                               bool *is_memory_out)
{
    const char **names = calloc(block_count, sizeof(*names));
    const char *found = NULL;

    *is_memory_out = !names;
    if (!names)
        return NULL;
    for (uint32_t i = 0; i < block_count; i++)
        names[i] = blocks[i].name;
    qsort(names, block_count, sizeof(*names), compare_names);
    for (uint32_t i = 1; i < block_count && !found; i++)
        found = strcmp(names[i - 1], names[i]) == 0 ? names[i] : NULL;
    free(names);
    return found;
}

static int compare_addresses(const void *a, const void *b)
{
    const uintptr_t first = (uintptr_t)(*(const struct rdmig_ram_block *const *)a)->host_addr;
    const uintptr_t second = (uintptr_t)(*(const struct rdmig_ram_block *const *)b)->host_addr;

    return (first > second) - (first < second);
}

/* Two blocks with one memory: what comes for one would go over the other, and nobody would notice.
 * Says which; false: none. No memory to find out is for who needs it next. */
static bool find_shared(const struct rdmig_ram_block *blocks, uint32_t block_count,
                        const struct rdmig_ram_block *pair[2])
{
    const struct rdmig_ram_block **sorted = calloc(block_count, sizeof(*sorted));
    bool is_shared = false;

    for (uint32_t i = 0; sorted && i < block_count; i++)
        sorted[i] = &blocks[i];
    if (sorted)
        qsort(sorted, block_count, sizeof(*sorted), compare_addresses);
    for (uint32_t i = 1; sorted && i < block_count && !is_shared; i++) {
        pair[0] = sorted[i - 1];
        pair[1] = sorted[i];
        is_shared =
            (uintptr_t)pair[1]->host_addr - (uintptr_t)pair[0]->host_addr < pair[0]->length_bytes;
    }
    free(sorted);
    return is_shared;
}

/* The core counts chunks with 32 bits. No memory to find out is for who needs it next. */
static bool is_too_large(const struct rdmig_ram_block *blocks, uint32_t block_count)
{
    struct rdmig_block *core_blocks = calloc(block_count, sizeof(*core_blocks));
    bool is_refused;

    for (uint32_t i = 0; core_blocks && i < block_count; i++) {
        core_blocks[i].host_addr = (uint64_t)(uintptr_t)blocks[i].host_addr;
        core_blocks[i].length_bytes = blocks[i].length_bytes;
    }
    is_refused = core_blocks && rdmig_blocks_footprint_bytes(core_blocks, block_count) == 0;
    free(core_blocks);
    return is_refused;
}

/* What each block for itself does not show. */
static int check_together(const struct rdmig_ram_block *blocks, uint32_t block_count,
                          struct rdmig_error *error)
{
    const struct rdmig_ram_block *pair[2];
    const char *double_name;
    bool is_memory_out;

    if (is_too_large(blocks, block_count)) {
        error_set(error, RDMIG_REASON_CALLER, 0, "give RAM blocks of less than 4 PiB together",
                  "the RAM blocks have more chunks of 1 MiB together than can be counted");
        return -RDMIG_E_INVALID;
    }
    if (find_shared(blocks, block_count, pair)) {
        error_set(error, RDMIG_REASON_CALLER, 0, "give each RAM block memory of its own",
                  "RAM blocks %s and %s share memory", text_name(pair[0]->name).text,
                  text_name(pair[1]->name).text);
        return -RDMIG_E_INVALID;
    }
    double_name = find_double(blocks, block_count, &is_memory_out);
    if (double_name)
        error_set(error, RDMIG_REASON_CALLER, 0, "give each RAM block a name of its own",
                  "two RAM blocks have the name %s", text_name(double_name).text);
    if (is_memory_out)
        error_set(error, RDMIG_REASON_MEMORY, 0, "free memory",
                  "no memory for the list of RAM blocks");
    return is_memory_out ? -RDMIG_E_MEMORY : double_name ? -RDMIG_E_INVALID : RDMIG_OK;
}

static int check_blocks(const struct rdmig_ram_block *blocks, uint32_t block_count,
                        struct rdmig_error *error)
{
    if (!blocks || block_count == 0 || block_count > RDMIG_BLOCK_COUNT_MAX) {
        error_set(error, RDMIG_REASON_CALLER, 0, "give 1 to 16383 RAM blocks",
                  "%u RAM blocks were given%s", block_count, blocks ? "" : ", without a list");
        return -RDMIG_E_INVALID;
    }
    for (uint32_t i = 0; i < block_count; i++) {
        const char *fault = block_fault(&blocks[i]);

        if (!fault)
            continue;
        error_set(error, RDMIG_REASON_CALLER, 0,
                  "give each RAM block a name, a page-aligned address and whole pages",
                  "RAM block %u (%s) %s", i, text_name(blocks[i].name ? blocks[i].name : "").text,
                  fault);
        return -RDMIG_E_INVALID;
    }
    return check_together(blocks, block_count, error);
}

static bool init_block(struct memory_block *block, const struct rdmig_ram_block *given,
                       bool with_dirty)
{
    const uint64_t page_count = given->length_bytes / RDMIG_PAGE_BYTES;

    block->host_addr = given->host_addr;
    block->length_bytes = given->length_bytes;
    block->name = strdup(given->name);
    if (!block->name)
        return false;
    if (!with_dirty)
        return true;
    block->words = malloc(ram_bitmap_word_count(page_count) * sizeof(uint64_t));
    if (!block->words)
        return false;
    ram_bitmap_init(&block->dirty, block->words, page_count);
    ram_bitmap_set_range(&block->dirty, 0, page_count);
    return true;
}

int memory_init(struct memory *memory, const struct rdmig_ram_block *blocks, uint32_t block_count,
                bool with_dirty, struct rdmig_error *error)
{
    const int result = check_blocks(blocks, block_count, error);

    *memory = (struct memory){0};
    if (result != RDMIG_OK)
        return result;
    memory->blocks = calloc(block_count, sizeof(*memory->blocks));
    memory->block_count = memory->blocks ? block_count : 0;
    for (uint32_t i = 0; i < memory->block_count; i++) {
        if (!init_block(&memory->blocks[i], &blocks[i], with_dirty)) {
            memory_free(memory);
            break;
        }
        memory->bytes_total += blocks[i].length_bytes;
    }
    if (memory->blocks)
        return RDMIG_OK;
    error_set(error, RDMIG_REASON_MEMORY, 0, "free memory", "no memory for the list of RAM blocks");
    return -RDMIG_E_MEMORY;
}

void memory_free(struct memory *memory)
{
    for (uint32_t i = 0; i < memory->block_count; i++) {
        free(memory->blocks[i].name);
        free(memory->blocks[i].words);
    }
    free(memory->blocks);
    *memory = (struct memory){0};
}

uint64_t memory_dirty_bytes(const struct memory *memory)
{
    uint64_t page_count = 0;

    for (uint32_t i = 0; i < memory->block_count; i++)
        page_count += ram_bitmap_count(&memory->blocks[i].dirty);
    return page_count * RDMIG_PAGE_BYTES;
}

uint64_t memory_piece_bytes(const struct memory *memory)
{
    uint64_t piece_bytes = memory->block_count > 0 ? 0 : RDMIG_CHUNK_BYTES; /* not known yet */

    for (uint32_t i = 0; i < memory->block_count; i++) {
        if (memory->blocks[i].length_bytes > piece_bytes)
            piece_bytes = memory->blocks[i].length_bytes;
    }
    return piece_bytes < RDMIG_CHUNK_BYTES ? piece_bytes : RDMIG_CHUNK_BYTES;
}

struct rdmig_block *memory_core_blocks(const struct memory *memory)
{
    struct rdmig_block *out = calloc(memory->block_count, sizeof(*out));
    uint64_t offset_bytes = 0;

    for (uint32_t i = 0; out && i < memory->block_count; i++) {
        const struct memory_block *block = &memory->blocks[i];

        out[i].host_addr = (uint64_t)(uintptr_t)block->host_addr;
        out[i].length_bytes = block->length_bytes;
        out[i].ram_offset_bytes = offset_bytes;
        offset_bytes += (block->length_bytes + RAM_ALIGNMENT_BYTES - 1) / RAM_ALIGNMENT_BYTES *
                        RAM_ALIGNMENT_BYTES;
    }
    return out;
}
