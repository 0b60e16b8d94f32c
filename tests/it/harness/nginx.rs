//! Debian's nginx in front of a service, with its defaults and `proxy_pass`.

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use super::api::Api;
use super::certificate::Certificate;
use super::poll::{SOON, until};
use super::service::{Service, free_port};

/// A running nginx; it ends with the test in any case.
pub(crate) struct Nginx {
    service: Service,
    _certificate: Option<Certificate>,
    _folder: TempDir,
}

impl Nginx {
    /// Starts nginx in its own folder, and waits until it takes connections.
    pub(crate) async fn before(api: &Api) -> Nginx {
        Nginx::start(api, free_port(), None).await
    }

    /// The same with TLS, at this port.
    pub(crate) async fn with_tls(api: &Api, port: u16) -> Nginx {
        Nginx::start(api, port, Some(Certificate::make())).await
    }

    async fn start(api: &Api, port: u16, certificate: Option<Certificate>) -> Nginx {
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join(".local/cache/nginx/nginx");
        assert!(program.exists(), "nginx is missing: run script/nginx");
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
        let settings = folder.path().join("nginx.conf");
        let text = settings_of(port, &api.base, certificate.as_ref());
        std::fs::write(&settings, text).expect("the settings are written");
        // One process, which the kernel ends with this one.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL"]).arg(program).args(["-e", "stderr", "-p"]);
        command.arg(folder.path()).arg("-c").arg(settings);
        let service = Service::start(command, port, folder.path().join("log"));
        let mut nginx = Nginx { service, _certificate: certificate, _folder: folder };
        until("nginx takes connections", SOON, async || {
            assert!(nginx.service.runs(), "nginx has ended: {}", nginx.service.log_tail());
            tokio::net::TcpStream::connect(("127.0.0.1", port)).await.ok().map(drop)
        })
        .await;
        nginx
    }

    /// The same API, reached through nginx.
    pub(crate) fn api(&self, behind: &Api) -> Api {
        behind.at(self.service.url())
    }
}

/// Settings that concern proxying keep nginx's defaults.
fn settings_of(port: u16, upstream: &str, certificate: Option<&Certificate>) -> String {
    let path = |name: &str, certificate: &Certificate| certificate.path(name).display().to_string();
    let tls = certificate.map_or_else(String::new, |it| {
        let (certificate, key) = (path("certificate.pem", it), path("key.pem", it));
        format!(" ssl; ssl_certificate {certificate}; ssl_certificate_key {key}")
    });
    let folders = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    let folders = folders.map(|name| format!("{name}_temp_path {name};")).join(" ");
    format!(
        "daemon off; master_process off; pid pid; error_log stderr;
         events {{}}
         http {{
             access_log off; {folders}
             server {{
                 listen 127.0.0.1:{port}{tls};
                 location / {{ proxy_pass {upstream}; }}
             }}
         }}"
    )
}
