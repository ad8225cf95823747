/* SPDX-License-Identifier: BSD-2-Clause */
/* The process's own descriptors of files, by what their links in /proc/self/fd say: text, for which
 * no file is asked. */
#include "holes_internal.h"

#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static bool append(struct descriptors *descriptors, uint32_t *capacity, int number,
                   const char *name)
{
    struct descriptor *items = descriptors->items;

    if (descriptors->count == *capacity) {
        *capacity = *capacity ? *capacity * 2 : 64;
        items = realloc(items, *capacity * sizeof(*items));
        if (!items)
            return false;
        descriptors->items = items;
    }
    items[descriptors->count] = (struct descriptor){.number = number, .name = strdup(name)};
    if (!items[descriptors->count].name)
        return false;
    descriptors->count++;
    return true;
}

static bool read_link(int number, char *name, size_t capacity_bytes)
{
    char path[DESCRIPTOR_PATH_BYTES];
    ssize_t length;

    descriptor_path(number, path);
    length = readlink(path, name, capacity_bytes - 1);
    if (length <= 0)
        return false;
    name[length] = '\0';
    return name[0] == '/';
}

static int compare(const void *a, const void *b)
{
    const struct descriptor *left = a;
    const struct descriptor *right = b;
    const int order = strcmp(left->name, right->name);

    return order != 0 ? order : left->number - right->number;
}

/* All of them, once: to go through them for each mapping would cost the product. */
static void list_all(struct descriptors *descriptors)
{
    DIR *directory = opendir("/proc/self/fd");
    const struct dirent *entry;
    uint32_t capacity = 0;
    bool has_room = true;

    while (directory && has_room && (entry = readdir(directory)) != NULL) {
        char name[PATH_MAX];
        char *end;
        const long number = strtol(entry->d_name, &end, 10);

        if (end != entry->d_name && read_link((int)number, name, sizeof(name)))
            has_room = append(descriptors, &capacity, (int)number, name);
    }
    if (directory)
        (void)closedir(directory);
    if (descriptors->count > 0)
        qsort(descriptors->items, descriptors->count, sizeof(*descriptors->items), compare);
    descriptors->is_listed = true;
}

void descriptor_path(int number, char path[DESCRIPTOR_PATH_BYTES])
{
    (void)snprintf(path, DESCRIPTOR_PATH_BYTES, "/proc/self/fd/%d", number);
}

struct descriptor *descriptors_find(struct descriptors *descriptors, const char *name)
{
    uint32_t low = 0;
    uint32_t high;

    if (!descriptors->is_listed)
        list_all(descriptors);
    high = descriptors->count;
    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;

        if (strcmp(descriptors->items[middle].name, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low < descriptors->count && strcmp(descriptors->items[low].name, name) == 0
               ? &descriptors->items[low]
               : NULL;
}

struct descriptor *descriptors_next(const struct descriptors *descriptors,
                                    struct descriptor *descriptor)
{
    struct descriptor *next = descriptor + 1;

    return next < descriptors->items + descriptors->count &&
                   strcmp(next->name, descriptor->name) == 0
               ? next
               : NULL;
}

bool descriptor_is_still(const struct descriptor *descriptor)
{
    char name[PATH_MAX];

    return read_link(descriptor->number, name, sizeof(name)) && strcmp(name, descriptor->name) == 0;
}

void descriptors_free(struct descriptors *descriptors)
{
    for (uint32_t i = 0; i < descriptors->count; i++)
        free(descriptors->items[i].name);
    free(descriptors->items);
    *descriptors = (struct descriptors){0};
}
