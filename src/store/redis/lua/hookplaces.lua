-- Where webhooks stand because of the row that they are kept with: nothing else tells of them. In the row they are lists of texts (hooks.ts).

-- In the order of their texts.
local NAMES = { 'id', 'generation', 'tenant', 'subject', 'url', 'form', 'base', 'askedAtMs', 'event', 'about', 'stage', 'tries', 'atMs', 'error' }
local NUMBERS = { askedAtMs = true, event = true, tries = true, atMs = true }

local ENDED = { succeeded = true, failed = true, cancelled = true, unknown = true }

-- Those of a row as records, with numbers; '' for what is not there.
local function decode (kept)
  local hooks = {}
  for i, texts in ipairs(kept and cjson.decode(kept) or {}) do
    local hook = {}
    for place, name in ipairs(NAMES) do hook[name] = NUMBERS[name] and tonumber(texts[place]) or texts[place] end
    hooks[i] = hook
  end
  return hooks
end

-- The way back; false when there is none.
local function encode (hooks)
  local lists = {}
  for i, hook in ipairs(hooks) do
    local texts = {}
    for place, name in ipairs(NAMES) do texts[place] = NUMBERS[name] and text(hook[name]) or hook[name] end
    lists[i] = texts
  end
  return #lists > 0 and cjson.encode(lists)
end

-- When a row ended, or became `unknown`.
local function endedAtOf (row)
  return row.phase == 'unknown' and (row.unknownSinceMs or 0) or row.finishedAtMs or 0
end

local function hasEnded (row)
  return ENDED[row.phase] or false
end

-- Does it have nothing to tell of a generation that stands so?
local function isTold (hook, row)
  return hook.about == row.phase and (hook.stage == 'delivered' or hook.stage == 'given-up')
end

-- When it is to be sent: nil for what is told, and `neverMs` while the generation has not ended. See `dueOfHook`.
local function dueOf (hook, row)
  if not hasEnded(row) then return constants.neverMs end
  if isTold(hook, row) then return nil end
  if hook.stage == 'sending' or hook.stage == 'paused' and hook.about == row.phase then return hook.atMs end
  return math.max(hook.askedAtMs, endedAtOf(row))
end

-- What the webhooks of a row make of it. -> { due: tenant -> when the first of its open ones is due, since: since when somebody should have been told, `neverMs` where it
-- has not ended, nil: nobody is to be told any more, givenUp: when it ended with one that was given up }
local function of (row)
  local places = { due = {} }
  for _, hook in ipairs(decode(row.hooks)) do
    local atMs = dueOf(hook, row)
    if atMs then
      places.due[hook.tenant] = math.min(atMs, places.due[hook.tenant] or constants.neverMs)
      places.since = math.min(places.since or constants.neverMs, hasEnded(row) and math.max(hook.askedAtMs, endedAtOf(row)) or constants.neverMs)
    elseif hook.stage == 'given-up' then
      places.givenUp = endedAtOf(row)
    end
  end
  return places
end

-- Until when an ended row is kept for those who are still to be told; nil: for nobody.
local function keptUntilMs (row)
  local since = of(row).since
  return since and since + constants.hookKeptMs
end

-- When the first of a tenant's is due, or nil.
local function firstOf (tenant)
  local first = redis.call('ZRANGE', key('h', tenant), 0, 0, 'WITHSCORES')
  return first[2] and tonumber(first[2])
end

-- A tenant stands in the line by what of its own is due first.
local function updateTurn (tenant)
  local atMs = firstOf(tenant)
  if atMs then redis.call('ZADD', MORE.hooks, text(atMs), tenant) else redis.call('ZREM', MORE.hooks, tenant) end
end

local function place (set, id, before, after)
  if before == after then return false end
  if after then redis.call('ZADD', set, text(after), id) else redis.call('ZREM', set, id) end
  return true
end

local NOWHERE = { due = {} }

-- Moves a row from where its webhooks made it stand to where they do now. One of the two may be nil.
local function move (id, was, is)
  was, is = was or NOWHERE, is or NOWHERE
  for tenant in pairs(was.due) do
    if not is.due[tenant] and place(key('h', tenant), id, was.due[tenant], nil) then updateTurn(tenant) end
  end
  for tenant, atMs in pairs(is.due) do
    if place(key('h', tenant), id, was.due[tenant], atMs) then updateTurn(tenant) end
  end
  place(MORE.untold, id, was.since, is.since)
  place(MORE.givenUp, id, was.givenUp, is.givenUp)
end

return {
  decode = decode, encode = encode, hasEnded = hasEnded, endedAtOf = endedAtOf, isTold = isTold, dueOf = dueOf, of = of, keptUntilMs = keptUntilMs, firstOf = firstOf, updateTurn = updateTurn, move = move
}
