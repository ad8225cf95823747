/* SPDX-License-Identifier: BSD-2-Clause */
#include "control.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#define CLIENT_TIMEOUT_S 30
#define EXIT_NORMAL      0
#define EXIT_FAILED      1
#define EXIT_USAGE       2

static bool address_make(struct sockaddr_un *address, const char *path)
{
    *address = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof(address->sun_path))
        return false;
    (void)snprintf(address->sun_path, sizeof(address->sun_path), "%s", path);
    return true;
}

/* A socket file that nobody listens on any more is in the way of a new one. */
static void stale_socket_remove(const struct sockaddr_un *address)
{
    const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return;
    if (connect(fd, (const struct sockaddr *)address, sizeof(*address)) != 0 &&
        errno == ECONNREFUSED)
        (void)unlink(address->sun_path);
    (void)close(fd);
}

int control_open(struct control *control, const char *path, struct problem *problem)
{
    struct sockaddr_un address;

    control->path = NULL;
    control->listen_fd = -1;
    for (size_t i = 0; i < CONTROL_CLIENT_COUNT; i++)
        control->client[i].fd = -1;
    if (path == NULL)
        return 0;
    if (!address_make(&address, path))
        return problem_set(problem, "give a path of at most 107 bytes",
                           "the control socket's path is too long");
    stale_socket_remove(&address);
    control->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (control->listen_fd < 0 ||
        bind(control->listen_fd, (struct sockaddr *)&address, sizeof(address)) != 0)
        return problem_set(problem, "give another path, or end the minivmm that uses this one",
                           "cannot make the control socket %s: %s", path, strerror(errno));
    control->path = path;
    if (listen(control->listen_fd, CONTROL_CLIENT_COUNT) != 0)
        return problem_set(problem, "try again", "cannot listen on the control socket %s: %s", path,
                           strerror(errno));
    return 0;
}

static void client_close(struct control_client *client)
{
    if (client->fd >= 0)
        (void)close(client->fd);
    client->fd = -1;
}

void control_close(struct control *control)
{
    if (control->listen_fd < 0)
        return;
    for (size_t i = 0; i < CONTROL_CLIENT_COUNT; i++)
        client_close(&control->client[i]);
    (void)close(control->listen_fd);
    control->listen_fd = -1;
    if (control->path != NULL)
        (void)unlink(control->path);
    control->path = NULL;
}

void control_poll_fill(const struct control *control, struct pollfd polls[CONTROL_POLL_COUNT])
{
    bool has_room = false;

    for (size_t i = 0; i < CONTROL_CLIENT_COUNT; i++) {
        const struct control_client *client = &control->client[i];
        const bool writes = client->answer_done < client->answer_length;

        has_room = has_room || client->fd < 0;
        polls[1 + i] = (struct pollfd){.fd = client->fd, .events = writes ? POLLOUT : POLLIN};
    }
    polls[0] = (struct pollfd){.fd = has_room ? control->listen_fd : -1, .events = POLLIN};
}

static void client_accept(struct control *control)
{
    for (size_t i = 0; i < CONTROL_CLIENT_COUNT; i++) {
        struct control_client *client = &control->client[i];

        if (client->fd >= 0)
            continue;
        *client = (struct control_client){
            .fd = accept4(control->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK)};
        return;
    }
}

static void client_answer_write(struct control_client *client)
{
    const ssize_t count = send(client->fd, client->answer + client->answer_done,
                               client->answer_length - client->answer_done, MSG_NOSIGNAL);

    if (count > 0)
        client->answer_done += (size_t)count;
    else if (errno != EAGAIN && errno != EINTR)
        client_close(client);
}

