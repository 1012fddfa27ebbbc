#!/bin/sh
# The command of `make run`: says what machine this is.
uname -a
echo "processors: $(nproc), $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo |
    head -n 1)"
free -m | sed -n 's/^Mem: *\([0-9]*\) *\([0-9]*\).*/memory: \1 MiB, \2 used/p'
echo "up for $(cut -d ' ' -f 1 /proc/uptime) s"
