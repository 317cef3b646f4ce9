#include "common/options_change.h"

#include <string.h>

#include "options_world.h"
#include "unit.h"

/* The settings in use, what the file has now, and what differs. */
static options_t *in_use, *loaded;
static options_changes_t *changes;

static const char *const everything[] = {"node",    "log",     "broker",   "streams",
                                         "store",   "gateway", "backends", "site",
                                         "channel", "rule",    NULL};

static void setup(void)
{
    world_setup();
}

static void teardown(void)
{
    options_changes_destroy(&changes);
    options_destroy(&in_use);
    options_destroy(&loaded);
    world_teardown();
}

static void given_among(const char *before, const char *after, const char *const *sections)
{
    in_use = world_loaded(before, NULL);
    loaded = world_loaded(after, NULL);
    changes = options_changes_new(in_use, loaded, sections);
    ck_assert_ptr_nonnull(changes);
}

static void given(const char *before, const char *after)
{
    given_among(before, after, everything);
}

static size_t next;

static void expect(bool needs_restart, const char *setting, const char *before, const char *after)
{
    ck_assert_uint_lt(next, options_changes_count(changes));
    const struct options_change *change = options_changes_at(changes, next++);
    ck_assert_str_eq(change->setting, setting);
    ck_assert_str_eq(change->before, before);
    ck_assert_str_eq(change->after, after);
    ck_assert_msg(change->needs_restart == needs_restart, "%s", setting);
}

static void expect_no_more(size_t waiting)
{
    ck_assert_uint_eq(options_changes_count(changes), next);
    ck_assert_uint_eq(options_changes_waiting(changes), waiting);
    next = 0;
}

START_TEST(the_same_settings_do_not_differ)
{
    const char *text = "[channel \"chat\"]\nmessages = 3\n[site \"a\"]\nissuer = x\n"
                       "[backends \"b\"]\nbind = ipc:///b\n[rule \"r\"]\nallow = admin\n";
    given(text, text);
    expect_no_more(0);
}
END_TEST

START_TEST(lines_and_comments_make_no_difference)
{
    given("[channel \"chat\"]\nmessages = 3\n", "# moved\n\n[channel \"chat\"]\nmessages = 3\n");
    expect_no_more(0);
}
END_TEST

START_TEST(each_type_is_told_with_both_values)
{
    given("[gateway]\nfallback = yes\n",
          "[gateway]\nallowed_origins = https://a\nqueue_bytes = 128k\nfallback = no\n"
          "[log]\nlevel = debug\n");
    expect(false, "[log] level", "info", "debug");
    expect(false, "[gateway] allowed_origins", "", "https://a");
    expect(false, "[gateway] queue_bytes", "1048576", "131072");
    expect(false, "[gateway] fallback", "yes", "no");
    expect_no_more(0);
}
END_TEST

START_TEST(what_needs_a_restart_is_told_and_stays)
{
    given("[gateway]\nlisten_port = 8000\npong_seconds = 10\n",
          "[gateway]\nlisten_port = 9000\npong_seconds = 5\nname = other\n");
    expect(true, "[gateway] name", "gateway", "other");
    expect(true, "[gateway] listen_port", "8000", "9000");
    expect(false, "[gateway] pong_seconds", "10", "5");
    expect_no_more(2);

    const char *name = in_use->gateway.name;
    options_exchange(in_use, loaded);
    ck_assert_uint_eq(in_use->gateway.listen_port, 8000);
    ck_assert_uint_eq(in_use->gateway.pong_seconds, 5);
    ck_assert_ptr_eq(in_use->gateway.name, name); /* somebody may have kept the pointer */
    ck_assert_str_eq(in_use->gateway.name, "gateway");
}
END_TEST

START_TEST(exchanging_twice_changes_nothing)
{
    given("[streams]\nmessages = 5\n[channel \"a\"]\nbytes = 1\n[backends \"b\"]\nbind = ipc:///b\n"
          "apps = x\n",
          "[streams]\nmessages = 6\n[channel \"c\"]\nbytes = 2\n[backends \"b\"]\nbind = ipc:///b\n"
          "apps = y\n[log]\nlevel = error\n[node]\nname = n2\n");
    struct buffer before = {0}, after = {0};
    options_write(&before, in_use);
    options_exchange(in_use, loaded);
    options_write(&after, in_use);
    ck_assert(!span_equal(buffer_span(&before), buffer_span(&after)));
    buffer_reset(&after);
    options_exchange(in_use, loaded);
    options_write(&after, in_use);
    ck_assert(span_equal(buffer_span(&before), buffer_span(&after)));
    buffer_free(&before);
    buffer_free(&after);
}
END_TEST

