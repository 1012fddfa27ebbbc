#!/bin/sh
# /init of `make bench`: runs each load between marker lines, which the host
# reads to sample the time that the machine took. Work, not time, is fixed.
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev 2>/dev/null
mount -t tmpfs tmp /tmp
cd /tmp

load() { # NAME COMMAND...
    name=$1
    shift
    echo "bench begin $name"
    if "$@" >/tmp/log 2>&1; then
        echo "bench end $name"
    else
        echo "bench failed $name"
        cat /tmp/log
    fi
}

stress() { # STRESSOR OPERATIONS [OPTION...]
    stressor=$1
    operations=$2
    shift 2
    stress-ng --"$stressor" 1 --"$stressor"-ops "$operations" "$@"
}

compress() {
    gzip -c /usr/bin/stress-ng >packed || return 1
    gunzip -c packed | cmp - /usr/bin/stress-ng
}

shell_loop() {
    i=0
    while [ "$i" -lt 60000 ]; do
        i=$((i + 1))
    done
}

echo
echo "bench ready"
load integer stress cpu 600 --cpu-method int64
load sieve stress cpu 400 --cpu-method sieve
load float stress cpu 150 --cpu-method double
load x87 stress cpu 60 --cpu-method longdouble
load matrix stress matrix 500
load sse stress vecmath 300
load memcpy stress memcpy 30
load string stress str 20000
load syscall stress get 1500
load pipe stress pipe 20000
load fork stress fork 300
load fault stress fault 2000
load compress compress
load shell shell_loop
poweroff -f
