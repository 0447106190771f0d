-- Browser tokens: minted, revoked, and drawn from in admission like a budget. What is held and spent is booked by books.lua.

-- The token as kept, texts only, or nil.
local function readToken (id)
  return readEnding(key('tok', id))
end

-- Books on a token, if it is still there.
local function draw (id, pictures, money, kind)
  local at = key('tok', id)
  if not readToken(id) then return end
  redis.call('HINCRBY', at, kind .. 'Pictures', text(pictures))
  redis.call('HINCRBY', at, kind .. 'Money', text(money))
end

-- What is left in it; less than nothing when a picture cost more than its reservation.
local function leftIn (token)
  local pictures = tonumber(token.pictures) - tonumber(token.heldPictures) - tonumber(token.spentPictures)
  local money = tonumber(token.money) - tonumber(token.heldMoney) - tonumber(token.spentMoney)
  return pictures, money
end

-- Why an admission may not draw this much on its token, if there is a reason.
local function refuseToken (admission, price, files)
  if not admission.token then return nil end
  local token = readToken(admission.token)
  if not token or token.tenant ~= admission.tenant or token.subject ~= admission.subject then return 'unknown' end
  if token.revoked then return 'revoked' end
  if now >= tonumber(token.expiresAtMs) then return 'expired' end
  local pictures, money = leftIn(token)
  if pictures < files or money < price then return 'exhausted' end
  return nil
end

-- How many ended tokens of a tenant are dropped from its list by one mint: more than it adds, so that the list is bounded by what is alive.
local ENDED_PER_MINT = 10

-- Keeps a token for a while after its end, so that its holder is told of that; a second mint of the same id changes nothing.
local function mintOne (given)
  if readToken(given.id) then return { outcome = 'minted' } end
  local alive = key('toks', given.tenant)
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', alive, '-inf', text(now), 'LIMIT', 0, ENDED_PER_MINT)) do redis.call('ZREM', alive, id) end
  if redis.call('ZCOUNT', alive, '(' .. text(now), '+inf') >= constants.maxTokens then return { outcome = 'full' } end
  if not given.revoked then redis.call('ZADD', alive, text(given.expiresAtMs), given.id) end
  local last = redis.call('ZRANGE', alive, -1, -1)[1]
  if last then endKey(alive, tonumber(redis.call('ZSCORE', alive, last))) end
  writeEnding(key('tok', given.id), given.expiresAtMs + constants.tokenKeptMs,
    'tenant', given.tenant, 'subject', given.subject, 'secretSha256', given.secretSha256, 'origins', given.origins, 'terms', given.terms,
    'expiresAtMs', text(given.expiresAtMs), 'pictures', text(given.picturesLeft), 'money', text(given.moneyLeft),
    'heldPictures', '0', 'heldMoney', '0', 'spentPictures', '0', 'spentMoney', '0')
  if given.revoked then redis.call('HSET', key('tok', given.id), 'revoked', '1') end
  return { outcome = 'minted' }
end

-- mint { tokens: [{ id, tenant, subject, secretSha256, origins (JSON), terms, expiresAtMs, revoked, picturesLeft, moneyLeft }] }
-- -> of each { outcome: minted, or full when the tenant has as many as it may }
local function mint ()
  local minted = {}
  for i, token in ipairs(given.tokens) do minted[i] = mintOne(token) end
  return minted
end

-- The token as it is handed out.
local function show (id)
  local token = readToken(id)
  if not token then return nil end
  local pictures, money = leftIn(token)
  return {
    id = id, tenant = token.tenant, subject = token.subject, secretSha256 = token.secretSha256, origins = token.origins, terms = token.terms or '',
    expiresAtMs = token.expiresAtMs, revoked = token.revoked, picturesLeft = text(pictures), moneyLeft = text(money)
  }
end

-- token { id } -> the token as minted, with what is left in it, or nothing
local function showToken ()
  return show(given.id)
end

-- tokens { tenant, limit, after: the id of the last one seen, or nothing } -> { tokens, isMore, isCursorUnknown }; those that are alive, the first to end first
local function listTokens ()
  local alive = key('toks', given.tenant)
  local from = redis.call('ZCOUNT', alive, '-inf', text(now))
  if given.after then
    local place = redis.call('ZRANK', alive, given.after)
    if not place then return { tokens = {}, isCursorUnknown = '1' } end
    from = math.max(from, place + 1)
  end
  local ids = redis.call('ZRANGE', alive, text(from), text(from + given.limit))
  local found = {}
  for i = 1, math.min(#ids, given.limit) do table.insert(found, show(ids[i])) end
  return { tokens = found, isMore = #ids > given.limit and '1' or nil }
end

-- revoke { id, tenant } -> '1', or '0' when the tenant has no such token
-- It is kept for a while after this end as after any other.
local function revoke ()
  local token = readToken(given.id)
  if not token or token.tenant ~= given.tenant then return '0' end
  if token.revoked then return '1' end
  local at, endMs = key('tok', given.id), math.min(tonumber(token.expiresAtMs), now) + constants.tokenKeptMs
  redis.call('ZREM', key('toks', given.tenant), given.id)
  redis.call('HSET', at, 'revoked', '1', 'endMs', text(endMs))
  endKey(at, endMs)
  return '1'
end

return {
  readToken = readToken, draw = draw, refuseToken = refuseToken, mint = mint, showToken = showToken, listTokens = listTokens, revoke = revoke
}
