-- Who is it?  A session is a signed token (JWT) in the Authorization header.
--
--     spoe-message check-session
--         args authorization=req.hdr(authorization)
--         event on-frontend-http-request
--
-- With `option var-prefix auth`:
--
--     http-request deny status 401 unless { var(txn.auth.user) -m found }
--     http-request set-header x-user "%[var(txn.auth.user)]"

local crypto, jwt = require "spoa.crypto", require "spoa.jwt"

local file <close> = assert(io.open(os.getenv "ISSUER" or "/etc/spoa-lua/issuer.pem"))
local key = assert(crypto.key(file:read "a"))

function check_session(args)
    local token = (args.authorization or ""):match "^Bearer (.+)$"

    if not token then
        return { txn = { reason = "no token", user = spoa.unset } }
    end
    local claims, why = jwt.verify(token, key, { algorithms = { "RS256" }, audience = "shop" })

    if not claims then
        return { txn = { reason = why, user = spoa.unset } }
    end
    return { ["txn.user"] = claims.sub }
end
