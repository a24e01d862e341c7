-- Is the client on a DNS blocklist?
--
--     spoe-message check-dnsbl
--         args ip=src
--         event on-client-session

local dns = require "spoa.dns"

local ZONE = os.getenv "DNSBL" or "dnsbl.example"

function check_dnsbl(args)
    local listed, why = dns.dnsbl(args.ip, ZONE, { timeout = 0.3 })

    if listed == nil then -- nobody knows: say so, and let HAProxy's rules decide
        spoa.log("warning", args.ip, why)
        return { ["sess.dnsbl"] = "unknown" }
    end
    return { ["sess.dnsbl"] = listed and listed[1] or "clean" }
end
