#include "gateway/http_headers.h"

static struct span take(struct http_headers *self, int size)
{
    char *start = self->text + self->size;
    if (size <= 0)
        return span_of(NULL, 0);
    self->size += (size_t)size + 1;
    return span_of(start, (size_t)size);
}

static int room(const struct http_headers *self)
{
    return (int)(sizeof self->text - self->size);
}

struct span http_headers_copy(struct http_headers *self, struct lws *wsi,
                              enum lws_token_indexes name)
{
    return take(self, lws_hdr_copy(wsi, self->text + self->size, room(self), name));
}

struct span http_headers_custom(struct http_headers *self, struct lws *wsi, const char *name)
{
    return take(self, lws_hdr_custom_copy(wsi, self->text + self->size, room(self), name,
                                          (int)strlen(name)));
}

struct span http_headers_query(struct http_headers *self, struct lws *wsi)
{
    char *start = self->text + self->size;
    size_t first = self->size;
    for (int i = 0;; i++) {
        int size = lws_hdr_copy_fragment(wsi, self->text + self->size, room(self),
                                         WSI_TOKEN_HTTP_URI_ARGS, i);
        if (size < 0)
            break;
        self->size += (size_t)size;
        self->text[self->size++] = '&';
    }
    return span_of(start, self->size - first);
}

struct span http_headers_argument(struct http_headers *self, struct lws *wsi, const char *name)
{
    char *start = self->text + self->size;
    size_t name_size = strlen(name);
    for (int i = 0;; i++) {
        int size = lws_hdr_copy_fragment(wsi, start, room(self), WSI_TOKEN_HTTP_URI_ARGS, i);
        if (size < 0)
            return span_of(NULL, 0);
        if ((size_t)size < name_size || memcmp(start, name, name_size) != 0)
            continue;
        struct span argument = take(self, size);
        return span_of(argument.data + name_size, argument.size - name_size);
    }
}

enum http_method http_headers_path(struct http_headers *self, struct lws *wsi, struct span *path)
{
    static const struct {
        enum lws_token_indexes uri;
        enum http_method method;
    } methods[] = {{WSI_TOKEN_GET_URI, HTTP_GET},     {WSI_TOKEN_HEAD_URI, HTTP_HEAD},
                   {WSI_TOKEN_POST_URI, HTTP_POST},   {WSI_TOKEN_OPTIONS_URI, HTTP_OPTIONS},
                   {WSI_TOKEN_PUT_URI, HTTP_OTHER},   {WSI_TOKEN_PATCH_URI, HTTP_OTHER},
                   {WSI_TOKEN_DELETE_URI, HTTP_OTHER}};
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++) {
        if (lws_hdr_total_length(wsi, methods[i].uri) == 0)
            continue;
        *path = http_headers_copy(self, wsi, methods[i].uri);
        return methods[i].method;
    }
    *path = span_of(NULL, 0);
    return HTTP_OTHER;
}

bool http_headers_are_whole(struct lws *wsi)
{
    return lws_hdr_total_length(wsi, WSI_TOKEN_HTTP) > 0;
}
