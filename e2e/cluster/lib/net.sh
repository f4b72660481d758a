# shellcheck shell=bash disable=SC2034 # variables are used by other parts
# Network: namespaces for the control plane (mm-cp) and for each node (mm-n1, mm-n2), joined by a bridge in
# mm-cp; this machine hangs on the same bridge by a veth pair (mmhost), so that tests reach pods and Services.
#
#   this machine 172.29.0.254 --- mmhost --+
#   mm-n1 172.29.0.11 eth0 --- vn1 --------+-- lan (bridge, 172.29.0.1, mm-cp)
#   mm-n2 172.29.0.12 eth0 --- vn2 --------+
#
# No route leads out: the namespaces' default route points into `sink`, a bridge without ports. A default
# route has to exist, or a connection to a Service's address fails before it is translated.
LAN=172.29.0 PODS=10.244.0.0/16 SERVICES=10.96.0.0/16 API_SERVICE=10.96.0.1
CP=$LAN.1 HOST=$LAN.254

node_number() { echo "${1#n}"; }
node_address() { echo "$LAN.1${1#n}"; }
node_pods() { echo "10.244.${1#n}.0/24"; }

# Refuses to hide addresses that this machine already reaches by another way.
network_free() {
  local range taken
  for range in $LAN.0/24 "$PODS" "$SERVICES"; do
    taken=$({ ip route show root "$range"; ip route show match "$range"; } | grep -v '^default' || true)
    [ -z "$taken" ] || { say "failed: the cluster's addresses $range are in use on this machine ($taken)"; return 1; }
  done
}

network_up() {
  local node other
  network_free || return 1
  for node in cp "${NODES[@]}"; do
    ip netns add "mm-$node"
    ip -n "mm-$node" link set lo up
    # Bridged packets are none of the packet filter's business: that is where kube-proxy's rules are.
    in_net "$node" sh -c 'echo 1 >/proc/sys/net/ipv4/ip_forward; cd /proc/sys/net/bridge 2>/dev/null && echo 0 >bridge-nf-call-iptables || true'
    ip -n "mm-$node" link add sink type bridge
    ip -n "mm-$node" link set sink up
    ip -n "mm-$node" route add default dev sink
  done
  ip -n mm-cp link add lan type bridge
  ip -n mm-cp addr add "$CP/24" dev lan
  ip -n mm-cp link set lan up
  for node in "${NODES[@]}"; do
    ip -n mm-cp link add "v$node" type veth peer name eth0 netns "mm-$node"
    ip -n mm-cp link set "v$node" master lan up
    ip -n "mm-$node" addr add "$(node_address "$node")/24" dev eth0
    ip -n "mm-$node" link set eth0 up
    ip -n mm-cp route add "$(node_pods "$node")" via "$(node_address "$node")"
    for other in "${NODES[@]}"; do
      [ "$other" = "$node" ] || ip -n "mm-$node" route add "$(node_pods "$other")" via "$(node_address "$other")"
    done
  done
  ip link add mmhost type veth peer name host netns mm-cp
  ip -n mm-cp link set host master lan up
  ip addr add "$HOST/24" dev mmhost
  ip link set mmhost up
  ip route add "$PODS" via "$CP" dev mmhost
  ip route add "$SERVICES" via "$CP" dev mmhost
}

# Removes the namespaces and with them interfaces and routes; the host's end of the veth pair goes with its peer.
network_down() {
  local node
  for node in cp "${NODES[@]}"; do [ ! -e "/run/netns/mm-$node" ] || ip netns del "mm-$node" || true; done
  ! ip link show mmhost >/dev/null 2>&1 || ip link del mmhost || true
}

# set_link cut|heal NODE: the node's cable, pulled out or put back.
set_link() {
  local node=${2:-}
  [[ " ${NODES[*]} " == *" $node "* ]] || die "failed to $1 '$node': the nodes are ${NODES[*]}" 2
  need_root "$1 a node"
  case $1 in
    cut) ip -n mm-cp link set "v$node" down ;;
    heal) ip -n mm-cp link set "v$node" up ;;
  esac
}
