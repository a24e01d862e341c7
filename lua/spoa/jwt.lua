-- spoa.jwt: JSON Web Tokens (RFC 7519) that are signed (RFC 7515), verified.
--
-- The key's type decides what can verify a token, never the token alone: a string is a secret
-- and verifies HS* only, an object of spoa.crypto verifies what its type can.  So a public key
-- can never be taken for a secret.  Nothing of a token is returned before its signature is good.

local crypto = require "spoa.crypto"
local json = require "spoa.json"

local jwt = {}

local MAX_SIZE = 16384
local LEEWAY = 10 -- seconds

local HMAC = {
  HS256 = { digest = "sha256", bytes = 32 },
  HS384 = { digest = "sha384", bytes = 48 },
  HS512 = { digest = "sha512", bytes = 64 },
}
local ASYMMETRIC = {}
for name in ("RS256 RS384 RS512 PS256 PS384 PS512 ES256 ES384 ES512 EdDSA"):gmatch "%S+" do
  ASYMMETRIC[name] = true
end

local OPTIONS = {
  algorithms = "table", issuer = "string or table", audience = "string, table or false",
  leeway = "number", now = "number", require = "table", type = "string", max_size = "number",
  short_secret = "boolean",
}

local function check_options(options)
  if type(options) ~= "table" then
    error("jwt.verify: options must be a table with algorithms", 3)
  end
  for name, value in pairs(options) do
    local expected = OPTIONS[name]
    if not expected then
      error(("jwt.verify: unknown option '%s'"):format(tostring(name)), 3)
    end
    if not expected:find(type(value), 1, true) and not (value == false and name == "audience") then
      error(("jwt.verify: option %s must be a %s, not %s"):format(name, expected, type(value)), 3)
    end
  end
  local algorithms = options.algorithms
  if not algorithms or #algorithms == 0 then
    error('jwt.verify: say which algorithms are accepted: algorithms = { "RS256" }', 3)
  end
  for _, name in ipairs(algorithms) do
    if not (HMAC[name] or ASYMMETRIC[name]) then
      error(("jwt.verify: algorithm '%s' is none of HS, RS, PS, ES 256, 384, 512 and EdDSA")
            :format(tostring(name)), 3)
    end
  end
end

local function contains(list, value)
  for _, one in ipairs(list) do
    if one == value then return true end
  end
  return false
end

-- Whether value is the string wanted, or one of a list of them.
local function is_one_of(value, wanted)
  if type(wanted) == "string" then return value == wanted end
  return contains(wanted, value)
end

-- An object, never an array or a scalar; strict base64url without padding.
local function decode_object(part)
  local text = crypto.base64url_decode(part)
  if not text or not text:find "^%s*{" then return nil end
  local object = json.decode(text)
  if type(object) ~= "table" then return nil end
  return object
end

