/* SPDX-License-Identifier: BSD-2-Clause */
#include "tracefile.h"

#include <errno.h>

/* Not each completion: a guest of 1 TiB has a million of them. */
#define KINDS (RDMIG_TRACE_STATES | RDMIG_TRACE_MESSAGES | RDMIG_TRACE_REGIONS)

bool tracefile_open(struct tracefile *trace, const char *path, struct tool_error *error)
{
    *trace = (struct tracefile){.file = NULL};
    if (path == NULL)
        return true;
    trace->file = fopen(path, "we");
    if (trace->file == NULL)
        return tool_error_system(error, TOOL_REASON_FILE, "cannot open the trace %s", path);
    /* So that nothing is missing of what came before a crash. */
    (void)setvbuf(trace->file, NULL, _IOLBF, BUFSIZ);
    return true;
}

static void take_line(struct tracefile *trace, const char *side, const char *line)
{
    if (trace->os_code == 0 && fprintf(trace->file, "%s %s\n", side, line) < 0)
        trace->os_code = errno;
}

static void take_source_line(void *opaque, const char *line)
{
    take_line(opaque, "source", line);
}

static void take_destination_line(void *opaque, const char *line)
{
    take_line(opaque, "destination", line);
}

void tracefile_follow_source(struct tracefile *trace, struct rdmig_source *source)
{
    if (trace->file != NULL)
        (void)rdmig_source_set_trace(source, KINDS, take_source_line, trace);
}

void tracefile_follow_destination(struct tracefile *trace, struct rdmig_destination *destination)
{
    if (trace->file != NULL)
        (void)rdmig_destination_set_trace(destination, KINDS, take_destination_line, trace);
}

int tracefile_close(struct tracefile *trace)
{
    if (trace->file != NULL && fclose(trace->file) != 0 && trace->os_code == 0)
        trace->os_code = errno;
    trace->file = NULL;
    return trace->os_code;
}
