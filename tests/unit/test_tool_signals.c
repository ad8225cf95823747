/* SPDX-License-Identifier: BSD-2-Clause */
/* Signals, sent to real processes: what asks for a cancel, what ends it, and what stays ignored. */
#include "../../src/tool/commands/signals.h"

#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#define LIMIT_MS    10000
#define SIGNALS_MAX 3

struct row {
    int ignored[SIGNALS_MAX]; /* when the process starts */
    int sent[SIGNALS_MAX];    /* one after the other */
    int caught;               /* what asked for the cancel; 0: nothing */
    int killer;               /* what ended the process; 0: nothing, it went on */
};

static const struct row rows[] = {
    {{0}, {0}, 0, 0},
    {{0}, {SIGINT}, SIGINT, 0},
    {{0}, {SIGTERM}, SIGTERM, 0},
    {{0}, {SIGHUP}, SIGHUP, 0},
    {{0}, {SIGINT, SIGINT}, 0, SIGINT},
    {{0}, {SIGTERM, SIGINT}, 0, SIGINT},
    {{0}, {SIGHUP, SIGTERM}, 0, SIGTERM},
    /* nohup: the terminal goes while the cancel is in progress. */
    {{SIGHUP}, {SIGTERM, SIGHUP}, SIGTERM, 0},
    {{SIGHUP}, {SIGHUP, SIGHUP}, 0, 0},
    {{SIGHUP}, {SIGTERM, SIGHUP, SIGTERM}, 0, SIGTERM},
    /* A hang-up comes more than once, and behind others. */
    {{0}, {SIGHUP, SIGHUP}, SIGHUP, 0},
    {{0}, {SIGTERM, SIGHUP}, SIGTERM, 0},
    /* A background job of a shell without job control; and whoever ignores SIGTERM. */
    {{SIGINT}, {SIGINT}, 0, 0},
    {{SIGINT}, {SIGTERM, SIGINT}, SIGTERM, 0},
    {{SIGTERM}, {SIGINT, SIGTERM}, SIGINT, 0},
    {{SIGINT, SIGTERM, SIGHUP}, {SIGINT, SIGTERM, SIGHUP}, 0, 0},
    /* A reader of the output that has gone is told by write(). */
    {{0}, {SIGPIPE, SIGPIPE}, 0, 0},
};

/* Exits with the signal that it has caught, once it is told to. */
static void run_child(const struct row *row, int ready_fd, int end_fd)
{
    static const int signals[] = {SIGINT, SIGTERM, SIGHUP};
    struct pollfd end = {.fd = end_fd, .events = POLLIN};
    struct tool_error error = {{0}, {0}, {0}};
    char byte = 0;
    size_t i;

    for (i = 0; i < sizeof(signals) / sizeof(signals[0]); i++) {
        signal(signals[i], SIG_DFL);
    }
    for (i = 0; i < SIGNALS_MAX && row->ignored[i] != 0; i++) {
        signal(row->ignored[i], SIG_IGN);
    }
    if (!signals_install(&error) || write(ready_fd, &byte, 1) != 1) {
        _exit(100);
    }
    while (poll(&end, 1, LIMIT_MS) < 0) {
    }
    if (end.revents == 0) {
        _exit(101);
    }
    _exit(signals_caught());
}

static void describe(const struct row *row, char text[256])
{
    size_t length = 0;
    size_t i;

    for (i = 0; i < SIGNALS_MAX && row->ignored[i] != 0; i++) {
        length += (size_t)snprintf(text + length, 256 - length, "SIG%s ignored, ",
                                   sigabbrev_np(row->ignored[i]));
    }
    length += (size_t)snprintf(text + length, 256 - length, "then");
    for (i = 0; i < SIGNALS_MAX && row->sent[i] != 0; i++) {
        length +=
            (size_t)snprintf(text + length, 256 - length, " SIG%s", sigabbrev_np(row->sent[i]));
    }
}

/* Taken up, or ignored, or its end: two of a kind that are pending together would be one. */
static bool is_signal_pending(pid_t pid)
{
    unsigned long long pending = 0;
    char path[64];
    char line[256];
    FILE *file;

    snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
    file = fopen(path, "re");
    while (file != NULL && fgets(line, sizeof(line), file) != NULL) {
        unsigned long long set;

        if (strncmp(line, "State:\tZ", 8) == 0) {
            pending = 0;
            break;
        }
        if (sscanf(line, "SigPnd: %llx", &set) == 1 || sscanf(line, "ShdPnd: %llx", &set) == 1) {
            pending |= set;
        }
    }
    if (file != NULL) {
        fclose(file);
    }
    return pending != 0;
}

static void send_signal(pid_t pid, int number)
{
    unsigned int waited_ms;

    assert_int_equal(kill(pid, number), 0);
    for (waited_ms = 0; is_signal_pending(pid); waited_ms++) {
        assert_true(waited_ms < LIMIT_MS);
        usleep(1000);
    }
}

/* Signals are taken up before the byte behind them is. */
static int run_row(const struct row *row)
{
    int ready[2];
    int end[2];
    int status = 0;
    char byte = 0;
    pid_t pid;
    size_t i;

    assert_int_equal(pipe(ready), 0);
    assert_int_equal(pipe(end), 0);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        run_child(row, ready[1], end[0]);
    }
    assert_int_equal(read(ready[0], &byte, 1), 1);
    for (i = 0; i < SIGNALS_MAX && row->sent[i] != 0; i++) {
        send_signal(pid, row->sent[i]);
    }
    assert_int_equal(write(end[1], &byte, 1), 1);
    assert_int_equal(waitpid(pid, &status, 0), pid);
    close(ready[0]);
    close(ready[1]);
    close(end[0]);
    close(end[1]);
    return status;
}

static void test_signals_of_real_processes(void **state)
{
    bool is_good = true;
    char text[256];
    size_t i;

    (void)state;
    for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct row *row = &rows[i];
        int status = run_row(row);
        int killer = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
        int caught = WIFEXITED(status) ? WEXITSTATUS(status) : 0;

        if (killer != row->killer || caught != row->caught) {
            describe(row, text);
            print_error("%s: killed by %d instead of %d, caught %d instead of %d\n", text, killer,
                        row->killer, caught, row->caught);
            is_good = false;
        }
    }
    assert_true(is_good);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_signals_of_real_processes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
