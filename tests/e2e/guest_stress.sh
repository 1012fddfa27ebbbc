#!/bin/sh
# /init of the stress boots. The word set=NAME on the kernel command line says
# what to run. Each run ends in a line "stress: NAME STATUS"; what stress-ng
# said is shown when it failed. Warnings of the kernel end up between two
# marks.
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev 2>/dev/null
mkdir -p /dev/shm
mount -t tmpfs shm /dev/shm
mount -t tmpfs tmp /tmp
cd /tmp || exit 1

# Bounded by operations; the time is for a host that has none to spare, and
# running into it is no failure of the CPU.
run() { # NAME OPTION...
    name=$1
    shift
    status=0
    stress-ng --timeout 120 "$@" >said 2>&1 || status=$?
    grep -q 'fail:' said && status=failed
    [ "$status" = 0 ] || cat said
    echo "stress: $name $status"
}

# The lines of the acceptance list.
checked() {
    run cpu --cpu 2 --cpu-method all --verify --cpu-ops 400
    run matrix --matrix 2 --verify --matrix-ops 100
    run vm --vm 2 --vm-bytes 64M --verify --vm-ops 500
    run atomic --atomic 2 --atomic-ops 100
    run futex --futex 2 --futex-ops 2000
    run fork --fork 2 --fork-ops 100
    run signal --signal 2 --signal-ops 2000
    run mmap --mmap 2 --mmap-ops 2
}

# Vectors and floating point, and everything that faults.
faults() {
    run vecmath --vecmath 2 --verify --vecmath-ops 10
    run fp --fp 2 --verify --fp-ops 2
    run sigsegv --sigsegv 2 --verify --sigsegv-ops 300
    run sigfpe --sigfpe 2 --verify --sigfpe-ops 300
    run mprotect --mprotect 2 --verify --mprotect-ops 100
}

# Processors that talk: interrupts, wake-ups, flushes.
talk() {
    run shootdown --tlb-shootdown 2 --tlb-shootdown-ops 40
    run membarrier --membarrier 2 --membarrier-ops 20
    run futex --futex 8 --futex-ops 2000
    run switch --switch 4 --switch-ops 2000
    run pipe --pipe 4 --verify --pipe-ops 4000
    run context --context 2 --context-ops 50
    run clone --clone 2 --clone-ops 50
    run fork --fork 8 --fork-ops 100
}

echo "stress: processors $(nproc)"
echo "stress: clock $(cat \
    /sys/devices/system/clocksource/clocksource0/current_clocksource)"
case $(sed -n 's/.*\bset=\([a-z]*\).*/\1/p' /proc/cmdline) in
checked) checked ;;
faults) faults ;;
talk) talk ;;
esac
echo "stress: kernel log begins"
dmesg -r | grep '^<[0-4]>'
echo "stress: kernel log ends"
poweroff -f
sleep 60
