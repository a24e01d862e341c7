#include <arpa/inet.h>
#include <string.h>
#include <sys/un.h>

#include "modules/redis/conn.h"

void redis_conn_forget_addresses(struct redis_conn *conn)
{
    conn->address_count = 0;
}

bool redis_conn_is_ip(const char *text)
{
    struct in6_addr address;

    return inet_pton(AF_INET, text, &address) == 1 || inet_pton(AF_INET6, text, &address) == 1;
}

bool redis_conn_add_ip(struct redis_conn *conn, const char *ip, int port)
{
    unsigned i = conn->address_count;
    struct sockaddr_in *four = (struct sockaddr_in *)&conn->addresses[i % REDIS_ADDRESS_MAX];
    struct sockaddr_in6 *six = (struct sockaddr_in6 *)four;

    if (i == REDIS_ADDRESS_MAX)
        return true;
    memset(four, 0, sizeof conn->addresses[0]);
    if (inet_pton(AF_INET, ip, &four->sin_addr) == 1) {
        four->sin_family = AF_INET;
        four->sin_port = htons((uint16_t)port);
        conn->address_len[i] = sizeof *four;
    } else if (inet_pton(AF_INET6, ip, &six->sin6_addr) == 1) {
        six->sin6_family = AF_INET6;
        six->sin6_port = htons((uint16_t)port);
        conn->address_len[i] = sizeof *six;
    } else {
        return false;
    }
    conn->address_count++;
    return true;
}

bool redis_conn_add_unix(struct redis_conn *conn, const char *path)
{
    struct sockaddr_un *address = (struct sockaddr_un *)&conn->addresses[0];

    if (strlen(path) >= sizeof address->sun_path)
        return false;
    memset(address, 0, sizeof conn->addresses[0]);
    address->sun_family = AF_UNIX;
    memcpy(address->sun_path, path, strlen(path) + 1);
    conn->address_len[0] = sizeof *address;
    conn->address_count = 1;
    return true;
}
