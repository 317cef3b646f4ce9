#pragma once

/* The commands of `millrace`: each gets its own arguments (argv[0] is the command's name) and
 * returns the exit status. */
int cmd_publish(int argc, char **argv);
int cmd_subscribe(int argc, char **argv);
int cmd_token(int argc, char **argv);
int cmd_keys(int argc, char **argv);
int cmd_check_config(int argc, char **argv);
int cmd_status(int argc, char **argv);
int cmd_handlers(int argc, char **argv);
int cmd_explain(int argc, char **argv);
int cmd_reference(int argc, char **argv);
