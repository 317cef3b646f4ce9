#include <stdio.h>
#include <unistd.h>

#include "broker/plan.h"
#include "unit.h"

static options_t *options;
static struct plan plan;

/* Settings come from files only; this one is gone again before it is used. */
static void load(const char *text)
{
    char path[] = "/tmp/test_plan_XXXXXX";
    int fd = mkstemp(path);
    ck_assert_int_ge(fd, 0);
    FILE *file = fdopen(fd, "w");
    ck_assert_ptr_nonnull(file);
    fputs(text, file);
    fclose(file);
    struct buffer why = {0};
    char *none[] = {NULL};
    options = options_load(path, none, &why);
    unlink(path);
    ck_assert_msg(options, "%.*s", SPAN_ARG(buffer_span(&why)));
    buffer_free(&why);
    ck_assert(plan_make(&plan, options));
}

static void teardown(void)
{
    plan_free(&plan);
    options_destroy(&options);
}

static void expect_backends(size_t index, const char *address, const char *site, const char *apps,
                            const char *may)
{
    ck_assert_str_eq(plan.backends[index].address, address);
    ck_assert_str_eq(plan.principals[index].site, site);
    ck_assert_str_eq(plan.principals[index].apps, apps);
    ck_assert_str_eq(plan.principals[index].may, may);
}

START_TEST(without_settings_there_is_one_endpoint_with_all_rights)
{
    load("");
    ck_assert_uint_eq(plan.backend_count, 1);
    expect_backends(0, "tcp://127.0.0.1:7402", "default", "",
                    "publish history preview handle revoke");
    ck_assert_str_eq(plan.backends[0].setting, "broker.backends");
    ck_assert_uint_eq(plan.channel_count, 0);
}
END_TEST

START_TEST(each_section_is_an_endpoint_with_its_principal)
{
    load("[node]\nsite = home\n"
         "[backends \"a\"]\nbind = ipc:///tmp/a/a.sock\nsite = acme\napps = x y\nmay = publish\n"
         "[backends \"b\"]\nbind = ipc:///tmp/b/b.sock\n");
    ck_assert_uint_eq(plan.backend_count, 3);
    expect_backends(0, "tcp://127.0.0.1:7402", "home", "", "publish history preview handle revoke");
    expect_backends(1, "ipc:///tmp/a/a.sock", "acme", "x y", "publish");
    expect_backends(2, "ipc:///tmp/b/b.sock", "home", "", "publish history");
    ck_assert_ptr_nonnull(plan.where[1]);
}
END_TEST

START_TEST(the_default_endpoint_can_be_left_out)
{
    load("[broker]\nbackends =\n[backends \"a\"]\nbind = ipc:///tmp/a/a.sock\n");
    ck_assert_uint_eq(plan.backend_count, 1);
    expect_backends(0, "ipc:///tmp/a/a.sock", "default", "", "publish history");
}
END_TEST

START_TEST(streams_get_their_limits)
{
    load("[streams]\nmessages = 7\nbytes = 1000\nseconds = 5\nheader_seconds = 9\nheaders = 11\n"
         "total_bytes = 5000\n"
         "[channel \"acme/chat\"]\nmessages = 3\nclient_history = no\npresence = full\n");
    struct streams_settings settings = plan_streams(&plan, options);
    ck_assert_uint_eq(settings.rule.limits.messages, 7);
    ck_assert_uint_eq(settings.rule.limits.bytes, 1000);
    ck_assert_int_eq(settings.rule.limits.age_ms, 5000);
    ck_assert(settings.rule.client_history);
    ck_assert_int_eq(settings.header_ms, 9000);
    ck_assert_uint_eq(settings.headers, 11);
    ck_assert_uint_eq(settings.total_bytes, 5000);
    ck_assert_uint_eq(settings.channel_count, 1);
    ck_assert_str_eq(settings.channels[0].label, "acme/chat");
    ck_assert_uint_eq(settings.channels[0].rule.limits.messages, 3);
    ck_assert_uint_eq(settings.channels[0].rule.limits.bytes, 1000);
    ck_assert(!settings.channels[0].rule.client_history);
    ck_assert_int_eq(settings.rule.presence, PRESENCE_OFF);
    ck_assert_int_eq(settings.channels[0].rule.presence, PRESENCE_FULL);
}
END_TEST

