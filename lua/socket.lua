-- require "socket" in a handler: LuaSocket's clients, whose waiting is spoa.poll's.
--
-- Debian's lua-socket does the system calls: every socket of its core is non-blocking for good,
-- and the timeouts that a script sets are kept here.  Names are never resolved by its
-- getaddrinfo, which would stop the worker, but by spoa.dns, or else by /etc/hosts alone.

local SELF = select(2, ...)
local spoa = spoa

local found, core = pcall(require, "socket.core")
if not found then
  error('require "socket" needs LuaSocket: install the package lua-socket\n' .. core, 0)
end

local M = {}
for name, value in pairs(core) do
  if name ~= "__unload" then M[name] = value end
end

-- Bytes read or written by one call of the core, and such calls until others have their turn.
local CHUNK, TURNS = 65536, 16
-- Seconds for an address that is not the last one, when no timeout was set.
local ATTEMPT = 0.5

-- What the core says when an operation would block, and what is to be waited for.
local WOULD_BLOCK = {
  receive = { timeout = "r", wantread = "r", wantwrite = "w" },
  send = { timeout = "w", wantread = "r", wantwrite = "w" },
}

-- ---- waiting ----

-- Seconds for the next wait of an operation that is to be over at deadline; nil for ever.
local function patience(self, deadline)
  local seconds = self.block
  if deadline then
    local left = math.max(0, deadline - spoa.now())
    if not seconds or left < seconds then seconds = left end
  end
  return seconds
end

local function deadline_of(self)
  return self.total and spoa.now() + self.total
end

local function wait(self, events, seconds)
  if seconds and seconds <= 0 then return nil, "timeout" end
  local fd = self.core:getfd()
  if fd < 0 then return nil, "closed" end
  return spoa.poll(fd, events, seconds and math.min(seconds, 1e9))
end

-- After what the core gave as why: true to try again, or nil and the failure to report.
local function would_block(self, operation, why, deadline)
  local events = WOULD_BLOCK[operation][why]
  if not events then return nil, why or "failed" end
  local seconds = patience(self, deadline)
  -- LuaSec's clients that wait by themselves look at these words.
  if self.block == 0 then return nil, why end
  local ready, failure = wait(self, events, seconds)
  if ready then return true end
  return nil, failure
end

local function is_seconds(value)
  return value == nil or (type(value) == "number" and value == value)
end

-- ---- names ----

local function is_address(text)
  return text:find(":", 1, true) ~= nil or text:find "^%d+%.%d+%.%d+%.%d+$" ~= nil
end

