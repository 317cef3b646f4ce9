#include "cli/permission_view.h"

#include <stdio.h>
#include <string.h>

#include "bytes.h"
#include "proto/json_doc.h"
#include "unit.h"

static struct buffer out, wire;
static wire_reader_t *reader;

static void setup(void)
{
    out = wire = (struct buffer){0};
    reader = wire_reader_new();
    ck_assert_ptr_nonnull(reader);
}

static void teardown(void)
{
    buffer_free(&out);
    buffer_free(&wire);
    wire_reader_destroy(&reader);
}

static void expect(const char *text)
{
    assert_text(buffer_span(&out), text);
    buffer_reset(&out);
}

/* What stands in `wire`. Valid until the next one. */
static const struct wire_value *read_wire(void)
{
    const char *why = "";
    const struct wire_value *value = wire_read(reader, buffer_span(&wire), 8, 65536, &why);
    ck_assert_msg(value, "%s", why);
    return value;
}

/* A reply from JSON with ' for ". */
static const struct wire_value *reply(const char *quoted)
{
    struct buffer text = {0}, why = {0};
    for (; *quoted; quoted++)
        buffer_put_byte(&text, (uint8_t)(*quoted == '\'' ? '"' : *quoted));
    json_doc_t *doc = json_doc_parse(buffer_span(&text), 8, &why);
    ck_assert_msg(doc, "%.*s", SPAN_ARG(buffer_span(&why)));
    buffer_reset(&wire);
    json_to_wire(&wire, json_doc_root(doc));
    json_doc_destroy(&doc);
    buffer_free(&text);
    buffer_free(&why);
    return read_wire();
}

/* --- the list --- */

START_TEST(handlers_stand_in_the_order_of_their_places)
{
    ck_assert(permission_view_handlers(
        reply("{'id':1,'ok':true,'total':4,'handlers':["
              "{'site':'acme','app':'','channel':'news','workers':1,'breaker':'closed',"
              "'questions':1234,'failures':0},"
              "{'site':'acme','app':'','channel':'chat','resource':'room 1','workers':0,"
              "'breaker':'open','questions':9,'failures':8},"
              "{'site':'acme','app':'crm','workers':2,'breaker':'closed','questions':5,"
              "'failures':0},"
              "{'site':'acme','app':'','channel':'chat','workers':1,'breaker':'closed',"
              "'questions':0,'failures':0}]}"),
        &out));
    expect("SITE  APP  LEVEL     CHANNEL      WORKERS  BREAKER  QUESTIONS  FAILURES\n"
           "acme  -    channel   chat               1   closed          0         0\n"
           "acme  -    resource  chat:room 1        0     open          9         8\n"
           "acme  -    channel   news               1   closed      1,234         0\n"
           "acme  crm  default   default            2   closed          5         0\n");
}
END_TEST

START_TEST(no_handlers_are_no_empty_table)
{
    ck_assert(permission_view_handlers(reply("{'total':0,'handlers':[]}"), &out));
    expect("No permission handler is registered.\n");
}
END_TEST

static void put_many(size_t count, uint64_t total)
{
    buffer_reset(&wire);
    wire_put_map(&wire, 2);
    wire_put_word(&wire, "total");
    wire_put_uint(&wire, total);
    wire_put_word(&wire, "handlers");
    wire_put_array(&wire, count);
    for (size_t i = 0; i < count; i++) {
        wire_put_map(&wire, 1);
        wire_put_word(&wire, "channel");
        wire_put_word(&wire, "chat");
    }
}

START_TEST(what_is_not_shown_is_counted)
{
    put_many(1000, 1234567);
    ck_assert(permission_view_handlers(read_wire(), &out));
    static const char last[] = "\n1,000 of 1,234,567 are shown.\n";
    ck_assert_uint_gt(out.size, sizeof last);
    ck_assert_mem_eq(out.data + out.size - strlen(last), last, strlen(last));
    buffer_reset(&out);
    put_many(2, 2);
    ck_assert(permission_view_handlers(read_wire(), &out));
    ck_assert_ptr_null(memchr(out.data, '.', out.size));
}
END_TEST

