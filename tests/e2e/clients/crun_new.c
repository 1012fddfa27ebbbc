/*
 * crun from 1.21 on: the parent makes the context, its child, process 1 of a
 * container, fills it in and starts it. Command, environment and folder come
 * from the configuration file alone. The last argument chooses the version:
 * "1.27" sets the root by its old call, "1.28" by a share's tag, and asks for
 * all that its annotations can ask for.
 */
#include "container.h"
#include "dynamic.h"

#include "libkrun.h"

#include <errno.h>
#include <sys/prctl.h>
#include <sys/resource.h>

struct job {
    void *handle;
    uint32_t id;
    const char *root;
    int is_newer;
};

/* What a container's process has been left with. */
static void give_up_rights(void)
{
    struct rlimit few = {128, 256};
    (void)setrlimit(RLIMIT_NOFILE, &few);
    (void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    if (setgid(1000) != 0 || setuid(1000) != 0) {
        perror("setuid");
        exit(CLIENT_FAILED);
    }
    (void)prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    container_refuse_calls();
}

static void ask_for_more(const struct job *job)
{
    uint8_t mac[] = {0x5a, 0x94, 0xef, 0xe4, 0x0c, 0xee};
    FIND(job->handle, krun_set_gpu_options);
    FIND(job->handle, krun_check_nested_virt);
    FIND(job->handle, krun_set_nested_virt);
    FIND(job->handle, krun_add_net_unixstream);
    OK(krun_set_gpu_options_(job->id, VIRGLRENDERER_USE_EGL));
    if (NUMBER(krun_check_nested_virt_()) == 1)
        OK(krun_set_nested_virt_(job->id, true));
    /* There are no network cards yet. */
    GIVES(-ENOTSUP,
          krun_add_net_unixstream_(job->id, NULL, 0, mac, COMPAT_NET_FEATURES,
                                   NET_FLAG_DHCP_CLIENT));
}

static int in_container(void *opaque)
{
    struct job *job = opaque;
    container_enter(job->root);
    give_up_rights();
    FIND(job->handle, krun_set_log_level);
    FIND(job->handle, krun_set_root);
    FIND(job->handle, krun_add_virtiofs2);
    FIND(job->handle, krun_set_vm_config);
    FIND(job->handle, krun_start_enter);
    OK(krun_set_log_level_(1));
    if (job->is_newer) {
        OK(krun_add_virtiofs2_(job->id, KRUN_FS_ROOT_TAG, "/", 512 << 20));
        ask_for_more(job);
    } else {
        OK(krun_set_root_(job->id, "/"));
    }
    OK(krun_set_vm_config_(job->id, 2, 512));
    return client_returned(krun_start_enter_(job->id));
}

int main(int argc, char **argv)
{
    if (argc < 3)
        return CLIENT_FAILED;
    struct job job = {.handle = dynamic_open(), .root = argv[1]};
    FIND(job.handle, krun_create_ctx);
    job.id = (uint32_t)NUMBER(krun_create_ctx_());
    job.is_newer = strcmp(argv[2], "1.28") == 0;
    return container_run(in_container, &job);
}
