-- What is measured where: edit this, or name another file in SLUICE_SITE.
return {
  -- Pktgen's ports: the clients' side, and the real servers'.
  client_port = 0,
  server_port = 1,
  -- The appliance's MAC addresses on either side (`sluice status`).
  client_gateway = "02:70:63:61:70:00",
  server_gateway = "02:70:63:61:70:01",
  -- Those of Pktgen's own ports: `via` of the appliance's routes and its real servers have them as neighbours.
  client_mac = "02:00:00:00:0c:01",
  server_mac = "02:00:00:00:0d:02",
  vip = "10.0.0.100",
  vport = 80,
  -- Clients are 10.128.0.0 and up.
  clients = { 10, 128, 0, 0 },
  -- Frame sizes with their checksums (RFC 2544 section 9.1).
  sizes = { 64, 128, 256, 512, 1024, 1280, 1518 },
  -- 7 : 4 : 1, 353.8 bytes on average.
  imix = { 64, 64, 64, 64, 64, 64, 64, 594, 594, 594, 594, 1518 },
  flows = { 1000, 100000, 1000000 },
  -- Seconds: a trial (RFC 2544 section 24 wants 60), and until what is under way has arrived.
  trial = 60,
  settle = 2,
  -- Percent of the line rate within which a search ends.
  precision = 0.1,
  -- Connections of the first trial of the capacity test, and the most it tries.
  connections = { 100000, 16000000 },
  -- Seconds after which the appliance has forgotten a silent UDP flow: `sluice ipvsadm --set 0 0 5`.
  forgets = 8,
}
