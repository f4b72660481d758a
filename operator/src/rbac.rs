//! What the operator may do in the cluster: the least that its calls need.

use k8s_openapi::api::rbac::v1::PolicyRule;

/// Rules for the namespaces that are served (`Role`, or `ClusterRole` for all of them).
pub fn namespaced() -> Vec<PolicyRule> {
    vec![
        rule("mailmirror.dev", &["mailmirrorpairs"], &["get", "list", "watch"]),
        rule("mailmirror.dev", &["mailmirrorpairs/status"], &["get", "patch"]),
        // Owners that block deletion, where the cluster enforces permission for that (OpenShift).
        rule("mailmirror.dev", &["mailmirrorpairs/finalizers"], &["update"]),
        rule("", &["pods"], &["get", "list", "watch", "patch", "delete"]),
        rule("", &["persistentvolumeclaims"], &["get", "list", "watch", "patch"]),
        rule("", &["services", "configmaps", "serviceaccounts"], &["get", "list", "watch", "create", "patch"]),
        // Neither list nor watch: only the Secrets that a pair names, and its own.
        rule("", &["secrets"], &["get", "create"]),
        rule("apps", &["statefulsets"], &["get", "list", "watch", "create", "patch", "delete"]),
        rule("policy", &["poddisruptionbudgets"], &["get", "list", "watch", "create", "patch"]),
        rule("networking.k8s.io", &["networkpolicies"], &["get", "list", "watch", "create", "patch"]),
        // The record of each pair, by compare-and-swap, and the operator's own election.
        rule("coordination.k8s.io", &["leases"], &["get", "create", "update"]),
        rule("events.k8s.io", &["events"], &["create", "patch"]),
    ]
}

/// Rules that only a `ClusterRole` can give. Without them the operator does not see that a node is cordoned.
pub fn cluster() -> Vec<PolicyRule> {
    vec![rule("", &["nodes"], &["get", "list", "watch"])]
}

/// Both as YAML.
///
/// # Errors
/// When they cannot be serialised, which would be a fault of this program.
pub fn yaml() -> anyhow::Result<String> {
    let both = serde_json::json!({ "namespaced": namespaced(), "cluster": cluster() });
    Ok(serde_saphyr::to_string(&both)?)
}

fn rule(group: &str, resources: &[&str], verbs: &[&str]) -> PolicyRule {
    let strings = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    PolicyRule {
        api_groups: Some(vec![group.to_owned()]),
        resources: Some(strings(resources)),
        verbs: strings(verbs),
        ..PolicyRule::default()
    }
}
