//! build: what is drawn on a terminal.

use std::num::NonZero;
use std::path::Path;

use super::build::context;
use crate::support::{Cmd, Outcome, Pty, Sandbox, Stop, Trial, User, rpod, trial, wait_until};

const ROWS: u16 = 24;
const COLUMNS: u16 = 80;

/// Two stages side by side upon a third; each goes on when the trial says so.
const DOCKERFILE: &str = r#"FROM busybox AS kept
RUN echo once >/once
FROM kept AS left
RUN printf 'l1\nl2\nl3\nl4\nl5\n10%%\r20%%\r'; until test -e /go/left; do usleep 20000; done
FROM kept AS right
ENV A=1
RUN echo early; printf '\033[2Jr1 \033[31mred\033[0m\n'; until test -e /go/right; do usleep 20000; done; echo why >&2; exit 3
FROM left
COPY --from=right /once /twice
"#;

pub fn trials() -> Vec<Trial> {
    vec![
        trial("build_live::failing", User::Sub, failing),
        trial("build_live::interrupted", User::NoSub, interrupted),
        trial("build_live::small", User::Sub, small),
        trial("build_live::modes", User::Sub, modes),
    ]
}

/// What a terminal shows, and what has left it at the top.
fn screen(text: &str, rows: u16) -> vt100::Screen {
    let size = |n| NonZero::new(n).unwrap();
    let mut terminal = vt100::Parser::new(size(rows), size(COLUMNS), 100);
    terminal.process(text.as_bytes());
    terminal.screen().clone()
}

fn rows(pty: &Pty, rows: u16) -> Vec<String> {
    screen(&pty.text(), rows).rows(0, COLUMNS).map(|row| row.trim_end().to_owned()).collect()
}

/// Where a line that begins and ends so stands.
fn find(rows: &[String], begin: &str, end: &str) -> Option<usize> {
    rows.iter().position(|row| row.starts_with(begin) && row.ends_with(end))
}

fn started(t: &Sandbox, dir: &Path) -> Result<Cmd, Stop> {
    t.busybox()?;
    let go = dir.join("go");
    std::fs::create_dir(&go)?;
    let volume = format!("{}:/go:ro", go.display());
    rpod!(t, "build", "-q", "-v", &volume, "--target", "kept", dir).run().ok();
    Ok(rpod!(t, "build", "-t", "app", "-v", volume, "--jobs", "2", dir))
}

/// Both stages at work, with the end of what they wrote.
fn both(pty: &Pty) {
    wait_until("both stages are shown at work", || {
        let rows = rows(pty, ROWS);
        let left = find(&rows, "[left 2/2] RUN printf", "s");
        let right = find(&rows, "[right 3/3] RUN echo early", "s");
        let (Some(left), Some(right)) = (left, right) else { return false };
        rows[left + 1..=left + 4] == ["  l3", "  l4", "  l5", "  20%"]
            && rows[right + 1..=right + 2] == ["  early", "  r1 red"]
    });
}

fn failing(t: &Sandbox) -> Outcome {
    let dir = context(t, "ctx", DOCKERFILE)?;
    let pty = started(t, &dir)?.pty(ROWS, COLUMNS);
    both(&pty);
    let before = rows(&pty, ROWS);
    assert_eq!(before[..2], ["[kept 1/2] FROM busybox AS kept", "[kept 2/2] RUN echo once >/once CACHED"]);
    assert!(find(&before, "[right 2/3] ENV A=1 ", "s").is_some(), "{before:#?}");
    std::fs::write(dir.join("go/right"), "")?;
    wait_until("the build has failed", || pty.text().contains("exit status 3"));
    let text = pty.text();
    assert_eq!(pty.finish(), 3);

    let shown = screen(&text, ROWS);
    assert!(!shown.hide_cursor());
    assert_eq!(shown.cursor_position().1, 0);
    let rows: Vec<String> = shown.rows(0, COLUMNS).map(|row| row.trim_end().to_owned()).collect();
    let at = find(&rows, "[left 2/2] RUN printf", "… CANCELED").unwrap_or_else(|| panic!("{rows:#?}"));
    assert!(rows[at + 1].starts_with("[right 3/3] RUN echo early; printf ") && rows[at + 1].contains("… ERROR "));
    assert!(
        rows.contains(&"why".to_owned()) && rows.iter().any(|row| row.contains("7 | >>> RUN echo early")),
        "{rows:#?}"
    );
    assert_eq!(rows.iter().filter(|row| row.starts_with("[left 2/2]")).count(), 1, "nothing is left of the drawing");
    assert!(!rows.iter().any(|row| row.starts_with("  l")), "{rows:#?}");
    Ok(())
}

