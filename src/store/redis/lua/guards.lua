-- The upstream's state, shared by all replicas: what may be bought, and the one probe that finds out whether it may again (rules 14 and 37).

-- The account: the scope that stands before everybody.
local ACCOUNT = '*'

-- Met by more than one tenant, or by something that is no tenant's doing.
local EVERYBODY = '*'

-- Only an operator opens it: a probe would be one more purchase at a price that nobody knows.
local UNSURE = 'price-unsure'

-- The beginning of the scope of the guard that stands before one tenant only.
local TENANT = 'tenant:'

local function isTenants (scope)
  return string.sub(scope, 1, #TENANT) == TENANT
end

-- A guard from its JSON, which is false where none is kept. Beside what is shown: `metBy`, who met the failures of this row, one tenant or everybody;
-- `inputs`, digests of the tenant's inputs that failed last; `proved`, the tenant's probe has closed the account's guard.
local function guardIn (scope, kept)
  if not kept then return nil end
  local guard = cjson.decode(kept)
  guard.scope = scope
  guard.sinceMs = tonumber(guard.sinceMs)
  guard.retryAtMs = tonumber(guard.retryAtMs)
  guard.failures = tonumber(guard.failures or 0)
  return guard
end

local function readGuard (scope)
  if guardsNow[scope] == nil then guardsNow[scope] = redis.call('HGET', GUARDS, scope) end
  return guardIn(scope, guardsNow[scope])
end

local function writeGuard (guard)
  local kept = cjson.encode({
    state = guard.state, sinceMs = text(guard.sinceMs), retryAtMs = text(guard.retryAtMs), probe = guard.probe, failures = text(guard.failures),
    metBy = guard.metBy, inputs = guard.inputs and #guard.inputs > 0 and guard.inputs or nil, proved = guard.proved or nil
  })
  redis.call('HSET', GUARDS, guard.scope, kept)
  guardsNow[guard.scope] = kept
end

local function forgetGuard (scope)
  redis.call('HDEL', GUARDS, scope)
  guardsNow[scope] = false
end

local function noGuard ()
  return false
end

local function allGuards ()
  local guards = {}
  guardsNow = setmetatable(recordOf(redis.call('HGETALL', GUARDS)), { __index = noGuard })
  for scope, kept in pairs(guardsNow) do table.insert(guards, guardIn(scope, kept)) end
  table.sort(guards, function (one, other) return one.scope < other.scope end)
  return guards
end

-- The guards that stand before a generation, as far as they are kept: the account's, then its tenant's, then its model's.
-- asker: { tenant, model }
local function guardsBefore (asker)
  local tenantsScope, model = TENANT .. asker.tenant, asker.model
  if guardsNow[ACCOUNT] == nil or guardsNow[tenantsScope] == nil or guardsNow[model] == nil then
    local kept = redis.call('HMGET', GUARDS, ACCOUNT, tenantsScope, model)
    guardsNow[ACCOUNT], guardsNow[tenantsScope], guardsNow[model] = kept[1], kept[2], kept[3]
  end
  local found = {}
  for _, scope in ipairs({ ACCOUNT, tenantsScope, model }) do
    if guardsNow[scope] then table.insert(found, guardIn(scope, guardsNow[scope])) end
  end
  return found
end

-- Those of them that are not ok.
local function closedGuards (asker)
  local closed = {}
  for _, guard in ipairs(guardsBefore(asker)) do
    if guard.state ~= 'ok' then table.insert(closed, guard) end
  end
  return closed
end

-- The first guard that keeps this generation from being bought now: the price is unsure, its pause is not over, or another one is the probe.
-- -> that guard, and whether it is its tenant's own
local function blockedBy (id, asker)
  for _, guard in ipairs(closedGuards(asker)) do
    if guard.state == UNSURE or now < guard.retryAtMs or (guard.probe and guard.probe ~= id) then return guard, isTenants(guard.scope) end
  end
  return nil
end

-- Makes this generation the probe of every guard that is not ok; only for one that nothing blocks.
local function becomeProbe (id, asker)
  for _, guard in ipairs(closedGuards(asker)) do
    guard.probe = id
    writeGuard(guard)
  end
end

-- The probe ended or lost its owner: the next generation may try.
local function freeProbe (row)
  for _, guard in ipairs(closedGuards(row)) do
    if guard.probe == row.id then
      guard.probe = nil
      writeGuard(guard)
    end
  end
end

-- The probe pauses for longer than its guard does: another may try before it.
local function yieldProbe (row)
  for _, guard in ipairs(closedGuards(row)) do
    if guard.probe == row.id and guard.retryAtMs < row.retryAtMs then
      guard.probe = nil
      writeGuard(guard)
    end
  end
end

-- How long a refused caller should wait: until the pause is over, or as long as a probe's owner may be silent.
local function retryAfterSecondsOf (guard)
  if guard.state == UNSURE then return constants.unsureRetryMs / 1000 end
  local pauseMs = guard.retryAtMs - now
  return math.max(1, math.ceil((pauseMs > 0 and pauseMs or times.leaseMs) / 1000))
end

local function showGuard (guard)
  return { scope = guard.scope, state = guard.state, sinceMs = text(guard.sinceMs), retryAtMs = text(guard.retryAtMs), probe = guard.probe, failures = text(guard.failures) }
end

local function open (guard)
  if guard.state ~= 'ok' then guard.sinceMs = now end
  guard.state, guard.retryAtMs, guard.failures = 'ok', 0, 0
  guard.probe, guard.metBy, guard.inputs, guard.proved = nil, nil, nil, nil
  if isTenants(guard.scope) then forgetGuard(guard.scope) else writeGuard(guard) end
end

local function fail (guard, verdict, metBy)
  local isOk = guard.state == 'ok'
  guard.failures = guard.failures + 1
  guard.metBy = (not guard.metBy or guard.metBy == metBy) and metBy or EVERYBODY
  local isCountedOnly = verdict.after and isOk and (guard.failures < verdict.after or guard.scope == ACCOUNT and guard.metBy ~= EVERYBODY)
  if not isCountedOnly then
    local isOtherwise = verdict.after and not isOk and guard.state ~= verdict.state
    guard.retryAtMs = isOtherwise and math.max(guard.retryAtMs, now + verdict.retryAfterMs) or now + verdict.retryAfterMs
    if not isOtherwise and guard.state ~= verdict.state then
      guard.state = verdict.state
      guard.sinceMs = now
      if guard.state == UNSURE then guard.probe = nil end
    end
  end
  writeGuard(guard)
end

-- Takes a word about buying at all, { scope, state, retryAfterMs, after or nothing, only or nothing }, the last one counting; see the port's Verdict for
-- `after` and `only`. While it stays not ok the probe keeps its place: it goes again after the new pause, or frees the place by ending. A tenant's guard
-- that is ok is forgotten. -> the guard as it now is
local function take (verdict, metBy)
  local guard = readGuard(verdict.scope) or { scope = verdict.scope, state = 'ok', sinceMs = now, retryAtMs = 0, failures = 0 }
  local from = guard.state
  -- A price that is unsure is an operator's matter, whatever else is heard of the model meanwhile.
  local isDeaf = from == UNSURE and verdict.only ~= UNSURE
  if isDeaf or verdict.only and from ~= verdict.only then return guard end
  if verdict.state == 'ok' then open(guard) else fail(guard, verdict, metBy) end
  if from == UNSURE and guard.state == 'ok' then redis.call('HDEL', OVERRUNS, guard.scope) end
  if guard.state ~= from then redis.call('RPUSH', NEWS, cjson.encode({ guard.scope, 'guard', from, guard.state })) end
  return guard
end

-- Is there a place for another tenant's guard? If need be the oldest row of failures that closed nothing is forgotten.
local function hasRoom ()
  local tenants, oldest = 0, nil
  for _, guard in ipairs(allGuards()) do
    if isTenants(guard.scope) then
      tenants = tenants + 1
      if guard.state == 'ok' and (not oldest or guard.sinceMs < oldest.sinceMs) then oldest = guard end
    end
  end
  if tenants < constants.maxTenantGuards then return true end
  if not oldest then return false end
  forgetGuard(oldest.scope)
  return true
end

-- Takes a word that came with evidence about this generation. What may be its tenant's doing is counted for that tenant and for the account, whose guard it
-- closes only when another tenant met it, too, or when the tenant's probe, with another input than those that failed, meets it again: that once, until
-- something of the tenant's works, because a tenant that breaks everything that it sends proves nothing more.
local function judgeFor (row, verdict)
  if not verdict.tenantFirst then return take(verdict, EVERYBODY) end
  local function about (scope, after)
    return { scope = scope, state = verdict.state, retryAfterMs = verdict.retryAfterMs, after = after, only = verdict.only }
  end
  local own, input = readGuard(TENANT .. row.tenant), redis.sha1hex(row.input or '')
  local proves = own and own.state == 'open' and own.probe == row.id and not own.proved and not contains(own.inputs or {}, input)
  if own or hasRoom() then
    local guard = take(about(TENANT .. row.tenant, verdict.after), row.tenant)
    local inputs = { input }
    for _, other in ipairs(guard.inputs or {}) do
      if other ~= input and #inputs < constants.maxFailedInputs then table.insert(inputs, other) end
    end
    guard.inputs = inputs
    guard.proved = guard.proved or proves or nil
    writeGuard(guard)
  end
  local account = readGuard(ACCOUNT)
  if proves and (not account or account.state == 'ok') then take(about(ACCOUNT), EVERYBODY)
  else take(about(ACCOUNT, verdict.after), row.tenant) end
end

-- fal accepted this generation: it opens the guards whose probe it is, and ends a row of failures.
local function clear (row)
  for _, guard in ipairs(guardsBefore(row)) do
    if guard.state == 'ok' and guard.failures > 0 or guard.state ~= 'ok' and guard.probe == row.id then
      take({ scope = guard.scope, state = 'ok', retryAfterMs = 0 })
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
  local guard = readGuard(model)
  if not guard or guard.state ~= UNSURE then return false end
  take({ scope = model, state = 'ok', retryAfterMs = 0, only = UNSURE }, EVERYBODY)
  return true
end

-- guard { scope, state, retryAfterMs, after or nothing, only or nothing } -> { scope, state, sinceMs, retryAtMs, probe or nothing, failures }
local function tellGuard ()
  return showGuard(take(given, EVERYBODY))
end

-- guards {} -> as `guard`, of all scopes
local function guards ()
  local found = {}
  for _, guard in ipairs(allGuards()) do table.insert(found, showGuard(guard)) end
  return found
end

return {
  allGuards = allGuards, isTenants = isTenants, closedGuards = closedGuards, blockedBy = blockedBy, becomeProbe = becomeProbe, freeProbe = freeProbe,
  yieldProbe = yieldProbe, retryAfterSecondsOf = retryAfterSecondsOf, judgeFor = judgeFor, clear = clear, weighBill = weighBill, trustPrice = trustPrice, tellGuard = tellGuard, guards = guards
}
