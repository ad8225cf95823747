/* SPDX-License-Identifier: BSD-2-Clause */
#include "signals.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mman.h>

/* What handlers share with the rest: lock-free atomics, the only objects they may touch. */
static atomic_int caught_signal;
static _Atomic int64_t faulted_block = -1;
static _Atomic(const struct ramfile_set *) watched;

/*
 * The first asks for a cancel. A second one ends the process, but for a hang-up, which is nobody's
 * impatience: it comes from the kernel and from the shell, and behind a SIGTERM. The signal itself
 * is raised again, with what it does by default, so no other one is touched.
 */
static void handle_cancel(int number)
{
    int none = 0;

    if (!atomic_compare_exchange_strong(&caught_signal, &none, number) && number != SIGHUP) {
        signal(number, SIG_DFL);
        raise(number); /* takes effect when this handler returns */
    }
}

static void handle_bus_error(int number, siginfo_t *info, void *context)
{
    const struct ramfile_set *set = atomic_load(&watched);
    int64_t index = set == NULL ? -1 : ramfile_set_find(set, info->si_addr);
    int saved = errno;

    (void)context;
    if (index >= 0) {
        const struct ramfile *file = &set->files[index];
        uintptr_t page = (uintptr_t)info->si_addr / file->page_bytes * file->page_bytes;

        /* mmap is a bare system call, so it may be used here although POSIX does not list it. */
        if (mmap((void *)page, (size_t)file->page_bytes, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0) != MAP_FAILED) {
            atomic_store(&faulted_block, index);
            errno = saved;
            return;
        }
    }
    signal(number, SIG_DFL); /* the access is made again and ends the process */
}

static bool install(int number, struct sigaction action)
{
    action.sa_flags |= SA_RESTART;
    sigemptyset(&action.sa_mask);
    return sigaction(number, &action, NULL) == 0;
}

/* What is ignored stays ignored: by nohup, by a shell's background without job control, by
 * whoever else has started this. */
static bool install_cancel(void)
{
    static const int numbers[] = {SIGINT, SIGTERM, SIGHUP};
    struct sigaction before;

    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        if (sigaction(numbers[i], NULL, &before) != 0 ||
            (before.sa_handler != SIG_IGN &&
             !install(numbers[i], (struct sigaction){.sa_handler = handle_cancel})))
            return false;
    }
    return true;
}

bool signals_install(struct tool_error *error)
{
    const struct sigaction ignore = {.sa_handler = SIG_IGN};
    const struct sigaction bus_error = {.sa_sigaction = handle_bus_error, .sa_flags = SA_SIGINFO};

    return (install(SIGBUS, bus_error) && install(SIGPIPE, ignore) && install(SIGXFSZ, ignore) &&
            install_cancel()) ||
           tool_error_system(error, TOOL_REASON_MEMORY, "cannot set up signals");
}

int signals_caught(void)
{
    return atomic_load(&caught_signal);
}

void signals_watch(const struct ramfile_set *set)
{
    atomic_store(&watched, set);
}

int64_t signals_faulted_block(void)
{
    return atomic_load(&faulted_block);
}
