-- The wallet and its holds.

-- The wallet of this epoch, or nil and why it is unknown. `cycle` and `twilio_sid` may be nil.
local function read_wallet(cycle, twilio_sid)
  cycle = cycle or '-'
  local fields = redis.call('HMGET', WALLET, 'epoch', 'incarnation', 'version', 'charge_sequence',
    'balance', 'credit_limit', 'status', 'calls_max', 'terms', 'held', 'holds', 'account',
    'u:' .. cycle, 'a:' .. cycle, 'unsure', 't:0', 't:1', 't:2', 't:3', 's:' .. (twilio_sid or ''),
    'budget')
  if not fields[1] then return nil, 'absent' end
  if fields[1] ~= EPOCH then return nil, 'epoch' end
  local holds = fields[11] + 0
  if lacks_a_bucket(fields, 15) or redis.call('HLEN', HOLDS) ~= holds
    or redis.call('ZCARD', EXPIRIES) ~= holds then
    return nil, 'torn'
  end
  return {
    incarnation = fields[2] + 0,
    version = fields[3] + 0,
    charge_sequence = fields[4] + 0,
    balance = whole(fields[5], 'balance'),
    credit_limit = whole(fields[6], 'credit_limit'),
    status = fields[7],
    calls_max = fields[8],
    terms = fields[9],
    held = whole(fields[10], 'held'),
    holds = holds,
    account = fields[12] + 0,
    used = whole(fields[13] or 0, 'used'),
    cycles = { [cycle] = whole(fields[14] or 0, 'held allowance') },
    unsure = fields[15],
    has_sid = fields[20] ~= false,
    budget = fields[21],
    fields = fields,
  }
end

-- Seconds of a cycle's allowance that are held.
local function held_allowance(wallet, cycle)
  if not wallet.cycles[cycle] then
    wallet.cycles[cycle] = whole(redis.call('HGET', WALLET, 'a:' .. cycle) or 0, 'held allowance')
  end
  return wallet.cycles[cycle]
end

-- Writes the sums over the holds; the caller has changed the holds themselves.
local function write_sums(wallet)
  assert(wallet.held >= 0 and wallet.holds >= 0, 'more was released than was held')
  -- Mostly there is one cycle with held seconds, which goes with the others into one command.
  local field, held
  for cycle, seconds in pairs(wallet.cycles) do
    assert(seconds >= 0, 'more allowance was released than was held')
    if seconds > 0 then
      if field then redis.call('HSET', WALLET, field, held) end
      field, held = 'a:' .. cycle, digits(whole(seconds, 'held allowance'))
    elseif cycle ~= '-' then
      redis.call('HDEL', WALLET, 'a:' .. cycle)
    end
  end
  local money, holds = digits(whole(wallet.held, 'held')), digits(wallet.holds)
  if field then
    redis.call('HSET', WALLET, 'held', money, 'holds', holds, field, held)
  else
    redis.call('HSET', WALLET, 'held', money, 'holds', holds)
  end
end

local function unpack_hold(packed)
  local word = {}
  for part in string.gmatch(packed, '%S+') do word[#word + 1] = part end
  assert(#word == 16, 'a hold is not of 16 words')
  return {
    revision = whole(word[1], 'revision'), granted = whole(word[2], 'granted'), final = word[3],
    held = whole(word[4], 'held'), allowance = whole(word[5], 'allowance'), cycle = word[6],
    included = whole(word[7], 'included'), rate = whole(word[8], 'rate'),
    initial = whole(word[9], 'initial'), increment = whole(word[10], 'increment'),
    block = word[11], placed_at = whole(word[12], 'placed_at'),
    valid_until = whole(word[13], 'valid_until'), expires_at = whole(word[14], 'expires_at'),
    source = word[15], operation = word[16],
  }
end

-- The form of a packed hold. Whole numbers below 2^53 are exact as %d, and written twice as fast.
local PACKED = '%d %d %s %d %d %s %d %d %d %d %s %d %d %d %s %s'

local function pack_hold(hold)
  return string.format(PACKED, hold.revision, hold.granted, hold.final, hold.held, hold.allowance,
    hold.cycle, hold.included, hold.rate, hold.initial, hold.increment, hold.block, hold.placed_at,
    hold.valid_until, hold.expires_at, hold.source, hold.operation)
end

local function write_hold(call_sid, hold)
  local packed = pack_hold(hold)
  redis.call('HSET', HOLDS, call_sid, packed)
  redis.call('ZADD', EXPIRIES, digits(hold.expires_at), call_sid)
  return packed
end

-- Takes a hold out of the account and its amounts out of the wallet's sums, which the caller writes.
local function release(wallet, call_sid, packed)
  local hold = unpack_hold(packed)
  local allowance = held_allowance(wallet, hold.cycle)
  redis.call('HDEL', HOLDS, call_sid)
  redis.call('ZREM', EXPIRIES, call_sid)
  wallet.held = wallet.held - hold.held
  wallet.holds = wallet.holds - 1
  wallet.cycles[hold.cycle] = allowance - hold.allowance
  return hold
end

-- Releases up to `most` holds that are due; returns how many. The wallet counts them until the patrol
-- adds them to the metric.
local function expire_due(wallet, most)
  if wallet.holds == 0 then return 0 end
  local due = redis.call('ZRANGEBYSCORE', EXPIRIES, '-inf', digits(NOW), 'LIMIT', '0', digits(most))
  if #due == 0 then return 0 end
  for _, call_sid in ipairs(due) do
    release(wallet, call_sid, assert(redis.call('HGET', HOLDS, call_sid), 'an expiry without hold'))
  end
  write_sums(wallet)
  redis.call('HINCRBY', WALLET, 'expired', #due)
  return #due
end
