/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The reaction to every message type in every state (clause C6), as written down from the protocol:
 * one letter a cell, for types 0 to 11, 12 and 4294967295.
 */
#ifndef RDMIG_TESTS_SUPPORT_CELLS_H
#define RDMIG_TESTS_SUPPORT_CELLS_H

#include "support/drive.h"

enum { CELL_COUNT = 14 };

struct cell_row {
    const char *state;
    enum source_stage source;
    enum destination_stage destination;
    /*
     * . taken   U unexpected   T no such type   C credit excess   E the peer gives up
     * M blocks missing   R blocks repeated   K region unknown   - after the end: neither taken nor
     * a failure
     */
    const char *cells;
    bool is_pipelined; /* with several outstanding commands, or room for them */
};

enum { SOURCE_ROW_COUNT = 18, DESTINATION_ROW_COUNT = 26 };
extern const struct cell_row source_rows[SOURCE_ROW_COUNT];
extern const struct cell_row destination_rows[DESTINATION_ROW_COUNT];

uint32_t cell_type(uint32_t column);
enum rdmig_reason cell_reason(char letter);
/* A well-formed message of the type. */
void cell_message(struct message *message, uint32_t type);
struct bench *cell_bench(enum rdmig_role role, const struct cell_row *row);

#endif
