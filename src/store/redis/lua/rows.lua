-- Rows: written, changed and forgotten in one place, which keeps every structure that follows from a row, books money and tells listeners.

-- The fields of a row stand in `fields`, made from `generation/generation.ts`, as are the functions of `RowTexts`: `shown` to callers, `kinds` of those
-- that are no texts, `listed`: those that a list shows beside `input` and `output`. In the hash beside them: `schema`, the version of that list; `bytes` of
-- input and output together. Beside the hash lies the row's card: what a list needs to know of it in one text, a line each, so that one command reads a page.
--
-- A compact ledger (folds.lua) has input and output in the card alone if they are short enough for it, because Redis keeps a hash without a table of its fields as long as none
-- is longer than 64 bytes. A row tells by itself how it is kept: where `bytes` counts texts that the hash does not have, they stand in the card.
local SCHEMA = '2'

local function isAtUpstream (phase)
  return phase == 'submitting' or phase == 'accepted' or phase == 'running'
end

-- Does it take one of the slots at fal? What fal is done with does not, although its result is still looked for.
local function hasSlot (row)
  return isAtUpstream(row.phase) and not row.doubt
end

-- A row from its texts.
local function typed (id, record)
  local row = copy(record)
  for name, value in pairs(RowTexts.typedOf(id, record)) do row[name] = value end
  row.texts = nil
  return row
end

-- The same of a row that was read: what is text anyway is read from the record. Its `texts` are handed out as they are, because writing the numbers again would cost more
-- than reading them.
local function rowOf (id, record)
  return setmetatable(RowTexts.typedOf(id, record), { __index = record })
end

-- The text that is kept of a field's value; of a flag that is not set there is none.
local function textOf (name, value)
  local kind = fields.kinds[name]
  if not kind then return value end
  return kind == 'integer' and text(value) or value and '1' or nil
end

local LINE_END = 10

-- Takes input and output of a record out of its card, where they stand at its end. One that is not the record's has none. By MGET, which every user may run who reads lists.
local function readTexts (id, record)
  local card = redis.call('MGET', key('c', id))[1] or ''
  local from = #card - record.bytes
  if from < 2 or string.byte(card, from - 1) ~= LINE_END then return end
  local atEnd = string.find(card, '\n', from, true)
  if not atEnd then return end
  if atEnd > from then record.input = string.sub(card, from, atEnd - 1) end
  if atEnd < #card then record.output = string.sub(card, atEnd + 1) end
  record.isInCard = true
end

-- What is kept under this id, a row's or an alias' fields as texts, or nil.
local function readRecord (id)
  local record = readHash(key('g', id))
  if not record or record.target then return record end
  record = Folds.unfold(record)
  if not record.input and not record.output and record.bytes ~= '0' then readTexts(id, record) end
  return record
end

-- The row with this id, or nil; an alias is none.
local function readRow (id)
  local record = readRecord(id)
  if not record or record.target then return nil end
  return rowOf(id, record)
end

-- Up to this many bytes of input and output a row is read whole, which costs less than naming its fields.
local BRIEF_BYTES = 4096

-- The row for those who look at many: without input and output where these are long. It may be changed, if it has not ended.
local function readBrief (id)
  local at = key('g', id)
  local bytes = redis.call('HGET', at, 'bytes')
  if not bytes or tonumber(bytes) <= BRIEF_BYTES then return readRow(id) end
  local kept, record = redis.call('HMGET', at, unpack(fields.brief)), {}
  for i, name in ipairs(fields.brief) do record[name] = kept[i] or nil end
  record = Folds.unfold(record)
  local row = rowOf(id, record)
  row.isBrief = true
  return row
end

-- The same row with input and output.
local function complete (row)
  if not row.isBrief then return row end
  local kept = redis.call('HMGET', key('g', row.id), 'input', 'output')
  row.input, row.output, row.isBrief = kept[1] or nil, kept[2] or nil, nil
  row.texts.input, row.texts.output = row.input, row.output
  return row
end

-- A row that gave way to another may do so to one that gave way itself, but not without end.
local MAX_HOPS = 5

