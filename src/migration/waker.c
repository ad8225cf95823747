/* SPDX-License-Identifier: BSD-2-Clause */
#include "common.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/timerfd.h>
#include <unistd.h>

static int add(int epoll_fd, int fd)
{
    struct epoll_event event = {.events = EPOLLIN, .data = {.fd = fd}};

    return epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event);
}

int waker_open(struct waker *waker, int link_fd, struct rdmig_error *error)
{
    waker->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    waker->deadline_ns = RDMIG_NO_DEADLINE;
    waker->timer_fd = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    if (waker->epoll_fd >= 0 && waker->timer_fd >= 0 && add(waker->epoll_fd, link_fd) == 0 &&
        add(waker->epoll_fd, waker->timer_fd) == 0)
        return RDMIG_OK;
    error_set(error, RDMIG_REASON_MEMORY, errno,
              "raise the limit of open files (ulimit -n) or free memory",
              "cannot make the descriptors to wait on: %s", strerror(errno));
    waker_close(waker);
    return -RDMIG_E_SYSTEM;
}

void waker_close(struct waker *waker)
{
    if (waker->epoll_fd >= 0)
        close(waker->epoll_fd);
    if (waker->timer_fd >= 0)
        close(waker->timer_fd);
    waker->epoll_fd = -1;
    waker->timer_fd = -1;
}

void waker_set(struct waker *waker, uint64_t deadline_ns)
{
    const uint64_t second_ns = UINT64_C(1000000000);
    struct itimerspec when = {0};

    /* Most calls move nothing, and each setting is a system call. One that is over stays readable
     * until it is set anew. */
    if (deadline_ns == waker->deadline_ns)
        return;
    /* An absolute time of 0 would switch the timer off: 1 ns is as long past. Setting it clears an
     * expiry unread. */
    if (deadline_ns != RDMIG_NO_DEADLINE) {
        when.it_value.tv_sec = (time_t)(deadline_ns / second_ns);
        when.it_value.tv_nsec = (long)(deadline_ns % second_ns);
        if (deadline_ns == 0)
            when.it_value.tv_nsec = 1;
    }
    if (timerfd_settime(waker->timer_fd, TFD_TIMER_ABSTIME, &when, NULL) == 0)
        waker->deadline_ns = deadline_ns;
}

int waker_wait(const struct waker *waker, uint32_t timeout_ms)
{
    struct pollfd poll_fd = {.fd = waker->epoll_fd, .events = POLLIN};
    const bool is_cut = timeout_ms > INT32_MAX; /* more than poll() takes: in parts */
    const int limit_ms = timeout_ms == UINT32_MAX ? -1 : is_cut ? INT32_MAX : (int)timeout_ms;
    const int count = poll(&poll_fd, 1, limit_ms);

    if (count < 0)
        return -RDMIG_E_SYSTEM;
    return count == 0 && !is_cut ? -RDMIG_E_AGAIN : RDMIG_OK;
}

bool waker_is_link_readable(int link_fd)
{
    struct pollfd poll_fd = {.fd = link_fd, .events = POLLIN};

    return poll(&poll_fd, 1, 0) > 0;
}
