/* SPDX-License-Identifier: BSD-2-Clause */
/* The limits of the memory cgroups that this process is in, version 2 and 1: its own and those of
 * every one above it, as far as they can be seen from here. */
#include "common.h"

#include <inttypes.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NONE UINT64_MAX
/* Version 1 says "no limit" with a number: the greatest that is whole pages. */
#define LIMIT_BYTES_MAX (UINT64_C(1) << 62)

struct version {
    const char *file_system;
    const char *controller; /* NULL: all are in the one tree */
    const char *limits[2];
};

static const struct version versions[] = {
    {"cgroup2", NULL, {"memory.max", "memory.high"}},
    {"cgroup", "memory", {"memory.limit_in_bytes", NULL}},
};

/* Where a tree of cgroups can be seen. */
struct mount {
    char cgroup[PATH_MAX]; /* the one that is at the mount point */
    char point[PATH_MAX];
};

static FILE *open_text(const char *root, const char *path)
{
    char whole[4 * PATH_MAX];

    (void)snprintf(whole, sizeof(whole), "%s%s", root, path);
    return fopen(whole, "re");
}

static bool has_word(const char *words, const char *word)
{
    const size_t length = strlen(word);

    for (const char *at = words; at; at = strchr(at, ',')) {
        at += *at == ',';
        if (strncmp(at, word, length) == 0 && (at[length] == ',' || at[length] == '\0'))
            return true;
    }
    return false;
}

/* "id:controllers:path"; those of version 2: "0::path". */
static bool is_line_of(const struct version *version, char *line, const char **path)
{
    char *controllers = strchr(line, ':');
    char *end = controllers ? strchr(controllers + 1, ':') : NULL;

    if (!end)
        return false;
    *end = '\0';
    *path = end + 1;
    if (!version->controller)
        return strcmp(line, "0:") == 0;
    return has_word(controllers + 1, version->controller);
}

static bool find_own(const char *root, const struct version *version, char own[PATH_MAX])
{
    FILE *file = open_text(root, "/proc/self/cgroup");
    char *line = NULL;
    size_t capacity = 0;
    bool is_found = false;

    while (file && !is_found && getline(&line, &capacity, file) > 0) {
        const char *path;

        line[strcspn(line, "\n")] = '\0';
        is_found = is_line_of(version, line, &path) && strlen(path) < PATH_MAX;
        if (is_found)
            (void)snprintf(own, PATH_MAX, "%s", path);
    }
    free(line);
    if (file)
        (void)fclose(file);
    return is_found;
}

/* "id parent device root point options [more] - type source options" */
static bool is_mount_of(const struct version *version, const char *line, struct mount *mount)
{
    const char *end = strstr(line, " - ");
    char type[64];
    char options[1024];

    _Static_assert(PATH_MAX == 4096, "the widths below");
    return end && sscanf(line, "%*s %*s %*s %4095s %4095s", mount->cgroup, mount->point) == 2 &&
           sscanf(end, " - %63s %*s %1023s", type, options) == 2 &&
           strcmp(type, version->file_system) == 0 &&
           (!version->controller || has_word(options, version->controller));
}

static bool find_mount(const char *root, const struct version *version, struct mount *mount)
{
    FILE *file = open_text(root, "/proc/self/mountinfo");
    char *line = NULL;
    size_t capacity = 0;
    bool is_found = false;

    while (file && !is_found && getline(&line, &capacity, file) > 0)
        is_found = is_mount_of(version, line, mount);
    free(line);
    if (file)
        (void)fclose(file);
    return is_found;
}

/* The part of our own cgroup's path that is below the mount point. */
static const char *path_below(const struct mount *mount, const char *own)
{
    const size_t length = strcmp(mount->cgroup, "/") == 0 ? 0 : strlen(mount->cgroup);

    if (strncmp(own, mount->cgroup, length) != 0 || own[length] != '/' || strstr(own, "/.."))
        return ""; /* it cannot be seen from here, or it is the one that is mounted */
    return strcmp(own + length, "/") == 0 ? "" : own + length;
}

static uint64_t read_limit_bytes(const char *directory, const char *name)
{
    char path[PATH_MAX];
    uint64_t bytes = NONE;
    FILE *file;

    (void)snprintf(path, sizeof(path), "/%s", name);
    file = open_text(directory, path);
    if (!file || fscanf(file, "%" SCNu64, &bytes) != 1 || bytes >= LIMIT_BYTES_MAX)
        bytes = NONE; /* "max", or the file is not there */
    if (file)
        (void)fclose(file);
    return bytes;
}

static uint64_t version_limit_bytes(const char *root, const struct version *version)
{
    struct mount mount;
    char own[PATH_MAX];
    char directory[3 * PATH_MAX];
    uint64_t least_bytes = NONE;
    size_t top_length;

    if (!find_own(root, version, own) || !find_mount(root, version, &mount))
        return NONE;
    (void)snprintf(directory, sizeof(directory), "%s%s%s", root, mount.point,
                   path_below(&mount, own));
    top_length = strlen(root) + strlen(mount.point);
    for (;;) {
        for (uint32_t i = 0; i < 2 && version->limits[i]; i++) {
            const uint64_t bytes = read_limit_bytes(directory, version->limits[i]);

            if (bytes < least_bytes)
                least_bytes = bytes;
        }
        if (strlen(directory) <= top_length)
            return least_bytes;
        *strrchr(directory, '/') = '\0';
    }
}

uint64_t cgroup_limit_bytes(const char *root)
{
    uint64_t least_bytes = NONE;

    for (size_t i = 0; i < sizeof(versions) / sizeof(versions[0]); i++) {
        const uint64_t bytes = version_limit_bytes(root, &versions[i]);

        if (bytes < least_bytes)
            least_bytes = bytes;
    }
    return least_bytes;
}
