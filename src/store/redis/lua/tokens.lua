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

-- mint { id, tenant, subject, secretSha256, origins (JSON), expiresAtMs, revoked, picturesLeft, moneyLeft } -> 'OK'
-- Kept until its results may be forgotten; a second mint of the same id changes nothing.
local function mint ()
  if readToken(given.id) then return 'OK' end
  writeEnding(key('tok', given.id), given.expiresAtMs + times.resultTtlMs,
    'tenant', given.tenant, 'subject', given.subject, 'secretSha256', given.secretSha256, 'origins', given.origins,
    'expiresAtMs', text(given.expiresAtMs), 'pictures', text(given.picturesLeft), 'money', text(given.moneyLeft),
    'heldPictures', '0', 'heldMoney', '0', 'spentPictures', '0', 'spentMoney', '0')
  if given.revoked then redis.call('HSET', key('tok', given.id), 'revoked', '1') end
  return 'OK'
end

-- token { id } -> the token as minted, with what is left in it, or nothing
local function showToken ()
  local token = readToken(given.id)
  if not token then return nil end
  local pictures, money = leftIn(token)
  return {
    id = given.id, tenant = token.tenant, subject = token.subject, secretSha256 = token.secretSha256, origins = token.origins,
    expiresAtMs = token.expiresAtMs, revoked = token.revoked, picturesLeft = text(pictures), moneyLeft = text(money)
  }
end

-- revoke { id, tenant } -> '1', or '0' when the tenant has no such token
local function revoke ()
  local token = readToken(given.id)
  if not token or token.tenant ~= given.tenant then return '0' end
  redis.call('HSET', key('tok', given.id), 'revoked', '1')
  return '1'
end

return {
  readToken = readToken, draw = draw, refuseToken = refuseToken, mint = mint, showToken = showToken, revoke = revoke
}
