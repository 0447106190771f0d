-- Leases say who looks after a generation, nothing more: signs of life, letting go, taking over, and rows written again after a rollback.

local LOST = '{"code":"outcome-unknown","detail":"Every process that looked after it went silent."}'

-- Did an older copy of it come back from a rollback and leave the line unspent, while a replica knows that fal accepted it?
local function endedTooSoon (row, fact)
  return Books.isUnbilledEnd(row) and not row.requestId and fact.requestId ~= nil and (not Books.isFinal(fact) or fact.phase == 'succeeded')
end

-- Is the row missing, or older than what a replica knows? Its version alone does not tell: others may have pushed it past what this replica saw.
-- Missing is right for a row whose retention is over, and one that has ended is never opened again; late evidence books what it missed.
local function isRollback (row, fact)
  if not row then return not Books.isFinal(fact) or (fact.finishedAtMs or 0) + times.resultTtlMs > now end
  local requestId = fact.requestId
  if requestId and row.requestId ~= requestId and Requests.isOthers(row.id, requestId) then return not contains(cjson.decode(row.clashes or '[]'), requestId) end
  if requestId and row.requestId and row.requestId ~= requestId then return Requests.isUnheardOf(row, requestId) end
  if Books.isFinal(row) then return false end
  local lacksRequest = not row.requestId and requestId ~= nil
  return row.version < fact.version or row.attempt < fact.attempt or lacksRequest
end

-- Is the row of an ended generation still the very one that this replica saw? Nearly all are, a thousand with each renewal, and three fields tell.
local function isAsItEnded (fact)
  local kept = redis.call('HMGET', key('g', fact.id), 'phase', 'version', 'requestId')
  return Books.isFinal(fact) and kept[1] == fact.phase and kept[2] == text(fact.version) and kept[3] == (fact.requestId or false)
end

-- renew { replica, facts: [{ id, phase, version, attempt, requestId, finishedAtMs, holds }] } -> { gone: [ids], rolledBack: [ids] }
local function renew ()
  local gone, rolledBack = {}, {}
  for _, fact in ipairs(given.facts) do
    if fact.holds or not isAsItEnded(fact) then
      local row = Rows.readRow(fact.id)
      if row and endedTooSoon(row, fact) and not Requests.isOthers(row.id, fact.requestId) then Evidence.bookAfterAll(row, fact.requestId) end
      if isRollback(row, fact) then table.insert(rolledBack, fact.id)
      elseif fact.holds and row and row.owner == given.replica then Rows.adjust(row, { leaseUntilMs = now + times.leaseMs })
      elseif fact.holds and not Requests.isOpenDouble(row, fact.requestId) then table.insert(gone, fact.id) end
    end
  end
  return { gone = gone, rolledBack = rolledBack }
end

-- The fact's row as it is written: its owner goes on with it, one that nobody holds is due at once.
local function restoredRow (fact, holds, found)
  local row = copy(fact)
  row.id = nil
  row.version = math.max(fact.version, found and found.version or 0) + 1
  row.attempt = math.max(fact.attempt, found and found.attempt or 0)
  row.owner = holds and Rows.isAtUpstream(fact.phase) and given.replica or nil
  row.token = fact.token and Tokens.readToken(fact.token) and fact.token or nil
  row.leaseUntilMs = holds and now + times.leaseMs or now
  row.retryAtMs = 0
  row.unknownSinceMs = now
  row.answersUntilMs = now + constants.verdictMs
  row.askAtMs = fact.phase == 'unknown' and fact.requestId and now + constants.firstQuestionMs or nil
  return row
end

-- The end that a replica knows, as evidence.
local function endingOf (fact)
  local cost = not fact.costAssumed and fact.cost or nil
  if fact.phase == 'succeeded' and (fact.output or fact.outputSha256) then
    return { kind = 'succeeded', output = fact.output, outputSha256 = fact.outputSha256, seed = fact.seed, cost = cost }
  end
  return fact.phase == 'failed' and fact.failure and { kind = 'failed', failure = fact.failure, cost = cost } or { kind = 'cancelled', cost = cost }
end

-- Writes a row that is missing.
local function write (fact, holds)
  local row = restoredRow(fact, holds, nil)
  row.id = fact.id
  row.number = redis.call('HINCRBY', GLOB, 'counter', 1)
  row.mode = 'normal'
  local requestId = fact.requestId
  if not requestId or not Requests.isOthers(fact.id, requestId) then return Rows.insert(row) end
  -- What lies behind the id is another one's, an output that was fetched under it too.
  row.phase = 'submitting'
  row.requestId, row.output, row.outputSha256, row.failure, row.cost, row.costAssumed, row.finishedAtMs = nil, nil, nil, nil, nil, nil, nil
  row.runUntilMs = row.runUntilMs or now
  Rows.insert(row)
  Evidence.refuseRequest(row, fact.attempt, requestId)
end