START_TEST(sections_come_and_go)
{
    given("[site \"a\"]\n[channel \"chat\"]\nmessages = 3\n[rule \"r\"]\nallow = admin\n",
          "[site \"b\"]\n[channel \"news\"]\nmessages = 4\n[rule \"r\"]\ndeny = visitor\n");
    expect(false, "[site \"a\"]", "present", "absent");
    expect(false, "[site \"b\"]", "absent", "present");
    expect(false, "[channel \"chat\"]", "present", "absent");
    expect(false, "[channel \"news\"]", "absent", "present");
    expect(false, "[rule \"r\"] allow", "admin", "");
    expect(false, "[rule \"r\"] deny", "", "visitor");
    expect_no_more(0);

    options_exchange(in_use, loaded);
    ck_assert_uint_eq(in_use->site_count, 1);
    ck_assert_str_eq(in_use->site[0].label, "b");
    ck_assert_uint_eq(in_use->channel_count, 1);
    ck_assert_str_eq(in_use->channel[0].label, "news");
    ck_assert_str_eq(in_use->rule[0].deny, "visitor");
}
END_TEST

START_TEST(endpoints_of_backends_come_and_go_with_a_restart)
{
    given("[backends \"a\"]\nbind = ipc:///a\nmay = publish\n[backends \"b\"]\nbind = ipc:///b\n",
          "[backends \"c\"]\nbind = ipc:///c\n[backends \"a\"]\nbind = ipc:///x\nmay = history\n");
    expect(true, "[backends \"a\"] bind", "ipc:///a", "ipc:///x");
    expect(false, "[backends \"a\"] may", "publish", "history");
    expect(true, "[backends \"b\"]", "present", "absent");
    expect(true, "[backends \"c\"]", "absent", "present");
    expect_no_more(3);

    options_exchange(in_use, loaded);
    ck_assert_uint_eq(in_use->backends_count, 2);
    ck_assert_str_eq(in_use->backends[0].label, "a");
    ck_assert_str_eq(in_use->backends[0].bind, "ipc:///a");
    ck_assert_str_eq(in_use->backends[0].may, "history");
    ck_assert_str_eq(in_use->backends[1].label, "b");
}
END_TEST

START_TEST(a_channel_follows_the_streams_that_it_inherits_from)
{
    given("[channel \"chat\"]\nbytes = 5\n",
          "[streams]\nmessages = 7\n[channel \"chat\"]\nbytes = 5\n");
    expect(false, "[streams] messages", "512", "7");
    expect(false, "[channel \"chat\"] messages", "512", "7");
    expect_no_more(0);
    options_exchange(in_use, loaded);
    ck_assert_uint_eq(in_use->channel[0].messages, 7);
}
END_TEST

START_TEST(only_the_named_sections_are_told)
{
    static const char *const sections[] = {"log", "broker", NULL};
    given_among(NULL, "[log]\nlevel = warn\n[gateway]\nlisten_port = 1\n[site \"a\"]\n", sections);
    expect(false, "[log] level", "info", "warn");
    expect_no_more(0);
}
END_TEST

/* Each alone is allowed: the new word on tokens, and the address that stays until the restart. */
START_TEST(what_stays_and_what_changes_must_go_together)
{
    given("[gateway]\nlisten_address = 0.0.0.0\nanonymous = no\n", "[log]\nlevel = warn\n");
    struct buffer why = {0};
    options_exchange(in_use, loaded);
    ck_assert(!options_check_again(in_use, &why));
    buffer_put_byte(&why, '\0');
    ck_assert_str_eq(
        (const char *)why.data,
        "with what needs a restart: [gateway] listen_address: listens beyond loopback: "
        "say anonymous = yes or anonymous = no, whether clients may connect without a "
        "token\n");
    buffer_reset(&why);
    options_exchange(in_use, loaded);
    ck_assert(options_check_again(in_use, &why));
    ck_assert_uint_eq(why.size, 0);
    buffer_free(&why);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("options_change");
    TCase *tests = tcase_create("options_change");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, the_same_settings_do_not_differ);
    tcase_add_test(tests, lines_and_comments_make_no_difference);
    tcase_add_test(tests, each_type_is_told_with_both_values);
    tcase_add_test(tests, what_needs_a_restart_is_told_and_stays);
    tcase_add_test(tests, exchanging_twice_changes_nothing);
    tcase_add_test(tests, sections_come_and_go);
    tcase_add_test(tests, endpoints_of_backends_come_and_go_with_a_restart);
    tcase_add_test(tests, a_channel_follows_the_streams_that_it_inherits_from);
    tcase_add_test(tests, only_the_named_sections_are_told);
    tcase_add_test(tests, what_stays_and_what_changes_must_go_together);
    suite_add_tcase(suite, tests);
    return unit_run(suite);
}
