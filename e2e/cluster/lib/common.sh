# shellcheck shell=bash disable=SC2034 # variables are used by other parts
# Messages, waiting, and programs that run in the background and are known by process id and start time.

# Sockets, process ids and runtime state: short-lived, and at one place, so that the cluster of an aborted
# run is found whatever its settings were. Two clusters on one machine are not possible.
RUN=/run/mailmirror-cluster
NODES=(n1 n2)

say() { echo "cluster: $*" >&2; }
die() { say "$1"; exit "${2:-1}"; }

# The folder of the cluster that is there (healthy or not), if one is.
recorded_state() { cat "$RUN/state-folder" 2>/dev/null; }

# Derives every path from the state folder. `programs` holds process ids and what else ends with the machine.
use_state() {
  STATE=$1 LOGS=$1/log PKI=$1/pki VOLUMES=$1/volumes KUBECONFIG_ADMIN=$1/admin.kubeconfig
  # Used unquoted in configuration files and found again in /proc/mounts, where odd letters are escaped.
  [[ $STATE =~ ^/[A-Za-z0-9_./+-]+$ ]] || die "failed to use the state folder '$STATE': set CLUSTER_STATE to an absolute path of plain letters" 2
}

need_root() { [ "$(id -u)" = 0 ] || die "failed to $1: that needs root (network namespaces, mounts, cgroups); try: sudo -E $HERE/cluster ..., or give KUBECONFIG of a cluster that is already there" 2; }
need_cluster() { [ -e "$RUN/up" ] || die "failed to find a running cluster; start one with: $HERE/cluster up"; }

# kubectl as administrator. Its cache of what the API offers is kept apart: the next cluster has the same address.
kube() { KUBECACHEDIR=$STATE/kubectl-cache "$BIN/kubectl" --kubeconfig="$KUBECONFIG_ADMIN" "$@"; }

# Runs a command in one of the cluster's network namespaces. Not `ip netns exec`, which remounts /sys and so
# hides the cgroups.
in_net() { local namespace=$1; shift; nsenter --net="/run/netns/mm-$namespace" -- "$@"; }

# When process $1 began, in clock ticks since the machine's start; fails for one that is gone or a zombie.
# With the process id it names a process for good: ids are used again.
started_at() {
  local line fields
  line=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
  read -ra fields <<<"${line##*) }"
  [ "${fields[0]}" != Z ] && [ "${fields[0]}" != X ] && echo "${fields[19]}"
}

# start NETWORK NAME COMMAND...: runs COMMAND in the background in a network namespace of the cluster, with
# an environment of its own (no proxies, no locale), its own session, no inherited descriptors, and a log.
start() {
  local network=$1 name=$2 pid
  shift 2
  (
    for fd in /proc/self/fd/*; do
      fd=${fd##*/}
      [ "$fd" -le 2 ] || [ "$fd" = 255 ] || eval "exec $fd>&-"
    done
    exec setsid nsenter --net="/run/netns/mm-$network" -- env -i HOME=/root PATH="$PATH" \
      KUBECACHEDIR="$STATE/kubectl-cache" CLUSTER_CACHE="${BIN%/*/bin}" "$@"
  ) </dev/null >>"$LOGS/$name.log" 2>&1 &
  pid=$!
  disown "$pid"
  echo "$pid $(started_at "$pid")" >"$RUN/programs/$name"
}

# True while the program started under this name runs.
alive() {
  local pid since
  read -r pid since 2>/dev/null <"$RUN/programs/$1" && [ "$(started_at "$pid")" = "$since" ]
}

# signal NAME SIGNAL: to the program and what it started in its session.
signal() {
  local pid
  ! alive "$1" || { read -r pid _ <"$RUN/programs/$1"; kill "-$2" -- "-$pid" 2>/dev/null || kill "-$2" "$pid" 2>/dev/null || true; }
}

programs_started() { local path; for path in "$RUN"/programs/*; do [ -e "$path" ] && echo "${path##*/}"; done; }

# The first program that has died, if any.
dead_program() { local name; for name in $(programs_started); do alive "$name" || { echo "$name"; return; }; done; return 1; }

# poll SECONDS COMMAND...: tries COMMAND every tenth of a second until it succeeds.
poll() {
  local until=$((SECONDS + $1))
  shift
  until "$@" >/dev/null 2>&1; do
    [ "$SECONDS" -lt "$until" ] || return 1
    sleep 0.1
  done
}

# await SECONDS WHAT LOG COMMAND...: poll, but gives up at once when a program of the cluster has died, and
# says what was awaited, with the end of the log that should explain it.
await() {
  local until=$((SECONDS + $1)) seconds=$1 what=$2 log=$3 dead
  shift 3
  until "$@" >/dev/null 2>&1; do
    if dead=$(dead_program); then say "failed: $dead ended; the end of its log:"; tail_of "$dead"; return 1; fi
    if [ "$SECONDS" -ge "$until" ]; then say "failed: $what took more than $seconds s; the end of the log of $log:"; tail_of "$log"; return 1; fi
    sleep 0.1
  done
}

tail_of() { tail -n 15 "$LOGS/$1.log" 2>/dev/null | cut -c1-400 | sed 's/^/    /' >&2 || true; }
