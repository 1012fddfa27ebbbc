#!/bin/sh
# /init of `make bench`. The first line that it prints ends the measured boot;
# what comes then is for the loads. The kernel puts `bench=` of its command
# line into the environment: "boot", or the loads to run, joined by commas.
echo "@ready"
read -r go

mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev 2>/dev/null
mount -t tmpfs tmp /tmp
stty -echo
cd /bench 2>/dev/null

program() { # NAME: runs a whole program as a load
    case $1 in
    gzip) set -- "$1" gzip -c corpus ;;
    gunzip) set -- "$1" gunzip -c corpus.gz corpus.gz corpus.gz corpus.gz \
        corpus.gz corpus.gz ;;
    bzip2) set -- "$1" bzip2 -c corpus.part corpus.part ;;
    bunzip2) set -- "$1" bunzip2 -c corpus.bz2 corpus.bz2 corpus.bz2 ;;
    unxz) set -- "$1" unxz -c corpus.xz corpus.xz ;;
    sha256) set -- "$1" sha256sum corpus corpus corpus corpus corpus corpus ;;
    grep) set -- "$1" grep -c 'a[b-m]*e[0-9 ]*[x-z]' corpus ;;
    sort-lines) set -- "$1" sort -r corpus ;;
    awk) set -- "$1" awk '{ n[$2] += length($3) } END { print NR, n["the"] }' \
        corpus ;;
    shell-loop) set -- "$1" sh -c 'i=0 s=7
        while [ $i -lt 6000 ]; do
            s=$(((s * 75 + i) % 65537)) i=$((i + 1))
            case $s in *3) t=${s%3}x ;; *) t=$s ;; esac
        done
        echo $s $t' ;;
    shell-spawn) set -- "$1" sh -c 'i=0 s=0
        while [ $i -lt 50 ]; do
            s=$(expr $s + $i) i=$((i + 1))
            /bin/true
        done
        echo $s' ;;
    perl) set -- "$1" /usr/bin/perl loads.pl ;;
    python) set -- "$1" /usr/bin/python3.11 -S -E -B loads.py ;;
    esac
    ./loads time "$@"
}

if [ "$bench" = look ]; then
    grep -H . /sys/devices/system/cpu/vulnerabilities/* \
        /sys/devices/system/clocksource/clocksource0/current_clocksource
    sed -n '/^flags/p' /proc/cpuinfo
    dmesg
elif [ "$bench" != boot ]; then
    for load in $(echo "$bench" | tr , ' '); do
        case $load in
        program:*) program "${load#program:}" ;;
        *) ./loads run "$load" ;;
        esac || echo "@failed $load"
    done
fi
echo "@done"
read -r go
reboot -f
