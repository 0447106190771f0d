-- Runs one operation and puts its answer into the envelope (see base.lua).

-- ping { rights: whether they are asked for } -> the commands that the user of this connection may not run
local function ping ()
  return given.rights and Rights.missing(commands.gateway) or {}
end

local operations = {
  ping = ping,
  admit = Admission.admit, preview = Admission.preview,
  claim = Claim.claim,
  recordAccepted = Evidence.recordAccepted, recordNotSent = Evidence.recordNotSent, recordUnknown = Evidence.recordUnknown,
  recordProgress = Evidence.recordProgress, recordDoubt = Evidence.recordDoubt,
  finish = Evidence.finish,
  renew = Leases.renew, restore = Restore.restore, release = Leases.release, sweep = Leases.sweep, heartbeat = Leases.heartbeat, takeOver = Leases.takeOver, takeOutbox = Outbox.takeOutbox, once = Outbox.once,
  takeMissing = Media.takeMissing, keepFiles = Media.keepFiles, noteDeadLinks = Media.noteDeadLinks,
  expectFile = Kept.expectFile, takeOrphans = Kept.takeOrphans, filesGone = Kept.filesGone, withdrawFiles = Kept.withdrawFiles, keptFiles = Kept.keptFiles, meetFiles = Kept.meetFiles,
  takeHooks = Hooks.takeHooks, hookTried = Hooks.hookTried, hooks = Hooks.list, sendHooksAgain = Hooks.sendAgain,
  putAside = Aside.putAside, aside = Aside.aside,
  seen = Delivery.seen, left = Delivery.left, withdraw = Delivery.withdraw,
  read = Readers.read, lookup = Readers.lookup, getMany = Readers.getMany, getStatuses = Readers.getStatuses, logs = Logs.logs, list = Readers.list, unknowns = Readers.unknowns, gauges = Readers.gauges, standings = Readers.standings, failures = Readers.failures, replicas = Readers.replicas,
  cancel = Decisions.cancel, erase = Erase.erase, settle = Decisions.settle, correct = Decisions.correct,
  breaker = Breakers.tellBreaker, breakers = Breakers.breakers,
  mint = Tokens.mint, token = Tokens.showToken, tokens = Tokens.listTokens, revoke = Tokens.revoke,
  issueTicket = Tickets.issueTicket, takeTicket = Tickets.takeTicket,
  balances = Books.balances, journal = Books.journal,
  recount = Recount.recount, move = Moving.move
}

local function run (keys, args)
  begin(keys, args)
  local isForeign
  if times.upstream then isForeign = (times.accounts or upstream ~= times.upstream) and isStranger()
  -- An operator's window may use any ledger, but for one that is nobody's.
  else isForeign = args[1] ~= 'move' and Moving.isNobodys() end
  local isRefused = isForeign and not openOperations[args[1]]
  local answer
  if not isRefused then answer = operations[args[1]]() end
  return cjson.encode({ time = text(now), sequence = sequence, epoch = epoch and text(epoch), answer = answer, upstream = isForeign and upstream .. (readOthers() ~= '' and '\n' .. readOthers() or '') or nil, isRefused = isRefused and '1' or nil })
end
