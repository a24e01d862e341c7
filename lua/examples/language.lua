-- The language a browser likes best of those the site has, from a header with weights:
-- "da, en-gb;q=0.8, en;q=0.7".
--
--     spoe-message choose-language
--         args wanted=req.hdr(accept-language)
--         event on-frontend-http-request

local spoken = { en = true, de = true, fr = true }

function choose_language(args)
    local best, best_weight = "en", 0

    for tag, rest in (args.wanted or ""):gmatch("([%a-]+)([^,]*)") do
        local language = tag:match("^%a+"):lower()
        local weight = tonumber(rest:match("q=([%d.]+)") or 1) or 0

        if spoken[language] and weight > best_weight then
            best, best_weight = language, weight
        end
    end
    return { txn = { language = best } } -- the same as { ["txn.language"] = best }
end
