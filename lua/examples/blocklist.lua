-- Not a handler: a table for reputation.lua, which finds it with require because it lies beside
-- it.  A reload reads it again.
return {
    ["192.0.2.66"] = "scans for open ports",
    ["2001:db8::bad"] = "guesses passwords",
}
