/* SPDX-License-Identifier: BSD-2-Clause */
/* Text to values and back: numbers, sizes, addresses, block names as file names. No I/O. */
#ifndef RDMIG_TOOL_PARSE_H
#define RDMIG_TOOL_PARSE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    TOOL_HOST_BYTES_MAX = 255,
    TOOL_PORT_BYTES_MAX = 5,
    TOOL_FILE_NAME_BYTES_MAX = 255, /* NAME_MAX of every file system in use */
    TOOL_BLOCK_NAME_BYTES_MAX = 255
};

/* HOST:PORT, or [IPv6 address]:PORT. */
struct tool_address {
    char host[TOOL_HOST_BYTES_MAX + 1]; /* without brackets; "": every address (listening only) */
    char port[TOOL_PORT_BYTES_MAX + 1]; /* digits */
};

/* Decimal digits only, minimum <= value <= maximum. False: *value is untouched. */
bool parse_number(const char *text, uint64_t minimum, uint64_t maximum, uint64_t *value);

/* Decimal digits and at most one of K M G T (powers of 1024; small letters too); at least 1. */
bool parse_size(const char *text, uint64_t *size_bytes);

/*
 * may_listen: the host may be empty and the port 0. NULL: fine, otherwise what is wrong with the
 * text; *address is untouched then.
 */
const char *parse_address(const char *text, bool may_listen, struct tool_address *address);

/*
 * Percent-encodes a block name so that it is a plain file name: letters, digits, '.', '_' and '-'
 * stay, but not a leading '.' (no "." or "..", no hidden files); every other byte becomes %XX.
 * Returns the length of the whole text like snprintf; terminated when capacity_bytes > 0.
 */
size_t percent_encode(const char *name, char *text, size_t capacity_bytes);
/*
 * The way back, into at most capacity_bytes with the terminator. False: the text is not what
 * percent_encode() makes of any name of 1 byte or more, or the name is too long.
 */
bool percent_decode(const char *text, char *name, size_t capacity_bytes);

/*
 * The file name of a block: its name percent-encoded. One that does not fit a file name is cut
 * and closed with '~' and the block's index: '~' comes out of no encoding, so names stay unique.
 */
void block_file_name(const char *name, uint32_t index, char text[TOOL_FILE_NAME_BYTES_MAX + 1]);

#endif
