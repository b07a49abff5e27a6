//! OpenLDAP's slapd, with a directory of its own.

use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};

use rustix::process::Signal;
use tempfile::TempDir;

use super::harness::{Reserved, Running};
use super::{Source, exercise, get, private, rcpt, site, table};

struct Slapd {
    running: Option<Running>,
    folder: TempDir,
    place: Reserved,
}

const ENTRIES: &str = "\
dn: dc=example,dc=org
objectClass: dcObject
objectClass: organization
dc: example
o: Example

dn: ou=people,dc=example,dc=org
objectClass: organizationalUnit
ou: people
";

fn person(name: &str) -> String {
    format!(
        "\ndn: uid={name},ou=people,dc=example,dc=org\nobjectClass: inetOrgPerson\nuid: {name}\ncn: {name}\nsn: {name}\n\
         mail: {name}@example.org\n"
    )
}

impl Slapd {
    fn new() -> Self {
        let folder = private::folder();
        let files = folder.path().join("files");
        fs::create_dir(&files).unwrap();
        private::own(&files);
        let config = format!(
            "include /etc/ldap/schema/core.schema\ninclude /etc/ldap/schema/cosine.schema\n\
             include /etc/ldap/schema/inetorgperson.schema\nmodulepath /usr/lib/ldap\nmoduleload back_mdb\n\
             pidfile {0}/pid\ndatabase mdb\nsuffix \"dc=example,dc=org\"\nrootdn \"cn=admin,dc=example,dc=org\"\n\
             rootpw secret\ndirectory {0}/files\ndbnosync\nindex mail eq\n\
             access to * by dn.exact=\"cn=admin,dc=example,dc=org\" write by anonymous auth by * none\n",
            folder.path().display()
        );
        fs::write(folder.path().join("slapd.conf"), config).unwrap();
        let people: String = ["bob", "zoe", "late", "o'brien"].into_iter().map(person).collect();
        let sales = "\ndn: cn=sales,dc=example,dc=org\nobjectClass: inetOrgPerson\ncn: sales\nsn: sales\n\
                     mail: sales@example.org\ngivenName: bob@example.org\ngivenName: zoe@example.org\n";
        let mut this = Self { folder, place: Reserved::new(), running: None };
        this.add(&format!("{ENTRIES}{people}{sales}"));
        this.start();
        this
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("socket")
    }

    fn url(&self) -> String {
        format!("ldapi://{}", self.socket().display().to_string().replace('/', "%2F"))
    }

    /// Adds entries to a directory that nobody serves.
    fn add(&self, entries: &str) {
        let mut slapadd = private::command(Path::new("/usr/sbin/slapadd"));
        private::run(slapadd.arg("-q").arg("-f").arg(self.folder.path().join("slapd.conf")), entries);
    }
}

impl Source for Slapd {
    fn stop(&mut self) {
        self.running.take().unwrap().stop(Signal::TERM);
    }

    fn start(&mut self) {
        let mut command = private::command(Path::new("/usr/sbin/slapd"));
        let urls = format!("{} ldap://{}", self.url(), self.place.address());
        command.arg("-f").arg(self.folder.path().join("slapd.conf")).args(["-d", "0", "-h", &urls]);
        let is_ready = || std::os::unix::net::UnixStream::connect(self.socket()).is_ok();
        self.running = Some(Running::start(command, self.folder.path().join("log"), is_ready));
    }

    fn add_new(&mut self) {
        self.stop();
        self.add(&person("new"));
        self.start();
    }
}

#[test]
fn mailboxes_and_aliases_stand_in_an_ldap_directory() {
    let mut slapd = Slapd::new();
    let url = slapd.url();
    let bind = "bind_dn = \"cn=admin,dc=example,dc=org\"\nbind_password_file = \"password\"";
    let keep = "timeout = \"20s\"\ncache = \"1h\"\nnegative_cache = \"1h\"";
    let search = "base = \"dc=example,dc=org\"\nfilter = \"(mail={address})\"\nattributes = [\"uid\"]";
    let tables = format!(
        "[table.users]\ntype = \"ldap\"\nurl = \"{url}\"\n{bind}\n{keep}\nbase = \"ou=people,dc=example,dc=org\"\n\
         scope = \"one\"\nfilter = \"(&(objectClass=inetOrgPerson)(mail={{address}}))\"\nattributes = [\"UID\", \"o\"]\n\
         [table.aliases]\ntype = \"ldap\"\nurl = \"{url}\"\n{bind}\n{keep}\nbase = \"dc=example,dc=org\"\n\
         filter = \"(&(givenName=*)(mail={{local_part}}@{{domain}}))\"\nattributes = [\"givenName\"]\n\
         [table.nobody]\ntype = \"ldap\"\nurl = \"{url}\"\n{search}\n\
         [table.wrong]\ntype = \"ldap\"\nurl = \"{url}\"\nbind_dn = \"cn=admin,dc=example,dc=org\"\n\
         bind_password_file = \"wrong\"\n{search}\n\
         [table.empty]\ntype = \"ldap\"\nurl = \"{url}\"\nbind_dn = \"cn=admin,dc=example,dc=org\"\n\
         bind_password_file = \"empty\"\n{search}\n\
         [table.clear]\ntype = \"ldap\"\nurl = \"ldap://127.0.0.1:{port}\"\n{bind}\n{search}\n\
         [table.secured]\ntype = \"ldap\"\nurl = \"ldap://127.0.0.1:{port}\"\nstarttls = true\n{bind}\n{search}",
        port = slapd.place.address().port(),
    );
    let secrets = vec![("password", "secret\n".into()), ("wrong", "guess\n".into()), ("empty", "\n".into())];
    let server = site(&tables, secrets);
    assert_eq!(get(&server, "users", "bob@example.org"), (0, "UID: bob\n".into()));
    assert_eq!(get(&server, "clear", "bob@example.org"), (0, "uid: bob\n".into()));
    for (name, why) in [("wrong", "refused"), ("empty", "password"), ("nobody", "rc=50"), ("secured", "rc=")]
    {
        let output = table(&server, &["get", name, "bob@example.org"]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.code() == Some(75) && said.contains(why), "{name}: {said}");
    }
    exercise(&server, &mut slapd);
}

#[test]
fn a_server_that_never_answers_is_not_waited_for_on_the_same_connection_again() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("ldap://{}", listener.local_addr().unwrap());
    let search =
        "base = \"dc=example\"\nfilter = \"(mail={address})\"\nattributes = [\"uid\"]\ntimeout = \"1s\"";
    let table = |name: &str| format!("[table.{name}]\ntype = \"ldap\"\nurl = \"{url}\"\n{search}\n");
    let server = site(&(table("users") + &table("aliases")), Vec::new());
    rcpt(&server, "bob", "451 4.3.0");
    rcpt(&server, "bob", "451 4.3.0");
    listener.set_nonblocking(true).unwrap();
    let connections: Vec<_> = std::iter::from_fn(|| listener.accept().ok()).collect();
    assert_eq!(connections.len(), 2, "one a question, for the aliases come first");
}
