-- Whether an answer reached its caller, and whether a caller is still there (rules 6 and 7).

-- seen { answers: [{ id, connection or nothing }] } -> 'OK'
local function seen ()
  for _, answer in ipairs(given.answers) do Rows.deliver(answer.id, answer.connection) end
  return 'OK'
end

-- left { id, connection } -> 'OK'. A caller that was answered may leave: a delivered generation keeps its time, and so does one that others wait for.
local function left ()
  local row = Rows.readRow(given.id)
  if not row or row.delivered or not Duplicates.isSameConnection(row, given.connection) then return 'OK' end
  local changes = { connection = false }
  if row.phase == 'waiting' and row.keyless and not row.joined then changes.waitUntilMs = math.min(row.waitUntilMs, now + constants.abandonedMs) end
  Rows.change(row, changes)
  return 'OK'
end

-- What a generation ends with whose caller was told that the store was away.
local WITHDRAWN = '{"code":"store-unavailable","detail":"Its admission was not confirmed in time, so nothing was bought."}'

-- withdraw { admissions: [{ id, connection or nothing, claimId or nothing, hookId or nothing }] } -> 'OK'
-- Their callers were answered 503, so they leave the queue unspent (rule 1), unless somebody has come to them since: by reattaching, joining or asking for the id.
-- Nobody heard of the claim that came along, so what was granted to it was not sent.
local function withdraw ()
  for _, admission in ipairs(given.admissions) do
    if admission.hookId then
      local noted = Rows.findById((readEnding(key('a', admission.id)) or { id = admission.id }).id)
      if noted then Hooks.takeBack(noted, admission.hookId) end
    end
    local row = Rows.readBrief(admission.id)
    local isUnsent = row and row.phase == 'submitting' and admission.claimId and row.claimId == admission.claimId
    local isOurs = isUnsent or row and row.phase == 'waiting' and row.attempt == 0
    local isLeft = isOurs and not row.joined and not row.delivered and (not admission.connection or Duplicates.isSameConnection(row, admission.connection))
    if isLeft then
      local from = row.phase
      Rows.change(row, { phase = 'failed', owner = false, claimId = false, failure = WITHDRAWN, cost = 0, finishedAtMs = now })
      Outbox.add(row, 'ended', from, 0)
    elseif isUnsent then
      Rows.change(row, { phase = 'waiting', owner = false, claimId = false, upstream = upstream or false, retryAtMs = now })
    end
  end
  return 'OK'
end

return {
  seen = seen, left = left, withdraw = withdraw
}