-- restore { replica, facts: [{ id, holds, fields: the row's public fields as texts }] } -> 'OK'
-- What is missing or older than the facts is written, over the budget if need be. What only the lost row knew (its names) stays lost.
-- Where the store has another request id, both were bought: the row stays, the second is booked as a double.
local function restore ()
  for _, each in ipairs(given.facts) do
    local fact = Rows.typed(each.id, each.fields)
    local row = Rows.readRow(each.id)
    if isRollback(row, fact) then
      if not row then
        write(fact, each.holds)
      elseif fact.requestId and row.requestId ~= fact.requestId and Requests.isOthers(row.id, fact.requestId) then
        Evidence.refuseRequest(row, fact.attempt, fact.requestId)
      elseif fact.requestId and Requests.bookIfDouble(row, fact.requestId) then
        if Books.isFinal(fact) then Evidence.finishDouble(row, fact.requestId, endingOf(fact)) end
      elseif row.requestId and not fact.requestId then
        -- What names no purchase says nothing about a row that has one.
        Rows.replace(row, { attempt = math.max(fact.attempt, row.attempt), version = math.max(fact.version, row.version) + 1 })
      else
        local changes = restoredRow(fact, each.holds, row)
        for _, name in ipairs(fields.shown) do
          if changes[name] == nil then changes[name] = false end
        end
        changes.claimId = false
        changes.askAtMs = changes.askAtMs or false
        changes.questions = false
        redis.call('DEL', key('log', row.id)) -- how many lines were told is known, which ones is not
        Rows.replace(row, changes)
      end
    end
  end
  return 'OK'
end

-- release { replica, ids } -> 'OK'. To let go is no sign of trouble, so the next owner's taking over is not counted.
local function release ()
  for _, id in ipairs(given.ids) do
    local row = Rows.readRow(id)
    if row and row.owner == given.replica then
      Guards.freeProbe(row)
      Rows.change(row, { owner = false, leaseUntilMs = now })
    end
  end
  return 'OK'
end

-- Gives a generation whose lease ran out to the sweeping replica. Its own owner gets it back as it was; one that was let go costs nothing; one whose
-- owner went silent counts, because what kills five owners is not given to a sixth.
local function takeOver (row)
  local leaseUntilMs = now + times.leaseMs
  if row.owner == given.replica then
    Rows.adjust(row, { leaseUntilMs = leaseUntilMs })
    return true
  end
  Guards.freeProbe(row)
  if row.owner and row.takeovers >= constants.maxTakeovers then
    local from = row.phase
    Evidence.becomeUnknown(row, LOST)
    News.tell(row, 'ended', from, 0)
    return false
  end
  Rows.change(row, { owner = given.replica, takeovers = row.owner and row.takeovers + 1 or row.takeovers, leaseUntilMs = leaseUntilMs })
  return true
end

-- Is there a question about it now (rule 34)? An operator's settlement is a booking and ends none.
local function isQuestionDue (row)
  return row.askAtMs and row.askAtMs <= now and (row.phase == 'unknown' or row.settled and Books.isFinal(row))
end

-- The pause doubles; fal keeps a result for an hour. That time is counted from the claim, a moment before the acceptance, and a few questions are asked
-- whatever the clock says, because a clock that was set forward is what made it unknown. -> false when there is no other question
local function nextQuestion (row, questions)
  local atMs = now + math.min(constants.firstQuestionMs * 2 ^ questions, constants.maxQuestionMs)
  local claimedAtMs = (row.runUntilMs or now) - times.runMs
  return (questions < constants.minQuestions or atMs <= claimedAtMs + constants.askForMs) and atMs
end

-- May it be asked about now? At most two questions are asked in a second, on all replicas together. The next one is written down either way, so that one
-- whose asker dies is asked about again.
local function takeQuestion (row)
  local kept = redis.call('HMGET', GLOB, 'askedBeforeMs', 'askedMs', 'askLaterMs')
  local earlier, latest, later = tonumber(kept[1] or 0), tonumber(kept[2] or 0), tonumber(kept[3] or 0)
  if earlier <= now and earlier > now - constants.questionWindowMs then
    -- Each goes to a moment of its own, so that many do not stand in front of everything else that is due.
    local behind = later + constants.questionWindowMs / 2
    local askAtMs = math.max(now + constants.questionWindowMs, behind > now + constants.maxQuestionMs and 0 or behind)
    redis.call('HSET', GLOB, 'askLaterMs', text(askAtMs))
    Rows.adjust(row, { askAtMs = askAtMs })
    return false
  end
  redis.call('HSET', GLOB, 'askedBeforeMs', text(latest), 'askedMs', text(now))
  local questions = (row.questions or 0) + 1
  Rows.adjust(row, { questions = questions, askAtMs = nextQuestion(row, questions) })
  return true
end

-- sweep { replica, max } -> rows taken over, and rows to be asked about
local function sweep ()
  local taken = {}
  Claim.bringBack()
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', DUE, '-inf', text(now), 'LIMIT', 0, given.max)) do
    local row = Rows.readRow(id)
    if not row then redis.call('ZREM', DUE, id)
    elseif isQuestionDue(row) then
      if takeQuestion(row) then table.insert(taken, Rows.show(row)) end
    elseif row.phase == 'waiting' then Claim.expire(row)
    elseif Books.isFinal(row) then Rows.forget(row)
    elseif takeOver(row) then table.insert(taken, Rows.show(row)) end
  end
  Books.tidyJournal()
  return taken
end

return {
  renew = renew, restore = restore, release = release, sweep = sweep
}
