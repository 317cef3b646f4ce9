#include <stdlib.h>

#include "proto/client_codec.h"
#include "proto/epoch.h"
#include "proto/json_doc.h"
#include "proto/limits.h"

/* Offsets travel as JSON numbers, which clients hold in doubles. */
#define OFFSET_MAX (INT64_C(1) << 53)

#define FLAG_REJECT_UNRECOVERED 2

struct client_reader {
    struct span rest; /* of the frame */
    size_t commands;  /* begun */
    json_doc_t *doc;  /* of the command that was handed out last */
    struct buffer scratch;
};

client_reader_t *client_reader_new(void)
{
    return calloc(1, sizeof(client_reader_t));
}

void client_reader_destroy(client_reader_t **self_p)
{
    client_reader_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    json_doc_destroy(&self->doc);
    buffer_free(&self->scratch);
    free(self);
}

void client_reader_begin(client_reader_t *self, struct span frame)
{
    json_doc_destroy(&self->doc);
    self->rest = frame;
    self->commands = 0;
}

/* --- the fields of one object --- */

/* Reading goes on after a wrong field; the first one is kept. */
struct fields {
    const struct json_value *object;
    const char *wrong; /* the field, NULL: all is well */
    const char *rule;
};

static void refuse(struct fields *self, const char *name, const char *rule)
{
    if (self->wrong)
        return;
    self->wrong = name;
    self->rule = rule;
}

static const struct json_value *present(const struct fields *self, const char *name)
{
    const struct json_value *value = json_member(self->object, name);
    return value && json_type_of(value) != JSON_TYPE_NULL ? value : NULL;
}

/* NULL when it is absent or of another type. */
static const struct json_value *field(struct fields *self, const char *name, enum json_type type,
                                      const char *rule)
{
    const struct json_value *value = present(self, name);
    if (!value || json_type_of(value) == type)
        return value;
    refuse(self, name, rule);
    return NULL;
}

static struct span read_text(struct fields *self, const char *name)
{
    const struct json_value *value = field(self, name, JSON_TYPE_STRING, "must be a string");
    return value ? json_string_of(value) : span_of(NULL, 0);
}

static bool read_bool(struct fields *self, const char *name)
{
    const struct json_value *value = field(self, name, JSON_TYPE_BOOL, "must be true or false");
    return value && json_bool_of(value);
}

static int64_t read_int(struct fields *self, const char *name, int64_t min, int64_t max)
{
    const struct json_value *value = field(self, name, JSON_TYPE_INT, "must be an integer");
    if (!value)
        return 0;
    int64_t number = json_int_of(value);
    if (number >= min && number <= max)
        return number;
    refuse(self, name, "is out of range");
    return 0;
}

static void read_position(struct fields *self, struct client_command *out)
{
    out->offset = (uint64_t)read_int(self, "offset", 0, OFFSET_MAX);
    struct span epoch = read_text(self, "epoch");
    out->has_epoch = epoch.size > 0;
    out->epoch_known = epoch_parse(epoch, &out->epoch);
}

static void read_subscribe(struct fields *self, struct client_command *out)
{
    read_position(self, out);
    out->recover = read_bool(self, "recover");
    out->positioned = read_bool(self, "positioned");
    out->recoverable = read_bool(self, "recoverable");
    out->reject_unrecovered =
        read_int(self, "flag", 0, UINT32_MAX) & FLAG_REJECT_UNRECOVERED ? true : false;
    out->unsupported_type = read_int(self, "type", INT32_MIN, INT32_MAX) != 0;
    struct span delta = read_text(self, "delta");
    out->unsupported_delta = delta.size > 0 && !span_is(delta, "fossil");
    out->has_filter = present(self, "tf") != NULL;
}

static void read_history(struct fields *self, struct client_command *out)
{
    out->limit = (int32_t)read_int(self, "limit", INT32_MIN, INT32_MAX);
    out->reverse = read_bool(self, "reverse");
    const struct json_value *since = field(self, "since", JSON_TYPE_OBJECT, "must be an object");
    if (!since)
        return;
    out->has_since = true;
    struct fields position = {.object = since};
    read_position(&position, out);
    if (position.wrong)
        refuse(self, "since", "must be {\"offset\": integer, \"epoch\": string}");
}

static bool has_channel(enum client_method method)
{
    switch (method) {
#define CLIENT_METHOD(NAME, word, channel, token)                                                  \
    case CLIENT_##NAME:                                                                            \
        return channel;
#include "proto/client_methods.def"
#undef CLIENT_METHOD
    case CLIENT_PONG:
        break;
    }
    return false;
}

