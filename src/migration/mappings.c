/* SPDX-License-Identifier: BSD-2-Clause */
/* What kind of memory lies where: /proc/self/maps, the file behind shared memory, and who supplies
 * missing pages. */
#include "holes_internal.h"

#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/vfs.h>
#include <unistd.h>

#define PATH_BYTES 128

/* ---- lines of /proc/self/maps, and those that head a part of smaps */

/* Digits up to the delimiter, which is skipped. */
static bool take_number(const char **at, int base, char delimiter, unsigned long long *value)
{
    char *end;

    *value = strtoull(*at, &end, base);
    if (end == *at || *end != delimiter)
        return false;
    *at = end + 1;
    return true;
}

/* Memory without a file whose missing pages are zero: not what the kernel maps itself ([vvar]). */
static bool is_anonymous_name(const char *name)
{
    return name[0] == '\0' || strcmp(name, "[heap]") == 0 || strncmp(name, "[anon:", 6) == 0;
}

/* "start-end rwxp offset major:minor inode   name" */
static bool parse_line(const char *line, struct mapping *out)
{
    unsigned long long start, end, offset, major_number, minor_number, inode;
    const char *at = line;
    char sharing;
    char name[16]; /* " (deleted)" stands behind it where there is no such file */

    if (!take_number(&at, 16, '-', &start) || !take_number(&at, 16, ' ', &end) ||
        strnlen(at, 5) < 5 || at[4] != ' ')
        return false;
    sharing = at[3];
    at += 5;
    if (!take_number(&at, 16, ' ', &offset) || !take_number(&at, 16, ':', &major_number) ||
        !take_number(&at, 16, ' ', &minor_number) || !take_number(&at, 10, ' ', &inode))
        return false;
    at += strspn(at, " ");
    (void)snprintf(name, sizeof(name), "%.*s", (int)strcspn(at, " \n"), at);
    *out = (struct mapping){
        .start = (uintptr_t)start,
        .end = (uintptr_t)end,
        .piece_end = (uintptr_t)end,
        .seen_end = (uintptr_t)start,
        .kind = MAPPING_UNKNOWN,
        .device = makedev((unsigned)major_number, (unsigned)minor_number),
        .inode = (ino_t)inode,
        .offset_bytes = offset,
        .fd = -1,
    };
    if (sharing == 'p' && inode == 0 && out->device == 0 && is_anonymous_name(name))
        out->kind = MAPPING_PRIVATE;
    else if (sharing == 'p' && strcmp(name, "/anon_hugepage") == 0)
        out->kind = MAPPING_HUGE_PRIVATE;
    else if (sharing == 's' && inode != 0)
        out->kind = MAPPING_SHARED; /* or huge, which its file tells */
    else if (sharing == 'p' && inode != 0)
        out->kind = MAPPING_PRIVATE_FILE;
    return true;
}

/* What stands in the last column of a line; it changes the line. The caller's; NULL: none. */
static char *take_name(char *line)
{
    char *name = strchr(line, '/');

    if (!name)
        return NULL;
    name[strcspn(name, "\n")] = '\0';
    return strdup(name);
}

/* ---- the list */

/* Pieces of one mapping that mprotect or madvise has made are one again here. */
static bool is_continued(const struct mapping *first, const struct mapping *next)
{
    if (first->end != next->start || first->kind != next->kind)
        return false;
    return (first->kind != MAPPING_SHARED && first->kind != MAPPING_PRIVATE_FILE) ||
           (first->device == next->device && first->inode == next->inode &&
            first->offset_bytes + (first->end - first->start) == next->offset_bytes);
}

/* Takes the name. */
static bool append(struct mappings *mappings, uint32_t *capacity, const struct mapping *next)
{
    struct mapping *items = mappings->items;

    if (mappings->count > 0 && is_continued(&items[mappings->count - 1], next)) {
        items[mappings->count - 1].end = next->end;
        free(next->name);
        return true;
    }
    if (mappings->count == *capacity) {
        *capacity = *capacity ? *capacity * 2 : 64;
        items = realloc(items, *capacity * sizeof(*items));
        if (!items) {
            free(next->name);
            return false;
        }
        mappings->items = items;
    }
    items[mappings->count++] = *next;
    return true;
}

/* All of the process's: once, as a look for each mapping would cost their square. */
static void list_all(struct mappings *mappings)
{
    FILE *maps = fopen("/proc/self/maps", "re");
    char *line = NULL;
    size_t line_bytes = 0;
    uint32_t capacity = 0;
    bool has_room = true;

    while (maps && has_room && getline(&line, &line_bytes, maps) > 0) {
        struct mapping mapping;

        if (!parse_line(line, &mapping))
            continue;
        if (mapping.kind == MAPPING_SHARED || mapping.kind == MAPPING_PRIVATE_FILE)
            mapping.name = take_name(line);
        has_room = append(mappings, &capacity, &mapping);
    }
    free(line);
    if (maps)
        (void)fclose(maps);
    mappings->is_listed = true;
}

