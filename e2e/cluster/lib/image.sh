# shellcheck shell=bash
# Images without a registry: built by buildah, saved as archives, imported by the nodes' containerd.

# Built without a daemon and without privileges beyond root's: copies instead of overlays, chroot instead of containers.
# What it keeps between two builds would only grow, so it keeps nothing.
buildah_in() { local folder=$1; shift; TMPDIR=$folder buildah --storage-driver vfs --root "$folder/root" --runroot "$folder/run" "$@"; }

# qualified TAG: a name without a registry is taken for one of Docker Hub's by containerd.
qualified() {
  local first=${1%%/*}
  if [ "$first" != "$1" ] && [[ $first == localhost || $first == *[.:]* ]]; then echo "$1"; else echo "localhost/$1"; fi
}

# build_image CONTEXT TAG OUT.tar [buildah's options]
build_image() {
  [ "$#" -ge 3 ] || die "failed to understand: cluster image CONTEXT TAG OUT.tar [--build-arg NAME=VALUE]... [--file DOCKERFILE] [--target STAGE]" 2
  local context=$1 tag out=$3 folder stray=''
  tag=$(qualified "$2")
  shift 3
  [ -d "$context" ] || die "failed to find the folder $context to build from" 2
  need_root "build an image"
  install_deps
  mkdir -p "$(dirname "$out")"
  folder=$(mktemp -d "$(dirname "$(realpath "$out")")/.image.XXXXXX")
  # shellcheck disable=SC2064  # the folder of now
  trap "rm -rf --one-file-system '$folder'" EXIT
  mkdir "$folder/root" "$folder/run"
  [ -e /var/lib/containers ] || stray=/var/lib/containers # a cache of buildah's, for which there is no setting
  buildah_in "$folder" bud --quiet --isolation chroot --tag "$tag" "$@" "$context" >/dev/null ||
    die "failed to build $tag; the lines above say why"
  buildah_in "$folder" push --quiet "$tag" "docker-archive:$folder/image.tar:$tag" >/dev/null || die "failed to save $tag"
  mv "$folder/image.tar" "$out"
  rm -rf --one-file-system "$folder" ${stray:+"$stray"}
  trap - EXIT
  say "image $tag in $out"
}

# The image that every pod needs first: a static program of our own. Kept with the compiled programs.
pause_image() {
  local folder
  [ ! -e "$BIN/pause.tar" ] || return 0
  install_deps
  folder=$(mktemp -d)
  static_program "$HERE/programs/pause.rs" "$folder/pause"
  printf 'FROM scratch\nCOPY pause /pause\nENTRYPOINT ["/pause"]\n' >"$folder/Dockerfile"
  build_image "$folder" "$PAUSE_IMAGE" "$BIN/pause.tar"
  rm -r "$folder"
}

# static_program SOURCE.rs OUT: one file of Rust, linked so that it runs in an image with nothing else in it.
static_program() {
  command -v rustc >/dev/null || die "failed to find rustc, which compiles $1; install Rust (https://rustup.rs) and put it on PATH"
  rustc --edition 2024 -C opt-level=s -C strip=symbols -C target-feature=+crt-static \
    --target "$(rustc -vV | sed -n 's/^host: //p')" -o "$2" "$1" || die "failed to compile $1"
}

# load_images ARCHIVE...: into both nodes, at the same time.
load_images() {
  local archive node jobs=() job
  [ "$#" -gt 0 ] || die "failed to understand: cluster load IMAGE.tar..." 2
  need_root "load an image"
  for archive; do
    [ -r "$archive" ] || die "failed to read $archive"
    for node in "${NODES[@]}"; do load_image "$node" "$archive" & jobs+=($!); done
  done
  for job in "${jobs[@]}"; do wait "$job" || die "failed to load an image; see: cluster logs containerd-n1"; done
}

# The kubelet sees an image when containerd's Kubernetes side has taken note of it, which it does by a label.
load_image() {
  local name
  name=$(on_containerd "$1" images import "$2" | sed -n 's/^unpacking \([^ ]*\) .*/\1/p')
  [ -n "$name" ] && poll 20 image_noted "$1" "$name" && say "$1 has $name"
}

image_noted() { [ -n "$(on_containerd "$1" images list --quiet "name==$2,labels.\"io.cri-containerd.image\"==managed")" ]; }
