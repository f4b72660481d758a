use crate::fake::{Fake, Fault};
use kube::Api;
use mailmirror_operator::election::{Candidate, TERM};
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

fn candidate(fake: &Fake, name: &str) -> Candidate {
    Candidate::new(Api::namespaced(fake.client(), "mail"), "operator".into(), name.into())
}

#[tokio::test(start_paused = true)]
async fn one_leads_and_the_next_one_follows_when_its_term_is_over() {
    let fake = Fake::new();
    let (mut one, mut two) = (candidate(&fake, "one"), candidate(&fake, "two"));
    one.win().await;
    assert!(timeout(TERM / 2, two.win()).await.is_err(), "the term of the first one has not ended");
    assert!(one.leads() && !two.leads());
    let began = Instant::now();
    two.win().await;
    assert!(began.elapsed() <= TERM + Duration::from_secs(2));
    assert!(!one.leads(), "whoever did not prolong has stopped by its own clock before");
}

#[tokio::test(start_paused = true)]
async fn a_leader_that_resigns_is_followed_at_once() {
    let fake = Fake::new();
    let (mut one, mut two) = (candidate(&fake, "one"), candidate(&fake, "two"));
    one.win().await;
    one.resign().await;
    assert!(!one.leads());
    let began = Instant::now();
    two.win().await;
    assert!(began.elapsed() < Duration::from_secs(1));
}

#[tokio::test(start_paused = true)]
async fn a_leader_keeps_its_term_through_single_faults_and_not_without_the_server() {
    for fault in Fault::ALL {
        let fake = Fake::new();
        let mut one = candidate(&fake, "one");
        one.win().await;
        fake.fail(0, fault);
        assert!(timeout(TERM * 3, one.keep()).await.is_err(), "{fault:?} ended the term");
        assert!(one.leads());
    }
    let fake = Fake::new();
    let mut one = candidate(&fake, "one");
    one.win().await;
    sleep(TERM).await;
    assert!(!one.leads(), "without a word to the server it stops by itself");
}

#[tokio::test(start_paused = true)]
async fn a_leader_whose_lease_was_taken_notices() {
    let fake = Fake::new();
    let mut one = candidate(&fake, "one");
    one.win().await;
    let mut lease = fake.get("leases", "operator").unwrap();
    lease["spec"]["holderIdentity"] = "somebody".into();
    fake.put("leases", "operator", lease);
    timeout(Duration::from_secs(3), one.keep()).await.unwrap();
    assert!(!one.leads());
}
