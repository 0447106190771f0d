-- A whole ledger that leaves, or comes in (`falgate export` and `import`). What stands in the place of its first account meanwhile makes it foreign to every process, of
-- older versions, too, in the same step in which it is written: so what it holds can be bought in one store at most.

local LEAVING, MOVED, ARRIVING = ledgers.moving[1], ledgers.moving[2], ledgers.moving[3]

-- The word of such a mark and what follows it, or nil.
local function markIn (account)
  local word, rest = string.match(account or '', '^(%a+) (.*)$')
  if word == LEAVING or word == MOVED or word == ARRIVING then return word, rest end
  return nil
end

-- Whose ledger it is, or nil when it is nobody's at the moment.
local function isNobodys ()
  return markIn(upstream) ~= nil
end

local function hasAny ()
  return redis.call('HGET', GLOB, 'sequence') or redis.call('HGET', GLOB, 'counter') or upstream
end

-- Replicas that were there within the last lease.
local function alive ()
  local found, known = {}, {}
  for _, set in ipairs({ BEATS, RENEWED }) do
    for _, replica in ipairs(redis.call('ZRANGEBYSCORE', set, text(now - times.leaseMs), '+inf', 'LIMIT', 0, constants.tidyPerCall)) do
      if not known[replica] then table.insert(found, replica) end
      known[replica] = true
    end
  end
  return found
end

-- ------------------------------------------------------------------------------------------------ what comes in, table by table

local put = {}

function put.tenants (name, image)
  redis.call('HSET', key('t', name), 'virtual', image.virtual, 'weight', image.weight, 'maxInFlight', image.maxInFlight, 'used', image.used, 'beganAtMs', image.beganAtMs, 'endsAtMs', image.endsAtMs)
end

-- What it holds follows from the rows.
function put.books (name, image)
  redis.call('HSET', key('m', name), 'spent', image.spent)
  if not redis.call('HGET', key('m', name), 'held') then endKey(key('m', name), tonumber(image.changedAtMs) + constants.journalMs) end
end

-- The same.
function put.tokens (id, image)
  if redis.call('HGET', key('tok', id), 'tenant') then return end
  writeEnding(key('tok', id), tonumber(image['until']),
    'tenant', image.tenant, 'subject', image.subject, 'secretSha256', image.secretSha256, 'origins', image.origins, 'terms', image.terms,
    'expiresAtMs', image.expiresAtMs, 'pictures', image.picturesLeft, 'money', image.moneyLeft,
    'heldPictures', '0', 'heldMoney', '0', 'spentPictures', image.spentPictures or '0', 'spentMoney', image.spentMoney or '0')
  if image.revoked then return redis.call('HSET', key('tok', id), 'revoked', '1') end
  local alive = key('toks', image.tenant)
  redis.call('ZADD', alive, image.expiresAtMs, id)
  local last = redis.call('ZRANGE', alive, -1, -1)[1]
  endKey(alive, tonumber(redis.call('ZSCORE', alive, last)))
end

function put.tickets (sha256, image)
  writeEnding(key('ticket', sha256), tonumber(image['until']), 'tenant', image.tenant, 'subject', image.subject, 'generation', image.generation, 'terms', image.terms)
end

function put.breakers (scope, image)
  Breakers.writeBreaker({
    scope = scope, state = image.state, sinceMs = tonumber(image.sinceMs), retryAtMs = tonumber(image.retryAtMs), failures = tonumber(image.failures),
    metBy = image.metBy, inputs = cjson.decode(image.inputs), proved = image.proved and true or nil
  })
end

function put.prices (model, image)
  redis.call('HSET', PRICE_RULES, model, image.rules)
end

function put.overruns (model, image)
  redis.call('HSET', MORE.overruns, model, image.count)
end

function put.granted (what, image)
  writeEnding(key('once', what), tonumber(image.count))
end

-- account: '' for the first one
function put.lowered (account, image)
  local apart = account ~= '' and account or nil
  redis.call('HSET', GLOB, Accounts.field('slots', apart), image.slots, Accounts.field('slotsUntilMs', apart), image.untilMs)
end

-- Of a stored file, before the rows that refer to it.
function put.kept (name, image)
  Kept.putBack(name, image)
end

-- With its place in every index, and what it holds. Once: what is read may come twice.
function put.rows (id, image, texts)
  if redis.call('HGET', key('g', id), 'bytes') then return end
  local row = Rows.typed(id, image)
  row.input, row.output = texts.input, texts.output
  Rows.write(row)
  Queue.updateTurn(row.tenant)
end

function put.logs (id, image)
  local lines = cjson.decode(image.lines)
  redis.call('DEL', key('log', id))
  if #lines > 0 then redis.call('RPUSH', key('log', id), unpack(lines)) end
end

function put.aliases (id, image)
  Rows.writeAlias(id, tonumber(image.number), tonumber(image['until']), image, image.target, unpack(image.gaveWay and { 'gaveWay', '1' } or {}))
end

function put.names (name, image)
  local at = key('n', name)
  redis.call('HSET', at, 'id', image.id)
  if image.fingerprint then redis.call('HSET', at, 'fingerprint', image.fingerprint) end
  if not image['until'] then return end
  redis.call('HSET', at, 'endMs', image['until'])
  endKey(at, tonumber(image['until']))
end

