#include <stdio.h>

#include "broker/core_handlers.h"
#include "broker/handlers.h"
#include "permission_world.h"
#include "unit.h"

static void handle(const char *peer, const char *handlers)
{
    char json[300];
    snprintf(json, sizeof json, "{'op':'handle','id':1,'handlers':%s}", handlers);
    world_request(0, peer, json);
}

static void unhandle(const char *peer, const char *handlers, bool everywhere)
{
    char json[300];
    snprintf(json, sizeof json, "{'op':'unhandle','id':2,'handlers':%s,'everywhere':%s}", handlers,
             everywhere ? "true" : "false");
    world_request(0, peer, json);
}

static void expect_stored(bool removed)
{
    registered(expect_registration(removed), STORE_COMMITTED);
}

/* So many are registered. */
static void expect_handlers(uint64_t count)
{
    core_measure(world);
    ck_assert_uint_eq(world_metrics.handlers, count);
}

START_TEST(a_registration_is_acknowledged_when_it_is_stored)
{
    handle("w", "[{'channel':'chat'},{}]");
    uint64_t first = expect_registration(false), second = expect_registration(false);
    expect_nothing();
    registered(first, STORE_COMMITTED);
    expect_nothing();
    registered(second, STORE_COMMITTED);
    expect_reply("w", "{'id':1,'ok':true}");
    handle("w", "[{'channel':'chat'}]"); /* again: nothing to store */
    expect_reply("w", "{'id':1,'ok':true}");
    handle("v", "[{'channel':'chat'}]"); /* another worker: the same */
    expect_reply("v", "{'id':1,'ok':true}");
    expect_handlers(2);
    ck_assert_uint_eq(world_metrics.workers, 3);
}
END_TEST

START_TEST(what_cannot_be_stored_is_not_registered)
{
    handle("w", "[{'channel':'chat'}]");
    registered(expect_registration(false), STORE_FAILED);
    expect_refusal("w", "1", STATUS_UNAVAILABLE, "could not be stored");
    expect_handlers(0);
    ck_assert_uint_eq(world_metrics.registrations_failed_total, 1);
}
END_TEST

START_TEST(it_is_asked_when_it_is_stored_and_nobody_reads_before)
{
    handle("w", "[{'channel':'chat'}]");
    uint64_t ticket = expect_registration(false);
    world_request(0, "p", EXPLAIN_ANN);
    core_answer(world, SIZE_MAX, world_now);
    expect_nothing();
    registered(ticket, STORE_COMMITTED);
    expect_reply("w", "{'id':1,'ok':true}");
    core_answer(world, SIZE_MAX, world_now);
    world_lost("w");
    core_answer(world, SIZE_MAX, world_now);
    expect_reply("p",
                 "{'id':1,'ok':true,'read':false,'status':503,'message':'the permission handler "
                 "is not connected','level':'channel','by':'handler','source':'live',"
                 "'took_ms':0}");
}
END_TEST

