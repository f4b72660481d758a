# shellcheck shell=bash disable=SC2034 # variables are used by other parts
# The control plane, in network namespace mm-cp: etcd, the three Kubernetes programs, CoreDNS, and a kube-proxy
# through which this machine reaches Services.

GRACE_DEFAULT=16s

# The API server and its store; nothing waits for them here.
api_up() {
  start cp etcd "$BIN/etcd" --data-dir "$STATE/etcd" --unsafe-no-fsync --log-level=warn
  api_server
}

control_plane_up() {
  await 60 "the API server's readiness" kube-apiserver curl --noproxy '*' -sf --max-time 2 --cacert "$PKI/ca.crt" "https://$CP:6443/readyz"
  kube apply -f "$HERE/manifests" >/dev/null
  controller_manager
  start cp kube-scheduler "$BIN/kube-scheduler" --kubeconfig="$PKI/scheduler.kubeconfig" --leader-elect=false --bind-address=127.0.0.1
  core_dns
  start cp provisioner bash "$HERE/cluster" provisioner
}

# --kubelet-preferred-address-types: without it logs, exec and port-forward look for DNS names of nodes.
api_server() {
  start cp kube-apiserver "$BIN/kube-apiserver" --etcd-servers=http://127.0.0.1:2379 \
    --advertise-address="$CP" --bind-address="$CP" --service-cluster-ip-range="$SERVICES" \
    --client-ca-file="$PKI/ca.crt" --cert-dir="$STATE/apiserver" \
    --tls-cert-file="$PKI/apiserver.crt" --tls-private-key-file="$PKI/apiserver.key" \
    --kubelet-certificate-authority="$PKI/ca.crt" --kubelet-preferred-address-types=InternalIP \
    --kubelet-client-certificate="$PKI/kubelet-client.crt" --kubelet-client-key="$PKI/kubelet-client.key" \
    --service-account-issuer=https://kubernetes.default.svc --service-account-key-file="$PKI/service-accounts.pub" \
    --service-account-signing-key-file="$PKI/service-accounts.key" \
    --authorization-mode=Node,RBAC --enable-admission-plugins=NodeRestriction --allow-privileged
}

# The grace period decides how soon a silent node is called NotReady; 16 s keeps tests short, `default` is
# what a cluster does that nobody has tuned.
controller_manager() {
  local timing=(--node-monitor-grace-period="$GRACE" --node-monitor-period=2s)
  [ "$GRACE" != default ] || timing=()
  start cp kube-controller-manager "$BIN/kube-controller-manager" --kubeconfig="$PKI/controller-manager.kubeconfig" \
    --service-account-private-key-file="$PKI/service-accounts.key" --root-ca-file="$PKI/ca.crt" \
    --use-service-account-credentials --leader-elect=false --bind-address=127.0.0.1 "${timing[@]}"
}

# CoreDNS answers for the cluster's names from the API, and that no other name exists: nothing is asked outside.
core_dns() {
  cat >"$STATE/Corefile" <<CONF
cluster.local in-addr.arpa {
  bind $CP
  errors
  ready $CP:8181
  kubernetes cluster.local in-addr.arpa {
    kubeconfig $PKI/coredns.kubeconfig
    ttl 2
  }
}
. {
  bind $CP
  errors
  template ANY ANY {
    rcode NXDOMAIN
  }
}
CONF
  start cp coredns "$BIN/coredns" -conf "$STATE/Corefile"
}

# proxy NETWORK NODE: kube-proxy in a network namespace, acting for a node. It waits for that node's object, which is why
# mm-cp, which is not a node, runs one in the name of n1. Conntrack limits are zero: they may not be writable.
proxy() {
  start "$1" "kube-proxy-$1" "$BIN/kube-proxy" --kubeconfig="$PKI/proxy.kubeconfig" --hostname-override="$2" \
    --proxy-mode=nftables --cluster-cidr="$PODS" --conntrack-max-per-core=0 \
    --conntrack-tcp-timeout-established=0 --conntrack-tcp-timeout-close-wait=0
}
