//! Decoding the messages of the contract: what passes the door keeps its bounds, and comes back when
//! it is sent on.
#![no_main]

use std::fmt::Debug;

use fuzz::{Input, KIB, within};
use libfuzzer_sys::fuzz_target;
use series::Sequences;
use wire::ingest::{self, BLOCKS_PER_BATCH_MAX, EVENT_LABELS_MAX, HELLO_LABELS_MAX};
use wire::{Message, join, proto, transition};

fuzz_target!(|data: &[u8]| {
    let mut input = Input::new(data);
    let kind = input.u8();
    let bytes = input.rest();
    match kind % 15 {
        0 => {
            let request = message::<proto::SyncRequest>(bytes);
            match request.and_then(|request| request.message) {
                Some(proto::sync_request::Message::Hello(hello)) => check_hello(hello),
                Some(proto::sync_request::Message::Batch(batch)) => check_batch(batch),
                Some(proto::sync_request::Message::Loss(loss)) => {
                    drop(wire::ingest::Loss::try_from(loss));
                }
                Some(proto::sync_request::Message::RulesRun(run)) => {
                    drop(transition::RulesRun::try_from(run));
                }
                Some(proto::sync_request::Message::Definitions(_)) | None => {}
            }
        }
        1 => {
            let request = message::<proto::UrgentRequest>(bytes);
            match request.and_then(|request| request.message) {
                Some(proto::urgent_request::Message::Hello(hello)) => check_hello(hello),
                Some(proto::urgent_request::Message::Event(event)) => check_event(event),
                None => {}
            }
        }
        2 => message::<proto::Hello>(bytes)
            .into_iter()
            .for_each(check_hello),
        3 => message::<proto::Batch>(bytes)
            .into_iter()
            .for_each(check_batch),
        4 => message::<proto::Event>(bytes)
            .into_iter()
            .for_each(check_event),
        5 => {
            let response = message::<proto::SyncResponse>(bytes);
            match response.and_then(|response| response.message) {
                Some(proto::sync_response::Message::Rules(rules)) => {
                    drop(transition::EdgeRules::try_from(rules));
                }
                Some(proto::sync_response::Message::Welcome(welcome)) => check_welcome(&welcome),
                _ => {}
            }
        }
        6 => drop(message::<proto::UrgentResponse>(bytes)),
        7 => drop(message::<proto::SpooledBatch>(bytes)),
        8 => drop(message::<proto::RangeRequest>(bytes)),
        9 => drop(message::<proto::QueryResponse>(bytes)),
        10 => drop(message::<proto::SeriesRequest>(bytes)),
        11 => drop(message::<proto::GetSummaryResponse>(bytes)),
        12 => {
            let request = message::<proto::JoinRequest>(bytes).map(join::JoinRequest::try_from);
            if let Some(Ok(request)) = request {
                assert!(request.token.len() <= join::TOKEN_BYTES_MAX);
                let der = request.certificate_request.as_bytes();
                assert!((1..=join::CERTIFICATE_REQUEST_BYTES_MAX).contains(&der.len()));
            }
        }
        13 => check_issued(message::<proto::IssuedCertificate>(bytes)),
        _ => message::<proto::Welcome>(bytes)
            .iter()
            .for_each(check_welcome),
    }
});

/// A message, if it is one. It takes memory in proportion to its bytes: the smallest element of a
/// list has two and becomes some vectors.
fn message<M: Message + Default + Debug>(bytes: &[u8]) -> Option<M> {
    let decoded = within(1000 * bytes.len() + KIB, || M::decode(bytes)).ok()?;
    let again = decoded.encode_to_vec();
    // Compared as bytes, because NaN is not itself.
    let read = M::decode(again.as_slice()).expect("what was just written");
    assert_eq!(read.encode_to_vec(), again);
    Some(decoded)
}

fn check_hello(hello: proto::Hello) {
    if let Ok(checked) = ingest::Hello::try_from(hello.clone()) {
        assert!((1..=128).contains(&checked.agent_id.as_str().len()));
        assert!(checked.labels.len() <= HELLO_LABELS_MAX);
        assert_eq!(checked.labels, hello.labels);
        assert_eq!(checked.epoch.get(), hello.epoch);
    }
}

fn check_batch(batch: proto::Batch) {
    if let Ok(checked) = ingest::Batch::try_from(batch.clone()) {
        assert!(checked.blocks.len() <= BLOCKS_PER_BATCH_MAX);
        assert_eq!(checked.sequence.get(), batch.sequence);
        let whole = std::iter::zip(&checked.blocks, &batch.blocks)
            .all(|(a, b)| a.series_refs == b.series_refs && a.columns == b.columns);
        assert!(whole && checked.blocks.len() == batch.blocks.len());
    }
}

fn check_event(event: proto::Event) {
    if let Ok(checked) = ingest::Event::try_from(event.clone()) {
        assert!(checked.labels.len() <= EVENT_LABELS_MAX);
        assert_eq!(proto::Event::from(checked), event);
    }
}

fn check_issued(issued: Option<proto::IssuedCertificate>) {
    if let Ok(checked) = join::Issued::try_from(issued) {
        assert!((1..=join::CHAIN_MAX).contains(&checked.chain.len()));
        let is_bounded = |der: &Vec<u8>| der.len() <= join::CERTIFICATE_BYTES_MAX;
        assert!(checked.chain.iter().all(is_bounded));
    }
}

/// What a coordinator says that it has settled: ranges that ascend, with a hole before each.
fn check_welcome(welcome: &proto::Welcome) {
    let ranges = welcome.durable_beyond.iter();
    let ranges = ranges.map(|range| (range.first, range.last)).collect();
    let Some(settled) = Sequences::from_parts(welcome.last_durable_sequence, ranges) else {
        return;
    };
    let mut before = settled.through();
    for &(first, last) in settled.beyond() {
        assert!(before.checked_add(1).is_some_and(|next| next < first) && first <= last);
        before = last;
    }
    assert_eq!(settled.last(), before);
    for (first, last) in settled.missing(1, u64::MAX - 1) {
        assert!(!settled.contains(first) && !settled.contains(last));
    }
}
