# Shared by the shell scripts here; sourced after `set -eu`. Moves to the top
# of the tree.

cd "$(dirname "$0")/.."

cache=${XDG_CACHE_HOME:-$HOME/.cache}/husk

# Messages go to stderr: some scripts answer on stdout.
say() {
    echo "husk: $*" >&2
}

die() {
    say "$*"
    exit 1
}

as_root() {
    if [ "$(id -u)" = 0 ]; then
        "$@"
    elif command -v sudo >/dev/null; then
        sudo "$@"
    else
        die "not root and there is no sudo: cannot run $*"
    fi
}

apt_update() {
    say "updating the package lists"
    as_root apt-get -qq update >&2 ||
        say "the package lists could not be updated; going on with the old ones"
}

# apt's download user cannot write into a root-owned folder; as root the
# download is done as root, which says nothing and works everywhere.
apt_download() {
    apt-get -qq -o APT::Sandbox::User=root download "$@" >&2
}
