#!/bin/sh
# The command that `make bench` runs with `husk run` and in a QEMU guest with
# the same files: it says that it is there, then does the loads that it is
# given in the shared folder.
echo "@ready"
read -r go
cd /bench || exit 1
for load; do
    ./loads run "$load" || echo "@failed $load"
done
echo "@done"
read -r go
