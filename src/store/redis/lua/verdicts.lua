-- The two words that people have in a generation's story: a reader's cancel and an operator's settlement.

-- cancel { id, tenant, subject } -> ['no-such-generation'] or ['cancelled' | 'asked' | 'already-cancelled' | 'others-waiting' | 'already-finished', row]
-- There is nothing left to cancel about an `unknown`, so it counts as finished (rule 8).
local function cancel ()
  local row, alias = follow(given.id)
  local reader = alias or row
  if not row or reader.tenant ~= given.tenant or reader.subject ~= given.subject then return { 'no-such-generation' } end
  if row.phase == 'cancelled' then return { 'already-cancelled', show(row, given.id, alias) } end
  if isFinal(row) or row.phase == 'unknown' then return { 'already-finished', show(row, given.id, alias) } end
  if alias then
    redis.call('DEL', key('g', given.id))
    redis.call('ZREM', key('l', alias.tenant .. ' ' .. alias.subject), given.id)
    return { 'cancelled', show(row, given.id, alias) }
  end
  if row.joined then return { 'others-waiting', show(row) } end
  if not isAtUpstream(row.phase) then
    change(row, { phase = 'cancelled', cancelWished = true, cost = 0, finishedAtMs = now })
    tell(row, 'ended', 'waiting', 0)
    return { 'cancelled', show(row) }
  end
  if not row.cancelWished then change(row, { cancelWished = true }) end
  return { 'asked', show(row) }
end

-- settle { id, billed } -> ['settled', row] or ['too-young' | 'not-unknown' | 'no-such-generation']
-- The failure that the row tells stays the one that made it `unknown` (rule 5).
local function settle ()
  local row = readRow(given.id)
  if not row then return { 'no-such-generation' } end
  if row.phase ~= 'unknown' then return { 'not-unknown' } end
  if now < row.unknownSinceMs + constants.settleAfterMs then return { 'too-young' } end
  local cost = given.billed and row.price or 0
  change(row, { phase = 'failed', cost = cost, costAssumed = given.billed, finishedAtMs = now })
  tell(row, 'ended', 'unknown', cost)
  return { 'settled', show(row) }
end
