-- place, written plainly. place.lua must answer and change the same.

local operation, call_sid, source = ARGV[4], ARGV[5], ARGV[6]
local function words(text)
  local list = {}
  for word in string.gmatch(text, '%S+') do list[#list + 1] = word end
  return list
end
local terms, request = words(ARGV[9]), words(ARGV[10])
assert(#terms == 6 and #request == 7)
local asked, cap = whole(request[1], 'asked'), whole(request[2], 'cap')
local ring, grace = whole(request[3], 'ring'), whole(request[4], 'grace')
local expire_max = whole(request[5], 'expire_max')
local is_refused, is_new = request[6] == '1', request[7] == '1'
local fresh = {
  revision = 0, granted = 0, final = '0', held = 0, allowance = 0, cycle = terms[1],
  included = whole(terms[2], 'included'), rate = whole(terms[3], 'rate'),
  initial = whole(terms[4], 'initial'), increment = whole(terms[5], 'increment'),
  block = terms[6], placed_at = NOW, valid_until = NOW, expires_at = NOW,
  source = source, operation = operation,
}

local wallet, why = read_wallet(fresh.cycle)
local function denied(reason, shortfall)
  return { 'denied', reason, shortfall, wallet.account }
end
if not wallet then return { 'unknown', why } end
if wallet.incarnation < INCARNATION then return { 'unknown', 'incarnation' } end
if ARGV[8] ~= '' and redis.call('HEXISTS', WALLET, 's:' .. ARGV[8]) == 0 then
  return { 'unknown', 'moved' }
end

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
if is_settled(call_sid) then return denied('call_already_settled', 0) end
if source == 'authorize' then
  if wallet.status ~= 'open' then return denied('account_closed', 0) end
  if not standing and wallet.calls_max ~= '' and wallet.holds >= whole(wallet.calls_max, 'calls_max') then
    return denied('too_many_calls', 0)
  end
end
if wallet.terms ~= ARGV[7] then
  return { 'stale', wallet.terms, redis.call('HGET', WALLET, 'document') }
end
if wallet.unsure and not standing and not is_new then return { 'unsure' } end
if source == 'authorize' and is_refused then return denied('destination_blocked', 0) end

if standing then
  fresh.revision = standing.revision
  release(wallet, call_sid, packed)
end
local refusal = fresh.block == '1' and 'allowance_exhausted' or 'insufficient_funds'
-- By the money, then by the budget: returns the grant, or nil, the shortfall and the reason.
local function decide()
  local left = source == 'authorize' and left_of_budget(wallet)
  if left and left <= 0 then return nil, 0, 'budget_exceeded' end
  local granted, shortfall = grant_for(wallet, fresh, asked, cap)
  if not granted then return nil, shortfall, refusal end
  if not left then return granted end
  granted = grant_for(wallet, fresh, asked, cap, left)
  if not granted then return nil, 0, 'budget_exceeded' end
  return granted
end
local granted, shortfall, reason = decide()
local is_short = not granted or granted.granted < math.min(asked, cap)
if is_short and expire_due(wallet, expire_max * 16) > 0 then
  granted, shortfall, reason = decide()
end
if not granted and source == 'authorize' then
  if standing then
    -- Refused, but in progress: the stream's hold stays as it was.
    wallet.held, wallet.holds = wallet.held + standing.held, wallet.holds + 1
    wallet.cycles[standing.cycle] = held_allowance(wallet, standing.cycle) + standing.allowance
    write_hold(call_sid, standing)
    write_sums(wallet)
  end
  return denied(reason, whole(shortfall, 'shortfall'))
end

take(wallet, fresh, granted or { granted = 0, final = '1', held = 0, allowance = 0 }, ring, grace)
wallet.holds = wallet.holds + 1
packed = write_hold(call_sid, fresh)
write_sums(wallet)
redis.call('EXPIRE', WALLET, WALLET_LIFE_SECONDS)
return { 'held', 1, packed, wallet.account }
