-- Outputs that are too long for a row: each lies aside under a name of its own for an hour, in pieces, and all together are bounded.

local function nameOf (id, large)
  return id .. ' ' .. large
end

-- Takes away some of those whose hour is over.
local function tidy ()
  for _, name in ipairs(redis.call('ZRANGEBYSCORE', MORE.asides, '-inf', text(now), 'LIMIT', 0, constants.tidyPerCall)) do
    redis.call('UNLINK', key('b', name))
    redis.call('ZREM', MORE.asides, name)
    redis.call('HINCRBY', GLOB, 'asideBytes', '-' .. string.match(name, ' (%d+) '))
  end
end

local function usedBytes ()
  return tonumber(redis.call('HGET', GLOB, 'asideBytes') or '0')
end

-- Is there room for the longest that there may be?
local function hasRoom ()
  return usedBytes() + constants.maxLargeBytes <= times.largeResultBytes
end

-- putAside { id, large: '<bytes> <sha256>', piece }, payload: that piece -> { outcome: 'kept' or 'full' }
-- What was begun by another process goes on: the same name stands for the same text.
local function putAside ()
  tidy()
  local name = nameOf(given.id, given.large)
  local bytes = string.match(given.large, '^%d+')
  if not redis.call('ZSCORE', MORE.asides, name) then
    if usedBytes() + tonumber(bytes) > times.largeResultBytes then return { outcome = 'full' } end
    redis.call('HINCRBY', GLOB, 'asideBytes', bytes)
  end
  redis.call('ZADD', MORE.asides, text(now + constants.largeMs), name)
  redis.call('HSET', key('b', name), given.piece, payload)
  endKey(key('b', name), now + constants.largeMs)
  return { outcome = 'kept' }
end

-- Takes one away before its hour is over.
local function drop (id, large)
  local name = nameOf(id, large)
  if redis.call('ZREM', MORE.asides, name) == 0 then return end
  redis.call('UNLINK', key('b', name))
  redis.call('HINCRBY', GLOB, 'asideBytes', '-' .. string.match(large, '^%d+'))
end

-- Does this output lie aside?
local function isThere (id, large)
  return tonumber(redis.call('ZSCORE', MORE.asides, nameOf(id, large)) or 0) > now
end

-- aside { id } -> { key, pieces: how many, sha256 } of a row's output, or nothing
local function aside ()
  local large = redis.call('HGET', key('g', given.id), 'large')
  if not large or not isThere(given.id, large) then return nil end
  local at = key('b', nameOf(given.id, large))
  return { key = at, pieces = text(redis.call('HLEN', at)), sha256 = string.match(large, '%x+$') }
end

return {
  tidy = tidy, usedBytes = usedBytes, hasRoom = hasRoom, isThere = isThere, putAside = putAside, aside = aside, drop = drop
}
