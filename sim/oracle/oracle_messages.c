/* SPDX-License-Identifier: BSD-2-Clause */
/* The wire's own description: types, their entries and answers; numbers in bytes. */
#include "oracle_internal.h"

const struct oracle_rule oracle_rules[ORACLE_TYPE_COUNT] = {
    [ORACLE_NONE] = {"NONE", ORACLE_FROM_EITHER, 0, ORACLE_NONE, false},
    [ORACLE_ERROR] = {"ERROR", ORACLE_FROM_EITHER, 0, ORACLE_NONE, false},
    [ORACLE_READY] = {"READY", ORACLE_FROM_DESTINATION, 0, ORACLE_NONE, false},
    [ORACLE_QEMU_FILE] = {"QEMU_FILE", ORACLE_FROM_SOURCE, 0, ORACLE_NONE, true},
    [ORACLE_BLOCKS_REQUEST] = {"RAM_BLOCKS_REQUEST", ORACLE_FROM_SOURCE, 0, ORACLE_BLOCKS_RESULT,
                               true},
    [ORACLE_BLOCKS_RESULT] = {"RAM_BLOCKS_RESULT", ORACLE_FROM_DESTINATION, 32, ORACLE_NONE, false},
    [ORACLE_COMPRESS] = {"COMPRESS", ORACLE_FROM_SOURCE, 24, ORACLE_NONE, true},
    [ORACLE_REGISTER_REQUEST] = {"REGISTER_REQUEST", ORACLE_FROM_SOURCE, 24, ORACLE_REGISTER_RESULT,
                                 true},
    [ORACLE_REGISTER_RESULT] = {"REGISTER_RESULT", ORACLE_FROM_DESTINATION, 16, ORACLE_NONE, false},
    [ORACLE_REGISTER_FINISHED] = {"REGISTER_FINISHED", ORACLE_FROM_SOURCE, 0, ORACLE_NONE, true},
    [ORACLE_UNREGISTER_REQUEST] = {"UNREGISTER_REQUEST", ORACLE_FROM_SOURCE, 24,
                                   ORACLE_UNREGISTER_FINISHED, true},
    [ORACLE_UNREGISTER_FINISHED] = {"UNREGISTER_FINISHED", ORACLE_FROM_DESTINATION, 0, ORACLE_NONE,
                                    false},
};

const char *oracle_type_name(uint32_t type)
{
    return oracle_rules[type].name;
}

uint32_t oracle_answer_type(uint32_t type)
{
    return oracle_rules[type].answer;
}

uint32_t oracle_entry_bytes(uint32_t type)
{
    return oracle_rules[type].entry_bytes;
}

uint32_t oracle_be32(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

uint64_t oracle_be64(const uint8_t *bytes)
{
    return (uint64_t)oracle_be32(bytes) << 32 | oracle_be32(bytes + 4);
}

uint32_t oracle_entry_count(const struct oracle_message *message)
{
    const uint32_t entry_bytes = oracle_entry_bytes(message->type);

    return entry_bytes == 0 ? 0 : message->body_bytes / entry_bytes;
}
