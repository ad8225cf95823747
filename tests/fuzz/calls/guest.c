/* SPDX-License-Identifier: BSD-2-Clause */
/* The guest's memory at both ends, what is known of each page, and lists of blocks, good and bad. */
#include "calls.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define GUARD_BYTES UINT64_C(65536)
#define NAME_BYTES  300

/* Two chunks, one of them cut; more than a word of pages; all zero and never touched. */
static const struct {
    const char *name;
    uint64_t page_count;
} layout[CALLS_BLOCK_COUNT] = {{"ram.main", 259}, {"ram.odd", 65}, {"ram.zero", 64}};

static struct {
    uint8_t *source[CALLS_BLOCK_COUNT];
    uint8_t *destination[CALLS_BLOCK_COUNT];
    uint8_t *pristine[CALLS_BLOCK_COUNT];
    uint8_t *read_only;
    uint8_t *no_access;
    char long_name[NAME_BYTES];
} memory;

static uint8_t *map(uint64_t length_bytes, int rights)
{
    /* What lies behind a block is not mapped. */
    uint8_t *at =
        mmap(NULL, length_bytes + 2 * GUARD_BYTES, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    require(at != MAP_FAILED && munmap(at, GUARD_BYTES) == 0, "mmap");
    at += GUARD_BYTES;
    require(mprotect(at, length_bytes, rights) == 0 && munmap(at + length_bytes, GUARD_BYTES) == 0,
            "mprotect");
    return at;
}

static void fill_random(uint8_t *bytes, uint64_t length_bytes)
{
    uint64_t state = UINT64_C(0x9e3779b97f4a7c15);

    for (uint64_t i = 0; i < length_bytes; i++) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes[i] = (uint8_t)state | 1;
    }
}

static uint64_t length_of(uint32_t block)
{
    return layout[block].page_count * RDMIG_PAGE_BYTES;
}

static void map_all(void)
{
    const int both = PROT_READ | PROT_WRITE;

    for (uint32_t i = 0; i < CALLS_BLOCK_COUNT; i++) {
        memory.source[i] = map(length_of(i), both);
        memory.destination[i] = map(length_of(i), both);
        memory.pristine[i] = map(length_of(i), both);
    }
    fill_random(memory.pristine[0], length_of(0));
    fill_random(memory.pristine[1], length_of(1) / 2);
    memory.read_only = map(length_of(0), PROT_READ);
    memory.no_access = map(length_of(0), PROT_NONE);
    memset(memory.long_name, 'n', sizeof(memory.long_name) - 1);
}

void guest_reset(void)
{
    if (!memory.read_only)
        map_all();
    for (uint32_t i = 0; i < CALLS_BLOCK_COUNT; i++) {
        const uint64_t length_bytes = length_of(i);

        if (i == CALLS_BLOCK_COUNT - 1)
            require(madvise(memory.source[i], length_bytes, MADV_DONTNEED) == 0, "madvise");
        else
            memcpy(memory.source[i], memory.pristine[i], length_bytes);
        memset(memory.destination[i], 0xee, length_bytes);
    }
    memset(&world.guest, 0, sizeof(world.guest));
}

uint64_t guest_page_count(uint32_t block)
{
    return layout[block].page_count;
}

void guest_write(uint32_t block, uint64_t page, uint64_t page_count, uint8_t value)
{
    for (uint64_t i = page; i < page + page_count && i < layout[block].page_count; i++) {
        memset(memory.source[block] + i * RDMIG_PAGE_BYTES, value, RDMIG_PAGE_BYTES);
        world.guest.pages[block][i].is_unreported = true;
    }
}

/* ---- what is known of the pages */

/* Which of our blocks this one of the list is: all lists are of ours, or nothing is asked. */
static uint32_t block_of(const struct list *list, uint32_t index)
{
    for (uint32_t i = 0; i < CALLS_BLOCK_COUNT; i++) {
        if (list->blocks[index].host_addr == memory.source[i])
            return i;
    }
    return CALLS_BLOCK_COUNT;
}

static struct page *pages_of(const struct list *list, uint32_t index)
{
    static struct page other[CALLS_PAGES_MAX];
    const uint32_t block = block_of(list, index);

    return block < CALLS_BLOCK_COUNT ? world.guest.pages[block] : other;
}

void guest_marked(const struct list *list, uint32_t index, uint64_t page, uint64_t page_count)
{
    struct page *pages = pages_of(list, index);

    for (uint64_t i = page; i < page + page_count; i++)
        pages[i] = (struct page){.is_dirty = true};
}

void guest_freed(const struct list *list, uint32_t index, uint64_t page, uint64_t page_count)
{
    struct page *pages = pages_of(list, index);

    for (uint64_t i = page; i < page + page_count; i++) {
        pages[i].is_dirty = false;
        pages[i].is_free = true;
    }
}

void guest_pushed(const struct list *list, uint32_t index, uint64_t page, uint64_t page_count)
{
    struct page *pages = pages_of(list, index);

    for (uint64_t i = page; i < page + page_count; i++)
        pages[i] = (struct page){.is_dirty = false};
}

void guest_all_clean(void)
{
    for (uint32_t block = 0; block < CALLS_BLOCK_COUNT; block++) {
        for (uint64_t i = 0; i < layout[block].page_count; i++)
            world.guest.pages[block][i].is_dirty = false;
    }
    world.guest.is_dirty_exact = true;
}

