#include <stdio.h>
#include <string.h>
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
    static const char *const names[] = {"a.slice/b.service/memory.max",
                                        "a.slice/b.service",
                                        "a.slice/memory.max",
                                        "a.slice",
                                        "memory.max",
                                        "own",
                                        ""};
    char path[256];
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        path_of(path, names[i]);
        (void)remove(path);
    }
}

static void expect(uint64_t bytes)
{
    char own[256];
    path_of(own, "own");
    ck_assert_uint_eq(cgroup_memory_max_in(own, root), bytes);
}

START_TEST(without_a_limit_there_is_none)
{
    expect(0);
    put("a.slice/b.service/memory.max", "max\n");
    expect(0);
}
END_TEST

START_TEST(the_smallest_limit_on_the_way_up_counts)
{
    put("a.slice/b.service/memory.max", "3000\n");
    expect(3000);
    put("a.slice/memory.max", "2000\n");
    expect(2000);
    put("a.slice/b.service/memory.max", "max\n");
    expect(2000);
    put("memory.max", "1000\n");
    expect(1000);
    put("a.slice/memory.max", "max\n");
    expect(1000);
}
END_TEST

START_TEST(a_container_sees_its_own_cgroup_as_the_root)
{
    put("own", "0::/\n");
    put("memory.max", "5000\n");
    expect(5000);
}
END_TEST

START_TEST(what_cannot_be_read_is_no_limit)
{
    put("own", "");
    put("memory.max", "5000\n");
    expect(0);
    put("own", "4:memory:/elsewhere\n");
    expect(0);
    put("own", "0::/gone\n");
    expect(5000);
    ck_assert_uint_eq(cgroup_memory_max_in("/nowhere/own", root), 0);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("cgroup");
    TCase *tests = tcase_create("cgroup");
    tcase_add_checked_fixture(tests, setup, teardown);
    tcase_add_test(tests, without_a_limit_there_is_none);
    tcase_add_test(tests, the_smallest_limit_on_the_way_up_counts);
    tcase_add_test(tests, a_container_sees_its_own_cgroup_as_the_root);
    tcase_add_test(tests, what_cannot_be_read_is_no_limit);
    suite_add_tcase(suite, tests);
    return unit_run(suite);
}
