# What the tests of husk run share; sourced after tap.sh. Needs a kernel folder
# made of a cached package: nothing is downloaded here, a test without one
# skips.

run_cache=${XDG_CACHE_HOME:-$HOME/.cache}/husk
run_limit=${HUSK_E2E_LIMIT:-240}
root=$tap_folder/root

# Sets $HUSK_KERNEL to a kernel folder, unless the caller did.
need_kernel_folder() {
    "$HUSK" doctor >/dev/null 2>&1 || tap_skip "no back end works on this host"
    if [ -z "${HUSK_KERNEL:-}" ]; then
        deb=$run_cache/kernels/cloud/package.deb
        [ -f "$deb" ] ||
            tap_skip "no cloud kernel in the cache; scripts/fetch-kernel cloud gets it"
        HUSK_KERNEL=$tap_folder/kernel
        [ -d "$HUSK_KERNEL" ] || "$HUSK" kernel import "$deb" "$HUSK_KERNEL" >&2
    fi
    export HUSK_KERNEL
}

need_root() {
    need_kernel_folder
    [ -d "$run_cache/packages/busybox-static" ] ||
        tap_skip "no busybox in the cache; scripts/fetch-package busybox-static gets it"
    [ -d "$root" ] || "$HUSK_SOURCE/scripts/make-root" "$root" >&2
}

# run [OPTION...] -- COMMAND...: runs it in $root; sets $status, leaves $f/out
# and $f/err. Standard input is the case's.
f=$tap_folder
run() {
    options=
    while [ "$1" != -- ]; do
        options="$options $1"
        shift
    done
    status=0
    # options without blanks only
    "$HUSK" run --timeout "$run_limit" $options "$root" "$@" \
        >"$f/out" 2>"$f/err" || status=$?
    echo "status $status"
    head -c 2000 "$f/out"
    head -c 2000 "$f/err"
}

# The command's output was exactly this text.
says() {
    test "$(cat "$f/out")" = "$1"
}

silent() {
    test ! -s "$f/err"
}
