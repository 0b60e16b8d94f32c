-- The beginning of the reference scripts: every function, in one part.

local WALLET, HOLDS, EXPIRIES = KEYS[1], KEYS[2], KEYS[3]
local PROJECTED, LOADING = KEYS[8], KEYS[9]

local WALLET_LIFE_SECONDS = 345600
local SETTLED_BUCKET_SECONDS = 43200
local SETTLED_LIFE_SECONDS = 86400

local function whole(value, what)
  local number = tonumber(value)
  if number and number % 1 == 0 and number > -9007199254740992 and number < 9007199254740992 then
    return number
  end
  error(what .. ' is no whole number below 2^53')
end

local function digits(number) return string.format('%.0f', number) end

local EPOCH, INCARNATION = ARGV[1], whole(ARGV[2], 'incarnation')
local OFFSET = whole(ARGV[3], 'offset')
local CLOCK = redis.call('TIME')
local NOW = whole(CLOCK[1] * 1000000 + CLOCK[2] + OFFSET, 'the time')

local function list_from(position)
  local count = whole(ARGV[position], 'a count')
  local list = {}
  for index = 1, count do list[index] = ARGV[position + index] end
  return list, position + count + 1
end

local function bucket_of_now()
  local now_seconds = (NOW - NOW % 1000000) / 1000000
  return (now_seconds - now_seconds % SETTLED_BUCKET_SECONDS) / SETTLED_BUCKET_SECONDS
end

local function bucket_ends_at(bucket)
  return ((bucket + 1) * SETTLED_BUCKET_SECONDS + SETTLED_LIFE_SECONDS) * 1000000
end

