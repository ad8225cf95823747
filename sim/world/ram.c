/* SPDX-License-Identifier: BSD-2-Clause */
/* Guest memory as tokens: a chunk has one for all its pages, until they differ. */
#include "ram.h"

#include "fail.h"

#include <string.h>

#define CHUNK_BYTES (SIM_PAGE_BYTES * RAM_PAGES_PER_CHUNK)

/* Part of one chunk, and what is there. */
struct ram_piece {
    struct ram_chunk *chunk;
    uint32_t first; /* page in the chunk */
    uint32_t count;
    uint32_t chunk_pages; /* fewer in a block's last chunk */
};

void ram_init(struct ram *ram, uint32_t block_count, const uint64_t *length_bytes)
{
    if (block_count > RAM_BLOCKS_MAX) {
        sim_fail("ram", "more blocks than RAM_BLOCKS_MAX");
    }
    memset(ram, 0, sizeof(*ram));
    ram->block_count = block_count;
    for (uint32_t i = 0; i < block_count; i++) {
        struct ram_block *block = &ram->blocks[i];

        if (length_bytes[i] == 0 || length_bytes[i] % SIM_PAGE_BYTES != 0) {
            sim_fail("ram", "a block's length is not a multiple of 4096");
        }
        block->page_count = length_bytes[i] / SIM_PAGE_BYTES;
        block->chunk_count = 1 + (block->page_count - 1) / RAM_PAGES_PER_CHUNK;
        /* calloc: what nobody looks at costs no memory */
        block->chunks = sim_allocated(calloc((size_t)block->chunk_count, sizeof(*block->chunks)));
    }
}

void ram_free(struct ram *ram)
{
    for (uint32_t i = 0; i < ram->block_count; i++) {
        struct ram_block *block = &ram->blocks[i];

        for (uint64_t chunk = 0; chunk < block->chunk_count; chunk++) {
            free(block->chunks[chunk].tokens);
        }
        free(block->chunks);
    }
    memset(ram, 0, sizeof(*ram));
}

static const struct ram_block *block_of(const struct ram *ram, uint32_t block, uint64_t first_page,
                                        uint64_t page_count)
{
    if (block >= ram->block_count || first_page > ram->blocks[block].page_count ||
        page_count > ram->blocks[block].page_count - first_page) {
        sim_fail("ram", "a range outside its block");
    }
    return &ram->blocks[block];
}

/* The piece of one chunk that begins at the page, at most so many pages. */
static struct ram_piece piece_at(const struct ram_block *block, uint64_t page, uint64_t count_max)
{
    uint64_t chunk = page / RAM_PAGES_PER_CHUNK;
    uint64_t left = block->page_count - chunk * RAM_PAGES_PER_CHUNK;
    struct ram_piece piece = {.chunk = &block->chunks[chunk],
                              .first = (uint32_t)(page % RAM_PAGES_PER_CHUNK)};

    piece.chunk_pages = left < RAM_PAGES_PER_CHUNK ? (uint32_t)left : RAM_PAGES_PER_CHUNK;
    piece.count = piece.chunk_pages - piece.first;
    piece.count = count_max < piece.count ? (uint32_t)count_max : piece.count;
    return piece;
}

static uint32_t chunk_token(const struct ram_chunk *chunk, uint32_t page)
{
    return chunk->tokens != NULL ? chunk->tokens[page] : chunk->token;
}

static void make_uniform(struct ram_chunk *chunk, uint32_t token)
{
    free(chunk->tokens);
    chunk->tokens = NULL;
    chunk->token = token;
}

/* All 256, in a short chunk too: the rest of them is never looked at, but is always something. */
static void make_tokens(struct ram_chunk *chunk)
{
    if (chunk->tokens == NULL) {
        uint32_t *tokens = sim_allocated(malloc(RAM_PAGES_PER_CHUNK * sizeof(*tokens)));

        for (uint32_t i = 0; i < RAM_PAGES_PER_CHUNK; i++) {
            tokens[i] = chunk->token;
        }
        chunk->tokens = tokens;
    }
}

