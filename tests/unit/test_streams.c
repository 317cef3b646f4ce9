#include <stdio.h>
#include <string.h>

#include "common/streams.h"
#include "unit.h"

#define HEADER_MS 10000
#define AGE_MS    1000
#define COST      (10 + STREAM_MESSAGE_COST)

static const struct streams_rule rule = {
    {100, 1 << 20, AGE_MS}, true, PRESENCE_OFF, false, SLOW_READER_DISCONNECT};

/* Epochs 1, 2, 3 ...; the very first number is 0, which no epoch may be. */
static uint64_t next_number(void *arg)
{
    uint64_t *numbers = arg;
    return (*numbers)++;
}

static uint64_t numbers;
static struct streams_settings settings;
static streams_t *streams;

static void setup(void)
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

static void again(void)
{
    streams_destroy(&streams);
    streams = streams_new(&settings, 0);
    ck_assert_ptr_nonnull(streams);
}

static void teardown(void)
{
    streams_destroy(&streams);
    ck_assert_ptr_null(streams);
}

static struct address address_of(const char *site, const char *channel, const char *resource)
{
    return (struct address){.view = VIEW_LIVE,
                            .site = span_text(site),
                            .channel = span_text(channel),
                            .resource = span_text(resource)};
}

static stream_header_t *use_address(struct address address, int64_t now_ms)
{
    uint8_t key[ADDRESS_KEY_MAX];
    return streams_use(streams, span_of(key, address_encode(&address, key)), &address, now_ms);
}

static stream_header_t *use(const char *channel, int64_t now_ms)
{
    return use_address(address_of("site", channel, NULL), now_ms);
}

static bool exists(const char *channel)
{
    struct address address = address_of("site", channel, NULL);
    uint8_t key[ADDRESS_KEY_MAX];
    return streams_find(streams, span_of(key, address_encode(&address, key)));
}

static void commit(stream_header_t *header, int64_t now_ms)
{
    payload_t *body = payload_new(10);
    memset(body->data, 0, 10);
    streams_assign(header);
    streams_commit(streams, header, &body, now_ms);
    ck_assert_ptr_null(body);
}

static void tick(int64_t now_ms)
{
    streams_tick(streams, now_ms, SIZE_MAX);
}

static void collect(const stream_header_t *header, void *arg)
{
    char *names = arg;
    size_t size = strlen(names);
    /* The channel name is the last part but one, and here one letter long. */
    names[size] = (char)header->key[header->key_size - 3];
    names[size + 1] = '\0';
}

START_TEST(every_stream_has_its_own_epoch_and_none_is_zero)
{
    stream_header_t *a = use("a", 0), *b = use("b", 0);
    ck_assert_uint_ne(a->stream.epoch, 0);
    ck_assert_uint_ne(b->stream.epoch, 0);
    ck_assert_uint_ne(a->stream.epoch, b->stream.epoch);
    ck_assert_ptr_eq(use("a", 0), a);
    ck_assert_uint_eq(streams_count(streams), 2);
    ck_assert(exists("a"));
    ck_assert(!exists("c"));
}
END_TEST

START_TEST(channel_and_resources_are_streams_of_their_own)
{
    struct address channel = address_of("site", "chat", NULL);
    struct address room = address_of("site", "chat", "room");
    struct address preview = channel, other = channel, app = channel;
    preview.view = VIEW_PREVIEW;
    other.site = span_text("other");
    app.app = span_text("app");
    commit(use_address(channel, 0), 0);
    const struct address all[] = {room, preview, other, app};
    for (size_t i = 0; i < 4; i++)
        ck_assert_uint_eq(use_address(all[i], 0)->stream.offset, 0);
    ck_assert_uint_eq(use_address(channel, 0)->stream.offset, 1);
    ck_assert_uint_eq(streams_count(streams), 5);
}
END_TEST

