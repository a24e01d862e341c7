-- A verdict for each client from a file of networks, read again whenever it changes.
--
--     spoe-message check-network
--         args ip=src
--         event on-client-session
--
-- A line of the file is a prefix and what to say of it; the longest prefix counts:
--
--     192.0.2.0/24    scanner
--     192.0.2.7       friend

local cidr = require "spoa.cidr"

local networks = assert(cidr.load(os.getenv "NETWORKS" or "/etc/spoa-lua/networks.txt", { map = true }))

function check_network(args)
    return { ["sess.network"] = networks:match(args.ip) or spoa.unset }
end
