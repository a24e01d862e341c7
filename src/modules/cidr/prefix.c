#include "modules/cidr/prefix.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

/* Text longer than any prefix is cut in messages. */
#define SHOWN 60

static bool parse_ipv4(const char *at, const char *end, uint32_t *address)
{
    *address = 0;
    for (int i = 0; i < 4; i++) {
        const char *first = at;
        unsigned octet = 0;

        while (at < end && at - first < 3 && *at >= '0' && *at <= '9')
            octet = octet * 10 + (unsigned)(*at++ - '0');
        /* A leading zero is octal to some and decimal to others: inet_pton refuses it too. */
        if (at == first || octet > 255 || (*first == '0' && at - first > 1))
            return false;
        *address = *address << 8 | octet;
        if (i < 3 && (at == end || *at++ != '.'))
            return false;
    }
    return at == end;
}

static uint64_t read_half(const uint8_t *bytes)
{
    uint64_t half = 0;

    for (int i = 0; i < 8; i++)
        half = half << 8 | bytes[i];
    return half;
}

static bool parse_ipv6(const char *text, size_t len, struct ip *ip)
{
    char copy[INET6_ADDRSTRLEN];
    uint8_t bytes[16];

    if (len >= sizeof copy || memchr(text, '\0', len))
        return false;
    memcpy(copy, text, len);
    copy[len] = '\0';
    if (inet_pton(AF_INET6, copy, bytes) != 1)
        return false;
    *ip = (struct ip){read_half(bytes), read_half(bytes + 8), true};
    return true;
}

static bool is_mapped(const struct ip *ip)
{
    return ip->v6 && ip->hi == 0 && ip->lo >> 32 == 0xffff;
}

static void unmap(struct ip *ip)
{
    *ip = (struct ip){ip->lo << 32, 0, false};
}

/* As it is written: mapped addresses stay IPv6. */
static bool parse_written(const char *text, size_t len, struct ip *ip)
{
    uint32_t v4;

    if (parse_ipv4(text, text + len, &v4)) {
        *ip = (struct ip){(uint64_t)v4 << 32, 0, false};
        return true;
    }
    return parse_ipv6(text, len, ip);
}

bool prefix_parse_ip(const char *text, size_t len, struct ip *ip)
{
    if (!parse_written(text, len, ip))
        return false;
    if (is_mapped(ip))
        unmap(ip);
    return true;
}

/* Clears what is behind the first len bits. */
static void mask_ip(struct ip *ip, unsigned len)
{
    if (len <= 64) {
        ip->hi = len == 0 ? 0 : ip->hi & ~(uint64_t)0 << (64 - len);
        ip->lo = 0;
    } else {
        ip->lo &= ~(uint64_t)0 << (128 - len);
    }
}

static void write_half(uint8_t *bytes, uint64_t half)
{
    for (int i = 8; i-- > 0; half >>= 8)
        bytes[i] = (uint8_t)half;
}

static const char *format_ip(const struct ip *ip, char text[INET6_ADDRSTRLEN])
{
    uint8_t bytes[16];

    write_half(bytes, ip->hi);
    write_half(bytes + 8, ip->lo);
    return inet_ntop(ip->v6 ? AF_INET6 : AF_INET, bytes, text, INET6_ADDRSTRLEN);
}

/* Digits, at most three of them, up to max. */
static bool parse_len(const char *at, const char *end, unsigned max, unsigned *len)
{
    *len = 0;
    if (at == end || end - at > 3 || (*at == '0' && end - at > 1))
        return false;
    for (; at < end; at++) {
        if (*at < '0' || *at > '9')
            return false;
        *len = *len * 10 + (unsigned)(*at - '0');
    }
    return *len <= max;
}

static bool refuse(char why[PREFIX_WHY_MAX], const char *text, size_t len, const char *problem)
{
    snprintf(why, PREFIX_WHY_MAX, "'%.*s'%s %s", (int)(len < SHOWN ? len : SHOWN), text,
             len < SHOWN ? "" : "...", problem);
    return false;
}

bool prefix_parse(const char *text, size_t len, bool mask, struct prefix *prefix,
                  char why[PREFIX_WHY_MAX])
{
    const char *slash = memchr(text, '/', len), *end = text + len;
    struct ip *ip = &prefix->first, masked;
    char shown[INET6_ADDRSTRLEN], problem[128];
    unsigned max;

    if (!parse_written(text, slash ? (size_t)(slash - text) : len, ip))
        return refuse(why, text, len,
                      "is no prefix: write 192.0.2.0/24, 2001:db8::/32 or an address");
    prefix->len = max = ip->v6 ? 128 : 32;
    if (slash && !parse_len(slash + 1, end, max, &prefix->len))
        return refuse(why, text, len,
                      ip->v6 ? "is no prefix: an IPv6 prefix has a length of 0 to 128"
                             : "is no prefix: an IPv4 prefix has a length of 0 to 32");
    masked = *ip;
    mask_ip(&masked, prefix->len);
    if (!mask && (masked.hi != ip->hi || masked.lo != ip->lo)) {
        snprintf(problem, sizeof problem,
                 "has bits set behind its length: write %s/%u, or say mask = true",
                 format_ip(&masked, shown), prefix->len);
        return refuse(why, text, len, problem);
    }
    *ip = masked;
    if (is_mapped(ip) && prefix->len >= 96) {
        unmap(ip);
        prefix->len -= 96;
    }
    return true;
}
