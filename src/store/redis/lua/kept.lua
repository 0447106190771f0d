-- Stored files by name: how many rows refer to each, and since when nothing does (see kept.ts). The references follow from the rows (rule 42).
--
-- A file is one text, `<rows> <bytes> <since>`, with ` w` behind it once an operator took it out.

-- The names of the files at the places of a row, each once; media: as a row has it, or nothing.
local function namesIn (media)
  local names = {}
  for name in string.gmatch(media or '', '%d+,%d+,([^ ]+)') do
    if name ~= '-' then names[name] = true end
  end
  return names
end

local function read (name)
  local kept = redis.call('HGET', MORE.kept, name)
  if not kept then return nil end
  local rows, bytes, sinceMs, word = string.match(kept, '^(%d+) (%d+) (%d+)(.*)$')
  return { rows = tonumber(rows), bytes = tonumber(bytes), sinceMs = tonumber(sinceMs), withdrawn = word ~= '' }
end

local function unmet (sinceMs)
  return { rows = 0, bytes = 0, sinceMs = sinceMs, withdrawn = false }
end

-- While files are counted again their bytes are, too: those of files that were looked at, and of such that came meanwhile.
local function countAgain (name, before, after)
  if not tallyUntilMs or now > tallyUntilMs then return end
  local mark = 'k ' .. name
  if before and not redis.call('HGET', MORE.tallied, mark) then return end
  redis.call('HINCRBY', MORE.tally, 'bytes', text((after and after.bytes or 0) - (before and before.bytes or 0)))
  if after then redis.call('HSET', MORE.tallied, mark, '1') else redis.call('HDEL', MORE.tallied, mark) end
end

-- before: as it was read; after: nil for none. One of the two is there.
local function write (name, before, after)
  countAgain(name, before, after)
  local difference = (after and after.bytes or 0) - (before and before.bytes or 0)
  if difference ~= 0 then redis.call('HINCRBY', GLOB, 'keptBytes', text(difference)) end
  if not after then return redis.call('HDEL', MORE.kept, name) end
  redis.call('HSET', MORE.kept, name, text(after.rows) .. ' ' .. text(after.bytes) .. ' ' .. text(after.sinceMs) .. (after.withdrawn and ' w' or ''))
end

-- The file with these changes.
local function with (file, changes)
  local after = copy(file)
  for field, value in pairs(changes) do after[field] = value end
  return after
end

-- Until when a process removes it, or nil.
local function condemnedUntilMs (name)
  local untilMs = redis.call('ZSCORE', MORE.condemned, name)
  return untilMs and tonumber(untilMs)
end

local function takeUp (name)
  local file = read(name)
  write(name, file, with(file or unmet(now), { rows = (file and file.rows or 0) + 1 }))
  if file then redis.call('ZREM', MORE.orphans, name) end
end

-- Nothing is known of one that a replica of an older version referred to.
local function letGo (name)
  local file = read(name)
  if not file or file.rows == 0 then return end
  write(name, file, with(file, { rows = file.rows - 1 }))
  if file.rows == 1 and not file.withdrawn and not condemnedUntilMs(name) then redis.call('ZADD', MORE.orphans, text(now), name) end
end

-- The places of a row's files are others now: what it let go of may be an orphan.
local function refer (before, after)
  local had, has = namesIn(before), namesIn(after)
  for name in pairs(has) do
    if not had[name] then takeUp(name) end
  end
  for name in pairs(had) do
    if not has[name] then letGo(name) end
  end
end

-- expectFile { name, bytes, maxBytes } -> { outcome: 'expected' | 'busy' | 'full' | 'withdrawn' }
local function expectFile ()
  local file, untilMs = read(given.name), condemnedUntilMs(given.name)
  if file and file.withdrawn then return { outcome = 'withdrawn' } end
  if untilMs and untilMs > now then return { outcome = 'busy' } end
  local bytes = tonumber(redis.call('HGET', GLOB, 'keptBytes') or 0)
  if not file and given.maxBytes and bytes + given.bytes > given.maxBytes then return { outcome = 'full' } end
  write(given.name, file, with(file or unmet(now), { bytes = given.bytes }))
  redis.call('ZREM', MORE.condemned, given.name)
  if not file or file.rows == 0 then redis.call('ZADD', MORE.orphans, text(now), given.name) end
  return { outcome = 'expected' }
end

