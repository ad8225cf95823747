/* SPDX-License-Identifier: BSD-2-Clause */
/* What cannot be, in a core that is built for tests: it stops there, so that no test and no world
 * passes over it. */
#include "support/drive.h"

#include "core/internal.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static void test_core_stops__index_beyond_its_table__aborts(void **state)
{
    struct bench *bench = source_at(SOURCE_IS_EXCHANGED, NULL);
    int status = 0;
    pid_t child;

    (void)state;
#ifdef RDMIG_COVERED
    skip(); /* the conditions are left out: src/core/never.h */
#endif
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        (void)signal(SIGABRT, SIG_DFL);
        (void)setrlimit(RLIMIT_CORE, &(struct rlimit){0, 0});
        (void)close(STDERR_FILENO);
        (void)blocks_at(bench->conn, 2);
        _exit(0);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), SIGABRT);
    bench_close(bench);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_core_stops__index_beyond_its_table__aborts),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
