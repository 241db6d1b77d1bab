//! The parser as a whole: what is read, what is refused, and that nothing makes it panic.

use super::*;
use crate::build::dockerfile::instruction::{Healthcheck, Transfer};

fn one(line: &str) -> Result<Kind, String> {
    let text = format!("FROM scratch\n{line}\n");
    parse(&text).map(|file| file.stages[0].instructions[0].kind.clone()).map_err(|problem| problem.what)
}

fn owned(words: &[&str]) -> Vec<String> {
    words.iter().map(|word| (*word).to_owned()).collect()
}

fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
    list.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
}

#[test]
fn instructions_are_read() {
    for (line, wanted) in [
        ("CMD [\"a\", \"b c\"]", Kind::Cmd(Command::Exec(owned(&["a", "b c"])))),
        ("CMD [\"a\", 'b']", Kind::Cmd(Command::Shell("[\"a\", 'b']".into()))),
        ("cmd a  \"b\"  ", Kind::Cmd(Command::Shell("a  \"b\"".into()))),
        ("CMD []", Kind::Cmd(Command::Exec(vec![]))),
        ("CMD", Kind::Cmd(Command::Shell(String::new()))),
        ("ENTRYPOINT [\"x\"]", Kind::Entrypoint(Command::Exec(owned(&["x"])))),
        ("SHELL [\"/bin/bash\",\"-c\"]", Kind::Shell(owned(&["/bin/bash", "-c"]))),
        ("ENV a=b c=\"d e\" f=g\\ h", Kind::Env(pairs(&[("a", "b"), ("c", "\"d e\""), ("f", "g\\ h")]))),
        ("ENV a   b  c=d", Kind::Env(pairs(&[("a", "b  c=d")]))),
        ("ENV a=", Kind::Env(pairs(&[("a", "")]))),
        ("LABEL \"a b\"=c", Kind::Label(pairs(&[("\"a b\"", "c")]))),
        ("EXPOSE 80 443/tcp $P", Kind::Expose(owned(&["80", "443/tcp", "$P"]))),
        ("VOLUME /a /b", Kind::Volume(owned(&["/a", "/b"]))),
        ("VOLUME [\"/a b\"]", Kind::Volume(owned(&["/a b"]))),
        ("USER a:b", Kind::User("a:b".into())),
        ("WORKDIR /a b", Kind::Workdir("/a b".into())),
        ("STOPSIGNAL SIGINT", Kind::StopSignal("SIGINT".into())),
        ("MAINTAINER A B <a@b>", Kind::Maintainer("A B <a@b>".into())),
        ("ONBUILD RUN x", Kind::Onbuild("RUN x".into())),
        ("HEALTHCHECK NONE", Kind::Healthcheck(Healthcheck::default())),
    ] {
        assert_eq!(one(line), Ok(wanted), "{line}");
    }
    assert_eq!(
        one("ARG a b=c d=\"e f\""),
        Ok(Kind::Arg(vec![("a".into(), None), ("b".into(), Some("c".into())), ("d".into(), Some("\"e f\"".into()))]))
    );
    let copy = Transfer { sources: owned(&["a", "b c"]), destination: "/d/".into(), ..Transfer::default() };
    assert_eq!(one("COPY [\"a\",\"b c\",\"/d/\"]"), Ok(Kind::Transfer(copy)));
    let flags = Transfer {
        sources: owned(&["a"]),
        destination: "b".into(),
        from: Some("x".into()),
        chown: Some("1:2".into()),
        chmod: Some("755".into()),
        link: true,
        parents: true,
        exclude: owned(&["*.a", "b"]),
        ..Transfer::default()
    };
    let line = "COPY --from=x --chown=1:2 --chmod=755 --link --parents --exclude=*.a --exclude=b a b";
    assert_eq!(one(line), Ok(Kind::Transfer(flags)));
    let health = Healthcheck {
        command: Some(Command::Shell("curl x".into())),
        interval: 90_000_000_000,
        timeout: 1_500_000_000,
        start_period: 2_000_000,
        start_interval: 0,
        retries: 3,
    };
    let line = "HEALTHCHECK --interval=1m30s --timeout=1.5s --start-period=2ms --retries=3 CMD curl x";
    assert_eq!(one(line), Ok(Kind::Healthcheck(health)));
}

