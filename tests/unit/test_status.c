#include "proto/status.h"

#include "unit.h"

static const struct {
    enum status status;
    uint32_t code;
    const char *slug;
} rows[] = {
    {STATUS_OK, 0, "ok"},
    {STATUS_BAD_INPUT, 400, "bad_input"},
    {STATUS_FORBIDDEN, 403, "forbidden"},
    {STATUS_NOT_FOUND, 404, "not_found"},
    {STATUS_CONFLICT, 409, "conflict"},
    {STATUS_TOO_LARGE, 413, "too_large"},
    {STATUS_TOO_MANY, 429, "too_many"},
    {STATUS_INTERNAL, 500, "internal"},
    {STATUS_UNAVAILABLE, 503, "unavailable"},
    {STATUS_NO_SPACE, 507, "no_space"},
};
#define ROWS (sizeof rows / sizeof rows[0])

START_TEST(code_slug_and_text_belong_together)
{
    ck_assert_uint_eq((uint32_t)rows[_i].status, rows[_i].code);
    ck_assert_int_eq(status_from_code(rows[_i].code), rows[_i].status);
    ck_assert_str_eq(status_slug(rows[_i].status), rows[_i].slug);
    ck_assert_uint_gt(strlen(status_text(rows[_i].status)), 0);
}
END_TEST

START_TEST(an_unknown_code_is_never_a_success)
{
    const uint32_t codes[] = {1, 200, 399, 401, 65535, UINT32_MAX};
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++)
        ck_assert_int_eq(status_from_code(codes[i]), STATUS_INTERNAL);
    ck_assert_str_eq(status_slug((enum status)401), "internal");
    ck_assert_str_eq(status_text((enum status)401), "internal error");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("status");
    TCase *tests = tcase_create("all");
    tcase_add_loop_test(tests, code_slug_and_text_belong_together, 0, ROWS);
    tcase_add_test(tests, an_unknown_code_is_never_a_success);
    suite_add_tcase(suite, tests);
    return unit_run(suite);
}
