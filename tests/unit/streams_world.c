#include "streams_world.h"

#include <string.h>

#include "asserts.h"

const struct streams_rule rule = {
    {100, 1 << 20, AGE_MS}, true, PRESENCE_OFF, false, SLOW_READER_DISCONNECT};

/* Epochs 1, 2, 3 ...; the very first number is 0, which no epoch may be. */
static uint64_t next_number(void *arg)
{
    uint64_t *numbers = arg;
    return (*numbers)++;
}

static uint64_t numbers;
struct streams_settings settings;
streams_t *streams;

void streams_setup(void)
{
    numbers = 0;
    settings = (struct streams_settings){.rule = rule,
                                         .total_bytes = 1 << 20,
                                         .headers = 1000,
                                         .header_ms = HEADER_MS,
                                         .random = next_number,
                                         .random_arg = &numbers};
    streams = streams_new(&settings, 0);
    ck_assert_ptr_nonnull(streams);
}

void streams_again(void)
{
    streams_destroy(&streams);
    streams = streams_new(&settings, 0);
    ck_assert_ptr_nonnull(streams);
}

void streams_teardown(void)
{
    streams_destroy(&streams);
    ck_assert_ptr_null(streams);
}

struct address address_of(const char *site, const char *channel, const char *resource)
{
    return (struct address){.view = VIEW_LIVE,
                            .site = span_text(site),
                            .channel = span_text(channel),
                            .resource = span_text(resource)};
}

stream_header_t *use_address(struct address address, int64_t now_ms)
{
    uint8_t key[ADDRESS_KEY_MAX];
    return streams_use(streams, span_of(key, address_encode(&address, key)), &address, now_ms);
}

stream_header_t *use(const char *channel, int64_t now_ms)
{
    return use_address(address_of("site", channel, NULL), now_ms);
}

bool exists(const char *channel)
{
    struct address address = address_of("site", channel, NULL);
    uint8_t key[ADDRESS_KEY_MAX];
    return streams_find(streams, span_of(key, address_encode(&address, key)));
}

void commit(stream_header_t *header, int64_t now_ms)
{
    payload_t *body = payload_new(10);
    memset(body->data, 0, 10);
    streams_assign(header);
    streams_commit(streams, header, &body, now_ms);
    ck_assert_ptr_null(body);
}

void tick(int64_t now_ms)
{
    streams_tick(streams, now_ms, SIZE_MAX);
}
