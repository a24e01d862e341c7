-- A service of your own says of each request who it is and whether it may pass, as nginx's
-- auth_request and Traefik's forwardAuth have it: 2xx lets it through, anything else does not.
--
--     spoe-message forward-auth
--         args ip=src method=method host=req.hdr(host) uri=url
--              authorization=req.hdr(authorization) cookie=req.hdr(cookie)     (one line)
--         event on-frontend-http-request
--
-- With `option var-prefix auth`, in HAProxy's frontend.  Without an answer nothing is allowed:
--
--     http-request del-header x-user
--     http-request redirect location "%[var(txn.auth.location)]" if { var(txn.auth.location) -m found }
--     http-request deny status 401 if { var(txn.auth.status) -m int 401 }
--     http-request deny status 403 if { var(txn.auth.status) -m found } !{ var(txn.auth.allowed) -m bool }
--     http-request deny status 503 unless { var(txn.auth.allowed) -m bool }
--     http-request set-header x-user "%[var(txn.auth.user)]" if { var(txn.auth.user) -m found }

local http = require "spoa.http"

local SERVICE = os.getenv "AUTH_SERVICE" or "http://127.0.0.1:9000/auth"

function forward_auth(args)
    local answer, why = http.get(SERVICE, {
        timeout = 0.5,
        max_body = 65536,
        headers = { -- those that HAProxy has nothing for are nil, and not sent
            ["authorization"] = args.authorization,
            ["cookie"] = args.cookie,
            ["x-forwarded-for"] = args.ip,
            ["x-forwarded-host"] = args.host,
            ["x-forwarded-method"] = args.method,
            ["x-forwarded-uri"] = args.uri,
        },
    })
    if not answer then
        error(why) -- is logged, and txn.auth.spoa_error is "error"
    end
    return {
        ["txn.allowed"] = answer.status // 100 == 2,
        ["txn.status"] = answer.status,
        ["txn.user"] = answer.headers["x-user"],
        ["txn.location"] = answer.status // 100 == 3 and answer.headers.location or nil,
    }
end
