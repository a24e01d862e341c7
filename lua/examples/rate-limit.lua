-- At most so many requests a minute from one address, counted for all workers together.
--
--     spoe-message limit-rate
--         args ip=src
--         event on-frontend-http-request
--
-- With `option var-prefix rate`:
--
--     http-request deny status 429 if { var(txn.rate.limited) -m bool }

local dict = require "spoa.dict"

local LIMIT, SECONDS = 100, 60
local hits = assert(dict.open(os.getenv "HITS" or "hits"))

function limit_rate(args)
    local n = assert(hits:incr(args.ip, 1, 0, SECONDS)) -- the time to live is the first hit's

    return { txn = { limited = n > LIMIT, left = math.max(LIMIT - n, 0) } }
end
