-- What comes through when the clients send at line rate: frame sizes, IMIX, and numbers of flows at 64 bytes.
package.path = (debug.getinfo(1, "S").source:match("@(.*/)") or "./") .. "?.lua;" .. package.path
local traffic, trial = require("traffic"), require("trial")

local function show(site, file, what)
  local done = trial.timed(site, 100)
  trial.say(file, "%-24s sent %9.3f Mpps, came %9.3f Mpps (%.2f %%)", what, done.mpps, done.rate_came, 100 * done.came / done.sent)
end

trial.main("line_rate", function(site, file)
  for _, size in ipairs(site.sizes) do
    traffic.flows(site, size, site.flows[1])
    show(site, file, size .. " bytes")
  end
  traffic.imix(site)
  show(site, file, "IMIX")
  for _, flows in ipairs(site.flows) do
    show(site, file, traffic.flows(site, 64, flows) .. " flows, 64 bytes")
  end
end)
