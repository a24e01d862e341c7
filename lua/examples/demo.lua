-- What `make demo` asks at each request.  HAProxy's side is conf/demo/spoe.cfg:
--
--     spoe-message check-client
--         args ip=src greeting=req.hdr(x-greeting) coupon=url_param(coupon)
--
-- Change a number here, `kill -HUP` spoa-lua, and ask again.

local scores = {
    ["127.0.0.1"] = 100,
    ["127.0.0.66"] = 0,
}

local coupons = { SPRING = true }

function check_client(args)
    local actions = { ["sess.score"] = scores[args.ip] or 50 }

    -- An argument that HAProxy has nothing for is nil, and nil sets nothing.
    actions["txn.greeting"] = args.greeting and args.greeting .. " to you, " .. args.ip

    -- HAProxy has set txn.coupon already; one that is not ours is taken away again.
    if args.coupon and not coupons[args.coupon] then
        actions["txn.coupon"] = spoa.unset
    end

    return actions
end
