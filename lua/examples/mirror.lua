-- A copy of each request's head goes to another service, when HAProxy has its answer already.
--
--     spoe-message mirror
--         args method=method uri=url host=req.hdr(host)
--         event on-frontend-http-request

local http = require "spoa.http"

local SERVICE = os.getenv "MIRROR" or "http://127.0.0.1:9000"

function mirror(args)
    spoa.after(function()
        local answer, why = http.request {
            url = SERVICE .. args.uri,
            method = args.method,
            headers = { ["x-original-host"] = args.host },
            timeout = 2,
        }
        if not answer then
            spoa.log("warning", why)
        end
    end)
end
