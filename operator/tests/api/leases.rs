use crate::fake::{Fake, Fault};
use crate::passes::pair;
use mailmirror_control::record::{AckPolicy, Member, Record};
use mailmirror_model::ids::{AuthorityId, NodeId, StoreId};
use mailmirror_operator::act::ActError;
use mailmirror_operator::authority::{Leases, Memory};
use mailmirror_operator::pair::ValidatedPair;

fn memory(store: u128) -> Memory {
    let member = Member { node: NodeId::Zero, store: StoreId(store) };
    Memory::new(Record::first(AuthorityId(1), AckPolicy::Peer, member, None))
}

#[tokio::test]
async fn what_is_written_is_read() {
    let (fake, pair) = (Fake::new(), ValidatedPair::new(&pair()).unwrap());
    let leases = Leases::new(fake.client());
    let nothing = leases.read(&pair).await.unwrap();
    assert_eq!(nothing.memory, None);
    let written = leases.write(&pair, &nothing, &memory(1)).await.unwrap();
    assert_eq!(leases.read(&pair).await.unwrap(), written);
    assert_eq!(written.memory, Some(memory(1)));
    let lease = fake.get("leases", "office-mirror").unwrap();
    assert_eq!(lease["spec"]["holderIdentity"], "office-0");
    assert_eq!(lease["metadata"]["ownerReferences"][0]["uid"], "pair-uid");
}

#[tokio::test]
async fn a1_of_two_writers_on_the_same_ground_one_is_refused() {
    let (fake, pair) = (Fake::new(), ValidatedPair::new(&pair()).unwrap());
    let leases = Leases::new(fake.client());
    let ground = leases.read(&pair).await.unwrap();
    let first = leases.write(&pair, &ground, &memory(1)).await.unwrap();
    assert!(leases.write(&pair, &ground, &memory(2)).await.unwrap_err().is_conflict(), "both create");
    leases.write(&pair, &first, &memory(3)).await.unwrap();
    assert!(leases.write(&pair, &first, &memory(4)).await.unwrap_err().is_conflict(), "both replace");
    assert_eq!(leases.read(&pair).await.unwrap().memory, Some(memory(3)));
    fake.delete("leases", "office-mirror");
    assert!(
        leases.write(&pair, &first, &memory(5)).await.unwrap_err().is_not_found(),
        "what was deleted is not written"
    );
}

#[tokio::test(start_paused = true)]
async fn a_write_whose_answer_is_lost_is_found_by_reading() {
    let (fake, pair) = (Fake::new(), ValidatedPair::new(&pair()).unwrap());
    let leases = Leases::new(fake.client());
    let ground = leases.read(&pair).await.unwrap();
    fake.fail(0, Fault::AnswerLost);
    leases.write(&pair, &ground, &memory(1)).await.unwrap_err();
    assert_eq!(leases.read(&pair).await.unwrap().memory, Some(memory(1)));
    fake.fail(0, Fault::Refused);
    assert_eq!(leases.read(&pair).await.unwrap_err().to_string(), "failed to read Lease office-mirror: InternalError");
    fake.fail(0, Fault::Hangs);
    assert!(matches!(leases.read(&pair).await.unwrap_err(), ActError::Timeout { .. }));
}

#[tokio::test]
async fn a_lease_that_is_not_ours_or_not_readable_stops_everything() {
    let (fake, pair) = (Fake::new(), ValidatedPair::new(&pair()).unwrap());
    let leases = Leases::new(fake.client());
    let ground = leases.read(&pair).await.unwrap();
    leases.write(&pair, &ground, &memory(1)).await.unwrap();
    let good = fake.get("leases", "office-mirror").unwrap();
    let mut foreign = good.clone();
    foreign["metadata"]["ownerReferences"][0]["uid"] = "an earlier pair".into();
    fake.put("leases", "office-mirror", foreign);
    assert!(matches!(leases.read(&pair).await.unwrap_err(), ActError::Content { .. }));
    let mut edited = good.clone();
    edited["metadata"]["annotations"]["mailmirror.dev/record"] = "{}".into();
    fake.put("leases", "office-mirror", edited);
    assert!(matches!(leases.read(&pair).await.unwrap_err(), ActError::Content { .. }));
    let mut bare = good;
    bare["metadata"]["annotations"] = serde_json::json!({});
    fake.put("leases", "office-mirror", bare);
    assert_eq!(leases.read(&pair).await.unwrap().memory, None);
}
