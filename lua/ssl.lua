-- require "ssl" in a handler: LuaSec's clients on the sockets of socket.lua.
--
-- Contexts, certificates and options are LuaSec's own; what waits is here.  As LuaSec, it
-- verifies what cfg.verify says, and never that a certificate is the host's.

local SELF = select(2, ...)
local spoa = spoa
local socket = require "socket"
local layer = socket.layer

local file = layer.file_behind("ssl", SELF)
local found, why = pcall(require, "ssl.core")
if not file or not found then
  error('require "ssl" needs LuaSec: install the package lua-sec\n' .. tostring(why), 0)
end
local luasec = assert(loadfile(file))("ssl", file)
local core_select, SETSIZE = require "socket.core".select, require "socket.core"._SETSIZE

local Ssl = {}
local meta = layer.class("ssl", Ssl, layer.Stream)

-- LuaSec says goodbye on a blocking socket.  Where that might block, the connection is shut
-- down first.
local function hang_up(self)
  local fd = self.core:getfd()
  if fd < 0 then return end
  local writable = fd < SETSIZE and select(2, core_select(nil, { self.core }, 0))
  if not (writable and writable[1]) then
    self.tcp:setfd(fd)
    self.tcp:shutdown "both"
    self.tcp:setfd(-1)
  end
  self.core:close()
end

function Ssl:close()
  local fd = self.core:getfd()
  if fd >= 0 then spoa.closing(fd) end
  hang_up(self)
  return 1
end

meta.__gc = hang_up

-- dohandshake() -> true, or false and a message.
function Ssl:dohandshake()
  local deadline = layer.deadline_of(self)
  while true do
    local done, failure = self.core:dohandshake()
    if done then return true end
    local again
    again, failure = layer.would_block(self, "receive", failure, deadline)
    if not again then return false, failure end
  end
end

local M = {}
for name, value in pairs(luasec) do M[name] = value end

local function check_mode(cfg)
  if type(cfg) == "table" and cfg.mode ~= "client" then
    error("ssl: sockets in handlers are clients only: mode = \"client\"", 3)
  end
end

function M.newcontext(cfg)
  check_mode(cfg)
  return luasec.newcontext(cfg)
end

-- wrap(socket, context or options) -> the connection, which the socket's descriptor is now.
function M.wrap(sock, cfg)
  if type(sock) ~= "table" or not sock.core then
    error("ssl.wrap: a socket of require \"socket\" is expected", 2)
  end
  check_mode(cfg)
  local connection, failure = luasec.wrap(sock.core, cfg)
  if not connection then return nil, failure end
  return layer.wrap(meta, connection, { tcp = sock.core, block = sock.block, total = sock.total })
end

return M
