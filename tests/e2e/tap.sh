# TAP for the end-to-end tests; sourced. The build gives HUSK (the command),
# HUSK_BUILD (its folder) and HUSK_SOURCE (the top of the tree).
#
#     tap_plan 2
#     tap_case boots_to_init          # runs the function of that name
#     tap_case powers_off
#     tap_end
#
# A case fails when its function does; `set -e` holds inside. It skips with
# tap_skip "a sentence". What it prints is shown as comments when it fails.

tap_number=0
tap_failed=0
tap_folder=$(mktemp -d)
trap 'rm -rf "$tap_folder"' EXIT

tap_plan() {
    echo "1..$1"
}

tap_skip() {
    echo "$*" >"$tap_folder/skip"
    exit 77
}

tap_case() {
    tap_number=$((tap_number + 1))
    set +e
    (
        set -e
        "$1"
    ) >"$tap_folder/output" 2>&1 </dev/null
    tap_status=$?
    set -e
    if [ "$tap_status" = 0 ]; then
        echo "ok $tap_number - $1"
    elif [ "$tap_status" = 77 ] && [ -f "$tap_folder/skip" ]; then
        echo "ok $tap_number - $1 # SKIP $(cat "$tap_folder/skip")"
        rm -f "$tap_folder/skip"
    else
        tap_failed=$((tap_failed + 1))
        echo "not ok $tap_number - $1"
        echo "# status $tap_status"
        sed 's/^/# /' "$tap_folder/output"
    fi
}

tap_end() {
    [ "$tap_failed" = 0 ]
}
