-- Money: what is held for open rows, what was spent, and the journal that explains it.
-- Spending and journal follow from two versions of a row, so no operation can forget one of them. Books change by HINCRBY only, which is exact.

-- The phases that a row ends in for good. An `unknown` has not ended: its money is held.
local ENDS = { succeeded = true, failed = true, cancelled = true }

local function isFinal (row)
  return ENDS[row.phase] == true
end

-- Ended for good, and nothing was paid.
local function isUnbilledEnd (row)
  return (row.phase == 'failed' or row.phase == 'cancelled') and row.cost == 0
end

-- Is its cancel wished, and no picture there all the same? Then it is nobody else's (rule 30): a caller that asks again wants another.
local function isCalledOff (row)
  return row.cancelWished and row.phase ~= 'succeeded'
end

-- The UTC day and month that hold this moment. Redis' Lua has no `os.date`; the days are counted after H. Hinnant's `civil_from_days`.
local function dayAndMonthOf (atMs)
  local days = math.floor(atMs / 86400000) + 719468
  local era = math.floor(days / 146097)
  local dayOfEra = days - era * 146097
  local yearOfEra = math.floor((dayOfEra - math.floor(dayOfEra / 1460) + math.floor(dayOfEra / 36524) - math.floor(dayOfEra / 146096)) / 365)
  local dayOfYear = dayOfEra - (365 * yearOfEra + math.floor(yearOfEra / 4) - math.floor(yearOfEra / 100)) -- from the first of March
  local monthFromMarch = math.floor((5 * dayOfYear + 2) / 153)
  local day = dayOfYear - math.floor((153 * monthFromMarch + 2) / 5) + 1
  local month = monthFromMarch < 10 and monthFromMarch + 3 or monthFromMarch - 9
  local year = yearOfEra + era * 400 + (month <= 2 and 1 or 0)
  return string.format('%04d-%02d-%02d', year, month, day), string.format('%04d-%02d', year, month)
end

local DAY_MS = 86400000

-- The day that was asked for last, in days since 1970, and its periods by their length.
local dayNumber, periods

-- The UTC day or month that it is.
local function periodNow (per)
  local number = math.floor(now / DAY_MS)
  if number ~= dayNumber then
    local day, month = dayAndMonthOf(now)
    dayNumber, periods = number, { day = day, month = month }
  end
  return periods[per]
end

local function bookOf (account)
  return key('m', account.owner .. ':' .. account.period)
end

-- A row's accounts as JSON -> the keys of their books, of the rows that calls were about lately, in the namespace of the last one. A day's rows have few accounts.
local knownBooks, booksKnown, booksPrefix = {}, 0, nil

-- The most that are remembered; then all are forgotten.
local MAX_KNOWN_BOOKS = 256

-- The books that a row counts in.
local function booksOf (row)
  local books = booksPrefix == prefix and knownBooks[row.accounts]
  if books then return books end
  if booksPrefix ~= prefix or booksKnown == MAX_KNOWN_BOOKS then knownBooks, booksKnown, booksPrefix = {}, 0, prefix end
  books = {}
  for i, account in ipairs(cjson.decode(row.accounts)) do books[i] = bookOf(account) end
  knownBooks[row.accounts], booksKnown = books, booksKnown + 1
  return books
end

-- held and spent of an account.
local function balanceOf (account)
  local book = redis.call('HMGET', bookOf(account), 'held', 'spent')
  return tonumber(book[1] or 0), tonumber(book[2] or 0)
end

-- A book that holds nothing is forgotten with the journal lines that explain it; one that begins to hold something is kept.
local function enter (at, what, amount)
  local sum = redis.call('HINCRBY', at, what, text(amount))
  if what == 'held' then
    heldNow[at] = sum
    if sum == 0 then endKey(at, now + constants.journalMs)
    elseif sum == amount then redis.call('PERSIST', at) end
  elseif not heldNow[at] and tonumber(redis.call('HGET', at, 'held') or 0) == 0 then
    endKey(at, now + constants.journalMs)
  end
end

-- Holds, or with -1 lets go of, the reserved price of an open row, in its accounts and its token.
local function hold (row, direction)
  for _, book in ipairs(booksOf(row)) do enter(book, 'held', direction * row.price) end
  if row.token then Tokens.draw(row.token, direction * (row.files or 1), direction * row.price, 'held') end
end

-- What is booked of a cost that was told, nil when none was. Above ten times the reservation it is no price but a fault: ten times is booked, as an
-- assumption, so that nobody's header can move a budget further than that. -> { cost, costAssumed }
local function bookingOf (row, told)
  if not told then return { cost = row.price, costAssumed = true } end
  local most = row.price * constants.maxOverrun
  if told > most then return { cost = most, costAssumed = true } end
  return { cost = told, costAssumed = false }
