//! What a conn's side record holds, in one layout for all that want one: its template, and what its
//! helper needs ([`crate::app::seq::Record`]).

use crate::app::seq::Record;
use crate::conn::{ConnId, ConnTable, SideKind, SideRecord};
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

/// Takes the links to templates out of an adopted table: the templates ended with the process that
/// had them.
pub(super) fn forget_templates(conns: &mut ConnTable) {
    for id in conns.ids().map(ConnId) {
        if let Some(side) = conns.side_mut(id).filter(|side| template_of(side).is_some()) {
            side.bytes = Record::from_bytes(side.bytes).linked_to(0).to_bytes();
        }
    }
}
