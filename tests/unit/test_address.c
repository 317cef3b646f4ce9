#include "common/address.h"
#include "unit.h"

#define LETTERS_70  "aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffgggggggggg"
#define LETTERS_69  "aaaaaaaaaabbbbbbbbbbccccccccccddddddddddeeeeeeeeeeffffffffffggggggggg"
#define LETTERS_139 LETTERS_70 LETTERS_69
#define LETTERS_140 LETTERS_70 LETTERS_70
#define APP_64      "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

static const struct address context = {
    .view = VIEW_LIVE,
    .site = {(const uint8_t *)"acme", 4},
    .app = {(const uint8_t *)"shop", 4},
};

static const struct good {
    const char *text, *app, *channel, *resource;
} good[] = {
    {"chat", "shop", "chat", ""},
    {"@chat", "shop", "@chat", ""},
    {"a_B-9", "shop", "a_B-9", ""},
    {"chat:room-1", "shop", "chat", "room-1"},
    {"chat:room 1/2", "shop", "chat", "room 1/2"},
    {"chat::", "shop", "chat", ":"},
    {"chat:a:b", "shop", "chat", "a:b"},
    {"chat:\n\x01\x7f", "shop", "chat", "\n\x01\x7f"},
    {"chat:\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", "shop", "chat",
     "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"},
    {"13d21c63-b5ec-5912/quotes:AAPL", "13d21c63-b5ec-5912", "quotes", "AAPL"},
    {"a.b_c-d/quotes", "a.b_c-d", "quotes", ""},
    {"/chat", "", "chat", ""},
    {"/chat:a/b", "", "chat", "a/b"},
    {APP_64 "/x", APP_64, "x", ""},
    {LETTERS_140, "shop", LETTERS_140, ""},
    {LETTERS_139 ":z", "shop", LETTERS_139, "z"},
    {LETTERS_139 ":\xf0\x9f\x98\x80", "shop", LETTERS_139, "\xf0\x9f\x98\x80"},
};

static const struct bad {
    const char *text;
    enum address_rule rule;
} bad[] = {
    {"", ADDRESS_CHANNEL_EMPTY},
    {"@", ADDRESS_CHANNEL_EMPTY},
    {":", ADDRESS_CHANNEL_EMPTY},
    {":room", ADDRESS_CHANNEL_EMPTY},
    {"/", ADDRESS_CHANNEL_EMPTY},
    {"app/", ADDRESS_CHANNEL_EMPTY},
    {"app/:x", ADDRESS_CHANNEL_EMPTY},
    {"a b", ADDRESS_CHANNEL_CHARACTER},
    {"a@b", ADDRESS_CHANNEL_CHARACTER},
    {"@@b", ADDRESS_CHANNEL_CHARACTER},
    {"a.b", ADDRESS_CHANNEL_CHARACTER},
    {"a\x01", ADDRESS_CHANNEL_CHARACTER},
    {"a\x7f", ADDRESS_CHANNEL_CHARACTER},
    {"caf\xc3\xa9", ADDRESS_CHANNEL_CHARACTER},
    {"a\xff", ADDRESS_CHANNEL_CHARACTER},
    {"app/a/b", ADDRESS_CHANNEL_CHARACTER},
    {"chat:", ADDRESS_RESOURCE_EMPTY},
    {"app/chat:", ADDRESS_RESOURCE_EMPTY},
    {"chat:\xff", ADDRESS_RESOURCE_UTF8},
    {"chat:\xc3", ADDRESS_RESOURCE_UTF8},
    {"chat:\xed\xa0\x80", ADDRESS_RESOURCE_UTF8}, /* a surrogate */
    {"chat:\xc0\xaf", ADDRESS_RESOURCE_UTF8},     /* overlong */
    {LETTERS_140 "a", ADDRESS_TOO_LONG},
    {LETTERS_140 ":a", ADDRESS_TOO_LONG},
    {LETTERS_139 ":ab", ADDRESS_TOO_LONG},
    {"a b/chat", ADDRESS_APP},
    {"caf\xc3\xa9/chat", ADDRESS_APP},
    {APP_64 "x/chat", ADDRESS_APP},
    /* Several rules broken: the first one in reading order is reported. */
    {"a b/c d:\xff", ADDRESS_APP},
    {"c d:\xff", ADDRESS_CHANNEL_CHARACTER},
    {LETTERS_140 ":\xff", ADDRESS_RESOURCE_UTF8},
    {"c d:", ADDRESS_CHANNEL_CHARACTER},
};

