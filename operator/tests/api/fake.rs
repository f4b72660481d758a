//! An API server in memory: objects with versions, server-side apply as far as the operator uses it, watches, and
//! faults at any request.

use bytes::Bytes;
use futures::{StreamExt, stream};
use http::{Method, Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use kube::Client;
use kube::client::Body;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use tokio::sync::broadcast;

type Reply = Response<UnsyncBoxBody<Bytes, Infallible>>;

/// What happens to one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// 500, and nothing is done.
    Refused,
    /// 409, and nothing is done.
    Conflict,
    /// The connection breaks, and nothing is done.
    Broken,
    /// It is done, and the answer is 504.
    AnswerLost,
    /// It is not done, and there is no answer.
    Hangs,
}

impl Fault {
    pub const ALL: [Self; 5] = [Self::Refused, Self::Conflict, Self::Broken, Self::AnswerLost, Self::Hangs];
}

type Key = (String, String, String);

#[derive(Default)]
struct State {
    objects: BTreeMap<Key, Value>,
    version: u64,
    requests: Vec<(Method, String)>,
    fault: Option<(usize, Fault)>,
}

#[derive(Clone)]
pub struct Fake {
    state: Arc<Mutex<State>>,
    events: broadcast::Sender<(String, Value)>,
}

struct Path {
    plural: String,
    namespace: String,
    name: String,
    status: bool,
}

impl Fake {
    pub fn new() -> Self {
        Self { state: Arc::default(), events: broadcast::channel(10_000).0 }
    }

    pub fn client(&self) -> Client {
        let this = self.clone();
        let service = tower::service_fn(move |request: Request<Body>| {
            let this = this.clone();
            async move { this.serve(request).await }
        });
        Client::new(service, "mail")
    }

    /// The request with this number from now on, not counting watches, fails.
    pub fn fail(&self, number: usize, fault: Fault) {
        self.state.lock().unwrap().fault = Some((number, fault));
    }

    /// Whether the fault that was ordered has happened.
    pub fn fault_was_met(&self) -> bool {
        self.state.lock().unwrap().fault.is_none()
    }

    /// The requests since the last call, without watches and lists.
    pub fn requests(&self) -> Vec<(Method, String)> {
        std::mem::take(&mut self.state.lock().unwrap().requests)
    }

    pub fn get(&self, plural: &str, name: &str) -> Option<Value> {
        self.state.lock().unwrap().objects.get(&(plural.into(), "mail".into(), name.into())).cloned()
    }

    pub fn put(&self, plural: &str, name: &str, object: Value) {
        self.store((plural.into(), "mail".into(), name.into()), object);
    }

    pub fn delete(&self, plural: &str, name: &str) {
        self.remove(&(plural.into(), "mail".into(), name.into()));
    }

    /// Everything, without what differs from run to run.
    pub fn snapshot(&self) -> BTreeMap<Key, Value> {
        let mut objects = self.state.lock().unwrap().objects.clone();
        objects.retain(|(plural, _, _), _| plural != "events");
        for object in objects.values_mut() {
            let metadata = object["metadata"].as_object_mut().unwrap();
            metadata.remove("resourceVersion");
            metadata.remove("uid");
            if object["kind"] == "Secret" {
                object["stringData"] = Value::Null;
                object["data"] = Value::Null;
            }
            for condition in object["status"]["conditions"].as_array_mut().into_iter().flatten() {
                condition["lastTransitionTime"] = Value::Null;
            }
        }
        objects
    }

    async fn serve(&self, request: Request<Body>) -> Result<Reply, tower::BoxError> {
        let (parts, body) = request.into_parts();
        let body = body.collect().await?.to_bytes();
        let path = parse(parts.uri.path());
        let query = parts.uri.query().unwrap_or_default();
        if path.name.is_empty() && parts.method == Method::GET {
            return Ok(if query.contains("watch=true") { self.watch(&path) } else { self.list(&path) });
        }
        let fault = {
            let mut state = self.state.lock().unwrap();
            state.requests.push((parts.method.clone(), parts.uri.path().to_owned()));
            match state.fault.take() {
                Some((0, fault)) => Some(fault),
                Some((number, fault)) => {
                    state.fault = Some((number - 1, fault));
                    None
                }
                None => None,
            }
        };
        let merge =
            parts.headers.get("content-type").is_some_and(|it| it.as_bytes().starts_with(b"application/merge-patch"));
        match fault {
            None => Ok(self.carry_out(&parts.method, path, merge, &body)),
            Some(Fault::Refused) => Ok(failure(500, "InternalError")),
            Some(Fault::Conflict) => Ok(failure(409, "Conflict")),
            Some(Fault::Broken) => Err("the connection broke".into()),
            Some(Fault::AnswerLost) => {
                self.carry_out(&parts.method, path, merge, &body);
                Ok(failure(504, "Timeout"))
            }
            Some(Fault::Hangs) => std::future::pending().await,
        }
    }

