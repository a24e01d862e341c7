#include "modules/dns/hosts.h"

#include <ctype.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "modules/dns/name.h"

#define BLANKS " \t\r\v\f"

void dns_hosts_open(struct dns_hosts *hosts, const char *path)
{
    *hosts = (struct dns_hosts){.path = path};
}

void dns_hosts_close(struct dns_hosts *hosts)
{
    free(hosts->text);
    hosts->text = NULL;
}

static void tidy(char *text)
{
    bool comment = false;

    for (; *text; text++) {
        if (*text == '\n')
            comment = false;
        else if (*text == '#')
            comment = true;
        *text = comment ? ' ' : (char)tolower((unsigned char)*text);
    }
}

/* Without a file there are no names in it. */
static void read_file(struct dns_hosts *hosts)
{
    int fd = open(hosts->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    ssize_t n, len = 0;

    dns_hosts_close(hosts);
    if (fd < 0)
        return;
    hosts->text = mem_alloc(DNS_HOSTS_BYTES + 1);
    while (len < DNS_HOSTS_BYTES &&
           (n = read(fd, hosts->text + len, (size_t)(DNS_HOSTS_BYTES - len))) > 0)
        len += n;
    close(fd);
    hosts->text[len] = '\0';
    hosts->text = mem_resize(hosts->text, (size_t)len + 1);
    tidy(hosts->text);
}

static void refresh(struct dns_hosts *hosts)
{
    struct stat now = {0};

    stat(hosts->path, &now);
    if (now.st_ino == hosts->known.st_ino && now.st_size == hosts->known.st_size &&
        now.st_mtim.tv_sec == hosts->known.st_mtim.tv_sec &&
        now.st_mtim.tv_nsec == hosts->known.st_mtim.tv_nsec)
        return;
    hosts->known = now;
    read_file(hosts);
}

/* Whether a line, `address name name ...`, has the name. */
static bool line_has(const char *line, size_t len, const char *name)
{
    size_t name_len = strlen(name), at = strcspn(line, BLANKS "\n");

    while (at < len) {
        size_t word;

        at += strspn(line + at, BLANKS);
        word = strcspn(line + at, BLANKS "\n");
        if (at < len && word == name_len && memcmp(line + at, name, word) == 0)
            return true;
        at += word;
        if (!word)
            break;
    }
    return false;
}

static bool is_localhost(const char *name)
{
    static const char ending[] = ".localhost";
    size_t len = strlen(name);

    return strcmp(name, ending + 1) == 0 ||
           (len >= sizeof ending && strcmp(name + len - (sizeof ending - 1), ending) == 0);
}

/* Positions behind every file are those of the built-in ones; found in the file, none of them
 * is used. */
static bool next_builtin(const char *name, size_t *at, char *address, size_t size)
{
    static const char *const addresses[] = {"127.0.0.1", "::1"};
    size_t i = *at > DNS_HOSTS_BYTES ? *at - DNS_HOSTS_BYTES - 1 : 0;

    if (!is_localhost(name) || i >= 2)
        return false;
    snprintf(address, size, "%s", addresses[i]);
    *at = DNS_HOSTS_BYTES + 2 + i;
    return true;
}

bool dns_hosts_next(struct dns_hosts *hosts, const char *name, size_t *at, char *address,
                    size_t size)
{
    const char *line;
    bool first = *at == 0;

    if (first)
        refresh(hosts);
    if (*at > DNS_HOSTS_BYTES)
        return next_builtin(name, at, address, size);
    line = hosts->text ? hosts->text + *at : "";
    while (*line) {
        size_t blanks = strspn(line, BLANKS), len = strcspn(line, "\n");
        const char *next = line + len + (line[len] == '\n');

        snprintf(address, size, "%.*s", (int)strcspn(line + blanks, BLANKS "\n"), line + blanks);
        if (blanks <= len && line_has(line + blanks, len - blanks, name) &&
            dns_name_is_ip(address)) {
            *at = (size_t)(next - hosts->text);
            return true;
        }
        line = next;
    }
    return first && next_builtin(name, at, address, size);
}
