#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "options_world.h"
#include "unit.h"

START_TEST(defaults_need_nothing)
{
    options_t *options = world_loaded(NULL, NULL);
    ck_assert_str_eq(options->node.site, "default");
    ck_assert_uint_eq(options->broker.admin_port, 7480);
    ck_assert_str_eq(options->gateway.listen_address, "127.0.0.1");
    ck_assert_uint_eq(options->log.level, 1);
    ck_assert_uint_eq(options->gateway.anonymous, ANONYMOUS_UNSET);
    ck_assert_uint_eq(options->channel_count, 0);
    ck_assert_uint_eq(options->backends_count, 0);
    options_destroy(&options);
    ck_assert_ptr_null(options);
    options_destroy(&options);
}
END_TEST

START_TEST(reads_a_file)
{
    options_t *options =
        world_loaded("\xef\xbb\xbf[broker]\r\n"
                     "# a comment\n"
                     "; another\n"
                     "  admin_port = 1 ; behind a value\n"
                     "\tpayload_bytes: 64k\n"
                     "backends =\n"
                     "\n"
                     "[ node ] # the node\n"
                     "name=n-1\n"
                     "[broker]\n"
                     "control = ipc:///tmp/millrace.sock\n"
                     "[gateway]\n"
                     "anonymous = no\n"
                     "listen_address = ::\n"
                     "allowed_origins = https://a.example *  null app://localhost:1",
                     NULL);
    ck_assert_uint_eq(options->broker.admin_port, 1);
    ck_assert_uint_eq(options->broker.payload_bytes, 65536);
    ck_assert_str_eq(options->broker.backends, "");
    ck_assert_str_eq(options->broker.control, "ipc:///tmp/millrace.sock");
    ck_assert_str_eq(options->node.name, "n-1");
    ck_assert_uint_eq(options->gateway.anonymous, ANONYMOUS_NO);
    ck_assert_str_eq(options->gateway.allowed_origins,
                     "https://a.example *  null app://localhost:1");
    options_destroy(&options);
}
END_TEST

START_TEST(the_default_site_says_who_may_be_anonymous)
{
    static const struct {
        const char *text;
        enum options_anonymous anonymous;
    } cases[] = {
        {"", ANONYMOUS_UNSET},
        {"[gateway]\nanonymous = no\n", ANONYMOUS_NO},
        {"[gateway]\nanonymous = no\n[site \"default\"]\n", ANONYMOUS_NO},
        {"[gateway]\nanonymous = no\n[site \"default\"]\nanonymous = yes\n", ANONYMOUS_YES},
        {"[site \"acme\"]\nanonymous = no\n", ANONYMOUS_UNSET},
        {"[node]\nsite = acme\n[site \"acme\"]\nanonymous = no\n", ANONYMOUS_NO},
        {"[gateway]\nlisten_address = ::\n[site \"default\"]\nanonymous = no\n", ANONYMOUS_NO},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        options_t *options = world_loaded(cases[i].text, NULL);
        ck_assert_uint_eq(options_anonymous(options), cases[i].anonymous);
        options_destroy(&options);
    }
}
END_TEST

START_TEST(reads_labelled_sections_in_order)
{
    options_t *options = world_loaded("[channel \"chat\"]\n"
                                      "client_history = no\n"
                                      "[backends \"acme\"]\n"
                                      "bind = ipc:///tmp/acme.sock\n"
                                      "apps = a.b c-d\n"
                                      "may = publish preview\n"
                                      "[channel \"acme/chat\"]\n"
                                      "messages = 7\n"
                                      "[channel\t\"@news\"] ; empty\n",
                                      NULL);
    ck_assert_uint_eq(options->channel_count, 3);
    ck_assert_str_eq(options->channel[0].label, "chat");
    ck_assert_str_eq(options->channel[0].where, "main.ini:1");
    ck_assert(!options->channel[0].client_history);
    ck_assert_str_eq(options->channel[1].label, "acme/chat");
    ck_assert_uint_eq(options->channel[1].messages, 7);
    ck_assert(options->channel[1].client_history);
    ck_assert_str_eq(options->channel[2].label, "@news");
    ck_assert_str_eq(options->channel[2].where, "main.ini:9");
    ck_assert_uint_eq(options->backends_count, 1);
    ck_assert_str_eq(options->backends[0].apps, "a.b c-d");
    ck_assert_str_eq(options->backends[0].may, "publish preview");
    options_destroy(&options);
}
END_TEST

