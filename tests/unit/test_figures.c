#include "proto/figures.h"

#include <string.h>

#include "bytes.h"
#include "unit.h"

static struct figures some(void)
{
    struct figures figures = {0};
    uint64_t *values = (uint64_t *)&figures;
    for (size_t i = 0; i < FIGURES_COUNT; i++)
        values[i] = figure_descriptions[i].kind == FIGURE_FLAG ? 1 : i * 1000000007;
    return figures;
}

START_TEST(they_read_back)
{
    struct figures in = some(), out;
    struct buffer values = {0};
    figures_put(&values, &in);
    ck_assert_uint_eq(values.size, FIGURES_COUNT * 8);
    ck_assert(figures_get(buffer_span(&values), &out));
    ck_assert_mem_eq(&in, &out, sizeof in);
    for (size_t i = 0; i < FIGURES_COUNT; i++)
        ck_assert_uint_eq(figures_value(&out, i), figures_value(&in, i));
    buffer_free(&values);
}
END_TEST

START_TEST(the_order_on_the_wire_does_not_change)
{
    struct buffer values = {0};
    figures_put(&values, &(struct figures){.uptime_ms = 1, .ready = 1, .connections = 0x0203});
    assert_bytes(span_of(values.data, 32), BYTES("\0\0\0\0\0\0\0\1\0\0\0\0\0\0\0\1"
                                                 "\0\0\0\0\0\0\0\0\0\0\0\0\0\0\2\3"));
    ck_assert_str_eq(figure_descriptions[FIGURES_COUNT - 1].name, "left_out_total");
    buffer_free(&values);
}
END_TEST

START_TEST(what_an_older_gateway_does_not_send_is_0)
{
    struct figures out = some();
    ck_assert(figures_get(BYTES("\0\0\0\0\0\0\0\x9"), &out));
    ck_assert_uint_eq(out.uptime_ms, 9);
    ck_assert_uint_eq(out.ready, 0);
    ck_assert_uint_eq(out.closed_slow_total, 0);
    ck_assert(figures_get((struct span){0}, &out));
    ck_assert_uint_eq(out.uptime_ms, 0);
}
END_TEST

START_TEST(what_a_newer_gateway_sends_is_left_out)
{
    struct figures in = some(), out;
    struct buffer values = {0};
    figures_put(&values, &in);
    buffer_put_u64(&values, UINT64_MAX);
    struct span copy = exact_copy(buffer_span(&values));
    ck_assert(figures_get(copy, &out));
    ck_assert_mem_eq(&in, &out, sizeof in);
    free_copy(copy);
    buffer_free(&values);
}
END_TEST

START_TEST(what_is_no_figure_is_refused)
{
    struct figures out;
    ck_assert(!figures_get(BYTES("1234567"), &out));
    ck_assert(!figures_get(BYTES("\0\0\0\0\0\0\0\1\0"), &out));
    ck_assert(!figures_get(BYTES("\x80\0\0\0\0\0\0\0"), &out)); /* 2^63 */
    ck_assert(figures_get(BYTES("\x7f\xff\xff\xff\xff\xff\xff\xff"), &out));
    ck_assert(!figures_get(BYTES("\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\2"), &out)); /* ready */
}
END_TEST

START_TEST(each_has_a_name_of_its_own)
{
    for (size_t i = 0; i < FIGURES_COUNT; i++) {
        ck_assert_uint_gt(strlen(figure_descriptions[i].text), 0);
        for (size_t j = 0; j < i; j++)
            ck_assert_str_ne(figure_descriptions[i].name, figure_descriptions[j].name);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("figures");
    TCase *tests = tcase_create("all");
    tcase_add_test(tests, they_read_back);
    tcase_add_test(tests, the_order_on_the_wire_does_not_change);
    tcase_add_test(tests, what_an_older_gateway_does_not_send_is_0);
    tcase_add_test(tests, what_a_newer_gateway_sends_is_left_out);
    tcase_add_test(tests, what_is_no_figure_is_refused);
    tcase_add_test(tests, each_has_a_name_of_its_own);
    suite_add_tcase(suite, tests);
    return unit_run(suite);
}
