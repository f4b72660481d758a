//! From the objects of the cluster to what the planner looks at. Pure.

use super::{PodView, VolumeView};
use crate::api::ROLE_LABEL;
use k8s_openapi::api::core::v1::{Node, PersistentVolumeClaim, Pod};
use kube::ResourceExt;
use mailmirror_control::status::Role;

const OUT_OF_SERVICE: &str = "node.kubernetes.io/out-of-service";
const REVISION_LABEL: &str = "controller-revision-hash";
/// Waiting reasons of a container from which it does not come back without a change.
const STUCK: [&str; 7] = [
    "ImagePullBackOff",
    "ErrImagePull",
    "InvalidImageName",
    "CrashLoopBackOff",
    "CreateContainerConfigError",
    "CreateContainerError",
    "RunContainerError",
];

/// A pod with what is known of its host; `None` for the host: nothing is known.
pub fn pod_view(pod: &Pod, host: Option<&Node>) -> PodView {
    let status = pod.status.as_ref();
    let condition = |name: &str| status?.conditions.as_ref()?.iter().find(|condition| condition.type_ == name);
    let ready = condition("Ready").is_some_and(|condition| condition.status == "True");
    let host_lost = host.is_some_and(|host| !host_ready(host));
    let out_of_service = host.is_some_and(|host| has_taint(host, OUT_OF_SERVICE));
    PodView {
        uid: pod.uid().unwrap_or_default(),
        ip: status.and_then(|status| status.pod_ip.clone()).filter(|ip| !ip.is_empty()),
        label: pod.labels().get(ROLE_LABEL).and_then(|label| role(label)),
        ready,
        terminating: pod.metadata.deletion_timestamp.is_some(),
        stopped: out_of_service || !host_lost && all_ended(pod),
        host_lost,
        cordoned: host.is_some_and(|host| host.spec.as_ref().is_some_and(|spec| spec.unschedulable == Some(true))),
        revision: pod.labels().get(REVISION_LABEL).cloned(),
        stuck: stuck(pod),
    }
}

/// The value of the label for a role.
pub fn role_label(role: Role) -> Option<&'static str> {
    match role {
        Role::Master => Some(crate::resources::MASTER),
        Role::Slave => Some(crate::resources::SLAVE),
        Role::None => None,
    }
}

fn role(label: &str) -> Option<Role> {
    [Role::Master, Role::Slave].into_iter().find(|role| role_label(*role) == Some(label))
}

fn host_ready(host: &Node) -> bool {
    let conditions = host.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions.is_none_or(|all| all.iter().any(|condition| condition.type_ == "Ready" && condition.status == "True"))
}

fn has_taint(host: &Node, key: &str) -> bool {
    let taints = host.spec.as_ref().and_then(|spec| spec.taints.as_ref());
    taints.is_some_and(|taints| taints.iter().any(|taint| taint.key == key))
}

fn all_ended(pod: &Pod) -> bool {
    let status = pod.status.as_ref();
    if status.and_then(|status| status.phase.as_deref()).is_some_and(|phase| phase == "Succeeded" || phase == "Failed")
    {
        return true;
    }
    let containers = status.and_then(|status| status.container_statuses.as_ref());
    containers.is_some_and(|all| {
        let ended = |state: &k8s_openapi::api::core::v1::ContainerState| state.running.is_none();
        !all.is_empty() && all.iter().all(|one| one.state.as_ref().is_some_and(ended))
    })
}

fn stuck(pod: &Pod) -> Option<String> {
    let status = pod.status.as_ref()?;
    let unschedulable = status.conditions.iter().flatten().find(|condition| {
        condition.type_ == "PodScheduled"
            && condition.status == "False"
            && condition.reason.as_deref() == Some("Unschedulable")
    });
    if let Some(condition) = unschedulable {
        return Some(format!("Unschedulable: {}", condition.message.as_deref().unwrap_or_default()));
    }
    status.container_statuses.iter().flatten().find_map(|container| {
        let waiting = container.state.as_ref()?.waiting.as_ref()?;
        let reason = waiting.reason.as_deref()?;
        STUCK.contains(&reason).then(|| format!("{reason}: {}", waiting.message.as_deref().unwrap_or_default()))
    })
}

