-- At most so many requests a minute from one address, counted in Redis for all agents together.
--
--     spoe-message limit-rate-shared
--         args ip=src
--         event on-frontend-http-request
--
-- With `option var-prefix rate`:
--
--     http-request deny status 429 if { var(txn.rate.limited) -m bool }
--
-- Without Redis everybody is let through, and txn.rate.uncounted is true.

local redis = require "spoa.redis"

local LIMIT, SECONDS = 100, 60
local server = redis.new { port = tonumber(os.getenv "REDIS_PORT") or 6379, timeout = 0.05 }

-- One step, or a counter might be left without its end.
local COUNT = [[
    local n = redis.call("INCR", KEYS[1])
    if n == 1 then redis.call("EXPIRE", KEYS[1], ARGV[1]) end
    return n
]]

function limit_rate_shared(args)
    local n, problem = server:eval(COUNT, 1, "rate:" .. args.ip, SECONDS)

    if not n then
        spoa.log("warning", "limit-rate-shared:", problem)
        return { ["txn.uncounted"] = true }
    end
    return { txn = { limited = n > LIMIT, left = math.max(LIMIT - n, 0), uncounted = spoa.unset } }
end
