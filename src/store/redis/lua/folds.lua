-- The fields of a row as a compact ledger keeps them (`folds.ts`), which is one that began as such (`findUpstream`): several short ones in one text, and accounts in fewer bytes. A
-- ledger that began with an older version has each field by itself, as that version reads it. All rows are read in either form.

-- Tenant -> accounts as they are kept <-> as JSON, of the rows that calls were about lately. A day's rows have few of them.
local folded, unfolded, known = {}, {}, 0

-- The most that are remembered; then all are forgotten.
local MAX_KNOWN = 256

local function remember (isFolded, tenant, from, to)
  if known == MAX_KNOWN then folded, unfolded, known = {}, {}, 0 end
  local memory = isFolded and folded or unfolded
  memory[tenant] = memory[tenant] or {}
  memory[tenant][from], known = to, known + 1
  return to
end

-- A row's accounts in the fewest bytes: ':2026-11 *:2026-11', where a period with no owner before it is the tenant's. Others stay JSON.
local function foldAccounts (tenant, json)
  local of = folded[tenant]
  if of and of[json] then return of[json] end
  local words = {}
  for i, account in ipairs(cjson.decode(json)) do
    if account.owner == '' or string.find(account.owner, '%s') then return json end
    words[i] = (account.owner == tenant and '' or account.owner) .. ':' .. account.period
  end
  return remember(true, tenant, json, #words == 0 and json or table.concat(words, ' '))
end

-- The way back.
local function unfoldAccounts (tenant, kept)
  local of = unfolded[tenant]
  if of and of[kept] then return of[kept] end
  if string.sub(kept, 1, 1) == '[' then return kept end
  local accounts = {}
  for owner, period in string.gmatch(kept, '(%S*):(%S+)') do accounts[#accounts + 1] = { owner = owner == '' and tenant or owner, period = period } end
  return remember(false, tenant, kept, cjson.encode(accounts))
end

-- What the hash of a new row is given, names and values in turn, and in `kept` that it is so.
-- `leftOut`: names of fields that stand elsewhere, or nothing
local function fold (kept, leftOut)
  local sets, count = {}, 0
  local function set (name, value)
    sets[count + 1], sets[count + 2] = name, value
    count = count + 2
  end
  if not isCompact then
    for name, value in pairs(kept) do set(name, value) end
    return sets
  end
  local folds = RowTexts.folds
  local stand = folds.s(kept)
  set('s', stand)
  for _, name in ipairs(fields.first) do
    if kept[name] then set(name, kept[name]) end
  end
  set('p', folds.p(kept))
  set('u', folds.u(kept))
  set('accounts', foldAccounts(kept.tenant, kept.accounts))
  for name, value in pairs(kept) do
    if not fields.isWritten[name] and not (leftOut and leftOut[name]) and (value ~= '' or name ~= 'subject') then set(name, value) end
  end
  kept.s = stand
  return sets
end

-- All fields of a record that was read, however they are kept.
local function unfold (record)
  if not record.s then return record end
  local kept = RowTexts.unfolded(record, unfoldAccounts(record.tenant, record.accounts))
  kept.subject = kept.subject or ''
  return kept
end

-- Where what is kept under an id stands, the fields of `s`, or nil: no row is there.
local function stand (id)
  if isCompact then
    local kept = redis.call('HGET', key('g', id), 's')
    return kept and RowTexts.unfolds.s(kept)
  end
  local kept, record = redis.call('HMGET', key('g', id), unpack(fields.folds.s)), {}
  for i, name in ipairs(fields.folds.s) do record[name] = kept[i] or nil end
  return record.phase and record
end

-- The fields that stand together under this name, and these others, of what is kept under an id; nothing of what is not there.
local function glance (id, name, ...)
  local asked, at = { ... }, key('g', id)
  local first = #asked
  if isCompact then asked[first + 1] = name
  else for i, each in ipairs(fields.folds[name]) do asked[first + i] = each end end
  local kept = redis.call('HMGET', at, unpack(asked))
  local record = isCompact and kept[first + 1] and RowTexts.unfolds[name](kept[first + 1]) or {}
  for i = 1, isCompact and first or #asked do record[asked[i]] = kept[i] or nil end
  return record
end

return {
  foldAccounts = foldAccounts, fold = fold, unfold = unfold, stand = stand, glance = glance
}
