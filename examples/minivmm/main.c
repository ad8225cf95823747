/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * minivmm: one guest, one loop. The loop waits for the control socket, signals, the guest's own
 * events and the migration's descriptor; nothing in it blocks, and only the vCPU has a thread.
 */
#include "vmm.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define EXIT_NORMAL 0
#define EXIT_FAILED 1
#define EXIT_USAGE  2

enum poll_index {
    POLL_SIGNALS,
    POLL_GUEST,
    POLL_MIGRATION,
    POLL_CONTROL,
    POLL_COUNT = POLL_CONTROL + CONTROL_POLL_COUNT
};

static void problem_print(const struct vmm *vmm, const struct problem *problem)
{
    (void)fprintf(stderr, "%s: %s; %s\n", vmm->options.name, problem->cause, problem->remedy);
}

/* Without a control socket nobody can ask any more: what cannot change ends. */
static void state_end(struct vmm *vmm, enum vmm_state state)
{
    vmm->state = state;
    if (vmm->control.listen_fd < 0)
        vmm->ends = true;
}

static void guest_event_serve(struct vmm *vmm)
{
    struct problem problem;
    char halt_text[MACHINE_SERIAL_LINE];
    uint64_t passes;
    uint64_t count;

    (void)!read(vmm->machine.event_fd, &count, sizeof(count));
    if (vcpu_look(&vmm->machine, &passes, halt_text) != VCPU_HALTED)
        return;
    (void)problem_set(&problem, "its memory or its registers were damaged; see the serial port",
                      "the guest halted: %s", halt_text);
    /* Not worth moving; the outcome of giving up brings this state about. */
    if (vmm->state == VMM_MIGRATING) {
        (void)migration_cancel(&vmm->migration, &problem);
        return;
    }
    if (vmm->state != VMM_RUNNING)
        return;
    vmm->last_problem = problem;
    problem_print(vmm, &problem);
    state_end(vmm, VMM_HALTED);
}

static void source_ended(struct vmm *vmm, enum migration_outcome outcome)
{
    char halt_text[MACHINE_SERIAL_LINE];
    uint64_t passes;

    if (outcome == MIGRATION_COMPLETED) {
        state_end(vmm, VMM_MIGRATED);
    } else if (outcome == MIGRATION_UNKNOWN) {
        vmm->may_continue = true;
        state_end(vmm, VMM_FAILED);
    } else if (vcpu_look(&vmm->machine, &passes, halt_text) == VCPU_HALTED) {
        state_end(vmm, VMM_HALTED);
    } else {
        vmm->state = VMM_RUNNING;
    }
}

static void migration_serve(struct vmm *vmm)
{
    struct problem problem;
    const enum migration_outcome outcome = migration_process(&vmm->migration, &problem);

    if (outcome == MIGRATION_UNDER_WAY)
        return;
    vmm->last_problem = problem;
    if (outcome != MIGRATION_COMPLETED)
        problem_print(vmm, &problem);
    if (vmm->migration.was_source)
        source_ended(vmm, outcome);
    else if (outcome == MIGRATION_COMPLETED)
        vmm->state = VMM_RUNNING;
    else
        state_end(vmm, VMM_FAILED);
}

static int loop(struct vmm *vmm, int signal_fd)
{
    while (!vmm->ends) {
        struct pollfd polls[POLL_COUNT] = {
            [POLL_SIGNALS] = {.fd = signal_fd, .events = POLLIN},
            [POLL_GUEST] = {.fd = vmm->machine.event_fd, .events = POLLIN},
            [POLL_MIGRATION] = {.fd = migration_fd(&vmm->migration), .events = POLLIN},
        };

        control_poll_fill(&vmm->control, polls + POLL_CONTROL);
        if (poll(polls, POLL_COUNT, -1) < 0) {
            if (errno == EINTR)
                continue;
            (void)problem_set(&vmm->last_problem, "try again", "poll failed: %s", strerror(errno));
            problem_print(vmm, &vmm->last_problem);
            return EXIT_FAILED;
        }
        if (polls[POLL_SIGNALS].revents != 0)
            vmm->ends = true;
        if (polls[POLL_GUEST].revents != 0)
            guest_event_serve(vmm);
        control_serve(&vmm->control, polls + POLL_CONTROL, vmm_command, vmm);
        /* Also when its descriptor is silent: a command may just have given it work. */
        migration_serve(vmm);
    }
    return vmm->state == VMM_FAILED || vmm->state == VMM_HALTED ? EXIT_FAILED : EXIT_NORMAL;
}

