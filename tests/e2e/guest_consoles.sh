#!/bin/sh
# /init of the boots that use console ports: loads the modules it was given,
# then does what the word do=WHAT,WHAT... on the kernel command line says.
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev

for module in /modules/*; do
    [ -f "$module" ] && insmod "$module"
done

# Sets $port to the device of that name.
find_port() {
    while :; do
        for folder in /sys/class/virtio-ports/*; do
            if [ "$(cat "$folder/name" 2>/dev/null)" = "$1" ]; then
                port=/dev/${folder##*/}
                return
            fi
        done
        usleep 20000
    done
}

# Sends back all that comes, until the end.
echo_all() {
    find_port echo
    exec 3<>"$port"
    cat <&3 >&3
    exec 3>&-
    echo "e2e: echoed"
}

# One direction each way: a sum of what came, then as much of our own.
sum_all() {
    find_port in
    echo "e2e: sum $(md5sum <"$port" | cut -d ' ' -f 1)"
    find_port out
    seq 1 2000000 >"$port"
    echo "e2e: sent"
}

# Opens the console as 4. It stays open: its modes are forgotten by a close.
open_console() {
    while [ ! -c /dev/hvc0 ]; do
        usleep 20000
    done
    exec 4<>/dev/hvc0
}

show_size() {
    open_console
    last="0 0"
    for round in 1 2; do
        while size=$(stty size <&4); [ "$size" = "$last" ] ||
            [ "$size" = "0 0" ]; do
            usleep 20000
        done
        last=$size
        echo "e2e: size $size"
    done
}

# A line typed at the console comes back.
type_line() {
    open_console
    stty raw -echo <&4
    printf 'ready\n' >&4
    read -r line <&4
    printf 'typed <%s>\n' "$line" >&4
}

todo=$(sed -n 's/.*\bdo=\([a-z_,]*\).*/\1/p' /proc/cmdline)
for step in $(echo "$todo" | tr ',' ' '); do
    "$step"
done
echo "e2e: done"
poweroff -f
sleep 60
