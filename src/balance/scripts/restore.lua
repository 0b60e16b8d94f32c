-- restore: puts a missing hold into Redis: one that Redis lost and that was journaled only after the
-- account was loaded again, or one that was granted while Redis was away.
--
-- KEYS 1-9, ARGV 1-3: see common.lua. Then 4 call_sid   5 packed hold
--
-- Reply, one of
--   {restored, beyond}   beyond: micro-dollars by which the money held now exceeds the pool
--   {standing}           the call has this hold or a later one, or nothing was lost; a hold that was
--                        granted while Redis was away never replaces another
--   {over}               the hold was missing since the load, and is not needed any more: the call
--                        has ended, or its hold is due
--   {unknown, why}       there is no wallet; the next load finds the hold in the journal
--
-- Worked example: balance 20000, another call holds 14000; restoring 14000: {restored, 8000}.

local call_sid, hold = ARGV[4], unpack_hold(ARGV[5])
local wallet, fields = read_wallet('balance', 'credit_limit')
if not wallet then return { 'unknown', fields } end
if hold.expires_at <= NOW or is_settled(call_sid, wallet) then
  -- A hold that was granted after the load was never lost.
  local loaded_at = whole(redis.call('HGET', WALLET, 'loaded_at'), 'loaded_at')
  return { hold.revision < loaded_at and 'over' or 'standing' }
end
local packed = redis.call('HGET', HOLDS, call_sid)
if packed then
  local is_later = unpack_hold(packed).revision >= hold.revision
  if is_later or hold.operation == 'fail_open' then return { 'standing' } end
  release(wallet, call_sid, packed)
end
wallet.held = wallet.held + hold.held
wallet.holds = wallet.holds + 1
wallet.cycles[hold.cycle] = held_allowance(wallet, hold.cycle) + hold.allowance
write_hold(call_sid, hold, wallet.quiet_until)
write_sums(wallet)
local available = whole(fields[10], 'balance') + whole(fields[11], 'credit_limit') - wallet.held
return { 'restored', math.min(hold.held, math.max(0, -available)) }
