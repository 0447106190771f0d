-- What readers see: one generation, a page of them, a stored result, figures. Nothing here changes a row.

-- read { id, tenant, subject } -> row, or nothing
local function read ()
  local row, alias = Rows.findById(given.id)
  local reader = alias or row
  if not row or reader.tenant ~= given.tenant or reader.subject ~= given.subject then return nil end
  return Rows.show(row, given.id, alias)
end

-- lookup { name } -> row of a success, or nothing
local function lookup ()
  local row = Names.cacheLead(given.name)
  return row and row.phase == 'succeeded' and Rows.show(row) or nil
end

-- getMany { ids } -> { rows, looked: how many of the ids were looked at }
local function getMany ()
  local rows, bytes = {}, 0
  for i, id in ipairs(given.ids) do
    local row, alias = Rows.resolve(id)
    if row then
      table.insert(rows, Rows.show(row, id, alias))
      bytes = bytes + tonumber(row.bytes)
    end
    if bytes > constants.rowsBytes then return { rows = rows, looked = text(i) } end
  end
  return { rows = rows, looked = text(#given.ids) }
end

-- getStatuses { ids } -> [{ id, version, phase, cancelWished, queuePosition, startedAtMs, doubtSinceMs, logged, and what else tells where it stands }], what is not there left out
local function getStatuses ()
  local found = {}
  for _, id in ipairs(given.ids) do
    local at, seen = id, Folds.stand(id)
    if not seen then
      local row = Rows.resolve(id)
      at, seen = row and row.id, row and Folds.stand(row.id)
    end
    if seen then
      seen.id = id
      if seen.phase == 'waiting' then
        local place = Folds.glance(at, 'p', 'tenant')
        seen.queuePosition = text(Queue.positionOf({ id = at, tenant = place.tenant, priority = place.priority, number = tonumber(place.number) }))
      end
      table.insert(found, seen)
    end
  end
  return found
end

-- The ids of a list from the newest below `highest` on; with 'WITHSCORES' each with its number behind it.
local function newest (at, highest, count, ...)
  return redis.call('ZREVRANGEBYSCORE', at, highest, '-inf', 'LIMIT', 0, text(count), ...)
end

-- list { tenant, subject, limit, looks: at how many aliases, cursor: the id below which the page begins, or nothing, status or nothing }
-- -> { entries: own ids, aliases as 'id purchase', nextCursor or nothing, isCursorUnknown: the list has no such id }
-- A page may hold fewer rows than asked for and still name a next one. Aliases that have ended are dropped on the way, except one
-- that is the cursor; one whose row is gone stays, because that may be put back.
local function list ()
  local reader = given.tenant .. ' ' .. given.subject
  local all, aliases = key('l', reader), key('la', reader)
  local highest = '+inf'
  if given.cursor then
    local number = redis.call('ZSCORE', all, given.cursor) or redis.call('ZSCORE', aliases, given.cursor)
    if not number then return { entries = {}, isCursorUnknown = '1' } end
    highest = '(' .. number
  end
  local owns, count = given.status and key('ls', given.status .. ' ' .. reader) or all, given.limit + 1
  local others = newest(aliases, highest, given.looks + 1, 'WITHSCORES')
  if #others == 0 then
    -- Most readers have none: their list is one that lies there.
    local entries = newest(owns, highest, count)
    local isMore = #entries == count
    if isMore then entries[count] = nil end
    return { entries = entries, nextCursor = isMore and entries[count - 1] or nil }
  end
  local own = newest(owns, highest, count, 'WITHSCORES')
  local entries, gone, last = {}, {}, nil
  local i, j = 1, 1
  while #entries < given.limit do
    local mine, other = own[i], others[j]
    if mine and (not other or tonumber(own[i + 1]) > tonumber(others[j + 1])) then
      i, last = i + 2, mine
      table.insert(entries, mine)
    elseif other and j <= 2 * given.looks then
      j, last = j + 2, other
      local purchase, phase, isOver = Rows.leadOf(other)
      if isOver then table.insert(gone, other)
      elseif purchase and (not given.status or statuses[phase] == given.status) then table.insert(entries, other .. ' ' .. purchase) end
    else
      break
    end
  end
  local isMore = i <= #own or j <= #others
  for _, id in ipairs(gone) do
    if not (isMore and id == last) then redis.call('ZREM', aliases, id) end
  end
  return { entries = entries, nextCursor = isMore and last or nil }
end

-- unknowns { limit, after: { id, sinceMs } of the last one before, or nothing } -> [{ sinceMs, row without what may be long of it }], by that time
local function unknowns ()
  local found, first = {}, 0
  if given.limit < 1 then return found end
  if given.after then
    local rank = redis.call('ZRANK', UNKNOWN, given.after.id)
    first = rank and rank + 1 or redis.call('ZCOUNT', UNKNOWN, '-inf', '(' .. text(given.after.sinceMs))
  end
  for _, id in ipairs(redis.call('ZRANGE', UNKNOWN, first, first + given.limit - 1)) do
    local row = Rows.readBrief(id)
    if row then table.insert(found, { sinceMs = text(row.unknownSinceMs), row = Rows.showBrief(row) }) end
  end
  return found
end

-- How many tenants' lines are told in one call, about.
local TENANTS_PER_CALL = '200'

-- gauges { cursor: '0', or that of the answer before }
-- -> { waiting by tenant, cursor: '0' when these are the last, accounts: [{ upstream, used: slots at fal, open: how many may be used, or nothing }], unknownOpen,
--   unknownOldestMs: its admission, asideBytes, keptFiles, keptBytes, orphans, hooksDue, hooksOldestMs, hooksGivenUp }
local function gauges ()
  local oldest = redis.call('ZRANGE', MORE.oldest, 0, 0, 'WITHSCORES')
  local accounts = {}
  for place, account in ipairs(Accounts.all()) do
    local used, open = Accounts.slotsNow(Accounts.apart(account))
    accounts[place] = { upstream = account or nil, used = text(used), open = open and text(open) }
  end
  local beforeNever = '(' .. text(constants.neverMs)
  local waiting = redis.call('HSCAN', WAITING, given.cursor, 'COUNT', TENANTS_PER_CALL)
  return {
    waiting = recordOf(waiting[2]), cursor = waiting[1], accounts = accounts,
    unknownOpen = text(redis.call('ZCARD', UNKNOWN)), unknownOldestMs = oldest[2],
    asideBytes = text(Aside.usedBytes()),
    keptFiles = text(redis.call('HLEN', MORE.kept)), keptBytes = redis.call('HGET', GLOB, 'keptBytes') or '0', orphans = text(redis.call('ZCARD', MORE.orphans)),
    hooksDue = text(redis.call('ZCOUNT', MORE.untold, '-inf', beforeNever)), hooksOldestMs = redis.call('ZRANGEBYSCORE', MORE.untold, '-inf', beforeNever, 'WITHSCORES', 'LIMIT', 0, 1)[2], hooksGivenUp = text(redis.call('ZCARD', MORE.givenUp))
  }
end

-- standings { tenants } -> [{ tenant, running, waiting, oldestMs: when the oldest that waits or pauses was admitted, or nothing }]
local function standings ()
  local found = {}
  local pausing = Queue.oldestPausing()
  for _, name in ipairs(given.tenants) do
    local waiting = Queue.oldestOf(name)
    local oldestMs = waiting and math.min(waiting, pausing[name] or waiting) or pausing[name]
    table.insert(found, { tenant = name, running = text(Queue.readTenant(name).running), waiting = redis.call('HGET', WAITING, name) or '0', oldestMs = oldestMs and text(oldestMs) })
  end
  return found
end

-- failures { limit, tenant or nothing } -> [{ id, tenant, model, code, finishedAtMs, cost }], the latest first
local function failures ()
  local found = {}
  for _, id in ipairs(newest(MORE.failed, '+inf', constants.maxFailureLooks)) do
    if #found >= given.limit then break end
    local row = Folds.glance(id, 's', 'tenant', 'model', 'failure')
    -- A replica of an older version does not keep up what failed.
    if row.phase == 'failed' and (not given.tenant or row.tenant == given.tenant) then
      local code = row.failure and cjson.decode(row.failure).code
      table.insert(found, { id = id, tenant = row.tenant, model = row.model, code = code, finishedAtMs = row.finishedAtMs or '0', cost = row.cost or '0' })
    end
  end
  return found
end

-- replicas -> [{ replica, beatAtMs, following }], the latest heartbeat first
local function replicas ()
  local found, beats = {}, newest(BEATS, '+inf', constants.maxShownReplicas, 'WITHSCORES')
  for i = 1, #beats, 2 do
    local number = text(Rows.ownerNumber(beats[i]))
    if tonumber(beats[i + 1]) > now - times.leaseMs then
      local following = 0
      for _, account in ipairs(Accounts.all()) do following = following + redis.call('ZCOUNT', Accounts.setOf(FOLLOWED, Accounts.apart(account)), number, number) end
      table.insert(found, { replica = beats[i], beatAtMs = beats[i + 1], following = text(following) })
    end
  end
  return found
end

return {
  standings = standings, failures = failures, replicas = replicas,
  read = read, lookup = lookup, getMany = getMany, getStatuses = getStatuses, list = list, unknowns = unknowns, gauges = gauges
}
