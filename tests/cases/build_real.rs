//! build: programs as people build them, from Debian's archive, over each network.

use std::time::Duration;

use super::build::context;
use crate::support::{Need, Outcome, Sandbox, Trial, User, debian_is_missing, free_port, need, rpod, skip, trial};

/// For what waits for Debian's archive.
const LIMIT: Duration = Duration::from_secs(900);
const INSTALL: &str =
    "apt-get -q update && DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends";

pub fn trials() -> Vec<Trial> {
    vec![
        trial("build_real::python_application", User::Sub, python),
        trial("build_real::multi_stage_c_program", User::Sub, c_program),
        trial("build_real::nginx_over_slirp4netns", User::Sub, |t| nginx(t, Need::Slirp4netns, "slirp4netns")),
        trial("build_real::nginx_over_pasta", User::Sub, |t| nginx(t, Need::Pasta, "pasta")),
        trial("build_real::postgresql", User::Sub, postgresql),
        trial("build_real::node_application", User::Sub, node),
        trial("build_real::multi_stage_rust_program", User::Sub, rust_program),
    ]
}

/// What a program that listens on `port` inside answers on a published one.
fn answers(t: &Sandbox, image: &str, port: u16, says: &str) -> Outcome {
    let published = free_port();
    rpod!(t, "run", "-d", "--name", "app", "-p", format!("127.0.0.1:{published}:{port}"), image).run().ok();
    let url = format!("http://127.0.0.1:{published}/");
    let asked = t.program("curl", ["-s", "--retry", "100", "--retry-delay", "0", "--retry-all-errors", &url]);
    asked.limit(LIMIT).run().prints(says);
    Ok(())
}

/// apt-get with cache directories, a user of its own, a published port; over slirp4netns.
fn python(t: &Sandbox) -> Outcome {
    need([Need::Slirp4netns, Need::Curl])?;
    let base = base(t)?;
    let text = format!(
        "FROM {base}\n\
         RUN --mount=type=cache,target=/var/cache/apt,sharing=locked --mount=type=cache,target=/var/lib/apt/lists,sharing=locked \\\n    \
         apt-get -q update && DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends python3-bottle\n\
         RUN useradd -r app\nCOPY --chown=app app.py /srv/\nUSER app\nEXPOSE 8000\nENTRYPOINT [\"python3\", \"/srv/app.py\"]\n"
    );
    let dir = context(t, "ctx", &text)?;
    let app = "from bottle import route, run\n@route('/')\ndef index():\n    return 'hello from an application\\n'\nrun(host='0.0.0.0', port=8000)\n";
    std::fs::write(dir.join("app.py"), app)?;
    rpod!(t, "build", "-q", "--network", "slirp4netns", "-t", "app", &dir).limit(LIMIT).run().ok();
    answers(t, "app", 8000, "hello from an application\n")?;
    rpod!(t, "exec", "app", "id", "-un").run().lines_are(&["app"]);
    // Nothing of what apt keeps is in the image.
    let left = "ls /var/cache/apt/archives/*.deb /var/lib/apt/lists/*_Packages";
    rpod!(t, "exec", "app", "sh", "-c", left).run().code(2);
    Ok(())
}

/// A compiler in one stage, its program alone in the next; over pasta.
fn c_program(t: &Sandbox) -> Outcome {
    need([Need::Pasta])?;
    let base = base(t)?;
    let text = format!(
        "FROM {base} AS build\n\
         RUN apt-get -q update && DEBIAN_FRONTEND=noninteractive apt-get -q install -y --no-install-recommends tcc libc6-dev\n\
         COPY hello.c /src/\nRUN tcc -o /hello /src/hello.c\nFROM {base}\nCOPY --from=build /hello /hello\nCMD [\"/hello\"]\n"
    );
    let dir = context(t, "ctx", &text)?;
    std::fs::write(
        dir.join("hello.c"),
        "#include <stdio.h>\nint main(void) { puts(\"hello from a stage\"); return 0; }\n",
    )?;
    rpod!(t, "build", "-q", "--network", "pasta", "-t", "app", &dir).limit(LIMIT).run().ok();
    rpod!(t, "run", "--rm", "--network", "none", "app").run().lines_are(&["hello from a stage"]);
    Ok(())
}

/// The base has one already: it is removed and installed anew, with a page and a configuration of its own.
fn nginx(t: &Sandbox, needed: Need, network: &str) -> Outcome {
    need([needed, Need::Curl])?;
    let base = base(t)?;
    let text = format!(
        "FROM {base}\nRUN apt-get -q purge -y 'nginx*' && {INSTALL} nginx && ! test -e /var/www/html/index.html\n\
         COPY <<EOF /etc/nginx/conf.d/app.conf\nserver {{ listen 8080; root /srv; }}\nEOF\n\
         COPY index.html /srv/\nEXPOSE 8080\nSTOPSIGNAL SIGQUIT\nCMD [\"nginx\", \"-g\", \"daemon off;\"]\n"
    );
    let dir = context(t, "ctx", &text)?;
    std::fs::write(dir.join("index.html"), format!("a page over {network}\n"))?;
    rpod!(t, "build", "-q", "--network", network, "-t", "app", &dir).limit(LIMIT).run().ok();
    answers(t, "app", 8080, &format!("a page over {network}\n"))?;
    rpod!(t, "stop", "app").run().ok();
    rpod!(t, "inspect", "--format", "{{.State.ExitCode}}", "app").run().lines_are(&["0"]);
    Ok(())
}

