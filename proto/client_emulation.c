#include "proto/client_codec.h"
#include "proto/limits.h"

static bool read_text(const struct json_value *object, const char *name, struct span *out,
                      struct buffer *why)
{
    const struct json_value *value = json_member(object, name);
    bool is_text = value && json_type_of(value) == JSON_TYPE_STRING;
    *out = is_text ? json_string_of(value) : span_of(NULL, 0);
    if (out->size > 0)
        return true;
    buffer_printf(why, "%s must be a string that is not empty", name);
    return false;
}

static bool read_body(const struct json_value *root, struct client_emulation *out,
                      struct buffer *why)
{
    if (json_type_of(root) != JSON_TYPE_OBJECT) {
        buffer_put_text(why, "not a JSON object");
        return false;
    }
    if (!read_text(root, "session", &out->session, why) ||
        !read_text(root, "node", &out->node, why) || !read_text(root, "data", &out->frame, why))
        return false;
    if (out->frame.size <= LIMIT_CLIENT_FRAME_BYTES)
        return true;
    buffer_printf(why, "data has more than %d bytes", LIMIT_CLIENT_FRAME_BYTES);
    return false;
}

json_doc_t *client_read_emulation(struct span body, struct client_emulation *out,
                                  struct buffer *why)
{
    *out = (struct client_emulation){0};
    json_doc_t *doc = json_doc_parse(body, LIMIT_CLIENT_JSON_DEPTH, why);
    if (doc && !read_body(json_doc_root(doc), out, why)) {
        *out = (struct client_emulation){0};
        json_doc_destroy(&doc);
    }
    return doc;
}
