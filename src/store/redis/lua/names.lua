-- Names (idempotency keys, cache keys) lead to rows. Nothing frees a name: it is judged whenever it is read (rule 4).

-- Is it an `unknown`, or an end without a picture, that no longer answers for its cache key or body?
local function isAnswerOver (row)
  return (row.phase == 'unknown' or (row.phase ~= 'succeeded' and Books.isFinal(row))) and now >= (row.answersUntilMs or 0)
end

-- What is left of the forgotten or deleted row that an id led to, or nil. To the holder of an alias it was free.
local function endOf (id)
  local target = Rows.targetOf(id)
  local left = readEnding(key('e', target))
  if not left then return nil end
  local alias = target ~= id and readEnding(key('g', id))
  return { id = id, code = left.code, cost = alias and '0' or left.cost, finishedAtMs = left.finishedAtMs }
end

-- What an idempotency name leads to (id, fingerprint, and what is left of it when it was forgotten), or nil when it is free: it led to no row, to an end that
-- was not billed, or to what is called off.
local function idempotencyLead (name)
  local entry = readEnding(key('n', name))
  if not entry then return nil end
  local row = Rows.findById(entry.id)
  if row then
    if Books.isUnbilledEnd(row) or Books.isCalledOff(row) then return nil end
    return entry
  end
  entry.left = endOf(entry.id)
  return entry.left and entry or nil
end

-- What a cache name leads to, or nil when it is free: as above, an `unknown` or a billed refusal holds it for 15 minutes only, and a success until its links are dead.
local function cacheLead (name)
  local id = redis.call('HGET', key('n', name), 'id')
  local row = id and Rows.readRow(id)
  if not row or Books.isUnbilledEnd(row) or Books.isCalledOff(row) or isAnswerOver(row) or row.linksDead then return nil end
  return row
end

local function bindUntil (name, fingerprint, id, endMs)
  redis.call('HSET', key('n', name), 'endMs', text(endMs), 'id', id, 'fingerprint', fingerprint)
  endKey(key('n', name), endMs)
end

-- Lets an idempotency name lead to a row for 24 h, under its own id or through an alias; both are there for that long, the row at least as its end. A row that
-- is not inserted yet (`row` nil) is to be written with that in it.
local function bindIdempotency (idempotency, id, row)
  local untilMs = now + constants.idempotencyMs
  bindUntil(idempotency.name, idempotency.fingerprint, id, untilMs)
  if not row then return end
  if (row.keyedUntilMs or 0) < untilMs then Rows.adjust(row, { keyedUntilMs = untilMs }) end
  if id == row.id then return end
  local endMs = tonumber(redis.call('HGET', key('g', id), 'endMs'))
  if endMs < untilMs then
    redis.call('HSET', key('g', id), 'endMs', text(untilMs))
    endKey(key('g', id), untilMs)
  end
end

-- Lets a cache name lead to a row for as long as there is the row.
local function takeCacheName (name, id)
  redis.call('HSET', key('n', name), 'id', id)
end

return {
  isAnswerOver = isAnswerOver, idempotencyLead = idempotencyLead, cacheLead = cacheLead, bindUntil = bindUntil, bindIdempotency = bindIdempotency,
  takeCacheName = takeCacheName, endOf = endOf
}
