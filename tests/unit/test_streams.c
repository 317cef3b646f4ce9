#include <stdio.h>
#include <string.h>

#include "streams_world.h"
#include "unit.h"

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
    streams_again();
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
    streams_again();
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
    streams_again();
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
    streams_again();
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
    streams_again();
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
    streams_again();
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

START_TEST(one_with_a_new_epoch_makes_room_when_all_know_it)
{
    settings.headers = 1;
    streams_again();
    streams_restart(streams, use("a", 0), 0);
    ck_assert_ptr_null(use("b", 0));
    expect_recent(1, "");
    ck_assert_ptr_nonnull(use("b", 1));
    ck_assert(!exists("a"));
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

int main(void)
{
    Suite *suite = suite_create("streams");
    TCase *tests = tcase_create("streams");
    tcase_add_checked_fixture(tests, streams_setup, streams_teardown);
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
    tcase_add_test(tests, one_with_a_new_epoch_makes_room_when_all_know_it);
    tcase_add_test(tests, what_is_still_to_be_repeated_is_kept);
    suite_add_tcase(suite, tests);
    return unit_run(suite);
}
