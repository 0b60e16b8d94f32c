-- Writes a hold as a whole, where one is brought back or changed.

-- The form of a packed hold. Whole numbers below 2^53 are exact as %d, and written twice as fast.
local PACKED = '%d %d %s %d %d %s %d %d %d %d %s %d %d %d %s %s'

local function pack_hold(hold)
  return string.format(PACKED, hold.revision, hold.granted, hold.final, hold.held, hold.allowance,
    hold.cycle, hold.included, hold.rate, hold.initial, hold.increment, hold.block, hold.placed_at,
    hold.valid_until, hold.expires_at, hold.source, hold.operation)
end

-- Writes a hold into an account. If it is due before `quiet_until`, the wallet is not quiet any more.
local function write_hold(call_sid, hold, quiet_until)
  local packed = pack_hold(hold)
  redis.call('HSET', HOLDS, call_sid, packed)
  redis.call('ZADD', EXPIRIES, digits(hold.expires_at), call_sid)
  if hold.expires_at < quiet_until then redis.call('HDEL', WALLET, 'quiet_until') end
  return packed
end
