/*
 * prefix: IP addresses and prefixes, from text.
 *
 * An IPv4-mapped IPv6 address (::ffff:192.0.2.1) is the IPv4 address, and a prefix of such
 * addresses (::ffff:192.0.2.0/120) the IPv4 prefix: what a listener for both families calls
 * its IPv4 clients must be found in lists that have them as IPv4.
 */
#ifndef MODULES_CIDR_PREFIX_H
#define MODULES_CIDR_PREFIX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* In host order; IPv4 has its 32 bits at the top of hi, and zeroes behind them. */
struct ip {
    uint64_t hi, lo;
    bool v6;
};

struct prefix {
    struct ip first;
    unsigned len; /* bits: 0 to 32, or 0 to 128 */
};

/* Room for any text that prefix_parse writes. */
#define PREFIX_WHY_MAX 256

/* Digits and dots, or IPv6 as inet_pton takes it; no zone, no brackets, no white space. */
bool prefix_parse_ip(const char *text, size_t len, struct ip *ip);

/*
 * "10.0.0.0/8", "2001:db8::/32", or an address alone.  Bits set behind the length are refused,
 * or cleared when mask is true.  On false, why says what is wrong and what to write.
 */
bool prefix_parse(const char *text, size_t len, bool mask, struct prefix *prefix,
                  char why[PREFIX_WHY_MAX]);

#endif
