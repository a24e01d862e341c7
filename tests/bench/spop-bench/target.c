#include "target.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "daemon/listener.h"

/* NAME:PORT, which a listener's address cannot be. */
static const char *target_resolve(struct target *target, const char *text, const char *otherwise)
{
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found;
    const char *colon = strrchr(text, ':');

    if (!colon || colon == text || strchr(text, ':') != colon)
        return otherwise;

    char *host = mem_strndup(text, (size_t)(colon - text));
    int status = getaddrinfo(host, colon + 1, &hints, &found);
    free(host);
    if (status != 0)
        return gai_strerror(status);
    memcpy(&target->address, found->ai_addr, found->ai_addrlen);
    target->len = found->ai_addrlen;
    freeaddrinfo(found);
    return NULL;
}

const char *target_parse(struct target *target, const char *text)
{
    struct listener_spec spec;
    const char *wrong = listener_parse(&spec, text);

    if (wrong)
        return target_resolve(target, text, wrong);
    target->address = spec.address;
    target->len = spec.len;
    free(spec.text);
    return NULL;
}

int target_connect(const struct target *target)
{
    int family = target->address.ss_family, one = 1;
    int fd = socket(family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);

    if (fd < 0)
        return -1;
    if (family != AF_UNIX)
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (connect(fd, (const struct sockaddr *)&target->address, target->len) == 0 ||
        errno == EINPROGRESS)
        return fd;

    int error = errno;
    close(fd);
    errno = error;
    return -1;
}
