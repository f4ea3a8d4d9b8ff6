//! Check the host: every feature of each kind of address.

use std::time::Duration;

use sok::address::{AddressKind, Family, Feature};
use sok::error::Result;

use super::report::{Cell, Column, HostReport, Verdict};
use super::scene::{Scene, Tried};
use super::{basics, local, messages, network};

const RESTART: &str = "restart";

/// Tests the sockets of `families` within this host: nothing is sent to another host.
///
/// Each test ends within `limit`, and removes what it created.
pub(crate) async fn check_host(families: &[Family], limit: Duration) -> HostReport {
    let mut columns = Vec::new();
    for kind in AddressKind::ALL {
        if families.contains(&kind.family()) {
            columns.push(column(kind, limit).await);
        }
    }
    HostReport {
        works: columns.iter().all(|column| column.works),
        columns,
    }
}

async fn column(kind: AddressKind, limit: Duration) -> Column {
    let scene = Scene::new(kind, limit);
    let mut cells = basics::steps(&scene).await;
    let created = cells[0].outcome == Verdict::Works;
    let without = |name| Cell::untried(name, format!("{} fails", basics::CREATE));
    cells.push(match created {
        true => scene.cell(RESTART, basics::restart(&scene)).await,
        false => without(RESTART),
    });
    for feature in Feature::ALL {
        let name = feature.name();
        cells.push(match kind.has(feature) {
            true if created => scene.cell(name, attempt(&scene, feature)).await,
            true => without(name),
            false => Cell::absent(name, feature.absence()),
        });
    }
    cells.extend(messages::cells(&scene, created).await);
    Column::new(kind, cells)
}

async fn attempt(scene: &Scene, feature: Feature) -> Result<Tried> {
    match feature {
        Feature::ChosenName => network::chosen_name(scene).await,
        Feature::EveryAddress => network::every_address(scene).await,
        Feature::HostName => network::host_name(scene).await,
        Feature::V6Only => network::v6only(scene).await,
        Feature::DualStack => network::dual_stack(scene).await,
        Feature::MappedV4 => network::mapped_v4(scene).await,
        Feature::LinkLocal => network::link_local(scene).await,
        Feature::Credentials => local::credentials(scene).await,
        Feature::LongName => local::long_name(scene).await,
        Feature::Mode => local::mode(scene).await,
        Feature::Descriptors => local::descriptors(scene).await,
    }
}
