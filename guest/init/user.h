/*
 * Who the command runs as, by the guest's own passwd and group files.
 */
#ifndef HK_INIT_USER_H
#define HK_INIT_USER_H

#include <stddef.h>
#include <stdint.h>

enum { HK_GROUPS_MAX = 256 };

struct hk_user {
    uint32_t uid, gid;
    uint32_t group[HK_GROUPS_MAX]; /* supplementary */
    size_t group_count;
    char home[256]; /* "" when not known */
};

/*
 * `who` is "UID", "UID:GID", "NAME" or "NAME:GROUP"; a name that is all
 * digits is first looked for as a name. The texts are whole files, "" when
 * missing. Without a group it is the user's own, and the supplementary ones
 * are those that list the user. 0, or -ENOENT with `*why` a static text.
 */
int hk_user_find(const char *passwd, const char *group, const char *who,
                 struct hk_user *user, const char **why);

#endif
