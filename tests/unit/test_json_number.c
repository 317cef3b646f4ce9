#include "proto/json_number.h"

#include <float.h>
#include <math.h>
#include <stdio.h>

#include "bytes.h"
#include "unit.h"

static struct buffer text;

static void setup(void)
{
    text = (struct buffer){0};
}

static void teardown(void)
{
    buffer_free(&text);
}

static const struct {
    double value;
    const char *text;
} doubles[] = {
    {0.0, "0.0"},
    {-0.0, "-0.0"},
    {1.0, "1.0"},
    {-1.0, "-1.0"},
    {1000.0, "1000.0"},
    {0.1, "0.1"},
    {-0.5, "-0.5"},
    {101.25, "101.25"},
    {3.141592653589793, "3.141592653589793"},
    {0.1 + 0.2, "0.30000000000000004"},
    {1.0 / 3, "0.3333333333333333"},
    {123456789.125, "123456789.125"},
    {9007199254740993.0, "9007199254740992.0"},
    {1e15, "1000000000000000.0"},
    {1e20, "100000000000000000000.0"},
    {1e21, "1e21"},
    {1.5e300, "1.5e300"},
    {1e-5, "0.00001"},
    {1e-6, "0.000001"},
    {1.25e-6, "0.00000125"},
    {1e-7, "1e-7"},
    {1.25e-7, "1.25e-7"},
    {0x1p-44, "5.684341886080802e-14"}, /* the nearest 16 digits read back as another number */
    {0x1p-1074, "5e-324"},
    {DBL_MIN, "2.2250738585072014e-308"},
    {DBL_MAX, "1.7976931348623157e308"},
};

START_TEST(a_double_has_the_fewest_digits)
{
    json_number_double(&text, doubles[_i].value);
    assert_text(buffer_span(&text), doubles[_i].text);
}
END_TEST

static const struct {
    float value;
    const char *text;
} floats[] = {
    {0.0f, "0.0"},
    {-2.0f, "-2.0"},
    {0.1f, "0.1"},
    {16777216.0f, "16777216.0"},
    {3.4028235e38f, "3.4028235e38"},
    {1.17549435e-38f, "1.1754944e-38"},
    {0x1p-149f, "1e-45"},
    {33554432.0f, "33554432.0"},
    {0.3333333433f, "0.33333334"},
};

START_TEST(a_float_has_its_own_fewest_digits)
{
    json_number_float(&text, floats[_i].value);
    assert_text(buffer_span(&text), floats[_i].text);
}
END_TEST

static uint64_t next_random(uint64_t *state)
{
    *state ^= *state << 13;
    *state ^= *state >> 7;
    *state ^= *state << 17;
    return *state;
}

static size_t digits_in(const char *number)
{
    size_t digits = 0, zeros = 0;
    for (; *number && *number != 'e'; number++) {
        if (*number < '0' || *number > '9' || (digits == 0 && *number == '0'))
            continue;
        digits++;
        zeros = *number == '0' ? zeros + 1 : 0;
    }
    return digits - zeros;
}

static const char *as_text(void)
{
    buffer_put_byte(&text, 0);
    return (const char *)text.data;
}

/* printf with ever more digits is the reference: ours has never more. */
static size_t digits_by_printf(double value)
{
    char reference[40];
    for (int precision = 0; precision < 17; precision++) {
        snprintf(reference, sizeof reference, "%.*e", precision, value);
        if (strtod(reference, NULL) == value)
            break;
    }
    return digits_in(reference);
}

START_TEST(random_doubles_read_back)
{
    uint64_t state = 88172645463325252u;
    for (unsigned i = 0; i < 20000; i++) {
        uint64_t bits = next_random(&state);
        double value;
        memcpy(&value, &bits, sizeof value);
        if (i % 2) /* what people send */
            value = (double)(int64_t)(bits % 2000000) / 100 - 10000;
        if (!isfinite(value))
            continue;
        buffer_reset(&text);
        json_number_double(&text, value);
        const char *number = as_text();
        ck_assert_msg(strtod(number, NULL) == value, "%a: %s", value, number);
        ck_assert_msg(strpbrk(number, ".e") != NULL, "%s looks like an integer", number);
        ck_assert_msg(digits_in(number) <= digits_by_printf(value), "%s is too long", number);
    }
}
END_TEST

START_TEST(random_floats_read_back)
{
    uint64_t state = 88172645463325252u;
    for (unsigned i = 0; i < 20000; i++) {
        uint32_t bits = (uint32_t)next_random(&state);
        float value;
        memcpy(&value, &bits, sizeof value);
        if (!isfinite(value))
            continue;
        buffer_reset(&text);
        json_number_float(&text, value);
        ck_assert_msg(strtof(as_text(), NULL) == value, "%a: %s", (double)value, as_text());
        ck_assert_uint_le(digits_in(as_text()), 9);
    }
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("json_number");
    TCase *tests = tcase_create("all");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_loop_test(tests, a_double_has_the_fewest_digits, 0,
                        sizeof doubles / sizeof doubles[0]);
    tcase_add_loop_test(tests, a_float_has_its_own_fewest_digits, 0,
                        sizeof floats / sizeof floats[0]);
    tcase_add_test(tests, random_doubles_read_back);
    tcase_add_test(tests, random_floats_read_back);
    suite_add_tcase(suite, tests);
    return unit_run(suite);
}
