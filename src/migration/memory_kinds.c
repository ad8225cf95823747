/* SPDX-License-Identifier: BSD-2-Clause */
#include "memory_kinds.h"

#include "text/text.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* ---- rights */

struct right {
    uintptr_t start;
    uintptr_t end;
    bool is_readable;
    bool is_writable;
};

struct rights {
    struct right *items; /* in order of address */
    size_t count;
};

static bool append(struct rights *rights, const struct right *next)
{
    struct right *last = rights->count > 0 ? &rights->items[rights->count - 1] : NULL;

    if (last && last->end == next->start && last->is_readable == next->is_readable &&
        last->is_writable == next->is_writable) {
        last->end = next->end;
        return true;
    }
    if (rights->count % 256 == 0) {
        struct right *items = realloc(rights->items, (rights->count + 256) * sizeof(*items));

        if (!items)
            return false;
        rights->items = items;
    }
    rights->items[rights->count++] = *next;
    return true;
}

/* False: they cannot be told. */
static bool read_rights(struct rights *rights)
{
    FILE *maps = fopen("/proc/self/maps", "re");
    char *line = NULL;
    size_t line_bytes = 0;
    bool has_room = true;

    while (maps && has_room && getline(&line, &line_bytes, maps) > 0) {
        unsigned long long start;
        unsigned long long end;
        char *at;

        start = strtoull(line, &at, 16);
        end = *at == '-' ? strtoull(at + 1, &at, 16) : 0;
        if (*at != ' ' || end <= start)
            continue;
        has_room = append(rights, &(struct right){.start = (uintptr_t)start,
                                                  .end = (uintptr_t)end,
                                                  .is_readable = at[1] == 'r',
                                                  .is_writable = at[2] == 'w'});
    }
    free(line);
    if (maps)
        (void)fclose(maps);
    return maps && has_room && rights->count > 0;
}

/* The first that ends behind the address; NULL: none. */
static const struct right *find(const struct rights *rights, uintptr_t address)
{
    size_t low = 0;
    size_t high = rights->count;

    while (low < high) {
        const size_t middle = low + (high - low) / 2;

        if (rights->items[middle].end <= address)
            low = middle + 1;
        else
            high = middle;
    }
    return low < rights->count ? &rights->items[low] : NULL;
}

static int refuse(const struct memory_block *block, uintptr_t at, uintptr_t end, const char *what,
                  struct rdmig_error *error)
{
    const uintptr_t start = (uintptr_t)block->host_addr;

    error_set(
        error, RDMIG_REASON_CALLER, 0,
        "give RAM blocks that are mapped readable (at a destination writable, too) from end to "
        "end: leave guard pages and memory that only the guest may read between two blocks",
        "RAM block %s %s from byte %llu to %llu", text_name(block->name).text, what,
        (unsigned long long)(at - start), (unsigned long long)(end - start));
    return -RDMIG_E_INVALID;
}

static int check_block(const struct rights *rights, const struct memory_block *block,
                       bool is_written, struct rdmig_error *error)
{
    const uintptr_t end = (uintptr_t)block->host_addr + block->length_bytes;
    uintptr_t at = (uintptr_t)block->host_addr;

    while (at < end) {
        const struct right *right = find(rights, at);

        if (!right || right->start > at)
            return refuse(block, at, right && right->start < end ? right->start : end,
                          "is not mapped", error);
        if (!right->is_readable || (is_written && !right->is_writable))
            return refuse(block, at, right->end < end ? right->end : end,
                          right->is_readable ? "cannot be written" : "cannot be read", error);
        at = right->end;
    }
    return RDMIG_OK;
}

int memory_kinds_check(const struct memory *memory, bool is_written, struct rdmig_error *error)
{
    struct rights rights = {0};
    int result = RDMIG_OK;

    if (read_rights(&rights)) {
        for (uint32_t i = 0; i < memory->block_count && result == RDMIG_OK; i++)
            result = check_block(&rights, &memory->blocks[i], is_written, error);
    }
    free(rights.items);
    return result;
}

/* ---- what is behind a refusal */

