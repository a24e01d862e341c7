/* The parts of the Lua module spoa.dns that know neither Lua nor c-ares. */
#include "modules/dns/answer.c"
#include "modules/dns/hosts.c"
#include "modules/dns/name.c"

#include "../unit.h"

/* ---- names ---- */

START_TEST(test_check)
{
    char name[DNS_NAME_SIZE], text[300];

    ck_assert(dns_name_check(name, "_A-1.Test.", 10));
    ck_assert_str_eq(name, "_a-1.test");
    ck_assert(!dns_name_check(name, "", 0));
    ck_assert(!dns_name_check(name, ".", 1));
    ck_assert(!dns_name_check(name, "a..", 3));
    ck_assert(!dns_name_check(name, ".a", 2));
    ck_assert(!dns_name_check(name, "a\0b", 3));
    ck_assert(!dns_name_check(name, "a\\b", 3));
    memset(text, 'x', sizeof text);
    ck_assert(dns_name_check(name, text, 63));
    ck_assert(!dns_name_check(name, text, 64));
    for (size_t i = 63; i < sizeof text; i += 64)
        text[i] = '.';
    ck_assert(dns_name_check(name, text, 253));
    ck_assert(!dns_name_check(name, text, 254));
}
END_TEST

START_TEST(test_reversed)
{
    char name[DNS_NAME_SIZE], zone[DNS_NAME_SIZE];

    ck_assert(dns_name_of_ip(name, "1.2.3.255"));
    ck_assert_str_eq(name, "255.3.2.1.in-addr.arpa");
    ck_assert(dns_name_of_ip(name, "2001:db8::a:1"));
    ck_assert_str_eq(name,
                     "1.0.0.0.a.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.ip6.arpa");
    ck_assert(!dns_name_of_ip(name, "1.2.3"));
    ck_assert(dns_name_in_zone(name, "::ffff:1.2.3.4", "bl.test"));
    ck_assert_str_eq(name, "4.3.2.1.bl.test");
    memset(zone, 'x', sizeof zone);
    zone[DNS_NAME_SIZE - 1 - 8] = '\0';
    ck_assert(dns_name_in_zone(name, "1.2.3.4", zone));
    ck_assert_uint_eq(strlen(name), DNS_NAME_SIZE - 1);
    ck_assert(!dns_name_in_zone(name, "1.2.3.45", zone));
    ck_assert(!dns_name_in_zone(name, "::1", zone));
}
END_TEST

/* ---- replies ---- */

/* w.test A?  w.test CNAME A\.b.test (TTL 100); a\.b.test A 192.0.2.1 (TTL 7) */
static const uint8_t reply[] = "\0\1\x81\x80\0\1\0\2\0\0\0\0"
                               "\1w\4test\0\0\1\0\1"
                               "\xc0\x0c\0\5\0\1\0\0\0\x64\0\6"
                               "\3A.b\xc0\x0e"
                               "\xc0\x24\0\1\0\1\0\0\0\7\0\4\xc0\0\2\1";

START_TEST(test_answer)
{
    struct dns_answer answer;
    struct dns_record record;
    size_t at = 0;

    dns_answer_read(&answer, DNS_OK, DNS_A, reply, sizeof reply - 1);
    ck_assert_str_eq(dns_code_name(answer.code), "ok");
    ck_assert_uint_eq(answer.count, 1);
    ck_assert_uint_eq(answer.ttl, 7);
    record = dns_answer_next(&answer, &at);
    ck_assert_uint_eq(record.len, 9);
    ck_assert(memcmp(record.text, "192.0.2.1", 9) == 0);
    dns_answer_clear(&answer);
}
END_TEST

/* Whatever a byte becomes, and wherever the reply is cut, for every type: within bounds (the
 * sanitizers say), and records exactly if the code is ok. */