fn interrupted(t: &Sandbox) -> Outcome {
    let dir = context(t, "ctx", DOCKERFILE)?;
    let mut pty = started(t, &dir)?.env("NO_COLOR", "1").pty(ROWS, COLUMNS);
    both(&pty);
    assert!(!pty.text().contains("\x1b[1m") && !pty.text().contains("\x1b[36m"), "NO_COLOR");
    pty.send("\x03");
    wait_until("the build has ended", || pty.text().contains("interrupted by"));
    let text = pty.text();
    assert_eq!(pty.finish(), 130);
    let shown = screen(&text, ROWS);
    assert!(!shown.hide_cursor());
    let contents = shown.contents();
    assert_eq!(contents.matches("CANCELED").count(), 2, "{contents}");
    assert!(!contents.contains("  l3") && !contents.contains("^C"), "{contents}");
    Ok(())
}

/// A terminal of five lines that becomes one of three: what is drawn fits, what is done scrolls away.
fn small(t: &Sandbox) -> Outcome {
    let dir = context(t, "ctx", &DOCKERFILE.replace("exit 3", "true"))?;
    let pty = started(t, &dir)?.pty(5, COLUMNS);
    wait_until("both stages fit", || {
        let rows = rows(&pty, 5);
        rows.len() == 5
            && rows[0].starts_with("[left 2/2] RUN")
            && rows[1] == "  20%"
            && rows[2].starts_with("[right 3/3] RUN")
            && rows[3] == "  r1 red"
            && rows[4].is_empty()
    });
    pty.resize(3, 40);
    wait_until("the lines are cut to the new width", || {
        let text = pty.text();
        let picture = text.rsplit("\x1b[J").nth(1).unwrap_or_default();
        picture.contains("[left 2/2] RUN printf 'l1\\nl2\\n") && !picture.contains("20%")
    });
    for name in ["left", "right"] {
        std::fs::write(dir.join("go").join(name), "")?;
    }
    wait_until("the build is done", || pty.text().contains("Successfully tagged localhost/app:latest"));
    assert!(pty.text().contains("COMMIT app"));
    assert_eq!(pty.finish(), 0);
    Ok(())
}

fn modes(t: &Sandbox) -> Outcome {
    t.busybox()?;
    let dir = context(t, "ctx", "FROM busybox\nENV A=1\n")?;
    rpod!(t, "build", "--progress=tty", &dir).run().fails(125, &["--progress tty: standard error is not a terminal"]);
    for (arguments, terminal, live) in [
        (vec![], "xterm", true),
        (vec!["--progress=auto"], "xterm", true),
        (vec!["--progress=tty"], "xterm", true),
        (vec![], "dumb", false),
        (vec!["--progress=plain"], "xterm", false),
    ] {
        let arguments = [vec!["build"], arguments.clone(), vec![dir.to_str().unwrap()]].concat();
        let pty = t.rpod(arguments.clone()).env("TERM", terminal).pty(ROWS, COLUMNS);
        wait_until("the build is done", || {
            pty.text().contains("--> ") && pty.text().lines().last().is_some_and(|l| l.len() >= 64)
        });
        let text = pty.text();
        assert_eq!(pty.finish(), 0);
        assert_eq!(text.contains("[2/2] ENV A=1"), live, "{arguments:?}: {text}");
        assert_eq!(text.contains("STEP 2/2: ENV A=1"), !live, "{arguments:?}: {text}");
        assert_eq!(text.contains('\x1b'), live, "{arguments:?}: {text}");
    }
    let refused = rpod!(t, "build", "--progress=tty", &dir).env("TERM", "dumb").pty(ROWS, COLUMNS);
    assert_eq!(refused.finish(), 125);
    Ok(())
}
