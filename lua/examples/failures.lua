-- Two messages that share what they know: responses that failed are counted by client, and a
-- client with too many of them in a minute is suspicious.
--
--     spoe-message note-status
--         args client_ip=src status=status
--         event on-http-response
--
--     spoe-message judge-client
--         args client_ip=src
--         event on-frontend-http-request

local LIMIT, PERIOD = 10, 60

-- By address.  A script's locals live until the next reload; nothing bounds them but us.
local failures, since = {}, os.time()

local function recent()
    if os.time() - since >= PERIOD then
        failures, since = {}, os.time()
    end
    return failures
end

function note_status(args)
    local seen = recent()

    if args.status >= 400 then
        seen[args.client_ip] = (seen[args.client_ip] or 0) + 1
    end
end

function judge_client(args)
    return { ["txn.suspicious"] = (recent()[args.client_ip] or 0) > LIMIT }
end
