#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "admin/cgroup.h"
#include "unit.h"

/* A tree of cgroups in a directory of its own: root/a.slice/b.service. */
static char root[64];

static void path_of(char path[256], const char *name)
{
    snprintf(path, 256, "%s/%s", root, name);
}

static void put(const char *name, const char *text)
{
    char path[256];
    path_of(path, name);
    FILE *file = fopen(path, "w");
    ck_assert_ptr_nonnull(file);
    ck_assert_int_ge(fputs(text, file), 0);
    ck_assert_int_eq(fclose(file), 0);
}

static void setup(void)
{
    char path[256];
    strcpy(root, "/tmp/millrace-cgroup-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(root));
    path_of(path, "a.slice");
    ck_assert_int_eq(mkdir(path, 0700), 0);
    path_of(path, "a.slice/b.service");
    ck_assert_int_eq(mkdir(path, 0700), 0);
    put("own", "4:memory:/elsewhere\n0::/a.slice/b.service\n");
}

static void teardown(void)
{
    static const char *const cgroups[] = {"a.slice/b.service", "a.slice", "."};
    static const char *const files[] = {"memory.max", "memory.current", "memory.stat", "own"};
    char name[64], path[256];
    for (size_t i = 0; i < sizeof cgroups / sizeof *cgroups; i++) {
        for (size_t k = 0; k < sizeof files / sizeof *files; k++) {
            snprintf(name, sizeof name, "%s/%s", cgroups[i], files[k]);
            path_of(path, name);
            (void)remove(path);
        }
        path_of(path, cgroups[i]);
        (void)remove(path);
    }
    (void)rmdir(root);
}

/* What a cgroup may have, and has. */
static void given(const char *cgroup, const char *max, unsigned current, unsigned inactive_file)
{
    char name[64], text[128];
    snprintf(name, sizeof name, "%s/memory.max", cgroup);
    put(name, max);
    snprintf(name, sizeof name, "%s/memory.current", cgroup);
    snprintf(text, sizeof text, "%u\n", current);
    put(name, text);
    snprintf(name, sizeof name, "%s/memory.stat", cgroup);
    snprintf(text, sizeof text, "anon 7\nfile 9\ninactive_file %u\nactive_file 5\n", inactive_file);
    put(name, text);
}

static void expect(uint64_t max, uint64_t used)
{
    char own[256];
    struct cgroup cgroup = {0};
    struct cgroup_memory memory;
    path_of(own, "own");
    cgroup_find_in(&cgroup, own, root);
    ck_assert(cgroup_memory(&cgroup, &memory));
    ck_assert_uint_eq(memory.max_bytes, max);
    ck_assert_uint_eq(memory.used_bytes, used);
}

START_TEST(without_a_limit_there_is_none)
{
    expect(0, 0);
    given("a.slice/b.service", "max\n", 100, 10);
    expect(0, 0);
}
END_TEST

START_TEST(pages_of_files_that_can_be_dropped_do_not_count)
{
    given("a.slice/b.service", "1000\n", 600, 200);
    expect(1000, 400);
    given("a.slice/b.service", "1000\n", 600, 700); /* they are read one after the other */
    expect(1000, 0);
    given("a.slice/b.service", "1000\n", 500, 200); /* far from the limit nobody asks */
    expect(1000, 500);
}
END_TEST

START_TEST(the_one_nearest_to_its_limit_counts)
{
    given("a.slice/b.service", "1000\n", 600, 200);
    given("a.slice", "10000\n", 3000, 0);
    expect(1000, 400);
    given("a.slice", "10000\n", 9000, 0);
    expect(10000, 9000);
    given("a.slice/b.service", "max\n", 600, 200);
    expect(10000, 9000);
    given(".", "500\n", 490, 0);
    expect(500, 490);
}
END_TEST

START_TEST(a_container_sees_its_own_cgroup_as_the_root)
{
    put("own", "0::/\n");
    given(".", "5000\n", 10, 0);
    expect(5000, 10);
}
END_TEST

START_TEST(what_is_not_there_is_no_limit)
{
    given(".", "5000\n", 10, 0);
    put("own", "");
    expect(0, 0);
    put("own", "4:memory:/elsewhere\n");
    expect(0, 0);
    put("own", "0::/gone\n");
    expect(5000, 10);
    struct cgroup cgroup = {0};
    struct cgroup_memory memory;
    ck_assert(cgroup_memory(&cgroup, &memory)); /* it was never found */
    ck_assert_uint_eq(memory.max_bytes, 0);
}
END_TEST

START_TEST(what_cannot_be_opened_is_said)
{
    char own[256];
    struct rlimit limit;
    struct cgroup cgroup = {0};
    struct cgroup_memory memory;
    given("a.slice/b.service", "1000\n", 600, 200);
    path_of(own, "own");
    cgroup_find_in(&cgroup, own, root);
    ck_assert_int_eq(getrlimit(RLIMIT_NOFILE, &limit), 0);
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &(struct rlimit){0, limit.rlim_max}), 0);
    cgroup_find_in(&cgroup, own, root); /* stays where it is */
    bool known = cgroup_memory(&cgroup, &memory);
    ck_assert_int_eq(setrlimit(RLIMIT_NOFILE, &limit), 0);
    ck_assert(!known);
    ck_assert(cgroup_memory(&cgroup, &memory));
    ck_assert_uint_eq(memory.used_bytes, 400);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cgroup");
    TCase *tests = tcase_create("cgroup");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, without_a_limit_there_is_none);
    tcase_add_test(tests, pages_of_files_that_can_be_dropped_do_not_count);
    tcase_add_test(tests, the_one_nearest_to_its_limit_counts);
    tcase_add_test(tests, a_container_sees_its_own_cgroup_as_the_root);
    tcase_add_test(tests, what_is_not_there_is_no_limit);
    tcase_add_test(tests, what_cannot_be_opened_is_said);
    suite_add_tcase(suite, tests);
    return unit_run(suite);
}
