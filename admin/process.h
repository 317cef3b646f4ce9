#pragma once
#include <stddef.h>

#include "admin/reload.h"
#include "common/options.h"

/* process - the command line of a daemon: [--config FILE] [--help] [--version], its settings, its
 * log. The same for each, so that operators learn it once. */

struct process_section {
    const char *name;  /* of the options: "broker" */
    const char *title; /* as people write it: "[broker]" */
};

struct process {
    const char *name;    /* in the log; the program is millrace-<name> */
    const char *purpose; /* for --help: some lines, each with its newline */
    const struct process_section *sections;
    size_t section_count;
    /* Runs until a signal ends it; the exit status. The options, which `reload` changes, and that
     * outlive it. SIGHUP is held (reload.h). */
    int (*run)(const options_t *options, reload_t *reload);
};

/* What main returns: 64 for wrong arguments, 78 for wrong settings, else what `run` returns. */
int process_main(const struct process *self, int argc, char **argv);
