//! `system df`: bytes on the disk, each counted once.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::engine::container::store::Container;
use crate::engine::container::{elsewhere, store as containers};
use crate::engine::images::{self, Listed};
use crate::engine::volumes;
use crate::error::Result;
use crate::image::digest::DiffId;
use crate::monitor::state::{State, Status};
use crate::state::paths::Dirs;
use crate::storage::{Store, usage};
use crate::userns::IdMaps;

/// All that takes space.
#[derive(Debug)]
pub(crate) struct Usage {
    pub images: Vec<ImageUsage>,
    /// Of all layers but the build cache's own, those that several images share counted once; of those, what no
    /// container's image has.
    pub layers: u64,
    pub unused_layers: u64,
    pub containers: Vec<ContainerUsage>,
    pub volumes: Vec<VolumeUsage>,
    pub cache: CacheUsage,
}

/// What builds keep for the next one.
#[derive(Debug, Default)]
pub(crate) struct CacheUsage {
    pub steps: usize,
    /// Steps whose layer an image has.
    pub used: usize,
    /// Of layers that no image has, of cache directories and of what is known of contexts.
    pub size: u64,
    /// The layers that no image has.
    pub layers: BTreeMap<DiffId, u64>,
}

#[derive(Debug)]
pub(crate) struct ImageUsage {
    pub listed: Listed,
    /// Bytes of layers that other images have as well, and of those that only this one has.
    pub shared: u64,
    pub unique: u64,
    pub containers: usize,
}

#[derive(Debug)]
pub(crate) struct ContainerUsage {
    pub container: Container,
    pub state: State,
    pub size: u64,
    pub volumes: usize,
}

#[derive(Debug)]
pub(crate) struct VolumeUsage {
    pub name: String,
    pub links: usize,
    pub size: u64,
}

impl Usage {
    /// All bytes.
    pub(crate) fn total(&self) -> u64 {
        self.layers
            + self.containers.iter().map(|container| container.size).sum::<u64>()
            + self.volumes.iter().map(|volume| volume.size).sum::<u64>()
            + self.cache.size
    }
}

impl ContainerUsage {
    pub(crate) fn active(&self) -> bool {
        matches!(self.state.status, Status::Running | Status::Paused)
    }
}

/// Looks at every file once. For a single-threaded process.
pub(crate) fn usage(dirs: &Dirs, store: &Store) -> Result<Usage> {
    let maps = IdMaps::for_user()?;
    let (listed, _damaged) = images::list(store)?;
    let all = containers::list(dirs)?;
    let volumes = volumes::list(dirs)?;
    let links = volumes::users(dirs)?;

    let layers = store.list_layers()?;
    let mut paths: Vec<_> = layers.iter().filter_map(|id| store.layer(id)).map(|layer| layer.directory()).collect();
    let (first_container, first_volume) = (paths.len(), paths.len() + all.len());
    let cache = first_volume + volumes.len();
    paths.extend(all.iter().map(|container| container.place.disk.clone()));
    paths.extend(volumes.iter().map(|volume| volumes::mountpoint(dirs, volume)));
    paths.push(store.build_cache_dir());
    let sizes = usage::of_each(&paths, &maps)?;
    let size_of: HashMap<&DiffId, u64> = layers.iter().zip(sizes.iter().copied()).collect();

    let mut owners: BTreeMap<DiffId, usize> = BTreeMap::new();
    for image in &listed {
        for layer in image.image.layers.iter().collect::<BTreeSet<_>>() {
            *owners.entry(*layer).or_default() += 1;
        }
    }
    let steps = store.build_steps()?;
    let cached: BTreeSet<DiffId> = steps.iter().filter_map(|(_, step)| step.layer).collect();
    let in_use = |layer: Option<DiffId>| layer.is_some_and(|layer| owners.contains_key(&layer));
    let used = steps.iter().filter(|(_, step)| in_use(step.layer)).count();
    let elsewhere = elsewhere::uses(dirs)?;
    let needed: BTreeSet<&DiffId> = all.iter().flat_map(|container| &container.record.layers).collect();
    let needed: BTreeSet<&DiffId> = needed.into_iter().chain(elsewhere.iter().flat_map(|used| &used.layers)).collect();
    let is_cached = |layer: &DiffId| !owners.contains_key(layer) && cached.contains(layer);
    let own_layers: BTreeMap<DiffId, u64> =
        size_of.iter().filter(|(layer, _)| is_cached(layer)).map(|(layer, size)| (**layer, *size)).collect();
    let kept: u64 = own_layers.values().sum();
    let unused = size_of.iter().filter(|(layer, _)| !needed.contains(**layer) && !is_cached(layer));
    // Of layers too, and in nobody's use.
    let partials = store.size_of_partials()?;
    let unused = unused.map(|(_, size)| size).sum::<u64>() + partials;
    let mut users: HashMap<String, usize> = HashMap::new();
    let images_used = all.iter().map(|container| &container.record.image_id);
    images_used
        .chain(elsewhere.iter().map(|used| &used.image_id))
        .for_each(|image| *users.entry(image.clone()).or_default() += 1);

    let images = listed.into_iter().map(|listed| {
        let own: BTreeSet<&DiffId> = listed.image.layers.iter().collect();
        let sum = |shared: bool| {
            let of = |layer: &&&DiffId| owners.get(**layer).is_some_and(|count| (*count > 1) == shared);
            own.iter().filter(of).filter_map(|layer| size_of.get(*layer)).sum::<u64>()
        };
        let containers = users.get(&listed.image.id.hex()).copied().unwrap_or(0);
        let (shared, unique) = (sum(true), sum(false));
        (listed, shared, unique, containers)
    });
    let images: Vec<_> =
        images.map(|(listed, shared, unique, containers)| ImageUsage { listed, shared, unique, containers }).collect();
    let mut container_usage = Vec::with_capacity(all.len());
    for (container, size) in all.into_iter().zip(&sizes[first_container..first_volume]) {
        let state = container.state(dirs)?;
        let volumes = links.values().filter(|users| users.iter().any(|id| id == container.id())).count();
        container_usage.push(ContainerUsage { container, state, size: *size, volumes });
    }
    let volume_usage = volumes.into_iter().zip(&sizes[first_volume..cache]).map(|(volume, size)| VolumeUsage {
        links: links.get(&volume.name).map_or(0, Vec::len),
        name: volume.name,
        size: *size,
    });
    Ok(Usage {
        images,
        layers: sizes[..first_container].iter().sum::<u64>() - kept + partials,
        unused_layers: unused,
        containers: container_usage,
        volumes: volume_usage.collect(),
        cache: CacheUsage { steps: steps.len(), used, size: kept + sizes[cache], layers: own_layers },
    })
}