struct kind {
    uint64_t page_bytes;     /* the kernel's, of the mapping; 0: not known */
    bool is_write_protected; /* by a userfaultfd handler */
    bool is_supplied;        /* its missing pages come from one */
    bool is_of_device;       /* no memory of the kernel's: it cannot be pinned */
};

/* What was tried, and how it failed. */
struct failed {
    const struct memory_block *block;
    uint64_t offset_bytes;
    const char *what;
    int os_code;
};

static void take_smaps_line(const char *line, struct kind *kind)
{
    if (strncmp(line, "KernelPageSize:", 15) == 0)
        kind->page_bytes = strtoull(line + 15, NULL, 10) * 1024;
    if (strncmp(line, "VmFlags:", 8) != 0)
        return;
    kind->is_write_protected = kind->is_write_protected || strstr(line, " uw") != NULL;
    kind->is_supplied = kind->is_supplied || strstr(line, " um") != NULL;
    kind->is_of_device =
        kind->is_of_device || strstr(line, " pf") != NULL || strstr(line, " io") != NULL;
}

/* Of all mappings in [start, end). Slow, the kernel walks all page tables: after a failure only. */
static struct kind look_at(uintptr_t start, uintptr_t end)
{
    FILE *smaps = fopen("/proc/self/smaps", "re");
    struct kind kind = {0};
    char *line = NULL;
    size_t line_bytes = 0;
    bool is_inside = false;

    while (smaps && getline(&line, &line_bytes, smaps) > 0) {
        char *at;
        const unsigned long long from = strtoull(line, &at, 16);

        if (*at == '-' && at > line)
            is_inside = from < end && strtoull(at + 1, NULL, 16) > start;
        else if (is_inside)
            take_smaps_line(line, &kind);
    }
    free(line);
    if (smaps)
        (void)fclose(smaps);
    return kind;
}

/* A number in a file of the kernel's; UINT64_MAX: it is not to be had. */
static uint64_t number_in(const char *path)
{
    FILE *file = fopen(path, "re");
    unsigned long long number;
    char line[32];

    if (!file)
        return UINT64_MAX;
    number = fgets(line, sizeof(line), file) ? strtoull(line, NULL, 10) : UINT64_MAX;
    (void)fclose(file);
    return number;
}

static uint64_t mapping_count(void)
{
    FILE *maps = fopen("/proc/self/maps", "re");
    uint64_t count = 0;
    int byte;

    while (maps && (byte = getc(maps)) != EOF)
        count += byte == '\n';
    if (maps)
        (void)fclose(maps);
    return count;
}

/* Each region may split a mapping, where somebody has called ibv_fork_init(). */
static bool is_out_of_mappings(int os_code, uint64_t *limit_count)
{
    *limit_count = number_in("/proc/sys/vm/max_map_count");
    return os_code == ENOMEM && *limit_count != UINT64_MAX &&
           mapping_count() + *limit_count / 16 >= *limit_count;
}

static uint64_t pool_count(uint64_t page_bytes, const char *which)
{
    char path[96];

    (void)snprintf(path, sizeof(path), "/sys/kernel/mm/hugepages/hugepages-%llukB/%s_hugepages",
                   (unsigned long long)page_bytes / 1024, which);
    return number_in(path);
}

static void explain_pool(const struct failed *failed, uint64_t page_bytes,
                         struct rdmig_error *error)
{
    error_set(
        error, RDMIG_REASON_MEMORY, failed->os_code,
        "raise vm.nr_hugepages (or vm.nr_overcommit_hugepages; a hugetlb cgroup's limit) by what "
        "is missing, or map the RAM with a reservation (without MAP_NORESERVE), which fails at "
        "once",
        "RAM block %s could not be %s at byte %llu: it needs huge pages of %llu KiB, and "
        "the pool (HugePages_Free) has %lld left, %lld of them reserved for others",
        text_name(failed->block->name).text, failed->what, (unsigned long long)failed->offset_bytes,
        (unsigned long long)page_bytes / 1024, (long long)pool_count(page_bytes, "free"),
        (long long)pool_count(page_bytes, "resv"));
}