static bool has_token(enum client_method method)
{
    switch (method) {
#define CLIENT_METHOD(NAME, word, channel, token)                                                  \
    case CLIENT_##NAME:                                                                            \
        return token;
#include "proto/client_methods.def"
#undef CLIENT_METHOD
    case CLIENT_PONG:
        break;
    }
    return false;
}

static void read_fields(struct fields *self, struct client_command *out)
{
    if (has_channel(out->method))
        out->channel = read_text(self, "channel");
    if (has_token(out->method))
        out->token = read_text(self, "token");
    if (out->method == CLIENT_SUBSCRIBE)
        read_subscribe(self, out);
    else if (out->method == CLIENT_HISTORY)
        read_history(self, out);
}

/* --- commands --- */

static enum client_method method_from_word(struct span word)
{
#define CLIENT_METHOD(NAME, text, channel, token)                                                  \
    if (span_is(word, text))                                                                       \
        return CLIENT_##NAME;
#include "proto/client_methods.def"
#undef CLIENT_METHOD
    return CLIENT_PONG;
}

static enum client_read malformed(const client_reader_t *self, struct buffer *why, const char *what)
{
    buffer_printf(why, "command %zu: %s", self->commands, what);
    return CLIENT_MALFORMED;
}

/* The one member that names a known method; NULL and what is wrong otherwise. */
static const struct json_value *find_method(const struct json_value *command,
                                            enum client_method *method, const char **what)
{
    const struct json_value *found = NULL;
    for (const void *at = json_first(command); at; at = json_next(command, at)) {
        enum client_method named = method_from_word(json_name_at(at));
        if (named == CLIENT_PONG)
            continue;
        if (found) {
            *what = "more than one method";
            return NULL;
        }
        *method = named;
        found = json_value_at(at);
    }
    if (!found)
        *what = "no known method";
    return found;
}

static enum client_read read_command(const client_reader_t *self, const struct json_value *command,
                                     struct client_command *out, struct buffer *why)
{
    if (!json_first(command))
        return CLIENT_COMMAND; /* a pong */

    const char *what = NULL;
    const struct json_value *object = find_method(command, &out->method, &what);
    if (!object)
        return malformed(self, why, what);

    struct fields envelope = {.object = command};
    out->id = (uint32_t)read_int(&envelope, "id", 0, UINT32_MAX);
    if (envelope.wrong || (out->id == 0 && out->method != CLIENT_SEND))
        return malformed(self, why, "id must be an integer between 1 and 4294967295");

    struct fields fields = {.object = object};
    if (json_type_of(object) != JSON_TYPE_OBJECT)
        refuse(&fields, "the method", "must be an object");
    else
        read_fields(&fields, out);
    if (!fields.wrong)
        return CLIENT_COMMAND;
    buffer_printf(why, "command %zu: %s: %s %s", self->commands, client_method_word(out->method),
                  fields.wrong, fields.rule);
    return CLIENT_MALFORMED;
}

/* Takes the next line off the frame. */
static struct span take_line(client_reader_t *self)
{
    struct span line = self->rest;
    const uint8_t *end = line.size > 0 ? memchr(line.data, '\n', line.size) : NULL;
    size_t used = line.size;
    if (end) {
        line.size = (size_t)(end - line.data);
        used = line.size + 1;
    }
    if (used > 0)
        self->rest = span_of(self->rest.data + used, self->rest.size - used);
    return line;
}

enum client_read client_reader_next(client_reader_t *self, struct client_command *out,
                                    struct buffer *why)
{
    *out = (struct client_command){0};
    json_doc_destroy(&self->doc);
    if (self->commands > 0 && self->rest.size == 0)
        return CLIENT_END;
    self->commands++;
    if (self->commands > LIMIT_CLIENT_COMMANDS)
        return malformed(self, why, "too many commands in one frame");
    struct span line = take_line(self);
    if (line.size == 0)
        return malformed(self, why, "the line is empty");

    buffer_reset(&self->scratch);
    self->doc = json_doc_parse(line, LIMIT_CLIENT_JSON_DEPTH, &self->scratch);
    if (!self->doc) {
        buffer_put_byte(&self->scratch, 0);
        return malformed(self, why,
                         self->scratch.failed ? "out of memory" : (char *)self->scratch.data);
    }
    const struct json_value *root = json_doc_root(self->doc);
    if (json_type_of(root) != JSON_TYPE_OBJECT)
        return malformed(self, why, "not a JSON object");
    return read_command(self, root, out, why);
}