uint64_t guest_dirty_bytes(const struct list *list)
{
    uint64_t page_count = 0;

    for (uint32_t index = 0; index < list->block_count; index++) {
        const struct page *pages = pages_of(list, index);

        for (uint64_t i = 0; i < list->blocks[index].length_bytes / RDMIG_PAGE_BYTES; i++)
            page_count += pages[i].is_dirty;
    }
    return page_count * RDMIG_PAGE_BYTES;
}

static void check_block(const struct list *source, uint32_t index, const uint8_t *arrived)
{
    const struct page *pages = pages_of(source, index);
    const uint8_t *sent = source->blocks[index].host_addr;

    for (uint64_t i = 0; i < source->blocks[index].length_bytes; i += RDMIG_PAGE_BYTES) {
        const struct page *page = &pages[i / RDMIG_PAGE_BYTES];

        require(page->is_unreported || page->is_free ||
                    memcmp(sent + i, arrived + i, RDMIG_PAGE_BYTES) == 0,
                "a page has not arrived at the destination, and the migration is complete");
    }
}

void guest_check_arrived(const struct list *source, const struct list *destination)
{
    for (uint32_t i = 0; i < source->block_count; i++) {
        for (uint32_t j = 0; j < destination->block_count; j++) {
            if (strcmp(source->blocks[i].name, destination->blocks[j].name) == 0)
                check_block(source, i, destination->blocks[j].host_addr);
        }
    }
}

/* ---- lists */

void list_all(bool is_destination, struct list *list)
{
    *list = (struct list){.block_count = CALLS_BLOCK_COUNT, .is_good = true};
    for (uint32_t i = 0; i < CALLS_BLOCK_COUNT; i++) {
        const uint32_t block = is_destination ? CALLS_BLOCK_COUNT - 1 - i : i;

        list->blocks[i] = (struct rdmig_ram_block){
            layout[block].name, is_destination ? memory.destination[block] : memory.source[block],
            length_of(block)};
    }
}

bool list_is_same(const struct list *a, const struct list *b)
{
    bool is_same = a->block_count == b->block_count;

    for (uint32_t i = 0; i < a->block_count && is_same; i++) {
        is_same = false;
        for (uint32_t j = 0; j < b->block_count; j++)
            is_same = is_same || (strcmp(a->blocks[i].name, b->blocks[j].name) == 0 &&
                                  a->blocks[i].length_bytes == b->blocks[j].length_bytes);
    }
    return is_same;
}

/* Another list that the header allows. */
static void vary(struct draw *draw, struct list *list)
{
    struct rdmig_ram_block *block = &list->blocks[draw_below(draw, list->block_count)];
    const struct rdmig_ram_block first = list->blocks[0];

    switch (draw_below(draw, 5)) {
    case 0: /* another order */
        list->blocks[0] = *block;
        *block = first;
        break;
    case 1:
        list->block_count = 1 + draw_below(draw, CALLS_BLOCK_COUNT);
        break;
    case 2:
        block->length_bytes = RDMIG_PAGE_BYTES * (1 + draw_below(draw, 64));
        break;
    case 3: /* no text, but a name */
        block->name = "\x1b[2J\xff\n\xc3";
        break;
    default:
        block->name = memory.long_name + NAME_BYTES - 256;
    }
}

static void spoil_block(struct draw *draw, bool is_destination, struct rdmig_ram_block *block)
{
    static const uint64_t lengths_bytes[] = {
        0, 1, 4095, 4097, UINT64_C(1) << 53, UINT64_MAX - 4095, UINT64_MAX};

    switch (draw_below(draw, 8)) {
    case 0:
        block->name = "";
        break;
    case 1:
        block->name = NULL;
        break;
    case 2:
        block->name = memory.long_name + NAME_BYTES - 257;
        break;
    case 3:
        block->host_addr = NULL;
        break;
    case 4:
        block->host_addr = (uint8_t *)block->host_addr + 1 + draw_below(draw, 4095);
        break;
    case 5:
        block->length_bytes = lengths_bytes[draw_below(draw, 7)];
        break;
    case 6: /* past the end of what is mapped */
        block->length_bytes += RDMIG_PAGE_BYTES * (1 + draw_below(draw, 8));
        break;
    default:
        block->host_addr = is_destination ? memory.read_only : memory.no_access;
    }
}

static void spoil(struct draw *draw, bool is_destination, struct list *list)
{
    list->is_good = false;
    switch (draw_below(draw, 8)) {
    case 0: /* one name twice */
        list->blocks[1].name = list->blocks[0].name;
        break;
    case 1:
        list->is_null = true;
        break;
    case 2:
        list->block_count = RDMIG_BLOCK_COUNT_MAX + 1;
        break;
    case 3:
        list->block_count = UINT32_MAX;
        break;
    case 4: /* a page of two blocks */
        list->blocks[1].host_addr =
            (uint8_t *)list->blocks[0].host_addr + list->blocks[0].length_bytes - RDMIG_PAGE_BYTES;
        list->blocks[1].length_bytes = RDMIG_PAGE_BYTES * (1 + draw_below(draw, 2));
        break;
    default:
        spoil_block(draw, is_destination, &list->blocks[draw_below(draw, CALLS_BLOCK_COUNT)]);
    }
}

void draw_list(struct draw *draw, bool is_destination, struct list *list)
{
    const uint8_t kind = draw_byte(draw);

    list_all(is_destination, list);
    if (kind < 96)
        return;
    if (kind < 160) {
        vary(draw, list);
    } else {
        spoil(draw, is_destination, list);
    }
}