/* Huge pages; other failures than these have nothing to do with them. */
static bool explain_huge(const struct failed *failed, uint64_t page_bytes,
                         struct rdmig_error *error)
{
    if (page_bytes <= (uint64_t)sysconf(_SC_PAGESIZE))
        return false;
    if (failed->os_code == ENOMEM || failed->os_code == EFAULT) {
        explain_pool(failed, page_bytes, error);
        return true;
    }
    if (failed->os_code != EINVAL)
        return false;
    error_set(error, RDMIG_REASON_REGISTER_FAILED, EINVAL,
              "do not call ibv_fork_init(), nor set RDMAV_FORK_SAFE, in a VMM with huge pages",
              "RAM block %s, huge pages of %llu KiB, could not be %s at byte %llu: its "
              "regions end inside huge pages, which ibv_fork_init() does not allow",
              text_name(failed->block->name).text, (unsigned long long)page_bytes / 1024,
              failed->what, (unsigned long long)failed->offset_bytes);
    return true;
}

/* What smaps says of it. */
static bool explain_kind(const struct failed *failed, const struct kind *kind,
                         struct rdmig_error *error)
{
    const struct text_name name = text_name(failed->block->name);

    if (kind->is_write_protected || kind->is_supplied) {
        error_set(error, RDMIG_REASON_REGISTER_FAILED, failed->os_code,
                  "take the userfaultfd registration off RAM blocks before the migration begins",
                  "RAM block %s could not be %s at byte %llu: a userfaultfd handler %s there",
                  name.text, failed->what, (unsigned long long)failed->offset_bytes,
                  kind->is_write_protected ? "write-protects pages" : "supplies pages");
        return true;
    }
    if (kind->is_of_device) {
        error_set(error, RDMIG_REASON_CALLER, failed->os_code,
                  "leave a device's memory (a BAR, /dev/mem) out of the RAM blocks",
                  "RAM block %s could not be %s at byte %llu: a device's memory is mapped there",
                  name.text, failed->what, (unsigned long long)failed->offset_bytes);
        return true;
    }
    return explain_huge(failed, kind->page_bytes, error);
}

static bool explain_mappings(const struct failed *failed, struct rdmig_error *error)
{
    uint64_t limit_count;

    if (!is_out_of_mappings(failed->os_code, &limit_count))
        return false;
    error_set(error, RDMIG_REASON_REGISTER_FAILED, failed->os_code,
              "raise vm.max_map_count, or do without ibv_fork_init() and RDMAV_FORK_SAFE",
              "RAM block %s could not be %s: the process has nearly vm.max_map_count (%llu) "
              "mappings, and each region may split one",
              text_name(failed->block->name).text, failed->what, (unsigned long long)limit_count);
    return true;
}

void memory_kinds_explain(const struct memory *memory, uint32_t block_index, uint64_t offset_bytes,
                          uint64_t length_bytes, const char *what, int os_code,
                          struct rdmig_error *error)
{
    const struct memory_block *block = &memory->blocks[block_index];
    const struct failed failed = {block, offset_bytes, what, os_code};
    const uintptr_t start = (uintptr_t)block->host_addr + offset_bytes;
    const struct kind kind = look_at(start, start + length_bytes);
    const struct rdmig_error before = *error;

    *error = (struct rdmig_error){0};
    if (explain_kind(&failed, &kind, error) || explain_mappings(&failed, error))
        return;
    if (before.reason != RDMIG_REASON_NONE)
        error_set(error, before.reason, before.os_code, before.remedy,
                  "%s (RAM block %s, byte %llu)", before.detail, text_name(block->name).text,
                  (unsigned long long)offset_bytes);
    else
        error_set(
            error, RDMIG_REASON_CALLER, os_code,
            "give RAM that is there: mapped, readable (at a destination writable), not beyond "
            "the end of its file, and not in a tmpfs that is full (df)",
            "RAM block %s could not be %s at byte %llu: %s", text_name(block->name).text, what,
            (unsigned long long)offset_bytes, strerror(os_code));
}