START_TEST(test_mangled)
{
    for (size_t i = 0; i < sizeof reply - 1; i++) {
        for (unsigned byte = 0; byte < 256; byte += byte < 8 || byte > 0xbe ? 1 : 13) {
            for (int type = 0; type < DNS_TYPE_COUNT; type++) {
                uint8_t *bytes = malloc(sizeof reply - 1);
                struct dns_answer answer;

                memcpy(bytes, reply, sizeof reply - 1);
                bytes[i] = (uint8_t)byte;
                dns_answer_read(&answer, DNS_OK, (enum dns_type)type, bytes, sizeof reply - 1);
                ck_assert((answer.code == DNS_OK) == (answer.count > 0));
                dns_answer_clear(&answer);
                free(bytes);
            }
        }
    }
    for (size_t len = 0; len < sizeof reply - 1; len++) {
        uint8_t *bytes = malloc(len + 1);
        struct dns_answer answer;

        memcpy(bytes + 1, reply, len);
        dns_answer_read(&answer, DNS_OK, DNS_A, bytes + 1, len);
        ck_assert_int_eq(answer.code, DNS_BADREPLY);
        free(bytes);
    }
}
END_TEST

START_TEST(test_negative)
{
    static const uint8_t nothing[] = "\0\1\x81\x83\0\1\0\0\0\1\0\0"
                                     "\1w\4test\0\0\1\0\1"
                                     "\xc0\x0e\0\6\0\1\0\0\0\x64\0\x18\xc0\x0c\xc0\x0c"
                                     "\0\0\0\1\0\0\0\2\0\0\0\3\0\0\0\4\0\0\0\x09";
    struct dns_answer answer;

    dns_answer_read(&answer, DNS_NXDOMAIN, DNS_A, nothing, sizeof nothing - 1);
    ck_assert_int_eq(answer.code, DNS_NXDOMAIN);
    ck_assert_uint_eq(answer.ttl, 9);
    dns_answer_read(&answer, DNS_NXDOMAIN, DNS_A, nothing, sizeof nothing - 2);
    ck_assert_uint_eq(answer.ttl, 0);
}
END_TEST

/* ---- the hosts file ---- */

static void write_hosts(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");

    ck_assert_ptr_nonnull(file);
    ck_assert_int_ge(fputs(text, file), 0);
    ck_assert_int_eq(fclose(file), 0);
}

/* All addresses, each with a blank behind it. */
static const char *look_up(struct dns_hosts *hosts, const char *name)
{
    static char all[500];
    char address[46];
    size_t at = 0;

    all[0] = '\0';
    while (dns_hosts_next(hosts, name, &at, address, sizeof address))
        snprintf(all + strlen(all), sizeof all - strlen(all), "%s ", address);
    return all;
}

START_TEST(test_hosts)
{
    char path[] = "/tmp/test_dns_hosts_XXXXXX";
    struct dns_hosts hosts;

    close(mkstemp(path));
    write_hosts(path, "# comment a.test\n192.0.2.1\tA.test b.test # c.test\n\n   \n192.0.2.2\n"
                      "nonsense a.test\n  ::5 x.a.test a.test.x  a.test");
    dns_hosts_open(&hosts, path);
    ck_assert_str_eq(look_up(&hosts, "a.test"), "192.0.2.1 ::5 ");
    ck_assert_str_eq(look_up(&hosts, "b.test"), "192.0.2.1 ");
    ck_assert_str_eq(look_up(&hosts, "c.test"), "");
    ck_assert_str_eq(look_up(&hosts, "192.0.2.1"), "");
    ck_assert_str_eq(look_up(&hosts, "localhost"), "127.0.0.1 ::1 ");
    ck_assert_str_eq(look_up(&hosts, "notlocalhost"), "");
    write_hosts(path, "192.0.2.7 localhost b.localhost\n");
    ck_assert_str_eq(look_up(&hosts, "localhost"), "192.0.2.7 ");
    ck_assert_str_eq(look_up(&hosts, "a.test"), "");
    unlink(path);
    ck_assert_str_eq(look_up(&hosts, "b.localhost"), "127.0.0.1 ::1 ");
    dns_hosts_close(&hosts);
}
END_TEST

UNIT_MAIN("dns", test_check, test_reversed, test_answer, test_mangled, test_negative, test_hosts)
