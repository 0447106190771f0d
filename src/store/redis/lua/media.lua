-- Files of outputs that are stored, or will be (see media.ts).

-- Does one of these places wait for its file?
local function hasMissing (media)
  return media and string.find(media, ',-', 1, true) ~= nil
end

-- takeMissing { max } -> [rows] with files that are due, each given to one caller for a while
local function takeMissing ()
  local rows = {}
  for _, id in ipairs(redis.call('ZRANGEBYSCORE', FILES, '-inf', text(now), 'LIMIT', 0, given.max)) do
    local row = Rows.readBrief(id)
    -- A replica of an older version forgets rows, and not what stands here.
    if not row or not row.filesAtMs then redis.call('ZREM', FILES, id)
    else
      Rows.adjust(row, { filesAtMs = now + constants.filesLeaseMs })
      table.insert(rows, Rows.show(Rows.complete(row)))
    end
  end
  return rows
end

-- keepFiles { id, was, media } -> the row as it is now, or nothing
-- Taken only when the places are what they were. What is still missing is tried again after as long as it has been missing, within bounds.
local function keepFiles ()
  local row = Rows.readRow(given.id)
  if not row then return nil end
  if row.media and row.media == given.was and row.phase == 'succeeded' then
    local pauseMs = math.min(math.max(now - (row.finishedAtMs or now), constants.filesFirstPauseMs), constants.filesLastPauseMs)
    Rows.change(row, { media = given.media or false, filesAtMs = hasMissing(given.media) and now + pauseMs or false })
  end
  return Rows.show(row)
end

-- noteDeadLinks { id }
local function noteDeadLinks ()
  local row = Rows.readRow(given.id)
  if row and row.phase == 'succeeded' and not row.linksDead then Rows.change(row, { linksDead = true }) end
end

return { hasMissing = hasMissing, takeMissing = takeMissing, keepFiles = keepFiles, noteDeadLinks = noteDeadLinks }
