/* SPDX-License-Identifier: BSD-2-Clause */
#ifndef SIM_SYSTEM_H
#define SIM_SYSTEM_H

#include "world.h"

/* Where the source's guest memory lies: nobody but the source itself ever sees it. */
#define SYSTEM_SOURCE_ADDR UINT64_C(0x550000000000)

void *system_block_addr(const struct world *world, enum rdmig_role role, uint32_t block);

#endif
