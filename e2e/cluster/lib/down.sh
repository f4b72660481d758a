# shellcheck shell=bash
# Removing the cluster, whatever state it is in, and proving that nothing of it is left.
#
# Only what the cluster started is stopped: programs by recorded process id and start time, containerd's shims by
# their -address argument, containers by the cgroup of their node.

remove_cluster() {
  kill_programs "$(programs_started | grep -e '^kubelet' -e '^provisioner' || true)" # before pods, or they are started again
  kill_pods
  kill_programs "$(programs_started)"
  kill_strays
  remove_stray_files
  remove_mounts
  FOREIGN=$(network_processes)
  network_down
  remove_cgroups
  remove_folders
}

# Nothing of a test cluster is worth a slow goodbye, and SIGKILL cannot be waited out.
kill_programs() {
  local name
  for name in $1; do signal "$name" KILL; done
  for name in $1; do poll 10 not_alive "$name" || true; done
}

kill_strays() { local pid; for pid in $(strays); do kill -KILL "$pid" 2>/dev/null || true; done; }

not_alive() { ! alive "$1"; }

network_processes() {
  local namespace
  for namespace in cp "${NODES[@]}"; do [ ! -e "/run/netns/mm-$namespace" ] || ip netns pids "mm-$namespace"; done
}

# Process ids in the cluster's namespaces that are the cluster's but not on record (an `up` that was killed
# between starting a program and writing its id down). Somebody's shell in there is not ours.
strays() {
  local process
  for process in $(network_processes); do
    case $(command_line "$process") in *"$STATE/"* | *"$RUN/"* | "$BIN/"* | *"$HERE/cluster provisioner"*) echo "$process" ;; esac
  done
}

# Process ids of containerd's shims that serve one of our sockets.
shims() {
  local folder
  for folder in /proc/[0-9]*; do
    [[ "$(command_line "${folder#/proc/}")" != *containerd-shim*" -address $RUN/"* ]] || echo "${folder#/proc/}"
  done
}

# The arguments of a process, with spaces between; nothing for one that is gone.
command_line() { local words; { mapfile -d '' -t words <"/proc/$1/cmdline"; } 2>/dev/null && echo "${words[*]}"; }

# Process ids in the nodes' cgroups: everything that runs in a pod, also what was exec'ed into it.
pod_processes() {
  local folder
  for folder in $(cgroup_folders); do find "$folder" -name cgroup.procs -exec cat {} + 2>/dev/null || true; done | sort -u
}

kill_pods() {
  local pid
  for pid in $(shims) $(pod_processes); do kill -KILL "$pid" 2>/dev/null || true; done
  poll 10 no_pods || true
}

no_pods() { [ -z "$(pod_processes)" ] && [ -z "$(shims)" ]; }

# Files of ours in places that have no setting: sockets of containerd's shims, the kubelet's socket for device plugins and its
# links to containers' logs, CNI's memory of addresses it gave. Of folders only empty ones are removed.
our_stray_files() {
  local file
  for file in "$RUN"/n?/state/io.containerd.runtime.v2.task/k8s.io/*/address; do
    [ ! -e "$file" ] || { file=$(sed 's#^unix://##' "$file"); [ ! -e "$file" ] || echo "$file"; }
  done
  for file in /var/lib/kubelet/device-plugins/kubelet.sock /var/lib/cni/results/mailmirror-n?-*; do [ ! -e "$file" ] || echo "$file"; done
  [ ! -d /var/log/containers ] || find /var/log/containers -type l -lname "$STATE/*"
}

remove_stray_files() {
  local folder
  our_stray_files | while read -r file; do rm -f "$file"; done
  for folder in /run/containerd/s /run/containerd /var/lib/kubelet/device-plugins /var/lib/kubelet /var/lib/cni/results /var/lib/cni /var/log/containers; do
    rmdir "$folder" 2>/dev/null || true
  done
}

# Innermost first.
our_mounts() { awk -v run="$RUN/" -v state="$STATE/" 'index($2, run) == 1 || index($2, state) == 1 { print $2 }' /proc/self/mounts | sort -r; }
remove_mounts() { poll 10 unmount_all || true; }
unmount_all() { local mount; for mount in $(our_mounts); do umount "$mount" || true; done; [ -z "$(our_mounts)" ]; }

remove_cgroups() { poll 10 no_cgroups || true; }
no_cgroups() { local folder; for folder in $(cgroup_folders); do find "$folder" -depth -type d -exec rmdir {} + || true; done; [ -z "$(cgroup_folders)" ]; }

# A mount that could not be undone must not be emptied, and a folder that `up` has not made is not ours.
remove_folders() {
  [ -z "$(our_mounts)" ] || return 0
  [ ! -e "$STATE/.mailmirror-cluster" ] || rm -rf --one-file-system "$STATE"
  rm -rf --one-file-system "$RUN"
}

# What is still there, a line each; nothing when all is gone.
leftovers() {
  local item
  for item in $(programs_started); do ! alive "$item" || echo "program $item"; done
  for item in ${FOREIGN:-}; do
    ! started_at "$item" >/dev/null || echo "process $item, which somebody else started in the cluster's network: $(command_line "$item")"
  done
  for item in $(shims); do echo "containerd shim, process $item"; done
  for item in $(pod_processes); do echo "process of a pod $item: $(command_line "$item")"; done
  for item in $(our_mounts); do echo "mount $item"; done
  for item in /run/netns/mm-cp /run/netns/mm-n?; do [ ! -e "$item" ] || echo "network namespace $item"; done
  ! ip link show mmhost >/dev/null 2>&1 || echo "network interface mmhost"
  for item in "$PODS" "$SERVICES"; do [ -z "$(ip route show exact "$item")" ] || echo "route $item"; done
  for item in $(cgroup_folders); do echo "cgroup $item"; done
  for item in $(our_stray_files); do echo "file $item"; done
  for item in "$STATE/.mailmirror-cluster" "$RUN"; do [ ! -e "$item" ] || echo "folder ${item%/.mailmirror-cluster}"; done
}

# True when something of a cluster is there, whole or not. (A restart of the machine leaves only the state folder.)
remains() { [ -e "$RUN" ] || [ -e "$STATE/.mailmirror-cluster" ] || [ -e /run/netns/mm-cp ]; }

cluster_down() {
  local left started=$SECONDS
  need_root "take the cluster down"
  take_turn
  remains || { say "there is no cluster"; return; }
  remove_cluster
  left=$(leftovers)
  [ -z "$left" ] || die "failed to remove all of the cluster; left:"$'\n'"$left"
  say "down in $((SECONDS - started)) s; nothing is left"
}