#[test]
fn runs_have_flags_and_documents() {
    let text = "FROM a\nRUN --mount=type=cache,target=/c --mount=type=tmpfs,target=/t --network=none --security=sandbox <<EOF\necho $A\nEOF\n";
    let file = parse(text).expect("reads");
    let Kind::Run(run) = &file.stages[0].instructions[0].kind else { panic!("not a RUN") };
    assert_eq!(run.mounts, ["type=cache,target=/c", "type=tmpfs,target=/t"]);
    assert_eq!((run.network.as_deref(), run.security.as_deref()), (Some("none"), Some("sandbox")));
    assert_eq!(run.command, Command::Shell("<<EOF".into()));
    assert_eq!(run.heredocs[0].content(), "echo $A\n");
    assert_eq!(file.stages[0].instructions[0].span, Span { first: 2, last: 4 });
}

#[test]
fn stages_have_names_and_platforms() {
    let file = parse("ARG V=1\nFROM --platform=linux/arm64 a:$V As Build\nFROM build\n").expect("reads");
    assert_eq!(file.global.len(), 1);
    let from = |n: usize| file.stages[n].from.kind.clone();
    let (image, name, platform) = ("a:$V".to_owned(), Some("build".to_owned()), Some("linux/arm64".to_owned()));
    assert_eq!(from(0), Kind::From { image, name, platform });
    assert_eq!(from(1), Kind::From { image: "build".into(), name: None, platform: None });
}

#[test]
fn mistakes_have_a_line_and_a_reason() {
    for (text, line, what) in [
        ("", 1, "file with no instructions"),
        ("# only a comment\n", 1, "file with no instructions"),
        ("RUN x\n", 1, "no build stage in current context"),
        ("FROM a\nRUNN x\n", 2, "unknown instruction: RUNN (did you mean RUN?)"),
        ("FROM a\nXYZZY x\n", 2, "unknown instruction: XYZZY"),
        ("FROM\n", 1, "FROM requires either one or three arguments"),
        ("FROM a b\n", 1, "FROM requires either one or three arguments"),
        ("FROM a as 1b\n", 1, "invalid name for build stage"),
        ("FROM --foo=1 a\n", 1, "unknown flag: --foo"),
        ("FROM a\nRUN\n", 2, "RUN requires at least one argument"),
        ("FROM a\nRUN --mount x\n", 2, "missing a value on flag: --mount"),
        ("FROM a\nCOPY a\n", 2, "COPY requires at least two arguments"),
        ("FROM a\nCOPY --from=a --from=b x y\n", 2, "duplicate flag specified: --from"),
        ("FROM a\nCOPY --checksum=a x y\n", 2, "unknown flag: --checksum"),
        ("FROM a\nADD --from=a x y\n", 2, "unknown flag: --from"),
        ("FROM a\nENV a\n", 2, "ENV must have two arguments"),
        ("FROM a\nENV a=b c\n", 2, "Syntax error - can't find = in \"c\""),
        ("FROM a\nENV =b\n", 2, "ENV names can not be blank"),
        ("FROM a\nLABEL\n", 2, "LABEL requires at least one argument"),
        ("FROM a\nSHELL x\n", 2, "SHELL requires the arguments to be in JSON form"),
        ("FROM a\nCMD [1]\n", 2, "when using JSON array syntax, arrays must be comprised of strings only"),
        ("FROM a\nONBUILD ONBUILD RUN x\n", 2, "Chaining ONBUILD"),
        ("FROM a\nONBUILD FROM x\n", 2, "FROM isn't allowed as an ONBUILD trigger"),
        ("FROM a\nHEALTHCHECK FOO\n", 2, "Unknown type \"FOO\" in HEALTHCHECK"),
        ("FROM a\nHEALTHCHECK --interval=x CMD a\n", 2, "invalid duration \"x\""),
        ("FROM a\nHEALTHCHECK CMD\n", 2, "Missing command after HEALTHCHECK CMD"),
        ("FROM a\nVOLUME []\n", 2, "VOLUME specified can not be an empty string"),
        ("FROM a\nEXPOSE\n", 2, "EXPOSE requires at least one argument"),
        ("FROM a\nRUN <<EOF\nx\n", 2, "unterminated heredoc"),
        ("FROM a\n\n\nUSER\n", 4, "USER requires exactly one argument"),
    ] {
        let problem = parse(text).expect_err(text);
        assert!(problem.what.starts_with(what), "{text:?}: {}", problem.what);
        assert_eq!(problem.span.first, line, "{text:?}");
    }
}

proptest::proptest! {
    #[test]
    fn nothing_panics(
        lines in proptest::collection::vec(
            "(FROM|RUN|COPY|ADD|ENV|LABEL|ARG|CMD|HEALTHCHECK|ONBUILD|VOLUME|SHELL|#|) ?[a-z \\\\\"'$<{}=,/\\[\\]:.\t-]{0,20}",
            0..8,
        )
    ) {
        let _ = parse(&lines.join("\n"));
    }
}
