/*
 * Limits, folder, rights, and then the command. The search in PATH is our own
 * so that its failures can be told apart: not found (127) and found but not
 * executable (126).
 */
#include "exec.h"

#include "status.h"
#include "sys.h"
#include "wire/init_config.h"

#include <errno.h>
#include <grp.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static bool refuse(struct hk_exec_error *e, int status, const char *text,
                   const char *what)
{
    e->status = status;
    e->error = errno;
    hk_join(e->text, sizeof(e->text), text, what, ": ", strerror(errno), NULL);
    return false;
}

static bool set_limits(const struct hk_config *config, struct hk_exec_error *e)
{
    for (size_t i = 0; i < config->rlimits.count; i++) {
        const char *text = config->rlimits.v[i];
        struct hk_rlimit limit;
        if (!hk_rlimit_parse(text, (unsigned)strlen(text), &limit))
            continue;
        struct rlimit to = {limit.soft, limit.hard};
        if (setrlimit((int)limit.resource, &to) != 0)
            return refuse(e, HK_STATUS_SETUP, "cannot set the resource limit ",
                          text);
    }
    return true;
}

static bool enter_folder(const struct hk_config *config,
                         struct hk_exec_error *e)
{
    const char *path = config->workdir;
    if (path == NULL)
        return chdir("/") == 0;
    if ((config->flags & HK_CFG_WORKDIR_MUST) == 0)
        (void)hk_make_folders(path);
    if (chdir(path) == 0)
        return true;
    return refuse(e, HK_STATUS_SETUP, "cannot enter the working directory ",
                  path);
}

static bool become(const struct hk_user *user, struct hk_exec_error *e)
{
    if (user == NULL)
        return true;
    if (setgroups(user->group_count, (const gid_t *)user->group) == 0 &&
        setgid(user->gid) == 0 && setuid(user->uid) == 0)
        return true;
    return refuse(e, HK_STATUS_SETUP, "cannot change the user", "");
}

static char **make_argv(const struct hk_config *config)
{
    char **argv = calloc(config->args.count + 2, sizeof(*argv));
    if (argv == NULL)
        return NULL;
    argv[0] = config->exec;
    for (size_t i = 0; i < config->args.count; i++)
        argv[i + 1] = config->args.v[i];
    return argv;
}

/* The text after "cannot run X: ", which is better than the errno alone when
 * a script's or program's interpreter is what is missing. */
static void say_why(const char *path, int error, struct hk_exec_error *e)
{
    struct stat st;
    const char *why = strerror(error);

    if (error == ENOENT && stat(path, &st) == 0)
        why = "the interpreter or loader that it names is missing";
    else if (error == ENOENT || error == ENOTDIR)
        why = "there is no such file";
    else if (error == EACCES && stat(path, &st) == 0 && S_ISDIR(st.st_mode))
        why = "it is a directory";
    else if (error == EACCES)
        why = "it is not for this user to execute";
    else if (error == ENOEXEC)
        why = "it is no program for this machine, and no script with #!";
    e->status = hk_status_of_exec(error);
    e->error = error;
    hk_join(e->text, sizeof(e->text), "cannot run ", path, ": ", why, NULL);
}

/* Tries each folder of PATH; the worst that was found there is remembered. */
static void search(const char *path, char *const argv[], char *const env[],
                   struct hk_exec_error *e)
{
    char file[PATH_MAX], folder[PATH_MAX];
    int error = ENOENT;

    for (const char *p = path;; p++) {
        size_t len = strcspn(p, ":");
        if (len < sizeof(folder)) {
            memcpy(folder, p, len);
            folder[len] = '\0';
            hk_join(file, sizeof(file), len > 0 ? folder : ".", "/", argv[0],
                    NULL);
            execve(file, argv, env);
            struct stat st;
            int failure = errno;
            if (stat(file, &st) == 0 && !S_ISDIR(st.st_mode)) {
                say_why(file, failure, e);
                if (failure != EACCES)
                    return;
                error = EACCES;
            }
        }
        p += len;
        if (*p == '\0')
            break;
    }
    if (error != ENOENT)
        return;
    e->status = HK_STATUS_NOT_FOUND;
    e->error = ENOENT;
    hk_join(e->text, sizeof(e->text), "cannot run ", argv[0],
            ": there is no such program in the guest's PATH", NULL);
}

void hk_exec(const struct hk_config *config, const struct hk_user *user,
             struct hk_exec_error *e)
{
    char **argv = make_argv(config);
    sigset_t none;

    *e = (struct hk_exec_error){.status = HK_STATUS_SETUP};
    if (argv == NULL) {
        errno = ENOMEM;
        (void)refuse(e, HK_STATUS_SETUP, "cannot run ", config->exec);
        return;
    }
    if (!set_limits(config, e) || !enter_folder(config, e) || !become(user, e))
        return;
    (void)signal(SIGPIPE, SIG_DFL);
    (void)signal(SIGTTOU, SIG_DFL);
    sigemptyset(&none);
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
    if (strchr(argv[0], '/') != NULL) {
        execve(argv[0], argv, config->env.v);
        say_why(argv[0], errno, e);
        return;
    }
    const char *path = hk_env_get(&config->env, "PATH");
    search(path != NULL ? path : "/bin", argv, config->env.v, e);
}
