-- Adoption: an identical request gets the undelivered generation of a caller who is gone (rule 7).

local function isSameConnection (row, connection)
  return connection ~= nil and row.connection == connection
end

-- The oldest twins that may be adopted. Ends older than ten minutes are dropped for good; an old `unknown` and what is called off are passed over, evidence may revive them.
local function adoptable (twinName)
  local found = {}
  for _, id in ipairs(redis.call('ZRANGE', key('o', twinName), 0, -1)) do
    local row = Rows.readRow(id)
    if row then
      if Books.isFinal(row) and now >= (row.finishedAtMs or 0) + constants.adoptableMs then redis.call('ZREM', key('o', twinName), id)
      elseif not Names.isVerdictOver(row) and not Books.isCalledOff(row) then table.insert(found, row) end
    end
    if #found == constants.maxTwins then break end
  end
  return found
end

-- Looks at the 8 oldest undelivered twins. The oldest whose caller is certainly gone is adopted: nobody waits for it, its replica said that
-- the connection is closed, or it is the asker's own. Otherwise those are named whose present connection was not asked about; in the last round
-- the oldest of them counts as left. Gives the row to adopt, or nil and those to ask about.
local function findTwin (admission)
  local ask, unasked = {}, nil
  if not admission.twinName then return nil, ask end
  for _, row in ipairs(adoptable(admission.twinName)) do
    if not row.connection or isSameConnection(row, admission.connection) then return row end
    local answer
    for _, twin in ipairs(admission.twins) do
      if twin.id == row.id and isSameConnection(row, twin.connection) then
        answer = twin
        break
      end
    end
    if answer and not answer.open then return row end
    if not answer then
      table.insert(ask, { id = row.id, connection = row.connection })
      unasked = unasked or row
    end
  end
  if unasked and admission.lastRound then return unasked end
  return nil, ask
end

-- Hands a generation to another caller, with the time in line that its first caller's leaving cost it, should it wait here or come back to the line. That
-- caller's own deadline holds on, counted from the start, when the other has one, too (a retry has). Without a connection it stays adoptable until its
-- id was delivered.
local function adopt (row, admission)
  local startUntilMs = admission.startWithinMs and row.startUntilMs
  Rows.change(row, {
    connection = admission.connection or false, startUntilMs = startUntilMs or false,
    waitUntilMs = math.min(row.createdAtMs + times.queueMs, startUntilMs or math.huge)
  })
end

return {
  isSameConnection = isSameConnection, findTwin = findTwin, adopt = adopt
}
