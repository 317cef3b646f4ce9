/* A request that decodes obeys the documented limits; a payload that becomes JSON text is strict
 * JSON on one line that comes back the same; what is refused is refused with a readable reason. */
#include "fuzz.h"
#include "proto/backend_codec.h"
#include "proto/json_doc.h"
#include "proto/json_text.h"
#include "proto/limits.h"

static void check_why(struct buffer *why)
{
    FUZZ_CHECK(why->size > 0 && why->size < 4096);
    FUZZ_CHECK(utf8_valid(buffer_span(why), NULL));
    buffer_reset(why);
}

/* JSON text -> msgpack -> JSON text. */
static void check_comes_back(struct span text)
{
    FUZZ_CHECK(!memchr(text.data, '\n', text.size));
    struct buffer why = {0}, bytes = {0}, again = {0};
    json_doc_t *doc = json_doc_parse(text, LIMIT_PAYLOAD_DEPTH, &why);
    FUZZ_CHECK(doc);
    json_to_wire(&bytes, json_doc_root(doc));

    wire_reader_t *reader = wire_reader_new();
    const char *wrong;
    const struct wire_value *value =
        wire_read(reader, buffer_span(&bytes), LIMIT_PAYLOAD_DEPTH, LIMIT_BACKEND_NODES, &wrong);
    FUZZ_CHECK(value);
    FUZZ_CHECK(json_text_from_wire(&again, value, "payload", LIMIT_PAYLOAD_DEPTH, &why));
    FUZZ_CHECK(span_equal(buffer_span(&again), text));

    wire_reader_destroy(&reader);
    json_doc_destroy(&doc);
    buffer_free(&again);
    buffer_free(&bytes);
    buffer_free(&why);
}

/* As the broker makes it; a body of ours must always give a publication of history. */
static void check_history(struct span text, struct span publisher)
{
    struct buffer body = {0}, reply = {0};
    buffer_put_text(&body, "\"data\":");
    buffer_put_span(&body, text);
    if (publisher.size > 0) {
        buffer_put_text(&body, ",\"info\":{\"client\":\"\",\"user\":");
        FUZZ_CHECK(json_text_string(&body, publisher));
        buffer_put_byte(&body, '}');
    }
    FUZZ_CHECK(backend_put_publication(&reply, 1, buffer_span(&body)));
    buffer_free(&body);
    buffer_free(&reply);
}

static void check_publish(const struct backend_publish *publish, struct buffer *why)
{
    FUZZ_CHECK(wire_type(publish->payload) == WIRE_MAP);
    FUZZ_CHECK(publish->publisher.size <= LIMIT_PUBLISHER_BYTES);
    FUZZ_CHECK(publish->key.size <= LIMIT_KEY_BYTES);
    FUZZ_CHECK(publish->target.site.size <= LIMIT_SITE_BYTES);
    FUZZ_CHECK(publish->target.app.size <= LIMIT_APP_BYTES);
    struct buffer text = {0};
    if (json_text_from_wire(&text, publish->payload, "payload", LIMIT_PAYLOAD_DEPTH, why)) {
        check_comes_back(buffer_span(&text));
        check_history(buffer_span(&text), publish->publisher);
    } else {
        check_why(why);
        FUZZ_CHECK(text.size == 0);
    }
    buffer_free(&text);
}

static void check_items(const struct backend_request *request, struct buffer *why)
{
    size_t count = wire_count(request->items);
    FUZZ_CHECK(count <= LIMIT_PUBLISH_MANY_ITEMS);
    for (size_t i = 0; i < count; i++) {
        struct backend_publish item;
        if (backend_decode_item(request, i, &item, why))
            check_why(why);
        else
            check_publish(&item, why);
    }
}

static void check_handlers(const struct backend_request *request, struct buffer *why)
{
    FUZZ_CHECK(wire_count(request->items) <= LIMIT_HANDLERS);
    for (size_t i = 0; i < wire_count(request->items); i++) {
        struct backend_target target;
        if (backend_decode_handler(request, i, &target, why))
            check_why(why);
        else
            FUZZ_CHECK(target.has_channel || !target.has_resource);
    }
}

/* No answer that is not good allows anything. */
static void check_answers(const struct backend_request *request)
{
    for (size_t i = 0; i < wire_count(request->items); i++) {
        struct backend_decision decision;
        const char *wrong = backend_decode_decision(request, i, &decision);
        FUZZ_CHECK(decision.status == STATUS_OK || decision.status == STATUS_FORBIDDEN ||
                   decision.status == STATUS_BAD_INPUT || decision.status == STATUS_UNAVAILABLE);
        FUZZ_CHECK(!wrong || decision.status == STATUS_UNAVAILABLE ||
                   decision.status == STATUS_BAD_INPUT);
        FUZZ_CHECK(decision.ttl_ms <= LIMIT_TTL_SECONDS * 1000u);
        FUZZ_CHECK(decision.message.size == 0 || utf8_valid(decision.message, NULL));
    }
}

static void check_subscriber(const struct backend_request *request)
{
    FUZZ_CHECK(request->subscriber.id.size <= LIMIT_SUBSCRIBER_BYTES);
    FUZZ_CHECK(utf8_valid(request->subscriber.id, NULL));
    FUZZ_CHECK(request->reason.size <= LIMIT_REASON_BYTES);
    FUZZ_CHECK(request->op != BACKEND_REVOKE || request->target.has_channel ||
               request->subscriber.is_given);
}

static void check_permissions(const struct backend_request *request, struct buffer *why)
{
    check_subscriber(request);
    if (request->op == BACKEND_HANDLE || request->op == BACKEND_UNHANDLE)
        check_handlers(request, why);
    else if (request->op == BACKEND_ANSWER)
        check_answers(request);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    wire_reader_t *reader = wire_reader_new();
    struct buffer why = {0};
    struct backend_request request;
    enum status status = backend_decode(reader, span_of(data, size), &request, &why);
    FUZZ_CHECK(!request.id || wire_type(request.id) == WIRE_UINT ||
               wire_text(request.id).size <= LIMIT_REQUEST_ID_BYTES);
    FUZZ_CHECK(!request.unreadable || !request.id);
    if (status)
        check_why(&why);
    else if (request.op == BACKEND_PUBLISH)
        check_publish(&request.publish, &why);
    else if (request.op == BACKEND_PUBLISH_MANY)
        check_items(&request, &why);
    else
        check_permissions(&request, &why);
    FUZZ_CHECK(status || request.op != BACKEND_NONE);
    buffer_free(&why);
    wire_reader_destroy(&reader);
    return 0;
}
