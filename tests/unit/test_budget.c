/* SPDX-License-Identifier: BSD-2-Clause */
/* How much memory may be pinned: what follows from the system's limits and the VMM's (budget.c),
 * and where the memory cgroup's limit is found (cgroup.c). API covered: rdmig_pinned_limit_bytes.
 */
#include "migration/common.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#define KIB  UINT64_C(1024)
#define MIB  (KIB * 1024)
#define GIB  (MIB * 1024)
#define NONE UINT64_MAX

/* What has no test of its own has no limit. */
uint64_t rdmig_memlock_limit_bytes(void)
{
    return 32 * MIB;
}

static const struct budget_facts unlimited = {4096, NONE, 0, NONE};

static uint64_t control_bytes(void)
{
    return (rdmig_conn_control_bytes() + 4095) / 4096 * 4096;
}

/* ---- what the system allows */

static void test_budget__allowed__the_least_of_all_limits(void **state)
{
    static const struct {
        uint64_t memlock_bytes;
        uint64_t pinned_bytes;
        uint64_t cgroup_bytes;
        uint64_t allowed_bytes;
    } rows[] = {
        {NONE, 0, NONE, NONE},
        {NONE, 5 * GIB, NONE, NONE},
        {32 * MIB, 0, NONE, 32 * MIB - 512 * KIB},
        {32 * MIB, 8 * MIB, NONE, 24 * MIB - 512 * KIB},
        {32 * MIB, 32 * MIB, NONE, 0},
        {32 * MIB, 33 * MIB, NONE, 0},
        {256 * KIB, 0, NONE, 0},
        {NONE, 0, 8 * GIB, 7 * GIB},
        {NONE, 0, 256 * MIB, 192 * MIB},
        {NONE, 0, 100 * MIB, 50 * MIB},
        {32 * MIB, 0, 8 * GIB, 32 * MIB - 512 * KIB},
        {8 * GIB, 0, 8 * GIB, 7 * GIB},
        {8 * GIB, 8 * GIB, 8 * GIB, 0},
        {NONE, 0, 0, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct budget_facts facts = {4096, rows[i].memlock_bytes, rows[i].pinned_bytes,
                                           rows[i].cgroup_bytes};

        assert_int_equal(budget_allowed_bytes(&facts), rows[i].allowed_bytes);
    }
}

/* Here a test can only say how far it may be from RLIMIT_MEMLOCK. */
static void test_budget__this_process__at_most_rlimit_memlock(void **state)
{
    struct budget_facts facts;

    (void)state;
    budget_ask_system(&facts);
    assert_int_equal(facts.memlock_bytes, 32 * MIB);
    assert_int_equal(facts.pinned_bytes, 0);
    assert_true(facts.page_bytes >= 4096);
    assert_true(rdmig_pinned_limit_bytes() <= 32 * MIB - 512 * KIB);
    assert_int_equal(rdmig_pinned_limit_bytes(), budget_allowed_bytes(&facts));
}

/* ---- what follows from it */

static void test_budget__no_limit_anywhere__none(void **state)
{
    struct rdmig_error error = {0};
    struct budget budget;

    (void)state;
    assert_int_equal(budget_decide(0, &unlimited, MIB, &budget, &error), 0);
    assert_int_equal(budget.limit_bytes, NONE);
    assert_int_equal(budget.ram_bytes, NONE);
    assert_true(budget_has_room(&budget, UINT64_C(1) << 50));
    assert_int_equal(error.reason, RDMIG_REASON_NONE);
}

static void test_budget__a_limit__less_control_memory_is_for_ram(void **state)
{
    const struct budget_facts facts = {4096, 32 * MIB, 0, NONE};
    struct rdmig_error error = {0};
    struct budget budget;

    (void)state;
    assert_int_equal(budget_decide(0, &facts, MIB, &budget, &error), 0);
    assert_int_equal(budget.limit_bytes, 32 * MIB - 512 * KIB);
    assert_int_equal(budget.ram_bytes, budget.limit_bytes - control_bytes());
    assert_true(budget_has_room(&budget, budget.ram_bytes));
    assert_false(budget_has_room(&budget, budget.ram_bytes + 1));
}

/* The kernel counts whole pages, whatever their size. */
static void test_budget__large_pages__control_memory_is_rounded_up(void **state)
{
    struct budget_facts facts = {64 * KIB, 32 * MIB, 0, NONE};
    struct budget budget;

    (void)state;
    assert_int_equal(budget_decide(0, &facts, MIB, &budget, NULL), 0);
    assert_int_equal(budget.ram_bytes,
                     budget.limit_bytes - (rdmig_conn_control_bytes() / (64 * KIB) + 1) * 64 * KIB);
}

/* The option replaces what is guessed from the cgroup, but not what the kernel enforces. */
static void test_budget__option__counts_with_rlimit_memlock_alone(void **state)
{
    const struct budget_facts facts = {4096, 64 * MIB, 0, 20 * MIB};
    struct budget budget;

    (void)state;
    assert_int_equal(budget_decide(24 * MIB, &facts, MIB, &budget, NULL), 0);
    assert_int_equal(budget.limit_bytes, 24 * MIB);
    assert_int_equal(budget_decide(128 * MIB, &facts, MIB, &budget, NULL), 0);
    assert_int_equal(budget.limit_bytes, 64 * MIB - 512 * KIB);
    assert_int_equal(budget_decide(NONE, &facts, MIB, &budget, NULL), 0);
    assert_int_equal(budget.limit_bytes, NONE);
    assert_int_equal(budget.ram_bytes, NONE);
}

static void assert_refused(uint64_t wanted_bytes, const struct budget_facts *facts,
                           uint64_t need_bytes, int result, enum rdmig_reason reason,
                           const char *remedy)
{
    struct rdmig_error error = {0};
    struct budget budget;
    char need[64];

    assert_int_equal(budget_decide(wanted_bytes, facts, need_bytes, &budget, &error), result);
    assert_int_equal(error.reason, reason);
    snprintf(need, sizeof(need), "%llu bytes of control messages and guest RAM",
             (unsigned long long)(control_bytes() + need_bytes));
    assert_non_null(strstr(error.detail, need));
    assert_non_null(strstr(error.remedy, remedy));
}

static void test_budget__too_little_for_a_chunk__the_limit_and_the_remedy_are_named(void **state)
{
    const uint64_t need_bytes = control_bytes() + MIB;
    struct budget_facts facts = unlimited;
    struct budget budget;

    (void)state;
    facts.memlock_bytes = need_bytes + 512 * KIB;
    assert_int_equal(budget_decide(0, &facts, MIB, &budget, NULL), 0);
    assert_int_equal(budget.ram_bytes, MIB);
    facts.memlock_bytes--;
    assert_refused(0, &facts, MIB, -RDMIG_E_SYSTEM, RDMIG_REASON_MEMLOCK, "ulimit -l");
    /* A guest that is smaller than a chunk needs less. */
    assert_int_equal(budget_decide(0, &facts, MIB / 2, &budget, NULL), 0);
    facts.memlock_bytes = 0;
    assert_refused(0, &facts, 4096, -RDMIG_E_SYSTEM, RDMIG_REASON_MEMLOCK, "LimitMEMLOCK=");
    assert_refused(NONE - 1, &facts, 4096, -RDMIG_E_SYSTEM, RDMIG_REASON_MEMLOCK, "LimitMEMLOCK=");

    facts.memlock_bytes = NONE;
    facts.cgroup_bytes = 2 * need_bytes;
    assert_int_equal(budget_decide(0, &facts, MIB, &budget, NULL), 0);
    facts.cgroup_bytes -= 2;
    assert_refused(0, &facts, MIB, -RDMIG_E_SYSTEM, RDMIG_REASON_MEMLOCK, "memory.max");

    assert_int_equal(budget_decide(need_bytes, &unlimited, MIB, &budget, NULL), 0);
    assert_refused(need_bytes - 1, &unlimited, MIB, -RDMIG_E_INVALID, RDMIG_REASON_PINNED_LIMIT,
                   "raise the limit on pinned memory");
}

/* ---- what the core is told */

static struct rdmig_conn_config config_of(enum rdmig_role role, uint64_t limit_bytes,
                                          uint64_t ram_bytes)
{
    const struct rdmig_options options = {
        .struct_bytes = sizeof(options), .pin_all = true, .pinned_limit_bytes = limit_bytes};
    struct rdmig_conn_config config;
    struct budget budget;

    assert_int_equal(budget_decide(limit_bytes, &unlimited, MIB, &budget, NULL), 0);
    options_conn_config(&options, role, &budget, ram_bytes, &config);
    assert_true((config.capability_flags & RDMIG_CAPABILITY_PIPELINE) != 0);
    assert_int_equal(config.ram_bytes, role == RDMIG_ROLE_SOURCE ? ram_bytes : 0);
    return config;
}

static bool has_pin_all(const struct rdmig_conn_config *config)
{
    return (config->capability_flags & RDMIG_CAPABILITY_PIN_ALL) != 0;
}

/* Clause: R13 W2 */
static void test_budget__all_ram_fits__no_limit_and_pin_all(void **state)
{
    const uint64_t limit_bytes = control_bytes() + 64 * MIB;

    (void)state;
    for (int role = RDMIG_ROLE_SOURCE; role <= RDMIG_ROLE_DESTINATION; role++) {
        struct rdmig_conn_config config = config_of((enum rdmig_role)role, limit_bytes, 64 * MIB);

        assert_int_equal(config.pinned_bytes_max, 0);
        assert_true(has_pin_all(&config));
        config = config_of((enum rdmig_role)role, 0, GIB);
        assert_int_equal(config.pinned_bytes_max, 0);
        assert_true(has_pin_all(&config));
    }
}

/* Clause: R13 R14 W2 */
static void test_budget__more_ram_than_fits__a_limit_and_no_pin_all(void **state)
{
    const uint64_t limit_bytes = control_bytes() + 64 * MIB;
    struct rdmig_conn_config config;

    (void)state;
    for (int role = RDMIG_ROLE_SOURCE; role <= RDMIG_ROLE_DESTINATION; role++) {
        config = config_of((enum rdmig_role)role, limit_bytes, 64 * MIB + 4096);
        assert_int_equal(config.pinned_bytes_max, 64 * MIB);
        assert_false(has_pin_all(&config));
    }
    /* Blocks that are announced later: the source's number decides (clause R14). */
    config = config_of(RDMIG_ROLE_DESTINATION, limit_bytes, 0);
    assert_int_equal(config.pinned_bytes_max, 64 * MIB);
    assert_true(has_pin_all(&config));
}

/* ---- cgroups */

/* A root of files as /proc and /sys have them. */
struct tree {
    char root[64];
};

static void write_file(const struct tree *tree, const char *path, const char *text)
{
    char whole[512];
    FILE *file;

    snprintf(whole, sizeof(whole), "%s%s", tree->root, path);
    for (char *at = strchr(whole + strlen(tree->root) + 1, '/'); at; at = strchr(at + 1, '/')) {
        *at = '\0';
        assert_true(mkdir(whole, 0700) == 0 || errno == EEXIST);
        *at = '/';
    }
    file = fopen(whole, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void make_tree(struct tree *tree)
{
    snprintf(tree->root, sizeof(tree->root), "/tmp/rdmig-test-budget-XXXXXX");
    assert_non_null(mkdtemp(tree->root));
}

static void remove_tree(const struct tree *tree)
{
    char command[128];

    snprintf(command, sizeof(command), "rm -r '%s'", tree->root);
    assert_int_equal(system(command), 0); /* NOLINT(cert-env33-c) */
}

static void put_version_2(const struct tree *tree, const char *own, const char *mounted)
{
    char text[512];

    snprintf(text, sizeof(text), "0::%s\n", own);
    write_file(tree, "/proc/self/cgroup", text);
    snprintf(text, sizeof(text),
             "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n"
             "31 23 0:28 %s /sys/fs/cgroup rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n",
             mounted);
    write_file(tree, "/proc/self/mountinfo", text);
}

static uint64_t limit_of(const struct tree *tree)
{
    return cgroup_limit_bytes(tree->root);
}

static void test_cgroup__nothing_can_be_read__no_limit(void **state)
{
    struct tree tree;

    (void)state;
    make_tree(&tree);
    assert_int_equal(limit_of(&tree), NONE);
    put_version_2(&tree, "/user.slice", "/");
    assert_int_equal(limit_of(&tree), NONE);
    write_file(&tree, "/proc/self/cgroup", "nonsense\n:\n0:\n");
    assert_int_equal(limit_of(&tree), NONE);
    remove_tree(&tree);
}

static void test_cgroup__version_2__the_least_on_the_way_up(void **state)
{
    struct tree tree;

    (void)state;
    make_tree(&tree);
    put_version_2(&tree, "/machine.slice/vm.scope", "/");
    write_file(&tree, "/sys/fs/cgroup/machine.slice/vm.scope/memory.max", "max\n");
    assert_int_equal(limit_of(&tree), NONE);
    write_file(&tree, "/sys/fs/cgroup/machine.slice/memory.max", "1073741824\n");
    assert_int_equal(limit_of(&tree), GIB);
    write_file(&tree, "/sys/fs/cgroup/machine.slice/vm.scope/memory.max", "536870912\n");
    assert_int_equal(limit_of(&tree), 512 * MIB);
    /* Above it the kernel stalls who allocates. */
    write_file(&tree, "/sys/fs/cgroup/machine.slice/vm.scope/memory.high", "268435456\n");
    assert_int_equal(limit_of(&tree), 256 * MIB);
    /* A cgroup beside ours. */
    write_file(&tree, "/sys/fs/cgroup/machine.slice/other.scope/memory.max", "4096\n");
    assert_int_equal(limit_of(&tree), 256 * MIB);
    remove_tree(&tree);
}

/* A container sees its own cgroup at the mount point, under its own name or as "/". */
static void test_cgroup__version_2_in_a_container__that_of_the_mount_point(void **state)
{
    static const char *const rows[][2] = {
        {"/", "/"},
        {"/docker/4711", "/docker/4711"},
        {"/", "/docker/4711"},
        {"/docker/47", "/docker/4711"},
        {"/../other", "/"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct tree tree;

        make_tree(&tree);
        put_version_2(&tree, rows[i][0], rows[i][1]);
        write_file(&tree, "/sys/fs/cgroup/memory.max", "104857600\n");
        assert_int_equal(limit_of(&tree), 100 * MIB);
        remove_tree(&tree);
    }
}

static void test_cgroup__version_2_below_a_mounted_one__both_count(void **state)
{
    struct tree tree;

    (void)state;
    make_tree(&tree);
    put_version_2(&tree, "/docker/4711/vm", "/docker/4711");
    write_file(&tree, "/sys/fs/cgroup/vm/memory.max", "104857600\n");
    write_file(&tree, "/sys/fs/cgroup/memory.max", "209715200\n");
    assert_int_equal(limit_of(&tree), 100 * MIB);
    write_file(&tree, "/sys/fs/cgroup/memory.max", "1048576\n");
    assert_int_equal(limit_of(&tree), MIB);
    remove_tree(&tree);
}

static void test_cgroup__version_1__the_memory_controller(void **state)
{
    struct tree tree;

    (void)state;
    make_tree(&tree);
    write_file(&tree, "/proc/self/cgroup", "9:cpu,cpuacct:/a\n4:hugetlb,memory:/vm/b\n0::/\n");
    write_file(&tree, "/proc/self/mountinfo",
               "32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct\n"
               "35 31 0:32 / /sys/fs/cgroup/memory rw,relatime - cgroup cgroup rw,memory,hugetlb\n"
               "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n");
    write_file(&tree, "/sys/fs/cgroup/memory/vm/b/memory.limit_in_bytes", "9223372036854771712\n");
    write_file(&tree, "/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
    assert_int_equal(limit_of(&tree), NONE);
    write_file(&tree, "/sys/fs/cgroup/memory/vm/memory.limit_in_bytes", "1073741824\n");
    assert_int_equal(limit_of(&tree), GIB);
    write_file(&tree, "/sys/fs/cgroup/cpu/a/memory.limit_in_bytes", "4096\n");
    assert_int_equal(limit_of(&tree), GIB);
    remove_tree(&tree);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_budget__allowed__the_least_of_all_limits),
        cmocka_unit_test(test_budget__this_process__at_most_rlimit_memlock),
        cmocka_unit_test(test_budget__no_limit_anywhere__none),
        cmocka_unit_test(test_budget__a_limit__less_control_memory_is_for_ram),
        cmocka_unit_test(test_budget__large_pages__control_memory_is_rounded_up),
        cmocka_unit_test(test_budget__option__counts_with_rlimit_memlock_alone),
        cmocka_unit_test(test_budget__too_little_for_a_chunk__the_limit_and_the_remedy_are_named),
        cmocka_unit_test(test_budget__all_ram_fits__no_limit_and_pin_all),
        cmocka_unit_test(test_budget__more_ram_than_fits__a_limit_and_no_pin_all),
        cmocka_unit_test(test_cgroup__nothing_can_be_read__no_limit),
        cmocka_unit_test(test_cgroup__version_2__the_least_on_the_way_up),
        cmocka_unit_test(test_cgroup__version_2_in_a_container__that_of_the_mount_point),
        cmocka_unit_test(test_cgroup__version_2_below_a_mounted_one__both_count),
        cmocka_unit_test(test_cgroup__version_1__the_memory_controller),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
