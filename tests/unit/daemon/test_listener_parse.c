#include "daemon/listener.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/un.h>

#include "../unit.h"

static struct listener_spec spec_of(const char *text)
{
    struct listener_spec spec;
    const char *wrong = listener_parse(&spec, text);

    ck_assert_msg(!wrong, "%s: %s", text, wrong);
    return spec;
}

START_TEST(test_parse_inet)
{
    struct listener_spec spec = spec_of("10.1.2.3:4711");
    const struct sockaddr_in *in = (const struct sockaddr_in *)&spec.address;
    const struct sockaddr_in6 *in6 = (const struct sockaddr_in6 *)&spec.address;

    ck_assert_uint_eq(in->sin_family, AF_INET);
    ck_assert_uint_eq(ntohl(in->sin_addr.s_addr), 0x0a010203);
    ck_assert_uint_eq(ntohs(in->sin_port), 4711);
    ck_assert_uint_eq(spec.len, sizeof *in);
    ck_assert_str_eq(spec.text, "10.1.2.3:4711");
    ck_assert(spec.mode == (mode_t)-1 && spec.owner == (uid_t)-1 && spec.group == (gid_t)-1);
    ck_assert(!listener_is_file(&spec));
    free(spec.text);

    for (int i = 0; i < 2; i++) {
        spec = spec_of(i ? "*:65535" : ":65535");
        ck_assert_uint_eq(in->sin_family, AF_INET);
        ck_assert_uint_eq(in->sin_addr.s_addr, htonl(INADDR_ANY));
        ck_assert_uint_eq(ntohs(in->sin_port), 65535);
        free(spec.text);
    }

    spec = spec_of("[2001:db8::1]:443");
    ck_assert_uint_eq(in6->sin6_family, AF_INET6);
    ck_assert_uint_eq(ntohs(in6->sin6_port), 443);
    ck_assert_mem_eq(&in6->sin6_addr, "\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01", 16);
    ck_assert_uint_eq(spec.len, sizeof *in6);
    ck_assert(!listener_is_file(&spec));
    free(spec.text);
}
END_TEST

START_TEST(test_parse_unix)
{
    struct listener_spec spec = spec_of("unix:/run/x.sock");
    const struct sockaddr_un *un = (const struct sockaddr_un *)&spec.address;
    char longest[200] = "unix:/";

    ck_assert_uint_eq(un->sun_family, AF_UNIX);
    ck_assert_str_eq(un->sun_path, "/run/x.sock");
    ck_assert(listener_is_file(&spec));
    free(spec.text);

    memset(longest + 6, 'x', 106);
    spec = spec_of(longest);
    ck_assert_str_eq(un->sun_path, longest + 5);
    free(spec.text);
}
END_TEST

/* HAProxy connects to abns@NAME with the whole of sun_path. */
START_TEST(test_parse_abns)
{
    struct listener_spec spec = spec_of("abns:spoa");
    const struct sockaddr_un *un = (const struct sockaddr_un *)&spec.address;
    char padded[sizeof un->sun_path] = "\0spoa", longest[200] = "abns:";

    ck_assert_uint_eq(un->sun_family, AF_UNIX);
    ck_assert_uint_eq(spec.len, sizeof *un);
    ck_assert_mem_eq(un->sun_path, padded, sizeof padded);
    ck_assert(!listener_is_file(&spec));
    free(spec.text);

    memset(longest + 5, 'x', 107);
    spec = spec_of(longest);
    ck_assert_uint_eq(spec.len, sizeof *un);
    ck_assert_mem_eq(un->sun_path + 1, longest + 5, 107);
    free(spec.text);
}
END_TEST

#define FORMS "write IP:PORT, [IP6]:PORT, *:PORT, unix:/PATH or abns:NAME"

START_TEST(test_parse_wrong)
{
    static const struct {
        const char *text, *wrong;
    } cases[] = {
        {"", FORMS},
        {"127.0.0.1", FORMS},
        {"12345", FORMS},
        {"/run/x.sock", FORMS},
        {"unix@/run/x.sock", FORMS},
        {"[::1]", FORMS},
        {"[:1", FORMS},
        {"[::1]x:1", FORMS},
        {"1.2.3.4:", "'' is not a port (0 to 65535)"},
        {"1.2.3.4:65536", "'65536' is not a port (0 to 65535)"},
        {"1.2.3.4:000001", "'000001' is not a port (0 to 65535)"},
        {"1.2.3.4:1x", "'1x' is not a port (0 to 65535)"},
        {"1.2.3.4:-1", "'-1' is not a port (0 to 65535)"},
        {"[::1]:http", "'http' is not a port (0 to 65535)"},
        {"[::x]:1", "'::x' is not an IPv6 address"},
        {"[127.0.0.1]:1", "'127.0.0.1' is not an IPv6 address"},
        {"[]:1", "'' is not an IPv6 address"},
        {"::1:80", "an IPv6 address is written in brackets: [IP6]:PORT"},
        {"localhost:80", "'localhost' is not an IPv4 address (names are not resolved)"},
        {"127.1:80", "'127.1' is not an IPv4 address (names are not resolved)"},
        {"unix:", "unix: needs an absolute path, such as unix:/run/spoa-lua/spoa.sock"},
        {"unix:x.sock", "unix: needs an absolute path, such as unix:/run/spoa-lua/spoa.sock"},
        {"abns:", "abns: needs a name, such as abns:spoa-lua"},
    };
    struct listener_spec spec;
    char text[200] = "unix:/";

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *wrong = listener_parse(&spec, cases[i].text);

        ck_assert_msg(wrong != NULL, "%s was accepted", cases[i].text);
        ck_assert_str_eq(wrong, cases[i].wrong);
        ck_assert_ptr_null(spec.text);
    }
    memset(text + 6, 'x', 107);
    ck_assert_str_eq(listener_parse(&spec, text),
                     "the path has 108 bytes, a unix socket's has 107 at the most");
    memcpy(text, "abns:x", 6);
    ck_assert_str_eq(listener_parse(&spec, text),
                     "the name has 108 bytes, an abstract socket's has 107 at the most");
    memset(text, '1', 150);
    text[150] = ':';
    ck_assert_str_eq(listener_parse(&spec, text), FORMS);
}
END_TEST

START_TEST(test_same)
{
    static const struct {
        const char *one, *other;
        bool same;
    } cases[] = {
        {"127.0.0.1:80", "127.0.0.1:80", true},
        {"*:80", ":80", true},
        {"*:80", "0.0.0.0:80", true},
        {"[::1]:80", "[0:0::1]:80", true},
        {"unix:/a", "unix:/a", true},
        {"abns:a", "abns:a", true},
        {"127.0.0.1:80", "127.0.0.1:81", false},
        {"127.0.0.1:80", "127.0.0.2:80", false},
        {"*:80", "[::]:80", false},
        {"unix:/a", "unix:/b", false},
        {"unix:/a", "abns:/a", false},
        {"127.0.0.1:0", "127.0.0.1:0", false},
        {"[::1]:0", "[::1]:0", false},
    };

    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        struct listener_spec one = spec_of(cases[i].one), other = spec_of(cases[i].other);

        ck_assert_msg(listener_same(&one, &other) == cases[i].same, "%s %s", one.text, other.text);
        ck_assert_int_eq(listener_same(&other, &one), cases[i].same);
        free(one.text);
        free(other.text);
    }
}
END_TEST

UNIT_MAIN("listener_parse", test_parse_inet, test_parse_unix, test_parse_abns, test_parse_wrong,
          test_same)
