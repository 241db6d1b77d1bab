//! Debian's docker-registry, the real one: plain, with TLS under a CA of its own, with a password.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use super::cache::{cached, readable_dir, run_dir, unique};
use super::http::{free_port, request};
use super::image::{Compression, Image, Manifest, sha256};
use super::need::{Need, find_program, need};
use super::token_server::SERVICE;
use super::trial::{Stop, until};

pub const USERNAME: &str = "tester";
pub const PASSWORD: &str = "correct horse";

/// A registry on a loopback port. Dropped, it ends.
#[derive(Debug)]
pub struct Registry {
    child: Mutex<Child>,
    port: u16,
    /// The CA that signed its certificate.
    ca: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Kind {
    pub(super) tls: bool,
    pub(super) password: bool,
    /// Clients show a certificate of its CA.
    pub(super) client_certificates: bool,
    /// The port of the token service it trusts.
    pub(super) tokens: Option<u16>,
}

impl Registry {
    /// A plain registry with the images of [`fill`]; shared by all trials, to be read only.
    pub fn plain() -> Result<&'static Self, Stop> {
        static SHARED: Shared = OnceLock::new();
        shared(&SHARED, Kind::default())
    }

    /// The same content with TLS.
    pub fn tls() -> Result<&'static Self, Stop> {
        need([Need::Openssl])?;
        static SHARED: Shared = OnceLock::new();
        shared(&SHARED, Kind { tls: true, ..Kind::default() })
    }

    /// The same content with TLS and a password.
    pub fn tls_with_password() -> Result<&'static Self, Stop> {
        need([Need::Openssl, Need::Htpasswd])?;
        static SHARED: Shared = OnceLock::new();
        shared(&SHARED, Kind { tls: true, password: true, ..Kind::default() })
    }

    /// The same content without TLS, with a password.
    pub fn plain_with_password() -> Result<&'static Self, Stop> {
        need([Need::Htpasswd])?;
        static SHARED: Shared = OnceLock::new();
        shared(&SHARED, Kind { password: true, ..Kind::default() })
    }

    /// An empty one of the trial's own, to be pushed to.
    pub fn empty() -> Result<Self, Stop> {
        need([Need::DockerRegistry])?;
        Self::empty_as(Kind::default())
    }

    /// An empty one that wants the password.
    pub fn empty_with_password() -> Result<Self, Stop> {
        need([Need::DockerRegistry, Need::Htpasswd])?;
        Self::empty_as(Kind { password: true, ..Kind::default() })
    }

    /// An empty one with TLS, for clients with a certificate of its CA: client.crt and client.key beside [`Registry::ca`].
    pub fn empty_with_client_certificates() -> Result<Self, Stop> {
        need([Need::DockerRegistry, Need::Openssl])?;
        Self::empty_as(Kind { tls: true, client_certificates: true, ..Kind::default() })
    }

    pub(super) fn empty_as(kind: Kind) -> Result<Self, Stop> {
        Self::start(&run_dir().join(format!("registry-storage-{}", unique())), kind)
    }

    /// Every request so far, `METHOD TARGET STATUS`.
    pub fn requests(&self) -> Vec<String> {
        let log = std::fs::read_to_string(run_dir().join(format!("registry-{}/log", self.port))).unwrap_or_default();
        // 127.0.0.1 - - [time] "GET /v2/ HTTP/1.1" 200 2 "" "agent"
        let line = |line: &str| {
            let mut parts = line.split('"').skip(1);
            let (request, status) = (parts.next()?, parts.next()?);
            let (request, _) = request.rsplit_once(" HTTP/")?;
            Some(format!("{request} {}", status.split_whitespace().next()?))
        };
        log.lines().filter_map(line).collect()
    }

    /// How many blobs were sent.
    pub fn uploads(&self) -> usize {
        let ended = |request: &&String| request.starts_with("PUT ") && request.contains("/blobs/uploads/");
        self.requests().iter().filter(ended).count()
    }

    /// `127.0.0.1:PORT`, as in image names.
    pub fn host(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// The CA's certificate, for `certs.d/HOST/ca.crt`.
    pub fn ca(&self) -> &Path {
        self.ca.as_deref().expect("a registry without TLS")
    }

    fn start(storage: &Path, kind: Kind) -> Result<Self, Stop> {
        readable_dir(storage)?;
        let port = free_port();
        let dir = run_dir().join(format!("registry-{port}"));
        readable_dir(&dir)?;
        let mut config = format!(
            "version: 0.1\nlog: {{level: error}}\n\
             storage: {{filesystem: {{rootdirectory: {}}}, delete: {{enabled: true}}}}\n\
             http:\n  addr: 127.0.0.1:{port}\n",
            storage.display()
        );
        let mut ca = None;
        if kind.tls {
            let tls = certificates(&dir)?;
            let clients = match kind.client_certificates {
                true => format!(", clientcas: [{}/ca.crt]", tls.display()),
                false => String::new(),
            };
            config.push_str(&format!(
                "  tls: {{certificate: {0}/server.crt, key: {0}/server.key{clients}}}\n",
                tls.display()
            ));
            ca = Some(tls.join("ca.crt"));
        }
        if kind.password {
            let file = dir.join("htpasswd");
            run(Command::new("htpasswd").args(["-Bbc"]).arg(&file).args([USERNAME, PASSWORD]))?;
            config.push_str(&format!("auth: {{htpasswd: {{realm: rpod tests, path: {}}}}}\n", file.display()));
        }
        if let Some(port) = kind.tokens {
            let certificate = super::token_server::keys()?.join("token.crt");
            config.push_str(&format!(
                "auth: {{token: {{realm: 'http://localhost:{port}/token', service: {SERVICE}, issuer: {SERVICE}, \
                 rootcertbundle: {}}}}}\n",
                certificate.display()
            ));
        }
        let config_file = dir.join("config.yml");
        std::fs::write(&config_file, config)?;
        let program = find_program("docker-registry").ok_or_else(|| Stop::Skip("no docker-registry".to_owned()))?;
        let log = std::fs::File::create(dir.join("log"))?;
        let child = Command::new(program)
            .arg("serve")
            .arg(&config_file)
            .env("OTEL_TRACES_EXPORTER", "none")
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()?;
        let registry = Self { child: Mutex::new(child), port, ca };
        until("the registry listens", Duration::from_secs(20), || {
            std::net::TcpStream::connect(("127.0.0.1", port)).ok()
        });
        Ok(registry)
    }

    pub fn put_blob(&self, name: &str, blob: &[u8]) -> Result<(), Stop> {
        let digest = sha256(blob);
        let host = self.host();
        let (status, headers, _) = request(&host, "POST", &format!("/v2/{name}/blobs/uploads/"), &[], &[])?;
        let Some(location) = headers.get("location").filter(|_| status == 202) else {
            return Err(Stop::Fail(format!("the registry refused an upload: {status}")));
        };
        let path = location.strip_prefix(&format!("http://{host}")).unwrap_or(location);
        let target = format!("{path}{}digest={digest}", if path.contains('?') { '&' } else { '?' });
        let (status, _, body) = request(&host, "PUT", &target, &[("Content-Type", "application/octet-stream")], blob)?;
        expect_created(status, &body)
    }

    pub fn put_manifest(&self, name: &str, tag: &str, media_type: &str, manifest: &[u8]) -> Result<(), Stop> {
        let target = format!("/v2/{name}/manifests/{tag}");
        let (status, _, body) = request(&self.host(), "PUT", &target, &[("Content-Type", media_type)], manifest)?;
        expect_created(status, &body)
    }

    fn stop(&self) {
        let mut child = self.child.lock().unwrap();
        let _ = child.kill();
        let _ = child.wait();
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.stop();
    }
}

