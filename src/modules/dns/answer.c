#include "modules/dns/answer.h"

#include <arpa/inet.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#define HEADER      12
#define TYPE_CNAME  5
#define TYPE_SOA    6
#define CLASS_IN    1
#define CNAME_MAX   16
#define POINTER_MAX 64
/* A name of 255 bytes, each written as \DDD, with dots and a NUL. */
#define TEXT_SIZE 1100
/* RFC 2308, 5: three hours are sensible.  Nobody wants to wait even that for a new name. */
#define NEGATIVE_MAX 900
#define POSITIVE_MAX 86400

const char *const dns_type_names[DNS_TYPE_COUNT + 1] = {
#define X(id, number, name) [DNS_##id] = name,
    DNS_TYPES(X)
#undef X
};

int dns_type_number(enum dns_type type)
{
    static const int numbers[] = {
#define X(id, number, name) [DNS_##id] = number,
        DNS_TYPES(X)
#undef X
    };

    return numbers[type];
}

const char *dns_code_name(enum dns_code code)
{
    static const char *const names[] = {
#define X(id, name, words) [DNS_##id] = name,
        DNS_CODES(X)
#undef X
    };

    return names[code];
}

const char *dns_code_words(enum dns_code code)
{
    static const char *const words_of[] = {
#define X(id, name, words) [DNS_##id] = words,
        DNS_CODES(X)
#undef X
    };

    return words_of[code];
}

/* ---- reading ---- */

struct reader {
    const uint8_t *bytes;
    size_t len, at;
    bool bad; /* sticky: what was read since is nonsense */
};

static bool have(struct reader *reader, size_t n)
{
    if (!reader->bad && n <= reader->len - reader->at)
        return true;
    reader->bad = true;
    return false;
}

static unsigned read_byte(struct reader *reader)
{
    return have(reader, 1) ? reader->bytes[reader->at++] : 0;
}

static unsigned read_16(struct reader *reader)
{
    unsigned high = read_byte(reader);

    return high << 8 | read_byte(reader);
}

static uint32_t read_32(struct reader *reader)
{
    uint32_t high = read_16(reader);

    return high << 16 | read_16(reader);
}

static void skip(struct reader *reader, size_t n)
{
    if (have(reader, n))
        reader->at += n;
}

/* RFC 4343, 2.1; names are compared in lower case (3). */
static char *put_char(char *out, unsigned c)
{
    if (c >= 'A' && c <= 'Z')
        c += 'a' - 'A';
    if (c > ' ' && c < 127 && c != '.' && c != '\\') {
        *out++ = (char)c;
    } else if (c == '.' || c == '\\') {
        *out++ = '\\';
        *out++ = (char)c;
    } else {
        *out++ = '\\';
        *out++ = (char)('0' + c / 100);
        *out++ = (char)('0' + c / 10 % 10);
        *out++ = (char)('0' + c % 10);
    }
    return out;
}

/* A name, which may go on elsewhere (RFC 1035, 4.1.4). */
static void read_name(struct reader *reader, char text[TEXT_SIZE])
{
    size_t total = 0, behind = 0;
    unsigned pointers = 0, n;
    char *out = text;

    while ((n = read_byte(reader)) != 0) {
        if (n >= 0xc0) {
            size_t target = (n & 0x3f) << 8 | read_byte(reader);

            if (!behind)
                behind = reader->at;
            if (++pointers > POINTER_MAX || target >= reader->len)
                reader->bad = true;
            reader->at = target;
        } else if (n > 63 || (total += n + 1) > 254 || !have(reader, n)) {
            reader->bad = true;
        } else {
            if (out != text)
                *out++ = '.';
            while (n--)
                out = put_char(out, read_byte(reader));
        }
        if (reader->bad)
            break;
    }
    *out = '\0';
    if (behind && !reader->bad)
        reader->at = behind;
}

struct head {
    char owner[TEXT_SIZE];
    unsigned type, class;
    uint32_t ttl;
    size_t end; /* where the next record begins */
};

static bool read_head(struct reader *reader, struct head *head)
{
    unsigned len;

    read_name(reader, head->owner);
    head->type = read_16(reader);
    head->class = read_16(reader);
    head->ttl = read_32(reader);
    if (head->ttl > INT32_MAX) /* RFC 2181, 8 */
        head->ttl = 0;
    len = read_16(reader);
    have(reader, len);
    head->end = reader->at + len;
    return !reader->bad;
}

/* ---- records ---- */

static uint8_t *room(struct dns_answer *answer, size_t n)
{
    if (n > answer->cap - answer->len) {
        answer->cap = answer->len + n > 2 * answer->cap ? answer->len + n : 2 * answer->cap;
        answer->bytes = mem_resize(answer->bytes, answer->cap);
    }
    return answer->bytes + answer->len;
}

/* Each is: priority, length, both of 16 bits as they are in memory, text. */
static void add(struct reader *reader, struct dns_answer *answer, unsigned priority,
                const char *text, size_t len)
{
    uint16_t head[2] = {(uint16_t)priority, (uint16_t)len};
    uint8_t *at;

    if (answer->count == DNS_RECORDS_MAX || answer->len + len > DNS_RECORDS_LEN) {
        reader->bad = true;
        return;
    }
    at = room(answer, sizeof head + len);
    memcpy(at, head, sizeof head);
    memcpy(at + sizeof head, text, len);
    answer->len += sizeof head + len;
    answer->count++;
}

