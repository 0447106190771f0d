-- What every operation leans on: its arguments, the clock, keys, numbers as text, and entries that end.
--
-- A call has two keys: '{<namespace>}:glob', whose hash tag puts every key that is built here into the same slot, and one that never exists (see `caller.ts`).
-- It has four arguments:
--   1 operation
--   2 JSON: resultTtlMs, queueMs, runMs, leaseMs, largeResultBytes; upstream: the caller's account, none for an operator's window, where it has several the first;
--     accounts: all of them, where there are several; slots: of those that have a number of their own; takesEmpty: it may make an empty ledger its own; isGuest: it makes nothing known to it; and in tests clockMs and server, which take the place of Redis' clock and its name
--   3 JSON: the operation's arguments; what is null is left out
--   4 one text that is kept byte for byte, `''` when the operation has none
-- and its answer is JSON, { time in ms, sequence, epoch of claims and renewals, answer of the operation; upstream: whose ledger it is, when it is not the caller's;
-- isRefused: therefore nothing was done }, every number in it as text. What is nil is left out, and an empty list looks like
-- an empty record, `{}`.
--
-- nil stands for null and for false alike: a field that is not there. In a table of changes `false` takes a field away.

-- Whatever an operation is about stands in these variables, which `begin` sets; nothing else outlives a call, except the functions, and what is true for good or as long as the
-- server runs.
local times, given, payload, prefix, now
local sequence -- after the last change so far
local epoch -- how many times this ledger may have lost something, where an operation looked
local upstream -- whose ledger it is, its first account, such as `fal main`; nil while that is not written down
local othersNow -- the ledger's other accounts, a line each, '' for none; nil while this call has not looked
local tallyUntilMs -- rows are being counted again, until then if nobody goes on; or false
local isCompact -- does this ledger keep short texts of a row with its card alone? (rows.lua)
local settings -- the JSON that `times` was read from
local heldNow -- book -> what it holds, of those that this call held or let go of money in
local tenantsNow -- name -> what is kept of that tenant, of those that this call is about
local breakersNow -- scope -> a breaker's JSON, false for none, of those that this call looked at, nil for the others
local standsNow -- a tenant that this call knows to stand in the queue
local rulesNow -- model -> its price rules, of those that this call is about
local positionsNow -- id -> how many go before it, of those that this call told
local textsNow -- number -> its text, of those that this call wrote

local GLOB -- hash: upstream, accounts, rows, counter, sequence, active, virtual, journalTrimmed, slots, slotsUntilMs, askedBeforeMs, askedMs, askLaterMs, asideBytes, keptBytes, server, epoch, heldSinceMs, heldUntilMs, tallyUntilMs
local DUE -- zset: id -> ms: waiting: its deadline; at fal: its lease; ended: its retention; unknown with an id: its next question
local LATER -- zset: waiting ids that may not be claimed yet -> from when on they may
local TURNS -- zset: tenant -> virtual time; only tenants with claimable work and a free slot
local UNKNOWN -- zset: open unknowns -> since when
local CLAIMS -- hash: claim id -> id, while that attempt is submitting
local WAITING -- hash: tenant -> how many wait; only tenants of whom some do
local BREAKERS -- hash: scope -> JSON
local PRICE_RULES -- hash: model -> JSON: its price rules, the one that holds first
local FOLLOWED -- zset: what a request id stands for and another replica may go on with at once -> its owner, as a number
local FILES -- zset: what has files that are not stored yet -> when they are tried again
local BEATS -- zset: replica -> its last heartbeat
local RENEWED -- zset: replica -> its last renewal on this server
local OUTBOX -- list: JSON, what nobody was told yet, oldest first
local JOURNAL -- stream
-- Keys that few operations use, since there are not many names left:
-- kept, hash: name of a stored file -> how many rows refer to it, its bytes, since when it is known (kept.lua); orphans, zset: those that nothing refers to -> since when;
-- condemned, zset: those that a process removes -> until when no other one does;
-- asides, zset: '<id> <bytes> <sha256>' of an output that lies aside -> until when;
-- awaited, zset: replicas that have to renew again before anything is claimed, as long as heldUntilMs is there;
-- hooks, zset: tenant -> when the first of its open webhooks is due; untold, zset: what has open webhooks -> since when somebody should have been told;
-- givenUp, zset: what has a webhook that was given up -> when it ended;
-- tally, hash: while rows are counted again, what was counted so far (tally.lua); tallied, hash: what counts in it;
-- overruns, hash: model -> how many of its bills in a row were above their reservations;
-- failed, zset: what has failed -> when it ended;
-- oldest, zset: open unknowns -> when they were admitted
local MORE
local CHANGES -- channel

local function nameKeys (glob)
  prefix = string.sub(glob, 1, -5)
  GLOB = glob
  DUE = prefix .. 'due'
  LATER = prefix .. 'later'
  TURNS = prefix .. 'turns'
  UNKNOWN = prefix .. 'unknown'
  CLAIMS = prefix .. 'claims'
  WAITING = prefix .. 'waiting'
  BREAKERS = prefix .. 'breakers'
  PRICE_RULES = prefix .. 'prices'
  FOLLOWED = prefix .. 'followed'
  FILES = prefix .. 'files'
  BEATS = prefix .. 'beats'
  RENEWED = prefix .. 'renewed'
  OUTBOX = prefix .. 'outbox'
  JOURNAL = prefix .. 'j'
  CHANGES = prefix .. 'changes'
  MORE = { kept = prefix .. 'kept', orphans = prefix .. 'orphans', condemned = prefix .. 'condemned', tally = prefix .. 'tally', tallied = prefix .. 'tallied', awaited = prefix .. 'awaited', asides = prefix .. 'asides', hooks = prefix .. 'hooks', untold = prefix .. 'untold', givenUp = prefix .. 'givenup', overruns = prefix .. 'overruns', failed = prefix .. 'failed', oldest = prefix .. 'oldest' }
