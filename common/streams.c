#include "common/streams.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/map.h"

struct channel {
    struct streams_rule rule;
    char label[];
};

struct stream_headers {
    stream_header_t *oldest, *newest;
};

struct streams {
    struct streams_rule rule;
    map_t *channels; /* struct channel by label */
    size_t total_bytes, max_headers;
    int64_t header_ms;
    uint64_t (*random)(void *arg);
    void *random_arg;
    streams_changed_fn *changed;
    void *changed_arg;

    map_t *headers; /* stream_header_t by canonical address */
    size_t bytes, interested;
    uint64_t evicted, headers_cut;
    struct stream_headers keeping; /* messages, by the last time that one was published or read */
    struct stream_headers vacant;  /* never published to and unused when they came here */
    stream_header_t *recent;
    deadlines_t *deadlines;
};

static struct span channel_label(const void *item)
{
    return span_text(((const struct channel *)item)->label);
}

static struct span header_key(const void *item)
{
    return stream_header_key(item);
}

static bool add_channel(map_t *channels, const struct streams_channel *channel)
{
    if (map_get(channels, span_text(channel->label)))
        return false;
    size_t size = strlen(channel->label) + 1;
    struct channel *copy = malloc(sizeof *copy + size);
    if (!copy)
        return false;
    copy->rule = channel->rule;
    memcpy(copy->label, channel->label, size);
    if (!map_put(channels, copy)) {
        free(copy);
        return false;
    }
    return true;
}

static void free_channel(void *item, void *arg)
{
    (void)arg;
    free(item);
}

static void destroy_channels(map_t **channels_p)
{
    if (*channels_p)
        map_visit(*channels_p, free_channel, NULL);
    map_destroy(channels_p);
}

/* NULL when memory is exhausted or a label occurs twice. */
static map_t *new_channels(const struct streams_settings *settings)
{
    map_t *channels = map_new(channel_label);
    for (size_t i = 0; channels && i < settings->channel_count; i++)
        if (!add_channel(channels, &settings->channels[i]))
            destroy_channels(&channels);
    return channels;
}

streams_t *streams_new(const struct streams_settings *settings, int64_t now_ms)
{
    streams_t *self = calloc(1, sizeof *self);
    if (!self)
        return NULL;
    self->rule = settings->rule;
    self->total_bytes = settings->total_bytes;
    self->max_headers = settings->headers;
    self->header_ms = settings->header_ms;
    self->random = settings->random;
    self->random_arg = settings->random_arg;
    self->changed = settings->changed;
    self->changed_arg = settings->changed_arg;
    self->channels = new_channels(settings);
    self->headers = map_new(header_key);
    self->deadlines = deadlines_new(now_ms);
    if (!self->channels || !self->headers || !self->deadlines)
        streams_destroy(&self);
    return self;
}

static void free_header(void *item, void *arg)
{
    (void)arg;
    stream_header_t *header = item;
    stream_clear(&header->stream);
    free(header);
}

void streams_destroy(streams_t **self_p)
{
    streams_t *self = *self_p;
    *self_p = NULL;
    if (!self)
        return;
    deadlines_destroy(&self->deadlines);
    if (self->headers)
        map_visit(self->headers, free_header, NULL);
    map_destroy(&self->headers);
    destroy_channels(&self->channels);
    free(self);
}

size_t streams_count(const streams_t *self)
{
    return map_count(self->headers);
}

size_t streams_bytes(const streams_t *self)
{
    return self->bytes;
}

size_t streams_interested(const streams_t *self)
{
    return self->interested;
}

uint64_t streams_evicted(const streams_t *self)
{
    return self->evicted;
}

uint64_t streams_headers_cut(const streams_t *self)
{
    return self->headers_cut;
}

/* --- which are kept longest --- */

static void unlink_header(stream_header_t *header)
{
    struct stream_headers *list = header->list;
    if (!list)
        return;
    *(header->older ? &header->older->newer : &list->oldest) = header->newer;
    *(header->newer ? &header->newer->older : &list->newest) = header->older;
    header->older = header->newer = NULL;
    header->list = NULL;
}

