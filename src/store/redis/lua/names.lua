-- Names (idempotency keys, cache keys) lead to rows. Nothing frees a name: it is judged whenever it is read (rule 4).

-- Where a name leads: its entry (id, fingerprint) and the row, or nil.
local function leadOf (name)
  local entry = readEnding(key('n', name))
  if not entry then return nil end
  local row = Rows.follow(entry.id)
  if not row then return nil end
  return entry, row
end

-- Is it an `unknown`, or an end without a picture, that no longer answers for its cache key or body?
local function isVerdictOver (row)
  return (row.phase == 'unknown' or (row.phase ~= 'succeeded' and Books.isFinal(row))) and now >= row.answersUntilMs
end

-- Is its cancel wished, and no picture there all the same? Then it is nobody else's (rule 30): who asks again wants another.
local function isCalledOff (row)
  return row.cancelWished and row.phase ~= 'succeeded'
end

-- What an idempotency name leads to, or nil when it is free: it led to no row, to an end that was not billed, or to what is called off.
local function idempotencyLead (name)
  local entry, row = leadOf(name)
  if not entry or Books.isUnbilledEnd(row) or isCalledOff(row) then return nil end
  return entry, row
end

-- What a cache name leads to, or nil when it is free: as above, an `unknown` or a billed refusal holds it for 15 minutes only, and a success that
-- was too large to be kept does not hold it at all.
local function cacheLead (name)
  local entry, row = leadOf(name)
  if not entry or Books.isUnbilledEnd(row) or isCalledOff(row) or isVerdictOver(row) then return nil end
  if row.phase == 'succeeded' and not row.output then return nil end
  return entry, row
end

-- Lets an idempotency name lead to an id for 24 h.
local function bindIdempotency (idempotency, id)
  if not idempotency then return end
  writeEnding(key('n', idempotency.name), now + constants.idempotencyMs, 'id', id, 'fingerprint', idempotency.fingerprint)
end

-- Lets a cache name lead to a row for as long as there is the row.
local function takeCacheName (name, id)
  redis.call('DEL', key('n', name))
  redis.call('HSET', key('n', name), 'id', id)
end

return {
  isVerdictOver = isVerdictOver, isCalledOff = isCalledOff, idempotencyLead = idempotencyLead, cacheLead = cacheLead, bindIdempotency = bindIdempotency,
  takeCacheName = takeCacheName
}
