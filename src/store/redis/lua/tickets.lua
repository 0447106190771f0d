-- Tickets: each opens one event stream, once.

-- issueTicket { sha256, tenant, subject, generation, terms, expiresAtMs }
local function issueTicket ()
  writeEnding(key('ticket', given.sha256), given.expiresAtMs, 'tenant', given.tenant, 'subject', given.subject, 'generation', given.generation, 'terms', given.terms)
end

-- takeTicket { sha256 } -> the ticket, the first time and until its end, or nothing
local function takeTicket ()
  local at = key('ticket', given.sha256)
  local ticket = readEnding(at)
  if not ticket then return nil end
  redis.call('DEL', at)
  return { sha256 = given.sha256, tenant = ticket.tenant, subject = ticket.subject, generation = ticket.generation, terms = ticket.terms, expiresAtMs = ticket.endMs }
end

return { issueTicket = issueTicket, takeTicket = takeTicket }
