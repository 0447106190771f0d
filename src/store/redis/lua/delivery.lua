-- Whether an answer reached its caller, and whether a caller is still there (rules 6 and 7).

-- seen { id, connection: { replica, connection } or nothing } -> 'OK'
local function seen ()
  local row = readRow(given.id)
  -- An unknown is no end: whoever was told of it may ask again, and must not buy again.
  if row and not row.delivered and row.phase ~= 'unknown' and (not given.connection or isSameConnection(row, given.connection)) then change(row, { delivered = true }) end
  return 'OK'
end

-- left { id, connection: { replica, connection } } -> 'OK'. Who has been answered may leave: a delivered generation keeps its time.
local function left ()
  local row = readRow(given.id)
  if not row or row.delivered or not isSameConnection(row, given.connection) then return 'OK' end
  local changes = { connection = false, connectionReplica = false }
  if row.phase == 'waiting' and row.keyless then changes.waitUntilMs = math.min(row.waitUntilMs, now + constants.abandonedMs) end
  change(row, changes)
  return 'OK'
end
