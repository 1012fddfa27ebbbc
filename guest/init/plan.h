/*
 * What init is to do, put together from the host's records, the environment
 * and arguments that the kernel started init with (HK_CFG_CMDLINE), and the
 * configuration file of the root (HK_CFG_CONFIG_FILE), in two steps: the file
 * can be read only when the root is there.
 *
 * All of it changes a struct hk_config in place; afterwards `exec` and `args`
 * are the command, `env` its environment, and so on. 0 or -ENOMEM.
 */
#ifndef HK_INIT_PLAN_H
#define HK_INIT_PLAN_H

#include "config.h"
#include "spec.h"

/* Variables and arguments from the kernel's command line. Does nothing
 * without HK_CFG_CMDLINE. `argv` is init's own, with its name. */
int hk_plan_take_cmdline(struct hk_config *config, char *const argv[],
                         char *const variables[]);

/* Where the configuration file is. */
const char *hk_plan_spec_path(const struct hk_config *config);

/* The file's contents: variables that are there already win, but for HOME
 * and TERM; a command and a folder that are there already win. */
int hk_plan_take_spec(struct hk_config *config, const struct hk_spec *spec);

/* Defaults for what nobody said, after all else. `home` may be "". */
int hk_plan_finish(struct hk_config *config, const char *home);

/* True when the word stands in the kernel's command line before "--". */
bool hk_plan_has_word(const char *line, const char *word);

#endif
