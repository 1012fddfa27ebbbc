# What the booting tests share; sourced after tap.sh. Needs a kernel from the
# cache of scripts/fetch-kernel: it is not downloaded here, a test without one
# skips.

logs=$HUSK_BUILD/e2e-logs
mkdir -p "$logs"
kernels=${XDG_CACHE_HOME:-$HOME/.cache}/husk/kernels

# One boot must be through in this many seconds; the interpreter on a busy
# machine needs a good part of it.
boot_limit=${HUSK_E2E_LIMIT:-240}

initrd=$tap_folder/e2e.cpio
make_initrd() {
    [ -f "$initrd" ] ||
        "$HUSK_SOURCE/scripts/make-initramfs" --build "$HUSK_BUILD" \
            --init "$HUSK_SOURCE/tests/e2e/guest_init.sh" \
            --output "$initrd" >&2
}

# need_kernel FLAVOUR bzimage|elf: sets $kernel or skips the case.
need_kernel() {
    kernel=$kernels/$1/vmlinuz
    [ -f "$kernel" ] ||
        tap_skip "no $1 kernel in the cache; scripts/fetch-kernel $1 gets it"
    "$HUSK" doctor >/dev/null 2>&1 || tap_skip "no back end works on this host"
    [ "$2" = bzimage ] || kernel=$(elf_of "$1")
}

elf_of() {
    elf=$tap_folder/$1.elf
    [ -f "$elf" ] || "$HUSK_BUILD/tests/e2e/kernel_elf" \
        "$kernels/$1/vmlinuz" "$elf" >&2
    echo "$elf"
}

# boots LOG END [OPTION...]: boots $kernel to the given end with the options;
# sets $status and $log. Standard input is the case's.
boots() {
    make_initrd
    log=$logs/$1.log
    end=$2
    shift 2
    status=0
    "$HUSK" boot --backend "${HUSK_BACKEND:-auto}" --memory 512M \
        --timeout "$boot_limit" --initrd "$initrd" \
        --cmdline "console=ttyS0 panic=-1 end=$end" "$@" "$kernel" \
        >"$log" 2>"$log.err" || status=$?
    tail -n 15 "$log"
    cat "$log.err"
}

# The log has a line with exactly this text (serial lines end with CR LF).
says() {
    tr -d '\r' <"$log" | grep -qxF "$1"
}
