//! The process that holds a pod's namespaces: it waits for ever. The node kills it with its pod.

fn main() {
    loop {
        std::thread::park();
    }
}
