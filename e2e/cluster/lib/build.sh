# shellcheck shell=bash
# The programs of the cluster: compiled from their Go modules, kept per user, found again by version.
#
# programs/NAME/go.mod and go.sum pin what is compiled. Kubernetes and etcd share a module; helm and CoreDNS
# want other versions of the same libraries and have one each.

# Counted up when the way of compiling below changes what comes out (flags, stamps).
RECIPE=1

# name, module folder, package: in the order in which they are built (the small ones show trouble early).
PROGRAMS=(
  "etcd kubernetes go.etcd.io/etcd/server/v3"
  "kubectl kubernetes k8s.io/kubernetes/cmd/kubectl"
  "kube-scheduler kubernetes k8s.io/kubernetes/cmd/kube-scheduler"
  "kube-proxy kubernetes k8s.io/kubernetes/cmd/kube-proxy"
  "kube-controller-manager kubernetes k8s.io/kubernetes/cmd/kube-controller-manager"
  "kube-apiserver kubernetes k8s.io/kubernetes/cmd/kube-apiserver"
  "kubelet kubernetes k8s.io/kubernetes/cmd/kubelet"
  "helm helm helm.sh/helm/v4/cmd/helm"
  "coredns coredns github.com/coredns/coredns"
)

# The version of module $2 that programs/$1/go.mod asks for.
pinned() { awk -v module="$2" '$1 == "require" { $1 = ""; $0 = $0 } $1 == module && $2 ~ /^v/ { print $2; exit }' "$HERE/programs/$1/go.mod"; }

# What tells one set of programs from another: the versions, for people, and a digest of all that decides the result.
programs_key() {
  local digest
  digest=$(cat "$HERE"/programs/*/go.mod "$HERE"/programs/*/go.sum - <<<"recipe $RECIPE" | sha256sum | cut -c1-8)
  printf 'kubernetes-%s_etcd-%s_helm-%s_coredns-%s_%s_%s\n' "$(pinned kubernetes k8s.io/kubernetes)" \
    "$(pinned kubernetes go.etcd.io/etcd/server/v3)" "$(pinned helm helm.sh/helm/v4)" \
    "$(pinned coredns github.com/coredns/coredns)" "$(uname -m)" "$digest"
}

# Linker flags for program $1: without a version stamp kubectl and kubelet report nonsense and version checks fail.
stamp() {
  local version major minor
  version=$(pinned kubernetes k8s.io/kubernetes)
  IFS=. read -r major minor _ <<<"${version#v}"
  case $1 in
    kube*) echo "-X k8s.io/component-base/version.gitVersion=$version" \
      "-X k8s.io/component-base/version.gitMajor=$major -X k8s.io/component-base/version.gitMinor=$minor" ;;
    helm) echo "-X helm.sh/helm/v4/internal/version.version=$(pinned helm helm.sh/helm/v4)" ;;
  esac
}

# Compiles one program unless the cache has it. It appears under its name only when it is whole, so an
# interrupted build goes on where it was.
build_program() {
  local name=$1 module=$2 package=$3 started=$SECONDS
  [ -x "$BIN/$name" ] && return
  say "compiling $name"
  (cd "$HERE/programs/$module" && CGO_ENABLED=0 GOWORK=off GOFLAGS="-buildvcs=false ${GOFLAGS:-}" \
    nice go build -mod=readonly -trimpath -ldflags="-s -w $(stamp "$name")" -o "$BIN/.$name.partial" "$package") ||
    die "failed to compile $name; the lines above say why. 'cluster build' goes on from here"
  mv "$BIN/.$name.partial" "$BIN/$name"
  say "compiled $name in $((SECONDS - started)) s"
}

# True when every program is in the cache.
programs_built() {
  local line
  for line in "${PROGRAMS[@]}"; do [ -x "$BIN/${line%% *}" ] || return 1; done
}

# Compiles all programs, or those named as arguments. Two builds at once take turns.
build_programs() {
  local line name module package wanted=" $* "
  mkdir -p "$BIN"
  [ "$#" -gt 0 ] || ! programs_built || { say "programs: $BIN"; return; }
  command -v go >/dev/null || die "failed to find Go, which compiles the cluster's programs; install Go 1.26 or newer (https://go.dev/dl) and put it on PATH"
  exec {build_lock}>"$BIN/.lock"
  flock "$build_lock"
  for line in "${PROGRAMS[@]}"; do
    read -r name module package <<<"$line"
    [ "$#" -eq 0 ] || [[ $wanted == *" $name "* ]] || continue
    build_program "$name" "$module" "$package"
  done
  exec {build_lock}>&-
  say "programs: $BIN"
}
