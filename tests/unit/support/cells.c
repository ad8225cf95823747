/* SPDX-License-Identifier: BSD-2-Clause */
#include "support/cells.h"

#include <string.h>

/* Columns: NONE ERROR READY QEMU_FILE RAM_BLOCKS_REQUEST _RESULT COMPRESS REGISTER_REQUEST _RESULT
 * _FINISHED UNREGISTER_REQUEST _FINISHED 12 4294967295 */
/* clang-format off */
const struct cell_row source_rows[SOURCE_ROW_COUNT] = {
    {"connecting",            SOURCE_IS_CONNECTING,       0, "TE.UUUUUUUUUTT"},
    {"awaiting READY",        SOURCE_IS_ESTABLISHED,      0, "TE.UUUUUUUUUTT"},
    {"credited",              SOURCE_IS_CREDITED,         0, "TECUUUUUUUUUTT"},
    {"awaiting blocks",       SOURCE_AWAITS_BLOCKS,       0, "TEUUU.UUUUUUTT"},
    {"awaiting result",       SOURCE_AWAITS_RESULT,       0, "TEUUUUUU.UUUTT"},
    {"writing, credited",     SOURCE_IS_WRITING,          0, "TECUUUUUUUUUTT"},
    {"awaiting unregistered", SOURCE_AWAITS_UNREGISTERED, 0, "TEUUUUUUUUU.TT"},
    {"finishing",             SOURCE_IS_FINISHING,        0, "--------------"},
    {"failing",               SOURCE_IS_FAILING,          0, "--------------"},
};

const struct cell_row destination_rows[DESTINATION_ROW_COUNT] = {
    {"connecting",          0, DESTINATION_IS_CONNECTING,    "TEUUUUUUUUUUTT"},
    {"offering",            0, DESTINATION_IS_OFFERING,      "TEUUUUUUUUUUTT"},
    {"awaiting, no blocks", 0, DESTINATION_IS_AWAITING,      "TEU..UMMUMMUTT"},
    {"awaiting, listed",    0, DESTINATION_IS_LISTED,        "TEU.RU..U.KUTT"},
    {"streaming",           0, DESTINATION_IS_STREAMING,     "TEUUUUUUUUUUTT"},
    {"listing",             0, DESTINATION_IS_LISTING,       "TEUUUUUUUUUUTT"},
    {"registering",         0, DESTINATION_IS_REGISTERING,   "TEUUUUUUUUUUTT"},
    {"unregistering",       0, DESTINATION_IS_UNREGISTERING, "TEUUUUUUUUUUTT"},
    {"filling",             0, DESTINATION_IS_FILLING,       "TEUUUUUUUUUUTT"},
    {"ending round",        0, DESTINATION_IS_ENDING_ROUND,  "TEUUUUUUUUUUTT"},
    {"answering",           0, DESTINATION_STAGE_COUNT,      "TEUUUUUUUUUUTT"},
    {"finishing",           0, DESTINATION_IS_FINISHING,     "--------------"},
    {"failing",             0, DESTINATION_IS_FAILING,       "--------------"},
};
/* clang-format on */

uint32_t cell_type(uint32_t column)
{
    return column == CELL_COUNT - 1 ? UINT32_MAX : column;
}

enum rdmig_reason cell_reason(char letter)
{
    switch (letter) {
    case 'U':
        return RDMIG_REASON_MESSAGE_UNEXPECTED;
    case 'T':
        return RDMIG_REASON_MESSAGE_TYPE;
    case 'C':
        return RDMIG_REASON_CREDIT_EXCESS;
    case 'E':
        return RDMIG_REASON_PEER_ERROR;
    case 'M':
        return RDMIG_REASON_BLOCKS_MISSING;
    case 'R':
        return RDMIG_REASON_BLOCKS_REPEATED;
    case 'K':
        return RDMIG_REASON_REGION_UNKNOWN;
    default:
        return RDMIG_REASON_NONE;
    }
}

void cell_message(struct message *message, uint32_t type)
{
    message_begin(message, type, 1);
    switch (type) {
    case RDMIG_MESSAGE_QEMU_FILE:
        message_data(message, "bytes", 5);
        break;
    case RDMIG_MESSAGE_RAM_BLOCKS_RESULT:
        message_block(message, DESTINATION_HOST0, DESTINATION_PLACE0, BLOCK0_BYTES, 0xb0);
        message_block(message, DESTINATION_HOST1, DESTINATION_PLACE1, BLOCK1_BYTES, 0xb1);
        break;
    case RDMIG_MESSAGE_COMPRESS:
        message_compress(message, 0, 0, DESTINATION_PLACE0, 4096);
        break;
    case RDMIG_MESSAGE_REGISTER_REQUEST:
        message_chunk(message, DESTINATION_PLACE1, 1, 0);
        break;
    case RDMIG_MESSAGE_REGISTER_RESULT:
        message_result(message, 0xa0, DESTINATION_HOST0);
        break;
    case RDMIG_MESSAGE_UNREGISTER_REQUEST:
        message_chunk(message, 0, 1, 0);
        break;
    default:
        break;
    }
}

/* The answer is made but cannot be sent: the queue pair has begun to flush, nobody knows why yet.
 */
static struct bench *destination_answering(void)
{
    struct bench *bench = destination_at(DESTINATION_IS_REGISTERING, NULL);

    COMPLETE(bench, "r2", FLUSHED);
    COMPLETE(bench, "o1", OK, .rkey = 1);
    assert_int_equal(bench->action_counts[RDMIG_ACTION_POST_SEND], 0);
    bench_begin(bench);
    return bench;
}

struct bench *cell_bench(enum rdmig_role role, const struct cell_row *row)
{
    struct bench *bench;

    if (role == RDMIG_ROLE_SOURCE)
        return source_at(row->source, NULL);
    if (row->destination == DESTINATION_STAGE_COUNT)
        return destination_answering();
    bench = destination_at(row->destination, NULL);
    if (row->destination == DESTINATION_IS_CONNECTING)
        bench_connect_request(bench, 1, 0);
    return bench;
}
