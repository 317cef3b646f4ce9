#include "proto/json_number.h"

#include <assert.h>
#include <float.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

/* digits * 10^exponent */
struct decimal {
    uint64_t digits;
    int exponent;
};

/* How a kind of number is read, and how many digits it may need. */
struct kind {
    double (*read)(const char *text);
    double least_normal;
    int sure;   /* decimals with so many digits survive being read and written */
    int enough; /* digits that tell all numbers apart */
};

static double read_double(const char *text)
{
    return strtod(text, NULL);
}

static double read_float(const char *text)
{
    return (double)strtof(text, NULL);
}

static const struct kind kind_double = {read_double, DBL_MIN, DBL_DIG, DBL_DECIMAL_DIG};
static const struct kind kind_float = {read_float, (double)FLT_MIN, FLT_DIG, FLT_DECIMAL_DIG};

/* Prices, ratios, counts: numbers with few digits and without a large exponent. Up to 2^53 and
 * 10^22 both sides of digits / 10^n are exact, so that the quotient is what a reader of the text
 * gets. Below 2^51 the rounding of value * 10^n is less than a half, so that the first n that
 * works has the fewest digits. */
static bool few_digits(double value, struct decimal *out)
{
    double scale = 1;
    for (int n = 0; n <= 22 && value * scale < 0x1p51; n++) {
        uint64_t digits = (uint64_t)(value * scale + 0.5);
        if ((double)digits / scale == value) {
            *out = (struct decimal){digits, -n};
            return true;
        }
        scale *= 10;
    }
    return false;
}

static bool reads_back(double value, struct decimal decimal, const struct kind *kind)
{
    char text[48];
    snprintf(text, sizeof text, "%" PRIu64 "e%d", decimal.digits, decimal.exponent);
    return kind->read(text) == value;
}

/* As many digits as are enough, by printf. Skips the decimal point, whatever the locale's is. */
static struct decimal all_digits(double value, const struct kind *kind)
{
    char text[64];
    snprintf(text, sizeof text, "%.*e", kind->enough - 1, value);
    struct decimal out = {0};
    const char *at = text;
    for (; *at != 'e'; at++) {
        if (*at >= '0' && *at <= '9')
            out.digits = out.digits * 10 + (uint64_t)(*at - '0');
    }
    out.exponent = (int)strtol(at + 1, NULL, 10) - (kind->enough - 1);
    return out;
}

/* The neighbours of `full` with `drop` digits less, the nearer one first. Both, because at a power
 * of two the nearer one may read back as another number while the farther one does not. */
static bool fewer_digits(double value, struct decimal full, int drop, const struct kind *kind,
                         struct decimal *out)
{
    uint64_t unit = 1;
    for (int i = 0; i < drop; i++)
        unit *= 10;
    uint64_t below = full.digits / unit;
    bool up = full.digits % unit >= unit / 2;
    for (int i = 0; i < 2; i++, up = !up) {
        *out = (struct decimal){below + up, full.exponent + drop};
        if (reads_back(value, *out, kind))
            return true;
    }
    return false;
}

static struct decimal shortest(double value, const struct kind *kind)
{
    struct decimal out;
    struct decimal full = all_digits(value, kind);
    int digits = value < kind->least_normal ? 1 : kind->sure;
    for (; digits < kind->enough; digits++) {
        if (fewer_digits(value, full, kind->enough - digits, kind, &out))
            return out;
    }
    return full;
}

static struct decimal without_zeros(struct decimal decimal)
{
    while (decimal.digits % 10 == 0) {
        decimal.digits /= 10;
        decimal.exponent++;
    }
    return decimal;
}

static void put_zeros(struct buffer *to, int count)
{
    for (int i = 0; i < count; i++)
        buffer_put_byte(to, '0');
}

/* The digits and a zero byte. Returns how many. */
static int write_digits(char to[24], uint64_t number)
{
    int count = 1;
    for (uint64_t rest = number; rest >= 10; rest /= 10)
        count++;
    to[count] = '\0';
    for (int at = count; at-- > 0; number /= 10)
        to[at] = (char)('0' + number % 10);
    return count;
}

/* Plain between 1e-6 and 1e21, as JavaScript writes numbers, with an exponent beyond. */
static void put_decimal(struct buffer *to, struct decimal decimal)
{
    char digits[24];
    int count = write_digits(digits, decimal.digits);
    int point = count + decimal.exponent; /* digits in front of the decimal point */
    if (point > 21 || point < -5) {
        buffer_put(to, digits, 1);
        if (count > 1)
            buffer_printf(to, ".%s", digits + 1);
        buffer_printf(to, "e%d", point - 1);
    } else if (point <= 0) {
        buffer_put_text(to, "0.");
        put_zeros(to, -point);
        buffer_put_text(to, digits);
    } else if (point < count) {
        buffer_put(to, digits, (size_t)point);
        buffer_put_byte(to, '.');
        buffer_put_text(to, digits + point);
    } else {
        buffer_put_text(to, digits);
        put_zeros(to, point - count);
        buffer_put_text(to, ".0");
    }
}

static void put_number(struct buffer *to, double value, const struct kind *kind)
{
    assert(isfinite(value));
    if (signbit(value)) {
        buffer_put_byte(to, '-');
        value = -value;
    }
    if (value == 0) {
        buffer_put_text(to, "0.0");
        return;
    }
    struct decimal decimal;
    if (kind != &kind_double || !few_digits(value, &decimal))
        decimal = without_zeros(shortest(value, kind));
    put_decimal(to, decimal);
}

void json_number_double(struct buffer *to, double value)
{
    put_number(to, value, &kind_double);
}

void json_number_float(struct buffer *to, float value)
{
    put_number(to, (double)value, &kind_float);
}
