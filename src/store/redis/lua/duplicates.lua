-- Reattaching: an identical request gets the undelivered generation of a caller who is gone (rule 7), or joins its twin where the tenant wants that (rule 39).

local function isSameConnection (row, connection)
  return connection ~= nil and row.connection == connection
end

-- How many of them are looked at in one round of an admission, and how many without one.
local LOOKS, SEEKS = 64, 1024

-- Is it under way, or did it end a moment ago, for a request that joins its twins?
local function isTwin (row, admission)
  return admission.joinsTwins and (not Books.isFinal(row) or now < (row.finishedAtMs or 0) + admission.twinMs)
end

-- The oldest duplicates that may be reattached, briefly (id, connection), the ids that were passed, and whether there are others behind those that were looked at.
-- Passed, and dropped by an admission, are ends older than ten minutes; so are an old `unknown`, what is called off, and a picture that nobody can get any more,
-- until they move (see `reindex`). What was delivered is passed unless it is a twin.
local function reattachable (duplicateName, looks, admission)
  local found, passed = {}, {}
  local ids = redis.call('ZRANGE', key('o', duplicateName), 0, looks)
  for i = 1, math.min(#ids, looks) do
    local kept = Folds.glance(ids[i], 's', 'answersUntilMs', 'connection', 'large')
    local callerRetry = Folds.glance(ids[i], 'p').callerRetry
    local row = { id = ids[i], phase = kept.phase, cost = tonumber(kept.cost), finishedAtMs = tonumber(kept.finishedAtMs), answersUntilMs = tonumber(kept.answersUntilMs or 0),
      cancelWished = kept.cancelWished == '1', connection = kept.connection, delivered = kept.delivered == '1', callerRetry = tonumber(callerRetry or 0) }
    local isGone = kept.large and not Aside.isThere(row.id, kept.large)
    local isOver = row.delivered and not isTwin(row, admission)
    if not row.phase or isOver or Books.isFinal(row) and now >= (row.finishedAtMs or 0) + constants.reattachableMs or Names.isAnswerOver(row) or Books.isCalledOff(row) or isGone then
      table.insert(passed, row.id)
    else
      table.insert(found, row)
    end
    if #found == constants.maxDuplicates then return found, passed, false end
  end
  return found, passed, #ids > looks
end

-- The one of these to reattach or to join, or nil, those to ask about, and whether it is joined.
local function chooseFrom (found, admission, isMore)
  local ask, unasked, earlier = {}, nil, nil
  for _, row in ipairs(found) do
    if not row.delivered and (not row.connection or isSameConnection(row, admission.connection)) then return row, ask, false end
    if isTwin(row, admission) then return row, ask, true end
    if row.callerRetry < admission.callerRetry then earlier = earlier or row end
    local answer
    for _, duplicate in ipairs(admission.duplicates) do
      if duplicate.id == row.id and isSameConnection(row, duplicate.connection) then
        answer = duplicate
        break
      end
    end
    if answer and not answer.open then return row, ask, false end
    if not answer then
      table.insert(ask, { id = row.id, connection = row.connection })
      unasked = unasked or row
    end
  end
  if admission.lastRound and unasked then return unasked, ask, false end
  if #ask > 0 or isMore and not admission.lastRound then return nil, ask, false end
  return earlier, ask, false
end

-- Looks at the 8 oldest undelivered duplicates. The oldest whose caller is certainly gone is reattached: nobody waits for it, its replica said that
-- the connection is closed, or it is the asker's own. A twin is joined without a question. Otherwise those are named whose present connection was not asked
-- about; in the last round the oldest of them counts as left. When all were asked about, a caller that repeats its call is given the oldest that was repeated less
-- often. Gives the row to reattach or to join, or nil, those to ask about, whether to look once more, behind those that were dropped, and whether it is joined.
local function findDuplicate (admission)
  if not admission.duplicateName then return nil, {}, false, false end
  local found, passed, isMore = reattachable(admission.duplicateName, LOOKS, admission)
  for _, id in ipairs(passed) do redis.call('ZREM', key('o', admission.duplicateName), id) end
  local chosen, ask, isJoined = chooseFrom(found, admission, isMore)
  if chosen then return Rows.readRow(chosen.id), ask, false, isJoined end
  return nil, ask, isMore and not admission.lastRound, false
end

-- The same without dropping any, so that it looks further at once: at as many as all rounds of an admission do.
local function seekDuplicate (admission)
  if not admission.duplicateName then return nil, {}, false, false end
  local found = reattachable(admission.duplicateName, SEEKS, admission)
  local chosen, ask, isJoined = chooseFrom(found, admission, false)
  if chosen then return Rows.readRow(chosen.id), ask, false, isJoined end
  return nil, ask, false, false
end

-- Hands a generation to another caller, with the time in the queue that its first caller's leaving cost it, should it wait here or come back to the queue. That
-- caller's own deadline holds on, counted from the start, when the other has one, too (a retry has). Without a connection it stays reattachable until its
-- id was delivered.
local function reattach (row, admission)
  local startUntilMs = admission.startWithinMs and row.startUntilMs
  Rows.change(row, {
    connection = admission.connection or false, callerRetry = admission.callerRetry, startUntilMs = startUntilMs or false,
    waitUntilMs = math.min(row.createdAtMs + times.queueMs, startUntilMs or math.huge)
  })
end

return {
  isSameConnection = isSameConnection, findDuplicate = findDuplicate, seekDuplicate = seekDuplicate, reattach = reattach
}
