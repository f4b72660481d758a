# shellcheck shell=bash
# Certificates and kubeconfigs: one authority, one client certificate per component, valid for a year.

openssl_quiet() {
  local output
  output=$(openssl "$@" 2>&1) || { say "failed: openssl $1: $output"; return 1; }
}

# certificate NAME SUBJECT [SUBJECT-ALT-NAMES]
certificate() {
  openssl_quiet req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj "$2" \
    -keyout "$PKI/$1.key" -out "$PKI/$1.csr" &&
    printf 'extendedKeyUsage=serverAuth,clientAuth\n%s' "${3:+subjectAltName=$3}" >"$PKI/$1.ext" &&
    openssl_quiet x509 -req -in "$PKI/$1.csr" -CA "$PKI/ca.crt" -CAkey "$PKI/ca.key" -CAcreateserial -days 365 \
      -extfile "$PKI/$1.ext" -out "$PKI/$1.crt"
}

# kubeconfig CERTIFICATE FILE: access to this cluster as the certificate's subject.
kubeconfig() {
  (umask 077; cat >"$2") <<YAML
apiVersion: v1
kind: Config
clusters:
- name: mailmirror
  cluster: {server: "https://$CP:6443", certificate-authority-data: $(base64 -w0 "$PKI/ca.crt")}
users:
- name: $1
  user: {client-certificate-data: $(base64 -w0 "$PKI/$1.crt"), client-key-data: $(base64 -w0 "$PKI/$1.key")}
contexts:
- name: mailmirror
  context: {cluster: mailmirror, user: $1}
current-context: mailmirror
YAML
}

make_pki() {
  local node name
  mkdir -m 700 "$PKI"
  openssl_quiet req -x509 -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 365 -subj "/CN=mailmirror local cluster" \
    -keyout "$PKI/ca.key" -out "$PKI/ca.crt"
  openssl_quiet genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:2048 -out "$PKI/service-accounts.key"
  openssl_quiet pkey -in "$PKI/service-accounts.key" -pubout -out "$PKI/service-accounts.pub"
  certificate apiserver /CN=kube-apiserver "DNS:kubernetes.default.svc,DNS:localhost,IP:127.0.0.1,IP:$API_SERVICE,IP:$CP"
  certificate kubelet-client /O=system:masters/CN=apiserver-kubelet-client
  certificate admin /O=system:masters/CN=admin
  certificate controller-manager /CN=system:kube-controller-manager
  certificate scheduler /CN=system:kube-scheduler
  certificate proxy /CN=system:kube-proxy
  certificate coredns /CN=mailmirror:coredns
  certificate provisioner /CN=mailmirror:provisioner
  for node in "${NODES[@]}"; do
    certificate "$node" "/O=system:nodes/CN=system:node:$node" "DNS:$node,IP:$(node_address "$node")"
    kubeconfig "$node" "$PKI/$node.kubeconfig"
  done
  for name in controller-manager scheduler proxy coredns provisioner; do kubeconfig "$name" "$PKI/$name.kubeconfig"; done
  kubeconfig admin "$KUBECONFIG_ADMIN"
}
