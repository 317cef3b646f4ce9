#include "admin/process.h"

#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sysexits.h>

#include "common/log.h"

extern char **environ;

static int print(struct buffer *text, FILE *to)
{
    bool written = !text->failed && (text->size == 0 || fwrite(text->data, text->size, 1, to) == 1);
    buffer_free(text);
    return written && fflush(to) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int print_help(const struct process *self)
{
    struct buffer text = {0};
    buffer_printf(&text,
                  "millrace-%s [--config FILE] [--help] [--version]\n\n%s"
                  "Settings come from FILE (INI), then from the environment as\n"
                  "MILLRACE_<SECTION>_<KEY>. Those of this process:\n",
                  self->name, self->purpose);
    for (size_t i = 0; i < self->section_count; i++) {
        buffer_printf(&text, "\n%s\n", self->sections[i].title);
        options_write_help(&text, self->sections[i].name);
    }
    buffer_put_text(&text, "\nSIGHUP: the settings are read again.\n"
                           "\nExit status: 0 stopped by a signal, 1 could not start,\n"
                           "64 wrong arguments, 78 wrong settings.\n");
    return print(&text, stdout);
}

#define SECTIONS_MAX 16

static int run_with(const struct process *self, const char *file, options_t *options)
{
    const char *sections[SECTIONS_MAX + 1] = {0};
    for (size_t i = 0; i < self->section_count && i < SECTIONS_MAX; i++)
        sections[i] = self->sections[i].name;
    struct reload_settings settings = {file, options, sections};
    reload_t *reload = reload_new(&settings);
    if (!reload)
        return EXIT_FAILURE;
    int code = self->run(options, reload);
    reload_destroy(&reload);
    return code;
}

static int run(const struct process *self, const char *file)
{
    struct buffer why = {0};
    reload_hold_signal();
    options_t *options = options_load(file, environ, &why);
    if (!options) {
        print(&why, stderr);
        return EX_CONFIG;
    }
    buffer_free(&why);
    log_open(self->name, (enum log_level)options->log.level);
    int code = run_with(self, file, options);
    options_destroy(&options);
    return code;
}

int process_main(const struct process *self, int argc, char **argv)
{
    static const struct option names[] = {{"config", required_argument, NULL, 'c'},
                                          {"help", no_argument, NULL, 'h'},
                                          {"version", no_argument, NULL, 'v'},
                                          {0}};
    const char *file = NULL;
    int name;
    signal(SIGPIPE, SIG_IGN);
    while ((name = getopt_long(argc, argv, "", names, NULL)) != -1) {
        switch (name) {
        case 'c':
            file = optarg;
            break;
        case 'h':
            return print_help(self);
        case 'v':
            printf("millrace-%s %s\n", self->name, MILLRACE_VERSION);
            return EXIT_SUCCESS;
        default:
            return EX_USAGE;
        }
    }
    if (optind < argc) {
        fprintf(stderr, "millrace-%s: unexpected argument: %s\n", self->name, argv[optind]);
        return EX_USAGE;
    }
    return run(self, file);
}
