-- The upstream's state, shared by all replicas: what may be bought, and the one probe that finds out whether it may again (rules 14 and 37).

-- The account: the scope that stands before everybody.
local ACCOUNT = '*'

-- Met by more than one tenant, or by something that is no tenant's doing.
local EVERYBODY = '*'

-- Only an operator closes it: a probe would be one more purchase at a price that nobody knows.
local UNSURE = 'price-unsure'

-- The beginning of the scope of the breaker that stands before one tenant only.
local TENANT = 'tenant:'

local function isTenants (scope)
  return string.sub(scope, 1, #TENANT) == TENANT
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

-- The breakers that stand before a generation, as far as they are kept: the account's, then its tenant's, then its model's.
-- asker: { tenant, model }
local function breakersBefore (asker)
  local tenantsScope, model = TENANT .. asker.tenant, asker.model
  if breakersNow[ACCOUNT] == nil or breakersNow[tenantsScope] == nil or breakersNow[model] == nil then
    local kept = redis.call('HMGET', BREAKERS, ACCOUNT, tenantsScope, model)
    breakersNow[ACCOUNT], breakersNow[tenantsScope], breakersNow[model] = kept[1], kept[2], kept[3]
  end
  local found = {}
  for _, scope in ipairs({ ACCOUNT, tenantsScope, model }) do
    if breakersNow[scope] then table.insert(found, breakerIn(scope, breakersNow[scope])) end
  end
  return found
end

-- Those of them that are not ok.
local function trippedBreakers (asker)
  local tripped = {}
  for _, breaker in ipairs(breakersBefore(asker)) do
    if breaker.state ~= 'ok' then table.insert(tripped, breaker) end
  end
  return tripped
end

-- The first breaker that keeps this generation from being bought now: the price is unsure, its pause is not over, or another one is the probe.
-- -> that breaker, and whether it is its tenant's own
local function blockedBy (id, asker)
  for _, breaker in ipairs(trippedBreakers(asker)) do
    if breaker.state == UNSURE or now < breaker.retryAtMs or (breaker.probe and breaker.probe ~= id) then return breaker, isTenants(breaker.scope) end
  end
  return nil
end

-- Makes this generation the probe of every breaker that is not ok; only for one that nothing blocks.
local function becomeProbe (id, asker)
  for _, breaker in ipairs(trippedBreakers(asker)) do
    breaker.probe = id
    writeBreaker(breaker)
  end
end

-- The probe ended or lost its owner: the next generation may try.
local function freeProbe (row)
  for _, breaker in ipairs(trippedBreakers(row)) do
    if breaker.probe == row.id then
      breaker.probe = nil
      writeBreaker(breaker)
    end
  end
end

-- The probe pauses for longer than its breaker does: another may try before it.
local function yieldProbe (row)
  for _, breaker in ipairs(trippedBreakers(row)) do
    if breaker.probe == row.id and breaker.retryAtMs < row.retryAtMs then
      breaker.probe = nil
      writeBreaker(breaker)
    end
  end
end

-- How long a refused caller should wait: until the pause is over, or as long as a probe's owner may be silent.
local function retryAfterSecondsOf (breaker)
  if breaker.state == UNSURE then return constants.unsureRetryMs / 1000 end
  local pauseMs = breaker.retryAtMs - now
  return math.max(1, math.ceil((pauseMs > 0 and pauseMs or times.leaseMs) / 1000))
end

local function showBreaker (breaker)
  return { scope = breaker.scope, state = breaker.state, sinceMs = text(breaker.sinceMs), retryAtMs = text(breaker.retryAtMs), probe = breaker.probe, failures = text(breaker.failures) }
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
  local isCountedOnly = report.after and isOk and (breaker.failures < report.after or breaker.scope == ACCOUNT and breaker.metBy ~= EVERYBODY)
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
  if from == UNSURE and breaker.state == 'ok' then redis.call('HDEL', OVERRUNS, breaker.scope) end
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

-- Takes a word that came with evidence about this generation. What may be its tenant's doing is counted for that tenant and for the account, whose breaker it
-- trips only when another tenant met it, too, or when the tenant's probe, with another input than those that failed, meets it again: that once, until
-- something of the tenant's works, because a tenant that breaks everything that it sends proves nothing more.
local function takeReportFor (row, report)
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
  local account = readBreaker(ACCOUNT)
  if proves and (not account or account.state == 'ok') then take(about(ACCOUNT), EVERYBODY)
  else take(about(ACCOUNT, report.after), row.tenant) end
end

-- fal accepted this generation: it closes the breakers whose probe it is, and ends a row of failures.
local function clear (row)
  for _, breaker in ipairs(breakersBefore(row)) do
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
    redis.call('HDEL', OVERRUNS, row.model)
    return
  end
  local overruns = redis.call('HINCRBY', OVERRUNS, row.model, 1)
  if told > row.price * constants.maxOverrun or overruns >= constants.maxOverrunsInARow then
    take({ scope = row.model, state = UNSURE, retryAfterMs = constants.unsureRetryMs }, EVERYBODY)
  end
end

-- An operator has spoken about a bill of this model. Was its price unsure until now?
local function trustPrice (model)
  redis.call('HDEL', OVERRUNS, model)
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
  allBreakers = allBreakers, isTenants = isTenants, trippedBreakers = trippedBreakers, blockedBy = blockedBy, becomeProbe = becomeProbe, freeProbe = freeProbe,
  yieldProbe = yieldProbe, retryAfterSecondsOf = retryAfterSecondsOf, takeReportFor = takeReportFor, clear = clear, weighBill = weighBill, trustPrice = trustPrice, tellBreaker = tellBreaker, breakers = breakers
}
