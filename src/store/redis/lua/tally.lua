-- A count of the rows that is under way (see recount.lua): what the counters should say, as far as rows were counted. Every operation that moves a counted row
-- keeps it up, so however long the count takes, in the end it is what the rows say at that very moment. Only open rows count.
-- References to stored files are counted with all rows.
-- It needs no command that operations do not need without it: a gateway's user may have few rights.

-- The row as it stands adds this to what is counted; with -1 it takes it away. `at`: where it stands, see `placesOf`.
local function add (row, at, sign)
  local function raise (field, amount)
    redis.call('HINCRBY', MORE.tally, field, text(sign * amount))
  end
  if at.running then
    raise(Accounts.field('slots', at.apart), 1)
    raise('running ' .. row.tenant, 1)
  end
  if at.waiting then raise('waiting ' .. row.tenant, 1) end
  if not at.held then return end
  for _, account in ipairs(cjson.decode(row.accounts)) do
    local book = account.owner .. ':' .. account.period
    raise('held ' .. book, row.price)
    if at.unknown then raise('unknown ' .. book, row.price) end
  end
  if row.token then
    raise('pictures ' .. row.token, row.files or 1)
    raise('money ' .. row.token, row.price)
  end
end

-- The same for the files that it refers to.
local function refer (row, sign)
  for name in pairs(Kept.namesIn(row.media)) do redis.call('HINCRBY', MORE.tally, 'file ' .. name, sign) end
end

-- Counts those of a row, once.
local function takeReferences (row)
  if not row.media or redis.call('HGET', MORE.tallied, 'f ' .. row.id) then return end
  redis.call('HSET', MORE.tallied, 'f ' .. row.id, '1')
  refer(row, 1)
end

-- Counts a row where it stands, once.
local function take (row, at)
  takeReferences(row)
  if not at.held or redis.call('HGET', MORE.tallied, row.id) then return end
  redis.call('HSET', MORE.tallied, row.id, '1')
  add(row, at, 1)
end

-- The same of one that changes: it is counted as it now stands, looked at before or not.
local function updateReferences (before, after)
  if (before.media or nil) == (after and after.media or nil) then return end
  if redis.call('HDEL', MORE.tallied, 'f ' .. before.id) == 1 then refer(before, -1) end
  if after then takeReferences(after) end
end

-- A row moves. One that was not counted will be, as it then stands; a new one may come where nobody looks any more.
local function update (before, after, was, is)
  if not tallyUntilMs or now > tallyUntilMs then return end
  if not before then return take(after, is) end
  updateReferences(before, after)
  if not redis.call('HGET', MORE.tallied, before.id) then return end
  add(before, was, -1)
  if is.held then add(after, is, 1) else redis.call('HDEL', MORE.tallied, before.id) end
end

return {
  take = take, update = update
}
