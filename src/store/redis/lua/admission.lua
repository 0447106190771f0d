-- Admission of one request: free answers first, then refusals, in the order of rule 12; only then something is written.

-- The tenant's purchases in the window under way; a window begins with its first purchase. -> { max, windowSeconds, used, resetSeconds }
local function rateOf (admission)
  local tenant = Line.readTenant(admission.tenant)
  local leftMs = tenant.endsAtMs - now
  local max, windowSeconds = admission.rate.max, admission.rate.windowSeconds
  return {
    max = text(max), windowSeconds = text(windowSeconds), used = text(leftMs > 0 and tenant.used or 0),
    resetSeconds = text(leftMs > 0 and math.ceil(leftMs / 1000) or windowSeconds)
  }
end

-- The same admission once more: the answer that it got, with the row as it now is.
local function repeated (admission)
  local own = Rows.readRow(admission.id)
  if own then return { outcome = 'bought', row = Rows.show(own), rate = rateOf(admission) } end
  local answer = readEnding(key('a', admission.id))
  if not answer then return nil end
  local row, alias = Rows.follow(answer.id)
  return row and { outcome = answer.outcome, row = Rows.show(row, answer.id, alias) }
end

-- Gives a free answer and remembers it until the deadline: a second run of this admission must not buy because the first one's row has ended since.
local function answerFree (admission, outcome, id)
  writeEnding(key('a', admission.id), admission.deadlineMs + 1, 'outcome', outcome, 'id', id)
  local row, alias = Rows.follow(id)
  if not row then error('The ledger answered ' .. outcome .. ' with ' .. id .. ', which leads nowhere.') end
  return { outcome = outcome, row = Rows.show(row, id, alias) }
end

local function replay (admission)
  if not admission.idempotency then return nil end
  local lead = Names.idempotencyLead(admission.idempotency.name)
  if not lead then return nil end
  if lead.fingerprint ~= admission.idempotency.fingerprint then return { outcome = 'refused', why = 'reused' } end
  return answerFree(admission, 'replayed', lead.id)
end

local function isSameReader (one, other)
  return one.tenant == other.tenant and one.subject == other.subject
end

local function addAlias (reader, id, target)
  writeEnding(key('g', id), now + times.queueMs + times.runMs + times.resultTtlMs, 'tenant', reader.tenant, 'subject', reader.subject, 'target', target)
  redis.call('ZADD', key('l', reader.tenant .. ' ' .. reader.subject), text(redis.call('HINCRBY', GLOB, 'counter', 1)), id)
end

-- The id under which a reader hits a purchase of somebody else, in the form of all ids. Nobody can guess it without knowing that one's.
local function aliasIdOf (reader, purchase)
  local digits = redis.sha1hex(reader.tenant .. ' ' .. reader.subject .. ' ' .. purchase)
  return table.concat({ digits:sub(1, 8), digits:sub(9, 12), '7' .. digits:sub(13, 15), '8' .. digits:sub(16, 18), digits:sub(19, 30) }, '-')
end

-- What is stored. Who needs an id and may not read the purchase's gets an alias, the same for every hit, so that hits do not fill the store.
local function hit (admission, row)
  if not admission.needsId or isSameReader(row, admission) then return { outcome = 'hit', row = Rows.show(row) } end
  local id = aliasIdOf(admission, row.id)
  local _, alias = Rows.follow(id)
  if not alias then addAlias(admission, id, row.id) end
  return { outcome = 'hit', row = Rows.show(row, id, admission) }
end

-- What changes about a row that is joined for the first time. Others wait as long as the ledger lets them: the buyer's own deadline ends for good, and so
-- does what its leaving took.
local function joining (row)
  return { joined = true, startUntilMs = false, waitUntilMs = row.createdAtMs + times.queueMs }
end

-- Waits with others for one purchase. The same reader gets the purchase's own id; another tenant or subject an alias, which is in its own list and
-- lives as long as a generation born now could. The caller's idempotency key is bound to whichever id it gets.
local function join (admission, row)
  if (row.phase == 'waiting' or Rows.isAtUpstream(row.phase)) and not row.joined then Rows.change(row, joining(row)) end
  local id = isSameReader(row, admission) and row.id or admission.id
  if id ~= row.id then addAlias(admission, id, row.id) end
  Names.bindIdempotency(admission.idempotency, id)
  return answerFree(admission, 'joined', id)
