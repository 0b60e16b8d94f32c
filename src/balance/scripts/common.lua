-- Beginning of every script: the keys, the units, the clock, and the ended calls.
--
-- KEYS, all in one cluster slot by their hash tag {account id}:
--   1 wallet     hash: the projected wallet, and the sums over its holds
--   2 holds      hash: CallSid -> packed hold
--   3 expiries   zset: CallSid by the time at which its hold expires
--   4-7 settled  sets: a ring of four, twelve hours each, of the CallSids of ended calls
--   8 projected  string "epoch incarnation version": the newest projection that found no wallet
--   9 loading    string "epoch ticket": a load was announced, and Redis has lost nothing since
-- ARGV of every script:
--   1 epoch        run_id of the Redis server, as the caller's connection learned it
--   2 incarnation  of the ledger, as the caller last read it
--   3 offset       micro-seconds added to Redis's clock; 0 in production
--
-- Units: money in micro-dollars, lengths in seconds, times in micro-seconds since 1970. All are
-- whole and below 2^53, up to which a Lua number (a double) is exact.
--
-- A packed hold is 16 words: revision granted final held allowance cycle included rate initial
-- increment block placed_at valid_until expires_at source operation. `cycle` is
-- "subscription:start", or "-" without a plan; `source` is "authorize" or "stream". The operation
-- "fail_open" marks a hold that was granted while Redis was away.
--
-- The wallet notes which buckets of the ring it has ("t:0" to "t:3"). If one was evicted, ended calls
-- would look like new ones, so the wallet is torn then. While not all ended calls are back after a
-- loss, "unsure" says how far back they were read, in words that only the loader reads. "quiet_until"
-- is a time before which no hold is due; without it the next place looks.

-- Redis makes a script's functions anew at each call, whether they are used or not, and writes each
-- number that a command gets with 17 digits. So the functions are in parts, of which a script has those
-- that it uses, and numbers go to commands as text where calls are frequent.

local WALLET, HOLDS, EXPIRIES = KEYS[1], KEYS[2], KEYS[3]
local PROJECTED, LOADING = KEYS[8], KEYS[9]

-- An idle wallet leaves Redis after four days. Its life begins anew whenever a place looked for holds that
-- are due, so at least once in the life of a hold, which is 37 hours at most.
local WALLET_LIFE_SECONDS = '345600'
local BUCKET_MICROS = 43200000000
local SETTLED_LIFE_MICROS = 86400000000

local function whole(value, what)
  local number = value and value + 0
  if number and number % 1 == 0 and number > -9007199254740992 and number < 9007199254740992 then
    return number
  end
  error(what .. ' is no whole number below 2^53')
end

local function digits(number) return string.format('%d', number) end

local EPOCH, INCARNATION = ARGV[1], whole(ARGV[2], 'incarnation')
local OFFSET = whole(ARGV[3], 'offset')
local CLOCK = redis.call('TIME')
local NOW = CLOCK[1] * 1000000 + CLOCK[2] + OFFSET

-- The buckets are noted in the fields after the first five that `read_wallet` reads.
local BEFORE_BUCKETS = 5

-- Whether a bucket of the ring is gone before its time.
local function lacks_a_bucket(fields)
  -- One that ends within a second may be gone already by Redis's own clock.
  local keys, ended = {}, NOW + 1000000 - BUCKET_MICROS - SETTLED_LIFE_MICROS
  for index = 1, 4 do
    local noted = fields[BEFORE_BUCKETS + index]
    if noted and noted * BUCKET_MICROS > ended then keys[#keys + 1] = KEYS[3 + index] end
  end
  return #keys > 0 and redis.call('EXISTS', unpack(keys)) < #keys
end

-- Whether a call has ended. A wallet that was read has all buckets that it notes, and no others.
local function is_settled(call_sid, wallet)
  for index = 1, 4 do
    if (not wallet or wallet.fields[BEFORE_BUCKETS + index])
      and redis.call('SISMEMBER', KEYS[3 + index], call_sid) == 1 then
      return true
    end
  end
  return false
end