-- takeOrphans { max, idleMs, keepMs, maxBytes } -> [{ name, bytes, untilMs }]
local function takeOrphans ()
  local taken, untilMs = {}, text(now + constants.condemnedMs)
  local function take (name, file)
    redis.call('ZADD', MORE.condemned, untilMs, name)
    table.insert(taken, { name = name, bytes = text(file.bytes), untilMs = untilMs })
  end
  for _, name in ipairs(redis.call('ZRANGEBYSCORE', MORE.condemned, '-inf', text(now), 'LIMIT', 0, given.max)) do
    local file = read(name)
    if file and (file.rows == 0 or file.withdrawn) then take(name, file) else redis.call('ZREM', MORE.condemned, name) end
  end
  local above = given.maxBytes and tonumber(redis.call('HGET', GLOB, 'keptBytes') or 0) - given.maxBytes * constants.crowdedShare or 0
  local orphans = redis.call('ZRANGEBYSCORE', MORE.orphans, '-inf', text(now - given.idleMs), 'WITHSCORES', 'LIMIT', 0, given.max - #taken)
  for i = 1, #orphans, 2 do
    local name, sinceMs = orphans[i], tonumber(orphans[i + 1])
    if sinceMs > now - given.idleMs - given.keepMs and above <= 0 then break end
    local file = read(name)
    redis.call('ZREM', MORE.orphans, name)
    if file and file.rows == 0 then
      take(name, file)
      above = above - file.bytes
    end
  end
  return taken
end

-- filesGone { files: [{ name, untilMs }] } -> [names] of those that something refers to by now
local function filesGone ()
  local missed = {}
  for _, gone in ipairs(given.files) do
    local name = gone.name
    -- Others were met again since, or given to another process, which may still be at it.
    if condemnedUntilMs(name) == gone.untilMs then
      redis.call('ZREM', MORE.condemned, name)
      local file = read(name)
      if file.withdrawn then write(name, file, with(file, { bytes = 0 }))
      elseif file.rows == 0 then write(name, file, nil)
      else table.insert(missed, name) end
    end
  end
  return missed
end

-- withdrawFiles { names }
local function withdrawFiles ()
  for _, name in ipairs(given.names) do
    local file = read(name)
    write(name, file, with(file or unmet(now), { withdrawn = true }))
    redis.call('ZREM', MORE.orphans, name)
    redis.call('ZADD', MORE.condemned, text(now + constants.expectedMs), name)
  end
end

local FILES_PER_PAGE = '100'

-- keptFiles { cursor } -> { files: [{ name, bytes, references, sinceMs, orphanSinceMs, isWithdrawn }], next: nothing when these are the last, nowMs }
local function keptFiles ()
  local scanned, files = redis.call('HSCAN', MORE.kept, given.cursor, 'COUNT', FILES_PER_PAGE), {}
  for i = 1, #scanned[2], 2 do
    local name = scanned[2][i]
    local file = read(name)
    local orphanSinceMs = file.rows == 0 and redis.call('ZSCORE', MORE.orphans, name)
    table.insert(files, {
      name = name, bytes = text(file.bytes), references = text(file.rows), sinceMs = text(file.sinceMs),
      orphanSinceMs = orphanSinceMs and text(tonumber(orphanSinceMs)) or nil, isWithdrawn = file.withdrawn and '1' or nil
    })
  end
  return { files = files, next = scanned[1] ~= '0' and scanned[1] or nil, nowMs = text(now) }
end

-- meetFiles { files: [{ name, bytes, ageMs }], isTaking } -> [names] of those that were not known
local function meetFiles ()
  local strays = {}
  for _, found in ipairs(given.files) do
    local file = read(found.name)
    if not file then
      table.insert(strays, found.name)
      if given.isTaking then
        local sinceMs = math.max(1, math.floor(now - found.ageMs))
        write(found.name, nil, with(unmet(sinceMs), { bytes = found.bytes }))
        redis.call('ZADD', MORE.orphans, text(sinceMs), found.name)
      end
    elseif file.bytes == 0 and not file.withdrawn then write(found.name, file, with(file, { bytes = found.bytes })) end
  end
  return strays
end

-- A file that comes in with a whole ledger, before the rows that refer to it.
local function putBack (name, image)
  if read(name) then return end
  local file = { rows = 0, bytes = tonumber(image.bytes), sinceMs = tonumber(image.sinceMs), withdrawn = image.withdrawn and true or false }
  write(name, nil, file)
  if image.condemnedUntilMs then redis.call('ZADD', MORE.condemned, image.condemnedUntilMs, name)
  elseif not file.withdrawn then redis.call('ZADD', MORE.orphans, image.orphanSinceMs or text(now), name) end
end

return {
  namesIn = namesIn, read = read, write = write, refer = refer, putBack = putBack, expectFile = expectFile, takeOrphans = takeOrphans, filesGone = filesGone, withdrawFiles = withdrawFiles,
  keptFiles = keptFiles, meetFiles = meetFiles
}
