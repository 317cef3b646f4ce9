#include "broker/backlog.h"
#include "bytes.h"
#include "unit.h"

static backlog_t *backlog;
static struct buffer taken;
static size_t patience; /* how many messages the socket takes */

static void setup(void)
{
    backlog = backlog_new(3);
    ck_assert_ptr_nonnull(backlog);
}

static void teardown(void)
{
    backlog_destroy(&backlog);
    buffer_free(&taken);
}

static bool put(size_t socket, const char *peer, const char *bytes)
{
    return backlog_put(backlog, socket, span_text(peer), span_text(bytes), NULL);
}

static bool take(size_t socket, struct span peer, struct span bytes, void *owner, void *arg)
{
    (void)owner;
    ck_assert_ptr_eq(arg, &taken);
    if (patience == 0)
        return false;
    patience--;
    buffer_printf(&taken, "%zu%.*s:%.*s ", socket, SPAN_ARG(peer), SPAN_ARG(bytes));
    return true;
}

static void retry(size_t messages, const char *expected)
{
    patience = messages;
    buffer_reset(&taken);
    backlog_retry(backlog, take, &taken);
    assert_text(buffer_span(&taken), expected);
}

START_TEST(keeps_the_order_of_each_peer)
{
    ck_assert(backlog_is_empty(backlog));
    ck_assert(put(0, "a", "1"));
    ck_assert(put(0, "a", "2"));
    ck_assert(!backlog_is_empty(backlog));
    retry(0, "");
    retry(1, "0a:1 ");
    ck_assert(put(0, "a", "3"));
    retry(9, "0a:2 0a:3 ");
    ck_assert(backlog_is_empty(backlog));
}
END_TEST

START_TEST(peers_of_different_sockets_are_different)
{
    ck_assert(put(0, "a", "x"));
    ck_assert(backlog_holds(backlog, 0, span_text("a")));
    ck_assert(!backlog_holds(backlog, 1, span_text("a")));
    ck_assert(!backlog_holds(backlog, 0, span_text("b")));
    ck_assert(put(1, "a", "y"));
    retry(1, "1a:y ");
    ck_assert(!backlog_holds(backlog, 1, span_text("a")));
    ck_assert(backlog_holds(backlog, 0, span_text("a")));
}
END_TEST

START_TEST(each_peer_is_bounded)
{
    for (int i = 0; i < 3; i++)
        ck_assert(put(0, "a", "x"));
    ck_assert(!put(0, "a", "x"));
    ck_assert(put(0, "b", "x"));
    retry(1, "0b:x ");
    ck_assert(!put(0, "a", "x"));
    retry(1, "0a:x ");
    ck_assert(put(0, "a", "x"));
}
END_TEST

START_TEST(another_bound_is_for_what_comes)
{
    for (int i = 0; i < 3; i++)
        ck_assert(put(0, "a", "x"));
    backlog_set_max(backlog, 2);
    ck_assert(put(0, "b", "y"));
    ck_assert(put(0, "b", "y"));
    ck_assert(!put(0, "b", "y"));
    retry(2, "0b:y 0b:y ");
    retry(3, "0a:x 0a:x 0a:x "); /* they were taken */
    backlog_set_max(backlog, 3);
    for (int i = 0; i < 3; i++)
        ck_assert(put(0, "b", "y"));
}
END_TEST

START_TEST(bytes_are_bounded_too)
{
    static uint8_t large[BACKLOG_PEER_BYTES];
    struct span all = span_of(large, sizeof large), one = span_of(large, 1);
    ck_assert(backlog_put(backlog, 0, span_text("a"), all, NULL));
    ck_assert(!backlog_put(backlog, 0, span_text("a"), one, NULL));
    ck_assert(backlog_put(backlog, 0, span_text("b"), one, NULL));
    ck_assert(!backlog_put(backlog, 0, span_text("b"), all, NULL));
}
END_TEST

static bool remember(size_t socket, struct span peer, struct span bytes, void *owner, void *arg)
{
    (void)socket, (void)peer, (void)bytes;
    *(void **)arg = owner;
    return true;
}

START_TEST(tells_whose_message_it_was)
{
    int mine;
    void *owner = NULL;
    ck_assert(backlog_put(backlog, 0, span_text("a"), (struct span){0}, &mine));
    backlog_retry(backlog, remember, &owner);
    ck_assert_ptr_eq(owner, &mine);
}
END_TEST

START_TEST(what_is_left_is_freed)
{
    put(0, "a", "1");
    put(0, "a", "2");
    put(1, "b", "3");
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("backlog");
    TCase *tests = tcase_create("backlog");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, keeps_the_order_of_each_peer);
    tcase_add_test(tests, peers_of_different_sockets_are_different);
    tcase_add_test(tests, each_peer_is_bounded);
    tcase_add_test(tests, another_bound_is_for_what_comes);
    tcase_add_test(tests, bytes_are_bounded_too);
    tcase_add_test(tests, tells_whose_message_it_was);
    tcase_add_test(tests, what_is_left_is_freed);
    suite_add_tcase(suite, tests);
    return unit_run(suite);
}