static void read_address(struct reader *reader, struct dns_answer *answer, int family, size_t len)
{
    char text[INET6_ADDRSTRLEN];

    if (!have(reader, len))
        return;
    inet_ntop(family, reader->bytes + reader->at, text, sizeof text);
    add(reader, answer, 0, text, strlen(text));
    reader->at += len;
}

/* Its strings in one: that is how SPF, DKIM and others have it. */
static void read_txt(struct reader *reader, struct dns_answer *answer, size_t end)
{
    size_t len = 0;
    char *text = mem_alloc(UINT16_MAX);

    while (reader->at < end && !reader->bad) {
        unsigned n = read_byte(reader);

        if (!have(reader, n))
            break;
        memcpy(text + len, reader->bytes + reader->at, n);
        len += n;
        reader->at += n;
    }
    if (!reader->bad)
        add(reader, answer, 0, text, len);
    free(text);
}

static void read_record(struct reader *reader, struct dns_answer *answer, enum dns_type type,
                        size_t end)
{
    char text[TEXT_SIZE];
    unsigned priority = 0;

    switch (type) {
    case DNS_A:
        read_address(reader, answer, AF_INET, 4);
        break;
    case DNS_AAAA:
        read_address(reader, answer, AF_INET6, 16);
        break;
    case DNS_TXT:
        read_txt(reader, answer, end);
        break;
    case DNS_MX:
        priority = read_16(reader);
        /* fall through */
    case DNS_PTR:
        read_name(reader, text);
        add(reader, answer, priority, text, strlen(text));
        break;
    case DNS_TYPE_COUNT:
        break;
    }
    if (reader->at != end) /* too short or too long for its type */
        reader->bad = true;
}

struct chain {
    char name[TEXT_SIZE]; /* the one whose records are wanted */
    unsigned links;
    uint32_t ttl; /* the least of all that was used */
};

/* One pass over the answer section.  True when a CNAME led on to another name, whose records
 * may stand before it. */
static bool follow(struct reader *reader, struct chain *chain, struct dns_answer *answer,
                   enum dns_type type, unsigned count)
{
    bool led_on = false;
    struct head head;

    while (count-- && read_head(reader, &head)) {
        if (head.class == CLASS_IN && strcmp(head.owner, chain->name) == 0) {
            bool alias = head.type == TYPE_CNAME;

            if ((alias || (int)head.type == dns_type_number(type)) && head.ttl < chain->ttl)
                chain->ttl = head.ttl;
            if (alias) {
                read_name(reader, chain->name);
                led_on = ++chain->links <= CNAME_MAX;
            } else if ((int)head.type == dns_type_number(type)) {
                read_record(reader, answer, type, head.end);
            }
        }
        if (!reader->bad)
            reader->at = head.end;
    }
    return led_on && !reader->bad && !answer->count;
}

/* RFC 2308, 5: how long it holds that there is nothing is in the SOA. */
static uint32_t negative_ttl(struct reader *reader, unsigned count)
{
    struct head head;
    char text[TEXT_SIZE];
    uint32_t minimum;

    while (count-- && read_head(reader, &head)) {
        if (head.type == TYPE_SOA && head.class == CLASS_IN) {
            read_name(reader, text);
            read_name(reader, text);
            skip(reader, 16);
            minimum = read_32(reader);
            if (minimum > head.ttl)
                minimum = head.ttl;
            if (minimum > NEGATIVE_MAX)
                minimum = NEGATIVE_MAX;
            return reader->bad || reader->at != head.end ? 0 : minimum;
        }
        reader->at = head.end;
    }
    return 0;
}

void dns_answer_read(struct dns_answer *answer, enum dns_code code, enum dns_type type,
                     const uint8_t *reply, size_t len)
{
    struct reader reader = {.bytes = reply, .len = len};
    struct chain chain = {.ttl = POSITIVE_MAX};
    unsigned questions, answers, authorities;
    size_t first;

    *answer = (struct dns_answer){.code = code};
    if (code != DNS_OK && code != DNS_NXDOMAIN && code != DNS_NODATA)
        return;
    skip(&reader, 4);
    questions = read_16(&reader);
    answers = read_16(&reader);
    authorities = read_16(&reader);
    skip(&reader, 2);
    read_name(&reader, chain.name);
    skip(&reader, 4);
    if (questions != 1)
        reader.bad = true;
    first = reader.at;
    while (follow(&reader, &chain, answer, type, answers))
        reader.at = first;
    if (answer->count && code == DNS_OK && !reader.bad) {
        answer->ttl = chain.ttl;
        return;
    }
    if (code == DNS_OK)
        answer->code = reader.bad ? DNS_BADREPLY : DNS_NODATA;
    dns_answer_clear(answer);
    if (!reader.bad)
        answer->ttl = negative_ttl(&reader, authorities);
}

struct dns_record dns_answer_next(const struct dns_answer *answer, size_t *at)
{
    const uint8_t *bytes = answer->bytes + *at;
    uint16_t head[2];

    memcpy(head, bytes, sizeof head);
    *at += sizeof head + head[1];
    return (struct dns_record){head[0], (const char *)bytes + sizeof head, head[1]};
}

void dns_answer_clear(struct dns_answer *answer)
{
    free(answer->bytes);
    answer->bytes = NULL;
    answer->count = 0;
    answer->len = answer->cap = 0;
}
