/* SPDX-License-Identifier: BSD-2-Clause */
#include "common.h"

#include "text/text.h"

#include <stdarg.h>

/* The numbers of the header as text. */
#define TEXT(number)    #number
#define TEXT_OF(number) TEXT(number)

const char *rdmig_version(void)
{
    return TEXT_OF(RDMIG_VERSION_MAJOR) "." TEXT_OF(RDMIG_VERSION_MINOR) "." TEXT_OF(
        RDMIG_VERSION_PATCH);
}

void error_set(struct rdmig_error *error, enum rdmig_reason reason, int os_code, const char *remedy,
               const char *format, ...)
{
    va_list arguments;

    if (!error || error->reason != RDMIG_REASON_NONE)
        return;
    error->reason = reason;
    error->os_code = os_code;
    (void)text_line(error->remedy, sizeof(error->remedy), remedy);
    va_start(arguments, format);
    (void)text_vprint(error->detail, sizeof(error->detail), format, arguments);
    va_end(arguments);
}