START_TEST(rules_cascade_from_site_and_channel)
{
    const struct streams_channel channels[] = {
        {"chat", {{1, 1000, 1000}, true, PRESENCE_STATS, false, SLOW_READER_DISCONNECT}},
        {"acme/chat", {{2, 1000, 1000}, false, PRESENCE_FULL, false, SLOW_READER_DISCONNECT}}};
    settings.channels = channels;
    settings.channel_count = 2;
    again();
    ck_assert_uint_eq(use_address(address_of("acme", "chat", NULL), 0)->rule->limits.messages, 2);
    ck_assert_uint_eq(use_address(address_of("acme", "chat", "r"), 0)->rule->limits.messages, 2);
    ck_assert(!use_address(address_of("acme", "chat", "r"), 0)->rule->client_history);
    ck_assert_int_eq(use_address(address_of("acme", "chat", "r"), 0)->rule->presence,
                     PRESENCE_FULL);
    ck_assert_int_eq(use_address(address_of("other", "chat", "r"), 0)->rule->presence,
                     PRESENCE_STATS);
    ck_assert_int_eq(use_address(address_of("other", "else", "r"), 0)->rule->presence,
                     PRESENCE_OFF);
    ck_assert_uint_eq(use_address(address_of("other", "chat", "r"), 0)->rule->limits.messages, 1);
    ck_assert_uint_eq(use_address(address_of("acme", "chats", NULL), 0)->rule->limits.messages,
                      100);
    ck_assert_uint_eq(use_address(address_of("acme", "other", "chat"), 0)->rule->limits.messages,
                      100);
}
END_TEST

START_TEST(the_rule_of_a_channel_is_applied)
{
    const struct streams_channel channels[] = {
        {"chat", {{1, 1000, 1000}, true, PRESENCE_STATS, false, SLOW_READER_DISCONNECT}}};
    settings.channels = channels;
    settings.channel_count = 1;
    again();
    stream_header_t *chat = use("chat", 0), *other = use("other", 0);
    for (int i = 0; i < 3; i++) {
        commit(chat, 0);
        commit(other, 0);
    }
    ck_assert_uint_eq(chat->stream.count, 1);
    ck_assert_uint_eq(other->stream.count, 3);
}
END_TEST

START_TEST(a_label_that_occurs_twice_is_refused)
{
    const struct streams_channel channels[] = {{"chat", rule}, {"chat", rule}};
    settings.channels = channels;
    settings.channel_count = 2;
    ck_assert_ptr_null(streams_new(&settings, 0));
}
END_TEST

START_TEST(positions_move_with_commits_not_with_assignments)
{
    stream_header_t *header = use("a", 0);
    ck_assert_uint_eq(streams_assign(header), 1);
    ck_assert_uint_eq(streams_assign(header), 2);
    ck_assert_uint_eq(header->stream.offset, 0);
    payload_t *body = payload_new(0);
    streams_commit(streams, header, &body, 0);
    ck_assert_uint_eq(header->stream.offset, 1);
    ck_assert_uint_eq(streams_assign(header), 3);
}
END_TEST

START_TEST(failed_offsets_are_used_again)
{
    stream_header_t *header = use("a", 0);
    commit(header, 0);
    streams_assign(header);
    streams_assign(header);
    streams_assign(header);
    streams_fail(streams, header, 2, 0);
    ck_assert_uint_eq(streams_assign(header), 3);
    streams_fail(streams, header, 2, 0);
    ck_assert_uint_eq(streams_assign(header), 2);
    ck_assert_uint_eq(header->stream.offset, 1);
}
END_TEST

START_TEST(an_unknown_outcome_begins_another_epoch)
{
    stream_header_t *header = use("a", 0);
    commit(header, 0);
    uint64_t before = header->stream.epoch;
    streams_assign(header);
    streams_restart(streams, header, 0);
    ck_assert_uint_ne(header->stream.epoch, before);
    ck_assert_uint_ne(header->stream.epoch, 0);
    ck_assert_uint_eq(header->stream.offset, 0);
    ck_assert_uint_eq(header->pending, 0);
    ck_assert_uint_eq(streams_bytes(streams), 0);
}
END_TEST

