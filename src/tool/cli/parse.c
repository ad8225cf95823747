/* SPDX-License-Identifier: BSD-2-Clause */
#include "parse.h"

#include <stdio.h>
#include <string.h>

#define PORT_MAX 65535u

/* Not isdigit and isalnum: those depend on the locale. */
static bool is_digit(char byte)
{
    return byte >= '0' && byte <= '9';
}

static bool is_kept(char byte)
{
    return is_digit(byte) || (byte >= 'A' && byte <= 'Z') || (byte >= 'a' && byte <= 'z') ||
           byte == '.' || byte == '_' || byte == '-';
}

/* Reads digits; *end is the first byte after them. False: none, or more than 64 bits hold. */
static bool read_digits(const char *text, uint64_t *value, const char **end)
{
    uint64_t sum = 0;
    const char *at = text;

    for (; is_digit(*at); at++) {
        if (__builtin_mul_overflow(sum, (uint64_t)10, &sum) ||
            __builtin_add_overflow(sum, (uint64_t)(*at - '0'), &sum))
            return false;
    }
    *value = sum;
    *end = at;
    return at != text;
}

bool parse_number(const char *text, uint64_t minimum, uint64_t maximum, uint64_t *value)
{
    uint64_t number;
    const char *end;

    if (!read_digits(text, &number, &end) || *end != '\0' || number < minimum || number > maximum)
        return false;
    *value = number;
    return true;
}

bool parse_size(const char *text, uint64_t *size_bytes)
{
    static const char suffixes[] = "KkMmGgTt";
    uint64_t number;
    const char *end;
    const char *suffix;

    if (!read_digits(text, &number, &end) || number == 0)
        return false;
    if (*end != '\0') {
        suffix = strchr(suffixes, *end);
        if (suffix == NULL || end[1] != '\0' ||
            __builtin_mul_overflow(number, UINT64_C(1) << (10 * ((suffix - suffixes) / 2 + 1)),
                                   &number))
            return false;
    }
    *size_bytes = number;
    return true;
}

/* Finds the host's bytes and the port's text. NULL: fine. */
static const char *split_address(const char *text, const char **host, size_t *host_bytes,
                                 const char **port)
{
    const char *end;

    if (text[0] == '[') {
        end = strchr(text, ']');
        if (end == NULL || end[1] != ':')
            return "an IPv6 address is written [ADDRESS]:PORT";
        *host = text + 1;
        *host_bytes = (size_t)(end - *host);
        *port = end + 2;
        return NULL;
    }
    end = strrchr(text, ':');
    if (end == NULL)
        return "the port is missing: write HOST:PORT";
    if (memchr(text, ':', (size_t)(end - text)) != NULL)
        return "an IPv6 address needs brackets: write [ADDRESS]:PORT";
    *host = text;
    *host_bytes = (size_t)(end - text);
    *port = end + 1;
    return NULL;
}

const char *parse_address(const char *text, bool may_listen, struct tool_address *address)
{
    const char *host;
    const char *port;
    size_t host_bytes;
    uint64_t port_number;
    const char *wrong = split_address(text, &host, &host_bytes, &port);

    if (wrong != NULL)
        return wrong;
    if (host_bytes == 0 && !may_listen)
        return "the host is missing: write HOST:PORT";
    if (host_bytes > TOOL_HOST_BYTES_MAX)
        return "the host is longer than 255 bytes";
    if (strlen(port) > TOOL_PORT_BYTES_MAX ||
        !parse_number(port, may_listen ? 0 : 1, PORT_MAX, &port_number))
        return may_listen ? "the port must be a number from 0 (any) to 65535"
                          : "the port must be a number from 1 to 65535";
    memcpy(address->host, host, host_bytes);
    address->host[host_bytes] = '\0';
    memcpy(address->port, port, strlen(port) + 1);
    return NULL;
}

static const char hex_digits[] = "0123456789ABCDEF";

/* How a byte of a name is written; the length of that. */
static size_t encode_byte(char byte, bool is_first, char piece[3])
{
    const unsigned char code = (unsigned char)byte;

    piece[0] = byte;
    if (is_kept(byte) && !(is_first && byte == '.'))
        return 1;
    piece[0] = '%';
    piece[1] = hex_digits[code >> 4];
    piece[2] = hex_digits[code & 15];
    return 3;
}

size_t percent_encode(const char *name, char *text, size_t capacity_bytes)
{
    size_t length = 0;
    char piece[3];

    for (const char *at = name; *at != '\0'; at++) {
        const size_t piece_bytes = encode_byte(*at, at == name, piece);

        for (size_t i = 0; i < piece_bytes; i++, length++) {
            if (length + 1 < capacity_bytes)
                text[length] = piece[i];
        }
    }
    if (capacity_bytes > 0)
        text[length < capacity_bytes ? length : capacity_bytes - 1] = '\0';
    return length;
}

/* The byte that "%XX" stands for; 0: that is none. */
static char decode_byte(const char *text)
{
    const char *high = text[1] == '\0' ? NULL : strchr(hex_digits, text[1]);
    const char *low = high == NULL || text[2] == '\0' ? NULL : strchr(hex_digits, text[2]);

    return (char)(low == NULL ? 0 : (high - hex_digits) << 4 | (low - hex_digits));
}

bool percent_decode(const char *text, char *name, size_t capacity_bytes)
{
    size_t length = 0;
    char piece[3];

    while (*text != '\0') {
        const char byte = *text == '%' ? decode_byte(text) : *text;
        const size_t piece_bytes = encode_byte(byte, length == 0, piece);

        /* Whatever it stands for, there is one way to write that. */
        if (byte == '\0' || strncmp(text, piece, piece_bytes) != 0 || length + 1 >= capacity_bytes)
            return false;
        name[length++] = byte;
        text += piece_bytes;
    }
    name[length] = '\0';
    return length > 0;
}

void block_file_name(const char *name, uint32_t index, char text[TOOL_FILE_NAME_BYTES_MAX + 1])
{
    char ending[16];
    size_t ending_bytes;

    if (percent_encode(name, text, TOOL_FILE_NAME_BYTES_MAX + 1) <= TOOL_FILE_NAME_BYTES_MAX)
        return;
    ending_bytes = (size_t)snprintf(ending, sizeof(ending), "~%u", index);
    memcpy(text + TOOL_FILE_NAME_BYTES_MAX - ending_bytes, ending, ending_bytes + 1);
}
