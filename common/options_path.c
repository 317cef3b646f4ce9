#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/options_priv.h"

/* The folder of the settings file `file`, the working directory without one. Absolute, so that the
 * settings in effect mean the same wherever somebody puts them. */
static void put_folder(struct buffer *to, const char *file)
{
    const char *slash = file ? strrchr(file, '/') : NULL;
    if (!slash || file[0] != '/') {
        char *here = getcwd(NULL, 0);
        buffer_put_text(to, here ? here : ".");
        buffer_put_byte(to, '/');
        free(here);
    }
    if (slash)
        buffer_put(to, file, (size_t)(slash + 1 - file));
}

/* The settings file that a value counts from: of the default, the one that includes all others; of
 * the environment, none. */
static const char *counts_from(struct option_place place, const char *file)
{
    if (!place.file)
        return file;
    return place.line ? place.file : NULL;
}

void options_resolve_store(struct options_load *self, const char *file)
{
    struct options_store *store = &self->options->store;
    if (store->path[0] == '\0' || store->path[0] == '/')
        return;
    const struct option *option = option_find(SECTION_store, "path");
    struct option_place place = *options_place(self, SECTION_store, 0, option);
    struct buffer path = {0}, rule = {0};
    put_folder(&path, counts_from(place, file));
    buffer_put(&path, store->path, strlen(store->path) + 1);
    if (path.failed)
        options_complain(self, place, "out of memory");
    else if (!option_parse(option, (const char *)path.data, store, &rule))
        options_refuse(self, place, SECTION_store, 0, option->key, "with its folder it %.*s",
                       SPAN_ARG(buffer_span(&rule)));
    buffer_free(&path);
    buffer_free(&rule);
}
