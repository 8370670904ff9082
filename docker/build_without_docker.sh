#!/usr/bin/env bash
# Build an image without Docker and without a registry of images, and try it.
#
#   sudo docker/build_without_docker.sh cpu|cuda|training [FOLDER]
#
# cpu and cuda are the targets of service.Dockerfile: the result is started as its user on a read-only
# root without a network, and upscales the sample face (docker/try_image.py). training prints its help.
# FOLDER (default: a new one) takes some 10 GB; keep it, and the next image begins with its base.
#
# Needs root, Debian's packages buildah, debootstrap, iproute2 and util-linux, Debian's archive and a
# package index for pip. In the place of the pinned base image stands Debian 12 with its own Python
# 3.11, so this checks the Dockerfile's steps, not that image. BUILD_FLAGS goes to `buildah bud`: with
# an index of your own, --build-arg TORCH_INDEX= and --volume for a pip.conf.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

for tool in buildah debootstrap ip setpriv unshare; do
  command -v "$tool" >/dev/null || {
    echo "no $tool on the PATH; on Debian: apt-get install buildah debootstrap iproute2 util-linux" >&2
    exit 1
  }
done
[ "$(id -u)" -eq 0 ] || { echo "run it as root: debootstrap and mounts need it" >&2; exit 1; }
case "${1:-}" in
  cpu | cuda) dockerfile=docker/service.Dockerfile ;;
  training) dockerfile=docker/training.Dockerfile ;;
  *)
    echo "usage: $0 cpu|cuda|training [FOLDER]" >&2
    exit 2
    ;;
esac
target="$1"
folder="${2:-$(mktemp -d)}"
mkdir -p "$folder"
storage=(--storage-driver vfs --root "$folder/storage" --runroot "$folder/run")
read -ra flags <<<"${BUILD_FLAGS:-}"

if ! buildah "${storage[@]}" inspect --type image localhost/python-on-debian >/dev/null 2>&1; then
  echo "==> a base with Debian's Python"
  debootstrap --variant=minbase --include=ca-certificates,python3,python3-venv,python-is-python3 \
    bookworm "$folder/base" "${DEBIAN_MIRROR:-http://deb.debian.org/debian}" >"$folder/debootstrap.log"
  # apt's lists and packages belong to no image.
  rm -rf "$folder/base/var/lib/apt/lists"/* "$folder/base/var/cache/apt"/*
  container="$(buildah "${storage[@]}" from scratch)"
  buildah "${storage[@]}" add --quiet "$container" "$folder/base" / >/dev/null
  buildah "${storage[@]}" commit --quiet --rm "$container" localhost/python-on-debian >/dev/null
  rm -r "$folder/base"
fi

echo "==> the steps of $dockerfile for the target $target"
# Docker's format: the other one knows no HEALTHCHECK.
buildah "${storage[@]}" bud --format docker --isolation chroot \
  --build-arg PYTHON=localhost/python-on-debian "${flags[@]}" \
  --target "$target" --file "$dockerfile" --tag "localhost/affectsr:$target" .

container="$(buildah "${storage[@]}" from "localhost/affectsr:$target")"
finish() {
  buildah "${storage[@]}" umount "$container" >/dev/null
  buildah "${storage[@]}" rm "$container" >/dev/null
}
trap finish EXIT
root="$(buildah "${storage[@]}" mount "$container")"
size() { du --summarize --apparent-size --block-size=1M "$1" | cut -f1; }
echo "==> size: $(size "$root") MiB, of which /opt/affectsr is $(size "$root/opt/affectsr") MiB"

if [ "$target" = training ]; then
  echo "==> its command, as its user"
  buildah "${storage[@]}" run --isolation chroot "$container" -- python -m training --help
else
  echo "==> start it on a read-only root without a network"
  buildah "${storage[@]}" inspect "$container" >"$folder/config.json"
  unshare --mount --net \
    python3 docker/try_image.py "$root" "$folder/config.json" docs/samples/face_16px.png
fi
