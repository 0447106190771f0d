-- The waiting line: what stands where, and whose turn it is.
-- Tenants are served by start-time fair queueing: each claim costs a tenant 1/weight of virtual time, the smallest virtual time is next, and
-- a tenant that enters the queue starts no earlier than the latest claim did, so none saves up turns by staying away.

-- Virtual time that one claim costs a tenant of weight 1. Integers only: both stores have to come to the same order.
local TURN = 1000000

-- Ranks of two priorities are this far apart, which no counter reaches; three times this is below 2^53.
local PRIORITY_STEP = 1e15

local ORDER = { interactive = 0, background = 1, low = 2 }

-- A tenant's turn, limits (those of its latest purchase) and rate window; a new one has the smallest limits until its next purchase.
-- Each is read once a call, so what writes one of these fields to Redis writes it into this table as well.
local function readTenant (name)
  local tenant = tenantsNow[name]
  if tenant then return tenant end
  local kept = redis.call('HMGET', key('t', name), 'running', 'virtual', 'weight', 'maxInFlight', 'used', 'endsAtMs', 'beganAtMs')
  tenant = {
    running = tonumber(kept[1] or 0), virtual = tonumber(kept[2] or 0), weight = tonumber(kept[3] or 1),
    maxInFlight = tonumber(kept[4] or 1), used = tonumber(kept[5] or 0), endsAtMs = tonumber(kept[6] or 0),
    beganAtMs = tonumber(kept[7] or 0)
  }
  tenantsNow[name] = tenant
  return tenant
end

-- One of its generations has taken a slot at fal, or with -1 left it.
local function countRunning (name, difference)
  local running = redis.call('HINCRBY', key('t', name), 'running', difference)
  if tenantsNow[name] then tenantsNow[name].running = running end
end

-- Counts a purchase in the tenant's rate window, which begins with its first one, and keeps the limits that it was made under.
local function countPurchase (admission)
  local tenant = readTenant(admission.tenant)
  if now >= tenant.endsAtMs then tenant.used, tenant.beganAtMs, tenant.endsAtMs = 0, now, now + admission.rate.windowSeconds * 1000 end
  tenant.used, tenant.weight, tenant.maxInFlight = tenant.used + 1, admission.weight, admission.maxInFlight
  redis.call('HSET', key('t', admission.tenant), 'weight', string.format('%.17g', tenant.weight), 'maxInFlight', text(tenant.maxInFlight),
    'used', text(tenant.used), 'beganAtMs', text(tenant.beganAtMs), 'endsAtMs', text(tenant.endsAtMs))
end

-- The position in a tenant's queue: by priority, then by admission.
local function rankOf (row)
  return ORDER[row.priority] * PRIORITY_STEP + row.number
end

-- How many would be claimed before one that its tenant buys now.
local function nextPosition (admission)
  local number = tonumber(redis.call('HGET', GLOB, 'counter') or 0) + 1
  return redis.call('ZCOUNT', key('q', admission.tenant), '-inf', '(' .. text(rankOf({ priority = admission.priority, number = number })))
end

-- How many of its tenant's generations would be claimed before this waiting one.
local function positionOf (row)
  local position = positionsNow[row.id]
  if not position then
    position = redis.call('ZCOUNT', key('q', row.tenant), '-inf', '(' .. text(rankOf(row)))
    positionsNow[row.id] = position
  end
  return position
end

-- When the oldest that pauses between attempts was admitted, by tenant.
local function oldestPausing ()
  local found = {}
  for _, id in ipairs(redis.call('ZRANGE', LATER, 0, constants.maxPauseLooks - 1)) do
    local row = Folds.glance(id, 'p', 'tenant')
    local tenant, admittedAtMs = row.tenant, tonumber(row.createdAtMs)
    if tenant and admittedAtMs and admittedAtMs < (found[tenant] or math.huge) then found[tenant] = admittedAtMs end
  end
  return found
end

