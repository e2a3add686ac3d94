//! What is answered from the table. Pure.

use std::net::IpAddr;

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::{A, AAAA, PTR};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};

use super::table::{Entry, Names};

/// Seconds for which an answer about a container may be kept: addresses change at any time.
const TTL: u32 = 1;
/// Bytes of a datagram that pass every network without fragments.
pub(super) const PAYLOAD: u16 = 1232;
/// Bytes of a datagram that every client takes.
const SMALL_PAYLOAD: u16 = 512;

/// What to do with a question.
#[derive(Debug)]
pub(super) enum Decision {
    /// Send this.
    Reply(Message),
    /// Ask these servers, or the host's if there are none.
    Forward(Vec<IpAddr>),
}

/// What questions are answered from.
#[derive(Debug)]
pub(super) struct Knowledge<'a> {
    pub(super) names: &'a Names,
    /// Names of the asking container's gateway, in lower case.
    pub(super) gateway_names: &'a [String],
    /// Our own addresses: who asks from there is the host itself.
    pub(super) ourselves: &'a [IpAddr],
}

/// Decides about a question from `source`; `turn` differs from one call to the next, so that each
/// of several addresses comes first in turn.
pub(super) fn decide(
    request: &Message,
    source: IpAddr,
    knowledge: &Knowledge<'_>,
    turn: usize,
) -> Decision {
    let client = knowledge.names.client(source);
    if client.is_none() && !knowledge.ourselves.contains(&source) && !source.is_loopback() {
        return Decision::Reply(reply(request, ResponseCode::Refused));
    }
    if request.metadata.op_code != OpCode::Query {
        return Decision::Reply(reply(request, ResponseCode::NotImp));
    }
    let [question] = request.queries.as_slice() else {
        return Decision::Reply(reply(request, ResponseCode::FormErr));
    };
    let client = client.as_deref();
    let records = (question.query_class() == DNSClass::IN)
        .then(|| records(question, client, knowledge, turn))
        .flatten();
    match records {
        Some(records) => {
            let mut message = reply(request, ResponseCode::NoError);
            message.metadata.authoritative = true;
            message.answers = records;
            Decision::Reply(message)
        }
        None => {
            Decision::Forward(client.map(|client| client.name_servers.clone()).unwrap_or_default())
        }
    }
}

/// The records for a name of ours, none if it exists without this type; `None` for other names.
fn records(
    question: &Query,
    client: Option<&Entry>,
    knowledge: &Knowledge<'_>,
    turn: usize,
) -> Option<Vec<Record>> {
    if question.query_type() == RecordType::PTR {
        let network = question.name().parse_arpa_name().ok()?;
        (network.prefix_len() == network.max_prefix_len()).then_some(())?;
        let entry = knowledge.names.client(network.addr())?;
        if client.is_some_and(|client| client.network != entry.network) {
            return None;
        }
        let name = Name::from_str_relaxed(format!("{}.{}.", entry.name, entry.network)).ok()?;
        return Some(vec![record(question, RData::PTR(PTR(name)))]);
    }
    let addresses = addresses(question.name(), client, knowledge)?;
    let mut records: Vec<Record> = addresses
        .into_iter()
        .filter_map(|address| match (question.query_type(), address) {
            (RecordType::A, IpAddr::V4(address)) => Some(RData::A(A(address))),
            (RecordType::AAAA, IpAddr::V6(address)) => Some(RData::AAAA(AAAA(address))),
            _ => None,
        })
        .map(|value| record(question, value))
        .collect();
    if !records.is_empty() {
        let first = turn % records.len();
        records.rotate_left(first);
    }
    Some(records)
}

fn addresses(
    name: &Name,
    client: Option<&Entry>,
    knowledge: &Knowledge<'_>,
) -> Option<Vec<IpAddr>> {
    let name = name.to_ascii().to_ascii_lowercase();
    let name = name.trim_end_matches('.');
    if let Some(client) = client
        && knowledge.gateway_names.iter().any(|known| known == name)
    {
        let gateways = [Some(client.gateway.ipv4.into()), client.gateway.ipv6.map(IpAddr::from)];
        return Some(gateways.into_iter().flatten().collect());
    }
    let mut entries = knowledge.names.find(name, client);
    if entries.is_empty() {
        // NAME.NETWORK, as reverse look-ups say it.
        let (short, network) = name.rsplit_once('.')?;
        entries = knowledge.names.find(short, client);
        entries.retain(|entry| entry.network.eq_ignore_ascii_case(network));
    }
    let addresses: Vec<IpAddr> =
        entries.iter().flat_map(|entry| entry.addresses.iter().copied()).collect();
    (!addresses.is_empty()).then_some(addresses)
}

