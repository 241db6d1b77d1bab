//! `rpod login`, `rpod logout`.

use std::io::{IsTerminal, Read};
use std::path::PathBuf;

use super::Context;
use crate::cli::login::{Login, Logout};
use crate::engine::secrets;
use crate::error::{Context as _, Error, Result};
use crate::output::prompt;
use crate::registry::{AuthFile, Credentials, Options, Server};

/// Longer than any password.
const MAX_PASSWORD: u64 = 64 << 10;

pub(crate) fn login(args: Login, context: &Context<'_>) -> Result<u8> {
    let server = server(args.registry.as_deref())?;
    let file = file(args.authfile, args.compat_auth_file)?;
    let explicit = file.as_ref().map(|file| file.path.as_path());
    let name = server.name();
    if args.get_login {
        return match server.known(explicit)? {
            Some(Credentials::Basic { user, .. }) => {
                context.ui.line(user)?;
                Ok(0)
            }
            Some(Credentials::Identity(_)) => Err(Error::new(format!("{name} is logged into with an identity token"))),
            None => Err(Error::new(format!("not logged into {name}"))),
        };
    }
    let options = Options { tls_verify: args.tls_verify, cert_dir: args.cert_dir, ..Options::default() };
    let secret = args.secret.as_deref().map(|name| secrets::find(context.dirs()?, name)).transpose()?;
    if args.username.is_none() && args.password.is_none() && !args.password_stdin && secret.is_none() {
        // As in Podman, what is known is tried before anybody is asked.
        if let Some(known) = server.known(explicit)?
            && server.check(&known, &options).is_ok()
        {
            context.ui.note("Authenticating with existing credentials for ".to_owned() + name);
            context.ui.line(format_args!("Existing credentials are valid. Already logged in to {name}"))?;
            return Ok(0);
        }
    }
    let from_terminal = std::io::stdin().is_terminal();
    let user = match (args.username, &secret) {
        (Some(user), _) => user,
        (None, Some(secret)) => secret.name.clone(),
        (None, None) if from_terminal && !args.password_stdin => prompt::line(context.ui, "Username: ")?,
        (None, None) => {
            return Err(Error::new("a user is needed: --username")
                .hint("and the password with --password-stdin: nobody can be asked here"));
        }
    };
    let password = match (args.password, &secret) {
        (Some(password), _) => password,
        (None, Some(secret)) => String::from_utf8(secrets::data(context.dirs()?, secret)?)
            .context(|| format!("the secret {} is no password", secret.name))?
            .trim_end_matches(['\r', '\n'])
            .to_owned(),
        (None, None) if args.password_stdin => {
            let mut text = String::new();
            std::io::stdin()
                .take(MAX_PASSWORD)
                .read_to_string(&mut text)
                .context(|| "cannot read the password from standard input")?;
            text.trim_end_matches(['\r', '\n']).to_owned()
        }
        (None, None) if from_terminal => prompt::secret(context.ui, "Password: ")?,
        (None, None) => return Err(Error::new("a password is needed: --password-stdin")),
    };
    if user.is_empty() || password.is_empty() {
        return Err(Error::new("neither the user nor the password may be empty"));
    }
    if user.contains(':') {
        return Err(Error::new("a user's name cannot contain a colon"));
    }
    let credentials = Credentials::Basic { user, password };
    server.check(&credentials, &options)?;
    let file = file.map_or_else(AuthFile::default, Ok)?;
    let place = file.store(&server, &credentials)?;
    if args.verbose {
        context.ui.line(format_args!("Used: {place}"))?;
    }
    context.ui.line("Login Succeeded!")?;
    Ok(0)
}

pub(crate) fn logout(args: Logout, context: &Context<'_>) -> Result<u8> {
    let file = file(args.authfile, args.compat_auth_file)?.map_or_else(AuthFile::default, Ok)?;
    if args.all {
        if args.registry.is_some() {
            return Err(Error::new("--all takes no arguments"));
        }
        file.remove_all()?;
        context.ui.line("Removed login credentials for all registries")?;
        return Ok(0);
    }
    let server = server(args.registry.as_deref())?;
    if file.remove(&server)? {
        context.ui.line(format_args!("Removed login credentials for {}", server.name()))?;
        return Ok(0);
    }
    let error = Error::new(format!("not logged into {}", server.name()));
    // Another file may still have them.
    Err(match server.known(None)? {
        Some(_) => error.hint("credentials of another file, such as Docker's config.json, are used: see --authfile"),
        None => error,
    })
}

fn server(name: Option<&str>) -> Result<Server> {
    name.map_or_else(Server::default, Server::parse)
}

fn file(authfile: Option<PathBuf>, compat: Option<PathBuf>) -> Result<Option<AuthFile>> {
    Ok(match (authfile, compat) {
        (Some(path), _) => Some(AuthFile { path, is_dockers: false }),
        (None, Some(path)) => Some(AuthFile { path, is_dockers: true }),
        (None, None) => None,
    })
}
