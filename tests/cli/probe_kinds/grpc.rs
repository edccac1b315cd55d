//! The health service of gRPC, as tonic serves it; HTTP/2 without TLS.

use std::net::SocketAddr;

use tokio::runtime::Runtime;
use tonic::service::Routes;
use tonic::transport::ServerTlsConfig;
use tonic_health::ServingStatus;
use tonic_health::server::HealthReporter;

use super::{assert_down, assert_up, call};
use crate::fixtures::{Server, ok};

pub struct Health {
    runtime: Runtime,
    reporter: HealthReporter,
    pub address: SocketAddr,
}

impl Health {
    pub fn start(tls: Option<ServerTlsConfig>) -> Health {
        let runtime = Runtime::new().unwrap();
        let (reporter, service) = tonic_health::server::health_reporter();
        let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let incoming = tonic::transport::server::TcpIncoming::from(listener);
        let mut server = tonic::transport::Server::builder();
        if let Some(tls) = tls {
            server = server.tls_config(tls).unwrap();
        }
        runtime.spawn(server.add_service(service).serve_with_incoming(incoming));
        Health { runtime, reporter, address }
    }

    pub fn set(&self, service: &str, status: ServingStatus) {
        self.runtime.block_on(self.reporter.set_service_status(service, status));
    }
}

#[test]
fn the_server_and_its_services_say_whether_they_serve() {
    let health = Health::start(None);
    let url = format!("grpc://{}", health.address);
    health.set("shop.Cart", ServingStatus::Serving);
    for watch in ["", "?watch"] {
        assert_up(&format!("{url}{watch}"), &[], "SERVING");
        assert_up(&format!("{url}/shop.Cart{watch}"), &[], "SERVING");
    }
    for watch in ["", "?watch"] {
        let unknown = format!("{url}/none{watch}");
        assert_down(&unknown, &[], "grpc.status", "NOT_FOUND: the server knows no health of service none");
    }
    health.set("shop.Cart", ServingStatus::NotServing);
    for watch in ["", "?watch"] {
        let url = format!("{url}/shop.Cart{watch}");
        assert_down(&url, &[], "grpc.not_serving", "service shop.Cart is NOT_SERVING");
    }
    drop(health);
    assert_down(&url, &[], "connect.refused", "connection refused");
}

/// Any other service of gRPC, and a server of HTTP/1.
#[test]
fn a_server_without_health_says_so() {
    let runtime = Runtime::new().unwrap();
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0")).unwrap();
    let address = listener.local_addr().unwrap();
    let incoming = tonic::transport::server::TcpIncoming::from(listener);
    let routes = Routes::default();
    runtime.spawn(tonic::transport::Server::builder().add_routes(routes).serve_with_incoming(incoming));
    for watch in ["", "?watch"] {
        assert_down(&format!("grpc://{address}{watch}"), &[], "grpc.status", "UNIMPLEMENTED");
    }
    let http = Server::http(ok);
    // It may have hung up before it has read everything.
    let (code, last) = call(&format!("grpc://{}", http.address), &[]);
    assert!(
        code == Some(1)
            && ["protocol", "closed", "connect.reset"].contains(&last["reason"].as_str().unwrap()),
        "{last}"
    );
}

/// `h2c://` to the same server: it answers what it does not know with a status of gRPC, below one of HTTP.
#[test]
fn http2_is_spoken_at_once() {
    let health = Health::start(None);
    let url = format!("h2c://{}/any", health.address);
    let (code, last) = call(&url, &["--expect-header", "grpc-status: 12"]);
    assert_eq!((code, last["status"].as_u64()), (Some(0), Some(200)), "{last}");
    let http1 = Server::http(ok);
    let (code, last) = call(&format!("h2c://{}/", http1.address), &[]);
    assert_eq!(code, Some(1), "{last}");
    // The same server in HTTP/1.
    assert_eq!(call(&url.replace("h2c", "http"), &[]).0, Some(1));
}
