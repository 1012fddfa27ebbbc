#!/bin/sh
# /init of the end-to-end boots. The word end=WHAT on the kernel command line
# says how the machine shall end.
mount -t proc proc /proc
mount -t sysfs sysfs /sys

echo "e2e: kernel $(uname -r)"
echo "e2e: nproc $(nproc)"
echo "e2e: ready"

end=$(sed -n 's/.*\bend=\([a-z]*\).*/\1/p' /proc/cmdline)
case $end in
reboot) reboot -f ;;
panic) echo c >/proc/sysrq-trigger ;;
exit) exit 3 ;; # the end of init: a panic of another kind
echo)
    read -r line
    echo "e2e: read '$line'"
    poweroff -f
    ;;
wait) while :; do sleep 1; done ;;
lie)
    # A panic that is only said, not done.
    echo "Kernel panic - not syncing: e2e says so"
    reboot -f
    ;;
*) poweroff -f ;;
esac
sleep 60