START_TEST(unset_channel_keys_take_those_of_streams)
{
    options_t *options = world_loaded("[channel \"chat\"]\n"
                                      "messages = 512\n" /* the default, but said */
                                      "[streams]\n"
                                      "messages = 1000\n"
                                      "seconds = 5\n"
                                      "[channel \"news\"]\n"
                                      "bytes = 1m\n",
                                      NULL);
    ck_assert_uint_eq(options->channel[0].messages, 512);
    ck_assert_uint_eq(options->channel[0].seconds, 5);
    ck_assert_uint_eq(options->channel[1].messages, 1000);
    ck_assert_uint_eq(options->channel[1].bytes, 1048576);
    options_destroy(&options);
}
END_TEST

START_TEST(every_bad_rule_is_told)
{
    world_refused(
        "[rule \"a\"]\nresource = x\nallow = admin\n"
        "[rule \"b\"]\nallow = admin\n"
        "[rule \"c\"]\n",
        NULL,
        "main.ini:1: [rule \"a\"] resource: needs channel, the one that the resource is of\n"
        "main.ini:6: [rule \"c\"] says nothing: it needs allow or deny, such as allow = member "
        "admin\n");
}
END_TEST

START_TEST(reads_who_may_read)
{
    options_t *options =
        world_loaded("[site \"acme\"]\nrequire_handlers = yes\nunavailable = retry\n"
                     "[channel \"chat\"]\ncheck = message\n"
                     "[rule \"members-only\"]\nsite = acme\napp = quotes\n"
                     "channel = @vip\nresource = room 1: a/b\n"
                     "allow = member admin\ndeny = visitor\n"
                     "[site \"other\"]\n[channel \"news\"]\n",
                     NULL);
    ck_assert(options->site[0].require_handlers);
    ck_assert_uint_eq(options->site[0].unavailable, 2);
    ck_assert(!options->site[1].require_handlers);
    ck_assert_uint_eq(options->site[1].unavailable, 0);
    ck_assert_uint_eq(options->channel[0].check, 1);
    ck_assert_uint_eq(options->channel[1].check, 0);
    ck_assert_uint_eq(options->rule_count, 1);
    ck_assert_str_eq(options->rule[0].where, "main.ini:6");
    ck_assert_str_eq(options->rule[0].channel, "@vip");
    ck_assert_str_eq(options->rule[0].resource, "room 1: a/b");
    ck_assert_str_eq(options->rule[0].allow, "member admin");
    options_destroy(&options);
}
END_TEST

static void expect_store(const char *file, char *const *environment, const char *folder,
                         const char *name)
{
    options_t *options = world_loaded_file(file, environment);
    char here[4096], want[8192];
    ck_assert_ptr_nonnull(getcwd(here, sizeof here));
    snprintf(want, sizeof want, "%s%s%s", folder ? here : "", folder ? folder : "", name);
    ck_assert_str_eq(options->store.path, want);
    options_destroy(&options);
}

START_TEST(the_store_is_beside_the_settings_that_name_it)
{
    mkdir("sub", 0700);
    char whole[4200], here[4096];
    snprintf(whole, sizeof whole, "%s/sub/a.ini", getcwd(here, sizeof here));
    char *environment[] = {"MILLRACE_STORE_PATH=e.db", NULL};
    char *nothing[] = {"MILLRACE_STORE_ENGINE=memory", "MILLRACE_STORE_PATH=", NULL};

    expect_store(NULL, NULL, "/", "millrace.db");
    expect_store(NULL, environment, "/", "e.db");
    expect_store(NULL, nothing, NULL, "");
    world_write_file("sub/a.ini", span_text("[store]\npath = x/own.db\n"));
    expect_store("sub/a.ini", NULL, "/sub/", "x/own.db");
    expect_store(whole, NULL, "/sub/", "x/own.db");
    expect_store("sub/a.ini", environment, "/", "e.db");
    world_write_file("main.ini", span_text("include = sub/a.ini\n"));
    expect_store("main.ini", NULL, "/sub/", "x/own.db");
    world_write_file("sub/a.ini", span_text("[store]\npath = /var/own.db\n"));
    expect_store("main.ini", NULL, NULL, "/var/own.db");
    world_write_file("sub/a.ini", span_text("[store]\nengine = memory\npath =\n"));
    expect_store("main.ini", NULL, NULL, "");
    world_write_file("sub/a.ini", span_text(""));
    expect_store("main.ini", NULL, "/", "millrace.db");
    expect_store("sub/a.ini", NULL, "/sub/", "millrace.db");
}
END_TEST

