-- RFC 9693 sections 4.4 and 4.7: how fast connections can be established, and how many. Every frame is the first of a flow, so a
-- trial passes if as many come out as went in. Ports follow one another, where RFC 4814 wants them at random: the appliance's
-- hash is keyed and does not care.
package.path = (debug.getinfo(1, "S").source:match("@(.*/)") or "./") .. "?.lua;" .. package.path
local search, traffic, trial = require("search"), require("traffic"), require("trial")

-- Flows that were never there before, at a rate; and the time that the appliance takes to forget them.
local function establish(site, file, rate, wanted)
  local flows = traffic.flows(site, 64, wanted)
  local done = trial.counted(site, rate, flows)
  trial.say(file, "  %d connections at %.2f %%: lost %d", flows, rate, done.lost)
  pktgen.delay(site.forgets * 1000)
  return done.sent >= flows and done.lost == 0, done
end

trial.main("connections", function(site, file)
  local count, best = site.connections[1], 0
  local rate = search.greatest(0, 100, site.precision, function(rate)
    local passes, done = establish(site, file, rate, count)
    if passes then
      best = math.max(best, done.mpps)
    end
    return passes
  end)
  if rate == nil then
    trial.say(file, "connections are lost at every rate")
    return
  end
  trial.say(file, "connection establishment: %.2f %% of the line without loss", rate)
  local most, refused = search.capacity(count, site.connections[2], 0.01, function(connections)
    return (establish(site, file, rate, math.floor(connections)))
  end)
  trial.say(file, "capacity: %s connections%s", most and math.floor(most) or "no", refused and "" or ", and more were not tried")
end)
