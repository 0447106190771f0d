-- Counting again (rule 27): every counter and every index from the rows, in pieces between which all other operations go on. The counters are compared with a
-- tally that these keep up (tally.lua); an index holds entries, not sums, so it is compared row by row.

-- A count that nobody goes on with ends by itself.
local KEPT_MS = 600000

-- How many members of an index are looked at in one call, about.
local MEMBERS_PER_CALL = '50'

local differences, isMending

-- what: 'slots' | 'aside' | 'kept' | 'file' | 'running' | 'waiting' | 'held' | 'spent' | 'pictures' | 'money' | 'turn' | 'row' | 'stray'; found and expected as texts
local function differ (what, name, found, expected)
  table.insert(differences, { what = what, name = name, found = found and tostring(found) or nil, expected = expected and tostring(expected) or nil })
end

local function keep ()
  redis.call('HSET', GLOB, 'tallyUntilMs', text(now + KEPT_MS))
  endKey(MORE.tally, now + KEPT_MS)
  endKey(MORE.tallied, now + KEPT_MS)
end

local function tallied (field)
  return tonumber(redis.call('HGET', MORE.tally, field) or 0)
end

-- A counter in a hash against what was counted. -> does it differ?
local function compare (what, name, at, field, expected)
  local found = tonumber(redis.call('HGET', at, field) or 0)
  if found == expected then return false end
  differ(what, name, text(found), text(expected))
  if isMending then redis.call('HSET', at, field, text(expected)) end
  return true
end

-- ------------------------------------------------------------------------------------------------ rows and indexes

-- A row's score in a sorted set, `expected` nil: it should have none.
local function comparePlace (set, row, expected, name)
  local found = redis.call('ZSCORE', set, row.id)
  if (found and tonumber(found) or nil) == expected then return end
  differ('row', row.id .. ' in ' .. name, found and text(tonumber(found)), expected and text(expected))
  if not isMending then return end
  if expected then redis.call('ZADD', set, text(expected), row.id) else redis.call('ZREM', set, row.id) end
end

local function compareField (at, field, expected, name)
  local found = redis.call('HGET', at, field) or nil
  if found == expected then return end
  differ('row', name, found, expected)
  if isMending then redis.call('HSET', at, field, expected) end
end

local function compareRow (row)
  local at, is = key('g', row.id), Rows.placesOf(row)
  Tally.take(row, is)
  comparePlace(LATER, row, is.later, 'later')
  comparePlace(key('q', row.tenant), row, is.queue, 'queue')
  comparePlace(UNKNOWN, row, is.unknown, 'unknown')
  comparePlace(MORE.oldest, row, is.unknown and row.createdAtMs, 'oldest')
  for _, account in ipairs(Accounts.all()) do
    local other = Accounts.apart(account)
    local isThere = is.apart == other
    comparePlace(Accounts.setOf(DUE, other), row, isThere and is.due or nil, Accounts.setOf('due', other))
    comparePlace(Accounts.setOf(FOLLOWED, other), row, isThere and is.followed or nil, Accounts.setOf('followed', other))
  end
  comparePlace(MORE.failed, row, is.failed, 'failed')
  comparePlace(FILES, row, is.files, 'files')
  local hooks = is.hooks or { due = {} }
  comparePlace(MORE.untold, row, hooks.since, 'untold')
  comparePlace(MORE.givenUp, row, hooks.givenUp, 'givenup')
  for tenant, atMs in pairs(hooks.due) do comparePlace(key('h', tenant), row, atMs, 'webhooks of ' .. tenant) end
  comparePlace(key('l', row.tenant .. ' ' .. row.subject), row, row.number, 'list')
  comparePlace(Rows.listOf(row), row, row.number, 'list by status')
  -- Others may have been passed over.
  if is.duplicate and row.phase ~= 'unknown' and not row.cancelWished and not row.delivered and not Books.isFinal(row) then comparePlace(key('o', row.duplicateName), row, is.duplicate, 'duplicates') end
  if is.claim then compareField(CLAIMS, is.claim, row.id, row.id .. ' in claims') end
  for _, requestId in ipairs(Rows.requestIdsOf(row)) do
    -- One that stands for another generation does so until that is forgotten.
    if not Requests.isOthers(row.id, requestId) then compareField(key('r', requestId), 'id', row.id, row.id .. ' in requests') end
  end
  local bytes = row.texts.isInCard and row.bytes or text(redis.call('HSTRLEN', at, 'input') + redis.call('HSTRLEN', at, 'output'))
  compareField(at, 'bytes', bytes, row.id .. ' in bytes')
  row.bytes = bytes
  local card = Rows.cardOf(row)
  local found = redis.call('GET', key('c', row.id))
  if found ~= card then
    differ('row', row.id .. ' in card', found and 'another' or nil, 'its own')
    if isMending then redis.call('SET', key('c', row.id), card) end
  end
