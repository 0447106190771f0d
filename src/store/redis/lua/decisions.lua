-- What people decide in a generation's story: a reader cancels, an operator settles and corrects.

-- cancel { id, tenant, subject } -> { outcome: 'cancelled' | 'asked' | 'already-cancelled' | 'others-waiting' | 'already-finished', row } or { outcome: 'no-such-generation' }
-- There is nothing left to cancel about an `unknown`, so it counts as finished (rule 8).
local function cancel ()
  local row, alias = Rows.findById(given.id)
  local reader = alias or row
  if not row or reader.tenant ~= given.tenant or reader.subject ~= given.subject then return { outcome = 'no-such-generation' } end
  if row.phase == 'cancelled' then return { outcome = 'already-cancelled', row = Rows.show(row, given.id, alias) } end
  if Books.isFinal(row) or row.phase == 'unknown' then return { outcome = 'already-finished', row = Rows.show(row, given.id, alias) } end
  if alias then
    redis.call('DEL', key('g', given.id))
    redis.call('ZREM', key('la', alias.tenant .. ' ' .. alias.subject), given.id)
    return { outcome = 'cancelled', row = Rows.show(row, given.id, alias) }
  end
  if row.joined then return { outcome = 'others-waiting', row = Rows.show(row) } end
  if not Rows.isAtUpstream(row.phase) then
    Rows.change(row, { phase = 'cancelled', cancelWished = true, cost = 0, finishedAtMs = now })
    Outbox.add(row, 'ended', 'waiting', 0)
    return { outcome = 'cancelled', row = Rows.show(row) }
  end
  if not row.cancelWished then Rows.change(row, { cancelWished = true }) end
  return { outcome = 'asked', row = Rows.show(row) }
end

-- settle { id, billed } -> { outcome: 'settled', row } or { outcome: 'too-young' | 'not-unknown' | 'no-such-generation' }
-- The failure that the row tells stays the one that made it `unknown` (rule 5).
local function settle ()
  local row = Rows.readRow(given.id)
  if not row then return { outcome = 'no-such-generation' } end
  if row.phase ~= 'unknown' then return { outcome = 'not-unknown' } end
  if now < row.unknownSinceMs + constants.settleAfterMs then return { outcome = 'too-young' } end
  local cost = given.billed and row.price or 0
  Rows.change(row, { phase = 'failed', cost = cost, costAssumed = given.billed, finishedAtMs = now, settled = true })
  Outbox.add(row, 'ended', 'unknown', cost)
  return { outcome = 'settled', row = Rows.show(row) }
end

-- correct { id, cost or nothing } -> { outcome: 'corrected', row, booked, reopened: the model's price was unsure until now } or
-- { outcome: 'not-ended' | 'no-such-generation' }. The difference is booked as every change of a cost is (rule 31).
local function correct ()
  local row = Rows.readRow(given.id)
  if not row then return { outcome = 'no-such-generation' } end
  if not Books.isFinal(row) then return { outcome = 'not-ended' } end
  local cost = given.cost or row.cost
  local booked = cost - row.cost
  if booked ~= 0 or not row.corrected then Rows.change(row, { cost = cost, costAssumed = false, corrected = true }) end
  if booked ~= 0 then Outbox.add(row, 'corrected', row.phase, booked) end
  local reopened = Breakers.trustPrice(row.model)
  return { outcome = 'corrected', row = Rows.show(row), booked = text(booked), reopened = reopened and '1' or nil }
end

return {
  cancel = cancel, settle = settle, correct = correct
}
