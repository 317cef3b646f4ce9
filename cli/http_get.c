#include "cli/http_get.h"

#include <curl/curl.h>
#include <stdlib.h>
#include <string.h>

struct http_get {
    CURL *curl;
    bool (*give_up)(void);
    char why[CURL_ERROR_SIZE];
};

bool http_get_check(const char *url, struct buffer *why)
{
    CURLU *parsed = curl_url();
    char *scheme = NULL, *host = NULL, *query = NULL, *fragment = NULL;
    if (!parsed || curl_url_set(parsed, CURLUPART_URL, url, 0) != CURLUE_OK ||
        curl_url_get(parsed, CURLUPART_SCHEME, &scheme, 0) != CURLUE_OK ||
        curl_url_get(parsed, CURLUPART_HOST, &host, 0) != CURLUE_OK || !host[0] ||
        (strcmp(scheme, "http") != 0 && strcmp(scheme, "https") != 0) ||
        curl_url_get(parsed, CURLUPART_QUERY, &query, 0) == CURLUE_OK ||
        curl_url_get(parsed, CURLUPART_FRAGMENT, &fragment, 0) == CURLUE_OK)
        buffer_put_text(why, "an address like http://127.0.0.1:7480 is expected");
    curl_free(scheme);
    curl_free(host);
    curl_free(query);
    curl_free(fragment);
    curl_url_cleanup(parsed);
    return why->size == 0;
}

static int on_progress(void *arg, curl_off_t a, curl_off_t b, curl_off_t c, curl_off_t d)
{
    const http_get_t *self = arg;
    (void)a, (void)b, (void)c, (void)d;
    return self->give_up();
}

static size_t on_bytes(char *data, size_t size, size_t count, void *arg)
{
    struct buffer *page = arg;
    if (size * count > HTTP_GET_BYTES - page->size)
        return 0;
    buffer_put(page, data, size * count);
    return page->failed ? 0 : size * count;
}

static bool set_up(http_get_t *self, long timeout_ms)
{
    CURL *curl = self->curl;
    return curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, self->why) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_PROXY, "") == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, timeout_ms) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_USERAGENT, "millrace/" MILLRACE_VERSION) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_bytes) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, on_progress) == CURLE_OK &&
           curl_easy_setopt(curl, CURLOPT_XFERINFODATA, self) == CURLE_OK;
}

http_get_t *http_get_new(long timeout_ms, bool (*give_up)(void))
{
    http_get_t *self = calloc(1, sizeof *self);
    if (!self)
        return NULL;
    self->give_up = give_up;
    self->curl = curl_easy_init();
    if (!self->curl || !set_up(self, timeout_ms))
        http_get_destroy(&self);
    return self;
}

void http_get_destroy(http_get_t **self_p)
{
    http_get_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    curl_easy_cleanup(self->curl);
    free(self);
}

bool http_get_page(http_get_t *self, const char *url, long *status, struct buffer *page,
                   struct buffer *why)
{
    self->why[0] = '\0';
    CURLcode code = curl_easy_setopt(self->curl, CURLOPT_URL, url);
    if (code == CURLE_OK)
        code = curl_easy_setopt(self->curl, CURLOPT_WRITEDATA, page);
    if (code == CURLE_OK)
        code = curl_easy_perform(self->curl);
    if (code == CURLE_OK)
        code = curl_easy_getinfo(self->curl, CURLINFO_RESPONSE_CODE, status);
    if (code == CURLE_OK)
        return true;
    if (code == CURLE_WRITE_ERROR)
        buffer_put_text(why, "the page is too long");
    else
        buffer_put_text(why, self->why[0] ? self->why : curl_easy_strerror(code));
    return false;
}
