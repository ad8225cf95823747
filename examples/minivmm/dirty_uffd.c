/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Two ways to learn which pages a process has written, both exact:
 *  - asynchronous (Linux 6.7 and later): the kernel lifts the write protection by itself and
 *    PAGEMAP_SCAN tells which pages lost it, and protects them again, in one step;
 *  - synchronous: a thread here is told of every first write, notes the page, and lets the guest's
 *    process go on. Dearer by a hundred times for each first write, and works from Linux 5.19 on.
 */
#include "dirty_uffd.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define BITS_PER_WORD         64
#define SCAN_REGION_COUNT     512
#define PROTECT_ATTEMPTS_MAX  1000
#define FAULT_MESSAGES_A_READ 16

/* Newer than the headers of some systems this runs on, so spelled out here; from the kernel's
 * documented interface. */
#define FEATURE_WP_SHMEM         (1U << 12)
#define FEATURE_WP_UNPOPULATED   (1U << 13)
#define FEATURE_WP_ASYNC         (1U << 15)
#define SCAN_PROTECT_MATCHING    (1U << 0)
#define SCAN_CHECK_ASYNC         (1U << 1)
#define SCAN_CATEGORY_IS_WRITTEN (1U << 1)
#define SCAN_REQUEST             _IOWR('f', 16, struct scan_argument)

struct scan_argument {
    uint64_t size_bytes;
    uint64_t flags;
    uint64_t start;
    uint64_t end;
    uint64_t walk_end;
    uint64_t regions;
    uint64_t region_count;
    uint64_t page_count_max;
    uint64_t category_inverted;
    uint64_t category_mask;
    uint64_t category_any_of_mask;
    uint64_t return_mask;
};

struct scan_region {
    uint64_t start;
    uint64_t end;
    uint64_t categories;
};

struct dirty_tracker {
    struct machine *machine;
    int uffd;
    int pagemap_fd; /* of the tracked process; -1: synchronous */
    int end_fd;     /* readable: the thread shall end */
    pthread_t thread;
    bool thread_alive;
    /* Noting a page and letting the writer go on must be one step for who collects: else a page
     * could be noted, collected and protected, and then be let go by the belated thread. */
    pthread_mutex_t lock;
    uint64_t *dirty[MACHINE_BLOCK_COUNT]; /* synchronous: pages noted */
    struct scan_region regions[SCAN_REGION_COUNT];
};

static const char kernel_remedy[] =
    "use Linux 5.19 or later with userfaultfd, or a guest under KVM (--kvm)";

static uint64_t block_start(const struct machine_block *block)
{
    return GUEST_VIRTUAL_BASE + block->guest_address;
}

static size_t bitmap_words(const struct machine_block *block)
{
    return (size_t)((machine_block_pages(block) + BITS_PER_WORD - 1) / BITS_PER_WORD);
}

static int protect(const struct dirty_tracker *tracker, uint64_t start, uint64_t length_bytes,
                   bool on)
{
    /* EAGAIN: the process's mappings are changing under the call. Ours stay, so it passes. */
    for (int attempt = 0; attempt < PROTECT_ATTEMPTS_MAX; attempt++) {
        struct uffdio_writeprotect request = {.range = {.start = start, .len = length_bytes},
                                              .mode = on ? UFFDIO_WRITEPROTECT_MODE_WP : 0};

        if (ioctl(tracker->uffd, UFFDIO_WRITEPROTECT, &request) == 0)
            return 0;
        if (errno != EAGAIN)
            break;
    }
    return -1;
}

static bool api_agree(int uffd, uint64_t features)
{
    struct uffdio_api api = {.api = UFFD_API, .features = features};

    return ioctl(uffd, UFFDIO_API, &api) == 0 && (api.features & features) == features;
}

const char *dirty_tracker_mode(const struct dirty_tracker *tracker)
{
    return tracker->pagemap_fd >= 0 ? "asynchronous" : "synchronous";
}

void dirty_tracker_close(struct dirty_tracker *tracker)
{
    if (tracker == NULL)
        return;
    dirty_tracker_stop(tracker);
    for (size_t i = 0; i < MACHINE_BLOCK_COUNT; i++)
        free(tracker->dirty[i]);
    if (tracker->pagemap_fd >= 0)
        (void)close(tracker->pagemap_fd);
    if (tracker->end_fd >= 0)
        (void)close(tracker->end_fd);
    (void)close(tracker->uffd);
    (void)pthread_mutex_destroy(&tracker->lock);
    free(tracker);
}

struct dirty_tracker *dirty_tracker_open(struct machine *machine, int uffd, pid_t pid,
                                         struct problem *problem)
{
    struct dirty_tracker *tracker = calloc(1, sizeof(*tracker));
    char path[64];
    bool out_of_memory = false;

