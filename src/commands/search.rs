//! `rpod search`.

use serde_json::{Value, json};

use super::Context;
use super::pull::registry_options;
use crate::cli::registry::Search;
use crate::engine::images::{self, SearchHit, SearchOptions};
use crate::error::{Error, Result};
use crate::output::listing::{Column, Listing};

const COLUMNS: &[Column] = &[Column("Name", "NAME"), Column("Description", "DESCRIPTION")];
const DOCKERS: &[Column] = &[
    Column("Name", "NAME"),
    Column("Description", "DESCRIPTION"),
    Column("Stars", "STARS"),
    Column("Official", "OFFICIAL"),
    Column("Automated", "AUTOMATED"),
];
const TAGS: &[Column] = &[Column("Name", "NAME"), Column("Tag", "TAG")];
const OTHERS: &[Column] = &[
    Column("Index", "INDEX"),
    Column("Stars", "STARS"),
    Column("Official", "OFFICIAL"),
    Column("Automated", "AUTOMATED"),
];
/// As wide as Podman shows a description.
const WIDTH: usize = 44;

pub(crate) fn run(args: Search, context: &Context<'_>) -> Result<u8> {
    let registry = registry_options(&args.registry)?;
    let mut options = SearchOptions { limit: args.limit, registry, ..SearchOptions::default() };
    if args.limit.is_some_and(|limit| limit == 0 || limit > 100) {
        return Err(Error::new("the limit for search must be between 1 and 100"));
    }
    args.filter.iter().try_for_each(|text| options.filter(text))?;
    if args.list_tags && !args.filter.is_empty() {
        return Err(Error::new("filters are not applicable to list tags result"));
    }
    let (rows, machine, columns): (Vec<Value>, Value, &[Column]) = if args.list_tags {
        let (name, tags) = images::search_tags(&args.term, &options)?;
        let rows = tags.iter().map(|tag| json!({ "Name": name, "Tag": tag })).collect();
        (rows, json!([{ "Name": name, "Tags": tags }]), TAGS)
    } else {
        let hits = images::search(&args.term, &options, &|text| context.ui.warn(text))?;
        let rows: Vec<Value> = hits.iter().map(|hit| row(hit, args.no_trunc)).collect();
        let machine = hits.iter().map(|hit| row(hit, true)).collect();
        (rows, machine, if args.compatible { DOCKERS } else { COLUMNS })
    };
    if rows.is_empty() && args.format.is_none() {
        return Ok(0);
    }
    let listing = Listing {
        name: "search",
        columns,
        other_headings: OTHERS,
        format: args.format.as_deref(),
        noheading: false,
        quiet: None,
    };
    listing.print(context.ui, &rows, || Ok(machine))?;
    Ok(0)
}

fn row(found: &SearchHit, whole: bool) -> Value {
    let flag = |flag: bool| if flag { "[OK]" } else { "" };
    let mut description: String = found.hit.description.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
    if !whole && description.chars().count() > WIDTH {
        description = description.chars().take(WIDTH - 3).collect::<String>() + "...";
    }
    json!({
        "Index": found.index,
        "Name": found.name,
        "Description": description,
        "Stars": found.hit.stars,
        "Official": flag(found.hit.is_official),
        "Automated": flag(found.hit.is_automated),
        "Tag": "",
    })
}