/* The first that ends behind the address; the count: none. */
static uint32_t find_index(const struct mappings *mappings, uintptr_t address)
{
    uint32_t low = 0;
    uint32_t high = mappings->count;

    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;

        if (mappings->items[middle].end <= address)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

struct mapping *mappings_find(struct mappings *mappings, uintptr_t address)
{
    uint32_t index;

    if (!mappings->is_listed)
        list_all(mappings);
    index = find_index(mappings, address);
    return index < mappings->count && mappings->items[index].start <= address
               ? &mappings->items[index]
               : NULL;
}

void mappings_free(struct mappings *mappings)
{
    for (uint32_t i = 0; i < mappings->count; i++) {
        if (mappings->items[i].fd >= 0)
            close(mappings->items[i].fd);
        free(mappings->items[i].name);
    }
    free(mappings->items);
    descriptors_free(&mappings->descriptors);
    *mappings = (struct mappings){0};
}

/* ---- the file behind shared memory */

static bool is_file_of(const struct mapping *mapping, const struct stat *about)
{
    return S_ISREG(about->st_mode) && about->st_dev == mapping->device &&
           about->st_ino == mapping->inode;
}

/* Only of a tmpfs is it known that holes are holes for the mapping too; of a hugetlbfs, that reading
 * the file makes no page. */
static bool is_told_by(const struct mapping *mapping, __fsword_t system)
{
    return system == (__fsword_t)HUGETLBFS_MAGIC ||
           (system == (__fsword_t)TMPFS_MAGIC && mapping->kind == MAPPING_SHARED);
}

/* A description of our own: seeking must not move a file position that is the VMM's. What the path
 * leads to is in *about, if it can be opened. */
static bool open_again(struct mapping *mapping, const char *path, struct stat *about)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    struct statfs system;

    *about = (struct stat){0};
    if (fd < 0)
        return false;
    if (fstat(fd, about) == 0 && is_file_of(mapping, about) && fstatfs(fd, &system) == 0 &&
        is_told_by(mapping, system.f_type)) {
        if (system.f_type == (__fsword_t)HUGETLBFS_MAGIC && mapping->kind == MAPPING_SHARED)
            mapping->kind = MAPPING_HUGE;
        mapping->huge_page_bytes = (uint64_t)system.f_bsize;
        mapping->fd = fd;
        return true;
    }
    close(fd);
    return false;
}

/*
 * By one of the process's own descriptors: one that is the link to the same name. Only those are
 * touched, and only once if they turn out to be of another file of that name. The others are the
 * VMM's, and to ask about one may take long, or for ever: a file on a server that does not answer.
 */
static bool open_by_descriptor(struct mappings *mappings, struct mapping *mapping)
{
    struct descriptor *at = descriptors_find(&mappings->descriptors, mapping->name);
    bool is_open = false;

    for (; at && !is_open; at = descriptors_next(&mappings->descriptors, at)) {
        char path[DESCRIPTOR_PATH_BYTES];
        struct stat about;

        if ((at->is_known && (at->device != mapping->device || at->inode != mapping->inode)) ||
            !descriptor_is_still(at))
            continue;
        descriptor_path(at->number, path);
        is_open = open_again(mapping, path, &about);
        at->is_known = true;
        at->device = about.st_dev;
        at->inode = about.st_ino;
    }
    return is_open;
}

/* By the mapping itself, which the kernel allows the privileged: for memory whose descriptor has
 * been closed, or that never had one (shared anonymous). */
static bool open_by_mapping(struct mapping *mapping)
{
    char path[PATH_BYTES];
    struct stat about;

    (void)snprintf(path, sizeof(path), "/proc/self/map_files/%llx-%llx",
                   (unsigned long long)mapping->start, (unsigned long long)mapping->piece_end);
    return open_again(mapping, path, &about);
}

bool mapping_open(struct mappings *mappings, struct mapping *mapping)
{
    if (mapping->fd >= 0)
        return true;
    if ((mapping->name && open_by_descriptor(mappings, mapping)) || open_by_mapping(mapping))
        return true;
    mapping->kind = MAPPING_UNKNOWN;
    return false;
}

/* ---- missing pages */

/* "um": a userfaultfd handler supplies them; "ui": it has its say before what the file holds is
 * mapped. "ht": huge pages, where a name alone has said so (a file may have it, too). Only smaps
 * tells. */
static bool is_as_listed(const struct mapping *mapping, const char *flags)
{
    return !strstr(flags, " um") && !strstr(flags, " ui") &&
           (mapping->kind != MAPPING_HUGE_PRIVATE || strstr(flags, " ht") != NULL);
}

/* The pieces come in order of address, so a mapping is seen from its start on. */
static void take_piece(struct mappings *mappings, const struct mapping *piece, const char *flags)
{
    for (uint32_t i = find_index(mappings, piece->start);
         i < mappings->count && mappings->items[i].start < piece->end; i++) {
        struct mapping *mapping = &mappings->items[i];

        if (piece->start <= mapping->seen_end && piece->end > mapping->seen_end &&
            is_as_listed(mapping, flags))
            mapping->seen_end = piece->end;
    }
}

/* For all mappings, once: it costs the kernel as much for one. */
static void read_smaps(struct mappings *mappings)
{
    FILE *smaps = fopen("/proc/self/smaps", "re");
    char *line = NULL;
    size_t line_bytes = 0;
    struct mapping piece = {0};

    while (smaps && getline(&line, &line_bytes, smaps) > 0) {
        struct mapping head;

        if (parse_line(line, &head))
            piece = head;
        else if (strncmp(line, "VmFlags:", 8) == 0)
            take_piece(mappings, &piece, line);
    }
    free(line);
    if (smaps)
        (void)fclose(smaps);
    for (uint32_t i = 0; i < mappings->count; i++)
        mappings->items[i].is_certain = mappings->items[i].seen_end >= mappings->items[i].end;
    mappings->is_smaps_read = true;
}

bool mapping_verify(struct mappings *mappings, struct mapping *mapping)
{
    if (!mappings->is_smaps_read)
        read_smaps(mappings);
    if (!mapping->is_certain)
        mapping->kind = MAPPING_UNKNOWN;
    return mapping->is_certain;
}
