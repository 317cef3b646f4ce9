#include "common/options.h"
#include "unit.h"

#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

/* Each test runs in an empty directory of its own. */

static char directory[] = "/tmp/millrace-options-XXXXXX";
static char home[4096];
static struct buffer why;

static void setup(void)
{
    ck_assert_ptr_nonnull(getcwd(home, sizeof home));
    ck_assert_ptr_nonnull(mkdtemp(directory));
    ck_assert_int_eq(chdir(directory), 0);
}

static void teardown(void)
{
    static const char *const files[] = {"main.ini", "sub/a.ini", "sub/b.ini", "secret"};
    buffer_free(&why);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        unlink(files[i]);
    rmdir("sub");
    ck_assert_int_eq(chdir(home), 0);
    ck_assert_int_eq(rmdir(directory), 0);
    memcpy(directory + sizeof directory - 7, "XXXXXX", 6);
}

static void write_file(const char *name, struct span text)
{
    FILE *file = fopen(name, "w");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(text.data, 1, text.size, file), text.size);
    fclose(file);
}

static const char *explanation(void)
{
    buffer_put_byte(&why, '\0');
    return (const char *)why.data;
}

static options_t *load(const char *text, char *const *environment)
{
    if (text)
        write_file("main.ini", span_text(text));
    return options_load(text ? "main.ini" : NULL, environment, &why);
}

/* Loads, or fails the test with the reasons. */
static options_t *loaded(const char *text, char *const *environment)
{
    options_t *options = load(text, environment);
    ck_assert_msg(options, "%s", explanation());
    ck_assert_uint_eq(why.size, 0);
    return options;
}

static void refused(const char *text, char *const *environment, const char *lines)
{
    options_t *options = load(text, environment);
    ck_assert_ptr_null(options);
    ck_assert_str_eq(explanation(), lines);
    buffer_reset(&why);
}

START_TEST(defaults_need_nothing)
{
    options_t *options = loaded(NULL, NULL);
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
    options_t *options = loaded("\xef\xbb\xbf[broker]\r\n"
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
        options_t *options = loaded(cases[i].text, NULL);
        ck_assert_uint_eq(options_anonymous(options), cases[i].anonymous);
        options_destroy(&options);
    }
}
END_TEST

