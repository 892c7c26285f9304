#!/usr/bin/env bash
# Builds, runs and drives hola's image with the container engine that this machine has.
#
#   container.sh build TAG [ARG...]   build the repository's Dockerfile as TAG, labelled with commit, version and time
#   container.sh run ARG...           the engine's "run" with ARG
#   container.sh engine ARG...        the engine itself with ARG: "exec", "logs", "stop", "kube play"
#
# The engine is what ENGINE names; without it docker, if its daemon answers, else podman. Only where podman cannot work as
# it is (root without the right to raise limits, hybrid cgroups) it gets lower limits and a mount namespace of its own.
set -euo pipefail

lab=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
root=${lab%/tests/lab}
state=/run/hola-lab

uses_docker() {
  case ${ENGINE:-} in
  *docker) return 0 ;;
  *podman) return 1 ;;
  esac
  command -v docker >/dev/null && timeout 10 docker info >/dev/null 2>&1
}

# Bit 24 is CAP_SYS_RESOURCE: without it the engine's own default limits are above what may be set.
can_raise_limits() {
  local effective
  effective=$(sed -n 's/^CapEff:[[:space:]]*/0x/p' /proc/self/status)
  ((effective >> 24 & 1))
}

# The hybrid: crun takes the second hierarchy for a broken cgroup v2 and refuses to start anything.
is_confined() {
  ((EUID == 0)) && { mountpoint -q /sys/fs/cgroup/unified || ! can_raise_limits; }
}

# One namespace kept for all calls: what one call mounts (a container's root, a pod's network) the next one sees.
keep_namespace() {
  mkdir -p "$state"
  (
    flock 9
    mountpoint -q "$state/mounts" && exit
    mount --bind "$state" "$state"
    mount --make-private "$state"
    touch "$state/mounts"
    # shellcheck disable=SC2016
    unshare --mount="$state/mounts" --propagation slave sh -c 'umount /sys/fs/cgroup/unified 2>/dev/null || :'
  ) 9>"$state/lock"
}

engine() {
  if uses_docker; then
    docker "$@"
  elif ! command -v podman >/dev/null; then
    echo "container.sh: there is no container engine: as root, make lab-setup installs podman" >&2
    exit 69
  elif is_confined; then
    keep_namespace
    CONTAINERS_CONF=$lab/containers.conf nsenter --mount="$state/mounts" --wdns="$PWD" podman "$@"
  else
    podman "$@"
  fi
}

is_clean() {
  [[ -z $(git -C "$root" status --porcelain 2>&1) ]]
}

revision() {
  local commit
  if ! commit=$(git -C "$root" rev-parse --verify --quiet HEAD 2>/dev/null); then
    echo unknown
  elif is_clean; then
    echo "$commit"
  else
    echo "$commit-dirty"
  fi
}

# A clean commit is as old as its commit, whenever it is built; what is not a commit is as old as its build.
epoch() {
  if [[ -n ${SOURCE_DATE_EPOCH:-} ]]; then
    echo "$SOURCE_DATE_EPOCH"
  elif is_clean; then
    git -C "$root" log -1 --format=%ct
  else
    date +%s
  fi
}

version() {
  sed -n 's/^__version__ = "\(.*\)"$/\1/p' "$root/hola/__init__.py"
}

# With SOURCE_DATE_EPOCH podman repeats an image to the bit; cached layers would keep the times of their own build.
build() {
  local tag=${1:?which TAG?} options=()
  shift
  [[ -z ${SOURCE_DATE_EPOCH:-} ]] || uses_docker || options=(--no-cache --timestamp "$SOURCE_DATE_EPOCH")
  engine build --tag "$tag" "${options[@]}" --build-arg "REVISION=$(revision)" --build-arg "VERSION=$(version)" \
    --build-arg "CREATED=$(date -u -d "@$(epoch)" +%Y-%m-%dT%H:%M:%SZ)" "$@" "$root"
}

case ${1:-} in
build) build "${@:2}" ;;
run) engine "$@" ;;
engine) engine "${@:2}" ;;
*)
  sed -n '4,6s/^# *//p' "$0" >&2
  exit 64
  ;;
esac
