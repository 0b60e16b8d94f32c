//! Debian's nginx in front of a service, with its defaults and `proxy_pass`.

use std::path::Path;
use std::process::Command;

use tempfile::TempDir;

use super::api::Api;
use super::poll::{SOON, until};
use super::service::{Service, free_port};

/// A running nginx; it ends with the test in any case.
pub(crate) struct Nginx {
    service: Service,
    _folder: TempDir,
}

impl Nginx {
    /// Starts nginx in its own folder, and waits until it forwards a request.
    pub(crate) async fn before(api: &Api) -> Nginx {
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join(".local/cache/nginx/nginx");
        assert!(program.exists(), "nginx is missing: run script/nginx");
        let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).expect("a folder");
        let port = free_port();
        let settings = folder.path().join("nginx.conf");
        std::fs::write(&settings, settings_of(port, &api.base)).expect("the settings are written");
        // One process, which the kernel ends with this one.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL"]).arg(program).args(["-e", "stderr", "-p"]);
        command.arg(folder.path()).arg("-c").arg(settings);
        let service = Service::start(command, port, folder.path().join("log"));
        let mut nginx = Nginx { service, _folder: folder };
        let through = nginx.api(api);
        until("nginx passes requests on", SOON, async || {
            assert!(nginx.service.runs(), "nginx has ended: {}", nginx.service.log_tail());
            let answer = through.send(reqwest::Method::GET, "/livez", &[], None).await;
            answer.is_ok_and(|answer| answer.status == 200).then_some(())
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
fn settings_of(port: u16, upstream: &str) -> String {
    let folders = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    let folders = folders.map(|name| format!("{name}_temp_path {name};")).join(" ");
    format!(
        "daemon off; master_process off; pid pid; error_log stderr;
         events {{}}
         http {{
             access_log off; {folders}
             server {{
                 listen 127.0.0.1:{port};
                 location / {{ proxy_pass {upstream}; }}
             }}
         }}"
    )
}
