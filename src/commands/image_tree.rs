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
    let size = human::size_spaced(image.size(&store)?).replace(' ', "");
    let ui = context.ui;
    ui.line(format_args!("Image ID: {}", short(&image.id.hex())))?;
    ui.line(format_args!("Tags:     [{}]", tags.join(" ")))?;
    ui.line(format_args!("Size:     {size}"))?;
    if args.whatrequires {
        ui.line(format_args!("Image {} is the base of", short(&image.id.hex())))?;
        return branch(context, &images::tree_dependents(&store, &image)?, "").map(|()| 0);
    }
    if image.layers.is_empty() {
        ui.line("No Image Layers")?;
        return Ok(0);
    }
    ui.line("Image Layers")?;
    branch(context, &images::tree_layers(&store, &image)?, "").map(|()| 0)
}

/// Box-drawing lines, as tree(1) draws them.
fn branch(context: &Context<'_>, nodes: &[TreeNode], indent: &str) -> Result<()> {
    for (at, node) in nodes.iter().enumerate() {
        let last = at + 1 == nodes.len();
        let size = human::size_spaced(node.size).replace(' ', "");
        let top = match node.top_of.is_empty() {
            true => String::new(),
            false => format!(" Top Layer of: [{}]", node.top_of.join(" ")),
        };
        let corner = if last { "└──" } else { "├──" };
        context.ui.line(format_args!("{indent}{corner} ID: {} Size: {size:>6}{top}", short(&node.layer.hex())))?;
        branch(context, &node.above, &format!("{indent}{}", if last { "    " } else { "│   " }))?;
    }
    Ok(())
}
