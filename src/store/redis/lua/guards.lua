-- The upstream's state, shared by all replicas: what may be bought, and the one probe that finds out whether it may again (rule 14).

-- A guard as kept, or nil.
local function readGuard (scope)
  local kept = redis.call('HGET', GUARDS, scope)
  if not kept then return nil end
  local guard = cjson.decode(kept)
  guard.scope = scope
  guard.sinceMs = tonumber(guard.sinceMs)
  guard.retryAtMs = tonumber(guard.retryAtMs)
  return guard
end

local function writeGuard (guard)
  redis.call('HSET', GUARDS, guard.scope, cjson.encode({
    state = guard.state, sinceMs = text(guard.sinceMs), retryAtMs = text(guard.retryAtMs), probe = guard.probe
  }))
end

local function allGuards ()
  local scopes = redis.call('HKEYS', GUARDS)
  table.sort(scopes)
  local guards = {}
  for _, scope in ipairs(scopes) do table.insert(guards, readGuard(scope)) end
  return guards
end

-- The guards that stand before a model and are not ok: the account's, then the model's own.
local function closedGuards (model)
  local closed = {}
  for _, scope in ipairs({ '*', model }) do
    local guard = readGuard(scope)
    if guard and guard.state ~= 'ok' then table.insert(closed, guard) end
  end
  return closed
end

-- The first guard that keeps this generation from being bought now: its pause is not over, or another one is the probe.
local function blockedBy (id, model)
  for _, guard in ipairs(closedGuards(model)) do
    if now < guard.retryAtMs or (guard.probe and guard.probe ~= id) then return guard end
  end
  return nil
end

-- Makes this generation the probe of every guard that is not ok; only for one that nothing blocks.
local function becomeProbe (id, model)
  for _, guard in ipairs(closedGuards(model)) do
    guard.probe = id
    writeGuard(guard)
  end
end

-- The probe ended or lost its owner: the next generation may try.
local function freeProbe (id)
  for _, guard in ipairs(allGuards()) do
    if guard.probe == id then
      guard.probe = nil
      writeGuard(guard)
    end
  end
end

-- How long a refused caller should wait: until the pause is over, or as long as a probe's owner may be silent.
local function retryAfterSecondsOf (guard)
  local pauseMs = guard.retryAtMs - now
  return math.max(1, math.ceil((pauseMs > 0 and pauseMs or times.leaseMs) / 1000))
end

local function showGuard (guard)
  return { guard.scope, guard.state, text(guard.sinceMs), text(guard.retryAtMs), guard.probe or false }
end

-- guard { scope, state, retryAfterMs } -> [scope, state, sinceMs, retryAtMs, probe or null]
-- The last word counts. While it stays not ok the probe keeps its place: it goes again after the new pause, or frees the place by ending.
local function judge ()
  local before = readGuard(given.scope) or { state = 'ok', sinceMs = now }
  local isOk = given.state == 'ok'
  local guard = {
    scope = given.scope,
    state = given.state,
    sinceMs = given.state == before.state and before.sinceMs or now,
    retryAtMs = isOk and 0 or now + given.retryAfterMs
  }
  if not isOk then guard.probe = before.probe end
  writeGuard(guard)
  return showGuard(guard)
end

-- guards {} -> as `guard`, of all scopes
local function guards ()
  local found = {}
  for _, guard in ipairs(allGuards()) do table.insert(found, showGuard(guard)) end
  return found
end
