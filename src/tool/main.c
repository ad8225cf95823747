/* SPDX-License-Identifier: BSD-2-Clause */
/* rdmig: one command with sub-commands; see args.c for their options. */
#include "cli/report.h"
#include "commands/commands.h"

#include <string.h>

typedef int command_run(const struct tool_args *args);

static command_run *const runs[TOOL_COMMAND_COUNT] = {
    [TOOL_COMMAND_SEND] = send_command,       [TOOL_COMMAND_RECV] = recv_command,
    [TOOL_COMMAND_CAPTURE] = capture_command, [TOOL_COMMAND_RESTORE] = restore_command,
    [TOOL_COMMAND_RELAY] = relay_command,     [TOOL_COMMAND_DEVICES] = devices_command,
};

static void print_help(FILE *out)
{
    fputs("usage: rdmig COMMAND [options]\n"
          "\n"
          "Moves memory blocks over RDMA with QEMU's RDMA migration protocol, version 1.\n"
          "\n",
          out);
    args_print_commands(out);
    fputs("\n"
          "  --help    print this; 'rdmig COMMAND --help' prints a command's options\n"
          "  --version print the version\n"
          "\n"
          "Exit status: 0 completed, 1 failed or cancelled, 2 wrong usage.\n",
          out);
}

static int print_usage_error(const struct tool_error *error, bool is_json)
{
    struct report report = {.outcome = TOOL_FAILED, .error = *error};

    return report_print(&report, is_json);
}

static int run_command(enum tool_command command, int argc, char **argv)
{
    struct tool_error error = {{0}, {0}, {0}};
    struct tool_args args;
    int status;

    if (!args_parse(&args, command, argc, argv, &error)) {
        status = print_usage_error(&error, args.is_json);
    } else if (args.is_help) {
        args_print_help(command, stdout);
        status = report_end(TOOL_EXIT_COMPLETED);
    } else {
        status = runs[command](&args);
    }
    args_free(&args);
    return status;
}

int main(int argc, char **argv)
{
    struct tool_error error = {{0}, {0}, {0}};
    enum tool_command command;

    if (argc < 2) {
        tool_error_set(&error, TOOL_REASON_USAGE, "see rdmig --help", "a command is missing");
        return print_usage_error(&error, false);
    }
    if (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0) {
        print_help(stdout);
        return report_end(TOOL_EXIT_COMPLETED);
    }
    if (strcmp(argv[1], "--version") == 0) {
        printf("rdmig %s (protocol version %u)\n", rdmig_version(), RDMIG_PROTOCOL_VERSION);
        return report_end(TOOL_EXIT_COMPLETED);
    }
    if (!args_find_command(argv[1], &command)) {
        tool_error_set(&error, TOOL_REASON_USAGE, "see rdmig --help", "there is no command %s",
                       argv[1]);
        return print_usage_error(&error, args_have_json(argc, argv));
    }
    return run_command(command, argc - 1, argv + 1);
}
