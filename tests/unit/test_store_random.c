#include <stdio.h>
#include <string.h>

#include "common/streams.h"
#include "records_world.h"
#include "store_world.h"
#include "unit.h"

/* Random publications, failures, ends and restarts: what the records give back is what the streams
 * were. Where notes are lost, it is at least nothing else. */

#define NAMES   5
#define STEPS   1500
#define AT_ONCE 12

static uint64_t state, epochs;
static int64_t now_ms;
static bool loses_notes;

static struct streams_settings settings;
static streams_t *streams;
/* By name: an outcome was unknown, and nothing was committed since. */
static bool is_void[NAMES];

static size_t restarts, compared, compared_messages, failures, notes_written;

static uint32_t chance(uint32_t limit)
{
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(state >> 33) % limit;
}

/* --- notes --- */

static struct store_note notes[4096];
static uint8_t note_names[4096][ADDRESS_KEY_MAX];
static size_t note_count;

static void on_change(void *arg, enum streams_change change, const stream_header_t *header)
{
    (void)arg;
    ck_assert_uint_lt(note_count, 4096);
    memcpy(note_names[note_count], header->key, header->key_size);
    struct store_note *note = &notes[note_count];
    note->kind = change == STREAMS_MADE      ? STORE_MADE
                 : change == STREAMS_TRIMMED ? STORE_TRIMMED
                                             : STORE_ENDED;
    note->stream = span_of(note_names[note_count++], header->key_size);
    note->epoch = header->stream.epoch;
    note->first = stream_first(&header->stream);
}

static void write_notes(void)
{
    begin();
    for (size_t i = 0; i < note_count; i++)
        ck_assert(store_records_note(records, &notes[i]));
    notes_written += note_count;
    note_count = 0;
    if (loses_notes && chance(4) == 0)
        store_records_rollback(records);
    else
        commit();
}

/* --- publications --- */

static struct address address_of(size_t name)
{
    static char channel[NAMES][2];
    channel[name][0] = (char)('a' + name);
    return (struct address){
        .view = VIEW_LIVE, .site = span_text("site"), .channel = span_text(channel[name])};
}

static struct span key_of(size_t name)
{
    static uint8_t key[ADDRESS_KEY_MAX];
    struct address address = address_of(name);
    return span_of(key, address_encode(&address, key));
}

static stream_header_t *use(size_t name)
{
    struct address address = address_of(name);
    return streams_use(streams, key_of(name), &address, now_ms);
}

static struct publication {
    size_t name;
    stream_header_t *header;
    uint64_t offset;
    payload_t *body;
} batch[AT_ONCE];
static size_t batch_count;

static payload_t *new_body(const stream_header_t *header, uint64_t offset)
{
    char text[400];
    size_t size = 40 + chance(300);
    memset(text, 'x', sizeof text);
    snprintf(text, sizeof text, "%llu:%llu", (unsigned long long)header->stream.epoch,
             (unsigned long long)offset);
    payload_t *body = payload_new(size);
    memcpy(body->data, text, size);
    return body;
}

static void publish(void)
{
    struct publication *next = &batch[batch_count];
    next->name = chance(NAMES);
    next->header = use(next->name);
    if (!next->header)
        return;
    next->offset = streams_assign(next->header);
    next->body = new_body(next->header, next->offset);
    batch_count++;
}

static bool write_append(const stream_header_t *header, uint64_t offset, struct span body)
{
    bool follows;
    ck_assert(store_records_append(records,
                                   &(struct store_append){.stream = stream_header_key(header),
                                                          .epoch = header->stream.epoch,
                                                          .offset = offset,
                                                          .first = stream_first(&header->stream),
                                                          .at_ms = now_ms,
                                                          .body = body},
                                   &follows));
    return follows;
}

static void write_batch(void)
{
    begin();
    for (size_t i = 0; i < batch_count; i++)
        ck_assert(write_append(batch[i].header, batch[i].offset, payload_span(batch[i].body)));
}

static void batch_committed(void)
{
    for (size_t i = 0; i < batch_count; i++) {
        is_void[batch[i].name] = false;
        streams_commit(streams, batch[i].header, &batch[i].body, now_ms);
    }
}

/* What was on its way behind it does not follow. */
static void batch_failed(void)
{
    begin();
    for (size_t i = 0; i < batch_count; i++)
        ck_assert(!write_append(batch[i].header, batch[i].offset + batch_count, (struct span){0}));
    commit();
    for (size_t i = 0; i < batch_count; i++) {
        streams_fail(streams, batch[i].header, batch[i].header->pending, now_ms);
        payload_release(&batch[i].body);
    }
    failures++;
}

static void batch_unknown(void)
{
    for (size_t i = 0; i < batch_count; i++) {
        if (batch[i].header->pending)
            streams_restart(streams, batch[i].header, now_ms);
        is_void[batch[i].name] = true;
        payload_release(&batch[i].body);
    }
    failures++;
}

static void publish_some(void)
{
    batch_count = 0;
    for (uint32_t count = 1 + chance(AT_ONCE); count > 0; count--)
        publish();
    if (chance(2)) /* or they come later */
        write_notes();
    write_batch();
    uint32_t outcome = chance(12);
    if (outcome > 1)
        commit();
    else if (outcome == 1 && chance(2))
        commit(); /* it was, but nobody knows */
    else
        store_records_rollback(records);
    if (outcome > 1)
        batch_committed();
    else if (outcome == 1)
        batch_unknown();
    else
        batch_failed();
}

