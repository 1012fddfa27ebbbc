#!/bin/sh
# crun's krun handler, unchanged, with our libkrun.so.1. CRUN names a crun that
# was built with it; Debian's is not, and without one the cases skip.
set -eu
. "$HUSK_SOURCE/tests/e2e/tap.sh"
. "$HUSK_SOURCE/tests/e2e/run.sh"

bundle=$tap_folder/bundle
export LD_LIBRARY_PATH=$HUSK_BUILD

need_crun() {
    crun=${CRUN:-$(command -v crun || true)}
    [ -n "$crun" ] || tap_skip "there is no crun"
    "$crun" --version | grep -q +LIBKRUN ||
        tap_skip "this crun has no krun handler; CRUN can name one that has"
    [ "$(id -u)" = 0 ] || tap_skip "containers need root here"
    need_root
    mkdir -p "$bundle"
}

# bundle_of ARG...: makes the container's configuration for the command.
bundle_of() {
    rm -f "$bundle/config.json"
    (cd "$bundle" && "$crun" spec)
    python3 - "$bundle/config.json" "$root" "$@" <<'PYTHON'
import json
import sys

path, root, *args = sys.argv[1:]
with open(path, encoding="utf-8") as file:
    config = json.load(file)
config["root"] = {"path": root, "readonly": False}
config["process"].update(
    terminal=False, args=args, cwd="/tmp",
    env=["PATH=/bin:/sbin:/usr/bin", "TEST=from oci", "HOSTNAME=box"])
config["annotations"] = {"run.oci.handler": "krun"}
config["linux"]["resources"] = {}
with open(path, "w", encoding="utf-8") as file:
    json.dump(config, file)
PYTHON
}

# in_crun SCRIPT: runs it with $crun, where no control groups are in its way.
in_crun() {
    crun="$crun --cgroup-manager=disabled --root $tap_folder/state" \
        timeout "$run_limit" unshare --mount sh -c \
        "umount /sys/fs/cgroup/unified 2>/dev/null || true; $1"
}

a_container_runs_to_its_status() {
    need_crun
    bundle_of /bin/sh -c 'echo "$TEST $0"; pwd; hostname; echo err >&2; exit 7' \
        zero
    status=0
    in_crun "\$crun run -b $bundle husk-test-run" </dev/null >"$f/out" \
        2>"$f/err" || status=$?
    cat "$f/out" "$f/err"
    test "$status" = 7
    says "from oci zero
/tmp
box"
    test "$(cat "$f/err")" = err
}

a_created_container_starts_and_is_killed() {
    need_crun
    bundle_of /bin/sh -c \
        'trap "echo asked; exit 11" TERM; echo ready; while :; do sleep 1; done'
    mkfifo "$f/fifo"
    in_crun "
        \$crun create -b $bundle husk-test-kill </dev/null >$f/fifo 2>$f/err &
        exec 8<$f/fifo
        wait \$!
        \$crun start husk-test-kill
        read -r line <&8 && echo \$line
        \$crun kill husk-test-kill TERM
        read -r line <&8 && echo \$line
        read -r line <&8 || true # until the container is gone
        \$crun delete --force husk-test-kill" >"$f/out"
    cat "$f/out" "$f/err"
    says "ready
asked"
}

tap_plan 2
tap_case a_container_runs_to_its_status
tap_case a_created_container_starts_and_is_killed
tap_end
