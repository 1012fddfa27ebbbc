#!/bin/sh
# Shared directories as a guest's kernel uses them; what single requests do is
# in tests/device/fs_test.c, large trees are in debian_test.sh.
set -eu
. "$(dirname "$0")/tap.sh"
. "$(dirname "$0")/run.sh"

shared=$tap_folder/shared

need_share() {
    need_root
    rm -rf "$shared"
    mkdir "$shared"
    cat >"$shared/script"
}

# guest [OPTION...]: runs the script that need_share took.
guest() {
    run "$@" -v "$shared:/v$mode" -- /bin/sh -e /v/script
    cat "$f/err"
}
mode=

a_read_only_volume_stays_so_after_a_remount() {
    need_share <<'END'
mount -o remount,rw /v
for change in 'echo x >/v/new' 'rm /v/kept' 'mkdir /v/d' 'chmod 700 /v/kept' \
    'touch /v/kept' 'ln -s x /v/l' 'mv /v/kept /v/moved' 'echo x >>/v/kept'; do
    if sh -c "$change" 2>/tmp/error; then
        echo "done: $change"
    fi
    grep -q 'Read-only file system' /tmp/error || cat /tmp/error
done
cat /v/kept
END
    echo kept >"$shared/kept"
    mode=:ro
    guest
    test "$status" = 0
    says kept
    test "$(ls "$shared")" = "kept
script"
}

few_descriptors_serve_many_files() {
    need_share <<'END'
for d in 1 2 3 4 5 6 7 8 9 10; do
    mkdir /v/d$d
    for f in 0 1 2 3 4 5 6 7 8 9; do
        for g in 0 1 2 3 4 5 6 7 8 9; do echo $d$f$g >/v/d$d/$f$g; done
    done
done
find /v/d* -type f | wc -l
cat /v/d*/* | md5sum
rm -r /v/d*
END
    ulimit -Sn 128
    ulimit -Hn 256
    guest
    test "$status" = 0
    for d in 1 2 3 4 5 6 7 8 9 10; do echo $d; done | sort >"$f/order"
    sum=$(while read -r d; do
        for f_ in 0 1 2 3 4 5 6 7 8 9; do
            for g in 0 1 2 3 4 5 6 7 8 9; do echo "$d$f_$g"; done
        done
    done <"$f/order" | md5sum)
    says "1000
$sum"
    test "$(ls "$shared")" = script
}

files_live_on_without_names() {
    need_share <<'END'
cd /v
echo first >f
exec 3<f
rm f
cat <&3
echo old >g
exec 4<g
echo new >h
mv h g
cat - g <&4
mkdir d
cd d
rmdir /v/d
ls -a | wc -l
END
    guest
    test "$status" = 0
    says "first
old
new
0"
}

names_and_links_are_what_they_should() {
    need_share <<'END'
cd /v
echo a >a
ln a b
echo more >>b
cat a
stat -c %h a
ln -s /etc/hostname abs
ln -s a rel
cat rel
readlink abs
mkfifo p
(echo through >p) &
cat p
mknod n c 1 3
echo gone >n
stat -c '%F %t %T' n
cp -p /bin/busybox busybox
chmod 4755 busybox
stat -c %a busybox
./busybox echo ran
END
    guest
    test "$status" = 0
    says "a
more
2
a
more
/etc/hostname
through
character special file 1 3
4755
ran"
    test -f "$shared/n"
    test ! -s "$shared/n"
}

what_the_host_changes_is_seen() {
    need_share <<'END'
cat /v/file >/dev/null
ls /v/late 2>/dev/null || :
echo ready >/v/ready
until [ -e /v/late ]; do sleep 1; done
until [ "$(cat /v/file)" = "after, and longer" ]; do sleep 1; done
cat /v/file /v/late
END
    echo before >"$shared/file"
    (
        until [ -e "$shared/ready" ]; do sleep 1; done
        echo 'after, and longer' >"$shared/file"
        echo late >"$shared/late.new"
        mv "$shared/late.new" "$shared/late"
    ) &
    guest
    wait
    test "$status" = 0
    says "after, and longer
late"
}

tap_plan 5
tap_case a_read_only_volume_stays_so_after_a_remount
tap_case few_descriptors_serve_many_files
tap_case files_live_on_without_names
tap_case names_and_links_are_what_they_should
tap_case what_the_host_changes_is_seen
tap_end
