#include "bench/herd_line.h"

#include <jansson.h>
#include <string.h>

#define PUSH   "{\"push\":{\"channel\":\""
#define PUB    "\",\"pub\":{\"data\":"
#define NUMBER "{\"n\":"
#define ABOUT  ",\"a\":\""
#define OFFSET ",\"offset\":"
#define END    "}}}"

#define BYTES(text) (sizeof(text) - 1)

/* --- the short way: a publication in the form that the gateway writes --- */

static bool skip(const char **at, const char *end, const char *text, size_t size)
{
    if ((size_t)(end - *at) < size || memcmp(*at, text, size) != 0)
        return false;
    *at += size;
    return true;
}

static bool take_number(const char **at, const char *end, uint64_t *number)
{
    const char *begin = *at;
    for (*number = 0; *at < end && **at >= '0' && **at <= '9'; ++*at)
        *number = *number * 10 + (uint64_t)(**at - '0');
    return *at > begin;
}

static bool take_text(const char **at, const char *end, struct herd_text *text)
{
    const char *quote = memchr(*at, '"', (size_t)(end - *at));
    *text = (struct herd_text){*at, quote ? (size_t)(quote - *at) : 0};
    if (!quote || memchr(text->bytes, '\\', text->size))
        return false;
    *at = quote;
    return true;
}

/* What the payload says about itself, if it begins so. */
static void take_own_words(const char *at, const char *end, struct herd_publication *publication)
{
    if (!skip(&at, end, NUMBER, BYTES(NUMBER)) || !take_number(&at, end, &publication->number))
        return;
    if (skip(&at, end, ABOUT, BYTES(ABOUT)) && !take_text(&at, end, &publication->about))
        publication->about = (struct herd_text){0};
}

static bool read_short(struct herd_line *self, const char *text, size_t size)
{
    const char *at = text, *end = text + size;
    if (!skip(&at, end, PUSH, BYTES(PUSH)) || !take_text(&at, end, &self->channel) ||
        !skip(&at, end, PUB, BYTES(PUB)) || (size_t)(end - at) < BYTES(END))
        return false;
    take_own_words(at, end, &self->publication);

    const char *tail = end - BYTES(END), *digits = tail;
    while (digits > at && digits[-1] >= '0' && digits[-1] <= '9')
        digits--;
    const char *name = digits - BYTES(OFFSET);
    if (memcmp(tail, END, BYTES(END)) != 0 || name < at || memcmp(name, OFFSET, BYTES(OFFSET)) != 0)
        return false;
    self->kind = HERD_LINE_PUBLICATION;
    return take_number(&digits, end, &self->publication.offset);
}

/* --- the long way --- */

static struct herd_text text_of(const json_t *object, const char *name)
{
    const json_t *value = json_object_get(object, name);
    return (struct herd_text){json_string_value(value), json_string_length(value)};
}

static uint64_t number_of(const json_t *object, const char *name)
{
    json_int_t value = json_integer_value(json_object_get(object, name));
    return value > 0 ? (uint64_t)value : 0;
}

static struct herd_publication publication_of(const json_t *publication)
{
    const json_t *data = json_object_get(publication, "data");
    return (struct herd_publication){.offset = number_of(publication, "offset"),
                                     .number = number_of(data, "n"),
                                     .about = text_of(data, "a")};
}

static enum herd_line_kind read_push(struct herd_line *self, const json_t *push)
{
    const json_t *pub = json_object_get(push, "pub");
    const json_t *unsubscribe = json_object_get(push, "unsubscribe");
    self->channel = text_of(push, "channel");
    if (pub) {
        self->publication = publication_of(pub);
        return json_object_get(pub, "data") ? HERD_LINE_PUBLICATION : HERD_LINE_MALFORMED;
    }
    self->code = (uint32_t)number_of(unsubscribe, "code");
    return unsubscribe ? HERD_LINE_UNSUBSCRIBED : HERD_LINE_OTHER;
}

static enum herd_line_kind read_reply(struct herd_line *self, const json_t *root)
{
    const json_t *connect = json_object_get(root, "connect");
    const json_t *subscribe = json_object_get(root, "subscribe");
    const json_t *error = json_object_get(root, "error");
    self->id = (uint32_t)number_of(root, "id");
    if (self->id == 0)
        return HERD_LINE_MALFORMED;
    if (connect) {
        self->ping_seconds = (uint32_t)number_of(connect, "ping");
        return text_of(connect, "client").size > 0 ? HERD_LINE_CONNECTED : HERD_LINE_MALFORMED;
    }
    if (subscribe) {
        self->was_recovering = json_is_true(json_object_get(subscribe, "was_recovering"));
        self->recovered = json_is_true(json_object_get(subscribe, "recovered"));
        self->epoch = text_of(subscribe, "epoch");
        self->offset = number_of(subscribe, "offset");
        return HERD_LINE_SUBSCRIBED;
    }
    if (error) {
        self->code = (uint32_t)number_of(error, "code");
        self->is_temporary = json_is_true(json_object_get(error, "temporary"));
        return HERD_LINE_ERROR;
    }
    return HERD_LINE_OTHER;
}

static enum herd_line_kind read_long(struct herd_line *self, const char *text, size_t size)
{
    json_t *root = json_loadb(text, size, JSON_REJECT_DUPLICATES, NULL);
    self->document = root;
    if (!json_is_object(root))
        return HERD_LINE_MALFORMED;
    if (json_object_size(root) == 0)
        return HERD_LINE_PING;
    const json_t *push = json_object_get(root, "push");
    return push ? read_push(self, push) : read_reply(self, root);
}

void herd_line_read(struct herd_line *self, const char *text, size_t size)
{
    *self = (struct herd_line){0};
    if (read_short(self, text, size))
        return;
    *self = (struct herd_line){0};
    self->kind = read_long(self, text, size);
}

void herd_line_free(struct herd_line *self)
{
    json_decref(self->document);
    self->document = NULL;
}

bool herd_line_publication(struct herd_line *self, struct herd_publication *publication)
{
    const json_t *subscribe = json_object_get(self->document, "subscribe");
    const json_t *list = json_object_get(subscribe, "publications");
    const json_t *item = json_array_get(list, self->next);
    if (!item)
        return false;
    self->next++;
    *publication = publication_of(item);
    return true;
}
