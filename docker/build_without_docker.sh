#!/usr/bin/env bash
# Build docker/service.Dockerfile's target cpu without Docker and without a registry of images, start
# it as its user on a read-only root, and upscale the sample face through it.
#
#   sudo docker/build_without_docker.sh [FOLDER]      FOLDER (default: a new one) takes gigabytes
#
# Needs root, Debian's packages buildah, debootstrap and util-linux, Debian's archive and a package
# index for pip. In the place of the pinned base image stands Debian 12 with its own Python 3.11, so
# this checks the Dockerfile's steps, not that image. BUILD_FLAGS goes to `buildah bud`: with an index
# of your own, --build-arg TORCH_INDEX= and --volume for a pip.conf.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

for tool in buildah debootstrap setpriv unshare; do
  command -v "$tool" >/dev/null || {
    echo "no $tool on the PATH; on Debian: apt-get install buildah debootstrap util-linux" >&2
    exit 1
  }
done
[ "$(id -u)" -eq 0 ] || { echo "run it as root: debootstrap and mounts need it" >&2; exit 1; }

folder="${1:-$(mktemp -d)}"
mkdir -p "$folder"
storage=(--storage-driver vfs --root "$folder/storage" --runroot "$folder/run")
read -ra flags <<<"${BUILD_FLAGS:-}"

echo "==> a base with Debian's Python in $folder/base"
if [ ! -e "$folder/base/usr/bin/python" ]; then
  debootstrap --variant=minbase --include=ca-certificates,python3,python3-venv,python-is-python3 \
    bookworm "$folder/base" "${DEBIAN_MIRROR:-http://deb.debian.org/debian}"
fi
container="$(buildah "${storage[@]}" from scratch)"
buildah "${storage[@]}" add --quiet "$container" "$folder/base" / >/dev/null
buildah "${storage[@]}" commit --quiet --rm "$container" localhost/python-on-debian >/dev/null

echo "==> the Dockerfile's steps"
buildah "${storage[@]}" bud --isolation chroot --build-arg PYTHON=localhost/python-on-debian \
  "${flags[@]}" --target cpu --file docker/service.Dockerfile --tag localhost/affectsr:cpu .

container="$(buildah "${storage[@]}" from localhost/affectsr:cpu)"
root="$(buildah "${storage[@]}" mount "$container")"
server=
finish() {
  [ -z "$server" ] || kill -TERM "$server" 2>/dev/null || true
  [ -z "$server" ] || wait "$server" || true
  buildah "${storage[@]}" umount "$container" >/dev/null
  buildah "${storage[@]}" rm "$container" >/dev/null
}
trap finish EXIT
echo "==> size: $(du -sh --apparent-size "$root" | cut -f1)"

echo "==> start it as 10001 on a read-only root with a /tmp of 16 MiB"
port=8899
# In a mount namespace of its own: the read-only root ends with it.
unshare --mount bash -euc '
  mount --bind "$0" "$0"
  mount --types proc proc "$0/proc"
  mount --types tmpfs --options size=16m,mode=1777 tmpfs "$0/tmp"
  mount --options remount,bind,ro "$0"
  exec setpriv --no-new-privs chroot --userspec=10001:10001 "$0" \
    /usr/bin/env --ignore-environment PATH=/opt/affectsr/bin:/usr/bin:/bin HOME=/tmp \
    PYTHONDONTWRITEBYTECODE=1 AFFECTSR_HTTP_PORT="$1" AFFECTSR_DRAIN_DELAY_SECONDS=0 \
    /opt/affectsr/bin/affectsr serve
' "$root" "$port" &
server=$!

python3 - "http://127.0.0.1:$port" docs/samples/face_16px.png <<'PYTHON'
import sys
import time
import urllib.error
import urllib.request

base, face = sys.argv[1:]
deadline = time.monotonic() + 120
while True:
    try:
        urllib.request.urlopen(base + "/readyz", timeout=5)
        break
    except OSError as error:
        if time.monotonic() > deadline:
            sys.exit(f"{base}/readyz: {error}; not ready after 120 s")
        time.sleep(1)
with open(face, "rb") as file:
    request = urllib.request.Request(
        base + "/v1/upscale", file.read(), {"Content-Type": "image/png", "Accept": "image/png"}
    )
with urllib.request.urlopen(request, timeout=60) as reply:
    body = reply.read()
    print(f"==> {reply.status}, {reply.headers['X-AffectSR-Model']}, a PNG of {len(body)} bytes")
    if reply.status != 200 or not body.startswith(b"\x89PNG"):
        sys.exit("that is no upscaled face")
PYTHON