START_TEST(the_store_is_durable_unless_somebody_says_otherwise)
{
    char *environment[] = {"MILLRACE_STORE_ENGINE=memory", "MILLRACE_STORE_QUEUE_BYTES=2m", NULL};
    options_t *options = world_loaded(NULL, NULL);
    ck_assert_uint_eq(options->store.engine, STORE_ENGINE_SQLITE);
    ck_assert_uint_eq(options->store.queue_bytes, 64 << 20);
    options_destroy(&options);
    options = world_loaded("[store]\nengine = sqlite\nqueue_bytes = 1m\n", NULL);
    ck_assert_uint_eq(options->store.engine, STORE_ENGINE_SQLITE);
    ck_assert_uint_eq(options->store.queue_bytes, 1 << 20);
    options_destroy(&options);
    options = world_loaded("[store]\nengine = memory\n", NULL);
    ck_assert_uint_eq(options->store.engine, STORE_ENGINE_MEMORY);
    options_destroy(&options);
    options = world_loaded("[store]\nengine = sqlite\n", environment);
    ck_assert_uint_eq(options->store.engine, STORE_ENGINE_MEMORY);
    ck_assert_uint_eq(options->store.queue_bytes, 2 << 20);
    options_destroy(&options);
}
END_TEST

START_TEST(a_path_that_is_too_long_with_its_folder)
{
    struct buffer text = {0};
    buffer_put_text(&text, "[store]\npath = ");
    for (int i = 0; i < 1020; i++)
        buffer_put_byte(&text, 'p');
    buffer_put_byte(&text, '\0');
    world_refused(
        (const char *)text.data, NULL,
        "main.ini:2: [store] path: with its folder it must be a path: at most 1024 bytes, none "
        "of them a control character\n");
    buffer_free(&text);
}
END_TEST

START_TEST(the_environment_wins)
{
    char *environment[] = {"HOME=/root", "MILLRACE_BROKER_ADMIN_PORT=3",
                           "MILLRACE_NODE_NAME_FILE=secret",
                           "MILLRACE_BROKER_PORT=tcp://10.0.0.1:80", /* set by Kubernetes */
                           NULL};
    world_write_file("secret", span_text("from-file\r\nsecond line\n"));
    options_t *options =
        world_loaded("[broker]\nadmin_port = 2\n[node]\nname = from-ini\n", environment);
    ck_assert_uint_eq(options->broker.admin_port, 3);
    ck_assert_str_eq(options->node.name, "from-file");
    options_destroy(&options);
}
END_TEST

START_TEST(includes_files_relative_to_the_including_one)
{
    mkdir("sub", 0700);
    world_write_file("sub/a.ini", span_text("include = b.ini\n[node]\nname = a\n"));
    world_write_file("sub/b.ini", span_text("[node]\nsite = b\n[channel \"chat\"]\n"));
    options_t *options = world_loaded("include = sub/a.ini\n[log]\nlevel = debug\n", NULL);
    ck_assert_str_eq(options->node.name, "a");
    ck_assert_str_eq(options->node.site, "b");
    ck_assert_uint_eq(options->log.level, 0);
    ck_assert_str_eq(options->channel[0].where, "sub/b.ini:3");
    options_destroy(&options);
}
END_TEST

START_TEST(two_addresses_may_share_a_port)
{
    options_t *options = world_loaded("[gateway]\nadmin_address = 127.0.0.2\nadmin_port = 8000\n"
                                      "[broker]\nadmin_port = 0\n",
                                      NULL);
    options_destroy(&options);
}
END_TEST

