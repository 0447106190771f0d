-- The upstream accounts of a ledger (rule 28): which there are, which of them this process has, how many slots each has, and what is kept of each by itself.
--
-- The ledger's first account is the one that its mark names; it has the keys and the fields that a ledger of one account has. Each other account has some of its own
-- beside them, so that a process which knows one account only, an older version too, looks after what is bought with that one and leaves the rest alone.
-- An account is its text, such as `fal main`, or false for the first one of a ledger without a mark.

-- The account that this row is bought with, or would be.
local function of (row)
  return row.upstream or upstream or false
end

-- Of another account than the ledger's first: its text. Else nil.
local function apart (account)
  return account and account ~= upstream and account or nil
end

-- A field of `GLOB` that each account has; `account`: nil for the first one
local function field (name, account)
  return account and name .. ' ' .. account or name
end

-- A sorted set that each account has.
local function setOf (set, account)
  return account and set .. ':' .. account or set
end

-- All of this ledger, the first one first.
local function all ()
  local found = { upstream or false }
  for account in string.gmatch(readOthers(), '[^\n]+') do found[#found + 1] = account end
  return found
end

-- Those that this process has keys for; an operator's window is taken for one that has all.
local function own ()
  return times.accounts or not times.upstream and all() or { times.upstream }
end

local function isOwn (account)
  return account == times.upstream or contains(own(), account)
end

-- Slots in use, and how many may be used now, nil when fal never took no more: after its pause one more, and another with every step.
-- `account`: nil for the first one
local function slotsNow (account)
  local kept = redis.call('HMGET', GLOB, field('active', account), field('slots', account), field('slotsUntilMs', account))
  if not kept[2] then return tonumber(kept[1] or 0), nil end
  local sinceMs = now - tonumber(kept[3])
  return tonumber(kept[1] or 0), tonumber(kept[2]) + (sinceMs < 0 and 0 or 1 + math.floor(sinceMs / constants.busyStepMs))
end

-- fal took no more than what is there without this one: that many slots the account has for a while.
local function lowerSlots (row, pauseMs)
  local account = apart(of(row))
  local active = tonumber(redis.call('HGET', GLOB, field('active', account)) or 0)
  redis.call('HSET', GLOB, field('slots', account), text(math.max(0, active - 1)), field('slotsUntilMs', account), text(now + math.min(pauseMs, constants.maxBusyMs)))
end

-- This process' accounts that have a free slot, the one with most of them first. `slots`: of each that has no number of its own
local function withRoom (slots)
  local found, free = {}, {}
  for place, account in ipairs(own()) do
    local active, lowered = slotsNow(apart(account))
    local most = times.slots and times.slots[account] or slots
    local left = math.min(most, lowered or most) - active
    if left > 0 then
      found[#found + 1] = account
      free[account] = left - place / 1000 -- of those that are alike the first
    end
  end
  if #found > 1 then table.sort(found, function (one, other) return free[one] > free[other] end) end
  return found
end

return {
  of = of, apart = apart, field = field, setOf = setOf, all = all, own = own, isOwn = isOwn, slotsNow = slotsNow, lowerSlots = lowerSlots, withRoom = withRoom
}
