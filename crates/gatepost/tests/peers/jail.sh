#!/bin/sh
# jail.sh WORK FILES EXCHANGE SCRIPT: runs SCRIPT in a root of its own: this system with FILES over it, EXCHANGE as
# /exchange. What it writes elsewhere is gone with it. Needs mount and process namespaces of its own.
set -eu
work=$1 files=$2 exchange=$3 script=$4
mount -t tmpfs tmpfs "$work"
mkdir "$work/work" "$work/jail"
cp -a "$files" "$work/upper"
mount -t overlay overlay -o "lowerdir=/,upperdir=$work/upper,workdir=$work/work" "$work/jail"
mount --rbind /dev "$work/jail/dev"
mount -t proc proc "$work/jail/proc"
mkdir -p "$work/jail/exchange" "$work/jail/start"
mount --bind "$exchange" "$work/jail/exchange"
mount --bind "$(dirname "$script")" "$work/jail/start"
exec chroot "$work/jail" sh "/start/$(basename "$script")"