START_TEST(the_sum_of_bytes_is_right)
{
    stream_header_t *a = use("a", 0), *b = use("b", 0);
    commit(a, 0);
    commit(a, 500);
    commit(b, 0);
    ck_assert_uint_eq(streams_bytes(streams), 3 * COST);
    use("a", AGE_MS); /* trims what is too old */
    ck_assert_uint_eq(a->stream.count, 1);
    ck_assert_uint_eq(streams_bytes(streams), 2 * COST);
    tick(AGE_MS + DEADLINE_SLOT_MS);
    ck_assert_uint_eq(streams_bytes(streams), COST);
    tick(AGE_MS + 500 + DEADLINE_SLOT_MS);
    ck_assert_uint_eq(streams_bytes(streams), 0);
    ck_assert_ptr_null(a->stream.ring);
    ck_assert_uint_eq(a->stream.offset, 2);
}
END_TEST

START_TEST(the_address_that_nobody_reads_loses_first)
{
    settings.total_bytes = 4 * COST;
    again();
    stream_header_t *a = use("a", 0), *b = use("b", 0), *c = use("c", 0);
    commit(a, 0);
    commit(a, 0);
    commit(b, 0);
    commit(c, 0);
    ck_assert_uint_eq(streams_evicted(streams), 0);
    streams_read(streams, a);
    use("b", 1); /* asking for the position only is not reading */
    commit(c, 1);
    ck_assert_uint_eq(b->stream.count, 0);
    ck_assert_uint_eq(a->stream.count, 2);
    commit(c, 1);
    ck_assert_uint_eq(a->stream.count, 1);
    commit(c, 1);
    commit(c, 1);
    ck_assert_uint_eq(a->stream.count, 0);
    ck_assert_uint_eq(c->stream.count, 4);
    ck_assert_uint_eq(streams_bytes(streams), 4 * COST);
    ck_assert_uint_eq(streams_evicted(streams), 4);
}
END_TEST

START_TEST(without_room_at_all_nothing_is_kept)
{
    settings.total_bytes = 0;
    again();
    stream_header_t *a = use("a", 0);
    commit(a, 0);
    ck_assert_uint_eq(a->stream.offset, 1);
    ck_assert_uint_eq(a->stream.count, 0);
    ck_assert_uint_eq(streams_bytes(streams), 0);
}
END_TEST

START_TEST(there_are_no_more_headers_than_allowed)
{
    settings.headers = 2;
    again();
    commit(use("a", 0), 0);
    commit(use("b", 0), 0);
    ck_assert_ptr_null(use("c", 0));
    ck_assert_ptr_nonnull(use("a", 0));
    tick(AGE_MS + DEADLINE_SLOT_MS);
    streams_visit_recent(streams, INT64_MAX, collect, NULL);
    tick(AGE_MS + HEADER_MS + 2 * DEADLINE_SLOT_MS);
    ck_assert_ptr_nonnull(use("c", AGE_MS + HEADER_MS + 2 * DEADLINE_SLOT_MS));
}
END_TEST

START_TEST(names_that_nobody_uses_make_room_for_others)
{
    settings.headers = 3;
    again();
    commit(use("published", 0), 0);
    streams_set_interest(streams, use("heard", 0), true, 0);
    for (int i = 0; i < 100; i++) {
        char name[16];
        snprintf(name, sizeof name, "z%d", i);
        ck_assert_ptr_nonnull(use(name, i));
    }
    ck_assert(exists("published"));
    ck_assert(exists("heard"));
    ck_assert(exists("z99"));
    ck_assert_uint_eq(streams_count(streams), 3);
    ck_assert_uint_eq(streams_headers_cut(streams), 99);
    streams_assign(use("z99", 100)); /* on its way to the store */
    ck_assert_ptr_null(use("other", 100));
    streams_set_interest(streams, use("heard", 101), false, 101);
    ck_assert_ptr_nonnull(use("other", 102));
    ck_assert(!exists("heard"));
    ck_assert(exists("z99"));
}
END_TEST

