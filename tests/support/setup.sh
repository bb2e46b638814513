#!/usr/bin/env bash
# Installs the system packages that are missing: setup.sh GROUP...   (groups: build, kafka, model, deploy, export)
# As root on Debian or Ubuntu it installs them; otherwise it prints the command and stops.
set -euo pipefail

missing=()

# want PACKAGE COMMAND...: PACKAGE is missing when COMMAND fails
want() {
  local package=$1
  shift
  "$@" >/dev/null 2>&1 || missing+=("$package")
}

java_17() {
  local version
  version=$(java -version 2>&1 | sed -n 's/.* version "\([0-9]*\).*/\1/p')
  [ "${version:-0}" -ge 17 ]
}

for group in "$@"; do
  case $group in
    build)
      want gcc command -v cc
      want g++ command -v c++
      want make command -v make
      want pkg-config command -v pkg-config
      want zlib1g-dev pkg-config --exists zlib
      want libssl-dev pkg-config --exists openssl
      ;;
    kafka)
      want default-jre-headless java_17
      want maven command -v mvn
      want kcat command -v kcat
      ;;
    model)
      want python3-venv python3 -c 'import ensurepip, venv'
      want zstd command -v zstd
      ;;
    deploy)
      want systemd command -v systemd-analyze
      want python3-venv python3 -c 'import ensurepip, venv'
      ;;
    export)
      want python3-venv python3 -c 'import ensurepip, venv'
      ;;
    *)
      echo "setup: no group '$group'; there are build, kafka, model, deploy and export" >&2
      exit 2
      ;;
  esac
done

if [[ " $* " == *" build "* ]] && ! command -v cargo >/dev/null; then
  echo "setup: cargo is missing; see https://rustup.rs" >&2
  exit 1
fi
[ ${#missing[@]} -eq 0 ] && exit 0

if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
  echo "setup: installing ${missing[*]}"
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
else
  echo "setup: missing here, under Debian's names: ${missing[*]}" >&2
  echo "hint: sudo apt-get install --no-install-recommends ${missing[*]}" >&2
  exit 1
fi
