-- place: reserves allowance and money for a call, or says why not.
--
-- KEYS 1-9, ARGV 1-3: see common.lua. Then
--   4 operation   id of this request, without spaces
--   5 call_sid
--   6 source      authorize: may be refused; stream: the call is in progress, so it takes what is
--                 left, even nothing, and is never refused for lack of money
--   7 terms       revision of the account's document that the terms were computed from
--   8 twilio_sid  AccountSid by which the caller found this account; '' if by its id
--   9 cycle       subscription:start, or -        10 included     seconds of that cycle
--  11 rate        micro-dollars a minute          12 initial      13 increment, seconds
--  14 block       1: nothing beyond the allowance  15 refused      1: the destination is blocked
--  16 asked       17 cap    18 ring    19 grace, seconds          20 expire_max, holds
--  21 is_new      1: the caller knows from the ledger and the journal that the call has not ended
--
-- Reply, one of
--   {held, 1 placed or 0 as before, packed hold, account key}
--   {denied, reason, shortfall in micro-dollars, account key}
--   {stale, revision, document}   the terms are from another document: compute them again
--   {unsure}                      not all ended calls are in Redis: look this one up in Postgres
--   {unknown, why}                the wallet must be loaded first
--
-- Worked example: balance 10000, no plan, 60/60 at 14000: not even a minute can be paid:
--   {denied, insufficient_funds, 4000, key}. With balance 30000 and asked 300: a hold of 120 s at
--   28000, final; each repeated request returns {held, 0, the same}. With 20000 left of the budget: 60 s
--   at 14000, and the next call: {denied, budget_exceeded, 0, key}.
--
-- A hold of the stream is decided again when a caller first authorizes the call. The budget does not
-- cut it: its call is in progress, and will be charged.
-- An expired hold never counts for its own call, even before it is released.

local operation, call_sid, source, cycle = ARGV[4], ARGV[5], ARGV[6], ARGV[9]
local included, rate, initial, increment = ARGV[10] + 0, ARGV[11] + 0, ARGV[12] + 0, ARGV[13] + 0
local asked, cap, expire_max = ARGV[16] + 0, ARGV[17] + 0, ARGV[20] + 0

local wallet, why = read_wallet(cycle, ARGV[8])
if not wallet then return { 'unknown', why } end
if wallet.incarnation < INCARNATION then return { 'unknown', 'incarnation' } end
if ARGV[8] ~= '' and not wallet.has_sid then return { 'unknown', 'moved' } end

expire_due(wallet, expire_max)

local packed = redis.call('HGET', HOLDS, call_sid)
local standing = packed and unpack_hold(packed)
if standing and standing.expires_at <= NOW then
  release(wallet, call_sid, packed)
  write_sums(wallet)
  redis.call('HINCRBY', WALLET, 'expired', 1)
  standing = nil
end
if standing and (standing.source == 'authorize' or source == 'stream') then
  return { 'held', 0, packed, wallet.account }
end
if is_settled(call_sid) then return { 'denied', 'call_already_settled', 0, wallet.account } end
if source == 'authorize' then
  if wallet.status ~= 'open' then return { 'denied', 'account_closed', 0, wallet.account } end
  if not standing and wallet.calls_max ~= '' and wallet.holds >= wallet.calls_max + 0 then
    return { 'denied', 'too_many_calls', 0, wallet.account }
  end
end
if wallet.terms ~= ARGV[7] then
  return { 'stale', wallet.terms, redis.call('HGET', WALLET, 'document') }
end
if wallet.unsure and not standing and ARGV[21] ~= '1' then return { 'unsure' } end
if source == 'authorize' and ARGV[15] == '1' then
  return { 'denied', 'destination_blocked', 0, wallet.account }
end

-- The stream's hold of this call is given back; the call is in progress, so it keeps it if refused.
local granted, shortfall, is_over_budget
for attempt = 1, 2 do
  local left = included - wallet.used - wallet.cycles[cycle]
  local held = wallet.held
  if standing then
    held = held - standing.held
    if standing.cycle == cycle then left = left + standing.allowance end
  end
  local money = whole(wallet.balance + wallet.credit_limit - held, 'available')
  local budget = source == 'authorize' and budget_left(wallet.budget, held) or nil
  granted, shortfall, is_over_budget = grant(math.max(0, left), money, budget, rate, initial,
    increment, ARGV[14] == '1', asked, cap)
  local is_short = not granted or granted.granted < math.min(asked, cap)
  -- More holds may be due than were released above.
  if attempt == 2 or not is_short or expire_due(wallet, expire_max * 16) == 0 then break end
end
if not granted and source == 'authorize' then
  local reason = is_over_budget and 'budget_exceeded'
    or ARGV[14] == '1' and 'allowance_exhausted' or 'insufficient_funds'
  return { 'denied', reason, whole(shortfall, 'shortfall'), wallet.account }
end
granted = granted or { granted = 0, final = '1', held = 0, allowance = 0 }

local revision = NOW
if standing then
  revision = math.max(NOW, standing.revision + 1)
  release(wallet, call_sid, packed)
end
-- A hold lives for ring time + granted time + grace.
local valid_until = NOW + (ARGV[18] + granted.granted) * 1000000
local expires_at = valid_until + ARGV[19] * 1000000
packed = string.format(PACKED, revision, granted.granted, granted.final, granted.held,
  granted.allowance, cycle, included, rate, initial, increment, ARGV[14], NOW, valid_until,
  expires_at, source, operation)
redis.call('HSET', HOLDS, call_sid, packed)
redis.call('ZADD', EXPIRIES, digits(expires_at), call_sid)
wallet.held, wallet.holds = wallet.held + granted.held, wallet.holds + 1
wallet.cycles[cycle] = wallet.cycles[cycle] + granted.allowance
write_sums(wallet)
redis.call('EXPIRE', WALLET, WALLET_LIFE_SECONDS)
return { 'held', 1, packed, wallet.account }
