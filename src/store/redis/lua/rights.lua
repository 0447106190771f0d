-- What Redis' user may do. A script that comes to a command that it may not run stops half-way and keeps what it wrote, so this is asked before anything is.

local CHANNEL_COMMANDS = { PUBLISH = true, SUBSCRIBE = true, UNSUBSCRIBE = true }

-- Those of these commands that the user may not run on the ledger's keys and channels; none where the server cannot tell.
local function missing (needed)
  local found = {}
  if not redis.acl_check_cmd then return found end
  for _, command in ipairs(needed) do
    if not redis.acl_check_cmd(command, CHANNEL_COMMANDS[command] and CHANGES or GLOB) then table.insert(found, command) end
  end
  return found
end

return {
  missing = missing
}
