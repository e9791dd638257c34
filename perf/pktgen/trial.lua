-- One trial: sends, waits for what is under way, and counts.
local trial = {}

local function counters(port)
  return pktgen.portStats(tostring(port), "port")[port]
end

local function result(site, seconds)
  pktgen.delay(site.settle * 1000)
  local sent, came = counters(site.client_port).opackets, counters(site.server_port).ipackets
  return { sent = sent, came = came, lost = sent - came, mpps = sent / seconds / 1e6, rate_came = came / seconds / 1e6 }
end

-- Sends at `rate` percent of the line for the site's seconds.
function trial.timed(site, rate)
  local port = tostring(site.client_port)
  pktgen.set(port, "count", 0)
  pktgen.set(port, "rate", rate)
  pktgen.clr()
  pktgen.start(port)
  pktgen.delay(site.trial * 1000)
  pktgen.stop(port)
  return result(site, site.trial)
end

-- Sends `count` frames at `rate` percent of the line.
function trial.counted(site, rate, count)
  local port = tostring(site.client_port)
  pktgen.set(port, "rate", rate)
  pktgen.set(port, "count", count)
  pktgen.clr()
  local start = os.time()
  pktgen.start(port)
  while pktgen.isSending(port)[site.client_port] == "y" do
    pktgen.delay(10)
  end
  return result(site, math.max(1, os.time() - start))
end

-- A line of the results, on the screen and in the file.
function trial.say(file, ...)
  local line = string.format(...)
  print(line)
  file:write(line .. "\n")
  file:flush()
end

-- Runs `measure(site, file)` with the site and a file for its results, and ends Pktgen.
function trial.main(name, measure)
  local here = debug.getinfo(2, "S").source:match("@(.*/)") or "./"
  local site = dofile(os.getenv("SLUICE_SITE") or (here .. "site.lua"))
  local file = assert(io.open(os.getenv("SLUICE_RESULTS") or (name .. ".txt"), "a"))
  pktgen.screen("off")
  measure(site, file)
  file:close()
  pktgen.quit()
end

return trial
