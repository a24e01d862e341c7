-- What spoa.cidr costs:
--     build/release/spoa-lua call -s tests/bench/cidr.lua bench
local cidr = require "spoa.cidr"

local COUNT, LOOKUPS = 200000, 1000000

math.randomseed(1)

local function ipv4()
  return string.format("%d.%d.%d.%d", math.random(1, 223), math.random(0, 255), math.random(0, 255), math.random(0, 255))
end

local function ipv6()
  return string.format("2a%02x:%x:%x:%x::%x", math.random(0, 15), math.random(0, 65535), math.random(0, 65535),
    math.random(0, 65535), math.random(0, 65535))
end

local function write(path, address, shortest, longest, value)
  local file <close> = assert(io.open(path, "w"))
  for _ = 1, COUNT do
    file:write(address(), "/", math.random(shortest, longest), value and " " .. value() or "", "\n")
  end
end

local function seconds(f)
  local began = os.clock()
  local result = f()
  return os.clock() - began, result
end

local function measure(what, address, shortest, longest, value)
  local path = os.tmpname()
  write(path, address, shortest, longest, value)
  local load, set = seconds(function() return assert(cidr.load(path, { mask = true, map = value ~= nil })) end)
  os.remove(path)

  local addresses = {}
  for i = 1, 10000 do addresses[i] = address() end
  local function run(f)
    for _ = 1, LOOKUPS / #addresses do
      for i = 1, #addresses do f(set, addresses[i]) end
    end
  end
  local hits = 0
  for i = 1, #addresses do hits = hits + (set:match(addresses[i]) and 1 or 0) end
  local empty = seconds(function() run(function() end) end)
  local match = seconds(function() run(set.match) end)
  io.stderr:write(string.format("%-22s %d prefixes loaded in %3.0f ms, a look-up %3.0f ns (%2.0f %% hits)\n",
    what, #set, load * 1e3, (match - empty) / LOOKUPS * 1e9, hits / #addresses * 100))
end

measure("IPv4 set", ipv4, 16, 32)
measure("IPv4 map, 250 values", ipv4, 16, 32, function() return "value " .. math.random(250) end)
measure("IPv6 set", ipv6, 29, 64)
measure("IPv6 map, 250 values", ipv6, 32, 128, function() return "value " .. math.random(250) end)

local list = {}
for i = 1, COUNT do list[i] = ipv4() end
io.stderr:write(string.format("cidr.new               %d addresses in %.0f ms\n", COUNT,
  seconds(function() return cidr.new(list) end) * 1e3))

function bench()
end
