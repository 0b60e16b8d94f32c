-- The grant: the longest billing length that allowance and money can pay. The same closed formula as
-- callmeter_core::rating::grant, number for number; its module explains it and bounds its sizes.

-- What is left of a budget that stops calls, as the wallet has it: "left monthly ends", where from the
-- month's end on the whole month is left. Nil: no budget stops calls.
local function budget_left(budget, held)
  if not budget or budget == '' then return nil end
  local left, monthly, ends = string.match(budget, '^(%S+) (%S+) (%S+)$')
  return whole(NOW < ends + 0 and left or monthly, 'budget') - held
end

local function quotient(number, divisor) return (number - number % divisor) / divisor end

local function price(rate, seconds) return quotient(rate * seconds + 30, 60) end

local function billed_seconds(seconds, initial, increment)
  local beyond = math.max(0, seconds - initial)
  return initial + quotient(beyond + increment - 1, increment) * increment
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
  local allowance = math.min(allowance_left, longest)
  local payable = allowance
  if not block then
    local purse = budget and math.min(money, budget) or money
    local useful = math.min(math.max(purse, 0), price(rate, longest - allowance))
    payable = payable + (rate == 0 and longest or quotient(60 * useful + 29, rate))
  end
  if payable < initial then
    if block then return nil, 0 end
    local missing = price(rate, initial - allowance) - money
    if missing <= 0 then return nil, 0, true end
    return nil, missing
  end
  local length = initial + quotient(payable - initial, increment) * increment
  local attainable = math.min(length, cap)
  local granted = math.min(attainable, asked)
  local billed = billed_seconds(granted, initial, increment)
  local from_allowance = math.min(billed, allowance)
  return {
    granted = granted,
    attainable = attainable,
    allowance = from_allowance,
    held = price(rate, billed - from_allowance),
    final = granted >= attainable and '1' or '0',
  }
end
