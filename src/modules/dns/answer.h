/*
 * answer: what became of a question: records, as text ready for Lua, or why there are none.
 *
 * Made of the bytes of a reply, which are the network's and may be anything.  Knows neither
 * sockets nor Lua.
 */
#ifndef MODULES_DNS_ANSWER_H
#define MODULES_DNS_ANSWER_H

#include <stddef.h>
#include <stdint.h>

/* X(identifier, number in DNS, name) */
#define DNS_TYPES(X)                                                                               \
    X(A, 1, "a")                                                                                   \
    X(AAAA, 28, "aaaa")                                                                            \
    X(PTR, 12, "ptr")                                                                              \
    X(TXT, 16, "txt")                                                                              \
    X(MX, 15, "mx")

enum dns_type {
#define X(id, number, name) DNS_##id,
    DNS_TYPES(X)
#undef X
        DNS_TYPE_COUNT
};

extern const char *const dns_type_names[DNS_TYPE_COUNT + 1]; /* NULL at the end */
int dns_type_number(enum dns_type type);

/* X(identifier, code for Lua, words) */
#define DNS_CODES(X)                                                                               \
    X(OK, "ok", "ok")                                                                              \
    X(NXDOMAIN, "nxdomain", "there is no such name")                                               \
    X(NODATA, "nodata", "the name has no such records")                                            \
    X(TIMEOUT, "timeout", "no answer in time")                                                     \
    X(SERVFAIL, "servfail", "the server could not find out (SERVFAIL)")                            \
    X(REFUSED, "refused", "the server refuses to answer us")                                       \
    X(NOTIMP, "notimp", "the server cannot answer such questions (NOTIMP)")                        \
    X(FORMERR, "formerr", "the server did not understand the question (FORMERR)")                  \
    X(UNREACHABLE, "unreachable", "no server is there, or all of them failed")                     \
    X(BADREPLY, "badreply", "the reply makes no sense")                                            \
    X(BADNAME, "badname", "that is no name that can be asked for")                                 \
    X(BUSY, "busy", "too many questions are unanswered")                                           \
    X(CLOSED, "closed", "the resolver was closed or configured anew")                              \
    X(FAILED, "failed", "the question could not be sent")

enum dns_code {
#define X(id, name, words) DNS_##id,
    DNS_CODES(X)
#undef X
};

const char *dns_code_name(enum dns_code code);
const char *dns_code_words(enum dns_code code);

/* More than this in one answer is a bad reply. */
#define DNS_RECORDS_MAX 1000
#define DNS_RECORDS_LEN (128 * 1024)

struct dns_answer {
    enum dns_code code;
    uint32_t ttl;    /* seconds it may be kept; 0: not at all */
    unsigned count;  /* records, of which there are some exactly if code is OK */
    size_t len, cap; /* bytes of them */
    uint8_t *bytes;  /* see dns_answer_next */
};

struct dns_record {
    unsigned priority; /* of MX */
    const char *text;  /* an address, a name with \. and \DDD escapes, or what a TXT says; not
                          terminated */
    size_t len;
};

/*
 * Reads a reply.  code is what its header said, OK or not.  The answer, whose memory is the
 * caller's to clear, has the records of the type that the name in question has, by way of its
 * CNAMEs; with neither records nor an error its code becomes NODATA.
 */
void dns_answer_read(struct dns_answer *answer, enum dns_code code, enum dns_type type,
                     const uint8_t *reply, size_t len);

/* The next record from *at, which begins as 0 and is moved on.  Only as often as count. */
struct dns_record dns_answer_next(const struct dns_answer *answer, size_t *at);

void dns_answer_clear(struct dns_answer *answer);

#endif
