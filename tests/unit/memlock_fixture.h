/* SPDX-License-Identifier: BSD-2-Clause */
/* RLIMIT_MEMLOCK of 64 KiB as an ordinary user has it: root's CAP_IPC_LOCK is laid down while a
 * test needs that. */
#ifndef RDMIG_TESTS_MEMLOCK_FIXTURE_H
#define RDMIG_TESTS_MEMLOCK_FIXTURE_H

#include <linux/capability.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cmocka.h>

static struct {
    struct __user_cap_data_struct capabilities[_LINUX_CAPABILITY_U32S_3];
    struct rlimit limit;
} memlock_before;

static inline void drop_memlock(rlim_t limit_bytes)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];
    struct rlimit limit;

    assert_int_equal(getrlimit(RLIMIT_MEMLOCK, &memlock_before.limit), 0);
    assert_int_equal(syscall(SYS_capget, &header, memlock_before.capabilities), 0);
    limit = memlock_before.limit;
    limit.rlim_cur = limit_bytes;
    assert_int_equal(setrlimit(RLIMIT_MEMLOCK, &limit), 0);
    for (unsigned i = 0; i < _LINUX_CAPABILITY_U32S_3; i++)
        data[i] = memlock_before.capabilities[i];
    data[0].effective &= ~(1u << CAP_IPC_LOCK);
    assert_int_equal(syscall(SYS_capset, &header, data), 0);
}

static inline void restore_memlock(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};

    assert_int_equal(syscall(SYS_capset, &header, memlock_before.capabilities), 0);
    assert_int_equal(setrlimit(RLIMIT_MEMLOCK, &memlock_before.limit), 0);
}

static inline bool has_ipc_lock(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];

    assert_int_equal(syscall(SYS_capget, &header, data), 0);
    return (data[0].effective & (1u << CAP_IPC_LOCK)) != 0;
}

#endif
