#include "daemon/listener.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdarg.h>
#include <string.h>
#include <sys/un.h>

#include "base/mem.h"

/* Without the NUL that HAProxy, too, keeps at the end of a path. */
#define PATH_LEN_MAX (sizeof((struct sockaddr_un *)NULL)->sun_path - 1)

static char fault_text[256];

__attribute__((format(printf, 1, 2))) static const char *fault(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    vsnprintf(fault_text, sizeof fault_text, format, args);
    va_end(args);
    return fault_text;
}

static const char *parse_unix(struct listener_spec *spec, const char *path)
{
    struct sockaddr_un *un = (struct sockaddr_un *)&spec->address;
    size_t len = strlen(path);

    if (path[0] != '/')
        return "unix: needs an absolute path, such as unix:/run/spoa-lua/spoa.sock";
    if (len > PATH_LEN_MAX)
        return fault("the path has %zu bytes, a unix socket's has %zu at the most", len,
                     PATH_LEN_MAX);
    un->sun_family = AF_UNIX;
    memcpy(un->sun_path, path, len);
    spec->len = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + len + 1);
    return NULL;
}

static const char *parse_abns(struct listener_spec *spec, const char *name)
{
    struct sockaddr_un *un = (struct sockaddr_un *)&spec->address;
    size_t len = strlen(name);

    if (len == 0)
        return "abns: needs a name, such as abns:spoa-lua";
    if (len > PATH_LEN_MAX)
        return fault("the name has %zu bytes, an abstract socket's has %zu at the most", len,
                     PATH_LEN_MAX);
    un->sun_family = AF_UNIX;
    memcpy(un->sun_path + 1, name, len);
    spec->len = sizeof *un;
    return NULL;
}

static bool parse_port(const char *text, in_port_t *port)
{
    size_t len = strspn(text, "0123456789");
    unsigned number = 0;

    if (len == 0 || len > 5 || text[len])
        return false;
    for (; *text; text++)
        number = number * 10 + (unsigned)(*text - '0');
    if (number > 65535)
        return false;
    *port = htons((uint16_t)number);
    return true;
}

static const char *parse_ip6(struct listener_spec *spec, const char *host, const char *port)
{
    struct sockaddr_in6 *in6 = (struct sockaddr_in6 *)&spec->address;

    if (inet_pton(AF_INET6, host, &in6->sin6_addr) != 1)
        return fault("'%.64s' is not an IPv6 address", host);
    if (!parse_port(port, &in6->sin6_port))
        return fault("'%.16s' is not a port (0 to 65535)", port);
    in6->sin6_family = AF_INET6;
    spec->len = sizeof *in6;
    return NULL;
}

static const char *parse_ip4(struct listener_spec *spec, const char *host, const char *port)
{
    struct sockaddr_in *in = (struct sockaddr_in *)&spec->address;

    if (!*host || strcmp(host, "*") == 0)
        in->sin_addr.s_addr = htonl(INADDR_ANY);
    else if (strchr(host, ':'))
        return "an IPv6 address is written in brackets: [IP6]:PORT";
    else if (inet_pton(AF_INET, host, &in->sin_addr) != 1)
        return fault("'%.64s' is not an IPv4 address (names are not resolved)", host);
    if (!parse_port(port, &in->sin_port))
        return fault("'%.16s' is not a port (0 to 65535)", port);
    in->sin_family = AF_INET;
    spec->len = sizeof *in;
    return NULL;
}

/* HOST:PORT, where HOST may be in brackets. */
static const char *parse_inet(struct listener_spec *spec, const char *text)
{
    char host[INET6_ADDRSTRLEN + 2];
    const char *colon = strrchr(text, ':');
    size_t len = colon ? (size_t)(colon - text) : 0;

    if (!colon || (text[0] == '[' && (len < 2 || colon[-1] != ']')) || len >= sizeof host)
        return "write IP:PORT, [IP6]:PORT, *:PORT, unix:/PATH or abns:NAME";
    memcpy(host, text, len);
    host[len] = '\0';
    if (host[0] != '[')
        return parse_ip4(spec, host, colon + 1);
    host[len - 1] = '\0';
    return parse_ip6(spec, host + 1, colon + 1);
}

const char *listener_parse(struct listener_spec *spec, const char *text)
{
    const char *wrong;

    *spec = (struct listener_spec){.mode = (mode_t)-1, .owner = (uid_t)-1, .group = (gid_t)-1};
    memset(&spec->address, 0, sizeof spec->address);
    if (strncmp(text, "unix:", 5) == 0)
        wrong = parse_unix(spec, text + 5);
    else if (strncmp(text, "abns:", 5) == 0)
        wrong = parse_abns(spec, text + 5);
    else
        wrong = parse_inet(spec, text);
    if (!wrong)
        spec->text = mem_strndup(text, strlen(text));
    return wrong;
}

bool listener_is_file(const struct listener_spec *spec)
{
    const struct sockaddr_un *un = (const struct sockaddr_un *)&spec->address;

    return un->sun_family == AF_UNIX && un->sun_path[0] != '\0';
}

bool listener_same(const struct listener_spec *a, const struct listener_spec *b)
{
    const struct sockaddr_in *in = (const struct sockaddr_in *)&a->address;
    const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&a->address;

    if ((in->sin_family == AF_INET && in->sin_port == 0) ||
        (in->sin_family == AF_INET6 && in6->sin6_port == 0))
        return false;
    return a->len == b->len && memcmp(&a->address, &b->address, sizeof a->address) == 0;
}
