/* SPDX-License-Identifier: BSD-2-Clause */
/* The sub-commands. Each does its work, reports, and returns the exit status. */
#ifndef RDMIG_TOOL_COMMANDS_H
#define RDMIG_TOOL_COMMANDS_H

#include "../cli/args.h"

int send_command(const struct tool_args *args);
int recv_command(const struct tool_args *args);
int capture_command(const struct tool_args *args);
int restore_command(const struct tool_args *args);
int relay_command(const struct tool_args *args);
int devices_command(const struct tool_args *args);

#endif