end

-- The ledger's other accounts, a line each. Most ledgers have one account, so it is only looked where others matter.
local function readOthers ()
  if not othersNow then othersNow = redis.call('HGET', GLOB, 'accounts') or '' end
  return othersNow
end

local function isKnown (account)
  return account == upstream or string.find('\n' .. readOthers() .. '\n', '\n' .. account .. '\n', 1, true) ~= nil
end

-- Adds an account to those of the ledger.
local function knowAccount (account)
  if not account or account == upstream or isKnown(account) then return end
  othersNow = othersNow == '' and account or othersNow .. '\n' .. account
  redis.call('HSET', GLOB, 'accounts', othersNow)
end

-- Does this process have none of the ledger's accounts? One that shares an account with it brings its others along, unless it is a guest.
local function isStranger ()
  local own = times.accounts
  if not own then return not isKnown(times.upstream) end
  local isOne = false
  for _, account in ipairs(own) do isOne = isOne or isKnown(account) end
  if not isOne then return true end
  if not times.isGuest then
    for _, account in ipairs(own) do knowAccount(account) end
  end
  return false
end

-- Whose ledger it is. The first that reaches an empty one writes that down, and how its rows are kept (folds.lua), in `rows`; one that was filled before that is fal's, and
-- has no such word.
local function findUpstream ()
  local kept = redis.call('HMGET', GLOB, 'upstream', 'sequence', 'counter', 'tallyUntilMs', 'rows')
  upstream, sequence, isCompact = kept[1] or nil, kept[2] or '0', kept[5] == ledgers.compact
  tallyUntilMs, othersNow = kept[4] and tonumber(kept[4]), nil
  if upstream or not times.upstream then return end
  local isFilled = kept[2] or kept[3]
  upstream = isFilled and ledgers.unmarked or times.takesEmpty and times.upstream or ledgers.nobodys
  if upstream ~= times.upstream then return end
  isCompact = isCompact or not isFilled
  redis.call('HSET', GLOB, 'upstream', upstream, unpack(isCompact and { 'rows', ledgers.compact } or {}))
end

local function begin (keys, args)
  if keys[1] ~= GLOB then nameKeys(keys[1]) end
  if args[2] ~= settings then times, settings = cjson.decode(args[2]), args[2] end
  given = cjson.decode(args[3])
  payload = args[4]
  epoch, standsNow = nil, nil
  findUpstream()
  heldNow, tenantsNow, breakersNow, rulesNow, positionsNow, textsNow = {}, {}, {}, {}, {}, {}
  now = times.clockMs
  if not now then
    local time = redis.call('TIME')
    now = tonumber(time[1]) * 1000 + math.floor(tonumber(time[2]) / 1000)
  end
end

-- g: row or alias, c: a row's card, e: what is left of a forgotten row, x: of one that went before its time, log: a row's log lines, n: name, r: fal's request id, a: answer, o: duplicates, q: a tenant's queue,
-- t: tenant, m: book, tok: token, toks: a tenant's live tokens by their end, ticket: one that nobody has used, l: a reader's own rows by number, ls: the same by status, la: its aliases by number,
-- h: rows with open webhooks of a tenant by when they are due, b: the pieces of an output that lies aside, once: what was granted to one call
local function key (kind, name)
  return prefix .. kind .. ':' .. name
end

-- Of a whole number. Lua prints those of 15 digits and more with an exponent, which neither HINCRBY nor a reader of money takes.
local function text (number)
  local known = textsNow[number]
  if not known then
    known = string.format('%d', number)
    textsNow[number] = known
  end
  return known
end

local function copy (record)
  local other = {}
  for name, value in pairs(record) do other[name] = value end
  return other
end

local function contains (list, value)
  for _, each in ipairs(list) do
    if each == value then return true end
  end
  return false
end

-- A list as it is kept. An empty table would be encoded as `{}`.
local function encodeList (list)
  return #list == 0 and '[]' or cjson.encode(list)
end

-- Names and values in turn as a table.
local function recordOf (flat)
  local record = {}
  for i = 1, #flat, 2 do record[flat[i]] = flat[i + 1] end
  return record
end

-- A hash as a table of texts, or nil when there is none. Redis makes that table itself where it answers by RESP 3.
local function readHash (at)
  redis.setresp(3)
  local record = redis.call('HGETALL', at).map
  redis.setresp(2)
  return next(record) and record or nil
end

-- Redis ends a key by its own clock. Under a test's clock the end is only written down, and judged when read.
local function endKey (at, endMs)
  if not times.clockMs then redis.call('PEXPIREAT', at, text(endMs)) end
end

local function isExpired (record)
  return record.endMs ~= nil and tonumber(record.endMs) <= now
end

-- A hash that has an end, in place of what was there before.
local function writeEnding (at, endMs, ...)
  redis.call('DEL', at)
  redis.call('HSET', at, 'endMs', text(endMs), ...)
  endKey(at, endMs)
end

local function readEnding (at)
  local record = readHash(at)
  if record and isExpired(record) then return nil end
  return record
end
