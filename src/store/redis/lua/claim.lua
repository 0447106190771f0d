-- Claims: the grant of one submit attempt, which is the journal line before the POST.

-- What a generation ends with whose time in our queue is over.
local EXPIRED = '{"code":"upstream-timeout","detail":"It waited for a slot for as long as it may, and nothing was bought."}'

-- The same when its caller had set the time.
local NOT_STARTED = '{"code":"start-timeout","detail":"It did not start in the time that the request gave it, and nothing was bought."}'

-- What a generation ends with whose model is gone: it would wait in vain, and before others.
local RETIRED = '{"code":"model-retired","detail":"The model is no longer offered upstream, and nothing was bought."}'

local function giveUp (row, failure)
  Rows.change(row, { phase = 'failed', failure = failure, cost = 0, finishedAtMs = now })
  Outbox.add(row, 'ended', 'waiting', 0)
end

-- Ends a generation that waited here past its deadline, unspent.
local function expire (row)
  giveUp(row, row.startUntilMs and row.startUntilMs <= now and NOT_STARTED or EXPIRED)
end

-- Lets others go before one whose model is not bought until an operator has looked. It keeps its position in the queue, and is nobody's probe.
local function stepAside (row)
  Breakers.freeProbe(row)
  Rows.adjust(row, { retryAtMs = now + constants.asideMs })
end

-- Puts generations whose pause is over back into the queue, where they stood.
local function bringBack ()
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', LATER, '-inf', text(now), 'LIMIT', 0, constants.tidyPerCall)) do
    local row = Rows.readBrief(id)
    if row then Rows.adjust(row, { retryAtMs = false }) end
  end
end

local function grant (row, account)
  Breakers.becomeProbe(row.id, row, account)
  Queue.charge(row.tenant)
  Rows.change(row, {
    phase = 'submitting',
    attempt = row.attempt + 1,
    owner = given.replica,
    upstream = account,
    runUntilMs = now + times.runMs,
    claimId = given.claimId,
    leaseUntilMs = now + times.leaseMs
  })
  local answer = Rows.handOver(Rows.complete(row))
  answer.outcome = 'go'
  answer.isQueueEmpty = Queue.isQueueEmpty() and '1' or nil
  return answer
end

-- Those to be looked at, in order: the probe, which nobody may go before, then tenants by virtual time and their generations by rank.
-- `getMany` answers nil to be shown the next one, or nil and true to be shown none of this tenant's any more.
local function eachCandidate (look)
  local passed = {}
  for _, breaker in ipairs(Breakers.allBreakers()) do
    local row = breaker.probe and Rows.readBrief(breaker.probe)
    if row and redis.call('ZSCORE', TURNS, row.tenant) and redis.call('ZSCORE', key('q', row.tenant), row.id) then
      local found, isPassed = look(row)
      if found then return found end
      if isPassed then passed[row.tenant] = true end
    end
  end
  local looks = constants.tidyPerCall
  for _, tenant in ipairs(redis.call('ZRANGE', TURNS, 0, constants.tidyPerCall - 1)) do
    if looks == 0 then return nil end
    for _, id in ipairs(redis.call('ZRANGE', key('q', tenant), 0, looks - 1)) do
      if passed[tenant] then break end
      -- The first one is mostly granted, so it is read whole.
      local row = looks == constants.tidyPerCall and Rows.readRow(id) or Rows.readBrief(id)
      local found, isPassed
      if row then found, isPassed = look(row) end
      if found then return found end
      if isPassed then passed[tenant] = true end
      looks = looks - 1
    end
  end
  return nil
end

-- claim { claimId, startByMs, replica, slots: of each account that has no number of its own, known: { epoch, sequence } }
-- -> { outcome: 'go', row, terms, isQueueEmpty } or { outcome: 'wait', untilMs } or { outcome: 'busy' | 'empty' | 'breaker' | 'late' }
-- Looks at no more than 32 tenants and 32 generations, closing those on the way that waited too long.
local function claim ()
  local granted = redis.call('HGET', CLAIMS, given.claimId)
  granted = granted and Rows.readRow(granted)
  if granted then
    local answer = Rows.handOver(granted)
    answer.outcome = 'go'
    return answer
  end
  if now > given.startByMs then return { outcome = 'late' } end
  local untilMs = History.look()
  if untilMs then return { outcome = 'wait', untilMs = text(untilMs) } end
  bringBack()
  local accounts = Accounts.withRoom(given.slots)
  if #accounts == 0 then return { outcome = 'busy' } end

  local isBlocked = false
  local found = eachCandidate(function (row)
    if row.waitUntilMs <= now then
      expire(row)
      return nil
    end
    local account, breaker, isTenants = Breakers.way(row.id, row, accounts, true)
    if account ~= nil then return grant(row, account) end
    if breaker.state == 'retired' then giveUp(row, RETIRED) else isBlocked = true end
    if breaker.state == 'price-unsure' then stepAside(row) end
    -- Looking at a blocked tenant's other generations would take the turn of others' in the queue.
    return nil, isTenants
  end)
  return found or { outcome = isBlocked and 'breaker' or 'empty' }
end

return {
  expire = expire, bringBack = bringBack, claim = claim
}