START_TEST(parses_what_clients_write)
{
    const struct good *want = &good[_i];
    struct address got;
    ck_assert_int_eq(address_parse(span_text(want->text), &context, &got), ADDRESS_OK);
    ck_assert_int_eq(got.view, VIEW_LIVE);
    ck_assert(span_is(got.site, "acme"));
    ck_assert(span_is(got.app, want->app));
    ck_assert(span_is(got.channel, want->channel));
    ck_assert(span_is(got.resource, want->resource));
}
END_TEST

START_TEST(names_the_first_broken_rule)
{
    struct address got;
    enum address_rule rule = address_parse(span_text(bad[_i].text), &context, &got);
    ck_assert_msg(rule == bad[_i].rule, "%s: %s", bad[_i].text, address_rule_text(rule));
}
END_TEST

START_TEST(refuses_zero_in_a_resource)
{
    struct address got;
    ck_assert_int_eq(address_parse(span_of("chat:a\0b", 8), &context, &got), ADDRESS_RESOURCE_NUL);
    ck_assert_int_eq(address_parse(span_of("ch\0t", 4), &context, &got), ADDRESS_CHANNEL_CHARACTER);
}
END_TEST

START_TEST(every_rule_has_a_text)
{
    ck_assert_str_eq(address_rule_text(ADDRESS_OK), "ok");
#define ADDRESS_RULE(NAME, text) ck_assert_str_eq(address_rule_text(ADDRESS_##NAME), text);
#include "common/address_rules.def"
#undef ADDRESS_RULE
}
END_TEST

START_TEST(encodes_byte_for_byte)
{
    static const uint8_t want[] = "P\x04"
                                  "acme\0\x04"
                                  "chat\x00\x02r1";
    struct address address = {.view = VIEW_PREVIEW,
                              .site = span_text("acme"),
                              .channel = span_text("chat"),
                              .resource = span_text("r1")};
    uint8_t key[ADDRESS_KEY_MAX];
    size_t size = address_encode(&address, key);
    ck_assert(span_equal(span_of(key, size), span_of(want, sizeof want - 1)));
    ck_assert_uint_eq(address_size(span_of(key, size)), size);
}
END_TEST

START_TEST(decodes_what_it_encoded)
{
    struct address in, out;
    ck_assert_int_eq(address_parse(span_text(good[_i].text), &context, &in), ADDRESS_OK);
    uint8_t key[ADDRESS_KEY_MAX + 1];
    size_t size = address_encode(&in, key);
    ck_assert(address_decode(span_of(key, size), &out));
    ck_assert_int_eq(out.view, in.view);
    ck_assert(span_equal(out.site, in.site));
    ck_assert(span_equal(out.app, in.app));
    ck_assert(span_equal(out.channel, in.channel));
    ck_assert(span_equal(out.resource, in.resource));

    for (size_t cut = 0; cut < size; cut++) {
        ck_assert(!address_decode(span_of(key, cut), &out));
        ck_assert_uint_eq(address_size(span_of(key, cut)), 0);
    }
    key[size] = 0;
    ck_assert(!address_decode(span_of(key, size + 1), &out));
    ck_assert_uint_eq(address_size(span_of(key, size + 1)), size);
}
END_TEST

