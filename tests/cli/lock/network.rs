//! Hosts with links that can be cut: network namespaces on bridges. Gone with the value, also after a panic.

use std::io::Write;
use std::net::TcpListener;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicUsize, Ordering};

use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// What goes over it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Net {
    /// Members of etcd among each other.
    Peers,
    /// From clients to members.
    Clients,
    /// From commands to the resource that the lock guards.
    Resource,
}

const NETS: [Net; 3] = [Net::Peers, Net::Clients, Net::Resource];

/// Hosts on three networks.
pub struct Network {
    prefix: String,
    spaces: Vec<String>,
}

impl Network {
    /// With members `m0`... on the first two networks and `hosts` on the last two; none where namespaces are not
    /// permitted, and then that is said.
    pub fn new(test: &str, members: usize, hosts: &[&str]) -> Option<Network> {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let mut network =
            Network { prefix: format!("hardy-{}-{number}", std::process::id()), spaces: Vec::new() };
        let made = ip(&["netns", "add", &network.space("hub")]);
        if !made.status.success() {
            skipped(test, &String::from_utf8_lossy(&made.stderr));
            return None;
        }
        network.spaces.push(network.space("hub"));
        for net in NETS {
            network.hub(&["link", "add", net.bridge(), "type", "bridge"]);
            network.hub(&["addr", "add", &format!("{}/24", net.address(254)), "dev", net.bridge()]);
            network.hub(&["link", "set", net.bridge(), "up"]);
        }
        for member in 0..members {
            network.add(&format!("m{member}"), member + 1, &[Net::Peers, Net::Clients]);
        }
        for (number, host) in hosts.iter().enumerate() {
            network.add(host, number + 101, &[Net::Clients, Net::Resource]);
        }
        Some(network)
    }

    fn space(&self, host: &str) -> String {
        format!("{}-{host}", self.prefix)
    }

    /// `ip` where the bridges are.
    fn hub(&self, arguments: &[&str]) {
        done(&[&["-n", &self.space("hub")], arguments].concat());
    }

    fn add(&mut self, host: &str, number: usize, nets: &[Net]) {
        let space = self.space(host);
        done(&["netns", "add", &space]);
        self.spaces.push(space.clone());
        done(&["-n", &space, "link", "set", "lo", "up"]);
        for net in nets {
            let (here, there) = (net.link(), format!("{}-{host}", net.link()));
            self.hub(&["link", "add", &there, "type", "veth", "peer", "name", here, "netns", &space]);
            self.hub(&["link", "set", &there, "master", net.bridge(), "up"]);
            done(&["-n", &space, "addr", "add", &format!("{}/24", net.address(number)), "dev", here]);
            done(&["-n", &space, "link", "set", here, "up"]);
        }
    }

    /// Nothing gets through any more, and nobody is told.
    pub fn cut(&self, host: &str, net: Net) {
        self.hub(&["link", "set", &format!("{}-{host}", net.link()), "down"]);
    }

    /// All is well again.
    pub fn heal(&self, host: &str, net: Net) {
        self.hub(&["link", "set", &format!("{}-{host}", net.link()), "up"]);
    }

    /// Address of a member.
    pub fn member(&self, member: usize, net: Net) -> String {
        net.address(member + 1)
    }

    /// The program with its arguments and environment, but on that host.
    pub fn on(&self, host: &str, command: &Command) -> Command {
        let mut there = Command::new("ip");
        there.args(["netns", "exec", &self.space(host)]).arg(command.get_program()).args(command.get_args());
        for (name, value) in command.get_envs() {
            match value {
                Some(value) => there.env(name, value),
                None => there.env_remove(name),
            };
        }
        there
    }

    /// A listener that the hosts reach.
    pub fn listener(&self) -> TcpListener {
        let space = std::fs::File::open(format!("/run/netns/{}", self.space("hub"))).unwrap();
        let listen = move || {
            move_into_link_name_space(std::os::fd::AsFd::as_fd(&space), Some(LinkNameSpaceType::Network))
                .unwrap();
            TcpListener::bind((Net::Resource.address(254), 0)).unwrap()
        };
        // A thread changes its namespace for good.
        std::thread::spawn(listen).join().unwrap()
    }
}

impl Net {
    fn bridge(self) -> &'static str {
        ["br-peers", "br-clients", "br-resource"][self as usize]
    }

    fn link(self) -> &'static str {
        ["peer", "client", "use"][self as usize]
    }

    fn address(self, number: usize) -> String {
        format!("10.77.{}.{number}", self as usize)
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for space in self.spaces.iter().rev() {
            ip(&["netns", "del", space]);
        }
    }
}

fn ip(arguments: &[&str]) -> Output {
    Command::new("ip").args(arguments).output().expect("ip is installed")
}

fn done(arguments: &[&str]) {
    let output = ip(arguments);
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Past the test runner, which shows nothing of tests that pass.
fn skipped(test: &str, why: &str) {
    static SKIPPED: AtomicUsize = AtomicUsize::new(0);
    let count = SKIPPED.fetch_add(1, Ordering::Relaxed) + 1;
    let _ = writeln!(std::io::stderr(), "skipped: {test}: {} ({count} skipped)", why.trim());
}