fn expect_created(status: u16, body: &[u8]) -> Result<(), Stop> {
    if status == 201 {
        return Ok(());
    }
    Err(Stop::Fail(format!("the registry refused: {status} {}", String::from_utf8_lossy(body))))
}

type Shared = OnceLock<Result<Registry, (bool, String)>>;

static RUNNING: Mutex<Vec<&'static Registry>> = Mutex::new(Vec::new());

fn shared(slot: &'static Shared, kind: Kind) -> Result<&'static Registry, Stop> {
    need([Need::DockerRegistry])?;
    let started = slot.get_or_init(|| {
        content().and_then(|storage| Registry::start(&storage, kind)).map_err(|stop| match stop {
            Stop::Skip(reason) => (true, reason),
            Stop::Fail(reason) => (false, reason),
        })
    });
    match started {
        Ok(registry) => {
            let mut running = RUNNING.lock().unwrap();
            if !running.iter().any(|known| known.port == registry.port) {
                running.push(registry);
            }
            Ok(registry)
        }
        Err((true, reason)) => Err(Stop::Skip(reason.clone())),
        Err((false, reason)) => Err(Stop::Fail(reason.clone())),
    }
}

pub(super) fn stop_all() {
    for registry in RUNNING.lock().unwrap().drain(..) {
        registry.stop();
    }
}

/// The storage directory of the shared registries, filled once for all runs.
fn content() -> Result<PathBuf, Stop> {
    cached("registry-2", |storage| fill(&Registry::start(storage, Kind::default())?))
}

/// | name | what |
/// |---|---|
/// | `library/busybox:latest`, `:oci`, `:docker` | gzip; OCI and schema 2 |
/// | `library/busybox:zstd`, `:plain` | other compressions |
/// | `library/busybox:layers` | three layers: gzip, zstd, plain, with whiteouts |
/// | `library/busybox:multi` | an index of amd64, arm64 and s390x; each says its name in /arch |
/// | `library/nginx:latest` | Debian with nginx, schema 2, when it could be made here |
fn fill(registry: &Registry) -> Result<(), Stop> {
    let busybox = Image::busybox()?;
    busybox.push(registry, "library/busybox", "latest", Manifest::Oci)?;
    busybox.push(registry, "library/busybox", "oci", Manifest::Oci)?;
    busybox.push(registry, "library/busybox", "docker", Manifest::DockerSchema2)?;
    for (tag, compression) in [("zstd", Compression::Zstd), ("plain", Compression::None)] {
        let mut image = busybox.clone();
        image.layers[0].compression = compression;
        image.push(registry, "library/busybox", tag, Manifest::Oci)?;
    }
    layered(&busybox).push(registry, "library/busybox", "layers", Manifest::Oci)?;
    super::image::push_multi(registry, &busybox)?;
    match super::debian::image() {
        Ok(image) => image.push(registry, "library/nginx", "latest", Manifest::DockerSchema2).map(drop),
        Err(Stop::Skip(_)) => Ok(()),
        Err(fail) => Err(fail),
    }
}

/// Busybox with two more layers that add, replace and remove.
fn layered(busybox: &Image) -> Image {
    use super::tarball::Tarball;
    let second = Tarball::new()
        .dir("data/", 0o755)
        .file("data/one", 0o644, "1\n")
        .file("data/two", 0o644, "2\n")
        .dir("opaque/", 0o755)
        .file("opaque/old", 0o644, "old\n")
        .finish();
    let third = Tarball::new()
        .file("data/.wh.one", 0o644, "")
        .file("data/three", 0o644, "3\n")
        .dir("opaque/", 0o755)
        .file("opaque/.wh..wh..opq", 0o644, "")
        .file("opaque/new", 0o644, "new\n")
        .finish();
    busybox.clone().layer(second, Compression::Zstd).layer(third, Compression::None)
}

/// A CA and a certificate for 127.0.0.1 and localhost, by openssl.
fn certificates(dir: &Path) -> Result<PathBuf, Stop> {
    let openssl = |args: &[&str]| run(Command::new("openssl").current_dir(dir).args(args));
    openssl(&[
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-days",
        "3650",
        "-subj",
        "/CN=rpod test CA",
        "-addext",
        "keyUsage=critical,keyCertSign",
        "-keyout",
        "ca.key",
        "-out",
        "ca.crt",
    ])?;
    openssl(&[
        "req",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-nodes",
        "-subj",
        "/CN=127.0.0.1",
        "-keyout",
        "server.key",
        "-out",
        "server.csr",
    ])?;
    std::fs::write(dir.join("ext"), "subjectAltName=IP:127.0.0.1,DNS:localhost\nextendedKeyUsage=serverAuth\n")?;
    openssl(&[
        "x509",
        "-req",
        "-in",
        "server.csr",
        "-CA",
        "ca.crt",
        "-CAkey",
        "ca.key",
        "-CAcreateserial",
        "-days",
        "3650",
        "-extfile",
        "ext",
        "-out",
        "server.crt",
    ])?;
    let words =
        "req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=client -keyout client.key -out client.csr";
    openssl(&words.split(' ').collect::<Vec<_>>())?;
    std::fs::write(dir.join("client.ext"), "extendedKeyUsage=clientAuth\n")?;
    let words = "x509 -req -in client.csr -CA ca.crt -CAkey ca.key -CAcreateserial -days 3650 -extfile client.ext -out client.crt";
    openssl(&words.split(' ').collect::<Vec<_>>())?;
    Ok(dir.to_path_buf())
}

/// Runs a tool of the harness; its stderr is the failure.
pub(super) fn run(command: &mut Command) -> Result<Vec<u8>, Stop> {
    let output = command.stdin(Stdio::null()).output()?;
    if output.status.success() {
        return Ok(output.stdout);
    }
    Err(Stop::Fail(format!("{command:?}: {}\n{}", output.status, String::from_utf8_lossy(&output.stderr))))
}
