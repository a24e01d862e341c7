-- Who asks often waits for the answer: ten milliseconds for each request above fifty in HAProxy's
-- period.  The handler sleeps, everybody else is served meanwhile.
--
--     spoe-message slow-down
--         args rate=sc_http_req_rate(0)
--         event on-frontend-http-request

local FREE, STEP = 50, 0.010 -- requests, seconds

-- The second parameter says where the message came from, and how long its answer may take.
function slow_down(args, ctx)
    local delay = math.max((args.rate or 0) - FREE, 0) * STEP
    local most = ctx.remaining() - 0.1 -- at the deadline the answer would be "timeout" instead

    spoa.sleep(math.max(math.min(delay, most), 0))
    return { ["txn.delayed"] = delay > 0 }
end
