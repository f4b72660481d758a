# shellcheck shell=bash
# A node: containerd, kubelet and kube-proxy in the network namespace mm-NODE, with a cgroup root, image store
# and pods' folders of its own.

PAUSE_IMAGE=localhost/mailmirror-pause:1

# The runtime first: it needs no API server, so it comes up while that does.
node_runtime_up() {
  local node=$1
  mkdir -p "$STATE/$node/cni" "$RUN/$node"
  cgroup_root "$node"
  containerd_config "$node" >"$STATE/$node/containerd.toml"
  cni_config "$node" >"$STATE/$node/cni/10-pods.conflist"
  echo "nameserver $CP" >"$STATE/$node/resolv.conf"
  start "$node" "containerd-$node" containerd --config "$STATE/$node/containerd.toml"
  await 30 "containerd of $node" "containerd-$node" on_containerd "$node" version
  on_containerd "$node" images import "$BIN/pause.tar" >/dev/null
}

node_up() {
  local node=$1
  kubelet_config "$node" >"$STATE/$node/kubelet.yaml"
  start "$node" "kubelet-$node" "$BIN/kubelet" --config="$STATE/$node/kubelet.yaml" --kubeconfig="$PKI/$node.kubeconfig" \
    --hostname-override="$node" --node-ip="$(node_address "$node")" --root-dir="$STATE/$node/kubelet"
  proxy "$node" "$node"
}

on_containerd() { local node=$1; shift; ctr --address "$RUN/$node/containerd.sock" --namespace k8s.io "$@"; }

# Two kubelets on one machine must not manage each other's pods: each has its own cgroup below the root.
cgroup_root() {
  local hierarchy file controllers
  if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
    mkdir -p "/sys/fs/cgroup/mailmirror-$1"
    # The kubelet wants below every controller that the machine has at the top.
    read -ra controllers </sys/fs/cgroup/cgroup.controllers
    for file in "${controllers[@]}"; do echo "+$file" >/sys/fs/cgroup/cgroup.subtree_control 2>/dev/null || true; done
    return
  fi
  for hierarchy in /sys/fs/cgroup/*/; do
    hierarchy=${hierarchy%/}
    if [ -L "$hierarchy" ] || [ ! -e "$hierarchy/tasks" ]; then continue; fi
    mkdir -p "$hierarchy/mailmirror-$1"
    for file in cpuset.cpus cpuset.mems; do # a new cpuset is empty, and then nothing can run in it
      [ ! -e "$hierarchy/$file" ] || cat "$hierarchy/$file" >"$hierarchy/mailmirror-$1/$file"
    done
  done
}

# Every cgroup folder of the cluster's nodes.
cgroup_folders() {
  local folder
  for folder in /sys/fs/cgroup/mailmirror-n? /sys/fs/cgroup/*/mailmirror-n?; do [ ! -d "$folder" ] || echo "$folder"; done
}

# restrict_oom_score_adj: works without CAP_SYS_RESOURCE. netns_mounts_under_state_dir and Root: what pods
# leave in /run stays below our own folder. The rest of the plugins are switched off because nothing uses them.
containerd_config() {
  cat <<TOML
version = 2
root = "$STATE/$1/containerd"
state = "$RUN/$1/state"
disabled_plugins = ["io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs", "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs", "io.containerd.internal.v1.tracing"]
[grpc]
  address = "$RUN/$1/containerd.sock"
[plugins."io.containerd.internal.v1.opt"]
  path = "$STATE/$1/opt"
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "$PAUSE_IMAGE"
  restrict_oom_score_adj = true
  disable_apparmor = true
  netns_mounts_under_state_dir = true
  [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc]
    runtime_type = "io.containerd.runc.v2"
    [plugins."io.containerd.grpc.v1.cri".containerd.runtimes.runc.options]
      Root = "$RUN/$1/runc"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "$(cni_folder)"
    conf_dir = "$STATE/$1/cni"
TOML
}

# `ptp` gives every pod a link to its node and nothing else, so that also pods of one node reach each other
# through the node's packet filter. With `bridge` the answer of a pod to a Service's client on the same node
# would go past it, untranslated, unless br_netfilter is loaded.
cni_config() {
  cat <<JSON
{"cniVersion": "1.0.0", "name": "mailmirror-$1", "plugins": [
  {"type": "ptp", "ipam": {"type": "host-local", "dataDir": "$RUN/$1/addresses",
    "ranges": [[{"subnet": "$(node_pods "$1")"}]], "routes": [{"dst": "0.0.0.0/0"}]}},
  {"type": "portmap", "capabilities": {"portMappings": true}}
]}
JSON
}

# imageGCHighThresholdPercent: images come from `cluster load` alone, so none may be removed to make room.
kubelet_config() {
  cat <<YAML
apiVersion: kubelet.config.k8s.io/v1beta1
kind: KubeletConfiguration
address: $(node_address "$1")
authentication: {anonymous: {enabled: false}, webhook: {enabled: true}, x509: {clientCAFile: $PKI/ca.crt}}
authorization: {mode: Webhook}
tlsCertFile: $PKI/$1.crt
tlsPrivateKeyFile: $PKI/$1.key
containerRuntimeEndpoint: unix://$RUN/$1/containerd.sock
clusterDNS: [$CP]
clusterDomain: cluster.local
resolvConf: $STATE/$1/resolv.conf
podLogsDir: $STATE/$1/pod-logs
volumePluginDir: $STATE/$1/volume-plugins
cgroupDriver: cgroupfs
cgroupRoot: /mailmirror-$1
failCgroupV1: false
failSwapOn: false
enforceNodeAllocatable: []
localStorageCapacityIsolation: false
imageGCHighThresholdPercent: 100
evictionHard: {memory.available: "100Mi", nodefs.available: "1%", imagefs.available: "1%", nodefs.inodesFree: "1%"}
YAML
  [ "$GRACE" = default ] || echo "nodeStatusUpdateFrequency: 4s"
}
