#pragma once
#include <stdlib.h>

#include "asserts.h"

/* unit - what every unit test program needs. One program per module, Check forks for each test
 * (CK_FORK=no under a debugger). No socket, no sleep, no clock: time is an argument. */

/* Runs all tests of the suite; the program's exit status. */
static inline int unit_run(Suite *suite)
{
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed ? EXIT_FAILURE : EXIT_SUCCESS;
}