-- The row that this id leads to, its own or the one that it gave way to, and in that case the alias that it is now.
local function resolve (id)
  local at, alias = id, nil
  for _ = 1, MAX_HOPS do
    local record = readRecord(at)
    if not record then return nil end
    if not record.target then return rowOf(at, record), alias end
    if not record.gaveWay or isExpired(record) then return nil end
    at, alias = record.target, alias or record
  end
  return nil
end

-- The id and the phase of what an alias leads to, without reading rows; nil when it leads nowhere, and whether that is because it has ended itself.
local function leadOf (alias)
  local at, isFirst = alias, true
  for _ = 1, MAX_HOPS + 1 do
    local record = Folds.glance(at, 's', 'target', 'endMs', 'gaveWay')
    if record.phase then return at, record.phase end
    if not record.target or tonumber(record.endMs) <= now or not (isFirst or record.gaveWay) then return nil, nil, isFirst end
    at, isFirst = record.target, false
  end
  return nil
end

-- The id of the row that this one leads to or led to, through however many aliases.
local function targetOf (id)
  local at = id
  for _ = 1, MAX_HOPS do
    local target = redis.call('HGET', key('g', at), 'target')
    if not target then return at end
    at = target
  end
  return at
end

-- What an id leads to, own or through an alias, and that alias.
local function findById (id)
  local record = readRecord(id)
  if not record then return nil end
  if not record.target then return rowOf(id, record) end
  if isExpired(record) then return nil end
  return resolve(record.target), record
end

local function leadsTo (name, id)
  return name ~= nil and redis.call('HGET', key('n', name), 'id') == id
end

-- May this cache name lead to the row?
local function knowsCacheName (row, name)
  return row.cacheName == name or row.learnedName == name or row.reuseName == name
end

-- The row as it is handed out, fields as texts. Through an alias it has the alias' id and reader, and not the buyer's accounts, token and socket.
local function show (row, id, alias)
  local shown = RowTexts.shownOf(row.texts, id or row.id, row.id)
  if alias then
    shown.tenant, shown.subject, shown.accounts = alias.tenant, alias.subject, '[]'
    shown.token, shown.connection = nil, nil
  end
  if row.phase == 'waiting' then shown.queuePosition = text(Queue.positionOf(row)) end
  -- To what has not succeeded no name leads but its own.
  local isNamed = leadsTo(row.cacheName, row.id) or leadsTo(row.learnedName, row.id) or row.phase == 'succeeded' and leadsTo(row.reuseName, row.id)
  if isNamed and not row.linksDead then shown.stored = '1' end
  return shown
end

-- The row for the replica that looks after it from now on: as it is shown, and what it was admitted under.
local function handOver (row)
  local terms = {}
  for _, name in ipairs(fields.terms) do terms[name] = row.texts[name] end
  return { row = show(row), terms = terms }
end

-- The same without input and output.
local function showBrief (row)
  local shown = show(row)
  shown.input, shown.output = nil, nil
  return shown
end

-- Until when an ended row is kept.
local function keptUntilMs (row)
  return (row.finishedAtMs or 0) + (Books.isUnbilledEnd(row) and math.min(times.resultTtlMs, constants.unspentMs) or times.resultTtlMs)
end

-- The longest input that an ended row keeps, in bytes.
local function keepsInputBytes (row)
  return Books.isUnbilledEnd(row) and constants.maxUnspentInputBytes or constants.maxEndedInputBytes
end

-- When a row has to be looked after; nil: an `unknown` that nobody asks about.
local function dueOf (row)
  if row.phase == 'waiting' then return row.waitUntilMs end
  if row.phase == 'unknown' then return row.askAtMs end
  if not Books.isFinal(row) then return row.leaseUntilMs end
  local untilMs = keptUntilMs(row)
  if row.hooks then untilMs = math.max(untilMs, HookPlaces.keptUntilMs(row) or 0) end
  return row.settled and row.askAtMs and math.min(untilMs, row.askAtMs) or untilMs
end

-- The row's place in the reader's list of those that stand so.
local function listOf (row)
  return key('ls', statuses[row.phase] .. ' ' .. row.tenant .. ' ' .. row.subject)