    if (tracker == NULL) {
        (void)close(uffd);
        (void)problem_set(problem, "free some memory", "out of memory");
        return NULL;
    }
    tracker->machine = machine;
    tracker->uffd = uffd;
    tracker->pagemap_fd = -1;
    tracker->end_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    (void)pthread_mutex_init(&tracker->lock, NULL);
    for (size_t i = 0; i < MACHINE_BLOCK_COUNT; i++) {
        tracker->dirty[i] = calloc(bitmap_words(&machine->block[i]), sizeof(uint64_t));
        out_of_memory = out_of_memory || tracker->dirty[i] == NULL;
    }
    (void)snprintf(path, sizeof(path), "/proc/%ld/pagemap", (long)pid);
    if (out_of_memory || tracker->end_fd < 0)
        (void)problem_set(problem, "free some memory, or raise the limit of open files (ulimit -n)",
                          "cannot prepare tracking writes");
    else if (api_agree(uffd, FEATURE_WP_ASYNC | FEATURE_WP_SHMEM | FEATURE_WP_UNPOPULATED)) {
        tracker->pagemap_fd = open(path, O_RDONLY | O_CLOEXEC);
        if (tracker->pagemap_fd >= 0)
            return tracker;
        (void)problem_set(problem, "mount /proc", "cannot open %s: %s", path, strerror(errno));
    } else if (api_agree(uffd, UFFD_FEATURE_PAGEFAULT_FLAG_WP | FEATURE_WP_SHMEM))
        return tracker;
    else
        (void)problem_set(problem, kernel_remedy,
                          "this kernel's userfaultfd cannot write-protect shared memory");
    dirty_tracker_close(tracker);
    return NULL;
}

/* Notes one page and lets its writer go on. */
static void fault_serve(struct dirty_tracker *tracker, uint64_t address)
{
    const uint64_t page_address = address / GUEST_PAGE_BYTES * GUEST_PAGE_BYTES;

    for (size_t i = 0; i < MACHINE_BLOCK_COUNT; i++) {
        const struct machine_block *block = &tracker->machine->block[i];
        const uint64_t start = block_start(block);
        uint64_t page;

        if (address < start || address - start >= block->length_bytes)
            continue;
        page = (address - start) / GUEST_PAGE_BYTES;
        (void)pthread_mutex_lock(&tracker->lock);
        tracker->dirty[i][page / BITS_PER_WORD] |= (uint64_t)1 << (page % BITS_PER_WORD);
        (void)protect(tracker, page_address, GUEST_PAGE_BYTES, false);
        (void)pthread_mutex_unlock(&tracker->lock);
    }
}

static void *fault_thread(void *context)
{
    struct dirty_tracker *tracker = context;
    struct uffd_msg messages[FAULT_MESSAGES_A_READ];

    for (;;) {
        struct pollfd wait[2] = {{.fd = tracker->uffd, .events = POLLIN},
                                 {.fd = tracker->end_fd, .events = POLLIN}};
        ssize_t length;

        if (poll(wait, 2, -1) < 0 && errno != EINTR)
            return NULL;
        if (wait[1].revents != 0)
            return NULL;
        if ((wait[0].revents & (POLLERR | POLLHUP)) != 0)
            return NULL; /* the process is gone */
        if ((wait[0].revents & POLLIN) == 0)
            continue;
        length = read(tracker->uffd, messages, sizeof(messages));
        for (ssize_t i = 0; i < length / (ssize_t)sizeof(messages[0]); i++)
            if (messages[i].event == UFFD_EVENT_PAGEFAULT)
                fault_serve(tracker, messages[i].arg.pagefault.address);
    }
}

static int thread_start(struct dirty_tracker *tracker, struct problem *problem)
{
    uint64_t count;
    int failed;

    (void)!read(tracker->end_fd, &count, sizeof(count));
    failed = pthread_create(&tracker->thread, NULL, fault_thread, tracker);
    if (failed != 0)
        return problem_set(problem, "raise the limit of processes (ulimit -u)",
                           "cannot make the thread that tracks writes: %s", strerror(failed));
    tracker->thread_alive = true;
    return 0;
}