-- When the oldest that waits in this tenant's queue was admitted; nil: none does. Of each priority the foremost is the oldest.
local function oldestOf (name)
  local oldest
  for _, order in pairs(ORDER) do
    local foremost = redis.call('ZRANGEBYSCORE', key('q', name), text(order * PRIORITY_STEP), '(' .. text((order + 1) * PRIORITY_STEP), 'LIMIT', 0, 1)[1]
    local createdAtMs = foremost and tonumber(Folds.glance(foremost, 'p').createdAtMs)
    if createdAtMs and (not oldest or createdAtMs < oldest) then oldest = createdAtMs end
  end
  return oldest
end

local function virtualNow ()
  return tonumber(redis.call('HGET', GLOB, 'virtual') or 0)
end

-- Puts a tenant into the queue or takes it out: it stands there exactly when it has claimable work and a free slot.
local function updateTurn (name)
  local tenant = redis.call('ZCARD', key('q', name)) > 0 and readTenant(name)
  if not tenant or tenant.running >= tenant.maxInFlight then
    redis.call('ZREM', TURNS, name)
    if standsNow == name then standsNow = nil end
    return
  end
  local stood = redis.call('ZSCORE', TURNS, name)
  if not stood then
    tenant.virtual = math.max(tenant.virtual, virtualNow())
    redis.call('HSET', key('t', name), 'virtual', text(tenant.virtual))
  end
  if not stood or tonumber(stood) ~= tenant.virtual then redis.call('ZADD', TURNS, text(tenant.virtual), name) end
  standsNow = name
end

local function isQueueEmpty ()
  return not standsNow and redis.call('ZCARD', TURNS) == 0
end

-- Virtual time that one claim costs this tenant.
local function turnOf (tenant)
  return math.max(1, math.floor(TURN / tenant.weight + 0.5))
end

-- Charges a tenant of the queue for one claim. To be called before the row changes, while the tenant still stands in the queue.
local function charge (name)
  local foremost = redis.call('ZRANGE', TURNS, 0, 0, 'WITHSCORES')
  if #foremost > 0 then
    redis.call('HSET', GLOB, 'virtual', text(math.max(virtualNow(), tonumber(foremost[2]))))
  end
  local tenant = readTenant(name)
  tenant.virtual = redis.call('HINCRBY', key('t', name), 'virtual', text(turnOf(tenant)))
end

-- Is nobody overtaken by a purchase of this tenant that goes to fal at once? Nobody waits for a slot, nobody pauses who might, and the tenant has a free slot.
local function isNext (name)
  local tenant = readTenant(name)
  return tenant.running < tenant.maxInFlight and redis.call('ZCARD', TURNS) == 0 and redis.call('ZCARD', LATER) == 0 and redis.call('ZCARD', key('q', name)) == 0
end

-- Charges a tenant for one that goes to fal at once, as if it had stood in the empty queue.
local function passThrough (name)
  local tenant = readTenant(name)
  local virtual = math.max(tenant.virtual, virtualNow())
  tenant.virtual = virtual + turnOf(tenant)
  redis.call('HSET', GLOB, 'virtual', text(virtual))
  redis.call('HSET', key('t', name), 'virtual', text(tenant.virtual))
end

-- A purchase that was none after all is not counted, as long as its window lasts.
local function giveBackRate (row)
  local tenant = readTenant(row.tenant)
  if tenant.used > 0 and row.createdAtMs >= tenant.beganAtMs and now < tenant.endsAtMs then tenant.used = redis.call('HINCRBY', key('t', row.tenant), 'used', -1) end
end

return {
  giveBackRate = giveBackRate, readTenant = readTenant, countRunning = countRunning, countPurchase = countPurchase, rankOf = rankOf, nextPosition = nextPosition, positionOf = positionOf,
  oldestOf = oldestOf, oldestPausing = oldestPausing, virtualNow = virtualNow, updateTurn = updateTurn, isQueueEmpty = isQueueEmpty, charge = charge, isNext = isNext, passThrough = passThrough
}