function put.ends (id, image)
  writeEnding(key('e', id), tonumber(image['until']), 'code', image.code, 'cost', image.cost, 'finishedAtMs', image.finishedAtMs)
  if image.reader then redis.call('HSET', key('e', id), 'reader', image.reader) end
end

-- It was looked at, and can neither be reattached nor joined.
function put.passed (id)
  local duplicateName = redis.call('HGET', key('g', id), 'duplicateName')
  if duplicateName then redis.call('ZREM', key('o', duplicateName), id) end
end

function put.outbox (_, image)
  redis.call('RPUSH', OUTBOX, image.line)
end

function put.journal (cursor, line)
  redis.call('XADD', JOURNAL, cursor, 'kind', line.kind, 'id', line.id, 'tenant', line.tenant, 'model', line.model,
    'requestId', line.requestId or '', 'accounts', line.accounts, 'amount', line.amount, 'assumed', line.assumed or '0')
end

-- ------------------------------------------------------------------------------------------------ the operation

local step = {}

-- From here on no process changes anything in it. -> outcome: 'left', and upstream: whose it was; 'empty'; a mark's word that forbids it; or 'alive', and replicas
function step.leave ()
  if not upstream and not hasAny() then return { outcome = 'empty' } end
  local word, whose = markIn(upstream)
  if word == MOVED or word == ARRIVING then return { outcome = word } end
  local replicas = alive()
  if not word and #replicas > 0 then return { outcome = 'alive', replicas = replicas } end
  whose = whose or upstream or ledgers.unmarked
  redis.call('HSET', GLOB, 'upstream', LEAVING .. ' ' .. whose)
  return { outcome = 'left', upstream = whose }
end

-- All of it is in a file.
function step.left ()
  local word, whose = markIn(upstream)
  if word ~= LEAVING then return { outcome = word or 'taken-back' } end
  redis.call('HSET', GLOB, 'upstream', MOVED .. ' ' .. whose)
  return { outcome = 'left' }
end

-- An operator says that it was imported nowhere.
function step.takeBack ()
  local word, whose = markIn(upstream)
  if word ~= LEAVING and word ~= MOVED then return { outcome = word or 'not-moved' } end
  redis.call('HSET', GLOB, 'upstream', whose)
  return { outcome = 'taken-back', upstream = whose }
end

-- Whose it is, for a copy of it that is made while it is used. -> outcome: 'there', 'empty', or a mark's word; upstream
function step.look ()
  local word = markIn(upstream)
  if word then return { outcome = word } end
  if not hasAny() then return { outcome = 'empty' } end
  return { outcome = 'there', upstream = upstream or ledgers.unmarked }
end

-- run: of this import. Of one that was broken off all that is here goes; the keys beside `GLOB` are for the caller to remove.
function step.arrive ()
  local word = markIn(upstream)
  if word ~= ARRIVING and hasAny() then return { outcome = word or 'filled' } end
  redis.call('DEL', GLOB)
  redis.call('HSET', GLOB, 'upstream', ARRIVING .. ' ' .. given.run, 'rows', ledgers.compact)
  return { outcome = word or 'empty' }
end

local function isArriving ()
  return upstream == ARRIVING .. ' ' .. given.run
end

-- The ledger as it will be: which account's sets a row stands in depends on the first one.
local function takeOn ()
  upstream, othersNow = given.upstream, table.concat(given.others, '\n')
end

-- run, upstream, others, entries: [{ table, key, image, texts }]
function step.put ()
  if not isArriving() then return { outcome = 'over' } end
  takeOn()
  for _, entry in ipairs(given.entries) do put[entry.table](entry.key, entry.image, entry.texts) end
  return { outcome = 'kept' }
end

-- run, name, piece, untilMs; payload: that piece of what lies aside
function step.putPiece ()
  if not isArriving() then return { outcome = 'over' } end
  local untilMs = tonumber(given.untilMs)
  redis.call('HSET', key('b', given.name), given.piece, payload)
  endKey(key('b', given.name), untilMs)
  if redis.call('ZADD', MORE.asides, text(untilMs), given.name) == 1 then redis.call('HINCRBY', GLOB, 'asideBytes', string.match(given.name, ' (%d+) ')) end
  return { outcome = 'kept' }
end

-- run, upstream, others, figures. It is a ledger now.
function step.arrived ()
  if not isArriving() then return { outcome = 'over' } end
  local figures = given.figures
  redis.call('HSET', GLOB, 'counter', figures.counter, 'virtual', figures.virtual, 'askedBeforeMs', figures.askedMs, 'askedMs', figures.askedLastMs, 'askLaterMs', figures.askLaterMs)
  if figures.isTrimmed then redis.call('HSET', GLOB, 'journalTrimmed', '1') end
  takeOn()
  if othersNow ~= '' then redis.call('HSET', GLOB, 'accounts', othersNow) end
  redis.call('HSET', GLOB, 'upstream', upstream)
  return { outcome = 'arrived' }
end

-- move { step, and what the step needs } -> { outcome, upstream, replicas }; or, before anything is done, { missing: the commands that its user may not run }
local function move ()
  local missing = (given.step == 'leave' or given.step == 'look' or given.step == 'arrive') and Rights.missing(commands.move) or {}
  if #missing > 0 then return { outcome = 'refused', missing = missing } end
  return step[given.step]()
end

return {
  isNobodys = isNobodys, move = move
}
