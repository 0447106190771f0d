-- The upstream's state, shared by all replicas: what may be bought, and the one probe that finds out whether it may again (rules 14 and 37).

-- The account: the scope that stands before everybody. As the ledger keeps it, it is that of its first account.
local ACCOUNT = '*'

-- The beginning of the scope of another account.
local OTHER_ACCOUNT = 'account:'

-- Met by more than one tenant, or by something that is no tenant's doing.
local EVERYBODY = '*'

-- Only an operator closes it: a probe would be one more purchase at a price that nobody knows.
local UNSURE = 'price-unsure'

-- The beginning of the scope of the breaker that stands before one tenant only.
local TENANT = 'tenant:'

local function isTenants (scope)
  return string.sub(scope, 1, #TENANT) == TENANT
end

local function isAccounts (scope)
  return scope == ACCOUNT or string.sub(scope, 1, #OTHER_ACCOUNT) == OTHER_ACCOUNT
end

-- The scope of an account's breaker; it has the operator's name for it.
local function scopeOf (account)
  return Accounts.apart(account) and OTHER_ACCOUNT .. string.match(account, ' (.*)') or ACCOUNT
end

-- A breaker from its JSON, which is false where none is kept. Beside what is shown: `metBy`, who met the failures of this row, one tenant or everybody;
-- `inputs`, digests of the tenant's inputs that failed last; `proved`, the tenant's probe has tripped the account's breaker.
local function breakerIn (scope, kept)
  if not kept then return nil end
  local breaker = cjson.decode(kept)
  breaker.scope = scope
  breaker.sinceMs = tonumber(breaker.sinceMs)
  breaker.retryAtMs = tonumber(breaker.retryAtMs)
  breaker.failures = tonumber(breaker.failures or 0)
  return breaker
end

local function readBreaker (scope)
  if breakersNow[scope] == nil then breakersNow[scope] = redis.call('HGET', BREAKERS, scope) end
  return breakerIn(scope, breakersNow[scope])
end

local function writeBreaker (breaker)
  local kept = cjson.encode({
    state = breaker.state, sinceMs = text(breaker.sinceMs), retryAtMs = text(breaker.retryAtMs), probe = breaker.probe, failures = text(breaker.failures),
    metBy = breaker.metBy, inputs = breaker.inputs and #breaker.inputs > 0 and breaker.inputs or nil, proved = breaker.proved or nil
  })
  redis.call('HSET', BREAKERS, breaker.scope, kept)
  breakersNow[breaker.scope] = kept
end

local function forgetBreaker (scope)
  redis.call('HDEL', BREAKERS, scope)
  breakersNow[scope] = false
end

local function noBreaker ()
  return false
end

local function allBreakers ()
  local breakers = {}
  breakersNow = setmetatable(recordOf(redis.call('HGETALL', BREAKERS)), { __index = noBreaker })
  for scope, kept in pairs(breakersNow) do table.insert(breakers, breakerIn(scope, kept)) end
  table.sort(breakers, function (one, other) return one.scope < other.scope end)
  return breakers
end

-- Reads the breakers of these scopes at once, as far as they were not looked at.
local function readScopes (scopes)
  local isKnown = true
  for _, scope in ipairs(scopes) do isKnown = isKnown and breakersNow[scope] ~= nil end
  if isKnown then return end
  for place, kept in ipairs(redis.call('HMGET', BREAKERS, unpack(scopes))) do breakersNow[scopes[place]] = kept end
end

-- The breakers that stand before a generation, as far as they are kept: those of these accounts, then its tenant's, then its model's. asker: { tenant, model }
local function breakersBefore (asker, accounts)
  local scopes, found = {}, {}
  for place, account in ipairs(accounts) do scopes[place] = scopeOf(account) end
  scopes[#scopes + 1], scopes[#scopes + 2] = TENANT .. asker.tenant, asker.model
  readScopes(scopes)
  for _, scope in ipairs(scopes) do
    if breakersNow[scope] then found[#found + 1] = breakerIn(scope, breakersNow[scope]) end
  end
  return found
end

-- Those of them that are not ok.
local function trippedBreakers (asker, accounts)
  local tripped = {}
  for _, breaker in ipairs(breakersBefore(asker, accounts)) do
    if breaker.state ~= 'ok' then tripped[#tripped + 1] = breaker end
  end
  return tripped
end

-- Does it keep this generation from being bought now? The price is unsure, its pause is not over, or another one is the probe.
local function blocks (breaker, id)
  return breaker.state == UNSURE or now < breaker.retryAtMs or (breaker.probe and breaker.probe ~= id)
end

-- With which of these accounts this generation may be bought now: the first one that is ok, or one whose probe it would be. `isProbeFirst`: that one before the
-- others. `isNoProbe`: only where nothing before it is tripped.
-- -> an account; or nil, the breaker that stands before it (of those of several accounts the one to be over first), and whether it is its tenant's own
local function way (id, asker, accounts, isProbeFirst, isNoProbe)
  local tripped = trippedBreakers(asker, accounts)
  if #tripped == 0 then return accounts[1] end
  local byScope, first, ok, probed = {}, nil, nil, nil
  for _, breaker in ipairs(tripped) do byScope[breaker.scope] = breaker end
  for _, account in ipairs(accounts) do
    local breaker = byScope[scopeOf(account)]
    if not breaker then
      if ok == nil then ok = account end
    elseif not isNoProbe and not blocks(breaker, id) then
      if probed == nil or breaker.probe == id then probed = account end
    elseif not first or breaker.retryAtMs < first.retryAtMs then
      first = breaker
    end
  end
  local found = ok
  if probed ~= nil and (ok == nil or isProbeFirst) then found = probed end
  if found == nil then return nil, first, false end
  for _, breaker in ipairs(tripped) do
    if not isAccounts(breaker.scope) and (isNoProbe or blocks(breaker, id)) then return nil, breaker, isTenants(breaker.scope) end
  end
  return found
end

-- The accounts whose probe a generation may be: the first one's from its admission on, another one's only as long as it is at fal with that.
local function probable (account)
  local first = upstream or false
  return account and account ~= first and { first, account } or { first }
end

-- Makes this generation the probe of every breaker that is not ok, of accounts that of this one; only for one that nothing blocks. It is no other account's any more.
local function becomeProbe (id, asker, account)
  local scope = account ~= nil and scopeOf(account)
  for _, breaker in ipairs(trippedBreakers(asker, probable(account))) do
    if breaker.scope == scope or not isAccounts(breaker.scope) then
      breaker.probe = id
      writeBreaker(breaker)
    elseif breaker.probe == id then
      breaker.probe = nil
      writeBreaker(breaker)
    end
  end
end

-- The probe ended or lost its owner: the next generation may try.
local function freeProbe (row)
  for _, breaker in ipairs(trippedBreakers(row, probable(row.upstream))) do
    if breaker.probe == row.id then
      breaker.probe = nil
      writeBreaker(breaker)
    end
  end
end

-- It is not at fal with this account any more, so that it is not its probe.
local function leaveAccount (id, account)
  local breaker = readBreaker(scopeOf(account))
  if not breaker or breaker.probe ~= id then return end
  breaker.probe = nil
  writeBreaker(breaker)
end

-- The probe pauses for longer than its breaker does: another may try before it.
local function yieldProbe (row)
  for _, breaker in ipairs(trippedBreakers(row, probable(row.upstream))) do
    if breaker.probe == row.id and breaker.retryAtMs < row.retryAtMs then
      breaker.probe = nil
      writeBreaker(breaker)
    end
  end
end

-- Could another account of this process take a generation that was refused with its own?
local function isElsewhere (row)
  for _, account in ipairs(Accounts.own()) do
    local breaker = account ~= Accounts.of(row) and readBreaker(scopeOf(account))
    if account ~= Accounts.of(row) and (not breaker or breaker.state == 'ok') then return true end
  end
  return false
end

-- How long a refused caller should wait: until the pause is over, or as long as a probe's owner may be silent.
local function retryAfterSecondsOf (breaker)
  if breaker.state == UNSURE then return constants.unsureRetryMs / 1000 end
  local pauseMs = breaker.retryAtMs - now
  return math.max(1, math.ceil((pauseMs > 0 and pauseMs or times.leaseMs) / 1000))
end

-- The account that a scope is about, or nil.
local function accountOf (scope)
  if scope == ACCOUNT then return upstream end
  return isAccounts(scope) and string.match(upstream or 'fal', '^[^ ]*') .. ' ' .. string.sub(scope, #OTHER_ACCOUNT + 1) or nil
end

local function showBreaker (breaker)
  return { scope = breaker.scope, account = accountOf(breaker.scope), state = breaker.state, sinceMs = text(breaker.sinceMs), retryAtMs = text(breaker.retryAtMs), probe = breaker.probe, failures = text(breaker.failures) }
end

local function close (breaker)
  if breaker.state ~= 'ok' then breaker.sinceMs = now end
  breaker.state, breaker.retryAtMs, breaker.failures = 'ok', 0, 0
  breaker.probe, breaker.metBy, breaker.inputs, breaker.proved = nil, nil, nil, nil
  if isTenants(breaker.scope) then forgetBreaker(breaker.scope) else writeBreaker(breaker) end
end

local function fail (breaker, report, metBy)
  local isOk = breaker.state == 'ok'
  breaker.failures = breaker.failures + 1
  breaker.metBy = (not breaker.metBy or breaker.metBy == metBy) and metBy or EVERYBODY
  local isCountedOnly = report.after and isOk and (breaker.failures < report.after or isAccounts(breaker.scope) and breaker.metBy ~= EVERYBODY)
  if not isCountedOnly then
    local isOtherwise = report.after and not isOk and breaker.state ~= report.state
    breaker.retryAtMs = isOtherwise and math.max(breaker.retryAtMs, now + report.retryAfterMs) or now + report.retryAfterMs
    if not isOtherwise and breaker.state ~= report.state then
      breaker.state = report.state
      breaker.sinceMs = now
      if breaker.state == UNSURE then breaker.probe = nil end
    end
  end
  writeBreaker(breaker)
end

-- Takes a report, { scope, state, retryAfterMs, after or nothing, only or nothing }, the last one counting; see the port's BreakerReport for
-- `after` and `only`. While it stays not ok the probe keeps its place: it goes again after the new pause, or frees the place by ending. A tenant's breaker
-- that is ok is forgotten. -> the breaker as it now is
local function take (report, metBy)
  local breaker = readBreaker(report.scope) or { scope = report.scope, state = 'ok', sinceMs = now, retryAtMs = 0, failures = 0 }
  local from = breaker.state
  -- A price that is unsure is an operator's matter, whatever else is heard of the model meanwhile.
  local isDeaf = from == UNSURE and report.only ~= UNSURE
  if isDeaf or report.only and from ~= report.only then return breaker end
  if report.state == 'ok' then close(breaker) else fail(breaker, report, metBy) end
  if from == UNSURE and breaker.state == 'ok' then redis.call('HDEL', MORE.overruns, breaker.scope) end
  if breaker.state ~= from then redis.call('RPUSH', OUTBOX, cjson.encode({ breaker.scope, 'breaker', from, breaker.state })) end
  return breaker
end

-- Is there a place for another tenant's breaker? If need be the oldest row of failures that tripped nothing is forgotten.
local function hasRoom ()
  local tenants, oldest = 0, nil
  for _, breaker in ipairs(allBreakers()) do
    if isTenants(breaker.scope) then
      tenants = tenants + 1
      if breaker.state == 'ok' and (not oldest or breaker.sinceMs < oldest.sinceMs) then oldest = breaker end
    end
  end
  if tenants < constants.maxTenantBreakers then return true end
  if not oldest then return false end
  forgetBreaker(oldest.scope)
  return true
end

-- Takes a word that came with evidence about this generation. One about the account is about that which it was sent with. What may be its tenant's doing is counted for that tenant and for the account, whose breaker it
-- trips only when another tenant met it, too, or when the tenant's probe, with another input than those that failed, meets it again: that once, until
-- something of the tenant's works, because a tenant that breaks everything that it sends proves nothing more.
local function takeReportFor (row, report)
  local account = scopeOf(Accounts.of(row))
  if report.scope == ACCOUNT then report.scope = account end
  if not report.tenantFirst then return take(report, EVERYBODY) end
  local function about (scope, after)
    return { scope = scope, state = report.state, retryAfterMs = report.retryAfterMs, after = after, only = report.only }
  end
  local own, input = readBreaker(TENANT .. row.tenant), redis.sha1hex(row.input or '')
  local proves = own and own.state == 'open' and own.probe == row.id and not own.proved and not contains(own.inputs or {}, input)
  if own or hasRoom() then
    local breaker = take(about(TENANT .. row.tenant, report.after), row.tenant)
    local inputs = { input }
    for _, other in ipairs(breaker.inputs or {}) do
      if other ~= input and #inputs < constants.maxFailedInputs then table.insert(inputs, other) end
    end
    breaker.inputs = inputs
    breaker.proved = breaker.proved or proves or nil
    writeBreaker(breaker)
  end
  local kept = readBreaker(account)
  if proves and (not kept or kept.state == 'ok') then take(about(account), EVERYBODY)
  else take(about(account, report.after), row.tenant) end
end

-- fal accepted this generation: it closes the breakers whose probe it is, and ends a row of failures.
local function clear (row)
  for _, breaker in ipairs(breakersBefore(row, { Accounts.of(row) })) do
    if breaker.state == 'ok' and breaker.failures > 0 or breaker.state ~= 'ok' and breaker.probe == row.id then
      take({ scope = breaker.scope, state = 'ok', retryAfterMs = 0 })
    end
  end
end

-- Weighs a bill that is being booked (rule 31): one that is absurd, or the second in a row above its reservation, leaves the price of the model unsure. What
-- cost nothing, and what was told without a cost (nil), says nothing about the price.
local function weighBill (row, told)
  if not told or told == 0 then return end
  if told <= row.price then
    redis.call('HDEL', MORE.overruns, row.model)
    return
  end
  local overruns = redis.call('HINCRBY', MORE.overruns, row.model, 1)
  if told > row.price * constants.maxOverrun or overruns >= constants.maxOverrunsInARow then
    take({ scope = row.model, state = UNSURE, retryAfterMs = constants.unsureRetryMs }, EVERYBODY)
  end
end

-- An operator has spoken about a bill of this model. Was its price unsure until now?
local function trustPrice (model)
  redis.call('HDEL', MORE.overruns, model)
  local breaker = readBreaker(model)
  if not breaker or breaker.state ~= UNSURE then return false end
  take({ scope = model, state = 'ok', retryAfterMs = 0, only = UNSURE }, EVERYBODY)
  return true
end

-- breaker { scope, state, retryAfterMs, after or nothing, only or nothing } -> { scope, state, sinceMs, retryAtMs, probe or nothing, failures }
local function tellBreaker ()
  return showBreaker(take(given, EVERYBODY))
end

-- breakers {} -> as `breaker`, of all scopes
local function breakers ()
  local found = {}
  for _, breaker in ipairs(allBreakers()) do table.insert(found, showBreaker(breaker)) end
  return found
end

return {
  writeBreaker = writeBreaker,
  allBreakers = allBreakers, isTenants = isTenants, way = way, isElsewhere = isElsewhere, becomeProbe = becomeProbe, freeProbe = freeProbe,
  yieldProbe = yieldProbe, leaveAccount = leaveAccount, retryAfterSecondsOf = retryAfterSecondsOf, takeReportFor = takeReportFor, clear = clear, weighBill = weighBill, trustPrice = trustPrice, tellBreaker = tellBreaker, breakers = breakers
}
