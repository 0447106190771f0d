-- The upstream's state, shared by all replicas: what may be bought, and the one probe that finds out whether it may again (rule 14).

-- A guard as kept, or nil.
local function readGuard (scope)
  local kept = redis.call('HGET', GUARDS, scope)
  if not kept then return nil end
  local guard = cjson.decode(kept)
  guard.scope = scope
  guard.sinceMs = tonumber(guard.sinceMs)
  guard.retryAtMs = tonumber(guard.retryAtMs)
  guard.failures = tonumber(guard.failures or 0)
  return guard
end

local function writeGuard (guard)
  redis.call('HSET', GUARDS, guard.scope, cjson.encode({
    state = guard.state, sinceMs = text(guard.sinceMs), retryAtMs = text(guard.retryAtMs), probe = guard.probe, failures = text(guard.failures)
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

-- The probe pauses for longer than its guard does: another may try before it.
local function yieldProbe (row)
  for _, guard in ipairs(closedGuards(row.model)) do
    if guard.probe == row.id and guard.retryAtMs < row.retryAtMs then
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
  return { scope = guard.scope, state = guard.state, sinceMs = text(guard.sinceMs), retryAtMs = text(guard.retryAtMs), probe = guard.probe, failures = text(guard.failures) }
end

-- Takes a word about buying at all, { scope, state, retryAfterMs, after or nothing, only or nothing }, the last one counting; see the port's Verdict for
-- `after` and `only`. While it stays not ok the probe keeps its place: it goes again after the new pause, or frees the place by ending. -> the guard as it now is
local function judge (verdict)
  local guard = readGuard(verdict.scope) or { scope = verdict.scope, state = 'ok', sinceMs = now, retryAtMs = 0, failures = 0 }
  if verdict.only and guard.state ~= verdict.only then return guard end
  local from, isOk = guard.state, verdict.state == 'ok'
  guard.failures = isOk and 0 or guard.failures + 1
  if verdict.after and from ~= 'ok' and from ~= verdict.state then
    guard.retryAtMs = math.max(guard.retryAtMs, now + verdict.retryAfterMs)
  elseif not verdict.after or from ~= 'ok' or guard.failures >= verdict.after then
    guard.state = verdict.state
    if guard.state ~= from then guard.sinceMs = now end
    guard.retryAtMs = isOk and 0 or now + verdict.retryAfterMs
    if isOk then guard.probe = nil end
    if guard.state ~= from then redis.call('RPUSH', NEWS, cjson.encode({ guard.scope, 'guard', from, guard.state })) end
  end
  writeGuard(guard)
  return guard
end

-- fal accepted this generation: it opens the guards whose probe it is, and ends a row of failures.
local function clear (row)
  for i, kept in ipairs(redis.call('HMGET', GUARDS, '*', row.model)) do
    local guard = kept and readGuard(i == 1 and '*' or row.model)
    if guard and (guard.state == 'ok' and guard.failures > 0 or guard.state ~= 'ok' and guard.probe == row.id) then
      judge({ scope = guard.scope, state = 'ok', retryAfterMs = 0 })
    end
  end
end

-- guard { scope, state, retryAfterMs, after or nothing, only or nothing } -> { scope, state, sinceMs, retryAtMs, probe or nothing, failures }
local function tellGuard ()
  return showGuard(judge(given))
end

-- guards {} -> as `guard`, of all scopes
local function guards ()
  local found = {}
  for _, guard in ipairs(allGuards()) do table.insert(found, showGuard(guard)) end
  return found
end

return {
  allGuards = allGuards, closedGuards = closedGuards, blockedBy = blockedBy, becomeProbe = becomeProbe, freeProbe = freeProbe,
  yieldProbe = yieldProbe, retryAfterSecondsOf = retryAfterSecondsOf, judge = judge, clear = clear, tellGuard = tellGuard, guards = guards
}