end

-- Does the row belong there? By kind of index; `name`: of which one.
local belongs = {
  later = function (row, is) return is.later end,
  due = function (row, is, name) return is.due and is.apart == name end,
  followed = function (row, is, name) return is.followed and is.apart == name end,
  failed = function (row, is) return is.failed end,
  files = function (row, is) return is.files end,
  untold = function (row, is) return is.hooks and is.hooks.since end,
  givenup = function (row, is) return is.hooks and is.hooks.givenUp end,
  h = function (row, is, name) return is.hooks and is.hooks.due[name] end,
  unknown = function (row, is) return is.unknown end,
  oldest = function (row, is) return is.unknown end,
  q = function (row, is, name) return is.queue and row.tenant == name end,
  l = function (row, is, name) return row.tenant .. ' ' .. row.subject == name end,
  ls = function (row, is, name) return Rows.listOf(row) == key('ls', name) end,
  o = function (row, is, name) return row.duplicateName == name end
}

local function sets ()
  return { later = LATER, due = DUE, followed = FOLLOWED, failed = MORE.failed, files = FILES, untold = MORE.untold, givenup = MORE.givenUp, unknown = UNKNOWN, oldest = MORE.oldest }
end

-- Drops what leads nowhere or to a row that does not belong there. -> where to go on
local function compareMembers (kind, name, cursor)
  local set = name and key(kind, name) or sets()[kind]
  local scanned = redis.call('ZSCAN', set, cursor, 'COUNT', MEMBERS_PER_CALL)
  for i = 1, #scanned[2], 2 do
    local id = scanned[2][i]
    local row = Rows.readBrief(id)
    if not row or not belongs[kind](row, Rows.placesOf(row), name) then
      differ('stray', id .. ' in ' .. (name and kind .. ':' .. name or kind), scanned[2][i + 1], nil)
      if isMending then redis.call('ZREM', set, id) end
    end
  end
  return scanned[1]
end

local function compareClaims (cursor)
  local scanned = redis.call('HSCAN', CLAIMS, cursor, 'COUNT', MEMBERS_PER_CALL)
  for i = 1, #scanned[2], 2 do
    local row = Rows.readBrief(scanned[2][i + 1])
    if not row or row.phase ~= 'submitting' or row.claimId ~= scanned[2][i] then
      differ('stray', scanned[2][i] .. ' in claims', scanned[2][i + 1], nil)
      if isMending then redis.call('HDEL', CLAIMS, scanned[2][i]) end
    end
  end
  return scanned[1]
end

-- A tenant's place in the line of webhooks, which follows from its first one.
local function compareHookTurn (tenant)
  local found, first = redis.call('ZSCORE', MORE.hooks, tenant), HookPlaces.firstOf(tenant)
  if (found and tonumber(found) or nil) == first then return end
  differ('turn', tenant .. ' in hooks', found and text(tonumber(found)), first and text(first))
  if isMending then HookPlaces.updateTurn(tenant) end
end

local function compareHookTurns (cursor)
  local scanned = redis.call('ZSCAN', MORE.hooks, cursor, 'COUNT', MEMBERS_PER_CALL)
  for i = 1, #scanned[2], 2 do compareHookTurn(scanned[2][i]) end
  return scanned[1]
end

-- A key of its own that leads to a row which does not know it.
local function compareName (kind, name)
  local at = key(kind, name)
  local entry = redis.call('HMGET', at, 'id', 'fingerprint')
  if not entry[1] or entry[2] then return end -- an idempotency name may outlive its row
  local row = Rows.readBrief(entry[1])
  local isKnown = row and (kind == 'r' and contains(Rows.requestIdsOf(row), name) or kind == 'n' and not row.large and Rows.knowsCacheName(row, name))
  if isKnown then return end
  differ('stray', kind .. ':' .. name, entry[1], nil)
  if isMending then redis.call('DEL', at) end