int dirty_tracker_start(struct dirty_tracker *tracker, struct problem *problem)
{
    for (size_t i = 0; i < MACHINE_BLOCK_COUNT; i++)
        memset(tracker->dirty[i], 0, bitmap_words(&tracker->machine->block[i]) * sizeof(uint64_t));
    if (tracker->pagemap_fd < 0 && thread_start(tracker, problem) != 0)
        return -1;
    for (size_t i = 0; i < MACHINE_BLOCK_COUNT; i++) {
        const struct machine_block *block = &tracker->machine->block[i];
        struct uffdio_register request = {
            .range = {.start = block_start(block), .len = block->length_bytes},
            .mode = UFFDIO_REGISTER_MODE_WP,
        };

        if (ioctl(tracker->uffd, UFFDIO_REGISTER, &request) != 0 ||
            protect(tracker, block_start(block), block->length_bytes, true) != 0)
            return problem_set(problem, kernel_remedy, "cannot write-protect block %s: %s",
                               block->name, strerror(errno));
    }
    return 0;
}

/* Called after a failed start too. */
void dirty_tracker_stop(struct dirty_tracker *tracker)
{
    const uint64_t one = 1;

    if (tracker->thread_alive) {
        (void)!write(tracker->end_fd, &one, sizeof(one));
        (void)pthread_join(tracker->thread, NULL);
        tracker->thread_alive = false;
    }
    for (size_t i = 0; i < MACHINE_BLOCK_COUNT; i++) {
        const struct machine_block *block = &tracker->machine->block[i];
        struct uffdio_range range = {.start = block_start(block), .len = block->length_bytes};

        /* Lifts the protection of all pages, and wakes a writer that waits. */
        (void)protect(tracker, range.start, range.len, false);
        (void)ioctl(tracker->uffd, UFFDIO_UNREGISTER, &range);
    }
}

static void bits_set(uint64_t *bitmap, uint64_t first, uint64_t end)
{
    for (uint64_t i = first; i < end; i++)
        bitmap[i / BITS_PER_WORD] |= (uint64_t)1 << (i % BITS_PER_WORD);
}

static int collect_asynchronous(struct dirty_tracker *tracker, const struct machine_block *block,
                                uint64_t *bitmap)
{
    const uint64_t start = block_start(block);
    const uint64_t end = start + block->length_bytes;

    for (uint64_t at = start; at < end;) {
        struct scan_argument scan = {
            .size_bytes = sizeof(scan),
            .flags = SCAN_PROTECT_MATCHING | SCAN_CHECK_ASYNC,
            .start = at,
            .end = end,
            .regions = (uint64_t)(uintptr_t)tracker->regions,
            .region_count = SCAN_REGION_COUNT,
            .category_mask = SCAN_CATEGORY_IS_WRITTEN,
            .return_mask = SCAN_CATEGORY_IS_WRITTEN,
        };
        const int region_count = ioctl(tracker->pagemap_fd, SCAN_REQUEST, &scan);

        if (region_count < 0 && errno == EINTR)
            continue;
        if (region_count < 0 || scan.walk_end <= at)
            return -1;
        for (int i = 0; i < region_count; i++)
            bits_set(bitmap, (tracker->regions[i].start - start) / GUEST_PAGE_BYTES,
                     (tracker->regions[i].end - start) / GUEST_PAGE_BYTES);
        at = scan.walk_end;
    }
    return 0;
}

/* Protects the runs of set bits again, and only then forgets them. */
static int collect_synchronous(struct dirty_tracker *tracker, const struct machine_block *block,
                               uint64_t *dirty, uint64_t *bitmap)
{
    const uint64_t page_count = machine_block_pages(block);
    int result = 0;

    (void)pthread_mutex_lock(&tracker->lock);
    for (uint64_t page = 0; page < page_count && result == 0;) {
        const uint64_t first = page;

        if (dirty[page / BITS_PER_WORD] == 0) {
            page = (page / BITS_PER_WORD + 1) * BITS_PER_WORD;
            continue;
        }
        while (page < page_count && (dirty[page / BITS_PER_WORD] >> (page % BITS_PER_WORD) & 1))
            page++;
        if (page == first)
            page++;
        else
            result = protect(tracker, block_start(block) + first * GUEST_PAGE_BYTES,
                             (page - first) * GUEST_PAGE_BYTES, true);
    }
    for (size_t i = 0; i < bitmap_words(block) && result == 0; i++) {
        bitmap[i] |= dirty[i];
        dirty[i] = 0;
    }
    (void)pthread_mutex_unlock(&tracker->lock);
    return result;
}

int dirty_tracker_collect(struct dirty_tracker *tracker, size_t block, uint64_t *bitmap,
                          struct problem *problem)
{
    const struct machine_block *ram = &tracker->machine->block[block];
    const int result = tracker->pagemap_fd >= 0
                           ? collect_asynchronous(tracker, ram, bitmap)
                           : collect_synchronous(tracker, ram, tracker->dirty[block], bitmap);

    if (result == 0)
        return 0;
    return problem_set(problem, "try again", "cannot read which pages of block %s were written: %s",
                       ram->name, strerror(errno));
}