local function from_hosts(name)
  local file <close> = io.open "/etc/hosts"
  local addresses = {}
  for line in (file and file:lines() or function() end) do
    local address, names = line:gsub("#.*", ""):match "^%s*(%S+)%s+(.*)"
    for alias in (names or ""):gmatch "%S+" do
      if alias:lower() == name:lower() then addresses[#addresses + 1] = address end
    end
  end
  return addresses[1] and addresses
end

-- spoa.dns knows /etc/hosts too, and does not read it anew each time.
local function addresses_of(name, seconds)
  if is_address(name) then return { name } end
  local built, dns = pcall(require, "spoa.dns")
  if built then
    local timeout = seconds and seconds > 0 and math.min(math.max(seconds, 0.001), 3600) or nil
    return dns.addresses(name, { timeout = timeout })
  end
  local addresses = from_hosts(name)
  if addresses then return addresses end
  return nil, ("cannot resolve '%s' without spoa.dns (its package is libc-ares-dev): %s")
              :format(name, dns)
end

-- The addresses of a name that a socket of this family can use, or nil and a message.
local function resolve(name, family, seconds)
  if type(name) ~= "string" then
    error(("bad host: a name or an address is expected, not a %s"):format(type(name)), 3)
  end
  local addresses, why = addresses_of(name, seconds)
  if not addresses then return nil, why end
  local usable = {}
  for _, address in ipairs(addresses) do
    local kind = address:find(":", 1, true) and "inet6" or "inet"
    if not family or family == kind then usable[#usable + 1] = address end
  end
  if usable[1] then return usable end
  return nil, ("'%s' has no %s address"):format(name, family == "inet6" and "IPv6" or "IPv4")
end

-- ---- what all sockets have ----

local Common = {}

function Common:settimeout(seconds, mode)
  if not is_seconds(seconds) then error("settimeout: seconds must be a number or nil", 2) end
  if seconds and seconds < 0 then seconds = nil end
  mode = mode or "b"
  if mode == "b" then
    self.block = seconds
  elseif mode == "t" or mode == "r" then
    self.total = seconds
  else
    error("settimeout: the mode must be 'b' or 't'", 2)
  end
  return 1
end

function Common:gettimeout()
  return self.block or -1, self.total or -1
end

function Common:getfd()
  return self.core:getfd()
end

-- Whoever waits for the socket goes on first, with nil, "closed".
function Common:close()
  local fd = self.core:getfd()
  if fd >= 0 then spoa.closing(fd) end
  self.core:close()
  return 1
end

local function clients_only()
  error("sockets in handlers are clients only: they cannot listen or accept", 2)
end

-- ---- streams ----

local Stream = {}

-- The n bytes, or everything for nil, in pieces, so that nobody else waits for long.
local function receive_bytes(self, n, deadline)
  local pieces, have, turns = {}, 0, 0
  while true do
    local size = n and math.min(n - have, CHUNK) or CHUNK
    local data, why, partial = self.core:receive(size)
    local piece = data or partial or ""
    pieces[#pieces + 1], have = piece, have + #piece
    if data then
      if n and have >= n then return table.concat(pieces) end
      turns = turns + 1
      if turns % TURNS == 0 then spoa.sleep(0) end
    else
      if why == "closed" and not n and have > 0 then return table.concat(pieces) end
      local again, failure = would_block(self, "receive", why, deadline)
      if not again then return nil, failure, table.concat(pieces) end
    end
  end
end

local function receive_line(self, deadline)
  local pieces = {}
  while true do
    local data, why, partial = self.core:receive "*l"
    pieces[#pieces + 1] = data or partial
    if data then return table.concat(pieces) end
    local again, failure = would_block(self, "receive", why, deadline)
    if not again then return nil, failure, table.concat(pieces) end
  end
end

-- receive([pattern [, prefix]]): as LuaSocket's; a number of bytes includes the prefix.
function Stream:receive(pattern, prefix)
  local deadline, n = deadline_of(self), tonumber(pattern)
  prefix = prefix and tostring(prefix) or ""
  local data, why, partial
  if n then
    if n < 0 or n ~= n then error("receive: a number of bytes must be 0 or more", 2) end
    n = math.floor(n)
    if #prefix > 0 and n <= #prefix then return prefix end
    data, why, partial = receive_bytes(self, n - #prefix, deadline)
  else
    local kind = tostring(pattern or "*l"):gsub("^%*", "")
    if kind == "l" then
      data, why, partial = receive_line(self, deadline)
    elseif kind == "a" then
      data, why, partial = receive_bytes(self, nil, deadline)
      if not data and why == "closed" and #prefix > 0 then return prefix end
    else
      error("receive: the pattern must be '*l', '*a' or a number of bytes", 2)
    end
  end
  if data then return prefix .. data end
  return nil, why, prefix .. partial
end

-- send(data [, i [, j]]) -> index of the last byte sent, or nil, message and that index.
function Stream:send(data, i, j)
  if type(data) ~= "string" and type(data) ~= "number" then
    error(("send: a string is expected, not a %s"):format(type(data)), 2)
  end
  data, i, j = tostring(data), i or 1, j or -1
  if i < 0 then i = math.max(1, #data + i + 1) elseif i == 0 then i = 1 end
  if j < 0 then j = #data + j + 1 end
  j = math.min(j, #data)
  local deadline, last, turns = deadline_of(self), i - 1, 0
  if last >= j then return last end
  while true do
    local sent, why, partial = self.core:send(data, last + 1, math.min(last + CHUNK, j))
    last = math.tointeger(sent or partial) or last
    if sent then
      if last >= j then return last end
      turns = turns + 1
      if turns % TURNS == 0 then spoa.sleep(0) end
    else
      local again, failure = would_block(self, "send", why, deadline)
      if not again then return nil, failure, last end
    end
  end
end

-- ---- objects ----

-- Everything else that the core's sockets have is passed on.
local function forward(methods, index)
  for name, method in pairs(index) do
    if type(method) == "function" and not methods[name] then
      methods[name] = function(self, ...) return method(self.core, ...) end
    end
  end
end

-- A class: methods of its own, then of another table, of all sockets, of the core's.
local function class(name, methods, parent)
  for _, inherited in ipairs { parent or Common, Common } do
    for key, method in pairs(inherited) do
      if methods[key] == nil then methods[key] = method end
    end
  end
  local meta = { __index = methods, __close = function(self) self:close() end }
  meta.__tostring = function(self) return ("%s: %s"):format(name, self.core) end
  meta.__name = name
  return meta
end

local function wrap(meta, sock, fields)
  local object = fields or {}
  object.core = sock
  if not meta.forwards then
    forward(meta.__index, getmetatable(sock).__index)
    meta.forwards = true
  end
  sock:settimeout(0)
  return setmetatable(object, meta)
end

-- ---- TCP ----

local Tcp = { listen = clients_only, accept = clients_only }
local tcp_meta = class("tcp", Tcp, Stream)

local function new_tcp(family)
  local sock, why = (family == "inet" and core.tcp4 or family == "inet6" and core.tcp6 or core.tcp)()
  if not sock then return nil, why end
  return wrap(tcp_meta, sock, { family = family, make = function()
    return (family == "inet" and core.tcp4 or family == "inet6" and core.tcp6 or core.tcp)()
  end, setup = {} })
end

-- What is done before connecting is done again for the next address's socket.
local function prepare(self, method, ...)
  local done, why = self.core[method](self.core, ...)
  if done then self.setup[#self.setup + 1] = table.pack(method, ...) end
  return done, why
end

function Tcp:setoption(...)
  return prepare(self, "setoption", ...)
end

function Tcp:bind(address, port)
  if address ~= "*" and not is_address(address) then
    error("bind: the address must be an IP address or '*'", 2)
  end
  return prepare(self, "bind", address, port)
end
Tcp.setsockname = Tcp.bind

-- A fresh socket instead of one whose connecting failed; nil and a message if there is none.
local function renew(self)
  local fresh, why = self.make()
  if not fresh then return nil, why end
  fresh:settimeout(0)
  Common.close(self)
  self.core = fresh
  for _, call in ipairs(self.setup) do
    local done
    done, why = fresh[call[1]](fresh, table.unpack(call, 2, call.n))
    if not done then return nil, why end
  end
  return true
end

local function connect_address(self, address, port, limit)
  while true do
    local sock = self.core
    local done, why = sock:connect(address, port)
    if done or why == "already connected" then return 1 end
    if why ~= "timeout" and why ~= "Operation already in progress" then return nil, why end
    local ready, failure = wait(self, "w", limit and limit - spoa.now())
    if not ready then return nil, failure end
  end
end

function Tcp:connect(host, port)
  local seconds = patience(self, deadline_of(self))
  local deadline = seconds and spoa.now() + seconds
  local addresses, why = resolve(host, self.family, seconds)
  if not addresses then return nil, why end
  for i, address in ipairs(addresses) do
    local left = #addresses - i
    local limit = left > 0 and spoa.now() + ATTEMPT or nil
    if deadline then limit = spoa.now() + math.max(0, deadline - spoa.now()) / (left + 1) end
    local done
    done, why = connect_address(self, address, port, limit)
    if done then return 1 end
    if why == "closed" or seconds == 0 or left == 0 then break end
    local fresh, failure = renew(self)
    if not fresh then return nil, failure end
  end
  return nil, why
end
Tcp.setpeername = Tcp.connect

function M.tcp() return new_tcp() end
function M.tcp4() return new_tcp "inet" end
function M.tcp6() return new_tcp "inet6" end

function M.connect(host, port, local_address, local_port, family)
  local sock, why = new_tcp(family)
  if not sock then return nil, why end
  local done = 1
  if local_address then done, why = sock:bind(local_address, local_port or 0) end
  if done then done, why = sock:connect(host, port) end
  if done then return sock end
  sock:close()
  return nil, why
end

-- ---- UDP ----

local Udp = {}
local udp_meta = class("udp", Udp)

local function new_udp(family)
  local sock, why = (family == "inet" and core.udp4 or family == "inet6" and core.udp6 or core.udp)()
  if not sock then return nil, why end
  return wrap(udp_meta, sock, { family = family })
end

local function datagram(self, operation, method, ...)
  local deadline = deadline_of(self)
  while true do
    local result = table.pack(self.core[method](self.core, ...))
    if result[1] then return table.unpack(result, 1, result.n) end
    local again, failure = would_block(self, operation, result[2], deadline)
    if not again then return nil, failure end
  end
end

function Udp:receive(size) return datagram(self, "receive", "receive", size) end
function Udp:receivefrom(size) return datagram(self, "receive", "receivefrom", size) end
function Udp:send(data) return datagram(self, "send", "send", data) end

function Udp:sendto(data, address, port)
  if type(address) ~= "string" or not is_address(address) then
    error("sendto: the address must be an IP address", 2)
  end
  return datagram(self, "send", "sendto", data, address, port)
end

function Udp:setpeername(host, port)
  if host == "*" then return self.core:setpeername "*" end
  local addresses, why = resolve(host, self.family)
  if not addresses then return nil, why end
  for _, address in ipairs(addresses) do
    local done
    done, why = self.core:setpeername(address, port)
    if done then return done end
  end
  return nil, why
end

function Udp:setsockname(address, port)
  if address ~= "*" and not is_address(address) then
    error("setsockname: the address must be an IP address or '*'", 2)
  end
  return self.core:setsockname(address, port)
end

function M.udp() return new_udp() end
function M.udp4() return new_udp "inet" end
function M.udp6() return new_udp "inet6" end

-- ---- select, sleep, names ----

local function add_ready(list, object)
  if list[object] then return end
  list[#list + 1] = object
  list[object] = #list
end

-- Functions that each wait for one of the sockets, and stop the others once one is ready.
local function watchers(objects, events, seconds, ready, found_one)
  local functions = {}
  for _, object in ipairs(objects or {}) do
    local fd = object:getfd()
    if fd >= 0 then
      functions[#functions + 1] = function()
        local got, why = spoa.poll(fd, events, seconds)
        if not got and why == "timeout" then return end
        add_ready(ready, object)
        spoa.sleep(0) -- those that are ready in the same turn are found too
        error(found_one, 0)
      end
    end
  end
  return functions
end

function M.select(readers, writers, timeout)
  if not is_seconds(timeout) then error("select: the timeout must be a number or nil", 2) end
  if timeout and timeout < 0 then timeout = nil end
  local readable, writable, found_one = {}, {}, {}
  for _, object in ipairs(readers or {}) do
    if object.dirty and object:dirty() then add_ready(readable, object) end
  end
  if readable[1] then return readable, writable end
  local seconds = timeout and math.min(math.max(timeout, 0.001), 1e9)
  local functions = watchers(readers, "r", seconds, readable, found_one)
  table.move(watchers(writers, "w", seconds, writable, found_one), 1, #(writers or {}),
             #functions + 1, functions)
  if #functions == 0 then
    if not timeout then error("select: no socket is open, and there is no timeout", 2) end
    spoa.sleep(timeout)
    return readable, writable, "timeout"
  end
  local done, why = pcall(spoa.all, table.unpack(functions))
  if not done and why ~= found_one then error(why, 0) end
  if done then return readable, writable, "timeout" end
  return readable, writable
end

function M.sleep(seconds)
  spoa.sleep(math.max(0, seconds))
end

M.dns = { gethostname = core.dns.gethostname }

function M.dns.getaddrinfo(name)
  local addresses, why = resolve(name)
  if not addresses then return nil, why end
  for i, address in ipairs(addresses) do
    addresses[i] = { addr = address, family = address:find(":", 1, true) and "inet6" or "inet" }
  end
  return addresses
end

function M.dns.toip(name)
  local addresses, why = resolve(name, "inet")
  if not addresses then return nil, why end
  return addresses[1], { name = name, alias = {}, ip = addresses }
end

function M.dns.tohostname()
  return nil, "not here: ask spoa.dns (dns.ptr)"
end
M.dns.getnameinfo = M.dns.tohostname

-- ---- exceptions: the core's cannot be yielded across ----

local thrown = { __tostring = function(self) return tostring(self[1]) end }

function M.newtry(finalizer)
  return function(...)
    if (...) then return ... end
    if finalizer then pcall(finalizer) end
    error(setmetatable({ (select(2, ...)) }, thrown), 0)
  end
end

local function unprotect(done, ...)
  if done then return ... end
  local why = ...
  if getmetatable(why) == thrown then return nil, why[1] end
  error(why, 0)
end

function M.protect(fn)
  return function(...) return unprotect(pcall(fn, ...)) end
end

-- ---- Debian's own socket.lua, on this core: sources, sinks, choose, connect4, ... ----

-- The file of a module's name that require would find if this layer were not there.
local function file_behind(name, own)
  for template in package.path:gmatch "[^;]+" do
    local file = package.searchpath(name, template)
    if file and file ~= own then return file end
  end
end

local env = setmetatable({ require = function(name)
  return name == "socket.core" and M or require(name)
end }, { __index = _G })
local file = file_behind("socket", SELF)
if not file then error('require "socket" needs LuaSocket: install the package lua-socket', 0) end
assert(loadfile(file, "t", env))()
M.bind = clients_only

-- For ssl.lua and socket/unix.lua.
M.layer = {
  class = class, wrap = wrap, Stream = Stream, Common = Common, would_block = would_block,
  deadline_of = deadline_of, patience = patience, file_behind = file_behind,
  clients_only = clients_only,
}

return M