START_TEST(reads_labelled_sections_in_order)
{
    options_t *options = loaded("[channel \"chat\"]\n"
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
    options_t *options = loaded("[channel \"chat\"]\n"
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
    refused("[rule \"a\"]\nresource = x\nallow = admin\n"
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
    options_t *options = loaded("[site \"acme\"]\nrequire_handlers = yes\nunavailable = retry\n"
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
    options_t *options = options_load(file, environment, &why);
    ck_assert_msg(options, "%s", explanation());
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
    char *nothing[] = {"MILLRACE_STORE_PATH=", NULL};

    expect_store(NULL, NULL, "/", "millrace.db");
    expect_store(NULL, environment, "/", "e.db");
    expect_store(NULL, nothing, NULL, "");
    write_file("sub/a.ini", span_text("[store]\npath = x/own.db\n"));
    expect_store("sub/a.ini", NULL, "/sub/", "x/own.db");
    expect_store(whole, NULL, "/sub/", "x/own.db");
    expect_store("sub/a.ini", environment, "/", "e.db");
    write_file("main.ini", span_text("include = sub/a.ini\n"));
    expect_store("main.ini", NULL, "/sub/", "x/own.db");
    write_file("sub/a.ini", span_text("[store]\npath = /var/own.db\n"));
    expect_store("main.ini", NULL, NULL, "/var/own.db");
    write_file("sub/a.ini", span_text("[store]\npath =\n"));
    expect_store("main.ini", NULL, NULL, "");
    write_file("sub/a.ini", span_text(""));
    expect_store("main.ini", NULL, "/", "millrace.db");
    expect_store("sub/a.ini", NULL, "/sub/", "millrace.db");
}
END_TEST

START_TEST(a_path_that_is_too_long_with_its_folder)
{
    struct buffer text = {0};
    buffer_put_text(&text, "[store]\npath = ");
    for (int i = 0; i < 1020; i++)
        buffer_put_byte(&text, 'p');
    buffer_put_byte(&text, '\0');
    refused((const char *)text.data, NULL,
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
    write_file("secret", span_text("from-file\r\nsecond line\n"));
    options_t *options = loaded("[broker]\nadmin_port = 2\n[node]\nname = from-ini\n", environment);
    ck_assert_uint_eq(options->broker.admin_port, 3);
    ck_assert_str_eq(options->node.name, "from-file");
    options_destroy(&options);
}
END_TEST

START_TEST(includes_files_relative_to_the_including_one)
{
    mkdir("sub", 0700);
    write_file("sub/a.ini", span_text("include = b.ini\n[node]\nname = a\n"));
    write_file("sub/b.ini", span_text("[node]\nsite = b\n[channel \"chat\"]\n"));
    options_t *options = loaded("include = sub/a.ini\n[log]\nlevel = debug\n", NULL);
    ck_assert_str_eq(options->node.name, "a");
    ck_assert_str_eq(options->node.site, "b");
    ck_assert_uint_eq(options->log.level, 0);
    ck_assert_str_eq(options->channel[0].where, "sub/b.ini:3");
    options_destroy(&options);
}
END_TEST

START_TEST(errors_in_an_included_file_name_that_file)
{
    mkdir("sub", 0700);
    write_file("sub/a.ini", span_text("include = b.ini\n\n[node]\nname = x\n"));
    write_file("sub/b.ini", span_text("[log]\nlevel = loud\n"));
    refused("include = sub/a.ini\n[node]\nname = y\n", NULL,
            "sub/b.ini:2: [log] level: must be debug, info, warn or error\n"
            "main.ini:3: [node] name: already set at sub/a.ini:4\n");
    write_file("sub/b.ini", span_text("include = b.ini\n"));
    refused("include = sub/b.ini\n", NULL,
            "sub/b.ini:1: include: files may include files 4 deep\n");
    refused("include = sub/none.ini\n", NULL,
            "main.ini:1: sub/none.ini cannot be read: No such file or directory\n");
    refused("include = sub\n", NULL, "main.ini:1: sub cannot be read: not a regular file\n");
}
END_TEST

START_TEST(all_errors_are_reported_in_one_go)
{
    refused("[broker]\nadmin_port = x\n[log]\nlevel = 1\n[channel \"c\"]\nsecond = 1\n", NULL,
            "main.ini:2: [broker] admin_port: must be a whole number, 0 to 65535 (port)\n"
            "main.ini:4: [log] level: must be debug, info, warn or error\n"
            "main.ini:6: [channel \"c\"] second: unknown key; valid keys: messages, bytes, "
            "seconds, client_history, presence, check\n");
}
END_TEST

START_TEST(a_flood_of_errors_is_cut)
{
    struct buffer text = {0};
    for (int i = 0; i < 1000; i++)
        buffer_put_text(&text, "x = 1\n");
    buffer_put_byte(&text, '\0');
    ck_assert_ptr_null(load((const char *)text.data, NULL));
    const char *got = explanation();
    ck_assert_ptr_nonnull(strstr(got, "main.ini:100: "));
    ck_assert_ptr_null(strstr(got, "main.ini:101: "));
    ck_assert_str_eq(got + strlen(got) - 10, "\nand more\n");

    mkdir("sub", 0700);
    buffer_reset(&text);
    buffer_reset(&why);
    for (int i = 0; i < 300; i++)
        buffer_put_text(&text, "include = b.ini\n");
    write_file("sub/a.ini", buffer_span(&text));
    write_file("sub/b.ini", span_text(""));
    ck_assert_ptr_null(load("include = sub/a.ini\n", NULL));
    ck_assert_ptr_nonnull(strstr(explanation(), "sub/a.ini:255: include: more than 256 files\n"));
    buffer_free(&text);
}
END_TEST

START_TEST(errors_of_the_environment_name_the_variable)
{
    char *wrong[] = {"MILLRACE_BROKER_ADMIN_PORT=x", NULL};
    refused(NULL, wrong,
            "environment MILLRACE_BROKER_ADMIN_PORT: [broker] admin_port: must be a whole number, "
            "0 to 65535 (port)\n");
    char *bind[] = {"MILLRACE_BROKER_CONTROL=tcp://0.0.0.0:7400", NULL};
    refused("[broker]\ncontrol = tcp://127.0.0.1:1\n", bind,
            "environment MILLRACE_BROKER_CONTROL: [broker] control: broker.control binds beyond "
            "loopback without keys; use 127.0.0.0/8, [::1] or ipc://\n");
    char *both[] = {"MILLRACE_NODE_NAME=a", "MILLRACE_NODE_NAME_FILE=secret", NULL};
    refused(NULL, both,
            "environment MILLRACE_NODE_NAME: set, and also MILLRACE_NODE_NAME_FILE: only one of "
            "them may be\n");
    char *missing[] = {"MILLRACE_NODE_NAME_FILE=secret", NULL};
    refused(NULL, missing,
            "environment MILLRACE_NODE_NAME_FILE: secret cannot be read: No such file or "
            "directory\n");
    char *conflict[] = {"MILLRACE_GATEWAY_ADMIN_PORT=8000", NULL};
    refused(NULL, conflict,
            "environment MILLRACE_GATEWAY_ADMIN_PORT: [gateway] admin_port: the same port as "
            "gateway.listen_port\n");
    char *moved[] = {"MILLRACE_GATEWAY_LISTEN_PORT=8001", NULL};
    refused(NULL, moved, "default: [gateway] admin_port: the same port as gateway.listen_port\n");
}
END_TEST

START_TEST(files_that_are_no_settings)
{
    refused("x = 1", NULL,
            "main.ini:1: x: before the first [section] only include = PATH is "
            "allowed\n");
    write_file("main.ini", span_of("[node]\nname = a\0b\n", 17));
    ck_assert_ptr_null(options_load("main.ini", NULL, &why));
    ck_assert_str_eq(explanation(), "main.ini cannot be read: it has a zero byte\n");
    buffer_reset(&why);

    char *large = malloc(1024 * 1024 + 1);
    memset(large, '#', 1024 * 1024 + 1);
    write_file("main.ini", span_of(large, 1024 * 1024 + 1));
    ck_assert_ptr_null(options_load("main.ini", NULL, &why));
    ck_assert_str_eq(explanation(), "main.ini cannot be read: too large\n");
    buffer_reset(&why);

    write_file("main.ini", span_of(large, 1024 * 1024)); /* one line */
    ck_assert_ptr_null(options_load("main.ini", NULL, &why));
    ck_assert_str_eq(explanation(), "main.ini:1: the line is longer than 4095 bytes\n");
    free(large);
}
END_TEST

#define NUMBER(min, max, unit) "must be a whole number, " min " to " max " (" unit ")"
#define SIZE(min, max)         NUMBER(min, max, "bytes; k, m, g: times 1024, 1024^2, 1024^3")
#define ENDPOINT               "must be tcp://ADDRESS:PORT or ipc://PATH"
#define NAME                   "must be 1 to 64 letters, digits, '.', '_' or '-'"
#define ADDRESS                "must be an IPv4 or IPv6 address"
#define APPS                   "must be app ids (letters, digits, '.', '_' or '-'), separated by spaces"
#define ORIGINS                "must be origins such as https://example.com, separated by spaces, or *"
#define BEYOND                 " binds beyond loopback without keys; use 127.0.0.0/8, [::1] or ipc://"
#define SYNTAX                 "neither a [section], nor key = value, nor a comment"
#define PATH                   "must be a path: at most 1024 bytes, none of them a control character"
#define CHANNEL_LABEL          "the label must be a channel, or a site, '/' and a channel"
#define ANONYMOUS                                                                                  \
    "listens beyond loopback: say anonymous = yes or anonymous = no, whether clients may connect " \
    "without a token"
#define KEYS_OF_NODE "unknown key; valid keys: name, site"
#define SECTIONS                                                                                   \
    "unknown section; there are [node], [log], [broker], [streams], [store], [gateway], "          \
    "[backends \"...\"], [site \"...\"], [channel \"...\"], [rule \"...\"]"
#define TYPES "must be words out of: admin member visitor everyone"

/* Each is refused with exactly this line behind "main.ini:". */
static const struct {
    const char *text, *line;
} bad[] = {
    /* lines */
    {"nonsense", "1: " SYNTAX},
    {"[node]\nname\n", "2: " SYNTAX},
    {"[node]\nname ; = x\n", "2: " SYNTAX},
    {"name = x\n", "1: name: before the first [section] only include = PATH is allowed"},
    {"include =\n", "1: include: the path is empty"},
    {"[node]\ninclude = x.ini\n", "2: [node] include: " KEYS_OF_NODE},
    /* sections */
    {"[node\nname = x\n", "1: a section ends with ']'"},
    {"[node] name = x\n", "1: nothing may follow a section on its line"},
    {"[nodes]\nname = x\n", "1: [nodes]: " SECTIONS},
    {"[Node]\n", "1: [Node]: " SECTIONS},
    {"[]\n", "1: []: " SECTIONS},
    {"[node \"a\"]\n", "1: this section takes no label: [name]"},
    {"[channel]\n", "1: this section needs a label: [name \"label\"]"},
    {"[channel chat]\n", "1: this section needs a label: [name \"label\"]"},
    {"[channel \"chat]\n", "1: this section needs a label: [name \"label\"]"},
    {"[channel \"chat\" x]\n", "1: this section needs a label: [name \"label\"]"},
    {"[channel \"a\"]\n[channel \"b\"]\n[channel \"a\"]\n",
     "3: [channel \"a\"]: this label is already used at main.ini:1"},
    {"[channel \"\"]\n", "1: [channel \"\"]: " CHANNEL_LABEL},
    {"[channel \"a b\"]\n", "1: [channel \"a b\"]: " CHANNEL_LABEL},
    {"[channel \"acme/\"]\n", "1: [channel \"acme/\"]: " CHANNEL_LABEL},
    {"[channel \"/chat\"]\n", "1: [channel \"/chat\"]: " CHANNEL_LABEL},
    {"[channel \"a/b/c\"]\n", "1: [channel \"a/b/c\"]: " CHANNEL_LABEL},
    {"[channel \"chat:room\"]\n", "1: [channel \"chat:room\"]: " CHANNEL_LABEL},
    {"[site \"a b\"]\n", "1: [site \"a b\"]: the label " NAME},
    {"[site \"a\"]\nkeys = a\001b\n", "2: [site \"a\"] keys: " PATH},
    {"[site \"a\"]\nanonymous = maybe\n", "2: [site \"a\"] anonymous: must be unset, yes or no"},
    {"[backends \"a b\"]\nbind = ipc:///a\n", "1: [backends \"a b\"]: the label " NAME},
    /* keys */
    {"[node]\nnames = x\n", "2: [node] names: " KEYS_OF_NODE},
    {"[node]\nName = x\n", "2: [node] Name: " KEYS_OF_NODE},
    {"[node]\n= x\n", "2: [node] : " KEYS_OF_NODE},
    {"[node]\nname = x\nname = y\n", "3: [node] name: already set at main.ini:2"},
    {"[node]\nname = x\n[log]\n[node]\nname = x\n", "5: [node] name: already set at main.ini:2"},
    /* numbers */
    {"[broker]\nadmin_port = 65536\n", "2: [broker] admin_port: " NUMBER("0", "65535", "port")},
    {"[broker]\nadmin_port = -1\n", "2: [broker] admin_port: " NUMBER("0", "65535", "port")},
    {"[broker]\nadmin_port = +1\n", "2: [broker] admin_port: " NUMBER("0", "65535", "port")},
    {"[broker]\nadmin_port =\n", "2: [broker] admin_port: " NUMBER("0", "65535", "port")},
    {"[broker]\nadmin_port = 1k\n", "2: [broker] admin_port: " NUMBER("0", "65535", "port")},
    {"[broker]\nadmin_port = 0x10\n", "2: [broker] admin_port: " NUMBER("0", "65535", "port")},
    {"[broker]\nadmin_port = 1 # x\n", "2: [broker] admin_port: " NUMBER("0", "65535", "port")},
    {"[broker]\nadmin_port = 18446744073709551617\n",
     "2: [broker] admin_port: " NUMBER("0", "65535", "port")},
    {"[gateway]\nconnect_seconds = 0\n", "2: [gateway] connect_seconds: " NUMBER("1", "3600", "s")},
    {"[gateway]\nconnect_seconds = 1.5\n",
     "2: [gateway] connect_seconds: " NUMBER("1", "3600", "s")},
    {"[broker]\npayload_bytes = 1\n", "2: [broker] payload_bytes: " SIZE("2", "1048576")},
    {"[broker]\npayload_bytes = 2m\n", "2: [broker] payload_bytes: " SIZE("2", "1048576")},
    {"[broker]\npayload_bytes = k\n", "2: [broker] payload_bytes: " SIZE("2", "1048576")},
    {"[broker]\npayload_bytes = 10K\n", "2: [broker] payload_bytes: " SIZE("2", "1048576")},
    {"[broker]\npayload_bytes = 10kb\n", "2: [broker] payload_bytes: " SIZE("2", "1048576")},
    {"[streams]\nbytes = 18014398509481984k\n", "2: [streams] bytes: " SIZE("0", "1073741824")},
    /* words */
    {"[log]\nlevel = INFO\n", "2: [log] level: must be debug, info, warn or error"},
    {"[log]\nlevel = inf\n", "2: [log] level: must be debug, info, warn or error"},
    {"[log]\nlevel =\n", "2: [log] level: must be debug, info, warn or error"},
    {"[gateway]\nanonymous = true\n", "2: [gateway] anonymous: must be unset, yes or no"},
    {"[channel \"c\"]\nclient_history = 1\n",
     "2: [channel \"c\"] client_history: must be yes or no"},
    {"[channel \"c\"]\nclient_history = Yes\n",
     "2: [channel \"c\"] client_history: must be yes or no"},
    /* texts */
    {"[node]\nname =\n", "2: [node] name: " NAME},
    {"[node]\nname = a b\n", "2: [node] name: " NAME},
    {"[node]\nsite =\n", "2: [node] site: must be set"},
    {"[node]\nsite = a/b\n", "2: [node] site: " NAME},
    {"[broker]\ncontrol =\n", "2: [broker] control: must be set"},
    {"[broker]\ncontrol = 127.0.0.1:7400\n", "2: [broker] control: " ENDPOINT},
    {"[broker]\ncontrol = inproc://x\n", "2: [broker] control: " ENDPOINT},
    {"[broker]\nadmin_address = localhost\n", "2: [broker] admin_address: " ADDRESS},
    {"[gateway]\nlisten_address =\n", "2: [gateway] listen_address: " ADDRESS},
    {"[gateway]\npublications =\n", "2: [gateway] publications: must be set"},
    {"[gateway]\nallowed_origins = example.com\n", "2: [gateway] allowed_origins: " ORIGINS},
    {"[gateway]\nallowed_origins = https://a/\n", "2: [gateway] allowed_origins: " ORIGINS},
    {"[gateway]\nallowed_origins = https://a,https://b\n",
     "2: [gateway] allowed_origins: " ORIGINS},
    {"[backends \"a\"]\nbind = ipc:///a\napps = a/b\n", "3: [backends \"a\"] apps: " APPS},
    {"[backends \"a\"]\nbind = ipc:///a\nmay = publish,history\n",
     "3: [backends \"a\"] may: must be words out of: publish history preview handle revoke"},
    {"\n[backends \"a\"]\nsite = x\n", "2: [backends \"a\"] bind: must be set"},
    /* listeners */
    {"[broker]\ncontrol = tcp://0.0.0.0:7400\n", "2: [broker] control: broker.control" BEYOND},
    {"[broker]\npublications = tcp://*:7401\n",
     "2: [broker] publications: broker.publications" BEYOND},
    {"[broker]\nbackends = tcp://[::]:7402\n", "2: [broker] backends: broker.backends" BEYOND},
    {"[broker]\ncontrol = tcp://localhost:7400\n", "2: [broker] control: broker.control" BEYOND},
    {"[backends \"a\"]\nbind = tcp://10.0.0.1:1\n",
     "2: [backends \"a\"] bind: backends.bind" BEYOND},
    {"[gateway]\nlisten_address = 0.0.0.0\n", "2: [gateway] listen_address: " ANONYMOUS},
    {"[gateway]\nanonymous = unset\nlisten_address = ::\n",
     "3: [gateway] listen_address: " ANONYMOUS},
    {"[gateway]\nlisten_address = 0.0.0.0\nanonymous = yes\ndemo_root = /x\ndemo = yes\n",
     "5: [gateway] demo: may only be yes while listen_address is a loopback address"},
    {"[gateway]\n\ndemo = yes\n",
     "3: [gateway] demo: needs demo_root, the folder with the files of the page"},
    {"[gateway]\ndemo_root = a\tb\n", "2: [gateway] demo_root: " PATH},
    {"[gateway]\nadmin_port = 8000\n",
     "2: [gateway] admin_port: the same port as gateway.listen_port"},
    {"[broker]\nadmin_port = 7400\n", "2: [broker] admin_port: the same port as broker.control"},
    {"[broker]\npublications = tcp://127.0.0.1:7400\n",
     "2: [broker] publications: the same port as broker.control"},
    {"[backends \"a\"]\nbind = tcp://127.0.0.1:7402\n",
     "2: [backends \"a\"] bind: the same port as broker.backends"},
    {"[backends \"a\"]\nbind = ipc:///a\n[backends \"b\"]\nbind = ipc:///a\n",
     "4: [backends \"b\"] bind: the same port as backends.bind"},
    /* who may read */
    {"[site \"a\"]\nrequire_handlers = maybe\n",
     "2: [site \"a\"] require_handlers: must be yes or no"},
    {"[site \"a\"]\nunavailable = never\n",
     "2: [site \"a\"] unavailable: must be auto, refuse or retry"},
    {"[channel \"c\"]\ncheck = always\n",
     "2: [channel \"c\"] check: must be subscription or message"},
    {"[broker]\ncheck_ms = 4801\n", "2: [broker] check_ms: " NUMBER("100", "4800", "ms")},
    {"[rule]\nallow = admin\n", "1: this section needs a label: [name \"label\"]"},
    {"[rule \"a b\"]\nallow = admin\n", "1: [rule \"a b\"]: the label " NAME},
    {"[rule \"r\"]\nallow = admin,member\n", "2: [rule \"r\"] allow: " TYPES},
    {"[rule \"r\"]\nallow = admin\ndeny = guest\n", "3: [rule \"r\"] deny: " TYPES},
    {"[rule \"r\"]\nsite = a b\n", "2: [rule \"r\"] site: " NAME},
    {"[rule \"r\"]\napp = a/b\n", "2: [rule \"r\"] app: " NAME},
    {"[rule \"r\"]\nallow = admin\nchannel = chat:a\n",
     "3: [rule \"r\"] channel: must be a channel: letters, digits, '_' and '-', with an optional "
     "leading '@'"},
    {"[rule \"r\"]\nchannel = c\nresource = \xff\n",
     "3: [rule \"r\"] resource: must be a resource: at most 139 characters of UTF-8, the first of "
     "them no ';'"},
    {"[node]\nname = n\n[rule \"r\"]\nresource = a\nallow = admin\n",
     "3: [rule \"r\"] resource: needs channel, the one that the resource is of"},
    {"\n[rule \"r\"]\nchannel = c\nallow =\n",
     "2: [rule \"r\"] says nothing: it needs allow or deny, such as allow = member admin"},
    {"[rule \"a\"]\nchannel = c\nallow = admin\n[rule \"b\"]\ndeny = visitor\nchannel = c\n",
     "4: [rule \"b\"] is about the same site, app, channel and resource as [rule \"a\"]"},
    {"[store]\npath = a\001b\n", "2: [store] path: " PATH},
};

START_TEST(bad_settings_are_refused_with_their_line)
{
    char want[512];
    snprintf(want, sizeof want, "main.ini:%s\n", bad[_i].line);
    refused(bad[_i].text, NULL, want);
}
END_TEST

START_TEST(two_addresses_may_share_a_port)
{
    options_t *options = loaded("[gateway]\nadmin_address = 127.0.0.2\nadmin_port = 8000\n"
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
    options_t *options = loaded(text, NULL);
    ck_assert_uint_eq(strlen(options->channel[0].label), 205);
    ck_assert_uint_eq(options->channel[0].messages, 1);
    options_destroy(&options);
}
END_TEST

static void write_effective(struct buffer *to, const char *text)
{
    options_t *options = loaded(text, NULL);
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
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, defaults_need_nothing);
    tcase_add_test(tests, reads_a_file);
    tcase_add_test(tests, the_default_site_says_who_may_be_anonymous);
    tcase_add_test(tests, reads_labelled_sections_in_order);
    tcase_add_test(tests, unset_channel_keys_take_those_of_streams);
    tcase_add_test(tests, every_bad_rule_is_told);
    tcase_add_test(tests, reads_who_may_read);
    tcase_add_test(tests, the_store_is_beside_the_settings_that_name_it);
    tcase_add_test(tests, a_path_that_is_too_long_with_its_folder);
    tcase_add_test(tests, the_environment_wins);
    tcase_add_test(tests, includes_files_relative_to_the_including_one);
    tcase_add_test(tests, errors_in_an_included_file_name_that_file);
    tcase_add_test(tests, all_errors_are_reported_in_one_go);
    tcase_add_test(tests, a_flood_of_errors_is_cut);
    tcase_add_test(tests, errors_of_the_environment_name_the_variable);
    tcase_add_test(tests, files_that_are_no_settings);
    tcase_add_loop_test(tests, bad_settings_are_refused_with_their_line, 0,
                        sizeof bad / sizeof *bad);
    tcase_add_test(tests, two_addresses_may_share_a_port);
    tcase_add_test(tests, a_label_may_be_as_long_as_site_and_channel);
    tcase_add_test(tests, effective_settings_are_settings);
    tcase_add_test(tests, help_and_reference_come_from_the_table);
    suite_add_tcase(suite, tests);
    return unit_run(suite);
}