/* SIGINT and SIGTERM come through a descriptor, in order with everything else. */
static int signals_open(struct problem *problem)
{
    sigset_t wanted;
    int fd = -1;

    (void)signal(SIGPIPE, SIG_IGN);
    (void)sigemptyset(&wanted);
    (void)sigaddset(&wanted, SIGINT);
    (void)sigaddset(&wanted, SIGTERM);
    if (pthread_sigmask(SIG_BLOCK, &wanted, NULL) == 0)
        fd = signalfd(-1, &wanted, SFD_CLOEXEC | SFD_NONBLOCK);
    if (fd < 0)
        (void)problem_set(problem, "raise the limit of open files (ulimit -n)",
                          "cannot make a signalfd: %s", strerror(errno));
    return fd;
}

static int serial_open(struct vmm *vmm, struct problem *problem)
{
    const char *path = vmm->options.serial_path;

    vmm->machine.serial_fd = STDOUT_FILENO;
    if (path != NULL)
        vmm->machine.serial_fd = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
    if (vmm->machine.serial_fd >= 0)
        return 0;
    return problem_set(problem, "give another file to --serial", "cannot open %s: %s", path,
                       strerror(errno));
}

static int vmm_begin(struct vmm *vmm, struct problem *problem)
{
    const struct options *options = &vmm->options;

    if (serial_open(vmm, problem) != 0)
        return -1;
    vmm->machine.dirty_bytes_per_s = options->dirty_mb_per_s << 20;
    if (machine_open(&vmm->machine, options->backend, options->ram_mb, problem) != 0 ||
        control_open(&vmm->control, options->control_path, problem) != 0)
        return -1;
    if (options->is_incoming) {
        vmm->state = VMM_INCOMING;
        return migration_receive(&vmm->migration, &vmm->machine, options->incoming.host,
                                 options->incoming.service, problem);
    }
    if (machine_boot(&vmm->machine, problem) != 0)
        return -1;
    vmm->state = VMM_RUNNING;
    vcpu_start(&vmm->machine);
    return 0;
}

int main(int count, char **arguments)
{
    static struct vmm vmm = {.machine = {.event_fd = -1, .serial_fd = -1},
                             .control = {.listen_fd = -1}};
    struct problem problem = {.cause = ""};
    int result = EXIT_FAILED;
    int signal_fd;

    if (count > 1 && strcmp(arguments[1], "--ctl") == 0)
        return control_client_main(count - 2, arguments + 2);
    switch (options_parse(&vmm.options, count, arguments)) {
    case OPTIONS_START:
        break;
    case OPTIONS_DONE:
        return EXIT_NORMAL;
    default:
        return EXIT_USAGE;
    }
    signal_fd = signals_open(&problem);
    if (signal_fd >= 0 && vmm_begin(&vmm, &problem) == 0)
        result = loop(&vmm, signal_fd);
    else
        problem_print(&vmm, &problem);
    migration_end(&vmm.migration);
    control_close(&vmm.control);
    machine_close(&vmm.machine);
    if (vmm.options.serial_path != NULL && vmm.machine.serial_fd >= 0)
        (void)close(vmm.machine.serial_fd);
    if (signal_fd >= 0)
        (void)close(signal_fd);
    return result;
}