START_TEST(bad_registrations)
{
    static const struct world_refusal cases[] = {
        {0, "{'op':'handle','id':1}", STATUS_BAD_INPUT, "handlers: missing"},
        {0, "{'op':'handle','id':1,'handlers':{}}", STATUS_BAD_INPUT, "handlers: must be an array"},
        {0, "{'op':'handle','id':1,'handlers':[7]}", STATUS_BAD_INPUT,
         "handlers[0]: must be a map"},
        {0, "{'op':'handle','id':1,'handlers':[{},{'channel':'a b'}]}", STATUS_BAD_INPUT,
         "handlers[1]: channel"},
        {0, "{'op':'handle','id':1,'handlers':[{'resource':'1'}]}", STATUS_BAD_INPUT,
         "handlers[0].resource: needs a channel"},
        {0, "{'op':'handle','id':1,'handlers':[{'channel':''}]}", STATUS_BAD_INPUT, "empty"},
        {0, "{'op':'handle','id':1,'handlers':[{}],'site':'acme'}", STATUS_FORBIDDEN, "site"},
        {0, "{'op':'handle','id':1,'handlers':[{}],'app':'chess'}", STATUS_FORBIDDEN, "app"},
        {0, "{'op':'handle','id':1,'handlers':[{}],'app':'che ss'}", STATUS_BAD_INPUT, "app"},
        {2, "{'op':'handle','id':1,'handlers':[{}]}", STATUS_FORBIDDEN, "may not handle"},
        {2, "{'op':'unhandle','id':1,'handlers':[{}]}", STATUS_FORBIDDEN, "may not handle"},
        {2, "{'op':'handlers','id':1}", STATUS_FORBIDDEN, "may not handle"},
        {0, "{'op':'unhandle','id':1,'handlers':[{}],'everywhere':1}", STATUS_BAD_INPUT,
         "everywhere: must be true or false"},
    };
    expect_refusals("w", cases, sizeof cases / sizeof *cases);
    expect_handlers(0);
}
END_TEST

START_TEST(handlers_of_a_site_are_bounded_and_so_is_a_request)
{
    for (int i = 0; i < 10; i++) {
        char entry[60];
        snprintf(entry, sizeof entry, "[{'channel':'c%d'}]", i);
        world_handler("w", entry);
    }
    handle("w", "[{'channel':'more'}]");
    expect_refusal("w", "1", STATUS_TOO_MANY, "more than 10 of this site");
    handle("w", "[{'channel':'c1'}]"); /* those that are there are no more */
    expect_reply("w", "{'id':1,'ok':true}");

    struct buffer many = {0};
    buffer_put_text(&many, "{'op':'handle','id':1,'handlers':[");
    for (int i = 0; i < LIMIT_HANDLERS + 1; i++)
        buffer_printf(&many, "%s{'channel':'n%d'}", i ? "," : "", i);
    buffer_put(&many, "]}", 3);
    world_request(0, "w", (const char *)many.data);
    buffer_free(&many);
    expect_refusal("w", "1", STATUS_TOO_LARGE, "more than 1024");
}
END_TEST

START_TEST(the_last_worker_takes_the_registration_along)
{
    world_handler("w", "[{'channel':'chat'}]");
    world_handler("v", "[{'channel':'chat'}]");
    unhandle("w", "[{'channel':'chat'}]", false);
    expect_reply("w", "{'id':2,'ok':true,'removed':0}");
    unhandle("w", "[{'channel':'chat'}]", false); /* is no worker any more */
    expect_reply("w", "{'id':2,'ok':true,'removed':0}");
    unhandle("v", "[{'channel':'chat'},{'channel':'other'}]", false);
    expect_stored(true);
    expect_reply("v", "{'id':2,'ok':true,'removed':1}");
    expect_handlers(0);
}
END_TEST

START_TEST(a_forgotten_registration_is_removed_by_anybody)
{
    world_handler("w", "[{'channel':'chat'}]");
    unhandle("admin", "[{'channel':'chat'}]", false);
    expect_reply("admin", "{'id':2,'ok':true,'removed':0}");
    unhandle("admin", "[{'channel':'chat'}]", true);
    uint64_t ticket = expect_registration(true);
    registered(ticket, STORE_FAILED);
    expect_refusal("admin", "2", STATUS_UNAVAILABLE, "could not be removed");
    expect_handlers(1);
    unhandle("admin", "[{'channel':'chat'}]", true);
    expect_stored(true);
    expect_reply("admin", "{'id':2,'ok':true,'removed':1}");
}
END_TEST

