/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The time is the fake's: what the library asks of the kernel's clock is led here by the linker
 * (--wrap), so that no run depends on the machine's. A wait lets time pass, and the other end run.
 */
#include "calls.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/timerfd.h>

#define TIMER_COUNT        8u
#define POLL_MAX           1000u
#define IDLE_MAX           60u
#define STEP_DOUBLINGS_MAX 36u
#define STEP_NS            UINT64_C(1000)
#define TOTAL_NS_MAX       (UINT64_C(1) << 61)
#define FD_COUNT           64
#define SECOND_NS          UINT64_C(1000000000)
/* More than this may have ended any wait for the other end that has its default. */
#define CALM_NS (2 * SECOND_NS)

int __real_poll(struct pollfd *fds, nfds_t count, int timeout_ms);
int __real_timerfd_settime(int fd, int flags, const struct itimerspec *when,
                           struct itimerspec *old);
int __real_close(int fd);
int __wrap_poll(struct pollfd *fds, nfds_t count, int timeout_ms);
int __wrap_timerfd_settime(int fd, int flags, const struct itimerspec *when,
                           struct itimerspec *old);
int __wrap_close(int fd);

static struct {
    struct {
        int fd;
        uint64_t deadline_ns; /* 0: not armed */
    } timers[TIMER_COUNT];
    uint64_t total_ns;
    uint32_t poll_count; /* since the last call began */
    uint32_t idle_count; /* in which nothing was readable */
    const void *waiting_call;
    bool was_interrupted;
    bool is_inside; /* the other end is being run by a wait */
} own;

void clock_reset(void)
{
    memset(&own, 0, sizeof(own));
}

bool clock_was_interrupted(void)
{
    const bool was_interrupted = own.was_interrupted;

    own.was_interrupted = false;
    own.poll_count = 0;
    own.idle_count = 0;
    return was_interrupted;
}

uint32_t clock_open_count(void)
{
    uint32_t open_count = 0;

    for (int fd = 0; fd < FD_COUNT; fd++)
        open_count += fcntl(fd, F_GETFD) >= 0;
    return open_count;
}

/* ---- timers */

static void fire(int fd)
{
    const struct itimerspec now = {.it_value = {.tv_nsec = 1}};

    require(__real_timerfd_settime(fd, TFD_TIMER_ABSTIME, &now, NULL) == 0, "timerfd_settime");
}

static void fire_due(void)
{
    for (uint32_t i = 0; i < TIMER_COUNT; i++) {
        if (own.timers[i].deadline_ns == 0 || own.timers[i].deadline_ns > link_now_ns())
            continue;
        own.timers[i].deadline_ns = 0;
        fire(own.timers[i].fd);
    }
}

int __wrap_timerfd_settime(int fd, int flags, const struct itimerspec *when, struct itimerspec *old)
{
    const struct itimerspec off = {0};
    const uint64_t at_ns =
        (uint64_t)when->it_value.tv_sec * SECOND_NS + (uint64_t)when->it_value.tv_nsec;
    uint32_t i = 0;

    while (i < TIMER_COUNT && own.timers[i].fd != fd && own.timers[i].fd != 0)
        i++;
    require(i < TIMER_COUNT, "more timers than two handles have");
    own.timers[i].fd = fd;
    own.timers[i].deadline_ns = at_ns;
    if (__real_timerfd_settime(fd, flags, &off, old) != 0)
        return -1;
    fire_due();
    return 0;
}

int __wrap_close(int fd)
{
    for (uint32_t i = 0; i < TIMER_COUNT; i++) {
        if (own.timers[i].fd == fd) {
            own.timers[i].fd = 0;
            own.timers[i].deadline_ns = 0;
        }
    }
    return __real_close(fd);
}

/* ---- time */

void clock_advance(uint64_t passed_ns)
{
    if (passed_ns > TOTAL_NS_MAX - own.total_ns)
        passed_ns = TOTAL_NS_MAX - own.total_ns;
    own.total_ns += passed_ns;
    if (own.total_ns > CALM_NS)
        world.causes |= CAUSE_TIME;
    pair_advance_ns(passed_ns);
    fire_due();
}

/* The other host does not stand still. */
static void run_peer(void)
{
    if (!world.does_peer_run || own.is_inside)
        return;
    own.is_inside = true;
    if (own.waiting_call == &world.source && world.destination)
        (void)rdmig_destination_process(world.destination);
    if (own.waiting_call == &world.destination && world.source)
        (void)rdmig_source_process(world.source);
    own.is_inside = false;
}

static bool is_of(int fd, int handle_fd)
{
    return handle_fd >= 0 && fd == handle_fd;
}

/* Longer with each time that nothing has come, and slowly when something always has; not at all
 * after the limit of the wait. */
static uint64_t step_ns(int timeout_ms)
{
    const uint64_t longest_ns = timeout_ms < 0 ? UINT64_MAX : (uint64_t)timeout_ms * 1000000;
    const uint32_t doublings = own.idle_count + own.poll_count / 16;
    const uint64_t wanted_ns = STEP_NS
                               << (doublings < STEP_DOUBLINGS_MAX ? doublings : STEP_DOUBLINGS_MAX);

    return wanted_ns < longest_ns ? wanted_ns : longest_ns;
}

/* A wait that no signal may shorten goes on after this, in long steps, until it is over. */
static int interrupt(void)
{
    own.poll_count = 0;
    own.idle_count = STEP_DOUBLINGS_MAX;
    own.was_interrupted = true;
    errno = EINTR;
    return -1;
}

int __wrap_poll(struct pollfd *fds, nfds_t count, int timeout_ms)
{
    const int ready_count = __real_poll(fds, count, 0);

    require(count == 1, "a poll of several descriptors");
    if (timeout_ms == 0)
        return ready_count;
    own.waiting_call = world.source && is_of(fds[0].fd, rdmig_source_fd(world.source))
                           ? (const void *)&world.source
                           : (const void *)&world.destination;
    if (++own.poll_count > POLL_MAX || own.idle_count > IDLE_MAX)
        return interrupt();
    run_peer();
    clock_advance(step_ns(timeout_ms));
    if (ready_count > 0)
        return ready_count;
    own.idle_count++;
    return __real_poll(fds, count, 0);
}
