-- Evidence about a submit attempt (rule 2): taken from whoever has it, lease or not. The first wins, it names the attempt, and it ends an `unknown`.
-- Every operation here answers { from: the phase that it found, row: as it now is }, or nothing when there is none.

-- Has this attempt another request id already? Then this one is a second purchase, and booked once.
local function bookIfDouble (row, requestId)
  if not requestId or not row.requestId or row.requestId == requestId then return false end
  local doubles = cjson.decode(row.doubles or '[]')
  if not contains(doubles, requestId) then
    Books.bookDouble(row, requestId)
    News.tell(row, 'double', row.phase, row.price)
    table.insert(doubles, requestId)
    Rows.write(row, { doubles = encodeList(doubles) })
  end
  return true
end

-- The row is older than the evidence: the attempt was granted, and the store forgot it.
local function catchUp (row, attempt)
  if Books.isFinal(row) then return Rows.change(row, { attempt = attempt }) end
  local forgotten = { attempt = attempt, requestId = false, doubt = false, doubtSinceMs = false, runUntilMs = row.runUntilMs or now + times.runMs }
  if row.phase == 'waiting' then
    forgotten.phase = 'submitting'
    forgotten.claimId = false
    forgotten.retryAtMs = 0
    forgotten.leaseUntilMs = now
  end
  Rows.change(row, forgotten)
end

-- Finds the row and lets `take` act on it when the evidence is about its attempt; a newer attempt proves a rollback, and the row catches up.
local function weigh (take)
  local row = Rows.readRow(given.id)
  if not row then return nil end
  local from = row.phase
  if given.attempt > row.attempt then catchUp(row, given.attempt) end
  if given.attempt == row.attempt then take(row) end
  return { from = from, row = Rows.show(row) }
end

-- At fal again or still. Nobody looks after what was `unknown`, so the next sweep gives it to its replica at once.
local function atUpstream (row, changes)
  if row.phase == 'unknown' then
    changes.failure = false
    changes.leaseUntilMs = now
  else
    changes.claimId = false
    changes.doubt = false
    changes.doubtSinceMs = false
  end
  Rows.change(row, changes)
end

-- It may have been bought: the money stays held until evidence or an operator says what became of it.
local function becomeUnknown (row, failure)
  Rows.change(row, { phase = 'unknown', owner = false, failure = failure, queuePosition = false, doubt = false, doubtSinceMs = false, claimId = false,
    unknownSinceMs = now, answersUntilMs = now + constants.verdictMs })
end

-- It ended as not bought, by an operator's word or in a copy from a rollback, and fal turns out to have it. Nobody follows what has ended, so the price is
-- booked, as an assumption.
local function bookAfterAll (row, requestId)
  Rows.change(row, { requestId = requestId, cost = row.price, costAssumed = true })
  News.tell(row, 'late', row.phase, row.price)
end

-- sent { id, attempt, requestId }
local function sent ()
  return weigh(function (row)
    if row.phase == 'waiting' or bookIfDouble(row, given.requestId) then return end
    if row.phase == 'submitting' then Guards.clear(row) end
    if row.phase == 'submitting' or row.phase == 'unknown' then atUpstream(row, { phase = 'accepted', requestId = given.requestId })
    elseif not row.requestId and Books.isUnbilledEnd(row) then bookAfterAll(row, given.requestId)
    elseif not row.requestId then Rows.change(row, { requestId = given.requestId }) end
  end)
end

-- unsent { id, attempt, failure (JSON) | retryAfterMs, busy or nothing; verdict or nothing }
-- No evidence against a request id. A generation whose cancel was wished meanwhile does not go back into the line.
local function unsent ()
  return weigh(function (row)
    if row.phase ~= 'submitting' and (row.phase ~= 'unknown' or row.requestId) then return end
    if given.verdict then Guards.judgeFor(row, given.verdict) end
    if given.busy then Line.lowerPlaces(given.retryAfterMs) end
    if row.cancelWished then
      Rows.change(row, { phase = 'cancelled', owner = false, failure = false, cost = 0, finishedAtMs = now })
    elseif given.failure then
      Rows.change(row, { phase = 'failed', owner = false, failure = given.failure, cost = 0, finishedAtMs = now })
    else
      Rows.change(row, { phase = 'waiting', owner = false, failure = false, claimId = false, retryAtMs = now + given.retryAfterMs })
      Guards.yieldProbe(row)
    end
  end)
end

