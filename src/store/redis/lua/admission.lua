-- Admission of one request or a list: free answers first, then refusals, in the order of rule 12; only then something is written.

-- The tenant's purchases in the window under way; a window begins with its first purchase. -> { max, windowSeconds, used, resetSeconds }
local function rateOf (admission)
  local tenant = Queue.readTenant(admission.tenant)
  local leftMs = tenant.endsAtMs - now
  local max, windowSeconds = admission.rate.max, admission.rate.windowSeconds
  return {
    max = text(max), windowSeconds = text(windowSeconds), used = text(leftMs > 0 and tenant.used or 0),
    resetSeconds = text(leftMs > 0 and math.ceil(leftMs / 1000) or windowSeconds)
  }
end

-- Of a row that was bought. `terms`: it was granted its first attempt, to the claim that came along.
local function bought (admission, row)
  local isGranted = given.claimId and row.phase == 'submitting' and row.claimId == given.claimId
  local answer = isGranted and Rows.handOver(row) or { row = Rows.show(row) }
  answer.outcome, answer.rate = 'bought', rateOf(admission)
  return answer
end

-- The same admission once more: the answer that it got, with the row as it now is.
local function repeated (admission)
  -- What was bought may have given way to a row that came back.
  local own, gaveWay = Rows.resolve(admission.id)
  if own and gaveWay then return { outcome = 'joined', row = Rows.show(own, admission.id, gaveWay) } end
  if own then return bought(admission, own) end
  local answer = readEnding(key('a', admission.id))
  local row, alias
  if answer then row, alias = Rows.findById(answer.id) end
  if row then return { outcome = answer.outcome, row = Rows.show(row, answer.id, alias) } end
  -- What it led to may have been deleted already.
  local left = Names.endOf(answer and answer.id or admission.id)
  return left and { outcome = 'gone', ['end'] = left }
end

-- Gives a free answer and remembers it until the deadline: a second run of this admission must not buy because the first one's row has ended since.
local function answerFree (admission, outcome, id)
  local row, alias = Rows.findById(id)
  if not row then error('The ledger answered ' .. outcome .. ' with ' .. id .. ', which leads nowhere.') end
  if admission.hook then Hooks.note(row, admission, id, outcome == 'hit' or outcome == 'joined') end
  writeEnding(key('a', admission.id), admission.deadlineMs + 1, 'outcome', outcome, 'id', id)
  return { outcome = outcome, row = Rows.show(row, id, alias) }
end

local function isSameReader (one, other)
  return one.tenant == other.tenant and one.subject == other.subject
end

local function addAlias (reader, id, target)
  Rows.writeAlias(id, redis.call('HINCRBY', GLOB, 'counter', 1), Rows.aliasEndMs(), reader, target)
end

-- The id under which a reader hits a purchase of somebody else, in the form of all ids. Nobody can guess it without knowing that one's.
local function aliasIdOf (reader, purchase)
  local digits = redis.sha1hex(reader.tenant .. ' ' .. reader.subject .. ' ' .. purchase)
  return table.concat({ digits:sub(1, 8), digits:sub(9, 12), '7' .. digits:sub(13, 15), '8' .. digits:sub(16, 18), digits:sub(19, 30) }, '-')
end

-- The id that a reader knows a purchase by that it hits.
local function hitIdOf (admission, row)
  return isSameReader(row, admission) and row.id or aliasIdOf(admission, row.id)
end

-- The same of one that it joins.
local function joinIdOf (admission, row)
  return isSameReader(row, admission) and row.id or admission.id
end

-- What is stored. A caller that needs an id, or brings a key, and may not read the purchase's gets an alias, the same for every hit, so that hits do not fill the
-- store. The key is bound to whichever id its holder may read.
local function hit (admission, row)
  local idempotency, isOwn, isNoted = admission.idempotency, isSameReader(row, admission), admission.idempotency or admission.hook
  if not isNoted and (isOwn or not admission.needsId) then return { outcome = 'hit', row = Rows.show(row) } end
  local id = hitIdOf(admission, row)
  if not isOwn then
    local _, alias = Rows.findById(id)
    if not alias then addAlias(admission, id, row.id) end
  end
  if not isNoted then return { outcome = 'hit', row = Rows.show(row, id, admission) } end
  if idempotency then Names.bindIdempotency(idempotency, id, row) end
  return answerFree(admission, 'hit', id)
end

-- What changes about a row that is joined for the first time. Others may wait as long as the ledger lets them, so the buyer's own deadline does not hold any
-- more, nor does the shorter one that began when the buyer left.
local function joining (row)
  return { joined = true, startUntilMs = false, waitUntilMs = row.createdAtMs + times.queueMs }
