/* SPDX-License-Identifier: BSD-2-Clause */
#include "error.h"

#include "../../text/text.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

bool tool_error_is_set(const struct tool_error *error)
{
    return error->reason[0] != '\0';
}

void tool_error_clear(struct tool_error *error)
{
    memset(error, 0, sizeof(*error));
}

/* What to do about an errno met with a file or memory. */
static const char *remedy_of(int os_code)
{
    static const struct {
        int os_code;
        const char *remedy;
    } rows[] = {
        {ENOSPC, "make room on that file system"},
        {EDQUOT, "make room on that file system"},
        {EFBIG, "the file system or 'ulimit -f' does not allow files of that size"},
        {EACCES, "check the file's permissions and seals, or run as its owner"},
        {EPERM, "check the file's permissions and seals, or run as its owner"},
        {EROFS, "mount the file system read-write or name another file"},
        {ENOENT, "check the path"},
        {ENOTDIR, "check the path"},
        {EMFILE, "raise 'ulimit -n'"},
        {ENFILE, "raise 'ulimit -n'"},
        {ENOMEM, "free memory, or raise 'ulimit -v' and the memory cgroup's limit"},
        {EIO, "check the disk; the kernel's log says more"},
        {EISDIR, "name a file, not a directory"},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (rows[i].os_code == os_code)
            return rows[i].remedy;
    }
    return "check the path and the file system";
}

__attribute__((format(printf, 4, 0))) static void set(struct tool_error *error, const char *reason,
                                                      const char *remedy, const char *format,
                                                      va_list arguments)
{
    if (tool_error_is_set(error))
        return;
    snprintf(error->reason, sizeof(error->reason), "%s", reason);
    (void)text_line(error->remedy, sizeof(error->remedy), remedy);
    (void)text_vprint(error->detail, sizeof(error->detail), format, arguments);
}

bool tool_error_set(struct tool_error *error, const char *reason, const char *remedy,
                    const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    set(error, reason, remedy, format, arguments);
    va_end(arguments);
    return false;
}

bool tool_error_system(struct tool_error *error, const char *reason, const char *format, ...)
{
    const int os_code = errno;
    char cause[2 * sizeof(error->detail)];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(cause, sizeof(cause), format, arguments);
    va_end(arguments);
    return tool_error_set(error, reason, remedy_of(os_code), "%s: %s", cause, strerror(os_code));
}

bool tool_error_memory(struct tool_error *error, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    set(error, TOOL_REASON_MEMORY, "free memory", format, arguments);
    va_end(arguments);
    return false;
}

void tool_error_add_remedy(struct tool_error *error, const char *remedy)
{
    size_t length = strlen(error->remedy);

    snprintf(error->remedy + length, sizeof(error->remedy) - length, "%s%s",
             length == 0 ? "" : "; ", remedy);
}

void tool_error_take(struct tool_error *error, const struct rdmig_error *from)
{
    tool_error_clear(error);
    tool_error_set(error, rdmig_reason_name(from->reason), from->remedy, "%s", from->detail);
}

void tool_error_print(const struct tool_error *error)
{
    char line[sizeof(error->detail) + sizeof(error->remedy) + 32];
    const char *separator = error->remedy[0] != '\0' ? "; " : "";

    text_print(line, sizeof(line), "rdmig: %s%s%s", error->detail, separator, error->remedy);
    fprintf(stderr, "%s\n", line);
}
