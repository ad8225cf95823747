/* SPDX-License-Identifier: BSD-2-Clause */
/* The limit on locked memory, as the kernel applies it to pinned memory. */
#include "link_internal.h"

#include <linux/capability.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

/* The inode number that the kernel gives to the user namespace of its start. */
#define INITIAL_USER_NAMESPACE "user:[4026531837]"

/* In a container with users of its own, root has the capability there, and the kernel asks for it
 * outside. */
static bool is_in_initial_user_namespace(void)
{
    char name[64] = "";
    const ssize_t length = readlink("/proc/self/ns/user", name, sizeof(name) - 1);

    return length < 0 || strcmp(name, INITIAL_USER_NAMESPACE) == 0;
}

uint64_t rdmig_memlock_limit_bytes(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3, .pid = 0};
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {{0}};
    struct rlimit limit;

    if (syscall(SYS_capget, &header, data) == 0 &&
        (data[0].effective & (1u << CAP_IPC_LOCK)) != 0 && is_in_initial_user_namespace())
        return UINT64_MAX;
    if (getrlimit(RLIMIT_MEMLOCK, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY)
        return UINT64_MAX;
    return (uint64_t)limit.rlim_cur;
}