/* Pages mostly come in order: so the last one is when a chunk may have become uniform again. */
static void settle(const struct ram_piece *piece)
{
    const uint32_t *tokens = piece->chunk->tokens;

    if (piece->first + piece->count < piece->chunk_pages ||
        tokens[0] != tokens[piece->chunk_pages - 1]) {
        return;
    }
    for (uint32_t i = 1; i < piece->chunk_pages; i++) {
        if (tokens[i] != tokens[0]) {
            return;
        }
    }
    make_uniform(piece->chunk, tokens[0]);
}

static void piece_set(const struct ram_piece *piece, uint32_t token)
{
    struct ram_chunk *chunk = piece->chunk;

    if (piece->count == piece->chunk_pages) {
        make_uniform(chunk, token);
        return;
    }
    if (chunk->tokens == NULL && chunk->token == token) {
        return;
    }
    make_tokens(chunk);
    for (uint32_t i = 0; i < piece->count; i++) {
        chunk->tokens[piece->first + i] = token;
    }
    settle(piece);
}

uint32_t ram_get(const struct ram *ram, uint32_t block, uint64_t page)
{
    const struct ram_block *found = block_of(ram, block, page, 1);

    return chunk_token(&found->chunks[page / RAM_PAGES_PER_CHUNK],
                       (uint32_t)(page % RAM_PAGES_PER_CHUNK));
}

void ram_set(struct ram *ram, uint32_t block, uint64_t first_page, uint64_t page_count,
             uint32_t token)
{
    const struct ram_block *found = block_of(ram, block, first_page, page_count);

    while (page_count > 0) {
        struct ram_piece piece = piece_at(found, first_page, page_count);

        piece_set(&piece, token);
        first_page += piece.count;
        page_count -= piece.count;
    }
}

static uint32_t arrived(uint32_t token, bool is_home)
{
    return is_home || token == RAM_TOKEN_ZERO ? token : RAM_TOKEN_MISPLACED;
}

/* The first piece->count pages from page on of one chunk. */
static void piece_copy(const struct ram_piece *piece, const struct ram_chunk *from, uint32_t page,
                       bool is_home)
{
    if (from->tokens == NULL || piece->count == 1) {
        piece_set(piece, arrived(chunk_token(from, page), is_home));
        return;
    }
    make_tokens(piece->chunk);
    for (uint32_t i = 0; i < piece->count; i++) {
        piece->chunk->tokens[piece->first + i] = arrived(from->tokens[page + i], is_home);
    }
    settle(piece);
}

void ram_copy(struct ram *to, uint32_t to_block, uint64_t to_page, const struct ram *from,
              uint32_t from_block, uint64_t from_page, uint64_t page_count)
{
    const struct ram_block *target = block_of(to, to_block, to_page, page_count);
    const struct ram_block *origin = block_of(from, from_block, from_page, page_count);
    bool is_home = to_block == from_block && to_page == from_page;

    if (to == from) {
        sim_fail("ram", "a copy within one end's memory");
    }
    while (page_count > 0) {
        uint32_t page = (uint32_t)(from_page % RAM_PAGES_PER_CHUNK);
        uint64_t count_max = RAM_PAGES_PER_CHUNK - page;
        struct ram_piece piece =
            piece_at(target, to_page, page_count < count_max ? page_count : count_max);

        piece_copy(&piece, &origin->chunks[from_page / RAM_PAGES_PER_CHUNK], page, is_home);
        to_page += piece.count;
        from_page += piece.count;
        page_count -= piece.count;
    }
}

/* How many pages of the piece, from its first on, are zero (or are not). */
static uint32_t piece_run(const struct ram_piece *piece, bool is_zero)
{
    const struct ram_chunk *chunk = piece->chunk;
    uint32_t count = 0;

    if (chunk->tokens == NULL) {
        return (chunk->token == RAM_TOKEN_ZERO) == is_zero ? piece->count : 0;
    }
    while (count < piece->count &&
           (chunk->tokens[piece->first + count] == RAM_TOKEN_ZERO) == is_zero) {
        count++;
    }
    return count;
}