static void link_newest(struct stream_headers *list, stream_header_t *header)
{
    if (list->newest == header)
        return;
    unlink_header(header);
    header->older = list->newest;
    *(list->newest ? &list->newest->newer : &list->oldest) = header;
    list->newest = header;
    header->list = list;
}

void streams_read(streams_t *self, stream_header_t *header)
{
    if (header->stream.count)
        link_newest(&self->keeping, header);
}

/* --- what a header needs next --- */

/* May the header end when nobody uses it for a while? */
static bool is_idle(const stream_header_t *header)
{
    return !header->interested && header->pending == 0 && !header->recent;
}

/* Sets the one timer of a header. It may be early, which costs a look, but never late: so it need
 * not be moved for every message. */
static void schedule(streams_t *self, stream_header_t *header)
{
    int64_t at_ms;
    if (header->stream.count)
        at_ms = stream_due(&header->stream);
    else if (is_idle(header))
        at_ms = header->used_ms + self->header_ms;
    else
        return;
    if (!deadline_is_set(&header->due) || header->due.at_ms > at_ms)
        deadline_set(self->deadlines, &header->due, at_ms);
}

/* After any change to the messages, which cost `before` bytes: keeps sum and order right. */
static void account(streams_t *self, stream_header_t *header, size_t before)
{
    self->bytes += header->stream.bytes - before;
    if (header->stream.count == 0 && header->list == &self->keeping)
        unlink_header(header);
}

static void tell(streams_t *self, enum streams_change change, const stream_header_t *header)
{
    if (self->changed)
        self->changed(self->changed_arg, change, header);
}

static void trim(streams_t *self, stream_header_t *header, int64_t now_ms)
{
    size_t before = header->stream.bytes;
    stream_trim(&header->stream, now_ms);
    account(self, header, before);
    if (header->stream.bytes != before)
        tell(self, STREAMS_TRIMMED, header);
}

static bool is_vacant(const stream_header_t *header)
{
    return is_idle(header) && header->stream.offset == 0;
}

/* One that became vacant without being used, or left its list while it was not. */
static void settle(streams_t *self, stream_header_t *header)
{
    if (!header->list && is_vacant(header))
        link_newest(&self->vacant, header);
    schedule(self, header);
}

static void touch(streams_t *self, stream_header_t *header, int64_t now_ms)
{
    header->used_ms = now_ms;
    if (is_vacant(header))
        link_newest(&self->vacant, header);
    schedule(self, header);
}

/* --- headers --- */

stream_header_t *streams_find(const streams_t *self, struct span key)
{
    return map_get(self->headers, key);
}

static const struct streams_rule *find_rule(const streams_t *self, const struct address *address)
{
    if (map_count(self->channels) == 0)
        return &self->rule;
    uint8_t label[LIMIT_SITE_BYTES + 1 + LIMIT_CHANNEL_BYTES];
    size_t site = address->site.size, channel = address->channel.size;
    assert(site <= LIMIT_SITE_BYTES && channel <= LIMIT_CHANNEL_BYTES);
    memcpy(label, address->site.data, site);
    label[site] = '/';
    memcpy(label + site + 1, address->channel.data, channel);

    const struct channel *found = map_get(self->channels, span_of(label, site + 1 + channel));
    if (!found)
        found = map_get(self->channels, address->channel);
    return found ? &found->rule : &self->rule;
}

/* Never 0, which stands for "no epoch of ours". */
static uint64_t new_epoch(const streams_t *self)
{
    uint64_t epoch;
    do
        epoch = self->random(self->random_arg);
    while (epoch == 0);
    return epoch;
}

static void end_header(streams_t *self, stream_header_t *header)
{
    tell(self, STREAMS_ENDED, header);
    unlink_header(header);
    deadline_clear(&header->due);
    map_remove(self->headers, stream_header_key(header));
    free_header(header, NULL);
}

