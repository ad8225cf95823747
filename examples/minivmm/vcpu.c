/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The vCPU's thread: runs the guest while it is wished to run, and serves its ports. Everything it
 * tells the main thread stands in struct machine under the lock, and event_fd says when to look.
 */
#include "machine.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define NS_PER_S              1000000000U
#define NS_PER_MS             1000000U
#define VCPU_STOP_TIMEOUT_NS  (10 * (uint64_t)NS_PER_S)
#define VCPU_KICK_AGAIN_NS    (50 * (uint64_t)NS_PER_MS)
#define SERIAL_READER_WAIT_MS 100
#define PACE_BURST_NS         (20 * (uint64_t)NS_PER_MS)

static struct timespec timespec_of(uint64_t time_ns)
{
    return (struct timespec){.tv_sec = (time_t)(time_ns / NS_PER_S),
                             .tv_nsec = (long)(time_ns % NS_PER_S)};
}

static void event_signal(struct machine *machine)
{
    const uint64_t one = 1;

    /* A full counter is readable already: nothing is lost when this fails. */
    (void)!write(machine->event_fd, &one, sizeof(one));
}

/* A reader of the serial port who does not read must not stop the guest: the line is dropped. */
static void serial_flush(struct machine *machine)
{
    size_t written = 0;

    while (machine->serial_fd >= 0 && written < machine->serial_length) {
        struct pollfd wait = {.fd = machine->serial_fd, .events = POLLOUT};
        ssize_t count;

        if (poll(&wait, 1, SERIAL_READER_WAIT_MS) <= 0 || (wait.revents & POLLOUT) == 0)
            break;
        count = write(machine->serial_fd, machine->serial_line + written,
                      machine->serial_length - written);
        if (count <= 0)
            break;
        written += (size_t)count;
    }
    machine->serial_length = 0;
}

static void serial_write(struct machine *machine, char byte)
{
    machine->serial_line[machine->serial_length++] = byte;
    if (byte != '\n' && machine->serial_length < sizeof(machine->serial_line))
        return;
    if (strncmp(machine->serial_line, "HALT ", 5) == 0) {
        (void)pthread_mutex_lock(&machine->lock);
        (void)snprintf(machine->halt_text, sizeof(machine->halt_text), "%.*s",
                       (int)machine->serial_length - 6, machine->serial_line + 5);
        (void)pthread_mutex_unlock(&machine->lock);
    }
    serial_flush(machine);
}

/* Sleeps until the guest may write on, or until it shall no longer run. The first pass fills memory
 * and is not paced. */
static void pace(struct machine *machine, uint32_t page_count)
{
    const uint64_t now_ns = clock_ns();
    struct timespec due;

    if (machine->dirty_bytes_per_s == 0 || machine->passes == 0)
        return;
    if (machine->pace_due_ns + PACE_BURST_NS < now_ns)
        machine->pace_due_ns = now_ns - PACE_BURST_NS;
    machine->pace_due_ns +=
        (uint64_t)page_count * GUEST_PAGE_BYTES * NS_PER_S / machine->dirty_bytes_per_s;
    due = timespec_of(machine->pace_due_ns);
    (void)pthread_mutex_lock(&machine->lock);
    while (machine->wish == VCPU_WISH_RUN && clock_ns() < machine->pace_due_ns)
        if (pthread_cond_timedwait(&machine->changed, &machine->lock, &due) == ETIMEDOUT)
            break;
    (void)pthread_mutex_unlock(&machine->lock);
}

static void vcpu_halt(struct machine *machine, const char *text)
{
    (void)pthread_mutex_lock(&machine->lock);
    machine->state = VCPU_HALTED;
    if (machine->halt_text[0] == '\0')
        (void)snprintf(machine->halt_text, sizeof(machine->halt_text), "%s", text);
    (void)pthread_cond_broadcast(&machine->changed);
    (void)pthread_mutex_unlock(&machine->lock);
    event_signal(machine);
}

static void port_serve(struct machine *machine, const struct vcpu_exit *leave)
{
    switch (leave->port) {
    case GUEST_PORT_SERIAL:
        serial_write(machine, (char)leave->value);
        break;
    case GUEST_PORT_PACE:
        if (leave->value <= UINT16_MAX)
            pace(machine, leave->value);
        break;
    case GUEST_PORT_PASS:
        (void)pthread_mutex_lock(&machine->lock);
        machine->passes = leave->value;
        (void)pthread_mutex_unlock(&machine->lock);
        event_signal(machine);
        break;
    case GUEST_PORT_HALT:
        vcpu_halt(machine, "the guest halted without saying why");
        break;
    default: /* as on a real machine, a write to a port where nothing is has no effect */
        break;
    }
}

/* Runs the guest until it is wished to stop, or halts. */
static void vcpu_run(struct machine *machine)
{
    for (;;) {
        struct vcpu_exit leave = {.reason = VCPU_EXIT_KICKED};
        enum vcpu_state state;
        enum vcpu_wish wish;

        machine->backend->vcpu_run(machine, &leave);
        if (leave.reason == VCPU_EXIT_PORT_WRITE)
            port_serve(machine, &leave);
        else if (leave.reason == VCPU_EXIT_BROKEN)
            vcpu_halt(machine, leave.text);
        (void)pthread_mutex_lock(&machine->lock);
        state = machine->state;
        wish = machine->wish;
        (void)pthread_mutex_unlock(&machine->lock);
        /* Only a kicked vCPU is between two instructions: after a port write KVM finishes the
         * instruction when it is entered again. */
        if (state == VCPU_HALTED || (leave.reason == VCPU_EXIT_KICKED && wish != VCPU_WISH_RUN))
            return;
    }
}

