-- The grant: the longest billing length that allowance and money can pay. The same closed formula as
-- callmeter_core::rating::grant, number for number; its module explains it and bounds its sizes.

-- What is left of a budget that stops calls, as the wallet has it: "left monthly ends", where from the
-- month's end on the whole month is left. Nil: no budget stops calls.
local function budget_left(budget, held)
  if not budget or budget == '' then return nil end
  local left, monthly, ends = string.match(budget, '^(%S+) (%S+) (%S+)$')
  return whole(NOW < ends + 0 and left or monthly, 'budget') - held
end

local function price(rate, seconds)
  local sixtieths = rate * seconds + 30
  return (sixtieths - sixtieths % 60) / 60
end

local function billed_seconds(seconds, initial, increment)
  if seconds <= initial then return initial end
  local beyond = seconds - initial + increment - 1
  return initial + beyond - beyond % increment
end

-- Returns {granted, attainable, allowance, held, final}, or nil, the shortfall, and whether the budget
-- refuses. `attainable`: the most that could be had by asking. `block`: the allowance alone pays, and
-- money does not help. `budget`: what is left of it, nil if none stops calls.
local function grant(allowance_left, money, budget, rate, initial, increment, block, asked, cap)
  assert(rate >= 0 and initial >= 1 and increment >= 1 and asked >= 0 and cap >= 0
    and allowance_left >= 0, 'terms out of range')
  assert(cap <= 86400 and initial <= 3600 and increment <= 3600 and rate <= 10000000000,
    'terms beyond what is exact')
  if budget and budget <= 0 then return nil, 0, true end
  local longest = billed_seconds(cap, initial, increment)
  local allowance = allowance_left < longest and allowance_left or longest
  local payable = allowance
  if not block then
    local useful = price(rate, longest - allowance)
    if money < useful then useful = money end
    if budget and budget < useful then useful = budget end
    local sixtieths = useful > 0 and 60 * useful + 29 or 29
    payable = payable + (rate == 0 and longest or (sixtieths - sixtieths % rate) / rate)
  end
  if payable < initial then
    if block then return nil, 0 end
    local missing = price(rate, initial - allowance) - money
    if missing <= 0 then return nil, 0, true end
    return nil, missing
  end
  local attainable = payable - (payable - initial) % increment
  if cap < attainable then attainable = cap end
  local granted = asked < attainable and asked or attainable
  local billed = billed_seconds(granted, initial, increment)
  local from_allowance = allowance < billed and allowance or billed
  return {
    granted = granted,
    attainable = attainable,
    allowance = from_allowance,
    held = price(rate, billed - from_allowance),
    final = granted >= attainable and '1' or '0',
  }
end