START_TEST(an_unused_header_ends_and_comes_back_with_another_epoch)
{
    stream_header_t *header = use("a", 0);
    uint64_t before = header->stream.epoch;
    tick(HEADER_MS - DEADLINE_SLOT_MS);
    ck_assert(exists("a"));
    use("a", HEADER_MS - 1);
    tick(HEADER_MS + 1000);
    ck_assert(exists("a")); /* it was used in between */
    tick(2 * HEADER_MS + DEADLINE_SLOT_MS);
    ck_assert(!exists("a"));
    ck_assert_uint_ne(use("a", 3 * HEADER_MS)->stream.epoch, before);
}
END_TEST

START_TEST(a_header_outlives_its_messages)
{
    commit(use("a", 0), 0);
    streams_visit_recent(streams, 1, NULL, NULL);
    tick(AGE_MS + DEADLINE_SLOT_MS);
    ck_assert(exists("a"));
    ck_assert_uint_eq(use("a", AGE_MS + DEADLINE_SLOT_MS)->stream.offset, 1);
    tick(AGE_MS + HEADER_MS - DEADLINE_SLOT_MS);
    ck_assert(exists("a"));
    tick(AGE_MS + HEADER_MS + 3 * DEADLINE_SLOT_MS);
    ck_assert(!exists("a"));
}
END_TEST

START_TEST(interest_keeps_a_header)
{
    stream_header_t *header = use("a", 0);
    streams_set_interest(streams, header, true, 0);
    streams_set_interest(streams, header, true, 0);
    ck_assert_uint_eq(streams_interested(streams), 1);
    tick(100 * HEADER_MS);
    ck_assert(exists("a"));
    streams_set_interest(streams, header, false, 100 * HEADER_MS);
    ck_assert_uint_eq(streams_interested(streams), 0);
    tick(101 * HEADER_MS - DEADLINE_SLOT_MS);
    ck_assert(exists("a"));
    tick(101 * HEADER_MS + DEADLINE_SLOT_MS);
    ck_assert(!exists("a"));
}
END_TEST

START_TEST(an_append_on_its_way_keeps_a_header)
{
    stream_header_t *header = use("a", 0);
    streams_assign(header);
    tick(100 * HEADER_MS);
    ck_assert(exists("a"));
    streams_fail(streams, header, 1, 100 * HEADER_MS);
    tick(101 * HEADER_MS + DEADLINE_SLOT_MS);
    ck_assert(!exists("a"));
}
END_TEST

/* A timer for the far end of a header must not delay the trimming of messages that come later. */
START_TEST(messages_are_trimmed_in_time_whatever_was_scheduled_before)
{
    stream_header_t *header = use("a", 0);
    commit(header, 1);
    tick(1 + AGE_MS + DEADLINE_SLOT_MS);
    ck_assert_uint_eq(header->stream.count, 0);
    commit(header, 5000);
    tick(5000 + AGE_MS + DEADLINE_SLOT_MS);
    ck_assert_uint_eq(header->stream.count, 0);
}
END_TEST

START_TEST(one_tick_does_no_more_than_it_may)
{
    char name[16];
    for (int i = 0; i < 100; i++) {
        snprintf(name, sizeof name, "c%d", i);
        ck_assert_ptr_nonnull(use(name, 0));
    }
    streams_tick(streams, 2 * HEADER_MS, 30);
    ck_assert_uint_eq(streams_count(streams), 70);
    streams_tick(streams, 2 * HEADER_MS, 100);
    ck_assert_uint_eq(streams_count(streams), 0);
}
END_TEST

static void expect_recent(int64_t since_ms, const char *expected)
{
    char names[100] = "";
    streams_visit_recent(streams, since_ms, collect, names);
    ck_assert_str_eq(names, expected);
}

