# An initramfs with modules of a stock kernel's package; sourced after boot.sh.

# make_module_initrd OUT INIT FLAVOUR "MODULE..." [OPTION...]: INIT is a script
# of this folder that loads /modules/* in the order given; the options are for
# make-initramfs.
make_module_initrd() {
    module_out=$1
    module_init=$2
    module_flavour=$3
    module_names=$4
    shift 4
    module_folder=$tap_folder/modules-$module_flavour
    mkdir -p "$module_folder"
    [ -z "$module_names" ] ||
        dpkg-deb --fsys-tarfile "$kernels/$module_flavour/package.deb" |
        tar -C "$module_folder" -xf - \
            --wildcards './lib/modules/*/kernel/drivers/*'
    module_number=0
    for module in $module_names; do
        found=$(find "$module_folder" -name "$module.ko" \
            -o -name "$module.ko.xz")
        test -n "$found"
        [ "$found" = "${found%.xz}" ] || xz -df "$found"
        set -- "$@" --file "${found%.xz}:/modules/$module_number-$module"
        module_number=$((module_number + 1))
    done
    "$HUSK_SOURCE/scripts/make-initramfs" --build "$HUSK_BUILD" "$@" \
        --init "$HUSK_SOURCE/tests/e2e/$module_init" \
        --output "$module_out" >&2
}
