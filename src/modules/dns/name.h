/*
 * name: domain names as text: checked, and made of IP addresses.
 */
#ifndef MODULES_DNS_NAME_H
#define MODULES_DNS_NAME_H

#include <stdbool.h>
#include <stddef.h>

/* Room for a name to ask for: 253 bytes (RFC 1035, 2.3.4) and a NUL. */
#define DNS_NAME_SIZE 254

/*
 * The name in lower case and without its last dot.  False when it cannot be asked for: labels of
 * more than 63 bytes or none, more than 253 bytes in all, or bytes other than letters, digits,
 * '-' and '_'.  (Names come from clients, and c-ares would take "\" for an escape.)
 */
bool dns_name_check(char name[DNS_NAME_SIZE], const char *text, size_t len);

/* Whether the text is an IPv4 or IPv6 address. */
bool dns_name_is_ip(const char *text);

/* The name that an address has in DNS: "4.3.2.1.in-addr.arpa".  False: it is no address. */
bool dns_name_of_ip(char name[DNS_NAME_SIZE], const char *ip);

/*
 * The name that an address has in a DNSBL's zone (RFC 5782, 2.1 and 2.4): "4.3.2.1.zone".  An
 * IPv4 address mapped into IPv6 counts as IPv4.  False: no address, or the name is too long.
 */
bool dns_name_in_zone(char name[DNS_NAME_SIZE], const char *ip, const char *zone);

#endif
