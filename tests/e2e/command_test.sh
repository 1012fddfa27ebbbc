#!/bin/sh
# The `husk` command, where no virtual machine is needed.
set -eu
. "$(dirname "$0")/tap.sh"

version_prints_one_line() {
    test "$("$HUSK" version)" = "husk $HUSK_VERSION"
}

unknown_command_ends_with_125() {
    status=0
    "$HUSK" fly >out 2>err || status=$?
    test "$status" = 125
    test ! -s out
    test -s err
}

cd "$tap_folder"
tap_plan 2
tap_case version_prints_one_line
tap_case unknown_command_ends_with_125
tap_end