uint64_t ram_run(const struct ram *ram, uint32_t block, uint64_t first_page,
                 uint64_t page_count_max, bool *is_zero)
{
    const struct ram_block *found = block_of(ram, block, first_page, page_count_max);
    uint64_t run = 0;

    *is_zero = page_count_max > 0 && ram_get(ram, block, first_page) == RAM_TOKEN_ZERO;
    while (run < page_count_max) {
        struct ram_piece piece = piece_at(found, first_page + run, page_count_max - run);
        uint32_t count = piece_run(&piece, *is_zero);

        run += count;
        if (count < piece.count) {
            break;
        }
    }
    return run;
}

bool ram_is_all_zero(const struct ram *ram, uint32_t block, uint64_t first_page,
                     uint64_t page_count)
{
    bool is_zero;

    return page_count == 0 ||
           (ram_run(ram, block, first_page, page_count, &is_zero) == page_count && is_zero);
}

/* The first page, from page on, in which the chunks differ; count when there is none. */
static uint32_t next_difference(const struct ram_chunk *a, const struct ram_chunk *b, uint32_t page,
                                uint32_t count)
{
    if (a->tokens == NULL && b->tokens == NULL) {
        return a->token == b->token && a->token != RAM_TOKEN_MISPLACED ? count : page;
    }
    while (page < count) {
        uint32_t token = chunk_token(a, page);

        if (token != chunk_token(b, page) || token == RAM_TOKEN_MISPLACED) {
            break;
        }
        page++;
    }
    return page;
}

static bool block_is_equal(const struct ram *a, const struct ram *b, uint32_t block,
                           ram_exemption *is_exempt, const void *context, uint64_t *differing)
{
    const struct ram_block *one = &a->blocks[block];

    for (uint64_t chunk = 0; chunk < one->chunk_count; chunk++) {
        uint64_t first = chunk * RAM_PAGES_PER_CHUNK;
        uint32_t count = piece_at(one, first, RAM_PAGES_PER_CHUNK).count;
        uint32_t page = 0;

        while ((page = next_difference(&one->chunks[chunk], &b->blocks[block].chunks[chunk], page,
                                       count)) < count) {
            if (is_exempt == NULL || !is_exempt(context, block, first + page)) {
                *differing = first + page;
                return false;
            }
            page++;
        }
    }
    return true;
}

bool ram_is_equal(const struct ram *a, const struct ram *b, ram_exemption *is_exempt,
                  const void *context, uint32_t *block, uint64_t *page)
{
    if (a->block_count != b->block_count) {
        sim_fail("ram", "two ends with different blocks compared");
    }
    for (uint32_t i = 0; i < a->block_count; i++) {
        if (a->blocks[i].page_count != b->blocks[i].page_count) {
            sim_fail("ram", "two ends with different blocks compared");
        }
        if (!block_is_equal(a, b, i, is_exempt, context, page)) {
            *block = i;
            return false;
        }
    }
    return true;
}

uint64_t ram_touch(struct ram *ram, uint32_t block, uint64_t offset_bytes, uint64_t length_bytes)
{
    const struct ram_block *found = block_of(ram, block, 0, 0);
    uint64_t block_bytes = found->page_count * SIM_PAGE_BYTES;
    uint64_t touched_bytes = 0;

    if (offset_bytes > block_bytes || length_bytes > block_bytes - offset_bytes) {
        sim_fail("ram", "a range outside its block");
    }
    if (length_bytes == 0) {
        return 0;
    }
    for (uint64_t chunk = offset_bytes / CHUNK_BYTES;
         chunk <= (offset_bytes + length_bytes - 1) / CHUNK_BYTES; chunk++) {
        struct ram_piece piece = piece_at(found, chunk * RAM_PAGES_PER_CHUNK, RAM_PAGES_PER_CHUNK);

        if (!piece.chunk->is_touched) {
            piece.chunk->is_touched = true;
            touched_bytes += piece.count * SIM_PAGE_BYTES;
        }
    }
    return touched_bytes;
}
