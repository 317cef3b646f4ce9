#include "options_world.h"

#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "unit.h"

static char directory[] = "/tmp/millrace-options-XXXXXX";
static char home[4096];
static struct buffer why;

void world_setup(void)
{
    ck_assert_ptr_nonnull(getcwd(home, sizeof home));
    ck_assert_ptr_nonnull(mkdtemp(directory));
    ck_assert_int_eq(chdir(directory), 0);
}

void world_teardown(void)
{
    static const char *const files[] = {"main.ini", "sub/a.ini", "sub/b.ini", "secret"};
    buffer_free(&why);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        unlink(files[i]);
    rmdir("sub");
    ck_assert_int_eq(chdir(home), 0);
    ck_assert_int_eq(rmdir(directory), 0);
    memcpy(directory + sizeof directory - 7, "XXXXXX", 6);
}

void world_write_file(const char *name, struct span text)
{
    FILE *file = fopen(name, "w");
    ck_assert_ptr_nonnull(file);
    ck_assert_uint_eq(fwrite(text.data, 1, text.size, file), text.size);
    fclose(file);
}

options_t *world_load_file(const char *name, char *const *environment)
{
    buffer_reset(&why);
    options_t *options = options_load(name, environment, &why);
    if (options)
        ck_assert_uint_eq(why.size, 0);
    buffer_put_byte(&why, '\0');
    return options;
}

options_t *world_load(const char *text, char *const *environment)
{
    if (text)
        world_write_file("main.ini", span_text(text));
    return world_load_file(text ? "main.ini" : NULL, environment);
}

options_t *world_loaded_file(const char *name, char *const *environment)
{
    options_t *options = world_load_file(name, environment);
    ck_assert_msg(options, "%s", world_reasons());
    return options;
}

options_t *world_loaded(const char *text, char *const *environment)
{
    options_t *options = world_load(text, environment);
    ck_assert_msg(options, "%s", world_reasons());
    return options;
}

const char *world_reasons(void)
{
    return (const char *)why.data;
}

void world_refused(const char *text, char *const *environment, const char *lines)
{
    ck_assert_ptr_null(world_load(text, environment));
    ck_assert_str_eq(world_reasons(), lines);
}
