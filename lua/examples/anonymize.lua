-- The client's address without the part that names a person, for the log: IPv4 /24, IPv6 /48.
-- A plain string would do for logging; an address of its own type also works in HAProxy's ACLs.
--
--     spoe-message anonymize
--         args ip=src
--         event on-client-session

local function ipv4_network(ip)
    return spoa.ipv4((ip:gsub("%d+$", "0")))
end

local function ipv6_network(ip)
    local groups = {}

    for group in (ip:match("^(.-)::") or ip):gmatch("[^:]+") do
        groups[#groups + 1] = group
    end
    return spoa.ipv6(table.concat(groups, ":", 1, math.min(#groups, 3)) .. "::")
end

function anonymize(args)
    local kind = spoa.type(args, "ip")

    if kind == "ipv4" then
        return { ["sess.network"] = ipv4_network(args.ip), ["sess.bits"] = spoa.uint32(24) }
    elseif kind == "ipv6" then
        return { ["sess.network"] = ipv6_network(args.ip), ["sess.bits"] = spoa.uint32(48) }
    end
    return { ["sess.network"] = spoa.unset } -- "null": a client without an address
end
