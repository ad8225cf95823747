/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The guest: writes every page of its memory in turn with content that follows from the pass and
 * the page's number, and checks before each write that the page holds what the previous pass must
 * have left. Any page that a migration loses, tears or brings in an older version is found within
 * one pass. Where it stands is kept twice, in registers and on the stack, and in memory, so that a
 * lost register is found as well. It has no interrupts, no libc and knows nothing of migration.
 */
#include "layout.h"

#define VECTORS_PER_PAGE (GUEST_PAGE_BYTES / 16)
#define HEADER_VECTORS   2
#define PAGES_PER_PACE   16
#define STACK_WITNESSES  8

/* Two words in one SSE register: the content is made in vector registers, so that losing one of
 * them while a page is being filled tears that page. */
typedef uint64_t vector_pair __attribute__((vector_size(16), may_alias));

/* A page: 32 bytes that say what it is, and what follows from them. */
struct page_header {
    uint64_t pass;
    uint64_t page_number;
    uint64_t checksum;
    uint64_t seed;
};

/* The same numbers guest_main keeps in registers. Volatile: each access is a real one. */
static volatile struct {
    uint64_t pass;
    uint64_t page_number;
    uint64_t sum;
    uint64_t image_sum;
} kept;

extern const uint64_t guest_image_start[];
extern const uint64_t guest_image_end[];

void guest_main(const struct guest_boot *boot);

static void port_write32(uint16_t port, uint32_t value)
{
    __asm__ volatile("outl %0, %1" : : "a"(value), "d"(port) : "memory");
}

static void serial_text(const char *text)
{
    for (; *text != '\0'; text++)
        __asm__ volatile("outb %0, %1" : : "a"(*text), "d"((uint16_t)GUEST_PORT_SERIAL) : "memory");
}

static void serial_number(uint64_t value)
{
    char digits[24];
    char *first = digits + sizeof(digits) - 1;

    *first = '\0';
    do {
        *--first = (char)('0' + value % 10);
        value /= 10;
    } while (value != 0);
    serial_text(first);
}

static void serial_hex(uint64_t value)
{
    char digits[17];

    for (int i = 15; i >= 0; i--, value >>= 4)
        digits[i] = "0123456789abcdef"[value & 15];
    digits[16] = '\0';
    serial_text(digits);
}

__attribute__((noreturn)) static void halt(enum guest_halt reason)
{
    for (;;)
        port_write32(GUEST_PORT_HALT, reason);
}

/* Steele and Vigna's SplitMix64 finalizer: every bit of the result follows from every bit of x. */
static uint64_t mix(uint64_t x)
{
    x += 0x9e3779b97f4a7c15;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9;
    x = (x ^ (x >> 27)) * 0x94d049bb133111eb;
    return x ^ (x >> 31);
}

static vector_pair content_start(uint64_t seed, uint64_t pass, uint64_t page_number)
{
    const uint64_t first = mix(seed ^ mix((pass << 40) ^ page_number));

    return (vector_pair){first, mix(first)};
}

static vector_pair content_next(vector_pair *state)
{
    *state += (vector_pair){0x9e3779b97f4a7c15, 0xd1342543de82ef95};
    return *state ^ (*state >> 29);
}

static void page_write(void *page, uint64_t seed, uint64_t pass, uint64_t page_number)
{
    vector_pair *vectors = (vector_pair *)page;
    volatile struct page_header *header = (volatile struct page_header *)page;
    vector_pair state = content_start(seed, pass, page_number);
    vector_pair sum = {0, 0};

    header->pass = pass;
    header->page_number = page_number;
    header->seed = seed;
    for (int i = HEADER_VECTORS; i < VECTORS_PER_PAGE; i++) {
        const vector_pair content = content_next(&state);

        vectors[i] = content;
        sum += content;
    }
    header->checksum = sum[0] ^ sum[1];
}

/* Whether the page is whole and exactly this version of this page. */
static int page_is(const void *page, uint64_t seed, uint64_t pass, uint64_t page_number)
{
    const vector_pair *vectors = (const vector_pair *)page;
    const struct page_header *header = (const struct page_header *)page;
    vector_pair state = content_start(seed, pass, page_number);
    vector_pair sum = {0, 0};
    vector_pair different = {0, 0};

    if (header->pass != pass || header->page_number != page_number || header->seed != seed)
        return 0;
    for (int i = HEADER_VECTORS; i < VECTORS_PER_PAGE; i++) {
        const vector_pair content = content_next(&state);

        different |= vectors[i] ^ content;
        sum += content;
    }
    return (different[0] | different[1]) == 0 && header->checksum == (sum[0] ^ sum[1]);
}

static int page_is_zero(const void *page)
{
    const vector_pair *vectors = (const vector_pair *)page;
    vector_pair any = {0, 0};

    for (int i = 0; i < VECTORS_PER_PAGE; i++)
        any |= vectors[i];
    return (any[0] | any[1]) == 0;
}

