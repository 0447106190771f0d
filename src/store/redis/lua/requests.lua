-- fal's request ids: each stands for one purchase of one generation (rule 32). A second purchase for the same generation is a double, which is booked
-- beside the row, at the reserved price until its own end names another (rule 21).

-- Does this request id stand for another generation?
local function isOthers (id, requestId)
  local known = redis.call('HGET', key('r', requestId), 'id')
  return known and known ~= id
end

local function doublesOf (row)
  return cjson.decode(row.doubles or '[]')
end

local function doubleOf (row, requestId)
  for _, double in ipairs(doublesOf(row)) do
    if double.requestId == requestId then return double end
  end
  return nil
end

-- Is it neither this row's purchase nor one of its doubles that are booked?
local function isUnheardOf (row, requestId)
  return row.requestId ~= requestId and not doubleOf(row, requestId)
end

-- Is it a second purchase that has not ended at fal, so that its replica goes on following it?
local function isOpenDouble (row, requestId)
  local double = row and requestId and doubleOf(row, requestId)
  return double and not double.ended
end

-- Has the row another purchase already? Then this one is a second, and booked once. `account`: that it was bought with; nil: the row's
local function bookIfDouble (row, requestId, account)
  if not row.requestId or row.requestId == requestId then return false end
  if isUnheardOf(row, requestId) then
    local doubles = doublesOf(row)
    table.insert(doubles, { requestId = requestId, upstream = account or row.upstream, cost = text(row.price) })
    Rows.adjust(row, { doubles = encodeList(doubles) })
    Books.bookBeside(row, 'double', requestId, row.price, true)
    Outbox.add(row, 'double', row.phase, row.price)
  end
  return true
end

-- The doubles with `with` in the place of the one with this id.
local function replaced (row, requestId, with)
  local doubles = doublesOf(row)
  for i, double in ipairs(doubles) do
    if double.requestId == requestId then doubles[i] = with end
  end
  return encodeList(doubles)
end

-- The end of a double corrects what is booked for it. The first end counts, as with rows; a later one that costs more is booked.
-- `cost`: nil when fal named none
local function correctDouble (row, requestId, cost)
  local double = doubleOf(row, requestId)
  local bill, booked = Books.bookingOf(row, cost), tonumber(double.cost)
  local difference = bill.cost - booked
  if double.ended and difference <= 0 then return end
  Rows.adjust(row, { doubles = replaced(row, requestId, { requestId = requestId, upstream = double.upstream, cost = text(bill.cost), ended = '1' }) })
  Books.bookBeside(row, 'correction', requestId, difference, bill.costAssumed)
  if difference > 0 then Outbox.add(row, 'late', row.phase, difference) end
  if not double.ended or booked <= row.price or bill.costAssumed then Breakers.weighBill(row, cost) end
end

-- May this double's picture be the row's? Its callers have not had any, and it is paid for.
local function isWanted (row, requestId, kind)
  return kind == 'succeeded' and not Books.isFinal(row) and isOpenDouble(row, requestId)
end

-- Makes this double the row's own purchase, and that one the double. The price moves along, so that the journal names what each id cost.
local function swapDouble (row, requestId)
  local double, other = doubleOf(row, requestId), row.requestId
  local cost = tonumber(double.cost)
  Rows.change(row, { requestId = requestId, upstream = double.upstream or false, doubles = replaced(row, requestId, { requestId = other, upstream = row.upstream, cost = text(row.price) }) })
  Books.bookBeside(row, 'correction', requestId, -cost, true)
  Books.bookBeside(row, 'double', other, row.price, true)
end

return {
  isOthers = isOthers, isUnheardOf = isUnheardOf, isOpenDouble = isOpenDouble, bookIfDouble = bookIfDouble, correctDouble = correctDouble, isWanted = isWanted,
  swapDouble = swapDouble
}
