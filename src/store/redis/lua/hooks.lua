-- Webhooks: noted at admission, given to who sends them, and what became of that. What they look like in a row: hookplaces.lua.

-- ------------------------------------------------------------------------------------------------ at admission

local function new (wanted, generation, reader)
  return {
    id = wanted.id, generation = generation, tenant = reader.tenant, subject = reader.subject, url = wanted.url, form = wanted.form, base = wanted.base,
    askedAtMs = now, event = 0, about = '', stage = 'idle', tries = 0, atMs = 0, error = ''
  }
end

-- Those of a row that is bought, or nil.
local function first (admission)
  return admission.hook and HookPlaces.encode({ new(admission.hook, admission.id, admission) }) or nil
end

-- Of equals the place of the one that this reader already has, under this id.
local function findSame (hooks, admission, generation)
  local wanted = admission.hook
  for i, hook in ipairs(hooks) do
    if hook.tenant == admission.tenant and hook.subject == admission.subject and hook.generation == generation and hook.url == wanted.url and hook.form == wanted.form then return i end
  end
  return nil
end

-- Is there room for all of these, which are one tenant's? wishes: [{ admission, and row and generation: what it is given, under which id, if that is there yet }]
local function hasRoom (wishes)
  local tenant, added = nil, 0
  for _, wish in ipairs(wishes) do
    tenant = wish.admission.tenant
    if wish.row then
      local hooks, open = HookPlaces.decode(wish.row.hooks), 0
      for _, hook in ipairs(hooks) do
        if not HookPlaces.isTold(hook, wish.row) then open = open + 1 end
      end
      if open >= constants.maxHooks and not findSame(hooks, wish.admission, wish.generation) then return false end
    end
    if not wish.row or not redis.call('ZSCORE', key('h', tenant), wish.row.id) then added = added + 1 end
  end
  return not tenant or redis.call('ZCARD', key('h', tenant)) + added <= constants.maxHookedGenerations
end

local function put (row, hooks)
  Rows.adjust(row, { hooks = HookPlaces.encode(hooks) })
end

-- What is told makes room, the oldest first.
local function makeRoom (hooks, row)
  local over, i = #hooks - constants.maxHooks, 1
  while over > 0 and i <= #hooks do
    if HookPlaces.isTold(hooks[i], row) then
      table.remove(hooks, i)
      over = over - 1
    else
      i = i + 1
    end
  end
end

-- Notes whom an admission wants to be told, of this row under the id that its reader knows. The same reader, id, address and form are one webhook. What was told is told
-- once more to a caller that asks later (`isNew`), and not to one that repeats its request.
local function note (row, admission, generation, isNew)
  local hooks = HookPlaces.decode(row.hooks)
  local at = findSame(hooks, admission, generation)
  local same = hooks[at]
  if same and same.stage == 'idle' then
    -- When the admission that noted it first is taken back, this one keeps it.
    same.id = admission.hook.id
  elseif same and (not isNew or not HookPlaces.isTold(same, row)) then return
  else
    if same then table.remove(hooks, at) end
    table.insert(hooks, new(admission.hook, generation, admission))
    makeRoom(hooks, row)
  end
  put(row, hooks)
end

-- A webhook of this admission that nobody was told of yet goes with it: its caller was told that nothing was done.
local function takeBack (row, id)
  local hooks = HookPlaces.decode(row.hooks)
  for i, hook in ipairs(hooks) do
    if hook.id == id and hook.event == 0 then
      table.remove(hooks, i)
      return put(row, hooks)
    end
  end
end

-- Adds those that another row brings, whose place it takes.
local function carry (from, row)
  if not from then return end
  local hooks, known, isMore = HookPlaces.decode(row.hooks), {}, false
  for _, hook in ipairs(hooks) do known[hook.id] = true end
  for _, hook in ipairs(HookPlaces.decode(from)) do
    if not known[hook.id] then
      table.insert(hooks, hook)
      isMore = true
    end
  end
  if isMore then put(row, hooks) end
end

-- ------------------------------------------------------------------------------------------------ sending

-- Of a tenant's that which is due first; of equals that which was noted first.
local function firstDue (hooks, row, tenant)
  local found, foundMs
  for i, hook in ipairs(hooks) do
    local atMs = hook.tenant == tenant and HookPlaces.dueOf(hook, row)
    if atMs and atMs <= now and (not foundMs or atMs < foundMs) then found, foundMs = i, atMs end
  end
  return found
end

-- -> { hook: its texts, as the row has them, purchase, untilMs, row: as its reader sees it }, bytes
local function take (row, hooks, at)
  local hook, untilMs = hooks[at], now + constants.hookLeaseMs
  local isSame = hook.about == row.phase
  local died = isSame and hook.stage == 'sending'
  if not isSame then hook.event, hook.tries, hook.error = hook.event + 1, 0, '' end
  if died then hook.tries, hook.error = hook.tries + 1, 'gone' end
  hook.about, hook.stage, hook.atMs = row.phase, 'sending', untilMs
  put(row, hooks)
  local bytes = tonumber(row.bytes)
  local shown = Rows.show(Rows.complete(row), hook.generation, hook.generation ~= row.id and hook or nil)
  return { hook = HookPlaces.encode({ hook }), purchase = row.id, untilMs = text(untilMs), row = shown }, bytes