/* Room for one header more. What has come into use since it was vacant leaves the list here. */
static bool make_room(streams_t *self)
{
    while (map_count(self->headers) >= self->max_headers && self->vacant.oldest) {
        stream_header_t *header = self->vacant.oldest;
        if (!is_vacant(header)) {
            unlink_header(header);
            continue;
        }
        end_header(self, header);
        self->headers_cut++;
    }
    return map_count(self->headers) < self->max_headers;
}

static stream_header_t *make_header(streams_t *self, struct span key, const struct address *address,
                                    uint64_t epoch)
{
    assert(key.size <= ADDRESS_KEY_MAX);
    if (!make_room(self))
        return NULL;
    stream_header_t *header = calloc(1, sizeof *header + key.size);
    if (!header)
        return NULL;
    header->rule = find_rule(self, address);
    stream_init(&header->stream, epoch, &header->rule->limits);
    header->published_ms = INT64_MIN;
    header->key_size = (uint16_t)key.size;
    memcpy(header->key, key.data, key.size);
    if (!map_put(self->headers, header)) {
        free(header);
        return NULL;
    }
    return header;
}

stream_header_t *streams_use(streams_t *self, struct span key, const struct address *address,
                             int64_t now_ms)
{
    stream_header_t *header = map_get(self->headers, key);
    if (!header) {
        header = make_header(self, key, address, new_epoch(self));
        if (header)
            tell(self, STREAMS_MADE, header);
    }
    if (!header)
        return NULL;
    trim(self, header, now_ms);
    touch(self, header, now_ms);
    return header;
}

/* --- appends --- */

uint64_t streams_assign(stream_header_t *header)
{
    header->pending++;
    return header->stream.offset + header->pending;
}

static void mark_published(streams_t *self, stream_header_t *header, int64_t now_ms)
{
    header->published_ms = now_ms;
    if (header->recent)
        return;
    header->recent = true;
    header->recent_next = self->recent;
    self->recent = header;
}

/* Its oldest messages, until there is room or none is left. */
static void evict(streams_t *self, stream_header_t *header)
{
    stream_t *stream = &header->stream;
    size_t before = stream->bytes, others = self->bytes - before;
    while (stream->count && others + stream->bytes > self->total_bytes) {
        stream_drop_oldest(stream);
        self->evicted++;
    }
    account(self, header, before);
    tell(self, STREAMS_TRIMMED, header);
}

static void keep_to_total(streams_t *self)
{
    while (self->bytes > self->total_bytes && self->keeping.oldest)
        evict(self, self->keeping.oldest);
}

void streams_commit(streams_t *self, stream_header_t *header, payload_t **body_p, int64_t now_ms)
{
    assert(header->pending > 0);
    header->pending--;
    size_t before = header->stream.bytes;
    stream_append(&header->stream, body_p, now_ms);
    account(self, header, before);
    streams_read(self, header);
    mark_published(self, header, now_ms);
    touch(self, header, now_ms);
    keep_to_total(self);
}

void streams_fail(streams_t *self, stream_header_t *header, uint32_t count, int64_t now_ms)
{
    assert(header->pending >= count);
    header->pending -= count;
    touch(self, header, now_ms);
}

void streams_restart(streams_t *self, stream_header_t *header, int64_t now_ms)
{
    size_t before = header->stream.bytes;
    tell(self, STREAMS_ENDED, header);
    stream_restart(&header->stream, new_epoch(self));
    header->restored = 0;
    tell(self, STREAMS_MADE, header);
    account(self, header, before);
    header->pending = 0;
    mark_published(self, header, now_ms); /* so that the next digest tells the new epoch */
    touch(self, header, now_ms);
}

void streams_set_interest(streams_t *self, stream_header_t *header, bool interested, int64_t now_ms)
{
    if (header->interested == interested)
        return;
    header->interested = interested;
    self->interested += interested ? 1 : (size_t)-1;
    touch(self, header, now_ms);
}

/* --- other settings --- */

struct rebinding {
    streams_t *streams;
    struct streams_rule rule; /* that was streams->rule */
    int64_t now_ms;
    bool is_due; /* all of them end at other times */
    bool checks;
};

