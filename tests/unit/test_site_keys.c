#include "common/site_keys.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "bytes.h"
#include "token_maker.h"
#include "unit.h"

#define KEY(kid, k) "{\"kty\":\"oct\",\"alg\":\"HS256\",\"kid\":\"" kid "\",\"k\":\"" k "\"}"
#define SET(keys)   "{\"keys\":[" keys "]}"

static char directory[] = "/tmp/millrace-sites-XXXXXX";
static struct buffer why;

static void setup(void)
{
    ck_assert_ptr_nonnull(mkdtemp(directory));
    ck_assert_int_eq(chdir(directory), 0);
}

static void teardown(void)
{
    static const char *const names[] = {"main.ini", "a.keys", "b.keys"};
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        unlink(names[i]);
    ck_assert_int_eq(chdir("/"), 0);
    rmdir(directory);
    buffer_free(&why);
}

static void write_file(const char *name, const char *text)
{
    umask(077);
    FILE *file = fopen(name, "w");
    ck_assert_ptr_nonnull(file);
    ck_assert_int_ge(fputs(text, file), 0);
    ck_assert_int_eq(fclose(file), 0);
}

static site_keys_t *load(const char *ini)
{
    char path[64];
    write_file("main.ini", ini);
    snprintf(path, sizeof path, "%s/main.ini", directory);
    options_t *options = options_load(path, (char *const[]){NULL}, &why);
    ck_assert_msg(options != NULL, "%.*s", SPAN_ARG(buffer_span(&why)));
    site_keys_t *keys = site_keys_load(options, &why);
    options_destroy(&options);
    return keys;
}

START_TEST(sites_have_keys_and_demands)
{
    write_file("a.keys", SET(KEY("1", TOKEN_SECRET_64)));
    write_file("b.keys", SET(KEY("2", TOKEN_OTHER_SECRET_64)));
    ck_assert_int_eq(chdir("/"), 0); /* paths count from the settings file */
    char ini[512];
    snprintf(ini, sizeof ini,
             "[site \"acme\"]\nkeys = a.keys\nanonymous = no\nissuer = me\n"
             "[site \"none\"]\n[site \"b\"]\nkeys = %s/b.keys\nrequire_exp = no\n",
             directory);
    ck_assert_int_eq(chdir(directory), 0);
    site_keys_t *keys = load(ini);
    ck_assert_msg(keys != NULL, "%.*s", SPAN_ARG(buffer_span(&why)));
    ck_assert_uint_eq(site_keys_count(keys), 2);
    struct site_key key;
    ck_assert(site_keys_find(keys, span_text("1"), &key));
    assert_text(key.site->name, "acme");
    ck_assert_str_eq(key.site->issuer, "me");
    ck_assert(!key.site->anonymous && key.site->require_exp);
    ck_assert(site_keys_find(keys, span_text("2"), &key));
    assert_text(key.site->name, "b");
    ck_assert(key.site->anonymous && !key.site->require_exp);
    ck_assert(!site_keys_find(keys, span_text("3"), &key));
    ck_assert(!site_keys_find(keys, span_text(""), &key)); /* there are two */
    site_keys_destroy(&keys);
}
END_TEST

/* The whole of *why, in which %s is the directory. */
static void expect_why(const char *format)
{
    char text[1024];
    size_t at = 0;
    for (const char *from = format; *from; from++) {
        if (*from == '$')
            at += (size_t)snprintf(text + at, sizeof text - at, "%s", directory);
        else
            text[at++] = *from;
    }
    text[at] = '\0';
    assert_text(buffer_span(&why), text);
}

START_TEST(all_bad_files_are_named)
{
    write_file("a.keys", "{");
    ck_assert_ptr_null(load("[site \"acme\"]\nkeys = a.keys\n[site \"b\"]\nkeys = b.keys\n"));
    expect_why("$/main.ini:1: [site \"acme\"] keys: $/a.keys: not JSON, or a name is there twice: "
               "line 1, column 1\n"
               "$/main.ini:3: [site \"b\"] keys: $/b.keys: cannot be read: No such file or "
               "directory\n");
}
END_TEST

START_TEST(a_key_belongs_to_one_site)
{
    write_file("a.keys", SET(KEY("1", TOKEN_SECRET_64)));
    write_file("b.keys", SET(KEY("1", TOKEN_OTHER_SECRET_64)));
    static const char ini[] = "[site \"acme\"]\nkeys = a.keys\n[site \"b\"]\nkeys = b.keys\n";
    ck_assert_ptr_null(load(ini));
    expect_why(
        "$/main.ini:3: [site \"b\"] keys: $/b.keys: key 1 (kid \"1\"): its `kid` is taken by "
        "[site \"acme\"]\n");
    buffer_reset(&why);
    write_file("b.keys", SET(KEY("2", TOKEN_OTHER_SECRET_64) "," KEY("3", TOKEN_SECRET_64)));
    ck_assert_ptr_null(load(ini));
    expect_why("$/main.ini:3: [site \"b\"] keys: $/b.keys: key 2 (kid \"3\"): it is also a key of "
               "[site \"acme\"]\n");
}
END_TEST

/* "-acme/1 +acme/2 " of two settings. */
static char told[256];

static void tell(void *arg, const struct site_key *key, bool is_added)
{
    ck_assert_ptr_eq(arg, told);
    size_t size = strlen(told);
    snprintf(told + size, sizeof told - size, "%c%.*s/%s ", is_added ? '+' : '-',
             SPAN_ARG(key->site->name), key->key->kid);
}

static void expect_told(const char *keys, const char *ini, const char *text)
{
    static const char before[] = "[site \"acme\"]\nkeys = a.keys\n";
    write_file("a.keys", SET(KEY("1", TOKEN_SECRET_64)));
    site_keys_t *first = load(before);
    ck_assert_ptr_nonnull(first);
    write_file("a.keys", keys);
    site_keys_t *second = load(ini ? ini : before);
    ck_assert_msg(second != NULL, "%.*s", SPAN_ARG(buffer_span(&why)));
    told[0] = '\0';
    site_keys_compare(first, second, tell, told);
    ck_assert_str_eq(told, text);
    site_keys_destroy(&first);
    site_keys_destroy(&second);
}

START_TEST(keys_that_differ_are_told)
{
    expect_told(SET(KEY("1", TOKEN_SECRET_64)), NULL, "");
    expect_told(SET(KEY("1", TOKEN_SECRET_64) "," KEY("2", TOKEN_OTHER_SECRET_64)), NULL,
                "+acme/2 ");
    expect_told(SET(KEY("2", TOKEN_OTHER_SECRET_64)), NULL, "-acme/1 +acme/2 ");
    expect_told(SET(KEY("1", TOKEN_OTHER_SECRET_64)), NULL, "-acme/1 +acme/1 ");
    expect_told(SET(KEY("2", TOKEN_SECRET_64)), NULL, "-acme/1 +acme/2 ");
    expect_told(SET(KEY("1", TOKEN_SECRET_64)), "[site \"b\"]\nkeys = a.keys\n", "-acme/1 +b/1 ");
    expect_told(SET(KEY("1", TOKEN_SECRET_64)), "[site \"b\"]\n", "-acme/1 ");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("site_keys");
    TCase *tests = tcase_create("site_keys");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, sites_have_keys_and_demands);
    tcase_add_test(tests, all_bad_files_are_named);
    tcase_add_test(tests, a_key_belongs_to_one_site);
    tcase_add_test(tests, keys_that_differ_are_told);
    suite_add_tcase(suite, tests);
    return unit_run(suite);
}
