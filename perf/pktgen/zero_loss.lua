-- RFC 2544 section 26.1: the highest rate without loss, for each frame size and for IMIX.
package.path = (debug.getinfo(1, "S").source:match("@(.*/)") or "./") .. "?.lua;" .. package.path
local search, traffic, trial = require("search"), require("traffic"), require("trial")

local function show(site, file, what)
  local best
  local rate = search.greatest(0, 100, site.precision, function(rate)
    local done = trial.timed(site, rate)
    trial.say(file, "  %-12s at %6.2f %%: sent %d, lost %d", what, rate, done.sent, done.lost)
    local passes = done.sent > 0 and done.lost == 0
    if passes and (best == nil or done.mpps > best.mpps) then
      best = done
    end
    return passes
  end)
  if rate and best then
    trial.say(file, "%-14s %6.2f %% of the line, %9.3f Mpps without loss", what, rate, best.mpps)
  else
    trial.say(file, "%-14s loses frames at every rate", what)
  end
end

trial.main("zero_loss", function(site, file)
  for _, size in ipairs(site.sizes) do
    traffic.flows(site, size, site.flows[1])
    -- Flows are open before the first trial.
    trial.timed({ client_port = site.client_port, server_port = site.server_port, trial = 1, settle = 1 }, 1)
    show(site, file, size .. " bytes")
  end
  traffic.imix(site)
  show(site, file, "IMIX")
end)
