# shellcheck shell=bash
# What the scripts share: where the tree is, which cargo is used, how a step is announced and how a failure ends a script.

# shellcheck disable=SC2034 # used by the scripts that source this file
TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
RUST_OLDEST=85 # the minor version that Cargo.toml's rust-version names

die() {
    echo "$(basename "$0"): $*" >&2
    exit 1
}

say() {
    echo "== $*"
}

# Whether the program $1 is a cargo that can build this tree.
is_new_cargo() {
    local minor
    minor=$("$1" --version 2>/dev/null | sed -n 's/^cargo 1\.\([0-9]*\)\..*/\1/p')
    [ "${minor:-0}" -ge "$RUST_OLDEST" ]
}

# Debian's cargo-web comes first in PATH where the cargo found there is too old, or is missing.
use_new_cargo() {
    if ! is_new_cargo cargo && is_new_cargo /usr/bin/cargo; then
        PATH=/usr/bin:$PATH
    fi
}

use_new_cargo
case ":$PATH:" in *:/usr/sbin:*) ;; *) PATH=$PATH:/usr/sbin:/sbin ;; esac
PATH=$PATH:$HOME/.cargo/bin
export PATH
