-- Whether Redis may have lost what it was told last, and how long nothing is claimed therefore (rule 23): until the replicas have put back what they know,
-- for one lease at most. Two things tell: the server, which is another one after every start and every failover, and a sequence below one that was told.
-- Neither says anything about connections, so that a slow Redis, which loses many, stops nothing.

-- What stands among the awaited for replicas that this ledger does not know of. It never renews.
local NOBODY_KNOWS = '*'

-- How long a server is taken for the one that it was. It does not load another one's data in less.
local READ_EVERY_MS = 100

-- As this very server told of itself: the variables of a library live as long as the server, and are not copied with the data. So its run is asked for once.
local run, server, readAtMs

-- What the server tells of itself, or nil.
local function readInfo (section, pattern)
  local info = redis.pcall('INFO', section)
  return type(info) == 'string' and string.match(info, pattern) or nil
end

-- Which server this is, and which history it follows: it may be the same one with the data of another. nil when it does not tell.
local function readServer ()
  if times.server then return times.server end
  if not server or now < readAtMs or now >= readAtMs + READ_EVERY_MS then
    run = run or readInfo('server', 'run_id:(%w+)')
    local replication = readInfo('replication', 'master_replid:(%w+)')
    server, readAtMs = run and replication and run .. ' ' .. replication, now
  end
  return server or nil
end

local function letGo ()
  redis.call('DEL', MORE.awaited)
  redis.call('HDEL', GLOB, 'heldSinceMs', 'heldUntilMs')
end

-- Holds claims back until everybody has renewed again that did in the last lease before the change. By the clock of the server that wrote it down: those of
-- two machines are never compared. What fell below what a replica knows that it does not know of has lost others as well.
local function pauseClaims (hasFallen)
  local latest = redis.call('ZRANGE', RENEWED, -1, -1, 'WITHSCORES')
  if hasFallen and not redis.call('ZSCORE', RENEWED, given.replica) then redis.call('ZADD', MORE.awaited, 0, NOBODY_KNOWS) end
  if latest[2] then
    for _, replica in ipairs(redis.call('ZRANGEBYSCORE', RENEWED, '(' .. text(tonumber(latest[2]) - times.leaseMs), '+inf')) do redis.call('ZADD', MORE.awaited, 0, replica) end
  end
  redis.call('DEL', RENEWED)
  if redis.call('ZCARD', MORE.awaited) > 0 then redis.call('HSET', GLOB, 'heldSinceMs', text(now), 'heldUntilMs', text(now + times.leaseMs)) end
end

-- Looks whether something may have been lost since the last claim or renewal. Each change is noticed once: replicas that come later know of fewer.
-- -> until when nothing is claimed, or nil
local function look ()
  local kept = redis.call('HMGET', GLOB, 'server', 'epoch', 'sequence', 'counter', 'heldSinceMs', 'heldUntilMs')
  local found, known = readServer(), given.known
  epoch = tonumber(kept[2] or 0)
  local hasFallen = known and (known.epoch > epoch or known.epoch == epoch and known.sequence > tonumber(kept[3] or 0))
  local isOther = found and kept[1] and found ~= kept[1]
  if found and found ~= kept[1] then redis.call('HSET', GLOB, 'server', found) end
  -- In an empty ledger another server has lost nothing. One that knows less than it told is empty because it lost everything.
  if hasFallen or isOther and tonumber(kept[4] or 0) > 0 then
    epoch = math.max(epoch, known and known.epoch or 0) + 1
    redis.call('HSET', GLOB, 'epoch', text(epoch))
    pauseClaims(hasFallen)
    kept = redis.call('HMGET', GLOB, 'server', 'epoch', 'sequence', 'counter', 'heldSinceMs', 'heldUntilMs')
  end
  local sinceMs, untilMs = tonumber(kept[5] or 0), tonumber(kept[6] or 0)
  if untilMs == 0 then return nil end
  if now < sinceMs then
    -- The clock was set back: no longer than a lease from here.
    untilMs = now + times.leaseMs
    redis.call('HSET', GLOB, 'heldSinceMs', text(now), 'heldUntilMs', text(untilMs))
  end
  if untilMs <= now then
    letGo()
    return nil
  end
  return untilMs
end

-- Notes that this replica is there, and forgets those that were not for a lease.
local function note (set)
  redis.call('ZADD', set, text(now), given.replica)
  for _, replica in ipairs(redis.call('ZRANGEBYSCORE', set, '-inf', '(' .. text(now - times.leaseMs), 'LIMIT', 0, constants.tidyPerCall)) do redis.call('ZREM', set, replica) end
  -- Those who come from later than now were there before the clock was set back.
  for _, replica in ipairs(redis.call('ZRANGEBYSCORE', set, '(' .. text(now), '+inf', 'LIMIT', 0, constants.tidyPerCall)) do redis.call('ZADD', set, text(now), replica) end
end

-- This replica is there, and has put back all that it knows.
local function isThere ()
  note(RENEWED)
  if redis.call('ZREM', MORE.awaited, given.replica) == 1 and redis.call('ZCARD', MORE.awaited) == 0 then letGo() end
end

-- This replica has a heartbeat.
local function beat ()
  note(BEATS)
end

-- Those that had a heartbeat within the last lease and none for two seconds, the longest silent first.
local function silent ()
  return redis.call('ZRANGEBYSCORE', BEATS, '-inf', text(now - constants.silentMs), 'LIMIT', 0, constants.tidyPerCall)
end

local function isSilent (replica)
  local beatMs = redis.call('ZSCORE', BEATS, replica)
  return beatMs and tonumber(beatMs) <= now - constants.silentMs
end

-- This replica leaves: after a later change nobody waits for it, and its silence means nothing.
local function leave ()
  redis.call('ZREM', RENEWED, given.replica)
  redis.call('ZREM', BEATS, given.replica)
end

return {
  look = look, isThere = isThere, beat = beat, silent = silent, isSilent = isSilent, leave = leave
}