START_TEST(longest_address_fits)
{
    char resource[LIMIT_RESOURCE_BYTES];
    for (size_t i = 0; i < sizeof resource; i += 4)
        memcpy(resource + i, "\xf0\x9f\x98\x80", 4);
    struct address address = {.view = VIEW_LIVE,
                              .site = span_text(APP_64),
                              .app = span_text(APP_64),
                              .channel = span_text("c"),
                              .resource = span_of(resource, sizeof resource - 4)};
    ck_assert_int_eq(address_check(&address), ADDRESS_OK);
    uint8_t key[ADDRESS_KEY_MAX];
    struct address out;
    ck_assert(address_decode(span_of(key, address_encode(&address, key)), &out));
    ck_assert(span_equal(out.resource, address.resource));
}
END_TEST

START_TEST(decodes_only_addresses_that_obey_the_rules)
{
    static const struct {
        const char *key;
        size_t size;
    } refused[] = {
        {"X\1s\0\1c\0\0", 8},      /* the view */
        {"L\0\0\1c\0\0", 7},       /* no site */
        {"L\1 \0\1c\0\0", 8},      /* a site of one space */
        {"L\1s\1/\1c\0\0", 9},     /* the app */
        {"L\1s\0\0\0\0", 7},       /* no channel */
        {"L\1s\0\1.\0\0", 8},      /* the channel */
        {"L\1s\0\1c\0\1\xff", 9},  /* the resource */
        {"L\1s\0\1c\0\1\0", 9},    /* zero in the resource */
        {"L\1s\0\1c\0\0x", 9},     /* behind the end */
        {"L\xffs\0\1c\0\0", 8},    /* a length beyond the end */
        {"L\1s\0\1c\xff\xffr", 9}, /* the same */
    };
    struct address out;
    ck_assert(address_decode(span_of("L\1s\0\1c\0\0", 8), &out));
    for (size_t i = 0; i < sizeof refused / sizeof *refused; i++)
        ck_assert_msg(!address_decode(span_of(refused[i].key, refused[i].size), &out), "%zu", i);
}
END_TEST

START_TEST(no_address_is_a_prefix_of_another)
{
    enum { COUNT = sizeof good / sizeof *good };
    uint8_t keys[COUNT][ADDRESS_KEY_MAX];
    size_t sizes[COUNT];
    for (size_t i = 0; i < COUNT; i++) {
        struct address address;
        address_parse(span_text(good[i].text), &context, &address);
        sizes[i] = address_encode(&address, keys[i]);
    }
    for (size_t i = 0; i < COUNT; i++) {
        for (size_t j = 0; j < COUNT; j++) {
            size_t size = sizes[i] < sizes[j] ? sizes[i] : sizes[j];
            ck_assert(i == j || memcmp(keys[i], keys[j], size) != 0);
        }
    }
}
END_TEST

START_TEST(check_looks_at_separate_parts)
{
    struct address address = {.channel = span_text("chat"), .resource = span_text("a:b/c")};
    ck_assert_int_eq(address_check(&address), ADDRESS_OK);
    address.app = span_text("a/b");
    ck_assert_int_eq(address_check(&address), ADDRESS_APP);
    address.app = span_text("");
    address.channel = span_text("chat:room");
    ck_assert_int_eq(address_check(&address), ADDRESS_CHANNEL_CHARACTER);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("address");
    TCase *tests = tcase_create("address");
    int good_count = sizeof good / sizeof *good, bad_count = sizeof bad / sizeof *bad;
    tcase_add_loop_test(tests, parses_what_clients_write, 0, good_count);
    tcase_add_loop_test(tests, names_the_first_broken_rule, 0, bad_count);
    tcase_add_test(tests, refuses_zero_in_a_resource);
    tcase_add_test(tests, every_rule_has_a_text);
    tcase_add_test(tests, encodes_byte_for_byte);
    tcase_add_loop_test(tests, decodes_what_it_encoded, 0, good_count);
    tcase_add_test(tests, longest_address_fits);
    tcase_add_test(tests, decodes_only_addresses_that_obey_the_rules);
    tcase_add_test(tests, no_address_is_a_prefix_of_another);
    tcase_add_test(tests, check_looks_at_separate_parts);
    suite_add_tcase(suite, tests);
    return unit_run(suite);
}
