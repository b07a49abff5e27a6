#!/bin/sh
# jail.sh WORK FILES EXCHANGE SCRIPT: runs SCRIPT in a root of its own: this system with FILES over it, EXCHANGE as
# /exchange. What it writes elsewhere is gone with it. Needs mount and process namespaces of its own.
set -eu
work=$1 files=$2 exchange=$3 script=$4
mount -t tmpfs tmpfs "$work"
mkdir "$work/work" "$work/root"
cp -a "$files" "$work/upper"
mount -t overlay overlay -o "lowerdir=/,upperdir=$work/upper,workdir=$work/work" "$work/root"
mount --rbind /dev "$work/root/dev"
mount -t proc proc "$work/root/proc"
mkdir -p "$work/root/exchange" "$work/root/start"
mount --bind "$exchange" "$work/root/exchange"
mount --bind "$(dirname "$script")" "$work/root/start"
exec chroot "$work/root" sh "/start/$(basename "$script")"