local function lacks_a_bucket(noted)
  local keys = {}
  for index = 1, 4 do
    -- One that ends within a second may be gone already by Redis's own clock.
    if noted[index] and bucket_ends_at(whole(noted[index], 'a bucket')) > NOW + 1000000 then
      keys[#keys + 1] = KEYS[3 + index]
    end
  end
  return #keys > 0 and redis.call('EXISTS', unpack(keys)) < #keys
end

local function read_wallet(cycle)
  local fields = redis.call('HMGET', WALLET, 'epoch', 'incarnation', 'version', 'charge_sequence',
    'balance', 'credit_limit', 'status', 'calls_max', 'terms', 'held', 'holds', 'account',
    'u:' .. (cycle or '-'), 'a:' .. (cycle or '-'), 'unsure', 't:0', 't:1', 't:2', 't:3',
    'budget')
  if not fields[1] then return nil, 'absent' end
  if fields[1] ~= EPOCH then return nil, 'epoch' end
  local wallet = {
    incarnation = whole(fields[2], 'incarnation'),
    version = whole(fields[3], 'version'),
    charge_sequence = whole(fields[4], 'charge_sequence'),
    balance = whole(fields[5], 'balance'),
    credit_limit = whole(fields[6], 'credit_limit'),
    status = fields[7],
    calls_max = fields[8],
    terms = fields[9],
    held = whole(fields[10], 'held'),
    holds = whole(fields[11], 'holds'),
    account = whole(fields[12], 'account'),
    used = whole(fields[13] or 0, 'used'),
    cycle = cycle or '-',
    cycles = { [cycle or '-'] = whole(fields[14] or 0, 'held allowance') },
    unsure = fields[15],
    budget = fields[20],
  }
  if lacks_a_bucket({ fields[16], fields[17], fields[18], fields[19] }) then return nil, 'torn' end
  if redis.call('HLEN', HOLDS) ~= wallet.holds or redis.call('ZCARD', EXPIRIES) ~= wallet.holds then
    return nil, 'torn'
  end
  return wallet
end

local function held_allowance(wallet, cycle)
  if not wallet.cycles[cycle] then
    wallet.cycles[cycle] = whole(redis.call('HGET', WALLET, 'a:' .. cycle) or 0, 'held allowance')
  end
  return wallet.cycles[cycle]
end

local function write_sums(wallet)
  assert(wallet.held >= 0 and wallet.holds >= 0, 'more was released than was held')
  redis.call('HSET', WALLET, 'held', whole(wallet.held, 'held'), 'holds', wallet.holds)
  for cycle, seconds in pairs(wallet.cycles) do
    assert(seconds >= 0, 'more allowance was released than was held')
    if seconds > 0 then
      redis.call('HSET', WALLET, 'a:' .. cycle, whole(seconds, 'held allowance'))
    elseif cycle ~= '-' then
      redis.call('HDEL', WALLET, 'a:' .. cycle)
    end
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

local function pack_hold(hold)
  return table.concat({
    digits(hold.revision), digits(hold.granted), hold.final, digits(hold.held),
    digits(hold.allowance), hold.cycle, digits(hold.included), digits(hold.rate),
    digits(hold.initial), digits(hold.increment), hold.block, digits(hold.placed_at),
    digits(hold.valid_until), digits(hold.expires_at), hold.source, hold.operation,
  }, ' ')
end

local function write_hold(call_sid, hold)
  local packed = pack_hold(hold)
  redis.call('HSET', HOLDS, call_sid, packed)
  redis.call('ZADD', EXPIRIES, hold.expires_at, call_sid)
  return packed
end

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

local function expire_due(wallet, most)
  if wallet.holds == 0 then return 0 end
  local due = redis.call('ZRANGEBYSCORE', EXPIRIES, '-inf', NOW, 'LIMIT', 0, most)
  for _, call_sid in ipairs(due) do
    release(wallet, call_sid, assert(redis.call('HGET', HOLDS, call_sid), 'an expiry without hold'))
  end
  if #due > 0 then
    write_sums(wallet)
    redis.call('HINCRBY', WALLET, 'expired', #due)
  end
  return #due
end

local function remember_settled(call_sids)
  if #call_sids == 0 then return end
  local bucket = bucket_of_now()
  local key, field = KEYS[4 + bucket % 4], 't:' .. digits(bucket % 4)
  local noted = redis.call('HGET', WALLET, field)
  if noted ~= digits(bucket) then
    if redis.call('HEXISTS', WALLET, 'epoch') == 1 then
      redis.call('HSET', WALLET, field, digits(bucket))
    end
  elseif redis.call('EXISTS', key) == 0 then
    -- Evicted, and about to look complete again: the wallet must not be used any more.
    redis.call('HDEL', WALLET, 'epoch')
  end
  for first = 1, #call_sids, 1000 do
    redis.call('SADD', key, unpack(call_sids, first, math.min(first + 999, #call_sids)))
  end
  redis.call('PEXPIREAT', key, bucket_ends_at(bucket) / 1000 - (OFFSET - OFFSET % 1000) / 1000)
end

local function note_buckets()
  local now = bucket_of_now()
  for bucket = now - 3, now do
    if redis.call('EXISTS', KEYS[4 + bucket % 4]) == 1 then
      redis.call('HSET', WALLET, 't:' .. digits(bucket % 4), digits(bucket))
    end
  end
end

local function is_settled(call_sid)
  for index = 4, 7 do
    if redis.call('SISMEMBER', KEYS[index], call_sid) == 1 then return true end
  end
  return false
end

local function write_cycles(pairs_of_used)
  for index = 1, #pairs_of_used, 2 do
    redis.call('HSET', WALLET, 'u:' .. pairs_of_used[index],
      whole(pairs_of_used[index + 1], 'used seconds'))
  end
end

local function projected_version()
  local projected = redis.call('GET', PROJECTED)
  if not projected then return 0 end
  local epoch, incarnation, version = string.match(projected, '^(%S+) (%d+) (%d+)$')
  if epoch ~= EPOCH or whole(incarnation, 'incarnation') ~= INCARNATION then return 0 end
  return whole(version, 'version')
end

local function remember_projected(version)
  if version > projected_version() then
    local words = { EPOCH, digits(INCARNATION), digits(version) }
    redis.call('SET', PROJECTED, table.concat(words, ' '), 'EX', 60)
  end
end
