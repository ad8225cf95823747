/* SPDX-License-Identifier: BSD-2-Clause */
/* A destination that answers at once what a source's bench sends; and sources with blocks of the
 * test's own. */
#ifndef RDMIG_TESTS_SUPPORT_PEER_H
#define RDMIG_TESTS_SUPPORT_PEER_H

#include "support/drive.h"

#define PEER_HOST UINT64_C(0x900000000)

/*
 * Exchanged, all credits here, quiet before. The blocks lie behind each other at the destination.
 * peer_limit_bytes: what the destination names; without PIPELINE in the config it names nothing.
 * SENDs are no longer answered by themselves: peer_serve() does that.
 */
struct bench *peer_source(const struct rdmig_conn_config *config, uint64_t peer_limit_bytes,
                          const uint64_t *lengths, uint32_t block_count);

/* Completes and answers the oldest command that is out, READY included; false: there is none. */
bool peer_serve_one(struct bench *bench);
/* All of them, until no more come. */
void peer_serve(struct bench *bench);

#endif
