-- The outbox: what happened to a generation without its owner's doing, and how breakers stand. Kept until one replica takes it, so that it is told once.
-- And what one replica does for all.

-- Writes down that a row has just changed from this phase, or got more expensive.
local function add (row, kind, from, booked)
  redis.call('RPUSH', OUTBOX, cjson.encode({ row.id, kind, from, text(booked) }))
end

-- takeOutbox { max } -> { events: [{ kind, from, booked, row } or { kind: 'breaker', scope, from, state }], isMore: there may be others }
-- The row is as it is now, without what may be long of it; of a row that is forgotten there is no event.
local function takeOutbox ()
  local taken = {}
  local lines = given.max > 0 and redis.call('LPOP', OUTBOX, text(given.max)) or {}
  for _, line in ipairs(lines) do
    local id, kind, from, booked = unpack(cjson.decode(line))
    local row = kind ~= 'breaker' and Rows.readBrief(id)
    if row then table.insert(taken, { kind = kind, from = from, booked = booked, row = Rows.showBrief(row) }) end
    if kind == 'breaker' then table.insert(taken, { kind = kind, scope = id, from = from, state = booked }) end
  end
  return { events = taken, isMore = #lines == given.max and #lines > 0 and '1' or nil }
end

-- once { what, forMs } -> '1' for one call, and then '0' for so long
local function once ()
  local at = key('once', given.what)
  if readEnding(at) then return '0' end
  writeEnding(at, now + given.forMs)
  return '1'
end

return {
  add = add, takeOutbox = takeOutbox, once = once
}
