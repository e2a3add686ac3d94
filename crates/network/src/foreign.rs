//! Other people's firewall chains. A packet must pass everybody's: our own accept saves none.
//!
//! Where somebody drops what is forwarded by default, we put labelled rules into the chain that is
//! meant for such exceptions, or else say so.

use linux::nftables::{
    BaseChain, Direction, Family, Hook, ListedRule, Policy, Rule, Socket, State, Table,
    Transaction, Verdict,
};
use linux::route::{Link, Route};

use crate::error::Error;

/// The chain that dockerd leaves to its users, evaluated before its own.
const USER_CHAIN: &str = "DOCKER-USER";

/// What to do about the chains of others. Pure data.
#[derive(Debug, Default, PartialEq, Eq)]
struct Plan {
    /// Tables in whose user chain our rules stand, or may be put.
    places: Vec<Table>,
    /// What stays in the way, one sentence each.
    complaints: Vec<String>,
}

/// Chains that drop what no rule accepts, except our own.
fn plan(chains: &[BaseChain], places: &[Table], own: &Table, bridge: &str) -> Plan {
    let mut plan = Plan::default();
    let dropping =
        chains.iter().filter(|chain| chain.policy == Policy::Drop && chain.table != *own);
    for chain in dropping {
        let place = format!("chain {} of table {}", chain.name, name(&chain.table));
        match chain.hook {
            Hook::Forward if places.contains(&chain.table) => {
                if !plan.places.contains(&chain.table) {
                    plan.places.push(chain.table.clone());
                }
            }
            Hook::Forward => plan.complaints.push(format!(
                "{place} drops forwarded packets by default: containers reach nothing and nobody \
                 reaches them unless it accepts packets from and to {bridge}"
            )),
            Hook::Input => plan.complaints.push(format!(
                "{place} drops incoming packets by default: containers cannot resolve names \
                 unless it accepts packets from {bridge}"
            )),
            Hook::Prerouting | Hook::Output | Hook::Postrouting => {}
        }
    }
    plan
}

fn name(table: &Table) -> String {
    let family = match table.family {
        Family::Inet => "inet",
        Family::Ip => "ip",
        Family::Ip6 => "ip6",
        Family::Other(_) => "other",
    };
    format!("{family} {}", table.name)
}

/// Links that lead out of this host: where routes go, but no other bridge, so that other engines'
/// networks stay as separate as they were; the default route's link in any case.
pub(crate) fn outgoing(links: &[Link], routes: &[Route]) -> Vec<String> {
    let leads_out = |link: &&Link| {
        let virtual_inside =
            link.name == "lo" || matches!(link.kind.as_deref(), Some("bridge" | "veth"));
        routes.iter().any(|route| {
            route.link == Some(link.index)
                && (!virtual_inside || route.destination.prefix_len() == 0)
        })
    };
    links.iter().filter(leads_out).map(|link| link.name.clone()).collect()
}

/// The view of one instance on the firewalls of others.
#[derive(Debug)]
pub(crate) struct Foreign<'a> {
    pub(crate) socket: &'a mut Socket,
    pub(crate) own: &'a Table,
    /// The bridge's name, which also labels our rules.
    pub(crate) bridge: &'a str,
}

