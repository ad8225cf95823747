/* SPDX-License-Identifier: BSD-2-Clause */
#include "support/cells.h"

#include <string.h>

/* Columns: NONE ERROR READY QEMU_FILE RAM_BLOCKS_REQUEST _RESULT COMPRESS REGISTER_REQUEST _RESULT
 * _FINISHED UNREGISTER_REQUEST _FINISHED 12 4294967295 */
/* clang-format off */
const struct cell_row source_rows[SOURCE_ROW_COUNT] = {
    {"connecting",            SOURCE_IS_CONNECTING,       0, "TE.UUUUUUUUUTT", false},
    {"awaiting READY",        SOURCE_IS_ESTABLISHED,      0, "TE.UUUUUUUUUTT", false},
    {"credited",              SOURCE_IS_CREDITED,         0, "TECUUUUUUUUUTT", false},
    {"awaiting blocks",       SOURCE_AWAITS_BLOCKS,       0, "TEUUU.UUUUUUTT", false},
    {"awaiting result",       SOURCE_AWAITS_RESULT,       0, "TEUUUUUU.UUUTT", false},
    {"writing, credited",     SOURCE_IS_WRITING,          0, "TECUUUUUUUUUTT", false},
    {"awaiting unregistered", SOURCE_AWAITS_UNREGISTERED, 0, "TEUUUUUUUUU.TT", false},
    {"finishing",             SOURCE_IS_FINISHING,        0, "--------------", false},
    {"failing",               SOURCE_IS_FAILING,          0, "--------------", false},
    /* Several credits. Outstanding: what the state says first, and COMPRESS behind it. */
    {"connecting, pipelined",     SOURCE_IS_CONNECTING,       0, "TE.UUUUUUUUUTT", true},
    {"awaiting READYs",           SOURCE_IS_ESTABLISHED,      0, "TE.UUUUUUUUUTT", true},
    {"all credits",               SOURCE_IS_CREDITED,         0, "TECUUUUUUUUUTT", true},
    {"blocks, others to spend",   SOURCE_AWAITS_BLOCKS,       0, "TEUUU.UUUUUUTT", true},
    {"result, zeros behind",      SOURCE_AWAITS_RESULT,       0, "TEUUUUUU.UUUTT", true},
    {"zeros outstanding, writing",  SOURCE_IS_WRITING,          0, "TE.UUUUUUUUUTT", true},
    {"unregistered, zeros behind", SOURCE_AWAITS_UNREGISTERED, 0, "TEUUUUUUUUU.TT", true},
    {"finishing, pipelined",      SOURCE_IS_FINISHING,        0, "--------------", true},
    {"failing, pipelined",        SOURCE_IS_FAILING,          0, "--------------", true},
};