/* The page is not what it must be: say what it is, and stop. */
__attribute__((noreturn)) static void page_complain(const void *page, uint64_t seed, uint64_t pass,
                                                    uint64_t page_number)
{
    const struct page_header *header = (const struct page_header *)page;
    enum guest_halt reason = GUEST_HALT_TORN;

    if (page_is_zero(page))
        reason = GUEST_HALT_LOST;
    else if (page_is(page, seed, header->pass, header->page_number))
        reason = header->page_number == page_number && header->pass < pass ? GUEST_HALT_STALE
                                                                           : GUEST_HALT_MISPLACED;
    serial_text(reason == GUEST_HALT_LOST    ? "HALT lost page "
                : reason == GUEST_HALT_TORN  ? "HALT torn page "
                : reason == GUEST_HALT_STALE ? "HALT stale page "
                                             : "HALT misplaced page ");
    serial_number(page_number);
    serial_text(" at ");
    serial_hex((uint64_t)(uintptr_t)page);
    serial_text(": expected pass ");
    serial_number(pass);
    serial_text(", found pass ");
    serial_number(header->pass);
    serial_text(" page ");
    serial_number(header->page_number);
    serial_text("\n");
    halt(reason);
}

__attribute__((noreturn)) static void registers_complain(const char *what, uint64_t pass,
                                                         uint64_t page_number)
{
    serial_text("HALT registers and memory disagree: ");
    serial_text(what);
    serial_text(" (registers: pass ");
    serial_number(pass);
    serial_text(" page ");
    serial_number(page_number);
    serial_text("; memory: pass ");
    serial_number(kept.pass);
    serial_text(" page ");
    serial_number(kept.page_number);
    serial_text(")\n");
    halt(GUEST_HALT_REGISTERS);
}

static uint64_t image_sum(void)
{
    uint64_t sum = 0;

    for (const uint64_t *word = guest_image_start; word < guest_image_end; word++)
        sum = (sum << 7 | sum >> 57) + *word;
    return sum;
}

static void image_check(void)
{
    if (image_sum() == kept.image_sum)
        return;
    serial_text("HALT the program's own code or constants changed\n");
    halt(GUEST_HALT_IMAGE);
}

/* What one page adds to the pass's sum. */
static uint64_t page_share(uint64_t pass, uint64_t page_number)
{
    return mix(pass ^ mix(page_number));
}

static void pass_report(uint64_t pass, uint64_t page_count, uint64_t sum)
{
    serial_text("pass ");
    serial_number(pass);
    serial_text(": ");
    serial_number(page_count);
    serial_text(" pages whole, sum ");
    serial_hex(sum);
    serial_text("\n");
    port_write32(GUEST_PORT_PASS, (uint32_t)pass);
}

/* One pass over all memory. Pass 1 finds zeros, every later pass what the one before it wrote. */
static void pass_run(const struct guest_boot *boot, uint64_t pass)
{
    volatile uint64_t witnesses[STACK_WITNESSES];
    uint64_t page_number = 0;
    uint64_t sum = 0;
    double pages_counted = 0;

    for (uint64_t i = 0; i < STACK_WITNESSES; i++)
        witnesses[i] = mix(pass + i);
    kept.page_number = 0;
    kept.sum = 0;
    kept.pass = pass;
    for (uint64_t r = 0; r < boot->range_count; r++) {
        char *page = (char *)(uintptr_t)boot->ranges[r].address;

        for (uint64_t i = 0; i < boot->ranges[r].page_count; i++, page += GUEST_PAGE_BYTES) {
            if (kept.pass != pass || kept.page_number != page_number || kept.sum != sum)
                registers_complain("position", pass, page_number);
            if (witnesses[page_number % STACK_WITNESSES] !=
                mix(pass + page_number % STACK_WITNESSES))
                registers_complain("stack", pass, page_number);
            if (pass == 1 ? !page_is_zero(page) : !page_is(page, boot->seed, pass - 1, page_number))
                page_complain(page, boot->seed, pass - 1, page_number);
            page_write(page, boot->seed, pass, page_number);
            sum += page_share(pass, page_number);
            page_number++;
            pages_counted += 1;
            kept.sum = sum;
            kept.page_number = page_number;
            if (page_number % PAGES_PER_PACE == 0)
                port_write32(GUEST_PORT_PACE, PAGES_PER_PACE);
        }
    }
    if (pages_counted != (double)page_number)
        registers_complain("floating point", pass, page_number);
    pass_report(pass, page_number, sum);
}

void guest_main(const struct guest_boot *boot)
{
    if (boot->magic != GUEST_BOOT_MAGIC || boot->range_count > GUEST_RANGES_MAX) {
        serial_text("HALT no boot record\n");
        halt(GUEST_HALT_BOOT_RECORD);
    }
    kept.image_sum = image_sum();
    for (uint64_t pass = 1;; pass++) {
        pass_run(boot, pass);
        image_check();
    }
}
