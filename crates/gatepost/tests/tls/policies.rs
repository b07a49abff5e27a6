//! MTA-STS with hosts that know TLS: certificates for their names, and policies that end (RFC 8461).

use super::far::{Far, HOST, send};
use super::harness::{HttpsServer, Server, wait_for};

/// far.example with a policy.
pub(crate) struct WithPolicy {
    pub(crate) far: Far,
    https: HttpsServer,
}

/// The text of a policy.
pub(crate) fn policy(mode: &str, mx: &str, max_age: u32) -> String {
    format!("version: STSv1\nmode: {mode}\nmx: {mx}\nmax_age: {max_age}\n")
}

impl WithPolicy {
    pub(crate) fn new(far: Far, policy: &str) -> Self {
        far.dns.add("_mta-sts.far.example TXT v=STSv1; id=1;\nmta-sts.far.example A 127.0.0.1");
        Self { far, https: HttpsServer::start("mta-sts.far.example", policy) }
    }

    /// A site that trusts the policy's server, and the authority of the MX host; a message is on its way there.
    fn site(&self) -> Server {
        self.site_with("")
    }

    /// The same with more tables.
    pub(crate) fn site_with(&self, tables: &str) -> Server {
        let more = format!("mta_sts_port = {}\n{tables}", self.https.port());
        let server = self.far.site_of(self.https.certificate(), &more);
        send(&server);
        server
    }
}

#[test]
fn an_enforced_policy_is_met_by_a_certificate_for_the_host() {
    let with = WithPolicy::new(Far::new(), &policy("enforce", "*.far.example", 86_400));
    let _server = with.site();
    assert_eq!(with.far.wait_for_mail().asked_for.as_deref(), Some(HOST));
}

#[test]
fn an_enforced_policy_is_met_by_no_other_certificate() {
    for (name, until) in [(HOST, 2021), ("far.example", 2100)] {
        let with = WithPolicy::new(Far::with(name, until), &policy("enforce", HOST, 86_400));
        let server = with.site();
        with.far.assert_deferred(&server, "TLS handshake failed");
    }
}

#[test]
fn proven_records_go_before_a_policy() {
    let far = Far::with("elsewhere.example", 2021).signed();
    far.add_tlsa(HOST, far.certificate.record());
    let with = WithPolicy::new(far, &policy("enforce", "mx.other.example", 86_400));
    let _server = with.site();
    assert!(with.far.wait_for_mail().is_encrypted);
}

#[test]
fn a_tested_policy_stops_nothing() {
    let with = WithPolicy::new(Far::with("elsewhere.example", 2021), &policy("testing", HOST, 86_400));
    let _server = with.site();
    assert!(with.far.wait_for_mail().is_encrypted);
}

#[test]
fn a_policy_whose_time_is_over_is_none() {
    let with = WithPolicy::new(Far::new(), &policy("enforce", "mx.other.example", 10));
    let server = with.site();
    with.far.assert_deferred(&server, "the MTA-STS policy of far.example does not name it");
    with.https.fall_silent();
    with.far.dns.remove("_mta-sts.far.example");
    assert!(with.far.wait_for_mail().is_encrypted);
}

#[test]
fn a_policy_that_ages_is_asked_for_again_though_its_id_stays() {
    let with = WithPolicy::new(Far::new(), &policy("enforce", "mx.other.example", 10));
    let server = with.site();
    with.far.assert_deferred(&server, "the MTA-STS policy of far.example does not name it");
    with.https.answer(&policy("enforce", "mx.another.example", 86_400));
    wait_for("another look at the policy", || (with.https.asked().len() > 1).then_some(()));
    // The first would have ended meanwhile.
    server.wait_for_log("attempts=13");
    assert!(with.far.peer.taken().is_empty());
    with.https.answer(&policy("enforce", HOST, 86_400));
    with.far.dns.remove("_mta-sts.far.example");
    with.far.dns.add("_mta-sts.far.example TXT v=STSv1; id=2;");
    assert!(with.far.wait_for_mail().is_encrypted);
}
