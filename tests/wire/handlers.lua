-- What the transcripts talk to when they bring no handlers of their own.

-- v, back as Lua has it: integers become INT64, strings STRING, null nothing.
function echo(args)
    return { ["txn.v"] = args.v }
end

-- How v arrived: the name of its type and what tostring makes of it.
function show(args)
    return { ["txn.v"] = spoa.type(args, "v") .. " " .. tostring(args.v) }
end

-- How many arguments, and the first two.
function list(args)
    return { ["txn.v"] = #args .. " " .. tostring(args[1]) .. " " .. tostring(args[2]) }
end

-- Sleeps for v milliseconds, then says so.
function sleep(args)
    spoa.sleep(args.v / 1000)
    return { ["txn.slept"] = args.v }
end

-- Leaves a line in the log: for transcripts in which nothing may run.
function trace()
    spoa.log("info", "the handler ran")
end

function fail()
    error("on purpose")
end

function nothing()
end
