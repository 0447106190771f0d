-- Which price rule holds for a model (rule 35). No two machines' clocks are compared: what the ledger has not seen is newer than what it has, and what was
-- replaced is older, unless the process that brings it says that it had the rule that holds, and was given this one in its place.

-- A model's price rules, the one that holds first, then those that were replaced last.
local function rulesOf (model)
  if not rulesNow[model] then
    local kept = redis.call('HGET', PRICE_RULES, model)
    rulesNow[model] = kept and cjson.decode(kept) or {}
  end
  return rulesNow[model]
end

-- The rule that holds, when the one that an admission brings is older, or nil.
local function newerRule (admission)
  local rules = rulesOf(admission.model)
  local latest = rules[1]
  if not latest or latest == admission.priceRule or latest == admission.replacesPriceRule then return nil end
  return contains(rules, admission.priceRule) and latest or nil
end

-- A purchase is made under this rule, so it is the one that holds.
local function takeRule (admission)
  local rules = rulesOf(admission.model)
  if rules[1] == admission.priceRule then return end
  local known = { admission.priceRule }
  for _, rule in ipairs(rules) do
    if rule ~= admission.priceRule and #known < constants.maxPriceRules then table.insert(known, rule) end
  end
  redis.call('HSET', PRICE_RULES, admission.model, encodeList(known))
  rulesNow[admission.model] = known
end

return {
  newerRule = newerRule, takeRule = takeRule
}