    fn carry_out(&self, method: &Method, path: Path, merge: bool, body: &[u8]) -> Reply {
        let sent: Value = serde_json::from_slice(body).unwrap_or(Value::Null);
        let name = if path.name.is_empty() {
            sent["metadata"]["name"].as_str().unwrap_or_default().to_owned()
        } else {
            path.name
        };
        let key = (path.plural, path.namespace, name);
        let found = self.state.lock().unwrap().objects.get(&key).cloned();
        let reply = |object: &Value| Response::new(full(object));
        match (method.as_str(), found) {
            ("GET", Some(found)) => reply(&found),
            ("GET" | "PUT" | "DELETE", None) => failure(404, "NotFound"),
            ("POST", Some(_)) => failure(409, "AlreadyExists"),
            ("PUT", Some(found)) if found["metadata"]["resourceVersion"] != sent["metadata"]["resourceVersion"] => {
                failure(409, "Conflict")
            }
            ("POST", None) | ("PUT", Some(_)) => reply(&self.store(key, sent)),
            ("DELETE", Some(found)) => {
                self.remove(&key);
                reply(&found)
            }
            ("PATCH", None) if merge || path.status => failure(404, "NotFound"),
            ("PATCH", found) => {
                let before = found.unwrap_or_else(|| json!({}));
                let uid = &sent["metadata"]["uid"];
                if !uid.is_null() && *uid != before["metadata"]["uid"] {
                    return failure(409, "Conflict");
                }
                let mut next = before.clone();
                if path.status {
                    next["status"] = sent["status"].clone();
                } else {
                    merge_into(&mut next, &sent);
                }
                if next == before { reply(&before) } else { reply(&self.store(key, next)) }
            }
            _ => failure(405, "MethodNotAllowed"),
        }
    }

    fn store(&self, key: Key, mut object: Value) -> Value {
        let mut state = self.state.lock().unwrap();
        state.version += 1;
        let version = state.version;
        let uid = state.objects.get(&key).map(|before| before["metadata"]["uid"].clone());
        object["metadata"]["uid"] = uid.unwrap_or_else(|| object["metadata"]["uid"].clone());
        if object["metadata"]["uid"].is_null() {
            object["metadata"]["uid"] = format!("uid-{version}").into();
        }
        object["metadata"]["namespace"] = key.1.clone().into();
        object["metadata"]["name"] = key.2.clone().into();
        object["metadata"]["resourceVersion"] = version.to_string().into();
        if let Some(texts) = object.get("stringData").and_then(Value::as_object).cloned() {
            for (name, text) in texts {
                let base64 = encode(text.as_str().unwrap().as_bytes());
                object["data"][name] = base64.into();
            }
        }
        let kind = if state.objects.contains_key(&key) { "MODIFIED" } else { "ADDED" };
        state.objects.insert(key.clone(), object.clone());
        drop(state);
        let _ = self.events.send((key.0, json!({ "type": kind, "object": object })));
        object
    }

    fn remove(&self, key: &Key) {
        let mut state = self.state.lock().unwrap();
        state.version += 1;
        let version = state.version;
        let Some(mut object) = state.objects.remove(key) else { return };
        drop(state);
        object["metadata"]["resourceVersion"] = version.to_string().into();
        let _ = self.events.send((key.0.clone(), json!({ "type": "DELETED", "object": object })));
    }

    fn list(&self, path: &Path) -> Reply {
        let state = self.state.lock().unwrap();
        let here = |key: &Key| key.0 == path.plural && (path.namespace.is_empty() || key.1 == path.namespace);
        let items: Vec<_> = state.objects.iter().filter(|(key, _)| here(key)).map(|(_, object)| object).collect();
        let list = json!({ "kind": "List", "apiVersion": "v1", "metadata": { "resourceVersion": state.version.to_string() }, "items": items });
        Response::new(full(&list))
    }

    fn watch(&self, path: &Path) -> Reply {
        let plural = path.plural.clone();
        let events = tokio_stream::wrappers::BroadcastStream::new(self.events.subscribe());
        let lines = events.filter_map(move |event| {
            let line = event.ok().filter(|(kind, _)| *kind == plural).map(|(_, event)| format!("{event}\n"));
            std::future::ready(line.map(|line| Ok::<_, Infallible>(hyper::body::Frame::data(Bytes::from(line)))))
        });
        Response::new(StreamBody::new(lines.chain(stream::pending())).boxed_unsync())
    }
}

/// Maps are merged, `null` takes away, everything else replaces.
fn merge_into(target: &mut Value, change: &Value) {
    let (Value::Object(target), Value::Object(change)) = (&mut *target, change) else {
        *target = change.clone();
        return;
    };
    for (key, value) in change {
        if value.is_null() {
            target.remove(key);
        } else {
            merge_into(target.entry(key.clone()).or_insert(Value::Null), value);
        }
    }
}

fn parse(path: &str) -> Path {
    let mut parts: Vec<&str> = path.trim_matches('/').split('/').collect();
    parts.drain(..if parts[0] == "api" { 2 } else { 3 });
    let namespace = if parts.first() == Some(&"namespaces") && parts.len() > 2 {
        parts.remove(0);
        parts.remove(0).to_owned()
    } else {
        String::new()
    };
    let part = |index: usize| parts.get(index).map(|it| (*it).to_owned()).unwrap_or_default();
    Path { plural: part(0), namespace, name: part(1), status: part(2) == "status" }
}

fn failure(code: u16, reason: &str) -> Reply {
    let status = json!({
        "kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason, "message": reason, "metadata": {}
    });
    Response::builder().status(code).body(full(&status)).unwrap()
}

fn full(object: &Value) -> UnsyncBoxBody<Bytes, Infallible> {
    Full::new(Bytes::from(serde_json::to_vec(object).unwrap())).boxed_unsync()
}

fn encode(bytes: &[u8]) -> String {
    serde_json::to_value(k8s_openapi::ByteString(bytes.to_vec())).unwrap().as_str().unwrap().to_owned()
}