fn record(question: &Query, value: RData) -> Record {
    Record::from_rdata(question.name().clone(), TTL, value)
}

/// An answer without records.
pub(super) fn reply(request: &Message, code: ResponseCode) -> Message {
    let mut message = Message::response(request.metadata.id, request.metadata.op_code);
    message.metadata.message_type = MessageType::Response;
    message.metadata.recursion_desired = request.metadata.recursion_desired;
    message.metadata.recursion_available = true;
    message.metadata.response_code = code;
    message.queries.clone_from(&request.queries);
    if request.edns.is_some() {
        let mut edns = Edns::new();
        edns.set_max_payload(PAYLOAD);
        message.set_edns(edns);
    }
    message
}

/// The largest datagram that the asker of this question takes, bytes.
pub(super) fn datagram_size(request: &Message) -> usize {
    let offered = request.edns.as_ref().map_or(SMALL_PAYLOAD, Edns::max_payload);
    usize::from(offered.clamp(SMALL_PAYLOAD, PAYLOAD))
}

/// The answer without its records, telling the asker to come back by TCP.
pub(super) fn truncated(request: &Message) -> Message {
    let mut message = reply(request, ResponseCode::NoError);
    message.metadata.truncation = true;
    message
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::name::table::tests::endpoint;

    fn ask(source: &str, name: &str, kind: RecordType) -> String {
        let names = Names::default();
        names.insert(&endpoint("a", &["Web", "front"], "10.0.0.2/24"));
        names.insert(&endpoint("b", &["db", "front"], "10.0.0.3/24"));
        let mut other = endpoint("c", &["far"], "10.1.0.2/24");
        other.network = "other".to_owned();
        other.name_servers = vec![[9, 9, 9, 9].into()];
        names.insert(&other);
        let knowledge = Knowledge {
            names: &names,
            gateway_names: &["host.test".to_owned()],
            ourselves: &[[10, 0, 0, 1].into()],
        };
        let mut request = Message::query();
        request.add_query(Query::query(Name::from_str_relaxed(name).unwrap(), kind));
        match decide(&request, source.parse().unwrap(), &knowledge, 1) {
            Decision::Forward(servers) => format!("forward {servers:?}"),
            Decision::Reply(message) => {
                let answers: Vec<_> =
                    message.answers.iter().map(|record| record.data.to_string()).collect();
                format!("{:?} {}", message.metadata.response_code, answers.join(" "))
            }
        }
    }

    #[test]
    fn names_of_the_network_are_known() {
        use RecordType as Kind;
        assert_eq!(ask("10.0.0.2", "db.", Kind::A), "NoError 10.0.0.3");
        assert_eq!(ask("10.0.0.2", "WEB.", Kind::A), "NoError 10.0.0.2");
        assert_eq!(ask("10.0.0.2", "db.bridge.", Kind::A), "NoError 10.0.0.3");
        assert_eq!(ask("10.0.0.2", "front.", Kind::A), "NoError 10.0.0.3 10.0.0.2");
        assert_eq!(ask("10.0.0.2", "db.", Kind::AAAA), "NoError ");
        assert_eq!(ask("10.0.0.2", "db.", Kind::MX), "NoError ");
        assert_eq!(ask("10.0.0.2", "far.", Kind::A), "forward []");
        assert_eq!(ask("10.1.0.2", "db.", Kind::A), "forward [9.9.9.9]");
        assert_eq!(ask("10.0.0.2", "example.org.", Kind::A), "forward []");
        assert_eq!(ask("10.0.0.1", "far.", Kind::A), "NoError 10.1.0.2");
        assert_eq!(ask("10.0.0.2", "host.test.", Kind::A), "NoError 10.0.0.1");
        assert_eq!(ask("10.0.0.2", "3.0.0.10.in-addr.arpa.", Kind::PTR), "NoError db.bridge.");
        assert_eq!(ask("10.0.0.2", "9.0.0.10.in-addr.arpa.", Kind::PTR), "forward []");
        assert_eq!(ask("192.0.2.1", "db.", Kind::A), "Refused ");
    }
}
