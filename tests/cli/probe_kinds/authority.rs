//! An authority of a test, with files in PEM: itself, a server of this host, and a client.

use std::fs;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

pub struct Authority {
    directory: tempfile::TempDir,
    pub ca: String,
    /// Of 127.0.0.1.
    pub cert: String,
    pub key: String,
    /// Of somebody called `me`.
    pub own: String,
    pub own_key: String,
}

impl Authority {
    pub fn new() -> Authority {
        Authority::named("authority")
    }

    pub fn named(name: &str) -> Authority {
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str, text: String| {
            let path = directory.path().join(name);
            fs::write(&path, text).unwrap();
            path.to_str().unwrap().to_owned()
        };
        let mut params = CertificateParams::new([]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let issue = |name: &str| {
            let key = KeyPair::generate().unwrap();
            let mut params = CertificateParams::new([name.to_owned()]).unwrap();
            params.distinguished_name.push(DnType::CommonName, name);
            let cert = params.signed_by(&key, &authority).unwrap();
            (write(&format!("{name}.pem"), cert.pem()), write(&format!("{name}.key"), key.serialize_pem()))
        };
        let ((cert, key), (own, own_key)) = (issue("127.0.0.1"), issue("me"));
        let ca = write("ca.pem", authority.pem());
        Authority { directory, ca, cert, key, own, own_key }
    }

    /// Another file beside them.
    pub fn write(&self, name: &str, text: &str) -> String {
        let path = self.directory.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    }

    /// The flags of a probe that believes it.
    pub fn believed(&self) -> [&str; 2] {
        ["--ca", &self.ca]
    }

    /// And that shows a certificate of it.
    pub fn shown(&self) -> [&str; 6] {
        ["--ca", &self.ca, "--cert", &self.own, "--key", &self.own_key]
    }
}
