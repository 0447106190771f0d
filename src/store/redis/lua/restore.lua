-- Rows that are written again after Redis went back in time, from what replicas know (rule 16), with the names that led to them (rule 22).

local function isRightlyGone (fact)
  if Erase.isErased(fact.id) then return true end
  local tombstone = readEnding(key('x', fact.id))
  if tombstone then return tonumber(tombstone.version) >= fact.version and (not fact.requestId or fact.requestId == tombstone.requestId) end
  return Books.isFinal(fact) and Rows.keptUntilMs(fact) <= now
end

-- Is the row missing, or older than what a replica knows? Its version alone does not tell: others may have pushed it past what this replica saw.
-- Missing is right for a row whose retention is over or that was forgotten before as it is known, and one that has ended is never opened again; late evidence books what it missed.
local function isRollback (row, fact)
  if not row then return not isRightlyGone(fact) end
  local requestId = fact.requestId
  if requestId and row.requestId ~= requestId and Requests.isOthers(row.id, requestId) then return not contains(cjson.decode(row.clashes or '[]'), requestId) end
  if requestId and row.requestId and row.requestId ~= requestId then return Requests.isUnheardOf(row, requestId) end
  if Books.isFinal(row) then return false end
  local lacksRequest = not row.requestId and requestId ~= nil
  return row.version < fact.version or row.attempt < fact.attempt or lacksRequest
end

-- The fact's row as it is written: its owner goes on with it, one that nobody holds is due at once.
local function restoredRow (fact, holds, found)
  local row = copy(fact)
  row.id = nil
  if row.phase == 'waiting' then row.upstream = upstream end
  row.version = math.max(fact.version, found and found.version or 0) + 1
  row.attempt = math.max(fact.attempt, found and found.attempt or 0)
  row.owner = holds and Rows.isAtUpstream(fact.phase) and given.replica or nil
  row.token = fact.token and Tokens.readToken(fact.token) and fact.token or nil
  row.leaseUntilMs = holds and now + times.leaseMs or now
  row.unknownSinceMs = now
  row.filesAtMs = Media.hasMissing(fact.media) and now or nil
  row.askAtMs = fact.phase == 'unknown' and fact.requestId and now + constants.firstQuestionMs or nil
  return row
end

-- The end that a replica knows, as evidence.
local function endingOf (fact)
  local cost = not fact.costAssumed and fact.cost or nil
  if fact.phase == 'succeeded' and (fact.output or fact.large) then
    return { kind = 'succeeded', output = fact.output, large = fact.large, bases = fact.bases, media = fact.media, seed = fact.seed, learnedName = fact.learnedName, cost = cost }
  end
  return fact.phase == 'failed' and fact.failure and { kind = 'failed', failure = fact.failure, cost = cost } or { kind = 'cancelled', cost = cost }
end

-- Writes a row that is missing.
local function write (fact, holds)
  local row = restoredRow(fact, holds, nil)
  row.id = fact.id
  row.number = redis.call('HINCRBY', GLOB, 'counter', 1)
  local requestId = fact.requestId
  local isShared = requestId and Requests.isOthers(fact.id, requestId)
  if isShared then
    -- What lies behind the id is another one's, an output that was fetched under it too.
    row.phase = 'submitting'
    row.requestId, row.output, row.large, row.bases, row.media, row.filesAtMs = nil, nil, nil, nil, nil, nil
    row.failure, row.cost, row.costAssumed, row.finishedAtMs = nil, nil, nil, nil
    row.runUntilMs = row.runUntilMs or now
  end
  Rows.insert(row)
  if isShared then Evidence.refuseRequest(row, fact.attempt, requestId) end
  return row
end

-- Writes what a replica knows over an older copy.
local function overwrite (row, fact, holds)
  local changes = restoredRow(fact, holds, row)
  for _, name in ipairs(fields.shown) do
    if changes[name] == nil then changes[name] = false end
  end
  for _, name in ipairs(fields.terms) do changes[name] = nil end
  changes.learnedName = row.learnedName or fact.learnedName
  changes.claimId, changes.retryAtMs = false, false
  changes.askAtMs = changes.askAtMs or false
  changes.filesAtMs = changes.filesAtMs or false
  changes.questions = false
  redis.call('DEL', key('log', row.id)) -- how many lines were told is known, which ones is not
  Rows.replace(row, changes)
  Hooks.carry(fact.hooks, row)
  return row
end

