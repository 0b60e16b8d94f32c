-- What the ledger brings: lists of arguments, ended calls, used seconds, and versions.

-- Arguments that come in lists: a count, then its members.
local function list_from(position)
  local count = whole(ARGV[position], 'a count')
  local list = {}
  for index = 1, count do list[index] = ARGV[position + index] end
  return list, position + count + 1
end

-- The bucket of the ring that is filled now, and the time at which a bucket is forgotten.
local function bucket_of_now() return (NOW - NOW % BUCKET_MICROS) / BUCKET_MICROS end

local function bucket_ends_at(bucket) return (bucket + 1) * BUCKET_MICROS + SETTLED_LIFE_MICROS end

local function add_settled(key, call_sids)
  for first = 1, #call_sids, 1000 do
    redis.call('SADD', key, unpack(call_sids, first, math.min(first + 999, #call_sids)))
  end
end

-- Remembers ended calls for at least a day. The wallet, if it was read, has all buckets it notes.
local function remember_settled(call_sids, wallet)
  if #call_sids == 0 then return end
  local bucket = bucket_of_now()
  local key, field = KEYS[4 + bucket % 4], 't:' .. digits(bucket % 4)
  if wallet and wallet.fields[BEFORE_BUCKETS + 1 + bucket % 4] == digits(bucket) then
    add_settled(key, call_sids)
    return
  end
  local noted = redis.call('HGET', WALLET, field)
  if noted ~= digits(bucket) then
    if redis.call('HEXISTS', WALLET, 'epoch') == 1 then
      redis.call('HSET', WALLET, field, digits(bucket))
    end
  elseif redis.call('EXISTS', key) == 0 then
    -- Evicted, and about to look complete again: the wallet must not be used any more.
    redis.call('HDEL', WALLET, 'epoch')
  end
  add_settled(key, call_sids)
  redis.call('PEXPIREAT', key, bucket_ends_at(bucket) / 1000 - (OFFSET - OFFSET % 1000) / 1000)
end

-- Notes in a wallet that was just loaded which buckets of the ring exist.
local function note_buckets()
  local now = bucket_of_now()
  for bucket = now - 3, now do
    if redis.call('EXISTS', KEYS[4 + bucket % 4]) == 1 then
      redis.call('HSET', WALLET, 't:' .. digits(bucket % 4), digits(bucket))
    end
  end
end

local function write_cycles(pairs_of_used)
  for index = 1, #pairs_of_used, 2 do
    redis.call('HSET', WALLET, 'u:' .. pairs_of_used[index],
      whole(pairs_of_used[index + 1], 'used seconds'))
  end
end

-- The newest version of this incarnation whose projection found no wallet, or 0.
local function projected_version()
  local projected = redis.call('GET', PROJECTED)
  if not projected then return 0 end
  local epoch, incarnation, version = string.match(projected, '^(%S+) (%d+) (%d+)$')
  if epoch ~= EPOCH or whole(incarnation, 'incarnation') ~= INCARNATION then return 0 end
  return whole(version, 'version')
end

-- Kept for a minute: no load takes that long from reading the ledger to this script.
local function remember_projected(version)
  if version > projected_version() then
    local words = { EPOCH, digits(INCARNATION), digits(version) }
    redis.call('SET', PROJECTED, table.concat(words, ' '), 'EX', 60)
  end
end
