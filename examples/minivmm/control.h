/* SPDX-License-Identifier: BSD-2-Clause */
/* The control socket: lines in, one line back for each. And the client for scripts. */
#ifndef MINIVMM_CONTROL_H
#define MINIVMM_CONTROL_H

#include "machine.h"

#include <poll.h>

#define CONTROL_CLIENT_COUNT 8
#define CONTROL_LINE_BYTES   512
#define CONTROL_ANSWER_BYTES 4096
#define CONTROL_POLL_COUNT   (1 + CONTROL_CLIENT_COUNT)

struct control_client {
    int fd; /* -1: free */
    char line[CONTROL_LINE_BYTES];
    size_t line_length;
    char answer[CONTROL_ANSWER_BYTES];
    size_t answer_length;
    size_t answer_done;
};

struct control {
    const char *path;
    int listen_fd; /* -1: there is no control socket */
    struct control_client client[CONTROL_CLIENT_COUNT];
};

/* Carries one command out and writes the answer, without a line feed. */
typedef void control_command(void *context, char *command, char *answer, size_t capacity_bytes);

/* path may be NULL: no control socket. Returns 0, or -1 with the problem filled. */
int control_open(struct control *control, const char *path, struct problem *problem);
void control_close(struct control *control);
/* Fills exactly CONTROL_POLL_COUNT entries; control_serve takes them back after poll. */
void control_poll_fill(const struct control *control, struct pollfd polls[CONTROL_POLL_COUNT]);
void control_serve(struct control *control, const struct pollfd polls[CONTROL_POLL_COUNT],
                   control_command *command, void *context);

/* minivmm --ctl SOCKET WORD...: the exit status. */
int control_client_main(int count, char **arguments);

#endif