end

-- What is gone by now went with its row.
local function compareLog (id)
  local lines = redis.call('LLEN', key('log', id))
  local stand = Folds.stand(id)
  if lines == 0 or stand and stand.logged then return end
  differ('stray', 'log:' .. id, lines, nil)
  if isMending then redis.call('DEL', key('log', id)) end
end

local function compareCard (id)
  if not redis.call('GET', key('c', id)) or redis.call('HGET', key('g', id), 'bytes') then return end
  differ('stray', 'c:' .. id, 'a card', nil)
  if isMending then redis.call('DEL', key('c', id)) end
end

-- ------------------------------------------------------------------------------------------------ stored files

-- How many rows refer to it; and what nothing refers to is an orphan, unless a process removes it.
local function compareFile (name)
  local file, expected = Kept.read(name), tallied('file ' .. name)
  local found = file and file.rows or 0
  if found ~= expected then
    differ('file', name, text(found), text(expected))
    if isMending then
      local mended = file and copy(file) or { bytes = 0, sinceMs = now, withdrawn = false }
      mended.rows = expected
      Kept.write(name, file, mended)
      file = mended
    end
  end
  if not file or not isMending then return end
  local isOrphan = file.rows == 0 and not file.withdrawn and not redis.call('ZSCORE', MORE.condemned, name)
  if not isOrphan then redis.call('ZREM', MORE.orphans, name)
  elseif not redis.call('ZSCORE', MORE.orphans, name) then redis.call('ZADD', MORE.orphans, text(now), name) end
end

-- Some of them, with their bytes. -> where to go on
local function compareFiles (cursor)
  local scanned = redis.call('HSCAN', MORE.kept, cursor, 'COUNT', MEMBERS_PER_CALL)
  for i = 1, #scanned[2], 2 do
    local name = scanned[2][i]
    compareFile(name)
    local file = Kept.read(name)
    if file and not redis.call('HGET', MORE.tallied, 'k ' .. name) then
      redis.call('HSET', MORE.tallied, 'k ' .. name, '1')
      redis.call('HINCRBY', MORE.tally, 'bytes', text(file.bytes))
    end
  end
  return scanned[1]
end

-- ------------------------------------------------------------------------------------------------ counters

-- Of the outputs that lie aside there are a few thousand at most: each is large.
local function compareLedger ()
  for _, account in ipairs(Accounts.all()) do
    local other = Accounts.apart(account)
    compare('slots', other or '', GLOB, Accounts.field('active', other), tallied(Accounts.field('slots', other)))
  end
  local bytes = 0
  for _, name in ipairs(redis.call('ZRANGE', MORE.asides, 0, -1)) do bytes = bytes + tonumber(string.match(name, ' (%d+) ')) end
  compare('aside', '', GLOB, 'asideBytes', bytes)
  compare('kept', '', GLOB, 'keptBytes', tallied('bytes'))
end

-- The tenant's counters, then its position in the queue, which follows from them.
local function compareTenant (name)
  compare('running', name, key('t', name), 'running', tallied('running ' .. name))
  local waiting = tallied('waiting ' .. name)
  compare('waiting', name, WAITING, name, waiting)
  if isMending and waiting == 0 then redis.call('HDEL', WAITING, name) end
  local tenant = Queue.readTenant(name)
  local shouldStand = redis.call('ZCARD', key('q', name)) > 0 and tenant.running < tenant.maxInFlight
  local score = redis.call('ZSCORE', TURNS, name)
  local expected = shouldStand and text(math.max(tenant.virtual, score and 0 or Queue.virtualNow())) or nil
  local found = score and text(tonumber(score)) or nil
  if (found ~= nil) ~= shouldStand or found and found ~= expected then
    differ('turn', name, found, expected)
    if isMending then Queue.updateTurn(name) end
  end
end

