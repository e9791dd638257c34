-- The clients' frames: UDP, each flow a source of its own.
local traffic = {}

-- Sources of a flow are a port and an address that both go up with every frame: as many flows as the product, because a prime
-- and a lesser number have no common divisor.
local PORTS, FIRST_PORT = 49999, 10000

local function address(base, offset)
  local value = ((base[1] * 256 + base[2]) * 256 + base[3]) * 256 + base[4] + offset
  local part = function(shift)
    return (value >> shift) & 255
  end
  return string.format("%d.%d.%d.%d", part(24), part(16), part(8), part(0))
end

-- How many addresses and ports make about `flows` flows.
function traffic.shape(flows)
  if flows <= PORTS then
    return 1, flows
  end
  return math.max(1, flows // PORTS), PORTS
end

local function range(set, port, start, step, least, most)
  set(port, "start", start)
  set(port, "min", least)
  set(port, "max", most)
  set(port, "inc", step)
end

-- Sends frames of one size from about `flows` flows; returns how many. `skip` addresses before the first are left out, so that
-- flows are new.
function traffic.flows(site, size, flows, skip)
  local port, set = tostring(site.client_port), pktgen.range
  local addresses, ports = traffic.shape(flows)
  local first = address(site.clients, skip or 0)
  local last = address(site.clients, (skip or 0) + addresses - 1)
  range(set.dst_mac, port, site.client_gateway, "00:00:00:00:00:00", site.client_gateway, site.client_gateway)
  range(set.src_mac, port, site.client_mac, "00:00:00:00:00:00", site.client_mac, site.client_mac)
  range(set.src_ip, port, first, addresses > 1 and "0.0.0.1" or "0.0.0.0", first, last)
  range(set.dst_ip, port, site.vip, "0.0.0.0", site.vip, site.vip)
  range(set.src_port, port, FIRST_PORT, 1, FIRST_PORT, FIRST_PORT + ports - 1)
  range(set.dst_port, port, site.vport, 0, site.vport, site.vport)
  range(set.pkt_size, port, size, 0, size, size)
  set.ip_proto(port, "udp")
  set.ttl(port, "start", 64)
  pktgen.set_range(port, "on")
  return addresses * ports
end

-- Sends IMIX: Pktgen's sequence, a size a frame, from as many flows.
function traffic.imix(site)
  local port = tostring(site.client_port)
  pktgen.set_range(port, "off")
  for at, size in ipairs(site.imix) do
    pktgen.seqTable(at - 1, port, {
      ["eth_dst_addr"] = site.client_gateway, ["eth_src_addr"] = site.client_mac,
      ["ip_dst_addr"] = site.vip, ["ip_src_addr"] = address(site.clients, at) .. "/32",
      ["sport"] = FIRST_PORT + at, ["dport"] = site.vport, ["ethType"] = "ipv4", ["ipProto"] = "udp",
      ["vlanid"] = 1, ["pktSize"] = size,
    })
  end
  pktgen.set(port, "seq_cnt", #site.imix)
  return #site.imix
end

return traffic
