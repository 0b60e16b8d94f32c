-- The wallet and its holds.

-- The wallet of this epoch with the sums over its holds, and the list of its fields; or nil and why it is
-- unknown. `...` names the other fields that the script needs: they are number 10 and up of the list.
local function read_wallet(...)
  local fields = redis.call('HMGET', WALLET, 'epoch', 'incarnation', 'held', 'holds', 'quiet_until',
    't:0', 't:1', 't:2', 't:3', ...)
  if not fields[1] then return nil, 'absent' end
  if fields[1] ~= EPOCH then return nil, 'epoch' end
  local holds, quiet_until = fields[4] + 0, (fields[5] or 0) + 0
  -- Lost expiries harm nothing before one of them is due, and are found out then.
  if lacks_a_bucket(fields) or redis.call('HLEN', HOLDS) ~= holds
    or quiet_until <= NOW and redis.call('ZCARD', EXPIRIES) ~= holds then
    return nil, 'torn'
  end
  return {
    incarnation = fields[2] + 0,
    held = whole(fields[3], 'held'),
    holds = holds,
    quiet_until = quiet_until,
    cycles = {},
    fields = fields,
  }, fields
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

-- Notes that no hold is due before then. Every use of a wallet comes here now and then, so it lives on.
local function be_quiet(wallet, until_micros)
  wallet.quiet_until = until_micros
  redis.call('HSET', WALLET, 'quiet_until', digits(until_micros))
  redis.call('EXPIRE', WALLET, WALLET_LIFE_SECONDS)
end

-- Releases up to `most` holds that are due; returns how many. The wallet counts them until the patrol
-- adds them to the metric.
local function expire_due(wallet, most)
  if wallet.holds == 0 then return 0 end
  local due = redis.call('ZRANGEBYSCORE', EXPIRIES, '-inf', digits(NOW), 'LIMIT', '0', digits(most))
  for _, call_sid in ipairs(due) do
    release(wallet, call_sid, assert(redis.call('HGET', HOLDS, call_sid), 'an expiry without hold'))
  end
  if #due > 0 then
    write_sums(wallet)
    redis.call('HINCRBY', WALLET, 'expired', #due)
  end
  if #due < most and wallet.holds > 0 and wallet.quiet_until <= NOW then
    be_quiet(wallet, redis.call('ZRANGE', EXPIRIES, '0', '0', 'WITHSCORES')[2] + 0)
  end
  return #due
end