START_TEST(questions_of_a_removed_handler_are_refused)
{
    world_handler("w", "[{'channel':'chat'}]");
    world_request(0, "p", EXPLAIN_ANN);
    core_answer(world, SIZE_MAX, world_now);
    struct core_effect effect;
    core_take_effect(world, &effect);
    core_sent(world, effect.to, CORE_SENT);
    unhandle("w", "[{'channel':'chat'}]", false);
    expect_stored(true);
    expect_reply("p",
                 "{'id':1,'ok':true,'read':false,'status':503,'message':'the permission handler "
                 "was removed','level':'channel','by':'handler','source':'live','took_ms':0}");
    expect_reply("w", "{'id':2,'ok':true,'removed':1}");
    world_request(0, "w", "{'op':'answer','id':1,'answers':[{'read':true}]}");
    ck_assert_uint_eq(world_metrics.answers_strange_total, 1);
}
END_TEST

START_TEST(who_registers_while_it_is_being_removed_stays)
{
    world_handler("w", "[{'channel':'chat'}]");
    unhandle("w", "[{'channel':'chat'}]", false);
    uint64_t gone = expect_registration(true);
    handle("v", "[{'channel':'chat'}]");
    uint64_t back = expect_registration(false);
    registered(gone, STORE_COMMITTED);
    expect_reply("w", "{'id':2,'ok':true,'removed':0}");
    registered(back, STORE_COMMITTED);
    expect_reply("v", "{'id':1,'ok':true}");
    expect_handlers(1);
    ck_assert_uint_eq(world_metrics.workers, 1);
}
END_TEST

START_TEST(the_list)
{
    world_handler("w", "[{'channel':'chat','resource':'1'}]");
    world_request(0, "p", "{'op':'handlers','id':3}");
    expect_reply("p",
                 "{'id':3,'ok':true,'total':1,'handlers':[{'site':'default','app':'','channel':"
                 "'chat','resource':'1','workers':1,'breaker':'closed','questions':0,"
                 "'failures':0}]}");
    world_request(1, "p", "{'op':'handlers','id':4}");
    expect_reply("p", "{'id':4,'ok':true,'total':0,'handlers':[]}");
}
END_TEST

START_TEST(what_was_registered_before_the_start_refuses)
{
    uint8_t key[ADDRESS_KEY_MAX];
    struct address address = {.view = VIEW_LIVE, .site = span_text("default")};
    size_t size = handler_key(&address, LEVEL_DEFAULT, key);
    ck_assert(core_restore_handler(world, span_of(key, size)));
    world_request(0, "p", EXPLAIN_ANN);
    expect_reply("p",
                 "{'id':1,'ok':true,'read':false,'status':503,'message':'the permission handler "
                 "is not connected','level':'default','by':'handler','source':'none',"
                 "'took_ms':0}");
    ck_assert(!core_restore_handler(world, span_text("nonsense")));
    ck_assert(!core_restore_handler(world, span_of(key, size - 1)));
    key[0] = VIEW_PREVIEW;
    ck_assert(!core_restore_handler(world, span_of(key, size)));
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("core_handlers");
    TCase *cases = tcase_create("all");
    tcase_add_checked_fixture(cases, world_setup, world_teardown);
    tcase_add_test(cases, a_registration_is_acknowledged_when_it_is_stored);
    tcase_add_test(cases, what_cannot_be_stored_is_not_registered);
    tcase_add_test(cases, it_is_asked_when_it_is_stored_and_nobody_reads_before);
    tcase_add_test(cases, bad_registrations);
    tcase_add_test(cases, handlers_of_a_site_are_bounded_and_so_is_a_request);
    tcase_add_test(cases, the_last_worker_takes_the_registration_along);
    tcase_add_test(cases, a_forgotten_registration_is_removed_by_anybody);
    tcase_add_test(cases, questions_of_a_removed_handler_are_refused);
    tcase_add_test(cases, who_registers_while_it_is_being_removed_stays);
    tcase_add_test(cases, the_list);
    tcase_add_test(cases, what_was_registered_before_the_start_refuses);
    suite_add_tcase(suite, cases);
    return unit_run(suite);
}
