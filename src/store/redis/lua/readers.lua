-- What readers see: one generation, a page of them, a stored result, figures. Nothing here changes a row.

-- How many entries a page may look at for each row that it may show: a rare status takes several pages, none of them long.
local LOOKS_PER_ROW = 10

-- read { id, tenant, subject } -> row, or nothing
local function read ()
  local row, alias = Rows.follow(given.id)
  local reader = alias or row
  if not row or reader.tenant ~= given.tenant or reader.subject ~= given.subject then return nil end
  return Rows.show(row, given.id, alias)
end

-- lookup { name } -> row of a success, or nothing
local function lookup ()
  local row = Names.cacheLead(given.name)
  return row and row.phase == 'succeeded' and Rows.show(row) or nil
end

-- look { ids } -> rows
local function look ()
  local rows = {}
  for _, id in ipairs(given.ids) do
    local row, alias = Rows.resolve(id)
    if row then table.insert(rows, Rows.show(row, id, alias)) end
  end
  return rows
end

-- glance { ids } -> [{ id, version, phase, cancelWished, queuePosition, startedAtMs, doubtSinceMs, logged }], what is not there left out
local function glance ()
  local found = {}
  for _, id in ipairs(given.ids) do
    local at = id
    local kept = redis.call('HMGET', key('g', at), 'version', 'phase', 'cancelWished', 'queuePosition', 'startedAtMs', 'logged', 'doubtSinceMs', 'gaveWay')
    local row = kept[8] and Rows.resolve(id)
    if row then
      at = row.id
      kept = redis.call('HMGET', key('g', at), 'version', 'phase', 'cancelWished', 'queuePosition', 'startedAtMs', 'logged', 'doubtSinceMs')
    end
    local seen = {
      id = id, version = kept[1], phase = kept[2], cancelWished = kept[3] or nil, queuePosition = kept[4] or nil, startedAtMs = kept[5] or nil, logged = kept[6] or nil,
      doubtSinceMs = kept[7] or nil
    }
    if seen.phase == 'waiting' then
      local place = redis.call('HMGET', key('g', at), 'tenant', 'priority', 'number')
      seen.queuePosition = text(Line.positionOf({ tenant = place[1], priority = place[2], number = tonumber(place[3]) }))
    end
    if seen.phase then table.insert(found, seen) end
  end
  return found
end

-- list { tenant, subject, limit, cursor: the id below which the page begins, or nothing, phases: those to be shown, or nothing }
-- -> { rows, nextCursor or nothing, isCursorUnknown: the list has no such id }
-- A page may hold fewer rows than asked for and still name a next one. Entries that lead nowhere are dropped on the way, except one that is the cursor.
local function list ()
  local at = key('l', given.tenant .. ' ' .. given.subject)
  local highest = '+inf'
  if given.cursor then
    local number = redis.call('ZSCORE', at, given.cursor)
    if not number then return { rows = {}, isCursorUnknown = '1' } end
    highest = '(' .. number
  end
  local entries = redis.call('ZREVRANGEBYSCORE', at, highest, '-inf', 'WITHSCORES', 'LIMIT', 0, given.limit * LOOKS_PER_ROW)
  local rows, gone, last, lastNumber = {}, {}, nil, nil
  for i = 1, #entries, 2 do
    if #rows == given.limit then break end
    last, lastNumber = entries[i], entries[i + 1]
    local row, alias = Rows.follow(last)
    if not row then table.insert(gone, last)
    elseif not given.phases or contains(given.phases, row.phase) then table.insert(rows, Rows.show(row, last, alias)) end
  end
  local isMore = last and redis.call('ZCOUNT', at, '-inf', '(' .. lastNumber) > 0
  for _, id in ipairs(gone) do
    if not (isMore and id == last) then redis.call('ZREM', at, id) end
  end
  return { rows = rows, nextCursor = isMore and last or nil }
end

-- unknowns { limit } -> [{ sinceMs, row }], by that time
local function unknowns ()
  local found = {}
  if given.limit < 1 then return found end
  for _, id in ipairs(redis.call('ZRANGE', UNKNOWN, 0, given.limit - 1)) do
    local row = Rows.readRow(id)
    if row then table.insert(found, { sinceMs = text(row.unknownSinceMs), row = Rows.show(row) }) end
  end
  return found
end

-- gauges {} -> { waiting by tenant, atUpstream: places used at fal, places: how many may be used, unknownOpen, unknownOldestMs: its admission }
local function gauges ()
  local oldestMs
  local open = redis.call('ZRANGE', UNKNOWN, 0, -1)
  for _, id in ipairs(open) do
    local createdAtMs = tonumber(redis.call('HGET', key('g', id), 'createdAtMs'))
    oldestMs = math.min(oldestMs or createdAtMs, createdAtMs)
  end
  local active, places = Line.placesNow()
  return {
    waiting = recordOf(redis.call('HGETALL', WAITING)), atUpstream = text(active), places = places and text(places), unknownOpen = text(#open),
    unknownOldestMs = oldestMs and text(oldestMs)
  }
end

return {
  read = read, lookup = lookup, look = look, glance = glance, list = list, unknowns = unknowns, gauges = gauges
}
