//! How a tunnel is called in JSON: `{"type":"gue","port":6080,"checksum":"remcsum"}`, in the words of
//! ipvsadm's options.

use dataplane::forward::tunnel::{Encap, GueChecksum};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

#[derive(Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase", deny_unknown_fields)]
enum Form {
    Ipip,
    Gre {
        #[serde(default)]
        checksum: Checksum,
    },
    Gue {
        port: u16,
        #[serde(default)]
        checksum: Checksum,
    },
}

#[derive(Serialize, Deserialize, Clone, Copy, PartialEq, Eq, Default)]
#[serde(rename_all = "lowercase")]
enum Checksum {
    #[default]
    NoCsum,
    Csum,
    RemCsum,
}

impl From<Encap> for Form {
    fn from(encap: Encap) -> Form {
        match encap {
            Encap::Ipip => Form::Ipip,
            Encap::Gre { checksum: false } => Form::Gre { checksum: Checksum::NoCsum },
            Encap::Gre { checksum: true } => Form::Gre { checksum: Checksum::Csum },
            Encap::Gue { port, checksum } => {
                let checksum = match checksum {
                    GueChecksum::Absent => Checksum::NoCsum,
                    GueChecksum::Full => Checksum::Csum,
                    GueChecksum::Remote => Checksum::RemCsum,
                };
                Form::Gue { port, checksum }
            }
        }
    }
}

impl Form {
    fn encap(self) -> Result<Encap, &'static str> {
        Ok(match self {
            Form::Ipip => Encap::Ipip,
            Form::Gre { checksum: Checksum::RemCsum } => return Err("gre has no remcsum"),
            Form::Gre { checksum } => Encap::Gre { checksum: checksum == Checksum::Csum },
            Form::Gue { port, checksum } => {
                let checksum = match checksum {
                    Checksum::NoCsum => GueChecksum::Absent,
                    Checksum::Csum => GueChecksum::Full,
                    Checksum::RemCsum => GueChecksum::Remote,
                };
                Encap::Gue { port, checksum }
            }
        })
    }
}

/// Its form.
pub fn serialize<S: Serializer>(value: &Encap, to: S) -> Result<S::Ok, S::Error> {
    Form::from(*value).serialize(to)
}

/// The tunnel of a form.
pub fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Encap, D::Error> {
    Form::deserialize(from)?.encap().map_err(serde::de::Error::custom)
}

/// Whether it need not be told.
pub fn is_plain(encap: &Encap) -> bool {
    *encap == Encap::Ipip
}