/* Carries out the first whole line, if there is one. The next waits until its answer is sent. */
static void client_line_serve(struct control_client *client, control_command *command,
                              void *context)
{
    char *end = memchr(client->line, '\n', client->line_length);
    char line[CONTROL_LINE_BYTES];
    size_t length;

    if (end == NULL) {
        if (client->line_length == sizeof(client->line))
            client_close(client); /* no command is that long */
        return;
    }
    length = (size_t)(end - client->line);
    memcpy(line, client->line, length);
    line[length] = '\0';
    client->line_length -= length + 1;
    memmove(client->line, end + 1, client->line_length);
    command(context, line, client->answer, sizeof(client->answer) - 1);
    client->answer_length = strlen(client->answer);
    client->answer[client->answer_length++] = '\n';
    client->answer_done = 0;
    client_answer_write(client);
}

static void client_read(struct control_client *client)
{
    const ssize_t count = recv(client->fd, client->line + client->line_length,
                               sizeof(client->line) - client->line_length, 0);

    if (count > 0)
        client->line_length += (size_t)count;
    else if (count == 0 || (errno != EAGAIN && errno != EINTR))
        client_close(client);
}

void control_serve(struct control *control, const struct pollfd polls[CONTROL_POLL_COUNT],
                   control_command *command, void *context)
{
    for (size_t i = 0; i < CONTROL_CLIENT_COUNT; i++) {
        struct control_client *client = &control->client[i];

        if (client->fd < 0 || polls[1 + i].fd != client->fd || polls[1 + i].revents == 0)
            continue;
        if (client->answer_done < client->answer_length)
            client_answer_write(client);
        else
            client_read(client);
        while (client->fd >= 0 && client->answer_done == client->answer_length) {
            const size_t before = client->line_length;

            client_line_serve(client, command, context);
            if (client->line_length == before)
                break;
        }
    }
    if ((polls[0].revents & POLLIN) != 0)
        client_accept(control);
}

/* ---------------------------------------------------------------------------- the client */

static int client_complain(const char *path, const char *what)
{
    (void)fprintf(stderr, "minivmm: %s %s: %s; is a minivmm running with --control %s?\n", what,
                  path, strerror(errno), path);
    return EXIT_FAILED;
}

/* Reads the one line of an answer and prints it. */
static int client_answer_print(int fd, const char *path)
{
    char answer[CONTROL_ANSWER_BYTES];
    size_t length = 0;

    while (length < sizeof(answer) && (length == 0 || answer[length - 1] != '\n')) {
        const ssize_t count = recv(fd, answer + length, sizeof(answer) - length, 0);

        if (count < 0 && errno == EINTR)
            continue;
        if (count <= 0) {
            if (count == 0)
                errno = ECONNRESET;
            return client_complain(path, "no answer from");
        }
        length += (size_t)count;
    }
    (void)fwrite(answer, 1, length, stdout);
    return length >= 5 && memcmp(answer, "error", 5) == 0 ? EXIT_FAILED : EXIT_NORMAL;
}

int control_client_main(int count, char **arguments)
{
    const struct timeval timeout = {.tv_sec = CLIENT_TIMEOUT_S};
    struct sockaddr_un address;
    char line[CONTROL_LINE_BYTES];
    size_t length = 0;
    int result = EXIT_FAILED;
    int fd;

    if (count < 2 || !address_make(&address, arguments[0])) {
        (void)fprintf(stderr, "minivmm: --ctl takes a socket and a command; see minivmm --help\n");
        return EXIT_USAGE;
    }
    for (int i = 1; i < count && length < sizeof(line); i++)
        length += (size_t)snprintf(line + length, sizeof(line) - length, "%s%c", arguments[i],
                                   i + 1 < count ? ' ' : '\n');
    if (length >= sizeof(line)) {
        (void)fprintf(stderr, "minivmm: the command is too long; see minivmm --help\n");
        return EXIT_USAGE;
    }
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0)
        (void)setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &timeout, sizeof(timeout));
    if (fd < 0 || connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0)
        result = client_complain(arguments[0], "cannot reach");
    else if (send(fd, line, length, MSG_NOSIGNAL) != (ssize_t)length)
        result = client_complain(arguments[0], "cannot write to");
    else
        result = client_answer_print(fd, arguments[0]);
    if (fd >= 0)
        (void)close(fd);
    return result;
}