-- Does the other row, which a name leads to, give way to the restored one? Only what still waits, and of which nobody may
-- have begun a submit, can.
local function makeWay (other, row)
  if other.id == row.id or other.phase ~= 'waiting' or other.attempt > 0 then return false end
  -- Those who wait for it know its version, and join the restored one; a key of theirs holds as long as it did.
  local changes = { version = math.max(row.version, other.version) + 1, keyedUntilMs = math.max(row.keyedUntilMs or 0, other.keyedUntilMs or 0) }
  if row.phase == 'waiting' or Rows.isAtUpstream(row.phase) then
    changes.joined, changes.startUntilMs, changes.waitUntilMs = true, false, row.createdAtMs + times.queueMs
  end
  Rows.replace(row, changes)
  Rows.giveWay(other, row)
  Hooks.carry(other.hooks, row)
  return true
end

-- The newest success has it. Of what was asked for with `reuse` meanwhile, that which still waits gives way, and the rest takes the name when it succeeds.
local function takeReuseName (row)
  local other = Names.cacheLead(row.reuseName)
  local isNewer = other and other.phase == 'succeeded' and (other.finishedAtMs or 0) > (row.finishedAtMs or 0)
  if other and (row.cancelWished or isNewer) then return end
  if other then makeWay(other, row) end
  Names.takeCacheName(row.reuseName, row.id)
end

local function takeCacheNames (row)
  local name, hasSucceeded, contested = row.cacheName, row.phase == 'succeeded', 0
  if name and not (hasSucceeded and name == row.reuseName) and (row.mode == 'normal' or row.mode == 'refresh' and hasSucceeded) then
    local other = Names.cacheLead(name)
    -- A refresh takes its name from what was there before it, and what was called off leaves it to others.
    local isNewer = row.mode == 'refresh' and other and other.createdAtMs <= row.createdAtMs
    local mayTake = not other or isNewer or (not row.cancelWished and makeWay(other, row))
    -- That a success has the name of what is reused is no second purchase of it: any success takes that.
    local isReused = name == row.reuseName and other and other.phase == 'succeeded'
    if mayTake then Names.takeCacheName(name, row.id)
    elseif other.id ~= row.id and not isReused then contested = 1 end
  end
  if row.learnedName and hasSucceeded and row.mode ~= 'bypass' and not Names.cacheLead(row.learnedName) then Names.takeCacheName(row.learnedName, row.id) end
  if row.reuseName and hasSucceeded and row.mode ~= 'bypass' then takeReuseName(row) end
  return contested
end

local function takeIdempotencyName (row)
  local name, untilMs = row.idempotencyName, row.createdAtMs + constants.idempotencyMs
  if not name or not row.fingerprint or untilMs <= now then return 0 end
  local lead = Names.idempotencyLead(name)
  local other, alias
  if lead then other, alias = Rows.findById(lead.id) end
  if other and other.id == row.id then return 0 end
  local isSame = lead and other and not alias and lead.fingerprint == row.fingerprint
  if lead and not (isSame and makeWay(other, row)) then return 1 end
  Names.bindUntil(name, row.fingerprint, row.id, untilMs)
  if (row.keyedUntilMs or 0) < untilMs then Rows.adjust(row, { keyedUntilMs = untilMs }) end
  return 0
end

-- Lets the names that led to a row lead there again, as far as it answers for them. Gives how many other rows keep.
local function takeNames (row)
  if Books.isUnbilledEnd(row) or Books.isCalledOff(row) then return 0 end
  local contested = (Names.isAnswerOver(row) or row.large) and 0 or takeCacheNames(row)
  return contested + takeIdempotencyName(row)
end

-- restore { replica, facts: [{ id, holds, fields: the row's public fields and terms as texts }] } -> { contested: how many names other rows keep }
-- What is missing or older than the facts is written, over the budget if need be. Where the store has another request id, both were bought: the row stays,
-- the second is booked as a double.
local function restore ()
  local contested = 0
  for _, each in ipairs(given.facts) do
    local fact = Rows.typed(each.id, each.fields)
    local row = Rows.readRow(each.id)
    knowAccount(fact.upstream)
    if isRollback(row, fact) then
      if not row then
        contested = contested + takeNames(write(fact, each.holds))
      elseif fact.requestId and row.requestId ~= fact.requestId and Requests.isOthers(row.id, fact.requestId) then
        Evidence.refuseRequest(row, fact.attempt, fact.requestId)
      elseif fact.requestId and Requests.bookIfDouble(row, fact.requestId, fact.upstream) then
        if Books.isFinal(fact) then Evidence.finishDouble(row, fact.requestId, endingOf(fact)) end
      elseif row.requestId and not fact.requestId then
        -- What names no purchase says nothing about a row that has one.
        Rows.replace(row, { attempt = math.max(fact.attempt, row.attempt), version = math.max(fact.version, row.version) + 1 })
      else
        contested = contested + takeNames(overwrite(row, fact, each.holds))
      end
    end
  end
  return { contested = text(contested) }
end

return {
  isRollback = isRollback, restore = restore
}