START_TEST(recent_publications_are_visited)
{
    use("x", 0);
    expect_recent(0, "");
    commit(use("a", 100), 100);
    commit(use("b", 200), 200);
    commit(use("b", 300), 300);
    expect_recent(100, "ba");
    expect_recent(101, "b");
    expect_recent(0, "b"); /* once forgotten, only a publication brings it back */
    commit(use("a", 400), 400);
    expect_recent(300, "ab");
    expect_recent(401, "");
}
END_TEST

START_TEST(a_new_epoch_is_recent)
{
    streams_restart(streams, use("a", 0), 0);
    expect_recent(0, "a");
}
END_TEST

START_TEST(what_is_still_to_be_repeated_is_kept)
{
    commit(use("a", 0), 0);
    tick(100 * HEADER_MS);
    ck_assert(exists("a"));
    expect_recent(1, "");
    tick(100 * HEADER_MS + DEADLINE_SLOT_MS);
    ck_assert(!exists("a"));
}
END_TEST

/* --- other settings --- */

static bool configure(void)
{
    bool checks;
    ck_assert(streams_configure(streams, &settings, 0, &checks));
    return checks;
}

static size_t kept(const char *channel)
{
    struct address address = address_of("site", channel, NULL);
    uint8_t key[ADDRESS_KEY_MAX];
    return streams_find(streams, span_of(key, address_encode(&address, key)))->stream.count;
}

START_TEST(other_limits_hold_for_what_is_there)
{
    stream_header_t *header = use("a", 0);
    for (int i = 0; i < 5; i++)
        commit(header, 0);
    uint64_t epoch = header->stream.epoch;
    settings.rule.limits.messages = 2;
    ck_assert(!configure());
    tick(DEADLINE_SLOT_MS);
    ck_assert_uint_eq(kept("a"), 2);
    ck_assert_uint_eq(streams_bytes(streams), 2 * COST);
    settings.rule.limits.messages = 100;
    configure();
    for (int i = 0; i < 3; i++)
        commit(use("a", 0), 0);
    ck_assert_uint_eq(kept("a"), 5); /* what was gone stays so */
    ck_assert_uint_eq(header->stream.offset, 8);
    ck_assert_uint_eq(header->stream.epoch, epoch);
}
END_TEST

START_TEST(a_reader_never_sees_what_is_beyond_other_limits)
{
    stream_header_t *header = use("a", 0);
    commit(header, 0);
    settings.rule.limits.age_ms = 10;
    configure();
    ck_assert_uint_eq(use("a", 11)->stream.count, 0); /* before any tick */
}
END_TEST

START_TEST(channels_come_change_and_go)
{
    struct streams_channel channel = {"a", rule};
    channel.rule.limits.messages = 2;
    channel.rule.presence = PRESENCE_FULL;
    stream_header_t *header = use("a", 0), *other = use("b", 0);
    for (int i = 0; i < 5; i++) {
        commit(header, 0);
        commit(other, 0);
    }
    settings.channels = &channel;
    settings.channel_count = 1;
    configure();
    tick(DEADLINE_SLOT_MS);
    ck_assert_uint_eq(kept("a"), 2);
    ck_assert_uint_eq(kept("b"), 5);
    ck_assert_int_eq(header->rule->presence, PRESENCE_FULL);
    channel.rule.presence = PRESENCE_STATS;
    ck_assert_int_eq(header->rule->presence, PRESENCE_FULL); /* it was copied */
    configure();
    ck_assert_int_eq(header->rule->presence, PRESENCE_STATS);
    settings.channel_count = 0;
    configure();
    ck_assert_int_eq(header->rule->presence, PRESENCE_OFF);
    commit(header, DEADLINE_SLOT_MS);
    ck_assert_uint_eq(kept("a"), 3);
}
END_TEST

START_TEST(a_label_that_occurs_twice_changes_nothing)
{
    const struct streams_channel twice[] = {{"a", rule}, {"a", rule}};
    stream_header_t *header = use("a", 0);
    bool checks;
    settings.rule.limits.messages = 1;
    settings.channels = twice;
    settings.channel_count = 2;
    ck_assert(!streams_configure(streams, &settings, 0, &checks));
    ck_assert_uint_eq(header->rule->limits.messages, 100);
}
END_TEST

