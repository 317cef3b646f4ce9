#include <stdio.h>
#include <string.h>

#include "broker/effects.h"
#include "bytes.h"
#include "unit.h"

static struct effects effects;
static parties_t *parties;

static void setup(void)
{
    parties = parties_new();
}

static void teardown(void)
{
    effects_free(&effects);
    parties_destroy(&parties);
}

static void put(enum core_effect_kind kind, party_t *to, const char *text, payload_t *body)
{
    buffer_put_text(effects_begin(&effects), text);
    ck_assert(effects_end(&effects, kind, to, body));
}

static struct core_effect take(void)
{
    struct core_effect effect;
    effects_take(&effects, &effect);
    return effect;
}

START_TEST(come_out_in_the_order_in_which_they_went_in)
{
    party_t *to = parties_get(parties, 7, span_text("peer"), 0);
    put(CORE_REPLY, to, "one", NULL);
    ck_assert(effects_append(&effects, 42));
    put(CORE_GATEWAY_JOINED, NULL, "", NULL);
    ck_assert(!effects_is_empty(&effects));

    struct core_effect effect = take();
    ck_assert_int_eq(effect.kind, CORE_REPLY);
    ck_assert_ptr_eq(effect.to, to);
    ck_assert_uint_eq(effect.endpoint, 7);
    assert_text(effect.peer, "peer");
    assert_text(effect.bytes, "one");
    effect = take();
    ck_assert_int_eq(effect.kind, CORE_APPEND);
    ck_assert_uint_eq(effect.append.ticket, 42);
    effect = take();
    ck_assert_int_eq(effect.kind, CORE_GATEWAY_JOINED);
    ck_assert_ptr_null(effect.to);
    ck_assert_uint_eq(effect.bytes.size, 0);
    ck_assert_int_eq(take().kind, CORE_NOTHING);
    ck_assert(effects_is_empty(&effects));
}
END_TEST

START_TEST(bytes_stay_right_while_the_buffer_grows)
{
    char text[8];
    for (int i = 0; i < 5000; i++) {
        snprintf(text, sizeof text, "%d", i);
        put(CORE_PUBLISH, NULL, text, NULL);
    }
    for (int i = 0; i < 5000; i++) {
        snprintf(text, sizeof text, "%d", i);
        assert_text(take().bytes, text);
    }
    ck_assert_int_eq(take().kind, CORE_NOTHING);
}
END_TEST

START_TEST(a_body_is_held_until_it_was_used)
{
    payload_t *body = payload_new(4);
    memcpy(body->data, "body", 4);
    put(CORE_PUBLISH, NULL, "head", body);
    put(CORE_PUBLISH, NULL, "head", body); /* never taken */
    ck_assert_uint_eq(body->references, 3);
    struct core_effect effect = take();
    ck_assert_uint_eq(body->references, 3);
    assert_text(effect.body, "body");
    take();
    ck_assert_uint_eq(body->references, 2);
    take();
    ck_assert_uint_eq(body->references, 1);
    put(CORE_PUBLISH, NULL, "head", body);
    effects_free(&effects);
    ck_assert_uint_eq(body->references, 1);
    payload_release(&body);
}
END_TEST

START_TEST(what_is_undone_leaves_nothing)
{
    put(CORE_SEND, NULL, "one", NULL);
    buffer_put_text(effects_begin(&effects), "two");
    ck_assert_uint_eq(effects_written(&effects), 3);
    effects_undo(&effects);
    put(CORE_SEND, NULL, "three", NULL);
    assert_text(take().bytes, "one");
    assert_text(take().bytes, "three");
    ck_assert_int_eq(take().kind, CORE_NOTHING);
}
END_TEST

START_TEST(what_found_no_memory_leaves_nothing)
{
    put(CORE_SEND, NULL, "one", NULL);
    struct buffer *to = effects_begin(&effects);
    buffer_put_text(to, "two");
    ck_assert_ptr_null(buffer_reserve(to, SIZE_MAX / 2 + 2)); /* more than there can be */
    ck_assert(!effects_end(&effects, CORE_SEND, NULL, NULL));
    put(CORE_SEND, NULL, "three", NULL);
    assert_text(take().bytes, "one");
    assert_text(take().bytes, "three");
    ck_assert_int_eq(take().kind, CORE_NOTHING);
}
END_TEST

START_TEST(the_size_is_what_was_not_taken)
{
    ck_assert_uint_eq(effects_size(&effects), 0);
    put(CORE_SEND, NULL, "12345", NULL);
    put(CORE_SEND, NULL, "678", NULL);
    ck_assert_uint_eq(effects_size(&effects), 8);
    take();
    ck_assert_uint_eq(effects_size(&effects), 3);
    take();
    ck_assert_uint_eq(effects_size(&effects), 0);
    put(CORE_SEND, NULL, "9", NULL); /* also before it was found empty */
    ck_assert_uint_eq(effects_size(&effects), 1);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("effects");
    TCase *tests = tcase_create("effects");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, come_out_in_the_order_in_which_they_went_in);
    tcase_add_test(tests, bytes_stay_right_while_the_buffer_grows);
    tcase_add_test(tests, a_body_is_held_until_it_was_used);
    tcase_add_test(tests, what_is_undone_leaves_nothing);
    tcase_add_test(tests, what_found_no_memory_leaves_nothing);
    tcase_add_test(tests, the_size_is_what_was_not_taken);
    suite_add_tcase(suite, tests);
    return unit_run(suite);
}
