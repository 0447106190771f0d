-- A reader has a generation forgotten for good: what it was asked with, what came of it, and where its files are. What it cost stays in the books.

-- Was it erased lately? Nobody puts it back then.
local function isErased (id)
  local left = readEnding(key('e', id))
  return left ~= nil and left.reader ~= nil
end

-- Keys that lead to it are bound for 24 hours at most, and so long they tell that it is gone, and buy nothing. No name of a tenant has a space in it.
local function keepErased (id, cost, finishedAtMs)
  writeEnding(key('e', id), now + constants.idempotencyMs, 'code', 'generation-deleted', 'cost', text(cost), 'finishedAtMs', text(finishedAtMs), 'reader', given.tenant .. ' ' .. given.subject)
end

-- May something of it still be booked, or be found at fal?
local function isOpen (row)
  if not Books.isFinal(row) or row.settled and row.askAtMs then return true end
  for _, double in ipairs(row.doubles and cjson.decode(row.doubles) or {}) do
    if not double.ended then return true end
  end
  return false
end

-- erase { id, tenant, subject } -> { outcome: 'erased' | 'no-such-generation' } or { outcome: 'not-ended', phase }
-- Through an alias it lets go of that alone (rule 44).
local function erase ()
  local row, alias = Rows.findById(given.id)
  if not row then
    local left = readEnding(key('e', given.id))
    return { outcome = left and left.reader == given.tenant .. ' ' .. given.subject and 'erased' or 'no-such-generation' }
  end
  local reader = alias or row
  if reader.tenant ~= given.tenant or reader.subject ~= given.subject then return { outcome = 'no-such-generation' } end
  if isOpen(row) then return { outcome = 'not-ended', phase = row.phase } end
  if alias then
    redis.call('DEL', key('g', given.id))
    redis.call('ZREM', key('la', alias.tenant .. ' ' .. alias.subject), given.id)
    keepErased(given.id, 0, row.finishedAtMs or 0)
  else
    Rows.forget(row)
    if row.large then Aside.drop(row.id, row.large) end
    Rows.tellErased(row)
    keepErased(row.id, row.cost or 0, row.finishedAtMs or 0)
  end
  return { outcome = 'erased' }
end

return { isErased = isErased, erase = erase }
