#include "cli/status_view.h"

#include <stdio.h>
#include <string.h>

#include "bytes.h"
#include "cli/status_table.h"
#include "unit.h"

static struct buffer out, why;

static void setup(void)
{
    out = (struct buffer){0};
    why = (struct buffer){0};
}

static void teardown(void)
{
    buffer_free(&out);
    buffer_free(&why);
}

static void expect(const char *text)
{
    assert_text(buffer_span(&out), text);
    buffer_reset(&out);
}

/* JSON with ' for ". Valid until the next call. */
static struct span json(const char *quoted)
{
    static char text[4096];
    ck_assert_uint_lt(strlen(quoted), sizeof text);
    char *to = text;
    for (; *quoted; quoted++)
        *to++ = *quoted == '\'' ? '"' : *quoted;
    *to = '\0';
    return span_text(text);
}

/* --- numbers --- */

START_TEST(thousands)
{
    static const struct {
        uint64_t number;
        const char *text;
    } cases[] = {{0, "0"},
                 {999, "999"},
                 {1000, "1,000"},
                 {1234567, "1,234,567"},
                 {1000007, "1,000,007"},
                 {UINT64_MAX, "18,446,744,073,709,551,615"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        put_thousands(&out, cases[i].number);
        expect(cases[i].text);
    }
}
END_TEST

START_TEST(rates)
{
    static const struct {
        double rate;
        const char *text;
    } cases[] = {{0, "0.0"},     {-1, "0.0"},       {0.34, "0.3"}, {99.94, "99.9"},
                 {99.96, "100"}, {1234.5, "1,235"}, {1e30, "huge"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        put_rate(&out, cases[i].rate);
        expect(cases[i].text);
    }
}
END_TEST

START_TEST(bytes)
{
    static const struct {
        uint64_t bytes;
        const char *text;
    } cases[] = {{0, "0 B"},
                 {1023, "1023 B"},
                 {1024, "1.0 KiB"},
                 {1536, "1.5 KiB"},
                 {1024 * 1024 - 1, "1.0 MiB"},
                 {UINT64_C(5) << 30, "5.0 GiB"},
                 {UINT64_MAX, "16.0 EiB"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        put_bytes(&out, cases[i].bytes);
        expect(cases[i].text);
    }
}
END_TEST

START_TEST(durations)
{
    static const struct {
        uint64_t ms;
        const char *text;
    } cases[] = {{0, "0.0 s"},
                 {450, "0.4 s"},
                 {9999, "9.9 s"},
                 {10000, "10 s"},
                 {119999, "119 s"},
                 {120000, "2 min"},
                 {7199999, "119 min"},
                 {7200000, "2 h"},
                 {172799999, "47 h"},
                 {172800000, "2 d"},
                 {UINT64_MAX, "213503982334 d"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        put_duration(&out, cases[i].ms);
        expect(cases[i].text);
    }
}
END_TEST

START_TEST(plain_text_cannot_steer_a_terminal)
{
    put_plain(&out, BYTES("a\x1b[2J\r\n\t\0\x7f\xc2\x9bz"), 64);
    expect("a?[2J??????"
           "?z");
    put_plain(&out, span_text("abcdef"), 3);
    expect("abc");
}
END_TEST

START_TEST(printable_text_keeps_its_letters)
{
    put_printable(&out,
                  BYTES("gr\xc3\xbc\xc3\x9f \xf0\x9f\x98\x80\x1b[2J\r\n\0\x7f\xc2\x9b\xc2\xa0z"));
    expect("gr\xc3\xbc\xc3\x9f \xf0\x9f\x98\x80?[2J?????\xc2\xa0z");
    put_printable(&out, BYTES("no UTF-8 \xc3\x1b\xc2"));
    expect("no UTF-8 ???");
    put_printable(&out, BYTES(""));
    expect("");
}
END_TEST

/* --- the table --- */

static void put_cells(status_table_t *table, const char *const *cells, size_t count)
{
    for (size_t i = 0; i < count; i++)
        status_table_put(table, span_text(cells[i]));
}

START_TEST(columns_are_as_wide_as_they_must)
{
    static const char *const cells[] = {"NAME",      "S", "N", "a", "long state",
                                        "1,234,567", "",  "x", ""};
    status_table_t *table = status_table_new(3, 2);
    ck_assert_ptr_nonnull(table);
    put_cells(table, cells, sizeof cells / sizeof *cells);
    status_table_write(table, &out);
    expect("NAME  S                   N\n"
           "a     long state  1,234,567\n"
           "      x\n");
    status_table_destroy(&table);
    ck_assert_ptr_null(table);
}
END_TEST

START_TEST(an_empty_table_is_nothing)
{
    status_table_t *table = status_table_new(1, 1);
    status_table_write(table, &out);
    expect("");
    status_table_destroy(&table);
    status_table_destroy(&table);
}
END_TEST

START_TEST(a_screen_is_drawn_over_the_last_one)
{
    status_screen(span_text("one\ntwo\n"), 80, 24, true, &out);
    expect("\033[H\033[2Jone\033[K\ntwo\033[K\n\033[J");
    status_screen(span_text("one\ntwo\n"), 80, 24, false, &out);
    expect("\033[Hone\033[K\ntwo\033[K\n\033[J");
}
END_TEST

START_TEST(a_screen_is_cut_where_the_terminal_ends)
{
    status_screen(span_text("123456789\n1\n"), 4, 3, false, &out);
    expect("\033[H1234\033[K\n1\033[K\n\033[J");
    status_screen(span_text("1\n2\n3\n4\n5\n"), 80, 4, false, &out);
    expect("\033[H1\033[K\n2\033[K\n... 3 more lines\033[K\n\033[J");
    status_screen(span_text("1\n2\n"), 80, 1, false, &out);
    expect("\033[H... 2 more lines\033[K\n\033[J");
}
END_TEST

/* --- the view --- */

#define BROKER                                                                                     \
    "{'node':'n1','version':'0.1.0','uptime_ms':60000,'memory_bytes':2097152,"                     \
    "'rates':{'acknowledged_total':500.0},'broker':{'acknowledged_total':1234567,'streams':50,"    \
    "'retained_bytes':1024,'backends':2,'gateways':2,'gateways_gone_total':1,"                     \
    "'recovered_total':4},"

#define FIGURES                                                                                    \
    "'figures':{'uptime_ms':50000,'ready':true,'draining':false,'connections':2000,"               \
    "'subscriptions':4000,'addresses':50,'bytes_queued':0,'memory_bytes':1048576,"                 \
    "'canary_age_ms':400,'canaries_missed_total':1,'gaps_total':2,'repaired_total':3,"             \
    "'lost_told_total':4,'closed_slow_total':5,'lagging':6,'queue_oldest_ms':7000,"                \
    "'left_out_total':8},"                                                                         \
    "'rates':{'publications_total':500.0,'deliveries_total':20000.0}}"

START_TEST(two_gateways_sorted_and_summed)
{
    enum status_view seen = status_view_text(
        json(BROKER "'gateways':[{'name':'gateway-2','state':'ok','age_ms':100," FIGURES
                    ",{'name':'gateway-1','state':'ok','age_ms':100," FIGURES "]}"),
        &out, &why);
    ck_assert_int_eq(seen, STATUS_VIEW_FINE);
    expect("node n1, Millrace 0.1.0, up 60 s, memory 2.0 MiB\n"
           "broker    1,234,567 published (500/s), 50 addresses, 1.0 KiB kept, 2 backends\n"
           "dropped   0 publications, 0 answers, 0 replies\n"
           "recovery  4 gave back all that was missed, 0 could not\n"
           "gateways  2 here, 1 gone since the start\n"
           "\n"
           "GATEWAY    STATE  CLIENTS  SUBSCR  ADDR   IN/S   OUT/S  QUEUED   MEMORY    UP\n"
           "gateway-1  ok       2,000   4,000    50    500  20,000     0 B  1.0 MiB  50 s\n"
           "gateway-2  ok       2,000   4,000    50    500  20,000     0 B  1.0 MiB  50 s\n"
           "together            4,000   8,000        1,000  40,000     0 B  2.0 MiB\n"
           "\n"
           "GATEWAY    CANARY  MISSED  DROPPED  REPAIRED  TOLD LOST\n"
           "gateway-1   0.4 s       1        2         3          4\n"
           "gateway-2   0.4 s       1        2         3          4\n"
           "together                2        4         6          8\n"
           "\n"
           "GATEWAY    SLOW  OLDEST  LEFT OUT  CLOSED SLOW\n"
           "gateway-1     6   7.0 s         8            5\n"
           "gateway-2     6   7.0 s         8            5\n"
           "together     12                16           10\n");
}
END_TEST

/* The last line of the view of one gateway, which must be wrong. */
static void expect_wrong(const char *gateway, const char *line)
{
    char text[2048];
    snprintf(text, sizeof text, BROKER "'gateways':[%s]}", gateway);
    ck_assert_int_eq(status_view_text(json(text), &out, &why), STATUS_VIEW_WRONG);
    buffer_put_byte(&out, '\0');
    ck_assert_msg(strstr((const char *)out.data, line), "%s", (const char *)out.data);
    buffer_reset(&out);
    ck_assert_int_eq(status_view_json(json(text), &out, &why), STATUS_VIEW_WRONG);
    buffer_reset(&out);
}

START_TEST(what_is_wrong_is_said)
{
    expect_wrong("", "\nWRONG: no gateway is connected, so no client can be\n");
    expect_wrong("{'name':'g','state':'silent','age_ms':4200," FIGURES,
                 "\nWRONG: g has told nothing for 4.2 s: it hangs, or its network does\n");
    expect_wrong("{'name':'g','state':'silent','age_ms':4200,'figures':null,'rates':null}",
                 "\nWRONG: g has told nothing for 4.2 s");
    expect_wrong("{'name':'g','state':'replaced','figures':{'ready':false,'canary_age_ms':0}}",
                 "\nWRONG: g runs twice: this one is the older, and a newer one has its name\n");
    expect_wrong("{'name':'g','state':'unready','figures':{'ready':false,'canary_age_ms':7000}}",
                 "\nWRONG: g has not heard the broker's publications for 7.0 s\n");
    expect_wrong("{'name':'g','state':'unready','figures':{'ready':false,'canary_age_ms':0}}",
                 "\nWRONG: g is not ready; its /readyz tells more\n");
}
END_TEST

START_TEST(a_store_that_fails_is_wrong)
{
    char filled[128];
    for (int failing = 0; failing < 2; failing++) {
        snprintf(filled, sizeof filled,
                 "{'broker':{'store_failing':%d},'gateways':[{'name':'g','state':'ok'}]}", failing);
        ck_assert_int_eq(status_view_text(json(filled), &out, &why),
                         failing ? STATUS_VIEW_WRONG : STATUS_VIEW_FINE);
        buffer_put_byte(&out, '\0');
        ck_assert(!strstr((const char *)out.data, "WRONG: the broker cannot write") == !failing);
        buffer_reset(&out);
    }
}
END_TEST

START_TEST(what_is_meant_to_be_is_not_wrong)
{
    static const char *const gateways[] = {
        "{'name':'g','state':'starting','age_ms':4,'figures':null,'rates':null}",
        "{'name':'g','state':'draining','figures':{'ready':false,'draining':true}}",
        "{'name':'g','state':'ok'}"};
    char text[2048];
    for (size_t i = 0; i < sizeof gateways / sizeof *gateways; i++) {
        snprintf(text, sizeof text, BROKER "'gateways':[%s]}", gateways[i]);
        ck_assert_int_eq(status_view_text(json(text), &out, &why), STATUS_VIEW_FINE);
        buffer_reset(&out);
    }
}
END_TEST

START_TEST(hostile_texts_do_no_harm)
{
    struct span text = json("{'node':'\\u001b[31m\xc2\x9b','broker':[],'rates':7,'gateways':["
                            "{'name':'\\u001b]0;x\\u0007\\n\\u202e','state':5,'figures':'x'},"
                            "3,null,{'name':{},'figures':{'connections':-5,'uptime_ms':'x',"
                            "'memory_bytes':1e300}}]}\n");
    ck_assert_int_eq(status_view_text(text, &out, &why), STATUS_VIEW_FINE);
    for (size_t i = 0; i < out.size; i++)
        ck_assert(out.data[i] == '\n' || (out.data[i] >= 0x20 && out.data[i] < 0x7f));
}
END_TEST

START_TEST(json_is_one_line_of_ascii)
{
    struct span text = json("{ 'node':'\x7f\xc2\x9b\xe2\x80\xae\xf0\x9f\x98\x80',\n\t'broker':{},"
                            "'gateways':[]}");
    ck_assert_int_eq(status_view_json(text, &out, &why), STATUS_VIEW_WRONG);
    expect("{ \"node\":\"\\u007f\\u009b\\u202e\\ud83d\\ude00\",\"broker\":{},\"gateways\":[]}\n");
}
END_TEST

START_TEST(what_is_no_status_is_refused)
{
    static const char *const texts[] = {"",
                                        "nonsense",
                                        "[]",
                                        "{}",
                                        "{'ready':true,'gateways':1}",
                                        "{'broker':{},'gateways':{}}",
                                        "{'broker':{},'gateways':[[[[[[[[]]]]]]]]}"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        ck_assert_int_eq(status_view_text(json(texts[i]), &out, &why), STATUS_VIEW_UNREADABLE);
        ck_assert_uint_gt(why.size, 0);
        buffer_reset(&why);
        ck_assert_int_eq(status_view_json(json(texts[i]), &out, &why), STATUS_VIEW_UNREADABLE);
        ck_assert_uint_eq(out.size, 0);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("status_view");
    TCase *tests = tcase_create("all");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, thousands);
    tcase_add_test(tests, rates);
    tcase_add_test(tests, bytes);
    tcase_add_test(tests, durations);
    tcase_add_test(tests, plain_text_cannot_steer_a_terminal);
    tcase_add_test(tests, printable_text_keeps_its_letters);
    tcase_add_test(tests, columns_are_as_wide_as_they_must);
    tcase_add_test(tests, an_empty_table_is_nothing);
    tcase_add_test(tests, a_screen_is_drawn_over_the_last_one);
    tcase_add_test(tests, a_screen_is_cut_where_the_terminal_ends);
    tcase_add_test(tests, two_gateways_sorted_and_summed);
    tcase_add_test(tests, what_is_wrong_is_said);
    tcase_add_test(tests, a_store_that_fails_is_wrong);
    tcase_add_test(tests, what_is_meant_to_be_is_not_wrong);
    tcase_add_test(tests, hostile_texts_do_no_harm);
    tcase_add_test(tests, json_is_one_line_of_ascii);
    tcase_add_test(tests, what_is_no_status_is_refused);
    suite_add_tcase(suite, tests);
    return unit_run(suite);
}