end

-- Has the row's card room for input and output?
local function fitsCard (row)
  return tonumber(row.bytes) <= constants.maxCardBytes
end

-- Do they stand there alone? The card tells where the one ends and the other begins by a line's end.
local function standsInCard (row)
  return isCompact and not row.media and fitsCard(row) and row.input ~= '' and row.output ~= '' and not (row.input and string.find(row.input, '\n', 1, true))
end

-- The fields of a list in their order, an empty line for what is not there; then bytes, rank in the queue of its tenant, and that tenant, with `bases` behind a
-- space where there are some, so that all other cards are as those of older versions; of one with stored files the texts stay in the row, where these stand. No text among them holds a line break: JSON is written without, and the others are words and digits. Behind them input and output, where they are short; fal may write an
-- output of several lines.
local function cardOf (row)
  local owner = row.bases and row.tenant .. ' ' .. row.bases or row.tenant
  local texts = not row.media and fitsCard(row) and '\n' .. (row.input or '') .. '\n' .. (row.output or '') or ''
  return RowTexts.listedLines(row.texts) .. '\n' .. row.bytes .. '\n' .. text(Queue.rankOf(row)) .. '\n' .. owner .. texts
end

-- May an equal request find it among its duplicates?
local function isDuplicate (row)
  return (not row.delivered or row.joinsTwins) and not Books.isUnbilledEnd(row)
end

-- The number that stands for an owner's name among what is followed: a score holds no name. Another name may have the same one, so the row is looked at, too.
local function ownerNumber (owner)
  return tonumber(string.sub(redis.sha1hex(owner), 1, 12), 16)
end

-- May another replica go on with it before its lease runs out? It only follows what fal has accepted, so that a wrong guess costs no money.
local function isFollowed (row)
  return isAtUpstream(row.phase) and row.requestId and row.owner and (row.takeovers or 0) < constants.maxEarlyTakeovers
end

-- The account in whose sets it stands, where that is not the ledger's first: what waits belongs to none, and with what has ended nothing is done at fal, but for
-- questions about it.
local function apartOf (row)
  local account = Accounts.apart(row.upstream)
  if not account or row.phase == 'waiting' then return nil end
  return (not Books.isFinal(row) or row.settled and row.askAtMs) and account or nil
end

-- Where a row stands. It follows from the row alone; of a row that is not there (nil) nothing stands anywhere.
local function placesOf (row)
  local at = {}
  if not row then return at end
  at.apart = apartOf(row)
  at.waiting = row.phase == 'waiting'
  at.running = hasSlot(row)
  if at.waiting then
    if (row.retryAtMs or 0) > 0 then at.later = row.retryAtMs else at.queue = Queue.rankOf(row) end
  end
  if row.phase == 'submitting' then at.claim = row.claimId end
  if row.phase == 'unknown' then at.unknown = row.unknownSinceMs end
  at.due = dueOf(row)
  if isFollowed(row) then at.followed = ownerNumber(row.owner) end
  if row.duplicateName and isDuplicate(row) then at.duplicate = row.number end
  if row.phase == 'failed' then at.failed = row.finishedAtMs or 0 end
  at.files = row.filesAtMs
  if row.hooks then at.hooks = HookPlaces.of(row) end
  at.held = not Books.isFinal(row)
  return at
end

-- Does the one hold the same money of the same accounts as the other?
local function holdsAlike (one, other)
  return one.price == other.price and one.files == other.files and one.token == other.token and one.accounts == other.accounts
end

-- The ids under which fal knows this generation's purchases: usually one.
local function requestIdsOf (row)
  local ids = {}
  if row and row.requestId then table.insert(ids, row.requestId) end
  for _, double in ipairs(row and row.doubles and cjson.decode(row.doubles) or {}) do table.insert(ids, double.requestId) end
  return ids
end

-- Lets each of them lead to its generation, as long as its row.
local function nameRequests (before, after)
  local was, is = requestIdsOf(before), requestIdsOf(after)
  for _, requestId in ipairs(was) do
    if not contains(is, requestId) then redis.call('DEL', key('r', requestId)) end
  end
  for _, requestId in ipairs(is) do
    if not contains(was, requestId) then redis.call('HSET', key('r', requestId), 'id', after.id) end
  end
