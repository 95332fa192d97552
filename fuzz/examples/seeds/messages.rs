//! Messages of the contract.

use wire::{Message, proto};

use crate::Seeds;
use crate::columns::{encoded, made_blocks};

pub(crate) fn messages() -> Seeds {
    let hello = proto::Hello {
        protocol: wire::PROTOCOL,
        agent_id: "node-1".to_owned(),
        epoch: 7,
        oldest_sequence: 1,
        labels: [("region".to_owned(), "eu".to_owned())].into(),
        ..proto::Hello::default()
    };
    let batch = proto::Batch {
        sequence: 3,
        blocks: vec![proto::Block {
            series_refs: vec![1, 2, 300],
            columns: encoded(&made_blocks()[1]).into(),
        }],
        clocks: Some(proto::Clocks {
            wall_millis: 1_795_000_000_000,
            monotonic_millis: 60_000,
        }),
        ..proto::Batch::default()
    };
    let event = proto::Event {
        id: "e-1".to_owned(),
        kind: "gpu_xid".to_owned(),
        severity: "warning".to_owned(),
        summary: "it fell off the bus".to_owned(),
        ..proto::Event::default()
    };
    let join = proto::JoinRequest {
        agent_id: "node-1".to_owned(),
        token: "vdj_00".to_owned(),
        certificate_request: vec![0x30],
    };
    let issued = proto::IssuedCertificate {
        chain: vec![vec![0x30], vec![0x30]],
        lasts_millis: 86_400_000,
    };
    let range = |first, last| proto::SequenceRange { first, last };
    let welcome = proto::Welcome {
        last_durable_sequence: 7,
        durable_beyond: vec![range(9, 12), range(20, 20)],
        ..proto::Welcome::default()
    };
    let answer = proto::SyncResponse {
        message: Some(proto::sync_response::Message::Welcome(welcome.clone())),
    };
    let sync = |message| proto::SyncRequest {
        message: Some(message),
    };
    let greeting = sync(proto::sync_request::Message::Hello(hello.clone())).encode_to_vec();
    let sent = sync(proto::sync_request::Message::Batch(batch.clone())).encode_to_vec();
    let urgent = proto::UrgentRequest {
        message: Some(proto::urgent_request::Message::Event(event.clone())),
    };
    let numbered = [
        (0, greeting),
        (0, sent),
        (1, urgent.encode_to_vec()),
        (2, hello.encode_to_vec()),
        (3, batch.encode_to_vec()),
        (4, event.encode_to_vec()),
        (5, answer.encode_to_vec()),
        (12, join.encode_to_vec()),
        (13, issued.encode_to_vec()),
        (14, welcome.encode_to_vec()),
    ];
    let mut seeds: Seeds = numbered
        .map(|(kind, bytes)| [&[kind][..], &bytes].concat())
        .to_vec();
    seeds.extend((5..12).map(|kind| vec![kind]));
    seeds
}
