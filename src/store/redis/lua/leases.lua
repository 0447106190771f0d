-- Leases say who looks after a generation, nothing more: signs of life, letting go, taking over.

-- What a generation ends with that nobody could follow.
local KEYLESS = '{"code":"outcome-unknown","detail":"No process had the key of the account that it was bought with."}'

local LOST = '{"code":"outcome-unknown","detail":"Every process that looked after it went silent."}'

-- Did an older copy of it come back from a rollback and leave the queue unspent, while a replica knows that fal accepted it?
local function endedTooSoon (row, fact)
  return Books.isUnbilledEnd(row) and not row.requestId and not row.corrected and fact.requestId ~= nil and (not Books.isFinal(fact) or fact.phase == 'succeeded')
end

-- What a replica knows of a row, from the texts that it is told in.
local function factOf (told)
  return {
    id = told[1], phase = told[2], version = tonumber(told[3]), attempt = tonumber(told[4]), requestId = told[5] ~= '' and told[5] or nil, cost = tonumber(told[6]),
    finishedAtMs = tonumber(told[7]), holds = told[8] == '1'
  }
end

-- Is the row still the very one that this replica saw, and need no more be done about it than to prolong its lease, if it is at fal? Nearly all are, a thousand with each
-- renewal, and a few fields tell.
local function isAsTold (id, phase, version, attempt, requestId, holds)
  local at, isThere, requestIs, owner, account = key('g', id), nil, nil, nil, nil
  if isCompact then
    local stand, told = nil, cmsgpack.pack(phase, version, attempt)
    stand, requestIs, owner, account = unpack(holds and redis.call('HMGET', at, 's', 'requestId', 'owner', 'upstream') or redis.call('HMGET', at, 's', 'requestId'))
    isThere = stand and string.sub(stand, 1, #told) == told
  else
    local phaseIs, versionIs, attemptIs
    phaseIs, versionIs, attemptIs, requestIs, owner, account = unpack(redis.call('HMGET', at, 'phase', 'version', 'attempt', 'requestId', 'owner', 'upstream'))
    isThere = phaseIs == phase and versionIs == version and attemptIs == attempt
  end
  if not isThere or (requestIs or '') ~= requestId then return false end
  if not holds then return Books.ENDS[phase] end
  if not Rows.isAtUpstream(phase) or owner ~= given.replica then return false end
  Rows.prolong(id, account)
  return true
end

-- renew { replica, known: { epoch, sequence }, isPart, facts: [[id, phase, version, attempt, requestId, cost, finishedAtMs, holds]] } -> { gone: [ids], rolledBack: [ids] }
-- A fact is texts only, in this order, an empty one for what is not there: names and numbers would take longer to read than the rows.
local function renew ()
  History.look()
  local gone, rolledBack = {}, {}
  for _, told in ipairs(given.facts) do
    if not isAsTold(told[1], told[2], told[3], told[4], told[5], told[8] == '1') then
      local fact = factOf(told)
      local row = Rows.readBrief(fact.id)
      if row and endedTooSoon(row, fact) and not Requests.isOthers(row.id, fact.requestId) then Evidence.bookAfterAll(row, fact.requestId) end
      if Restore.isRollback(row, fact) then table.insert(rolledBack, fact.id)
      elseif fact.holds and row and row.owner == given.replica then Rows.adjust(row, { leaseUntilMs = now + times.leaseMs })
      elseif fact.holds and not Requests.isOpenDouble(row, fact.requestId) then table.insert(gone, fact.id) end
    end
  end
  -- What it has to put back is known to nobody until then.
  if #rolledBack == 0 and not given.isPart then History.isThere() end
  return { gone = gone, rolledBack = rolledBack }
end

-- release { replica, ids } -> 'OK'. To let go is no sign of trouble, so the next owner's taking over is not counted.
local function release ()
  History.leave()
  for _, id in ipairs(given.ids) do
    local row = Rows.readBrief(id)
    if row and row.owner == given.replica then
      Breakers.freeProbe(row)
      Rows.change(row, { owner = false, leaseUntilMs = now })
    end
  end
  return 'OK'
end

-- Gives a generation whose lease ran out to the sweeping replica. Its own owner gets it back as it was; one that was let go costs nothing; one whose
-- owner went silent counts, because after five such takeovers it is given to no other.
local function giveTo (row)
  local leaseUntilMs = now + times.leaseMs
  if row.owner == given.replica then
    Rows.adjust(row, { leaseUntilMs = leaseUntilMs })
    return true
  end
  Breakers.freeProbe(row)
  if row.owner and (row.takeovers or 0) >= constants.maxTakeovers then
    local from = row.phase
    Evidence.becomeUnknown(row, LOST)
    Outbox.add(row, 'ended', from, 0)
    return false
  end
  Rows.change(row, { owner = given.replica, takeovers = row.owner and (row.takeovers or 0) + 1 or row.takeovers, leaseUntilMs = leaseUntilMs })
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

-- This process has no key of the account that it is bought with, and asked with another one fal would not know it: it waits for a process that has the key, and is
-- put off so that it does not stand in front of what else is due. When its time to run is over nobody knows what became of it.
local function leaveToOthers (row)
  if not Rows.isAtUpstream(row.phase) then
    local askAtMs = now + constants.keylessMs
    return Rows.adjust(row, { askAtMs = askAtMs <= (row.runUntilMs or now) - times.runMs + constants.askForMs and askAtMs })
  end
  if now < (row.runUntilMs or 0) + times.leaseMs then return Rows.adjust(row, { leaseUntilMs = now + constants.keylessMs }) end
  local from = row.phase
  Evidence.becomeUnknown(row, KEYLESS)
  Outbox.add(row, 'ended', from, 0)
end

-- A list of rows to hand out, what adds one to it, and what tells whether they are as many bytes as one call hands out.
local function handingOver ()
  local taken, bytes = {}, 0
  local function take (row)
    table.insert(taken, Rows.handOver(Rows.complete(row)))
    bytes = bytes + tonumber(row.bytes)
  end
  return taken, take, function () return bytes > constants.rowsBytes end
end

-- sweep { replica, max } -> { taken: [{ row, terms }], those taken over, and those to be asked about; isMore: others may be due }
local function sweep ()
  local taken, take, isFull = handingOver()
  Claim.bringBack()
  Aside.tidy()
  local looked = 0
  for _, account in ipairs(Accounts.all()) do
    local set, isOwn = Accounts.setOf(DUE, Accounts.apart(account)), Accounts.isOwn(account)
    -- Those who have an account's key come first to what stands in its own set.
    local untilMs = (set == DUE or isOwn) and now or now - times.leaseMs
    local due = looked < given.max and redis.call('ZRANGEBYSCORE', set, '-inf', text(untilMs), 'LIMIT', 0, given.max - looked) or {}
    looked = looked + #due
    for _, id in ipairs(due) do
      if isFull() then break end
      local row = Rows.readBrief(id)
      -- A replica of an older version does not keep up the sets of other accounts than the first.
      if not row or set ~= DUE and Accounts.setOf(DUE, Rows.placesOf(row).apart) ~= set then redis.call('ZREM', set, id)
      elseif isQuestionDue(row) then
        if not isOwn then leaveToOthers(row)
        elseif takeQuestion(row) then take(row) end
      elseif row.phase == 'waiting' then Claim.expire(row)
      elseif Books.isFinal(row) then Rows.forget(row)
      elseif not isOwn then leaveToOthers(row)
      elseif giveTo(row) then take(row) end
    end
  end
  Books.tidyJournal()
  return { taken = taken, isMore = looked == given.max and '1' or nil }
end

-- The ids of what that replica looks after with one of this process' accounts, and another one may take over before the lease runs out, `max` at most.
-- -> the ids, and the set of each
local function followedBy (replica, max)
  local number, ids, sets = text(Rows.ownerNumber(replica)), {}, {}
  for _, account in ipairs(Accounts.own()) do
    local set = Accounts.setOf(FOLLOWED, Accounts.apart(account))
    for _, id in ipairs(#ids < max and redis.call('ZRANGEBYSCORE', set, number, number, 'LIMIT', 0, max - #ids) or {}) do
      ids[#ids + 1], sets[#ids + 1] = id, set
    end
  end
  return ids, sets
end

-- heartbeat { replica, known: { epoch, sequence } } -> [replicas] that went silent, and look after something that `takeOver` could give
local function heartbeat ()
  local isHeld = History.look() ~= nil
  History.beat()
  local found = {}
  -- After a failover nobody could say anything for a while.
  if isHeld then return found end
  for _, replica in ipairs(History.silent()) do
    if #followedBy(replica, 1) > 0 then table.insert(found, replica) end
  end
  return found
end

-- takeOver { replica, silent, max } -> { taken: [{ row, terms }], isMore: there may be others }
local function takeOver ()
  local taken, take, isFull = handingOver()
  if given.silent == given.replica or not History.isSilent(given.silent) then return { taken = taken } end
  local ids, sets = followedBy(given.silent, given.max)
  for place, id in ipairs(ids) do
    if isFull() then break end
    local row = Rows.readBrief(id)
    -- A replica of an older version does not keep up what is followed.
    local at = row and Rows.placesOf(row)
    if not row or at.followed ~= Rows.ownerNumber(given.silent) or Accounts.setOf(FOLLOWED, at.apart) ~= sets[place] then redis.call('ZREM', sets[place], id)
    elseif row.owner == given.silent and giveTo(row) then take(row) end
  end
  return { taken = taken, isMore = (#ids == given.max or isFull()) and '1' or nil }
end

return {
  renew = renew, release = release, sweep = sweep, heartbeat = heartbeat, takeOver = takeOver
}
