//! One file per topic. Names are `topic::what`, with `::sub` or `::nosub` where both users go through it.

mod additional;
mod bridge_live;
mod bridge_names;
mod bridge_storm;
mod bridges;
mod build;
mod build_docker;
mod build_inputs;
mod build_live;
mod build_parity;
mod build_real;
mod build_security;
mod build_share;
mod change;
mod cli;
mod clone;
mod compressed;
mod cp;
mod cve;
mod devices;
mod drivers;
mod egress;
mod event_sequences;
mod events;
mod everyday;
mod exec;
mod files;
mod harness;
mod health;
mod hooks;
mod hostile_images;
mod hostile_layers;
mod hostile_networks;
mod hostile_registry;
mod image_space;
mod images;
mod init;
mod inspect;
mod ipc;
mod journal;
mod lifecycle;
mod limits;
mod login;
mod logs;
mod manifest;
mod mount_options;
mod mounts;
mod namespaces;
mod network;
mod observe;
mod overlay;
mod owners;
mod parity;
mod pause;
mod peers;
mod ports;
mod preserved;
mod ps;
mod pull;
mod push;
mod readme;
mod resolving;
mod restart;
mod restart_unit;
mod resume;
mod retry;
mod run;
mod runtime_dir;
mod scenario;
mod secrets;
mod security;
mod sequences;
mod service;
mod stalls;
mod storage;
mod storm;
mod surroundings;
mod system;
mod systemd;
mod terminal;
mod transports;
mod trust;
mod unflushed;
mod userns;
mod vm;
mod volumes;
mod volumes_from;

use libtest_mimic::Trial;

pub fn trials() -> Vec<Trial> {
    [
        harness::trials(),
        additional::trials(),
        cli::trials(),
        compressed::trials(),
        retry::trials(),
        run::trials(),
        runtime_dir::trials(),
        unflushed::trials(),
        userns::trials(),
        namespaces::trials(),
        mount_options::trials(),
        mounts::trials(),
        secrets::trials(),
        security::trials(),
        cve::trials(),
        cp::trials(),
        limits::trials(),
        ipc::trials(),
        lifecycle::trials(),
        restart::trials(),
        service::trials(),
        pause::trials(),
        peers::trials(),
        health::trials(),
        hooks::trials(),
        systemd::trials(),
        terminal::trials(),
        devices::trials(),
        exec::trials(),
        files::trials(),
        event_sequences::trials(),
        events::trials(),
        logs::trials(),
        journal::trials(),
        preserved::trials(),
        ps::trials(),
        parity::trials(),
        everyday::trials(),
        sequences::trials(),
        surroundings::trials(),
        observe::trials(),
        owners::trials(),
        change::trials(),
        clone::trials(),
        init::trials(),
        inspect::trials(),
        images::trials(),
        image_space::trials(),
        stalls::trials(),
        storage::trials(),
        system::trials(),
        volumes::trials(),
        volumes_from::trials(),
        hostile_images::trials(),
        hostile_layers::trials(),
        pull::trials(),
        restart_unit::trials(),
        resume::trials(),
        push::trials(),
        login::trials(),
        transports::trials(),
        trust::trials(),
        manifest::trials(),
        hostile_registry::trials(),
        network::trials(),
        ports::trials(),
        bridges::trials(),
        bridge_live::trials(),
        bridge_names::trials(),
        bridge_storm::trials(),
        hostile_networks::trials(),
        drivers::trials(),
        overlay::trials(),
        resolving::trials(),
        egress::trials(),
        scenario::trials(),
        readme::trials(),
        build::trials(),
        build_docker::trials(),
        build_inputs::trials(),
        build_live::trials(),
        build_parity::trials(),
        build_real::trials(),
        build_security::trials(),
        build_share::trials(),
        storm::trials(),
        vm::trials(),
    ]
    .into_iter()
    .flatten()
    .collect()
}