START_TEST(what_is_no_list_is_refused)
{
    static const char *const texts[] = {"{}",
                                        "[]",
                                        "5",
                                        "{'total':1}",
                                        "{'handlers':[]}",
                                        "{'total':-1,'handlers':[]}",
                                        "{'total':0,'handlers':{}}"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        ck_assert_msg(!permission_view_handlers(reply(texts[i]), &out), "%s", texts[i]);
}
END_TEST

START_TEST(entries_of_any_kind_do_no_harm)
{
    ck_assert(permission_view_handlers(
        reply("{'total':3,'handlers':[5,{'site':7,'channel':'a\\u001b[2Jb','workers':-1},null]}"),
        &out));
    ck_assert_ptr_null(memchr(out.data, '\033', out.size));
}
END_TEST

/* --- explanations --- */

static struct permission_question question(const char *text, const char *subscriber)
{
    struct permission_question asked = {.type = "MEMBER", .subscriber = subscriber};
    struct address context = {.view = VIEW_LIVE};
    ck_assert_int_eq(address_parse(span_text(text), &context, &asked.address), ADDRESS_OK);
    return asked;
}

static void explain(const char *text)
{
    struct permission_question asked = question("chat:room-1", "ann");
    ck_assert_msg(permission_view_explanation(reply(text), &asked, &out), "%s", text);
}

START_TEST(a_handler_that_grants)
{
    explain("{'read':true,'status':0,'level':'resource','by':'handler','source':'live',"
            "'took_ms':3}");
    expect("ann (MEMBER) may read chat:room-1\n"
           "  level   resource\n"
           "  by      the handler of chat:room-1\n"
           "  answer  live, after 3 ms\n"
           "  holds   as long as the subscription lives\n");
}
END_TEST

START_TEST(a_handler_that_refuses)
{
    explain("{'read':false,'status':403,'level':'channel','by':'handler','source':'live',"
            "'took_ms':0}");
    expect("ann (MEMBER) may not read chat:room-1: 403 read permission refused\n"
           "  level   channel\n"
           "  by      the handler of chat\n"
           "  answer  live, after 0 ms\n");
}
END_TEST

START_TEST(a_handler_that_is_away)
{
    explain("{'read':false,'status':503,'message':'not connected','level':'default',"
            "'by':'handler','source':'live','took_ms':0}");
    expect("ann (MEMBER) may not read chat:room-1: 503 not connected\n"
           "  level   default\n"
           "  by      the default handler\n"
           "  answer  live, after 0 ms\n");
}
END_TEST

/* The last line of an explanation with this verdict, source and ttl. */
static void expect_holding(const char *verdict, const char *source, const char *ttl,
                           const char *line)
{
    char text[300];
    snprintf(text, sizeof text,
             "{%s,'level':'channel','by':'handler','source':'%s','ttl':%s,'took_ms':1}", verdict,
             source, ttl);
    explain(text);
    size_t size = strlen(line);
    ck_assert_uint_gt(out.size, size);
    assert_text(span_of(out.data + out.size - size, size), line);
    buffer_reset(&out);
}

START_TEST(how_long_it_holds)
{
    static const char granted[] = "'read':true,'status':0";
    static const char refused[] = "'read':false,'status':403";
    expect_holding(granted, "live", "60", "  holds   for 60 s\n");
    expect_holding(granted, "live", "60.0", "  holds   for 60 s\n");
    expect_holding(granted, "live", "0.05", "  holds   for 0.050 s\n");
    expect_holding(granted, "live", "2592000.0", "  holds   for 2,592,000 s\n");
    expect_holding(granted, "cached", "58.312", "  holds   for another 58.312 s\n");
    expect_holding(granted, "cached", "0", "  holds   for another 0 s\n");
    expect_holding(granted, "live", "0.0",
                   "  holds   for one message: the handler is asked for each\n");
    expect_holding(refused, "live", "5.0", "  holds   for 5 s\n");
    expect_holding(refused, "live", "0", "  answer  live, after 1 ms\n");
    expect_holding("'read':false,'status':503", "live", "5", "  answer  live, after 1 ms\n");
}
END_TEST

/* The line that says who decided it. */
static void expect_by(const char *level, const char *by, const char *line)
{
    char text[300], whole[200];
    snprintf(text, sizeof text,
             "{'read':true,'status':0,'level':'%s',%s,'source':'static','took_ms':0}", level, by);
    explain(text);
    buffer_put_byte(&out, '\0');
    snprintf(whole, sizeof whole, "\n  by      %s\n  answer  static, ", line);
    ck_assert_msg(strstr((const char *)out.data, whole), "%s", (const char *)out.data);
    buffer_reset(&out);
}

START_TEST(who_decides_is_said)
{
    expect_by("channel", "'by':'rule','rule':'staff only'", "the rule \"staff only\" of chat");
    expect_by("default", "'by':'rule','rule':'all'", "the rule \"all\"");
    expect_by("none", "'by':'none'", "nobody: no handler is registered and no rule fits");
    expect_by("none", "'by':'required'", "the site's setting require_handlers: none is registered");
    expect_by("preview", "'by':'preview'",
              "the preview, where all may read and no handler is asked");
    expect_by("moon", "'by':'oracle'", "oracle");
}
END_TEST

START_TEST(apps_visitors_and_the_preview_are_named)
{
    static const char text[] = "{'read':true,'status':0,'level':'default','by':'handler',"
                               "'source':'live','took_ms':0}";
    struct permission_question asked = question("crm/chat", "");
    asked.type = "VISITOR";
    asked.address.view = VIEW_PREVIEW;
    ck_assert(permission_view_explanation(reply(text), &asked, &out));
    expect("a VISITOR without an id may read crm/chat in preview\n"
           "  level   default\n"
           "  by      the default handler of app crm\n"
           "  answer  live, after 0 ms\n"
           "  holds   as long as the subscription lives\n");
}
END_TEST

START_TEST(texts_of_others_cannot_steer_a_terminal)
{
    struct permission_question asked = question("chat:\xc3\xbc\x1b[2J", "a\x1b\xc2\x9b"
                                                                        "b");
    ck_assert(permission_view_explanation(
        reply("{'read':false,'status':400,'message':'n\xc3\xb6 \\u001b[2J\\n\\u009b',"
              "'level':'resource','by':'handler','source':'live','took_ms':0}"),
        &asked, &out));
    expect("a??b (MEMBER) may not read chat:\xc3\xbc?[2J: 400 n\xc3\xb6 ?[2J??\n"
           "  level   resource\n"
           "  by      the handler of chat:\xc3\xbc?[2J\n"
           "  answer  live, after 0 ms\n");
}
END_TEST

START_TEST(what_is_no_explanation_is_refused)
{
    static const char *const texts[] = {
        "{}",
        "[]",
        "{'read':1,'status':0,'level':'none','by':'none','source':'static'}",
        "{'read':true,'level':'none','by':'none','source':'static'}",
        "{'read':true,'status':0,'by':'none','source':'static'}",
        "{'read':true,'status':0,'level':'none','source':'static'}",
        "{'read':true,'status':0,'level':'none','by':'none'}",
        "{'read':true,'status':70000,'level':'none','by':'none','source':'static'}",
        "{'read':true,'status':0,'level':'none','by':'none','source':'static','ttl':1e300}",
        "{'read':true,'status':0,'level':'none','by':'none','source':'static','ttl':-0.5}"};
    struct permission_question asked = question("chat", "ann");
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        ck_assert_msg(!permission_view_explanation(reply(texts[i]), &asked, &out), "%s", texts[i]);
}
END_TEST

/* --- JSON --- */

START_TEST(json_is_the_reply_without_its_envelope)
{
    ck_assert(permission_view_json(
        reply("{'id':1,'ok':true,'total':1,'handlers':[{'site':'acme','workers':0}]}"), &out));
    expect("{\"total\":1,\"handlers\":[{\"site\":\"acme\",\"workers\":0}]}\n");
    ck_assert(permission_view_json(reply("{'read':true,'id':1,'ttl':1.5,'ok':true}"), &out));
    expect("{\"read\":true,\"ttl\":1.5}\n");
    ck_assert(permission_view_json(reply("{'ok':true}"), &out));
    expect("{}\n");
}
END_TEST

START_TEST(what_has_no_json_form_is_refused)
{
    wire_put_map(&wire, 1);
    wire_put_word(&wire, "level");
    wire_put_text(&wire, BYTES("\xff"));
    ck_assert(!permission_view_json(read_wire(), &out));
    buffer_reset(&wire);
    wire_put_map(&wire, 1);
    wire_put_uint(&wire, 1);
    wire_put_uint(&wire, 1);
    ck_assert(!permission_view_json(read_wire(), &out));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("permission_view");
    TCase *tests = tcase_create("all");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, handlers_stand_in_the_order_of_their_places);
    tcase_add_test(tests, no_handlers_are_no_empty_table);
    tcase_add_test(tests, what_is_not_shown_is_counted);
    tcase_add_test(tests, what_is_no_list_is_refused);
    tcase_add_test(tests, entries_of_any_kind_do_no_harm);
    tcase_add_test(tests, a_handler_that_grants);
    tcase_add_test(tests, a_handler_that_refuses);
    tcase_add_test(tests, a_handler_that_is_away);
    tcase_add_test(tests, how_long_it_holds);
    tcase_add_test(tests, who_decides_is_said);
    tcase_add_test(tests, apps_visitors_and_the_preview_are_named);
    tcase_add_test(tests, texts_of_others_cannot_steer_a_terminal);
    tcase_add_test(tests, what_is_no_explanation_is_refused);
    tcase_add_test(tests, json_is_the_reply_without_its_envelope);
    tcase_add_test(tests, what_has_no_json_form_is_refused);
    suite_add_tcase(suite, tests);
    return unit_run(suite);
}
