#!/bin/sh
# A Debian root through file sharing: real programs with real work, as root and
# as an ordinary user of the host.
set -eu
. "$(dirname "$0")/tap.sh"
. "$(dirname "$0")/run.sh"

logs=$HUSK_BUILD/e2e-logs
mkdir -p "$logs"
debian=$run_cache/roots/debian-12
ordinary=65534
scratch=$tap_folder/scratch
user_home=$tap_folder/user

need_debian() {
    [ -d "$debian" ] ||
        tap_skip "no Debian root in the cache; scripts/fetch-debian makes one"
    need_kernel_folder
}

# as_user COMMAND...: as somebody who owns nothing but $user_home.
as_user() {
    setpriv --reuid $ordinary --regid $ordinary --clear-groups --no-new-privs \
        env HOME="$user_home" "$@"
}

# What the ordinary user needs: the command, a kernel and a root of its own.
need_user() {
    [ "$(id -u)" = 0 ] || tap_skip "not root: there is no other user to be"
    need_debian
    [ ! -d "$user_home" ] || return 0
    mkdir -p "$user_home/root" "$user_home/kernel" "$user_home/scratch"
    chmod 755 "$tap_folder"
    cp -r "$HUSK_KERNEL/." "$user_home/kernel/"
    cp "$HUSK" "$user_home/husk"
    chown -R $ordinary:$ordinary "$user_home"
    tar -C "$debian" -c . |
        as_user tar -C "$user_home/root" -x --no-same-owner
}

# in_guest SCRIPT [OPTION...]: runs it in the Debian root, which stays as it
# is; /scratch is a folder of the case. Output goes to $log.
in_guest() {
    script=$1
    shift
    need_debian
    mkdir -p "$scratch"
    "$HUSK" run --backend "${HUSK_BACKEND:-auto}" --memory 1G \
        --timeout "${limit:-$run_limit}" --read-only \
        -v "$scratch:/mnt" "$@" "$debian" -- /bin/sh -ec "$script" >"$log"
}

user_guest() {
    script=$1
    shift
    need_user
    (
        cd "$user_home"
        as_user ./husk run --backend "${HUSK_BACKEND:-auto}" --memory 1G \
            --kernel kernel --timeout "$run_limit" \
            -v "$user_home/scratch:/mnt" "$@" root -- /bin/sh -ec "$script"
    ) >"$log"
}

begin() {
    log=$logs/debian-$1.log
}

# ---- the cases -------------------------------------------------------------

apt_runs() {
    begin apt
    in_guest 'apt --version'
    grep -q '^apt [0-9].*(amd64)$' "$log"
}

perl_runs() {
    begin perl
    in_guest "perl -e 'print 6*7'"
    test "$(cat "$log")" = 42
}

# Names, types, modes, sizes and contents of the whole tree.
tree_sum='cd "$0" && find . -xdev ! -path "./dev/*" ! -path "./proc/*" \
    ! -path "./sys/*" ! -path "./mnt/*" ! -path "./run/*" ! -path "./tmp/*" \
    ! -path . ! -path ./dev ! -path ./proc ! -path ./sys ! -path ./run \
    ! -path ./tmp ! -path ./mnt \
    -printf "%p %y %m %U %G %l " \( -type f -printf "%s %T@\n" -o -printf "\n" \) |
    LC_ALL=C sort | md5sum
    find . -xdev -type f ! -path "./dev/*" ! -path "./proc/*" \
    ! -path "./sys/*" ! -path "./mnt/*" ! -path "./run/*" ! -path "./tmp/*" \
    -print0 | LC_ALL=C sort -z | xargs -0 cksum | md5sum'

every_file_reads_as_on_the_host() {
    begin tree
    in_guest "set -- /; $(echo "$tree_sum" | sed 's/"\$0"/"$1"/')"
    sh -c "$tree_sum" "$debian" >"$log.host"
    diff "$log" "$log.host"
}

make_many='mkdir -p "$1/tree" && cd "$1/tree" && perl -e "
    for my \$d (0..199) { mkdir qq(d\$d);
        for my \$f (0..99) {
            open my \$o, qq(>), qq(d\$d/f\$f) or die;
            print \$o qq(\$d \$f\n) x (\$f * 3); close \$o;
            chmod 0600 | (\$f & 7) << 3, qq(d\$d/f\$f);
            symlink qq(f\$f), qq(d\$d/l\$f) if \$f % 10 == 0;
        } }"'