START_TEST(it_is_told_when_somebody_is_to_be_asked_about_at_other_times)
{
    struct streams_channel channel = {"a", rule};
    channel.rule.check_each = true;
    settings.channels = &channel;
    settings.channel_count = 1;
    stream_header_t *header = use("a", 0);
    use("b", 0);
    ck_assert(!configure()); /* nobody listens */
    streams_set_interest(streams, header, true, 0);
    ck_assert(!configure()); /* as before */
    settings.channel_count = 0;
    ck_assert(configure());
    settings.rule.check_each = true;
    ck_assert(configure());
}
END_TEST

START_TEST(headers_end_after_another_time)
{
    use("a", 0);
    tick(DEADLINE_SLOT_MS);
    settings.header_ms = 2 * DEADLINE_SLOT_MS;
    configure();
    tick(DEADLINE_SLOT_MS);
    ck_assert(exists("a"));
    tick(4 * DEADLINE_SLOT_MS);
    ck_assert(!exists("a"));
}
END_TEST

START_TEST(a_smaller_total_holds_at_once)
{
    commit(use("a", 0), 0);
    commit(use("b", 0), 0);
    settings.total_bytes = COST;
    configure();
    ck_assert_uint_eq(streams_bytes(streams), COST);
    ck_assert_uint_eq(kept("a"), 0);
    settings.headers = 2;
    configure();
    ck_assert_ptr_null(use("c", 0));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("streams");
    TCase *tests = tcase_create("streams");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, every_stream_has_its_own_epoch_and_none_is_zero);
    tcase_add_test(tests, channel_and_resources_are_streams_of_their_own);
    tcase_add_test(tests, rules_cascade_from_site_and_channel);
    tcase_add_test(tests, the_rule_of_a_channel_is_applied);
    tcase_add_test(tests, a_label_that_occurs_twice_is_refused);
    tcase_add_test(tests, positions_move_with_commits_not_with_assignments);
    tcase_add_test(tests, failed_offsets_are_used_again);
    tcase_add_test(tests, an_unknown_outcome_begins_another_epoch);
    tcase_add_test(tests, the_sum_of_bytes_is_right);
    tcase_add_test(tests, the_address_that_nobody_reads_loses_first);
    tcase_add_test(tests, without_room_at_all_nothing_is_kept);
    tcase_add_test(tests, there_are_no_more_headers_than_allowed);
    tcase_add_test(tests, names_that_nobody_uses_make_room_for_others);
    tcase_add_test(tests, an_unused_header_ends_and_comes_back_with_another_epoch);
    tcase_add_test(tests, a_header_outlives_its_messages);
    tcase_add_test(tests, interest_keeps_a_header);
    tcase_add_test(tests, an_append_on_its_way_keeps_a_header);
    tcase_add_test(tests, messages_are_trimmed_in_time_whatever_was_scheduled_before);
    tcase_add_test(tests, one_tick_does_no_more_than_it_may);
    tcase_add_test(tests, recent_publications_are_visited);
    tcase_add_test(tests, a_new_epoch_is_recent);
    tcase_add_test(tests, what_is_still_to_be_repeated_is_kept);
    tcase_add_test(tests, other_limits_hold_for_what_is_there);
    tcase_add_test(tests, a_reader_never_sees_what_is_beyond_other_limits);
    tcase_add_test(tests, channels_come_change_and_go);
    tcase_add_test(tests, a_label_that_occurs_twice_changes_nothing);
    tcase_add_test(tests, it_is_told_when_somebody_is_to_be_asked_about_at_other_times);
    tcase_add_test(tests, headers_end_after_another_time);
    tcase_add_test(tests, a_smaller_total_holds_at_once);
    suite_add_tcase(suite, tests);
    return unit_run(suite);
}
