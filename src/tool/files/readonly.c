/* SPDX-License-Identifier: BSD-2-Clause */
#include "readonly.h"

#include <fcntl.h>
#include <infiniband/verbs.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#define PAGE_BYTES 4096u

/* A shared page whose file is open for reading alone. MAP_FAILED: it cannot be had. */
static void *map_page(void)
{
    int fd = memfd_create("rdmig-page", MFD_CLOEXEC);
    int read_fd = -1;
    char path[64];
    void *page = MAP_FAILED;

    if (fd >= 0 && ftruncate(fd, PAGE_BYTES) == 0) {
        snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
        read_fd = open(path, O_RDONLY | O_CLOEXEC);
    }
    if (read_fd >= 0) {
        page = mmap(NULL, PAGE_BYTES, PROT_READ, MAP_SHARED, read_fd, 0);
        close(read_fd);
    }
    if (fd >= 0)
        close(fd);
    return page;
}

static bool can_register(struct ibv_context *context, void *page)
{
    struct ibv_pd *pd = ibv_alloc_pd(context);
    struct ibv_mr *region = pd == NULL ? NULL : ibv_reg_mr(pd, page, PAGE_BYTES, 0);
    bool is_registered = region != NULL;

    if (region != NULL)
        ibv_dereg_mr(region);
    if (pd != NULL)
        ibv_dealloc_pd(pd);
    return is_registered;
}

/* Which device it will be is known only when there is a connection: all of them have to. */
static bool all_register(struct ibv_device **list, int count, void *page)
{
    int taken_count = 0;

    for (int i = 0; i < count; i++) {
        struct ibv_context *context = ibv_open_device(list[i]);

        if (context == NULL) {
            continue; /* nor can the migration open it */
        }
        taken_count += can_register(context, page) ? 1 : -count;
        ibv_close_device(context);
    }
    return taken_count > 0;
}

bool readonly_is_pinned(void)
{
    void *page = map_page();
    struct ibv_device **list;
    bool is_pinned = false;
    int count = 0;

    if (page == MAP_FAILED)
        return false;
    list = ibv_get_device_list(&count);
    if (list != NULL) {
        is_pinned = all_register(list, count, page);
        ibv_free_device_list(list);
    }
    munmap(page, PAGE_BYTES);
    return is_pinned;
}
