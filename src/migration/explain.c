/* SPDX-License-Identifier: BSD-2-Clause */
#include "memory_kinds.h"

void explain_failure(const struct link *link, const struct memory *memory,
                     struct rdmig_error *error)
{
    struct link_failed_region failed;

    link_explain(link, error);
    if (error->reason == RDMIG_REASON_REGISTER_FAILED && link_failed_region(link, &failed) &&
        failed.block_index < memory->block_count)
        memory_kinds_explain(memory, failed.block_index, failed.offset_bytes, failed.length_bytes,
                             "registered", failed.os_code, error);
}