end

local function place (set, id, before, after)
  if before == after then return end
  if after then redis.call('ZADD', set, text(after), id) else redis.call('ZREM', set, id) end
end

-- -> what is counted now, nil when nothing changed
local function count (at, field, before, after)
  if (before or false) ~= (after or false) then return redis.call('HINCRBY', at, field, after and 1 or -1) end
end

-- The same in a set that each account has.
local function placeApart (set, id, was, is, before, after)
  if was.apart == is.apart then return place(Accounts.setOf(set, is.apart), id, before, after) end
  place(Accounts.setOf(set, was.apart), id, before, nil)
  place(Accounts.setOf(set, is.apart), id, nil, after)
end

-- The same of its account's slots.
local function countSlots (was, is)
  if was.apart == is.apart then return count(GLOB, Accounts.field('active', is.apart), was.running, is.running) end
  count(GLOB, Accounts.field('active', was.apart), was.running, nil)
  count(GLOB, Accounts.field('active', is.apart), nil, is.running)
end

-- Moves a row from where it stood to where it stands, writing only what differs. One of the two may be nil.
-- -> does its tenant have other work in the queue, or other slots at fal, than before?
local function reindex (before, after)
  local row = after or before
  local was, is = placesOf(before), placesOf(after)
  Tally.update(before, after, was, is)
  if count(WAITING, row.tenant, was.waiting, is.waiting) == 0 then redis.call('HDEL', WAITING, row.tenant) end
  if (was.running or false) ~= (is.running or false) then Queue.countRunning(row.tenant, is.running and 1 or -1) end
  countSlots(was, is)
  if was.apart and was.apart ~= is.apart then Breakers.leaveAccount(row.id, was.apart) end
  place(LATER, row.id, was.later, is.later)
  if was.queue ~= is.queue then positionsNow = {} end
  place(key('q', row.tenant), row.id, was.queue, is.queue)
  place(UNKNOWN, row.id, was.unknown, is.unknown)
  place(MORE.oldest, row.id, was.unknown and before.createdAtMs, is.unknown and after.createdAtMs)
  placeApart(DUE, row.id, was, is, was.due, is.due)
  placeApart(FOLLOWED, row.id, was, is, was.followed, is.followed)
  place(MORE.failed, row.id, was.failed, is.failed)
  place(FILES, row.id, was.files, is.files)
  local had, has = before and before.media or nil, after and after.media or nil
  if had ~= has then Kept.refer(had, has) end
  if was.hooks or is.hooks then HookPlaces.move(row.id, was.hooks, is.hooks) end
  if row.duplicateName then
    -- What was passed over among duplicates is one of them again when it moves.
    local isBack = before and after and before.phase ~= after.phase and (before.phase == 'unknown' or before.cancelWished)
    place(key('o', row.duplicateName), row.id, not (isBack and is.duplicate) and was.duplicate or nil, is.duplicate)
  end
  if not before or not after or statuses[before.phase] ~= statuses[after.phase] then
    if before then redis.call('ZREM', listOf(before), row.id) end
    if after then redis.call('ZADD', listOf(after), text(row.number), row.id) end
  end
  if was.claim ~= is.claim then
    if was.claim then redis.call('HDEL', CLAIMS, was.claim) end
    if is.claim then redis.call('HSET', CLAIMS, is.claim, row.id) end
  end
  if not before or not after or before.requestId ~= after.requestId or before.doubles ~= after.doubles then nameRequests(before, after) end
  if was.held ~= is.held or (was.held and not holdsAlike(before, after)) then
    if was.held then Books.hold(before, -1) end
    if is.held then Books.hold(after, 1) end
  end
  return was.queue ~= is.queue or was.running ~= is.running
end

-- Of a JSON object whose last member's closing quote is still to come.
local function member (name, value)
  return value and '","' .. name .. '":"' .. value or ''
end

