#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#include "options_world.h"
#include "unit.h"

START_TEST(errors_in_an_included_file_name_that_file)
{
    mkdir("sub", 0700);
    world_write_file("sub/a.ini", span_text("include = b.ini\n\n[node]\nname = x\n"));
    world_write_file("sub/b.ini", span_text("[log]\nlevel = loud\n"));
    world_refused("include = sub/a.ini\n[node]\nname = y\n", NULL,
                  "sub/b.ini:2: [log] level: must be debug, info, warn or error\n"
                  "main.ini:3: [node] name: already set at sub/a.ini:4\n");
    world_write_file("sub/b.ini", span_text("include = b.ini\n"));
    world_refused("include = sub/b.ini\n", NULL,
                  "sub/b.ini:1: include: files may include files 4 deep\n");
    world_refused("include = sub/none.ini\n", NULL,
                  "main.ini:1: sub/none.ini cannot be read: No such file or directory\n");
    world_refused("include = sub\n", NULL, "main.ini:1: sub cannot be read: not a regular file\n");
}
END_TEST

START_TEST(all_errors_are_reported_in_one_go)
{
    world_refused("[broker]\nadmin_port = x\n[log]\nlevel = 1\n[channel \"c\"]\nsecond = 1\n", NULL,
                  "main.ini:2: [broker] admin_port: must be a whole number, 0 to 65535 (port)\n"
                  "main.ini:4: [log] level: must be debug, info, warn or error\n"
                  "main.ini:6: [channel \"c\"] second: unknown key; valid keys: messages, bytes, "
                  "seconds, client_history, presence, check, slow_reader\n");
}
END_TEST

START_TEST(a_flood_of_errors_is_cut)
{
    struct buffer text = {0};
    for (int i = 0; i < 1000; i++)
        buffer_put_text(&text, "x = 1\n");
    buffer_put_byte(&text, '\0');
    ck_assert_ptr_null(world_load((const char *)text.data, NULL));
    const char *got = world_reasons();
    ck_assert_ptr_nonnull(strstr(got, "main.ini:100: "));
    ck_assert_ptr_null(strstr(got, "main.ini:101: "));
    ck_assert_str_eq(got + strlen(got) - 10, "\nand more\n");

    mkdir("sub", 0700);
    buffer_reset(&text);
    for (int i = 0; i < 300; i++)
        buffer_put_text(&text, "include = b.ini\n");
    world_write_file("sub/a.ini", buffer_span(&text));
    world_write_file("sub/b.ini", span_text(""));
    ck_assert_ptr_null(world_load("include = sub/a.ini\n", NULL));
    ck_assert_ptr_nonnull(strstr(world_reasons(), "sub/a.ini:255: include: more than 256 files\n"));
    buffer_free(&text);
}
END_TEST

START_TEST(errors_of_the_environment_name_the_variable)
{
    char *wrong[] = {"MILLRACE_BROKER_ADMIN_PORT=x", NULL};
    world_refused(
        NULL, wrong,
        "environment MILLRACE_BROKER_ADMIN_PORT: [broker] admin_port: must be a whole number, "
        "0 to 65535 (port)\n");
    char *bind[] = {"MILLRACE_BROKER_CONTROL=tcp://0.0.0.0:7400", NULL};
    world_refused(
        "[broker]\ncontrol = tcp://127.0.0.1:1\n", bind,
        "environment MILLRACE_BROKER_CONTROL: [broker] control: broker.control binds beyond "
        "loopback without keys; use 127.0.0.0/8, [::1] or ipc://\n");
    char *both[] = {"MILLRACE_NODE_NAME=a", "MILLRACE_NODE_NAME_FILE=secret", NULL};
    world_refused(
        NULL, both,
        "environment MILLRACE_NODE_NAME: set, and also MILLRACE_NODE_NAME_FILE: only one of "
        "them may be\n");
    char *missing[] = {"MILLRACE_NODE_NAME_FILE=secret", NULL};
    world_refused(NULL, missing,
                  "environment MILLRACE_NODE_NAME_FILE: secret cannot be read: No such file or "
                  "directory\n");
    char *conflict[] = {"MILLRACE_GATEWAY_ADMIN_PORT=8000", NULL};
    world_refused(NULL, conflict,
                  "environment MILLRACE_GATEWAY_ADMIN_PORT: [gateway] admin_port: the same port as "
                  "gateway.listen_port\n");
    char *moved[] = {"MILLRACE_GATEWAY_LISTEN_PORT=8001", NULL};
    world_refused(NULL, moved,
                  "default: [gateway] admin_port: the same port as gateway.listen_port\n");
}
END_TEST

static void refused_file(const char *lines)
{
    ck_assert_ptr_null(world_load_file("main.ini", NULL));
    ck_assert_str_eq(world_reasons(), lines);
}

START_TEST(files_that_are_no_settings)
{
    world_refused("x = 1", NULL,
                  "main.ini:1: x: before the first [section] only include = PATH is "
                  "allowed\n");
    world_write_file("main.ini", span_of("[node]\nname = a\0b\n", 17));
    refused_file("main.ini cannot be read: it has a zero byte\n");

    char *large = malloc(1024 * 1024 + 1);
    memset(large, '#', 1024 * 1024 + 1);
    world_write_file("main.ini", span_of(large, 1024 * 1024 + 1));
    refused_file("main.ini cannot be read: too large\n");

    world_write_file("main.ini", span_of(large, 1024 * 1024)); /* one line */
    refused_file("main.ini:1: the line is longer than 4095 bytes\n");
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
    {"[channel \"c\"]\nslow_reader = drop\n",
     "2: [channel \"c\"] slow_reader: must be disconnect, latest or drop_oldest"},
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
    {"[store]\npath =\n", "2: [store] path: must be set"},
    {"[store]\nengine = sqlite\npath =\n", "3: [store] path: must be set"},
    {"[store]\nengine = redis\n", "2: [store] engine: must be memory or sqlite"},
    {"[store]\nqueue_bytes = 1k\n",
     "2: [store] queue_bytes: must be a whole number, 1048576 to 4294967296 (bytes; k, m, g: "
     "times 1024, 1024^2, 1024^3)"},
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
    world_refused(bad[_i].text, NULL, want);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("options_refused");
    TCase *tests = tcase_create("options_refused");
    tcase_add_checked_fixture(tests, world_setup, world_teardown);
    tcase_add_test(tests, errors_in_an_included_file_name_that_file);
    tcase_add_test(tests, all_errors_are_reported_in_one_go);
    tcase_add_test(tests, a_flood_of_errors_is_cut);
    tcase_add_test(tests, errors_of_the_environment_name_the_variable);
    tcase_add_test(tests, files_that_are_no_settings);
    tcase_add_loop_test(tests, bad_settings_are_refused_with_their_line, 0,
                        sizeof bad / sizeof *bad);
    suite_add_tcase(suite, tests);
    return unit_run(suite);
}