end

local function spentOf (row)
  return isFinal(row) and row.cost or 0
end

-- What a row adds to the journal: its cost, or while it is `unknown` the price that it may have cost.
local function worthOf (row)
  return row.phase == 'unknown' and row.price or spentOf(row)
end

-- What a row draws from its token's pictures for good: its files, when anything was paid for them.
local function picturesOf (row)
  return spentOf(row) > 0 and (row.files or 1) or 0
end

-- A line's time is that of its stream id. Should Redis' clock go back, lines stay at the time of the latest one: a stream takes nothing older.
local function writeJournal (row, kind, amount, requestId, isAssumed)
  local line = { 'kind', kind, 'id', row.id, 'tenant', row.tenant, 'model', row.model,
    'requestId', requestId or '', 'accounts', row.accounts, 'amount', text(amount), 'assumed', isAssumed and '1' or '0' }
  local added = redis.pcall('XADD', JOURNAL, text(now) .. '-*', unpack(line))
  if type(added) == 'string' then return end
  local last = redis.call('XREVRANGE', JOURNAL, '+', '-', 'COUNT', 1)[1]
  redis.call('XADD', JOURNAL, string.match(last[1], '^%d+') .. '-*', unpack(line))
end

-- Books what a change of a row means in money. `before` is nil for a new row.
local function book (before, after)
  local wasSpent = before and spentOf(before) or 0
  local spent = spentOf(after) - wasSpent
  local amount = worthOf(after) - (before and worthOf(before) or 0)
  local isUnknown = after.phase == 'unknown'
  local wasUnknown = before ~= nil and before.phase == 'unknown'
  if amount ~= 0 or (wasUnknown and not isUnknown) then
    local kind = 'purchase'
    if isUnknown then kind = 'unknown'
    elseif before and (wasUnknown or isFinal(before)) then kind = 'correction' end
    writeJournal(after, kind, amount, after.requestId, isUnknown or after.costAssumed)
  end
  local pictures = picturesOf(after) - (before and picturesOf(before) or 0)
  if spent ~= 0 then
    for _, book in ipairs(booksOf(after)) do enter(book, 'spent', spent) end
  end
  if after.token and (spent ~= 0 or pictures ~= 0) then Tokens.draw(after.token, pictures, spent, 'spent') end
end

-- Books a second purchase, or what became known of its price: it counts against the budgets, not against the holder of a token.
local function bookBeside (row, kind, requestId, amount, isAssumed)
  if amount == 0 then return end
  writeJournal(row, kind, amount, requestId, isAssumed)
  for _, book in ipairs(booksOf(row)) do enter(book, 'spent', amount) end
end

-- The oldest moment that the journal tells of.
local function journalFromMs ()
  return math.max(0, now - constants.journalMs)
end

-- Whole nodes of the stream are let go, and not many at once; what is too old and still there is not told.
local function tidyJournal ()
  local trimmed = redis.call('XTRIM', JOURNAL, 'MINID', '~', text(journalFromMs()), 'LIMIT', 1000)
  if trimmed > 0 then redis.call('HSET', GLOB, 'journalTrimmed', '1') end
end

-- balances { accounts: [{ owner, per }] } -> [{ owner, period, held, spent }]
local function balances ()
  local found = {}
  for _, asked in ipairs(given.accounts) do
    local account = { owner = asked.owner, period = periodNow(asked.per) }
    local held, spent = balanceOf(account)
    table.insert(found, { owner = account.owner, period = account.period, held = text(held), spent = text(spent) })
  end
  return found
end

-- journal { fromMs, toMs, limit, after: id of a stream entry, or nothing } -> [the fields of a line and `cursor`, the id of its
-- entry], oldest first, from inclusive to exclusive
local function journal ()
  if given.toMs < 1 or given.limit < 1 then return {} end
  local fromMs = math.max(journalFromMs(), math.ceil(given.fromMs))
  local from = text(fromMs)
  if given.after and tonumber(string.match(given.after, '^%d+')) >= fromMs then from = '(' .. given.after end
  local lines = {}
  for _, entry in ipairs(redis.call('XRANGE', JOURNAL, from, text(math.ceil(given.toMs) - 1), 'COUNT', text(given.limit))) do
    local line = recordOf(entry[2])
    line.cursor = entry[1]
    table.insert(lines, line)
  end
  return lines
end

return {
  ENDS = ENDS, isFinal = isFinal, isUnbilledEnd = isUnbilledEnd, isCalledOff = isCalledOff, periodNow = periodNow, balanceOf = balanceOf, bookingOf = bookingOf, hold = hold, spentOf = spentOf, picturesOf = picturesOf,
  book = book, bookBeside = bookBeside, tidyJournal = tidyJournal, balances = balances, journal = journal
}
