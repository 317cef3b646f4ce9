#include "broker/sites.h"
#include "bytes.h"
#include "unit.h"

static const struct sites_principal principals[] = {
    {"default", "", "publish history preview"},
    {"acme", "quotes  chess", " history publish "},
    {"quiet", "", "history"},
    {"mute", "", "publish"},
    {"none", "", ""},
};

static sites_t *sites;
static struct buffer why;

static void setup(void)
{
    size_t index;
    sites = sites_new(principals, sizeof principals / sizeof *principals, &index, &why);
    ck_assert_ptr_nonnull(sites);
}

static void teardown(void)
{
    sites_destroy(&sites);
    ck_assert_ptr_null(sites);
    buffer_free(&why);
}

static struct address found;

static enum status resolve(size_t endpoint, enum site_right right, struct backend_target target)
{
    buffer_reset(&why);
    return sites_resolve(sites, endpoint, right, &target, &found, &why);
}

static struct backend_target chat(void)
{
    return (struct backend_target){.channel = span_text("chat")};
}

START_TEST(the_endpoint_says_the_site)
{
    ck_assert_int_eq(resolve(0, SITE_PUBLISH, chat()), STATUS_OK);
    assert_text(found.site, "default");
    ck_assert_int_eq(found.view, VIEW_LIVE);
    ck_assert_uint_eq(found.app.size, 0);
    assert_text(found.channel, "chat");
    ck_assert_int_eq(resolve(1, SITE_PUBLISH, chat()), STATUS_OK);
    assert_text(found.site, "acme");
}
END_TEST

START_TEST(a_site_can_be_named_but_not_chosen)
{
    struct backend_target target = chat();
    target.has_site = true;
    target.site = span_text("acme");
    ck_assert_int_eq(resolve(1, SITE_PUBLISH, target), STATUS_OK);
    ck_assert_int_eq(resolve(0, SITE_PUBLISH, target), STATUS_FORBIDDEN);
    assert_text(buffer_span(&why), "site: this endpoint acts for \"default\" only");
    target.site = span_text("");
    ck_assert_int_eq(resolve(0, SITE_PUBLISH, target), STATUS_FORBIDDEN);
    target.site = span_text("acm");
    ck_assert_int_eq(resolve(1, SITE_PUBLISH, target), STATUS_FORBIDDEN);
}
END_TEST

START_TEST(rights_are_needed)
{
    ck_assert_int_eq(resolve(2, SITE_HISTORY, chat()), STATUS_OK);
    ck_assert_int_eq(resolve(2, SITE_PUBLISH, chat()), STATUS_FORBIDDEN);
    assert_text(buffer_span(&why), "op: this endpoint may not publish");
    ck_assert_int_eq(resolve(3, SITE_PUBLISH, chat()), STATUS_OK);
    ck_assert_int_eq(resolve(3, SITE_HISTORY, chat()), STATUS_FORBIDDEN);
    assert_text(buffer_span(&why), "op: this endpoint may not read history");
    ck_assert_int_eq(resolve(4, SITE_PUBLISH, chat()), STATUS_FORBIDDEN);
    ck_assert_int_eq(resolve(4, SITE_HISTORY, chat()), STATUS_FORBIDDEN);
}
END_TEST

START_TEST(preview_is_a_right)
{
    struct backend_target target = chat();
    target.preview = true;
    ck_assert_int_eq(resolve(0, SITE_PUBLISH, target), STATUS_OK);
    ck_assert_int_eq(found.view, VIEW_PREVIEW);
    ck_assert_int_eq(resolve(1, SITE_PUBLISH, target), STATUS_FORBIDDEN);
    assert_text(buffer_span(&why), "view: this endpoint may not act in preview");
}
END_TEST

START_TEST(only_our_own_apps_can_be_acted_for)
{
    struct backend_target target = chat();
    target.has_app = true;
    target.app = span_text("chess");
    ck_assert_int_eq(resolve(1, SITE_PUBLISH, target), STATUS_OK);
    assert_text(found.app, "chess");
    ck_assert_int_eq(resolve(0, SITE_PUBLISH, target), STATUS_FORBIDDEN);
    assert_text(buffer_span(&why), "app: this endpoint does not act for \"chess\"");
    target.app = span_text("ches");
    ck_assert_int_eq(resolve(1, SITE_PUBLISH, target), STATUS_FORBIDDEN);
    target.app = span_text("");
    ck_assert_int_eq(resolve(0, SITE_PUBLISH, target), STATUS_OK);
    target.app = span_text("no id");
    ck_assert_int_eq(resolve(0, SITE_PUBLISH, target), STATUS_BAD_INPUT);
}
END_TEST

START_TEST(the_address_must_be_valid)
{
    struct backend_target target = {.channel = span_text("a b")};
    ck_assert_int_eq(resolve(0, SITE_PUBLISH, target), STATUS_BAD_INPUT);
    ck_assert_uint_gt(why.size, 0);
    target.channel = span_text("");
    ck_assert_int_eq(resolve(0, SITE_PUBLISH, target), STATUS_BAD_INPUT);
    target.channel = span_text("a");
    target.resource = BYTES("x\0y");
    ck_assert_int_eq(resolve(0, SITE_PUBLISH, target), STATUS_BAD_INPUT);
}
END_TEST

static void expect_unusable(struct sites_principal bad, const char *expected)
{
    const struct sites_principal two[] = {principals[0], bad};
    size_t index = 9;
    buffer_reset(&why);
    ck_assert_ptr_null(sites_new(two, 2, &index, &why));
    ck_assert_uint_eq(index, 1);
    assert_text(buffer_span(&why), expected);
}

START_TEST(wrong_settings_are_named)
{
    expect_unusable((struct sites_principal){"a", "", "publish dance"},
                    "may: there is no right \"dance\"");
    expect_unusable((struct sites_principal){"a", "good b/d", "publish"},
                    "apps: no app id: \"b/d\"");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("sites");
    TCase *tests = tcase_create("sites");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, the_endpoint_says_the_site);
    tcase_add_test(tests, a_site_can_be_named_but_not_chosen);
    tcase_add_test(tests, rights_are_needed);
    tcase_add_test(tests, preview_is_a_right);
    tcase_add_test(tests, only_our_own_apps_can_be_acted_for);
    tcase_add_test(tests, the_address_must_be_valid);
    tcase_add_test(tests, wrong_settings_are_named);
    suite_add_tcase(suite, tests);
    return unit_run(suite);
}
