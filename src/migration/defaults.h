/* SPDX-License-Identifier: BSD-2-Clause */
/* What options left at 0 mean (include/rdmig/rdmig.h). The simulated report runs with the limits,
 * too. */
#ifndef RDMIG_MIGRATION_DEFAULTS_H
#define RDMIG_MIGRATION_DEFAULTS_H

enum {
    DEFAULT_RUN_CHUNK_COUNT = 64,
    DEFAULT_DOWNTIME_TARGET_MS = 300,
    DEFAULT_CONNECT_TIMEOUT_MS = 20000,
    DEFAULT_REPLY_TIMEOUT_MS = 60000,
    DEFAULT_PROBE_INTERVAL_MS = 5000
};

#endif
