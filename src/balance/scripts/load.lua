-- load: writes an account to Redis, from the ledger and the journal of holds.
--
-- KEYS 1-9, ARGV 1-3: see common.lua. Then
--   4 version   5 charge_sequence   6 balance   7 credit_limit   8 status   9 calls_max, '' for none
--  10 terms    11 document         12 account key        13 ticket that announce returned
--  14 unsure   how far back ended calls were read, '' if all of them were
--  15 budget   of calls that it stops: "left monthly ends", '' for none
--   then four lists, each a count and its members:
--   cycle, used seconds, ...; AccountSids; CallSid, packed hold, ...; CallSids of ended calls
--
-- Reply, one of
--   {loaded, holds}
--   {current, version}                the account is in Redis, as new or newer; nothing changed
--   {gap, version, charge_sequence}   it is in Redis, older: project on it instead; nothing changed
--   {behind, version}                 a later version was projected meanwhile: read the ledger again
--   {forgotten}                       Redis lost its memory since the ticket: announce and read again
--   {newer, incarnation}              the ledger went back in time since the caller looked
--
-- A wallet that is absent, of another epoch or torn is replaced with its holds. If only the ledger's
-- incarnation is newer, the holds in Redis are newer than the journal and stay, except those of calls
-- that were charged since. If there are too many ended calls for one load, `remember` brings the
-- others later.
--
-- Worked example: balance 50000, one hold of 14000 with two more minutes, one that is due:
-- {loaded, 1}; held is 14000. The same again: {current, version}.

local version = whole(ARGV[4], 'version')
local cycles, at_sids = list_from(16)
local twilio_sids, at_holds = list_from(at_sids)
local holds, at_settled = list_from(at_holds)
local settled = list_from(at_settled)

local standing, fields = read_wallet('version', 'charge_sequence')
if standing and standing.incarnation > INCARNATION then return { 'newer', standing.incarnation } end
if standing and standing.incarnation == INCARNATION then
  local reached = whole(fields[10], 'version')
  if reached >= version then return { 'current', reached } end
  return { 'gap', reached, whole(fields[11], 'charge_sequence') }
end
if redis.call('GET', LOADING) ~= ARGV[13] then return { 'forgotten' } end
local reached = projected_version()
if reached > version then return { 'behind', reached } end

remember_settled(settled)
local wallet = { held = 0, holds = 0, cycles = {} }
if standing then
  wallet.held, wallet.holds = standing.held, standing.holds
  for _, field in ipairs(redis.call('HKEYS', WALLET)) do
    if string.sub(field, 1, 2) == 'a:' then held_allowance(wallet, string.sub(field, 3)) end
  end
  local placed = redis.call('HGETALL', HOLDS)
  for index = 1, #placed, 2 do
    if is_settled(placed[index]) then release(wallet, placed[index], placed[index + 1]) end
  end
else
  redis.call('DEL', HOLDS, EXPIRIES)
  for index = 1, #holds, 2 do
    local hold = unpack_hold(holds[index + 1])
    if hold.expires_at > NOW and not is_settled(holds[index]) then
      write_hold(holds[index], hold, 0)
      wallet.held = wallet.held + hold.held
      wallet.holds = wallet.holds + 1
      wallet.cycles[hold.cycle] = (wallet.cycles[hold.cycle] or 0) + hold.allowance
    end
  end
end
redis.call('DEL', WALLET)
redis.call('HSET', WALLET, 'epoch', EPOCH, 'incarnation', INCARNATION, 'version', version,
  'charge_sequence', whole(ARGV[5], 'charge_sequence'), 'balance', whole(ARGV[6], 'balance'),
  'credit_limit', whole(ARGV[7], 'credit_limit'), 'status', ARGV[8], 'calls_max', ARGV[9],
  'terms', ARGV[10], 'document', ARGV[11], 'account', whole(ARGV[12], 'account'),
  'loaded_at', NOW, 'budget', ARGV[15])
write_cycles(cycles)
if ARGV[14] ~= '' then redis.call('HSET', WALLET, 'unsure', ARGV[14]) end
note_buckets()
for _, sid in ipairs(twilio_sids) do redis.call('HSET', WALLET, 's:' .. sid, 1) end
write_sums(wallet)
redis.call('EXPIRE', WALLET, WALLET_LIFE_SECONDS)
return { 'loaded', wallet.holds }
