-- Runs one operation and puts its answer into the envelope (see base.lua).

-- ping {} -> 'PONG'
local function ping ()
  return 'PONG'
end

local operations = {
  ping = ping,
  admit = admit,
  claim = claim,
  sent = sent, unsent = unsent, lost = lost, progressed = progressed, finish = finish,
  renew = renew, restore = restore, release = release, sweep = sweep, takeNews = takeNews,
  seen = seen, left = left, withdraw = withdraw,
  read = read, lookup = lookup, look = look, glance = glance, logs = logs, list = list, unknowns = unknowns, gauges = gauges,
  cancel = cancel, settle = settle,
  guard = tellGuard, guards = guards,
  mint = mint, token = showToken, revoke = revoke,
  balances = balances, journal = journal
}

local function run (keys, args)
  begin(keys, args)
  local answer = operations[args[1]]()
  return { text(now), sequence and text(sequence) or redis.call('HGET', GLOB, 'sequence') or '0', answer }
end
