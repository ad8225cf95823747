/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Prints the frequency of this host's time stamp counter in kHz, which qemu's software emulation
 * hands on as it is. The test machine's kernel is told it: measuring it there goes wrong when the
 * host is busy, and then all its clocks run too fast or too slow. Prints nothing where there is no
 * such counter.
 */
#include <stdint.h>
#include <stdio.h>
#include <time.h>

#if defined(__x86_64__)
#include <x86intrin.h>

#define SAMPLE_COUNT 32
#define MEASURE_NS   INT64_C(100000000)

struct sample {
    uint64_t ticks;
    int64_t ns;
};

static int64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

/* Of several readings the one that was interrupted least. */
static struct sample take_sample(void)
{
    struct sample best = {0, 0};
    uint64_t best_gap = UINT64_MAX;

    for (int i = 0; i < SAMPLE_COUNT; i++) {
        const uint64_t before = __rdtsc();
        const int64_t ns = now_ns();
        const uint64_t gap = __rdtsc() - before;

        if (gap < best_gap) {
            best_gap = gap;
            best = (struct sample){before + gap / 2, ns};
        }
    }
    return best;
}

int main(void)
{
    const struct timespec pause = {.tv_nsec = MEASURE_NS};
    const struct sample first = take_sample();
    struct sample last;

    nanosleep(&pause, NULL);
    last = take_sample();
    printf("%.0f\n", (double)(last.ticks - first.ticks) * 1e6 / (double)(last.ns - first.ns));
    return 0;
}
#else
int main(void)
{
    return 0;
}
#endif
