//! Who is at the other end, and what they may do.
//!
//! Whoever can open the socket may read. Writing is for root and for members of the operators'
//! group: primary by the peer's credentials, supplementary by the group file.

use std::fmt;
use std::fs;

/// Who may write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Access {
    group: Option<u32>,
}

impl Access {
    /// Root alone.
    pub fn root_only() -> Access {
        Access { group: None }
    }

    /// Root and the members of a group.
    pub fn for_gid(gid: u32) -> Access {
        Access { group: Some(gid) }
    }

    /// Root and the members of a group, given by name or number.
    ///
    /// # Errors
    /// The group file cannot be read or has no such group.
    pub fn for_group(group: &str) -> Result<Access, String> {
        if let Ok(gid) = group.parse() {
            return Ok(Access::for_gid(gid));
        }
        let groups = fs::read_to_string("/etc/group")
            .map_err(|error| format!("cannot read /etc/group: {error}"))?;
        let gid = records(&groups)
            .find(|fields| fields.first() == Some(&group))
            .and_then(|fields| fields.get(2)?.parse().ok());
        gid.map(Access::for_gid).ok_or_else(|| format!("there is no group `{group}'"))
    }

    /// The group the socket belongs to.
    pub fn gid(self) -> Option<u32> {
        self.group
    }

    /// A process of that user and primary group may write.
    pub fn may_write(self, uid: u32, gid: u32) -> bool {
        let read = |path| fs::read_to_string(path).unwrap_or_default();
        uid == 0
            || self.group.is_some_and(|group| {
                gid == group || is_member(uid, group, &read("/etc/passwd"), &read("/etc/group"))
            })
    }
}

/// Who that is, as a sentence's subject: `root`, or `root and members of the group `lvs'`.
impl fmt::Display for Access {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(gid) = self.group else { return f.write_str("root") };
        let groups = fs::read_to_string("/etc/group").unwrap_or_default();
        let name = group_name(gid, &groups).unwrap_or_else(|| gid.to_string());
        write!(f, "root and members of the operators' group `{name}'")
    }
}

fn group_name(gid: u32, groups: &str) -> Option<String> {
    let mut named = records(groups).filter(|fields| fields.get(2) == Some(&&*gid.to_string()));
    named.next()?.first().map(|&name| name.to_owned())
}

/// The user is in the list of the group's members.
fn is_member(uid: u32, gid: u32, passwd: &str, groups: &str) -> bool {
    let has_id =
        |fields: &Vec<&str>, id: u32| fields.get(2).and_then(|f| f.parse().ok()) == Some(id);
    let Some(user) = records(passwd).find(|fields| has_id(fields, uid)) else { return false };
    let members = records(groups).find(|fields| has_id(fields, gid));
    members
        .and_then(|fields| fields.get(3).copied())
        .is_some_and(|names| names.split(',').any(|name| Some(&name) == user.first()))
}

fn records(text: &str) -> impl Iterator<Item = Vec<&str>> {
    text.lines().map(|line| line.split(':').collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0::/root:/bin/sh\nann:x:1001:1001::/:/bin/sh\n\
                          bob:x:1002:1002::/:/bin/sh\n";
    const GROUP: &str = "root:x:0:\nsluice:x:900:bob,ann2\nann:x:1001:\n";

    #[test]
    fn members_are_told_by_whole_names() {
        assert!(is_member(1002, 900, PASSWD, GROUP));
        assert!(!is_member(1001, 900, PASSWD, GROUP), "ann is not ann2");
        assert!(!is_member(1003, 900, PASSWD, GROUP), "no such user");
        assert!(!is_member(1002, 901, PASSWD, GROUP), "no such group");
    }

    #[test]
    fn a_refusal_can_name_the_group() {
        assert_eq!(group_name(900, GROUP).as_deref(), Some("sluice"));
        assert_eq!(group_name(901, GROUP), None);
        assert_eq!(Access::root_only().to_string(), "root");
        let unnamed = Access::for_gid(4_000_000).to_string();
        assert_eq!(unnamed, "root and members of the operators' group `4000000'");
    }

    #[test]
    fn root_always_writes_others_only_through_the_group() {
        assert!(Access::root_only().may_write(0, 0));
        assert!(!Access::root_only().may_write(1001, 0), "root's group is not root");
        assert!(Access::for_gid(4_000_000).may_write(4_000_001, 4_000_000));
        assert!(!Access::for_gid(4_000_000).may_write(4_000_001, 4_000_001));
        assert!(Access::for_group("no-such-group-here").is_err());
        assert_eq!(Access::for_group("root").map(Access::gid), Ok(Some(0)));
    }
}