/// A cluster made in the build by a user of its own, and a query.
fn postgresql(t: &Sandbox) -> Outcome {
    need([Need::Large, Need::Slirp4netns])?;
    let base = base(t)?;
    let text = format!(
        "FROM {base}\nRUN {INSTALL} postgresql && ln -s /usr/lib/postgresql/*/bin /opt/pg\n\
         ENV PATH=/opt/pg:$PATH PGDATA=/var/lib/postgresql/data\nUSER postgres\nRUN initdb -A trust\nEXPOSE 5432\n\
         CMD [\"postgres\", \"-c\", \"listen_addresses=*\"]\n"
    );
    let dir = context(t, "ctx", &text)?;
    rpod!(t, "build", "-q", "--network", "slirp4netns", "-t", "app", &dir).limit(LIMIT).run().ok();
    rpod!(t, "run", "-d", "--name", "app", "-P", "app").run().ok();
    crate::support::wait_until("the server is ready", || {
        rpod!(t, "exec", "app", "pg_isready", "-q").run().code == Some(0)
    });
    let query = "create table t as select generate_series(1, 1000) n; select sum(n) from t";
    rpod!(t, "exec", "app", "psql", "-qAtc", query).run().lines_are(&["500500"]);
    rpod!(t, "stop", "app").run().ok();
    Ok(())
}

fn node(t: &Sandbox) -> Outcome {
    need([Need::Large, Need::Pasta, Need::Curl])?;
    let base = base(t)?;
    let text = format!(
        "FROM {base}\nRUN {INSTALL} nodejs\nWORKDIR /srv\nCOPY package.json *.js ./\nUSER www-data\nENV PORT=3000\n\
         CMD [\"node\", \".\"]\n"
    );
    let dir = context(t, "ctx", &text)?;
    std::fs::write(dir.join("package.json"), r#"{ "name": "app", "main": "main.js" }"#)?;
    std::fs::write(dir.join("greeting.js"), "module.exports = () => 'hello from node\\n'\n")?;
    let main = "require('http').createServer((_, out) => out.end(require('./greeting')())).listen(process.env.PORT)\n";
    std::fs::write(dir.join("main.js"), main)?;
    rpod!(t, "build", "-q", "--network", "pasta", "-t", "app", &dir).limit(LIMIT).run().ok();
    answers(t, "app", 3000, "hello from node\n")
}

/// Cargo with its target directory in a cache; the program alone in the next stage.
fn rust_program(t: &Sandbox) -> Outcome {
    need([Need::Large, Need::Slirp4netns, Need::Curl])?;
    let base = base(t)?;
    let text = format!(
        "FROM {base} AS build\nRUN {INSTALL} cargo libc6-dev\nWORKDIR /src\nCOPY Cargo.toml ./\nCOPY src src\n\
         RUN --network=none --mount=type=cache,target=/src/target cargo build --release --offline && cp target/release/app /app\n\
         FROM {base}\nCOPY --from=build /app /usr/local/bin/\nUSER www-data\nCMD [\"app\"]\n"
    );
    let dir = context(t, "ctx", &text)?;
    std::fs::create_dir(dir.join("src"))?;
    std::fs::write(dir.join("Cargo.toml"), "[package]\nname = \"app\"\nversion = \"1.0.0\"\nedition = \"2021\"\n")?;
    let main = "use std::io::{Read, Write};\nfn main() {\n    for client in std::net::TcpListener::bind(\"0.0.0.0:8000\").unwrap().incoming() {\n\
                \x20       let mut client = client.unwrap();\n        client.read(&mut [0; 4096]).unwrap();\n\
                \x20       client.write_all(b\"HTTP/1.0 200 OK\\r\\n\\r\\nhello from rust\\n\").unwrap();\n    }\n}\n";
    std::fs::write(dir.join("src/main.rs"), main)?;
    rpod!(t, "build", "-q", "--network", "slirp4netns", "-t", "app", &dir).limit(LIMIT).run().ok();
    answers(t, "app", 8000, "hello from rust\n")?;
    rpod!(t, "exec", "app", "sh", "-c", "command -v cargo").run().code(127);
    Ok(())
}

fn base(t: &Sandbox) -> Result<&'static str, crate::support::Stop> {
    match debian_is_missing()? {
        true => skip("Debian's archive cannot be reached"),
        false => t.debian(),
    }
}