START_TEST(presence_gets_its_bounds)
{
    load("[broker]\npresence_clients = 5\npresence_users = 6\npresence_rounds = 7\n"
         "presence_questions = 8\npresence_return_ms = 9\n[channel \"c\"]\npresence = stats\n");
    struct presence_settings settings = plan_presence(options);
    ck_assert_uint_eq(settings.clients, 5);
    ck_assert_uint_eq(settings.users, 6);
    ck_assert_uint_eq(settings.rounds, 7);
    ck_assert_uint_eq(settings.questions, 8);
    ck_assert_int_eq(settings.return_ms, 9);
    ck_assert_int_eq(plan_streams(&plan, options).channels[0].rule.presence, PRESENCE_STATS);
}
END_TEST

START_TEST(a_channel_may_ask_for_every_message)
{
    load("[channel \"a\"]\ncheck = message\n[channel \"b\"]\ncheck = subscription\n"
         "[channel \"c\"]\n");
    struct streams_settings settings = plan_streams(&plan, options);
    ck_assert(!settings.rule.check_each);
    ck_assert(settings.channels[0].rule.check_each);
    ck_assert(!settings.channels[1].rule.check_each);
    ck_assert(!settings.channels[2].rule.check_each);
}
END_TEST

START_TEST(a_channel_says_what_slow_readers_get)
{
    load("[channel \"a\"]\nslow_reader = latest\n[channel \"b\"]\nslow_reader = drop_oldest\n"
         "[channel \"c\"]\n");
    struct streams_settings settings = plan_streams(&plan, options);
    ck_assert_int_eq(settings.rule.slow_reader, SLOW_READER_DISCONNECT);
    ck_assert_int_eq(settings.channels[0].rule.slow_reader, SLOW_READER_LATEST);
    ck_assert_int_eq(settings.channels[1].rule.slow_reader, SLOW_READER_DROP_OLDEST);
    ck_assert_int_eq(settings.channels[2].rule.slow_reader, SLOW_READER_DISCONNECT);
}
END_TEST

START_TEST(who_may_read_gets_its_rules_and_sites)
{
    load("[site \"acme\"]\nrequire_handlers = yes\nunavailable = refuse\n"
         "[rule \"all\"]\ndeny = visitor\n"
         "[rule \"room\"]\nsite = acme\napp = q\nchannel = c\nresource = r\nallow = member\n");
    struct policy_settings settings = plan_policy(&plan);
    ck_assert_uint_eq(settings.site_count, 1);
    ck_assert_str_eq(settings.sites[0].site, "acme");
    ck_assert(settings.sites[0].require_handlers);
    ck_assert_int_eq(settings.sites[0].unavailable, UNAVAILABLE_REFUSE);
    ck_assert_uint_eq(settings.rule_count, 2);
    ck_assert_str_eq(settings.rules[0].label, "all");
    ck_assert_str_eq(settings.rules[0].deny, "visitor");
    const struct policy_rule *room = &settings.rules[1];
    ck_assert_str_eq(room->site, "acme");
    ck_assert_str_eq(room->app, "q");
    ck_assert_str_eq(room->channel, "c");
    ck_assert_str_eq(room->resource, "r");
    ck_assert_str_eq(room->allow, "member");
    ck_assert_str_eq(room->deny, "");

    size_t index;
    struct buffer why = {0};
    policy_t *policy = policy_new(&settings, &index, &why);
    ck_assert_ptr_nonnull(policy);
    ck_assert(policy_site(policy, span_text("acme"))->require_handlers);
    policy_destroy(&policy);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("plan");
    TCase *tests = tcase_create("plan");
    tcase_add_checked_fixture(tests, NULL, teardown);
    tcase_add_test(tests, without_settings_there_is_one_endpoint_with_all_rights);
    tcase_add_test(tests, each_section_is_an_endpoint_with_its_principal);
    tcase_add_test(tests, the_default_endpoint_can_be_left_out);
    tcase_add_test(tests, streams_get_their_limits);
    tcase_add_test(tests, presence_gets_its_bounds);
    tcase_add_test(tests, a_channel_may_ask_for_every_message);
    tcase_add_test(tests, a_channel_says_what_slow_readers_get);
    tcase_add_test(tests, who_may_read_gets_its_rules_and_sites);
    suite_add_tcase(suite, tests);
    return unit_run(suite);
}
