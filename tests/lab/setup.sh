#!/usr/bin/env bash
# Makes a Debian machine ready for the lab tests: a browser, axe for what it shows, a balancer, Prometheus, Alertmanager,
# Consul, confd, moto, checkov, a container engine and the image's base.
# Quick where all of it is there already. Started by `make lab-setup`, as root.
set -euo pipefail

lab=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
base=python:3.13-slim-trixie
apt=(apt-get -qq -o DPkg::Lock::Timeout=600)
lists_are_fresh=
scratch=$(mktemp -d -p /var/tmp)
trap 'rm -rf "$scratch"' EXIT

fail() {
  echo "lab-setup: $*" >&2
  exit 1
}

has() {
  command -v "$1" >/dev/null
}

# apt waits for dpkg's lock by itself, but not for that of the package lists.
update_lists() {
  local complaint tries=60
  [[ -z $lists_are_fresh ]] || return 0
  until complaint=$(LC_ALL=C "${apt[@]}" update 2>&1); do
    [[ $complaint == *"Could not get lock"* ]] || fail "the package lists could not be fetched: $complaint"
    ((tries--)) || fail "another apt has held the package lists for five minutes"
    sleep 5
  done
  lists_are_fresh=yes
}

install_packages() {
  local name missing=()
  for name in "$@"; do
    [[ $(dpkg-query -W -f='${db:Status-Status}' "$name" 2>/dev/null) == installed ]] || missing+=("$name")
  done
  [[ ${#missing[@]} -gt 0 ]] || return 0
  echo "lab-setup: installing ${missing[*]}"
  update_lists
  DEBIAN_FRONTEND=noninteractive "${apt[@]}" install --no-install-recommends "${missing[@]}" >/dev/null
}

# Only the two programs: their package would start a server, and again after every boot.
install_prometheus() {
  local package packages=(prometheus)
  if has prometheus && has promtool; then return; fi
  echo "lab-setup: installing prometheus and promtool"
  update_lists
  if apt-cache show promtool >/dev/null 2>&1; then packages+=(promtool); fi # part of prometheus before Debian 13
  (cd "$scratch" && "${apt[@]}" -o APT::Sandbox::User=root download "${packages[@]}")
  for package in "$scratch"/*.deb; do dpkg-deb -x "$package" "$scratch/system"; done
  install -t /usr/local/bin "$scratch/system/usr/bin/prometheus" "$scratch/system/usr/bin/promtool"
  rm -rf "$scratch/system"
}

# With its templates, which it wants where the package has them.
install_alertmanager() {
  local templates=/usr/share/prometheus/alertmanager
  if has prometheus-alertmanager && has amtool && [[ -d $templates ]]; then return; fi
  echo "lab-setup: installing prometheus-alertmanager and amtool"
  update_lists
  (cd "$scratch" && "${apt[@]}" -o APT::Sandbox::User=root download prometheus-alertmanager)
  dpkg-deb -x "$scratch"/prometheus-alertmanager_*.deb "$scratch/system"
  install -t /usr/local/bin "$scratch/system/usr/bin/prometheus-alertmanager" "$scratch/system/usr/bin/amtool"
  install -Dm 0644 -t "$templates" "$scratch/system$templates"/*.tmpl
  rm -rf "$scratch/system"
}

# Debian's last Consul is in Debian 11. Its mirror is this machine's own; lists and cache of that release live in the
# scratch directory, so that nothing else can ever come from there. Only the program, as with Prometheus.
install_consul() {
  local codename from mirror old=$scratch/bullseye
  if has consul; then return; fi
  echo "lab-setup: installing consul"
  update_lists
  codename=$(sed -n 's/^VERSION_CODENAME=//p' /etc/os-release)
  # shellcheck disable=SC2016
  read -r mirror < <(apt-get indextargets --format '$(REPO_URI)' \
    'Created-By: Packages' 'Component: main' "Release: $codename") || fail "apt knows no mirror of Debian $codename"
  mkdir -p "$old/lists/partial" "$old/archives/partial"
  echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg] $mirror bullseye main" >"$old/sources.list"
  from=(-o "Dir::Etc::SourceList=$old/sources.list" -o Dir::Etc::SourceParts=- -o "Dir::State::Lists=$old/lists"
    -o "Dir::Cache=$old" -o APT::Sandbox::User=root)
  (cd "$old" && "${apt[@]}" "${from[@]}" update && "${apt[@]}" "${from[@]}" download consul)
  dpkg-deb -x "$old"/consul_*.deb "$old/system"
  install -t /usr/local/bin "$old/system/usr/bin/consul"
  rm -rf "$old"
}

# From its sources, which no distribution packages; Go is needed for this alone. Another confd on this machine stays,
# but the tests' own comes before it.
install_confd() {
  local go version
  go=$(command -v go || echo /usr/local/go/bin/go)
  version=$(sed -n 's|.*kelseyhightower/confd v\([0-9.]*\).*|\1|p' "$lab/confd/go.mod")
  if [[ $(/usr/local/bin/confd -version 2>/dev/null) == "confd $version "* ]]; then return; fi
  if [[ ! -x $go ]]; then
    do_without_confd "confd is built with Go 1.24 or newer, which is missing"
    return
  fi
  echo "lab-setup: building confd, which may take some minutes"
  GOBIN=/usr/local/bin GOPATH=$scratch/go GOCACHE=$scratch/go/cache GOFLAGS=-modcacherw CGO_ENABLED=0 timeout 900 \
    "$go" -C "$lab/confd" install tool >"$scratch/go.log" 2>&1 ||
    do_without_confd "confd cannot be built: $(tail -n 1 "$scratch/go.log")"
  rm -rf "$scratch/go"
}

# A Python program in a virtual environment of its own, made anew when its lock changes: it wants other versions of what
# the tests use.
install_tool() {
  local lock=$lab/requirements-$1.txt place=/usr/local/lib/hola-lab/$1
  if cmp -s "$lock" "$place/lock"; then return; fi
  echo "lab-setup: installing $1"
  python3 -c 'import ensurepip, venv' 2>/dev/null || install_packages python3-venv
  python3 -m venv --clear "$place"
  "$place/bin/pip" install --quiet --disable-pip-version-check --require-hashes --only-binary=:all: -r "$lock"
  cp "$lock" "$place/lock"
}

# The engine of accessibility checks, from its authors' own package: it depends on nothing and needs no Node.js to run,
# while each Python package of it brings an older one and a driver for browsers.
install_axe() {
  local place=/usr/local/lib/hola-lab/axe
  if cmp -s "$lab/axe/package-lock.json" "$place/package-lock.json"; then return; fi
  has npm || install_packages npm
  echo "lab-setup: installing axe-core"
  cp -r "$lab/axe" "$scratch/axe"
  (cd "$scratch/axe" && npm ci --ignore-scripts --no-audit --no-fund --loglevel=error --cache "$scratch/npm" >/dev/null)
  mkdir -p "${place%/*}"
  rm -rf "$place"
  mv "$scratch/axe" "$place"
}

do_without_confd() {
  [[ ${CI:-} != true ]] || fail "$1"
  echo "lab-setup: $1; its tests will be skipped" >&2
}

engine() {
  "$lab/container.sh" engine "$@"
}

install_engine() {
  engine version >/dev/null 2>&1 ||
    install_packages podman crun catatonit netavark aardvark-dns iptables nftables uidmap
}

# Debian keeps its Python in /usr and packages in dist-packages; the official image has /usr/local and site-packages.
lay_out_like_official() {
  local system=$1 lib=$1/usr/local/lib/python3.13
  rm -rf "$lib" "$system"/usr/bin/python3
  mv "$system/usr/lib/python3.13" "$lib"
  mv "$system/usr/bin/python3.13" "$system/usr/local/bin/"
  ln -s python3.13 "$system/usr/local/bin/python3"
  ln -s python3.13 "$system/usr/local/bin/python"
  rm "$lib/EXTERNALLY-MANAGED"
  sed -i '/prefix_scheme = /s/posix_local/posix_prefix/' "$lib/sysconfig/__init__.py"
  # The directory's name is frozen into Debian's interpreter, so both names have to lead to it.
  mkdir "$lib/site-packages"
  ln -s site-packages "$lib/dist-packages"
  # shellcheck disable=SC2016
  chroot "$system" sh -c 'set -- /usr/share/python-wheels/pip-*.whl
    python "$1/pip" install --quiet --root-user-action=ignore --no-index "$1"'
}

# For machines that reach Debian's packages and no image registry. It shows all of the image but its size.
build_stand_in() {
  local system=$scratch/system
  echo "lab-setup: $base cannot be pulled, building a stand-in from Debian's packages"
  install_packages debootstrap
  debootstrap --variant=minbase --include=python3,python3-venv,ca-certificates,tzdata trixie "$system" >/dev/null
  lay_out_like_official "$system"
  # A network that checks traffic has an authority of its own, which pip must trust inside a build, too.
  cp /etc/ssl/certs/ca-certificates.crt "$system/etc/ssl/certs/"
  rm -rf "$system"/var/cache/apt/archives/*.deb "$system"/var/lib/apt/lists/*
  tar -C "$system" -c . | engine import \
    --change 'ENV PATH=/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin' \
    --change 'CMD ["python3"]' - "$base" >/dev/null
}

prepare_base() {
  if engine image inspect "$base" >/dev/null 2>&1; then return; fi
  timeout 60 "$lab/container.sh" engine pull --quiet "$base" >/dev/null 2>&1 || build_stand_in
}

[[ $EUID -eq 0 ]] || fail "installing packages needs root: sudo make lab-setup"
[[ $(sed -n 's/^ID=//p' /etc/os-release) == debian ]] ||
  fail "this knows only Debian's packages; elsewhere install chromium, prometheus and podman by hand"
install_packages chromium haproxy
install_axe
install_prometheus
install_alertmanager
install_consul
install_confd
install_tool moto
install_tool checkov
install_engine
prepare_base
echo "lab-setup: ready: chromium, axe, prometheus, alertmanager, consul, moto, checkov, $(engine --version), $base"
