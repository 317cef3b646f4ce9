#include "common/metrics.h"
#include "unit.h"

START_TEST(writes_the_exposition_format)
{
    static const struct metric_description descriptions[] = {
        {"publications_total", METRIC_COUNTER, "publications\nof a \\ \"kind\""},
        {"connections", METRIC_GAUGE, "open now"},
    };
    static const uint64_t values[] = {18446744073709551615u, 0};
    static const char want[] =
        "# HELP millrace_gateway_publications_total publications\\nof a \\\\ \"kind\"\n"
        "# TYPE millrace_gateway_publications_total counter\n"
        "millrace_gateway_publications_total 18446744073709551615\n"
        "# HELP millrace_gateway_connections open now\n"
        "# TYPE millrace_gateway_connections gauge\n"
        "millrace_gateway_connections 0\n";
    struct buffer to = {0};
    metrics_write(&to, "millrace_gateway", descriptions, values, 2);
    buffer_put_byte(&to, '\0');
    ck_assert_str_eq((const char *)to.data, want);
    buffer_free(&to);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("metrics");
    TCase *tests = tcase_create("metrics");
    tcase_add_test(tests, writes_the_exposition_format);
    suite_add_tcase(suite, tests);
    return unit_run(suite);
}