static bool limits_equal(const struct stream_limits *a, const struct stream_limits *b)
{
    return a->messages == b->messages && a->bytes == b->bytes && a->age_ms == b->age_ms;
}

/* The old rules are still there. Its timer lets it look for what is too much soon. */
static void rebind(void *item, void *arg)
{
    struct rebinding *rebinding = arg;
    streams_t *self = rebinding->streams;
    stream_header_t *header = item;
    const struct streams_rule *before =
        header->rule == &self->rule ? &rebinding->rule : header->rule;
    struct address address;
    const struct streams_rule *rule = address_decode(stream_header_key(header), &address)
                                          ? find_rule(self, &address)
                                          : &self->rule;
    rebinding->checks |= header->interested && before->check_each != rule->check_each;
    header->rule = rule;
    stream_set_limits(&header->stream, &rule->limits);
    if (rebinding->is_due || !limits_equal(&before->limits, &rule->limits))
        deadline_set(self->deadlines, &header->due, rebinding->now_ms);
}

bool streams_configure(streams_t *self, const struct streams_settings *settings, int64_t now_ms,
                       bool *checks)
{
    *checks = false;
    map_t *channels = new_channels(settings);
    if (!channels)
        return false;
    struct rebinding rebinding = {.streams = self,
                                  .rule = self->rule,
                                  .now_ms = now_ms,
                                  .is_due = settings->header_ms != self->header_ms};
    map_t *before = self->channels;
    self->rule = settings->rule;
    self->channels = channels;
    self->total_bytes = settings->total_bytes;
    self->max_headers = settings->headers;
    self->header_ms = settings->header_ms;
    map_visit(self->headers, rebind, &rebinding);
    *checks = rebinding.checks;
    destroy_channels(&before);
    keep_to_total(self);
    return true;
}

/* --- restoring --- */

stream_header_t *streams_restore(streams_t *self, struct span key, const struct address *address,
                                 uint64_t epoch, int64_t now_ms)
{
    if (map_get(self->headers, key))
        return NULL;
    stream_header_t *header = make_header(self, key, address, epoch);
    if (header)
        header->used_ms = now_ms;
    return header;
}

void streams_restore_message(streams_t *self, stream_header_t *header, uint64_t offset,
                             payload_t **body_p, int64_t at_ms)
{
    stream_t *stream = &header->stream;
    size_t before = stream->bytes;
    if (offset != stream->offset + 1) { /* a hole: nobody can go on from before it */
        stream_clear(stream);
        stream->offset = offset - 1;
    }
    stream_append(stream, body_p, at_ms);
    account(self, header, before);
    streams_read(self, header);
    keep_to_total(self);
}

void streams_restored(streams_t *self, stream_header_t *header, uint64_t offset, int64_t now_ms)
{
    size_t before = header->stream.bytes;
    if (header->stream.offset != offset)
        stream_clear(&header->stream);
    header->stream.offset = header->restored = offset;
    account(self, header, before);
    touch(self, header, now_ms);
}

/* --- time --- */

void streams_visit_recent(streams_t *self, int64_t since_ms, streams_visit_fn *visit, void *arg)
{
    stream_header_t **at = &self->recent;
    while (*at) {
        stream_header_t *header = *at;
        if (header->published_ms >= since_ms) {
            visit(header, arg);
            at = &header->recent_next;
            continue;
        }
        *at = header->recent_next;
        header->recent = false;
        header->recent_next = NULL;
        settle(self, header);
    }
}

static void run_due(streams_t *self, stream_header_t *header, int64_t now_ms)
{
    trim(self, header, now_ms);
    if (header->stream.count == 0 && is_idle(header) &&
        header->used_ms + self->header_ms <= now_ms) {
        end_header(self, header);
        return;
    }
    settle(self, header);
}

void streams_tick(streams_t *self, int64_t now_ms, size_t budget)
{
    while (budget-- > 0) {
        struct deadline *timer = deadlines_next(self->deadlines, now_ms);
        if (!timer)
            return;
        char *header = (char *)timer - offsetof(stream_header_t, due);
        run_due(self, (stream_header_t *)(void *)header, now_ms);
    }
}
