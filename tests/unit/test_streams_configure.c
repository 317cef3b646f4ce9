#include "streams_world.h"
#include "unit.h"

/* Other settings while there are addresses. */

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

START_TEST(unused_names_make_room_for_others_also_after_that)
{
    use("a", 0);
    settings.headers = 1;
    settings.header_ms = 10 * DEADLINE_SLOT_MS;
    configure();
    tick(2 * DEADLINE_SLOT_MS); /* all were looked at anew */
    ck_assert(exists("a"));
    ck_assert_ptr_nonnull(use("b", 2 * DEADLINE_SLOT_MS));
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
    Suite *suite = suite_create("streams_configure");
    TCase *tests = tcase_create("configure");
    tcase_add_checked_fixture(tests, streams_setup, streams_teardown);
    tcase_add_test(tests, other_limits_hold_for_what_is_there);
    tcase_add_test(tests, a_reader_never_sees_what_is_beyond_other_limits);
    tcase_add_test(tests, channels_come_change_and_go);
    tcase_add_test(tests, a_label_that_occurs_twice_changes_nothing);
    tcase_add_test(tests, it_is_told_when_somebody_is_to_be_asked_about_at_other_times);
    tcase_add_test(tests, headers_end_after_another_time);
    tcase_add_test(tests, unused_names_make_room_for_others_also_after_that);
    tcase_add_test(tests, a_smaller_total_holds_at_once);
    suite_add_tcase(suite, tests);
    return unit_run(suite);
}
