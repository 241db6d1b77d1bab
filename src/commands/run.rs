//! `rpod run`.

use super::Context;
use super::foreground::{self, Connect};
use crate::cli::container::Run;
use crate::engine::container::create::{self, Reserved};
use crate::engine::container::record::{Config, Record, Root};
use crate::engine::container::{start, store};
use crate::error::{Error, Result};

pub(crate) fn run(args: Run, context: &Context<'_>) -> Result<u8> {
    let dirs = context.dirs()?;
    let words: Vec<String> = args.words.iter().map(|w| w.to_string_lossy().into_owned()).collect();
    let reserved = Reserved::new(dirs, args.name.as_deref(), args.rm)?;
    let mut spec = oci_spec::runtime::Spec::default();
    let mut process = oci_spec::runtime::Process::default();
    process.set_args(Some(words[1..].to_vec()));
    spec.set_process(Some(process));
    let record = Record {
        id: reserved.id.clone(),
        name: reserved.name.clone(),
        image: words[0].clone(),
        image_id: String::new(),
        created: jiff::Timestamp::now(),
        command: words[1..].to_vec(),
        labels: Default::default(),
        ports: Vec::new(),
        exposed: Vec::new(),
        mounts: Vec::new(),
        network: "none".into(),
        rm: args.rm,
        tty: args.tty,
        interactive: args.interactive,
        stop_signal: 15,
        stop_timeout: 10,
        layers: Vec::new(),
        cidfile: None,
    };
    let config = Config {
        spec,
        maps: Some(crate::userns::IdMaps::for_user()?),
        root: Root::Directory("/tmp/h6/root".into()),
        init: false,
        entrypoint: Vec::new(),
        create_command: Vec::new(),
        log: Default::default(),
    };
    let (container, lock) = reserved.commit(record, &config)?;
    let client = start::start(dirs, &container, &config, lock, foreground::size())?;
    if args.detach {
        client.wait_started(&mut |warning| context.ui.warn(warning))?;
        create::flush(&container)?;
        client.detach();
        context.ui.line(container.id())?;
        return Ok(0);
    }
    create::flush(&container)?;
    let connect = Connect {
        stdin: args.interactive,
        stdout: true,
        stderr: true,
        sig_proxy: true,
        detach_keys: None,
        owner: true,
    };
    foreground::follow(client, &container, &connect, context)
}
