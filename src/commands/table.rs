//! Every verb in one table. To add one: a clap type in `cli/`, a file here with `run`, `mod` and a line below.

use clap::{ArgMatches, Command};

use super::context::Context;
use crate::cli;
use crate::error::{Context as _, Result};

/// Where the overview shows a verb.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Group {
    Containers,
    Images,
    Networks,
    System,
}

/// One thing rpod can do.
pub(crate) struct Verb {
    pub group: Group,
    /// All spellings, the one that the overview and the man page use first.
    pub paths: &'static [&'static str],
    /// Adds the verb's arguments and texts to an empty command.
    pub augment: fn(Command) -> Command,
    pub run: fn(&mut ArgMatches, &Context<'_>) -> Result<u8>,
}

/// The nouns that verbs are sorted under.
pub(crate) const NOUNS: &[(&str, &str)] = &[
    ("builder", "Manage builds"),
    ("buildx", "Manage builds"),
    ("container", "Manage containers"),
    ("secret", "Manage secrets"),
    ("healthcheck", "Manage health checks of containers"),
    ("image", "Manage images"),
    ("network", "Manage networks"),
    ("manifest", "Manage manifest lists"),
    ("system", "Manage rpod itself"),
    ("volume", "Manage volumes"),
];

macro_rules! verb {
    ($group:ident, $args:ty, $run:path, [$($path:literal),+]) => {
        Verb {
            group: Group::$group,
            paths: &[$($path),+],
            augment: <$args as clap::Args>::augment_args,
            run: |matches, context| {
                let args = <$args as clap::FromArgMatches>::from_arg_matches_mut(matches);
                $run(args.context(|| concat!("cannot read the arguments of ", stringify!($args)))?, context)
            },
        }
    };
}

