-- The grant of the reference scripts, with all its functions.

local function quotient(number, divisor) return (number - number % divisor) / divisor end

local function price(rate, seconds) return quotient(rate * seconds + 30, 60) end

local function billed_seconds(seconds, initial, increment)
  local beyond = math.max(0, seconds - initial)
  return initial + quotient(beyond + increment - 1, increment) * increment
end

local function grant(allowance_left, money, rate, initial, increment, block, asked, cap)
  assert(rate >= 0 and initial >= 1 and increment >= 1 and asked >= 0 and cap >= 0
    and allowance_left >= 0, 'terms out of range')
  assert(cap <= 86400 and initial <= 3600 and increment <= 3600 and rate <= 10000000000,
    'terms beyond what is exact')
  local longest = billed_seconds(cap, initial, increment)
  local allowance = math.min(allowance_left, longest)
  local payable = allowance
  if not block then
    local useful = math.min(math.max(money, 0), price(rate, longest - allowance))
    payable = payable + (rate == 0 and longest or quotient(60 * useful + 29, rate))
  end
  if payable < initial then
    return nil, block and 0 or price(rate, initial - allowance) - money
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

-- What is left of the budget that stops calls, nil if none does.
local function left_of_budget(wallet)
  if not wallet.budget or wallet.budget == '' then return nil end
  local words = {}
  for word in string.gmatch(wallet.budget, '%S+') do words[#words + 1] = whole(word, 'budget') end
  assert(#words == 3, 'a budget is not of three words')
  if NOW >= words[3] then return words[2] - wallet.held end
  return words[1] - wallet.held
end

-- `most`: no more money than this, if it is given.
local function grant_for(wallet, hold, asked, cap, most)
  local held = held_allowance(wallet, hold.cycle) - hold.allowance
  local left = math.max(0, hold.included - wallet.used - held)
  local money = whole(wallet.balance + wallet.credit_limit - (wallet.held - hold.held), 'available')
  if most and most < money then money = most end
  return grant(left, money, hold.rate, hold.initial, hold.increment, hold.block == '1', asked, cap)
end

local function take(wallet, hold, granted, ring_seconds, grace_seconds)
  wallet.held = wallet.held + granted.held - hold.held
  wallet.cycles[hold.cycle] = held_allowance(wallet, hold.cycle) + granted.allowance - hold.allowance
  hold.granted, hold.final = granted.granted, granted.final
  hold.held, hold.allowance = granted.held, granted.allowance
  hold.valid_until = hold.placed_at + (ring_seconds + hold.granted) * 1000000
  hold.expires_at = hold.valid_until + grace_seconds * 1000000
  hold.revision = math.max(NOW, hold.revision + 1)
end