end

-- Waits with others for one purchase. The same reader gets the purchase's own id; another tenant or subject an alias, which is in its own list and
-- lives as long as a generation born now could. The caller's idempotency key is bound to whichever id it gets.
local function join (admission, row)
  if (row.phase == 'waiting' or Rows.isAtUpstream(row.phase)) and not row.joined then Rows.change(row, joining(row)) end
  local id = joinIdOf(admission, row)
  if id ~= row.id then addAlias(admission, id, row.id) end
  if admission.idempotency then Names.bindIdempotency(admission.idempotency, id, row) end
  return answerFree(admission, 'joined', id)
end

-- What is known of an admission before anything is written is a table: `take`, a function that gives it its free answer; `look`: the files of `row` have to be looked at first; `ask`, duplicates to ask for first;
-- `refused`; or nil when it has to buy. `take` is given `row`, the one that the answer is about, or that of the sibling `id`, as it is by then. What it would say is
-- `outcome` of `row`, or of `left`, what is left of one that is forgotten.

local function replay (admission)
  if not admission.idempotency then return nil end
  local lead = Names.idempotencyLead(admission.idempotency.name)
  if not lead then return nil end
  if lead.fingerprint ~= admission.idempotency.fingerprint then return { refused = { outcome = 'refused', why = 'reused' } } end
  if lead.left then return { outcome = 'gone', left = lead.left, take = function () return { outcome = 'gone', ['end'] = lead.left } end } end
  return { outcome = 'replayed', replays = lead.id, take = function () return answerFree(admission, 'replayed', lead.id) end }
end

-- Does it look at its cache name, and take it when it buys?
local function takesCacheName (admission)
  return admission.cacheName and admission.mode == 'normal'
end

-- May the files of a success be gone by now, as far as nobody has looked?
local function isLookedAtFirst (admission, row)
  return admission.filesLastMs and row.id ~= admission.lookedAt and (row.finishedAtMs or 0) + admission.filesLastMs < now
end

-- siblings: cache name -> id, of those purchases of the same list that will take it before this one
local function readCache (admission, siblings)
  if not takesCacheName(admission) then return nil end
  local sibling = siblings[admission.cacheName]
  if sibling then return { id = sibling, take = function (row) return join(admission, row) end } end
  local row = Names.cacheLead(admission.cacheName)
  if not row then return nil end
  if row.phase == 'succeeded' and isLookedAtFirst(admission, row) then return { outcome = 'look', row = row, look = true } end
  return { outcome = row.phase == 'succeeded' and 'hit' or 'joined', row = row, take = function (fresh)
    if fresh.phase == 'succeeded' then return hit(admission, fresh) end
    return join(admission, fresh)
  end }
end

