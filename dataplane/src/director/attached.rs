//! What a conn's side record holds, in one layout for all that want one: its template, and what its
//! helper needs ([`crate::app::seq::Record`]).

use crate::app::seq::Record;
use crate::conn::{ConnFlags, ConnId, ConnTable, SideKind, SideRecord};
use crate::expect::FamilyId;
use crate::template::TemplateId;
use bytemuck::Zeroable;

/// The kind of record that has this layout.
const ATTACHED: SideKind = SideKind(1);

/// The template that the owner of a record is a child of.
pub(super) fn template_of(side: &SideRecord) -> Option<TemplateId> {
    if side.kind() != ATTACHED {
        return None;
    }
    let id: TemplateId = bytemuck::cast(Record::from_bytes(side.bytes).link);
    (id != TemplateId::zeroed()).then_some(id)
}

/// Makes a conn without a record a template's child. `false` if there is no room for a record.
pub(super) fn set_template(conns: &mut ConnTable, id: ConnId, template: TemplateId) -> bool {
    let Some(side) = conns.attach_side(id, ATTACHED) else { return false };
    side.bytes = Record::default().linked_to(bytemuck::cast(template)).to_bytes();
    true
}

/// The family of FTP connections that the owner of a record is in, as control conn or child.
pub(super) fn family_of(side: &SideRecord) -> FamilyId {
    FamilyId(if side.kind() == ATTACHED { Record::from_bytes(side.bytes).family } else { 0 })
}

/// Whether a template or control conn is above a conn (`cp->control`).
pub(super) fn is_controlled(conns: &ConnTable, id: ConnId) -> bool {
    let record = record_of(conns, id);
    let is_child = record.family != 0 && !conns.get(id).flags.contains(ConnFlags::HELPED);
    record.link != 0 || is_child
}

/// All that a conn's record holds; zeroed for a conn without one.
pub(super) fn record_of(conns: &ConnTable, id: ConnId) -> Record {
    let side = conns.side(id).filter(|side| side.kind() == ATTACHED);
    side.map_or_else(Record::default, |side| Record::from_bytes(side.bytes))
}

/// Writes all that a conn's record holds. `false`, and nothing written, if it has none and there is no
/// room for one.
pub(super) fn set_record(conns: &mut ConnTable, id: ConnId, record: Record) -> bool {
    let side = match conns.side(id).is_some() {
        true => conns.side_mut(id),
        false => conns.attach_side(id, ATTACHED),
    };
    side.map(|side| side.bytes = record.to_bytes()).is_some()
}

/// Takes the links to templates and families out of an adopted table: both ended with the process
/// that had them.
pub(super) fn forget_links(conns: &mut ConnTable) {
    for id in conns.ids().map(ConnId) {
        if let Some(side) = conns.side_mut(id).filter(|side| side.kind() == ATTACHED) {
            let record = Record { family: 0, ..Record::from_bytes(side.bytes) };
            side.bytes = record.linked_to(0).to_bytes();
        }
    }
}
