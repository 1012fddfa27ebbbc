/* Looking up users and groups. The files are a guest's: lines that are not
 * what they should be are passed over. */
#include "user.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

enum { FIELDS_MAX = 7, NAME_MAX_BYTES = 128 };

struct field {
    const char *text;
    size_t len;
};

/* Splits the line at `*at` at its colons and moves on to the next line. False
 * at the end of the text. Fields that are missing are empty. */
static bool next_line(const char **at, struct field field[FIELDS_MAX])
{
    const char *p = *at;
    if (*p == '\0')
        return false;
    for (int i = 0; i < FIELDS_MAX; i++) {
        size_t len = strcspn(p, i < FIELDS_MAX - 1 ? ":\n" : "\n");
        field[i] = (struct field){p, len};
        p += len;
        if (*p == ':')
            p++;
    }
    p += strcspn(p, "\n");
    *at = *p == '\n' ? p + 1 : p;
    return true;
}

static bool is_text(struct field f, const char *text, size_t len)
{
    return f.len == len && memcmp(f.text, text, len) == 0;
}

/* All digits, and below the number that means "no id". */
static bool get_id(struct field f, uint32_t *id)
{
    uint64_t value = 0;
    if (f.len == 0 || f.len > 10)
        return false;
    for (size_t i = 0; i < f.len; i++) {
        if (f.text[i] < '0' || f.text[i] > '9')
            return false;
        value = value * 10 + (uint64_t)(f.text[i] - '0');
    }
    if (value >= UINT32_MAX)
        return false;
    *id = (uint32_t)value;
    return true;
}

static void copy_home(struct hk_user *user, struct field home)
{
    if (home.len == 0 || home.len >= sizeof(user->home))
        return;
    memcpy(user->home, home.text, home.len);
    user->home[home.len] = '\0';
}

/* Finds the line by name, then by number. `*name` is what the group file
 * knows the user by. */
static bool find_user(const char *passwd, struct field who,
                      struct hk_user *user, struct field *name)
{
    struct field f[FIELDS_MAX];
    uint32_t wanted = 0, uid, gid;
    bool numeric = get_id(who, &wanted);

    for (int by_number = 0; by_number <= (numeric ? 1 : 0); by_number++) {
        const char *at = passwd;
        while (next_line(&at, f)) {
            if (!get_id(f[2], &uid) || !get_id(f[3], &gid))
                continue;
            if (by_number ? uid != wanted : !is_text(f[0], who.text, who.len))
                continue;
            user->uid = uid;
            user->gid = gid;
            *name = f[0];
            copy_home(user, f[5]);
            return true;
        }
    }
    user->uid = wanted;
    user->gid = 0;
    *name = (struct field){"", 0};
    return numeric;
}

static bool find_group(const char *group, struct field who, uint32_t *gid)
{
    struct field f[FIELDS_MAX];
    const char *at = group;
    while (next_line(&at, f)) {
        if (is_text(f[0], who.text, who.len) && get_id(f[2], gid))
            return true;
    }
    return get_id(who, gid);
}

static bool lists(struct field members, struct field name)
{
    const char *p = members.text, *end = p + members.len;
    while (p < end) {
        const char *comma = memchr(p, ',', (size_t)(end - p));
        size_t len = (size_t)((comma != NULL ? comma : end) - p);
        if (is_text(name, p, len))
            return true;
        p += len + 1;
    }
    return false;
}

static void add_groups(const char *group, struct field name,
                       struct hk_user *user)
{
    struct field f[FIELDS_MAX];
    uint32_t gid;
    const char *at = group;
    if (name.len == 0)
        return;
    while (next_line(&at, f) && user->group_count < HK_GROUPS_MAX) {
        if (lists(f[3], name) && get_id(f[2], &gid))
            user->group[user->group_count++] = gid;
    }
}

int hk_user_find(const char *passwd, const char *group, const char *who,
                 struct hk_user *user, const char **why)
{
    size_t len = strcspn(who, ":");
    struct field name, wanted = {who, len};

    memset(user, 0, sizeof(*user));
    if (len == 0 || !find_user(passwd, wanted, user, &name)) {
        *why = "there is no such user in the guest's /etc/passwd";
        return -ENOENT;
    }
    if (who[len] == '\0') {
        add_groups(group, name, user);
        return 0;
    }
    wanted = (struct field){who + len + 1, strlen(who + len + 1)};
    if (find_group(group, wanted, &user->gid))
        return 0;
    *why = "there is no such group in the guest's /etc/group";
    return -ENOENT;
}
