//! `rpod image tree`.

use super::Context;
use crate::cli::image_space::Tree;
use crate::engine::images::{self, TreeNode};
use crate::error::Result;
use crate::human;
use crate::state::id::short;

pub(crate) fn run(args: Tree, context: &Context<'_>) -> Result<u8> {
    let store = context.store()?;
    let image = images::resolve(&store, &args.image)?;
    let tags = images::tags(&store, &image)?;
    let size = human::size(image.size(&store)?);
    let ui = context.ui;
    ui.line(format_args!("Image ID: {}", short(&image.id.hex())))?;
    ui.line(format_args!("Tags:     [{}]", tags.join(" ")))?;
    ui.line(format_args!("Size:     {size}"))?;
    if image.layers.is_empty() {
        ui.line("No Image Layers")?;
        return Ok(0);
    }
    ui.line("Image Layers")?;
    let layers = images::tree_layers(&store, &image)?;
    let lines = match args.whatrequires {
        true => {
            let mut lines: Vec<String> = layers.last().map(line).into_iter().collect();
            flatten(&images::tree_dependents(&store, &image)?, &mut lines);
            lines
        }
        false => layers.iter().map(line).collect(),
    };
    for (at, line) in lines.iter().enumerate() {
        ui.line(format_args!("{} {line}", if at + 1 == lines.len() { "└──" } else { "├──" }))?;
    }
    Ok(0)
}

/// Each layer before those on top of it, all on one level, as Podman lists them.
fn flatten(nodes: &[TreeNode], lines: &mut Vec<String>) {
    for node in nodes {
        lines.push(line(node));
        flatten(&node.above, lines);
    }
}

fn line(node: &TreeNode) -> String {
    let top = match node.top_of.is_empty() {
        true => String::new(),
        false => format!(" Top Layer of: [{}]", node.top_of.join(" ")),
    };
    format!("ID: {} Size: {:>7}{top}", short(&node.layer.hex()), human::size(node.size))
}