end

-- turn: { tenant, ids: rows that are due, at: the place of the next }
local function takeNext (turn)
  while turn.ids[turn.at] do
    local row = Rows.readBrief(turn.ids[turn.at])
    local hooks = row and HookPlaces.decode(row.hooks)
    local at = row and firstDue(hooks, row, turn.tenant)
    if at then return take(row, hooks, at) end
    if not row then
      -- A replica of an older version forgets rows, and not what stands here.
      for _, set in ipairs({ key('h', turn.tenant), MORE.untold, MORE.givenUp }) do redis.call('ZREM', set, turn.ids[turn.at]) end
      HookPlaces.updateTurn(turn.tenant)
    end
    turn.at = turn.at + 1
  end
  return nil
end

-- takeHooks { max, exceptTenants } -> [what `take` gives], each given to one caller for a while; in turns of the tenants, of each the oldest. Behind many bytes it stops.
local function takeHooks ()
  local except, turns, taken, bytes = {}, {}, {}, 0
  for _, tenant in ipairs(given.exceptTenants) do except[tenant] = true end
  for _, tenant in ipairs(redis.call('ZRANGEBYSCORE', MORE.hooks, '-inf', text(now), 'LIMIT', 0, given.max + #given.exceptTenants)) do
    if not except[tenant] then
      table.insert(turns, { tenant = tenant, at = 1, ids = redis.call('ZRANGEBYSCORE', key('h', tenant), '-inf', text(now), 'LIMIT', 0, constants.maxHooksAtOnce) })
    end
  end
  for _ = 1, constants.maxHooksAtOnce do
    for _, turn in ipairs(turns) do
      if #taken >= given.max or bytes > constants.rowsBytes then return taken end
      local due, more = takeNext(turn)
      if due then
        table.insert(taken, due)
        bytes = bytes + more
      end
    end
  end
  return taken
end

-- hookTried { id, purchase, event, untilMs, kind: 'delivered' | 'again' | 'given-up', pauseMs, error } -> '1' when it was taken, else '0'
-- That it was delivered is taken from everybody, and anything else from its holder.
local function hookTried ()
  local row = Rows.readBrief(given.purchase)
  local hooks = row and HookPlaces.decode(row.hooks) or {}
  for _, hook in ipairs(hooks) do
    if hook.id == given.id then
      local isHolders = hook.stage == 'sending' and hook.atMs == given.untilMs
      if hook.event ~= given.event or hook.stage == 'delivered' or given.kind ~= 'delivered' and not isHolders then return '0' end
      if given.kind == 'delivered' then hook.stage, hook.error = 'delivered', ''
      else
        hook.tries, hook.error = hook.tries + 1, given.error
        hook.stage = given.kind == 'again' and 'paused' or 'given-up'
        if given.kind == 'again' then hook.atMs = now + given.pauseMs end
      end
      put(row, hooks)
      return '1'
    end
  end
  return '0'
end

-- ------------------------------------------------------------------------------------------------ operators

-- hooks { tenant or nothing, isGivenUp, from, count } -> { rows: [{ hooks, phase, endedAtMs }] from that place on of those that are open, or that were given up, looked }
local function list ()
  local set = given.isGivenUp and MORE.givenUp or given.tenant and key('h', given.tenant) or MORE.untold
  local ids, rows = redis.call('ZRANGE', set, given.from, given.from + given.count - 1, unpack(given.isGivenUp and { 'REV' } or {})), {}
  for _, id in ipairs(ids) do
    local row = Rows.readBrief(id)
    if row and row.hooks then table.insert(rows, { hooks = row.hooks, phase = row.phase, endedAtMs = text(HookPlaces.endedAtOf(row)) }) end
  end
  return { rows = rows, looked = text(#ids) }
end

-- sendHooksAgain { id } -> { outcome: 'due' | 'not-ended' | 'no-such-hook', hooks: how many }
-- What was told of where it stands now is told once more, under the same number; what is new has not been tried.
local function sendAgain ()
  local row = Rows.findById(given.id)
  local hooks, own = row and HookPlaces.decode(row.hooks) or {}, 0
  for _, hook in ipairs(hooks) do
    if hook.generation == given.id then
      own = own + 1
      if not (hook.stage == 'sending' and hook.atMs > now) then
        hook.askedAtMs, hook.tries = now, 0
        if hook.about == row.phase then hook.stage, hook.atMs = 'paused', now end
      end
    end
  end
  if own == 0 then return { outcome = 'no-such-hook' } end
  if not HookPlaces.hasEnded(row) then return { outcome = 'not-ended' } end
  put(row, hooks)
  return { outcome = 'due', hooks = text(own) }
end

return {
  first = first, hasRoom = hasRoom, note = note, takeBack = takeBack, carry = carry, takeHooks = takeHooks, hookTried = hookTried, list = list, sendAgain = sendAgain
}
