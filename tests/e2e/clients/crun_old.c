/*
 * crun up to 1.20: the library is loaded outside, all calls are made inside
 * the container, in its root directory, by its process 1, with every other
 * descriptor closed. Command, arguments and folder come by call; environment
 * from the configuration file that crun wrote into the root.
 */
#include "container.h"
#include "dynamic.h"

#include "libkrun.h"

struct job {
    void *handle;
    const char *root;
    char **command;
};

static int in_container(void *opaque)
{
    struct job *job = opaque;
    const char *const no_env[] = {NULL};
    container_enter(job->root);
    FIND(job->handle, krun_set_log_level);
    FIND(job->handle, krun_create_ctx);
    FIND(job->handle, krun_set_vm_config);
    FIND(job->handle, krun_set_root);
    FIND(job->handle, krun_set_workdir);
    FIND(job->handle, krun_set_exec);
    FIND(job->handle, krun_start_enter);
    OK(krun_set_log_level_(1));
    uint32_t id = (uint32_t)NUMBER(krun_create_ctx_());
    OK(krun_set_vm_config_(id, 1, 256));
    OK(krun_set_root_(id, "/"));
    OK(krun_set_workdir_(id, "/tmp"));
    OK(krun_set_exec_(id, job->command[0],
                      (const char *const *)&job->command[1], no_env));
    return client_returned(krun_start_enter_(id));
}

int main(int argc, char **argv)
{
    if (argc < 3)
        return CLIENT_FAILED;
    struct job job = {dynamic_open(), argv[1], argv + 2};
    return container_run(in_container, &job);
}
