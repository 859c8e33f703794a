#!/usr/bin/env bash
# Installs missing Debian packages that xlm needs; arguments name further ones. Called by quickstart.sh and
# test.sh. Optional packages (README.md) are not included: libopenmpi-dev and openmpi-bin, libdnnl-dev.
set -eu
packages=(gcc cmake ninja-build flex bison pkg-config libyaml-dev libjansson-dev libxxhash-dev zlib1g-dev libzstd-dev libpcre2-dev libutf8proc-dev libcmocka-dev graphviz)
packages+=("$@")
missing=()
for p in "${packages[@]}"; do
  dpkg-query -W -f='${Status}' "$p" 2>/dev/null | grep -q 'install ok installed' || missing+=("$p")
done
[ ${#missing[@]} -eq 0 ] && exit 0
echo "installing: ${missing[*]}"
sudo=""
if [ "$(id -u)" -ne 0 ]; then
  command -v sudo >/dev/null || { echo "deps.sh: not root and no sudo; install by hand: apt-get install ${missing[*]}" >&2; exit 2; }
  sudo=sudo
fi
$sudo env DEBIAN_FRONTEND=noninteractive apt-get update -qq
$sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq "${missing[@]}" >/dev/null
