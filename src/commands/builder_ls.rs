//! `rpod buildx ls`, `rpod buildx inspect`: scripts for Docker ask which builder there is.

use serde_json::{Value, json};

use super::Context;
use crate::cli::build::{InspectBuilder, Ls};
use crate::error::{Error, Kind, Result};
use crate::image::platform::Platform;
use crate::output::listing::{Column, Listing};

const NAME: &str = "default";
const COLUMNS: &[Column] = &[
    Column("Name", "NAME/NODE"),
    Column("DriverEndpoint", "DRIVER/ENDPOINT"),
    Column("Status", "STATUS"),
    Column("Version", "VERSION"),
    Column("Platforms", "PLATFORMS"),
];

pub(crate) fn run(args: Ls, context: &Context<'_>) -> Result<u8> {
    let rows = [json!({
        "Name": format!("{NAME}*"),
        "DriverEndpoint": "rpod",
        "Driver": "rpod",
        "Status": "running",
        "Current": true,
        "Version": env!("CARGO_PKG_VERSION"),
        "Platforms": Platform::host().to_string(),
    })];
    let listing = Listing {
        name: "buildx ls",
        columns: COLUMNS,
        other_headings: &[],
        format: args.format.as_deref(),
        noheading: false,
        quiet: None,
    };
    listing.print(context.ui, &rows, || Ok(Value::Array(rows.to_vec())))?;
    Ok(0)
}

pub(crate) fn inspect(args: InspectBuilder, context: &Context<'_>) -> Result<u8> {
    if args.name != NAME {
        return Err(Error::new(format!("no builder {:?} found", args.name))
            .with_kind(Kind::NoSuchObject)
            .hint("there is one builder, rpod itself"));
    }
    let (version, platform) = (env!("CARGO_PKG_VERSION"), Platform::host());
    context.ui.line(format_args!(
        "Name:   {NAME}\nDriver: rpod\n\nNodes:\nName:      {NAME}\nEndpoint:  {NAME}\nStatus:    running\n\
         Version:   {version}\nPlatforms: {platform}"
    ))?;
    Ok(0)
}
