/* SPDX-License-Identifier: BSD-2-Clause */
/* The addresses a name has, and what became of each. */
#include "link_internal.h"

#include <netdb.h>
#include <stdio.h>
#include <string.h>

struct link_address *address_current(struct link *link)
{
    return &link->addresses[link->address_index];
}

static void describe(struct link_address *address)
{
    char host[NI_MAXHOST];
    char service[NI_MAXSERV];
    const char *format = address->sockaddr.ss_family == AF_INET6 ? "[%.60s]:%.8s" : "%.60s:%.8s";

    if (getnameinfo((const struct sockaddr *)&address->sockaddr, address->length, host,
                    sizeof(host), service, sizeof(service), NI_NUMERICHOST | NI_NUMERICSERV) == 0)
        (void)snprintf(address->text, sizeof(address->text), format, host, service);
    else
        (void)snprintf(address->text, sizeof(address->text), "an address without a numeric form");
}

static void add(struct link *link, const struct addrinfo *info)
{
    struct link_address *address = &link->addresses[link->address_count];

    if (link->address_count == LINK_ADDRESS_COUNT_MAX ||
        info->ai_addrlen > sizeof(address->sockaddr) ||
        (info->ai_family != AF_INET && info->ai_family != AF_INET6))
        return;
    memset(address, 0, sizeof(*address));
    memcpy(&address->sockaddr, info->ai_addr, info->ai_addrlen);
    address->length = info->ai_addrlen;
    describe(address);
    link->address_count++;
}

static void add_family(struct link *link, const struct addrinfo *list, int family)
{
    for (const struct addrinfo *info = list; info != NULL; info = info->ai_next)
        if (info->ai_family == family)
            add(link, info);
}

int address_look_up(struct link *link, struct rdmig_error *error)
{
    bool is_listener = link->config.conn.role == RDMIG_ROLE_DESTINATION;
    bool is_any = link->host[0] == '\0';
    struct addrinfo hints = {.ai_family = AF_UNSPEC,
                             .ai_socktype = SOCK_STREAM,
                             .ai_flags = AI_NUMERICHOST | (is_listener ? AI_PASSIVE : 0)};
    struct addrinfo *list = NULL;
    char detail[sizeof(error->detail)];
    int code = EAI_NONAME;

    if (!is_any || is_listener)
        code = getaddrinfo(is_any ? NULL : link->host, link->service, &hints, &list);
    if (code == EAI_NONAME && !is_any) {
        /* Not a number: only now ask the resolver, which may have to ask a server. */
        hints.ai_flags &= ~AI_NUMERICHOST;
        code = getaddrinfo(link->host, link->service, &hints, &list);
    }
    if (code == 0 && is_any) {
        /* One IPv6 socket takes both kinds; IPv4 alone is what remains where there is no IPv6. */
        add_family(link, list, AF_INET6);
        add_family(link, list, AF_INET);
    } else if (code == 0) {
        for (const struct addrinfo *info = list; info != NULL; info = info->ai_next)
            add(link, info);
    }
    if (list != NULL)
        freeaddrinfo(list);
    if (link->address_count > 0)
        return 0;
    (void)snprintf(detail, sizeof(detail), "cannot look up %.120s:%.60s: %.80s", link->host,
                   link->service,
                   code != 0 ? gai_strerror(code) : "it has neither an IPv4 nor an IPv6 address");
    explain_error(error, RDMIG_REASON_ADDRESS, 0, detail);
    return -RDMIG_E_SYSTEM;
}

/* "10.9.0.1:4444: nobody is listening there (rejected); [fd09::1]:4444: ..." */
void address_join_causes(const struct link *link, char *text, size_t capacity_bytes)
{
    size_t used = 0;

    text[0] = '\0';
    for (uint32_t i = 0; i < link->address_count && used < capacity_bytes; i++) {
        const struct link_address *address = &link->addresses[i];
        int length;

        if (address->cause.reason == RDMIG_REASON_NONE)
            continue;
        length = snprintf(text + used, capacity_bytes - used, "%s%s: %s", used > 0 ? "; " : "",
                          address->text, address->cause.text);
        if (length < 0)
            return;
        used += (size_t)length;
    }
}
