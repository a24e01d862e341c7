#include "modules/dns/name.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

#define LABEL_MAX 63

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static bool fits(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

bool dns_name_check(char name[DNS_NAME_SIZE], const char *text, size_t len)
{
    size_t label = 0;

    if (len && text[len - 1] == '.')
        len--;
    if (!len || len >= DNS_NAME_SIZE)
        return false;
    for (size_t i = 0; i < len; i++) {
        name[i] = lower(text[i]);
        if (name[i] == '.' ? label == 0 : !fits(name[i]) || label == LABEL_MAX)
            return false;
        label = name[i] == '.' ? 0 : label + 1;
    }
    name[len] = '\0';
    return label > 0;
}

struct address {
    unsigned char bytes[16];
    bool six;
};

static bool parse(struct address *address, const char *text)
{
    address->six = false;
    if (inet_pton(AF_INET, text, address->bytes) == 1)
        return true;
    address->six = true;
    return inet_pton(AF_INET6, text, address->bytes) == 1;
}

bool dns_name_is_ip(const char *text)
{
    struct address address;

    return parse(&address, text);
}

/* "4.3.2.1." or the nibbles; the room is enough for both. */
static size_t reverse(char name[DNS_NAME_SIZE], const struct address *address)
{
    static const char digits[] = "0123456789abcdef";
    const unsigned char *b = address->bytes;
    size_t len = 0;

    if (!address->six)
        return (size_t)snprintf(name, DNS_NAME_SIZE, "%u.%u.%u.%u.", b[3], b[2], b[1], b[0]);
    for (int i = 15; i >= 0; i--) {
        name[len++] = digits[b[i] & 15];
        name[len++] = '.';
        name[len++] = digits[b[i] >> 4];
        name[len++] = '.';
    }
    return len;
}

bool dns_name_of_ip(char name[DNS_NAME_SIZE], const char *ip)
{
    struct address address;
    size_t len;

    if (!parse(&address, ip))
        return false;
    len = reverse(name, &address);
    snprintf(name + len, DNS_NAME_SIZE - len, "%s", address.six ? "ip6.arpa" : "in-addr.arpa");
    return true;
}

bool dns_name_in_zone(char name[DNS_NAME_SIZE], const char *ip, const char *zone)
{
    static const unsigned char mapped[12] = {[10] = 0xff, [11] = 0xff};
    struct address address;
    size_t len, zone_len = strlen(zone);

    if (!parse(&address, ip))
        return false;
    if (address.six && memcmp(address.bytes, mapped, sizeof mapped) == 0) {
        memmove(address.bytes, address.bytes + sizeof mapped, 4);
        address.six = false;
    }
    len = reverse(name, &address);
    if (zone_len >= DNS_NAME_SIZE - len)
        return false;
    memcpy(name + len, zone, zone_len + 1);
    return true;
}
