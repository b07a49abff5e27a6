#!/usr/bin/env bash
# Shows every reply code of RFC 2821 §4.2.3, each from its own condition, on the site of gatepost.toml.
#
#     examples/every-code/tour.sh [--listen ADDRESS:PORT]
#
# Needs bash, coreutils and python3. The server is $GATEPOST, else the one that was built last under target/, else it is
# built. It listens on 127.0.0.1:2525 unless --listen says otherwise; its state is a directory that goes with it.
# Exit code 0: 22 of 22 codes.
set -euo pipefail

here=$(cd -- "$(dirname -- "${BASH_SOURCE[0]}")" && pwd)
root=$(cd -- "$here/../.." && pwd)

command -v python3 >/dev/null || { echo "tour.sh: python3 is missing; on Debian: apt-get install python3" >&2; exit 1; }

gatepost=${GATEPOST:-}
if [ -z "$gatepost" ]; then
    target=${CARGO_TARGET_DIR:-$root/target}
    for built in "$target/release/gatepost" "$target/debug/gatepost"; do
        if [ -x "$built" ] && { [ -z "$gatepost" ] || [ "$built" -nt "$gatepost" ]; }; then
            gatepost=$built
        fi
    done
    if [ -z "$gatepost" ]; then
        echo "building gatepost, once; a few minutes"
        (cd -- "$root" && cargo build --release --quiet --package gatepost)
        gatepost=$target/release/gatepost
    fi
fi

state=$(mktemp -d)
tour=
end() {
    # The tour ends its servers itself when it is told to end.
    if [ -n "$tour" ] && kill -TERM "$tour" 2>/dev/null; then
        wait "$tour" || true
    fi
    rm -rf -- "$state"
}
trap end EXIT
trap 'exit 130' INT TERM

python3 "$here/tour.py" --gatepost "$gatepost" --config "$here/gatepost.toml" --state "$state" "$@" &
tour=$!
code=0
wait "$tour" || code=$?
tour=
exit "$code"