/* --- restarts --- */

static struct restoring {
    streams_t *to;
    stream_header_t *header;
    uint64_t offset;
} restoring;

static void end_stream(void)
{
    if (restoring.header)
        streams_restored(restoring.to, restoring.header, restoring.offset, now_ms);
    restoring.header = NULL;
}

static bool on_stream(void *arg, struct span key, uint64_t epoch, uint64_t offset)
{
    (void)arg;
    struct address address;
    end_stream();
    ck_assert(address_decode(key, &address));
    restoring.header = streams_restore(restoring.to, key, &address, epoch, now_ms);
    ck_assert_ptr_nonnull(restoring.header);
    restoring.offset = offset;
    return true;
}

static bool on_message(void *arg, uint64_t offset, int64_t at_ms, struct span bytes)
{
    (void)arg;
    ck_assert_uint_le(offset, restoring.offset);
    payload_t *body = payload_new(bytes.size);
    memcpy(body->data, bytes.data, bytes.size);
    streams_restore_message(restoring.to, restoring.header, offset, &body, at_ms);
    return true;
}

static void load(streams_t *to)
{
    uint64_t damaged;
    struct store_loader loader = {.stream = on_stream, .message = on_message};
    restoring = (struct restoring){.to = to};
    ck_assert(store_records_load(records, &loader, &damaged));
    ck_assert_uint_eq(damaged, 0);
    end_stream();
}

static void compare_messages(const stream_t *before, const stream_t *after)
{
    for (uint64_t at = stream_first(before); at <= before->offset; at++) {
        const payload_t *one = stream_at(before, at), *other = stream_at(after, at);
        if (!other && loses_notes)
            continue;
        ck_assert(other && span_equal(payload_span(one), payload_span(other)));
        compared_messages++;
    }
}

static void compare(size_t name, const stream_header_t *before, const stream_header_t *after)
{
    if (is_void[name])
        return;
    /* Only a stream without a publication may be forgotten, or one that is over be remembered. */
    if (loses_notes && (!before || before->stream.offset == 0))
        return;
    ck_assert_int_eq(before != NULL, after != NULL);
    if (!before)
        return;
    ck_assert_uint_eq(before->stream.epoch, after->stream.epoch);
    ck_assert_uint_eq(before->stream.offset, after->stream.offset);
    compare_messages(&before->stream, &after->stream);
    compared++;
    if (loses_notes)
        return;
    ck_assert_uint_eq(stream_first(&before->stream), stream_first(&after->stream));
    if (before->stream.count)
        ck_assert_int_eq(stream_due(&before->stream), stream_due(&after->stream));
}

static void restart(void)
{
    write_notes();
    if (chance(2)) { /* with a batch that was not committed */
        batch_count = 0;
        publish();
        write_notes();
        write_batch();
        for (size_t i = 0; i < batch_count; i++) {
            streams_fail(streams, batch[i].header, 1, now_ms);
            payload_release(&batch[i].body);
        }
    }
    close_records();
    open_records();
    streams_t *fresh = streams_new(&settings, now_ms);
    load(fresh);
    for (size_t i = 0; i < NAMES; i++)
        compare(i, streams_find(streams, key_of(i)), streams_find(fresh, key_of(i)));
    memset(is_void, 0, sizeof is_void); /* what is there is the truth now */
    streams_destroy(&streams);
    streams = fresh;
    restarts++;
}

static uint64_t next_epoch(void *arg)
{
    (void)arg;
    return ++epochs;
}

START_TEST(what_comes_back_is_what_was_there)
{
    state = (uint64_t)_i;
    loses_notes = _i % 2;
    settings = (struct streams_settings){.rule = {.limits = {10, 3000, 1000}},
                                         .total_bytes = loses_notes ? 8000 : 1 << 20,
                                         .headers = loses_notes ? 100 : NAMES - 1,
                                         .header_ms = 3000,
                                         .random = next_epoch,
                                         .changed = on_change};
    streams = streams_new(&settings, now_ms);
    open_records();
    for (int step = 0; step < STEPS; step++) {
        uint32_t what = chance(20);
        now_ms += chance(10) ? chance(60) : chance(3000);
        if (what < 12)
            publish_some();
        else if (what < 15)
            use(chance(NAMES));
        else if (what < 16)
            streams_visit_recent(streams, now_ms + 1, NULL, NULL); /* so that they may end */
        else if (what < 19)
            streams_tick(streams, now_ms, 100);
        else
            restart();
    }
    restart();
    ck_assert_uint_gt(restarts, STEPS / 30);
    ck_assert_uint_gt(compared, restarts);
    ck_assert_uint_gt(compared_messages, compared);
    ck_assert_uint_gt(failures, STEPS / 30);
    ck_assert_uint_gt(notes_written, STEPS / 10);
    streams_destroy(&streams);
    close_records();
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("store_random");
    TCase *tests = tcase_create("store_random");
    tcase_set_timeout(tests, 120);
    tcase_add_checked_fixture(tests, world_setup, world_teardown);
    tcase_add_loop_test(tests, what_comes_back_is_what_was_there, 1, 9);
    suite_add_tcase(suite, tests);
    return unit_run(suite);
}
