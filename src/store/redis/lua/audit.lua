-- Invariants of the ledger, checked from the rows up. For tests: it reads the whole namespace, which no operation does.
-- -> one sentence for each broken invariant

-- All of it inside one function: Lua allows 200 local names in one, and the operations need most of those.
local function auditAll (keys, args)
  local faults = {}
  begin(keys, args)

  local function fault (...)
    local words = { ... }
    for i = 1, #words do words[i] = type(words[i]) == 'number' and text(words[i]) or tostring(words[i]) end
    table.insert(faults, table.concat(words, ' '))
  end

  local function keysOf (kind)
    local names = {}
    for _, at in ipairs(redis.call('KEYS', prefix .. kind .. ':*')) do
      table.insert(names, string.sub(at, #prefix + #kind + 2))
    end
    return names
  end

  local function membersOf (set)
    local flat = redis.call('ZRANGE', set, 0, -1, 'WITHSCORES')
    local members = {}
    for i = 1, #flat, 2 do members[flat[i]] = tonumber(flat[i + 1]) end
    return members
  end

  local rows, aliases = {}, {}
  for _, id in ipairs(keysOf('g')) do
    local record = Rows.readRecord(id)
    if not record.target then rows[id] = Rows.rowOf(id, record)
    elseif not isExpired(record) then aliases[id] = record end
  end

  local function auditPhases ()
    for id, row in pairs(rows) do
      if upstream and row.upstream and not contains(Accounts.all(), row.upstream) then fault(id, 'is bought with', row.upstream, 'in a ledger of', upstream, readOthers()) end
      if row.phase == 'waiting' and Accounts.apart(row.upstream) then fault(id, 'waits with the account', row.upstream) end
      if Books.isFinal(row) ~= (row.cost ~= nil) then fault(id, 'is', row.phase, 'and has the cost', row.cost) end
      if not row.corrected and (row.cost or 0) > row.price * constants.maxOverrun then fault(id, 'cost', row.cost, 'of which nobody is sure') end
      if Books.isFinal(row) ~= (row.finishedAtMs ~= nil) then fault(id, 'is', row.phase, 'and finished at', row.finishedAtMs) end
      if (row.phase == 'succeeded') ~= (row.output ~= nil or row.large ~= nil) then fault(id, 'is', row.phase, 'and its output is', row.output) end
      if (row.bases or row.media) and row.phase ~= 'succeeded' then fault(id, 'is', row.phase, 'and has addresses in its output') end
      if (row.phase == 'accepted' or row.phase == 'running') and not row.requestId then fault(id, 'is', row.phase, 'without a request id') end
      if Rows.isAtUpstream(row.phase) and not row.runUntilMs then fault(id, 'is', row.phase, 'without an end of its run') end
      if not Rows.isAtUpstream(row.phase) and row.owner then fault(id, 'is', row.phase, 'and still has the owner', row.owner) end
      if (row.doubt ~= nil) ~= (row.doubtSinceMs ~= nil) or row.doubt and not Rows.isAtUpstream(row.phase) then
        fault(id, 'is', row.phase, 'and in doubt (', row.doubt, ') since', row.doubtSinceMs)
      end
      if Books.isFinal(row) and #(row.input or '') > Rows.keepsInputBytes(row) then fault(id, 'is', row.phase, 'and keeps a long input') end
      if row.phase == 'waiting' and not row.input then fault(id, 'waits and has no input') end
      if row.phase == 'waiting' and row.requestId then fault(id, 'waits and has a request id') end
    end
  end

  local function auditQueue ()
    local tenants, active, later = {}, {}, membersOf(LATER)
    local function tenantOf (name)
      tenants[name] = tenants[name] or { waiting = 0, running = 0, claimable = {}, claimables = 0 }
      return tenants[name]
    end
    for _, name in ipairs(keysOf('t')) do tenantOf(name) end
    for _, name in ipairs(keysOf('q')) do tenantOf(name) end
    for name in pairs(membersOf(TURNS)) do tenantOf(name) end
    for id, row in pairs(rows) do
      local tenant = tenantOf(row.tenant)
      if Rows.hasSlot(row) then
        local account = Accounts.of(row)
        active[account] = (active[account] or 0) + 1
        tenant.running = tenant.running + 1
      elseif row.phase == 'waiting' then
        tenant.waiting = tenant.waiting + 1
        if (row.retryAtMs or 0) == 0 then
          tenant.claimable[id] = Queue.rankOf(row)
          tenant.claimables = tenant.claimables + 1
        end
      end
      local paused = row.phase == 'waiting' and (row.retryAtMs or 0) > 0 and row.retryAtMs or nil
      if later[id] ~= paused then fault(id, 'pauses until', later[id], 'instead of', paused) end
      local claimed = row.phase == 'submitting' and row.claimId or nil
      if claimed and redis.call('HGET', CLAIMS, claimed) ~= id then fault('claim', claimed, 'does not lead to', id) end
    end
    for id in pairs(later) do
      if not rows[id] then fault(id, 'pauses and has no row') end
    end
    local claims = redis.call('HGETALL', CLAIMS)
    for i = 1, #claims, 2 do
      local row = rows[claims[i + 1]]
      if not row or row.phase ~= 'submitting' or row.claimId ~= claims[i] then fault('claim', claims[i], 'leads to', claims[i + 1], 'which is not its') end
    end
    for _, account in ipairs(Accounts.all()) do
      local counted = tonumber(redis.call('HGET', GLOB, Accounts.field('active', Accounts.apart(account))) or 0)
      if counted ~= (active[account] or 0) then fault(counted, 'slots of', account, 'are counted as used,', active[account] or 0, 'rows are at fal') end
    end
    for name, tenant in pairs(tenants) do
      local state = Queue.readTenant(name)
      local waiting = tonumber(redis.call('HGET', WAITING, name) or 0)
      if state.running ~= tenant.running then fault(name, 'is counted with', state.running, 'running,', tenant.running, 'rows are') end
      if waiting ~= tenant.waiting then fault(name, 'is counted with', waiting, 'waiting,', tenant.waiting, 'rows are') end
      local queue = membersOf(key('q', name))
      for id, rank in pairs(queue) do
        if tenant.claimable[id] ~= rank then fault(id, 'is in the queue of', name, 'at', rank) end
      end
      for id in pairs(tenant.claimable) do
        if not queue[id] then fault(id, 'is not in the queue of', name) end
      end
      local belongs = tenant.claimables > 0 and tenant.running < state.maxInFlight
      local score = redis.call('ZSCORE', TURNS, name)
      if belongs ~= (score ~= false) then fault(name, belongs and 'is not' or 'stands', 'in the queue') end
      if score and tonumber(score) ~= state.virtual then fault(name, 'stands in the queue at', score, 'its virtual time is', state.virtual) end
    end
  end

  local function auditMoney ()
    local held, open, explained, books = {}, {}, {}, {}
    local function add (sums, account, amount)
      local name = account.owner .. ':' .. account.period
      books[name] = true
      sums[name] = (sums[name] or 0) + amount
    end
    for _, row in pairs(rows) do
      for _, account in ipairs(cjson.decode(row.accounts)) do
        if not Books.isFinal(row) then add(held, account, row.price) end
        if row.phase == 'unknown' then add(open, account, row.price) end
      end
    end
    for _, line in ipairs(redis.call('XRANGE', JOURNAL, '-', '+')) do
      local fields = {}
      for i = 1, #line[2], 2 do fields[line[2][i]] = line[2][i + 1] end
      for _, account in ipairs(cjson.decode(fields.accounts)) do add(explained, account, tonumber(fields.amount)) end
    end
    for _, name in ipairs(keysOf('m')) do books[name] = true end
    local isTrimmed = redis.call('HGET', GLOB, 'journalTrimmed')
    for name in pairs(books) do
      local book = redis.call('HMGET', key('m', name), 'held', 'spent')
      local isHeld, isSpent = tonumber(book[1] or 0), tonumber(book[2] or 0)
      if isHeld ~= (held[name] or 0) then fault(name, 'holds', isHeld, 'open rows are worth', held[name] or 0) end
      if isHeld < 0 or isSpent < 0 then fault(name, 'is below nothing') end
      local booked = isSpent + (open[name] or 0)
      if not isTrimmed and (explained[name] or 0) ~= booked then fault('the journal explains', explained[name] or 0, 'of', name, 'booked are', booked) end
    end
  end

  local function auditTokens ()
    for _, id in ipairs(keysOf('tok')) do
      local token = Tokens.readToken(id)
      local pictures, money, made, spent = 0, 0, 0, 0
      for _, row in pairs(rows) do
        if row.token == id and Books.isFinal(row) then
          made = made + Books.picturesOf(row)
          spent = spent + Books.spentOf(row)
        elseif row.token == id then
          pictures = pictures + (row.files or 1)
          money = money + row.price
        end
      end
      if token then
        if tonumber(token.heldPictures) ~= pictures then fault('token', id, 'holds', token.heldPictures, 'pictures, open rows may make', pictures) end
        if tonumber(token.heldMoney) ~= money then fault('token', id, 'holds', token.heldMoney, 'open rows are worth', money) end
        -- Rows that are forgotten by now have spent on it, too.
        if tonumber(token.spentPictures) < made then fault('token', id, 'has spent', token.spentPictures, 'pictures, its rows made', made) end
        if tonumber(token.spentMoney) < spent then fault('token', id, 'has spent', token.spentMoney, 'its rows cost', spent) end
      end
    end
  end

  local function auditDue ()
    local due, unknown = {}, membersOf(UNKNOWN)
    for _, account in ipairs(Accounts.all()) do
      for id, atMs in pairs(membersOf(Accounts.setOf(DUE, Accounts.apart(account)))) do
        if due[id] then fault(id, 'is due twice') end
        due[id] = atMs
        if rows[id] and Rows.placesOf(rows[id]).apart ~= Accounts.apart(account) then fault(id, 'is due with', account) end
      end
    end
    for id, row in pairs(rows) do
      local isUnknown = row.phase == 'unknown'
      local expected = Rows.dueOf(row)
      if due[id] ~= expected then fault(id, 'is', row.phase, 'and due at', due[id], 'instead of', expected) end
      if (unknown[id] ~= nil) ~= isUnknown then fault(id, 'is', row.phase, isUnknown and 'and not' or 'and', 'among the unknowns') end
    end
    for id, admittedAtMs in pairs(membersOf(MORE.oldest)) do
      if not unknown[id] or rows[id].createdAtMs ~= admittedAtMs then fault(id, 'is among the unknowns as admitted at', admittedAtMs) end
    end
    if redis.call('ZCARD', MORE.oldest) ~= redis.call('ZCARD', UNKNOWN) then fault('not every unknown is there with its admission') end
    for _, ids in ipairs({ due, unknown }) do
      for id in pairs(ids) do
        if not rows[id] then fault(id, 'is due or unknown and has no row') end
      end
    end
  end

  local function auditFollowed ()
    local followed = {}
    for _, account in ipairs(Accounts.all()) do
      for id, owner in pairs(membersOf(Accounts.setOf(FOLLOWED, Accounts.apart(account)))) do
        followed[id] = owner
        if rows[id] and Accounts.of(rows[id]) ~= account then fault(id, 'is followed with', account) end
      end
    end
    for id, row in pairs(rows) do
      local isSo = Rows.isAtUpstream(row.phase) and row.requestId and row.owner and (row.takeovers or 0) < constants.maxEarlyTakeovers
      local expected = isSo and Rows.ownerNumber(row.owner) or nil
      if followed[id] ~= expected then fault(id, 'is', row.phase, 'with', row.owner, 'and followed by', followed[id], 'instead of', expected) end
    end
    for id in pairs(followed) do
      if not rows[id] then fault(id, 'is followed and has no row') end
    end
  end

  local function auditFailed ()
    local failed = membersOf(MORE.failed)
    for id, row in pairs(rows) do
      local expected = row.phase == 'failed' and (row.finishedAtMs or 0) or nil
      if failed[id] ~= expected then fault(id, 'is', row.phase, 'and among what failed at', failed[id], 'instead of', expected) end
    end
    for id in pairs(failed) do
      if not rows[id] then fault(id, 'is among what failed and has no row') end
    end
  end

  local function auditFiles ()
    local due = membersOf(FILES)
    for id, row in pairs(rows) do
      local isMissing = row.phase == 'succeeded' and Media.hasMissing(row.media) or false
      if isMissing ~= (row.filesAtMs ~= nil) then fault(id, 'has places', row.media, 'and its files are due at', row.filesAtMs) end
      if due[id] ~= row.filesAtMs then fault(id, 'has files due at', row.filesAtMs, 'and stands at', due[id]) end
    end
    for id in pairs(due) do
      if not rows[id] then fault(id, 'has files to be stored and has no row') end
    end
  end

  local function auditKept ()
    local referring, orphans, condemned, sum = {}, membersOf(MORE.orphans), membersOf(MORE.condemned), 0
    for _, row in pairs(rows) do
      for name in pairs(Kept.namesIn(row.media)) do referring[name] = (referring[name] or 0) + 1 end
    end
    local kept = redis.call('HGETALL', MORE.kept)
    for i = 1, #kept, 2 do
      local name, file = kept[i], Kept.read(kept[i])
      if file.rows ~= (referring[name] or 0) then fault(file.rows, 'rows are counted that refer to', name, 'and', referring[name] or 0, 'do') end
      local isOrphan = file.rows == 0 and not condemned[name] and not file.withdrawn
      if (orphans[name] ~= nil) ~= isOrphan then fault(name, 'has', file.rows, 'references and is an orphan since', orphans[name]) end
      sum = sum + file.bytes
      referring[name], orphans[name], condemned[name] = nil, nil, nil
    end
    for name in pairs(referring) do fault('rows refer to', name, 'which is not known') end
    for _, names in ipairs({ orphans, condemned }) do
      for name in pairs(names) do fault(name, 'is an orphan or condemned, and not known') end
    end
    local counted = tonumber(redis.call('HGET', GLOB, 'keptBytes') or 0)
    if counted ~= sum then fault('stored files have', sum, 'bytes, counted are', counted) end
  end

  local function auditHooks ()
    local untold, givenUp, turns, stands = membersOf(MORE.untold), membersOf(MORE.givenUp), membersOf(MORE.hooks), {}
    for id, row in pairs(rows) do
      local is = row.hooks and HookPlaces.of(row) or { due = {} }
      if untold[id] ~= is.since then fault(id, 'has somebody to tell since', is.since, 'and stands at', untold[id]) end
      if givenUp[id] ~= is.givenUp then fault(id, 'has given somebody up at', is.givenUp, 'and stands at', givenUp[id]) end
      for tenant, atMs in pairs(is.due) do stands[tenant .. ' ' .. id] = atMs end
    end
    for _, ids in ipairs({ untold, givenUp }) do
      for id in pairs(ids) do
        if not rows[id] then fault(id, 'has webhooks and has no row') end
      end
    end
    for _, tenant in ipairs(keysOf('h')) do
      local first
      for id, atMs in pairs(membersOf(key('h', tenant))) do
        if stands[tenant .. ' ' .. id] ~= atMs then fault(id, 'is due to be told to', tenant, 'at', atMs, 'instead of', stands[tenant .. ' ' .. id]) end
        stands[tenant .. ' ' .. id] = nil
        first = math.min(first or atMs, atMs)
      end
      if turns[tenant] ~= first then fault('the first webhook of', tenant, 'is due at', first, 'and stands at', turns[tenant]) end
      turns[tenant] = nil
    end
    for name in pairs(stands) do fault(name, 'is not due to be told') end
    for tenant in pairs(turns) do fault(tenant, 'stands in the line of webhooks and has none') end
  end

  local function auditNames ()
    for _, name in ipairs(keysOf('n')) do
      local entry = readEnding(key('n', name))
      if entry and entry.fingerprint then
        local target = rows[aliases[entry.id] and aliases[entry.id].target or entry.id]
        if target and (target.keyedUntilMs or 0) <= now then fault('idempotency name', name, 'leads to', entry.id, 'whose end would not be kept') end
      elseif entry then
        local row = rows[entry.id]
        if not row then fault('cache name', name, 'leads to', entry.id, 'which has no row')
        elseif row.large then fault('cache name', name, 'leads to', entry.id, 'whose output lies aside')
        elseif not Rows.knowsCacheName(row, name) then fault('cache name', name, 'leads to', entry.id, 'which does not know it')
        elseif row.cacheName ~= name and row.phase ~= 'succeeded' then fault('cache name', name, 'leads to', entry.id, 'which was not asked for under it and is', row.phase) end
      end
    end
    for id, alias in pairs(aliases) do
      local target = rows[alias.target]
      if target and not alias.gaveWay and target.tenant == alias.tenant and target.subject == alias.subject then fault('alias', id, 'leads to its own reader\'s row') end
    end
  end

  local function auditRequests ()
    for id, row in pairs(rows) do
      for _, requestId in ipairs(Rows.requestIdsOf(row)) do
        local known = redis.call('HGET', key('r', requestId), 'id')
        if known ~= id then fault('request', requestId, 'of', id, 'leads to', known or 'nothing') end
      end
    end
    for _, requestId in ipairs(keysOf('r')) do
      local id = redis.call('HGET', key('r', requestId), 'id')
      if not rows[id] or not contains(Rows.requestIdsOf(rows[id]), requestId) then fault('request', requestId, 'leads to', id, 'which does not know it') end
    end
  end

  local function auditDuplicates ()
    for _, name in ipairs(keysOf('o')) do
      for id, number in pairs(membersOf(key('o', name))) do
        local row = rows[id]
        if not row or not Rows.isDuplicate(row) or row.duplicateName ~= name or row.number ~= number then fault(id, 'is among the duplicates of', name) end
      end
    end
    for id, row in pairs(rows) do
      -- The others may have been passed over.
      local isLooked = row.phase ~= 'unknown' and not row.cancelWished and not row.delivered
      if row.duplicateName and Rows.isDuplicate(row) and isLooked and not Books.isFinal(row) and not redis.call('ZSCORE', key('o', row.duplicateName), id) then
        fault(id, 'is not among the duplicates of', row.duplicateName)
      end
    end
  end

  local function auditLists ()
    local function isListed (kind, reader, id)
      return redis.call('ZSCORE', key(kind, reader.tenant .. ' ' .. reader.subject), id)
    end
    local count, listed = 0, { l = 0, ls = 0 }
    for id, row in pairs(rows) do
      count = count + 1
      if tonumber(isListed('l', row, id) or 0) ~= row.number then fault(id, 'is not in the list of its reader') end
      if tonumber(redis.call('ZSCORE', Rows.listOf(row), id) or 0) ~= row.number then fault(id, 'is not in the list of its reader by status') end
      if row.bytes ~= text(#(row.input or '') + #(row.output or '')) then fault(id, 'is counted with', row.bytes, 'bytes') end
      if redis.call('GET', key('c', id)) ~= Rows.cardOf(row) then fault(id, 'is not what its card says') end
    end
    if #keysOf('c') ~= count then fault(count, 'rows have', #keysOf('c'), 'cards') end
    for kind in pairs(listed) do
      for _, name in ipairs(keysOf(kind)) do listed[kind] = listed[kind] + redis.call('ZCARD', key(kind, name)) end
      if listed[kind] ~= count then fault(count, 'rows are listed', listed[kind], 'times in', kind) end
    end
    for id, alias in pairs(aliases) do
      if rows[alias.target] and not isListed('la', alias, id) then fault('alias', id, 'is not in the list of its reader') end
    end
  end

  local function auditLogs ()
    for _, id in ipairs(keysOf('log')) do
      local kept, told = redis.call('LLEN', key('log', id)), rows[id] and rows[id].logged
      if not told or kept > told then fault(kept, 'log lines of', id, 'are kept, told were', told) end
    end
  end

  local function auditBreakers ()
    local tenants = 0
    for _, breaker in ipairs(Breakers.allBreakers()) do
      local row = breaker.probe and rows[breaker.probe]
      local tries = row and (row.phase == 'waiting' or Rows.isAtUpstream(row.phase))
      if breaker.probe and (breaker.state == 'ok' or not tries) then
        fault('the breaker of', breaker.scope, 'is', breaker.state, 'and waits for the probe', breaker.probe, 'which is', row and row.phase or 'gone')
      end
      if breaker.probe and breaker.state == 'price-unsure' then fault('the price of', breaker.scope, 'is unsure, and', breaker.probe, 'is its probe') end
      if Breakers.isTenants(breaker.scope) then
        tenants = tenants + 1
        if breaker.state == 'ok' and breaker.failures == 0 then fault('the breaker of', breaker.scope, 'is ok and kept') end
      end
    end
    if tenants > constants.maxTenantBreakers then fault(tenants, 'breakers of tenants are kept') end
  end

  local function auditAsides ()
    local bytes = 0
    for _, name in ipairs(redis.call('ZRANGE', MORE.asides, 0, -1)) do bytes = bytes + tonumber(string.match(name, ' (%d+) ')) end
    if bytes ~= Aside.usedBytes() then fault(bytes, 'bytes lie aside, counted are', Aside.usedBytes()) end
    for _, name in ipairs(keysOf('b')) do
      if not redis.call('ZSCORE', MORE.asides, name) then fault(name, 'lies aside without an end') end
    end
  end

  local function auditHistory ()
    local held, awaited = redis.call('HMGET', GLOB, 'heldSinceMs', 'heldUntilMs'), redis.call('ZCARD', MORE.awaited)
    if (held[1] ~= false) ~= (awaited > 0) or (held[2] ~= false) ~= (awaited > 0) then
      fault('claims are held back from', held[1], 'until', held[2], 'and', awaited, 'replicas awaited')
    end
  end

  auditPhases()
  auditAsides()
  auditQueue()
  auditMoney()
  auditTokens()
  auditDue()
  auditFollowed()
  auditFailed()
  auditFiles()
  auditKept()
  auditHooks()
  auditNames()
  auditRequests()
  auditDuplicates()
  auditLists()
  auditLogs()
  auditBreakers()
  auditHistory()

  return cjson.encode({ time = text(now), sequence = redis.call('HGET', GLOB, 'sequence') or '0', answer = faults })
end

return auditAll(KEYS, ARGV)