-- Tells listeners, and counts the change: a sequence that falls is a store that went back in time (rule 16).
-- `id`: what those know it by whom it concerns.
local function publish (row, id, isErased)
  sequence = text(redis.call('HINCRBY', GLOB, 'sequence', 1))
  local kept = row.texts
  local position = row.phase == 'waiting' and text(Queue.positionOf(row)) or kept.queuePosition
  -- A generation that keeps its slot at fal lets nobody else in.
  local isQueueEmpty = hasSlot(row) or Queue.isQueueEmpty()
  -- Ids, words and digits: nothing in it has to be escaped.
  redis.call('PUBLISH', CHANGES, '{"id":"' .. (id or row.id) .. '","version":"' .. kept.version .. '","phase":"' .. row.phase ..
    (row.cancelWished and '","cancelWished":"1","isQueueEmpty":"' or '","cancelWished":"0","isQueueEmpty":"') .. (isQueueEmpty and '1' or '0') .. member('queuePosition', position) ..
    member('startedAtMs', kept.startedAtMs) .. member('doubtSinceMs', kept.doubtSinceMs) .. member('logged', kept.logged) .. member('isErased', isErased and '1') .. '"}')
end

local function measure (row)
  row.bytes = text(#(row.input or '') + #(row.output or ''))
end

-- Applies changes to a row in its hash and in `row`, and gives the row as it was, with false for what was not there.
local function apply (row, changes)
  local before = setmetatable({}, { __index = row })
  local at = key('g', row.id)
  local sets, gone, isSeen, kept = {}, {}, false, row.texts
  local foldOf, changedFolds = kept.s and fields.foldOf or {}, {}
  local function set (name, as)
    sets[#sets + 1], sets[#sets + 2] = name, as
  end
  for name, value in pairs(changes) do
    local was = row[name] or false
    if was ~= value or (fields.isLarge[name] and row.isBrief) then
      before[name] = was
      isSeen = isSeen or fields.isListed[name]
      row[name], kept[name] = value or nil, value and textOf(name, value) or nil
      if foldOf[name] then changedFolds[foldOf[name]] = true
      elseif fields.isLarge[name] then -- below
      elseif not value then gone[#gone + 1] = name
      elseif kept.s and name == 'accounts' then set(name, Folds.foldAccounts(row.tenant, value))
      else set(name, kept[name]) end
    end
  end
  for name in pairs(changedFolds) do
    kept[name] = RowTexts.folds[name](kept)
    set(name, kept[name])
  end
  local isTextChanged = changes.input ~= nil or changes.output ~= nil
  if isTextChanged then
    measure(row)
    kept.bytes = row.bytes
    set('bytes', row.bytes)
  end
  -- Where there are places of files the card has no texts.
  if isTextChanged or changes.media ~= nil then
    isSeen = true
    local wasInCard = kept.isInCard
    kept.isInCard = standsInCard(row)
    for _, name in ipairs(fields.large) do
      if kept.isInCard then
        if not wasInCard then gone[#gone + 1] = name end
      elseif changes[name] ~= nil or wasInCard then
        if kept[name] then set(name, kept[name]) else gone[#gone + 1] = name end
      end
    end
  end
  if #sets > 0 then redis.call('HSET', at, unpack(sets)) end
  if #gone > 0 then redis.call('HDEL', at, unpack(gone)) end
  if isSeen then redis.call('SET', key('c', row.id), cardOf(row)) end
  return before
end

-- Takes the input out of what is written of a row that has ended, where it is too long to be kept.
local function shedInput (row, changes)
  if not Books.ENDS[changes.phase or row.phase] then return end
  local after = { phase = changes.phase or row.phase, cost = changes.cost, input = changes.input }
  if after.cost == nil then after.cost = row.cost end
  if after.input == nil then after.input = row.input end
  -- Of a row that has not ended all bytes are the input's.
  local bytes = after.input and #after.input or row.isBrief and not Books.isFinal(row) and tonumber(row.bytes) or 0
  if bytes > keepsInputBytes(after) then changes.input = false end
end

-- Frees the cache names that lead to a row.
local function unname (row)
  if leadsTo(row.cacheName, row.id) then redis.call('DEL', key('n', row.cacheName)) end
  if leadsTo(row.learnedName, row.id) then redis.call('DEL', key('n', row.learnedName)) end
  if leadsTo(row.reuseName, row.id) then redis.call('DEL', key('n', row.reuseName)) end
end

-- Writes a row that is not there, its card, and whatever stands anywhere because of it. Nothing is booked, and nobody told.
local function write (row)
  row.schema = SCHEMA
  measure(row)
  local kept, isInCard = RowTexts.textsOf(row), standsInCard(row)
  redis.call('HSET', key('g', row.id), unpack(Folds.fold(kept, isInCard and fields.isLarge)))
  kept.isInCard = isInCard
  row.texts = kept
  redis.call('SET', key('c', row.id), cardOf(row))
  redis.call('ZADD', key('l', row.tenant .. ' ' .. row.subject), text(row.number), row.id)
  reindex(nil, row)
end

-- Writes a new row.
local function insert (row)
  if Books.isFinal(row) and row.input and #row.input > keepsInputBytes(row) then row.input = nil end
  write(row)
  Books.book(nil, row)
  Queue.updateTurn(row.tenant)
  publish(row)
end

-- Changes a row to whatever a replica proved it to be (rule 16), legal move or not.
local function replace (row, changes)
  shedInput(row, changes)
  local before = apply(row, changes)
  local isQueueChanged = reindex(before, row)
  Books.book(before, row)
  if not isAtUpstream(row.phase) and row.phase ~= 'waiting' then Breakers.freeProbe(row) end
  if row.large then unname(row) end
  if isQueueChanged then Queue.updateTurn(row.tenant) end
  publish(row)
end

-- Changes a row: its version rises by one, structures and money follow, listeners are told.
local function change (row, changes)
  local phase = changes.phase
  local isFound = row.settled and row.phase == 'failed' and phase == 'succeeded'
  if phase and phase ~= row.phase and not moves[row.phase][phase] and not isFound then
    error('The ledger was about to move generation ' .. row.id .. ' from ' .. row.phase .. ' to ' .. phase .. '.')
  end
  if phase == 'waiting' and row.phase ~= 'waiting' then changes.waitsSinceMs = now end
  changes.version = row.version + 1
  replace(row, changes)
end

-- Changes what callers cannot see: neither version nor listeners.
local function adjust (row, changes)
  local before = apply(row, changes)
  if reindex(before, row) then Queue.updateTurn(row.tenant) end
end

-- Notes that an answer reached its caller, at this connection or by id (nil), once. Nobody is told, no reader sees it, and of all that follows from a row only the place
-- among duplicates does from this, so a few fields are enough. An unknown is no end: a caller who was told of it may ask again, and must not buy again.
local function deliver (id, connection)
  local at = key('g', id)
  if isCompact then
    local stand, known, duplicateName = unpack(redis.call('HMGET', at, 's', 'connection', 'duplicateName'))
    if not stand or connection and connection ~= known then return end
    local phase, wasDelivered, joinsTwins, after = RowTexts.delivered(stand)
    if wasDelivered or phase == 'unknown' then return end
    redis.call('HSET', at, 's', after)
    if duplicateName and not joinsTwins then redis.call('ZREM', key('o', duplicateName), id) end
    return
  end
  local phase, delivered, known, duplicateName, joinsTwins = unpack(redis.call('HMGET', at, 'phase', 'delivered', 'connection', 'duplicateName', 'joinsTwins'))
  if not phase or delivered or phase == 'unknown' or connection and connection ~= known then return end
  redis.call('HSET', at, 'delivered', '1')
  if duplicateName and not joinsTwins then redis.call('ZREM', key('o', duplicateName), id) end
end

-- Prolongs the lease of a row that is at fal. Of all that follows from a row only when it is due does from this, so the row itself need not be read.
-- `account`: that it is bought with, as its row says
local function prolong (id, account)
  local untilMs = text(now + times.leaseMs)
  redis.call('HSET', key('g', id), 'leaseUntilMs', untilMs)
  redis.call('ZADD', Accounts.setOf(DUE, Accounts.apart(account)), untilMs, id)
end

-- A replica that reported its end a moment ago would take a row that goes before its time for one that the store has lost (rule 24).
local function buryEarly (row)
  if (row.finishedAtMs or 0) + times.resultTtlMs <= now then return end
  writeEnding(key('x', row.id), now + constants.tombstoneMs, 'version', text(row.version), 'requestId', row.requestId or '')
end

-- An alias lives as long as a generation born now could.
local function aliasEndMs ()
  return now + times.queueMs + times.runMs + times.resultTtlMs
end

-- An alias, and its place in its reader's list of them. The list lives as long as its last one, which a key may bind for longer. Two of the oldest leave it for
-- each one that enters, if they have ended: all live about equally long.
local function writeAlias (id, number, endMs, reader, target, ...)
  local list = key('la', reader.tenant .. ' ' .. reader.subject)
  writeEnding(key('g', id), endMs, 'tenant', reader.tenant, 'subject', reader.subject, 'target', target, ...)
  redis.call('ZADD', list, text(number), id)
  endKey(list, math.max(endMs, now + constants.idempotencyMs))
  for _, oldest in ipairs(redis.call('ZRANGE', list, 0, 1)) do
    local oldestEndMs = redis.call('HGET', key('g', oldest), 'endMs')
    if not oldestEndMs or tonumber(oldestEndMs) <= now then redis.call('ZREM', list, oldest) end
  end
end

-- Makes a row that was never granted an attempt an alias of another one, which has its name by now: it leaves the queue, its money and its place in the rate
-- are given back, and callers that wait for it are told how the other stands.
local function giveWay (row, to)
  Breakers.freeProbe(row)
  reindex(row, nil)
  unname(row)
  redis.call('ZREM', key('l', row.tenant .. ' ' .. row.subject), row.id)
  redis.call('DEL', key('c', row.id))
  writeAlias(row.id, row.number, math.max(aliasEndMs(), row.keyedUntilMs or 0), row, to.id, 'gaveWay', '1')
  Queue.giveBackRate(row)
  Queue.updateTurn(row.tenant)
  publish(to, row.id)
end

local function keepEnd (row)
  if (row.keyedUntilMs or 0) <= now or Books.isUnbilledEnd(row) or Books.isCalledOff(row) then return end
  local code = row.phase == 'succeeded' and 'result-expired' or row.failure and cjson.decode(row.failure).code or 'cancelled'
  writeEnding(key('e', row.id), row.keyedUntilMs, 'code', code, 'cost', text(row.cost or 0), 'finishedAtMs', text(row.finishedAtMs or 0))
end

-- Forgets an ended row, and the cache names that lead to it. While an idempotency name still does, its end is kept: that name must not buy again.
local function forget (row)
  keepEnd(row)
  buryEarly(row)
  reindex(row, nil)
  redis.call('DEL', key('g', row.id), key('c', row.id), key('log', row.id))
  redis.call('ZREM', key('l', row.tenant .. ' ' .. row.subject), row.id)
  unname(row)
end

-- Tells all processes that have something of a row that was forgotten on its reader's word.
local function tellErased (row)
  row.texts.version = text(row.version + 1)
  publish(row, nil, true)
end

return {
  tellErased = tellErased, isAtUpstream = isAtUpstream, hasSlot = hasSlot, ownerNumber = ownerNumber, typed = typed, rowOf = rowOf, readRecord = readRecord, readRow = readRow, readBrief = readBrief, complete = complete, resolve = resolve, leadOf = leadOf,
  targetOf = targetOf, findById = findById, show = show, showBrief = showBrief, handOver = handOver, dueOf = dueOf, keptUntilMs = keptUntilMs, keepsInputBytes = keepsInputBytes,
  knowsCacheName = knowsCacheName, listOf = listOf, isDuplicate = isDuplicate, placesOf = placesOf, cardOf = cardOf, requestIdsOf = requestIdsOf, aliasEndMs = aliasEndMs, writeAlias = writeAlias, giveWay = giveWay,
  write = write, insert = insert, replace = replace, change = change, adjust = adjust, deliver = deliver, prolong = prolong, forget = forget
}
