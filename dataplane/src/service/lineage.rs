//! What services of a snapshot are to those of the one before: workers carry the state of each
//! scheduler over by it, and look at those alone that changed.

use super::{Dest, Service};
use crate::ids::{Generation, ServiceId};
use crate::limits::MAX_SERVICES;
use std::cmp::Reverse;

/// Finds services by id, and those that changed.
#[derive(Debug)]
pub(super) struct Lineage {
    /// One more than the index of a service, by its id; 0 for none.
    by_id: Vec<u32>,
    /// Indices, those of the services that were edited last first.
    by_edit: Vec<u32>,
}

impl Lineage {
    /// Of services that follow none, in their first generation.
    pub(super) fn new(generation: Generation, services: &mut [Service]) -> Lineage {
        for service in &mut *services {
            (service.begun, service.edited) = (generation, generation);
        }
        Lineage { by_id: by_id(services), by_edit: (0..services.len() as u32).collect() }
    }

    /// Lets services of this generation go on with those before, which `before` finds.
    pub(super) fn follow<'a>(
        &mut self,
        services: &mut [Service],
        before: impl Fn(ServiceId) -> Option<&'a Service>,
    ) {
        for service in &mut *services {
            let Some(old) = before(service.id) else { continue };
            service.begun = old.begun;
            if are_alike(old, service) {
                service.edited = old.edited;
            }
        }
        self.by_edit.sort_by_key(|&index| Reverse(services[index as usize].edited));
    }

    /// Index of a service.
    pub(super) fn index(&self, id: ServiceId) -> Option<usize> {
        let place = self.by_id.get(id.index())?.checked_sub(1)?;
        Some(place as usize)
    }

    /// Indices, those of the services that were edited last first.
    pub(super) fn by_edit(&self) -> &[u32] {
        &self.by_edit
    }
}

fn by_id(services: &[Service]) -> Vec<u32> {
    let last = services.iter().map(|service| service.id.index()).max();
    assert!(last.is_none_or(|last| last <= MAX_SERVICES), "service ids are bounded");
    let mut by_id = vec![0; last.map_or(0, |last| last + 1)];
    for (index, service) in (1..).zip(services) {
        by_id[service.id.index()] = index;
    }
    by_id
}

/// Whether a scheduler goes on with `new` as if it were `old`.
fn are_alike(old: &Service, new: &Service) -> bool {
    old.scheduler.kind == new.scheduler.kind
        && old.dests.iter().map(Dest::edits).eq(new.dests.iter().map(Dest::edits))
}

#[cfg(test)]
mod tests {
    use super::super::example::{dest, service};
    use super::super::{ServiceTable, Settings};
    use super::*;
    use crate::ids::DestId;

    /// A service with this id and destinations of these weights.
    fn of(id: u32, weights: &[u32]) -> Service {
        let dests = (0..).zip(weights).map(|(n, &weight)| dest(10 * id + n, weight)).collect();
        Service { id: ServiceId(id), ..service(dests) }
    }

    fn table(generation: u64, services: Vec<Service>, before: &ServiceTable) -> ServiceTable {
        let settings = Settings::default();
        ServiceTable::new(Generation(generation), services, Vec::new(), settings, &[]).after(before)
    }

    fn stamps(table: &ServiceTable, id: u32) -> (u64, u64) {
        let service = table.find(ServiceId(id)).expect("it is there");
        (service.begun.0, service.edited.0)
    }

    fn edited_since(table: &ServiceTable, generation: u64) -> Vec<u32> {
        let edited = table.edited_since(Generation(generation), 0);
        edited.map(|service| service.id.0).collect()
    }

    #[test]
    fn a_service_begins_with_its_first_table_and_anew_after_one_without_it() {
        let first = table(1, vec![of(1, &[1]), of(2, &[1])], &ServiceTable::default());
        let without = table(2, vec![of(2, &[1])], &first);
        let again = table(3, vec![of(1, &[1]), of(2, &[1])], &without);

        assert_eq!((stamps(&first, 1), stamps(&first, 2)), ((1, 1), (1, 1)));
        assert!(without.find(ServiceId(1)).is_none());
        assert_eq!((stamps(&again, 1), stamps(&again, 2)), ((3, 3), (1, 1)));
    }

    #[test]
    fn only_services_that_changed_for_their_scheduler_are_edited() {
        let first = table(1, (1..=4).map(|id| of(id, &[1, 2])).collect(), &ServiceTable::default());
        let mut services = vec![of(1, &[1, 2]), of(2, &[1, 3]), of(3, &[1, 2]), of(4, &[1])];
        services[0].dests[1].next_hop.0 += 1;
        services[2].one_packet = true;
        let second = table(2, services.clone(), &first);
        services[0].dests.swap(0, 1);
        let third = table(5, services, &second);

        assert_eq!(edited_since(&second, 1), [2, 4]);
        assert_eq!((edited_since(&third, 2), edited_since(&third, 1)), (vec![1], vec![1, 2, 4]));
        assert_eq!(stamps(&third, 1), (1, 5));
        assert_eq!(third.edited_since(Generation(0), 3).count(), 1);
    }

    #[test]
    fn a_destination_with_a_new_id_in_its_place_is_an_edit() {
        let first = table(1, vec![of(1, &[1, 1])], &ServiceTable::default());
        let mut services = vec![of(1, &[1, 1])];
        services[0].dests[0].id = DestId(99);
        assert_eq!(edited_since(&table(2, services, &first), 1), [1]);
    }
}
