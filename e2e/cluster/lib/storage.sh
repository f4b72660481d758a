# shellcheck shell=bash
# Storage: a provisioner for the class `local`. It answers a claim when the scheduler has chosen a node, grows
# a volume when its claim asks for more, and removes volume and folder when the claim is gone.

PROVISIONER=mailmirror.dev/local

# Follows claims and volumes until it is stopped. A watch ends now and then by itself and is begun again; each
# begins with what is there, so nothing is missed.
provisioner() {
  export KUBECONFIG=$PKI/provisioner.kubeconfig
  say "provisioner of $PROVISIONER, volumes in $VOLUMES"
  while :; do watch_volumes || true; sleep 0.5; done &
  while :; do watch_claims || true; sleep 0.5; done
}

watch_claims() {
  local namespace name uid class node volume wanted has mode
  "$BIN/kubectl" get persistentvolumeclaims --all-namespaces --watch -o go-template='{{.metadata.namespace}}|{{.metadata.name}}|{{.metadata.uid}}|{{.spec.storageClassName}}|{{with .metadata.annotations}}{{index . "volume.kubernetes.io/selected-node"}}{{end}}|{{with .spec.volumeName}}{{.}}{{end}}|{{.spec.resources.requests.storage}}|{{with .status.capacity}}{{.storage}}{{end}}|{{index .spec.accessModes 0}}{{"\n"}}' |
    while IFS='|' read -r namespace name uid class node volume wanted has mode; do
      [ "$class" = local ] || continue
      if [ -z "$volume" ] && [[ " ${NODES[*]} " == *" $node "* ]]; then
        provision "$namespace" "$name" "$uid" "$node" "$wanted" "$mode" || say "failed to provide a volume for $namespace/$name"
      elif [ -n "$has" ] && [ "$has" != "$wanted" ]; then # never smaller: the API server does not allow it
        grow "$namespace" "$name" "$volume" "$wanted" || say "failed to grow the volume of $namespace/$name"
      fi
    done
}

# provision NAMESPACE CLAIM UID NODE SIZE MODE: a folder and the volume that stands for it. Named by the claim's uid, so
# that doing it twice is harmless. Folders belong to root: a pod that is not root needs fsGroup, as with a disk.
provision() {
  local volume=pvc-$3 folder=$VOLUMES/$4/pvc-$3 answer
  mkdir -p "$folder"
  answer=$("$BIN/kubectl" create -f - 2>&1 <<JSON
{"apiVersion": "v1", "kind": "PersistentVolume",
 "metadata": {"name": "$volume", "annotations": {"pv.kubernetes.io/provisioned-by": "$PROVISIONER"}},
 "spec": {"capacity": {"storage": "$5"}, "accessModes": ["$6"], "storageClassName": "local",
  "persistentVolumeReclaimPolicy": "Delete", "local": {"path": "$folder"},
  "claimRef": {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": "$1", "name": "$2", "uid": "$3"},
  "nodeAffinity": {"required": {"nodeSelectorTerms": [{"matchExpressions": [
   {"key": "kubernetes.io/hostname", "operator": "In", "values": ["$4"]}]}]}}}}
JSON
  ) || { [[ $answer == *AlreadyExists* ]] || { say "$answer"; return 1; }; return 0; }
  say "$volume of $5 on $4 for $1/$2"
}

grow() {
  "$BIN/kubectl" patch persistentvolume "$3" --patch '{"spec": {"capacity": {"storage": "'"$4"'"}}}' &&
    "$BIN/kubectl" patch --namespace "$1" persistentvolumeclaim "$2" --subresource=status --patch '{"status": {"capacity": {"storage": "'"$4"'"}}}'
}

watch_volumes() {
  local volume phase by folder
  "$BIN/kubectl" get persistentvolumes --watch -o go-template='{{.metadata.name}}|{{.status.phase}}|{{with .metadata.annotations}}{{index . "pv.kubernetes.io/provisioned-by"}}{{end}}|{{with .spec.local}}{{.path}}{{end}}{{"\n"}}' |
    while IFS='|' read -r volume phase by folder; do
      if [ "$phase" = Released ] && [ "$by" = "$PROVISIONER" ]; then
        reclaim "$volume" "$folder" || say "failed to remove $volume"
      fi
    done
}

# reclaim VOLUME FOLDER: a container that is being killed may still write, so removing is tried more than once.
reclaim() {
  [[ $2 == "$VOLUMES"/n?/pvc-* ]] || { say "not a folder of ours: $2"; return 1; }
  poll 10 rm -rf --one-file-system "$2" || return 1
  "$BIN/kubectl" delete --ignore-not-found --wait=false persistentvolume "$1"
}

# lose_disk [-n NAMESPACE] CLAIM: the claim, its volume and all its data are gone at once, and so are the pods that used it
# (a StatefulSet makes both anew, empty).
lose_disk() {
  local namespace=default claim volume folder pods
  if [ "${1:-}" = -n ]; then namespace=${2:-} && shift 2; fi
  claim=${1:?"give the name of the claim: cluster lose-disk [-n NAMESPACE] PVC"}
  volume=$(kube get -n "$namespace" pvc "$claim" -o 'jsonpath={.spec.volumeName}') || die "failed to find the claim $namespace/$claim"
  [ -n "$volume" ] || die "failed to lose the disk of $namespace/$claim: it has no volume yet"
  folder=$(kube get pv "$volume" -o 'jsonpath={.spec.local.path}')
  [[ $folder == "$VOLUMES"/n?/pvc-* ]] || die "failed to lose $volume: it is not one of the class local"
  # shellcheck disable=SC2016  # the dollars are the template's
  mapfile -t pods < <(kube get -n "$namespace" pods -o go-template='{{range .items}}{{$pod := .metadata.name}}{{range .spec.volumes}}{{with .persistentVolumeClaim}}{{if eq .claimName "'"$claim"'"}}{{$pod}}{{"\n"}}{{end}}{{end}}{{end}}{{end}}')
  kube delete -n "$namespace" pvc "$claim" --wait=false >/dev/null
  kube patch -n "$namespace" pvc "$claim" --type=merge -p '{"metadata": {"finalizers": null}}' >/dev/null 2>&1 || true
  [ "${#pods[@]}" = 0 ] || kube delete -n "$namespace" pod "${pods[@]}" --grace-period=0 --force --ignore-not-found >/dev/null 2>&1
  poll 30 volume_gone "$volume" "$folder" || die "failed to lose $volume within 30 s; see: cluster logs provisioner"
  say "lost: claim $namespace/$claim, $volume, pods: ${pods[*]:-none}"
}

volume_gone() { [ ! -e "$2" ] && [ -z "$(kube get pv "$1" --ignore-not-found -o name)" ]; }
