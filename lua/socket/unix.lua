-- require "socket.unix": LuaSocket's stream sockets of the Unix domain, as socket.lua has them.

local spoa = spoa
local layer = require "socket".layer

local path = package.searchpath("socket.unix", package.cpath)
local open = path and package.loadlib(path, "luaopen_socket_unix")
if not open then
  error('require "socket.unix" needs LuaSocket: install the package lua-socket', 0)
end
local core = open()

local Unix = { listen = layer.clients_only, accept = layer.clients_only }
local meta = layer.class("unix", Unix, layer.Stream)

-- The kernel has no event for a listener whose queue has room again: it is asked again.
local RETRY = 0.01

function Unix:connect(path_of_socket)
  local deadline = layer.deadline_of(self)
  local last = self.block and spoa.now() + self.block
  if deadline and (not last or deadline < last) then last = deadline end
  while true do
    local done, why = self.core:connect(path_of_socket)
    if done then return 1 end
    if why ~= "timeout" then return nil, why end
    if last and spoa.now() >= last then return nil, "timeout" end
    spoa.sleep(RETRY)
    if self.core:getfd() < 0 then return nil, "closed" end
  end
end

local M = {}

function M.stream()
  local sock, why = (type(core) == "table" and core.stream or core)()
  if not sock then return nil, why end
  return layer.wrap(meta, sock)
end

return setmetatable(M, { __call = function() return M.stream() end })
