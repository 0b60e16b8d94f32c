-- void: frees a call's hold and remembers that the call has ended.
--
-- KEYS 1-9, ARGV 1-3: see common.lua. Then 4 call_sid
--   5 twilio_sid  AccountSid by which the caller found this account; '' if by its id
--
-- Reply, one of
--   {voided, 1 or 0, revision}   1: a hold was freed, or may be in the journal; 0: there was none
--   {unknown, why}   only for an AccountSid: the wallet must be loaded first, or `moved`: the account
--                    does not pay for that AccountSid; nothing changed
-- If the account is named by its id and the wallet is unknown, the call is remembered all the same,
-- so that no load brings its hold back.
--
-- Worked example: a hold of 28000: {voided, 1, r}, and the wallet's held is 28000 less; again:
-- {voided, 0, r'}. r is greater than the hold's own revision, so the journal takes it.

local call_sid, twilio_sid = ARGV[4], ARGV[5]
local wallet, fields = read_wallet('s:' .. twilio_sid)
if twilio_sid ~= '' then
  if not wallet then return { 'unknown', fields } end
  if wallet.incarnation < INCARNATION then return { 'unknown', 'incarnation' } end
  if not fields[10] then return { 'unknown', 'moved' } end
end
local packed = redis.call('HGET', HOLDS, call_sid)
local freed, revision = wallet and 0 or 1, NOW
if wallet and packed then
  revision = math.max(NOW, release(wallet, call_sid, packed).revision + 1)
  write_sums(wallet)
  freed = 1
end
remember_settled({ call_sid })
return { 'voided', freed, revision }
