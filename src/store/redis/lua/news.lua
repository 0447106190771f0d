-- News: what happened to a generation without its owner's doing, and how guards stand. Kept until one replica takes it, so that it is told once.

-- Writes down that a row has just changed from this phase, or got more expensive.
local function tell (row, kind, from, booked)
  redis.call('RPUSH', NEWS, cjson.encode({ row.id, kind, from, text(booked) }))
end

-- takeNews { max } -> [{ kind, from, booked, row } or { kind: 'guard', scope, from, state }], the row as it is now; of a row that is forgotten there is no news
local function takeNews ()
  local taken = {}
  for _, line in ipairs(given.max > 0 and redis.call('LPOP', NEWS, text(given.max)) or {}) do
    local id, kind, from, booked = unpack(cjson.decode(line))
    local row = kind ~= 'guard' and Rows.readRow(id)
    if row then table.insert(taken, { kind = kind, from = from, booked = booked, row = Rows.show(row) }) end
    if kind == 'guard' then table.insert(taken, { kind = kind, scope = id, from = from, state = booked }) end
  end
  return taken
end

return {
  tell = tell, takeNews = takeNews
}
