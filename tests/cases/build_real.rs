//! build: programs as people build them, from Debian's archive, over each network.

use super::build::context;
use crate::support::{Need, Outcome, Sandbox, Trial, User, debian_is_missing, free_port, need, rpod, skip, trial};

pub fn trials() -> Vec<Trial> {
    vec![
        trial("build_real::python_application", User::Sub, python),
        trial("build_real::multi_stage_c_program", User::Sub, c_program),
    ]
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
    let limit = std::time::Duration::from_secs(300);
    rpod!(t, "build", "-q", "--network", "slirp4netns", "-t", "app", &dir).limit(limit).run().ok();
    let port = free_port().to_string();
    rpod!(t, "run", "-d", "--name", "app", "-p", format!("127.0.0.1:{port}:8000"), "app").run().ok();
    let url = format!("http://127.0.0.1:{port}/");
    let asked =
        t.program("curl", ["-s", "--retry", "100", "--retry-delay", "0", "--retry-all-errors", &url]).limit(limit);
    asked.run().lines_are(&["hello from an application"]);
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
    let limit = std::time::Duration::from_secs(300);
    rpod!(t, "build", "-q", "--network", "pasta", "-t", "app", &dir).limit(limit).run().ok();
    rpod!(t, "run", "--rm", "--network", "none", "app").run().lines_are(&["hello from a stage"]);
    Ok(())
}

fn base(t: &Sandbox) -> Result<&'static str, crate::support::Stop> {
    match debian_is_missing()? {
        true => skip("Debian's archive cannot be reached"),
        false => t.debian(),
    }
}
