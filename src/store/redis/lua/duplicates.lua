-- Reattaching: an identical request gets the undelivered generation of a caller who is gone (rule 7).

local function isSameConnection (row, connection)
  return connection ~= nil and row.connection == connection
end

-- How many of them are looked at in one admission.
local LOOKS = 64

-- The oldest duplicates that may be reattached, briefly (id, connection), and whether there are others behind those that were looked at. Ends older than ten minutes
-- are dropped; so are an old `unknown`, what is called off, and a picture that nobody can get any more, until they move (see `reindex`).
local function reattachable (duplicateName)
  local at, found = key('o', duplicateName), {}
  local ids = redis.call('ZRANGE', at, 0, LOOKS)
  for i = 1, math.min(#ids, LOOKS) do
    local kept = redis.call('HMGET', key('g', ids[i]), 'phase', 'cost', 'finishedAtMs', 'answersUntilMs', 'cancelWished', 'connection', 'large')
    local row = { id = ids[i], phase = kept[1], cost = tonumber(kept[2] or nil), finishedAtMs = tonumber(kept[3] or nil), answersUntilMs = tonumber(kept[4] or 0),
      cancelWished = kept[5] == '1', connection = kept[6] or nil }
    local isGone = kept[7] and not Aside.isThere(row.id, kept[7])
    if not row.phase or Books.isFinal(row) and now >= (row.finishedAtMs or 0) + constants.reattachableMs or Names.isAnswerOver(row) or Books.isCalledOff(row) or isGone then
      redis.call('ZREM', at, row.id)
    else
      table.insert(found, row)
    end
    if #found == constants.maxDuplicates then return found, false end
  end
  return found, #ids > LOOKS
end

-- Looks at the 8 oldest undelivered duplicates. The oldest whose caller is certainly gone is reattached: nobody waits for it, its replica said that
-- the connection is closed, or it is the asker's own. Otherwise those are named whose present connection was not asked about; in the last round
-- the oldest of them counts as left. Gives the row to reattach, or nil, those to ask about, and whether to look once more, behind those that were dropped.
local function findDuplicate (admission)
  local ask, unasked = {}, nil
  if not admission.duplicateName then return nil, ask, false end
  local found, isMore = reattachable(admission.duplicateName)
  for _, row in ipairs(found) do
    if not row.connection or isSameConnection(row, admission.connection) then return Rows.readRow(row.id) end
    local answer
    for _, duplicate in ipairs(admission.duplicates) do
      if duplicate.id == row.id and isSameConnection(row, duplicate.connection) then
        answer = duplicate
        break
      end
    end
    if answer and not answer.open then return Rows.readRow(row.id) end
    if not answer then
      table.insert(ask, { id = row.id, connection = row.connection })
      unasked = unasked or row
    end
  end
  if unasked and admission.lastRound then return Rows.readRow(unasked.id) end
  return nil, ask, isMore and not admission.lastRound
end

-- Hands a generation to another caller, with the time in the queue that its first caller's leaving cost it, should it wait here or come back to the queue. That
-- caller's own deadline holds on, counted from the start, when the other has one, too (a retry has). Without a connection it stays reattachable until its
-- id was delivered.
local function reattach (row, admission)
  local startUntilMs = admission.startWithinMs and row.startUntilMs
  Rows.change(row, {
    connection = admission.connection or false, startUntilMs = startUntilMs or false,
    waitUntilMs = math.min(row.createdAtMs + times.queueMs, startUntilMs or math.huge)
  })
end

return {
  isSameConnection = isSameConnection, findDuplicate = findDuplicate, reattach = reattach
}
