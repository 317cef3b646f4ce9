/* A body of POST /emulation: what is read of it is within the documented limits, and borrows from
 * the document alone; what is refused is refused with a readable reason. A frame that was read is
 * one like any other to the reader of commands, and answers built from it are strict JSON. */
#include <string.h>

#include "fuzz.h"
#include "proto/client_codec.h"
#include "proto/json_text.h"
#include "proto/limits.h"

static void check_reason(const struct buffer *why)
{
    FUZZ_CHECK(!why->failed && why->size > 0 && utf8_valid(buffer_span(why), NULL));
}

static void check_commands(const struct client_emulation *commands)
{
    FUZZ_CHECK(commands->session.size > 0 && utf8_valid(commands->session, NULL));
    FUZZ_CHECK(commands->node.size > 0 && utf8_valid(commands->node, NULL));
    FUZZ_CHECK(commands->frame.size > 0 && utf8_valid(commands->frame, NULL));
    FUZZ_CHECK(commands->frame.size <= LIMIT_CLIENT_FRAME_BYTES);
}

static void read_frame(struct span frame)
{
    client_reader_t *reader = client_reader_new();
    struct buffer why = {0};
    struct client_command command;
    size_t commands = 0;
    enum client_read result;
    FUZZ_CHECK(reader);
    client_reader_begin(reader, frame);
    while ((result = client_reader_next(reader, &command, &why)) == CLIENT_COMMAND)
        FUZZ_CHECK(++commands <= LIMIT_CLIENT_COMMANDS);
    if (result == CLIENT_MALFORMED)
        check_reason(&why);
    buffer_free(&why);
    client_reader_destroy(&reader);
}

/* Strings of a client's, in what is sent to it. */
static void check_written(const struct client_emulation *commands)
{
    struct buffer text = {0}, why = {0};
    client_write_connected(
        &text, 1, &(struct client_connected){.session = commands->session, .node = commands->node});
    FUZZ_CHECK(!text.failed && !memchr(text.data, '\n', text.size));
    json_doc_t *doc = json_doc_parse(buffer_span(&text), LIMIT_CLIENT_JSON_DEPTH, &why);
    FUZZ_CHECK(doc);
    const struct json_value *reply = json_member(json_doc_root(doc), "connect");
    FUZZ_CHECK(span_equal(json_string_of(json_member(reply, "session")), commands->session));
    FUZZ_CHECK(span_equal(json_string_of(json_member(reply, "node")), commands->node));
    json_doc_destroy(&doc);
    buffer_reset(&text);
    client_write_disconnect(&text, (uint32_t)commands->frame.size, commands->frame);
    FUZZ_CHECK(!text.failed && !memchr(text.data, '\n', text.size));
    doc = json_doc_parse(buffer_span(&text), LIMIT_CLIENT_JSON_DEPTH, &why);
    FUZZ_CHECK(doc);
    json_doc_destroy(&doc);
    buffer_free(&text);
    buffer_free(&why);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    /* A copy of exactly its size, gone before what was read is used. */
    uint8_t *copy = malloc(size + 1);
    FUZZ_CHECK(copy);
    memcpy(copy + 1, data, size);
    struct buffer why = {0};
    struct client_emulation commands;
    json_doc_t *doc = client_read_emulation(span_of(copy + 1, size), &commands, &why);
    free(copy);
    FUZZ_CHECK((doc == NULL) == (why.size > 0));
    if (doc) {
        check_commands(&commands);
        read_frame(commands.frame);
        check_written(&commands);
    } else {
        check_reason(&why);
        FUZZ_CHECK(commands.session.size + commands.node.size + commands.frame.size == 0);
    }
    json_doc_destroy(&doc);
    buffer_free(&why);
    return 0;
}
