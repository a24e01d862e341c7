-- A score for each client connection, from a table that another file holds.
--
--     spoe-message get-ip-reputation
--         args client_ip=src
--         event on-client-session

local blocked = require "blocklist" -- a local or a required module is no handler

function get_ip_reputation(args)
    local reason = blocked[args.client_ip]

    return {
        ["sess.score"] = reason and 0 or 100,
        ["sess.reason"] = reason or spoa.unset, -- nil would leave an older one where it is
    }
end