end

local function readCache (admission)
  if not admission.cacheName or admission.mode ~= 'normal' then return nil end
  local lead, row = Names.cacheLead(admission.cacheName)
  if not lead then return nil end
  if row.phase == 'succeeded' then return hit(admission, row) end
  return join(admission, row)
end

local function askForTwins (admission)
  local twin, ask = Twins.findTwin(admission)
  if twin then
    Twins.adopt(twin, admission)
    return answerFree(admission, 'adopted', twin.id)
  end
  return #ask > 0 and { outcome = 'twins', twins = ask } or nil
end

-- Every reason not to buy. Writes nothing.
local function refuse (admission)
  -- Whoever could not be sent at once would not be a probe, but keep others from being one.
  local running = Line.readTenant(admission.tenant).running
  local guard = Guards.blockedBy(admission.id, admission) or running >= admission.maxInFlight and Guards.closedGuards(admission)[1]
  if guard then return { outcome = 'refused', why = 'guard', guard = guard.state, retryAfterSeconds = text(Guards.retryAfterSecondsOf(guard)) } end
  local token = Tokens.refuseToken(admission)
  if token then return { outcome = 'refused', why = 'token', token = token } end
  local rate = rateOf(admission)
  if tonumber(rate.used) >= admission.rate.max then return { outcome = 'refused', why = 'rate', rate = rate } end
  local underWay = tonumber(redis.call('HGET', WAITING, admission.tenant) or 0) + running
  if underWay >= admission.maxInFlight + admission.maxQueued then return { outcome = 'refused', why = 'full', rate = rate } end
  for _, budget in ipairs(admission.budgets) do
    local held, spent = Books.balanceOf({ owner = budget.owner, period = Books.periodOf(now, budget.per) })
    if held + spent + admission.price > budget.limit then return { outcome = 'refused', why = 'budget', rate = rate, owner = budget.owner } end
  end
  return nil
end

-- Writes the row, reserves its money, counts it, binds its names and gives it its place in line.
local function buy (admission)
  local accounts = {}
  for _, budget in ipairs(admission.budgets) do
    table.insert(accounts, { owner = budget.owner, period = Books.periodOf(now, budget.per) })
  end
  local row = Rows.begin(admission)
  row.accounts = encodeList(accounts)
  row.createdAtMs = now
  row.waitUntilMs = now + math.min(times.queueMs, admission.startWithinMs or math.huge)
  row.startUntilMs = admission.startWithinMs and now + admission.startWithinMs
  row.number = redis.call('HINCRBY', GLOB, 'counter', 1)
  row.keyless = admission.idempotency == nil or nil
  local before = Line.readTenant(admission.tenant)
  local isOpen = now < before.endsAtMs
  redis.call('HSET', key('t', admission.tenant), 'weight', string.format('%.17g', admission.weight), 'maxInFlight', text(admission.maxInFlight),
    'used', text(isOpen and before.used + 1 or 1), 'endsAtMs', text(isOpen and before.endsAtMs or now + admission.rate.windowSeconds * 1000))
  if admission.mode == 'normal' and admission.cacheName then Names.takeCacheName(admission.cacheName, row.id) end
  Names.bindIdempotency(admission.idempotency, row.id)
  Rows.insert(row)
  Guards.becomeProbe(row.id, row)
  return { outcome = 'bought', row = Rows.show(row), rate = rateOf(admission) }
end

local function refuseLate (admission)
  return now > admission.startByMs and { outcome = 'refused', why = 'late' } or nil
end

-- admit { the port's Admission without its input; startByMs: started later it changes nothing }, payload: the input
-- -> the port's Admitted: outcome, and of row, rate, twins [{ id, connection }], why, guard, retryAfterSeconds, token, owner what belongs to it
-- Who asks once more because the first answer was lost has to hear of what was bought, however late.
local function admit ()
  given.input = payload
  return repeated(given) or refuseLate(given) or replay(given) or readCache(given) or askForTwins(given) or refuse(given) or buy(given)
end

return {
  admit = admit
}
