-- The log lines of generations: a list of JSON texts beside the row, bounded in number and bytes. `logged` of the row counts all that were told, and
-- with it the place of each line: the last one kept is the last one told.

-- Keeps those of `log` ({ from, lines: texts } or nothing) that were not told before, and gives how many were told in all, nil when that is nothing new.
-- Where some are missing in between, those before them are forgotten, so that every line stays at its place.
local function keepLog (row, log)
  if not log then return nil end
  local told = row.logged or 0
  local fresh = {}
  for i = math.max(0, told - log.from) + 1, #log.lines do table.insert(fresh, log.lines[i]) end
  if #fresh == 0 then return nil end
  local at = key('log', row.id)
  if log.from > told then redis.call('DEL', at) end
  redis.call('RPUSH', at, unpack(fresh))
  local kept = redis.call('LRANGE', at, -constants.maxLogLines, -1)
  local first, bytes = #kept + 1, 0
  while first > 1 do
    bytes = bytes + #kept[first - 1]
    if bytes > constants.maxLogBytes then break end
    first = first - 1
  end
  if first > #kept then redis.call('DEL', at) else redis.call('LTRIM', at, first - 1 - #kept, -1) end
  return log.from + #log.lines
end

-- logs { id, from } -> { from: place of the first line, lines: [texts] }
local function logs ()
  local kept = Folds.glance(given.id, 's', 'gaveWay')
  local row = kept.gaveWay and Rows.resolve(given.id)
  local told = row and row.logged or tonumber(kept.logged or 0)
  local at = key('log', row and row.id or given.id)
  local first = math.max(given.from, told - redis.call('LLEN', at))
  return { from = text(first), lines = first < told and redis.call('LRANGE', at, first - told, -1) or {} }
end

return {
  keepLog = keepLog, logs = logs
}
