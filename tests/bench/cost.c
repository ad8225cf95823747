/* SPDX-License-Identifier: BSD-2-Clause */
/* What work costs this thread: CPU time, and instructions where the processor's counter is there.
 */
#include "bench.h"

#include <errno.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define HUGE_PAGE_BYTES (UINT64_C(2) << 20)

static int counter_fd = -1;

const char *bench_open_counter(void)
{
    struct perf_event_attr attributes = {
        .type = PERF_TYPE_HARDWARE,
        .size = sizeof(attributes),
        .config = PERF_COUNT_HW_INSTRUCTIONS,
        .exclude_kernel = 1,
        .exclude_hv = 1,
    };

    counter_fd = (int)syscall(SYS_perf_event_open, &attributes, 0, -1, -1, 0);
    if (counter_fd >= 0)
        return NULL;
    return errno == ENOENT ? "this machine has no performance counters (a virtual one?)"
                           : strerror(errno);
}

static double cpu_ns(void)
{
    struct timespec now;

    if (clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now) != 0)
        bench_fail("this thread's CPU time cannot be read: %s", strerror(errno));
    return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static double instructions(void)
{
    uint64_t count;

    if (counter_fd < 0)
        return 0;
    if (read(counter_fd, &count, sizeof(count)) != (ssize_t)sizeof(count))
        bench_fail("the instruction counter cannot be read: %s", strerror(errno));
    return (double)count;
}

void bench_begin(struct bench_cost *cost)
{
    cost->instructions = instructions();
    cost->cpu_ns = cpu_ns();
}

void bench_end(struct bench_cost *cost)
{
    cost->cpu_ns = cpu_ns() - cost->cpu_ns;
    cost->instructions = instructions() - cost->instructions;
}

/* ---- memory */

void *bench_map(uint64_t length_bytes, bool is_huge, int fill)
{
    uint8_t *memory = mmap(NULL, length_bytes + HUGE_PAGE_BYTES, PROT_READ | PROT_WRITE,
                           MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (memory == MAP_FAILED)
        bench_fail("no %llu MiB of memory: %s; free some", (unsigned long long)(length_bytes >> 20),
                   strerror(errno));
    memory += (HUGE_PAGE_BYTES - (uintptr_t)memory % HUGE_PAGE_BYTES) % HUGE_PAGE_BYTES;
    /* A kernel without huge pages refuses both; the share of huge pages is shown. */
    (void)madvise(memory, length_bytes, is_huge ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
    memset(memory, fill, length_bytes);
    return memory;
}

uint64_t bench_huge_bytes(const void *memory)
{
    FILE *maps = fopen("/proc/self/smaps", "r");
    const unsigned long long wanted = (unsigned long long)(uintptr_t)memory;
    unsigned long long kib = 0;
    char line[512];
    bool is_there = false;

    if (maps == NULL)
        bench_fail("/proc/self/smaps cannot be read: %s", strerror(errno));
    while (fgets(line, sizeof(line), maps) != NULL) {
        unsigned long long start;
        unsigned long long end;

        if (sscanf(line, "%llx-%llx ", &start, &end) == 2)
            is_there = start <= wanted && wanted < end;
        else if (is_there && sscanf(line, "AnonHugePages: %llu kB", &kib) == 1)
            break;
    }
    (void)fclose(maps);
    return (uint64_t)kib << 10;
}