-- lost { id, attempt, failure (JSON), what: 'submit' | 'run', verdict or nothing }
-- That a submit was not answered here is no evidence against a request id that came elsewhere.
local function lost ()
  return weigh(function (row)
    if not Rows.isAtUpstream(row.phase) or (given.what == 'submit' and row.requestId) then return end
    if given.verdict then Guards.judgeFor(row, given.verdict) end
    becomeUnknown(row, given.failure)
  end)
end

-- progressed { id, attempt, kind: 'queued' | 'running', position, log: { from, lines } or nothing }
-- Nothing can be seen of a generation without its request id, so such a sighting is no evidence.
local function progressed ()
  return weigh(function (row)
    if not row.requestId or row.phase == 'waiting' or Books.isFinal(row) then return end
    local logged = Logs.keepLog(row, given.log)
    if row.phase == 'running' then
      if logged or row.doubt then Rows.change(row, { logged = logged, doubt = false, doubtSinceMs = false }) end
    elseif given.kind == 'running' then
      atUpstream(row, { phase = 'running', queuePosition = false, startedAtMs = row.startedAtMs or now, logged = logged })
    elseif row.phase == 'unknown' or row.queuePosition ~= given.position or row.doubt or logged then
      atUpstream(row, { phase = 'accepted', queuePosition = given.position or false, logged = logged })
    end
  end)
end

-- doubted { id, attempt, requestId, seen, log: { from, lines } or nothing }
-- That a result cannot be had says nothing of it; whatever else is said differently leaves it undecided.
local function doubted ()
  return weigh(function (row)
    if row.requestId ~= given.requestId or not Rows.isAtUpstream(row.phase) then return end
    local logged = Logs.keepLog(row, given.log)
    local isFirst = not row.doubt or row.doubt == 'unavailable'
    local saysNothing = given.seen == 'unavailable'
    local doubt = isFirst and given.seen or (saysNothing or given.seen == row.doubt) and row.doubt or 'undecided'
    if doubt == row.doubt and not logged then return end
    local since = (not row.doubtSinceMs or row.doubt == 'unavailable' and not saysNothing) and now or row.doubtSinceMs
    Rows.change(row, { doubt = doubt, doubtSinceMs = since, logged = logged })
  end)
end

local function close (row, facts)
  local changes = facts
  changes.phase = given.kind
  changes.owner = false
  changes.queuePosition = false
  changes.finishedAtMs = now
  changes.claimId = false
  changes.doubt = false
  changes.doubtSinceMs = false
  changes.failure = given.kind == 'failed' and given.failure or false
  if given.kind == 'succeeded' then
    local isKept = given.outputSha256 == nil
    -- Until this moment a refresh left its cache name to the old result, and what was called off left it to others.
    local takesName = row.mode == 'refresh'
    if row.cancelWished then takesName = row.mode ~= 'bypass' and row.cacheName ~= nil and not Names.cacheLead(row.cacheName) end
    if isKept and takesName and row.cacheName then Names.takeCacheName(row.cacheName, row.id) end
    if isKept and row.mode ~= 'bypass' and given.learnedName and not Names.cacheLead(given.learnedName) then
      changes.learnedName = given.learnedName
      Names.takeCacheName(given.learnedName, row.id)
    end
    if isKept then changes.output = payload else changes.outputSha256 = given.outputSha256 end
    if given.seed then changes.seed = given.seed end
    if given.files then changes.files = math.min(given.files, row.files or 1) end
  else
    changes.answersUntilMs = now + constants.verdictMs
  end
  Rows.change(row, changes)
end

-- finish { id, attempt, requestId, kind, cost, failure (JSON), seed, learnedName, files, outputSha256, log: { from, lines } or nothing }, payload: the output
-- With `outputSha256` the output was too large to be kept: the row has its hash instead, and no name leads to it.
local function finish ()
  return weigh(function (row)
    if row.phase == 'waiting' then return end
    local isSecond = bookIfDouble(row, given.requestId)
    local facts = { cost = given.cost or row.price, costAssumed = given.cost == nil, requestId = row.requestId or given.requestId }
    if not Books.isFinal(row) then
      facts.logged = Logs.keepLog(row, given.log)
      return close(row, facts)
    end
    -- A double was booked in full when it was noticed.
    local booked = facts.cost - (row.cost or 0)
    if isSecond or booked <= 0 then return end
    Rows.change(row, facts)
    News.tell(row, 'late', row.phase, booked)
  end)
end

return {
  bookIfDouble = bookIfDouble, becomeUnknown = becomeUnknown, bookAfterAll = bookAfterAll, sent = sent, unsent = unsent, lost = lost,
  progressed = progressed, doubted = doubted, finish = finish
}
