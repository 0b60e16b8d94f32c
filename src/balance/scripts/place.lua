-- place: reserves allowance and money for a call, or says why not.
--
-- KEYS 1-9, ARGV 1-3: see common.lua. Then
--   4 operation   id of this request, without spaces
--   5 call_sid
--   6 source      authorize: may be refused; stream: the call is in progress, so it takes what is
--                 left, even nothing, and is never refused for lack of money
--   7 revision    of the account's document that the terms were computed from
--   8 twilio_sid  AccountSid by which the caller found this account; '' if by its id
--   9 terms       six words, as a packed hold has them: cycle included rate initial increment block
--  10 request     seven words: asked cap ring grace, seconds; expire_max, holds;
--                 refused, 1: the destination is blocked;
--                 is_new, 1: the caller knows from the ledger and the journal that the call has not ended
-- There are no KEYS 8 and 9.
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

local WORDS_OF_TERMS = '^(%S+) (%d+) (%d+) (%d+) (%d+) ([01])$'
local WORDS_OF_REQUEST = '^(%d+) (%d+) (%d+) (%d+) (%d+) ([01]) ([01])$'

local operation, call_sid, source, terms = ARGV[4], ARGV[5], ARGV[6], ARGV[9]
local cycle, included, rate, initial, increment, block = string.match(terms, WORDS_OF_TERMS)
local asked, cap, ring, grace, expire_max, refused, is_new = string.match(ARGV[10], WORDS_OF_REQUEST)
included, rate, initial, increment = included + 0, rate + 0, initial + 0, increment + 0
asked, cap, expire_max = asked + 0, cap + 0, expire_max + 0

local wallet, fields = read_wallet('account', 'terms', 'status', 'calls_max', 'unsure', 'balance',
  'credit_limit', 'budget', 'u:' .. cycle, 'a:' .. cycle, 's:' .. ARGV[8])
if not wallet then return { 'unknown', fields } end
if wallet.incarnation < INCARNATION then return { 'unknown', 'incarnation' } end
if ARGV[8] ~= '' and not fields[20] then return { 'unknown', 'moved' } end
local account, revision_now, status, calls_max = fields[10] + 0, fields[11], fields[12], fields[13]
local unsure, budget_words = fields[14], fields[17]
local available = whole(fields[15], 'balance') + whole(fields[16], 'credit_limit')
local unused = included - whole(fields[18] or 0, 'used')
wallet.cycles[cycle] = whole(fields[19] or 0, 'held allowance')

if wallet.quiet_until <= NOW then expire_due(wallet, expire_max) end

local packed = redis.call('HGET', HOLDS, call_sid)
local standing = packed and unpack_hold(packed)
if standing and standing.expires_at <= NOW then
  release(wallet, call_sid, packed)
  write_sums(wallet)
  redis.call('HINCRBY', WALLET, 'expired', 1)
  standing = nil
end
if standing and (standing.source == 'authorize' or source == 'stream') then
  return { 'held', 0, packed, account }
end
if is_settled(call_sid, wallet) then return { 'denied', 'call_already_settled', 0, account } end
if source == 'authorize' then
  if status ~= 'open' then return { 'denied', 'account_closed', 0, account } end
  if not standing and calls_max ~= '' and wallet.holds >= calls_max + 0 then
    return { 'denied', 'too_many_calls', 0, account }
  end
end
if revision_now ~= ARGV[7] then
  return { 'stale', revision_now, redis.call('HGET', WALLET, 'document') }
end
if unsure and not standing and is_new ~= '1' then return { 'unsure' } end
if source == 'authorize' and refused == '1' then
  return { 'denied', 'destination_blocked', 0, account }
end

-- The stream's hold of this call is given back; the call is in progress, so it keeps it if refused.
local granted, shortfall, is_over_budget
for attempt = 1, 2 do
  local left = unused - wallet.cycles[cycle]
  local held = wallet.held
  if standing then
    held = held - standing.held
    if standing.cycle == cycle then left = left + standing.allowance end
  end
  local money = whole(available - held, 'available')
  local budget = source == 'authorize' and budget_left(budget_words, held) or nil
  granted, shortfall, is_over_budget = grant(math.max(0, left), money, budget, rate, initial,
    increment, block == '1', asked, cap)
  local is_short = not granted or granted.granted < math.min(asked, cap)
  -- More holds may be due than were released above.
  if attempt == 2 or not is_short or expire_due(wallet, expire_max * 16) == 0 then break end
end
if not granted and source == 'authorize' then
  local reason = is_over_budget and 'budget_exceeded'
    or block == '1' and 'allowance_exhausted' or 'insufficient_funds'
  return { 'denied', reason, whole(shortfall, 'shortfall'), account }
end
granted = granted or { granted = 0, final = '1', held = 0, allowance = 0 }

local revision = NOW
if standing then
  revision = math.max(NOW, standing.revision + 1)
  release(wallet, call_sid, packed)
end
-- A hold lives for ring time + granted time + grace.
local valid_until = NOW + (ring + granted.granted) * 1000000
local expires_at = valid_until + grace * 1000000
-- As `write_hold`, but the terms are words already.
packed = string.format('%d %d %s %d %d %s %d %d %d %s %s', revision, granted.granted, granted.final,
  granted.held, granted.allowance, terms, NOW, valid_until, expires_at, source, operation)
if expires_at < wallet.quiet_until or wallet.holds == 0 and wallet.quiet_until <= NOW then
  be_quiet(wallet, expires_at)
end
redis.call('HSET', HOLDS, call_sid, packed)
redis.call('ZADD', EXPIRIES, digits(expires_at), call_sid)
wallet.held, wallet.holds = wallet.held + granted.held, wallet.holds + 1
wallet.cycles[cycle] = wallet.cycles[cycle] + granted.allowance
write_sums(wallet)
return { 'held', 1, packed, account }
