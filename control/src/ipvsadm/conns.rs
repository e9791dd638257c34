//! The listing of conns.

use super::names::Names;
use crate::api::protocol::{ConnRow, EngineRow};
use crate::rules::words::conn_proto_name;

/// The lines above the rows. With `--persistent-conn` there are columns for persistence engines.
pub fn titles(persistence: bool) -> &'static str {
    if persistence {
        "IPVS connection entries\n\
         pro expire state       source             virtual            destination        pe name          pe_data\n"
    } else {
        "IPVS connection entries\n\
         pro expire state       source             virtual            destination\n"
    }
}

/// The line of one conn or template, newline included, with what an engine found if that has a
/// column. `expire` is minutes and seconds.
pub fn row(conn: &ConnRow, names: &Names, persistence: bool) -> String {
    let ConnRow { proto, expires, state, .. } = conn;
    let name = conn_proto_name(*proto).to_uppercase();
    let expire = format!("{:02}:{:02}", expires / 60, expires % 60);
    let client = names.endpoint(conn.cip, conn.cport, *proto);
    let service = names.endpoint(conn.vip, conn.vport, *proto);
    let server = names.endpoint(conn.rip, conn.rport, *proto);
    let line = format!("{name:<3} {expire:<6} {state:<11} {client:<18} {service:<18}");
    match &conn.engine {
        Some(EngineRow { name, data }) if persistence => {
            format!("{line} {server:<16} {name:<18} {data}\n")
        }
        _ => format!("{line} {server}\n"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rules::example::v4;

    #[test]
    fn a_row_is_ipvsadms_to_the_byte() {
        let conn = ConnRow {
            template: false,
            engine: None,
            proto: 17,
            expires: 8015,
            state: "UDP".into(),
            cip: v4(0x0a00_0009),
            cport: 5353,
            vip: v4(0xc0a8_010a),
            vport: 53,
            rip: v4(0xc0a8_010e),
            rport: 53,
            local: None,
        };
        assert_eq!(
            row(&conn, &Names::none(), true),
            "UDP 133:35 UDP         10.0.0.9:5353      192.168.1.10:53    192.168.1.14:53\n"
        );
        let tcp = ConnRow { proto: 6, expires: 59, state: "SYN_RECV".into(), ..conn };
        assert!(
            row(&tcp, &Names::none(), false).starts_with("TCP 00:59  SYN_RECV    10.0.0.9:5353 ")
        );
    }
}