-- Of what was spent only the journal tells, up to its last line now. -> { name, spent: with what open unknowns may have cost, lastLine }
local function compareBook (name)
  local at = key('m', name)
  local held = tallied('held ' .. name)
  if compare('held', name, at, 'held', held) and isMending then
    if held == 0 then endKey(at, now + constants.journalMs) else redis.call('PERSIST', at) end
  end
  local last = redis.call('XREVRANGE', JOURNAL, '+', '-', 'COUNT', 1)[1]
  return { name = name, spent = text(tonumber(redis.call('HGET', at, 'spent') or 0) + tallied('unknown ' .. name)), lastLine = last and last[1] }
end

local function compareToken (id)
  if not Tokens.readToken(id) then return end
  compare('pictures', id, key('tok', id), 'heldPictures', tallied('pictures ' .. id))
  compare('money', id, key('tok', id), 'heldMoney', tallied('money ' .. id))
end

-- ------------------------------------------------------------------------------------------------ the operation

local step = {}

-- One count at a time: this one ends another that is under way.
function step.begin ()
  redis.call('DEL', MORE.tally, MORE.tallied)
  redis.call('HSET', MORE.tally, 'run', given.run)
  redis.call('HSET', MORE.tallied, '', '1')
end

-- names: ids of rows
function step.rows (answer)
  for _, id in ipairs(given.names) do
    local row = Rows.readBrief(id)
    if row then compareRow(row) end
  end
end

-- cursor
function step.files (answer)
  answer.cursor = compareFiles(given.cursor)
end

-- kind, name: of an index; cursor
function step.members (answer)
  if given.kind == 'claims' then answer.cursor = compareClaims(given.cursor)
  elseif given.kind == 'hooks' then answer.cursor = compareHookTurns(given.cursor)
  else answer.cursor = compareMembers(given.kind, given.name, given.cursor) end
  if given.kind == 'h' and answer.cursor == '0' then compareHookTurn(given.name) end
end

-- kind, names: of keys
function step.names (answer)
  for _, name in ipairs(given.names) do
    if given.kind == 'log' then compareLog(name)
    elseif given.kind == 'c' then compareCard(name)
    else compareName(given.kind, name) end
  end
end

-- The names of all whose counters may differ, some at a time. kind: 'tally' | 'waiting' | 'turn'; cursor
function step.counted (answer)
  local command, at = 'HSCAN', given.kind == 'tally' and MORE.tally or WAITING
  if given.kind == 'turn' then command, at = 'ZSCAN', TURNS end
  local scanned = redis.call(command, at, given.cursor, 'COUNT', MEMBERS_PER_CALL)
  answer.cursor, answer.names = scanned[1], {}
  for i = 1, #scanned[2], 2 do table.insert(answer.names, scanned[2][i]) end
end

-- kind: 'ledger' | 't' | 'm' | 'tok' | 'file', names
function step.counters (answer)
  if given.kind == 'ledger' then compareLedger() end
  answer.books = {}
  for _, name in ipairs(given.names) do
    if given.kind == 't' then compareTenant(name) end
    if given.kind == 'm' then table.insert(answer.books, compareBook(name)) end
    if given.kind == 'tok' then compareToken(name) end
    if given.kind == 'file' and not Kept.read(name) then compareFile(name) end
  end
end

function step.over (answer)
  answer.isTrimmed = redis.call('HGET', GLOB, 'journalTrimmed') and '1' or nil
  redis.call('DEL', MORE.tally, MORE.tallied)
  redis.call('HDEL', GLOB, 'tallyUntilMs')
end

-- recount { step, run, mend, and what the step needs } -> { differences: [{ what, name, found, expected }], isOver: another count has begun, and what the step gives }
-- or, before anything is done, { differences: [], missing: the commands that its user may not run }
local function recount ()
  local missing = given.step == 'begin' and Rights.missing(commands.recount) or {}
  if #missing > 0 then return { differences = {}, missing = missing } end
  local isLeft = not tallyUntilMs or now > tallyUntilMs
  if given.step ~= 'begin' and (isLeft or redis.call('HGET', MORE.tally, 'run') ~= given.run) then return { isOver = '1', differences = {} } end
  differences, isMending = {}, given.mend
  local answer = {}
  step[given.step](answer)
  if given.step ~= 'over' then keep() end
  answer.differences = differences
  return answer
end

return {
  recount = recount
}
