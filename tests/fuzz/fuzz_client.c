/* Each command that is read obeys the documented ranges, and what we write with its strings is
 * strict JSON on one line; what is refused is refused with a readable reason. */
#include "fuzz.h"
#include "proto/client_codec.h"
#include "proto/json_doc.h"
#include "proto/json_text.h"
#include "proto/limits.h"

static void check_ranges(const struct client_command *command)
{
    bool needs_id = command->method != CLIENT_PONG && command->method != CLIENT_SEND;
    FUZZ_CHECK(!needs_id || command->id > 0);
    FUZZ_CHECK(command->method != CLIENT_PONG || command->id == 0);
    FUZZ_CHECK(command->offset <= UINT64_C(1) << 53);
    FUZZ_CHECK(!command->epoch_known || command->has_epoch);
    FUZZ_CHECK(utf8_valid(command->channel, NULL) && utf8_valid(command->token, NULL));
}

static void check_json(struct buffer *text)
{
    struct buffer why = {0};
    FUZZ_CHECK(!text->failed && !memchr(text->data, '\n', text->size));
    json_doc_t *doc = json_doc_parse(buffer_span(text), LIMIT_CLIENT_JSON_DEPTH, &why);
    FUZZ_CHECK(doc);
    json_doc_destroy(&doc);
    buffer_free(&why);
    buffer_reset(text);
}

static void check_written(const struct client_command *command)
{
    struct buffer text = {0}, head = {0};
    client_write_unsubscribe(&text, command->channel, CLIENT_UNSUBSCRIBE_INSUFFICIENT_STATE);
    check_json(&text);

    struct span body = span_text("\"data\":{}");
    client_write_push_head(&head, command->channel);
    size_t size = client_push_size(buffer_span(&head), body, command->offset);
    uint8_t *push = buffer_reserve(&text, size);
    FUZZ_CHECK(push);
    FUZZ_CHECK(client_write_push(push, buffer_span(&head), body, command->offset) == push + size);
    buffer_advance(&text, size);
    check_json(&text);

    client_write_subscribed(&text, command->id,
                            &(struct client_subscribed){.recoverable = command->recoverable,
                                                        .recovered = command->recover,
                                                        .epoch = command->epoch,
                                                        .offset = command->offset});
    check_json(&text);
    buffer_free(&head);
    buffer_free(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    client_reader_t *reader = client_reader_new();
    client_reader_begin(reader, span_of(data, size));
    struct buffer why = {0};
    struct client_command command;
    size_t commands = 0;
    enum client_read result;
    while ((result = client_reader_next(reader, &command, &why)) == CLIENT_COMMAND) {
        FUZZ_CHECK(++commands <= LIMIT_CLIENT_COMMANDS);
        check_ranges(&command);
        check_written(&command);
    }
    FUZZ_CHECK(result == CLIENT_END || (why.size > 0 && utf8_valid(buffer_span(&why), NULL)));
    FUZZ_CHECK(result != CLIENT_END || (commands > 0 && why.size == 0));
    buffer_free(&why);
    client_reader_destroy(&reader);
    return 0;
}