tree_of_20000_files_goes_in_and_out_of_tar() {
    begin tar
    rm -rf "$scratch" && mkdir -p "$scratch"
    sh -ec "set -- '$scratch'; $make_many"
    limit=$((4 * run_limit))
    in_guest 'tar -C /mnt -cf /mnt/in.tar tree
        mkdir /mnt/again && tar -C /mnt/again -xf /mnt/in.tar
        cd /mnt/again/tree && find . -type f | wc -l'
    test "$(cat "$log")" = 20000
    diff -r --no-dereference "$scratch/tree" "$scratch/again/tree"
    (cd "$scratch/tree" && find . -printf '%p %m %s %l\n' | sort) >"$log.a"
    (cd "$scratch/again/tree" && find . -printf '%p %m %s %l\n' | sort) >"$log.b"
    # a directory's size is its file system's affair
    sed -i '/^\.\/d[0-9]* /d; /^\. /d' "$log.a" "$log.b"
    cmp "$log.a" "$log.b"
    tar -C "$scratch/tree/.." -df "$scratch/in.tar"
}

git_work='export HOME=/mnt GIT_CONFIG_NOSYSTEM=1
    git config --global user.email t@example.org
    git config --global user.name T
    git config --global init.defaultBranch main
    git init -q /mnt/origin && cd /mnt/origin
    i=0; while [ $i -lt 30 ]; do
        echo "line $i" >>file; echo $i >"f$i"; git add .; git commit -qm "$i"
        i=$((i + 1)); done
    git clone -q --no-hardlinks /mnt/origin /mnt/clone
    cd /mnt/clone && git fsck --full --strict && git log --oneline | wc -l'

git_clone_of_a_shared_repository_is_sound() {
    begin git
    rm -rf "$scratch" && mkdir -p "$scratch"
    in_guest "$git_work"
    test "$(tail -n 1 "$log")" = 30
    git -c safe.directory='*' -C "$scratch/clone" fsck --full --strict
}

sql_work='sqlite3 /mnt/data.db "
    PRAGMA journal_mode=WAL;
    CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT);
    WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i+1 FROM n
        WHERE i<20000) INSERT INTO t SELECT i, hex(randomblob(20)) FROM n;
    DELETE FROM t WHERE a % 3 = 0;
    UPDATE t SET b = b || b WHERE a % 5 = 0;
    PRAGMA wal_checkpoint(FULL);
    PRAGMA integrity_check;
    SELECT count(*) FROM t;"'

sqlite_with_a_write_ahead_journal_is_sound() {
    begin sqlite
    rm -rf "$scratch" && mkdir -p "$scratch"
    in_guest "$sql_work"
    grep -qx wal "$log"
    grep -qx ok "$log"
    test "$(tail -n 1 "$log")" = 13334
}

ordinary_user_sees_its_own_tree_whole() {
    begin user-tree
    user_guest "apt --version; perl -e 'print 6*7, qq(\n)'
        id -u; stat -c '%u:%g' /etc/passwd /mnt
        find / -xdev -type f ! -path '/proc/*' ! -path '/sys/*' \
            ! -path '/mnt/*' ! -path '/run/*' ! -path '/tmp/*' ! -path '/dev/*' \
            -print0 | LC_ALL=C sort -z | xargs -0 cksum | md5sum"
    (cd "$user_home/root" && find . -xdev -type f ! -path './run/*' \
        ! -path './tmp/*' ! -path './mnt/*' -printf '/%P\0' |
        LC_ALL=C sort -z | sed -z 's,^/,,' | xargs -0 cksum |
        sed 's,^\([0-9]* [0-9]*\) ,\1 /,' | md5sum) >"$log.host"
    grep -q '^apt ' "$log"
    grep -qx 42 "$log"
    test "$(grep -cx 0:0 "$log")" = 2
    test "$(tail -n 1 "$log")" = "$(cat "$log.host")"
}

ordinary_user_keeps_owners_and_modes_for_the_guest() {
    begin user-owners
    user_guest 'cd /mnt && echo a >f && chown 12:34 f && chmod 4751 f
        mkdir d && chmod 1777 d && mknod c c 1 3 && mkfifo p && ln -s f l
        install -o 5 -g 6 -m 640 f g'
    user_guest 'cd /mnt && stat -c "%n %u:%g %a %F" f d c p l g'
    cat >"$log.want" <<'W'
f 12:34 4751 regular file
d 0:0 1777 directory
c 0:0 644 character special file
p 0:0 644 fifo
l 0:0 777 symbolic link
g 5:6 640 regular file
W
    diff "$log.want" "$log"
    test "$(stat -c %u "$user_home/scratch/f")" = $ordinary
    test -f "$user_home/scratch/c" # no device of the host's was made
}

ordinary_user_works_with_git_and_sqlite() {
    begin user-work
    user_guest "$git_work; $sql_work"
    grep -qx 30 "$log"
    grep -qx ok "$log"
}

tap_plan 9
tap_case apt_runs
tap_case perl_runs
tap_case every_file_reads_as_on_the_host
tap_case tree_of_20000_files_goes_in_and_out_of_tar
tap_case git_clone_of_a_shared_repository_is_sound
tap_case sqlite_with_a_write_ahead_journal_is_sound
tap_case ordinary_user_sees_its_own_tree_whole
tap_case ordinary_user_keeps_owners_and_modes_for_the_guest
tap_case ordinary_user_works_with_git_and_sqlite
tap_end
