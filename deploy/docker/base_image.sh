#!/bin/sh
# Makes a stand-in for debian:bookworm-slim from Debian's packages, where no registry of images is
# reachable: the same packages, made here instead of by Debian's image builders.
# usage: base_image.sh NAME
set -eu
name=$1
command -v debootstrap >/dev/null || { echo "install debootstrap: apt-get install debootstrap" >&2; exit 1; }
root=$(mktemp -d)
trap 'rm -rf "$root"' EXIT
debootstrap --variant=minbase bookworm "$root" >&2
# What the "slim" images leave out as well.
rm -rf "$root"/usr/share/doc "$root"/usr/share/man "$root"/usr/share/locale "$root"/usr/share/info \
  "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/*
container=$(buildah from scratch)
buildah add --quiet "$container" "$root" / >&2
buildah commit --quiet --rm "$container" "$name" >&2
echo "$name: a stand-in for debian:bookworm-slim, made by debootstrap"