START_TEST(a_label_may_be_as_long_as_site_and_channel)
{
    char text[300], site[65] = {0}, channel[141] = {0};
    memset(site, 's', 64);
    memset(channel, 'c', 140);
    snprintf(text, sizeof text, "[channel \"%s/%s\"]\nmessages = 1\n", site, channel);
    options_t *options = world_loaded(text, NULL);
    ck_assert_uint_eq(strlen(options->channel[0].label), 205);
    ck_assert_uint_eq(options->channel[0].messages, 1);
    options_destroy(&options);
}
END_TEST

static void write_effective(struct buffer *to, const char *text)
{
    options_t *options = world_loaded(text, NULL);
    options_write(to, options);
    buffer_put_byte(to, '\0');
    options_destroy(&options);
}

START_TEST(effective_settings_are_settings)
{
    struct buffer first = {0}, second = {0};
    write_effective(&first, "[streams]\nmessages = 3\n"
                            "[gateway]\nallowed_origins = https://a https://b\nanonymous = yes\n"
                            "[channel \"chat\"]\nclient_history = no\n[channel \"acme/chat\"]\n"
                            "[backends \"a\"]\nbind = ipc:///a\n"
                            "[rule \"r\"]\nchannel = c\nresource =  a; b \ndeny = visitor\n");
    write_effective(&second, (const char *)first.data);
    ck_assert_str_eq((const char *)first.data, (const char *)second.data);
    ck_assert_ptr_nonnull(
        strstr((const char *)first.data, "\nallowed_origins = https://a https://b\n"));
    ck_assert_ptr_nonnull(strstr((const char *)first.data, "\n[channel \"chat\"]\n"));
    ck_assert_ptr_nonnull(strstr((const char *)first.data, "\nmessages = 3\n"));
    buffer_free(&first);
    buffer_free(&second);
}
END_TEST

START_TEST(help_and_reference_come_from_the_table)
{
    struct buffer help = {0}, reference = {0};
    options_write_help(&help, "log");
    buffer_put_byte(&help, '\0');
    ck_assert_str_eq((const char *)help.data, "  level = info\n"
                                              "      lines below this level are not written\n"
                                              "      debug, info, warn or error\n");
    options_write_reference(&reference);
    buffer_put_byte(&reference, '\0');
    const char *text = (const char *)reference.data;
#define OPTIONS_SECTION(section, about)                                                            \
    ck_assert_ptr_nonnull(strstr(text, "\n## `[" #section "]`\n"));
#define OPTIONS_NAMED(section, about)                                                              \
    ck_assert_ptr_nonnull(strstr(text, "\n## `[" #section " \"LABEL\"]`\n"));
#include "common/options.def"
#undef OPTIONS_SECTION
#undef OPTIONS_NAMED
    ck_assert_ptr_nonnull(
        strstr(text, "\n| `messages` | that of [streams] messages | messages kept"));
    ck_assert_ptr_nonnull(strstr(text, "\n| `apps` | empty | app ids"));
    buffer_free(&help);
    buffer_free(&reference);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("options");
    TCase *tests = tcase_create("options");
    tcase_add_checked_fixture(tests, world_setup, world_teardown);
    tcase_add_test(tests, defaults_need_nothing);
    tcase_add_test(tests, reads_a_file);
    tcase_add_test(tests, the_default_site_says_who_may_be_anonymous);
    tcase_add_test(tests, reads_labelled_sections_in_order);
    tcase_add_test(tests, unset_channel_keys_take_those_of_streams);
    tcase_add_test(tests, every_bad_rule_is_told);
    tcase_add_test(tests, reads_who_may_read);
    tcase_add_test(tests, the_store_is_beside_the_settings_that_name_it);
    tcase_add_test(tests, the_store_is_durable_unless_somebody_says_otherwise);
    tcase_add_test(tests, a_path_that_is_too_long_with_its_folder);
    tcase_add_test(tests, the_environment_wins);
    tcase_add_test(tests, includes_files_relative_to_the_including_one);
    tcase_add_test(tests, two_addresses_may_share_a_port);
    tcase_add_test(tests, a_label_may_be_as_long_as_site_and_channel);
    tcase_add_test(tests, effective_settings_are_settings);
    tcase_add_test(tests, help_and_reference_come_from_the_table);
    suite_add_tcase(suite, tests);
    return unit_run(suite);
}
