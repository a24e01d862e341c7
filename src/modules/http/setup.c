#include "modules/http/setup.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#define URL_MOST 65536

/* scheme://host:port of the URL, without a user and password. */
static void set_where(struct http_transfer *transfer, const char *url)
{
    const char *host = strstr(url, "://") + 3;
    size_t scheme = (size_t)(host - url), len = strcspn(host, "/?#");

    for (size_t i = len; i-- > 0;) {
        if (host[i] == '@') {
            host += i + 1;
            len -= i + 1;
            break;
        }
    }
    if (len > sizeof transfer->where - scheme - 1)
        len = sizeof transfer->where - scheme - 1;
    memcpy(transfer->where, url, scheme);
    memcpy(transfer->where + scheme, host, len);
    transfer->where[scheme + len] = '\0';
}

static bool url_usable(const struct http_request *request, struct http_transfer *transfer)
{
    const char *scheme_end = strstr(request->url, "://");

    transfer->where[0] = '\0';
    if (strncasecmp(request->url, "http://", 7) != 0 &&
        strncasecmp(request->url, "https://", 8) != 0) {
        transfer->result = scheme_end ? CURLE_UNSUPPORTED_PROTOCOL : CURLE_URL_MALFORMAT;
        snprintf(transfer->error, sizeof transfer->error,
                 "the URL must begin with http:// or https://");
        return false;
    }
    if (request->url_len > URL_MOST) {
        transfer->result = CURLE_URL_MALFORMAT;
        snprintf(transfer->error, sizeof transfer->error, "the URL is longer than 65536 bytes");
        return false;
    }
    set_where(transfer, request->url);
    return true;
}

static long milliseconds(double seconds)
{
    return (long)(seconds * 1000 + 0.999);
}

/* The first refusal is what is told. */
static void note(struct http_transfer *transfer, CURLcode code)
{
    if (transfer->result == CURLE_OK)
        transfer->result = code;
}

static void set_text(struct http_transfer *transfer, CURLoption option, const char *text)
{
    if (text)
        note(transfer, curl_easy_setopt(transfer->easy, option, text));
}

/* Which option makes curl send which method, so that it also knows whether a body comes back,
 * and how a redirect changes it. */
static void set_method(const struct http_request *request, struct http_transfer *transfer)
{
    CURL *easy = transfer->easy;

    if (request->body) {
        curl_easy_setopt(easy, CURLOPT_POST, 1L);
        curl_easy_setopt(easy, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body_len);
        curl_easy_setopt(easy, CURLOPT_POSTFIELDS, request->body);
    } else if (strcmp(request->method, "HEAD") == 0) {
        curl_easy_setopt(easy, CURLOPT_NOBODY, 1L);
        return;
    }
    if (strcmp(request->method, request->body ? "POST" : "GET") != 0)
        set_text(transfer, CURLOPT_CUSTOMREQUEST, request->method);
}

static void set_tls(const struct http_request *request, struct http_transfer *transfer)
{
    set_text(transfer, CURLOPT_CAINFO, request->ca);
    set_text(transfer, CURLOPT_SSLCERT, request->cert);
    set_text(transfer, CURLOPT_SSLKEY, request->key);
    if (request->verify)
        return;
    curl_easy_setopt(transfer->easy, CURLOPT_SSL_VERIFYPEER, 0L);
    curl_easy_setopt(transfer->easy, CURLOPT_SSL_VERIFYHOST, 0L);
}

bool http_setup(const struct http_request *request, struct http_transfer *transfer)
{
    CURL *easy = transfer->easy;

    if (!url_usable(request, transfer))
        return false;
    transfer->timeout = request->timeout;
    transfer->max_body = request->max_body;
    set_text(transfer, CURLOPT_URL, request->url);
    set_method(request, transfer);
    set_tls(request, transfer);
    set_text(transfer, CURLOPT_UNIX_SOCKET_PATH, request->unix_path);
    curl_easy_setopt(easy, CURLOPT_CONNECTTIMEOUT_MS, milliseconds(request->connect_timeout));
    curl_easy_setopt(easy, CURLOPT_HTTPHEADER, request->headers);
    curl_easy_setopt(easy, CURLOPT_CONNECT_TO, request->routes);
    if (request->decode)
        set_text(transfer, CURLOPT_ACCEPT_ENCODING, "");
    if (request->follow) {
        curl_easy_setopt(easy, CURLOPT_FOLLOWLOCATION, 1L);
        curl_easy_setopt(easy, CURLOPT_MAXREDIRS, request->follow);
    }
    return transfer->result == CURLE_OK;
}
