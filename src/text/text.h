/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Bytes that somebody else has chosen, as text for a person: the names of a peer's or a file's RAM
 * blocks, and whole lines that may hold such. Whatever goes in, what comes out is one line that
 * does nothing to a terminal.
 *
 * A byte that is not shown as it is becomes \n, \r, \t or \xNN. What does not fit is cut, never in
 * the middle of a character or of an escape, and ends in "...".
 */
#ifndef RDMIG_TEXT_TEXT_H
#define RDMIG_TEXT_TEXT_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define TEXT_NAME_BYTES 160u /* a name as it is shown, the terminator included */

struct text_name {
    char text[TEXT_NAME_BYTES];
};

/*
 * A name. Printable ASCII is shown as it is, and nothing else: a name is the peer's, and letters
 * that look alike, or turn the line round, are not worth it. The backslash is doubled, so different
 * names that fit look different. For use in an expression: text_name(name).text.
 */
struct text_name text_name(const char *name);
struct text_name text_name_of(const uint8_t *bytes, uint64_t length_bytes);

/*
 * A line. UTF-8 is shown as it is, too: paths and the system's own messages may be in any language;
 * but not what is invisible, or changes the direction of what follows. A backslash stays one: a
 * line may be made a line again and is the same. Returns the length of what is in `out`, which is
 * always terminated; capacity_bytes > 0. The two must not overlap.
 */
size_t text_line(char *out, size_t capacity_bytes, const char *text);
/* printf into a line. */
__attribute__((format(printf, 3, 4))) size_t text_print(char *out, size_t capacity_bytes,
                                                        const char *format, ...);
__attribute__((format(printf, 3, 0))) size_t text_vprint(char *out, size_t capacity_bytes,
                                                         const char *format, va_list arguments);

/*
 * The UTF-8 sequence that starts here, in at most length_bytes: its length, and the code point in
 * *code. 0: it is none (overlong, a surrogate, beyond U+10FFFF, cut short).
 */
size_t text_sequence(const uint8_t *bytes, size_t length_bytes, uint32_t *code);
/* False for what a line escapes: control characters, and what is invisible or turns the line. */
bool text_is_shown(uint32_t code);

#endif