local function askForDuplicates (admission, find)
  local duplicate, ask, isMore, isJoined = find(admission)
  if not duplicate then return (#ask > 0 or isMore) and { ask = ask } or nil end
  if isJoined then
    return { outcome = 'joined', row = duplicate, take = function (fresh)
      -- It is delivered when the one that came last has it.
      if not fresh.delivered then Rows.change(fresh, { connection = admission.connection or false, callerRetry = admission.callerRetry }) end
      return join(admission, fresh)
    end }
  end
  return { outcome = 'adopted', row = duplicate, take = function (fresh)
    Duplicates.reattach(fresh, admission)
    return answerFree(admission, 'adopted', fresh.id)
  end }
end

local function findFree (admission, siblings, find)
  return replay(admission) or readCache(admission, siblings) or askForDuplicates(admission, find or Duplicates.findDuplicate)
end

local function sumOf (admissions, name)
  local sum = 0
  for _, admission in ipairs(admissions) do sum = sum + admission[name] end
  return sum
end

-- What an admission with a webhook is given, if it is there yet, and the id that its reader will know it by.
local function wishOf (admission, free)
  if free and free.replays then return { admission = admission, row = Rows.findById(free.replays), generation = free.replays } end
  local row = free and free.row
  if not row then return { admission = admission } end
  return { admission = admission, row = row, generation = free.outcome == 'hit' and hitIdOf(admission, row) or joinIdOf(admission, row) }
end

local TOO_MANY_HOOKS = { outcome = 'refused', why = 'hooks' }

-- Every reason not to buy all of these, or not to tell whom all of a list want to be told (`wishes`). Writes nothing.
local function refuse (purchases, wishes)
  local first = purchases[1]
  if not first then return #wishes > 0 and not Hooks.hasRoom(wishes) and TOO_MANY_HOOKS or nil end
  local tenant = Queue.readTenant(first.tenant)
  -- A tripped breaker lets one purchase through, as its probe. One that had to wait for a slot would find out nothing, and keep others from being the probe.
  local mayProbe = #purchases == 1 and tenant.running < first.maxInFlight
  local accounts = Accounts.own()
  for _, purchase in ipairs(purchases) do
    local account, breaker = Breakers.way(purchase.id, purchase, accounts)
    if account ~= nil and not mayProbe then account, breaker = Breakers.way(purchase.id, purchase, accounts, false, true) end
    purchase.account = account
    if account == nil then return { outcome = 'refused', why = 'breaker', breaker = breaker.state, retryAfterSeconds = text(Breakers.retryAfterSecondsOf(breaker)) } end
  end
  for _, purchase in ipairs(purchases) do
    local ledgerRule = Prices.newerRule(purchase)
    if ledgerRule then return { outcome = 'refused', why = 'prices', ledgerRule = ledgerRule } end
  end
  for _, purchase in ipairs(purchases) do
    if purchase.makesLarge and not Aside.hasRoom() then return { outcome = 'refused', why = 'large' } end
  end
  if #wishes > 0 and not Hooks.hasRoom(wishes) then return TOO_MANY_HOOKS end
  local price = sumOf(purchases, 'price')
  local token = Tokens.refuseToken(first, price, sumOf(purchases, 'files'))
  if token then return { outcome = 'refused', why = 'token', token = token } end
  local rate = rateOf(first)
  if tonumber(rate.used) + #purchases > first.rate.max then return { outcome = 'refused', why = 'rate', rate = rate } end
  local underWay = tonumber(redis.call('HGET', WAITING, first.tenant) or 0) + tenant.running
  if underWay + #purchases > first.maxInFlight + first.maxQueued then return { outcome = 'refused', why = 'full', rate = rate } end
  for _, budget in ipairs(first.budgets) do
    local held, spent = Books.balanceOf({ owner = budget.owner, period = Books.periodNow(budget.per) })
    if held + spent + price > budget.limit then return { outcome = 'refused', why = 'budget', rate = rate, owner = budget.owner } end
  end
  return nil
end

-- Grants a new row its first attempt with this account, to the claim that came along.
local function grant (row, account)
  Queue.passThrough(row.tenant)
  row.phase, row.attempt, row.owner, row.claimId = 'submitting', 1, given.replica, given.claimId
  row.upstream = account or nil
  row.runUntilMs, row.leaseUntilMs = now + times.runMs, now + times.leaseMs
end

-- Writes the row, reserves its money, counts it, binds its names and gives it its position in the queue, or its first attempt.
local function buy (admission)
  local accounts = {}
  for _, budget in ipairs(admission.budgets) do
    table.insert(accounts, { owner = budget.owner, period = Books.periodNow(budget.per) })
  end
  local row = RowTexts.begunFrom(admission)
  row.accounts = encodeList(accounts)
  row.createdAtMs = now
  row.upstream = upstream
  row.waitUntilMs = now + math.min(times.queueMs, admission.startWithinMs or math.huge)
  row.startUntilMs = admission.startWithinMs and now + admission.startWithinMs
  row.number = redis.call('HINCRBY', GLOB, 'counter', 1)
  local keyed = admission.idempotency
  row.keyless = keyed == nil or nil
  row.idempotencyName, row.fingerprint = keyed and keyed.name, keyed and keyed.fingerprint
  if admission.hook then row.hooks = Hooks.first(admission) end
  row.keyedUntilMs = keyed and now + constants.idempotencyMs or nil
  Queue.countPurchase(admission)
  if takesCacheName(admission) then Names.takeCacheName(admission.cacheName, row.id) end
  if admission.idempotency then Names.bindIdempotency(admission.idempotency, row.id) end
  Prices.takeRule(admission)
  local account = nil
  if given.claimId and not redis.call('HGET', CLAIMS, given.claimId) and Queue.isNext(row.tenant) then
    local accounts = Accounts.withRoom(given.slots)
    account = #accounts == 1 and accounts[1] == admission.account and admission.account or Breakers.way(row.id, row, accounts, true)
  end
  if account ~= nil and not History.look() then grant(row, account)
  -- One that waits is the probe of the first account only, and only where no other one is ok.
  elseif Accounts.apart(admission.account) then account = nil
  else account = admission.account end
  Rows.insert(row)
  Breakers.becomeProbe(row.id, row, account)
  return bought(admission, row)
end

local LATE = { outcome = 'refused', why = 'late' }

-- Gives a free answer to the one at this index, with the row that it is about. What an earlier one of the list made or changed is read again.
local function takeAt (index, found)
  local row = found.row
  if index > 1 and (row or found.id) then row = Rows.readRow(row and row.id or found.id) end
  return found.take(row)
end

-- The same list once more. It was admitted as a whole, so nothing is bought now for those of it whose free answer is forgotten.
local function tellAgain (admissions, told)
  local got = {}
  for index, admission in ipairs(admissions) do
    local found = not told[index] and findFree(admission, {})
    got[index] = told[index] or found and found.take and takeAt(index, found) or LATE
  end
  return { outcome = 'all', got = got }
end

-- The answers that these admissions got before, by their index, and whether there are any.
local function toldBefore (admissions)
  local told, isAny = {}, false
  for index, admission in ipairs(admissions) do
    told[index] = repeated(admission)
    isAny = isAny or told[index] ~= nil
  end
  return told, isAny
end

-- What each of them gets, found out before anything is written, and written only when none is refused.
local function admitNew (admissions)
  local found, asked, isAsking, purchases, siblings, wishes = {}, {}, false, {}, {}, {}
  for index, admission in ipairs(admissions) do
    local free = findFree(admission, siblings)
    if free and free.refused then return free.refused end
    if free and free.look then return { outcome = 'look', row = Rows.show(free.row) } end
    for _, duplicate in ipairs(free and free.ask or {}) do table.insert(asked, duplicate) end
    isAsking = isAsking or free and free.ask ~= nil
    if not free then
      table.insert(purchases, admission)
      if takesCacheName(admission) then siblings[admission.cacheName] = admission.id end
    end
    if admission.hook then table.insert(wishes, wishOf(admission, free)) end
    found[index] = free or { take = function () return buy(admission) end }
  end
  if isAsking then return { outcome = 'duplicates', duplicates = asked } end
  local refused = refuse(purchases, wishes)
  if refused then return refused end
  local got = {}
  for index, each in ipairs(found) do got[index] = takeAt(index, each) end
  return { outcome = 'all', got = got }
end

-- admit { admissions: [the port's Admission without its input, whose bytes are `inputBytes`]; startByMs: started later it changes nothing; and of a claim that
-- comes along with a single one claimId, replica, slots, known },
-- payload: the inputs one after the other
-- -> the port's AdmittedAll: outcome, and of got, duplicates [{ id, connection }], why, breaker, retryAfterSeconds, token, owner, rate what belongs to it
-- A list that was admitted before gets its answers again, however late: the first ones may have been lost, and the caller has to hear of what was bought.
local function admit ()
  local first = 1
  for _, admission in ipairs(given.admissions) do
    admission.input = string.sub(payload, first, first + admission.inputBytes - 1)
    first = first + admission.inputBytes
  end
  local told, isAny = toldBefore(given.admissions)
  if isAny then return tellAgain(given.admissions, told) end
  if now > given.startByMs then return LATE end
  return admitNew(given.admissions)
end

local function foresee (admission)
  local free = findFree(admission, {}, Duplicates.seekDuplicate)
  local wishes = admission.hook and { wishOf(admission, free) } or {}
  if not free then return refuse({ admission }, wishes) or { outcome = 'bought' } end
  if free.refused then return free.refused end
  if free.ask then return { outcome = 'duplicates', duplicates = free.ask } end
  local refused = not free.look and refuse({}, wishes)
  if refused then return refused end
  if free.left then return { outcome = 'gone', ['end'] = free.left } end
  return { outcome = free.outcome, row = Rows.showBrief(free.row or Rows.findById(free.replays)) }
end

-- preview { admission: the port's, without its input and its deadline } -> the port's Preview: would, rate, balances, position, running
-- The first half of `admit`. Nothing here, or in what it calls, may write.
local function preview ()
  local admission, balances = given.admission, {}
  for _, budget in ipairs(admission.budgets) do
    local account = { owner = budget.owner, period = Books.periodNow(budget.per) }
    local held, spent = Books.balanceOf(account)
    table.insert(balances, { owner = account.owner, period = account.period, held = text(held), spent = text(spent) })
  end
  return {
    would = foresee(admission), rate = rateOf(admission), balances = balances, position = text(Queue.nextPosition(admission)),
    running = text(Queue.readTenant(admission.tenant).running)
  }
end

return {
  admit = admit, preview = preview
}