local function verify_hmac(algorithm, secret, data, signature, options)
  local row = HMAC[algorithm]
  if not row then return nil, "wrong key" end
  if secret:find("-----BEGIN ", 1, true) then
    error("jwt.verify: a PEM key is no secret: give crypto.key(pem)", 3)
  end
  if #secret == 0 or #secret < row.bytes and not options.short_secret then
    error(("jwt.verify: %s wants a secret of at least %d bytes (RFC 7518 3.2), not %d: use a longer "
           .. "one, or short_secret = true"):format(algorithm, row.bytes, #secret), 3)
  end
  if not crypto.equal(crypto.hmac(row.digest, secret, data), signature) then
    return nil, "bad signature"
  end
  return true
end

local function verify_signature(algorithm, key, data, signature, options)
  if type(key) == "string" then
    return verify_hmac(algorithm, key, data, signature, options)
  end
  if type(key) ~= "userdata" then
    error("jwt.verify: key must be a secret string, crypto.key(...) or a function that gives one, not "
          .. type(key), 3)
  end
  if HMAC[algorithm] then return nil, "wrong key" end
  local good = crypto.verify(algorithm, key, data, signature)
  if good == nil then return nil, "wrong key" end
  if not good then return nil, "bad signature" end
  return true
end

local function is_time(value)
  return type(value) == "number" and value == value and value > -2^53 and value < 2^53
end

local function check_times(claims, options)
  local now, leeway = options.now or os.time(), options.leeway or LEEWAY
  for _, name in ipairs { "exp", "nbf", "iat" } do
    if claims[name] ~= nil and not is_time(claims[name]) then return nil, "bad " .. name end
  end
  if claims.exp and now >= claims.exp + leeway then return nil, "expired" end
  if claims.nbf and now < claims.nbf - leeway then return nil, "not valid yet" end
  if claims.iat and now < claims.iat - leeway then return nil, "issued in the future" end
  return true
end

-- RFC 7519 4.1.3: a token for others is not for us, and who is nobody in particular is not meant
-- by a token for somebody.
local function check_audience(claims, wanted)
  if wanted == false or wanted == nil and claims.aud == nil then return true end
  local found = claims.aud
  if type(found) == "string" then found = { found } end
  if wanted ~= nil and type(found) == "table" then
    for _, one in ipairs(found) do
      if is_one_of(one, wanted) then return true end
    end
  end
  return nil, "wrong audience"
end

local function check_claims(claims, options)
  for _, name in ipairs(options.require or { "exp" }) do
    if claims[name] == nil then return nil, "no " .. name end
  end
  local good, reason = check_times(claims, options)
  if not good then return nil, reason end
  if options.issuer and not is_one_of(claims.iss, options.issuer) then return nil, "wrong issuer" end
  return check_audience(claims, options.audience)
end

local function check_header(header, options)
  if not header or type(header.alg) ~= "string" then return nil, "bad header" end
  if header.crit ~= nil then return nil, "critical header" end
  if not contains(options.algorithms, header.alg) then return nil, "algorithm not allowed" end
  if options.type then
    -- RFC 7515 4.1.9: application/ may be left out, and case does not count.
    local typ = type(header.typ) == "string" and header.typ:lower():gsub("^application/", "")
    if typ ~= options.type:lower() then return nil, "wrong type" end
  end
  return true
end

--- jwt.verify(token, key, options) -> claims, header; nil, reason
function jwt.verify(token, key, options)
  check_options(options)
  if token == nil or token == "" then return nil, "no token" end
  if type(token) ~= "string" then error("jwt.verify: token must be a string, not " .. type(token), 2) end
  if #token > (options.max_size or MAX_SIZE) then return nil, "token too long" end
  local head, body, tail = token:match "^([A-Za-z0-9_-]+)%.([A-Za-z0-9_-]+)%.([A-Za-z0-9_-]*)$"
  if not head then return nil, "no JWT" end
  local header = decode_object(head)
  local good, reason = check_header(header, options)
  if not good then return nil, reason end
  local signature = crypto.base64url_decode(tail)
  if not signature then return nil, "bad signature" end
  if type(key) == "function" then
    key = key(header)
    if key == nil then return nil, "no key" end
  end
  good, reason = verify_signature(header.alg, key, head .. "." .. body, signature, options)
  if not good then return nil, reason end
  local claims = decode_object(body)
  if not claims then return nil, "bad claims" end
  good, reason = check_claims(claims, options)
  if not good then return nil, reason end
  return claims, header
end

--- jwt.keys(jwks) -> a function for jwt.verify that finds the key of a JSON Web Key Set by kid
function jwt.keys(jwks)
  local list = type(jwks) == "table" and jwks.keys
  if type(list) ~= "table" then error("jwt.keys: a table with keys, as json.decode of a JWKS gives", 2) end
  local by_id, first, count = {}, nil, 0
  for _, jwk in ipairs(list) do
    -- RFC 7517 5: keys that are not understood are passed over, and so are those to encrypt with.
    local usable = type(jwk) == "table" and (jwk.use == nil or jwk.use == "sig")
    local read, key = pcall(crypto.key, usable and jwk or {})
    if usable and read and key then
      count, first = count + 1, first or key
      if type(jwk.kid) == "string" then by_id[jwk.kid] = { key = key, alg = jwk.alg } end
    end
  end
  return function(header)
    if header.kid == nil then return count == 1 and first or nil end
    local found = by_id[header.kid]
    if found and (type(found.alg) ~= "string" or found.alg == header.alg) then return found.key end
  end
end

return jwt