const struct cell_row destination_rows[DESTINATION_ROW_COUNT] = {
    {"connecting",          0, DESTINATION_IS_CONNECTING,    "TEUUUUUUUUUUTT", false},
    {"offering",            0, DESTINATION_IS_OFFERING,      "TEUUUUUUUUUUTT", false},
    {"awaiting, no blocks", 0, DESTINATION_IS_AWAITING,      "TEU..UMMUMMUTT", false},
    {"awaiting, listed",    0, DESTINATION_IS_LISTED,        "TEU.RU..U.KUTT", false},
    {"streaming",           0, DESTINATION_IS_STREAMING,     "TEUUUUUUUUUUTT", false},
    {"listing",             0, DESTINATION_IS_LISTING,       "TEUUUUUUUUUUTT", false},
    {"registering",         0, DESTINATION_IS_REGISTERING,   "TEUUUUUUUUUUTT", false},
    {"unregistering",       0, DESTINATION_IS_UNREGISTERING, "TEUUUUUUUUUUTT", false},
    {"filling",             0, DESTINATION_IS_FILLING,       "TEUUUUUUUUUUTT", false},
    {"ending round",        0, DESTINATION_IS_ENDING_ROUND,  "TEUUUUUUUUUUTT", false},
    {"answering",           0, DESTINATION_STAGE_COUNT,      "TEUUUUUUUUUUTT", false},
    {"finishing",           0, DESTINATION_IS_FINISHING,     "--------------", false},
    {"failing",             0, DESTINATION_IS_FAILING,       "--------------", false},
    /* Several credits: what need not be alone waits for its turn, and is judged then. */
    {"connecting, pipelined",          0, DESTINATION_IS_CONNECTING,    "TEUUUUUUUUUUTT", true},
    {"offering the rest",              0, DESTINATION_IS_OFFERING,      "TEUUUUUUUUUUTT", true},
    {"awaiting, no blocks, pipelined", 0, DESTINATION_IS_AWAITING,      "TEU..UMMUMMUTT", true},
    {"awaiting, listed, pipelined",    0, DESTINATION_IS_LISTED,        "TEU.RU..U.KUTT", true},
    {"streaming, pipelined",           0, DESTINATION_IS_STREAMING,     "TEUUUUUUUUUUTT", true},
    {"listing, pipelined",             0, DESTINATION_IS_LISTING,       "TEUUUUUUUUUUTT", true},
    {"registering, pipelined",         0, DESTINATION_IS_REGISTERING,   "TEUUUU..UU.UTT", true},
    {"unregistering, pipelined",       0, DESTINATION_IS_UNREGISTERING, "TEUUUU..UU.UTT", true},
    {"filling, pipelined",             0, DESTINATION_IS_FILLING,       "TEUUUU..UU.UTT", true},
    {"ending round, pipelined",        0, DESTINATION_IS_ENDING_ROUND,  "TEUUUUUUUUUUTT", true},
    {"answering, pipelined",           0, DESTINATION_STAGE_COUNT,      "TEUUUU..UU.UTT", true},
    {"finishing, pipelined",           0, DESTINATION_IS_FINISHING,     "--------------", true},
    {"failing, pipelined",             0, DESTINATION_IS_FAILING,       "--------------", true},
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

static const struct rdmig_conn_config pipelined = {.capability_flags = RDMIG_CAPABILITY_PIPELINE};

/* The answer is made but cannot be sent: the queue pair has begun to flush, nobody knows why yet.
 */
static struct bench *destination_answering(const struct rdmig_conn_config *config)
{
    struct bench *bench = destination_at(DESTINATION_IS_REGISTERING, config);

    FEED(bench, COMPLETED, .tag = bench->recv_tags[bench->recv_count - 1],
         .status = RDMIG_STATUS_FLUSHED);
    COMPLETE(bench, "o1", OK, .rkey = 1);
    assert_int_equal(bench->action_counts[RDMIG_ACTION_POST_SEND], 0);
    bench_begin(bench);
    return bench;
}

/* Zeros are asked for behind what is outstanding. */
static struct bench *source_pipelined(enum source_stage stage)
{
    struct bench *bench = source_at(stage, &pipelined);

    if (stage != SOURCE_AWAITS_RESULT && stage != SOURCE_IS_WRITING &&
        stage != SOURCE_AWAITS_UNREGISTERED)
        return bench;
    assert_int_equal(source_push_zero(bench, 1, MIB, 4096), RDMIG_OK);
    assert_int_equal(bench->action_counts[RDMIG_ACTION_POST_SEND], 1);
    bench_begin(bench);
    return bench;
}

struct bench *cell_bench(enum rdmig_role role, const struct cell_row *row)
{
    const struct rdmig_conn_config *config = row->is_pipelined ? &pipelined : NULL;
    struct bench *bench;

    if (role == RDMIG_ROLE_SOURCE)
        return row->is_pipelined ? source_pipelined(row->source) : source_at(row->source, NULL);
    if (row->destination == DESTINATION_STAGE_COUNT)
        return destination_answering(config);
    bench = destination_at(row->destination, config);
    if (row->destination == DESTINATION_IS_CONNECTING)
        bench_request_pipelined(bench, bench->config.capability_flags, RDMIG_CREDIT_COUNT_MAX, 0);
    return bench;
}
