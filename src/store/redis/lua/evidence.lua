-- Evidence about a submit attempt (rule 2) and about the purchase that came of it (rule 21): taken from every process that has it, lease or not. The first wins, and it
-- ends an `unknown`. Every operation here answers { from: the phase that it found, row: as it now is }, or nothing when there is none.

-- What a generation ends with whose request id belongs to another one.
local SHARED = '{"code":"outcome-unknown","detail":"The upstream answered with the request id of another generation."}'

-- The row is older than the evidence: the attempt was granted, and the store forgot it.
local function catchUp (row, attempt)
  if attempt <= row.attempt and row.phase ~= 'waiting' then return end
  if Books.isFinal(row) then return Rows.change(row, { attempt = attempt }) end
  local forgotten = { attempt = math.max(attempt, row.attempt), doubt = false, doubtSinceMs = false, runUntilMs = row.runUntilMs or now + times.runMs }
  if row.phase == 'waiting' then
    forgotten.phase = 'submitting'
    forgotten.claimId = false
    forgotten.retryAtMs = false
    forgotten.leaseUntilMs = now
  end
  Rows.change(row, forgotten)
end

-- It may have been bought: the money stays held until evidence or an operator says what became of it.
local function becomeUnknown (row, failure)
  Rows.change(row, { phase = 'unknown', owner = false, failure = failure, queuePosition = false, doubt = false, doubtSinceMs = false, claimId = false,
    unknownSinceMs = now, answersUntilMs = now + constants.answerMs,
    askAtMs = row.requestId and now + constants.firstQuestionMs or false, questions = false })
end

-- fal gave this generation the request id of another one. Whether it was bought cannot be asked about under that id, and what lies behind it is the other
-- one's.
local function refuseRequest (row, attempt, requestId)
  local clashes = cjson.decode(row.clashes or '[]')
  if contains(clashes, requestId) then return end
  table.insert(clashes, requestId)
  Rows.adjust(row, { clashes = encodeList(clashes) })
  local from = row.phase
  if not row.requestId and not Books.isFinal(row) and row.phase ~= 'unknown' then
    catchUp(row, attempt)
    becomeUnknown(row, SHARED)
  end
  Outbox.add(row, 'shared', from, 0)
end

-- Finds the row and lets `take` act on evidence that names no purchase, when it is about the row's attempt; a newer attempt proves a rollback, and the row
-- catches up. It says nothing about a row that has a request id.
local function weighAttempt (take)
  local row = Rows.readRow(given.id)
  if not row then return nil end
  local from = row.phase
  if not row.requestId then
    if given.attempt > row.attempt then catchUp(row, given.attempt) end
    if given.attempt == row.attempt then take(row) end
  end
  return { from = from, row = Rows.show(row) }
end

-- Finds the row and lets `take` act on evidence about the purchase that fal knows under a request id, whatever attempt it came of: a purchase is there, so a
-- row that has none takes it for its own, together with the account that it was bought with (`upstream`), and beside another one it is a double. One that stands for another generation is refused.
local function weighPurchase (take)
  if not given.requestId then error('This evidence names no purchase.') end
  local row = Rows.readRow(given.id)
  if not row then return nil end
  local from = row.phase
  if row.requestId ~= given.requestId and Requests.isOthers(row.id, given.requestId) then
    refuseRequest(row, given.attempt, given.requestId)
  else
    -- Left out it is the first of the process that tells of it; '': that of the row.
    local account = given.upstream or times.upstream
    if account == '' then account = nil end
    knowAccount(account)
    local isDouble = Requests.bookIfDouble(row, given.requestId, account)
    if not row.requestId then
      catchUp(row, given.attempt)
      if account and account ~= row.upstream then Rows.adjust(row, { upstream = account }) end
    end
    take(row, isDouble)
  end
  return { from = from, row = Rows.show(row) }
end

-- The row is at fal, still or again. No replica looks after one that was `unknown`: its lease ends now, so the next sweep takes it over.
local function becomeAtUpstream (row, changes)
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

-- The row ended as not bought, by an operator's word or in a copy from before a rollback, and was bought all the same.
local function bookAfterAll (row, requestId)
  Rows.change(row, { requestId = requestId, cost = row.price, costAssumed = true })
  Outbox.add(row, 'late', row.phase, row.price)
end

-- The row has ended, and fal has a request for it after all. No process follows an ended row to its bill, so one that cost nothing is booked at its price, as an
-- assumption.
local function noteAfterEnd (row, requestId)
  if row.requestId then return end
  if Books.isUnbilledEnd(row) and not row.corrected then bookAfterAll(row, requestId) else Rows.change(row, { requestId = requestId }) end