/// A claim; `synced`: whether the cache of claims is complete, so that a missing one is certainly absent.
pub fn volume_view(claim: Option<&PersistentVolumeClaim>, synced: bool) -> VolumeView {
    let Some(claim) = claim else {
        return if synced { VolumeView::Absent } else { VolumeView::Unknown };
    };
    let bound = claim.spec.as_ref().and_then(|spec| spec.volume_name.as_ref()).is_some_and(|name| !name.is_empty());
    match claim.uid() {
        Some(uid) if bound => VolumeView::Bound { uid },
        Some(_) => VolumeView::Pending,
        None => VolumeView::Unknown,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::{Value, json};

    fn pod(status: &Value) -> Pod {
        let metadata =
            json!({ "name": "office-0", "uid": "u", "labels": { ROLE_LABEL: "master", REVISION_LABEL: "r1" } });
        serde_json::from_value(json!({ "metadata": metadata, "status": status })).unwrap()
    }

    fn host(ready: &str, cordoned: bool, taint: &str) -> Node {
        serde_json::from_value(json!({
            "spec": { "unschedulable": cordoned, "taints": [{ "key": taint, "effect": "NoExecute" }] },
            "status": { "conditions": [{ "type": "Ready", "status": ready }] },
        }))
        .unwrap()
    }

    #[test]
    fn a_running_pod_is_seen_as_it_is() {
        let status = json!({ "podIP": "10.0.0.1", "conditions": [{ "type": "Ready", "status": "True" }],
            "containerStatuses": [{ "name": "m", "image": "", "imageID": "", "ready": true, "restartCount": 0,
                "state": { "running": {} } }] });
        let view = pod_view(&pod(&status), Some(&host("True", true, "x")));
        assert_eq!((view.label, view.ready, view.cordoned, view.stopped), (Some(Role::Master), true, true, false));
        assert_eq!((view.ip.as_deref(), view.revision.as_deref()), (Some("10.0.0.1"), Some("r1")));
    }

    #[test]
    fn a_pod_is_only_stopped_where_somebody_can_know_it() {
        let ended = json!({ "containerStatuses": [{ "name": "m", "image": "", "imageID": "", "ready": false,
            "restartCount": 0, "state": { "terminated": { "exitCode": 137 } } }] });
        assert!(pod_view(&pod(&ended), Some(&host("True", false, "x"))).stopped);
        assert!(!pod_view(&pod(&ended), Some(&host("Unknown", false, "x"))).stopped, "a lost host's last word is old");
        assert!(pod_view(&pod(&json!({})), Some(&host("Unknown", false, OUT_OF_SERVICE))).stopped);
        assert!(!pod_view(&pod(&json!({})), None).stopped, "unknown is not stopped");
    }

    #[test]
    fn what_keeps_a_pod_from_starting_has_its_reason() {
        let waiting = json!({ "containerStatuses": [{ "name": "m", "image": "", "imageID": "", "ready": false,
            "restartCount": 0, "state": { "waiting": { "reason": "ImagePullBackOff", "message": "no such image" } } }] });
        assert_eq!(pod_view(&pod(&waiting), None).stuck.as_deref(), Some("ImagePullBackOff: no such image"));
        let unschedulable = json!({ "conditions": [{ "type": "PodScheduled", "status": "False", "reason": "Unschedulable",
            "message": "no node" }] });
        assert_eq!(pod_view(&pod(&unschedulable), None).stuck.as_deref(), Some("Unschedulable: no node"));
    }

    #[test]
    fn a_missing_claim_is_absent_only_when_all_claims_are_known() {
        assert_eq!(volume_view(None, false), VolumeView::Unknown);
        assert_eq!(volume_view(None, true), VolumeView::Absent);
        let claim = |spec: &Value| serde_json::from_value(json!({ "metadata": { "uid": "c" }, "spec": spec })).unwrap();
        assert_eq!(volume_view(Some(&claim(&json!({}))), true), VolumeView::Pending);
        let bound = claim(&json!({ "volumeName": "pv" }));
        assert_eq!(volume_view(Some(&bound), true), VolumeView::Bound { uid: "c".into() });
    }
}
