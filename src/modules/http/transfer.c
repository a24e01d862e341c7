#include "modules/http/transfer.h"

#include "base/mem.h"

/* What an unused transfer keeps of the memory its last body needed. */
#define BODY_KEEP 65536

/* Seconds after which an idle connection is not used again; many servers close after 60. */
#define IDLE_MAX 55L

/* A CURLOPT_HEADERFUNCTION. */
static size_t head_came(char *line, size_t size, size_t n, void *context)
{
    struct http_transfer *transfer = context;
    size_t len = size * n;

    if (http_head_add(&transfer->head, line, len))
        return len;
    transfer->stop = HTTP_HEAD_TOO_BIG;
    return CURL_WRITEFUNC_ERROR;
}

/* A CURLOPT_WRITEFUNCTION. */
static size_t body_came(char *at, size_t size, size_t n, void *context)
{
    struct http_transfer *transfer = context;
    size_t len = size * n;

    if (len > transfer->max_body - transfer->body.len) {
        transfer->stop = HTTP_BODY_TOO_BIG;
        return CURL_WRITEFUNC_ERROR;
    }
    http_bytes_add(&transfer->body, at, len);
    return len;
}

struct http_transfer *http_transfer_new(struct http_pool *pool)
{
    CURL *easy = curl_easy_init();
    struct http_transfer *transfer;

    if (!easy)
        return NULL;
    transfer = mem_zalloc(sizeof *transfer);
    transfer->pool = pool;
    transfer->easy = easy;
    http_transfer_reset(transfer);
    return transfer;
}

void http_transfer_free(struct http_transfer *transfer)
{
    curl_easy_cleanup(transfer->easy);
    free(transfer->head.lines.at);
    free(transfer->body.at);
    free(transfer);
}

void http_transfer_reset(struct http_transfer *transfer)
{
    CURL *easy = transfer->easy;

    curl_easy_reset(easy);
    http_head_reset(&transfer->head);
    http_bytes_reset(&transfer->body, BODY_KEEP);
    transfer->stop = HTTP_NOT_STOPPED;
    transfer->result = CURLE_OK;
    transfer->status = 0;
    transfer->error[0] = '\0';
    curl_easy_setopt(easy, CURLOPT_PRIVATE, transfer);
    curl_easy_setopt(easy, CURLOPT_ERRORBUFFER, transfer->error);
    curl_easy_setopt(easy, CURLOPT_HEADERFUNCTION, head_came);
    curl_easy_setopt(easy, CURLOPT_HEADERDATA, transfer);
    curl_easy_setopt(easy, CURLOPT_WRITEFUNCTION, body_came);
    curl_easy_setopt(easy, CURLOPT_WRITEDATA, transfer);
    curl_easy_setopt(easy, CURLOPT_NOSIGNAL, 1L);
    /* Without it, a transfer that is taken away joins its resolver thread, which blocks for
     * as long as the name server does not answer. */
    curl_easy_setopt(easy, CURLOPT_QUICK_EXIT, 1L);
    curl_easy_setopt(easy, CURLOPT_PROXY, ""); /* whatever the environment says */
    curl_easy_setopt(easy, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_REDIR_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(easy, CURLOPT_HTTP_VERSION, CURL_HTTP_VERSION_1_1);
    curl_easy_setopt(easy, CURLOPT_MAXAGE_CONN, IDLE_MAX);
    curl_easy_setopt(easy, CURLOPT_USERAGENT, "spoa-lua/" SPOA_LUA_VERSION);
    /* With a folder of certificates beside the bundle, curl would parse the bundle again for
     * every connection instead of keeping it. */
    curl_easy_setopt(easy, CURLOPT_CAPATH, NULL);
}