end

-- recordAccepted { id, attempt, requestId, upstream: see `weighPurchase`, as in all that name a purchase }
local function recordAccepted ()
  return weighPurchase(function (row, isDouble)
    if isDouble then return end
    if Books.isFinal(row) then return noteAfterEnd(row, given.requestId) end
    if row.phase == 'submitting' then Breakers.clear(row) end
    if row.phase == 'submitting' or row.phase == 'unknown' then becomeAtUpstream(row, { phase = 'accepted', requestId = given.requestId }) end
  end)
end

-- recordNotSent { id, attempt, failure (JSON) | retryAfterMs, busy or nothing; elsewhere: that failure is the account's alone, or nothing, as is that fal is busy; report or nothing }
-- It says nothing about a row that has a request id. A generation whose cancel was wished meanwhile does not go back into the queue.
local function recordNotSent ()
  return weighAttempt(function (row)
    if row.phase ~= 'submitting' and row.phase ~= 'unknown' then return end
    if given.report then Breakers.takeReportFor(row, given.report) end
    if given.busy then Accounts.lowerSlots(row, given.retryAfterMs) end
    local isElsewhere = (given.elsewhere or given.busy) and Breakers.isElsewhere(row)
    if row.cancelWished then
      Rows.change(row, { phase = 'cancelled', owner = false, failure = false, cost = 0, finishedAtMs = now })
    elseif given.failure and not isElsewhere then
      Rows.change(row, { phase = 'failed', owner = false, failure = given.failure, cost = 0, finishedAtMs = now })
    elseif row.input then -- one that was put back as it ended, and had not, may have nothing left to send
      Rows.change(row, { phase = 'waiting', owner = false, failure = false, claimId = false, upstream = upstream or false, retryAtMs = now + (isElsewhere and 0 or given.retryAfterMs) })
      Breakers.yieldProbe(row)
    end
  end)
end

local function loseTrace (row)
  if not Rows.isAtUpstream(row.phase) then return end
  if given.report then Breakers.takeReportFor(row, given.report) end
  becomeUnknown(row, given.failure)
end

-- recordUnknown { id, attempt, requestId or nothing, failure (JSON), report or nothing }
-- A submit without an answer says nothing about a row that has a request id, and a run's lost trace nothing about another purchase.
local function recordUnknown ()
  if not given.requestId then return weighAttempt(loseTrace) end
  return weighPurchase(function (row, isDouble)
    if isDouble then return end
    if Books.isFinal(row) then return noteAfterEnd(row, given.requestId) end
    if not row.requestId then Rows.change(row, { requestId = given.requestId }) end
    loseTrace(row)
  end)
end

-- recordProgress { id, attempt, requestId, kind: 'queued' | 'running', position, log: { from, lines } or nothing }
local function recordProgress ()
  return weighPurchase(function (row, isDouble)
    if isDouble then return end
    if Books.isFinal(row) then return noteAfterEnd(row, given.requestId) end
    if row.phase == 'submitting' then Breakers.clear(row) end
    local logged = Logs.keepLog(row, given.log)
    if row.phase == 'running' then
      if logged or row.doubt then Rows.change(row, { logged = logged, doubt = false, doubtSinceMs = false }) end
    elseif given.kind == 'running' then
      becomeAtUpstream(row, { phase = 'running', requestId = given.requestId, queuePosition = false, startedAtMs = row.startedAtMs or now, logged = logged })
    elseif row.phase ~= 'accepted' or row.queuePosition ~= given.position or row.doubt or logged then
      becomeAtUpstream(row, { phase = 'accepted', requestId = given.requestId, queuePosition = given.position or false, logged = logged })
    end
  end)
end

-- recordDoubt { id, attempt, requestId, seen, log: { from, lines } or nothing }
-- That a result cannot be had says nothing of it; whatever else is said differently leaves it undecided.
local function recordDoubt ()
  return weighPurchase(function (row, isDouble)
    if isDouble then return end
    if Books.isFinal(row) then return noteAfterEnd(row, given.requestId) end
    if not row.requestId then becomeAtUpstream(row, { phase = 'accepted', requestId = given.requestId }) end
    if not Rows.isAtUpstream(row.phase) then return end
    local logged = Logs.keepLog(row, given.log)
    local isFirst = not row.doubt or row.doubt == 'unavailable'
    local saysNothing = given.seen == 'unavailable'
    local doubt = isFirst and given.seen or (saysNothing or given.seen == row.doubt) and row.doubt or 'undecided'
    if doubt == row.doubt and not logged then return end
    local since = (not row.doubtSinceMs or row.doubt == 'unavailable' and not saysNothing) and now or row.doubtSinceMs
    Rows.change(row, { doubt = doubt, doubtSinceMs = since, logged = logged })
  end)
end

-- Ends a row as `ending` says: { kind, failure, seed, learnedName, files, bases, media, output or large }.
local function close (row, ending, facts)
  local changes = facts
  changes.phase = ending.kind
  changes.owner = false
  changes.queuePosition = false
  changes.finishedAtMs = now
  changes.claimId = false
  changes.doubt = false
  changes.doubtSinceMs = false
  changes.failure = ending.kind == 'failed' and ending.failure or false
  if ending.kind == 'succeeded' then
    local isKept = ending.large == nil
    -- Until this moment a refresh left its cache name to the old result, and what was called off left it to others.
    local takesName = row.mode == 'refresh'
    if row.cancelWished then takesName = row.mode ~= 'bypass' and row.cacheName ~= nil and not Names.cacheLead(row.cacheName) end
    if isKept and takesName and row.cacheName then Names.takeCacheName(row.cacheName, row.id) end
    if isKept and row.mode ~= 'bypass' and ending.learnedName and not Names.cacheLead(ending.learnedName) then
      changes.learnedName = ending.learnedName
      Names.takeCacheName(ending.learnedName, row.id)
    end
    local takesReuseName = row.reuseName and row.mode ~= 'bypass' and (not row.cancelWished or not Names.cacheLead(row.reuseName))
    if isKept and takesReuseName then Names.takeCacheName(row.reuseName, row.id) end
    if isKept then changes.output = ending.output else changes.large = ending.large end
    changes.bases = ending.bases or false
    changes.media = ending.media or false
    changes.filesAtMs = Media.hasMissing(ending.media) and now or false
    if ending.seed then changes.seed = ending.seed end
    changes.settled = false
    if ending.files then changes.files = math.min(ending.files, row.files or 1) end
  else
    changes.answersUntilMs = now + constants.answerMs
  end
  Rows.change(row, changes)
end

-- A double ended. Its picture is paid for, so a row that has none takes it: the two purchases change places, and what is booked for the other one is corrected when that ends.
local function finishDouble (row, requestId, ending)
  if not Requests.isWanted(row, requestId, ending.kind) then return Requests.correctDouble(row, requestId, ending.cost) end
  Requests.swapDouble(row, requestId)
  -- The lines that the row has are those of the other purchase.
  close(row, ending, Books.bookingOf(row, ending.cost))
  Breakers.weighBill(row, ending.cost)
end

-- finish { id, attempt, requestId, kind, cost, failure (JSON), seed, learnedName, files, bases, media, large, log: { from, lines } or nothing }, payload: the output
-- With `large` the output lies aside, if there was room: the row has its size and hash instead, and no cache name leads to it.
local function finish ()
  return weighPurchase(function (row, isDouble)
    local requestId = given.requestId
    given.output = payload
    if isDouble then return finishDouble(row, requestId, given) end
    local facts = row.corrected and { cost = row.cost or 0, costAssumed = false } or Books.bookingOf(row, given.cost)
    facts.requestId = requestId
    if not Books.isFinal(row) then
      facts.logged = Logs.keepLog(row, given.log)
      close(row, given, facts)
      Breakers.weighBill(row, given.cost)
      return
    end
    local before, from = row.cost or 0, row.phase
    local booked = facts.cost - before
    -- A bill above the reservation that only grew was weighed already, unless it is absurd now.
    local isDearer = booked > 0 and (before <= row.price or facts.costAssumed)
    if row.settled and given.kind == 'succeeded' then
      facts.logged = Logs.keepLog(row, given.log)
      close(row, given, facts)
      Outbox.add(row, 'found', from, booked)
    elseif booked > 0 then
      Rows.change(row, facts)
      Outbox.add(row, 'late', from, booked)
    elseif not row.requestId then
      Rows.change(row, { requestId = requestId })
    end
    if isDearer then Breakers.weighBill(row, given.cost) end
  end)
end

return {
  becomeUnknown = becomeUnknown, bookAfterAll = bookAfterAll, refuseRequest = refuseRequest, finishDouble = finishDouble, recordAccepted = recordAccepted, recordNotSent = recordNotSent,
  recordUnknown = recordUnknown, recordProgress = recordProgress, recordDoubt = recordDoubt, finish = finish
}