pub(crate) const VERBS: &[Verb] = &[
    verb!(Containers, cli::container::Attach, super::attach::run, ["attach", "container attach"]),
    verb!(Containers, cli::change::Cleanup, super::container_cleanup::run, ["container cleanup"]),
    verb!(Containers, cli::change::Clone, super::container_clone::run, ["container clone"]),
    verb!(Containers, cli::files::Commit, super::commit::run, ["commit", "container commit"]),
    verb!(Containers, cli::files::Cp, super::cp::run, ["cp", "container cp"]),
    verb!(Containers, cli::files::Diff, super::diff::run, ["diff"]),
    verb!(Containers, cli::files::DiffContainer, super::diff::container, ["container diff"]),
    verb!(Containers, cli::files::Export, super::export::run, ["export", "container export"]),
    verb!(Containers, cli::files::Mount, super::mount::mount, ["mount", "container mount"]),
    verb!(
        Containers,
        cli::files::Unmount,
        super::mount::unmount,
        ["unmount", "umount", "container unmount", "container umount"]
    ),
    verb!(Images, cli::files::DiffImage, super::diff::image, ["image diff"]),
    verb!(Containers, cli::container::Exists, super::container_exists::run, ["container exists"]),
    verb!(Containers, cli::container::Exec, super::exec::run, ["exec", "container exec"]),
    verb!(Containers, cli::health::HealthcheckRun, super::healthcheck_run::run, ["healthcheck run"]),
    verb!(Containers, cli::change::Init, super::init::run, ["init", "container init"]),
    verb!(Containers, cli::container::Inspect, super::inspect::run, ["inspect"]),
    verb!(Containers, cli::container::InspectContainer, super::inspect::container, ["container inspect"]),
    verb!(Containers, cli::container::Kill, super::kill::run, ["kill", "container kill"]),
    verb!(Containers, cli::container::Logs, super::logs::run, ["logs", "container logs"]),
    verb!(Containers, cli::container::Pause, super::pause::pause, ["pause", "container pause"]),
    verb!(Containers, cli::container::Port, super::port::run, ["port", "container port"]),
    verb!(Containers, cli::container::Ps, super::ps::run, ["ps", "container ps", "container ls", "container list"]),
    verb!(Containers, cli::change::Prune, super::container_prune::run, ["container prune"]),
    verb!(Containers, cli::change::Rename, super::rename::run, ["rename", "container rename"]),
    verb!(Containers, cli::container::Restart, super::restart::run, ["restart", "container restart"]),
    verb!(Containers, cli::container::Rm, super::rm::run, ["rm", "container rm", "container remove"]),
    verb!(Containers, cli::container::Start, super::start::run, ["start", "container start"]),
    verb!(Containers, cli::observe::Stats, super::stats::run, ["stats", "container stats"]),
    verb!(Containers, cli::container::Stop, super::stop::run, ["stop", "container stop"]),
    verb!(Containers, cli::observe::Top, super::top::run, ["top", "container top"]),
    verb!(Containers, cli::container::Unpause, super::pause::unpause, ["unpause", "container unpause"]),
    verb!(Containers, cli::change::Update, super::update::run, ["update", "container update"]),
    verb!(Containers, cli::container::Wait, super::wait::run, ["wait", "container wait"]),
    verb!(Containers, cli::run::Create, super::create::run, ["create", "container create"]),
    verb!(Containers, cli::run::Run, super::run::run, ["run", "container run"]),
    verb!(Images, cli::build::Build, super::build::run, ["build", "image build", "buildx build", "builder build"]),
    verb!(Images, cli::build::Prune, super::builder_prune::run, ["builder prune", "buildx prune"]),
    verb!(Images, cli::build::Du, super::builder_du::run, ["builder du", "buildx du"]),
    verb!(Images, cli::build::Ls, super::builder_ls::run, ["buildx ls", "builder ls"]),
    verb!(Images, cli::build::InspectBuilder, super::builder_ls::inspect, ["buildx inspect", "builder inspect"]),
    verb!(Images, cli::build::Version, super::builder_version::run, ["buildx version", "builder version"]),
    verb!(Images, cli::image::Exists, super::image_exists::run, ["image exists"]),
    verb!(Images, cli::image::History, super::history::run, ["history", "image history"]),
    verb!(Images, cli::image::Images, super::images::run, ["images", "image ls", "image list"]),
    verb!(Images, cli::image::Import, super::import::run, ["import", "image import"]),
    verb!(Images, cli::image::Inspect, super::image_inspect::run, ["image inspect"]),
    verb!(Images, cli::image::Load, super::load::run, ["load", "image load"]),
    verb!(Images, cli::image_space::Mount, super::image_mount::mount, ["image mount"]),
    verb!(Images, cli::image_space::Prune, super::image_prune::run, ["image prune"]),
    verb!(Images, cli::image_space::Tree, super::image_tree::run, ["image tree"]),
    verb!(Images, cli::image_space::Unmount, super::image_mount::unmount, ["image unmount", "image umount"]),
    verb!(Images, cli::login::Login, super::login::login, ["login"]),
    verb!(Images, cli::login::Logout, super::login::logout, ["logout"]),
    verb!(Images, cli::image::Pull, super::pull::run, ["pull", "image pull"]),
    verb!(Images, cli::manifest::Add, super::manifest::add, ["manifest add"]),
    verb!(Images, cli::manifest::Annotate, super::manifest::annotate, ["manifest annotate"]),
    verb!(Images, cli::manifest::Create, super::manifest::create, ["manifest create"]),
    verb!(Images, cli::manifest::Exists, super::manifest::exists, ["manifest exists"]),
    verb!(Images, cli::manifest::Inspect, super::manifest::inspect, ["manifest inspect"]),
    verb!(Images, cli::manifest::Push, super::manifest::push, ["manifest push"]),
    verb!(Images, cli::manifest::Remove, super::manifest::remove, ["manifest remove"]),
    verb!(Images, cli::manifest::Rm, super::manifest::rm, ["manifest rm"]),
    verb!(Images, cli::registry::Push, super::push::run, ["push", "image push"]),
    verb!(Images, cli::image::Rmi, super::rmi::run, ["rmi", "image rm", "image remove"]),
    verb!(Images, cli::image::Save, super::save::run, ["save", "image save"]),
    verb!(Images, cli::registry::Scp, super::scp::run, ["image scp"]),
    verb!(Images, cli::registry::Search, super::search::run, ["search", "image search"]),
    verb!(Images, cli::trust::Sign, super::trust::sign, ["image sign"]),
    verb!(Images, cli::trust::Trust, super::trust::trust, ["image trust"]),
    verb!(Images, cli::image::Tag, super::tag::tag, ["tag", "image tag"]),
    verb!(Images, cli::image::Untag, super::tag::untag, ["untag", "image untag"]),
    verb!(Containers, cli::secret::Create, super::secret::create, ["secret create"]),
    verb!(Containers, cli::secret::Exists, super::secret::exists, ["secret exists"]),
    verb!(Containers, cli::secret::Inspect, super::secret::inspect, ["secret inspect"]),
    verb!(Containers, cli::secret::Ls, super::secret::ls, ["secret ls", "secret list"]),
    verb!(Containers, cli::secret::Rm, super::secret::rm, ["secret rm", "secret remove"]),
    verb!(Containers, cli::volume::Create, super::volume::create, ["volume create"]),
    verb!(Containers, cli::volume::Exists, super::volume::exists, ["volume exists"]),
    verb!(Containers, cli::volume::Export, super::volume::export, ["volume export"]),
    verb!(Containers, cli::volume::Import, super::volume::import, ["volume import"]),
    verb!(Containers, cli::volume::Inspect, super::volume::inspect, ["volume inspect"]),
    verb!(Containers, cli::volume::Ls, super::volume::ls, ["volume ls", "volume list"]),
    verb!(Containers, cli::volume::Mount, super::volume::mount, ["volume mount"]),
    verb!(Containers, cli::volume::Prune, super::volume::prune, ["volume prune"]),
    verb!(Containers, cli::volume::Rm, super::volume::rm, ["volume rm", "volume remove"]),
    verb!(Containers, cli::volume::Unmount, super::volume::unmount, ["volume unmount"]),
    verb!(System, cli::space::Check, super::system_check::run, ["system check"]),
    verb!(System, cli::space::Dedup, super::system_dedup::run, ["system dedup"]),
    verb!(System, cli::space::Df, super::system_df::run, ["system df"]),
    verb!(System, cli::space::Prune, super::system_prune::run, ["system prune"]),
    verb!(System, cli::space::Reset, super::system_reset::run, ["system reset"]),
    verb!(Networks, cli::network::Connect, super::network_connect::connect, ["network connect"]),
    verb!(Networks, cli::network::Disconnect, super::network_connect::disconnect, ["network disconnect"]),
    verb!(Networks, cli::network::Reload, super::network_connect::reload, ["network reload"]),
    verb!(Networks, cli::network::Create, super::network_create::run, ["network create"]),
    verb!(Networks, cli::network::Exists, super::network_exists::run, ["network exists"]),
    verb!(Networks, cli::network::Inspect, super::network_inspect::run, ["network inspect"]),
    verb!(Networks, cli::network::Ls, super::network_ls::run, ["network ls", "network list"]),
    verb!(Networks, cli::network::Prune, super::network_prune::run, ["network prune"]),
    verb!(Networks, cli::network::Rm, super::network_rm::run, ["network rm", "network remove"]),
    verb!(Networks, cli::network::Update, super::network_update::run, ["network update"]),
    verb!(System, cli::system::Completion, super::completion::run, ["completion"]),
    verb!(System, cli::system::Events, super::events::run, ["events", "system events"]),
    verb!(System, cli::system::Help, super::help::run, ["help"]),
    verb!(System, cli::system::Info, super::info::run, ["info", "system info"]),
    verb!(System, cli::system::Unshare, super::unshare::run, ["unshare"]),
    verb!(System, cli::system::Version, super::version::run, ["version"]),
];
