# shellcheck shell=bash
# Bringing the cluster up, and looking at it.

# One `up` or `down` at a time. The lock is the machine's, as the cluster is.
take_turn() {
  exec {turn}>/run/lock/mailmirror-cluster
  flock --timeout 900 "$turn" || die "failed to take a turn within 900 s: another 'cluster up' or 'cluster down' holds /run/lock/mailmirror-cluster"
}

cluster_up() {
  local wanted='' started=$SECONDS
  while [ "$#" -gt 0 ]; do
    case $1 in
      --grace) wanted=${2:?"--grace needs a duration, as 16s, or: default"}; shift 2 ;;
      --grace=*) wanted=${1#*=}; shift ;;
      *) die "failed to understand '$1'; usage: cluster up [--grace DURATION|default]" 2 ;;
    esac
  done
  [[ $wanted =~ ^(|default|[0-9]+s)$ ]] || die "failed to understand --grace '$wanted': seconds, as 16s, or: default" 2
  need_root "start a cluster"
  take_turn
  if already_up; then
    [ -z "$wanted" ] || [ "$wanted" = "$(cat "$RUN/grace")" ] || die "failed: the cluster that is up has --grace $(cat "$RUN/grace"); take it down first: $HERE/cluster down"
  else
    install_deps
    build_programs
    pause_image
    bring_up "${wanted:-$GRACE_DEFAULT}"
    say "up in $((SECONDS - started)) s"
  fi
  say "to use it: eval \"\$($HERE/cluster env)\""
  echo "$KUBECONFIG_ADMIN"
}

# A cluster whose programs all run and whose nodes are Ready, after links that an aborted test has cut are healed.
already_up() {
  local node
  [ -e "$RUN/up" ] && ! dead_program >/dev/null || return 1
  for node in "${NODES[@]}"; do set_link heal "$node"; done
  poll 30 nodes_ready
}

nodes_ready() {
  [ "$(kube get nodes --request-timeout=5s -o 'jsonpath={.items[*].status.conditions[?(@.type=="Ready")].status}')" = "True True" ]
}

# Everything from nothing. When a step fails the logs are kept beside the state folder and the rest is removed.
bring_up() {
  local node
  GRACE=$1
  if remains || [ -n "$(leftovers)" ]; then say "removing the cluster that was left here"; remove_cluster; settings; fi
  ! pgrep -x kubelet >/dev/null || die "failed: another kubelet runs on this machine (process $(pgrep -x kubelet | head -n1)), and two clusters would get in each other's way"
  [ ! -e "$STATE" ] || [ -z "$(ls -A "$STATE")" ] || die "failed: the state folder $STATE holds something else; empty it or set CLUSTER_STATE"
  [ -z "$(leftovers)" ] || die "failed to remove the cluster that was left here: $(leftovers)"
  trap bring_up_failed EXIT
  mkdir -p "$RUN/programs" "$STATE" "$LOGS" "$VOLUMES"
  touch "$STATE/.mailmirror-cluster"
  echo "$STATE" >"$RUN/state-folder"
  echo "$GRACE" >"$RUN/grace"
  network_up
  make_pki
  api_up
  for node in "${NODES[@]}"; do node_runtime_up "$node"; done
  control_plane_up
  for node in "${NODES[@]}"; do node_up "$node"; done
  proxy cp n1
  await 60 "the nodes' readiness" kubelet-n1 nodes_ready
  await 30 "CoreDNS" coredns curl --noproxy '*' -sf "http://$CP:8181/ready"
  await 30 "the default service account" kube-controller-manager kube get serviceaccount default
  await 30 "reaching the API by its Service's address" kube-proxy-cp curl --noproxy '*' -sk "https://$API_SERVICE"
  touch "$RUN/up"
  trap - EXIT
}

bring_up_failed() {
  local kept=$STATE.failed-log left
  set +e
  say "failed to bring the cluster up; removing it. All logs: $kept"
  rm -rf --one-file-system "$kept"
  cp -r "$LOGS" "$kept"
  remove_cluster
  left=$(leftovers)
  [ -z "$left" ] || say "left behind:"$'\n'"$left"
  exit 1
}

print_env() {
  cat <<SHELL
export KUBECONFIG='$KUBECONFIG_ADMIN'
export KUBECACHEDIR='$STATE/kubectl-cache'
export PATH='$BIN':"\$PATH"
export NO_PROXY="\${NO_PROXY:+\$NO_PROXY,}$LAN.0/24,$PODS,$SERVICES"
SHELL
}

cluster_logs() {
  local name=${1:-}
  [ -d "$LOGS" ] || die "failed to find logs: no cluster is there"
  [ -n "$name" ] || { basename -s .log "$LOGS"/*.log; return; }
  [ -e "$LOGS/$name.log" ] || die "failed to find the log of '$name'; 'cluster logs' lists them" 2
  shift
  if [ "$#" -gt 0 ]; then tail "$@" "$LOGS/$name.log"; else cat "$LOGS/$name.log"; fi
}

cluster_status() {
  local name pid memory total=0 well=0 node
  remains || { echo "no cluster is there; start one with: $HERE/cluster up"; return 1; }
  printf '%-26s %8s %10s\n' PROGRAM PROCESS MEMORY_MIB
  for name in $(programs_started); do
    if alive "$name"; then
      read -r pid _ <"$RUN/programs/$name"
      memory=$(awk '/^VmRSS/ { print int($2 / 1024) }' "/proc/$pid/status")
      printf '%-26s %8s %10s\n' "$name" "$pid" "$memory"
      total=$((total + memory))
    else
      printf '%-26s %8s\n' "$name" "ENDED"
      well=1
    fi
  done
  printf '%-26s %8s %10s\n\n' "sum" "" "$total"
  for node in "${NODES[@]}"; do
    echo "link of $node: $(ip -n mm-cp -br link show "v$node" 2>/dev/null | awk '{ print $2 }')"
  done
  printf 'state: %s\nlogs: %s\nkubeconfig: %s\ngrace period: %s\n\n' "$STATE" "$LOGS" "$KUBECONFIG_ADMIN" "$(cat "$RUN/grace" 2>/dev/null)"
  kube get nodes --request-timeout=5s -o wide || well=1
  nodes_ready || well=1
  kube get pods --all-namespaces --request-timeout=5s -o wide || well=1
  return "$well"
}
