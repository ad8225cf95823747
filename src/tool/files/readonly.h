/* SPDX-License-Identifier: BSD-2-Clause */
/* Whether memory that is mapped for reading alone can be sent. */
#ifndef RDMIG_TOOL_READONLY_H
#define RDMIG_TOOL_READONLY_H

#include <stdbool.h>

/*
 * Kernels before 6.2, and drivers of their own, pin a shared mapping only if it is writable, even
 * to read from it. Asks the kernel, with a page: true when each RDMA device that can be opened
 * takes it, and there is one. Loads the drivers, which the migration then need not.
 */
bool readonly_is_pinned(void);

#endif