static void *vcpu_thread(void *context)
{
    struct machine *machine = context;
    struct problem problem = {.cause = ""};
    const int opened = machine->backend->vcpu_open(machine, &problem);

    (void)pthread_mutex_lock(&machine->lock);
    machine->open_problem = problem;
    machine->open_finished = true;
    (void)pthread_cond_broadcast(&machine->changed);
    while (opened == 0) {
        while (machine->wish == VCPU_WISH_STOP ||
               (machine->wish == VCPU_WISH_RUN && machine->state == VCPU_HALTED))
            (void)pthread_cond_wait(&machine->changed, &machine->lock);
        if (machine->wish == VCPU_WISH_END)
            break;
        machine->state = VCPU_RUNNING;
        (void)pthread_mutex_unlock(&machine->lock);
        vcpu_run(machine);
        (void)pthread_mutex_lock(&machine->lock);
        if (machine->state == VCPU_RUNNING)
            machine->state = VCPU_STOPPED;
        (void)pthread_cond_broadcast(&machine->changed);
    }
    (void)pthread_mutex_unlock(&machine->lock);
    if (opened == 0)
        machine->backend->vcpu_close(machine);
    return NULL;
}

/* The kick is a signal whose only work is to interrupt whatever the thread waits in. */
static void kick_received(int number)
{
    (void)number;
}

int vcpu_thread_open(struct machine *machine, struct problem *problem)
{
    struct sigaction action = {.sa_handler = kick_received};
    pthread_condattr_t attributes;
    int failed;

    (void)sigemptyset(&action.sa_mask);
    (void)sigaction(SIGUSR1, &action, NULL);
    machine->wish = VCPU_WISH_STOP;
    machine->state = VCPU_STOPPED;
    machine->open_finished = false;
    (void)pthread_mutex_init(&machine->lock, NULL);
    (void)pthread_condattr_init(&attributes);
    (void)pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&machine->changed, &attributes);
    (void)pthread_condattr_destroy(&attributes);
    failed = pthread_create(&machine->thread, NULL, vcpu_thread, machine);
    if (failed != 0)
        return problem_set(problem, "raise the limit of processes (ulimit -u)",
                           "cannot make the vCPU's thread: %s", strerror(failed));
    machine->thread_alive = true;
    (void)pthread_mutex_lock(&machine->lock);
    while (!machine->open_finished)
        (void)pthread_cond_wait(&machine->changed, &machine->lock);
    *problem = machine->open_problem;
    (void)pthread_mutex_unlock(&machine->lock);
    return problem->cause[0] == '\0' ? 0 : -1;
}

/* With the lock held: wishes, kicks until the vCPU is where it shall be, and says if it is. */
static bool vcpu_settle(struct machine *machine, enum vcpu_wish wish)
{
    const uint64_t deadline_ns = clock_ns() + VCPU_STOP_TIMEOUT_NS;

    machine->wish = wish;
    (void)pthread_cond_broadcast(&machine->changed);
    while (machine->state == VCPU_RUNNING && clock_ns() < deadline_ns) {
        const struct timespec again = timespec_of(clock_ns() + VCPU_KICK_AGAIN_NS);

        machine->backend->vcpu_kick(machine);
        (void)pthread_cond_timedwait(&machine->changed, &machine->lock, &again);
    }
    return machine->state != VCPU_RUNNING;
}

void vcpu_thread_close(struct machine *machine)
{
    bool settled;

    if (!machine->thread_alive)
        return;
    (void)pthread_mutex_lock(&machine->lock);
    settled = vcpu_settle(machine, VCPU_WISH_END);
    (void)pthread_mutex_unlock(&machine->lock);
    /* A vCPU that does not stop is left to end with the process. */
    if (settled)
        (void)pthread_join(machine->thread, NULL);
    machine->thread_alive = false;
}

void vcpu_start(struct machine *machine)
{
    (void)pthread_mutex_lock(&machine->lock);
    machine->wish = VCPU_WISH_RUN;
    (void)pthread_cond_broadcast(&machine->changed);
    (void)pthread_mutex_unlock(&machine->lock);
}

int vcpu_stop(struct machine *machine, struct problem *problem)
{
    bool settled;

    (void)pthread_mutex_lock(&machine->lock);
    settled = vcpu_settle(machine, VCPU_WISH_STOP);
    (void)pthread_mutex_unlock(&machine->lock);
    if (settled)
        return 0;
    return problem_set(problem, "look at what the host is doing, and try again",
                       "the vCPU did not stop within 10 seconds");
}

enum vcpu_state vcpu_look(struct machine *machine, uint64_t *passes,
                          char halt_text[MACHINE_SERIAL_LINE])
{
    enum vcpu_state state;

    (void)pthread_mutex_lock(&machine->lock);
    state = machine->state;
    *passes = machine->passes;
    memcpy(halt_text, machine->halt_text, sizeof(machine->halt_text));
    (void)pthread_mutex_unlock(&machine->lock);
    return state;
}