impl Foreign<'_> {
    /// What stays in the way when our rules are where they can be.
    pub(crate) fn complaints(&mut self) -> Result<Vec<String>, Error> {
        let mut plan = self.plan()?;
        for table in &plan.places {
            if self.labelled(table)?.is_empty() {
                plan.complaints.push(format!(
                    "table {} drops forwarded packets by default, and its chain {USER_CHAIN} has \
                     no rule for {} yet",
                    name(table),
                    self.bridge
                ));
            }
        }
        Ok(plan.complaints)
    }

    /// Puts our rules where they can be and are missing.
    pub(crate) fn enter_anew(&mut self, outgoing: &[String]) -> Result<(), Error> {
        for table in self.plan()?.places {
            if self.labelled(&table)?.is_empty() {
                self.enter_one(&table, outgoing)?;
            }
        }
        Ok(())
    }

    /// Puts our rules where they can be; harmless to repeat.
    pub(crate) fn enter(&mut self, outgoing: &[String]) -> Result<(), Error> {
        self.plan()?.places.iter().try_for_each(|table| self.enter_one(table, outgoing))
    }

    fn enter_one(&mut self, table: &Table, outgoing: &[String]) -> Result<(), Error> {
        let mut transaction = Transaction::new(table);
        for rule in self.labelled(table)? {
            transaction.delete_rule(USER_CHAIN, rule.handle);
        }
        let bridge = |direction| Rule::new().interface(direction, true, self.bridge);
        let into = bridge(Direction::Destination).counter().verdict(Verdict::Accept);
        transaction.insert_rule(USER_CHAIN, &into, self.bridge);
        let answers = bridge(Direction::Source)
            .state(State::EstablishedOrRelated)
            .counter()
            .verdict(Verdict::Accept);
        transaction.insert_rule(USER_CHAIN, &answers, self.bridge);
        for link in outgoing {
            let out = bridge(Direction::Source)
                .interface(Direction::Destination, true, link)
                .counter()
                .verdict(Verdict::Accept);
            transaction.insert_rule(USER_CHAIN, &out, self.bridge);
        }
        let failed = Error::kernel("accept our packets in", name(table));
        self.socket.commit(transaction).map_err(failed)
    }

    /// Takes our rules out again.
    pub(crate) fn leave(&mut self) -> Result<(), Error> {
        for table in self.tables()? {
            let rules = self.labelled(&table)?;
            let mut transaction = Transaction::new(&table);
            for rule in &rules {
                transaction.delete_rule(USER_CHAIN, rule.handle);
            }
            let failed = Error::kernel("remove our rules from", name(&table));
            self.socket.commit(transaction).map_err(failed)?;
        }
        Ok(())
    }

    fn plan(&mut self) -> Result<Plan, Error> {
        let chains = self.socket.base_chains().map_err(Error::kernel("list", "firewall chains"))?;
        let places = self.tables()?;
        Ok(plan(&chains, &places, self.own, self.bridge))
    }

    /// Tables with a user chain.
    fn tables(&mut self) -> Result<Vec<Table>, Error> {
        let failed = || Error::kernel("list", "firewall tables");
        let mut found = Vec::new();
        for table in self.socket.tables().map_err(failed())? {
            if table != *self.own
                && self.socket.rules(&table, USER_CHAIN).map_err(failed())?.is_some()
            {
                found.push(table);
            }
        }
        Ok(found)
    }

    fn labelled(&mut self, table: &Table) -> Result<Vec<ListedRule>, Error> {
        let rules = self
            .socket
            .rules(table, USER_CHAIN)
            .map_err(Error::kernel("list rules of", name(table)))?;
        let mut rules = rules.unwrap_or_default();
        rules.retain(|rule| rule.comment.as_deref() == Some(self.bridge));
        Ok(rules)
    }
}

/// A sentence about rules of the old iptables, which nobody can read through nftables.
pub(crate) fn legacy_complaint() -> Option<String> {
    let tables = std::fs::read_to_string("/proc/thread-self/net/ip_tables_names").ok()?;
    tables.lines().any(|table| table == "filter").then(|| {
        "rules of legacy iptables exist: if their FORWARD chain drops packets, containers are cut \
         off (see iptables-legacy -S FORWARD)"
            .to_owned()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chain(family: Family, table: &str, hook: Hook, policy: Policy) -> BaseChain {
        let table = Table { family, name: table.to_owned() };
        BaseChain { table, name: "C".to_owned(), hook, priority: 0, policy }
    }

    #[test]
    fn only_chains_of_others_that_drop_matter() {
        let own = Table { family: Family::Inet, name: "brig-a1b2c3".to_owned() };
        let docker = Table { family: Family::Ip, name: "filter".to_owned() };
        let chains = [
            chain(Family::Inet, "brig-a1b2c3", Hook::Forward, Policy::Drop),
            chain(Family::Ip, "filter", Hook::Forward, Policy::Drop),
            chain(Family::Ip6, "filter", Hook::Forward, Policy::Accept),
            chain(Family::Inet, "firewalld", Hook::Forward, Policy::Drop),
            chain(Family::Inet, "firewalld", Hook::Input, Policy::Drop),
        ];
        let plan = plan(&chains, std::slice::from_ref(&docker), &own, "brig-a1b2c3");
        assert_eq!(plan.places, [docker]);
        assert_eq!(plan.complaints.len(), 2);
        assert!(plan.complaints[0].starts_with("chain C of table inet firewalld drops forwarded"));
        assert!(plan.complaints[1].starts_with("chain C of table inet firewalld drops incoming"));
    }

    #[test]
    fn packets_may_leave_by_real_links_and_the_default_route() {
        let link = |index, name: &str, kind: Option<&str>| Link {
            index,
            name: name.to_owned(),
            kind: kind.map(ToOwned::to_owned),
            up: true,
            mtu: 1500,
            group: 0,
            master: None,
            mac: None,
        };
        let route = |index, destination: &str| Route {
            destination: destination.parse().unwrap(),
            link: Some(index),
            gateway: None,
            metric: 0,
        };
        let links = [
            link(1, "lo", None),
            link(2, "eth0", None),
            link(3, "docker0", Some("bridge")),
            link(4, "br0", Some("bridge")),
            link(5, "eth1", None),
        ];
        let routes = [
            route(1, "127.0.0.0/8"),
            route(2, "10.0.0.0/8"),
            route(3, "172.17.0.0/16"),
            route(4, "0.0.0.0/0"),
        ];
        assert_eq!(outgoing(&links, &routes), ["eth0", "br0"]);
    }
}
